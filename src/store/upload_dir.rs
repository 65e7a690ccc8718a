//! Resumable uploads at rest: one file each in `uploads/`, which only grows, named by the id of the media file that it
//! becomes. How much of an upload there is, is its file's length; nothing else says so. While a piece with a checksum is
//! written, `<id>.floor` says where it began: what lies behind is no part of the upload until the checksum was found right.
//!
//! Never takes a name from outside, and never changes a byte that belongs to an upload.

use super::journal::sync_directory;
use super::media_dir::{MediaDir, MediaError, Received, blocking, hexadecimal, open_regular};
use crate::domain::{MediaFileId, Timestamp, limits};
use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::{DirEntry, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Where uploads wait until they are whole.
pub struct UploadDir {
    directory: PathBuf,
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    /// Bytes of it that are on disk.
    pub offset: u64,
    /// When it was last written to.
    pub touched: Timestamp,
}

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

impl UploadDir {
    /// The directory of uploads below `state`; made if missing.
    pub fn open(state: &Path) -> io::Result<Self> {
        let directory = state.join("uploads");
        match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        sync_directory(state)?;
        Ok(Self { directory })
    }

    /// Sorts out what a crash left; only at start, before anything is uploaded. Files that are no `open` upload's go. One
    /// that was moved into `media/` and is not among those that a record names comes back. Answers the open uploads that
    /// have no file.
    pub fn recover(
        &self,
        open: &HashSet<MediaFileId>,
        media: &MediaDir,
        named: &HashSet<MediaFileId>,
    ) -> io::Result<Vec<MediaFileId>> {
        let is_file = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
        for entry in std::fs::read_dir(&self.directory)?.flatten().filter(is_file) {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let id = MediaFileId::parse(name.strip_suffix(FLOOR).unwrap_or(name));
            if !id.is_some_and(|id| open.contains(&id)) {
                tracing::info!(file = name, "removing an upload's file that no open upload names");
                std::fs::remove_file(entry.path())?;
            }
        }
        let mut missing = Vec::new();
        for id in open.iter().filter(|id| !self.path(**id).exists()) {
            if !named.contains(id) && media.path(*id).exists() {
                tracing::info!(file = %id, "an upload that was whole is looked at once more");
                std::fs::rename(media.path(*id), self.path(*id))?;
            } else {
                missing.push(*id);
            }
        }
        sync_directory(&self.directory)?;
        Ok(missing)
    }

    /// Makes an upload's file, empty, and holds room for `length_bytes` where the file system can. It is on disk when this
    /// answers; where it fails nothing is left.
    pub async fn create(&self, id: MediaFileId, length_bytes: u64) -> Result<(), MediaError> {
        let (path, directory) = (self.path(id), self.directory.clone());
        let create = move || {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            let made = reserve(&file, length_bytes).and_then(|()| file.sync_all());
            made.and_then(|()| sync_directory(&directory)).inspect_err(|_| drop(std::fs::remove_file(&path)))
        };
        Ok(blocking(create).await?)
    }

    /// How far an upload has come, and on disk when this answers; `None` if it has no file.
    pub async fn progress(&self, id: MediaFileId) -> io::Result<Option<UploadProgress>> {
        let (path, floor) = (self.path(id), self.floor_path(id));
        blocking(move || {
            let file = match open_regular(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            // The length before the floor: a piece that begins in between has put its floor down before its bytes.
            let metadata = file.metadata()?;
            file.sync_data()?;
            let offset = read_floor(&floor)?.unwrap_or(u64::MAX).min(metadata.len());
            Ok(Some(UploadProgress { offset, touched: modified(&metadata)? }))
        })
        .await
    }

    /// Opens an upload of `length_bytes` to go on with it, for one writer at a time; `None` if it has no file. `hash` is
    /// used if it goes as far as the file.
    pub async fn append(
        &self,
        id: MediaFileId,
        length_bytes: u64,
        hash: Option<RunningHash>,
    ) -> io::Result<Option<Appending>> {
        let (path, floor, directory) = (self.path(id), self.floor_path(id), self.directory.clone());
        blocking(move || {
            let file = match OpenOptions::new().read(true).write(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            let place = Place { file: Arc::new(file), floor, directory, length_bytes };
            if let Some(floor) = read_floor(&place.floor)? {
                place.discard(floor)?;
            }
            let metadata = place.file.metadata()?;
            let (offset, touched) = (metadata.len(), modified(&metadata)?);
            let hash = hash.or_else(|| (offset == 0).then(RunningHash::default)).filter(|hash| hash.bytes == offset);
            let sink = Sink { file: Arc::clone(&place.file), end: offset, hash, check: None };
            Ok(Some(Appending {
                place,
                began: UploadProgress { offset, touched },
                sink: Some(sink),
                checked: None,
                buffer: BytesMut::new(),
            }))
        })
        .await
    }

    /// A whole upload as something received, hashed if that was not done as it came. Dropped, it stays where it is.
    pub async fn received(&self, id: MediaFileId, hash: Option<RunningHash>) -> Result<Received, MediaError> {
        let path = self.path(id);
        let open = {
            let path = path.clone();
            move || OpenOptions::new().read(true).write(true).open(path)
        };
        let file = Arc::new(blocking(open).await?);
        let size_bytes = file.metadata()?.len();
        let mut hash = hash.filter(|hash| hash.bytes <= size_bytes).unwrap_or_default();
        // Step by step, so that a server that stops does not wait for the whole of it.
        while hash.bytes < size_bytes {
            let file = Arc::clone(&file);
            hash = blocking(move || {
                let step = usize::try_from(size_bytes - hash.bytes).unwrap_or(usize::MAX).min(HASH_STEP_BYTES);
                let mut buffer = vec![0; step];
                file.read_exact_at(&mut buffer, hash.bytes)?;
                hash.update(&buffer);
                Ok(hash)
            })
            .await?;
        }
        Ok(Received::of_upload(id, path, file, size_bytes, hexadecimal(&hash.sha256.finalize())))
    }

    /// Takes a file back out of `media/` that no record came to name.
    pub async fn put_back(&self, id: MediaFileId, media: &MediaDir) -> io::Result<()> {
        let (from, to, directory) = (media.path(id), self.path(id), self.directory.clone());
        blocking(move || match std::fs::rename(from, to) {
            // It had not got there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| sync_directory(&directory)),
        })
        .await
    }

    /// Removes an upload's file, if it is here.
    pub async fn remove(&self, id: MediaFileId) {
        for path in [self.path(id), self.floor_path(id)] {
            match blocking(move || std::fs::remove_file(path)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %id, %error, "an upload's file could not be removed; the next start tries again");
                }
                _ => {}
            }
        }
    }

    fn path(&self, id: MediaFileId) -> PathBuf {
        self.directory.join(id.to_string())
    }

    fn floor_path(&self, id: MediaFileId) -> PathBuf {
        self.directory.join(format!("{id}{FLOOR}"))
    }
}

/// What the name of a floor ends with.
const FLOOR: &str = ".floor";
/// Bytes hashed before somebody else may have the thread.
const HASH_STEP_BYTES: usize = 8 << 20;

/// A piece being added to an upload.
pub struct Appending {
    place: Place,
    /// How far the upload had come before.
    began: UploadProgress,
    /// Away while a write is under way, and after one that failed.
    sink: Option<Sink>,
    checked: Option<Checked>,
    buffer: BytesMut,
}

/// What is needed to undo a piece with a checksum.
struct Checked {
    wanted: Vec<u8>,
    hash_before: Option<RunningHash>,
}

struct Place {
    file: Arc<File>,
    floor: PathBuf,
    directory: PathBuf,
    /// Of the whole upload.
    length_bytes: u64,
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
    /// How far the upload had come before this piece.
    pub fn began(&self) -> UploadProgress {
        self.began
    }

    /// Leaves the upload as it was.
    pub fn leave(self) -> Option<RunningHash> {
        self.sink.and_then(|sink| sink.hash)
    }

    /// Makes the piece one of a checksum: it is kept whole or not at all, whatever happens to this process.
    pub async fn expect(&mut self, checksum: Checksum) -> io::Result<()> {
        let (floor, directory, offset) = (self.place.floor.clone(), self.place.directory.clone(), self.began.offset);
        blocking(move || write_floor(&floor, &directory, offset)).await?;
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
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl Place {
    /// Waits until the file is on disk, and answers how long it is.
    fn settle(&self) -> io::Result<UploadProgress> {
        self.file.sync_data()?;
        let metadata = self.file.metadata()?;
        Ok(UploadProgress { offset: metadata.len(), touched: modified(&metadata)? })
    }

    /// Takes away what lies behind the floor, and then the floor.
    fn discard(&self, floor: u64) -> io::Result<()> {
        self.file.set_len(floor.min(self.file.metadata()?.len()))?;
        // Cutting a file gives back what was held behind its end.
        if let Err(error) = reserve(&self.file, self.length_bytes) {
            tracing::debug!(%error, "room for the rest of an upload is no longer held");
        }
        self.file.sync_data()?;
        self.remove_floor()
    }

    fn remove_floor(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.floor) {
            // The upload was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| sync_directory(&self.directory)),
        }
    }
}

/// Where a piece with a checksum began that was not found right, if there is one.
fn read_floor(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes.try_into().ok().map(u64::from_be_bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a floor down, whole or not at all, before the first byte of its piece.
fn write_floor(path: &Path, directory: &Path, offset: u64) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all_at(&offset.to_be_bytes(), 0)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    sync_directory(directory)
}

/// Holds room for a file of this length, where the file system can.
fn reserve(file: &File, length_bytes: u64) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, length_bytes)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        other => Ok(other?),
    }
}

fn modified(metadata: &Metadata) -> io::Result<Timestamp> {
    let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}
