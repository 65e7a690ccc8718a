//! A resumable upload: a file that comes in pieces and becomes part of a video when it is whole.

use super::record::record;
use super::{Actor, MediaFileId, OrganizationId, Timestamp, VideoId, limits};
use serde::{Deserialize, Serialize};

/// An upload's record. How much of it has come is the length of its file, and stands nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// Its id: also its file's name on disk, and the id of the media file that it becomes.
    pub id: MediaFileId,
    /// Its owner.
    pub organization: OrganizationId,
    /// The video it is for.
    pub video: VideoId,
    /// The label of the quality that it is; `None` for the source.
    pub rendition: Option<String>,
    /// The source that it is a quality of. Those begun by an earlier version have none: they are taken for the present one's.
    #[serde(default)]
    pub of: Option<MediaFileId>,
    /// Its length when it is whole, in bytes; never 0.
    pub length_bytes: u64,
    /// `Upload-Metadata` as it was sent, which `HEAD` answers (tus 1.0, Creation).
    pub metadata: Option<String>,
    /// Who began it. What becomes of it happens in their name.
    pub actor: Actor,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it became part of its video, or was refused. Its file is no longer among the uploads then.
    #[serde(default)]
    pub received_at: Option<Timestamp>,
    /// Why it was refused when it was whole; a sentence for the uploader.
    #[serde(default)]
    pub refusal: Option<String>,
}

record!(Upload, parent: video);

impl Upload {
    /// Whether bytes are still awaited, or it is whole and not yet part of its video.
    pub fn is_open(&self) -> bool {
        self.received_at.is_none()
    }
}

/// When an upload that was last written to, or received, at `touched` is forgotten.
pub fn upload_expiry(touched: Timestamp) -> Timestamp {
    touched.plus_secs(limits::UPLOAD_LIFE_S)
}
