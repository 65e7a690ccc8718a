//! The journal: an append-only file of commits, each framed as length, CRC32C and JSON.
//!
//! ```text
//! length  u32 LE   bytes of JSON that follow the checksum
//! crc32c  u32 LE   CRC32C (RFC 3720 §12.1) of those bytes
//! JSON    one `Commit`
//! ```
//!
//! An append is acknowledged after `fdatasync`. So that this need not wait for the file system's own records of the file,
//! zeros are written behind the end ahead of need; there they mean nothing. What else a power cut may leave behind the last
//! acknowledged byte is dropped at the next start; damage before it is an error with its position, never skipped: it might
//! have been a revocation. Each commit says how much was on disk when it was written (`durable`), which tells the two apart even
//! when the commits of one group reached the disk out of order. In the head of a compacted journal, whose commits share
//! one number, `durable` is where the commit stands, so that none can be missing. A file without any commit is damaged,
//! too: the first one is on disk before the state directory has its name.
//!
//! A descriptor that failed is not written to again: after a failed sync the kernel may have dropped what was written
//! and report success the next time. A failed write is cut off again and the file opened anew; after a failed sync only
//! another file will do, which gets what was acknowledged and then the journal's name. Until that is done the journal is
//! not sound and takes nothing.

use super::disk::allocate_up_to;
use super::op::{Commit, Op};
use super::remedy::with_remedy;
use super::small_file;
use crate::domain::{Timestamp, limits};
use frames::{ReadThrough, frame, read_all, written_length};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

mod compaction;
mod frames;

pub use compaction::{Compacted, Compaction};

/// What the name of a journal ends with that is to take the place of the present one.
const COMPACTING: &str = "compacting";

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
    /// There is no journal, or an empty one, where there was one.
    #[error("{0} is missing or empty, and this directory held records. Put the journal back or restore a backup")]
    Missing(PathBuf),
    /// There is no room for the index.
    #[error("{0}: there is no room on the disk for the index of the records; make room, then start again")]
    NoRoom(PathBuf),
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
    /// Length of its compacted head; or of all of it, when it was last found that compacting wins nothing.
    compacted: u64,
    /// Counts the files that have had its name.
    generation: u64,
    /// Up to where room is held for it.
    held_to: u64,
    /// Up to where zeros are on disk behind its end.
    prepared_to: u64,
    /// Whether its file takes them.
    is_preparable: bool,
    /// Whether what the disk holds is known.
    is_sound: bool,
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
        Ok(Self {
            path: path.to_owned(),
            file,
            durable: 0,
            seq: 0,
            compacted: 0,
            generation: 0,
            held_to: 0,
            prepared_to: 0,
            is_preparable: true,
            is_sound: true,
        })
    }

    /// Opens a journal, hands every commit to `each` in order, and drops what an interrupted append left at its end. An empty
    /// one is taken for one that was just created.
    ///
    /// # Errors
    /// [`JournalError::Older`] if it ends before commit `known_seq`, of which the caller knows that it was
    /// acknowledged: it is damaged at its end, or an older copy.
    pub fn open(path: &Path, known_seq: u64, each: impl FnMut(Commit)) -> Result<Self, JournalError> {
        let file = open_file(path).map_err(|error| io_error(path, error))?;
        let length = written_length(&file).map_err(|error| io_error(path, error))?;
        let ReadThrough { end: durable, head_end, seq, vouched } = read_all(path, &file, length, each)?;
        if seq < known_seq {
            return Err(JournalError::Older { path: path.to_owned(), seq, known_seq });
        }
        rewrite(&file, vouched..durable).map_err(|error| io_error(path, error))?;
        // A compaction that was interrupted only takes up room.
        let _ = std::fs::remove_file(path.with_extension(COMPACTING));
        if length > durable {
            tracing::warn!(dropped_bytes = length - durable, "dropped the unfinished end of the journal");
            file.set_len(durable).and_then(|()| file.sync_all()).map_err(|error| io_error(path, error))?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            durable,
            seq,
            compacted: head_end,
            generation: 0,
            held_to: 0,
            prepared_to: 0,
            is_preparable: true,
            is_sound: true,
        })
    }

    /// Reads a journal without changing it: number of the last commit, and bytes of an unfinished one behind it.
    pub fn inspect(path: &Path, each: impl FnMut(Commit)) -> Result<(u64, u64), JournalError> {
        let file = small_file::open_file(path, OpenOptions::new().read(true)).map_err(|error| io_error(path, error))?;
        let length = written_length(&file).map_err(|error| io_error(path, error))?;
        if length == 0 {
            return Err(JournalError::Missing(path.to_owned()));
        }
        let ReadThrough { end, seq, .. } = read_all(path, &file, length, each)?;
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

    /// Where the next frame goes: bytes known to be on disk.
    pub fn end(&self) -> u64 {
        self.durable
    }

    /// Whether it takes frames. One that does not is to be mended.
    pub fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Appends a group of frames that end with commit `last_seq`, and waits for the disk. Not to be called on one that is
    /// not sound.
    ///
    /// # Errors
    /// [`AppendError::NotWritten`]: nothing of it is in the journal, nor will be. [`AppendError::Unknown`]: whether it is
    /// on disk is not known, and the journal is not sound.
    pub fn append(&mut self, frames: &[u8], last_seq: u64) -> Result<(), AppendError> {
        self.put(frames, self.durable)?;
        self.durable += frames.len() as u64;
        self.seq = last_seq;
        Ok(())
    }

    /// Whether it takes zeros and has few left behind its end: fewer than a quarter, or where changes wait than
    /// [`limits::JOURNAL_PREPARED_LEAST_BYTES`].
    pub fn wants_preparing(&self, do_changes_wait: bool) -> bool {
        let least = match do_changes_wait {
            true => limits::JOURNAL_PREPARED_LEAST_BYTES,
            false => limits::JOURNAL_PREPARED_BYTES / 4,
        };
        self.is_sound && self.is_preparable && self.prepared_to < self.durable + least
    }

    /// Writes zeros behind its end: what is appended overwrites blocks that the file has, and a sync of that waits for them
    /// alone. It is slower without.
    ///
    /// # Errors
    /// As for an append. It wants none any more then.
    pub fn prepare(&mut self) -> Result<(), AppendError> {
        let from = self.prepared_to.max(self.durable);
        let prepared = self.put(&vec![0; limits::JOURNAL_PREPARED_BYTES as usize], from);
        self.is_preparable = prepared.is_ok();
        prepared?;
        self.prepared_to = from + limits::JOURNAL_PREPARED_BYTES;
        Ok(())
    }

    /// Takes the zeros away, so that it ends with its last commit. It is not to be appended to again.
    pub fn close(self) {
        // What a start finds of them does no harm. Room that is held behind the end would go with them.
        if self.is_sound && self.prepared_to > self.durable && self.room() == 0 {
            let _ = self.file.set_len(self.durable);
        }
    }

    /// Writes bytes behind the end, and waits for the disk.
    fn put(&mut self, bytes: &[u8], at: u64) -> Result<(), AppendError> {
        let written = self.file.write_all_at(bytes, at);
        let is_written = written.is_ok();
        let Err(error) = written.and_then(|()| self.file.sync_data()) else { return Ok(()) };
        let undone = if is_written { self.renew() } else { self.cut_back().or_else(|_| self.renew()) };
        match undone {
            Ok(()) => Err(AppendError::NotWritten(error)),
            Err(trouble) => {
                tracing::error!(%trouble, "the journal is not sound; no change is taken until it is");
                self.is_sound = false;
                // A start that comes before that is to find what memory holds. Without a sync, a power cut may undo this.
                let _ = open_file(&self.path).and_then(|file| file.set_len(self.durable));
                Err(AppendError::Unknown(error))
            }
        }
    }

    /// Holds room behind its end, as near to so many bytes as can be had. The file is no longer for it, and a start finds it
    /// still there.
    pub fn hold_room(&mut self, bytes: u64) {
        let held = allocate_up_to(&self.file, self.durable, bytes.min(limits::JOURNAL_HELD_BYTES));
        self.held_to = self.durable.saturating_add(held);
    }

    /// Bytes that are held behind its end.
    pub fn room(&self) -> u64 {
        self.held_to.saturating_sub(self.durable)
    }

    /// Takes away what a failed write may have left, and opens the file anew.
    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.durable)?;
        self.prepared_to = 0;
        // That has given back what was held.
        self.hold_room(self.room());
        self.file.sync_all()?;
        self.file = open_file(&self.path)?;
        Ok(())
    }

    /// Makes one that is not sound take frames again.
    pub fn mend(&mut self) -> Result<(), JournalError> {
        if self.is_sound { Ok(()) } else { self.renew() }
    }

    /// Whether it has grown enough to look whether compacting it wins something.
    pub fn wants_compaction(&self) -> bool {
        self.is_sound && self.durable > limits::JOURNAL_COMPACT_BYTES && self.durable > self.compacted.saturating_mul(2)
    }

    /// Begins to rewrite the journal with only the latest operation on each record. [`Compaction::run`] does it, on any
    /// thread, and [`Journal::finish_compaction`] ends it. Reads the journal alone, never the index.
    pub fn begin_compaction(&self) -> Result<Compaction, JournalError> {
        let temporary = self.temporary();
        // A left-over, or one that is still being written to, which is then nobody's.
        let _ = std::fs::remove_file(&temporary);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&temporary).map_err(|error| io_error(&temporary, error))?;
        // Through a descriptor of its own: the other one may have failed.
        let old = File::open(&self.path).map_err(|error| io_error(&self.path, error))?;
        Ok(Compaction { source: self.frozen(old), file, temporary })
    }

    /// Bytes that were appended since a compaction read the journal.
    pub fn bytes_behind(&self, compacted: &Compacted) -> u64 {
        let is_of_this = compacted.generation == self.generation;
        if is_of_this { self.durable.saturating_sub(compacted.read_to) } else { 0 }
    }

    /// Puts a compacted journal in the place of the present one, with what was appended since; whether it did. It does not
    /// where another file has taken that place meanwhile.
    ///
    /// # Errors
    /// Whatever stood in the way. The journal goes on as it was if it still [is sound](Self::is_sound).
    pub fn finish_compaction(&mut self, compacted: Compacted) -> Result<bool, JournalError> {
        if compacted.generation != self.generation {
            return Ok(false);
        }
        let compacted = compacted.follow(&self.freeze()?)?;
        self.adopt(compacted).map(|()| true)
    }

    /// Leaves the journal as it is, until it has grown as much again.
    pub fn give_up_compaction(&mut self) {
        self.compacted = self.durable;
        // A full disk needs the room back.
        let _ = std::fs::remove_file(self.temporary());
    }

    /// Puts another file in the journal's place, with the latest operation on each record that was acknowledged.
    fn renew(&mut self) -> Result<(), JournalError> {
        let renewed = self.begin_compaction().and_then(Compaction::run_anyway);
        let compacted = renewed.inspect_err(|_| drop(std::fs::remove_file(self.temporary())))?;
        self.adopt(compacted)
    }

    /// Gives the journal's name to what was written beside it and synced: rename, fsync of the directory.
    fn adopt(&mut self, compacted: Compacted) -> Result<(), JournalError> {
        let Compacted { file, temporary, head_bytes, written, .. } = compacted;
        std::fs::rename(&temporary, &self.path).map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            io_error(&temporary, error)
        })?;
        // The old file has no name any more: from here on nothing may be written to it.
        self.file = file;
        self.held_to = 0;
        self.prepared_to = 0;
        self.is_preparable = true;
        self.generation += 1;
        self.durable = written;
        self.compacted = head_bytes;
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        let synced = sync_directory(directory).map_err(|error| io_error(directory, error));
        // A power cut might bring the old one back, without what is appended from now on.
        self.is_sound = synced.is_ok();
        synced
    }

    fn temporary(&self) -> PathBuf {
        self.path.with_extension(COMPACTING)
    }

    fn frozen(&self, file: File) -> FrozenJournal {
        let Self { durable, seq, generation, .. } = *self;
        FrozenJournal { path: self.path.clone(), file, length: durable, seq, generation }
    }

    /// The journal as it stands on disk: what is appended or compacted later does not change it.
    pub fn freeze(&self) -> Result<FrozenJournal, JournalError> {
        let file = self.file.try_clone().map_err(|error| io_error(&self.path, error))?;
        Ok(self.frozen(file))
    }
}

/// A journal as of one commit.
pub struct FrozenJournal {
    path: PathBuf,
    file: File,
    length: u64,
    /// Number of that commit.
    pub seq: u64,
    generation: u64,
}

impl FrozenJournal {
    /// Hands every commit to `each`, in order.
    pub fn replay(&self, each: impl FnMut(Commit)) -> Result<(), JournalError> {
        read_all(&self.path, &self.file, self.length, each).map(drop)
    }

    /// How long it is.
    pub fn length_bytes(&self) -> u64 {
        self.length
    }

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
    /// Nothing of it is in the journal, nor will be.
    NotWritten(io::Error),
    /// Whether it is on disk is not known.
    Unknown(io::Error),
}

impl AppendError {
    /// Whether it was for want of room.
    pub fn is_for_room(&self) -> bool {
        let (Self::NotWritten(error) | Self::Unknown(error)) = self;
        is_for_room(error)
    }

    /// The same once the journal was mended: it holds nothing of what failed.
    pub fn taken_back(self) -> Self {
        let (Self::NotWritten(error) | Self::Unknown(error)) = self;
        Self::NotWritten(error)
    }
}

/// Compacts the journal in a state directory on the spot, while nobody else has it: what its records were before is gone
/// from it.
pub fn compact_journal(state: &Path) -> Result<(), JournalError> {
    Journal::open(&state.join("journal"), 0, |_| {})?.renew()
}

/// Whether something failed for want of room.
pub(super) fn is_for_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Syncs a directory, so that names made or changed in it survive a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn io_error(path: &Path, error: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), error: with_remedy(path, error) }
}

fn open_file(path: &Path) -> io::Result<File> {
    small_file::open_file(path, OpenOptions::new().read(true).write(true))
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

#[cfg(test)]
mod tests;
