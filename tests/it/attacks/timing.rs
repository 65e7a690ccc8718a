//! Figure R15: two requests that a forger would like to tell apart by their time, asked in random order.

use super::tries;
use crate::asset_urls::{Watched, watch};
use crate::support::{Claims, Dice, Options, Server, Wire, sign};
use std::time::Instant;

/// What chance alone exceeds once in more than a hundred thousand runs.
const T: f64 = 4.5;
/// A difference that nobody can use over a network, in microseconds; documented in docs/attacks/a-tokens.md.
const HARMLESS_US: f64 = 20.0;

/// One request of a pair.
struct Asked {
    target: String,
    headers: Vec<(&'static str, String)>,
}

/// Microseconds that each of the two took, without the slowest twentieth of both: those waited for something else.
fn measured(server: &Server, pair: [&Asked; 2], samples: usize, status: u16) -> [Vec<f64>; 2] {
    let mut wire = Wire::connect(server);
    let mut dice = Dice::seeded("which of two is asked");
    let mut times = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
    let warm_up = 200;
    for number in 0..2 * samples + warm_up {
        let which = usize::from(dice.below(2) == 1);
        let headers: Vec<(&str, &str)> =
            pair[which].headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let began = Instant::now();
        let answer = wire.exchange("GET", &pair[which].target, &headers);
        let took_us = began.elapsed().as_secs_f64() * 1e6;
        assert_eq!(answer.status(), status);
        if number >= warm_up {
            times[which].push(took_us);
        }
    }
    let mut all = times.concat();
    all.sort_by(f64::total_cmp);
    let slowest = all[all.len() * 19 / 20];
    times.map(|times| times.into_iter().filter(|time| *time <= slowest).collect())
}

/// Welch's t, and the difference of the means.
fn welch([left, right]: &[Vec<f64>; 2]) -> (f64, f64) {
    let mean = |sample: &[f64]| sample.iter().sum::<f64>() / sample.len() as f64;
    let spread = |sample: &[f64]| {
        let mean = mean(sample);
        sample.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (sample.len() - 1) as f64 / sample.len() as f64
    };
    let difference = mean(left) - mean(right);
    (difference / (spread(left) + spread(right)).sqrt(), difference)
}

/// `text` with the character at `at` made another.
fn changed(text: &str, at: usize) -> String {
    let other = if text[at..].starts_with('A') { 'B' } else { 'A' };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

#[test]
fn time_tells_nothing_of_a_mac_a_key_or_a_kid() {
    let config = "[limits]\nplayback_per_second = 0\nadmin_failures_per_minute = 0\n".into();
    let server = Server::with(Options { config, ..Options::default() });
    let good = watch(&server, "private");
    let (video, embed) = server.video("private");
    let mac_at = good.grant.rfind('.').unwrap() + 1;
    let forged = |at| {
        let grant = changed(&good.grant, at);
        Asked { target: Watched { grant, ..good.clone() }.path(), headers: vec![] }
    };
    let playing = |kid: &str| Asked {
        target: format!("/api/v1/embeds/{embed}/playback"),
        headers: vec![
            ("Authorization", format!("Bearer {}", server.publishable_key)),
            ("x-moviie-playback-token", sign(kid, "mvi_sign_of_somebody_else", &Claims::of(&video))),
        ],
    };
    let managing = |at| Asked {
        target: "/admin/v1/organization".into(),
        headers: vec![("Authorization", format!("Bearer {}", changed(&server.private_key, at)))],
    };
    let key_ends = server.private_key.len() - 1;
    let pairs = [
        // The last character but one of a MAC carries whole bits of byte 31.
        ("D36 MAC of an asset URL, byte 0 and byte 31", forged(mac_at), forged(good.grant.len() - 2), 403),
        ("A13 unknown kid and bad MAC", playing("00000000-0000-4000-8000-000000000000"), playing(&server.kid), 401),
        ("private key, first and last character", managing("mvi_priv_".len()), managing(key_ends), 401),
    ];
    let samples = tries(1_000, 100_000);
    let mut failed = Vec::new();
    for (what, left, right, status) in &pairs {
        let (t, difference_us) = welch(&measured(&server, [left, right], samples, *status));
        let holds = t.abs() < T || difference_us.abs() < HARMLESS_US;
        println!(
            "R15 {} {what}: t={t:.2} difference={difference_us:.2}us samples={samples} each",
            if holds { "PASS" } else { "FAIL" }
        );
        if !holds {
            failed.push(*what);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
