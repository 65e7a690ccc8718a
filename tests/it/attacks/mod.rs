//! The attack list of `docs/attacks`: what it says of itself is checked in `list`, and what no other test asks is asked
//! here, one group of the list a file.
//!
//! `SCREENER_ATTACKS=long` tries as often as the list's figures say; without it a part of that is tried.

mod access;
mod admin;
mod asset_urls;
mod canaries;
mod capacity;
mod connections;
mod forged_urls;
mod framing;
mod http11;
mod jose;
mod key_faults;
mod keys;
mod leaks;
mod list;
mod log;
mod matrix;
mod pages;
mod pipelines;
mod ranges;
mod rates;
mod reach;
mod requests;
mod secrets;
mod shut_out;
mod timing;
mod tls;
mod tokens;
mod uploads;

/// How many times worse than its goal in the list a figure may be: not at all in the long form, ten times beside other
/// tests, a hundred times in a build that is not optimised.
pub fn slack() -> u32 {
    match (cfg!(debug_assertions), tries(0, 1)) {
        (true, _) => 100,
        (false, 0) => 10,
        (false, _) => 1,
    }
}

/// How often to try something: `short` unless the long form was asked for.
pub fn tries(short: usize, long: usize) -> usize {
    match std::env::var("SCREENER_ATTACKS").as_deref() {
        Err(_) => short,
        Ok("long") => long,
        Ok(other) => panic!("SCREENER_ATTACKS is \"long\" or not set, but not {other:?}"),
    }
}
