//! HLS playlists (RFC 8216) of packaged renditions. Every URI is relative, so that one grant in the path covers them
//! all; nothing in them depends on who asks.

use super::segment_index::SegmentIndex;
use crate::domain::{Captions, Playable};

/// The playlist of all qualities.
pub fn master_playlist(_playable: &Playable) -> String {
    String::new()
}

/// The segments of one quality.
pub fn media_playlist(_index: &SegmentIndex) -> String {
    String::new()
}

/// The keyframes of one quality, for players that scrub.
pub fn iframe_playlist(_index: &SegmentIndex) -> String {
    String::new()
}

/// Captions in one language, as one segment that lasts as long as the video.
pub fn captions_playlist(_captions: &Captions, _duration_ms: u64) -> String {
    String::new()
}
