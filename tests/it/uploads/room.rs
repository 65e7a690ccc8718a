//! Length, quota and room on the disk: looked at before the first byte.

use super::{bare, begin, file, files, metadata, patch, tus};
use crate::support::{FIXTURE, Options, Server, Wire, wait_for};
use reqwest::Method;
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

fn with_media(config: &str) -> Server {
    Server::with(Options { config: format!("[media]\n{config}\n"), ..Options::default() })
}

/// Asks for an upload of `bytes`.
fn ask(server: &Server, key: &str, bytes: u64) -> crate::support::Reply {
    let (length, words) = (bytes.to_string(), metadata(&[("name", "x")]));
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", &length), ("upload-metadata", words.as_str())];
    bare(server, key, "POST", "/admin/v1/uploads", &headers, "")
}

#[test]
fn what_is_longer_than_a_source_may_be_is_not_begun() {
    let server = with_media("max_source_mib = 1");
    ask(&server, &server.private_key, (1 << 20) + 1).expect_code(413, "source_too_large");
    assert!(files(&server, "uploads").is_empty() && server.all("videos").is_empty());
    ask(&server, &server.private_key, 1 << 20).expect(201);
}

#[test]
fn a_full_disk_is_told_and_room_is_held() {
    let server = with_media("min_free_mib = 1000000000");
    ask(&server, &server.private_key, 1).expect_code(507, "storage_full");
    assert!(files(&server, "uploads").is_empty() && server.all("videos").is_empty());
    let server = Server::start();
    let upload = begin(&server, 8 << 20, &[("name", "x")]);
    // The blocks are there before the bytes, where the file system can do that; ext4, XFS and Btrfs can.
    let held = std::fs::metadata(file(&server, &upload)).unwrap();
    assert_eq!((held.len(), held.blocks() * 512 >= 8 << 20, held.mode() & 0o777), (0, true, 0o600));
    // More than any disk has left.
    let server = with_media("max_source_mib = 16777216\nmin_free_mib = 0");
    ask(&server, &server.private_key, 16 << 40).expect_code(507, "storage_full");
    assert!(files(&server, "uploads").is_empty() && server.all("videos").is_empty());
}

#[test]
fn a_quota_counts_what_is_stored_and_what_is_announced() {
    const GIB: u64 = 1 << 30;
    let server = with_media("quota_gib = 1");
    let (video, _) = server.video("public");
    let key = server.private_key.clone();
    ask(&server, &key, GIB).expect_code(403, "quota_exceeded");
    let (half, upload) = (GIB / 2, begin(&server, 1 << 29, &[("name", "x")]));
    ask(&server, &key, half).expect_code(403, "quota_exceeded");
    // So does a source, and a quality, before they are sent.
    for path in ["source", "renditions/low"] {
        let mut wire = Wire::connect(&server);
        let head = format!(
            "PUT /admin/v1/videos/{video}/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Length: {half}\r\n\r\n"
        );
        wire.send_raw(head.as_bytes()).unwrap();
        assert_eq!(wire.head().status, 403);
    }
    server.upload(&video, FIXTURE).expect(200);
    // Another tenant has a quota of its own.
    let (other, _) = server.other_organization();
    ask(&server, &other, half).expect(201);
    tus(&server, "DELETE", &upload.path, &[], "").expect(204);
    ask(&server, &key, half).expect(201);
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    assert_eq!(ask(&server, &key, half).expect(201).header("location").map(str::len), Some(54));
    ask(&server, &key, 1).expect_code(403, "quota_exceeded");
}

#[test]
fn uploads_begun_at_the_same_time_do_not_share_what_is_left_of_a_quota() {
    let server = with_media("quota_gib = 1");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..12).map(|_| scope.spawn(|| ask(&server, &server.private_key, 400 << 20).status)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 10, "{statuses:?}");
    assert_eq!((files(&server, "uploads").len(), server.all("videos").len()), (2, 2));
}

#[test]
fn sources_sent_at_the_same_time_do_not_share_what_is_left_of_a_quota() {
    let server = with_media("quota_gib = 1");
    // Room for one source, and not for two.
    let announced = begin(&server, (1 << 30) - FIXTURE.len() * 3 / 2, &[("name", "x")]);
    let (first, _) = server.pending_video("public");
    let (second, _) = server.pending_video("public");
    let (body, last) = FIXTURE.split_at(FIXTURE.len() - 1);
    let begun = [&first, &second].map(|video| {
        let mut wire = Wire::connect(&server);
        let head = format!(
            "PUT /admin/v1/videos/{video}/source HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            server.private_key,
            FIXTURE.len()
        );
        wire.send_raw(&[head.as_bytes(), body].concat()).unwrap();
        wire
    });
    wait_for("both to be let in", Duration::from_secs(10), || files(&server, "incoming").len() == 2);
    let statuses = begun.map(|mut wire| {
        wire.send_raw(last).unwrap();
        wire.head().status
    });
    assert_eq!(statuses, [200, 403]);
    server.wait_until_ready(&first);
    let read = server.admin(Method::GET, &format!("/videos/{second}"), &Value::Null).expect(200).json();
    assert_ne!(read["status"], "ready");
    wait_for("its file to go", Duration::from_secs(10), || files(&server, "incoming").is_empty());
    let kept = files(&server, "media").len();
    tus(&server, "DELETE", &announced.path, &[], "").expect(204);
    server.upload(&second, FIXTURE).expect(200);
    assert_eq!(files(&server, "media").len(), 2 * kept, "a file of the refused source stayed");
}

#[test]
fn a_quota_is_free_again_when_an_upload_has_become_what_it_announced() {
    let server = with_media("quota_gib = 1");
    // Announced and stored at once would be too much.
    for _ in 0..3 {
        let upload = begin(&server, FIXTURE.len(), &[("name", "x"), ("visibility", "public")]);
        patch(&server, &upload, 0, FIXTURE).expect(204);
        super::assert_became(&server, &upload, FIXTURE);
    }
    let media = server.state().join("media");
    let stored: u64 =
        files(&server, "media").iter().map(|name| std::fs::metadata(media.join(name)).unwrap().len()).sum();
    ask(&server, &server.private_key, (1 << 30) - stored + 1).expect_code(403, "quota_exceeded");
    ask(&server, &server.private_key, (1 << 30) - stored).expect(201);
    ask(&server, &server.private_key, 1).expect_code(403, "quota_exceeded");
}

#[test]
fn a_thousand_uploads_may_be_open_and_not_one_more() {
    let server = Server::start();
    let (video, _) = server.pending_video("public");
    let words = metadata(&[("videoId", &video)]);
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", "1"), ("upload-metadata", words.as_str())];
    let ask_for_it = || bare(&server, &server.private_key, "POST", "/admin/v1/uploads", &headers, "");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| (0..50).for_each(|_| drop(ask_for_it().expect(201))));
        }
    });
    ask_for_it().expect_code(409, "too_many_uploads");
    let (other, _) = server.other_organization();
    ask(&server, &other, 1).expect(201);
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    assert_eq!(files(&server, "uploads").len(), 1, "the other organization's");
    begin(&server, 1, &[("name", "x")]);
}
