//! Conditional and range requests (RFC 9110 §13, §14) on a real asset, one case a row.

use crate::attacks::tries;
use crate::support::{Exchange, Process, Server, Wire, now, packaged, packs_to, path_of, progressive_uri, wait_for};
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SIZE: usize = 100_000;

/// A server with one video whose packaged file has a known length, someone's URL of it, and the validators it shows.
struct Played {
    server: Server,
    path: String,
    source: Vec<u8>,
    /// What the URL gives.
    film: Vec<u8>,
    etag: String,
    last_modified: String,
}

impl Played {
    fn of_length(length: usize) -> Self {
        let server = Server::start();
        let source = packs_to(length);
        let film = packaged(&source);
        let (video, embed) = server.pending_video("private");
        server.upload(&video, source.clone()).expect(200);
        let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
        let path = path_of(progressive_uri(&answer)).to_owned();
        let whole = Wire::connect(&server).exchange("GET", &path, &[]);
        assert_eq!((whole.status(), whole.body == film), (200, true));
        let text = |name| whole.header(name).unwrap().to_owned();
        let (etag, last_modified) = (text("etag"), text("last-modified"));
        Self { server, path, source, film, etag, last_modified }
    }

    /// The file on disk.
    fn file(&self) -> PathBuf {
        self.server.state().join("media").join(self.path.rsplit('/').next().unwrap().trim_end_matches(".mp4"))
    }
}

/// What a row expects.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Whole,
    /// First and last byte.
    Part(usize, usize),
    Unsatisfiable,
    NotModified,
    Failed,
}
use Expected::{Failed, NotModified, Part, Unsatisfiable, Whole};

impl Played {
    #[track_caller]
    fn check(&self, answer: &Exchange, is_get: bool, expected: Expected, what: &str) {
        let film = &self.film;
        let total = film.len();
        let (status, content_range, length) = match expected {
            Whole => (200, None, Some(total)),
            Part(first, last) => (206, Some(format!("bytes {first}-{last}/{total}")), Some(last - first + 1)),
            Unsatisfiable => (416, Some(format!("bytes */{total}")), None),
            NotModified => (304, None, None),
            Failed => (412, None, None),
        };
        assert_eq!(answer.status(), status, "{what}");
        assert_eq!(answer.header("content-range"), content_range.as_deref(), "{what}");
        if let Some(length) = length {
            assert_eq!(answer.head.length(), Some(length as u64), "{what}");
        }
        match expected {
            Whole if is_get => assert!(answer.body == *film, "{what}: other bytes"),
            Part(first, last) => assert!(answer.body == film[first..=last], "{what}: other bytes"),
            NotModified => {
                assert!(answer.body.is_empty(), "{what}");
                // RFC 9110 §8.6: if a length is told at all, it is the one of a 200.
                assert!(answer.head.length().is_none_or(|length| length == total as u64), "{what}");
                assert_eq!(answer.header("content-type"), None, "{what}");
            }
            _ => {}
        }
        if matches!(expected, Whole | Part(..) | NotModified) {
            assert_eq!(answer.header("etag"), Some(self.etag.as_str()), "{what}");
            assert_eq!(answer.header("last-modified"), Some(self.last_modified.as_str()), "{what}");
            let cache = answer.header("cache-control").unwrap();
            assert!(cache.starts_with("private, max-age=") && cache.ends_with(", immutable"), "{what}: {cache}");
        }
        if matches!(expected, Whole | Part(..)) {
            assert_eq!(answer.header("accept-ranges"), Some("bytes"), "{what}");
            assert_eq!(answer.header("content-type"), Some("video/mp4"), "{what}");
            assert_eq!(answer.header("content-encoding"), None, "{what}");
            assert_eq!(answer.header("transfer-encoding"), None, "{what}");
        }
        if matches!(expected, Unsatisfiable | Failed) {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        }
    }

    /// One row, as GET and as HEAD; `on_head` is what a HEAD of it gives.
    #[track_caller]
    fn row(&self, wire: &mut Wire, headers: &[(&str, &str)], on_get: Expected, on_head: Expected) {
        let what = format!("{:.200}", format!("{headers:?}"));
        self.check(&wire.exchange("GET", &self.path, headers), true, on_get, &what);
        self.check(&wire.exchange("HEAD", &self.path, headers), false, on_head, &format!("HEAD {what}"));
    }
}

#[test]
fn one_range_is_answered_to_the_byte_and_everything_else_whole() {
    let played = Played::of_length(SIZE);
    let mut wire = Wire::connect(&played.server);
    let last = SIZE - 1;
    let digits = "9".repeat(400);
    let many: String = format!("bytes={}", "0-,".repeat(1_300));
    let descending: String = (0..500).rev().map(|at| format!("{at}-{at},")).collect();
    let rows: &[(&str, Expected)] = &[
        ("bytes=0-0", Part(0, 0)),
        ("bytes=0-499", Part(0, 499)),
        ("bytes=500-999", Part(500, 999)),
        ("bytes=0-", Part(0, last)),
        ("bytes=1-", Part(1, last)),
        ("bytes=0-99999", Part(0, last)),
        ("bytes=0-999999", Part(0, last)),
        ("bytes=0-18446744073709551615", Part(0, last)),
        ("bytes=0-18446744073709551616", Part(0, last)),
        (&format!("bytes=0-{digits}"), Part(0, last)),
        ("bytes=-1", Part(last, last)),
        ("bytes=-500", Part(SIZE - 500, last)),
        ("bytes=-100000", Part(0, last)),
        ("bytes=-100001", Part(0, last)),
        ("bytes=-18446744073709551616", Part(0, last)),
        ("bytes=99999-", Part(last, last)),
        ("bytes=99999-99999", Part(last, last)),
        ("bytes=99990-200000", Part(99_990, last)),
        ("BYTES=0-1", Part(0, 1)),
        ("Bytes=0-1", Part(0, 1)),
        ("bytes=000-001", Part(0, 1)),
        // Blanks around and empty elements of a list are allowed (RFC 9110 §5.6.1.2).
        ("bytes= 0-1", Part(0, 1)),
        ("bytes=0-1 ,", Part(0, 1)),
        ("bytes=,,0-1", Part(0, 1)),
        ("bytes=-0", Unsatisfiable),
        ("bytes=100000-", Unsatisfiable),
        ("bytes=100000-100001", Unsatisfiable),
        ("bytes=18446744073709551616-", Unsatisfiable),
        (&format!("bytes={digits}-"), Unsatisfiable),
        (&format!("bytes={digits}-{digits}"), Unsatisfiable),
        // Several ranges get the whole, never multipart (RFC 9110 §14.2).
        ("bytes=0-1,5-6", Whole),
        ("bytes=0-1,0-1", Whole),
        ("bytes=0-,0-", Whole),
        ("bytes=100000-,0-1", Whole),
        ("bytes=500-600,601-999", Whole),
        (&many, Whole),
        (&format!("bytes={descending}"), Whole),
        // What is invalid or of another unit is ignored.
        ("bytes=5-4", Whole),
        ("bytes=abc", Whole),
        ("bytes=", Whole),
        ("", Whole),
        ("bytes", Whole),
        ("bytes=1", Whole),
        ("bytes=-", Whole),
        ("bytes=0-1-2", Whole),
        ("bytes=--1", Whole),
        ("bytes=+1-2", Whole),
        ("bytes=0x1-2", Whole),
        ("bytes=1-a", Whole),
        ("bytes=1.0-2", Whole),
        ("bytes=0 - 1", Whole),
        ("bytes 0-1", Whole),
        ("bytes:0-1", Whole),
        ("items=0-1", Whole),
        ("seconds=1-2", Whole),
        ("none", Whole),
    ];
    for (range, expected) in rows {
        // RFC 9110 §14.2: a Range means something with GET alone.
        played.row(&mut wire, &[("Range", range)], *expected, Whole);
    }
    played.row(&mut wire, &[("Range", "bytes=0-1"), ("Range", "bytes=5-6")], Whole, Whole);
}

#[test]
fn a_range_header_of_any_size_costs_one_copy_at_most() {
    /// What one may leave behind in memory, in KiB.
    const MEMORY_KIB: u64 = 1 << 10;
    let played = Played::of_length(SIZE);
    let process = Process(played.server.pid());
    let ranges = |each: &dyn Fn(usize) -> String| format!("bytes={}", (0..2_000).map(each).collect::<String>());
    let headers = [8 << 10, 64 << 10, 100 << 10].map(|length| format!("bytes={}0-", "0-,".repeat(length / 3)));
    let mut headers: Vec<String> = headers.into();
    headers.extend([
        ranges(&|at| format!("{at}-{at},")),
        ranges(&|at| format!("{0}-{0},", 2_000 - at)),
        ranges(&|at| format!("{}-{},", at, at + 50_000)),
        ranges(&|at| format!("-{},", at + 1)),
    ]);
    let ask = |header: &str| {
        let mut wire = Wire::connect(&played.server);
        wire.send("GET", &played.path, &[("Range", header), ("Connection", "close")]);
        let head = wire.head();
        assert!([200, 400, 416, 431].contains(&head.status), "{}", head.status);
        assert!(wire.drain() <= SIZE as u64);
    };
    headers.iter().for_each(|header| ask(header));
    let before_kib = process.memory_kib();
    headers.iter().for_each(|header| ask(header));
    let grown_kib = process.memory_kib().saturating_sub(before_kib);
    assert!(grown_kib < MEMORY_KIB, "{grown_kib} KiB more");
}

#[test]
fn preconditions_are_evaluated_in_their_order() {
    let played = Played::of_length(SIZE);
    let mut wire = Wire::connect(&played.server);
    let etag = played.etag.as_str();
    let weak = format!("W/{etag}");
    let (before, same) = ("Sun, 06 Nov 1994 08:49:37 GMT", played.last_modified.as_str());
    let after = "Fri, 01 Jan 2100 00:00:00 GMT";
    let listed = format!("\"a\", {etag}, \"b\"");
    let listed_weakly = format!("\"a\",W/\"b\" ,\t{weak}");
    let thousand = format!("{}{etag}", "\"x\", ".repeat(1_000));
    let in_quotes = etag.trim_matches('"');
    let rows: &[(&[(&str, &str)], Expected)] = &[
        // If-Match: strong comparison (§13.1.1).
        (&[("If-Match", etag)], Whole),
        (&[("If-Match", &listed)], Whole),
        (&[("If-Match", "*")], Whole),
        (&[("If-Match", "\"other\"")], Failed),
        (&[("If-Match", &weak)], Failed),
        (&[("If-Match", in_quotes)], Failed),
        (&[("If-Match", "")], Failed),
        // On several lines it is one list (§5.3).
        (&[("If-Match", "\"a\""), ("If-Match", "\"b\"")], Failed),
        (&[("If-Match", "\"a\""), ("If-Match", etag)], Whole),
        // If-Unmodified-Since (§13.1.4): only without If-Match.
        (&[("If-Unmodified-Since", before)], Failed),
        (&[("If-Unmodified-Since", same)], Whole),
        (&[("If-Unmodified-Since", after)], Whole),
        (&[("If-Unmodified-Since", "yesterday")], Whole),
        (&[("If-Match", etag), ("If-Unmodified-Since", before)], Whole),
        (&[("If-Match", "\"other\""), ("If-Unmodified-Since", after)], Failed),
        // If-None-Match: weak comparison (§13.1.2).
        (&[("If-None-Match", etag)], NotModified),
        (&[("If-None-Match", &weak)], NotModified),
        (&[("If-None-Match", &listed)], NotModified),
        (&[("If-None-Match", &listed_weakly)], NotModified),
        (&[("If-None-Match", &thousand)], NotModified),
        (&[("If-None-Match", "*")], NotModified),
        (&[("If-None-Match", "\"other\"")], Whole),
        (&[("If-None-Match", in_quotes)], Whole),
        (&[("If-None-Match", "")], Whole),
        (&[("If-None-Match", "\"a\""), ("If-None-Match", etag)], NotModified),
        (&[("If-None-Match", "\"a\""), ("If-None-Match", "\"b\"")], Whole),
        // If-Modified-Since (§13.1.3): only without If-None-Match.
        (&[("If-Modified-Since", before)], Whole),
        (&[("If-Modified-Since", same)], NotModified),
        (&[("If-Modified-Since", after)], NotModified),
        (&[("If-Modified-Since", "yesterday")], Whole),
        (&[("If-Modified-Since", "0")], Whole),
        (&[("If-None-Match", "\"other\""), ("If-Modified-Since", after)], Whole),
        (&[("If-None-Match", etag), ("If-Modified-Since", before)], NotModified),
        // The order of §13.2.2: If-Match before If-None-Match before Range.
        (&[("If-Match", "\"other\""), ("If-None-Match", etag)], Failed),
        (&[("If-Match", etag), ("If-None-Match", etag)], NotModified),
        (&[("If-Match", etag), ("If-None-Match", "\"other\"")], Whole),
        (&[("If-Unmodified-Since", before), ("If-None-Match", etag)], Failed),
        (&[("If-Match", "\"other\""), ("Range", "bytes=0-1")], Failed),
        (&[("If-Match", "\"other\""), ("Range", "bytes=100000-")], Failed),
        (&[("If-None-Match", etag), ("Range", "bytes=0-1")], NotModified),
        (&[("If-None-Match", etag), ("Range", "bytes=100000-")], NotModified),
    ];
    for (headers, expected) in rows {
        played.row(&mut wire, headers, *expected, *expected);
    }
    // Obsolete forms of a date are read too (§5.6.7).
    let rows: &[(&[(&str, &str)], Expected)] = &[
        (&[("If-Modified-Since", "Thursday, 01-Jan-60 00:00:00 GMT")], NotModified),
        (&[("If-Modified-Since", "Sun Nov  6 08:49:37 1994")], Whole),
    ];
    for (headers, expected) in rows {
        played.row(&mut wire, headers, *expected, *expected);
    }
    played.row(&mut wire, &[("If-Match", etag), ("Range", "bytes=0-1")], Part(0, 1), Whole);
    played.row(&mut wire, &[("If-None-Match", "\"other\""), ("Range", "bytes=0-1")], Part(0, 1), Whole);
}

#[test]
fn if_range_gives_the_part_to_the_very_validator_and_the_whole_to_others() {
    let played = Played::of_length(SIZE);
    let mut wire = Wire::connect(&played.server);
    let weak = format!("W/{}", played.etag);
    let rows: &[(&str, Expected)] = &[
        (&played.etag, Part(10, 19)),
        (&played.last_modified, Whole),
        ("\"other\"", Whole),
        (&weak, Whole),
        ("W/\"other\"", Whole),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Whole),
        ("Fri, 01 Jan 2100 00:00:00 GMT", Whole),
        ("garbage", Whole),
        ("*", Whole),
        ("", Whole),
    ];
    for (validator, expected) in rows {
        played.row(&mut wire, &[("If-Range", validator), ("Range", "bytes=10-19")], *expected, Whole);
    }
    // A Range that can't be met is ignored with a validator that doesn't match (§13.1.5).
    played.row(&mut wire, &[("If-Range", "\"other\""), ("Range", "bytes=100000-")], Whole, Whole);
    played.row(&mut wire, &[("If-Range", &played.etag), ("Range", "bytes=100000-")], Unsatisfiable, Whole);
    // Without a Range it means nothing.
    played.row(&mut wire, &[("If-Range", "\"other\"")], Whole, Whole);
    let both = [("If-Range", played.etag.as_str()), ("If-Range", "\"other\""), ("Range", "bytes=10-19")];
    played.row(&mut wire, &both, Whole, Whole);
}

#[test]
fn a_conditional_request_without_a_valid_grant_is_no_oracle() {
    let played = Played::of_length(SIZE);
    let mut wire = Wire::connect(&played.server);
    let forged = played.path.replace("/p1.", "/p2.");
    let etag = played.etag.as_str();
    let rows: &[(&str, &str)] = &[
        ("If-None-Match", etag),
        ("If-None-Match", "*"),
        ("If-Match", etag),
        ("If-Match", "\"other\""),
        ("If-Modified-Since", &played.last_modified),
        ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Range", "bytes=0-1"),
        ("Range", "bytes=100000-"),
    ];
    for header in rows {
        for method in ["GET", "HEAD"] {
            let answer = wire.exchange(method, &forged, &[*header]);
            assert_eq!(answer.status(), 403, "{header:?}");
            assert_eq!(answer.header("etag").or(answer.header("content-range")), None, "{header:?}");
            let unsigned = wire.exchange(method, &format!("{}?", played.path), &[*header]);
            assert_eq!(unsigned.status(), 403, "{header:?}");
        }
    }
    played.row(&mut wire, &[("If-None-Match", etag)], NotModified, NotModified);
}

#[test]
fn headers_tell_nothing_of_the_file_system() {
    let played = Played::of_length(SIZE);
    let mut wire = Wire::connect(&played.server);
    let metadata = std::fs::metadata(played.file()).unwrap();
    let mut names = Vec::new();
    collect_names(&played.server.state(), &mut names);
    assert!(names.len() > 4, "{names:?}");
    let numbers = [metadata.ino(), metadata.dev(), metadata.mtime_nsec().unsigned_abs()];
    for (method, headers) in [
        ("GET", &[][..]),
        ("HEAD", &[]),
        ("GET", &[("Range", "bytes=0-1")]),
        ("GET", &[("Range", "bytes=100000-")]),
        ("GET", &[("If-None-Match", "*")]),
        ("GET", &[("If-Match", "\"other\"")]),
    ] {
        let answer = wire.exchange(method, &played.path, headers);
        for (name, value) in &answer.head.headers {
            let file = names.iter().find(|file| value.contains(file.as_str()));
            assert_eq!(file, None, "{name}: {value} names a file on the disk");
        }
        for number in numbers.iter().filter(|number| **number > 99_999) {
            let spellings = [number.to_string(), format!("{number:x}")];
            let etag = answer.header("etag").unwrap_or_default();
            assert!(!spellings.iter().any(|text| etag.contains(text)), "{etag}");
        }
    }
    // Touching the file changes neither validator.
    let file = OpenOptions::new().write(true).open(played.file()).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    played.row(&mut wire, &[], Whole, Whole);
}

fn collect_names(directory: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        // A name of an hour's word such as `media` says nothing; ids do.
        if name.len() > 12 {
            names.push(name.trim_end_matches(".mp4").to_owned());
        } else {
            names.push(entry.path().display().to_string());
        }
        if entry.path().is_dir() {
            collect_names(&entry.path(), names);
        }
    }
}

#[test]
fn an_etag_belongs_to_one_file_for_good() {
    let played = Played::of_length(SIZE);
    let server = &played.server;
    let (twin, twin_embed) = server.pending_video("private");
    server.upload(&twin, played.source.clone()).expect(200);
    let etag_of = |video: &str, embed: &str| {
        let answer = server.playback(embed, Some(&server.token(video))).expect(200).json();
        server.get(progressive_uri(&answer)).header("etag").unwrap().to_owned()
    };
    let first = etag_of(&twin, &twin_embed);
    assert_ne!(first, played.etag, "two files of equal content are two files");
    assert_eq!(etag_of(&twin, &twin_embed), first, "another session, the same file");
    server.upload(&twin, played.source.clone()).expect(200);
    assert_ne!(etag_of(&twin, &twin_embed), first, "replaced");
    for etag in [&first, &played.etag] {
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 20, "{etag} is a strong tag");
    }
}

#[test]
fn a_copy_may_be_kept_privately_and_no_longer_than_the_url_lives() {
    let played = Played::of_length(SIZE);
    let mut wire = Wire::connect(&played.server);
    let expires: i64 = played.path.split('/').nth(3).unwrap().split('.').nth(6).unwrap().parse().unwrap();
    for headers in [&[][..], &[("Range", "bytes=0-1")], &[("If-None-Match", "*")]] {
        let before = now();
        let answer = wire.exchange("GET", &played.path, headers);
        let cache = answer.header("cache-control").unwrap();
        let max_age: i64 = cache.split("max-age=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        assert!(max_age <= expires - before && max_age > 200, "{cache}");
        assert!(answer.header("vary").unwrap().contains("Origin"));
        assert!(!cache.contains("public"), "{cache}");
    }
}

#[test]
fn a_file_cut_short_under_an_answer_ends_the_connection_and_not_the_server() {
    let played = Played::of_length(16 << 20);
    let mut wire = Wire::narrow(&played.server, 16 << 10);
    wire.send("GET", &played.path, &[]);
    assert_eq!(wire.head().status, 200);
    let file = OpenOptions::new().write(true).open(played.file()).unwrap();
    file.set_len(1 << 20).unwrap();
    let received = wire.drain();
    assert!(received < 16 << 20, "{received}");
    let told = || played.server.log_text().matches("a media file is damaged and is not served").count();
    wait_for("the log to say so", Duration::from_secs(10), || told() > 0);
    assert_eq!(told(), 1, "told more than once");
    let mut wire = Wire::connect(&played.server);
    assert_eq!(wire.exchange("GET", &played.path, &[("Range", "bytes=0-9")]).status(), 503);
    std::fs::write(played.file(), &played.film).unwrap();
    wait_for("the file to be read again", Duration::from_secs(30), || {
        let answer = Wire::connect(&played.server).exchange("GET", &played.path, &[]);
        answer.status() == 200 && answer.body == played.film
    });
}

#[test]
fn readers_who_hang_up_leave_nothing_open() {
    let played = Played::of_length(8 << 20);
    let process = Process(played.server.pid());
    let read_a_byte = || {
        let mut wire = Wire::narrow(&played.server, 16 << 10);
        wire.send("GET", &played.path, &[]);
        assert_eq!(wire.head().status, 200);
        wire.read_exact(&mut [0]).unwrap();
    };
    let _ = Wire::connect(&played.server).exchange("GET", &played.path, &[("Range", "bytes=0-0")]);
    let before = process.descriptors();
    (0..50).for_each(|_| read_a_byte());
    let memory_kib = process.memory_kib();
    (0..tries(150, 1_000)).for_each(|_| read_a_byte());
    wait_for("the answers' files to be closed", Duration::from_secs(10), || process.descriptors() <= before);
    let grown_kib = process.memory_kib().saturating_sub(memory_kib);
    assert!(grown_kib < 8 << 10, "{grown_kib} KiB more");
}

#[test]
fn a_segment_and_a_playlist_have_ranges_and_validators_of_their_own() {
    let played = Played::of_length(SIZE);
    let mut wire = Wire::connect(&played.server);
    let (base, rendition) = played.path.trim_end_matches(".mp4").rsplit_once('/').unwrap();
    let playlist = wire.exchange("GET", &format!("{base}/{rendition}/index.m3u8"), &[]).body;
    let segments = String::from_utf8(playlist).unwrap().lines().filter(|line| line.ends_with(".m4s")).count();
    assert_eq!(segments, 16, "32 seconds in segments of two");
    let names: Vec<String> = ["init.mp4".to_owned(), "index.m3u8".into(), "iframes.m3u8".into()]
        .into_iter()
        .chain((1..=segments).map(|number| format!("{number}.m4s")))
        .map(|part| format!("{rendition}/{part}"))
        .chain(["master.m3u8".to_owned(), "manifest.mpd".into()])
        .collect();
    let (mut etags, mut all_segments) = (vec![played.etag.clone()], Vec::new());
    for name in &names {
        let path = format!("{base}/{name}");
        let whole = wire.exchange("GET", &path, &[]);
        let (length, etag) = (whole.body.len(), whole.header("etag").unwrap().to_owned());
        assert_eq!((whole.status(), whole.head.length()), (200, Some(length as u64)), "{name}");
        assert_eq!(whole.header("accept-ranges"), Some("bytes"), "{name}");
        let last = length - 1;
        for (range, first, last) in [
            ("bytes=0-0".to_owned(), 0, 0),
            ("bytes=10-19".into(), 10, 19),
            ("bytes=-5".into(), length - 5, last),
            (format!("bytes={last}-"), last, last),
            (format!("bytes=7-{}", SIZE * 2), 7, last),
        ] {
            // Counted from the asset's own beginning, whatever file it is a part of, and never past its end.
            let part = wire.exchange("GET", &path, &[("Range", &range), ("If-Range", &etag)]);
            let content_range = format!("bytes {first}-{last}/{length}");
            assert_eq!((part.status(), part.header("content-range")), (206, Some(content_range.as_str())), "{name}");
            assert!(part.body == whole.body[first..=last], "{name}: {range}");
            assert_eq!(part.header("etag"), Some(etag.as_str()), "{name}");
        }
        let past = wire.exchange("GET", &path, &[("Range", &format!("bytes={length}-"))]);
        let content_range = format!("bytes */{length}");
        assert_eq!((past.status(), past.header("content-range")), (416, Some(content_range.as_str())), "{name}");
        let several = wire.exchange("GET", &path, &[("Range", "bytes=0-1,5-6")]);
        assert!(several.status() == 200 && several.body == whole.body, "{name}");
        let other = wire.exchange("GET", &path, &[("Range", "bytes=0-1"), ("If-Range", &etags[0])]);
        assert!(other.status() == 200 && other.body == whole.body, "{name}: the whole for another's validator");
        assert_eq!(wire.exchange("GET", &path, &[("If-None-Match", &etag)]).status(), 304, "{name}");
        let head = wire.exchange("HEAD", &path, &[("Range", "bytes=0-1")]);
        assert_eq!((head.status(), head.head.length()), (200, Some(length as u64)), "{name}");
        etags.push(etag);
        if name.ends_with(".m4s") {
            all_segments.extend_from_slice(&whole.body);
        }
        if name.ends_with("init.mp4") {
            assert!(played.film.starts_with(&whole.body));
        }
    }
    assert!(played.film.ends_with(&all_segments), "the segments are the progressive file's own bytes");
    etags.sort_unstable();
    etags.dedup();
    assert_eq!(etags.len(), names.len() + 1, "each has a tag of its own");
}
