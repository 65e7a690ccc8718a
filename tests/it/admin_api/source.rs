//! `PUT /videos/{id}/source`: what is kept, what is refused, and what is left behind.

use super::{files, get, text};
use crate::support::{FIXTURE, Options, Server, Wire, packaged, padded, progressive_uri, wait_for};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::blocking::Body;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::time::Duration;

const OTHER: &[u8] = include_bytes!("../../fixtures/moov_last.mp4");

fn put(server: &Server, video: &str, headers: &[(&str, &str)], body: Body) -> crate::support::Reply {
    let mut request =
        server.request(Method::PUT, &format!("/admin/v1/videos/{video}/source")).bearer_auth(&server.private_key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    crate::support::Reply::read(request.body(body).send().unwrap())
}

fn played(server: &Server, embed: &str) -> Vec<u8> {
    let answer = server.playback(embed, None).expect(200).json();
    server.get(progressive_uri(&answer)).expect(200).body
}

/// Whether a file in the media directory has just these bytes.
fn is_kept(server: &Server, source: &[u8]) -> bool {
    let media = server.state().join("media");
    files(server, "media").iter().any(|name| std::fs::read(media.join(name)).unwrap() == source)
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(bytes)))
}

#[test]
fn a_source_of_known_or_unknown_length_is_kept_as_it_is() {
    let server = Server::start();
    for body in
        [Body::from(FIXTURE), Body::new(Cursor::new(FIXTURE)), Body::sized(Cursor::new(FIXTURE), FIXTURE.len() as u64)]
    {
        let (video, embed) = server.pending_video("public");
        let answer = put(&server, &video, &[], body).expect(200).json();
        assert_eq!(answer["status"], "ready");
        assert_eq!(played(&server, &embed), packaged(FIXTURE));
        assert!(is_kept(&server, FIXTURE));
        assert!(files(&server, "incoming").is_empty());
        server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    }
}

#[test]
fn every_kind_of_mp4_among_the_fixtures_is_taken() {
    let server = Server::start();
    for source in [
        FIXTURE,
        OTHER,
        include_bytes!("../../fixtures/fragmented.mp4"),
        include_bytes!("../../fixtures/quicktime.mov"),
        include_bytes!("../../fixtures/rotated.mp4"),
    ] {
        let (video, embed) = server.pending_video("public");
        server.upload(&video, source).expect(200);
        assert_eq!(played(&server, &embed), packaged(source));
        assert!(is_kept(&server, source));
    }
}

#[test]
fn a_digest_is_checked() {
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    let right = digest_of(FIXTURE);
    let wrong = digest_of(OTHER);
    put(&server, &video, &[("repr-digest", &wrong)], FIXTURE.into()).expect_code(400, "digest_mismatch");
    let short = format!("sha-256=:{}:", BASE64_STANDARD.encode([0; 31]));
    for malformed in
        ["sha-256=abc", "sha-256=::", "sha-256=:%%%:", short.as_str(), "sha-256=", &right[..right.len() - 1]]
    {
        let reply = put(&server, &video, &[("repr-digest", malformed)], FIXTURE.into());
        assert_eq!(reply.status, 400, "{malformed}");
    }
    put(&server, &video, &[("repr-digest", &right), ("repr-digest", &wrong)], FIXTURE.into()).expect(400);
    assert_eq!(get(&server, &format!("/videos/{video}"))["status"], "pending_upload");
    assert!(files(&server, "media").is_empty() && files(&server, "incoming").is_empty());
    let both = format!("sha-512=:AAAA:, {right}");
    put(&server, &video, &[("repr-digest", &both)], FIXTURE.into()).expect(200);
    put(&server, &video, &[("repr-digest", &right)], FIXTURE.into()).expect(200);
    // Another algorithm alone is not checked.
    put(&server, &video, &[("repr-digest", "sha-512=:AAAA:")], FIXTURE.into()).expect(200);
    assert_eq!(played(&server, &embed), packaged(FIXTURE));
    assert_eq!(files(&server, "media").len(), 3);
}

#[test]
fn what_is_no_film_is_refused_with_the_reason_and_leaves_nothing() {
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    let path = format!("/videos/{video}");
    put(&server, &video, &[], Body::from("")).expect(400);
    assert_eq!(get(&server, &path)["status"], "pending_upload");
    let no_index = [&8_u32.to_be_bytes()[..], b"free"].concat();
    for source in [
        b"hello".to_vec(),
        b"<!doctype html><p>404".to_vec(),
        vec![0; 4_096],
        vec![0xff; 4_096],
        FIXTURE[..FIXTURE.len() / 2].to_vec(),
        FIXTURE[..40].to_vec(),
        no_index,
        [0x1f, 0x8b].repeat(500),
    ] {
        let reply = put(&server, &video, &[], source.clone().into());
        let reply = reply.expect_code(422, "source_unplayable");
        let read = get(&server, &path);
        assert_eq!(read["status"], "error", "{}", reply.text());
        assert!(!text(&read["statusDetail"]).is_empty());
        assert!(!reply.text().contains("/state/") && !reply.text().contains(".rs"));
        assert!(files(&server, "media").is_empty() && files(&server, "incoming").is_empty());
        server.playback(&embed, None).expect_code(409, "video_not_ready");
    }
    // A good one after all.
    server.upload(&video, FIXTURE).expect(200);
    let read = get(&server, &path);
    assert_eq!((&read["status"], &read["statusDetail"]), (&json!("ready"), &Value::Null));
    assert_eq!(played(&server, &embed), packaged(FIXTURE));
}

#[test]
fn a_bad_replacement_leaves_the_old_source_playing() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let before = get(&server, &format!("/videos/{video}"));
    let url = server.playback(&embed, None).expect(200).json();
    put(&server, &video, &[], Body::from("not a film")).expect_code(422, "source_unplayable");
    put(&server, &video, &[("repr-digest", &digest_of(FIXTURE))], OTHER.into()).expect_code(400, "digest_mismatch");
    assert_eq!(get(&server, &format!("/videos/{video}")), before);
    assert_eq!(played(&server, &embed), packaged(FIXTURE));
    assert_eq!(server.get(progressive_uri(&url)).expect(200).body, packaged(FIXTURE));
    assert_eq!(files(&server, "media").len(), 3);
    assert!(files(&server, "incoming").is_empty());
}

#[test]
fn a_replaced_source_is_a_new_file_and_the_old_one_goes() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let before = files(&server, "media");
    let old = server.playback(&embed, None).expect(200).json();
    server.upload(&video, OTHER).expect(200);
    let after = files(&server, "media");
    assert_eq!((before.len(), after.len()), (3, 3));
    assert!(before.iter().all(|name| !after.contains(name)), "{before:?} {after:?}");
    assert!(is_kept(&server, OTHER));
    let new = server.playback(&embed, None).expect(200).json();
    assert_ne!(old["variants"][0]["id"], new["variants"][0]["id"]);
    assert_eq!(played(&server, &embed), packaged(OTHER));
}

#[test]
fn uploads_at_once_leave_one_whole_source() {
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let source = if number % 2 == 0 { FIXTURE } else { OTHER };
            let (server, video) = (&server, &video);
            scope.spawn(move || server.upload(video, source).expect(200));
        }
    });
    let bytes = played(&server, &embed);
    // What plays is what was made of the source that is kept.
    let last = if is_kept(&server, FIXTURE) { FIXTURE } else { OTHER };
    assert!(is_kept(&server, last));
    assert_eq!(bytes, packaged(last));
    assert_eq!(files(&server, "media").len(), 3);
    assert!(files(&server, "incoming").is_empty());
}

#[test]
fn a_client_that_dies_in_mid_upload_leaves_nothing() {
    let server = Server::start();
    let (video, _) = server.pending_video("public");
    let (kept, kept_embed) = server.video("public");
    for (video, framing) in [
        (&video, "Content-Length: 8388608"),
        (&video, "Transfer-Encoding: chunked"),
        (&kept, "Content-Length: 8388608"),
    ] {
        let mut wire = Wire::connect(&server);
        let head = format!(
            "PUT /admin/v1/videos/{video}/source HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{framing}\r\n\r\n",
            server.private_key
        );
        wire.send_raw(head.as_bytes()).unwrap();
        let source = padded(4 << 20);
        if framing.starts_with("Transfer") {
            wire.send_raw(format!("{:x}\r\n", 8 << 20).as_bytes()).unwrap();
        }
        wire.send_raw(&source).unwrap();
        wait_for("the upload to arrive", Duration::from_secs(10), || files(&server, "incoming").len() == 1);
        drop(wire);
        wait_for("it to be removed", Duration::from_secs(10), || files(&server, "incoming").is_empty());
    }
    assert_eq!(get(&server, &format!("/videos/{video}"))["status"], "pending_upload");
    assert_eq!(files(&server, "media").len(), 3);
    assert_eq!(played(&server, &kept_embed), packaged(FIXTURE));
}

#[test]
fn a_source_longer_than_the_limit_is_refused_told_or_not() {
    let config = "[media]\nmax_source_mib = 1\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (video, embed) = server.pending_video("public");
    let long = padded((1 << 20) + 1);
    let mut wire = Wire::connect(&server);
    let announce = |framing: &str| {
        format!(
            "PUT /admin/v1/videos/{video}/source HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{framing}\r\n\r\n",
            server.private_key
        )
    };
    // Told: refused before any of it is sent.
    wire.send_raw(announce(&format!("Content-Length: {}", long.len())).as_bytes()).unwrap();
    assert_eq!(wire.head().status, 413);
    let mut wire = Wire::connect(&server);
    wire.send_raw(announce("Transfer-Encoding: chunked").as_bytes()).unwrap();
    wire.send_raw(format!("{:x}\r\n", long.len()).as_bytes()).unwrap();
    let _ = wire.send_raw(&long);
    assert_eq!(wire.head().status, 413);
    wait_for("nothing to be left", Duration::from_secs(10), || files(&server, "incoming").is_empty());
    assert!(files(&server, "media").is_empty());
    server.upload(&video, padded(1 << 20)).expect(200);
    assert_eq!(played(&server, &embed), packaged(&padded(1 << 20)));
}

#[test]
fn there_has_to_be_room_for_an_upload_and_for_what_it_is_packaged_into() {
    let config = "[media]\nmin_free_mib = 0\nmax_source_mib = 16777216\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (video, _) = server.video("public");
    let disk = rustix::fs::statvfs(server.state()).unwrap();
    let free_bytes = disk.f_bavail * disk.f_frsize;
    let announced = |path: &str, bytes: u64| {
        let mut wire = Wire::connect(&server);
        let head = format!(
            "PUT /admin/v1/videos/{video}/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {bytes}\r\n\r\n",
            server.private_key
        );
        wire.send_raw(head.as_bytes()).unwrap();
        wire
    };
    for path in ["source", "renditions/low"] {
        // There is room for it alone, and not twice.
        assert_eq!(announced(path, free_bytes / 4 * 3).head().status, 507);
        assert!(files(&server, "incoming").is_empty());
        let wire = announced(path, free_bytes / 4);
        wait_for("it to be taken", Duration::from_secs(10), || files(&server, "incoming").len() == 1);
        drop(wire);
        // At the latest when it has been silent for 15 seconds.
        wait_for("it to be given up", Duration::from_secs(30), || files(&server, "incoming").is_empty());
    }
}

#[test]
fn a_full_disk_is_told_before_the_upload() {
    let config = "[media]\nmin_free_mib = 1000000000\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (video, _) = server.pending_video("public");
    put(&server, &video, &[], FIXTURE.into()).expect_code(507, "storage_full");
    assert!(files(&server, "media").is_empty() && files(&server, "incoming").is_empty());
}
