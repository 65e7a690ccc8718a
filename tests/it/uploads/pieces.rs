//! Lines that break, fall silent or say something else than was meant; and two that want the same upload.

use super::{
    PIECE, assert_became, begin, begin_piece, file, files, metadata, offset, offset_of, patch, read, tus,
    wait_for_length,
};
use crate::support::{Server, padded, wait_for};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};
use socket2::SockRef;
use std::net::Shutdown;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
/// What the layers before the file may hold of a connection: actix-web's buffers and TLS records.
const ON_ITS_WAY_BYTES: usize = 128 << 10;

/// `Upload-Checksum` of a piece, made by the machine's own tools.
fn sha1(server: &Server, bytes: &[u8]) -> String {
    let path = server.scratch().join("piece");
    std::fs::write(&path, bytes).unwrap();
    let output = std::process::Command::new("sha1sum").arg(&path).output().unwrap();
    let digits = String::from_utf8(output.stdout).unwrap();
    let digest: Vec<u8> = (0..20).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
    format!("sha1 {}", BASE64_STANDARD.encode(digest))
}

/// Where an upload stands when the line that was cut has ended, which a refused piece shows.
fn settled_offset(server: &Server, upload: &super::Upload) -> usize {
    let mut at = 0;
    wait_for("the line to have ended", Duration::from_secs(10), || {
        let reply = patch(server, upload, usize::MAX, b"");
        at = reply.header("upload-offset").map_or(0, |text| text.parse().unwrap());
        reply.status == 409
    });
    at
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256 {}", BASE64_STANDARD.encode(Sha256::digest(bytes)))
}

#[test]
fn what_came_before_a_line_broke_is_kept() {
    let server = Server::start();
    let film = padded(8 * MIB);
    let upload = begin(&server, film.len(), &[("name", "broken"), ("visibility", "public")]);
    let mut at = 0;
    for more in [3 * MIB + 17, 5, MIB, 0] {
        let mut wire = begin_piece(&server, &upload, at, film.len() - at, "");
        wire.send_raw(&film[at..at + more]).unwrap();
        // The end of the line comes behind the bytes; a reset, as the next one is, may overtake what was not read yet.
        wire.socket().shutdown(Shutdown::Write).unwrap();
        let least = at + more.saturating_sub(ON_ITS_WAY_BYTES);
        wait_for("what was sent to be kept", Duration::from_secs(10), || {
            let reply = tus(&server, "HEAD", &upload.path, &[], "");
            assert!(reply.status == 200 || reply.status == 423, "{}", reply.status);
            reply.status == 200 && (least..=at + more).contains(&offset_of(&reply))
        });
        at = settled_offset(&server, &upload);
    }
    assert!(at > 3 * MIB);
    let mut wire = begin_piece(&server, &upload, at, film.len() - at, "");
    wire.send_raw(&film[at..at + MIB]).unwrap();
    SockRef::from(wire.socket()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(wire);
    let settled = settled_offset(&server, &upload);
    assert!((at..=at + MIB).contains(&settled), "{settled}");
    at = settled;
    let kept = std::fs::read(file(&server, &upload)).unwrap();
    assert_eq!(Sha256::digest(&kept), Sha256::digest(&film[..at]));
    patch(&server, &upload, at, &film[at..]).expect(204);
    assert_became(&server, &upload, &film);
    server.verify();
}

#[test]
fn one_writes_at_a_time_and_a_dead_line_lets_go() {
    let server = Server::start();
    let film = padded(4 * MIB);
    let upload = begin(&server, film.len(), &[("name", "x"), ("visibility", "public")]);
    let mut dead = begin_piece(&server, &upload, 0, film.len(), "");
    dead.send_raw(&film[..MIB + 5]).unwrap();
    wait_for_length(&server, &upload, MIB);
    // Refused at once, whatever its offset.
    let began = Instant::now();
    for at in [0, MIB] {
        patch(&server, &upload, at, b"other").expect_code(423, "upload_locked");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    // Its peer is silent and its connection stands: it has to let go, and what it brought is kept.
    let began = Instant::now();
    assert_eq!(offset(&server, &upload), MIB + 5);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    patch(&server, &upload, MIB + 5, &film[MIB + 5..]).expect(204);
    assert_eq!(dead.head().status, 409);
    assert_became(&server, &upload, &film);
}

#[test]
fn a_live_line_is_not_taken_away() {
    let server = Server::start();
    let film = padded(4 * MIB);
    let upload = begin(&server, film.len(), &[("name", "x"), ("visibility", "public")]);
    let mut live = begin_piece(&server, &upload, 0, film.len(), "");
    live.send_raw(&film[..MIB]).unwrap();
    wait_for_length(&server, &upload, MIB);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| tus(&server, "HEAD", &upload.path, &[], "").status);
        let mut at = MIB;
        while !asking.is_finished() {
            live.send_raw(&film[at..at + 100]).unwrap();
            at += 100;
            std::thread::park_timeout(Duration::from_millis(20));
        }
        assert_eq!(asking.join().unwrap(), 423);
        live.send_raw(&film[at..]).unwrap();
    });
    assert_eq!(live.head().status, 204);
    assert_became(&server, &upload, &film);
}

#[test]
fn deleting_ends_whoever_writes() {
    let server = Server::start();
    let film = padded(4 * MIB);
    for by_video in [false, true] {
        let upload = begin(&server, film.len(), &[("name", "x")]);
        let mut live = begin_piece(&server, &upload, 0, film.len(), &format!("Upload-Checksum: {}\r\n", sha256(&film)));
        live.send_raw(&film[..MIB + 1]).unwrap();
        wait_for_length(&server, &upload, MIB);
        if by_video {
            server.admin(Method::DELETE, &format!("/videos/{}", upload.video), &Value::Null).expect(204);
        } else {
            tus(&server, "DELETE", &upload.path, &[], "").expect(204);
            assert_eq!(read(&server, &upload.video)["status"], "pending_upload");
        }
        assert!(files(&server, "uploads").is_empty(), "{:?}", files(&server, "uploads"));
        assert!([404, 409].contains(&live.head().status));
        patch(&server, &upload, 0, &film).expect_code(404, "not_found");
        tus(&server, "HEAD", &upload.path, &[], "").expect(404);
        tus(&server, "DELETE", &upload.path, &[], "").expect_code(404, "not_found");
        assert!(server.all("uploads").is_empty());
    }
    server.verify();
}

#[test]
fn a_piece_without_its_checksum_is_discarded() {
    let server = Server::start();
    let film = padded(4 * MIB);
    let upload = begin(&server, film.len(), &[("name", "x"), ("visibility", "public")]);
    let send = |at: usize, end: usize, checksum: &str| {
        let at_text = at.to_string();
        let headers = [PIECE, ("upload-offset", at_text.as_str()), ("upload-checksum", checksum)];
        tus(&server, "PATCH", &upload.path, &headers, film[at..end].to_vec())
    };
    let (first, second) = (MIB + 3, 3 * MIB);
    send(0, first, &sha1(&server, &film[..first])).expect(204);
    for wrong in [sha1(&server, b"other"), sha256(b"other")] {
        send(first, second, &wrong).expect_code(460, "checksum_mismatch");
        assert_eq!(offset(&server, &upload), first);
        assert_eq!(std::fs::metadata(file(&server, &upload)).unwrap().len(), first as u64);
    }
    for malformed in
        ["md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1", "sha1 ###", "sha1 AAAA", "SHA1 AAAA", "", "crc32 AAAAAA=="]
    {
        send(first, second, malformed).expect_code(400, "bad_request");
    }
    // One that breaks off is none.
    let whole = sha256(&film[first..]);
    let mut wire = begin_piece(&server, &upload, first, film.len() - first, &format!("Upload-Checksum: {whole}\r\n"));
    wire.send_raw(&film[first..second]).unwrap();
    wait_for_length(&server, &upload, 2 * MIB);
    drop(wire);
    wait_for("it to be discarded", Duration::from_secs(10), || {
        let reply = tus(&server, "HEAD", &upload.path, &[], "");
        assert!(reply.status == 423 || offset_of(&reply) == first);
        reply.status == 200
    });
    assert_eq!(files(&server, "uploads"), [upload.id.as_str()]);
    send(first, second, &sha256(&film[first..second])).expect(204);
    send(second, film.len(), &sha1(&server, &film[second..])).expect(204);
    assert_became(&server, &upload, &film);
}

#[test]
fn a_first_piece_that_is_not_what_was_meant_is_sent_again() {
    let server = Server::start();
    let film = padded(MIB);
    let length = film.len().to_string();
    let (words, wrong) = (metadata(&[("name", "x"), ("visibility", "public")]), sha256(b"other"));
    let headers = [PIECE, ("upload-length", &length), ("upload-metadata", &words), ("upload-checksum", wrong.as_str())];
    let reply = tus(&server, "POST", "/admin/v1/uploads", &headers, film.clone()).expect(201);
    assert_eq!(offset_of(&reply), 0);
    let upload = super::begun(&reply);
    patch(&server, &upload, 0, &film).expect(204);
    assert_became(&server, &upload, &film);
}

#[test]
fn an_upload_without_a_word_is_ended_and_keeps_what_came() {
    let server = Server::start();
    let film = padded(2 * MIB);
    let upload = begin(&server, film.len(), &[("name", "x"), ("visibility", "public")]);
    let mut silent = begin_piece(&server, &upload, 0, film.len(), "");
    silent.send_raw(&film[..1000]).unwrap();
    let head = silent.head();
    assert_eq!((head.status, head.header("upload-offset")), (408, Some("1000")));
    assert_eq!(head.header("tus-resumable"), Some("1.0.0"));
    patch(&server, &upload, 1000, &film[1000..]).expect(204);
    assert_became(&server, &upload, &film);
}
