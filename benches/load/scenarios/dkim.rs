//! Signed mail beside unsigned: what a signature costs. Postfix signs nothing by itself.

use std::path::Path;
use std::process::Command;

use ::tests::program;

use crate::contender::Setting;
use crate::disk;
use crate::measure::Measured;
use crate::plain::{PlainLoad, PlainSink};
use crate::scenario::{Plan, Scenario, Wanted};

use super::{SMALL_OCTETS, plain};

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let keys = disk::folder();
    let load = PlainLoad::new(SMALL_OCTETS, plan.part(2), plan.sessions);
    let about = "2 KiB, Tambo: unsigned, signed by RSA (2048 bits), by Ed25519";
    let mut scenario = Scenario::new("dkim", about, load.messages, load.sessions);
    let section = |algorithm: &str| section(keys.path(), algorithm);
    let (rsa, ed25519) = (section("rsa"), section("ed25519"));
    scenario
        .run(plan.rounds, &["unsigned", "rsa", "ed25519"], async |algorithm| {
            let sink = PlainSink::start().await;
            let sections = match algorithm {
                "rsa" => rsa.clone(),
                "ed25519" => ed25519.clone(),
                _ => String::new(),
            };
            let setting = Setting { sections, ..Setting::smarthost(sink.address) };
            plain::run("tambo", &load, setting).await
        })
        .await;
    for (algorithm, least) in [("rsa", 0.5), ("ed25519", 0.85)] {
        scenario.compare(algorithm, "unsigned");
        let ratio = scenario.ratio(algorithm, "unsigned", Measured::through_rate);
        let what = format!("speed with {algorithm}, of unsigned");
        scenario.target(what, ratio, Wanted::AtLeast(least));
    }
    scenario
}

/// Makes a key and says where it is.
fn section(folder: &Path, algorithm: &str) -> String {
    let key = folder.join(algorithm);
    let done = Command::new(program("tambo"))
        .args(["dkim", "keygen", "--domain", "client.example", "--selector", algorithm])
        .args(["--algorithm", algorithm, "--json", "--out"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    format!(
        "[[dkim]]\ndomain = \"client.example\"\nselector = \"{algorithm}\"\nprivate_key = \"{}\"\n",
        key.display()
    )
}
