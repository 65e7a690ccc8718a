//! The media directory: immutable files named by our ids. A file is created under `incoming/`, synced, renamed into
//! `media/`, and its directory synced, before a record names it; it is removed after no record does.
//!
//! Never takes a name from outside, never changes a file's bytes.

use super::journal::{is_for_room, sync_directory};
use super::remedy::with_remedy;
use super::state_dir::{StateDirError, check_one_mount};
use crate::domain::{MediaFileId, hex, limits};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where media live.
#[derive(Clone)]
pub struct MediaDir {
    media: PathBuf,
    incoming: PathBuf,
    /// Held while a backup links files, so that none disappears under it.
    removal: Arc<tokio::sync::RwLock<()>>,
}

/// Why bytes could not be stored or had.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The disk is full.
    #[error("the disk is full")]
    NoSpace,
    /// The upload is longer than it may be.
    #[error("the upload is longer than the limit of {limit_bytes} bytes (media.max_source_mib)")]
    TooLong {
        /// The limit.
        limit_bytes: u64,
    },
    /// Anything else the system said.
    #[error("media: {0}")]
    Io(io::Error),
}

impl From<io::Error> for MediaError {
    fn from(error: io::Error) -> Self {
        if is_for_room(&error) { Self::NoSpace } else { Self::Io(error) }
    }
}

impl MediaDir {
    /// The media directory below `state`; made if missing. Unfinished uploads of a former process are removed, as far as
    /// that can be done: what stays has a name that nothing gets again.
    pub fn open(state: &Path) -> Result<Self, StateDirError> {
        let (media, incoming) = (state.join("media"), state.join("incoming"));
        for directory in [&media, &incoming] {
            make_if_missing(directory).map_err(StateDirError::at(directory))?;
        }
        sync_directory(state).map_err(StateDirError::at(state))?;
        check_one_mount(&media, &incoming)?;
        clear(&incoming)?;
        Ok(Self { media, incoming, removal: Arc::default() })
    }

    /// Clears away files that no record names; only at start, before anything is uploaded. One whose record was removed
    /// is removed. One that the journal never heard of is set aside below `orphaned/`: a crash between rename and commit
    /// leaves such a file, but so does a journal that was put back from an older copy. What can't be cleared away stays, for
    /// nothing names it, and is warned of at each start.
    pub fn sweep(&self, named: &HashSet<MediaFileId>, removed: &HashSet<MediaFileId>) -> Result<(), StateDirError> {
        let orphaned = self.media.with_file_name("orphaned");
        for entry in std::fs::read_dir(&self.media).map_err(StateDirError::at(&self.media))?.flatten() {
            let id = entry.file_name().to_str().and_then(MediaFileId::parse);
            let Some(id) = id.filter(|id| !named.contains(id)) else { continue };
            if removed.contains(&id) {
                tracing::info!(file = %id, "removing a media file whose record was removed");
                if let Err(error) = std::fs::remove_file(entry.path()) {
                    warn_of_leftover(&entry.path(), error);
                }
                continue;
            }
            let moved = make_if_missing(&orphaned)
                .and_then(|()| std::fs::rename(entry.path(), orphaned.join(entry.file_name())));
            match moved {
                Ok(()) => tracing::warn!(
                    file = %id, "no record names this media file; it is set aside in orphaned/, to be deleted by hand"
                ),
                Err(error) => warn_of_leftover(&entry.path(), error),
            }
        }
        Ok(())
    }

    /// Begins to receive a file of at most `limit_bytes`.
    pub async fn receive(&self, id: MediaFileId, limit_bytes: u64) -> Result<Incoming, MediaError> {
        let path = self.incoming.join(id.to_string());
        // Whole from the first moment on: a caller who goes away meanwhile drops it, and the file with it.
        Ok(blocking(move || Incoming::create(id, path, limit_bytes)).await?)
    }

    /// The same on a thread that may wait for the disk.
    pub fn create(&self, id: MediaFileId) -> Result<Incoming, MediaError> {
        Ok(Incoming::create(id, self.incoming.join(id.to_string()), u64::MAX)?)
    }

    /// A directory below `incoming/` for a program that makes files of its own.
    pub fn work_dir(&self, id: MediaFileId) -> Result<WorkDir, MediaError> {
        let path = std::path::absolute(self.incoming.join(id.to_string()))?;
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(WorkDir(path))
    }

    /// Gives a received file its place, to stay; on a thread that may wait for the disk.
    pub fn keep_now(&self, mut received: Received) -> Result<(), MediaError> {
        std::fs::rename(&received.incoming.path, self.path(received.incoming.id))?;
        sync_directory(&self.media)?;
        received.incoming.kept = true;
        Ok(())
    }

    /// Opens a file; `None` if there is none.
    pub fn open_file(&self, id: MediaFileId) -> io::Result<Option<StoredMedia>> {
        StoredMedia::open(&self.path(id))
    }

    /// Removes files that no record names any more. Responses that have them open end undisturbed. While a backup holds
    /// the files, they are removed behind the caller's back when it is done.
    pub async fn remove(&self, ids: Vec<MediaFileId>) {
        let paths: Vec<PathBuf> = ids.into_iter().map(|id| self.path(id)).collect();
        match Arc::clone(&self.removal).try_write_owned() {
            Ok(_removal) => remove_all(paths).await,
            Err(_) => {
                let removal = Arc::clone(&self.removal);
                tokio::spawn(async move {
                    let _removal = removal.write().await;
                    remove_all(paths).await;
                });
            }
        }
    }

    /// Keeps every file in place until the guard is dropped.
    pub async fn hold(&self) -> tokio::sync::OwnedRwLockReadGuard<()> {
        Arc::clone(&self.removal).read_owned().await
    }

    /// Where the files lie.
    pub fn directory(&self) -> &Path {
        &self.media
    }

    /// Where a file lies.
    pub fn path(&self, id: MediaFileId) -> PathBuf {
        self.media.join(id.to_string())
    }
}

/// A file being received. Dropped unfinished, it leaves nothing behind; in a runtime that is seen to behind the caller's
/// back, and whoever is to find nothing any more waits for [`Incoming::discard`].
pub struct Incoming {
    id: MediaFileId,
    path: PathBuf,
    /// Away while a write is under way.
    sink: Option<Sink>,
    buffer: BytesMut,
    size_bytes: u64,
    limit_bytes: u64,
    /// Whether it is no longer ours to remove.
    kept: bool,
}

struct Sink {
    file: Arc<File>,
    hash: Sha256,
}

/// What was received and is not to stay. Dropped, it is gone. The disk frees many gigabytes in seconds, either when the
/// name goes or when the file is closed: both need a thread that may wait.
struct Leftover {
    path: PathBuf,
    _sink: Option<Sink>,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        // A file left behind is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A file received whole and synced, not yet in its place.
pub struct Received {
    incoming: Incoming,
    sha256: String,
    is_upload: bool,
}

impl Incoming {
    fn create(id: MediaFileId, path: PathBuf, limit_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let sink = Some(Sink { file: Arc::new(file), hash: Sha256::new() });
        Ok(Self { id, path, sink, buffer: BytesMut::new(), size_bytes: 0, limit_bytes, kept: false })
    }

    /// Gives it up. When this answers, it has left nothing behind.
    pub async fn discard(mut self) {
        if let Some(leftover) = self.take_leftover() {
            // Whether the thread ends well or not, nothing more can be done.
            let _ = tokio::task::spawn_blocking(move || drop(leftover)).await;
        }
    }

    /// The same on a thread that may wait for the disk.
    pub fn discard_now(mut self) {
        drop(self.take_leftover());
    }

    fn take_leftover(&mut self) -> Option<Leftover> {
        let is_left = !std::mem::replace(&mut self.kept, true);
        is_left.then(|| Leftover { path: std::mem::take(&mut self.path), _sink: self.sink.take() })
    }

    /// Writes more bytes, waiting for the disk.
    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sink = self.sink.as_mut().ok_or_else(|| io::Error::other("an earlier write failed"))?;
        sink.hash.update(bytes);
        (&*sink.file).write_all(bytes)?;
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Waits until every byte is on disk; the thread waits with it.
    pub fn finish_now(self) -> io::Result<Received> {
        let sink = self.sink.as_ref().ok_or_else(|| io::Error::other("an earlier write failed"))?;
        sink.file.sync_all()?;
        let sha256 = hex(&sink.hash.clone().finalize());
        Ok(Received { incoming: self, sha256, is_upload: false })
    }

    /// Takes more bytes. Memory stays below two steps of [`limits::UPLOAD_STEP_BYTES`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), MediaError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > self.limit_bytes {
            return Err(MediaError::TooLong { limit_bytes: self.limit_bytes });
        }
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() >= limits::UPLOAD_STEP_BYTES { self.write_out().await } else { Ok(()) }
    }

    async fn write_out(&mut self) -> Result<(), MediaError> {
        let mut sink = self.sink.take().ok_or_else(|| io::Error::other("an earlier write failed"))?;
        let bytes = std::mem::take(&mut self.buffer);
        let (sink, mut bytes) = blocking(move || {
            sink.hash.update(&bytes);
            (&*sink.file).write_all(&bytes)?;
            Ok((sink, bytes))
        })
        .await?;
        self.sink = Some(sink);
        bytes.clear();
        self.buffer = bytes;
        Ok(())
    }

    /// Waits until every byte is on disk.
    pub async fn finish(mut self) -> Result<Received, MediaError> {
        self.write_out().await?;
        let sink = self.sink.take().ok_or_else(|| io::Error::other("an earlier write failed"))?;
        let (sink, digest) = blocking(move || {
            sink.file.sync_all()?;
            let digest = sink.hash.clone().finalize();
            Ok((sink, digest))
        })
        .await?;
        self.sink = Some(sink);
        Ok(Received { incoming: self, sha256: hex(&digest), is_upload: false })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(leftover) = self.take_leftover()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // A runtime that shuts down drops it here and now, as does a thread without one.
            let _in_the_background = runtime.spawn_blocking(move || drop(leftover));
        }
    }
}

impl Received {
    /// An upload's file, whole and synced. Dropped, it stays where it is.
    pub(super) fn of_upload(id: MediaFileId, path: PathBuf, file: Arc<File>, size_bytes: u64, sha256: String) -> Self {
        let sink = Sink { file, hash: Sha256::new() };
        let (sink, buffer) = (Some(sink), BytesMut::new());
        let incoming = Incoming { id, path, sink, buffer, size_bytes, limit_bytes: size_bytes, kept: true };
        Self { incoming, sha256, is_upload: true }
    }

    /// Its id.
    pub fn id(&self) -> MediaFileId {
        self.incoming.id
    }

    /// Its length in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.incoming.size_bytes
    }

    /// The resumable upload that it came as.
    pub fn upload(&self) -> Option<MediaFileId> {
        self.is_upload.then_some(self.incoming.id)
    }

    /// Gives it up. When this answers, it has left nothing behind.
    pub async fn discard(self) {
        self.incoming.discard().await;
    }

    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Its bytes.
    pub fn media(&self) -> Option<StoredMedia> {
        let sink = self.incoming.sink.as_ref()?;
        Some(StoredMedia { file: Arc::clone(&sink.file), size_bytes: self.incoming.size_bytes })
    }
}

/// An open media file.
#[derive(Clone)]
pub struct StoredMedia {
    pub(super) file: Arc<File>,
    size_bytes: u64,
}

/// A directory for a program that makes files of its own. Dropped, it is gone with all that lies in it, which takes a
/// thread that may wait for the disk.
pub struct WorkDir(PathBuf);

impl WorkDir {
    /// Bytes of the files in it; what can't be looked at counts nothing.
    pub fn size_bytes(&self) -> u64 {
        let entries = std::fs::read_dir(self.path()).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens a file in it; `None` if there is none.
    pub fn open_file(&self, name: &str) -> io::Result<Option<StoredMedia>> {
        StoredMedia::open(&self.0.join(name))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What is left behind is removed at the next start.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl StoredMedia {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        match open_regular(path) {
            Ok((file, data)) => Ok(Some(Self { file: Arc::new(file), size_bytes: data.len() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its length in bytes when it was opened; its bytes never change.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Fills `buffer` from `offset`, waiting for the disk.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Reads exactly `length` bytes at `offset`. What is in the page cache is read at once; for the rest a thread
    /// waits in our place.
    pub async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut buffer = BytesMut::zeroed(length);
        let cached = rustix::io::preadv2(
            &self.file,
            &mut [io::IoSliceMut::new(&mut buffer)],
            offset,
            rustix::io::ReadWriteFlags::NOWAIT,
        )
        .unwrap_or(0);
        if cached < length {
            let file = Arc::clone(&self.file);
            buffer = blocking(move || {
                if let Some(rest) = buffer.get_mut(cached..) {
                    file.read_exact_at(rest, offset + cached as u64)?;
                }
                Ok(buffer)
            })
            .await?;
        }
        Ok(buffer.freeze())
    }
}

/// Opens a regular file for reading, and looks at it; never follows a link, never waits for the writer of a FIFO.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let data = file.metadata()?;
    if data.is_file() { Ok((file, data)) } else { Err(io::Error::other("not a regular file")) }
}

/// Makes a directory where nothing has its name.
pub(super) fn make_if_missing(path: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Removes what lies in a directory, as far as that can be done.
fn clear(directory: &Path) -> Result<(), StateDirError> {
    for entry in std::fs::read_dir(directory).map_err(StateDirError::at(directory))?.flatten() {
        tracing::info!(file = %entry.file_name().display(), "removing an upload that was interrupted");
        let path = entry.path();
        let removed = entry
            .file_type()
            .and_then(|kind| if kind.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) });
        if let Err(error) = removed {
            warn_of_leftover(&path, error);
        }
    }
    Ok(())
}

/// Says what could not be cleared away at a start. No reason not to start: nothing names it.
pub(super) fn warn_of_leftover(path: &Path, error: io::Error) {
    let error = with_remedy(path, error);
    tracing::warn!(path = %path.display(), %error, "this is nobody's and could not be cleared away; delete it by hand");
}

async fn remove_all(paths: Vec<PathBuf>) {
    for path in paths {
        let name = path.display().to_string();
        if let Err(error) = blocking(move || std::fs::remove_file(path)).await {
            tracing::warn!(file = name, %error, "a media file could not be removed; the next start tries again");
        }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn offsets_past_four_gigabytes_are_exact() {
        let state = tempfile::tempdir().unwrap();
        let media = MediaDir::open(state.path()).unwrap();
        let id = MediaFileId::from_random([1; 16]);
        let file = File::create(media.path(id)).unwrap();
        file.set_len(5_000_000_000).unwrap();
        file.write_all_at(b"abc", 4_294_967_295).unwrap();
        let stored = media.open_file(id).unwrap().unwrap();
        assert_eq!(stored.size_bytes(), 5_000_000_000);
        assert_eq!(runtime().block_on(stored.read(4_294_967_295, 3)).unwrap(), &b"abc"[..]);
        assert!(runtime().block_on(stored.read(4_999_999_999, 2)).is_err());
    }

    #[test]
    fn what_nobody_takes_any_more_when_it_is_made_is_removed() {
        let state = tempfile::tempdir().unwrap();
        let media = MediaDir::open(state.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            tokio::task::spawn_blocking(move || held.recv());
            let mut receiving = Box::pin(media.receive(MediaFileId::from_random([1; 16]), 1));
            // Once: the thread that makes it is busy, so that it is made after its caller has gone.
            assert!(
                std::future::poll_fn(|context| std::task::Poll::Ready(receiving.as_mut().poll(context)))
                    .await
                    .is_pending()
            );
            drop(receiving);
            release.send(()).unwrap();
            // Behind the making of it, and behind the removal that this asks for.
            for _ in 0..2 {
                tokio::task::spawn_blocking(|| ()).await.unwrap();
            }
        });
        assert_eq!(std::fs::read_dir(&media.incoming).unwrap().count(), 0);
    }

    #[test]
    fn what_is_dropped_in_a_runtime_is_removed_by_a_thread_that_may_wait() {
        let state = tempfile::tempdir().unwrap();
        let media = MediaDir::open(state.path()).unwrap();
        let path = |number: u8| media.incoming.join(MediaFileId::from_random([number; 16]).to_string());
        let create = |number: u8| media.create(MediaFileId::from_random([number; 16])).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let wait = move || held.recv();
        runtime.block_on(async {
            // The one thread that may wait is busy: whoever drops a file does not wait for it.
            let busy = tokio::task::spawn_blocking(wait);
            drop(create(1));
            assert!(path(1).exists(), "it was removed by the worker");
            release.send(()).unwrap();
            busy.await.unwrap().unwrap();
            // Behind the one before it.
            create(2).discard().await;
            assert!(!path(2).exists() && !path(1).exists());
        });
        let (release, held) = std::sync::mpsc::channel::<()>();
        let incoming = create(3);
        runtime.block_on(async {
            tokio::task::spawn_blocking(move || held.recv());
            drop(incoming);
        });
        // A runtime that ends takes along what still waits.
        let ending = std::thread::spawn(move || drop(runtime));
        drop(release);
        ending.join().unwrap();
        assert!(!path(3).exists());
        // And where there is none.
        drop(create(4));
        create(5).discard_now();
        assert!(!path(4).exists() && !path(5).exists());
    }

    #[test]
    fn only_what_was_removed_is_removed_at_start_and_strangers_are_set_aside() {
        let state = tempfile::tempdir().unwrap();
        let media = MediaDir::open(state.path()).unwrap();
        let ids = [1, 2, 3].map(|n| MediaFileId::from_random([n; 16]));
        for id in ids {
            std::fs::write(media.path(id), "bytes").unwrap();
        }
        let [named, removed, stranger] = ids;
        media.sweep(&HashSet::from([named]), &HashSet::from([removed])).unwrap();
        assert!(media.path(named).exists());
        assert!(!media.path(removed).exists() && !media.path(stranger).exists());
        let orphaned = state.path().join("orphaned");
        assert!(orphaned.join(stranger.to_string()).exists());
        assert_eq!(std::fs::read_dir(orphaned).unwrap().count(), 1);
    }

    #[test]
    fn what_can_not_be_cleared_away_keeps_nobody_from_starting() {
        let state = tempfile::tempdir().unwrap();
        let media = MediaDir::open(state.path()).unwrap();
        let [as_directory, removed, stranger] = [1, 2, 3].map(|n| MediaFileId::from_random([n; 16]));
        std::fs::create_dir(media.path(as_directory)).unwrap();
        for id in [removed, stranger] {
            std::fs::write(media.path(id), "bytes").unwrap();
        }
        // What is in the way of `orphaned/` keeps strangers where they are.
        std::fs::write(state.path().join("orphaned"), "a file").unwrap();
        media.sweep(&HashSet::new(), &HashSet::from([as_directory, removed])).unwrap();
        assert!(media.path(as_directory).exists() && media.path(stranger).exists());
        assert!(!media.path(removed).exists(), "one that can't be removed keeps the others");
        // Nobody can remove what is in /proc.
        clear(Path::new("/proc/self/fdinfo")).unwrap();
    }
}
