//! What time tells (R15): two kinds of wrong request, in turns, over one connection; Welch's t of their times.
//!
//! A few hundred of each in CI, where only a gross difference shows; `SCREENER_R15_SAMPLES=100000` for the figure.

use crate::support::{Claims, Dice, Options, Server, Wire, path_of, sign};
use serde_json::Value;
use std::time::Instant;

/// Requests of each kind, unless the environment says otherwise.
const SAMPLES: usize = 400;
/// |t| from which on two means differ: one in 100,000 by chance (ISO/IEC 17825).
const LIMIT_T: f64 = 4.5;
/// Difference of the medians below which nobody on a network can use it, in microseconds.
const LIMIT_US: f64 = 20.0;

/// A request that is refused.
struct Asked {
    target: String,
    headers: Vec<(&'static str, String)>,
    status: u16,
}

impl Asked {
    /// One request's time in microseconds.
    fn time(&self, wire: &mut Wire) -> f64 {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let began = Instant::now();
        let answer = wire.exchange("GET", &self.target, &headers);
        let took = began.elapsed().as_secs_f64() * 1e6;
        assert_eq!(answer.status(), self.status, "{}", self.target);
        took
    }
}

fn mean_and_variance(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    (mean, samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (count - 1.0))
}

/// Welch's t for the difference of two means.
fn welch(a: &[f64], b: &[f64]) -> f64 {
    let ((mean_a, variance_a), (mean_b, variance_b)) = (mean_and_variance(a), mean_and_variance(b));
    (mean_a - mean_b) / (variance_a / a.len() as f64 + variance_b / b.len() as f64).sqrt()
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Two kinds in turns, whichever comes first by chance; t, and the difference of the medians.
fn compare(server: &Server, dice: &mut Dice, a: &Asked, b: &Asked, count: usize) -> (f64, f64) {
    let mut wire = Wire::connect(server);
    let (mut times_a, mut times_b) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for turn in 0..count + 20 {
        let (first, second) = if dice.below(2) == 0 { (a, b) } else { (b, a) };
        let (one, other) = (first.time(&mut wire), second.time(&mut wire));
        let (time_a, time_b) = if std::ptr::eq(first, a) { (one, other) } else { (other, one) };
        // The first ones warm up.
        if turn >= 20 {
            times_a.push(time_a);
            times_b.push(time_b);
        }
    }
    (welch(&times_a, &times_b), median(&mut times_a) - median(&mut times_b))
}

/// A text with another character at a place, of those that base64url may have there.
fn altered(text: &str, at: usize) -> String {
    // 'A' and 'Q' end no other bits than the last character of 32 bytes may.
    let other = if text.as_bytes()[at] == b'A' { "Q" } else { "A" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

#[test]
fn how_soon_a_refusal_comes_tells_nothing_of_a_secret() {
    let samples = std::env::var("SCREENER_R15_SAMPLES").ok().and_then(|text| text.parse().ok()).unwrap_or(SAMPLES);
    let config = "[limits]\nadmin_failures_per_minute = 0\nplayback_per_second = 0\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let answer: Value = server.playback(&embed, Some(&token)).expect(200).json();
    let asset = path_of(answer["playback"]["uri"].as_str().unwrap()).to_owned();
    let mac_end = asset.rfind('/').unwrap();
    let mac_begin = asset[..mac_end].rfind('.').unwrap() + 1;
    let media = |at| Asked { target: altered(&asset, at), headers: vec![], status: 403 };
    let admin = |key: &str, at| Asked {
        target: "/admin/v1/organization".to_owned(),
        headers: vec![("Authorization", format!("Bearer {}", altered(key, at)))],
        status: 401,
    };
    let playback = |embed: &str, token: &str, status| Asked {
        target: format!("/api/v1/embeds/{embed}/playback"),
        headers: vec![
            ("Authorization", format!("Bearer {}", server.publishable_key)),
            ("x-moviie-playback-token", token.to_owned()),
        ],
        status,
    };
    let unknown = "00000000-0000-4000-8000-000000000000";
    let end = |text: &str| text.len() - 1;
    let key = &server.private_key;
    let old = sign(&server.kid, &server.secret, &serde_json::json!({ "sub": video, "iat": 1_000, "exp": 1_100 }));
    let pairs = [
        ("MAC of an asset URL, first and last character", media(mac_begin), media(mac_end - 1), Bound::Time),
        ("private key, first and last character", admin(key, 9), admin(key, end(key)), Bound::Time),
        (
            "unknown key and wrong MAC of a token",
            playback(&embed, &sign(unknown, &server.secret, &Claims::of(&video)), 401),
            playback(&embed, &altered(&token, end(&token)), 401),
            Bound::Either,
        ),
        // These are answered differently anyway.
        (
            "expired and wrong MAC of a token",
            playback(&embed, &old, 401),
            playback(&embed, &altered(&token, end(&token)), 401),
            Bound::None,
        ),
        ("unknown and private embed", playback(unknown, &token, 404), playback(&embed, "", 401), Bound::None),
    ];
    let mut dice = Dice::seeded("the order of requests");
    let mut failed = Vec::new();
    for (name, a, b, bound) in &pairs {
        let (t, difference_us) = compare(&server, &mut dice, a, b, samples);
        let holds = match bound {
            Bound::Time => t.abs() < LIMIT_T,
            Bound::Either => t.abs() < LIMIT_T || difference_us.abs() < LIMIT_US,
            Bound::None => true,
        };
        let verdict = if holds { "PASS" } else { "FAIL" };
        println!("R15 {verdict} t={t:.2} median_difference_us={difference_us:.1} samples={samples} of each: {name}");
        if !holds {
            failed.push(*name);
        }
    }
    assert_eq!(failed, Vec::<&str>::new());
}

/// What a pair is held to.
enum Bound {
    /// t.
    Time,
    /// t, or the difference of the medians.
    Either,
    /// Nothing: it is told.
    None,
}

#[test]
fn the_measure_tells_equal_times_from_different_ones() {
    let mut dice = Dice::seeded("samples");
    let mut draw = |around: f64| -> Vec<f64> { (0..2_000).map(|_| around + dice.below(100) as f64).collect() };
    let (a, b, slower) = (draw(100.0), draw(100.0), draw(110.0));
    assert!(welch(&a, &b).abs() < LIMIT_T);
    assert!(welch(&slower, &a) > LIMIT_T && welch(&a, &slower) < -LIMIT_T);
}
