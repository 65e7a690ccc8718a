//! Resumable uploads: what is known of each, beginning and ending them. `lines.rs` says who writes, `piece.rs` adds what
//! comes, `taking_in.rs` makes what is whole part of its video and clears away what nobody goes on with.

mod lines;
mod piece;
mod taking_in;
#[cfg(test)]
mod tests;

pub use piece::Piece;

use super::overdue::Overdue;
use super::{App, StartError, subject};
use crate::domain::{
    Actor, AuditEvent, Kind, Mandate, MediaFileId, OrganizationId, Timestamp, Upload, Video, VideoStatus, upload_expiry,
};
use crate::store::{Catalog, MediaDir, MediaError, UploadDir, Usage, WriteError};
use lines::Lines;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Every upload's file, and who writes to it.
pub struct Uploads {
    pub(super) directory: UploadDir,
    lines: Arc<Lines>,
    /// What has expired, if the clock is right.
    overdue: Overdue,
}

/// Where an upload stands.
pub struct UploadState {
    /// Its record.
    pub upload: Arc<Upload>,
    /// Bytes of it that are on disk.
    pub offset: u64,
    /// When it is forgotten unless more comes. What is whole and not yet part of its video is not forgotten for age.
    pub expires_at: Option<Timestamp>,
}

/// Why an upload was not begun or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is none, or it is another organization's.
    #[error("there is no such upload")]
    NotFound,
    /// Nothing came for too long.
    #[error("the upload has expired")]
    Expired,
    /// Somebody else writes to it.
    #[error("the upload is being written to")]
    Locked,
    /// Somebody else went on with it, or it was deleted.
    #[error("another request went on with the upload")]
    TakenOver,
    /// The piece is not the next one.
    #[error("the upload is at byte {offset}")]
    OtherOffset {
        /// Where the next one begins.
        offset: u64,
    },
    /// There is more than was announced.
    #[error("the upload has {length_bytes} bytes and no more")]
    TooLong {
        /// What was announced.
        length_bytes: u64,
    },
    /// The piece is not what was sent.
    #[error("the piece does not match its checksum")]
    ChecksumMismatch,
    /// The organization has as many open ones as it may.
    #[error("too many uploads are open")]
    TooMany,
    /// The organization's files would take more than they may.
    #[error("the organization's quota of {quota_gib} GiB would be exceeded (media.quota_gib)")]
    QuotaExceeded {
        /// What they may take.
        quota_gib: u64,
    },
    /// The disk.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The row could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        Self::Media(error.into())
    }
}

/// How much room an organization's files may take.
#[derive(Clone, Copy)]
pub struct Quota {
    gib: u64,
}

impl Quota {
    /// Refuses `more_bytes` that do not fit beside what is there and announced.
    pub fn check(self, usage: Usage, more_bytes: u64) -> Result<(), UploadError> {
        let fits = usage.total_bytes().saturating_add(more_bytes) <= self.gib << 30;
        if self.gib == 0 || fits { Ok(()) } else { Err(UploadError::QuotaExceeded { quota_gib: self.gib }) }
    }
}

impl Uploads {
    /// Opens the directory of uploads and brings it and the records in line with each other; before media are swept.
    pub(super) async fn start(
        state: &Path,
        store: &Catalog,
        media: &MediaDir,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        let directory = UploadDir::open(state)?;
        let open: HashSet<MediaFileId> =
            store.access().uploads().filter(|upload| upload.is_open()).map(|upload| upload.id).collect();
        let missing = directory.recover(&open, media, &store.media_files())?;
        for id in missing {
            tracing::warn!(upload = %id, "an open upload has no file; it is forgotten");
            let removed = store.write_urgent(now, move |draft| {
                if let Some(upload) = draft.find::<Upload>(id.0) {
                    draft.remove(&upload);
                    draft.audit(event(
                        Actor::Server.into(),
                        &upload,
                        "upload.delete",
                        json!({ "reason": "its file is missing" }),
                    ));
                }
                Ok::<_, WriteError>(())
            });
            removed.await?;
        }
        Ok(Self { directory, lines: Arc::default(), overdue: Overdue::default() })
    }

    /// Makes the file of a new upload, with room for all of it where the file system can hold that.
    pub async fn create(&self, id: MediaFileId, length_bytes: u64) -> Result<(), MediaError> {
        self.directory.create(id, length_bytes).await
    }

    /// Removes the file of an upload that did not come to be.
    pub async fn abandon(&self, id: MediaFileId) {
        self.directory.remove(id).await;
    }
}

impl App {
    /// How much room an organization's files may take.
    pub fn quota(&self) -> Quota {
        Quota { gib: self.config.media.quota_gib }
    }

    /// An organization's upload, open or received.
    pub fn find_upload(&self, organization: OrganizationId, id: MediaFileId) -> Result<Arc<Upload>, UploadError> {
        let found = self.store.access().upload(id).cloned();
        found.filter(|upload| upload.organization == organization).ok_or(UploadError::NotFound)
    }

    /// Where an upload stands, for whoever wants to go on with it: a connection that has fallen silent lets go of it.
    pub async fn free_upload(&self, organization: OrganizationId, id: MediaFileId) -> Result<UploadState, UploadError> {
        self.find_upload(organization, id)?;
        self.uploads.lines.free(id).await?;
        let state = self.upload_state(self.find_upload(organization, id)?).await?;
        match state.expires_at {
            Some(expires_at) if expires_at <= self.now() => Err(UploadError::Expired),
            _ => Ok(state),
        }
    }

    /// Where an upload stands; what is said to be there is on disk.
    pub async fn upload_state(&self, upload: Arc<Upload>) -> Result<UploadState, UploadError> {
        let offset = upload.length_bytes;
        if let Some(received_at) = upload.received_at {
            return Ok(UploadState { upload, offset, expires_at: Some(upload_expiry(received_at)) });
        }
        if self.uploads.lines.is_whole(upload.id) {
            return Ok(UploadState { upload, offset, expires_at: None });
        }
        match self.uploads.directory.progress(upload.id, upload.length_bytes).await? {
            Some(progress) => {
                let expires_at = Some(upload_expiry(progress.touched));
                Ok(UploadState { upload, offset: progress.offset, expires_at })
            }
            None => Err(UploadError::NotFound),
        }
    }

    /// Deletes an upload: the row first, then the file. Whoever writes to it ends. What it has become is its video's.
    pub async fn delete_upload(
        &self,
        mandate: Mandate,
        organization: OrganizationId,
        id: MediaFileId,
    ) -> Result<(), UploadError> {
        let deleted = self.store.write_urgent(self.now(), move |draft| {
            let upload = draft.find::<Upload>(id.0).filter(|upload| upload.organization == organization);
            let upload = upload.ok_or(UploadError::NotFound)?;
            draft.remove(&upload);
            draft.audit(event(mandate, &upload, "upload.delete", json!({ "videoId": upload.video.to_string() })));
            Ok::<_, UploadError>(())
        });
        deleted.await?;
        self.forget_uploads(&[id]).await;
        Ok(())
    }

    /// Ends what is under way for uploads whose rows were removed, and removes their files.
    pub async fn forget_uploads(&self, ids: &[MediaFileId]) {
        for id in ids {
            self.uploads.lines.end(*id).await;
            // Whoever is taking it in clears up when that is done.
            if !self.uploads.lines.is_taken_in(*id) {
                self.uploads.lines.forget(*id);
                self.uploads.directory.remove(*id).await;
            }
        }
    }

    /// A video's status, with what has been received for it and is not in its record yet.
    pub fn status_of(&self, video: &Video) -> VideoStatus {
        let waits = matches!(video.status, VideoStatus::PendingUpload | VideoStatus::Error);
        let whole = if waits { self.uploads.lines.whole() } else { Vec::new() };
        let access = self.store.access();
        let is_its_source = |upload: &Arc<Upload>| {
            // One that is in the record by now, and the record was read just before.
            let was_kept = video.status == VideoStatus::PendingUpload && upload.refusal.is_none();
            upload.video == video.id && upload.rendition.is_none() && (upload.is_open() || was_kept)
        };
        if whole.iter().filter_map(|id| access.upload(*id)).any(is_its_source) {
            VideoStatus::Processing
        } else {
            video.status
        }
    }
}

/// An entry of the audit log about an upload.
fn event(mandate: Mandate, upload: &Upload, action: &'static str, detail: Value) -> AuditEvent {
    AuditEvent {
        mandate,
        organization: upload.organization,
        action,
        subject: subject(Kind::Upload, upload.id.0),
        detail,
    }
}
