//! A piece of an upload while it comes: held to the upload's length, and on disk before anybody is told where it ends.

use super::lines::{Claim, Turn};
use super::{App, UploadError, UploadState};
use crate::domain::{MediaFileId, Upload, upload_expiry};
use crate::store::{Appended, Appending, Checksum};
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;

/// Bytes being added to an upload. To be ended with [`Piece::finish`] or [`Piece::break_off`].
pub struct Piece {
    app: Arc<App>,
    upload: Arc<Upload>,
    turn: Turn,
    appending: Appending,
    /// Bytes of the upload that are still to come.
    left: u64,
}

impl App {
    /// Begins to add a piece at `offset`, of `announced` bytes if that is known. `None` if the upload is whole and nothing
    /// is to be added.
    pub async fn begin_piece(
        self: &Arc<Self>,
        upload: Arc<Upload>,
        offset: u64,
        announced: Option<u64>,
        checksum: Option<Checksum>,
    ) -> Result<Option<Piece>, UploadError> {
        let id = upload.id;
        let (turn, hash) = match self.uploads.lines.claim(id) {
            Claim::Given(turn, hash) => (turn, hash),
            Claim::Locked => return Err(UploadError::Locked),
            Claim::Whole => return past_the_end(&upload, offset, announced),
        };
        // Looked at once more: it may have ended before it was ours.
        let upload = self.find_upload(upload.organization, id)?;
        if !upload.is_open() {
            return past_the_end(&upload, offset, announced);
        }
        let appending = self.uploads.directory.append(id, upload.length_bytes, hash).await?;
        let mut appending = appending.ok_or(UploadError::NotFound)?;
        let began = appending.began();
        let left = upload.length_bytes.saturating_sub(began.offset);
        let refused = if upload_expiry(began.touched) <= self.now() {
            Some(UploadError::Expired)
        } else if began.offset != offset {
            Some(UploadError::OtherOffset { offset: began.offset })
        } else {
            let too_long = announced.filter(|bytes| *bytes > left);
            let too_long = too_long.map(|_| UploadError::TooLong { length_bytes: upload.length_bytes });
            too_long.or_else(|| self.check_room_for(&appending).err())
        };
        if let Some(refused) = refused {
            turn.rest(appending.leave());
            return Err(refused);
        }
        if let Some(checksum) = checksum {
            appending.expect(checksum).await?;
        }
        Ok(Some(Piece { app: Arc::clone(self), upload, turn, appending, left }))
    }
}

impl App {
    /// Where room for an upload is held, a disk that has filled since it began is no reason to end it.
    fn check_room_for(&self, appending: &Appending) -> Result<(), UploadError> {
        match appending.unheld_bytes() {
            0 => Ok(()),
            bytes => Ok(self.disk.check_room(bytes)?),
        }
    }
}

/// The answer to a piece for an upload that is all there.
fn past_the_end(upload: &Upload, offset: u64, announced: Option<u64>) -> Result<Option<Piece>, UploadError> {
    let length_bytes = upload.length_bytes;
    if offset != length_bytes {
        return Err(UploadError::OtherOffset { offset: length_bytes });
    }
    if announced != Some(0) {
        return Err(UploadError::TooLong { length_bytes });
    }
    Ok(None)
}

impl Piece {
    /// Waits for what the peer sends, unless somebody else goes on with the upload.
    pub async fn await_peer<T>(&self, coming: impl Future<Output = T>) -> Result<T, UploadError> {
        self.turn.await_peer(coming).await.ok_or(UploadError::TakenOver)
    }

    /// Takes more bytes; none that go beyond the upload's length.
    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), UploadError> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or(UploadError::TooLong { length_bytes: self.upload.length_bytes })?;
        Ok(self.appending.write(bytes).await?)
    }

    /// Writes out what was gathered; before [`Piece::finish`].
    pub async fn flush(&mut self) -> Result<(), UploadError> {
        Ok(self.appending.flush().await?)
    }

    /// Ends a piece that came whole. What is answered is on disk; an upload that is whole by it is taken in.
    pub async fn finish(self) -> Result<UploadState, UploadError> {
        let Self { app, upload, turn, appending, .. } = self;
        let appended = appending.finish().await?;
        if appended.is_mismatch {
            turn.rest(appended.hash);
            return Err(UploadError::ChecksumMismatch);
        }
        app.after_piece(upload, turn, appended).await
    }

    /// Ends a piece that broke off: what came is kept and on disk, or none of it if it has a checksum.
    pub async fn break_off(self) -> Result<UploadState, UploadError> {
        let Self { app, upload, turn, appending, .. } = self;
        let appended = appending.break_off().await?;
        app.after_piece(upload, turn, appended).await
    }
}

impl App {
    async fn after_piece(
        self: &Arc<Self>,
        upload: Arc<Upload>,
        turn: Turn,
        appended: Appended,
    ) -> Result<UploadState, UploadError> {
        let Appended { progress, hash, .. } = appended;
        if self.is_gone(upload.id) {
            turn.rest(None);
            self.uploads.directory.remove(upload.id).await;
            return Err(UploadError::NotFound);
        }
        let expires_at = Some(upload_expiry(progress.touched));
        let state = UploadState { upload: Arc::clone(&upload), offset: progress.offset, expires_at };
        if progress.offset < upload.length_bytes {
            turn.rest(hash);
            return Ok(state);
        }
        turn.take_in();
        self.take_in_behind(upload, hash);
        Ok(UploadState { expires_at: None, ..state })
    }

    fn is_gone(&self, id: MediaFileId) -> bool {
        self.store.access().upload(id).is_none()
    }
}
