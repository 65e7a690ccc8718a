//! The attack list of `docs/attacks`: what it says of itself is checked in `list`, and what no other test asks is asked
//! here, one group of the list a file.
//!
//! `SCREENER_ATTACKS=long` tries as often as the list's figures say; without it a part of that is tried.

mod asset_urls;
mod forged_urls;
mod jose;
mod key_faults;
mod keys;
mod list;
mod ranges;
mod reach;
mod requests;
mod timing;
mod tokens;

/// How often to try something: `short` unless the long form was asked for.
pub fn tries(short: usize, long: usize) -> usize {
    match std::env::var("SCREENER_ATTACKS").as_deref() {
        Err(_) => short,
        Ok("long") => long,
        Ok(other) => panic!("SCREENER_ATTACKS is \"long\" or not set, but not {other:?}"),
    }
}
