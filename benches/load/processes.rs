//! What processes used, asked of the kernel (`/proc`): a process with all that descend from it.

/// A process: its id, its parent's, and the CPU seconds of it and of its children that have ended.
struct Process {
    pid: i32,
    parent: i32,
    cpu_secs: f64,
}

/// The process and all its descendants that are alive.
fn family(root: i32) -> Vec<i32> {
    members(&all(), root)
}

/// CPU seconds, user and system, of a process, its descendants, and those of its children that have ended.
pub fn cpu_secs(root: i32) -> f64 {
    let all = all();
    let family = members(&all, root);
    all.iter().filter(|it| family.contains(&it.pid)).map(|it| it.cpu_secs).sum()
}

/// The most memory that each of them has held, in MiB, added up. What they share counts for each:
/// for a contender of many processes it is an upper bound.
pub fn peak_mib(root: i32) -> f64 {
    let statuses = family(root).into_iter().filter_map(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        high_water_kib(&status)
    });
    statuses.sum::<f64>() / 1024.0
}

fn members(all: &[Process], root: i32) -> Vec<i32> {
    let mut family = vec![root];
    let mut seen = 0;
    while let Some(member) = family.get(seen).copied() {
        seen += 1;
        family.extend(all.iter().filter(|it| it.parent == member).map(|it| it.pid));
    }
    family
}

fn all() -> Vec<Process> {
    let ticks =
        nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (parent, used) = parent_and_ticks(&stat)?;
            Some(Process { pid, parent, cpu_secs: used / ticks as f64 })
        })
        .collect()
}

/// Of `/proc/PID/stat`: fields 4 and 14 to 17 of proc(5).
fn parent_and_ticks(stat: &str) -> Option<(i32, f64)> {
    // The name stands in parentheses and may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    let used: Option<f64> = (11..=14).map(ticks).sum();
    Some((fields.get(1)?.parse().ok()?, used?))
}

/// Of `/proc/PID/status`.
fn high_water_kib(status: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_moves_nothing() {
        let stat = "42 (a ) (b) S 7 42 42 0 -1 4194560 100 0 0 0 30 12 5 3 20 0 1 0 1000";
        assert_eq!(parent_and_ticks(stat), Some((7, 50.0)));
        assert_eq!(parent_and_ticks("42 (a"), None);
        assert_eq!(parent_and_ticks("42 (a) S 7"), None);
    }

    #[test]
    fn memory_is_the_high_water_mark() {
        let status = "Name:\tx\nVmPeak:\t  900000 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!(high_water_kib(status), Some(20480.0));
        assert_eq!(high_water_kib("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_family_is_all_that_descend() {
        let process = |pid, parent| Process { pid, parent, cpu_secs: 0.0 };
        let all = [process(1, 0), process(5, 1), process(6, 5), process(7, 6), process(8, 1)];
        assert_eq!(members(&all, 5), [5, 6, 7]);
    }
}
