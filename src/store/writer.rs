//! The one writer: takes changes from a queue, journals them in groups with one `fdatasync`, then applies them to
//! memory, then to the records and their index, then answers. In that order, always.

use super::access::Access;
use super::draft::{Draft, Overlay};
use super::journal::{AppendError, CompactError, FrozenJournal, Journal, JournalError};
use super::op::{Commit, Op};
use super::rows::Rows;
use super::write_error::WriteError;
use crate::domain::{AuditEntry, AuditEvent, AuditId, OrganizationId, Timestamp, limits};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{mpsc, oneshot, watch};

/// What happens to a change once its record is on disk, or failed to get there.
type Finish = Box<dyn FnOnce(Result<(), WriteError>) + Send>;

/// Runs one change on a draft; `None` if it refused itself and has answered.
type Attempt = Box<dyn FnOnce(&mut Draft<'_>) -> Option<Finish> + Send>;

/// What the writer is asked for.
pub(super) enum Job {
    /// Make a change.
    Change { now: Timestamp, attempt: Attempt },
    /// Hand out the journal as it stands on disk after one commit.
    Freeze { done: oneshot::Sender<Result<FrozenJournal, JournalError>> },
}

/// What readers and the writer share.
pub(super) struct Shared {
    pub rows: Rows,
    pub access: RwLock<Access>,
    pub poisoned: AtomicBool,
    /// Counts changes of what decides access, so that bodies in flight can look again.
    pub changed: watch::Sender<u64>,
}

pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub journal: Journal,
    pub jobs: mpsc::Receiver<Job>,
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
        while self.jobs.blocking_recv_many(&mut group, limits::GROUP_COMMITS) > 0 {
            let mut changes = Vec::new();
            for job in group.drain(..) {
                match job {
                    Job::Change { now, attempt } => changes.push((now, attempt)),
                    Job::Freeze { done } => {
                        self.commit(std::mem::take(&mut changes));
                        // Whoever asked may have gone.
                        let _ = done.send(self.journal.freeze());
                    }
                }
            }
            self.commit(changes);
        }
        self.shared.rows.flush();
    }

    fn commit(&mut self, changes: Vec<(Timestamp, Attempt)>) {
        if changes.is_empty() {
            return;
        }
        let (frames, pending) = self.draft(changes);
        let last_seq = pending.iter().rev().find_map(|pending| pending.commit.as_ref()).map(|commit| commit.seq);
        let Some(last_seq) = last_seq else { return finish_all(pending, || Ok(())) };
        if self.shared.poisoned.load(Ordering::SeqCst) {
            return finish_all(pending, || Err(WriteError::Poisoned));
        }
        match self.journal.append(&frames, last_seq) {
            Ok(()) => self.publish(pending),
            Err(AppendError::NotWritten(error)) => {
                tracing::error!(%error, "the journal could not be written; the change was refused");
                finish_all(pending, || Err(WriteError::NotWritten(error.to_string())));
            }
            Err(AppendError::Unknown(error)) => {
                tracing::error!(%error, "the journal could not be synced; no more changes until a restart");
                self.shared.poisoned.store(true, Ordering::SeqCst);
                finish_all(pending, || Err(WriteError::Poisoned));
            }
        }
    }

    /// Runs every change on what the ones before it left, and frames what they say.
    fn draft(&self, changes: Vec<(Timestamp, Attempt)>) -> (Vec<u8>, Vec<Pending>) {
        let access = self.shared.access.read().unwrap_or_else(PoisonError::into_inner);
        let mut overlay = Overlay::new();
        let mut heads: HashMap<OrganizationId, (u64, String)> = HashMap::new();
        let (mut frames, mut pending, mut seq) = (Vec::new(), Vec::new(), self.journal.seq());
        for (now, attempt) in changes {
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

    /// What is on disk becomes what is read: memory, which decides access, then the records, then the index below them,
    /// then answers. Whoever reads a record finds in memory what it says.
    fn publish(&mut self, mut pending: Vec<Pending>) {
        let commits: Vec<Commit> = pending.iter_mut().filter_map(|pending| pending.commit.take()).collect();
        {
            let mut access = self.shared.access.write().unwrap_or_else(PoisonError::into_inner);
            for commit in &commits {
                if let Err(error) = access.apply(&commit.ops) {
                    tracing::error!(%error, seq = commit.seq, "a record just written does not read");
                }
            }
        }
        if let Err(error) = self.shared.rows.lay(&commits) {
            tracing::error!(%error, "a record just written does not read");
        }
        if let Err(error) = self.shared.rows.settle(&commits, self.journal.seq()) {
            // The journal has it, and memory does; the next start rebuilds the index.
            tracing::error!(%error, seq = self.journal.seq(), "the index did not take a change; restart to rebuild it");
            self.shared.poisoned.store(true, Ordering::SeqCst);
        }
        self.shared.changed.send_modify(|count| *count += 1);
        finish_all(pending, || Ok(()));
        if self.journal.wants_compaction()
            && let Err(error) = self.journal.compact()
        {
            tracing::error!(%error, "the journal was not compacted");
            if matches!(error, CompactError::Unknown(_)) {
                self.shared.poisoned.store(true, Ordering::SeqCst);
            }
        }
    }
}

fn finish_all(pending: Vec<Pending>, outcome: impl Fn() -> Result<(), WriteError>) {
    for Pending { finish, .. } in pending {
        finish(outcome());
    }
}

/// The entry that follows `head` in its organization's log.
fn chained(event: AuditEvent, head: &(u64, String), now: Timestamp) -> AuditEntry {
    let AuditEvent { actor, organization, action, subject, detail } = event;
    let number = head.0 + 1;
    let name = Sha256::digest(format!("screener audit {organization} {number}"));
    let mut entry = AuditEntry {
        id: AuditId::from_random(*name.first_chunk::<16>().unwrap_or(&[0; 16])),
        organization,
        number,
        at: now,
        actor,
        action: action.to_owned(),
        subject,
        detail,
        previous: head.1.clone(),
        hash: String::new(),
    };
    entry.hash = audit_hash(&entry);
    entry
}

/// The hash that an audit entry must carry.
pub(super) fn audit_hash(entry: &AuditEntry) -> String {
    let digest = Sha256::digest(format!("{}\n{}", entry.previous, entry.hashed_text()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Turns a typed change into a job and a future answer.
pub(super) fn job<T, E>(
    now: Timestamp,
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
    (Job::Change { now, attempt }, receiver)
}
