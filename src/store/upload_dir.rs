//! Resumable uploads at rest: one file each in `uploads/`, which only grows, named by the id of the media file that it
//! becomes. How much of an upload there is, is its file's length; nothing else says so. While a piece with a checksum is
//! written (`appending.rs`), `<id>.floor` says where it began: what lies behind is no part of the upload until the checksum
//! was found right. Nor is what lies behind a floor that a failed sync left (`known_synced.rs`).
//!
//! Never takes a name from outside, and never changes a byte that belongs to an upload.

use super::appending::{Appending, Place, RunningHash, known_right};
use super::disk::allocate;
use super::journal::sync_directory;
use super::known_synced::KnownSynced;
use super::media_dir::{MediaDir, MediaError, Received, blocking, make_if_missing, open_regular, warn_of_leftover};
use super::small_file::open_own_file;
use super::state_dir::{StateDirError, check_one_mount};
use crate::domain::{MediaFileId, Timestamp};
use std::collections::HashSet;
use std::fs::{DirEntry, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::UNIX_EPOCH;

/// Where uploads wait until they are whole.
pub struct UploadDir {
    directory: PathBuf,
    known: KnownSynced,
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    /// Bytes of it that are on disk.
    pub offset: u64,
    /// When it was last written to.
    pub touched: Timestamp,
}

impl UploadDir {
    /// The directory of uploads below `state`; made if missing.
    pub fn open(state: &Path) -> Result<Self, StateDirError> {
        let directory = state.join("uploads");
        make_if_missing(&directory).and_then(|()| sync_directory(state)).map_err(StateDirError::at(&directory))?;
        let media = state.join("media");
        if is_there(&media)? {
            check_one_mount(&media, &directory)?;
        }
        Ok(Self { directory, known: KnownSynced::default() })
    }

    /// Sorts out what a crash left; only at start, before anything is uploaded. Files that are no `open` upload's go. One
    /// that was moved into `media/` and is not among those that a record names comes back; one that came back and is goes
    /// there again. Answers the open uploads that have no file; where that can't be told, the start is refused.
    pub fn recover(
        &self,
        open: &HashSet<MediaFileId>,
        media: &MediaDir,
        named: &HashSet<MediaFileId>,
    ) -> Result<Vec<MediaFileId>, StateDirError> {
        let at = StateDirError::at;
        let is_file = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
        for entry in std::fs::read_dir(&self.directory).map_err(at(&self.directory))?.flatten().filter(is_file) {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let id = MediaFileId::parse(name.strip_suffix(FLOOR).unwrap_or(name));
            if let Some(id) = id.filter(|id| named.contains(id) && name == id.to_string())
                && !is_there(&media.path(id))?
            {
                tracing::info!(file = %id, "an upload that became a media file goes where its record says");
                std::fs::rename(entry.path(), media.path(id))
                    .and_then(|()| sync_directory(media.directory()))
                    .map_err(at(&media.path(id)))?;
            } else if !id.is_some_and(|id| open.contains(&id)) {
                tracing::info!(file = name, "removing an upload's file that no open upload names");
                if let Err(error) = std::fs::remove_file(entry.path()) {
                    warn_of_leftover(&entry.path(), error);
                }
            }
        }
        let mut missing = Vec::new();
        for id in open {
            if is_there(&self.path(*id))? {
                continue;
            }
            if !named.contains(id) && is_there(&media.path(*id))? {
                tracing::info!(file = %id, "an upload that was whole is looked at once more");
                std::fs::rename(media.path(*id), self.path(*id)).map_err(at(&self.path(*id)))?;
            } else {
                missing.push(*id);
            }
        }
        sync_directory(&self.directory).map_err(at(&self.directory))?;
        Ok(missing)
    }

    /// Makes an upload's file, empty, and holds room for `length_bytes` where the file system can. It is on disk when this
    /// answers; where it fails nothing is left.
    pub async fn create(&self, id: MediaFileId, length_bytes: u64) -> Result<(), MediaError> {
        let (path, directory) = (self.path(id), self.directory.clone());
        let create = move || {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            let made = allocate(&file, length_bytes).and_then(|()| file.sync_all());
            made.and_then(|()| sync_directory(&directory)).inspect_err(|_| drop(std::fs::remove_file(&path)))
        };
        Ok(blocking(create).await?)
    }

    /// How far an upload of `length_bytes` has come, and on disk when this answers; `None` if it has no file. Where a sync
    /// fails, no later answer goes beyond what an earlier one had found on disk.
    pub async fn progress(&self, id: MediaFileId, length_bytes: u64) -> io::Result<Option<UploadProgress>> {
        let (path, floor, known) = (self.path(id), self.floor_path(id), self.known.of(id));
        let progress = blocking(move || {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // The length before the floor: a piece that begins in between has put its floor down before its bytes.
            let (file, metadata) = match open_regular(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            let right = known_right(&floor, &metadata, length_bytes)?;
            if known.bound() == u64::MAX {
                known.sync(&file, &floor, right)?;
            }
            known.write_down(&floor, right);
            let offset = right.min(known.bound()).min(metadata.len());
            Ok(Some(UploadProgress { offset, touched: modified(&metadata)? }))
        });
        let progress = progress.await?;
        if progress.is_none() {
            self.known.forget(id);
        }
        Ok(progress)
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
        let known = self.known.of(id);
        blocking(move || {
            let file = match open_own_file(&path, OpenOptions::new().read(true).write(true)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            Appending::open(Place { file: Arc::new(file), floor, directory, length_bytes, known }, hash).map(Some)
        })
        .await
    }

    /// A whole upload as something received, hashed if that was not done as it came. Dropped, it stays where it is.
    pub async fn received(&self, id: MediaFileId, hash: Option<RunningHash>) -> Result<Received, MediaError> {
        let path = self.path(id);
        let open = {
            let path = path.clone();
            move || open_own_file(&path, OpenOptions::new().read(true).write(true))
        };
        let file = Arc::new(blocking(open).await?);
        let size_bytes = file.metadata()?.len();
        let mut hash = hash.filter(|hash| hash.bytes() <= size_bytes).unwrap_or_default();
        // Step by step, so that a server that stops does not wait for the whole of it.
        while hash.bytes() < size_bytes {
            let file = Arc::clone(&file);
            hash = blocking(move || {
                let step = usize::try_from(size_bytes - hash.bytes()).unwrap_or(usize::MAX).min(HASH_STEP_BYTES);
                let mut buffer = vec![0; step];
                file.read_exact_at(&mut buffer, hash.bytes())?;
                hash.update(&buffer);
                Ok(hash)
            })
            .await?;
        }
        Ok(Received::of_upload(id, path, file, size_bytes, hash.finish()))
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
        self.known.forget(id);
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

/// Whether something has this name. What the system does not let us see is not missing.
fn is_there(path: &Path) -> Result<bool, StateDirError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StateDirError::at(path)(error)),
    }
}

pub(super) fn modified(metadata: &Metadata) -> io::Result<Timestamp> {
    let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::hex;
    use crate::store::Checksum;
    use crate::store::known_synced::unsyncable;
    use bytes::Bytes;
    use sha2::{Digest, Sha256};

    const LENGTH: u64 = 6;

    async fn add(uploads: &UploadDir, id: MediaFileId, hash: Option<RunningHash>, bytes: &'static [u8]) -> RunningHash {
        let mut piece = uploads.append(id, LENGTH, hash).await.unwrap().unwrap();
        piece.write(&Bytes::from_static(bytes)).await.unwrap();
        piece.flush().await.unwrap();
        piece.finish().await.unwrap().hash.unwrap()
    }

    #[test]
    fn directories_between_which_nothing_can_be_renamed_are_refused() {
        let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
        for apart in ["media", "incoming", "uploads"] {
            let state = tempfile::tempdir().unwrap();
            let open = || MediaDir::open(state.path()).and_then(|_| UploadDir::open(state.path()));
            assert!(open().is_ok());
            std::fs::remove_dir(state.path().join(apart)).unwrap();
            std::os::unix::fs::symlink(elsewhere.path(), state.path().join(apart)).unwrap();
            let refused = open().err().unwrap().to_string();
            let place = state.path().join(apart).display().to_string();
            assert!(refused.contains(&place) && refused.contains("Mount the disk at the state directory"), "{refused}");
        }
    }

    #[test]
    fn what_can_not_be_looked_at_is_not_missing() {
        let state = tempfile::tempdir().unwrap();
        let (media, uploads) = (MediaDir::open(state.path()).unwrap(), UploadDir::open(state.path()).unwrap());
        let id = MediaFileId::from_random([1; 16]);
        let recover = || uploads.recover(&HashSet::from([id]), &media, &HashSet::new());
        assert_eq!(recover().unwrap(), [id]);
        // Nobody can say what lies below a file.
        std::fs::remove_dir(media.directory()).unwrap();
        std::fs::write(media.directory(), "").unwrap();
        let refused = recover().unwrap_err().to_string();
        let place = media.path(id).display().to_string();
        assert!(refused.starts_with(&place) && refused.contains("a directory is expected"), "{refused}");
        // One that is there is not asked for in media/.
        std::fs::write(uploads.path(id), "x").unwrap();
        assert_eq!(recover().unwrap(), []);
    }

    #[test]
    fn an_upload_that_a_record_names_as_media_goes_where_that_says() {
        let state = tempfile::tempdir().unwrap();
        let (media, uploads) = (MediaDir::open(state.path()).unwrap(), UploadDir::open(state.path()).unwrap());
        let [named, unnamed] = [1, 2].map(|byte| MediaFileId::from_random([byte; 16]));
        for id in [named, unnamed] {
            std::fs::write(uploads.path(id), "x").unwrap();
        }
        assert_eq!(uploads.recover(&HashSet::new(), &media, &HashSet::from([named])).unwrap(), []);
        assert_eq!(std::fs::read(media.path(named)).unwrap(), b"x");
        assert!(!media.path(unnamed).exists() && std::fs::read_dir(state.path().join("uploads")).unwrap().count() == 0);
    }

    #[test]
    fn what_a_failed_sync_was_for_is_never_believed_again() {
        let state = tempfile::tempdir().unwrap();
        let uploads = UploadDir::open(state.path()).unwrap();
        let id = MediaFileId::from_random([1; 16]);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            uploads.create(id, LENGTH).await.unwrap();
            let hash = add(&uploads, id, None, b"abc").await;
            // A killed process leaves bytes that no sync has seen; the one of the next process fails.
            std::fs::write(uploads.path(id), b"abcde").unwrap();
            let offset = async |uploads: &UploadDir| uploads.progress(id, LENGTH).await.unwrap().unwrap().offset;
            let file = unsyncable(&uploads.path(id));
            let known = uploads.known.of(id);
            known.lock().unwrap().sync(&file, &uploads.floor_path(id), u64::MAX).unwrap_err();
            for _ in 0..2 {
                assert_eq!(offset(&uploads).await, 3);
                known.lock().unwrap().sync(&file, &uploads.floor_path(id), u64::MAX).unwrap_err();
            }
            // A start finds it written down, and what was not known to the one that failed is nothing.
            assert_eq!(offset(&UploadDir::open(state.path()).unwrap()).await, 3);
            std::fs::remove_file(uploads.floor_path(id)).unwrap();
            let other = UploadDir::open(state.path()).unwrap();
            other.known.of(id).lock().unwrap().sync(&file, &uploads.floor_path(id), u64::MAX).unwrap_err();
            assert_eq!((offset(&other).await, offset(&UploadDir::open(state.path()).unwrap()).await), (0, 0));
            // The next piece begins where the bytes are known to be, and ends the doubt.
            std::fs::remove_file(uploads.floor_path(id)).unwrap();
            add(&uploads, id, Some(hash), b"def").await;
            assert_eq!((offset(&uploads).await, std::fs::read(uploads.path(id)).unwrap()), (6, b"abcdef".to_vec()));
            assert!(!uploads.floor_path(id).exists());
        });
    }

    #[test]
    fn an_upload_is_hashed_alike_as_it_came_and_afterwards_and_comes_back_from_media() {
        let state = tempfile::tempdir().unwrap();
        let (media, uploads) = (MediaDir::open(state.path()).unwrap(), UploadDir::open(state.path()).unwrap());
        let id = MediaFileId::from_random([1; 16]);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            uploads.create(id, LENGTH).await.unwrap();
            let hash = add(&uploads, id, None, b"abc").await;
            // A piece that is discarded leaves no trace in the hash.
            let mut wrong = uploads.append(id, LENGTH, Some(hash)).await.unwrap().unwrap();
            wrong.expect(Checksum::new("sha256", vec![0; 32]).unwrap()).await.unwrap();
            wrong.write(&Bytes::from_static(b"xyz")).await.unwrap();
            wrong.flush().await.unwrap();
            let ended = wrong.finish().await.unwrap();
            assert_eq!((ended.is_mismatch, ended.progress.offset), (true, 3));
            let hash = add(&uploads, id, ended.hash, b"def").await;
            let wanted = hex(&Sha256::digest(b"abcdef"));
            for hash in [Some(hash), None] {
                assert_eq!(uploads.received(id, hash).await.unwrap().sha256(), wanted);
            }
            // Dropped, it stayed; kept, it went; and what is taken back is what it was.
            media.keep_now(uploads.received(id, None).await.unwrap()).unwrap();
            assert!(media.path(id).exists() && uploads.progress(id, LENGTH).await.unwrap().is_none());
            for _ in 0..2 {
                uploads.put_back(id, &media).await.unwrap();
                assert_eq!(std::fs::read(uploads.path(id)).unwrap(), b"abcdef");
                assert!(!media.path(id).exists());
            }
        });
    }
}
