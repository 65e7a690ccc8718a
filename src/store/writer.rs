//! The one writer: takes changes from a queue, journals them in groups with one `fdatasync`, then applies them to
//! memory, then to the records and their index, then answers. In that order, always.
//!
//! What the disk refuses is refused here, and nobody else stops for it: the writer mends the journal, has another index
//! built and makes the reserve anew by itself, as soon as the disk lets it.

use super::access::Access;
use super::audit_chain::chained;
use super::disk::{Disk, Fullness, Room};
use super::draft::{Draft, Overlay};
use super::index::Index;
use super::journal::{AppendError, Compacted, FrozenJournal, Journal, JournalError};
use super::op::{Commit, Op};
use super::rows::Rows;
use super::tending::Watch;
use super::write_error::WriteError;
use crate::domain::{OrganizationId, Timestamp, limits};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// What happens to a change once its record is on disk, or failed to get there.
type Finish = Box<dyn FnOnce(Result<(), WriteError>) + Send>;

/// Runs one change on a draft; `None` if it refused itself and has answered.
type Attempt = Box<dyn FnOnce(&mut Draft<'_>) -> Option<Finish> + Send>;

/// What the writer is asked for.
pub(super) enum Job {
    /// Make a change.
    Change { now: Timestamp, urgency: Urgency, attempt: Attempt },
    /// Hand out the journal as it stands on disk after one commit.
    Freeze { done: oneshot::Sender<Result<FrozenJournal, JournalError>> },
    /// Look after what the disk may have refused.
    Tend,
    /// Another index is built, or could not be.
    Rebuilt(Result<Index, String>),
    /// The journal is compacted beside the present one, as far as that had come; or need not be, or could not.
    Compacted(Result<Option<Compacted>, JournalError>),
}

/// Whether a change may wait until there is room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It may.
    CanWait,
    /// It may not: it revokes, removes, or opens the way to that.
    Urgent,
}

/// What readers and the writer share.
pub(super) struct Shared {
    pub rows: Rows,
    pub access: RwLock<Access>,
    /// Whether the journal takes no change.
    pub is_journal_unsound: AtomicBool,
    /// Since when the writer has been at what it is doing.
    pub at_work: AtWork,
    /// Counts changes of what decides access, so that bodies in flight can look again.
    pub changed: watch::Sender<u64>,
}

/// Since when the writer has been at what it is doing: a disk that fails may keep it for ever, in a read or a sync.
#[derive(Default)]
pub(super) struct AtWork {
    since: Mutex<Option<Instant>>,
    /// Whether it was told that it takes too long.
    is_told: AtomicBool,
}

impl AtWork {
    pub fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        if since.is_none() && self.is_told.swap(false, Ordering::SeqCst) {
            tracing::info!("the disk has let the writer go; changes are made again");
        }
    }

    /// Whether it takes longer than any disk that works.
    pub fn is_stuck(&self, now: Instant) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| now.duration_since(since) > Duration::from_secs(limits::WRITER_STUCK_S))
    }

    /// Tells it, once.
    pub fn tell(&self, now: Instant) {
        if self.is_stuck(now) && !self.is_told.swap(true, Ordering::SeqCst) {
            tracing::error!(
                seconds = limits::WRITER_STUCK_S,
                "the disk keeps the writer: no change is made until it lets go; look at the disk (dmesg), and do not restart"
            );
        }
    }
}

pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub journal: Journal,
    pub disk: Arc<Disk>,
    pub jobs: mpsc::Receiver<Job>,
    pub watch: Watch,
}

/// One change of a group, not yet on disk. One that says nothing new waits all the same: it may rest on what another
/// of its group says.
struct Pending {
    commit: Option<Commit>,
    finish: Finish,
}

impl Writer {
    /// Runs until every sender is gone.
    pub fn run(mut self) {
        let mut group = Vec::with_capacity(limits::GROUP_COMMITS);
        self.shared.at_work.set(Some(Instant::now()));
        self.tend();
        self.prepare();
        self.shared.at_work.set(None);
        while self.jobs.blocking_recv_many(&mut group, limits::GROUP_COMMITS) > 0 {
            self.shared.at_work.set(Some(Instant::now()));
            let mut changes = Vec::new();
            for job in group.drain(..) {
                match job {
                    Job::Change { now, urgency, attempt } => changes.push((now, urgency, attempt)),
                    other => {
                        self.commit(std::mem::take(&mut changes));
                        self.attend(other);
                    }
                }
            }
            self.commit(changes);
            self.prepare();
            self.shared.at_work.set(None);
        }
        self.shared.rows.close();
        self.journal.close();
    }

    fn attend(&mut self, job: Job) {
        match job {
            Job::Change { now, urgency, attempt } => self.commit(vec![(now, urgency, attempt)]),
            // Whoever asked may have gone.
            Job::Freeze { done } => drop(done.send(self.journal.freeze())),
            Job::Tend => self.tend(),
            Job::Rebuilt(built) => self.take_index(built),
            Job::Compacted(compacted) => self.take_compacted(compacted),
        }
    }

    fn commit(&mut self, changes: Vec<(Timestamp, Urgency, Attempt)>) {
        if changes.is_empty() {
            return;
        }
        let (frames, pending) = self.draft(changes);
        let last_seq = pending.iter().rev().find_map(|pending| pending.commit.as_ref()).map(|commit| commit.seq);
        let Some(last_seq) = last_seq else {
            // As long as nobody knows what the journal ends with, "it is so already" may not be so after a start.
            let is_known = self.journal.is_sound();
            return finish_all(pending, || if is_known { Ok(()) } else { Err(WriteError::Unknown) });
        };
        match self.append(&frames, last_seq) {
            Ok(()) => self.publish(pending),
            Err(error) => finish_all(pending, || Err(refusal_of(&error))),
        }
    }

    /// Appends to the journal; where that has no room, the reserve is its room. It takes it at once: whatever else fills the
    /// disk would have it before the next revocation.
    fn append(&mut self, frames: &[u8], last_seq: u64) -> Result<(), AppendError> {
        if !self.journal.is_sound() {
            return Err(AppendError::NotWritten(std::io::Error::other("it is not sound and waits to be mended")));
        }
        let begin = self.journal.end();
        let mut appended = self.journal.append(frames, last_seq);
        if appended.as_ref().is_err_and(AppendError::is_for_room)
            && let Some(freed) = self.disk.give_up_reserve()
        {
            let is_mended = self.journal.mend().is_ok();
            if is_mended {
                self.journal.hold_room(freed / 2);
            }
            self.disk.hold_rest(freed.saturating_sub(self.journal.room()));
            // Frames say where they begin. In another file, that is elsewhere.
            if is_mended && self.journal.end() == begin {
                appended = self.journal.append(frames, last_seq);
            } else if is_mended {
                // What was mended holds nothing of it.
                appended = appended.map_err(AppendError::taken_back);
            }
        }
        self.shared.is_journal_unsound.store(!self.journal.is_sound(), Ordering::SeqCst);
        appended
    }

    /// Prepares the journal for what comes next, once what has come is answered. A full disk has no room for that.
    fn prepare(&mut self) {
        let has_room = |room: Room| room.fullness < Fullness::NoChanges && !room.is_read_only;
        if !self.journal.wants_preparing(!self.jobs.is_empty()) || !self.disk.room().is_ok_and(has_room) {
            return;
        }
        if let Err(AppendError::NotWritten(error) | AppendError::Unknown(error)) = self.journal.prepare() {
            tracing::warn!(%error, "the journal could not be prepared for changes; they may take longer");
        }
        self.shared.is_journal_unsound.store(!self.journal.is_sound(), Ordering::SeqCst);
    }

    /// Runs every change on what the ones before it left, and frames what they say.
    fn draft(&self, changes: Vec<(Timestamp, Urgency, Attempt)>) -> (Vec<u8>, Vec<Pending>) {
        let refusal = self.refusal();
        let access = self.shared.access.read().unwrap_or_else(PoisonError::into_inner);
        let mut overlay = Overlay::new();
        let mut heads: HashMap<OrganizationId, (u64, String)> = HashMap::new();
        let (mut frames, mut pending, mut seq) = (Vec::new(), Vec::new(), self.journal.seq());
        for (now, urgency, attempt) in changes {
            let mut draft = Draft::new(&self.shared.rows, &access, &overlay);
            let Some(finish) = attempt(&mut draft) else { continue };
            if let Some(error) = draft.broken {
                finish(Err(error));
                continue;
            }
            if draft.is_too_large() {
                finish(Err(WriteError::TooLarge));
                continue;
            }
            if draft.ops.is_empty() && draft.events.is_empty() {
                pending.push(Pending { commit: None, finish });
                continue;
            }
            if let Some(refusal) = refusal.filter(|_| urgency == Urgency::CanWait) {
                finish(Err(refusal()));
                continue;
            }
            let Draft { own, mut ops, events, .. } = draft;
            let mut new_heads = HashMap::new();
            for event in events {
                let organization = event.organization;
                let head = new_heads
                    .get(&organization)
                    .or_else(|| heads.get(&organization))
                    .cloned()
                    .unwrap_or_else(|| access.tally(organization).audit_head);
                let entry = chained(event, &head, now);
                new_heads.insert(organization, (entry.number, entry.hash.clone()));
                match Op::put(&entry) {
                    Ok(op) => ops.push(op),
                    Err(error) => tracing::error!(%error, "an audit entry could not be written down"),
                }
            }
            match self.journal.frame(seq + 1, now, ops) {
                Some((commit, bytes)) => {
                    seq += 1;
                    frames.extend(bytes);
                    overlay.extend(own);
                    heads.extend(new_heads);
                    pending.push(Pending { commit: Some(commit), finish });
                }
                None => finish(Err(WriteError::TooLarge)),
            }
        }
        (frames, pending)
    }

    /// Why no change is taken now that can wait.
    fn refusal(&self) -> Option<fn() -> WriteError> {
        match self.disk.room() {
            Ok(room) if room.fullness == Fullness::NoChanges => Some(|| WriteError::NoSpace),
            _ if self.shared.rows.is_overfull() => Some(|| WriteError::Busy),
            _ => None,
        }
    }

    /// What is on disk becomes what is read: memory, which decides access, then the records, then the index below them,
    /// then answers. Whoever reads a record finds in memory what it says.
    fn publish(&mut self, mut pending: Vec<Pending>) {
        let commits: Vec<Commit> = pending.iter_mut().filter_map(|pending| pending.commit.take()).collect();
        {
            let mut access = self.shared.access.write().unwrap_or_else(PoisonError::into_inner);
            for commit in &commits {
                if let Err(error) = commit.ops.iter().try_for_each(|op| access.apply(op).map(drop)) {
                    tracing::error!(%error, seq = commit.seq, "a record just written does not read");
                }
            }
        }
        if let Err(error) = self.shared.rows.lay(&commits) {
            tracing::error!(%error, "a record just written does not read");
        }
        let decides_access = commits.iter().flat_map(|commit| &commit.ops).any(|op| op.target().0.decides_access());
        if let Err(error) = self.shared.rows.settle(commits, self.journal.seq()) {
            tracing::error!(%error, "the index failed; another one is built from the journal as soon as there is room");
        }
        if decides_access {
            self.shared.changed.send_modify(|count| *count += 1);
        }
        finish_all(pending, || Ok(()));
        if self.journal.wants_compaction() {
            self.compact();
        }
    }
}

/// What is answered where the journal did not take a change. What it may hold all the same is never called refused, for
/// whatever reason it failed.
fn refusal_of(error: &AppendError) -> WriteError {
    match error {
        AppendError::Unknown(error) => {
            tracing::error!(%error, "the journal could not be written, nor what was written taken back");
            WriteError::Unknown
        }
        AppendError::NotWritten(_) if error.is_for_room() => {
            tracing::error!("the disk is full; a change was refused");
            WriteError::NoSpace
        }
        AppendError::NotWritten(error) => {
            tracing::error!(%error, "the journal could not be written; the change was refused");
            WriteError::NotWritten(error.to_string())
        }
    }
}

fn finish_all(pending: Vec<Pending>, outcome: impl Fn() -> Result<(), WriteError>) {
    for Pending { finish, .. } in pending {
        finish(outcome());
    }
}

/// Turns a typed change into a job and a future answer.
pub(super) fn job<T, E>(
    now: Timestamp,
    urgency: Urgency,
    change: impl FnOnce(&mut Draft<'_>) -> Result<T, E> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: From<WriteError> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let attempt: Attempt = Box::new(move |draft| match change(draft) {
        Ok(value) => Some(Box::new(move |outcome: Result<(), WriteError>| {
            // A caller that went away does not undo the change.
            let _ = sender.send(outcome.map(|()| value).map_err(E::from));
        })),
        Err(refusal) => {
            // A refusal that rests on a failed read is no refusal.
            let answer = draft.broken.take().map_or(refusal, E::from);
            let _ = sender.send(Err(answer));
            None
        }
    });
    (Job::Change { now, urgency, attempt }, receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_writer_that_a_disk_keeps_is_stuck_until_it_is_let_go() {
        let (at_work, began) = (AtWork::default(), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        assert!(!at_work.is_stuck(after(1_000_000)), "it has nothing to do");
        at_work.set(Some(began));
        assert!(!at_work.is_stuck(after(limits::WRITER_STUCK_S)));
        assert!(at_work.is_stuck(after(limits::WRITER_STUCK_S + 1)));
        at_work.tell(after(limits::WRITER_STUCK_S + 1));
        assert!(at_work.is_told.load(Ordering::SeqCst));
        at_work.set(None);
        assert!(!at_work.is_stuck(after(limits::WRITER_STUCK_S + 1)) && !at_work.is_told.load(Ordering::SeqCst));
    }

    #[test]
    fn a_full_disk_is_no_refusal_where_the_journal_may_hold_the_change() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(matches!(refusal_of(&AppendError::Unknown(Error::from(kind))), WriteError::Unknown), "{kind}");
            assert!(matches!(refusal_of(&AppendError::NotWritten(Error::from(kind))), WriteError::NoSpace), "{kind}");
        }
        let other = || Error::from(ErrorKind::InvalidInput);
        assert!(matches!(refusal_of(&AppendError::Unknown(other())), WriteError::Unknown));
        assert!(matches!(refusal_of(&AppendError::NotWritten(other())), WriteError::NotWritten(_)));
        assert!(matches!(refusal_of(&AppendError::Unknown(other()).taken_back()), WriteError::NotWritten(_)));
    }
}
