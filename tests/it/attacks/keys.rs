//! Group C: revocation under load, keys by the thousand, and what no other test does to a key.

use super::{slack, tries};
use crate::revocation::{OnDrop, Viewing, busy_server, new_key, revoke_key};
use crate::support::{Claims, Line, Options, Server, Wire, sign, wait_for};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

/// What the players of a round use.
struct Round {
    number: usize,
    token: String,
    asset: String,
}

/// Figure R10 of the list. How soon bytes under way stop is asked in `revocation`.
#[test]
fn sixty_four_players_are_refused_from_the_answer_on() {
    const PLAYERS: usize = 64;
    /// In how long 99 of 100 revocations are to be answered.
    const WITHIN: Duration = Duration::from_millis(50);
    let rounds = tries(25, 1_000);
    let server = busy_server();
    let (video, embed) = server.video("private");
    let open = |number| {
        let (kid, secret) = new_key(&server);
        let token = sign(&kid, &secret, &Claims::of(&video));
        let asset = Viewing::with(&server, &embed, &token).path;
        (kid, Round { number, token, asset })
    };
    let (mut kid, first) = open(0);
    let round = RwLock::new(Arc::new(first));
    // The last round whose revocation was answered, plus one.
    let revoked = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let (accepted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let late = Mutex::new(Vec::new());
    let refusals: Vec<AtomicUsize> = (0..PLAYERS).map(|_| AtomicUsize::new(0)).collect();
    // From asking for a revocation to its answer: from then on nothing is accepted.
    let mut waits = Vec::new();
    std::thread::scope(|scope| {
        for player in 0..PLAYERS {
            let (server, round, revoked, done, embed) = (&server, &round, &revoked, &done, &embed);
            let (accepted, refused, late, refusals) = (&accepted, &refused, &late, &refusals);
            scope.spawn(move || {
                let mut wire = Wire::connect(server);
                let target = format!("/api/v1/embeds/{embed}/playback");
                let key = format!("Bearer {}", server.publishable_key);
                while !done.load(Ordering::SeqCst) {
                    let round = Arc::clone(&round.read().unwrap());
                    // Looked at before the request leaves.
                    let is_revoked = revoked.load(Ordering::SeqCst) > round.number;
                    let answer = if player % 2 == 0 {
                        let headers = [("Authorization", key.as_str()), ("x-moviie-playback-token", &round.token)];
                        wire.try_exchange("GET", &target, &headers)
                    } else {
                        wire.try_exchange("GET", &round.asset, &[("Range", "bytes=0-99")])
                    };
                    let Ok(answer) = answer else {
                        // Cut in mid-answer, as it should be.
                        wire = Wire::connect(server);
                        continue;
                    };
                    let is_accepted = match (answer.status(), answer.code().as_str()) {
                        (200 | 206, "") => true,
                        (401, "playback_token_revoked") | (403, "asset_url_revoked") => false,
                        other => {
                            late.lock().unwrap().push(format!("unexpected: {other:?}"));
                            false
                        }
                    };
                    if is_accepted && is_revoked {
                        late.lock().unwrap().push(format!("round {}, player {player}", round.number));
                    }
                    if is_accepted {
                        accepted.fetch_add(1, Ordering::SeqCst);
                    } else {
                        refused.fetch_add(1, Ordering::SeqCst);
                        refusals[player].fetch_max(round.number + 1, Ordering::SeqCst);
                    }
                }
            });
        }
        let _done = OnDrop(|| done.store(true, Ordering::SeqCst));
        for number in 0..rounds {
            let before = accepted.load(Ordering::SeqCst);
            wait_for("some playing", Duration::from_secs(20), || accepted.load(Ordering::SeqCst) >= before + PLAYERS);
            let asked = Instant::now();
            revoke_key(&server, &kid);
            waits.push(asked.elapsed());
            revoked.store(number + 1, Ordering::SeqCst);
            wait_for("every player to be refused", Duration::from_secs(20), || {
                refusals.iter().all(|last| last.load(Ordering::SeqCst) > number) || !late.lock().unwrap().is_empty()
            });
            assert_eq!(*late.lock().unwrap(), Vec::<String>::new());
            let (next, opened) = open(number + 1);
            kid = next;
            *round.write().unwrap() = Arc::new(opened);
        }
    });
    let late = late.into_inner().unwrap();
    waits.sort();
    let (within, bound) = (waits[waits.len() * 99 / 100], WITHIN * slack());
    println!(
        "R10 {} revocations={rounds} players={PLAYERS} accepted_before={} refused_after={} accepted_after={} \
         revoked_within_p99={within:?} bound={bound:?}",
        if late.is_empty() && within <= bound { "PASS" } else { "FAIL" },
        accepted.load(Ordering::SeqCst),
        refused.load(Ordering::SeqCst),
        late.len()
    );
    assert_eq!(late, Vec::<String>::new());
    assert!(within <= bound, "99 of 100 revocations within {within:?}, not {bound:?}");
    assert!(accepted.load(Ordering::SeqCst) >= PLAYERS * rounds);
    assert!(refused.load(Ordering::SeqCst) >= PLAYERS * rounds);
}

/// What a viewer is admitted on may have changed when the answer is made: then the viewer is looked at anew, and told what
/// holds by then.
#[test]
fn whoever_asks_while_a_video_is_reclassified_is_told_what_holds_then() {
    const PLAYERS: usize = 9;
    let config = "[limits]\nplayback_per_second = 0\norganization_per_second = 0\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let (asked, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for player in 0..PLAYERS {
            let (server, embed, token, asked, done) = (&server, &embed, &token, &asked, &done);
            scope.spawn(move || {
                let mut line = Line::to(server);
                let target = format!("/api/v1/embeds/{embed}/playback");
                let page = format!("/embed/{embed}?token={token}");
                let key = format!("Bearer {}", server.publishable_key);
                let (key, token) = (("Authorization", key.as_str()), ("x-moviie-playback-token", token.as_str()));
                while !done.load(Ordering::SeqCst) {
                    let answer = match player % 3 {
                        0 => line.ask("GET", &target, &[key, token]),
                        1 => line.ask("GET", &page, &[]),
                        _ => line.ask("GET", &target, &[key]),
                    };
                    let answer = answer.expect("an answer");
                    // A token opens the video as either, and without one it depends: but it is always one of the two.
                    let is_right = match (answer.status(), answer.code().as_str()) {
                        (200, "") => true,
                        (401, "playback_token_missing") => player % 3 == 2,
                        _ => false,
                    };
                    assert!(is_right, "player {player}: {} {}", answer.status(), answer.code());
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _done = OnDrop(|| done.store(true, Ordering::SeqCst));
        for visibility in ["public", "private"].into_iter().cycle().take(tries(200, 2_000)) {
            let before = asked.load(Ordering::SeqCst);
            let body = json!({ "visibility": visibility });
            server.admin(Method::PATCH, &format!("/videos/{video}"), &body).expect(200);
            wait_for("some asking", Duration::from_secs(20), || asked.load(Ordering::SeqCst) >= before + PLAYERS);
        }
    });
    server.playback(&embed, None).expect_code(401, "playback_token_missing");
}

/// Signing keys made several at a time: id and secret of each.
fn keys(server: &Server, count: usize) -> Vec<(String, String)> {
    let (left, made) = (AtomicUsize::new(count), Mutex::new(Vec::new()));
    let take = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while take() {
                    let key = new_key(server);
                    made.lock().unwrap().push(key);
                }
            });
        }
    });
    made.into_inner().unwrap()
}

#[test]
fn ids_and_secrets_by_the_thousand_are_all_different_and_look_random() {
    /// Standard deviations from what chance would give: passed by chance once in a thousand million runs.
    const SIGMAS: f64 = 6.0;
    // It makes more in a second than one key may ask for.
    let server = Server::with(Options { config: "[limits]\nadmin_per_second = 0\n".to_owned(), ..Options::default() });
    let keys = keys(&server, tries(400, 9_990));
    let different = |texts: &mut dyn Iterator<Item = String>| texts.collect::<BTreeSet<String>>().len();
    assert_eq!(different(&mut keys.iter().map(|(kid, _)| kid.clone())), keys.len());
    assert_eq!(different(&mut keys.iter().map(|(_, secret)| secret.clone())), keys.len());
    let random: Vec<Vec<u8>> = keys
        .iter()
        .map(|(_, secret)| BASE64_URL_SAFE_NO_PAD.decode(secret.strip_prefix("mvi_sign_").unwrap()).unwrap())
        .collect();
    assert!(random.iter().all(|bytes| bytes.len() == 32));
    let bytes: Vec<u8> = random.concat();
    // Ones among the bits.
    let bits = (bytes.len() * 8) as f64;
    let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
    let off = (f64::from(ones) - bits / 2.0) / (bits / 4.0).sqrt();
    assert!(off.abs() < SIGMAS, "{ones} ones of {bits}");
    // Each value of a byte, and of the exclusive or of neighbours, equally often: chi-squared with 255 degrees.
    let neighbours: Vec<u8> = bytes.windows(2).map(|pair| pair[0] ^ pair[1]).collect();
    for (what, sample) in [("bytes", &bytes), ("neighbours", &neighbours)] {
        let expected = sample.len() as f64 / 256.0;
        let mut counts = [0_u32; 256];
        sample.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let squared: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!((squared - 255.0).abs() < SIGMAS * 510_f64.sqrt(), "{what}: chi-squared is {squared}");
    }
    // At each place in the secret both bits occur about equally often.
    for place in 0..256 {
        let set = random.iter().filter(|bytes| bytes[place / 8] >> (place % 8) & 1 == 1).count() as f64;
        let count = random.len() as f64;
        assert!((set - count / 2.0).abs() / (count / 4.0).sqrt() < SIGMAS, "bit {place} is set {set} times of {count}");
    }
    for (kid, secret) in &keys {
        let hash: String = Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
        let plain = kid.replace('-', "");
        assert!(kid.chars().nth(14) == Some('4'), "{kid} is no random UUID (RFC 9562 §5.4)");
        assert!(!hash.contains(&plain[..12]) && !secret.contains(&plain[..8]), "{kid} follows from its secret");
    }
}

#[test]
fn rotating_and_revoking_at_once_leaves_one_history() {
    const PAIRS: usize = 100;
    let server = Server::start();
    let (video, embed) = server.video("private");
    for _ in 0..PAIRS {
        let (kid, secret) = new_key(&server);
        let before = server.all("audit").len();
        let call = |verb: &str| server.admin(Method::POST, &format!("/signing-keys/{kid}/{verb}"), &Value::Null);
        let (revoked, again, rotated) = std::thread::scope(|scope| {
            let calls =
                [scope.spawn(|| call("revoke")), scope.spawn(|| call("revoke")), scope.spawn(|| call("rotate"))];
            let [revoked, again, rotated] = calls.map(|call| call.join().unwrap());
            (revoked.expect(200).json(), again.expect(200).json(), rotated)
        });
        assert_eq!((&revoked["revokedAt"], &revoked["status"]), (&again["revokedAt"], &Value::from("revoked")));
        // Either it was rotated before, or there was nothing left to rotate.
        let entries = match rotated.status {
            201 => {
                let (next, secret) = (rotated.json()["id"].clone(), rotated.json()["secret"].clone());
                let token = sign(next.as_str().unwrap(), secret.as_str().unwrap(), &Claims::of(&video));
                server.playback(&embed, Some(&token)).expect(200);
                server.revoke(next.as_str().unwrap());
                3
            }
            _ => {
                rotated.expect_code(409, "signing_key_revoked");
                1
            }
        };
        let token = sign(&kid, &secret, &Claims::of(&video));
        server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
        assert_eq!(server.all("audit").len(), before + entries);
    }
    server.verify();
}

#[test]
fn revoking_the_last_active_key_is_allowed_and_told() {
    const WARNING: &str = "no active signing key is left";
    let server = Server::start();
    let (video, embed) = server.video("private");
    let spare = server.signing_key();
    let token = server.token(&video);
    server.revoke(&spare.kid);
    // The other one is left.
    server.playback(&embed, Some(&token)).expect(200);
    assert!(!server.log_text().contains(WARNING));
    server.revoke(&server.kid);
    wait_for("the warning", Duration::from_secs(10), || server.log_text().contains(WARNING));
    server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
    server.playback(&embed, None).expect_code(401, "playback_token_missing");
    let (kid, secret) = new_key(&server);
    server.playback(&embed, Some(&sign(&kid, &secret, &Claims::of(&video)))).expect(200);
}
