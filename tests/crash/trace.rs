//! Reads a trace of system calls: how much of each log file was on disk when the process was
//! killed. What was written after the last completed sync began is cut off, as a power cut does.

use std::collections::HashMap;
use std::path::Path;

/// What is known of a file.
#[derive(Debug, Default, Clone, Copy)]
struct Log {
    written: u64,
    synced: u64,
}

/// Cuts the logs in the folder; returns how many octets that took away.
pub fn cut_logs(trace: &str, folder: &Path) -> u64 {
    let logs = read(trace);
    let mut cut = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        // A log that this run has not written is one that was there before: it is whole.
        let Some(log) = logs.get(&path.display().to_string()) else { continue };
        let size = entry.metadata().unwrap().len();
        if size > log.synced {
            cut += log.written - log.synced;
            std::fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(log.synced)
                .unwrap();
        }
    }
    cut
}

fn read(trace: &str) -> HashMap<String, Log> {
    let mut logs: HashMap<String, Log> = HashMap::new();
    // Thread → (file, octets written when its sync began).
    let mut syncing: HashMap<&str, (String, u64)> = HashMap::new();
    let mut writing: HashMap<&str, String> = HashMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(rest) = call.strip_prefix("<... ") {
            let name = rest.split(' ').next().unwrap_or("");
            match name {
                "fdatasync" | "fsync" => {
                    if let Some((file, written)) = syncing.remove(thread)
                        && succeeded(call)
                    {
                        synced(&mut logs, &file, written);
                    }
                }
                _ => {
                    if let Some(file) = writing.remove(thread) {
                        logs.entry(file).or_default().written += result(call);
                    }
                }
            }
            continue;
        }
        let Some(file) = file_of(call) else { continue };
        let unfinished = call.contains("<unfinished ...>");
        if call.starts_with("fdatasync") || call.starts_with("fsync") {
            let written = logs.get(&file).map_or(0, |log| log.written);
            if unfinished {
                syncing.insert(thread, (file, written));
            } else if succeeded(call) {
                synced(&mut logs, &file, written);
            }
        } else if unfinished {
            writing.insert(thread, file);
        } else {
            logs.entry(file).or_default().written += result(call);
        }
    }
    logs
}

fn synced(logs: &mut HashMap<String, Log>, file: &str, written: u64) {
    let log = logs.entry(file.to_owned()).or_default();
    log.synced = log.synced.max(written);
}

/// `write(12</path/000004.log>, …`
fn file_of(call: &str) -> Option<String> {
    let path = call.split_once('<')?.1.split('>').next()?;
    let is_log = Path::new(path).extension().is_some_and(|extension| extension == "log");
    is_log.then(|| path.to_owned())
}

/// A sync that was not really done says so.
fn succeeded(call: &str) -> bool {
    call.trim_end().ends_with("= 0")
}

fn result(call: &str) -> u64 {
    call.rsplit("= ")
        .next()
        .and_then(|text| text.split(' ').next())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[test]
fn what_was_synced_is_read_from_a_trace() {
    let trace = "\
10 write(5</s/000004.log>, \"\"..., 100) = 100
10 fdatasync(5</s/000004.log>) = 0
11 write(5</s/000004.log>, \"\"..., 50 <unfinished ...>
12 write(2</dev/null>, \"\"..., 9) = 9
11 <... write resumed>) = 50
10 fdatasync(5</s/000004.log> <unfinished ...>
11 write(5</s/000004.log>, \"\"..., 7) = 7
10 <... fdatasync resumed>) = 0
11 write(6</s/000009.log>, \"\"..., 3) = 3
11 fdatasync(6</s/000009.log>) = 0 (INJECTED)
10 fdatasync(5</s/000004.log> <unfinished ...>
";
    let logs = read(trace);
    let log = logs["/s/000004.log"];
    assert_eq!((log.written, log.synced), (157, 150));
    assert_eq!(logs["/s/000009.log"].synced, 0);
}
