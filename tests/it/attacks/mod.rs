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

/// How often to try something: `short` unless the long form was asked for.
pub fn tries(short: usize, long: usize) -> usize {
    match std::env::var("SCREENER_ATTACKS").as_deref() {
        Err(_) => short,
        Ok("long") => long,
        Ok(other) => panic!("SCREENER_ATTACKS is \"long\" or not set, but not {other:?}"),
    }
}
