//! Who writes to which upload. One at a time; who finds another writing may have the upload if that one's line is dead.
//! Lives in memory alone: with the process every line ends.

use super::UploadError;
use crate::domain::{MediaFileId, limits};
use crate::store::RunningHash;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What is known of uploads besides what is on disk.
#[derive(Default)]
pub(super) struct Lines(Mutex<HashMap<MediaFileId, Slot>>);

enum Slot {
    /// Somebody writes.
    Written(Arc<Line>),
    /// Nobody does; all that came, came through this process.
    Resting(RunningHash),
    /// It is all there and on its way into its video.
    TakenIn,
    /// It is all there, and waits for another attempt at that.
    PutOff,
}

/// The connection that an upload comes over.
struct Line {
    /// Counts whose turn it is: even while the peer's bytes are awaited, odd while they are written.
    turns: AtomicU64,
    stop: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

/// Leave to write to an upload. Dropped, somebody else may have it.
pub(super) struct Turn {
    lines: Arc<Lines>,
    id: MediaFileId,
    line: Arc<Line>,
}

/// What became of asking for a turn.
pub(super) enum Claim {
    /// It is given.
    Given(Turn, Option<RunningHash>),
    /// Somebody else has it.
    Locked,
    /// There is nothing left to write.
    Whole,
}

impl Lines {
    /// Asks for leave to write.
    pub fn claim(self: &Arc<Self>, id: MediaFileId) -> Claim {
        let mut slots = self.lock();
        let hash = match slots.remove(&id) {
            None => None,
            Some(Slot::Resting(hash)) => Some(hash),
            Some(other) => {
                let claim = if matches!(other, Slot::Written(_)) { Claim::Locked } else { Claim::Whole };
                slots.insert(id, other);
                return claim;
            }
        };
        let (stop, ended) = (watch::Sender::new(false), watch::Sender::new(false));
        let line = Arc::new(Line { turns: AtomicU64::new(1), stop, ended });
        slots.insert(id, Slot::Written(Arc::clone(&line)));
        Claim::Given(Turn { lines: Arc::clone(self), id, line }, hash)
    }

    /// Waits until nobody writes to an upload, and sees to it if the writer's peer has fallen silent.
    pub async fn free(&self, id: MediaFileId) -> Result<(), UploadError> {
        let Some(line) = self.line(id) else { return Ok(()) };
        let before = line.turns.load(Ordering::SeqCst);
        if line.ends_within(limits::UPLOAD_SILENCE_MS).await {
            return Ok(());
        }
        if before % 2 == 1 || line.turns.load(Ordering::SeqCst) != before {
            return Err(UploadError::Locked);
        }
        line.stop.send_replace(true);
        if line.ends_within(limits::UPLOAD_RELEASE_MS).await { Ok(()) } else { Err(UploadError::Locked) }
    }

    /// Ends whoever writes to an upload.
    pub async fn end(&self, id: MediaFileId) {
        if let Some(line) = self.line(id) {
            line.stop.send_replace(true);
            line.ends_within(limits::UPLOAD_RELEASE_MS).await;
        }
    }

    /// Begins to take an upload in that is whole, unless somebody writes to it or this is under way.
    pub fn begin_taking_in(&self, id: MediaFileId) -> bool {
        match self.lock().entry(id) {
            Entry::Occupied(slot) if matches!(slot.get(), Slot::Written(_) | Slot::TakenIn) => false,
            Entry::Occupied(mut slot) => {
                slot.insert(Slot::TakenIn);
                true
            }
            Entry::Vacant(slot) => {
                slot.insert(Slot::TakenIn);
                true
            }
        }
    }

    /// Leaves an upload that is whole for another attempt.
    pub fn put_off(&self, id: MediaFileId) {
        self.lock().insert(id, Slot::PutOff);
    }

    /// Forgets an upload that nobody writes to.
    pub fn forget(&self, id: MediaFileId) {
        self.lock().remove(&id);
    }

    /// Whether somebody writes to it or it is being taken in.
    pub fn is_busy(&self, id: MediaFileId) -> bool {
        matches!(self.lock().get(&id), Some(Slot::Written(_) | Slot::TakenIn))
    }

    /// Whether it is being taken in.
    pub fn is_taken_in(&self, id: MediaFileId) -> bool {
        matches!(self.lock().get(&id), Some(Slot::TakenIn))
    }

    /// Whether all of it is there.
    pub fn is_whole(&self, id: MediaFileId) -> bool {
        matches!(self.lock().get(&id), Some(Slot::TakenIn | Slot::PutOff))
    }

    /// Uploads that are all there.
    pub fn whole(&self) -> Vec<MediaFileId> {
        let slots = self.lock();
        let whole = slots.iter().filter(|(_, slot)| matches!(slot, Slot::TakenIn | Slot::PutOff));
        whole.map(|(id, _)| *id).collect()
    }

    fn line(&self, id: MediaFileId) -> Option<Arc<Line>> {
        match self.lock().get(&id) {
            Some(Slot::Written(line)) => Some(Arc::clone(line)),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MediaFileId, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    async fn ends_within(&self, ms: u64) -> bool {
        let mut ended = self.ended.subscribe();
        tokio::time::timeout(Duration::from_millis(ms), ended.wait_for(|ended| *ended)).await.is_ok()
    }
}

impl Turn {
    /// Waits for what the peer sends; `None` if somebody else is to have the upload.
    pub async fn await_peer<T>(&self, coming: impl Future<Output = T>) -> Option<T> {
        let mut stop = self.line.stop.subscribe();
        self.line.turns.fetch_add(1, Ordering::SeqCst);
        let came = tokio::select! {
            biased;
            came = coming => Some(came),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        self.line.turns.fetch_add(1, Ordering::SeqCst);
        came
    }

    /// Gives the turn back, with the hash of what has come if it is known.
    pub fn rest(self, hash: Option<RunningHash>) {
        self.hand_on(hash.map(Slot::Resting));
    }

    /// The same for an upload that is whole now.
    pub fn take_in(self) {
        self.hand_on(Some(Slot::TakenIn));
    }

    fn hand_on(&self, next: Option<Slot>) {
        let mut slots = self.lines.lock();
        match next {
            Some(slot) => drop(slots.insert(self.id, slot)),
            None => drop(slots.remove(&self.id)),
        }
        self.line.ended.send_replace(true);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !*self.line.ended.borrow() {
            self.hand_on(None);
        }
    }
}
