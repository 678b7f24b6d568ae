//! What is asked about sources, halts and warm-up, and what is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceRow {
    /// Its name.
    pub name: String,
    /// Bound locally, or at its gateway.
    pub address: String,
    /// Seen outside.
    pub public: String,
    /// The gateway that it is behind.
    pub via: Option<String>,
    /// Name in EHLO.
    pub helo: String,
    /// Pools it is active in.
    pub pools: Vec<String>,
    /// Pools it waits for.
    pub standby: Vec<String>,
    /// The first of those it is active in, or else waits for.
    pub pool: Option<String>,
    /// `active`, `standby`, `suspended`, `draining`, `quarantined`, `missing`: this machine lacks the
    /// address, or `unreachable`: its gateway is of no use.
    pub state: String,
    /// Why it is stopped.
    pub why: Option<String>,
    /// Until when it is stopped (RFC 3339); nothing: until somebody acts.
    pub until: Option<String>,
    /// Whether the name of its address leads back to it; nothing: that is not looked at yet.
    pub names: Option<NamesRow>,
}

/// Forward-confirmed reverse DNS of a source, as it was found last. It is looked at once an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamesRow {
    /// When it was found out (RFC 3339).
    pub at: String,
    /// `fits`: the address has one name, which leads back to it and is the one in EHLO; `differs`: the same, but the name
    /// in EHLO is another, which leads to the address too; `fails`; `unknown`: it could not be found out.
    pub verdict: String,
    /// Names of the public address (PTR), five at most.
    pub pointers: Vec<String>,
    /// Each check.
    pub checks: Vec<CheckRow>,
}

/// Replies by which mail of a source was refused or put off, of one kind at one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusalRow {
    /// The last time (RFC 3339).
    pub at: String,
    /// Where.
    pub site: String,
    /// The rule that knew the reply.
    pub rule: String,
    /// What it was about.
    pub category: String,
    /// The mail ended; otherwise it is tried again.
    pub for_good: bool,
    /// The last reply.
    pub reply: String,
    /// Recipients.
    pub times: u64,
}

/// A source with its paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceAnswer {
    /// It.
    #[serde(flatten)]
    pub source: SourceRow,
    /// What was refused last since the relay was started, the latest first: ten kinds at most. What blames the recipient
    /// alone is left out.
    pub refusals: Vec<RefusalRow>,
    /// Each site where it is in use or remembered.
    pub paths: Vec<PathRow>,
    /// Paths beyond those that are told.
    pub paths_left_out: usize,
}

/// A source at a site, as mail of one pool meets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PathRow {
    /// The site.
    pub site: String,
    /// The provider, if it is one's.
    pub provider: Option<String>,
    /// The pool; nothing: the source is in none.
    pub pool: Option<String>,
    /// `active`, `slowed`, `suspended` or `probing`.
    pub state: String,
    /// Until when it is so (RFC 3339).
    pub until: Option<String>,
    /// The rule that made it so, be it over or not; `operator`: a person.
    pub rule: Option<String>,
    /// What the peer, or the person, said.
    pub reply: Option<String>,
    /// When (RFC 3339).
    pub since: Option<String>,
    /// What keeps the next recipient at this moment, in words.
    pub kept: Option<String>,
    /// Connections, open or coming up.
    pub open: u32,
    /// Recipients of this day.
    pub used: u32,
    /// Recipients that may be sent to on this day; nothing: any number.
    pub cap: Option<u32>,
    /// Day of the warm-up; nothing: it is warm, or is not warmed up.
    pub warm_up_day: Option<u16>,
    /// Days of the warm-up.
    pub warm_up_days: Option<u16>,
    /// What keeps the warm-up on its day.
    pub held: Option<String>,
    /// Limits in force now, beside those configured.
    pub limits: Vec<LimitNow>,
    /// When it last carried anything (RFC 3339).
    pub last_used: Option<String>,
}

/// A source at a site where something is amiss, or where a server has taught us to send less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AmissRow {
    /// The source.
    pub source: String,
    /// How it stands there.
    #[serde(flatten)]
    pub path: PathRow,
}

/// A limit of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitNow {
    /// Its name, as in the configuration.
    pub name: String,
    /// What holds now; `none`: no limit.
    pub now: String,
    /// What is configured.
    pub configured: String,
}

/// What is to be done to a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceOrder {
    /// What.
    pub action: SourceAction,
    /// At this site only.
    #[serde(default)]
    pub at: Option<String>,
    /// For so many seconds; nothing: until it is resumed.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// Who and why.
    pub why: String,
}

/// What can be done to a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceAction {
    /// Nothing is sent from it.
    Suspend,
    /// It sends again.
    Resume,
    /// It takes nothing new; what is in use ends.
    Drain,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceDone {
    /// In a sentence.
    pub said: String,
}

/// A swap that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwapOrder {
    /// This standby, and no other.
    #[serde(default)]
    pub with: Option<String>,
    /// Nothing is changed.
    #[serde(default)]
    pub dry_run: bool,
    /// The operator answers for checks that do not pass.
    #[serde(default)]
    pub force: bool,
    /// Who and why.
    pub why: String,
}

/// What a swap is, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwapAnswer {
    /// Who leaves.
    pub source: String,
    /// It was done.
    pub done: bool,
    /// Why it cannot be.
    pub obstacle: Option<String>,
    /// Each pool that it leaves.
    pub pools: Vec<SwapPool>,
    /// How long it must be clean before it waits as standby again, in seconds.
    pub clean_for_seconds: u64,
}

/// A swap in one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwapPool {
    /// The pool.
    pub pool: String,
    /// Who comes.
    pub comes: Option<String>,
    /// It comes though its checks do not pass.
    pub forced: bool,
    /// Deliveries of the pool in memory that wait for a connection: they go from the others.
    pub waiting: usize,
    /// Sources of the pool that may still be swapped today without an operator …
    pub swaps_left: usize,
    /// … and of how many.
    pub swaps_allowed: usize,
    /// Standbys that were looked at, in order, to the first that passed.
    pub looked_at: Vec<StandbyRow>,
    /// Standbys that are stopped, with the word for how.
    pub stopped: BTreeMap<String, String>,
}

/// A standby that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandbyRow {
    /// Its name.
    pub name: String,
    /// `passes`, `fails`, or `later`: something could not be found out yet.
    pub verdict: String,
    /// Each check.
    pub checks: Vec<CheckRow>,
}

/// A check of a standby.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckRow {
    /// What was looked at.
    pub what: String,
    /// `passed`, `failed` or `unknown`.
    pub outcome: String,
    /// What is there, or why it is not known.
    pub found: Option<String>,
    /// What should be.
    pub expected: Option<String>,
    /// What to do.
    pub mend: Option<String>,
}

/// Something that waits at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HaltRow {
    /// The site.
    pub site: String,
    /// `domain` (mail of a sending domain) or `campaign`.
    pub kind: String,
    /// Which.
    pub name: String,
    /// The rule that knew the reply.
    pub rule: String,
    /// What the peer said.
    pub reply: String,
    /// RFC 3339.
    pub since: String,
    /// RFC 3339; nothing: until it is released.
    pub until: Option<String>,
}

/// What is to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseOrder {
    /// At this site.
    pub site: String,
    /// A sending domain or a campaign.
    pub name: String,
    /// Who and why.
    pub why: String,
}

/// What goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Released {
    /// What was halted, in words.
    pub released: Vec<String>,
    /// Deliveries that waited on disk and are attempted at once.
    pub at_once: usize,
    /// There may be more: they are looked at within an hour.
    pub more: bool,
}

/// A path that warms up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WarmUpRow {
    /// The source.
    pub source: String,
    /// The pool.
    pub pool: Option<String>,
    /// The site.
    pub site: String,
    /// The provider, if it is one's.
    pub provider: Option<String>,
    /// The day of its schedule, from 1.
    pub day: u16,
    /// Days of the schedule.
    pub days: u16,
    /// Recipients that may be sent to today.
    pub cap: Option<u32>,
    /// Those that were, or are reserved.
    pub used: u32,
    /// Those that the site accepted.
    pub accepted: u32,
    /// Those that it must accept for the day to count.
    pub enough: u32,
    /// What keeps it on this day.
    pub held: Option<String>,
    /// When it is warm if every day counts from now on.
    pub warm_on: String,
}

/// A mailing, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ForecastQuestion {
    /// The pool; nothing: the default one.
    #[serde(default)]
    pub pool: Option<String>,
    /// `google=50000,outlook-consumer=20000,other=1000/100`: recipients of each site, and over how many
    /// sites those of others are spread.
    pub mix: String,
}

/// How many days it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastAnswer {
    /// The pool.
    pub pool: String,
    /// The sites in the order asked.
    pub sites: Vec<String>,
    /// Today and those that follow, to the last on which something is sent.
    pub days: Vec<ForecastDay>,
    /// The last day; nothing: some are never sent within a year.
    pub done_on: Option<String>,
    /// Recipients of each site that are not sent within a year.
    pub left: BTreeMap<String, u64>,
    /// What was taken for granted, or left out.
    pub notes: Vec<String>,
}

/// A day of a forecast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastDay {
    /// Its date, in the time zone of the pool's send window.
    pub date: String,
    /// Recipients of each site.
    pub sent: BTreeMap<String, u64>,
    /// Of all.
    pub total: u64,
}
