//! Group E: every kind of asset, slow readers, and a file that is exchanged under an answer.

use super::tries;
use crate::asset_urls::{Watched, video_with_everything, watch_video};
use crate::support::{Process, Server, Wire, packaged, padded, path_of, progressive_uri, wait_for};
use std::time::{Duration, Instant};

/// The name of each asset of a video that has everything, and where a viewer finds it.
fn every_asset(server: &Server) -> Vec<(String, String)> {
    let (video, embed, names) = video_with_everything(server);
    let good = watch_video(server, &video, &embed);
    names.into_iter().map(|asset| (asset.clone(), Watched { asset, ..good.clone() }.path())).collect()
}

#[test]
fn every_kind_of_asset_is_answered_by_the_same_rules() {
    let server = Server::start();
    let mut wire = Wire::connect(&server);
    for (asset, path) in every_asset(&server) {
        let mut ask = |method: &str, headers: &[(&str, &str)]| wire.exchange(method, &path, headers);
        let whole = ask("GET", &[]);
        let (size, etag) = (whole.body.len(), whole.header("etag").unwrap().to_owned());
        let last = size - 1;
        for (row, range, expected) in [
            ("E01", "bytes=0-0".to_owned(), Some(0..1)),
            ("E02", "bytes=0-18446744073709551615".into(), Some(0..size)),
            ("E03", "bytes=-1".into(), Some(last..size)),
            ("E03", format!("bytes=-{}", size + 1), Some(0..size)),
            ("E04", "bytes=-0".into(), None),
            ("E04", format!("bytes={size}-"), None),
            ("E05", format!("bytes={last}-"), Some(last..size)),
            ("E10", "bytes= 1-2 ,".into(), Some(1..3)),
        ] {
            let answer = ask("GET", &[("Range", &range)]);
            let (status, content_range) = match &expected {
                Some(part) => (206, format!("bytes {}-{}/{size}", part.start, part.end - 1)),
                None => (416, format!("bytes */{size}")),
            };
            let seen = (answer.status(), answer.header("content-range"));
            assert_eq!(seen, (status, Some(content_range.as_str())), "{row} {asset}: {range}");
            assert!(expected.is_none_or(|part| answer.body == whole.body[part]), "{row} {asset}: {range}");
        }
        for (row, range) in [
            ("E06", "bytes=5-4"),
            ("E07", "bytes=99999999999999999999-1"),
            ("E09", "items=0-1"),
            ("E11", "bytes=0-1,5-6"),
        ] {
            let answer = ask("GET", &[("Range", range)]);
            assert!(answer.status() == 200 && answer.body == whole.body, "{row} {asset}: {}", answer.status());
        }
        let twice = ask("GET", &[("Range", "bytes=0-1"), ("Range", "bytes=5-6")]);
        assert!(twice.status() == 200 && twice.body == whole.body, "E15 {asset}");
        let head = ask("HEAD", &[("Range", "bytes=0-0")]);
        assert_eq!((head.status(), head.head.length()), (200, Some(size as u64)), "E16 {asset}");
        assert_eq!(head.header("content-range"), None, "E16 {asset}");
        assert_eq!(ask("GET", &[("If-Range", "\"other\""), ("Range", "bytes=0-0")]).status(), 200, "E19 {asset}");
        assert_eq!(ask("GET", &[("If-None-Match", &etag)]).status(), 304, "E20 {asset}");
        assert_eq!(ask("GET", &[("If-Match", "\"other\"")]).status(), 412, "E21 {asset}");
    }
}

#[test]
fn what_may_change_under_its_name_is_known_by_its_tag_alone() {
    let server = Server::start();
    let mut wire = Wire::connect(&server);
    for (asset, path) in every_asset(&server) {
        let mut ask = |headers: &[(&str, &str)]| wire.exchange("GET", &path, headers);
        let whole = ask(&[]);
        let is_fixed = asset.ends_with(".mp4") || asset.ends_with(".m4s");
        assert_eq!(whole.header("last-modified").is_some(), is_fixed, "{asset}");
        let cache = whole.header("cache-control").unwrap();
        assert!(cache.starts_with("private, max-age="), "{asset}: {cache}");
        assert_eq!(cache.ends_with(", immutable"), is_fixed, "{asset}: {cache}");
        let (before, after) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
        let or_whole = |status| if is_fixed { status } else { 200 };
        assert_eq!(ask(&[("If-Modified-Since", after)]).status(), or_whole(304), "{asset}");
        assert_eq!(ask(&[("If-Unmodified-Since", before)]).status(), or_whole(412), "{asset}");
        let own = whole.header("last-modified").unwrap_or(after);
        for date in [own, whole.header("date").unwrap(), before, after] {
            let answer = ask(&[("If-Range", date), ("Range", "bytes=0-0")]);
            assert!(answer.status() == 200 && answer.body == whole.body, "{asset}: {date}");
        }
    }
}

#[test]
fn readers_who_take_a_little_at_a_time_cost_little() {
    /// What one may cost in memory, in KiB: what waits for it, its connection and its TLS.
    const MEMORY_KIB: u64 = 512;
    let readers = tries(60, 200);
    let seconds = tries(2, 60) as u64;
    let server = Server::start();
    let source = padded(10_000_000);
    let film = packaged(&source);
    let (video, embed) = server.pending_video("private");
    server.upload(&video, source);
    server.wait_until_ready(&video);
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let path = path_of(progressive_uri(&answer));
    let process = Process(server.pid());
    let (memory_kib, descriptors) = (process.memory_kib(), process.descriptors());
    let mut wires: Vec<Wire> = (0..readers).map(|_| Wire::narrow(&server, 16 << 10)).collect();
    for wire in &mut wires {
        wire.send("GET", path, &[("Range", "bytes=100000-")]);
        assert_eq!(wire.head().status, 206);
    }
    let began = Instant::now();
    let mut taken = 0;
    let mut piece = [0; 1 << 10];
    while began.elapsed() < Duration::from_secs(seconds) {
        for wire in &mut wires {
            wire.read_exact(&mut piece).unwrap();
            let at = 100_000 + taken;
            assert!(film[at..at + piece.len()] == piece, "other bytes");
        }
        taken += piece.len();
        let next = Duration::from_millis((taken as u64 >> 10) * 1_000);
        wait_for("the next second", Duration::from_secs(5), || began.elapsed() >= next);
    }
    let each_kib = process.memory_kib().saturating_sub(memory_kib) / readers as u64;
    println!("E25 readers={readers} seconds={seconds} memory_each_kib={each_kib}");
    assert!(each_kib < MEMORY_KIB, "{each_kib} KiB each");
    // Someone in a hurry is not kept waiting by them, and what they held is free when they go.
    assert!(Wire::connect(&server).exchange("GET", path, &[]).body == film);
    drop(wires);
    wait_for("the connections to be closed", Duration::from_secs(20), || process.descriptors() <= descriptors);
}

#[test]
fn a_file_exchanged_under_an_answer_is_sent_to_its_end_or_not_at_all() {
    let server = Server::start();
    let source = padded(16 << 20);
    let film = packaged(&source);
    let (video, embed) = server.pending_video("private");
    server.upload(&video, source);
    server.wait_until_ready(&video);
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let path = path_of(progressive_uri(&answer));
    let mut wire = Wire::narrow(&server, 16 << 10);
    wire.send("GET", path, &[]);
    assert_eq!(wire.head().status, 200);
    let mut begin = vec![0; 20_000];
    wire.read_exact(&mut begin).unwrap();
    let name = path.rsplit('/').next().unwrap().trim_end_matches(".mp4");
    let file = server.state().join("media").join(name);
    let beside = server.scratch().join("another");
    std::fs::write(&beside, vec![0xaa; film.len()]).unwrap();
    std::fs::rename(&beside, &file).unwrap();
    let mut rest = vec![0; film.len() - begin.len()];
    wire.read_exact(&mut rest).unwrap();
    assert!(begin == film[..begin.len()] && rest == film[begin.len()..], "E27: bytes of two files in one answer");
}
