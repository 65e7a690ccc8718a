//! Resumable uploads by tus 1.0: each rule of the protocol, and what becomes of an upload when lines break, servers die and
//! disks fill.

mod clients;
mod crash;
mod damage;
mod endings;
mod pieces;
mod protocol;
mod room;

use crate::support::{Reply, Server, Wire, packaged, progressive_uri, wait_for};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::blocking::Body;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// The type of a piece.
const PIECE: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// An upload that was begun.
struct Upload {
    id: String,
    path: String,
    video: String,
}

/// One request of the protocol; every answer says which version it speaks.
#[track_caller]
fn tus(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
    let all = [&[("tus-resumable", "1.0.0")], headers].concat();
    bare(server, &server.private_key, method, path, &all, body)
}

/// The same with these headers and this key alone.
#[track_caller]
fn bare(
    server: &Server,
    key: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Reply {
    let request = server.request(Method::from_bytes(method.as_bytes()).unwrap(), path).bearer_auth(key);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = if method == "HEAD" || method == "DELETE" { request } else { request.body(body) };
    let reply = Reply::read(request.send().unwrap());
    assert_eq!(reply.header("tus-resumable"), Some("1.0.0"), "{method} {path}: {}", reply.status);
    reply
}

/// `Upload-Metadata` of these words.
fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Begins an upload of `length` bytes.
#[track_caller]
fn begin(server: &Server, length: usize, pairs: &[(&str, &str)]) -> Upload {
    let (length, metadata) = (length.to_string(), metadata(pairs));
    let headers = [("upload-length", length.as_str()), ("upload-metadata", metadata.as_str())];
    begun(&tus(server, "POST", "/admin/v1/uploads", &headers, "").expect(201))
}

/// What the answer to the beginning of an upload says.
#[track_caller]
fn begun(reply: &Reply) -> Upload {
    let path = reply.header("location").unwrap().to_owned();
    let id = path.strip_prefix("/admin/v1/uploads/").unwrap().to_owned();
    assert!(reply.header("upload-expires").unwrap().ends_with(" GMT"));
    Upload { id, path, video: reply.header("screener-video-id").unwrap().to_owned() }
}

/// Sends a piece.
#[track_caller]
fn patch(server: &Server, upload: &Upload, offset: usize, bytes: &[u8]) -> Reply {
    tus(server, "PATCH", &upload.path, &[PIECE, ("upload-offset", &offset.to_string())], bytes.to_vec())
}

/// Where the server says to go on.
#[track_caller]
fn offset(server: &Server, upload: &Upload) -> usize {
    offset_of(&tus(server, "HEAD", &upload.path, &[], "").expect(200))
}

#[track_caller]
fn offset_of(reply: &Reply) -> usize {
    reply.header("upload-offset").unwrap().parse().unwrap()
}

/// The file of an upload.
fn file(server: &Server, upload: &Upload) -> PathBuf {
    server.state().join("uploads").join(&upload.id)
}

/// Names of the files in a directory of the server's state.
fn files(server: &Server, directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(server.state().join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn read(server: &Server, video: &str) -> Value {
    server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json()
}

/// Waits until a video plays, and checks that it is this film and nothing is left of the upload.
#[track_caller]
fn assert_became(server: &Server, upload: &Upload, film: &[u8]) {
    server.wait_until_ready(&upload.video);
    let kept = std::fs::read(server.state().join("media").join(&upload.id)).unwrap();
    assert!(kept == film, "{} bytes of something else were kept", kept.len());
    assert_plays(server, &upload.video, film);
    wait_for("the upload's file to be gone", Duration::from_secs(10), || !file(server, upload).exists());
}

/// Checks that a public video plays as this film.
#[track_caller]
fn assert_plays(server: &Server, video: &str, film: &[u8]) {
    let embed = read(server, video)["embedId"].as_str().unwrap().to_owned();
    let answer = server.playback(&embed, None).expect(200).json();
    let played = server.get(progressive_uri(&answer)).expect(200).body;
    assert!(played == packaged(film), "{} bytes of something else are played", played.len());
}

/// A connection over which a piece of `announced` bytes was begun.
fn begin_piece(server: &Server, upload: &Upload, offset: usize, announced: usize, headers: &str) -> Wire {
    let mut wire = Wire::connect(server);
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {announced}\r\n{headers}\r\n",
        upload.path, server.private_key
    );
    wire.send_raw(head.as_bytes()).unwrap();
    wire
}

/// Waits until the upload's file is this long, but for what is gathered before it is written.
#[track_caller]
fn wait_for_length(server: &Server, upload: &Upload, length: usize) {
    let path = file(server, upload);
    wait_for("the bytes to arrive", Duration::from_secs(20), || {
        std::fs::metadata(&path).is_ok_and(|file| file.len() + (256 << 10) > length as u64)
    });
}
