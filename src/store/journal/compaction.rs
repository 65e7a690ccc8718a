//! Compacting: a journal with only the latest operation on each record is written beside the present one, on another
//! thread, while that one goes on. What was appended to it meanwhile follows in the end.
//!
//! Names are given and taken away on the writer's thread alone; this one knows open files.

use super::super::op::{Commit, Op};
use super::frames::{frame, read_all, read_on};
use super::{FrozenJournal, JournalError, io_error};
use crate::domain::{Kind, Timestamp};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use uuid::Uuid;

/// A compaction to be run.
pub struct Compaction {
    pub(super) source: FrozenJournal,
    /// An empty file, and its name.
    pub(super) file: File,
    pub(super) temporary: PathBuf,
}

/// What is to take the journal's place: all that it said up to some commit.
pub struct Compacted {
    pub(super) file: File,
    pub(super) temporary: PathBuf,
    /// Length of the head, which has the latest of each record.
    pub(super) head_bytes: u64,
    /// Length of all of it, on disk.
    pub(super) written: u64,
    /// How much of the journal is in it, and the last commit of that.
    pub(super) read_to: u64,
    seq: u64,
    /// The journal's file that it was made of: another one says more.
    pub(super) generation: u64,
}

/// Where the latest operation on a record stands, and how many bytes it takes.
struct Latest {
    position: u64,
    at: usize,
    bytes: usize,
}

impl Compaction {
    /// Writes the latest operation on each record, if at least half of the journal goes by it.
    pub fn run(self) -> Result<Option<Compacted>, JournalError> {
        let latest = self.latest()?;
        let kept: usize = latest.values().map(|latest| latest.bytes).sum();
        if kept as u64 > self.source.length / 2 { Ok(None) } else { self.write(&latest).map(Some) }
    }

    /// The same whatever goes.
    pub(super) fn run_anyway(self) -> Result<Compacted, JournalError> {
        let latest = self.latest()?;
        self.write(&latest)
    }

    /// First pass: which operation last stored each record that is there.
    fn latest(&self) -> Result<HashMap<(Kind, Uuid), Latest>, JournalError> {
        let FrozenJournal { path, file, length, seq, .. } = &self.source;
        let (mut latest, mut position) = (HashMap::new(), 0_u64);
        let read = read_all(path, file, *length, |commit| {
            for (at, op) in commit.ops.iter().enumerate() {
                if matches!(op, Op::Put { .. }) {
                    // What is no JSON was not read from any.
                    let bytes = serde_json::to_vec(op).map_or(0, |json| json.len());
                    latest.insert(op.target(), Latest { position, at, bytes });
                } else {
                    latest.remove(&op.target());
                }
            }
            position += 1;
        })?;
        if (read.seq, read.end) != (*seq, *length) {
            let what = "what was acknowledged can't be read back";
            return Err(JournalError::Damaged { path: path.clone(), offset: read.end, what });
        }
        Ok(latest)
    }

    /// Second pass: copies those.
    fn write(self, latest: &HashMap<(Kind, Uuid), Latest>) -> Result<Compacted, JournalError> {
        let Self { source: FrozenJournal { path, file: source, length, seq, generation }, file, temporary } = self;
        let to_error = |error| io_error(&temporary, error);
        let mut out = BufWriter::new(&file);
        let (mut position, mut written, mut failed) = (0_u64, 0_u64, None);
        let mut put = |head: &Commit| {
            let bytes = frame(head)?;
            out.write_all(&bytes)?;
            Ok(bytes.len() as u64)
        };
        read_all(&path, &source, length, |commit| {
            let is_latest = |(at, op): &(usize, Op)| {
                latest.get(&op.target()).is_some_and(|latest| (latest.position, latest.at) == (position, *at))
            };
            let ops: Vec<Op> = commit.ops.into_iter().enumerate().filter(is_latest).map(|(_, op)| op).collect();
            position += 1;
            if !ops.is_empty() && failed.is_none() {
                match put(&Commit { seq, snapshot: true, durable: written, at: commit.at, ops }) {
                    Ok(length) => written += length,
                    Err(error) => failed = Some(error),
                }
            }
        })?;
        // An empty commit closes the head, so that one that was cut short is known; it carries the number to go on from.
        let close = Commit { seq, snapshot: true, durable: written, at: Timestamp::from_millis(0), ops: Vec::new() };
        let closed = failed.map_or_else(|| put(&close), Err);
        written += closed.and_then(|length| out.flush().map(|()| length)).map_err(to_error)?;
        drop(out);
        file.sync_all().map_err(to_error)?;
        Ok(Compacted { file, temporary, head_bytes: written, written, read_to: length, seq, generation })
    }
}

impl Compacted {
    /// Appends what the journal got since.
    pub fn follow(mut self, journal: &FrozenJournal) -> Result<Self, JournalError> {
        let (mut bytes, mut failed) = (Vec::new(), None);
        let range = self.read_to..journal.length;
        self.seq = read_on(&journal.path, &journal.file, range, self.seq, |mut commit| {
            // Nothing of it counts before all of it is on disk. So each may say that what is before it was.
            commit.durable = self.written + bytes.len() as u64;
            match frame(&commit) {
                Ok(frame) => bytes.extend(frame),
                Err(error) => failed = Some(error),
            }
        })?;
        self.read_to = journal.length;
        let written = failed.map_or(Ok(()), Err).and_then(|()| self.file.write_all_at(&bytes, self.written));
        written.and_then(|()| self.file.sync_all()).map_err(|error| io_error(&self.temporary, error))?;
        self.written += bytes.len() as u64;
        Ok(self)
    }
}
