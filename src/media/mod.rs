//! Reading what is uploaded, an MP4 or `QuickTime` file, captions or a picture: what it is, or why it cannot be used.
//!
//! Relies on mp4-atom for boxes of fixed layout. Never opens files, reads a clock or keeps anything: it is handed
//! positioned reads, and gives back facts. Every byte it sees is an attacker's.

mod aac;
mod alignment;
mod boxes;
mod captions;
mod dash;
mod encoding;
mod fragment_out;
mod fragments;
mod hls;
mod movie;
mod package;
mod picture;
mod playlist_text;
mod samples;
mod segment_index;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod track;
mod write;

pub use alignment::differences;
pub use captions::{CaptionsError, MAX_CAPTIONS_BYTES, is_language_tag, read_captions};
pub use dash::dash_manifest;
pub use hls::{captions_playlist, iframe_playlist, keyframe_bits_per_s, master_playlist, media_playlist};
pub use package::{Package, PackageFacts};
pub use picture::{MAX_PICTURE_BYTES, Picture, PictureError, read_picture};
pub use segment_index::{AccessPoint, Segment, SegmentIndex};
pub use source::{ReadAt, SourceFacts, Unplayable, read_source};
