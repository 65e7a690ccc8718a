//! A video: what a viewer watches.

use super::record::record;
use super::{MediaFileId, OrganizationId, Timestamp, VideoId};
use serde::{Deserialize, Serialize};

/// Who may watch a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Anyone who can reach the embed.
    Public,
    /// Bearers of a valid viewer token.
    Private,
}

/// Where a video stands between upload and playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoStatus {
    /// No source has been stored yet.
    PendingUpload,
    /// A source is on disk and is being read.
    Processing,
    /// It plays.
    Ready,
    /// The source could not be used; `status_detail` says why.
    Error,
}

/// A video's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// Its id, a token's `sub`.
    pub id: VideoId,
    /// Its owner.
    pub organization: OrganizationId,
    /// What people call it.
    pub title: String,
    /// Who may watch it.
    pub visibility: Visibility,
    /// Access epoch: counts re-classifications. Asset URLs carry it, so that raising it ends all of them at once.
    pub epoch: u32,
    /// Where it stands.
    pub status: VideoStatus,
    /// For an uploader: why the source could not be used.
    pub status_detail: Option<String>,
    /// The operator's own name for it, unique within the organization.
    pub reference_id: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its record last changed.
    pub updated_at: Timestamp,
    /// The stored bytes it plays from, and what was read from them.
    pub source: Option<MediaSummary>,
    /// The picture that stands before it plays.
    #[serde(default)]
    pub poster: Option<Poster>,
    /// Its captions, one of a language.
    #[serde(default)]
    pub captions: Vec<Captions>,
}

/// A picture that stands before a video plays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poster {
    /// The stored file.
    pub file: MediaFileId,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// How it is encoded.
    pub format: PictureFormat,
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
}

/// The picture formats that browsers show and we keep as they are. SVG is none: it is a document, with scripts and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    /// JPEG (ISO/IEC 10918-1)
    Jpeg,
    /// PNG (W3C)
    Png,
    /// WebP (RFC 9649)
    Webp,
    /// AVIF (AOMedia)
    Avif,
}

impl PictureFormat {
    /// What its file's name ends with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Avif => "avif",
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Avif => "image/avif",
        }
    }
}

/// Captions in one language, kept as WebVTT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captions {
    /// BCP 47 tag; also their name in URLs.
    pub language: String,
    /// What viewers choose them by.
    pub label: String,
    /// The stored file.
    pub file: MediaFileId,
    /// When they were stored.
    pub stored_at: Timestamp,
}

/// Stored bytes of a video under the name that they have in asset URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Its name behind the grant.
    pub name: String,
    /// The stored file.
    pub file: MediaFileId,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// Its media type.
    pub content_type: &'static str,
}

impl Video {
    /// Everything that a grant for this video opens.
    pub fn named_files(&self) -> Vec<NamedFile> {
        let source = self.source.as_ref().map(|source| NamedFile {
            name: format!("{}.mp4", source.file),
            file: source.file,
            stored_at: source.stored_at,
            content_type: "video/mp4",
        });
        let poster = self.poster.as_ref().map(|poster| NamedFile {
            name: poster.name(),
            file: poster.file,
            stored_at: poster.stored_at,
            content_type: poster.format.content_type(),
        });
        let captions = self.captions.iter().map(|captions| NamedFile {
            name: captions.name(),
            file: captions.file,
            stored_at: captions.stored_at,
            content_type: "text/vtt; charset=utf-8",
        });
        source.into_iter().chain(poster).chain(captions).collect()
    }
}

impl Poster {
    /// Its name behind the grant.
    pub fn name(&self) -> String {
        format!("poster.{}", self.format.extension())
    }
}

impl Captions {
    /// Their name behind the grant.
    pub fn name(&self) -> String {
        format!("captions/{}.vtt", self.language)
    }
}

/// What was read from a stored source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaSummary {
    /// The stored file.
    pub file: MediaFileId,
    /// When it was stored; its `Last-Modified`.
    pub stored_at: Timestamp,
    /// Length of its longest track, in milliseconds.
    pub duration_ms: u64,
    /// Every track, in the file's order.
    pub tracks: Vec<Track>,
}

/// One track of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// What it carries.
    pub kind: TrackKind,
    /// Sample entry name (ISO/IEC 14496-12 §8.5.2), such as `avc1` or `mp4a`.
    pub codec: String,
    /// Its length in milliseconds.
    pub duration_ms: u64,
    /// Width as displayed, in pixels; video only.
    pub width_px: Option<u32>,
    /// Height as displayed, in pixels; video only.
    pub height_px: Option<u32>,
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Anything else: text, timecode, metadata.
    Other,
}

impl MediaSummary {
    /// Displayed width and height in pixels of the first video track.
    pub fn dimensions(&self) -> Option<(u32, u32)> {
        let video = self.tracks.iter().find(|track| track.kind == TrackKind::Video)?;
        Some((video.width_px?, video.height_px?))
    }

    /// What viewers call this quality: the shorter side, as in `720p`; `audio` where there is no picture.
    pub fn label(&self) -> String {
        self.dimensions().map_or_else(|| "audio".to_owned(), |(width, height)| format!("{}p", width.min(height)))
    }
}

record!(Video);
