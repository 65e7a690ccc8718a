//! Whether a media file is what was stored: its length whenever it is opened, its SHA-256 when all of it is read again.

use super::media_dir::{MediaDir, StoredMedia, blocking};
use crate::domain::{MediaFile, MediaFileId, hex, limits};
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

/// What is wrong with a media file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Nothing has its name.
    #[error("it is missing")]
    Missing,
    /// Something does that is no file, or the system does not let it be opened.
    #[error("it can't be opened: {0}")]
    Closed(String),
    /// It was cut off, or something was added.
    #[error("it has {found} bytes on disk, {stored} stored")]
    Length {
        /// On the disk.
        found: u64,
        /// As its record says.
        stored: u64,
    },
    /// The disk does not give its bytes, or not all of them.
    #[error("it can't be read: {0}")]
    Unreadable(String),
    /// Its length is right, and its SHA-256 is not.
    #[error("its bytes are not those that were stored")]
    Altered,
}

/// Why a media file could not be had.
#[derive(Debug)]
pub enum Unavailable {
    /// The file is not what was stored.
    Damaged(Damage),
    /// The system has no descriptor or no memory: nothing is said about the file.
    Busy(io::Error),
}

impl Unavailable {
    fn of_open(error: io::Error) -> Self {
        if is_busy(&error) { Self::Busy(error) } else { Self::Damaged(Damage::Closed(error.to_string())) }
    }

    /// What an error while reading says of the file.
    pub fn of_read(error: io::Error) -> Self {
        // What comes from neither the system nor the file's end is a thread that was not to be had.
        let is_of_file = error.raw_os_error().is_some() || error.kind() == io::ErrorKind::UnexpectedEof;
        if is_of_file && !is_busy(&error) {
            Self::Damaged(Damage::Unreadable(error.to_string()))
        } else {
            Self::Busy(error)
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// Tells whether something was done to a file since: every change of its bytes, name or rights gives it another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    inode: u64,
    changed_at: (i64, i64),
}

impl MediaDir {
    /// Opens a file that must have as many bytes as its record says.
    pub fn open_stored(&self, id: MediaFileId, stored: u64) -> Result<StoredMedia, Unavailable> {
        let media = self.open_file(id).map_err(Unavailable::of_open)?;
        let media = media.ok_or(Unavailable::Damaged(Damage::Missing))?;
        match media.size_bytes() {
            found if found == stored => Ok(media),
            found => Err(Unavailable::Damaged(Damage::Length { found, stored })),
        }
    }

    /// The trace of what has a file's name; `None` if nothing has, or it can't be looked at.
    pub fn trace(&self, id: MediaFileId) -> Option<Trace> {
        let data = std::fs::symlink_metadata(self.path(id)).ok()?;
        Some(Trace { inode: data.ino(), changed_at: (data.ctime(), data.ctime_nsec()) })
    }

    /// Begins to read all of a file again.
    pub fn read_again<'a>(&self, record: &'a MediaFile) -> Result<Rereading<'a>, Unavailable> {
        let media = self.open_stored(record.id, record.size_bytes)?;
        // Without reading ahead, what is found in the page cache was there for somebody else. Only advice: it may fail.
        let _ = fadvise(&*media.file, 0, None, Advice::Random);
        Ok(Rereading { record, media, hash: Sha256::new(), at: 0 })
    }
}

/// A media file that is being read again.
pub struct Rereading<'a> {
    record: &'a MediaFile,
    media: StoredMedia,
    hash: Sha256,
    at: u64,
}

impl Rereading<'_> {
    /// Reads the next [`limits::SCRUB_STEP_BYTES`]; answers how many there were, and 0 when the whole file has the
    /// SHA-256 that was stored.
    pub async fn step(&mut self) -> Result<usize, Unavailable> {
        let left = self.record.size_bytes - self.at;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(limits::SCRUB_STEP_BYTES);
        if length == 0 {
            let is_right = hex(&self.hash.clone().finalize()) == self.record.sha256;
            return if is_right { Ok(0) } else { Err(Unavailable::Damaged(Damage::Altered)) };
        }
        let (file, at, mut hash) = (Arc::clone(&self.media.file), self.at, std::mem::take(&mut self.hash));
        let read = blocking(move || {
            hash.update(read_beside_cache(&file, at, length)?);
            Ok(hash)
        });
        self.hash = read.await.map_err(Unavailable::of_read)?;
        self.at += length as u64;
        Ok(length)
    }
}

/// Reads `length` bytes at `offset`. What had to come from the disk leaves the page cache again: that is for what is
/// being watched.
fn read_beside_cache(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let vector = &mut [io::IoSliceMut::new(&mut bytes)];
    let cached = rustix::io::preadv2(file, vector, offset, rustix::io::ReadWriteFlags::NOWAIT).unwrap_or(0);
    if let Some(rest) = bytes.get_mut(cached..).filter(|rest| !rest.is_empty()) {
        file.read_exact_at(rest, offset + cached as u64)?;
        let _ = fadvise(file, offset + cached as u64, NonZeroU64::new((length - cached) as u64), Advice::DontNeed);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{MediaKind, OrganizationId, Timestamp, VideoId};
    use std::path::Path;
    use uuid::Uuid;

    const LENGTH: usize = 2 * limits::SCRUB_STEP_BYTES + 7;

    /// A file of three steps.
    fn stored(directory: &Path) -> (MediaDir, MediaFile, Vec<u8>) {
        let media = MediaDir::open(directory).unwrap();
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        let record = MediaFile {
            id: MediaFileId::from_random([1; 16]),
            organization: OrganizationId(Uuid::from_u128(7)),
            video: VideoId(Uuid::from_u128(8)),
            kind: MediaKind::Source,
            size_bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(&bytes)),
            created_at: Timestamp::from_secs(1),
        };
        std::fs::write(media.path(record.id), &bytes).unwrap();
        (media, record, bytes)
    }

    /// Reads it to its end; the steps it took, or what was wrong.
    fn read(media: &MediaDir, record: &MediaFile) -> Result<usize, Damage> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(async {
            let (mut reading, mut steps) = (media.read_again(record)?, 0);
            while reading.step().await? > 0 {
                steps += 1;
            }
            Ok(steps)
        });
        outcome.map_err(|unavailable| match unavailable {
            Unavailable::Damaged(damage) => damage,
            Unavailable::Busy(error) => panic!("{error}"),
        })
    }

    #[test]
    fn every_byte_counts_when_a_file_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let (media, record, bytes) = stored(directory.path());
        assert_eq!(read(&media, &record), Ok(3));
        for at in [0, limits::SCRUB_STEP_BYTES - 1, limits::SCRUB_STEP_BYTES, LENGTH - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(media.path(record.id), flipped).unwrap();
            assert_eq!(read(&media, &record), Err(Damage::Altered), "{at}");
        }
        std::fs::write(media.path(record.id), &bytes).unwrap();
        assert_eq!(read(&media, &record), Ok(3));
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_read_again_is_not_taken_for_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (media, record, _) = stored(directory.path());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut reading = media.read_again(&record).ok().unwrap();
            assert_eq!(reading.step().await.ok(), Some(limits::SCRUB_STEP_BYTES));
            File::options().write(true).open(media.path(record.id)).unwrap().set_len(9).unwrap();
            assert!(matches!(reading.step().await, Err(Unavailable::Damaged(Damage::Unreadable(_)))));
        });
        assert!(matches!(read(&media, &record), Err(Damage::Length { found: 9, .. })));
    }

    #[test]
    fn whatever_is_done_to_a_file_gives_it_another_trace() {
        let directory = tempfile::tempdir().unwrap();
        let (media, record, bytes) = stored(directory.path());
        let path = media.path(record.id);
        let before = media.trace(record.id);
        assert!(before.is_some());
        let _ = read(&media, &record);
        assert_eq!(media.trace(record.id), before, "reading changes nothing");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(media.trace(record.id), None);
        std::fs::write(directory.path().join("beside"), &bytes).unwrap();
        std::fs::rename(directory.path().join("beside"), &path).unwrap();
        assert_ne!(media.trace(record.id), before);
    }

    #[test]
    fn an_error_of_the_system_is_not_laid_at_the_files_door() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(matches!(Unavailable::of_open(of(errno)), Unavailable::Busy(_)), "{errno}");
            assert!(matches!(Unavailable::of_read(of(errno)), Unavailable::Busy(_)), "{errno}");
        }
        assert!(matches!(Unavailable::of_read(io::Error::other("cancelled")), Unavailable::Busy(_)));
        for errno in [Errno::IO, Errno::ACCESS] {
            assert!(matches!(Unavailable::of_open(of(errno)), Unavailable::Damaged(Damage::Closed(_))), "{errno}");
            assert!(matches!(Unavailable::of_read(of(errno)), Unavailable::Damaged(Damage::Unreadable(_))), "{errno}");
        }
    }
}
