//! Uploads by strangers, in odd shapes, at the same time and broken off (attacks I01–I42, as far as no other file has them).

use super::tries;
use crate::dashboard;
use crate::support::{
    FIXTURE, Server, Wire, answers, film, packaged, padded, path_of, progressive_uri, terminate, wait_for,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Names of the files in a directory of the server's state.
fn files(server: &Server, directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(server.state().join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn offset(server: &Server, path: &str) -> Option<usize> {
    let request = server.request(Method::HEAD, path).bearer_auth(&server.private_key).header("tus-resumable", "1.0.0");
    let reply = request.send().unwrap();
    reply.headers().get("upload-offset").map(|offset| offset.to_str().unwrap().parse().unwrap())
}

/// Begins an upload of this length for a new public video; where its pieces go.
fn begin(server: &Server, length: usize) -> String {
    let request = server
        .request(Method::POST, "/admin/v1/uploads")
        .bearer_auth(&server.private_key)
        .header("tus-resumable", "1.0.0")
        .header("upload-length", length)
        .header("upload-metadata", "name eA==,visibility cHVibGlj");
    let reply = request.send().unwrap();
    assert_eq!(reply.status(), 201);
    reply.headers()["location"].to_str().unwrap().to_owned()
}

fn patch_head(server: &Server, path: &str, offset: usize, length: usize) -> String {
    format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n",
        server.private_key
    )
}

fn source_head(server: &Server, video: &str, headers: &str) -> String {
    let key = &server.private_key;
    format!("PUT /admin/v1/videos/{video}/source HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n{headers}\r\n")
}

/// A video's progressive file, as a viewer gets it.
fn played(server: &Server, embed: &str) -> Vec<u8> {
    let answer = server.playback(embed, None).expect(200).json();
    server.get(progressive_uri(&answer)).expect(200).body
}

#[test]
fn whoever_may_not_upload_is_told_before_the_body() {
    let server = Server::start();
    let (video, _) = server.video("public");
    let upload = begin(&server, 1_000_000);
    let (other, _) = server.other_organization();
    let tus = "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n";
    let form = "Sec-Fetch-Site: same-origin\r\nContent-Type: multipart/form-data; boundary=b\r\n";
    let before = server.told();
    for (line, headers, status_of_other) in [
        (format!("PUT /admin/v1/videos/{video}/source"), String::new(), 404),
        (format!("PUT /admin/v1/videos/{video}/renditions/low"), String::new(), 404),
        (format!("PUT /admin/v1/videos/{video}/poster"), "Content-Type: image/jpeg\r\n".into(), 404),
        (format!("PUT /admin/v1/videos/{video}/captions/en"), "Content-Type: text/vtt\r\n".into(), 404),
        (format!("PATCH {upload}"), format!("{tus}Upload-Offset: 0\r\n"), 404),
        ("POST /dashboard/videos".to_owned(), form.to_owned(), 303),
        (format!("POST /dashboard/videos/{video}/source"), form.to_owned(), 303),
    ] {
        let expected = |status: u16| if line.contains("/dashboard/") { 303 } else { status };
        for (key, status) in [
            (None, expected(401)),
            (Some("mvi_priv_wrong"), expected(401)),
            (Some(server.secret.as_str()), expected(401)),
            (Some(&server.publishable_key), expected(403)),
            (Some(&other), status_of_other),
        ] {
            let authorization = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
            for more in ["", "Expect: 100-continue\r\n"] {
                let mut wire = Wire::connect(&server);
                let request = format!(
                    "{line} HTTP/1.1\r\nHost: a\r\n{authorization}{headers}Content-Length: 100000000\r\n{more}\r\n"
                );
                wire.send_raw(request.as_bytes()).unwrap();
                let head = wire.head();
                assert_eq!(head.status, status, "{line} {more}");
                // What could follow is not read: the connection ends.
                assert_eq!(head.header("connection"), Some("close"), "{line}");
            }
        }
    }
    assert_eq!(server.told(), before);
    assert!(files(&server, "incoming").is_empty());
    server.upload(&video, FIXTURE).expect(200);
}

#[test]
fn a_source_ends_where_its_length_or_its_last_chunk_says() {
    let server = Server::start();
    let chunks = |size: usize, extension: &str| {
        let mut body = Vec::new();
        for chunk in FIXTURE.chunks(size) {
            body.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body
    };
    let length = format!("Content-Length: {}\r\n", FIXTURE.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (what, headers, body, statuses) in [
        (
            "more than the length",
            length.as_str(),
            [FIXTURE, b"more, which is no request\r\n\r\n"].concat(),
            &[200, 400][..],
        ),
        ("chunks of one byte", chunked, [&chunks(1, "")[..], b"0\r\n\r\n"].concat(), &[200]),
        ("chunks with extensions", chunked, [&chunks(100, ";a=b;c")[..], b"0\r\n\r\n"].concat(), &[200]),
        ("trailers", chunked, [&chunks(4096, "")[..], b"0\r\nContent-Length: 5\r\nX-Key: y\r\n\r\n"].concat(), &[200]),
        ("an extension of 100 KB", chunked, format!("1;{}\r\n", "x".repeat(100_000)).into_bytes(), &[400]),
        ("a chunk cut off", chunked, chunks(4096, "")[..2000].to_vec(), &[400]),
        ("a length cut off", &length, FIXTURE[..2000].to_vec(), &[400]),
    ] {
        let (video, embed) = server.pending_video("public");
        let mut wire = Wire::connect(&server);
        let close = if statuses.len() == 1 { "Connection: close\r\n" } else { "" };
        wire.send_raw(source_head(&server, &video, &format!("{headers}{close}")).as_bytes()).unwrap();
        let _ = wire.send_raw(&body);
        wire.finish();
        let mut came = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = wire.read(&mut buffer) {
            came.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(answers(&came).iter().map(crate::support::Exchange::status).collect::<Vec<_>>(), statuses, "{what}");
        if statuses[0] == 200 {
            assert!(played(&server, &embed) == packaged(FIXTURE), "{what}: another film");
        }
        assert!(files(&server, "incoming").is_empty(), "{what}");
    }
}

#[test]
fn what_a_file_is_is_told_by_its_bytes_alone() {
    let server = Server::start();
    let put = |content_type: &str, body: &[u8]| {
        let (video, embed) = server.pending_video("public");
        let request = server.request(Method::PUT, &format!("/admin/v1/videos/{video}/source"));
        let request = request.bearer_auth(&server.private_key).header("content-type", content_type);
        (request.body(body.to_vec()).send().unwrap().status().as_u16(), embed)
    };
    for lie in ["image/png", "text/html", "application/x-php", "video/mp4; codecs=\"x\"", "nonsense"] {
        let (status, embed) = put(lie, FIXTURE);
        assert_eq!(status, 200, "{lie}");
        let answer = server.playback(&embed, None).expect(200).json();
        assert_eq!(server.get(progressive_uri(&answer)).header("content-type"), Some("video/mp4"));
    }
    for (what, bytes) in [
        ("HTML", &b"<!doctype html><script>alert(1)</script>"[..]),
        ("ZIP", b"PK\x03\x04\x14\0\0\0\x08\0"),
        ("ELF", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"),
        ("SVG", b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>"),
        ("PNG", include_bytes!("../../fixtures/poster.png")),
        ("PDF", b"%PDF-1.7\n"),
        ("a playlist of files", b"ffconcat version 1.0\nfile /etc/passwd\n"),
    ] {
        assert_eq!(put("video/mp4", &bytes.repeat(40)).0, 422, "{what}");
    }
}

#[test]
fn what_a_film_is_besides_leaves_with_no_answer() {
    let server = Server::start();
    let marks = ["<script>alert('inside')</script>", "\u{1b}]0;owned\u{7}", "evil\r\nX-Evil: 1"];
    let tags: Vec<String> =
        ["title", "comment", "artist"].iter().zip(marks).map(|(tag, mark)| format!("{tag}={mark}")).collect();
    let arguments: Vec<&str> = tags.iter().flat_map(|tag| ["-metadata", tag.as_str()]).collect();
    let tagged = film(server.scratch(), "160x120", 2, &arguments);
    assert!(marks.iter().all(|mark| tagged.windows(mark.len()).any(|part| part == mark.as_bytes())));
    let free = |bytes: &[u8]| [&u32::try_from(bytes.len() + 8).unwrap().to_be_bytes()[..], b"free", bytes].concat();
    let html = format!("<!doctype html>{}", marks[0]);
    // An HTML page, a PDF and a ZIP archive are told by what stands near their beginning, or at their end.
    let besides = [
        ("its own tags", tagged.clone()),
        ("a page", [free(html.as_bytes()), tagged.clone()].concat()),
        ("a PDF", [&tagged[..], &free(format!("%PDF-1.7 {}", marks[0]).as_bytes())].concat()),
        (
            "an archive",
            [&tagged[..], &free(&[b"PK\x03\x04", marks[0].as_bytes(), b"PK\x05\x06", &[0; 18]].concat())].concat(),
        ),
    ];
    for (what, source) in besides {
        let (video, embed) = server.pending_video("public");
        let reply = server.upload(&video, source);
        if reply.status == 422 {
            continue;
        }
        reply.expect(200);
        let answer = server.playback(&embed, None).expect(200);
        let main = answer.json()["playback"]["uri"].as_str().unwrap().to_owned();
        let progressive = progressive_uri(&answer.json()).to_owned();
        let (base, list) = (main.rsplit_once('/').unwrap().0, server.get(&main).expect(200).text());
        let media = list.lines().find(|line| line.ends_with("index.m3u8")).unwrap();
        let parts = [media.to_owned(), media.replace("index.m3u8", "init.mp4"), media.replace("index.m3u8", "1.m4s")];
        let urls = parts.iter().map(|part| format!("{base}/{part}")).chain([main.clone(), progressive]);
        let record = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null);
        for reply in
            urls.map(|url| server.get(&url).expect(200)).chain([record, server.get(&format!("/embed/{embed}"))])
        {
            let kind = reply.header("content-type").unwrap().to_owned();
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{what}");
            let is_of_a_kind =
                ["video/", "application/", "text/html; charset=utf-8"].iter().any(|known| kind.starts_with(known));
            assert!(is_of_a_kind, "{what}: {kind}");
            for mark in marks {
                assert!(
                    !reply.body.windows(mark.len()).any(|part| part == mark.as_bytes()),
                    "{what}: {kind} has {mark:?}"
                );
            }
        }
    }
    assert!(!server.log_text().contains("alert(") && !server.log_text().contains("owned"));
}

#[test]
fn of_two_pieces_for_one_place_one_is_taken() {
    let server = Server::start();
    let step = 8 << 10;
    let source = padded(tries(128, 1_000) * step);
    let path = begin(&server, source.len());
    let mut at = 0;
    // Two connections that stay, so that the pieces race and not the handshakes.
    let mut wires = [Wire::connect(&server), Wire::connect(&server)];
    while at < source.len() {
        let end = (at + step).min(source.len());
        let request = [patch_head(&server, &path, at, end - at).as_bytes(), &source[at..end]].concat();
        let outcomes: Vec<(u16, bool)> = std::thread::scope(|scope| {
            let request = &request;
            let send = move |wire: &mut Wire| {
                wire.send_raw(request).unwrap();
                let head = wire.head();
                wire.read_exact(&mut vec![0; usize::try_from(head.length().unwrap_or(0)).unwrap()]).unwrap();
                (head.status, head.header("connection") == Some("close"))
            };
            let sent: Vec<_> = wires.iter_mut().map(|wire| scope.spawn(move || send(wire))).collect();
            sent.into_iter().map(|sent| sent.join().unwrap()).collect()
        });
        for (wire, _) in wires.iter_mut().zip(&outcomes).filter(|(_, (_, is_over))| *is_over) {
            *wire = Wire::connect(&server);
        }
        let mut statuses: Vec<u16> = outcomes.iter().map(|(status, _)| *status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses[0], 204, "{statuses:?}");
        assert!([409, 413, 423].contains(&statuses[1]), "{statuses:?} at {at}");
        at = end;
    }
    let video = server.all("uploads")[0]["videoId"].as_str().unwrap().to_owned();
    server.wait_until_ready(&video);
    let kept = std::fs::read(server.state().join("media").join(path.rsplit_once('/').unwrap().1)).unwrap();
    assert!(kept == source, "{} bytes of something else", kept.len());
    server.verify();
}

#[test]
fn the_same_film_of_many_is_kept_for_each_of_them() {
    let server = Server::start();
    let each = tries(20, 25);
    let (other, other_publishable) = server.other_organization();
    let upload = |key: &str| {
        let made = server.admin_as(key, Method::POST, "/videos", &json!({ "title": "Same", "visibility": "public" }));
        let made = made.expect(201).json();
        let (video, embed) = (made["id"].as_str().unwrap().to_owned(), made["embedId"].as_str().unwrap().to_owned());
        let request = server.request(Method::PUT, &format!("/admin/v1/videos/{video}/source")).bearer_auth(key);
        assert_eq!(request.body(FIXTURE).send().unwrap().status(), 200);
        (video, embed)
    };
    let (ours, theirs): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let (upload, own, other) = (&upload, &server.private_key, &other);
        let all: Vec<_> = (0..each).map(|_| (scope.spawn(|| upload(own)), scope.spawn(|| upload(other)))).collect();
        all.into_iter().map(|(ours, theirs)| (ours.join().unwrap(), theirs.join().unwrap())).unzip()
    });
    assert_eq!(files(&server, "media").len(), 2 * each * 3);
    for (video, _) in &ours {
        server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    }
    assert_eq!(files(&server, "media").len(), each * 3);
    let bearer = format!("Bearer {other_publishable}");
    for (_, embed) in &theirs {
        let answer = server.play(&format!("/api/v1/embeds/{embed}/playback"), &[("authorization", &bearer)]);
        let answer = answer.expect(200).json();
        assert!(server.get(progressive_uri(&answer)).expect(200).body == packaged(FIXTURE));
    }
    server.verify();
}

#[test]
fn a_hundred_uploads_that_break_off_leave_nothing() {
    let server = Server::start();
    let cookie = dashboard::signed_in(&server);
    let (video, embed) = server.video("public");
    let source = padded(MIB);
    let path = begin(&server, 200 * MIB);
    // A form whose file has begun.
    let part = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n\r\n";
    let mut sent = 0;
    for number in 0..tries(100, 1_000) {
        if number % 4 == 2 {
            wait_for("the others to be gone", Duration::from_secs(10), || files(&server, "incoming").is_empty());
        }
        let mut wire = Wire::connect(&server);
        match number % 4 {
            0 => wire.send_raw(source_head(&server, &video, "Content-Length: 8388608\r\n").as_bytes()).unwrap(),
            1 => wire.send_raw(source_head(&server, &video, "Transfer-Encoding: chunked\r\n").as_bytes()).unwrap(),
            2 => {
                let head = format!(
                    "POST /dashboard/videos HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n\
                     Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 8388608\r\n\r\n{part}"
                );
                wire.send_raw(head.as_bytes()).unwrap();
            }
            _ => wire.send_raw(patch_head(&server, &path, sent, 200 * MIB - sent).as_bytes()).unwrap(),
        }
        let _ = wire.send_raw(&source[..100_000]);
        if number % 4 == 2 {
            // Its sender is known, so that the file is taken until it breaks off.
            wait_for("the file to begin", Duration::from_secs(10), || !files(&server, "incoming").is_empty());
        }
        drop(wire);
        if number % 4 == 3 {
            // A line that has ended lets go of its upload.
            wait_for("the upload to be free", Duration::from_secs(10), || {
                offset(&server, &path).is_some_and(|at| {
                    sent = at;
                    true
                })
            });
        }
    }
    wait_for("what was begun to be gone", Duration::from_secs(10), || files(&server, "incoming").is_empty());
    assert_eq!((files(&server, "uploads").len(), files(&server, "media").len()), (1, 3));
    // The one that plays, and that of the upload in pieces.
    assert_eq!(server.all("videos").len(), 2);
    let request = server.request(Method::DELETE, &path).bearer_auth(&server.private_key);
    assert_eq!(request.header("tus-resumable", "1.0.0").send().unwrap().status(), 204);
    assert!(files(&server, "uploads").is_empty());
    assert!(played(&server, &embed) == packaged(FIXTURE));
    server.verify();
}

#[test]
fn an_upload_goes_on_after_a_stop_and_keeps_what_its_video_became() {
    let mut server = Server::start();
    let source = padded(6 * MIB);
    let path = begin(&server, source.len());
    let video = server.all("uploads")[0]["videoId"].as_str().unwrap().to_owned();
    let mut wire = Wire::connect(&server);
    wire.send_raw(patch_head(&server, &path, 0, source.len()).as_bytes()).unwrap();
    wire.send_raw(&source[..3 * MIB]).unwrap();
    let file = server.state().join("uploads").join(path.rsplit_once('/').unwrap().1);
    wait_for("some of it to arrive", Duration::from_secs(10), || {
        std::fs::metadata(&file).is_ok_and(|file| file.len() >= 2 * MIB as u64)
    });
    server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "visibility": "private" })).expect(200);
    // A second signal does not wait for the line.
    terminate(server.pid());
    wait_for("it to stop", Duration::from_secs(10), || server.log_text().contains("once more to stop at once"));
    assert!(server.stop());
    server.serve();
    let at = offset(&server, &path).unwrap();
    assert!((2 * MIB..=3 * MIB).contains(&at), "{at}");
    let mut wire = Wire::connect(&server);
    wire.send_raw(&[patch_head(&server, &path, at, source.len() - at).as_bytes(), &source[at..]].concat()).unwrap();
    assert_eq!(wire.head().status, 204);
    server.wait_until_ready(&video);
    let record = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
    assert_eq!(record["visibility"], "private");
    let embed = record["embedId"].as_str().unwrap();
    server.playback(embed, None).expect_code(401, "playback_token_missing");
    let answer = server.playback(embed, Some(&server.token(&video))).expect(200).json();
    assert!(server.get(path_of(progressive_uri(&answer))).expect(200).body == packaged(&source));
    server.verify();
}

#[test]
fn a_form_by_hand_is_one_like_any_other() {
    let server = Server::start();
    let cookie = dashboard::signed_in(&server);
    let part = |name: &str, more: &str, value: &[u8]| {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
        [head.as_bytes(), value, b"\r\n"].concat()
    };
    let body =
        [&part("visibility", "", b"public")[..], &part("file", "; filename=\"a.mp4\"", FIXTURE), b"--b--\r\n"].concat();
    let send = |more: &str, body: &[u8]| {
        let head = format!(
            "POST /dashboard/videos HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n{more}Content-Length: {}\r\n\
             Connection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n",
            body.len()
        );
        answers(&server.raw_bytes_back(&[head.as_bytes(), body].concat())).remove(0).status()
    };
    assert_eq!(send("Sec-Fetch-Site: same-origin\r\n", &body), 303);
    assert_eq!(server.all("videos").len(), 1);
    assert_eq!(send("Sec-Fetch-Site: cross-site\r\n", &body), 403);
    let many: Vec<u8> = (0..10_000).flat_map(|_| part("visibility", "", b"public")).collect();
    assert_eq!(send("Sec-Fetch-Site: same-origin\r\n", &[&many[..], &body].concat()), 422);
    let boundary =
        format!("Content-Type: multipart/form-data; boundary={}\r\nSec-Fetch-Site: same-origin\r\n", "b".repeat(MIB));
    assert_eq!(send(&boundary, &body), 431);
    assert_eq!(server.all("videos").len(), 1);
    assert!(files(&server, "incoming").is_empty());
}
