//! Reading an uploaded MP4 or `QuickTime` file: what it is, or why it cannot be played.
//!
//! Relies on mp4-atom for boxes of fixed layout. Never opens files, reads a clock or keeps anything: it is handed
//! positioned reads, and gives back facts. Every byte it sees is an attacker's.

mod boxes;
mod fragments;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod track;

pub use source::{ReadAt, SourceFacts, Unplayable, read_source};
