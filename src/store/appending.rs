//! One piece of an upload being added to its file: gathered, hashed, written in order, and at the end synced, or taken away
//! again if it has not the checksum that it was announced with.

use super::disk::allocate;
use super::journal::sync_directory;
use super::known_synced::Known;
use super::media_dir::{MediaError, blocking};
use super::small_file::{read_small, replace_small};
use super::upload_dir::{UploadProgress, modified};
use crate::domain::{hex, limits};
use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The SHA-256 of an upload's bytes up to where it has come.
#[derive(Clone, Default)]
pub struct RunningHash {
    sha256: Sha256,
    bytes: u64,
}

/// What a piece must hash to (tus 1.0, Checksum).
pub struct Checksum {
    algorithm: &'static digest::Algorithm,
    wanted: Vec<u8>,
}

impl Checksum {
    /// The names of the algorithms. SHA-1 is the one that every server must have.
    pub const ALGORITHMS: &str = "sha1,sha256";

    /// A checksum by the name of its algorithm; `None` if the name is none of [`Self::ALGORITHMS`] or the length is wrong.
    pub fn new(algorithm: &str, wanted: Vec<u8>) -> Option<Self> {
        let algorithm = match algorithm {
            "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "sha256" => &digest::SHA256,
            _ => return None,
        };
        (wanted.len() == algorithm.output_len()).then_some(Self { algorithm, wanted })
    }
}

/// A piece being added to an upload.
pub struct Appending {
    place: Place,
    /// How far the upload had come before.
    began: UploadProgress,
    /// Away while a write is under way, and after one that failed.
    sink: Option<Sink>,
    checked: Option<Checked>,
    buffer: BytesMut,
    /// Bytes for which the disk holds no room yet.
    unheld_bytes: u64,
}

/// What is needed to undo a piece with a checksum.
struct Checked {
    wanted: Vec<u8>,
    hash_before: Option<RunningHash>,
}

/// Where an upload lies.
pub(super) struct Place {
    /// Its file, open for writing.
    pub file: Arc<File>,
    /// Path of its floor.
    pub floor: PathBuf,
    /// Where both are.
    pub directory: PathBuf,
    /// Length of the whole upload.
    pub length_bytes: u64,
    /// How much of the file is known to be on disk.
    pub known: Arc<Mutex<Known>>,
}

struct Sink {
    file: Arc<File>,
    end: u64,
    hash: Option<RunningHash>,
    check: Option<digest::Context>,
}

/// How an upload stands after a piece.
pub struct Appended {
    /// How far it has come, on disk.
    pub progress: UploadProgress,
    /// The hash up to there, if all of it came through this process.
    pub hash: Option<RunningHash>,
    /// Whether the piece was discarded for not having its checksum.
    pub is_mismatch: bool,
}

impl Appending {
    /// Begins where the file ends, or where a piece began that was not found right, or where a sync failed: what a piece
    /// is added to is on disk. `hash` is used if it goes as far.
    pub(super) fn open(place: Place, hash: Option<RunningHash>) -> io::Result<Self> {
        let metadata = place.ready()?;
        let began = UploadProgress { offset: metadata.len(), touched: modified(&metadata)? };
        let hash = hash.or_else(|| (began.offset == 0).then(RunningHash::default));
        let hash = hash.filter(|hash| hash.bytes == began.offset);
        let sink = Sink { file: Arc::clone(&place.file), end: began.offset, hash, check: None };
        // Blocks are of 512 bytes here, whatever the file system's are (stat(2)).
        let unheld_bytes = place.length_bytes.saturating_sub(metadata.blocks().saturating_mul(512));
        Ok(Self { place, began, sink: Some(sink), checked: None, buffer: BytesMut::new(), unheld_bytes })
    }

    /// How far the upload had come before this piece.
    pub fn began(&self) -> UploadProgress {
        self.began
    }

    /// Bytes of the upload for which the disk holds no room: its file system could not.
    pub fn unheld_bytes(&self) -> u64 {
        self.unheld_bytes
    }

    /// Leaves the upload as it was.
    pub fn leave(self) -> Option<RunningHash> {
        self.sink.and_then(|sink| sink.hash)
    }

    /// Makes the piece one of a checksum: it is kept whole or not at all, whatever happens to this process.
    pub async fn expect(&mut self, checksum: Checksum) -> io::Result<()> {
        let (floor, offset) = (self.place.floor.clone(), self.began.offset);
        blocking(move || write_floor(&floor, offset)).await?;
        if let Some(sink) = &mut self.sink {
            sink.check = Some(digest::Context::new(checksum.algorithm));
            self.checked = Some(Checked { wanted: checksum.wanted, hash_before: sink.hash.clone() });
        }
        Ok(())
    }

    /// Takes more bytes. Memory stays below two steps of [`limits::UPLOAD_STEP_BYTES`].
    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), MediaError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= limits::UPLOAD_STEP_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes out what was gathered.
    pub async fn flush(&mut self) -> Result<(), MediaError> {
        let mut sink = self.sink.take().ok_or_else(|| io::Error::other("an earlier write failed"))?;
        let bytes = std::mem::take(&mut self.buffer);
        let (sink, mut bytes) = blocking(move || {
            sink.write(&bytes)?;
            Ok((sink, bytes))
        })
        .await?;
        self.sink = Some(sink);
        bytes.clear();
        self.buffer = bytes;
        Ok(())
    }

    /// Ends a piece that came whole and was flushed. It is on disk when this answers, or gone if it has not its checksum.
    pub async fn finish(mut self) -> io::Result<Appended> {
        let Some(Sink { hash, check, .. }) = self.sink.take() else { return self.break_off().await };
        let is_mismatch = match (&self.checked, check) {
            (Some(checked), Some(check)) => check.finish().as_ref() != checked.wanted,
            _ => false,
        };
        if is_mismatch {
            return Ok(Appended { is_mismatch, ..self.undo().await? });
        }
        let is_checked = self.checked.is_some();
        let progress = blocking(move || {
            let progress = self.place.settle()?;
            if is_checked {
                self.place.remove_floor()?;
            }
            Ok(progress)
        });
        Ok(Appended { progress: progress.await?, hash, is_mismatch })
    }

    /// Ends a piece that broke off: what came of it is on disk when this answers, or none of it if it has a checksum.
    pub async fn break_off(mut self) -> io::Result<Appended> {
        if self.checked.is_some() {
            return self.undo().await;
        }
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "the end of an upload's piece could not be written");
        }
        let hash = self.sink.take().and_then(|sink| sink.hash);
        let progress = blocking(move || self.place.settle()).await?;
        Ok(Appended { progress, hash: hash.filter(|hash| hash.bytes == progress.offset), is_mismatch: false })
    }

    async fn undo(mut self) -> io::Result<Appended> {
        let hash = self.checked.take().and_then(|checked| checked.hash_before);
        let progress = blocking(move || {
            self.place.discard(self.began.offset)?;
            self.place.settle()
        });
        Ok(Appended { progress: progress.await?, hash, is_mismatch: false })
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // In order: wherever this fails, what is in the file is a beginning of what was sent.
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        if let Some(check) = &mut self.check {
            check.update(bytes);
        }
        Ok(())
    }
}

impl RunningHash {
    /// Takes more bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many it has taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash, lower-case hexadecimal.
    pub(super) fn finish(self) -> String {
        hex(&self.sha256.finalize())
    }
}

impl Place {
    /// Takes away what is not known to be right, waits until the rest is on disk, and answers how the file stands.
    fn ready(&self) -> io::Result<Metadata> {
        let mut known = self.lock();
        let right = known_right(&self.floor, &self.file.metadata()?, self.length_bytes)?.min(known.bound());
        if right < u64::MAX {
            self.discard_in(&mut known, right)?;
        }
        known.sync(&self.file, &self.floor, u64::MAX)?;
        self.file.metadata()
    }

    /// Waits until the file is on disk, and answers how long it is. Where that fails, what came since the last sync that did
    /// not is no part of the upload any more: the next one may succeed and say nothing of what was lost.
    fn settle(&self) -> io::Result<UploadProgress> {
        let right = known_right(&self.floor, &self.file.metadata()?, self.length_bytes)?;
        let mut known = self.lock();
        if let Err(error) = known.sync(&self.file, &self.floor, right) {
            let bound = known.bound();
            // The next piece does so again if this fails.
            if bound < u64::MAX
                && let Err(error) = self.discard_in(&mut known, bound)
            {
                tracing::warn!(%error, "what a failed sync left of an upload's piece is cut off by the next piece");
            }
            return Err(error);
        }
        let metadata = self.file.metadata()?;
        Ok(UploadProgress { offset: metadata.len(), touched: modified(&metadata)? })
    }

    /// Takes away what lies behind the floor, and then the floor.
    fn discard(&self, floor: u64) -> io::Result<()> {
        self.discard_in(&mut self.lock(), floor)
    }

    fn discard_in(&self, known: &mut Known, floor: u64) -> io::Result<()> {
        let floor = floor.min(known.bound());
        self.file.set_len(floor.min(self.file.metadata()?.len()))?;
        // Cutting a file gives back what was held behind its end.
        if let Err(error) = allocate(&self.file, self.length_bytes) {
            tracing::debug!(%error, "room for the rest of an upload is no longer held");
        }
        self.file.sync_data()?;
        known.cut(floor);
        self.remove_floor()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_floor(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.floor) {
            // The upload was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| sync_directory(&self.directory)),
        }
    }
}

/// How many bytes of an upload's file are known to be right at most: [`u64::MAX`] where nothing speaks against any of them.
/// A piece with a checksum that was not found right begins at its floor. Where that does not read, or somebody else has
/// written to the file, none are.
pub(super) fn known_right(floor: &Path, file: &Metadata, length_bytes: u64) -> io::Result<u64> {
    let trouble = match read_small(floor, FLOOR_BYTES as u64 + 1) {
        Ok(bytes) => match parse_floor(&bytes) {
            Some(floor) => return Ok(floor),
            None => "the file says no place of the upload's".to_owned(),
        },
        Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.len() <= length_bytes => return Ok(u64::MAX),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "the upload's file is longer than it may be".to_owned()
        }
        Err(error) => return Err(error),
    };
    tracing::warn!(floor = %floor.display(), trouble, "which bytes of an upload are right is not known; it begins anew");
    Ok(0)
}

/// Bytes of a floor's file: the offset (u64 BE), and the CRC32C of that (u32 BE).
const FLOOR_BYTES: usize = 12;

fn parse_floor(bytes: &[u8]) -> Option<u64> {
    let (offset, crc) = bytes.split_first_chunk::<8>()?;
    (crc == crc32c::crc32c(offset).to_be_bytes()).then_some(u64::from_be_bytes(*offset))
}

/// Puts a floor down, whole or not at all: before the first byte of its piece, or where a sync failed.
pub(super) fn write_floor(path: &Path, offset: u64) -> io::Result<()> {
    let offset = offset.to_be_bytes();
    replace_small(path, &[offset.as_slice(), &crc32c::crc32c(&offset).to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::MediaFileId;
    use crate::store::UploadDir;
    use crate::store::known_synced::unsyncable;

    #[test]
    fn a_piece_whose_sync_fails_is_no_part_of_the_upload_though_it_can_not_be_cut_off() {
        let state = tempfile::tempdir().unwrap();
        let uploads = UploadDir::open(state.path()).unwrap();
        let id = MediaFileId::from_random([1; 16]);
        let path = state.path().join("uploads").join(id.to_string());
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            uploads.create(id, 9).await.unwrap();
            for (is_checked, began) in [(false, 0), (true, 3)] {
                let mut piece = uploads.append(id, 9, None).await.unwrap().unwrap();
                assert_eq!(piece.began().offset, began);
                if is_checked {
                    let digest = Sha256::digest(b"abc").to_vec();
                    piece.expect(Checksum::new("sha256", digest).unwrap()).await.unwrap();
                }
                piece.write(&Bytes::from_static(b"abc")).await.unwrap();
                piece.flush().await.unwrap();
                // Somebody asks for a list meanwhile, which syncs what is there.
                if is_checked {
                    assert_eq!(uploads.progress(id, 9).await.unwrap().unwrap().offset, began);
                    std::fs::write(&path, b"abcabcd").unwrap();
                }
                piece.place.file = Arc::new(unsyncable(&path));
                assert!(piece.finish().await.is_err());
                assert!(std::fs::metadata(&path).unwrap().len() > began, "cutting it off fails, too");
                for uploads in [&uploads, &UploadDir::open(state.path()).unwrap()] {
                    assert_eq!(uploads.progress(id, 9).await.unwrap().unwrap().offset, began);
                }
                let mut piece = uploads.append(id, 9, None).await.unwrap().unwrap();
                assert_eq!((piece.began().offset, std::fs::metadata(&path).unwrap().len()), (began, began));
                piece.write(&Bytes::from_static(b"abc")).await.unwrap();
                piece.flush().await.unwrap();
                assert_eq!(piece.finish().await.unwrap().progress.offset, began + 3);
            }
        });
    }
}
