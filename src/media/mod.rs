//! Reading what is uploaded, an MP4 or `QuickTime` file, captions or a picture: what it is, or why it cannot be used.
//!
//! Relies on mp4-atom for boxes of fixed layout. Never opens files, reads a clock or keeps anything: it is handed
//! positioned reads, and gives back facts. Every byte it sees is an attacker's.

mod boxes;
mod captions;
mod fragments;
mod picture;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod track;

pub use captions::{CaptionsError, MAX_CAPTIONS_BYTES, is_language_tag, read_captions};
pub use picture::{MAX_PICTURE_BYTES, Picture, PictureError, read_picture};
pub use source::{ReadAt, SourceFacts, Unplayable, read_source};
