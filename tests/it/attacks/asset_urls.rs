//! Group D: forged asset URLs by the thousand, and what a good one does when many or others use it.

use super::forged_urls::{Allowed, Forged, Others, single_changes, structural};
use super::{slack, tries};
use crate::asset_urls::{Watched, video_with_everything, watch, watch_video};
use crate::support::{
    Claims, Dice, Exchange, FIXTURE, Line, Process, Server, Wire, ask_all, assert_no_media, packaged, sign,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A refusal tells nothing of the file: no bytes, no validators, no length.
fn judge(forged: &Forged, answer: Option<&Exchange>) -> Result<(), String> {
    let Forged { row, target, allowed } = forged;
    let fault = |what: String| Err(format!("{row}: {what} for {:.400}", target.escape_debug().to_string()));
    let Some(answer) = answer else {
        return if *allowed == Allowed::Unread { Ok(()) } else { fault("no answer".into()) };
    };
    let code = answer.code();
    let is_right = match (answer.status(), code.as_str()) {
        (403, "asset_url_invalid") => *allowed != Allowed::Absent,
        (404, "not_found") => *allowed != Allowed::Unsigned,
        (400, "bad_request") | (414, "uri_too_long") => *allowed == Allowed::Unread,
        _ => false,
    };
    let told = ["etag", "last-modified", "content-range", "accept-ranges", "location"];
    if let Some(name) = told.iter().find(|name| answer.header(name).is_some()) {
        return fault(format!("{name} is told"));
    }
    // Media is never JSON: a body of this kind and length holds not one byte of it.
    let is_sentence = answer.body.is_empty() || (answer.body.len() < 300 && !code.is_empty());
    if is_right && is_sentence { Ok(()) } else { fault(format!("{} {code:?}", answer.status())) }
}

/// Another asset key, other signing keys, another's session.
fn others(server: &Server) -> Others {
    let config = server.config();
    let arguments = ["key", "rotate-asset", "--json", "--config", config.to_str().unwrap()];
    let rotated = crate::support::screener(&arguments).unwrap();
    let (active, revoked) = (server.signing_key(), server.signing_key());
    server.revoke(&revoked.kid);
    let public = watch(server, "public");
    Others {
        asset_key: rotated["assetKey"].as_str().unwrap().to_owned(),
        kids: [active.kid, revoked.kid],
        session: public.grant.split('.').nth(3).unwrap().to_owned(),
    }
}

/// Figure R8 of the list.
#[test]
fn no_forged_asset_url_gives_a_byte_of_any_asset() {
    let server = Server::start();
    let (video, embed, names) = video_with_everything(&server);
    let good = watch_video(&server, &video, &embed);
    let others = others(&server);
    let goods: Vec<Watched> = names.iter().map(|asset| Watched { asset: asset.clone(), ..good.clone() }).collect();
    let mut all: Vec<Forged> = goods.iter().flat_map(|good| structural(good, &others)).collect();
    let variants = all.len();
    for one in goods.iter().filter(|one| one.asset == good.asset || tries(0, 1) > 0) {
        all.extend(single_changes(one, tries(20, 84)));
    }
    let mut wire = Wire::connect(&server);
    let serve = |wire: &mut Wire| {
        for good in &goods {
            let answer = wire.exchange("GET", &good.path(), &[]);
            assert_eq!((answer.status(), answer.body.is_empty()), (200, false), "{}", good.asset);
        }
    };
    serve(&mut wire);
    let rows = Mutex::new(BTreeMap::<&str, usize>::new());
    let media_bytes = AtomicUsize::new(0);
    let wrong = ask_all(&server, &all, |line, forged| {
        let answer = line.ask("GET", &forged.target, &[]);
        *rows.lock().unwrap().entry(forged.row).or_default() += 1;
        if let Some(answer) = answer.as_ref().filter(|answer| (200..300).contains(&answer.status())) {
            media_bytes.fetch_add(answer.body.len(), Ordering::Relaxed);
        }
        judge(forged, answer.as_ref())
    });
    let verdict = if wrong.is_empty() { "PASS" } else { "FAIL" };
    println!(
        "R8 {verdict} bad_urls={} media_bytes={} asset_types={} structural={variants} rows={:?}",
        all.len(),
        media_bytes.load(Ordering::Relaxed),
        goods.len(),
        rows.into_inner().unwrap(),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    serve(&mut Wire::connect(&server));
}

#[test]
fn a_url_that_no_parser_should_read_is_refused() {
    let server = Server::start();
    let path = watch(&server, "private").path();
    for (row, odd) in [
        ("D17 NUL", &b"\x00"[..]),
        ("D17 no UTF-8", b"\xff"),
        ("D16 a long dot", b"\xc0\xae"),
        ("D17 blank", b" "),
        ("D17 tab", b"\t"),
        ("D17 carriage return", b"\r"),
    ] {
        let target = [path.as_bytes(), odd].concat();
        let request = [b"GET ", &target[..], b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat();
        let answer = server.raw_bytes(&request);
        assert!([0, 400, 403, 404].contains(&answer.status), "{row}: {}", answer.status);
        assert_no_media(answer.text.as_bytes(), row);
    }
    assert_eq!(Wire::connect(&server).exchange("GET", &path, &[]).body, packaged(FIXTURE));
}

#[test]
fn endless_urls_cost_little_time() {
    /// What one may cost, in seconds of processor time.
    const CPU_S: f64 = 0.010;
    let server = Server::start();
    let good = watch(&server, "private");
    let process = Process(server.pid());
    for (row, asset) in [
        ("D19 4 KB", "a".repeat(4 << 10)),
        ("D19 64 KB", "a".repeat(64 << 10)),
        ("D19 10,000 segments", "a/".repeat(10_000)),
        ("D19 5,000 dot segments", "../".repeat(5_000)),
        ("D19 10,000 encoded dots", "%2e".repeat(10_000)),
    ] {
        let target = Watched { asset, ..good.clone() }.path();
        let mut line = Line::to(&server);
        let began_s = process.cpu_s();
        for _ in 0..50 {
            let status = line.ask("GET", &target, &[]).map_or(0, |answer| answer.status());
            assert!([0, 400, 403, 404, 414, 431].contains(&status), "{row}: {status}");
        }
        let each_s = (process.cpu_s() - began_s) / 50.0;
        assert!(each_s < CPU_S, "{row}: {each_s} s each");
    }
}

#[test]
fn a_flood_of_forged_urls_is_served_nothing_and_hinders_nobody() {
    const FLOODERS: u8 = 4;
    /// In how long 99 of 100 requests of the viewer are to be answered.
    const WITHIN: Duration = Duration::from_millis(100);
    let server = Server::start();
    let good = watch(&server, "private");
    let (fields, _) = good.grant.rsplit_once('.').unwrap();
    let asked = AtomicUsize::new(0);
    let (enough, done) = (tries(5_000, 600_000), AtomicBool::new(false));
    let began = Instant::now();
    let mut waits = Vec::new();
    std::thread::scope(|scope| {
        for number in 0..FLOODERS {
            let (server, good, asked, done) = (&server, &good, &asked, &done);
            scope.spawn(move || {
                let address = IpAddr::from(Ipv4Addr::new(127, 0, 1, number));
                let mut line = Line::from_address(server, address);
                let mut dice = Dice::seeded("forged MACs");
                // Each its own.
                for _ in 0..number {
                    dice.below(2);
                }
                while !done.load(Ordering::Relaxed) {
                    let mac: String =
                        (0..43).map(|_| char::from(b'a' + u8::try_from(dice.below(26)).unwrap())).collect();
                    let forged = Watched { grant: format!("{fields}.{mac}"), ..good.clone() };
                    let answer = line.ask("GET", &forged.path(), &[]).expect("an answer");
                    assert_eq!((answer.status(), answer.code().as_str()), (403, "asset_url_invalid"));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut viewer = Line::to(&server);
        while asked.load(Ordering::Relaxed) < enough && waits.len() < 1_000_000 {
            let asked_at = Instant::now();
            let answer = viewer.ask("GET", &good.path(), &[("Range", "bytes=0-9")]);
            waits.push(asked_at.elapsed());
            assert_eq!(answer.map_or(0, |answer| answer.status()), 206);
        }
        done.store(true, Ordering::Relaxed);
    });
    waits.sort();
    let (count, took) = (asked.into_inner(), began.elapsed());
    let (within, bound) = (waits[waits.len() * 99 / 100], WITHIN * slack());
    println!(
        "D37 {} forged={count} served=0 per_second={:.0} viewer_requests={} viewer_p99={within:?} bound={bound:?}",
        if within <= bound { "PASS" } else { "FAIL" },
        count as f64 / took.as_secs_f64(),
        waits.len()
    );
    assert!(within <= bound, "99 of 100 requests of the viewer within {within:?}, not {bound:?}");
}

#[test]
fn a_cold_segment_that_a_thousand_ask_for_at_once_is_the_same_for_all() {
    /// Requests, and how many of them at the same time.
    const REQUESTS: usize = 1_000;
    /// What all of them may cost in memory, in KiB: their connections, and a step of each answer.
    const MEMORY_KIB: u64 = 64 << 10;
    let mut server = Server::start();
    let good = watch(&server, "private");
    let rendition = good.asset.trim_end_matches(".mp4").to_owned();
    let segment = Watched { asset: format!("{rendition}/1.m4s"), ..good.clone() }.path();
    let expected = Wire::connect(&server).exchange("GET", &segment, &[]).body;
    assert!(packaged(FIXTURE).ends_with(&expected) && !expected.is_empty());
    // Nothing of it is in memory after a restart, the index of its segments included.
    server.kill();
    server.serve();
    let process = Process(server.pid());
    let before_kib = process.memory_kib();
    process.forget_peak();
    let asked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let mut wire = Wire::connect(&server);
                while asked.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                    let answer = wire.exchange("GET", &segment, &[]);
                    assert!(answer.status() == 200 && answer.body == expected, "{}", answer.status());
                }
            });
        }
    });
    let grown_kib = process.peak_memory_kib().saturating_sub(before_kib);
    assert!(grown_kib < MEMORY_KIB, "{grown_kib} KiB more");
}

#[test]
fn a_private_video_and_one_that_never_was_are_told_apart_by_nothing() {
    const UNKNOWN: &str = "a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001";
    let server = Server::start();
    let (video, embed) = server.video("private");
    server.set(&json!({ "originRules": ["acme.com"] }));
    let grant = watch_video(&server, &video, &embed).grant;
    let mut wire = Wire::connect(&server);
    let mut told = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let answer = wire.exchange(method, path, headers);
        let id = answer.header("x-request-id").unwrap().to_owned();
        let mut headers = answer.head.headers.clone();
        headers.retain(|(name, _)| name != "x-request-id" && name != "date");
        (answer.status(), headers, String::from_utf8(answer.body).unwrap().replace(&id, ""))
    };
    let (ours, theirs) = (("Origin", "https://acme.com"), ("Origin", "https://evil.example"));
    let preflight = ("Access-Control-Request-Method", "GET");
    let media = [("GET", vec![ours]), ("HEAD", vec![theirs]), ("OPTIONS", vec![ours, preflight])];
    for (method, headers) in media {
        for grant in ["x", &grant.replace("p1.", "p2."), &format!("{grant}A")] {
            let [private, unknown] =
                [video.as_str(), UNKNOWN].map(|id| told(method, &format!("/media/{id}/{grant}/master.m3u8"), &headers));
            assert_eq!(private, unknown, "{method} {grant} {headers:?}");
            assert_eq!(private.0, if method == "OPTIONS" { 204 } else { 403 });
        }
    }
    // A good grant opens no other video, and one that never was no more.
    assert_eq!(told("GET", &format!("/media/{UNKNOWN}/{grant}/master.m3u8"), &[ours]).0, 403);
    let tokens = |id: &str| {
        let signed = |kid: &str, secret: &str| Some(sign(kid, secret, &Claims::of(id)));
        [None, Some("garbage".to_owned()), signed(&server.kid, "mvi_sign_of_somebody"), signed(UNKNOWN, &server.secret)]
    };
    for number in 0..4 {
        for origin in [None, Some(theirs)] {
            let [private, unknown] = [video.as_str(), UNKNOWN].map(|id| {
                let tokens = tokens(id);
                let token = tokens[number].as_deref().map(|token| ("x-moviie-playback-token", token));
                let headers: Vec<(&str, &str)> = token.into_iter().chain(origin).collect();
                told("POST", &format!("/api/v1/videos/{id}/sessions/{UNKNOWN}/renew"), &headers)
            });
            assert_eq!(private, unknown);
            assert_eq!(private.0, 401, "{private:?}");
        }
    }
}
