//! The disk that the queues are on: that it is one, how long a sync takes, how fast it is with a sync
//! for each MB.

use std::io::Write as _;
use std::process::Command;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use serde_json::Value;
use tokio::time::Instant;

use crate::measure::Spread;

/// All queues are here: a real disk.
pub const DISK: &str = "/var/tmp";
/// Syncs that are timed, and octets before each: what a message of 2 KiB writes.
const SYNCS: usize = 100;
const SYNC_OCTETS: usize = 4096;

/// Refuses to measure on memory.
pub fn real_disk() -> Result<(), String> {
    let disk = statfs(DISK).map_err(|error| format!("{DISK}: {error}"))?;
    if disk.filesystem_type() == TMPFS_MAGIC {
        return Err(format!("{DISK} is in memory: a queue there proves nothing"));
    }
    Ok(())
}

/// A folder on it that is removed with what is in it.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tambo-bench-").tempdir_in(DISK).unwrap()
}

/// Milliseconds that it takes to append 4 KiB to a file and sync it.
pub fn sync_ms() -> Spread {
    let mut file = tempfile::NamedTempFile::new_in(DISK).unwrap();
    let octets: Vec<u8> = (0..SYNC_OCTETS).map(|_| rand::random()).collect();
    Spread::of((0..SYNCS).map(|_| {
        let started = Instant::now();
        file.write_all(&octets).unwrap();
        file.as_file().sync_data().unwrap();
        started.elapsed().as_secs_f64() * 1000.0
    }))
}

/// Octets a second with a sync for each MB, measured by fio; why not, where it is not there.
pub fn octets_a_second() -> Result<f64, String> {
    let folder = folder();
    let done = Command::new("fio")
        .args(["--name=mb", "--rw=write", "--bs=1M", "--size=256M", "--fdatasync=1"])
        .args(["--refill_buffers", "--output-format=json", "--directory"])
        .arg(folder.path())
        .output()
        .map_err(|error| format!("fio: {error} (`make packages-test` installs it)"))?;
    rate_in(&String::from_utf8_lossy(&done.stdout)).ok_or_else(|| {
        format!("fio told no rate: {}", String::from_utf8_lossy(&done.stderr).trim())
    })
}

/// Octets a second in what fio printed: JSON, with warnings before it at times.
fn rate_in(printed: &str) -> Option<f64> {
    let start = printed.find('{')?;
    let told: Value = serde_json::from_str(printed.get(start..)?).ok()?;
    told["jobs"][0]["write"]["bw_bytes"].as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fio_is_understood() {
        let printed = "fio: a warning\n{\"jobs\": [{\"jobname\": \"mb\", \"write\": {\"bw_bytes\": 104857600}}]}\n";
        assert_eq!(rate_in(printed), Some(104_857_600.0));
        assert_eq!(rate_in("fio: no space left"), None);
        assert_eq!(rate_in("{\"jobs\": []}"), None);
    }
}
