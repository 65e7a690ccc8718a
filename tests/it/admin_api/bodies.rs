//! What every call of the admin API asks of a body, and of a method.

use super::{all, get};
use crate::support::{Exchange, Server, Wire};
use serde_json::json;

fn send(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Exchange {
    let mut wire = Wire::connect(server);
    let mut head = format!(
        "{method} /admin/v1{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n",
        server.private_key,
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    wire.send_raw(&[head.as_bytes(), body].concat()).unwrap();
    let head = wire.head();
    let mut answer = vec![0; usize::try_from(head.length().unwrap()).unwrap()];
    if method != "HEAD" {
        wire.read_exact(&mut answer).unwrap();
    }
    Exchange { head, body: answer }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Every call that takes a body.
fn calls(server: &Server) -> Vec<(&'static str, String)> {
    let (video, embed) = server.pending_video("public");
    vec![
        ("PATCH", "/organization".into()),
        ("POST", "/signing-keys".into()),
        ("POST", "/publishable-keys".into()),
        ("POST", "/private-keys".into()),
        ("POST", "/videos".into()),
        ("PATCH", format!("/videos/{video}")),
        ("POST", "/embeds".into()),
        ("PATCH", format!("/embeds/{embed}")),
        ("POST", "/explain".into()),
    ]
}

#[test]
fn a_body_that_is_not_one_json_object_is_refused() {
    let server = Server::start();
    let deep = format!("{{\"title\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let calls = calls(&server);
    let entries = all(&server, "/audit").len();
    for (method, path) in &calls {
        for body in [
            &b"{"[..],
            b"{\"title\":\"a\",}",
            b"{\"title\":\"a\",\"title\":\"a\"}",
            b"{\"title\":\"a\",\"\\u0074itle\":\"b\"}",
            b"{'title':'a'}",
            b"title=a",
            b"[]",
            b"7",
            b"null",
            b"\"a\"",
            b"{\"title\":NaN}",
            b"{\"title\":1e400}",
            b"{\"title\":\"\xff\"}",
            b"{\"title\":\"\\ud800\"}",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            b"\0",
            deep.as_bytes(),
        ] {
            let answer = send(&server, method, path, &[JSON], body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
            assert_eq!((answer.status(), answer.code().as_str()), (400, "malformed_json"), "{method} {path} {shown}");
        }
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "json"]
        {
            let answer = send(&server, method, path, &[("Content-Type", kind)], b"{\"title\":\"a\"}");
            assert_eq!((answer.status(), answer.code().as_str()), (415, "unsupported_media_type"), "{path} {kind}");
        }
        let untyped = send(&server, method, path, &[], b"{\"title\":\"a\"}");
        assert_eq!(untyped.status(), 415, "{path}");
        let unknown = send(&server, method, path, &[JSON], b"{\"nonsense\":1}");
        assert_eq!((unknown.status(), unknown.code().as_str()), (422, "validation_failed"), "{path}");
    }
    assert_eq!(all(&server, "/audit").len(), entries);
    for kind in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"] {
        let answer = send(&server, "POST", "/videos", &[("Content-Type", kind)], b"{\"title\":\"a\"}");
        assert_eq!(answer.status(), 201, "{kind}");
    }
}

#[test]
fn a_body_may_be_64_kib_long_and_no_longer() {
    let server = Server::start();
    for (method, path) in calls(&server) {
        let mut body = json!({ "nonsense": "" }).to_string();
        body.insert_str(body.len() - 2, &"x".repeat((64 << 10) - body.len()));
        assert_eq!(body.len(), 64 << 10);
        let fits = send(&server, method, &path, &[JSON], body.as_bytes());
        assert_eq!(fits.status(), 422, "{path}");
        body.push(' ');
        let long = send(&server, method, &path, &[JSON], body.as_bytes());
        assert_eq!((long.status(), long.code().as_str()), (413, "body_too_large"), "{path}");
    }
}

#[test]
fn a_compressed_body_is_not_unpacked() {
    let server = Server::start();
    // `{"title":"a"}` as gzip -n makes it would be read as JSON only by a server that unpacks.
    let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let answer = send(&server, "POST", "/videos", &[JSON, ("Content-Encoding", "gzip")], &packed);
    assert!([400, 415].contains(&answer.status()), "{}", answer.status());
    assert_eq!(send(&server, "POST", "/videos", &[JSON], b"{\"title\":\"a\"}").status(), 201);
}

#[test]
fn a_method_that_a_url_does_not_take_is_refused_with_those_it_does() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let id = "00000000-0000-4000-8000-000000000000";
    for (path, allow) in [
        ("/organization".to_owned(), "GET, PATCH"),
        ("/signing-keys".into(), "GET, POST"),
        (format!("/signing-keys/{id}/rotate"), "POST"),
        (format!("/signing-keys/{id}/revoke"), "POST"),
        ("/publishable-keys".into(), "GET, POST"),
        (format!("/publishable-keys/{id}/revoke"), "POST"),
        ("/private-keys".into(), "GET, POST"),
        (format!("/private-keys/{id}/revoke"), "POST"),
        ("/videos".into(), "GET, POST"),
        (format!("/videos/{video}"), "GET, PATCH, DELETE"),
        (format!("/videos/{video}/source"), "PUT"),
        ("/embeds".into(), "GET, POST"),
        (format!("/embeds/{embed}"), "GET, PATCH, DELETE"),
        ("/sessions".into(), "GET"),
        (format!("/sessions/{id}"), "DELETE"),
        (format!("/sessions/{id}/end"), "POST"),
        ("/audit".into(), "GET"),
        ("/explain".into(), "POST"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = send(&server, method, &path, &[], b"");
            assert_eq!((answer.status(), answer.code().as_str()), (405, "method_not_allowed"), "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }
    assert_eq!(get(&server, &format!("/videos/{video}"))["status"], "ready");
}
