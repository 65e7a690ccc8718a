//! The index: sled, holding what the journal says in a form that can be read by key and listed by owner.
//!
//! It can always be rebuilt from the journal and is never trusted to be durable: sled's `flush` is no `fsync` on
//! Linux, and a damaged sled can fail, panic, hang, or open and miss a page without a word. It is therefore opened and
//! read through on a thread of its own under a time limit, and set aside when it will not open or does not hold what
//! the journal says. Written with plain inserts and removes alone: the first transaction or batch would put every
//! later read behind a process-wide lock.

use super::journal::is_for_room;
use super::op::{Op, RECORD_VERSION, place_of};
use crate::domain::{Kind, OrganizationId, limits};
use serde_json::Value;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use uuid::Uuid;

/// How long a thread that is not wanted any more may take to notice; one that hangs in sled never does.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(2);

/// Why the index did not do its part. Never a reason to lose data: the journal has it.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// sled reported an error.
    #[error("index: {0}")]
    Sled(#[from] sled::Error),
    /// sled did not finish within the limit.
    #[error("the index did not answer within {0:?}")]
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
    /// owner, kind, newest first, key → nothing
    by_owner: sled::Tree,
    /// parent, kind, newest first, key → nothing
    by_parent: sled::Tree,
    meta: sled::Tree,
}

/// Where an index lies, and how it is opened.
#[derive(Clone)]
pub struct IndexPlace {
    /// Its directory.
    pub path: PathBuf,
    /// Memory that it may use for a cache.
    pub cache_bytes: u64,
    /// The longest that sled may take for one thing.
    pub limit: Duration,
}

impl IndexPlace {
    /// Opens or creates the index there.
    pub fn open(&self) -> Result<Index, IndexError> {
        let Self { path, cache_bytes, limit } = self.clone();
        guarded(limit, move || Index::open_now(&path, cache_bytes))
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
/// Position in a list: newest-first order, then key.
pub(super) type ListPosition = [u8; 24];

impl IndexError {
    /// Whether it was for want of room.
    pub fn is_for_room(&self) -> bool {
        matches!(self, Self::Sled(sled::Error::Io(error)) if is_for_room(error))
    }
}

impl Index {
    fn open_now(directory: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        let db = sled::Config::new().path(directory).cache_capacity(cache_bytes).open()?;
        Ok(Self {
            records: db.open_tree("records")?,
            by_owner: db.open_tree("by-owner")?,
            by_parent: db.open_tree("by-parent")?,
            meta: db.open_tree("meta")?,
            db,
        })
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
        for op in ops {
            let (kind, key) = op.target();
            let record_key = record_key(kind, key);
            let old = self.records.get(record_key)?.map(|bytes| read_row(&bytes)).transpose()?;
            match op {
                Op::Put { row, v, .. } => {
                    let new_place = place_of(kind, row)?;
                    // Owner and order never change; a parent may (an embed pointed at another video).
                    if let Some(old) = &old
                        && let Some(parent) = place_of(kind, old)?.parent
                        && new_place.parent != Some(parent)
                    {
                        self.by_parent.remove(list_key(parent, kind, new_place.order, key))?;
                    }
                    self.by_owner.insert(list_key(new_place.owner.0, kind, new_place.order, key), &[])?;
                    if let Some(parent) = new_place.parent {
                        self.by_parent.insert(list_key(parent, kind, new_place.order, key), &[])?;
                    }
                    self.records.insert(record_key, write_row(*v, row)?)?;
                }
                Op::Remove { .. } => {
                    if let Some(old) = &old {
                        let place = place_of(kind, old)?;
                        self.by_owner.remove(list_key(place.owner.0, kind, place.order, key))?;
                        if let Some(parent) = place.parent {
                            self.by_parent.remove(list_key(parent, kind, place.order, key))?;
                        }
                        self.records.remove(record_key)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes that everything up to commit `seq` is applied. Called after [`Index::apply`], never before.
    pub fn set_applied(&self, seq: u64) -> Result<(), IndexError> {
        self.meta.insert(APPLIED, &seq.to_be_bytes())?;
        Ok(())
    }

    /// One record.
    pub fn row(&self, kind: Kind, key: Uuid) -> Result<Option<Value>, IndexError> {
        self.records.get(record_key(kind, key))?.map(|bytes| read_row(&bytes)).transpose()
    }

    /// Up to `limit` keys of an owner's records, newest first, behind `after`; with the position of each.
    pub fn owned(
        &self,
        owner: OrganizationId,
        kind: Kind,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Result<Vec<(Uuid, ListPosition)>, IndexError> {
        list(&self.by_owner, owner.0, kind, after, limit)
    }

    /// The same for the records that hang on another, from the newest on.
    pub fn children(&self, parent: Uuid, kind: Kind, limit: usize) -> Result<Vec<(Uuid, ListPosition)>, IndexError> {
        list(&self.by_parent, parent, kind, None, limit)
    }

    /// Begins to read everything through.
    pub fn sum(&self) -> Result<Summing, IndexError> {
        let trees = [self.records.clone(), self.by_owner.clone(), self.by_parent.clone()];
        let is_wanted = Arc::new(AtomicBool::new(true));
        let goes_on = Arc::clone(&is_wanted);
        let sum = begin(move || {
            let mut sum = 0_u64;
            for (number, tree) in trees.iter().enumerate() {
                for entry in tree.iter().take_while(|_| goes_on.load(Ordering::Relaxed)) {
                    let (key, value) = entry?;
                    sum = sum.wrapping_add(entry_hash(number, &key, &value));
                }
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

fn list(
    tree: &sled::Tree,
    group: Uuid,
    kind: Kind,
    after: Option<ListPosition>,
    limit: usize,
) -> Result<Vec<(Uuid, ListPosition)>, IndexError> {
    let prefix = group_key(group, kind);
    let start = after.map_or_else(|| prefix.to_vec(), |position| [prefix.as_slice(), &position, &[0]].concat());
    let mut found = Vec::with_capacity(limit);
    for entry in tree.range(start..).keys().take(limit) {
        let entry = entry?;
        let Some(position) = entry.strip_prefix(prefix.as_slice()) else { break };
        if let Ok(position) = ListPosition::try_from(position)
            && let Some(key) = position.get(8..).and_then(|key| Uuid::from_slice(key).ok())
        {
            found.push((key, position));
        }
    }
    Ok(found)
}

fn record_key(kind: Kind, key: Uuid) -> [u8; 17] {
    let mut bytes = [kind_byte(kind); 17];
    if let Some(tail) = bytes.last_chunk_mut::<16>() {
        *tail = *key.as_bytes();
    }
    bytes
}

fn group_key(group: Uuid, kind: Kind) -> [u8; 17] {
    let mut bytes = [kind_byte(kind); 17];
    if let Some(head) = bytes.first_chunk_mut::<16>() {
        *head = *group.as_bytes();
    }
    bytes
}

fn list_key(group: Uuid, kind: Kind, order: u64, key: Uuid) -> Vec<u8> {
    [group_key(group, kind).as_slice(), &list_position(order, key)].concat()
}

/// Where a record stands in its lists: the newest, which has the highest order, comes first.
pub(super) fn list_position(order: u64, key: Uuid) -> ListPosition {
    let mut position = [0; 24];
    let (head, tail) = position.split_at_mut(8);
    head.copy_from_slice(&(!order).to_be_bytes());
    tail.copy_from_slice(key.as_bytes());
    position
}

/// A kind's byte in keys of the index. The index is rebuilt when this changes, so it need not be stable for ever.
fn kind_byte(kind: Kind) -> u8 {
    Kind::ALL.iter().position(|other| *other == kind).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

/// What an index holds that has applied all it was told: a hash of each record's entries, to be summed up in any order.
#[derive(Default)]
pub struct Expected {
    records: HashMap<(Kind, Uuid), u64>,
}

impl Expected {
    /// Follows one commit's operations.
    pub fn apply(&mut self, ops: &[Op]) -> Result<(), IndexError> {
        for op in ops {
            let (kind, key) = op.target();
            match op {
                Op::Put { row, v, .. } => {
                    let place = place_of(kind, row)?;
                    let in_list = |tree, group| entry_hash(tree, &list_key(group, kind, place.order, key), &[]);
                    let sum = entry_hash(0, &record_key(kind, key), &write_row(*v, row)?)
                        .wrapping_add(in_list(1, place.owner.0))
                        .wrapping_add(place.parent.map_or(0, |parent| in_list(2, parent)));
                    self.records.insert((kind, key), sum);
                }
                Op::Remove { .. } => {
                    self.records.remove(&(kind, key));
                }
            }
        }
        Ok(())
    }
}

/// Hash of one entry of tree number `tree` (records, by owner, by parent). It guards against damage, not against forgers.
fn entry_hash(tree: usize, key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tree, key, value).hash(&mut hasher);
    hasher.finish()
}

/// What an index holds, while it is being read through.
pub(super) struct Summing {
    sum: mpsc::Receiver<Result<u64, IndexError>>,
    is_wanted: Arc<AtomicBool>,
}

impl Summing {
    /// Answers within `limit` whether it is what the journal says.
    pub fn check(self, expected: &Expected, limit: Duration) -> Result<(), IndexError> {
        let sum = finish(&self.sum, limit)?;
        let expected = expected.records.values().fold(0, |sum: u64, hash| sum.wrapping_add(*hash));
        if sum == expected { Ok(()) } else { Err(IndexError::Differs) }
    }
}

impl Drop for Summing {
    /// Whoever opens this index next must not find it in use.
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        let _ = self.sum.recv_timeout(GIVEN_UP_WITHIN);
    }
}

/// Runs what sled may hang or panic in. A thread that hangs is left behind: it holds nothing that a rebuilt index needs.
pub(super) fn guarded<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<T, IndexError> {
    finish(&begin(work)?, limit)
}

fn begin<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<mpsc::Receiver<Result<T, IndexError>>, IndexError> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("index-open".into())
        .spawn(move || {
            // A receiver that gave up is not interested.
            let _ = sender.send(work());
        })
        .map_err(sled::Error::Io)?;
    Ok(receiver)
}

fn finish<T>(receiver: &mpsc::Receiver<Result<T, IndexError>>, limit: Duration) -> Result<T, IndexError> {
    receiver.recv_timeout(limit).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => IndexError::Stuck(limit),
        mpsc::RecvTimeoutError::Disconnected => IndexError::Panicked,
    })?
}

fn write_row(version: u32, row: &Value) -> Result<Vec<u8>, IndexError> {
    Ok(serde_json::to_vec(&(version, row))?)
}

fn read_row(bytes: &[u8]) -> Result<Value, IndexError> {
    let (version, row): (u32, Value) = serde_json::from_slice(bytes)?;
    debug_assert_eq!(version, RECORD_VERSION);
    Ok(row)
}

/// Checks that a record fits, before it is promised.
pub(super) fn check_length(row: &Value) -> Result<(), IndexError> {
    let length = serde_json::to_vec(row)?.len();
    if length > limits::INDEX_VALUE_BYTES { Err(IndexError::TooLong(length)) } else { Ok(()) }
}
