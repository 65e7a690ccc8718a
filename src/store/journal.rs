//! The journal: an append-only file of commits, each framed as length, CRC32C and JSON.
//!
//! ```text
//! length  u32 LE   bytes of JSON that follow the checksum
//! crc32c  u32 LE   CRC32C (RFC 3720 §12.1) of those bytes
//! JSON    one `Commit`
//! ```
//!
//! An append is acknowledged after `fdatasync`. What a power cut may leave behind the last acknowledged byte is
//! dropped at the next start; damage before it is an error with its position, never skipped: it might have been a
//! revocation. Each commit says how much was on disk when it was written (`durable`), which tells the two apart even
//! when the commits of one group reached the disk out of order.

use super::op::{Commit, Op};
use super::remedy::with_remedy;
use crate::domain::{Kind, Timestamp, limits};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const FRAME_BYTES: usize = 8;
/// Longest JSON of a frame: a commit at its limit, with room for its own members.
const MAX_JSON_BYTES: usize = limits::COMMIT_BYTES + 4096;

/// Why a journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk said no.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Damage before the acknowledged end.
    #[error(
        "{path} is damaged at byte {offset}: {what}; nothing was changed. \
         Restore a backup, or ask for help with this file: skipping a record could undo a revocation"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the unreadable record begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no journal where there was one.
    #[error(
        "{path} is missing or empty, but {rest} is there: this directory held records. Put the journal back or restore a backup"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// What shows that there was one.
        rest: PathBuf,
    },
    /// The index has applied more than the journal holds.
    #[error(
        "{path} ends with change {seq}, but change {known_seq} was acknowledged: its end is damaged or it is an older \
         copy; nothing was changed. Put the right journal back or restore a backup. To go on with this one and lose \
         the changes between, move the `index` directory beside it away"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its last commit.
        seq: u64,
        /// The last commit that the index has applied.
        known_seq: u64,
    },
}

/// An open journal, positioned at its end.
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes known to be on disk.
    durable: u64,
    /// Number of the last commit.
    seq: u64,
    /// Length of its compacted head.
    compacted: u64,
}

impl Journal {
    /// Creates an empty journal where there is none. The caller syncs the directory.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|file| file.sync_all().map(|()| file))
            .map_err(|error| io_error(path, error))?;
        Ok(Self { path: path.to_owned(), file, durable: 0, seq: 0, compacted: 0 })
    }

    /// Opens a journal, hands every commit to `each` in order, and drops what an interrupted append left at its end.
    ///
    /// # Errors
    /// [`JournalError::Older`] if it ends before commit `known_seq`, of which the caller knows that it was
    /// acknowledged: it is damaged at its end, or an older copy.
    pub fn open(path: &Path, known_seq: u64, each: impl FnMut(Commit)) -> Result<Self, JournalError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| io_error(path, error))?;
        let ReadThrough { end: durable, head_end, seq, vouched } = read_all(path, &file, each)?;
        if seq < known_seq {
            return Err(JournalError::Older { path: path.to_owned(), seq, known_seq });
        }
        rewrite(&file, vouched..durable).map_err(|error| io_error(path, error))?;
        let length = file.metadata().map_err(|error| io_error(path, error))?.len();
        if length > durable {
            tracing::warn!(dropped_bytes = length - durable, "dropped the unfinished end of the journal");
            file.set_len(durable).and_then(|()| file.sync_all()).map_err(|error| io_error(path, error))?;
        }
        Ok(Self { path: path.to_owned(), file, durable, seq, compacted: head_end })
    }

    /// Reads a journal without changing it: number of the last commit, and bytes behind the last whole one.
    pub fn inspect(path: &Path, each: impl FnMut(Commit)) -> Result<(u64, u64), JournalError> {
        let file = File::open(path).map_err(|error| io_error(path, error))?;
        let ReadThrough { end, seq, .. } = read_all(path, &file, each)?;
        let length = file.metadata().map_err(|error| io_error(path, error))?.len();
        Ok((seq, length - end))
    }

    /// Number of the last commit.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The frame of the commit that follows `seq`, for [`Journal::append`]; `None` if it is over its size limit.
    pub fn frame(&self, seq: u64, at: Timestamp, ops: Vec<Op>) -> Option<(Commit, Vec<u8>)> {
        let commit = Commit { seq, snapshot: false, durable: self.durable, at, ops };
        let bytes = frame(&commit).ok().filter(|bytes| bytes.len() <= limits::COMMIT_BYTES)?;
        Some((commit, bytes))
    }

    /// Appends a group of frames that end with commit `last_seq`, and waits for the disk.
    ///
    /// # Errors
    /// [`AppendError::NotWritten`] leaves the journal as it was. [`AppendError::Unknown`] means that what the disk
    /// holds is not known: this journal must not be written to again.
    pub fn append(&mut self, frames: &[u8], last_seq: u64) -> Result<(), AppendError> {
        if let Err(error) = self.file.write_all_at(frames, self.durable) {
            return match self.file.set_len(self.durable) {
                Ok(()) => Err(AppendError::NotWritten(error)),
                Err(_) => Err(AppendError::Unknown(error)),
            };
        }
        // After a failed sync the kernel may have dropped the pages and report success the next time.
        self.file.sync_data().map_err(AppendError::Unknown)?;
        self.durable += frames.len() as u64;
        self.seq = last_seq;
        Ok(())
    }

    /// Whether it has grown enough to be worth compacting.
    pub fn wants_compaction(&self) -> bool {
        self.durable > limits::JOURNAL_COMPACT_BYTES && self.durable > self.compacted.saturating_mul(2)
    }

    /// Rewrites the journal with only the latest operation on each record: temporary file, fsync, rename, fsync of
    /// the directory. Reads the journal alone, never the index.
    ///
    /// # Errors
    /// [`CompactError::NotDone`] leaves the journal as it was. [`CompactError::Unknown`] means that a power cut may
    /// bring the old one back, without what is appended from now on: this journal must not be written to again.
    pub fn compact(&mut self) -> Result<(), CompactError> {
        let temporary = self.path.with_extension("compacting");
        let replaced = self.write_compacted(&temporary).and_then(|written| {
            std::fs::rename(&temporary, &self.path).map(|()| written).map_err(|error| io_error(&temporary, error))
        });
        let (file, written) = replaced.map_err(|error| {
            // A full disk needs the room back, and is asked again only after as much growth again.
            let _ = std::fs::remove_file(&temporary);
            self.compacted = self.durable;
            CompactError::NotDone(error)
        })?;
        // The old file has no name any more: from here on nothing may be written to it.
        tracing::info!(before_bytes = self.durable, after_bytes = written, "journal compacted");
        self.file = file;
        self.durable = written;
        self.compacted = written;
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        sync_directory(directory).map_err(|error| CompactError::Unknown(io_error(directory, error)))
    }

    fn write_compacted(&self, temporary: &Path) -> Result<(File, u64), JournalError> {
        // First pass: which commit last touched each record.
        let mut latest: HashMap<(Kind, Uuid), (u64, usize)> = HashMap::new();
        let mut position = 0_u64;
        read_all(&self.path, &self.file, |commit| {
            for (at, op) in commit.ops.iter().enumerate() {
                latest.insert(op.target(), (position, at));
            }
            position += 1;
        })?;
        // Second pass: copy those that still say something.
        let to_error = |error| io_error(temporary, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(temporary).map_err(to_error)?;
        let mut out = BufWriter::new(&file);
        let (mut position, mut written) = (0_u64, 0_u64);
        let mut failed = None;
        read_all(&self.path, &self.file, |commit| {
            let ops: Vec<Op> = commit
                .ops
                .into_iter()
                .enumerate()
                .filter(|(at, op)| latest.get(&op.target()) == Some(&(position, *at)) && matches!(op, Op::Put { .. }))
                .map(|(_, op)| op)
                .collect();
            position += 1;
            if !ops.is_empty() && failed.is_none() {
                let head = Commit { seq: self.seq, snapshot: true, durable: written, at: commit.at, ops };
                match frame(&head).and_then(|bytes| out.write_all(&bytes).map(|()| bytes.len())) {
                    Ok(length) => written += length as u64,
                    Err(error) => failed = Some(error),
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(to_error(error));
        }
        // An empty commit closes the head, so that one that was cut short is known; it carries the number to go on from.
        let at = Timestamp::from_millis(0);
        let close = Commit { seq: self.seq, snapshot: true, durable: written, at, ops: Vec::new() };
        let bytes = frame(&close).map_err(to_error)?;
        out.write_all(&bytes).map_err(to_error)?;
        written += bytes.len() as u64;
        out.flush().map_err(to_error)?;
        drop(out);
        file.sync_all().map_err(to_error)?;
        Ok((file, written))
    }

    /// The journal as it stands on disk: what is appended or compacted later does not change it.
    pub fn freeze(&self) -> Result<FrozenJournal, JournalError> {
        let file = self.file.try_clone().map_err(|error| io_error(&self.path, error))?;
        Ok(FrozenJournal { file, length: self.durable, seq: self.seq })
    }
}

/// A journal as of one commit.
pub struct FrozenJournal {
    file: File,
    length: u64,
    /// Number of that commit.
    pub seq: u64,
}

impl FrozenJournal {
    /// Copies it, synced; for a backup.
    pub fn copy_to(&self, path: &Path) -> Result<(), JournalError> {
        let to_error = |error| io_error(path, error);
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(to_error)?;
        let (mut offset, mut buffer) = (0, vec![0; 1 << 20]);
        while offset < self.length {
            let step = usize::try_from(self.length - offset).unwrap_or(usize::MAX).min(buffer.len());
            let step = buffer.get_mut(..step).unwrap_or_default();
            // By position: the writer goes on using the same open file.
            self.file.read_exact_at(step, offset).and_then(|()| copy.write_all(step)).map_err(to_error)?;
            offset += step.len() as u64;
        }
        copy.sync_all().map_err(to_error)
    }
}

/// Why an append was not acknowledged.
#[derive(Debug)]
pub enum AppendError {
    /// Nothing of it is in the journal.
    NotWritten(io::Error),
    /// Whether it is on disk is not known.
    Unknown(io::Error),
}

/// Why a journal was not compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// It is as it was.
    #[error(transparent)]
    NotDone(JournalError),
    /// Which of the two a power cut would leave is not known.
    #[error(transparent)]
    Unknown(JournalError),
}

/// Syncs a directory, so that names made or changed in it survive a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn io_error(path: &Path, error: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), error: with_remedy(path, error) }
}

fn frame(commit: &Commit) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FRAME_BYTES];
    serde_json::to_writer(&mut bytes, commit)?;
    let (head, json) = bytes.split_at_mut(FRAME_BYTES);
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let (length_field, crc_field) = head.split_at_mut(4);
    length_field.copy_from_slice(&length.to_le_bytes());
    crc_field.copy_from_slice(&crc32c::crc32c(json).to_le_bytes());
    Ok(bytes)
}

/// What a journal holds.
struct ReadThrough {
    /// End of the last whole commit, in bytes.
    end: u64,
    /// End of the compacted head, in bytes.
    head_end: u64,
    /// Number of the last whole commit.
    seq: u64,
    /// Bytes that a commit says were on disk before it.
    vouched: u64,
}

/// Writes bytes that were read back over themselves and syncs them: after a kill, or a sync that failed, they may have
/// come from the page cache, and what is served from now on must survive a power cut.
fn rewrite(file: &File, range: std::ops::Range<u64>) -> io::Result<()> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    file.write_all_at(&bytes, range.start)?;
    file.sync_all()
}

/// Hands every commit to `each`.
fn read_all(path: &Path, file: &File, mut each: impl FnMut(Commit)) -> Result<ReadThrough, JournalError> {
    let length = file.metadata().map_err(|error| io_error(path, error))?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    reader.seek(SeekFrom::Start(0)).map_err(|error| io_error(path, error))?;
    let (mut offset, mut head_end, mut seq, mut vouched) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut in_head, mut is_head_closed) = (true, true);
    let damaged = |offset, what| JournalError::Damaged { path: path.to_owned(), offset, what };
    while offset < length {
        let read = read_frame(&mut reader, length - offset).map_err(|error| io_error(path, error))?;
        let (commit, size) = match read {
            Frame::Whole(commit, size) => (commit, size),
            Frame::Foreign => {
                return Err(damaged(offset, "a record is whole but says nothing this version understands"));
            }
            Frame::Broken if tail_is_unfinished(file, offset, length).map_err(|error| io_error(path, error))? => break,
            Frame::Broken => {
                return Err(damaged(offset, "a record before the acknowledged end does not match its checksum"));
            }
        };
        in_head &= commit.snapshot;
        let follows = if in_head {
            commit.seq == seq || offset == 0
        } else {
            is_head_closed && !commit.snapshot && commit.seq == seq + 1
        };
        if !follows {
            let what = "its number does not follow the one before it: records are missing, repeated or out of order";
            return Err(damaged(offset, what));
        }
        seq = commit.seq;
        vouched = commit.durable.min(offset);
        offset += size;
        if in_head {
            head_end = offset;
            is_head_closed = commit.ops.is_empty();
        }
        each(commit);
    }
    if !is_head_closed {
        return Err(damaged(offset, "its compacted head ends too early"));
    }
    Ok(ReadThrough { end: offset, head_end, seq, vouched })
}

/// What stands at a place of the journal.
enum Frame {
    /// A commit, and the bytes it takes.
    Whole(Commit, u64),
    /// Bytes that match their checksum and are no commit that we know.
    Foreign,
    /// Anything else.
    Broken,
}

fn read_frame(reader: &mut impl Read, left: u64) -> io::Result<Frame> {
    if left < FRAME_BYTES as u64 {
        return Ok(Frame::Broken);
    }
    let mut head = [0; FRAME_BYTES];
    reader.read_exact(&mut head)?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let (length, crc) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
    let size = u64::from(length) + FRAME_BYTES as u64;
    if length == 0 || length as usize > MAX_JSON_BYTES || size > left {
        return Ok(Frame::Broken);
    }
    let mut json = vec![0; length as usize];
    reader.read_exact(&mut json)?;
    if crc32c::crc32c(&json) != crc {
        return Ok(Frame::Broken);
    }
    Ok(serde_json::from_slice(&json).map_or(Frame::Foreign, |commit| Frame::Whole(commit, size)))
}

/// Whether what begins at `bad` was never acknowledged: no whole commit behind it says that `bad` was on disk already
/// when it was written.
fn tail_is_unfinished(file: &File, bad: u64, length: u64) -> io::Result<bool> {
    let mut tail = Vec::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(bad))?;
    reader.take(length - bad).read_to_end(&mut tail)?;
    for start in 1..tail.len() {
        let rest = tail.get(start..).unwrap_or_default();
        // Nearly every start fails on its length field at once.
        if let Frame::Whole(commit, _) = read_frame(&mut &*rest, rest.len() as u64)?
            && commit.durable > bad
        {
            return Ok(false);
        }
    }
    // A last record that was acknowledged and damaged since looks the same from here; the index, which counts what it
    // has applied, knows better (`Catalog::open`).
    Ok(true)
}

#[cfg(test)]
mod tests;
