//! The protocol rule by rule: what is taken, and each thing that is refused.

use super::{PIECE, assert_became, bare, begin, begun, files, metadata, offset, patch, read, tus};
use crate::support::{FIXTURE, Options, Server, now};
use reqwest::Method;
use serde_json::{Value, json};

const UPLOADS: &str = "/admin/v1/uploads";

#[test]
fn a_film_goes_up_in_pieces_and_plays() {
    let server = Server::start();
    let upload = begin(&server, FIXTURE.len(), &[("filename", "lesson one.mp4"), ("filetype", "video/mp4")]);
    let made = read(&server, &upload.video);
    assert_eq!((&made["title"], &made["status"]), (&json!("lesson one.mp4"), &json!("pending_upload")));
    let mut at = 0;
    for piece in FIXTURE.chunks(FIXTURE.len() / 3) {
        assert_eq!(offset(&server, &upload), at);
        let reply = patch(&server, &upload, at, piece).expect(204);
        at += piece.len();
        assert_eq!(super::offset_of(&reply), at);
        assert_eq!(std::fs::read(super::file(&server, &upload)).unwrap_or(FIXTURE.to_vec()), FIXTURE[..at]);
        assert_ne!(at == FIXTURE.len(), reply.header("upload-expires").is_some());
    }
    assert_ne!(read(&server, &upload.video)["status"], "pending_upload");
    assert_became(&server, &upload, FIXTURE);
    // Who missed the last answer does not begin anew.
    assert_eq!(offset(&server, &upload), FIXTURE.len());
    patch(&server, &upload, FIXTURE.len(), b"").expect(204);
    patch(&server, &upload, FIXTURE.len(), b"more").expect_code(413, "upload_too_long");
    patch(&server, &upload, 0, FIXTURE).expect_code(409, "upload_offset");
    let audit: Vec<String> =
        server.all("audit").iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect();
    for action in ["upload.create", "video.create", "video.source", "video.packaged"] {
        assert_eq!(audit.iter().filter(|other| *other == action).count(), 1, "{action} in {audit:?}");
    }
    server.verify();
}

#[test]
fn the_first_bytes_may_come_with_the_beginning() {
    let server = Server::start();
    let length = FIXTURE.len().to_string();
    let words = metadata(&[("title", "All at once"), ("visibility", "private")]);
    let headers = [PIECE, ("upload-length", &length), ("upload-metadata", &words)];
    let reply = tus(&server, "POST", UPLOADS, &headers, &FIXTURE[..1000]).expect(201);
    assert_eq!(super::offset_of(&reply), 1000);
    let upload = begun(&reply);
    patch(&server, &upload, 1000, &FIXTURE[1000..]).expect(204);
    server.wait_until_ready(&upload.video);
    assert_eq!(read(&server, &upload.video)["visibility"], "private");
    let reply = tus(&server, "POST", UPLOADS, &headers, FIXTURE).expect(201);
    assert_eq!(super::offset_of(&reply), FIXTURE.len());
    server.wait_until_ready(reply.header("screener-video-id").unwrap());
    // A body of another type is none of ours, and too much is too much: then nothing is made.
    let before = files(&server, "uploads");
    let headers = [("upload-length", "10"), ("upload-metadata", words.as_str())];
    tus(&server, "POST", UPLOADS, &headers, "bytes").expect_code(415, "unsupported_media_type");
    let headers = [PIECE, ("upload-length", "10"), ("upload-metadata", words.as_str())];
    tus(&server, "POST", UPLOADS, &headers, "eleven byte").expect_code(413, "upload_too_long");
    assert_eq!((files(&server, "uploads"), server.all("videos").len()), (before, 2));
}

#[test]
fn a_server_says_what_it_can_do_to_whoever_asks() {
    let config = "[media]\nmax_source_mib = 3\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let upload = begin(&server, 10, &[("name", "x")]);
    for path in [UPLOADS, &upload.path] {
        for headers in [&[][..], &[("tus-resumable", "0.2.1")]] {
            let reply = bare(&server, "nobody", "OPTIONS", path, headers, "").expect(204);
            assert_eq!(reply.header("tus-version"), Some("1.0.0"));
            let extensions = "creation,creation-with-upload,termination,checksum,expiration";
            assert_eq!(reply.header("tus-extension"), Some(extensions));
            assert_eq!(reply.header("tus-checksum-algorithm"), Some("sha1,sha256"));
            assert_eq!(reply.header("tus-max-size"), Some("3145728"));
        }
    }
}

#[test]
fn another_version_or_none_is_refused_and_nothing_is_done() {
    let server = Server::start();
    let upload = begin(&server, 10, &[("name", "x")]);
    for version in [None, Some("0.2.2"), Some("1.0.1"), Some("")] {
        for (method, path) in
            [("POST", UPLOADS), ("HEAD", &upload.path), ("PATCH", &upload.path), ("DELETE", &upload.path)]
        {
            let mut headers = vec![PIECE, ("upload-length", "10"), ("upload-offset", "0")];
            headers.extend(version.map(|version| ("tus-resumable", version)));
            let reply = bare(&server, &server.private_key, method, path, &headers, "bytes").expect(412);
            assert_eq!(reply.header("tus-version"), Some("1.0.0"));
        }
    }
    assert_eq!((offset(&server, &upload), files(&server, "uploads").len()), (0, 1));
}

#[test]
fn an_upload_that_can_not_become_a_film_is_not_begun() {
    let server = Server::start();
    let name = metadata(&[("name", "x")]);
    let long = metadata(&[("name", &"x".repeat(4096))]);
    let other = metadata(&[("name", "x"), ("visibility", "secret")]);
    let no_video = metadata(&[("videoId", "a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001")]);
    let no_id = metadata(&[("videoId", "../../etc/passwd")]);
    let orphan = metadata(&[("name", "x"), ("rendition", "low")]);
    let (pending, _) = server.pending_video("public");
    let early = metadata(&[("videoId", &pending), ("rendition", "low")]);
    let odd = metadata(&[("videoId", &pending), ("rendition", "../low")]);
    let twice = format!("{name},{name}");
    for (headers, status) in [
        (vec![("upload-metadata", name.as_str())], 400),
        (vec![("upload-metadata", &name), ("upload-length", "0")], 400),
        (vec![("upload-metadata", &name), ("upload-length", "-1")], 400),
        (vec![("upload-metadata", &name), ("upload-length", "+5")], 400),
        (vec![("upload-metadata", &name), ("upload-length", "99999999999999999999")], 400),
        (vec![("upload-metadata", &name), ("upload-length", "5"), ("upload-length", "6")], 400),
        (vec![("upload-metadata", &name), ("upload-defer-length", "1")], 400),
        (vec![("upload-metadata", &name), ("upload-length", "5"), ("upload-concat", "partial")], 400),
        (vec![("upload-metadata", &name), ("upload-length", "1152921504606846976")], 413),
        (vec![("upload-length", "5")], 422),
        (vec![("upload-length", "5"), ("upload-metadata", "")], 422),
        (vec![("upload-length", "5"), ("upload-metadata", "name ###")], 400),
        (vec![("upload-length", "5"), ("upload-metadata", "name eA==,")], 400),
        (vec![("upload-length", "5"), ("upload-metadata", "name eA== eA==")], 400),
        (vec![("upload-length", "5"), ("upload-metadata", &twice)], 400),
        (vec![("upload-length", "5"), ("upload-metadata", &long)], 400),
        (vec![("upload-length", "5"), ("upload-metadata", &other)], 422),
        (vec![("upload-length", "5"), ("upload-metadata", &no_video)], 404),
        (vec![("upload-length", "5"), ("upload-metadata", &no_id)], 404),
        (vec![("upload-length", "5"), ("upload-metadata", &orphan)], 422),
        (vec![("upload-length", "5"), ("upload-metadata", &odd)], 422),
        (vec![("upload-length", "5"), ("upload-metadata", &early)], 409),
        (vec![("upload-length", "5"), ("upload-metadata", &name), ("upload-checksum", "md5 AAAA")], 400),
    ] {
        let reply = tus(&server, "POST", UPLOADS, &headers, "");
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.text());
    }
    assert_eq!((files(&server, "uploads").len(), server.all("videos").len(), server.all("uploads").len()), (0, 1, 0));
    let to_pending = begin(&server, 5, &[("videoId", &pending)]);
    assert_eq!((to_pending.video, server.all("videos").len()), (pending, 1));
}

#[test]
fn names_from_a_client_are_words_and_never_paths() {
    let server = Server::start();
    for (name, title) in [
        ("../../../etc/passwd", "../../../etc/passwd"),
        ("  a\u{0}b\nc\u{1b}[2J  ", "abc[2J"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\u{202e}fdp.4pm", "\u{202e}fdp.4pm"),
    ] {
        let upload = begin(&server, 5, &[("filename", name)]);
        assert_eq!(read(&server, &upload.video)["title"], title);
        let reply = tus(&server, "HEAD", &upload.path, &[], "").expect(200);
        assert_eq!(reply.header("upload-metadata"), Some(metadata(&[("filename", name)]).as_str()));
    }
    let long = "ü".repeat(300);
    let upload = begin(&server, 5, &[("filename", &long)]);
    assert_eq!(read(&server, &upload.video)["title"], "ü".repeat(200));
    // The best of several words; one that says nothing is none.
    let upload = begin(&server, 5, &[("filename", "c"), ("name", "b"), ("title", " \n ")]);
    assert_eq!(read(&server, &upload.video)["title"], "b");
    // Bytes that are no text are still no path.
    let words = "name /////w==,isConfidential";
    let reply = tus(&server, "POST", UPLOADS, &[("upload-length", "5"), ("upload-metadata", words)], "").expect(201);
    let reply = tus(&server, "HEAD", reply.header("location").unwrap(), &[], "").expect(200);
    assert_eq!(reply.header("upload-metadata"), Some(words));
    let names = files(&server, "uploads");
    assert_eq!(names.len(), 7);
    assert!(names.iter().all(|name| name.len() == 36 && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')));
}

#[test]
fn a_piece_is_the_next_one_of_the_right_type_or_refused() {
    let server = Server::start();
    let upload = begin(&server, 10, &[("name", "x")]);
    patch(&server, &upload, 0, b"01234").expect(204);
    for (headers, status) in [
        (vec![("upload-offset", "5")], 415),
        (vec![("content-type", "application/octet-stream"), ("upload-offset", "5")], 415),
        (vec![PIECE], 400),
        (vec![PIECE, ("upload-offset", "five")], 400),
        (vec![PIECE, ("upload-offset", "-5")], 400),
        (vec![PIECE, ("upload-offset", "0")], 409),
        (vec![PIECE, ("upload-offset", "6")], 409),
        (vec![PIECE, ("upload-offset", "18446744073709551615")], 409),
    ] {
        let reply = tus(&server, "PATCH", &upload.path, &headers, "567");
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.text());
        // Who is told that it is another byte is told which.
        assert_eq!(reply.header("upload-offset"), (status == 409).then_some("5"));
    }
    patch(&server, &upload, 5, b"567890").expect_code(413, "upload_too_long");
    assert_eq!(std::fs::read(super::file(&server, &upload)).unwrap(), b"01234");
    // Of unknown length: refused when it goes beyond.
    let body = reqwest::blocking::Body::new(std::io::Cursor::new(b"567890"));
    let headers = [PIECE, ("upload-offset", "5")];
    tus(&server, "PATCH", &upload.path, &headers, body).expect_code(413, "upload_too_long");
    assert_eq!(offset(&server, &upload), 5);
    let body = reqwest::blocking::Body::new(std::io::Cursor::new(b"567"));
    assert_eq!(super::offset_of(&tus(&server, "PATCH", &upload.path, &headers, body).expect(204)), 8);
    patch(&server, &upload, 8, b"").expect(204);
    assert_eq!(std::fs::read(super::file(&server, &upload)).unwrap(), b"01234567");
}

#[test]
fn whoever_can_only_post_may_say_what_they_mean() {
    let server = Server::start();
    let upload = begin(&server, 10, &[("name", "x")]);
    let over = |method| ("x-http-method-override", method);
    let headers = [over("PATCH"), PIECE, ("upload-offset", "0")];
    assert_eq!(super::offset_of(&tus(&server, "POST", &upload.path, &headers, "0123").expect(204)), 4);
    assert_eq!(super::offset_of(&tus(&server, "POST", &upload.path, &[over("HEAD")], "").expect(200)), 4);
    for method in ["GET", "PUT", "patch", ""] {
        tus(&server, "POST", &upload.path, &[over(method)], "").expect_code(405, "method_not_allowed");
    }
    tus(&server, "POST", &upload.path, &[], "").expect_code(405, "method_not_allowed");
    tus(&server, "GET", &upload.path, &[], "").expect_code(405, "method_not_allowed");
    tus(&server, "POST", &upload.path, &[over("DELETE")], "").expect(204);
    tus(&server, "HEAD", &upload.path, &[], "").expect(404);
}

#[test]
fn another_organization_finds_nothing() {
    let server = Server::start();
    let upload = begin(&server, 10, &[("name", "x")]);
    let (video, _) = server.pending_video("public");
    let (other, publishable) = server.other_organization();
    let headers = [("tus-resumable", "1.0.0"), PIECE, ("upload-offset", "0")];
    for method in ["HEAD", "PATCH", "DELETE"] {
        bare(&server, &other, method, &upload.path, &headers, "0123").expect(404);
        bare(&server, &publishable, method, &upload.path, &headers, "0123").expect(403);
        bare(&server, "nobody", method, &upload.path, &headers, "0123").expect(401);
    }
    let words = metadata(&[("videoId", &video)]);
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", "5"), ("upload-metadata", words.as_str())];
    bare(&server, &other, "POST", UPLOADS, &headers, "").expect_code(404, "not_found");
    let list = server.admin_as(&other, Method::GET, "/uploads", &Value::Null).expect(200).json();
    assert_eq!(list["items"], json!([]));
    assert_eq!(offset(&server, &upload), 0);
    tus(&server, "PATCH", UPLOADS, &[], "").expect_code(405, "method_not_allowed");
    for name in ["a", "..", "a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001"] {
        server.admin(Method::HEAD, &format!("/uploads/{name}"), &Value::Null).expect(match name {
            ".." => 404,
            _ => 412,
        });
    }
    tus(&server, "HEAD", "/admin/v1/uploads/a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001", &[], "").expect(404);
}

#[test]
fn the_list_tells_where_each_upload_stands() {
    let server = Server::start();
    let upload = begin(&server, 10, &[("name", "x")]);
    patch(&server, &upload, 0, b"0123").expect(204);
    let other = begin(&server, FIXTURE.len(), &[("name", "y")]);
    patch(&server, &other, 0, FIXTURE).expect(204);
    server.wait_until_ready(&other.video);
    let items = server.all("uploads");
    assert_eq!(items.len(), 2);
    let (first, second) = (&items[1], &items[0]);
    assert_eq!((&first["id"], &first["videoId"]), (&json!(upload.id), &json!(upload.video)));
    assert_eq!((&first["lengthBytes"], &first["offsetBytes"]), (&json!(10), &json!(4)));
    assert_eq!(
        (&first["status"], &first["rendition"], &first["statusDetail"]),
        (&json!("open"), &json!(null), &json!(null))
    );
    assert_eq!((&second["status"], &second["offsetBytes"]), (&json!("received"), &json!(FIXTURE.len())));
    // Three days from now, as the header says, too.
    let reply = tus(&server, "HEAD", &upload.path, &[], "").expect(200);
    let told = httpdate::parse_http_date(reply.header("upload-expires").unwrap()).unwrap();
    let told = i64::try_from(told.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    assert!((now() + 3 * 86_400 - told).abs() < 60, "{told}");
    assert!(first["expiresAt"].is_string() && second["expiresAt"].is_string());
}
