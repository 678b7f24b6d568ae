//! What peers said, and what is done about it: the path is slowed or suspended, the domain or the campaign
//! is halted, the source is replaced. Each blame reaches exactly as far as it goes: a source's fault never
//! counts against a recipient, a domain's or a content's never against a source.

use std::sync::Arc;
use std::time::Duration;

use relay_config::responses::{Action, Blame, Category, Mail, Move, Percent, Verdict};

use crate::message::Timestamp;

use super::Item;
use super::books::Egress;
use super::connection::Connection;
use super::decision::{Decision, DecisionKind, halted_words, span};
use super::halts::{Halt, Halted};
use super::health::Why;
use super::limits::Limits;
use super::path::Path;
use super::site::SiteKind;
use super::warm_up;

/// Another source that was heard within this time says that the hosts are well.
pub(super) const HEARD_WITHIN: Duration = Duration::from_mins(10);
/// Connections of one source that fail in silence, one after another, while others are heard.
pub(super) const SILENT_FAILURES: u32 = 3;
/// How long a source rests that is blocked in silence.
const SILENT_LASTS: Duration = Duration::from_hours(1);

/// What came of one delivery through a path.
#[derive(Debug, Clone)]
pub struct Heard<'a> {
    /// Where.
    pub site: &'a Arc<str>,
    /// From where.
    pub source: &'a Arc<str>,
    /// Whose limits hold.
    pub pool: &'a Arc<str>,
    /// The domain whose reputation was used.
    pub sending_domain: Option<&'a str>,
    /// What it was part of.
    pub campaign: &'a str,
    /// The domain of the recipients.
    pub recipient_domain: &'a str,
    /// Recipients that were taken.
    pub accepted: u32,
    /// What was said of the others.
    pub said: Vec<Said<'a>>,
    /// Transactions that the connection had carried.
    pub transactions: u32,
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// What it means.
    pub verdict: &'a Verdict,
    /// Recipients that were answered so.
    pub recipients: u32,
    /// The reply.
    pub reply: &'a str,
}

impl<T: Item> Egress<T> {
    /// A delivery has ended at a peer: what may go next changes.
    pub fn heard(&mut self, heard: &Heard<'_>, now: Timestamp) {
        self.count_shares(heard);
        self.count_on_path(heard, now);
        for said in &heard.said {
            self.act_upon(heard, *said, now);
        }
        self.settle_path(heard.site, heard.source);
    }

    /// Every reply is part of the share that others are measured by.
    fn count_shares(&mut self, heard: &Heard<'_>) {
        let all = heard.accepted + heard.said.iter().map(|said| said.recipients).sum::<u32>();
        let keys = [heard.source.to_string(), heard.campaign.to_owned()];
        for (kind, of) in ["slow", "campaign"].into_iter().zip(keys) {
            if let Some(share) = self.blames.share((Arc::clone(heard.site), kind.to_owned(), of)) {
                share.count(all, 0);
            }
        }
    }

    fn count_on_path(&mut self, heard: &Heard<'_>, now: Timestamp) {
        let Some(site) = self.sites.get_mut(heard.site) else { return };
        let Some(limits) = site.pools.get(heard.pool).map(|pool| pool.limits.clone()) else {
            return;
        };
        let Some(path) = site.paths.get_mut(heard.source) else { return };
        if heard.accepted > 0 {
            path.taken(&limits, now);
        }
        if !heard.said.iter().any(|said| blames_source(said.verdict)) {
            path.heard = now;
            path.silent = 0;
        }
        let Some(warm_up) = &mut path.warm_up else { return };
        if heard.accepted > 0 {
            warm_up.heard(warm_up::Heard::Accepted, heard.accepted);
        }
        for said in &heard.said {
            warm_up.heard(for_warm_up(said.verdict), said.recipients);
            path.unsaved = true;
        }
    }

    fn act_upon(&mut self, heard: &Heard<'_>, said: Said<'_>, now: Timestamp) {
        let verdict = said.verdict;
        let paths = self.blamed_paths(heard, verdict);
        // A smarthost is no judge of addresses and domains: it may ask for less, and no more.
        let judges =
            self.sites.get(heard.site).is_some_and(|site| site.kind != SiteKind::Smarthost);
        for action in verdict.actions.iter().filter(|it| judges || !is_judgement(**it)) {
            match *action {
                Action::Slow { lasts, above } => {
                    let key = (Arc::clone(heard.site), "slow".to_owned(), heard.source.to_string());
                    if self.blames.is_above(key, above, said.recipients) {
                        self.slow(heard, said, &paths, now.after(lasts), now);
                    }
                }
                Action::FewerConnections { lasts } => {
                    self.on_paths(heard, &paths, |path, limits| {
                        path.fewer_connections(now.after(lasts), limits);
                    });
                }
                Action::Suspend { lasts } => {
                    let until = lasts.map(|lasts| now.after(lasts));
                    self.suspend(heard, said, &paths, until, now);
                }
                Action::Reconnect => {
                    let carried = heard.transactions.saturating_sub(1);
                    self.on_paths(heard, &[Arc::clone(heard.source)], |path, limits| {
                        path.fewer_messages(carried, limits, now);
                    });
                }
                Action::CheckListing => {
                    self.blames.to_check.insert(Arc::clone(heard.source));
                }
                Action::HaltDomain { lasts, domains } => {
                    self.halt_domain(heard, said, lasts, domains, now);
                }
                Action::HaltCampaign { above } => self.halt_campaign(heard, said, above, now),
                Action::Suppress { .. }
                | Action::SoftSuppress
                | Action::Fail { .. }
                | Action::Retry { .. }
                | Action::SameSource
                | Action::OtherSource
                | Action::Split
                | Action::Move(_)
                | Action::FreezeWarmUp
                | Action::StepBack
                | Action::SlowRamp
                | Action::ResolveAgain
                | Action::RequireTls => {}
            }
        }
        self.alert(heard, said, now);
        if judges && blocks_source(verdict) {
            self.count_block(heard, said, now);
        }
    }

    /// The paths that a verdict speaks of: the one that was used, or all of its network where the network
    /// alone is blamed. (Who says "your address or its network" has refused one address: its neighbours
    /// speak for themselves.)
    fn blamed_paths(&self, heard: &Heard<'_>, verdict: &Verdict) -> Vec<Arc<str>> {
        let scope = &verdict.scope;
        if scope.contains(&Blame::Netblock) && !scope.contains(&Blame::Source) {
            self.sources.netblock(heard.source)
        } else {
            vec![Arc::clone(heard.source)]
        }
    }

    fn on_paths(
        &mut self,
        heard: &Heard<'_>,
        sources: &[Arc<str>],
        mut act: impl FnMut(&mut Path, &Limits),
    ) {
        let Some(site) = self.sites.get_mut(heard.site) else { return };
        let Some(limits) = site.pools.get(heard.pool).map(|pool| pool.limits.clone()) else {
            return;
        };
        for source in sources {
            act(site.paths.entry(Arc::clone(source)).or_default(), &limits);
        }
        for source in sources {
            self.settle_path(heard.site, source);
        }
    }

    fn slow(
        &mut self,
        heard: &Heard<'_>,
        said: Said<'_>,
        paths: &[Arc<str>],
        until: Timestamp,
        now: Timestamp,
    ) {
        let mut slowed = Vec::new();
        self.on_paths(heard, paths, |path, limits| {
            let before = path.health.until();
            path.slow(until, limits, why(said, now));
            slowed.push(before < now && path.health.until() >= until);
        });
        if slowed.first() == Some(&true) {
            let text = format!(
                "{} to {} is slowed to one message a minute for {}: the server asked for less. Its share waits; \
                 nothing is to be done unless it goes on",
                who(paths),
                heard.site,
                span(until.since(now))
            );
            self.decide(DecisionKind::Slowed, heard, said, text);
        }
    }

    fn suspend(
        &mut self,
        heard: &Heard<'_>,
        said: Said<'_>,
        paths: &[Arc<str>],
        until: Option<Timestamp>,
        now: Timestamp,
    ) {
        let key = (Arc::clone(heard.site), Arc::clone(heard.source), said.verdict.rule.to_string());
        let repeated = self.blames.is_repeated(key, now);
        let moves = said.verdict.actions.iter().any(|action| match action {
            Action::Move(Move::AtOnce) => true,
            Action::Move(Move::IfRepeated) => repeated,
            Action::Move(Move::IfListed) => self.blames.listed.contains(heard.source),
            Action::Move(Move::IfAnotherIsHeard) => self.another_is_heard(heard, now),
            _ => false,
        });
        let mut fresh = false;
        self.on_paths(heard, paths, |path, _| {
            fresh |= !path.health.is_suspended();
            path.suspend(until, moves, why(said, now));
        });
        let pools: Vec<Arc<str>> = self
            .sites
            .get(heard.site)
            .map_or_else(Vec::new, |site| site.pools.keys().cloned().collect());
        for source in paths {
            for pool in &pools {
                self.redeal(heard.site, pool, source, now);
            }
        }
        if fresh {
            let how_long = until.map_or_else(
                || "until it is resumed (`tambo sources resume`)".to_owned(),
                |until| format!("for {}", span(until.since(now))),
            );
            let mail = if moves { "other warm sources take its mail" } else { "its share waits" };
            let rule = said.verdict.by.as_deref();
            let help = rule.and_then(|rule| rule.help.as_deref());
            let help = help.map_or_else(String::new, |help| format!(". See {help}"));
            let text = format!(
                "{} to {} is suspended {how_long}: the server refuses it; {mail}{help}",
                who(paths),
                heard.site
            );
            self.decide(DecisionKind::Suspended, heard, said, text);
        }
    }

    /// A source is refused without a word while others are heard.
    pub(super) fn suspend_silent(&mut self, connection: &Connection, why: Why, now: Timestamp) {
        let Connection { site, pool, source, .. } = connection;
        let until = now.after(SILENT_LASTS);
        let key = (Arc::clone(site), Arc::clone(source), why.rule.clone());
        let moves = self.blames.is_repeated(key, now);
        let said = why.said.clone();
        if let Some(path) = self.sites.get_mut(site).and_then(|it| it.paths.get_mut(source)) {
            path.suspend(Some(until), moves, why);
        }
        self.settle_path(site, source);
        self.redeal(site, pool, source, now);
        self.blames.to_check.insert(Arc::clone(source));
        let text = format!(
            "{source} to {site} is suspended for {}: its connections fail while others are answered there, so the \
             server, or a firewall before it, blocks it in silence. It is probed afterwards; ask the server's \
             postmaster if it stays so",
            span(SILENT_LASTS)
        );
        let decision = Decision::new(DecisionKind::Suspended, text).source(source).site(site);
        self.decisions.push(decision.because("silent", &said));
    }

    fn another_is_heard(&self, heard: &Heard<'_>, now: Timestamp) -> bool {
        let Some(site) = self.sites.get(heard.site) else { return false };
        site.paths.iter().any(|(name, path)| {
            name != heard.source
                && path.heard > Timestamp::default()
                && now.since(path.heard) < HEARD_WITHIN * 6
        })
    }

    fn halt_domain(
        &mut self,
        heard: &Heard<'_>,
        said: Said<'_>,
        lasts: Option<Duration>,
        domains: u32,
        now: Timestamp,
    ) {
        let Some(domain) = heard.sending_domain else { return };
        let key = (Arc::clone(heard.site), domain.to_owned(), said.verdict.rule.to_string());
        if self.blames.said_by(key, heard.recipient_domain, domains) {
            self.halt(heard, said, Halted::Domain(domain.to_owned()), lasts, now);
        }
    }

    fn halt_campaign(
        &mut self,
        heard: &Heard<'_>,
        said: Said<'_>,
        above: Option<Percent>,
        now: Timestamp,
    ) {
        if heard.campaign.is_empty() {
            return;
        }
        let key = (Arc::clone(heard.site), "campaign".to_owned(), heard.campaign.to_owned());
        if self.blames.is_above(key, above, said.recipients) {
            self.halt(heard, said, Halted::Campaign(heard.campaign.to_owned()), None, now);
        }
    }

    fn halt(
        &mut self,
        heard: &Heard<'_>,
        said: Said<'_>,
        what: Halted,
        lasts: Option<Duration>,
        now: Timestamp,
    ) {
        let ramp = said.verdict.actions.contains(&Action::SlowRamp);
        let until = lasts.map(|lasts| now.after(lasts));
        let halt = Halt::new(&said.verdict.rule, said.reply, now, until, ramp);
        let words = halted_words(&what);
        if !self.halts.add(heard.site, what, halt) {
            return;
        }
        let how_long = lasts.map_or_else(
            || "until it is released (`tambo sources release`)".to_owned(),
            |lasts| format!("for {}", span(lasts)),
        );
        let text = format!(
            "{words} to {} waits {how_long}, from every source: the server refuses it for what it is, not for where it \
             comes from, and other sources would make it worse",
            heard.site
        );
        self.decide(DecisionKind::Halted, heard, said, text);
    }

    /// What an operator must mend or know.
    fn alert(&mut self, heard: &Heard<'_>, said: Said<'_>, now: Timestamp) {
        let Some(rule) = said.verdict.by.as_deref() else { return };
        let Some(words) = rule.fix.as_deref().or(rule.alert.as_deref()) else { return };
        if self.blames.may_alert(&rule.id, heard.site, now) {
            let text = format!("{} says so of {}: {words}", heard.site, heard.source);
            self.decide(DecisionKind::Alert, heard, said, text);
        }
    }

    fn decide(&mut self, kind: DecisionKind, heard: &Heard<'_>, said: Said<'_>, text: String) {
        let decision = Decision::new(kind, text).source(heard.source).site(heard.site);
        let decision = decision.pool(heard.pool).because(&said.verdict.rule, said.reply);
        self.decisions.push(decision);
    }

    /// A site has blocked a source for what it is; when several agree, it is quarantined.
    fn count_block(&mut self, heard: &Heard<'_>, said: Said<'_>, now: Timestamp) {
        let rules = &self.settings.swap;
        let (within, wanted) = (rules.within, rules.blamed_sites);
        let sites = self.blames.blocked(heard.source, heard.site, within, now);
        // Anybody can run three servers and have them say so: a provider must be among those that do.
        let known = self
            .blames
            .blocking(heard.source)
            .any(|name| self.sites.get(name).is_some_and(|site| site.kind.provider().is_some()));
        if known && sites >= usize::try_from(wanted).unwrap_or(usize::MAX) {
            let names: Vec<String> =
                self.blames.blocking(heard.source).map(ToString::to_string).collect();
            let evidence = format!(
                "{} sites have blocked it within {}: {}; the last said: {}",
                sites,
                span(within),
                names.join(", "),
                said.reply
            );
            self.quarantine(heard.source, &evidence, now);
        }
    }
}

/// Whether it keeps mail altogether because of what an address, a domain or a campaign is taken for.
fn is_judgement(action: Action) -> bool {
    matches!(
        action,
        Action::Suspend { .. } | Action::HaltDomain { .. } | Action::HaltCampaign { .. }
    )
}

fn why(said: Said<'_>, now: Timestamp) -> Why {
    Why { rule: said.verdict.rule.to_string(), said: said.reply.to_owned(), at: now }
}

fn who(paths: &[Arc<str>]) -> String {
    match paths {
        [one] => one.to_string(),
        several => {
            let names: Vec<&str> = several.iter().map(|name| &**name).collect();
            format!("the network of {} ({})", names.first().unwrap_or(&""), names.join(", "))
        }
    }
}

fn blames_source(verdict: &Verdict) -> bool {
    verdict.scope.iter().any(|blame| matches!(blame, Blame::Source | Blame::Netblock))
}

/// Whether it blocks the source for its reputation, not for its pace of the moment.
fn blocks_source(verdict: &Verdict) -> bool {
    verdict.scope.contains(&Blame::Source)
        && !verdict.scope.iter().any(|blame| {
            matches!(blame, Blame::SendingDomain | Blame::Content | Blame::Link | Blame::List)
        })
        && verdict.category == Category::IpBlock
        && verdict.actions.iter().any(|action| matches!(action, Action::Suspend { .. }))
}

/// What a verdict means for a path that warms up. Greylisting, mailboxes and the receiver's own state are no trouble of ours.
fn for_warm_up(verdict: &Verdict) -> warm_up::Heard {
    use warm_up::Heard;
    let source = blames_source(verdict);
    match verdict.category {
        Category::IpBlock | Category::IpReputation if source => Heard::ReputationHit,
        _ if verdict.actions.contains(&Action::StepBack) => Heard::ReputationHit,
        _ if verdict.actions.contains(&Action::FreezeWarmUp) => Heard::Freeze,
        Category::RateLimit if source => Heard::Trouble,
        _ if verdict.mail == Mail::Fail => Heard::Bounced,
        _ if source => Heard::Trouble,
        _ => Heard::Deferred,
    }
}

#[cfg(test)]
mod tests {
    use relay_config::responses::{Classifier, Phase, Spoken};

    use super::warm_up::Heard;
    use super::*;

    #[test]
    fn what_a_reply_means_for_the_warm_up() {
        let check = |reply: &str, expected: Heard| {
            let spoken = Spoken::parse(reply).unwrap();
            let said = spoken.said(Some(Phase::Rcpt), None);
            assert_eq!(for_warm_up(&Classifier::builtin().classify(&said)), expected, "{reply}");
        };
        // The rules of facts that take three days back: G05, G07, M02, M03, Y01, Y02.
        check("421 4.7.28 unusual rate of mail", Heard::ReputationHit);
        check("550 very low reputation of the sending IP", Heard::ReputationHit);
        check("550 5.7.1 part of their network is on our block list (S3140)", Heard::ReputationHit);
        check("451 4.7.650 temporarily rate limited due to IP reputation", Heard::ReputationHit);
        check("421 4.7.0 [TSS04] Messages temporarily deferred", Heard::ReputationHit);
        check("553 5.7.2 [TSS09] permanently deferred", Heard::ReputationHit);
        check("421 RP-001 rate", Heard::Trouble);
        check("450 4.2.0 Greylisted", Heard::Deferred);
        check("452 4.2.2 mailbox full", Heard::Deferred);
        check("550 5.1.1 no such user", Heard::Bounced);
    }
}
