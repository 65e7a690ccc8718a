//! What the embed page and its files hold to, whatever an address or an operator says (group G). What only a browser can
//! tell is asked in `tests/browser`.

use crate::support::{Exchange, FIXTURE, Options, Process, Server, Wire, check_page, check_refused_page, path_of};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Texts that would be markup, a script or another address, were they taken for it.
const HOSTILE: [&str; 12] = [
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//evil.example/x",
    "https://evil.example/x",
    "\"><script>alert(1)</script>",
    "'-alert(1)-'",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "%22%3E%3Csvg%20onload=alert(1)%3E",
    "%00",
    "%0d%0aSet-Cookie:%20a=b",
    "{{7*7}}",
    "%E2%80%A8",
];

/// What would be seen of any of them.
const TRACES: [&str; 7] = ["alert(1)", "evil.example", "7*7", "onload", "javascript:", "Set-Cookie", "\u{2028}"];

/// Every parameter of the address that the player knows, and such as others have.
const PARAMETERS: &str = "autoplay muted loop t end controls captions lang color speed rate quality resume keyboard pip \
    title background preload poster origin callback src url next return redirect image logo css js token data-code";

#[test]
fn nothing_that_an_address_asks_for_stands_on_the_page() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let mut wire = Wire::connect(&server);
    // A raw quote, bracket or space is no part of a target.
    let sendable = |value: &&str| !value.contains(['"', '<', '>', '\'', ' ', '{']);
    for name in PARAMETERS.split_whitespace() {
        for value in HOSTILE.into_iter().filter(sendable) {
            let answer = wire.exchange("GET", &format!("/embed/{embed}?{name}={value}"), &[]);
            let page = String::from_utf8(answer.body).unwrap();
            assert_eq!((answer.head.status, page.contains(value)), (200, false), "{name}={value}: {page}");
            let told = TRACES.into_iter().find(|trace| page.contains(trace));
            assert_eq!(told, None, "{name}={value}: {page}");
        }
    }
}

#[test]
fn an_id_or_a_token_that_would_be_markup_is_refused_and_not_reflected() {
    let server = Server::start();
    let (_, embed) = server.video("private");
    for value in HOSTILE {
        for (target, statuses) in [
            (format!("/embed/{value}"), &[400, 404][..]),
            (format!("/embed/{embed}?token={value}"), &[400, 401]),
            (format!("/api/v1/embeds/{value}/playback"), &[400, 401, 404]),
            (format!("/dashboard/videos/{value}"), &[303, 400, 404]),
            (format!("/admin/v1/videos/{value}"), &[400, 401, 404]),
            (format!("/{value}"), &[400, 404]),
        ] {
            let reply = server.raw(&format!("GET {target} HTTP/1.1"), "Connection: close\r\n");
            assert!(statuses.contains(&reply.status), "{target}: {}", reply.text);
            let body = reply.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let told = TRACES.into_iter().find(|trace| body.contains(trace));
            assert_eq!(told, None, "{target} is reflected: {body}");
            assert!(!reply.text.to_ascii_lowercase().contains("set-cookie"), "{target}: {}", reply.text);
        }
    }
    let unknown = server.get("/embed/00000000-0000-4000-8000-000000000000");
    check_refused_page(&unknown, 404, "not_found");
    // Whose page it would be is not known: anybody may frame what says so.
    assert!(unknown.header("content-security-policy").unwrap().ends_with("frame-ancestors *"));
}

#[test]
fn errors_are_json_that_says_nothing_of_the_request() {
    let server = Server::start();
    let mut wire = Wire::connect(&server);
    let bearer = format!("Bearer {}", server.private_key);
    let authorized = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let long = format!("/{}", "a".repeat(13 << 10));
    let body = "x".repeat((64 << 10) + 1);
    for (method, target, headers, body, status) in [
        ("GET", "/%3Cb%3Ehostile%3C/b%3E", &[][..], "", 404),
        ("GET", "/hostile/../x", &[], "", 404),
        ("PUT", "/healthz?hostile=%3Cb%3E", &[], "", 405),
        ("POST", "/admin/v1/videos", &authorized, "{\"<b>hostile\":1}", 422),
        ("POST", "/admin/v1/videos", &authorized, "<b>hostile</b>", 400),
        ("POST", "/admin/v1/videos", &authorized, body.as_str(), 413),
        ("GET", long.as_str(), &[], "", 414),
    ] {
        let answer = wire.try_exchange_with(method, target, headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status(), status, "{method} {target:.60}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{target:.60}");
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        // The name of a field is told to whoever sent it, as JSON.
        let sentence = told["error"].as_str().unwrap();
        assert!(status == 422 || !(sentence.contains('<') || sentence.contains("hostile")), "{told}");
        if answer.header("connection") == Some("close") {
            wire = Wire::connect(&server);
        }
    }
}

const CAPTIONS: &[u8] =
    b"WEBVTT\n\nNOTE <script>alert(1)</script>\n\n00:00.000 --> 00:01.000\n<script>alert(1)</script>\n";

#[test]
fn every_asset_is_sent_as_what_it_is() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let put = |what: &str, kind: &str, bytes: &'static [u8]| {
        let put =
            server.request(Method::PUT, &format!("/admin/v1/videos/{video}/{what}")).bearer_auth(&server.private_key);
        assert_eq!(put.header("content-type", kind).body(bytes).send().unwrap().status(), 200);
    };
    // Markup in a caption or a comment is text, and is given out as that.
    put("captions/en?label=%22%2CURI%3D%22https%3A%2F%2Fevil.example", "text/vtt", CAPTIONS);
    put("poster", "image/jpeg", include_bytes!("../../fixtures/poster.jpg"));
    // What claims to be a film and is a page is refused.
    let (other, _) = server.pending_video("public");
    let page = server.upload(&other, &b"<!doctype html><script>alert(1)</script>"[..]);
    page.expect_code(422, "source_unplayable");
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let master = path_of(answer["playback"]["uri"].as_str().unwrap()).to_owned();
    let granted = master.rsplit_once('/').unwrap().0;
    let file = path_of(answer["variants"][0]["uri"].as_str().unwrap()).rsplit('/').next().unwrap().to_owned();
    let id = file.trim_end_matches(".mp4");
    let mut wire = Wire::connect(&server);
    let packaged = wire.exchange("GET", &master, &[]);
    let playlist = String::from_utf8(packaged.body).unwrap();
    let rendition = playlist.lines().find_map(|line| line.strip_suffix("/index.m3u8")).unwrap().to_owned();
    for (name, kind) in [
        ("master.m3u8".to_owned(), "application/vnd.apple.mpegurl"),
        (format!("{rendition}/index.m3u8"), "application/vnd.apple.mpegurl"),
        (format!("{rendition}/iframes.m3u8"), "application/vnd.apple.mpegurl"),
        (format!("{rendition}/init.mp4"), "video/mp4"),
        (format!("{rendition}/1.m4s"), "video/mp4"),
        (format!("{id}.mp4"), "video/mp4"),
        ("manifest.mpd".to_owned(), "application/dash+xml"),
        ("poster.jpg".to_owned(), "image/jpeg"),
        ("captions/en.vtt".to_owned(), "text/vtt; charset=utf-8"),
        ("captions/en.m3u8".to_owned(), "application/vnd.apple.mpegurl"),
    ] {
        let sent: Exchange = wire.exchange("GET", &format!("{granted}/{name}"), &[]);
        assert_eq!((sent.status(), sent.header("content-type")), (200, Some(kind)), "{name}");
        assert_eq!(sent.header("x-content-type-options"), Some("nosniff"), "{name}");
        assert_eq!(
            sent.header("content-security-policy"),
            Some("sandbox allow-scripts allow-same-origin; script-src 'none'"),
            "{name}"
        );
    }
    // A label can't end the attribute that it stands in (RFC 8216 §4.2).
    let media = playlist.lines().find(|line| line.starts_with("#EXT-X-MEDIA:TYPE=SUBTITLES")).unwrap();
    assert!(!media.contains("\",URI=\"https://evil"), "{media}");
}

#[test]
fn a_title_is_text_in_the_page_its_attributes_and_its_json() {
    let server = Server::start();
    for title in [
        "</title><script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "{{7*7}}</script><!--",
        "a\u{2028}b\u{2029}c",
        "\u{202e}gnitaerc",
        &"\u{1f3ac}".repeat(200),
    ] {
        let body = json!({ "title": title, "visibility": "public" });
        let made = server.admin(Method::POST, "/videos", &body).expect(201).json();
        server.upload(made["id"].as_str().unwrap(), FIXTURE).expect(200);
        let page = server.embed_page(made["embedId"].as_str().unwrap(), None).expect(200);
        check_page(&page);
        let text = page.text();
        assert!(!text.contains("<script>alert") && !text.contains("<img"), "{text}");
        let json = text.split("type=\"application/json\"").nth(1).unwrap();
        let json = json.split_once('>').unwrap().1.split_once("</script>").unwrap().0;
        assert!(!json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{json}");
        let told: Value = serde_json::from_str(json).unwrap();
        assert_eq!(told["title"], title);
    }
    server.admin(Method::POST, "/videos", &json!({ "title": "x".repeat(64 << 10) })).expect(413);
    server.admin(Method::POST, "/videos", &json!({ "title": "x".repeat(201) })).expect(422);
}

#[test]
fn the_pages_scripts_are_our_own_and_make_no_code_of_texts() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let page = server.embed_page(&embed, None).expect(200);
    assert_eq!(page.header("permissions-policy"), Some("camera=(), microphone=(), geolocation=(), payment=(), usb=()"));
    let mut open: Vec<String> = Vec::new();
    for text in [page.text(), server.get("/dashboard/sign-in").text(), server.embed_page("x", None).text()] {
        open.extend(text.split('"').filter(|text| text.starts_with("/assets/")).map(str::to_owned));
    }
    let base = open[0].rsplit_once('/').unwrap().0.to_owned();
    let mut seen = BTreeSet::new();
    while let Some(path) = open.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let reply = server.get(&path).expect(200);
        let text = reply.text();
        for made in ["eval(", "new Function(", "serviceWorker", "document.write", "sourceMappingURL", "importScripts"] {
            assert!(!text.contains(made), "{made} in {path}");
        }
        // What a file imports lies beside it.
        let imported = text.split(['"', '\'']).filter(|part| part.starts_with("./") && part.ends_with(".js"));
        open.extend(imported.map(|part| format!("{base}/{}", &part[2..])));
        if let Some(name) = path.strip_suffix(".js") {
            server.get(&format!("{name}.js.map")).expect(404);
        }
    }
    assert!(seen.iter().filter(|path| path.ends_with(".js")).count() > 5, "{seen:?}");
}

/// Every browser names brotli, so that this is what a page costs, with or without an embed behind it.
#[test]
fn a_page_takes_little_memory_also_where_it_is_compressed() {
    let server = Server::start();
    let process = Process(server.pid());
    let (_, embed) = server.video("public");
    let mut wire = Wire::connect(&server);
    let mut ask = |path: &str| wire.exchange("GET", path, &[("Accept-Encoding", "br")]);
    ask("/healthz");
    process.forget_peak();
    let before = process.peak_memory_kib();
    for path in [format!("/embed/{embed}"), "/embed/none".to_owned(), "/dashboard/sign-in".to_owned()] {
        ask(&path);
        let more = process.peak_memory_kib().saturating_sub(before);
        assert!(more < 8 << 10, "{path}: {more} KiB more");
    }
}

#[test]
fn of_an_operators_own_files_for_the_pages_only_files_are_served() {
    let own = tempfile::tempdir().unwrap();
    std::fs::write(own.path().join("own.css"), "a{}").unwrap();
    std::fs::write(own.path().join(".hidden"), "secret").unwrap();
    std::fs::create_dir(own.path().join("below")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(own.path().join("pipe.js")).status().unwrap();
    assert!(fifo.success());
    let config = format!("[ui]\nstatic_dir = {:?}\n", own.path());
    let server = Server::with(Options { config, ..Options::default() });
    let page = server.get("/dashboard/sign-in").text();
    let version = page.split("/assets/").nth(1).unwrap().split('/').next().unwrap();
    let mut wire = Wire::connect(&server);
    let mut ask = |method: &str, name: &str| wire.exchange(method, &format!("/assets/{version}/{name}"), &[]);
    assert_eq!(ask("GET", "own.css").body, b"a{}");
    // The pipe twice: a worker that waits for a writer would answer no more.
    for name in ["below", "below/", ".hidden", "pipe.js", "pipe.js", "pipe.js", "none.js"] {
        let answer = ask("GET", name);
        assert_eq!((answer.status(), answer.code().as_str()), (404, "not_found"), "{name}");
    }
    for method in ["POST", "OPTIONS", "FOO"] {
        let answer = ask(method, "own.css");
        assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
        assert_eq!(answer.code(), "method_not_allowed");
    }
}
