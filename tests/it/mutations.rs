//! What the fuzz targets hold to, on stable and in short: the texts that each begins with, and what becomes of them
//! under random edits, in bounded time and memory. `fuzz/run` goes on from there, guided by coverage.
//!
//! `SCREENER_MUTATIONS` says how many of each.

#[path = "../../fuzz/properties/mod.rs"]
mod properties;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long one run may compute: as in `fuzz/lib.rs`, and ten times that where the build is not optimised.
const RUN_TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 100 });

/// What one run may take, in bytes: as in `fuzz/lib.rs`.
const RUN_BYTES: u64 = 64 << 20;

/// One edit of a text, at a place that follows from its length.
#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
    /// A number of four bytes, in network order: lengths, counts and offsets are written so.
    Number(Index, u32),
}

impl Edit {
    fn apply(&self, text: &mut Vec<u8>) {
        let at = |index: &Index| index.index(text.len() + 1);
        match self {
            Self::Flip(index, mask) => {
                let at = at(index);
                if let Some(byte) = text.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Self::Insert(index, bytes) => {
                let at = at(index);
                text.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(index, count) => {
                let at = at(index);
                text.drain(at..text.len().min(at + count));
            }
            Self::Repeat(index, count) => {
                let at = at(index);
                let part = text[at..text.len().min(at + count)].to_vec();
                text.splice(at..at, part);
            }
            Self::Cut(index) => text.truncate(at(index)),
            Self::Number(index, number) => {
                let at = at(index);
                for (byte, new) in text.iter_mut().skip(at).zip(number.to_be_bytes()) {
                    *byte = new;
                }
            }
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let words =
        select(vec!["\0", "\r\n", "\"", "{", "}", "=", "-", ",", ".", "%00", "../", "\u{202e}", "é", "null", "-1"]);
    let numbers = prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(1 << 31), any::<u32>(), 0..64_u32];
    prop_oneof![
        4 => (any::<Index>(), 1..=u8::MAX).prop_map(|(at, mask)| Edit::Flip(at, mask)),
        2 => (any::<Index>(), words).prop_map(|(at, word)| Edit::Insert(at, word.into())),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (any::<Index>(), 1..16_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (any::<Index>(), 1..64_usize).prop_map(|(at, count)| Edit::Repeat(at, count)),
        1 => any::<Index>().prop_map(Edit::Cut),
        3 => (any::<Index>(), numbers).prop_map(|(at, number)| Edit::Number(at, number)),
    ]
}

/// What this thread has computed until now. Others' work on the same machine does not count.
fn computed() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Runs `hold`, and fails where it computes longer or takes more memory than it may.
fn bounded(hold: fn(&[u8]), text: &[u8]) {
    let began = computed();
    let taken = allocation_counter::measure(|| hold(text)).bytes_max;
    let took = computed() - began;
    assert!(took <= RUN_TIME, "{took:?} were computed");
    assert!(taken <= RUN_BYTES, "{taken} bytes were taken");
}

#[test]
fn what_takes_too_long_or_too_much_memory_is_seen() {
    let outcome = |hold: fn(&[u8])| std::panic::catch_unwind(|| bounded(hold, b""));
    assert!(outcome(|_| drop(std::hint::black_box(Vec::<u8>::with_capacity(60 << 20)))).is_ok());
    assert!(outcome(|_| drop(std::hint::black_box(Vec::<u8>::with_capacity(65 << 20)))).is_err());
    assert!(
        outcome(|_| {
            let began = computed();
            while computed() - began <= RUN_TIME {}
        })
        .is_err()
    );
}

/// Checks every seed, and then as many changed ones as are asked for.
fn check(seeds: &[&'static [u8]], usual: u32, hold: fn(&[u8])) {
    seeds.iter().for_each(|seed| bounded(hold, seed));
    let cases = std::env::var("SCREENER_MUTATIONS")
        .map_or(usual, |count| count.parse().expect("SCREENER_MUTATIONS is a number"));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mutated = (select(seeds.to_vec()), prop::collection::vec(edit(), 1..8)).prop_map(|(seed, edits)| {
        let mut text = seed.to_vec();
        edits.iter().for_each(|edit| edit.apply(&mut text));
        text
    });
    let outcome = TestRunner::new(config).run(&mutated, |text| {
        bounded(hold, &text);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn a_changed_film_is_refused_or_packaged_as_its_index_says() {
    check(properties::media::SEEDS, 5_000, properties::media::hold);
}

#[test]
fn a_film_that_fuzzing_found_slow_is_judged_in_time() {
    // Sixteen runs of 124,750 frames that are only counted, in 20 KB.
    bounded(properties::media::hold, include_bytes!("../fixtures/counted_frames.mp4"));
}

#[test]
fn changed_captions_and_pictures_are_refused_or_of_a_form_that_browsers_take() {
    check(properties::extras::SEEDS, 20_000, properties::extras::hold);
}

#[test]
fn a_changed_token_is_refused_or_fulfils_the_contract() {
    check(properties::token::SEEDS, 100_000, properties::token::hold);
}

#[test]
fn a_changed_grant_opens_nothing_that_was_not_signed() {
    check(properties::grant::SEEDS, 100_000, properties::grant::hold);
}

#[test]
fn changed_ranges_and_conditions_stay_within_the_representation() {
    check(properties::headers::SEEDS, 100_000, properties::headers::hold);
}

#[test]
fn changed_headers_of_an_upload_are_refused_or_mean_one_thing() {
    check(properties::tus::SEEDS, 100_000, properties::tus::hold);
}

#[test]
fn a_changed_configuration_is_taken_or_refused_with_sentences() {
    check(properties::configuration::SEEDS, 5_000, properties::configuration::hold);
}

#[test]
fn a_changed_request_is_answered_and_tells_no_secret() {
    // What they begin with reaches what it is for.
    let statuses: Vec<u16> =
        properties::requests::SEEDS.iter().map(|seed| properties::requests::status_of(seed).unwrap()).collect();
    assert_eq!(statuses, [206, 200, 403, 200, 200, 401, 201, 200, 200, 200, 201, 201, 200, 204, 200, 200, 401, 204]);
    check(properties::requests::SEEDS, 5_000, properties::requests::hold);
}
