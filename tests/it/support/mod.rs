//! What every test stands on: a server of its own, a client that checks every answer, tokens made by hand.

mod client;
mod film;
pub mod form;
mod line;
mod media;
mod process;
pub mod routes;
mod server;
mod serving;
mod token;
mod viewer;
mod wire;

pub use client::{Reply, raw_exchange};
pub use film::{film, keyframes, probe};
pub use line::{Line, ask_all};
pub use media::{
    FIXTURE, assert_no_media, film_head, packaged, packaged_into, packs_to, padded, picture_head, progressive_uri,
};
pub use process::{
    Dice, Process, Ran, as_root, copy_directory, descriptors, files_below, first_difference, kill_now, run, run_with,
    send_signal, terminate,
};
pub use server::{Options, Server, log_directory, screener};
pub use serving::{Serving, configured, write_closed};
pub use token::{Claims, sign, sign_raw};
pub use viewer::{Key, RawReply, check_page, check_refused_page, path_of};
pub use wire::{Exchange, Wire, answers, plain};

use std::time::{Duration, Instant};

/// Waits until `condition` holds, looking again every few milliseconds; fails after `limit`.
pub fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "tests sign tokens for the real clock")]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
