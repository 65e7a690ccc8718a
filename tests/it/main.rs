//! The real binary over real TLS sockets: one test program, one feature a file.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that can't go on fails, with the place"
)]

mod access_points;
mod admin_api;
mod architecture;
mod asset_urls;
mod attacks;
mod backup;
mod captions_and_poster;
mod command_line;
mod damaged_media;
mod dashboard;
mod disk;
mod hostile_media;
mod hostile_tokens;
mod judges;
mod large_upload;
mod mutations;
mod oembed;
mod origins;
mod packaging;
mod playback_answer;
mod playlists;
mod presentation;
mod private_video;
mod processing;
mod ranges;
mod readme;
mod renditions;
mod repackaging;
mod revocation;
mod service;
mod sessions;
mod state;
mod state_directory;
mod support;
mod tokens;
mod transcoding;
mod uploads;
