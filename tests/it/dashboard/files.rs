//! Forms with a file in them, and bytes that only claim to be one.

use super::{Browser, FROM_HERE, pages};
use crate::support::form::{BOUNDARY, multipart as body, multipart_kind};
use crate::support::{FIXTURE, Reply, Server, files_below, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const POSTER: &[u8] = include_bytes!("../../fixtures/poster.jpg");
const CAPTIONS: &[u8] = include_bytes!("../../fixtures/captions.vtt");

fn send_as(browser: &Browser<'_>, path: &str, content_type: &str, body: Vec<u8>) -> Reply {
    let request = browser.request(Method::POST, path).header(FROM_HERE.0, FROM_HERE.1);
    let request = request.header("content-type", content_type).timeout(Duration::from_secs(60));
    Reply::read(request.body(body).send().unwrap())
}

fn send(browser: &Browser<'_>, path: &str, body: Vec<u8>) -> Reply {
    send_as(browser, path, &multipart_kind(), body)
}

fn read(server: &Server, video: &str) -> Value {
    server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json()
}

/// What lies below the state directory but for what is always written to.
fn stored(server: &Server) -> Vec<PathBuf> {
    let directories = ["incoming", "uploads", "media"].map(|name| server.state().join(name));
    directories.iter().filter(|directory| directory.exists()).flat_map(|directory| files_below(directory)).collect()
}

#[test]
fn a_film_a_poster_and_captions_come_by_form() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let told = send(&browser, "/dashboard/videos", body(&[("visibility", "private")], b"Lesson 1.mp4", FIXTURE));
    assert_eq!(told.expect(303).header("location"), Some("/dashboard/videos?said=uploaded"));
    let made = &server.all("videos")[0];
    assert_eq!((&made["title"], &made["visibility"]), (&json!("Lesson 1"), &json!("private")));
    let video = super::text(&made["id"]);
    server.wait_until_ready(&video);
    let embed = super::text(&read(&server, &video)["embedId"]);
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    let at = |tail: &str| format!("/dashboard/videos/{video}{tail}");
    let done = |tail: &str, fields: &[(&str, &str)], name: &[u8], file: &[u8], said: &str| {
        let reply = send(&browser, &at(tail), body(fields, name, file)).expect(303);
        assert_eq!(reply.header("location"), Some(format!("{}?said={said}", at("")).as_str()));
    };
    done("/poster", &[], b"poster.jpg", POSTER, "poster");
    done("/captions", &[("language", " EN "), ("label", "English")], b"en.vtt", CAPTIONS, "captions");
    let now = read(&server, &video);
    assert_eq!(now["captions"], json!([{ "language": "en", "label": "English" }]));
    assert!(now["poster"].is_object());
    assert_eq!(browser.done(&at("/captions/en/delete"), &[]), format!("{}?said=captions_deleted", at("")));
    assert_eq!(browser.done(&at("/poster/delete"), &[]), format!("{}?said=poster_deleted", at("")));
    let now = read(&server, &video);
    assert_eq!((&now["captions"], &now["poster"]), (&json!([]), &Value::Null));
    // A film for a video that waits for one.
    let (waiting, _) = server.pending_video("public");
    send(&browser, &format!("/dashboard/videos/{waiting}/source"), body(&[], b"a.mov", FIXTURE)).expect(303);
    server.wait_until_ready(&waiting);
    // Without a choice of visibility the organization's default holds.
    send(&browser, "/dashboard/videos", body(&[], b"b.mp4", FIXTURE)).expect(303);
    server.verify();
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_refused_with_a_sentence() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (video, _) = server.video("public");
    let before = (server.told(), stored(&server));
    let at = |tail: &str| format!("/dashboard/videos/{video}{tail}");
    let refusals = [
        ("/poster", body(&[], b"poster.jpg", b"GIF89a")),
        ("/poster", body(&[], b"poster.jpg", &vec![0xff; 9 << 20])),
        ("/poster", body(&[], b"", b"")),
        ("/captions", body(&[("language", "en")], b"en.vtt", b"no captions")),
        ("/captions", body(&[("language", "../en")], b"en.vtt", CAPTIONS)),
        ("/captions", body(&[("language", "")], b"en.vtt", CAPTIONS)),
        ("/captions", body(&[("language", "en"), ("label", &"x".repeat(201))], b"en.vtt", CAPTIONS)),
        ("/captions", body(&[("language", "en")], b"", b"")),
        ("/renditions", body(&[("label", "../x")], b"x.mp4", FIXTURE)),
        ("/renditions", body(&[("label", "720p")], b"x.mp4", b"no film")),
        ("/renditions", body(&[("label", "720p")], b"", b"")),
    ];
    for (tail, sent) in refusals {
        let reply = send(&browser, &at(tail), sent);
        assert!([400, 413, 415, 422].contains(&reply.status), "{tail}: {} {}", reply.status, reply.text());
        pages::check(&reply);
        assert!(reply.text().contains("role=\"alert\""), "{tail}: {}", reply.text());
    }
    let nothing = send(&browser, "/dashboard/videos", body(&[("visibility", "public")], b"", b"")).expect(422);
    assert!(nothing.text().contains("choose one first"), "{}", nothing.text());
    let empty = send(&browser, "/dashboard/videos", body(&[], b"empty.mp4", b""));
    assert!([400, 422].contains(&empty.status), "{}", empty.text());
    send(&browser, "/dashboard/videos", body(&[("visibility", "secret")], b"x.mp4", FIXTURE)).expect(422);
    wait_for("what was begun to be gone", Duration::from_secs(10), || stored(&server) == before.1);
    assert_eq!(server.told(), before.0);
}

#[test]
fn no_file_name_becomes_a_path() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let is_outside = |path: &PathBuf| !path.starts_with(server.state());
    let outside = || files_below(server.scratch()).into_iter().filter(is_outside).collect::<Vec<_>>();
    let before = outside();
    let long = "x".repeat(5000);
    let names: Vec<(&[u8], String)> = vec![
        (b"../../../../etc/cron.d/evil.mp4", "evil".into()),
        (b"/etc/passwd", "passwd".into()),
        (b"C:\\\\films\\\\a.b.mov", "a.b".into()),
        (b"..", ".".into()),
        (b"a\\\"; name=\\\"visibility.mp4", "a\"; name=\"visibility".into()),
        (b"<script>alert(1).mp4", "<script>alert(1)".into()),
        (long.as_bytes(), "x".repeat(200)),
        ("fi\u{202e}lm.mp4".as_bytes(), "fi\u{202e}lm".into()),
    ];
    for (name, title) in &names {
        send(&browser, "/dashboard/videos", body(&[("visibility", "public")], name, FIXTURE)).expect(303);
        assert_eq!(server.all("videos")[0]["title"], title.as_str(), "{}", String::from_utf8_lossy(name));
    }
    // What is no header's text is no form.
    for name in [&b"nul\0.mp4"[..], b"line\r\nX-Evil: 1\r\n.mp4", b"\xff\xfe.mp4"] {
        let reply = send(&browser, "/dashboard/videos", body(&[], name, FIXTURE));
        assert!([303, 400, 422].contains(&reply.status), "{}", reply.text());
    }
    for made in server.all("videos") {
        let title = super::text(&made["title"]);
        assert!(!title.chars().any(char::is_control) && !title.contains("X-Evil"), "{title:?}");
    }
    assert_eq!(outside(), before);
    for path in stored(&server) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            name.len() >= 36 && name.bytes().take(36).all(|byte| byte.is_ascii_hexdigit() || byte == b'-'),
            "{name}"
        );
    }
}

#[test]
fn a_form_that_breaks_off_or_is_none_leaves_nothing() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (video, _) = server.video("public");
    let before = (server.told(), stored(&server));
    let whole = body(&[("visibility", "public")], b"film.mp4", FIXTURE);
    let typed = |boundary: &str| format!("multipart/form-data; boundary={boundary}");
    let many: Vec<(String, String)> = (0..1000).map(|number| (format!("field{number}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let big = "x".repeat(10 << 20);
    let unnamed: Vec<u8> = {
        let one = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n");
        one.repeat(1000).into_bytes()
    };
    let no_disposition = format!("--{BOUNDARY}\r\nContent-Type: video/mp4\r\n\r\nx\r\n--{BOUNDARY}--\r\n").into_bytes();
    let long_head =
        format!("--{BOUNDARY}\r\nX-Long: {}\r\n\r\nx\r\n--{BOUNDARY}--\r\n", "x".repeat(1 << 20)).into_bytes();
    let nested = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n\
         --in\r\nContent-Disposition: file; filename=\"film.mp4\"\r\n\r\nx\r\n--in--\r\n--{BOUNDARY}--\r\n"
    );
    let at = |part: usize| whole[..whole.len() - part].to_vec();
    let right = typed(BOUNDARY);
    let cases: Vec<(&str, String, Vec<u8>)> = vec![
        ("cut off in the film", right.clone(), at(2000)),
        ("cut off in its first bytes", right.clone(), whole[..400].to_vec()),
        ("cut off in a head", right.clone(), whole[..60].to_vec()),
        ("without its last boundary", right.clone(), at(BOUNDARY.len() + 8)),
        ("another boundary", typed("other"), whole.clone()),
        ("no boundary", "multipart/form-data".to_owned(), whole.clone()),
        ("a boundary of nothing", typed("\"\""), whole.clone()),
        ("a long boundary", typed(&"b".repeat(5000)), whole.clone()),
        ("no form at all", "application/octet-stream".to_owned(), FIXTURE.to_vec()),
        ("a form without files", "application/x-www-form-urlencoded".to_owned(), b"file=x".to_vec()),
        ("nothing", right.clone(), Vec::new()),
        ("a thousand fields", right.clone(), body(&many, b"film.mp4", FIXTURE)),
        ("a field of ten megabytes", right.clone(), body(&[("visibility", &big)], b"film.mp4", FIXTURE)),
        ("a thousand files without a name", right.clone(), unnamed),
        ("a part without a name", right.clone(), no_disposition),
        ("a head of a megabyte", right.clone(), long_head),
        ("a form inside a form", right.clone(), nested.into_bytes()),
    ];
    for (what, content_type, sent) in &cases {
        for path in ["/dashboard/videos".to_owned(), format!("/dashboard/videos/{video}/poster")] {
            let reply = send_as(&browser, &path, content_type, sent.clone());
            assert!((400..500).contains(&reply.status), "{what} to {path}: {} {}", reply.status, reply.text());
            pages::check(&reply);
        }
    }
    wait_for("what was begun to be gone", Duration::from_secs(10), || stored(&server) == before.1);
    assert_eq!(server.told(), before.0);
    send(&browser, "/dashboard/videos", whole).expect(303);
}

#[test]
fn whoever_is_not_signed_in_uploads_nothing() {
    let server = Server::start();
    let before = stored(&server);
    let nobody = Browser::with(&server, "__Host-screener=x");
    let reply = send(&nobody, "/dashboard/videos", body(&[], b"film.mp4", FIXTURE)).expect(303);
    assert_eq!(reply.header("location"), Some("/dashboard/sign-in?said=signed_out"));
    assert_eq!(stored(&server), before);
    assert!(server.all("videos").is_empty());
}
