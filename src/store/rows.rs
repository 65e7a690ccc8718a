//! Records as everybody reads them: the index, and over it what the index does not hold yet; and the lists of them.
//!
//! A change lies here from the moment when its commit is on disk until the index has taken it, so that no reader sees
//! half of it, and none sees it before memory does. Where the index fails, changes stay here and are read from here, over
//! what the failed index still answers, until another one was built from the journal.

use super::filling::Filling;
use super::guarded::guarded;
use super::index::{Index, IndexError, IndexPlace, entry};
use super::journal::{FrozenJournal, JournalError};
use super::lists::{ListPosition, Lists};
use super::op::{Commit, Op, Place, RECORD_VERSION, Row, place_of};
use crate::domain::{Kind, OrganizationId, limits};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

/// Every record that is not in memory alone.
pub(super) struct Rows {
    /// Away once everything is closed.
    index: RwLock<Option<Index>>,
    place: IndexPlace,
    /// Whether the index is behind and takes nothing more.
    has_failed: AtomicBool,
    laid: RwLock<Laid>,
}

/// Builds another index beside one that failed.
pub(super) struct Builder(IndexPlace);

/// Why another index was not built.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// What is in memory.
struct Laid {
    /// What the index may not hold yet: the latest of each record, `None` for one that was removed.
    recent: HashMap<(Kind, Uuid), Option<Row>>,
    lists: Lists,
}

/// A change of one record: what it says from now on, and where it stood and stands in lists.
struct Change {
    target: (Kind, Uuid),
    row: Option<Row>,
    old: Old,
    new: Option<Place>,
}

/// Where a record may stand that it must be taken away from.
#[derive(Clone, Copy)]
enum Old {
    Nowhere,
    At(Place),
    /// The index, which is the only one to know, does not answer.
    Anywhere,
}

impl Rows {
    pub fn new(index: Index, lists: Lists, place: IndexPlace) -> Self {
        let (index, has_failed) = (RwLock::new(Some(index)), AtomicBool::new(false));
        Self { index, place, has_failed, laid: RwLock::new(Laid { recent: HashMap::new(), lists }) }
    }

    /// One record.
    pub fn row(&self, kind: Kind, key: Uuid) -> Result<Option<Row>, IndexError> {
        if let Some(row) = self.laid().recent.get(&(kind, key)) {
            return Ok(row.clone());
        }
        self.index()?.row(kind, key)
    }

    /// Up to `limit` keys of an owner's records, newest first, behind `after`; with the position of each.
    pub fn owned(
        &self,
        owner: OrganizationId,
        kind: Kind,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Vec<(Uuid, ListPosition)> {
        self.laid().lists.owned(owner, kind, after, limit)
    }

    /// Up to `limit` keys of records that hang on another, newest first.
    pub fn children(&self, parent: Uuid, kind: Kind, limit: usize) -> Vec<Uuid> {
        self.laid().lists.children(parent, kind, limit)
    }

    /// Makes commits that are on disk readable, before the index has them.
    ///
    /// # Errors
    /// A record that does not read. The others are laid all the same.
    pub fn lay(&self, commits: &[Commit]) -> Result<(), serde_json::Error> {
        let (mut changes, mut result, mut places) = (Vec::new(), Ok(()), HashMap::new());
        for op in commits.iter().flat_map(|commit| &commit.ops) {
            match self.change(op, &mut places) {
                Ok(change) => changes.push(change),
                Err(error) => result = Err(error),
            }
        }
        let Laid { recent, lists } = &mut *self.laid_mut();
        for Change { target: (kind, key), row, old, new } in changes {
            match old {
                Old::Nowhere => {}
                Old::At(place) => lists.remove(kind, key, &place),
                Old::Anywhere => lists.search_and_remove(kind, key),
            }
            if let Some(new) = new {
                lists.insert(kind, key, &new);
            }
            recent.insert((kind, key), row);
        }
        result
    }

    /// What one operation changes. `places` are those of records that others changed before it, of which nothing is laid
    /// yet.
    fn change(&self, op: &Op, places: &mut HashMap<(Kind, Uuid), Old>) -> Result<Change, serde_json::Error> {
        let target = op.target();
        let (row, new) = match op {
            Op::Put { kind, row, .. } => (Some(row.clone()), Some(place_of(*kind, row)?)),
            Op::Remove { .. } => (None, None),
        };
        // Owner and order never change; a parent may (an embed pointed at another video).
        let old = match places.insert(target, new.map_or(Old::Nowhere, Old::At)) {
            _ if new.is_some_and(|new| new.parent.is_none()) => Old::Nowhere,
            Some(old) => old,
            None => match self.row(target.0, target.1) {
                Ok(None) => Old::Nowhere,
                Ok(Some(row)) => place_of(target.0, &row).map_or(Old::Anywhere, Old::At),
                Err(_) => Old::Anywhere,
            },
        };
        Ok(Change { target, row, old, new })
    }

    /// Has the index take commits that were laid, up to number `last_seq`. One that fails once is given nothing more.
    pub fn settle(&self, commits: Vec<Commit>, last_seq: u64) -> Result<(), IndexError> {
        if self.has_failed() {
            return Ok(());
        }
        let (index, commits) = (self.index()?, Arc::new(commits));
        let told = Arc::clone(&commits);
        let settled = guarded(self.place.limit, move || {
            told.iter().try_for_each(|commit| index.apply(&commit.ops))?;
            index.set_applied(last_seq)
        });
        settled.inspect_err(|_| self.has_failed.store(true, Ordering::SeqCst))?;
        let mut laid = self.laid_mut();
        commits.iter().flat_map(|commit| &commit.ops).for_each(|op| drop(laid.recent.remove(&op.target())));
        Ok(())
    }

    /// Whether the index is behind and takes nothing more.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::SeqCst)
    }

    /// Sets readers free that hang in an index that has failed.
    pub fn nudge(&self) {
        if let Ok(index) = self.index() {
            // Where no thread can be had, the next look tries again.
            let _ = std::thread::Builder::new().name("index-open".into()).spawn(move || index.nudge());
        }
    }

    /// Whether so much waits for an index that no more should.
    pub fn is_overfull(&self) -> bool {
        self.laid().recent.len() > limits::UNINDEXED_RECORDS
    }

    /// What builds another index.
    pub fn builder(&self) -> Builder {
        Builder(self.place.clone())
    }

    /// Puts a built index in the place of the one that failed, once it has been told what was laid since; up to commit
    /// `last_seq`.
    pub fn adopt(&self, built: Index, last_seq: u64) -> Result<(), IndexError> {
        let ops = self.laid().recent_ops();
        let index = built.clone();
        guarded(self.place.limit, move || {
            index.apply(&ops)?;
            index.set_applied(last_seq)
        })?;
        let failed = self.index_mut().replace(built);
        self.has_failed.store(false, Ordering::SeqCst);
        self.laid_mut().recent.clear();
        drop_behind(failed);
        Ok(())
    }

    /// Whether the index answers.
    pub fn is_alive(&self) -> bool {
        self.index().is_ok_and(|index| index.is_alive())
    }

    /// Writes the index out, so that the next start has less to catch up, and closes it.
    pub fn close(&self) {
        let Some(index) = self.index_mut().take() else { return };
        let closed = guarded(self.place.limit, move || {
            index.flush()?;
            drop(index);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the index was not written out; the next start catches it up");
        }
    }

    /// A handle on the index: whoever hangs in one holds nothing that others wait for.
    fn index(&self) -> Result<Index, IndexError> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(IndexError::Closed)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Option<Index>> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn laid(&self) -> RwLockReadGuard<'_, Laid> {
        self.laid.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn laid_mut(&self) -> RwLockWriteGuard<'_, Laid> {
        self.laid.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Builder {
    /// Builds it, as of the journal's commit. The directory of the one that failed is removed; who has that open reads on.
    pub fn build(self, journal: &FrozenJournal) -> Result<Index, BuildError> {
        self.0.clear()?;
        let index = self.0.open()?;
        let mut filling = Filling::begin(index.clone(), self.0.limit);
        journal.replay(|commit| commit.ops.iter().for_each(|op| filling.take(entry(op))))?;
        filling.finish()?;
        Ok(index)
    }
}

/// Drops an index where nobody waits: sled may hang or panic over it.
pub(super) fn drop_behind(index: Option<Index>) {
    // Where no thread can be had, it is dropped here.
    let _ = std::thread::Builder::new().name("index-open".into()).spawn(move || drop(index));
}

impl Laid {
    /// What says all that the index may not hold yet.
    fn recent_ops(&self) -> Vec<Op> {
        let op = |((kind, key), row): (&(Kind, Uuid), &Option<Row>)| match row {
            Some(row) => Op::Put { kind: *kind, key: *key, v: RECORD_VERSION, row: row.clone() },
            None => Op::Remove { kind: *kind, key: *key },
        };
        self.recent.iter().map(op).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::Journal;
    use super::*;
    use crate::domain::{Embed, EmbedId, Timestamp, VideoId};
    use std::time::Duration;

    const OWNER: OrganizationId = OrganizationId(Uuid::from_u128(7));
    const ONE: VideoId = VideoId(Uuid::from_u128(21));
    const OTHER: VideoId = VideoId(Uuid::from_u128(22));

    struct Store {
        journal: Journal,
        rows: Rows,
        _directory: tempfile::TempDir,
    }

    impl Store {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (path, limit) = (directory.path().join("index"), Duration::from_secs(10));
            let place = IndexPlace { path, cache_bytes: 8 << 20, limit };
            let journal = Journal::create(&directory.path().join("journal")).unwrap();
            Self { journal, rows: Rows::new(place.open().unwrap(), Lists::default(), place), _directory: directory }
        }

        fn write(&mut self, ops: Vec<Op>) {
            let seq = self.journal.seq() + 1;
            let (commit, bytes) = self.journal.frame(seq, Timestamp::from_secs(1), ops).unwrap();
            self.journal.append(&bytes, seq).unwrap();
            let commits = vec![commit];
            self.rows.lay(&commits).unwrap();
            self.rows.settle(commits, seq).unwrap();
        }

        /// What is listed, each with the video it names, and what hangs on either video.
        fn told(&self) -> (Vec<(u128, VideoId)>, [Vec<u128>; 2]) {
            let listed = self.rows.owned(OWNER, Kind::Embed, None, 10);
            let video = |key: Uuid| {
                let row = self.rows.row(Kind::Embed, key).unwrap().expect("what is listed is there");
                row.read::<Embed>().unwrap().video
            };
            let hanging = |parent: VideoId| {
                let keys = self.rows.children(parent.0, Kind::Embed, 10);
                keys.into_iter().map(|key| key.as_u128()).collect()
            };
            (listed.into_iter().map(|(key, _)| (key.as_u128(), video(key))).collect(), [hanging(ONE), hanging(OTHER)])
        }
    }

    /// An embed, the newer the higher its number.
    fn put(number: u128, video: VideoId) -> Op {
        let created_at = Timestamp::from_secs(i64::try_from(number).unwrap());
        Op::put(&Embed { id: EmbedId(Uuid::from_u128(number)), organization: OWNER, video, created_at }).unwrap()
    }

    fn remove(number: u128) -> Op {
        Op::Remove { kind: Kind::Embed, key: Uuid::from_u128(number) }
    }

    #[test]
    fn what_a_failed_index_has_not_taken_is_read_all_the_same_and_another_index_takes_it() {
        let mut store = Store::new();
        store.write(vec![put(1, ONE), put(2, ONE), put(4, OTHER), put(5, ONE)]);
        assert!(store.rows.laid().recent.is_empty());
        store.rows.has_failed.store(true, Ordering::SeqCst);
        store.write(vec![put(3, OTHER), remove(4)]);
        store.write(vec![put(2, OTHER), put(6, ONE), remove(1), put(1, OTHER)]);
        let expected = (vec![(6, ONE), (5, ONE), (3, OTHER), (2, OTHER), (1, OTHER)], [vec![6, 5], vec![3, 2, 1]]);
        assert_eq!(store.told(), expected);
        // A page goes on behind any record, wherever that is read from.
        let (listed, limit) = (store.rows.owned(OWNER, Kind::Embed, None, 2), 2);
        assert_eq!(listed.iter().map(|(key, _)| key.as_u128()).collect::<Vec<_>>(), [6, 5]);
        let rest = store.rows.owned(OWNER, Kind::Embed, Some(listed[1].1), limit);
        assert_eq!(rest.iter().map(|(key, _)| key.as_u128()).collect::<Vec<_>>(), [3, 2]);
        // Built as of one commit, while another follows.
        let frozen = store.journal.freeze().unwrap();
        store.write(vec![remove(6)]);
        let built = store.rows.builder().build(&frozen).unwrap();
        store.rows.adopt(built, store.journal.seq()).unwrap();
        assert!(!store.rows.has_failed() && store.rows.laid().recent.is_empty());
        let expected = (vec![(5, ONE), (3, OTHER), (2, OTHER), (1, OTHER)], [vec![5], vec![3, 2, 1]]);
        assert_eq!(store.told(), expected);
        store.write(vec![put(7, ONE)]);
        assert!(store.rows.laid().recent.is_empty(), "the new index takes what comes");
        assert_eq!(store.told().1, [vec![7, 5], vec![3, 2, 1]]);
    }

    #[test]
    fn an_index_that_does_not_answer_in_time_counts_as_failed_and_loses_nothing() {
        // One that has answered already is heard: now and then it is as quick as that.
        let stuck = || {
            let mut store = Store::new();
            store.rows.place.limit = Duration::ZERO;
            let (commit, _) = store.journal.frame(1, Timestamp::from_secs(1), vec![put(1, ONE)]).unwrap();
            store.rows.lay(std::slice::from_ref(&commit)).unwrap();
            matches!(store.rows.settle(vec![commit], 1), Err(IndexError::Stuck(_))).then_some(store)
        };
        let store = std::iter::repeat_with(stuck).take(1_000).flatten().next().unwrap();
        assert!(store.rows.has_failed());
        assert_eq!(store.told(), (vec![(1, ONE)], [vec![1], vec![]]));
    }

    #[test]
    fn a_closed_index_answers_that_it_is_closed() {
        let mut store = Store::new();
        store.write(vec![put(1, ONE)]);
        store.rows.close();
        assert!(matches!(store.rows.row(Kind::Embed, Uuid::from_u128(1)), Err(IndexError::Closed)));
        assert!(!store.rows.is_alive());
    }
}
