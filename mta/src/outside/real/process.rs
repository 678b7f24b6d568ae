//! What the operating system knows of this process, under the names that Prometheus uses everywhere.
//! Where there is no `/proc` the values that come from it stay 0.

use std::sync::LazyLock;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;
use prometheus::{Counter, IntGauge};

use crate::metrics::{self, Topic};
use crate::outside::WallClock;

use super::SystemClock;

static CPU: LazyLock<Counter> = LazyLock::new(|| {
    let help = "Processor time used, of user and system together";
    metrics::float_counter(Topic::Process, "process_cpu_seconds_total", help)
});
static RESIDENT: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Memory of the process that is in RAM";
    metrics::gauge(Topic::Process, "process_resident_memory_bytes", help)
});
static VIRTUAL: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Address space of the process";
    metrics::gauge(Topic::Process, "process_virtual_memory_bytes", help)
});
static THREADS: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(Topic::Process, "process_threads", "Threads of the operating system")
});
static OPEN_FILES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "File descriptors that are open, sockets among them";
    metrics::gauge(Topic::Process, "process_open_fds", help)
});
static FILES_MAX: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "File descriptors that may be open";
    metrics::gauge(Topic::Process, "process_max_fds", help)
});
static STARTED: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "When the relay was started, since the epoch of Unix";
    metrics::gauge(Topic::Process, "process_start_time_seconds", help)
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&CPU, &RESIDENT, &VIRTUAL, &THREADS, &OPEN_FILES, &FILES_MAX, &STARTED]);
    metrics::set(&STARTED, SystemClock.now().as_millis() / 1000);
}

/// Reads them.
pub fn measure() {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        CPU.inc_by((micros as f64 / 1e6 - CPU.get()).max(0.0));
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        metrics::set(&RESIDENT, field(&status, "VmRSS:") * 1024);
        metrics::set(&VIRTUAL, field(&status, "VmSize:") * 1024);
        metrics::set(&THREADS, field(&status, "Threads:"));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        metrics::set(&OPEN_FILES, open.count());
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        metrics::set(&FILES_MAX, soft);
    }
}

/// The number of a line of `/proc/self/status`.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        measure();
        assert!(RESIDENT.get() > 1024 * 1024, "{}", RESIDENT.get());
        assert!(VIRTUAL.get() >= RESIDENT.get());
        assert!(THREADS.get() >= 1 && OPEN_FILES.get() >= 3 && FILES_MAX.get() >= 3);
        assert!(CPU.get() > 0.0);
        assert_eq!(field("A:\t7 kB\nB:\t1\n", "A:"), 7);
        assert_eq!(field("A:\tx\n", "A:") + field("A:", "A:") + field("", "A:"), 0);
    }
}
