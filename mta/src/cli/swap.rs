//! `tambo sources swap`: one source leaves, another comes, or what would come of it.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::admin::{CheckRow, SwapAnswer, SwapOrder, SwapPool};

use super::client::call;
use super::sources::path;
use super::{print_json, print_line};

/// Take a source out of its pools and a standby in.
///
/// The first standby that passes its checks takes the place in each pool: its address is on this machine, has
/// one PTR name that leads back to it, its EHLO name leads to it, SPF of every sending domain lets it send, and no
/// blocklist that acts names it. It starts or resumes its own warm-up. The source that left is quarantined: it
/// waits as standby again when it has been clean for `swap.clean_for`, or when it is resumed. Its mail goes
/// from the others. The share of a pool that may be swapped in a day does not bind this command, and counts it.
///
/// When no standby passes, nothing is changed.
#[derive(Debug, Args)]
pub(super) struct SwapArguments {
    /// The source that leaves.
    name: String,
    /// This standby comes, and no other.
    #[arg(long, value_name = "STANDBY")]
    with: Option<String>,
    /// Change nothing; say what would happen, and each check of each standby.
    #[arg(long)]
    dry_run: bool,
    /// Answer for checks that do not pass: the first standby (or that of --with) comes all the same.
    #[arg(long)]
    force: bool,
    /// Why, for those who ask later; who did it is added.
    #[arg(long, default_value = "swapped by hand")]
    why: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn swap(config: &Path, arguments: &SwapArguments) -> Result<(), String> {
    let order = SwapOrder {
        with: arguments.with.clone(),
        dry_run: arguments.dry_run,
        force: arguments.force,
        why: arguments.why.clone(),
    };
    let answer: SwapAnswer = call(config, &path(&arguments.name, "/swap"), Some(&order))?;
    if arguments.json {
        print_json(&answer)?;
    } else {
        print(&answer);
    }
    match answer.obstacle {
        Some(obstacle) if arguments.dry_run => Err(obstacle),
        Some(obstacle) => Err(format!("{obstacle} Nothing was changed.")),
        None => Ok(()),
    }
}

fn print(answer: &SwapAnswer) {
    for pool in &answer.pools {
        print_pool(answer, pool);
    }
    if answer.obstacle.is_some() {
        return;
    }
    let hours = Duration::from_secs(answer.clean_for_seconds).as_secs() / 3600;
    let source = &answer.source;
    print_line(&if answer.done {
        format!("{source} waits as standby again once it has been clean for {hours} h")
    } else {
        format!("Nothing was changed: run it without --dry-run to swap {source}")
    });
}

fn print_pool(answer: &SwapAnswer, pool: &SwapPool) {
    let (leaves, comes) = if answer.done { ("has left", "took") } else { ("leaves", "takes") };
    print_line(&format!("{} {leaves} {}", answer.source, pool.pool));
    print_line(&format!(
        "  {} deliveries of the pool wait in memory: none is lost, they go from its other sources",
        pool.waiting
    ));
    print_line(&format!(
        "  {} of {} sources of the pool may still be swapped by the relay itself today",
        pool.swaps_left, pool.swaps_allowed
    ));
    for (name, how) in &pool.stopped {
        print_line(&format!("  {name} is {how}, and is not asked"));
    }
    for standby in &pool.looked_at {
        let word = match standby.verdict.as_str() {
            "passes" => "passes its checks",
            "later" => "cannot be judged yet",
            _ => "does not pass its checks",
        };
        print_line(&format!("  {} {word}", standby.name));
        for check in &standby.checks {
            print_line(&format!("    {}", sentence(check)));
        }
    }
    match &pool.comes {
        Some(name) if pool.forced => {
            print_line(&format!("  {name} {comes} its place all the same: you answer for it"));
        }
        Some(name) => print_line(&format!("  {name} {comes} its place")),
        None => print_line("  nobody can take its place"),
    }
}

fn sentence(check: &CheckRow) -> String {
    let CheckRow { what, outcome, found, expected, mend } = check;
    let [found, expected, mend] =
        [found, expected, mend].map(|it| it.as_deref().unwrap_or_default());
    match outcome.as_str() {
        "passed" => format!("{what}: as it should be"),
        "failed" => format!("{what}: found: {found}; expected: {expected}; to mend: {mend}"),
        _ => format!("{what}: not known yet: {found}"),
    }
}
