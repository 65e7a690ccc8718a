//! The catalog: opening it, changing it, reading it.

use super::access::Access;
use super::disk::{Disk, Fullness};
use super::draft::Draft;
use super::index::{IndexError, IndexPlace};
use super::journal::{FrozenJournal, JournalError};
use super::lists::ListPosition;
use super::opening::Opened;
use super::rows::Rows;
use super::tending::Watch;
use super::write_error::WriteError;
use super::writer::{AtWork, Job, Shared, Urgency, Writer, job};
use crate::domain::{Kind, MediaFileId, OrganizationId, Record, Timestamp, limits};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// The catalog of one state directory. One process at a time: the state directory's lock sees to that.
pub struct Catalog {
    shared: Arc<Shared>,
    disk: Arc<Disk>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// How a catalog is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreHealth {
    /// Reads are answered; and changes taken, as far as the disk is not too full for them.
    Working(Fullness),
    /// Reads are answered. The disk takes no change.
    ReadOnly,
    /// Neither: a restart is needed.
    Failing,
}

/// Where to go on in a list. Opaque on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(ListPosition);

impl Cursor {
    /// Reads what [`Cursor::encode`] wrote; `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Its text on the wire.
    pub fn encode(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// A page of a list, newest first.
pub struct Page<R> {
    /// The records.
    pub items: Vec<R>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl Catalog {
    /// Opens the catalog in `directory`, which lies on `disk`, making an empty one where there is none. The index is
    /// opened within `limit`, caught up from the journal, compared with it, and set aside and rebuilt when it won't open
    /// or does not fit.
    ///
    /// # Errors
    /// A journal that can't be read. Trouble with the index is never one, unless there is no room for another.
    pub fn open(directory: &Path, cache_bytes: u64, limit: Duration, disk: Arc<Disk>) -> Result<Self, JournalError> {
        let place = IndexPlace { path: directory.join("index"), cache_bytes, limit };
        let Opened { journal, access, lists, index } = Opened::at(directory, &place, &disk)?;
        let shared = Arc::new(Shared {
            rows: Rows::new(index, lists, place),
            access: RwLock::new(access),
            is_journal_unsound: AtomicBool::new(false),
            at_work: AtWork::default(),
            changed: watch::Sender::new(0),
        });
        let (sender, receiver) = mpsc::channel(limits::WRITE_QUEUE);
        let (shared_too, watch) = (Arc::clone(&shared), Watch::new(sender.downgrade()));
        let writer = Writer { shared: shared_too, journal, disk: Arc::clone(&disk), jobs: receiver, watch };
        let thread = std::thread::Builder::new()
            .name("catalog-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| JournalError::Io { path: directory.to_owned(), error })?;
        Ok(Self { shared, disk, jobs: Mutex::new(Some(sender)), writer: Mutex::new(Some(thread)) })
    }

    /// Makes one change: `change` says it on a draft or refuses; the answer comes when it is on disk and everybody
    /// reads it. Changes are made one after another, so what `change` finds is what it changes.
    pub async fn write<T, E>(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteError> + Send + 'static,
    {
        self.ask(job(now, Urgency::CanWait, change)).await
    }

    /// The same for a change that does not wait for room: it revokes, removes, or opens the way to that. A full disk
    /// takes it, too, if need be out of its reserve.
    pub async fn write_urgent<T, E>(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteError> + Send + 'static,
    {
        self.ask(job(now, Urgency::Urgent, change)).await
    }

    /// Makes a change that rests on `first`, which may wait for the disk and is done before. Once that has begun, neither a
    /// caller who goes away nor [`Catalog::close`] comes between the two; one that does not begin leaves nothing behind.
    pub async fn write_after<T, E>(
        &self,
        now: Timestamp,
        first: impl FnOnce() -> Result<(), E> + Send + 'static,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteError> + Send + 'static,
    {
        let (job, answer) = job(now, Urgency::CanWait, change);
        // The writer ends, and `close` with it, when the last of these is gone: with the thread, or unused with the runtime.
        let jobs = self.lock_jobs().clone().ok_or(WriteError::Closed)?;
        let both = tokio::task::spawn_blocking(move || {
            first()?;
            jobs.try_send(job).map_err(|error| E::from(not_sent(&error)))
        });
        both.await.unwrap_or_else(|_| Err(WriteError::Unknown.into()))?;
        answer.await.unwrap_or_else(|_| Err(WriteError::Unknown.into()))
    }

    async fn ask<T, E: From<WriteError>>(&self, (job, answer): (Job, oneshot::Receiver<Result<T, E>>)) -> Result<T, E> {
        // Held no longer than that: whoever waits for an answer and is never asked again, as at the end of a runtime, would
        // keep the writer from its end, and `close` waits for that.
        let sent = self.lock_jobs().as_ref().ok_or(WriteError::Closed)?.try_send(job);
        sent.map_err(|error| not_sent(&error))?;
        // The sender is dropped unanswered only if the writer's thread died.
        answer.await.unwrap_or_else(|_| Err(WriteError::Unknown.into()))
    }

    /// Has the writer put right what the disk has refused and may take now: the journal, the index, the reserve. To be
    /// called every [`limits::STORE_TEND_S`]; never waits.
    pub fn tend(&self) {
        self.shared.at_work.tell(Instant::now());
        if let Some(jobs) = self.lock_jobs().as_ref() {
            // A writer with so much to do is tended another time.
            let _ = jobs.try_send(Job::Tend);
        }
    }

    /// One record.
    pub async fn find<R: Record>(&self, key: Uuid) -> Result<Option<R>, IndexError> {
        let row = self.shared.rows.row(R::KIND, key)?;
        Ok(row.map(|row| row.read()).transpose()?)
    }

    /// A page of an owner's records, newest first: as many reads of the index as there are items.
    pub async fn list<R: Record>(
        &self,
        owner: OrganizationId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<R>, IndexError> {
        let mut found = self.shared.rows.owned(owner, R::KIND, after.map(|Cursor(position)| position), limit + 1);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(_, position)| Cursor(*position));
        let mut items = Vec::with_capacity(found.len());
        for (key, _) in found {
            // A record removed between the two reads is no longer part of the list.
            items.extend(self.find::<R>(key).await?);
        }
        Ok(Page { items, next })
    }

    /// A page of those of an owner's records that are `wanted`, newest first. At most `scan` are looked at: a page may be
    /// short, even empty, and still say where to go on.
    pub async fn search<R: Record>(
        &self,
        owner: OrganizationId,
        after: Option<Cursor>,
        limit: usize,
        scan: usize,
        wanted: impl Fn(&R) -> bool,
    ) -> Result<Page<R>, IndexError> {
        let (mut items, mut looked, mut at) = (Vec::new(), 0, after.map(|Cursor(position)| position));
        loop {
            let step = self.shared.rows.owned(owner, R::KIND, at, limits::SEARCH_STEP);
            let is_last = step.len() < limits::SEARCH_STEP;
            for (key, position) in step {
                if items.len() == limit || looked == scan {
                    return Ok(Page { items, next: at.map(Cursor) });
                }
                (looked, at) = (looked + 1, Some(position));
                items.extend(self.find::<R>(key).await?.filter(&wanted));
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
            // Others are served by this thread, too.
            tokio::task::yield_now().await;
        }
    }

    /// Up to `limit` records that hang on `parent`, newest first.
    pub async fn children<R: Record>(&self, parent: Uuid, limit: usize) -> Result<Vec<R>, IndexError> {
        let mut items = Vec::new();
        for key in self.shared.rows.children(parent, R::KIND, limit) {
            // One that was hung on another meanwhile is no longer part of the list.
            items.extend(self.find::<R>(key).await?.filter(|record| record.parent() == Some(parent)));
        }
        Ok(items)
    }

    /// Every media file that a record names: as the journal has it, for files that are not named are removed.
    pub fn media_files(&self) -> HashSet<MediaFileId> {
        self.access().media_files().collect()
    }

    /// What decides access. Hold it for a moment only: the writer waits.
    pub fn access(&self) -> RwLockReadGuard<'_, Access> {
        self.shared.access.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whenever what decides access may have changed ([`Kind::decides_access`](crate::domain::Kind::decides_access)).
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Whether the writer runs and reads are answered. Whether the disk takes changes is another question.
    /// Reads one record from where reads are answered, memory and then the index: for whoever watches that it can.
    pub fn probe(&self) -> Result<(), IndexError> {
        let first = self.access().organizations().next().map(|organization| organization.id.0);
        self.shared.rows.row(Kind::Organization, first.unwrap_or_default()).map(drop)
    }

    /// Whether changes are still taken and reads answered.
    pub fn is_healthy(&self) -> bool {
        let has_writer = self.lock_jobs().as_ref().is_some_and(|jobs| !jobs.is_closed());
        has_writer && self.shared.rows.is_alive()
    }

    /// How it is doing.
    pub fn health(&self) -> StoreHealth {
        if !self.is_healthy() {
            return StoreHealth::Failing;
        }
        let is_unsound = self.shared.is_journal_unsound.load(Ordering::SeqCst);
        let is_stuck = self.shared.at_work.is_stuck(Instant::now());
        let room = self.disk.room();
        match room {
            _ if is_unsound || is_stuck => StoreHealth::ReadOnly,
            Ok(room) if room.is_read_only => StoreHealth::ReadOnly,
            Ok(room) => StoreHealth::Working(room.fullness),
            Err(_) => StoreHealth::ReadOnly,
        }
    }

    /// The journal as of one commit; for a backup.
    pub async fn freeze_journal(&self) -> Result<FrozenJournal, JournalError> {
        let closing = || JournalError::Io {
            path: PathBuf::from("journal"),
            error: std::io::Error::other("the catalog is closing"),
        };
        let (done, answer) = oneshot::channel();
        let sender = self.lock_jobs().clone().ok_or_else(closing)?;
        sender.send(Job::Freeze { done }).await.map_err(|_| closing())?;
        drop(sender);
        answer.await.unwrap_or_else(|_| Err(closing()))
    }

    /// Takes no more changes, finishes those that wait, and writes the index out.
    pub fn close(&self) {
        drop(self.lock_jobs().take());
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the catalog's writer had panicked");
        }
    }

    fn lock_jobs(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_sent<T>(error: &mpsc::error::TrySendError<T>) -> WriteError {
    match error {
        mpsc::error::TrySendError::Full(_) => WriteError::Busy,
        mpsc::error::TrySendError::Closed(_) => WriteError::Closed,
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
