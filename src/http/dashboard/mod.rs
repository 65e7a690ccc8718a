//! The dashboard: pages made on the server, with real forms. A form does what the admin API does, through the same
//! functions; scripts only make the pages livelier.
//!
//! Never decides anything itself, and never changes a record in a way of its own.

pub mod api_keys;
pub mod audit;
mod frame;
mod operator;
pub mod settings;
pub mod sign_in;
pub mod signing_keys;
pub mod system;
pub mod upload;
pub mod video;
pub mod video_embed;
pub mod video_security;
pub mod videos;
mod words;

pub use frame::pages;
