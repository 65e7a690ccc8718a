//! A video: what a viewer watches.

use super::record::record;
use super::{
    MediaFileId, OrganizationId, PACKAGER_VERSION, Rendition, RenditionOrigin, Timestamp, TranscodingNote, VideoId,
};
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
    /// What was uploaded and is played, and what was read from it.
    pub source: Option<MediaSummary>,
    /// What was uploaded and is being packaged, to take its place.
    #[serde(default)]
    pub next_source: Option<MediaSummary>,
    /// The qualities it plays in; the lowest bit rate first.
    #[serde(default)]
    pub renditions: Vec<Rendition>,
    /// Small pictures of all of it.
    #[serde(default)]
    pub storyboard: Option<Storyboard>,
    /// The picture that stands before it plays.
    #[serde(default)]
    pub poster: Option<Poster>,
    /// Its captions, one of a language.
    #[serde(default)]
    pub captions: Vec<Captions>,
    /// What this machine is not to make of its source.
    #[serde(default)]
    pub transcoding: Option<TranscodingNote>,
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
    /// Whether it was made from the source, and not uploaded: then it goes with it.
    #[serde(default)]
    pub is_made: bool,
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

/// Small pictures of the whole video, for whoever looks for a place in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Storyboard {
    /// The list of them: WebVTT that names `storyboard/{n}.jpg#xywh=…`, n counted from 1.
    pub list: MediaFileId,
    /// The sheets, JPEG, in order.
    pub sheets: Vec<MediaFileId>,
    /// When they were stored.
    pub stored_at: Timestamp,
}

/// Everything that a grant for a video opens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Playable {
    /// The source, while no rendition was made of it.
    pub source: Option<MediaSummary>,
    /// Its qualities; the lowest bit rate first.
    pub renditions: Vec<Rendition>,
    /// Its captions, one of a language.
    pub captions: Vec<Captions>,
    /// The picture that stands before it plays.
    pub poster: Option<Poster>,
    /// Small pictures of all of it.
    pub storyboard: Option<Storyboard>,
}

impl Visibility {
    /// The one that this is not.
    pub fn other(self) -> Self {
        match self {
            Self::Public => Self::Private,
            Self::Private => Self::Public,
        }
    }
}

/// Something that is yet to be packaged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unpackaged<'a> {
    /// A source, for the first time or anew.
    Source(&'a MediaSummary),
    /// A quality that was uploaded or made here, anew. Only what was made of it was kept, which is a source as well.
    Rendition(&'a Rendition),
}

impl Unpackaged<'_> {
    /// The file to package.
    pub fn file(self) -> MediaFileId {
        match self {
            Self::Source(source) => source.file,
            Self::Rendition(rendition) => rendition.file,
        }
    }
}

impl Video {
    /// One that awaits its source.
    pub fn new(
        id: VideoId,
        organization: OrganizationId,
        title: String,
        visibility: Visibility,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            organization,
            title,
            visibility,
            epoch: 0,
            status: VideoStatus::PendingUpload,
            status_detail: None,
            reference_id: None,
            created_at,
            updated_at: created_at,
            source: None,
            next_source: None,
            renditions: Vec::new(),
            storyboard: None,
            poster: None,
            captions: Vec::new(),
            transcoding: None,
        }
    }

    /// Changes who may watch it. Everything signed for the former class ends with the epoch.
    pub fn classify(&mut self, visibility: Visibility) {
        self.visibility = visibility;
        self.epoch = self.epoch.saturating_add(1);
    }

    /// Everything that a grant for this video opens.
    pub fn playable(&self) -> Playable {
        Playable {
            source: self.source.clone().filter(|_| self.renditions.is_empty()),
            renditions: self.renditions.clone(),
            captions: self.captions.clone(),
            poster: self.poster.clone(),
            storyboard: self.storyboard.clone(),
        }
    }

    /// What of it is yet to be packaged, in order: a new source, or else whatever was packaged in a way of the past.
    pub fn awaits_packaging(&self) -> impl Iterator<Item = Unpackaged<'_>> {
        let is_current = |one: &Rendition| one.packager == PACKAGER_VERSION;
        let is_own = |one: &Rendition| one.origin == RenditionOrigin::Source;
        let stale = self.source.as_ref().filter(|_| !self.renditions.iter().any(|one| is_own(one) && is_current(one)));
        let source = self.next_source.as_ref().or(stale);
        // A new source takes the qualities of the former one with it.
        let others =
            self.renditions.iter().filter(move |one| self.next_source.is_none() && !is_own(one) && !is_current(one));
        source.map(Unpackaged::Source).into_iter().chain(others.map(Unpackaged::Rendition))
    }

    /// Adds a quality, in its place by bit rate.
    pub fn add_rendition(&mut self, rendition: Rendition) {
        self.renditions.push(rendition);
        self.renditions.sort_by_key(|one| one.average_bits_per_s);
    }

    /// Every stored file that belongs to it.
    pub fn files(&self) -> Vec<MediaFileId> {
        let sources = [&self.source, &self.next_source].into_iter().flatten().map(|source| source.file);
        let renditions = self.renditions.iter().flat_map(Rendition::files);
        let captions = self.captions.iter().map(|captions| captions.file);
        let poster = self.poster.iter().map(|poster| poster.file);
        let storyboard = self.storyboard.iter().flat_map(Storyboard::files);
        sources.chain(renditions).chain(captions).chain(poster).chain(storyboard).collect()
    }
}

impl Storyboard {
    /// Every file that it is kept in.
    pub fn files(&self) -> impl Iterator<Item = MediaFileId> {
        self.sheets.iter().copied().chain([self.list])
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
    /// Whether viewers get it: of several of a kind one is played. `None` in records of before it was noted.
    #[serde(default)]
    pub played: Option<bool>,
    /// Its language as the source says it, a code of ISO 639-2/T or a tag of BCP 47.
    #[serde(default)]
    pub language: Option<String>,
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
    /// Displayed width and height in pixels of the video track that is played; of the first where that was not noted.
    pub fn dimensions(&self) -> Option<(u32, u32)> {
        let video = self.tracks.iter().find(|track| track.kind == TrackKind::Video && track.played != Some(false))?;
        Some((video.width_px?, video.height_px?))
    }

    /// Whether viewers get this track of it. Where that was not noted it is known of the only one of a kind, and of the
    /// others once the source is packaged anew.
    pub fn is_played(&self, track: &Track) -> Option<bool> {
        let is_only = || self.tracks.iter().filter(|one| one.kind == track.kind).count() == 1;
        match track.kind {
            TrackKind::Other => Some(false),
            TrackKind::Video | TrackKind::Audio => track.played.or_else(|| is_only().then_some(true)),
        }
    }

    /// What viewers call this quality: the shorter side, as in `720p`; `audio` where there is no picture.
    pub fn label(&self) -> String {
        self.dimensions().map_or_else(|| "audio".to_owned(), |(width, height)| format!("{}p", width.min(height)))
    }
}

record!(Video);
