//! Syncs of a message, counted by the kernel's door and not by the relay: the kernel tells `perf` of each `fsync` and
//! `fdatasync` on this machine, and how long it took. (strace tells the same, but stops the relay at each system call.)

use std::process::{Child, Command, Stdio};

use ::tests::packages::need;
use ::tests::relay::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::contender::{Contender, Setting};
use crate::disk;
use crate::measure::{Measured, Spread};
use crate::plain::{PlainLoad, PlainSink};
use crate::scenario::{Plan, Scenario, Wanted};

use super::SMALL_OCTETS;

/// What perf is to count: calls and the time they took, of all processes.
const COUNT: [&str; 6] = ["trace", "-a", "-s", "-e", "fsync,fdatasync", "-o"];

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    need("perf", "linux-perf");
    let load = PlainLoad::new(SMALL_OCTETS, plan.part(1), plan.sessions);
    // Postfix syncs much more often, and is slower.
    let fewer = PlainLoad::new(SMALL_OCTETS, plan.part(10), plan.sessions);
    let about = format!("2 KiB, counted by perf, through Postfix {}", fewer.messages);
    let mut scenario = Scenario::new("syncs", about, load.messages, load.sessions);
    scenario
        .run(plan.rounds, &["tambo", "postfix"], async |who| {
            let load = if who == "tambo" { &load } else { &fewer };
            one(who, load).await
        })
        .await;
    scenario.columns = vec!["syncs_a_message", "sync_share"];
    let syncs = scenario.spread("tambo", |run| run.figure("syncs_a_message"));
    scenario.target("syncs of a message", syncs, Wanted::AtMost(0.1));
    let share = Spread::of(scenario.rounds("tambo").iter().map(|run| run.figure("sync_share")));
    scenario.or("share of the time that syncs take", share, Wanted::AtMost(0.1));
    scenario
}

async fn one(contender: &str, load: &PlainLoad) -> Measured {
    let folder = disk::folder();
    let summary = folder.path().join("syncs");
    let sink = PlainSink::start().await;
    let made = Contender::start(contender, &Setting::smarthost(sink.address)).await;
    let mut watcher = watch(&summary).await;
    let send = load.send(made.address());
    let is_through = async || made.has_passed_on(load.messages).await;
    let mut measured = made.measure(load.messages, send, is_through).await;
    kill(Pid::from_raw(i32::try_from(watcher.id()).unwrap()), Signal::SIGINT).unwrap();
    watcher.wait().unwrap();
    made.end().await;
    let (calls, secs) = syncs_in(&std::fs::read_to_string(&summary).unwrap());
    measured.more.insert("syncs_a_message", calls / load.messages as f64);
    measured.more.insert("sync_share", secs / measured.through_secs);
    measured
}

/// A perf that counts. It says so by opening its summary, and counts a moment later.
async fn watch(summary: &std::path::Path) -> Child {
    let mut command = Command::new("perf");
    command.args(COUNT).arg(summary).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    eventually("perf counts", async || summary.exists().then_some(())).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    child
}

/// Calls, and seconds that they took together, in the summary of perf: a table for each thread.
fn syncs_in(summary: &str) -> (f64, f64) {
    let rows = summary.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_sync = ["fsync", "fdatasync"].contains(words.first()?);
        let number = |place: usize| words.get(place)?.parse::<f64>().ok();
        if is_sync { Some((number(1)?, number(3)? / 1000.0)) } else { None }
    });
    rows.fold((0.0, 0.0), |(calls, secs), (more, longer)| (calls + more, secs + longer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_perf_is_understood() {
        let summary = "
 Summary of events:

 committer (30392), 2000 events, 99.5%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   fdatasync           1000      0  1500.000     0.160     1.500     3.967     14.82%

 tokio-rt-worker (30419), 100 events, 0.5%

   fsync                 50      2   250.000     0.918     5.000     9.918      0.00%
";
        assert_eq!(syncs_in(summary), (1050.0, 1.75));
        assert_eq!(syncs_in("perf: nothing\n"), (0.0, 0.0));
    }
}
