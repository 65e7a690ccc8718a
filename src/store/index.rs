//! The index: sled, holding every record that the journal tells of in a form that can be read by key.
//!
//! It can always be rebuilt from the journal and is never trusted to be durable: sled's `flush` is no `fsync` on
//! Linux, and a damaged sled can fail, panic, hang, or open and miss a page without a word. It is therefore opened and
//! read through on a thread of its own under a time limit, and set aside when it will not open or does not hold what
//! the journal says. Written with plain inserts and removes alone: the first transaction or batch would put every
//! later read behind a process-wide lock.

use super::guarded::{Guarded, guarded};
use super::journal::is_for_room;
use super::lists::Lists;
use super::op::{Op, Place, RECORD_VERSION, Row};
use crate::domain::{Kind, limits};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a thread that is not wanted any more may take to notice; one that hangs in sled never does.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(2);

/// How long an index that was closed may keep its lock: a thread of sled's own lets go of it last.
const LOCKED_WITHIN: Duration = Duration::from_secs(2);
/// How often it is tried meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// Why the index did not do its part. Never a reason to lose data: the journal has it.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// sled reported an error.
    #[error("index: {0}")]
    Sled(#[from] sled::Error),
    /// sled did not finish within the limit.
    #[error("the index did not answer in {0:?} of its own")]
    Stuck(Duration),
    /// sled panicked.
    #[error("the index is damaged in a way that sled does not survive")]
    Panicked,
    /// A value is not what we put there.
    #[error("index: a stored record does not read: {0}")]
    Record(#[from] serde_json::Error),
    /// It opened and reads, and says something else than the journal.
    #[error("the index does not hold what the journal says")]
    Differs,
    /// It was closed.
    #[error("the index is closed: the server is stopping")]
    Closed,
    /// It is to be set aside, and can't be.
    #[error(
        "{path} is not what the journal says and can't be set aside ({error}); move it away by hand, or mend what keeps it there"
    )]
    NotSetAside {
        /// Its directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A value is longer than the index takes.
    #[error("a record of {0} bytes is over the limit of {limit}", limit = limits::INDEX_VALUE_BYTES)]
    TooLong(usize),
}

/// An open index.
#[derive(Clone)]
pub struct Index {
    db: sled::Db,
    /// kind, key → record
    records: sled::Tree,
    meta: sled::Tree,
}

/// Where an index lies, and how it is opened.
#[derive(Clone)]
pub struct IndexPlace {
    /// Its directory.
    pub path: PathBuf,
    /// Memory that it may use for a cache.
    pub cache_bytes: u64,
    /// The longest that sled may compute or stand still for one thing: a machine that is busy is not held against it.
    pub limit: Duration,
}

impl IndexPlace {
    /// Opens or creates the index there. One that was closed just now is waited for: no other process can have it, for the
    /// state directory has a lock of its own.
    pub fn open(&self) -> Result<Index, IndexError> {
        self.open_for(Ok)
    }

    /// Number of the last commit that the index there has applied, as [`Index::applied`] has it. It stays open as long as
    /// this process: sled panics where it is dropped and its last sync fails.
    pub fn applied(&self) -> Result<u64, IndexError> {
        self.open_for(|index| {
            let applied = index.applied();
            std::mem::forget(index);
            applied
        })
    }

    fn open_for<T: Send + 'static>(&self, use_it: fn(Index) -> Result<T, IndexError>) -> Result<T, IndexError> {
        let began = Instant::now();
        loop {
            let Self { path, cache_bytes, limit } = self.clone();
            match guarded(limit, move || Index::open_now(&path, cache_bytes).and_then(use_it)) {
                Err(error) if error.is_locked() && began.elapsed() < LOCKED_WITHIN => {
                    std::thread::park_timeout(LOCK_LOOK);
                }
                used => return used,
            }
        }
    }

    /// Removes what is there.
    pub fn clear(&self) -> Result<(), IndexError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(sled::Error::Io(error).into()),
            _ => Ok(()),
        }
    }
}

const APPLIED: &[u8] = b"applied";

/// Kind and key of a record.
pub(super) type EntryKey = [u8; 17];

/// What one operation makes of an index: the value of a key, or none any more.
pub(super) type Entry = (EntryKey, Option<Vec<u8>>);

impl IndexError {
    /// Whether it was for want of room.
    pub fn is_for_room(&self) -> bool {
        matches!(self, Self::Sled(sled::Error::Io(error)) | Self::NotSetAside { error, .. } if is_for_room(error))
    }

    /// Whether it is open elsewhere. sled has no error of its own for that.
    fn is_locked(&self) -> bool {
        matches!(self, Self::Sled(sled::Error::Io(error)) if error.to_string().starts_with("could not acquire lock"))
    }
}

impl Index {
    fn open_now(directory: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        let db = sled::Config::new().path(directory).cache_capacity(cache_bytes).open()?;
        Ok(Self { records: db.open_tree("records")?, meta: db.open_tree("meta")?, db })
    }

    /// Number of the last commit applied; 0 for a new index.
    pub fn applied(&self) -> Result<u64, IndexError> {
        let stored = self.meta.get(APPLIED)?;
        Ok(stored.and_then(|bytes| bytes.as_ref().try_into().ok().map(u64::from_be_bytes)).unwrap_or(0))
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Applies one commit's operations. Doing it again changes nothing.
    pub fn apply(&self, ops: &[Op]) -> Result<(), IndexError> {
        ops.iter().try_for_each(|op| {
            let (key, value) = entry(op);
            self.take(key, value.as_deref())
        })
    }

    /// Takes the value of a key, or that it has none any more.
    pub(super) fn take(&self, key: EntryKey, value: Option<&[u8]>) -> Result<(), IndexError> {
        match value {
            Some(value) => self.records.insert(key, value)?,
            None => self.records.remove(key)?,
        };
        Ok(())
    }

    /// Notes that everything up to commit `seq` is applied. Called after [`Index::apply`], never before.
    pub fn set_applied(&self, seq: u64) -> Result<(), IndexError> {
        self.meta.insert(APPLIED, &seq.to_be_bytes())?;
        Ok(())
    }

    /// One record.
    pub fn row(&self, kind: Kind, key: Uuid) -> Result<Option<Row>, IndexError> {
        self.records.get(record_key(kind, key))?.map(|bytes| read_row(&bytes)).transpose()
    }

    /// Begins to read everything through.
    pub fn sum(&self) -> Result<Summing, IndexError> {
        let records = self.records.clone();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let goes_on = Arc::clone(&is_wanted);
        let sum = Guarded::begin(move || {
            let mut sum = 0_u64;
            for entry in records.iter().take_while(|_| goes_on.load(Ordering::Relaxed)) {
                let (key, value) = entry?;
                sum = sum.wrapping_add(entry_hash(&key, &value));
            }
            Ok(sum)
        })?;
        Ok(Summing { sum, is_wanted })
    }

    /// Wakes whoever waits in sled for a write that has failed: sled itself forgets to, until another write is tried.
    pub fn nudge(&self) {
        // It fails, and that is the point.
        let _ = self.meta.insert(b"nudge", &[]);
    }

    /// Whether it answers: one read, for the health check.
    pub fn is_alive(&self) -> bool {
        self.meta.get(APPLIED).is_ok()
    }

    /// Writes out what sled holds back, so that the next start has less to catch up. Promises nothing.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.db.flush()?;
        Ok(())
    }
}

/// What an operation makes of an index.
pub(super) fn entry(op: &Op) -> Entry {
    let (kind, key) = op.target();
    let value = match op {
        Op::Put { row, v, .. } => Some(write_row(*v, row)),
        Op::Remove { .. } => None,
    };
    (record_key(kind, key), value)
}

fn record_key(kind: Kind, key: Uuid) -> EntryKey {
    let mut bytes = [kind_byte(kind); 17];
    if let Some(tail) = bytes.last_chunk_mut::<16>() {
        *tail = *key.as_bytes();
    }
    bytes
}

/// A kind's byte in keys of the index. The index is rebuilt when this changes, so it need not be stable for ever.
fn kind_byte(kind: Kind) -> u8 {
    Kind::ALL.iter().position(|other| *other == kind).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

/// What an index holds that has applied all it was told, and where each record stands in lists.
#[derive(Default)]
pub(super) struct Expected {
    /// A hash of each record's entry, to be summed up in any order.
    records: HashMap<(Kind, Uuid), (u64, Place)>,
}

impl Expected {
    /// Follows one operation, after which its record is at `place` and makes this `entry`.
    pub fn apply(&mut self, target: (Kind, Uuid), place: Option<Place>, (key, value): &Entry) {
        match (place, value) {
            (Some(place), Some(value)) => drop(self.records.insert(target, (entry_hash(key, value), place))),
            _ => drop(self.records.remove(&target)),
        }
    }

    /// The lists of all its records.
    pub fn lists(&self) -> Lists {
        Lists::of(self.records.iter().map(|(target, (_, place))| (target, place)))
    }
}

/// Hash of one entry. It guards against damage, not against forgers.
fn entry_hash(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

/// What an index holds, while it is being read through.
pub(super) struct Summing {
    sum: Guarded<u64>,
    is_wanted: Arc<AtomicBool>,
}

impl Summing {
    /// Answers within `limit` whether it is what the journal says.
    pub fn check(self, expected: &Expected, limit: Duration) -> Result<(), IndexError> {
        let sum = self.sum.finish(limit)?;
        let expected = expected.records.values().fold(0, |sum: u64, (hash, _)| sum.wrapping_add(*hash));
        if sum == expected { Ok(()) } else { Err(IndexError::Differs) }
    }
}

impl Drop for Summing {
    /// Whoever opens this index next must not find it in use.
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        let _ = self.sum.finish(GIVEN_UP_WITHIN);
    }
}

/// `[1,{…}]`: JSON, as the record is.
fn write_row(version: u32, row: &Row) -> Vec<u8> {
    format!("[{version},{}]", row.json()).into_bytes()
}

fn read_row(bytes: &[u8]) -> Result<Row, IndexError> {
    let (version, row): (u32, Row) = serde_json::from_slice(bytes)?;
    debug_assert_eq!(version, RECORD_VERSION);
    Ok(row)
}

/// Checks that a record fits, before it is promised.
pub(super) fn check_length(row: &Row) -> Result<(), IndexError> {
    let length = row.json().len();
    if length > limits::INDEX_VALUE_BYTES { Err(IndexError::TooLong(length)) } else { Ok(()) }
}
