//! How the database of the spool is, as it says itself: read when somebody asks for the metrics. A database that cannot
//! keep up slows writes before it stops them, and what it puts off shows long before that.

use std::sync::LazyLock;

use prometheus::IntGauge;

use crate::metrics::{self, Label, Labelled, Topic};

use super::{Family, Spool};

/// Levels of the tree of table files.
pub(super) const LEVELS: usize = 7;

/// The database in figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Octets that compactions have still to rewrite.
    pub pending_compaction: u64,
    /// Compactions that run.
    pub compactions: u64,
    /// Flushes of memtables that run.
    pub flushes: u64,
    /// Writes are stopped until compactions have caught up.
    pub write_stopped: bool,
    /// Octets a second that writes are slowed to; 0: they are not.
    pub delayed_write_rate: u64,
    /// Octets of what is written and not flushed.
    pub memtables: u64,
    /// Octets of the log that a start would replay.
    pub log: u64,
    /// Octets of cached blocks of tables.
    pub block_cache: u64,
    /// Errors of flushes and compactions.
    pub background_errors: u64,
    /// Octets of table files, by family.
    pub tables: [u64; Family::ALL.len()],
    /// Octets of the files that bodies are kept in.
    pub blobs: u64,
    /// Table files of each level, over all families.
    pub files: [u64; LEVELS],
}

static PENDING: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Octets that compactions of the database have still to rewrite, about";
    metrics::gauge(Topic::Spool, "tambo_spool_pending_compaction_bytes", help)
});
static COMPACTIONS: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Compactions of the database that run";
    metrics::gauge(Topic::Spool, "tambo_spool_compactions", help)
});
static FLUSHES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Flushes of memtables that run";
    metrics::gauge(Topic::Spool, "tambo_spool_flushes", help)
});
static STOPPED: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "1 while the database takes no writes, because compactions are behind";
    metrics::gauge(Topic::Spool, "tambo_spool_write_stopped", help)
});
static DELAYED: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Octets a second that the database slows writes to, because compactions are behind; 0: it does not";
    metrics::gauge(Topic::Spool, "tambo_spool_delayed_write_rate_bytes", help)
});
static MEMTABLES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Octets that are written and not flushed to table files, in memory";
    metrics::gauge(Topic::Spool, "tambo_spool_memtable_bytes", help)
});
static LOG: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Octets of the log, which a start replays";
    metrics::gauge(Topic::Spool, "tambo_spool_wal_bytes", help)
});
static CACHE: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Octets of table files that are cached in memory";
    metrics::gauge(Topic::Spool, "tambo_spool_block_cache_bytes", help)
});
static ERRORS: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Flushes and compactions that failed since the start";
    metrics::gauge(Topic::Spool, "tambo_spool_background_errors", help)
});
static BLOBS: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Octets of the files that bodies of messages are in";
    metrics::gauge(Topic::Spool, "tambo_spool_blob_bytes", help)
});
static TABLES: LazyLock<Labelled<IntGauge>> = LazyLock::new(|| {
    let families = [
        ("messages", "what is known of messages"),
        ("bodies", "where their bodies are"),
        ("deliveries", "what is left to do"),
        ("due", "when it is due"),
        ("events", "what happened"),
        ("event_index", "by what it is found"),
        ("state", "sources, limits, tokens and what else must not be forgotten"),
    ];
    let help = "Octets of table files";
    metrics::gauges(Topic::Spool, "tambo_spool_sst_bytes", help, Label::known("family", &families))
});
static FILES: LazyLock<Labelled<IntGauge>> = LazyLock::new(|| {
    let levels = [
        ("0", "just flushed; many of them slow reading, then writing"),
        ("1", "compacted once"),
        ("2", "twice"),
        ("3", "and so on"),
        ("4", "and so on"),
        ("5", "and so on"),
        ("6", "the last"),
    ];
    let help = "Table files of the database by level";
    metrics::gauges(Topic::Spool, "tambo_spool_sst_files", help, Label::known("level", &levels))
});
static SIZE: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Size of the disk that holds the spool; 0: it is not known";
    metrics::gauge(Topic::Spool, "tambo_disk_size_bytes", help)
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&PENDING, &COMPACTIONS, &FLUSHES, &STOPPED, &DELAYED, &MEMTABLES, &LOG]);
    metrics::declare(&[&CACHE, &ERRORS, &BLOBS, &TABLES, &FILES, &SIZE]);
}

/// Brings the gauges of this file up to date.
pub fn measure(spool: &dyn Spool) {
    metrics::set(&SIZE, spool.disk_size());
    let Some(health) = spool.health() else { return };
    metrics::set(&PENDING, health.pending_compaction);
    metrics::set(&COMPACTIONS, health.compactions);
    metrics::set(&FLUSHES, health.flushes);
    metrics::set(&STOPPED, u64::from(health.write_stopped));
    metrics::set(&DELAYED, health.delayed_write_rate);
    metrics::set(&MEMTABLES, health.memtables);
    metrics::set(&LOG, health.log);
    metrics::set(&CACHE, health.block_cache);
    metrics::set(&ERRORS, health.background_errors);
    metrics::set(&BLOBS, health.blobs);
    TABLES.set_all(&health.tables);
    FILES.set_all(&health.files);
}
