//! The spool on disk: RocksDB, a column family for each [`Family`].
//!
//! - Writes go to the log and to memory; [`Spool::sync`] syncs the log. Nothing else has to be
//!   on disk before a message is acknowledged.
//! - Bodies are BlobDB values, so compaction never rewrites them. Most never get that far: a body
//!   that is delivered while it is still in a memtable is dropped when the memtable is flushed.
//! - Keys of bodies and of the due index are set once and removed once: single deletes, that
//!   vanish together with what they remove. A file with many removed keys is compacted soon,
//!   or a queue that lives long would walk over tombstones.
//! - At start the log is replayed up to the first record that is torn (point in time): what
//!   follows a torn record was never acknowledged, and later records without it would be a
//!   state that never was.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBRecoveryMode, DBWithThreadMode, Direction, ErrorKind, IteratorMode, MultiThreaded, Options,
    ReadOptions, WriteBatch, WriteBufferManager, WriteOptions,
};

use rocksdb::compaction_filter::Decision;
use rocksdb::properties;

use crate::message::Id;

use super::event_index::event_id;
use super::{Family, Health, Operation, Spool, SpoolError, Visit};

/// Memory for what is written and not flushed, over all families: bodies of a few seconds at
/// full speed, so that what leaves at once never touches a table file.
const MEMTABLES_OCTETS: usize = 128 * 1024 * 1024;
/// One memtable of bodies.
const BODY_MEMTABLE_OCTETS: usize = 48 * 1024 * 1024;
/// One memtable of any other family.
const MEMTABLE_OCTETS: usize = 16 * 1024 * 1024;
/// Octets of log that are replayed at start at most: a second or two.
const LOG_OCTETS_MAX: u64 = 192 * 1024 * 1024;
/// Memory for blocks of tables that are read.
const CACHE_OCTETS: usize = 64 * 1024 * 1024;
/// Values from this size on are kept apart from their keys.
const BLOB_OCTETS_MIN: u64 = 512;
/// Table files open at a time.
const OPEN_FILES_MAX: i32 = 512;
/// Of so many entries in a row, so many removed ones make a file worth compacting.
const TOMBSTONE_WINDOW: usize = 1024;
const TOMBSTONES: usize = 256;

/// Files are compacted at least this often, so that what is forgotten does leave the disk.
const COMPACT_EVERY_SECS: u64 = 24 * 60 * 60;

/// Octets of the blob files that are in use: a figure that the binding has no name for.
const LIVE_BLOB_OCTETS: &CStr = c"rocksdb.live-blob-file-size";

/// A RocksDB database.
pub struct RocksSpool {
    database: DBWithThreadMode<MultiThreaded>,
    path: PathBuf,
    /// Events below this id are dropped when files are compacted.
    forgotten: Arc<AtomicU64>,
}

impl RocksSpool {
    /// Opens the database in this folder, or makes one.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        std::fs::create_dir_all(path)
            .map_err(|error| SpoolError::Io(format!("{}: {error}", path.display())))?;
        let cache = Cache::new_lru_cache(CACHE_OCTETS);
        let options = database_options();
        let forgotten = Arc::new(AtomicU64::new(0));
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache, &forgotten))
        });
        let database = DBWithThreadMode::open_cf_descriptors(&options, path, families)
            .map_err(|error| open_error(&error, path))?;
        Ok(Self { database, path: path.to_owned(), forgotten })
    }

    /// Opens a spool to read it, also one that is damaged in places: each record stands for itself. It
    /// must not be in use by a relay.
    pub fn open_to_read(path: &Path) -> Result<Self, SpoolError> {
        if Self::is_in_use(path) {
            return Err(SpoolError::Io(format!(
                "{} is in use by a tambo that runs: stop it first",
                path.display()
            )));
        }
        let cache = Cache::new_lru_cache(CACHE_OCTETS);
        let mut options = database_options();
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        options.set_paranoid_checks(false);
        let forgotten = Arc::new(AtomicU64::new(0));
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache, &forgotten))
        });
        let database =
            DBWithThreadMode::open_cf_descriptors_read_only(&options, path, families, false)
                .map_err(|error| open_error(&error, path))?;
        Ok(Self { database, path: path.to_owned(), forgotten })
    }

    /// Whether a relay has it open. Whoever has holds its lock; reading does not take it.
    pub fn is_in_use(path: &Path) -> bool {
        let lock = std::fs::OpenOptions::new().read(true).write(true).open(path.join("LOCK"));
        lock.is_ok_and(|lock| is_locked(&lock))
    }

    /// Has `RocksDB` make what it can of a damaged database, and opens that to read it. What it cannot use
    /// is lost, all blob files among it (`RepairDB` knows none): only ever done to a copy.
    pub fn mend(path: &Path) -> Result<Self, SpoolError> {
        DBWithThreadMode::<MultiThreaded>::repair(&database_options(), path)
            .map_err(|error| SpoolError::Io(format!("{}: {error}", path.display())))?;
        // Families that had nothing but their log are gone: they are made anew, empty.
        Self::open(path)
    }

    fn family(&self, family: Family) -> Arc<BoundColumnFamily<'_>> {
        self.database.cf_handle(family.name()).expect("all families are made when it is opened")
    }

    /// Flushes and compacts everything, as time does.
    #[cfg(test)]
    pub(crate) fn compact(&self) {
        for family in Family::ALL.map(|family| self.family(family)) {
            self.database.flush_cf(&family).expect("the test's disk is good");
            self.database.compact_range_cf(&family, None::<&[u8]>, None::<&[u8]>);
        }
    }

    /// A figure that the database keeps of a family, or of itself; 0 where it does not.
    fn figure(&self, family: Family, name: &CStr) -> u64 {
        let figure = self.database.property_int_value_cf(&self.family(family), name);
        figure.ok().flatten().unwrap_or(0)
    }

    /// Octets of the log files.
    fn log_octets(&self) -> u64 {
        let files = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let logs = files.filter(|it| it.path().extension().is_some_and(|end| end == "log"));
        logs.filter_map(|it| it.metadata().ok()).map(|it| it.len()).sum()
    }

    fn visit(
        &self,
        family: Family,
        (from, until): (&[u8], &[u8]),
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        if from >= until {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(until);
        let mode = match direction {
            Direction::Forward => IteratorMode::Start,
            Direction::Reverse => IteratorMode::End,
        };
        for item in self.database.iterator_cf_opt(&self.family(family), options, mode) {
            let (key, value) = item.map_err(|error| io(&error))?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

impl Spool for RocksSpool {
    fn write(&self, operations: &[Operation]) -> Result<(), SpoolError> {
        let mut batch = WriteBatch::default();
        let families = Family::ALL.map(|family| self.family(family));
        let handle = |family: &Family| &families[*family as usize];
        for operation in operations {
            match operation {
                Operation::Put(family, key, value) => batch.put_cf(handle(family), key, value),
                Operation::Delete(family, key) => batch.delete_cf(handle(family), key),
                Operation::SingleDelete(family, key) => {
                    batch.single_delete_cf(handle(family), key);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(false);
        self.database.write_opt(batch, &options).map_err(|error| io(&error))
    }

    fn sync(&self) -> Result<(), SpoolError> {
        self.database.flush_wal(true).map_err(|error| io(&error))
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, SpoolError> {
        let value = self.database.get_cf(&self.family(family), key).map_err(|error| io(&error))?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        self.visit(family, (from, until), Direction::Forward, visit)
    }

    fn scan_back(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        self.visit(family, (from, until), Direction::Reverse, visit)
    }

    fn forget_events_before(&self, id: Id) -> Result<(), SpoolError> {
        let before = id.to_bytes();
        self.forgotten.store(u64::from_be_bytes(before), Ordering::Relaxed);
        let events = self.family(Family::Events);
        self.database.delete_file_in_range_cf(&events, [0; 8], before).map_err(|error| io(&error))
    }

    fn count_about(&self, family: Family) -> u64 {
        let name = properties::ESTIMATE_NUM_KEYS;
        let count = self.database.property_int_value_cf(&self.family(family), name);
        // What is put minus twice what is removed, unsigned: removals of what was never there would
        // make it huge.
        count.ok().flatten().filter(|count| i64::try_from(*count).is_ok()).unwrap_or(0)
    }

    fn disk_size(&self) -> u64 {
        let disk = nix::sys::statvfs::statvfs(&self.path);
        disk.map_or(0, |disk| disk.blocks().saturating_mul(disk.fragment_size()))
    }

    fn health(&self) -> Option<Health> {
        let sum = |name: &CStr| Family::ALL.iter().map(|it| self.figure(*it, name)).sum::<u64>();
        let mut health = Health {
            pending_compaction: sum(properties::ESTIMATE_PENDING_COMPACTION_BYTES),
            compactions: self.figure(Family::State, properties::NUM_RUNNING_COMPACTIONS),
            flushes: self.figure(Family::State, properties::NUM_RUNNING_FLUSHES),
            write_stopped: self.figure(Family::State, properties::IS_WRITE_STOPPED) > 0,
            delayed_write_rate: self.figure(Family::State, properties::ACTUAL_DELAYED_WRITE_RATE),
            memtables: sum(properties::CUR_SIZE_ALL_MEM_TABLES),
            log: self.log_octets(),
            // All families share one.
            block_cache: self.figure(Family::State, properties::BLOCK_CACHE_USAGE),
            background_errors: self.figure(Family::State, properties::BACKGROUND_ERRORS),
            blobs: self.figure(Family::Bodies, LIVE_BLOB_OCTETS),
            ..Health::default()
        };
        for (octets, family) in health.tables.iter_mut().zip(Family::ALL) {
            *octets = self.figure(family, properties::LIVE_SST_FILES_SIZE);
        }
        for (level, files) in health.files.iter_mut().enumerate() {
            *files = sum(&properties::num_files_at_level(level));
        }
        Some(health)
    }

    fn free_space(&self) -> Result<u64, SpoolError> {
        let disk = nix::sys::statvfs::statvfs(&self.path)
            .map_err(|error| SpoolError::Io(error.to_string()))?;
        Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
    }
}

/// Whether another process holds a lock on the file (fcntl, as RocksDB does).
fn is_locked(file: &std::fs::File) -> bool {
    use nix::fcntl::{FcntlArg, fcntl};
    let mut lock = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK).unwrap_or_default(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let asked = fcntl(file, FcntlArg::F_GETLK(&mut lock));
    asked.is_ok() && i32::from(lock.l_type) != nix::libc::F_UNLCK
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(LOG_OCTETS_MAX);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(2);
    options.set_max_log_file_size(4 * 1024 * 1024);
    options.set_keep_log_file_num(4);
    options.set_bytes_per_sync(1024 * 1024);
    let manager = WriteBufferManager::new_write_buffer_manager(MEMTABLES_OCTETS, false);
    options.set_write_buffer_manager(&manager);
    options
}

fn family_options(family: Family, cache: &Cache, forgotten: &Arc<AtomicU64>) -> Options {
    let mut options = Options::default();
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&tables);
    options.set_write_buffer_size(MEMTABLE_OCTETS);
    options.set_compression_type(DBCompressionType::Lz4);
    match family {
        Family::Bodies => {
            options.set_write_buffer_size(BODY_MEMTABLE_OCTETS);
            options.set_enable_blob_files(true);
            options.set_min_blob_size(BLOB_OCTETS_MIN);
            options.set_blob_compression_type(DBCompressionType::Lz4);
            options.set_enable_blob_gc(true);
            options.set_blob_gc_age_cutoff(0.5);
        }
        Family::Due | Family::Messages | Family::Deliveries => {
            options.add_compact_on_deletion_collector_factory(TOMBSTONE_WINDOW, TOMBSTONES, 0.5);
        }
        Family::Events | Family::EventIndex => {
            let forgotten = Arc::clone(forgotten);
            options.set_compaction_filter("events", move |_level, key, _value| {
                let id = event_id(family, key).map_or(u64::MAX, u64::from_be_bytes);
                if id < forgotten.load(Ordering::Relaxed) {
                    Decision::Remove
                } else {
                    Decision::Keep
                }
            });
            options.set_periodic_compaction_seconds(COMPACT_EVERY_SECS);
        }
        Family::State => {}
    }
    options
}

fn open_error(error: &rocksdb::Error, path: &Path) -> SpoolError {
    let text = error.to_string();
    if error.kind() == ErrorKind::IOError && text.contains("LOCK") {
        return SpoolError::Io(format!(
            "{} is in use by another tambo: stop that one first, or give this one its own data_dir",
            path.display()
        ));
    }
    SpoolError::Io(text)
}

fn io(error: &rocksdb::Error) -> SpoolError {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Corruption => SpoolError::Damaged(text),
        ErrorKind::IOError if text.contains("No space left") => SpoolError::Full,
        _ => SpoolError::Io(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path) {
        let spool = RocksSpool::open(folder).unwrap();
        let put = |n: u32| {
            Operation::Put(Family::Messages, n.to_be_bytes().to_vec(), Bytes::from(vec![7; 100]))
        };
        spool.write(&(0..1000).map(put).collect::<Vec<_>>()).unwrap();
        spool.compact();
    }

    fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.to_string_lossy().contains(end)).collect()
    }

    fn count(spool: &RocksSpool) -> usize {
        let mut count = 0;
        spool
            .scan(Family::Messages, &[], &[u8::MAX; 9], &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        count
    }

    #[test]
    fn a_database_that_cannot_be_opened_is_mended_in_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path());
        assert_eq!(count(&RocksSpool::open_to_read(folder.path()).unwrap()), 1000);
        for manifest in files(folder.path(), "MANIFEST") {
            std::fs::remove_file(manifest).unwrap();
        }
        assert!(RocksSpool::open_to_read(folder.path()).is_err());
        assert_eq!(count(&RocksSpool::mend(folder.path()).unwrap()), 1000);
    }

    #[test]
    fn a_database_tells_how_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let spool = RocksSpool::open(folder.path()).unwrap();
        let put = |number: u32| {
            let value = Bytes::from(vec![7; 4_000]);
            Operation::Put(Family::Bodies, number.to_be_bytes().to_vec(), value)
        };
        spool.write(&(0..1000).map(put).collect::<Vec<_>>()).unwrap();
        spool.sync().unwrap();
        let written = spool.health().unwrap();
        assert!(written.memtables >= 4_000_000 && written.log >= 4_000_000, "{written:?}");
        assert_eq!((written.blobs, written.files[0]), (0, 0), "{written:?}");
        spool.compact();
        let flushed = spool.health().unwrap();
        // They are compressed.
        assert!(flushed.blobs > 10_000, "{flushed:?}");
        assert!(flushed.files.iter().sum::<u64>() > 0 && flushed.tables[1] > 0, "{flushed:?}");
        assert!(flushed.memtables < written.memtables, "{flushed:?}");
        let wrong = (flushed.write_stopped, flushed.background_errors, flushed.delayed_write_rate);
        assert_eq!(wrong, (false, 0, 0));
        assert!(spool.disk_size() > spool.free_space().unwrap());
    }
}
