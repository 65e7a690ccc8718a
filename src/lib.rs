//! Screener: a private-video server in one binary.
//!
//! A library only so that its binary, tests, fuzz targets and benches see the same code; it promises no stable
//! interface. Start with `docs/ARCHITECTURE.md`.

pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod media;
pub mod server;
pub mod store;
