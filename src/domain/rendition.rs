//! A rendition: one quality of a video, packaged once into one fragmented MP4.

use super::{MediaFileId, Timestamp};
use serde::{Deserialize, Serialize};

/// Version of the packager: raised when it writes other bytes than before, so that what it made is made anew.
pub const PACKAGER_VERSION: u32 = 3;

/// One quality of a video. Its file's id is its name in asset URLs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// The fragmented MP4: the segments in one file, and the progressive download.
    pub file: MediaFileId,
    /// Where the segments stand in it.
    pub index: MediaFileId,
    /// When it was stored; its `Last-Modified`.
    pub stored_at: Timestamp,
    /// What viewers call it: the shorter side, as in `720p`; `audio` where there is no picture.
    pub label: String,
    /// Where it came from.
    pub origin: RenditionOrigin,
    /// Version of the packager that made it.
    pub packager: u32,
    /// Length of the file in bytes.
    pub size_bytes: u64,
    /// Its length in milliseconds.
    pub duration_ms: u64,
    /// Bits a second of its most demanding segment (RFC 8216 §4.3.4.2, `BANDWIDTH`).
    pub peak_bits_per_s: u64,
    /// Bits a second over all of it (`AVERAGE-BANDWIDTH`).
    pub average_bits_per_s: u64,
    /// Bits a second of its most demanding keyframes; 0 without a picture, and in records of before it was known.
    #[serde(default)]
    pub keyframe_bits_per_s: u64,
    /// Whether each segment can be decoded without another; `false` in records of before it was known.
    #[serde(default)]
    pub independent_segments: bool,
    /// Longest segment in milliseconds.
    pub longest_segment_ms: u64,
    /// Its picture, if it has one.
    pub video: Option<VideoFormat>,
    /// Its sound, if it has any.
    pub audio: Option<AudioFormat>,
}

/// Where a rendition came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RenditionOrigin {
    /// The source, packaged as it is.
    Source,
    /// A quality that the operator added.
    Uploaded,
    /// Made from the source on this machine.
    Transcoded,
}

/// How a rendition's picture is encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoFormat {
    /// Codec string of RFC 6381, such as `avc1.64001f`.
    pub codec: String,
    /// Width as displayed, in pixels.
    pub width_px: u32,
    /// Height as displayed, in pixels.
    pub height_px: u32,
    /// Frames in 1,000 seconds, on average: 29,970 for 29.97 a second.
    pub frames_per_1000_s: u32,
}

/// How a rendition's sound is encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFormat {
    /// Codec string of RFC 6381, such as `mp4a.40.2`.
    pub codec: String,
    /// Channels, as the sample entry says.
    pub channels: u16,
    /// Samples a second.
    pub sample_rate_hz: u32,
}

impl Rendition {
    /// Its codecs as RFC 6381 lists them, picture first.
    pub fn codecs(&self) -> String {
        let video = self.video.as_ref().map(|video| video.codec.as_str());
        let audio = self.audio.as_ref().map(|audio| audio.codec.as_str());
        video.into_iter().chain(audio).collect::<Vec<_>>().join(",")
    }

    /// Displayed width and height in pixels, if there is a picture.
    pub fn dimensions(&self) -> Option<(u32, u32)> {
        self.video.as_ref().map(|video| (video.width_px, video.height_px))
    }

    /// Both files that it is kept in.
    pub fn files(&self) -> [MediaFileId; 2] {
        [self.file, self.index]
    }
}
