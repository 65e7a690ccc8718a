//! Whoever is shut out while a request of theirs is on its way (attacks H25, H26, J41): what was asked with a key that was
//! revoked meanwhile, or a sign-in that is over, is not done. And what was asked by whoever is gone is done whole.

use crate::dashboard::signed_in;
use crate::support::{Process, Server, Wire, files_below, padded, plain, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use socket2::SockRef;
use std::io::Write;
use std::time::Duration;

/// A request that waits for its body: whoever sent it was let in.
struct Begun(Wire);

impl Begun {
    fn new(server: &Server, line: &str, headers: &str, length: usize) -> Self {
        let mut wire = Wire::connect(server);
        let head =
            format!("{line} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{headers}Content-Length: {length}\r\n\r\n");
        wire.send_raw(head.as_bytes()).unwrap();
        assert_eq!(wire.head().status, 100, "{line}");
        Self(wire)
    }

    #[track_caller]
    fn ends_refused(mut self, body: &[u8], what: &str) {
        // It may be refused in mid-body.
        let _ = self.0.send_raw(body);
        assert_eq!(self.0.head().status, 401, "{what}");
    }
}

/// What is asked with a body: request line, type, body.
fn changes(video: &str, upload: &str) -> Vec<(String, &'static str, Vec<u8>)> {
    let json = "Content-Type: application/json\r\n";
    let pieces = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n";
    let mut changes = vec![
        (format!("PUT /admin/v1/videos/{video}/source"), "", padded(300_000)),
        (
            format!("PUT /admin/v1/videos/{video}/captions/en"),
            "Content-Type: text/vtt\r\n",
            b"WEBVTT\n\n00:00.000 --> 00:01.000\nHi\n".to_vec(),
        ),
        (format!("PATCH {upload}"), pieces, padded(300_000)),
    ];
    for (line, body) in [
        ("POST /admin/v1/private-keys".to_owned(), json!({ "label": "backdoor" })),
        ("POST /admin/v1/signing-keys".to_owned(), json!({ "label": "backdoor" })),
        ("POST /admin/v1/publishable-keys".to_owned(), json!({ "label": "backdoor" })),
        ("POST /admin/v1/videos".to_owned(), json!({ "title": "backdoor" })),
        ("POST /admin/v1/videos/visibility".to_owned(), json!({ "visibility": "public" })),
        (format!("PATCH /admin/v1/videos/{video}"), json!({ "visibility": "public" })),
        ("PATCH /admin/v1/organization".to_owned(), json!({ "tokenAccess": false })),
    ] {
        changes.push((line, json, body.to_string().into_bytes()));
    }
    changes
}

fn new_upload(server: &Server, length: usize) -> String {
    let request = server.request(Method::POST, "/admin/v1/uploads").bearer_auth(&server.private_key);
    let request = request.header("tus-resumable", "1.0.0").header("upload-length", length);
    let reply = request.header("upload-metadata", "name eA==,visibility cHJpdmF0ZQ==").send().unwrap();
    assert_eq!(reply.status(), 201);
    reply.headers()["location"].to_str().unwrap().to_owned()
}

/// All that stands there besides keys of this test's own, and the audit log of them.
fn standing(server: &Server) -> Value {
    let mut told = server.told();
    told.as_object_mut().unwrap().retain(|name, _| name != "audit" && name != "private-keys");
    told
}

#[test]
fn what_a_key_began_is_not_done_once_it_is_revoked() {
    let server = Server::start();
    let (video, _) = server.video("private");
    let upload = new_upload(&server, 300_000);
    let before = standing(&server);
    for (line, headers, body) in changes(&video, &upload) {
        let key = server.admin(Method::POST, "/private-keys", &json!({ "label": "leaked" })).expect(201).json();
        let headers = format!("Authorization: Bearer {}\r\n{headers}", key["key"].as_str().unwrap());
        let begun = Begun::new(&server, &line, &headers, body.len());
        let id = key["id"].as_str().unwrap();
        server.admin(Method::POST, &format!("/private-keys/{id}/revoke"), &Value::Null).expect(200);
        begun.ends_refused(&body, &line);
    }
    assert_eq!(standing(&server), before);
    let keys = server.all("private-keys");
    assert!(keys.iter().all(|key| key["label"] != "backdoor"), "{keys:?}");
    let media = files_below(&server.state().join("media")).len();
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    wait_for("its files to go", Duration::from_secs(5), || {
        files_below(&server.state().join("media")).len() < media
            && files_below(&server.state().join("incoming")).is_empty()
    });
    server.verify();
}

#[test]
fn what_a_sign_in_began_is_not_done_once_it_is_over() {
    let server = Server::start();
    let (video, _) = server.video("private");
    let upload = new_upload(&server, 300_000);
    let before = standing(&server);
    for (line, headers, body) in changes(&video, &upload) {
        let cookie = signed_in(&server);
        let headers = format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n{headers}");
        let begun = Begun::new(&server, &line, &headers, body.len());
        let sign_out = server.request(Method::POST, "/dashboard/sign-out");
        let reply = sign_out.header("cookie", &cookie).header("sec-fetch-site", "same-origin").send().unwrap();
        assert_eq!(reply.status(), 303);
        begun.ends_refused(&body, &line);
    }
    assert_eq!(standing(&server), before);
    assert_eq!(server.all("private-keys").len(), 1);
}

#[test]
fn a_key_may_revoke_itself_and_what_it_uploaded_whole_stays() {
    let server = Server::start();
    let key = server.admin(Method::POST, "/private-keys", &json!({ "label": "leaving" })).expect(201).json();
    let (id, text) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let video = server.admin_as(text, Method::POST, "/videos", &json!({ "title": "kept" })).expect(201).json();
    let path = format!("/admin/v1/videos/{}/source", video["id"].as_str().unwrap());
    let put = server.request(Method::PUT, &path).bearer_auth(text).body(padded(100_000)).send().unwrap();
    assert_eq!(put.status(), 200);
    server.admin_as(text, Method::POST, &format!("/private-keys/{id}/revoke"), &Value::Null).expect(200);
    server.admin_as(text, Method::GET, "/videos", &Value::Null).expect_code(401, "private_key_invalid");
    let audit = server.all("audit");
    assert_eq!(audit[0]["action"], "private_key.revoke", "{:?}", audit[0]);
}

#[test]
fn a_deletion_in_parts_stands_on_its_key_in_each_and_each_is_in_the_log() {
    const EMBEDS: usize = 400;
    let server = Server::start();
    let (video, _) = server.pending_video("private");
    for _ in 0..EMBEDS {
        server.admin(Method::POST, "/embeds", &json!({ "videoId": video })).expect(201);
    }
    let made = server.admin(Method::POST, "/private-keys", &json!({ "label": "leaked" })).expect(201).json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let status = std::thread::scope(|scope| {
        let path = format!("/videos/{video}");
        let (server, key) = (&server, key);
        let deletion = scope.spawn(move || server.admin_as(key, Method::DELETE, &path, &Value::Null).status);
        wait_for("it to begin", Duration::from_secs(20), || {
            let newest = server.admin(Method::GET, "/audit?limit=1", &Value::Null).expect(200).json();
            deletion.is_finished() || newest["items"][0]["action"] == "video.delete_parts"
        });
        server.admin(Method::POST, &format!("/private-keys/{id}/revoke"), &Value::Null).expect(200);
        deletion.join().unwrap()
    });
    // Newest first: nothing was done with the key after it was revoked.
    let audit = server.all("audit");
    let at = |action: &str| audit.iter().position(|entry| entry["action"] == action);
    let revoked = at("private_key.revoke").unwrap();
    let told: Vec<&Value> = audit.iter().filter(|entry| entry["action"] == "video.delete_parts").collect();
    assert!(at("video.delete_parts").unwrap() > revoked, "a revoked key went on deleting");
    let named: usize = told.iter().map(|entry| entry["detail"]["embeds"].as_array().unwrap().len()).sum();
    match status {
        // All were gone before it was revoked.
        204 => assert!(at("video.delete").unwrap() > revoked && named >= EMBEDS - 60, "{named}"),
        401 => {
            assert_eq!(at("video.delete"), None);
            let left = server.all("embeds").iter().filter(|embed| embed["videoId"] == json!(video)).count();
            assert_eq!(left + named, EMBEDS + 1, "what is gone is not what the log names");
        }
        other => panic!("{other}"),
    }
    server.verify();
}

/// A reset that comes with or soon after a request.
fn reset(server: &Server, request: &[u8], over_tls: bool, after: Duration) {
    if over_tls {
        let mut wire = Wire::connect(server);
        SockRef::from(wire.socket()).set_linger(Some(Duration::ZERO)).unwrap();
        wire.send_raw(request).unwrap();
        std::thread::park_timeout(after);
    } else {
        let mut socket = plain(server);
        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        socket.write_all(request).unwrap();
        std::thread::park_timeout(after);
    }
}

#[test]
fn a_reset_behind_a_head_ends_the_connection_and_nothing_spins() {
    let server = Server::start();
    let process = Process(server.pid());
    drop(Wire::connect(&server).exchange("GET", "/healthz", &[]));
    let before = process.descriptors();
    for number in 0..40 {
        let method = if number % 2 == 0 { "GET" } else { "POST" };
        let body = if number % 4 < 2 { "Content-Length: 1" } else { "Transfer-Encoding: chunked" };
        let request = format!("{method} /healthz HTTP/1.1\r\nHost: a\r\n{body}\r\n\r\n");
        reset(&server, request.as_bytes(), true, Duration::ZERO);
    }
    wait_for("the descriptors to come back", Duration::from_secs(10), || process.descriptors() <= before + 4);
    let cpu = process.cpu_s();
    std::thread::park_timeout(Duration::from_secs(1));
    let cpu = process.cpu_s() - cpu;
    assert!(cpu < 0.5, "{cpu:.2} s of processor time in a second without a request");
}

#[test]
fn what_was_asked_by_whoever_is_gone_is_done_whole_or_not_at_all() {
    let server = Server::start();
    let key = &server.private_key;
    for number in 0..60 {
        let request = format!(
            "POST /admin/v1/uploads HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nTus-Resumable: 1.0.0\r\n\
             Upload-Length: 100000\r\nUpload-Metadata: name eA==,visibility cHVibGlj\r\n\r\n"
        );
        reset(&server, request.as_bytes(), true, Duration::from_micros(100 * number));
    }
    let rows = || server.all("uploads").len();
    let files = || files_below(&server.state().join("uploads")).len();
    // Nothing is under way any more when both stay what they are.
    wait_for("each upload to have its file and each file its upload", Duration::from_secs(10), || rows() == files());
    assert!(rows() > 0, "none was made at all");
    // The same where files go.
    let media = || files_below(&server.state().join("media")).len();
    let videos: Vec<String> = (0..20).map(|_| server.video("private").0).collect();
    let of_each = media() / videos.len();
    for (number, video) in videos.iter().enumerate() {
        let request =
            format!("DELETE /admin/v1/videos/{video} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n");
        reset(&server, request.as_bytes(), true, Duration::from_micros(200 * number as u64));
    }
    let left = || server.all("videos").iter().filter(|video| video["status"] == "ready").count();
    wait_for("no file to stay of a video that is gone", Duration::from_secs(10), || media() == left() * of_each);
    assert!(left() < videos.len(), "none was deleted at all");
}
