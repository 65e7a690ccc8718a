//! A media file: stored bytes that belong to a video. The bytes never change; new bytes get a new id.

use super::record::record;
use super::{MediaFileId, OrganizationId, Timestamp, VideoId};
use serde::{Deserialize, Serialize};

/// What stored bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// What was uploaded, kept as it is.
    Source,
    /// A packaged quality, or the index beside it.
    Rendition,
    /// The picture that stands before the video plays.
    Poster,
    /// Captions in one language, as WebVTT.
    Captions,
    /// Small pictures of the whole video, and the list of them.
    Storyboard,
}

/// A media file's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaFile {
    /// Its id, and its name on disk.
    pub id: MediaFileId,
    /// Its owner.
    pub organization: OrganizationId,
    /// The video it belongs to.
    pub video: VideoId,
    /// What it is for.
    pub kind: MediaKind,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// When it was stored.
    pub created_at: Timestamp,
}

record!(MediaFile, parent: video);
