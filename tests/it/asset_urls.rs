//! Asset URLs: what was not signed just so gives nothing, on this route or any other.

use crate::support::{
    Claims, Exchange, FIXTURE, Server, Wire, assert_no_media, now, packaged, padded, path_of, progressive_uri,
    raw_exchange, sign, wait_for,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeSet;
use std::time::Duration;

/// A private video that someone watches: its path split at the slashes.
#[derive(Clone)]
pub struct Watched {
    pub video: String,
    pub grant: String,
    pub asset: String,
    pub answer: Value,
}

/// Someone watches a new video.
pub fn watch(server: &Server, visibility: &str) -> Watched {
    let (video, embed) = server.video(visibility);
    watch_video(server, &video, &embed)
}

/// Someone watches a video.
pub fn watch_video(server: &Server, video: &str, embed: &str) -> Watched {
    let answer = server.playback(embed, Some(&server.token(video))).expect(200).json();
    let path = path_of(progressive_uri(&answer)).to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let ["", "media", in_path, grant, asset] = parts[..] else { panic!("{path}") };
    assert_eq!(in_path, video);
    Watched { video: in_path.into(), grant: grant.into(), asset: asset.into(), answer }
}

impl Watched {
    /// The URL's path.
    pub fn path(&self) -> String {
        media_path(&self.video, &self.grant, &self.asset)
    }
}

fn media_path(video: &str, grant: &str, asset: &str) -> String {
    format!("/media/{video}/{grant}/{asset}")
}

/// A refusal tells nothing of the file: no bytes, no validators, no length.
#[track_caller]
fn assert_refused(answer: &Exchange, statuses: &[(u16, &str)], what: &str) {
    let got = (answer.status(), answer.code());
    assert!(statuses.iter().any(|(status, code)| (*status, *code) == (got.0, got.1.as_str())), "{what}: {got:?}");
    for name in ["etag", "last-modified", "content-range", "accept-ranges"] {
        assert_eq!(answer.header(name), None, "{what}: {name}");
    }
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert!(answer.body.len() < 300, "{what}");
}

const INVALID: (u16, &str) = (403, "asset_url_invalid");
const ABSENT: (u16, &str) = (404, "not_found");

#[test]
fn a_mac_made_with_any_secret_that_leaves_the_server_is_refused() {
    let server = Server::start();
    let watched = watch(&server, "private");
    let mut wire = Wire::connect(&server);
    let (fields, _) = watched.grant.rsplit_once('.').unwrap();
    let tls_key = std::fs::read_dir(server.state().join("tls")).unwrap().map(|entry| entry.unwrap().path());
    let mut keys: Vec<Vec<u8>> = tls_key.map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!keys.is_empty());
    keys.extend([
        vec![],
        vec![0; 32],
        (0..32).collect(),
        server.secret.clone().into_bytes(),
        server.private_key.clone().into_bytes(),
        server.publishable_key.clone().into_bytes(),
        watched.video.clone().into_bytes(),
    ]);
    for key in keys {
        let grant = format!("{fields}.{}", published_mac(&key, &watched.video, fields));
        let path = media_path(&watched.video, &grant, &watched.asset);
        assert_refused(&wire.exchange("GET", &path, &[]), &[INVALID], &path);
    }
    assert_eq!(wire.exchange("GET", &watched.path(), &[]).body, packaged(FIXTURE));
}

#[test]
fn the_grant_of_another_video_organization_or_purpose_is_refused() {
    let server = Server::start();
    let first = watch(&server, "private");
    let second = watch(&server, "private");
    let public = watch(&server, "public");
    let (other_private, other_publishable) = server.other_organization();
    let theirs = {
        let body = json!({ "title": "Theirs", "visibility": "public" });
        let made = server.admin_as(&other_private, Method::POST, "/videos", &body).expect(201).json();
        let (video, embed) = (made["id"].as_str().unwrap(), made["embedId"].as_str().unwrap());
        let path = format!("/admin/v1/videos/{video}/source");
        let upload = server.request(Method::PUT, &path).bearer_auth(&other_private).body(FIXTURE);
        assert_eq!(upload.send().unwrap().status(), 200);
        let path = format!("/api/v1/embeds/{embed}/playback");
        let answer: Value =
            server.request(Method::GET, &path).bearer_auth(&other_publishable).send().unwrap().json().unwrap();
        path_of(progressive_uri(&answer)).to_owned()
    };
    let their_parts: Vec<&str> = theirs.split('/').collect();
    let (their_video, their_grant, their_asset) = (their_parts[2], their_parts[3], their_parts[4]);
    let renew_token = first.answer["session"]["renewToken"].as_str().unwrap();
    let mut wire = Wire::connect(&server);
    for (path, expected) in [
        (media_path(&first.video, &second.grant, &first.asset), INVALID),
        (media_path(&second.video, &first.grant, &second.asset), INVALID),
        (media_path(&second.video, &first.grant, &first.asset), INVALID),
        (media_path(&first.video, &public.grant, &first.asset), INVALID),
        (media_path(&first.video, their_grant, &first.asset), INVALID),
        (media_path(their_video, &first.grant, their_asset), INVALID),
        (media_path(&first.video, renew_token, &first.asset), INVALID),
        (media_path(&first.video, &renew_token.replacen("r1", "p1", 1), &first.asset), INVALID),
        // A valid grant opens its own video's files alone.
        (media_path(&first.video, &first.grant, &second.asset), ABSENT),
        (media_path(&first.video, &first.grant, their_asset), ABSENT),
        (media_path(&first.video, &first.grant, &format!("{}.mp4", first.video)), ABSENT),
        (media_path(&first.video, &first.grant, "master.m3u"), ABSENT),
        (media_path(&first.video, &first.grant, "poster.jpg"), ABSENT),
        (media_path(&first.video, &first.grant, ""), ABSENT),
    ] {
        assert_refused(&wire.exchange("GET", &path, &[]), &[expected], &path);
    }
    for path in [first.path(), second.path(), public.path(), theirs.clone()] {
        assert_eq!(wire.exchange("GET", &path, &[]).body, packaged(FIXTURE));
    }
}

/// `GET target`, byte for byte, on a connection of its own.
fn raw_get(server: &Server, target: &[u8]) -> (u16, Vec<u8>) {
    let mut request = b"GET ".to_vec();
    request.extend_from_slice(target);
    request.extend_from_slice(b" HTTP/1.1\r\nHost: screener.test\r\nConnection: close\r\n\r\n");
    let answer = raw_exchange(&server.base_url, &server.ca(), &request);
    let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    (status, answer)
}

#[test]
fn a_request_in_another_form_is_answered_as_the_usual_one_or_not_at_all() {
    let server = Server::start();
    let watched = watch(&server, "private");
    let path = watched.path();
    // An absolute target names this server whatever its authority says (RFC 9112 §3.2.2); nothing is fetched elsewhere.
    let (status, answer) = raw_get(&server, format!("https://evil.example{path}").as_bytes());
    assert_eq!(status, 200);
    assert!(answer.ends_with(&packaged(FIXTURE)));
    let (status, _) = raw_get(&server, format!("https://evil.example{path}?").as_bytes());
    assert_eq!(status, 403);
    for request in [
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let answer = raw_exchange(&server.base_url, &server.ca(), request.as_bytes());
        let text = String::from_utf8_lossy(&answer);
        let status: u16 = text.split(' ').nth(1).map_or(400, |text| text.parse().unwrap());
        // `OPTIONS *` asks about the server alone (RFC 9110 §9.3.7).
        assert!([204, 400, 404, 405].contains(&status), "{request}: {text}");
        assert_no_media(&answer, request);
    }
}

#[test]
fn methods_other_than_get_head_and_options_are_refused_and_change_nothing() {
    let server = Server::start();
    let watched = watch(&server, "private");
    let path = watched.path();
    let mut wire = Wire::connect(&server);
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
        for path in [path.clone(), path.replace("/p1.", "/p2.")] {
            let answer = wire.exchange(method, &path, &[("Content-Length", "0")]);
            assert_eq!((answer.status(), answer.code().as_str()), (405, "method_not_allowed"), "{method}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{method}");
            assert_no_media(&answer.body, method);
        }
    }
    assert_eq!(wire.exchange("GET", &path, &[]).body, packaged(FIXTURE));
}

#[test]
fn head_tells_what_get_would_and_nothing_without_a_grant() {
    let server = Server::start();
    let watched = watch(&server, "private");
    let path = watched.path();
    let mut wire = Wire::connect(&server);
    let (get, head) = (wire.exchange("GET", &path, &[]), wire.exchange("HEAD", &path, &[]));
    assert_eq!(head.status(), 200);
    for name in
        ["content-length", "content-type", "etag", "last-modified", "accept-ranges", "cross-origin-resource-policy"]
    {
        assert!(get.header(name).is_some(), "{name}");
        assert_eq!(get.header(name), head.header(name), "{name}");
    }
    let forged = wire.exchange("HEAD", &path.replace("/p1.", "/p2."), &[]);
    assert_eq!(forged.status(), 403);
    assert!(forged.head.length().is_none_or(|length| length < 300));
    assert_eq!(forged.header("etag"), None);
    // The connection is still in step.
    assert_eq!(wire.exchange("GET", &path, &[]).body, packaged(FIXTURE));
}

#[test]
fn a_preflight_is_answered_without_a_mac_and_tells_nothing_of_the_file() {
    let server = Server::start();
    let watched = watch(&server, "private");
    let mut wire = Wire::connect(&server);
    let asked = [("Origin", "https://shop.example"), ("Access-Control-Request-Method", "GET")];
    let good = wire.exchange("OPTIONS", &watched.path(), &asked);
    let forged = wire.exchange("OPTIONS", &watched.path().replace("/p1.", "/p2."), &asked);
    assert_eq!(good.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(good.header("access-control-allow-headers").unwrap().contains("range"));
    assert_eq!(forged.header("access-control-allow-origin"), Some("https://shop.example"));
    for answer in [&good, &forged] {
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        for name in ["etag", "last-modified", "accept-ranges", "content-type"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
    let played = wire.exchange("GET", &watched.path(), &[("Origin", "https://shop.example")]);
    assert_eq!(played.header("access-control-allow-origin"), Some("https://shop.example"));
    let exposed = played.header("access-control-expose-headers").unwrap();
    assert!(["Content-Range", "Content-Length", "ETag"].iter().all(|name| exposed.contains(name)), "{exposed}");
}

#[test]
fn an_asset_url_is_good_until_its_second_and_not_in_it() {
    let server = Server::start();
    server.admin(Method::PATCH, "/organization", &json!({ "assetUrlTtl": 30 })).expect(200);
    let (video, embed) = server.pending_video("private");
    let source = padded(8 << 20);
    let film = packaged(&source);
    server.upload(&video, source).expect(200);
    let watched = watch_video(&server, &video, &embed);
    let expires: i64 = watched.grant.split('.').nth(6).unwrap().parse().unwrap();
    assert!(expires - now() <= 30);
    // Expiry is looked at when a request begins: this one is under way when it comes.
    let mut slow = Wire::narrow(&server, 16 << 10);
    slow.send("GET", &watched.path(), &[]);
    assert_eq!(slow.head().status, 200);
    let mut wire = Wire::connect(&server);
    wait_for("the URL to expire", Duration::from_secs(40), || {
        let before = now();
        let answer = wire.exchange("GET", &watched.path(), &[("Range", "bytes=0-0")]);
        let after = now();
        if answer.status() == 206 {
            assert!(before < expires, "served {} s late", before - expires);
            let cache = answer.header("cache-control").unwrap();
            let max_age: i64 = cache.split("max-age=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
            assert!(max_age <= expires - before, "{cache} with {} s left", expires - before);
            return false;
        }
        assert_refused(&answer, &[(403, "asset_url_expired")], "after expiry");
        assert!(after >= expires, "refused {} s early", expires - after);
        true
    });
    let mut rest = vec![0; film.len()];
    slow.read_exact(&mut rest).unwrap();
    assert!(rest == film, "other bytes");
}

#[test]
fn an_asset_url_outlives_the_token_it_came_of() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let mut claims = Claims::of(&video);
    claims["exp"] = (now() + 2).into();
    let token = sign(&server.kid, &server.secret, &claims);
    let answer = server.playback(&embed, Some(&token)).expect(200).json();
    wait_for("the token to expire", Duration::from_secs(10), || {
        server.playback(&embed, Some(&token)).code() == "playback_token_expired"
    });
    // Bearer URLs: neither the address nor the program that asks is part of them.
    let path = path_of(progressive_uri(&answer));
    for address in [[127, 0, 0, 1], [127, 9, 8, 7]] {
        let played =
            Wire::from_address(&server, address.into()).exchange("GET", path, &[("User-Agent", "another player")]);
        assert_eq!(played.body, packaged(FIXTURE));
    }
}

#[test]
fn a_url_of_a_replaced_source_gives_the_old_bytes_no_more() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let old = watch_video(&server, &video, &embed);
    server.upload(&video, include_bytes!("../fixtures/moov_last.mp4").as_slice()).expect(200);
    let mut wire = Wire::connect(&server);
    let rendition = old.asset.trim_end_matches(".mp4");
    for name in [&old.asset, &format!("{rendition}/init.mp4"), &format!("{rendition}/1.m4s")] {
        let path = media_path(&old.video, &old.grant, name);
        assert_refused(&wire.exchange("GET", &path, &[]), &[ABSENT], "the old file");
    }
    let new = watch_video(&server, &video, &embed);
    assert_eq!(wire.exchange("GET", &new.path(), &[]).body, packaged(include_bytes!("../fixtures/moov_last.mp4")));
}

#[test]
fn a_link_planted_in_the_media_directory_is_not_followed() {
    let server = Server::start();
    let watched = watch(&server, "private");
    let file = server.state().join("media").join(watched.asset.trim_end_matches(".mp4"));
    assert_eq!(server.get(&watched.path()).expect(200).body, packaged(FIXTURE));
    let secret = server.scratch().join("secret");
    std::fs::write(&secret, "root:x:0:0").unwrap();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&secret, &file).unwrap();
    let answer = server.get(&watched.path());
    assert!(answer.status >= 500 && !answer.text().contains("root:"), "{}", answer.status);
    std::fs::remove_file(&file).unwrap();
    server.get(&watched.path()).expect_code(503, "media_unavailable");
}

/// A private video with a poster and captions, and every name behind its grants.
pub fn video_with_everything(server: &Server) -> (String, String, Vec<String>) {
    let (video, embed) = server.video("private");
    for (path, body) in [
        ("poster", &include_bytes!("../fixtures/poster.png")[..]),
        ("captions/en", &include_bytes!("../fixtures/captions.vtt")[..]),
    ] {
        let path = format!("/admin/v1/videos/{video}/{path}");
        let put = server.request(Method::PUT, &path).bearer_auth(&server.private_key).body(body).send().unwrap();
        assert_eq!(put.status(), 200);
    }
    let file = watch_video(server, &video, &embed).asset.trim_end_matches(".mp4").to_owned();
    let mut names: Vec<String> =
        ["master.m3u8", "manifest.mpd", "poster.png", "captions/en.vtt", "captions/en.m3u8"].map(str::to_owned).into();
    names.push(format!("{file}.mp4"));
    names.extend(["index.m3u8", "iframes.m3u8", "init.mp4", "1.m4s"].map(|part| format!("{file}/{part}")));
    (video, embed, names)
}

#[test]
fn every_name_behind_a_grant_is_closed_to_a_tampered_a_revoked_and_an_expired_one() {
    let server = Server::start();
    server.admin(Method::PATCH, "/organization", &json!({ "assetUrlTtl": 30 })).expect(200);
    let (video, embed, names) = video_with_everything(&server);
    let (expiring, revoked) = (watch_video(&server, &video, &embed), watch_video(&server, &video, &embed));
    let other = watch(&server, "private");
    let walk = |grant: &str, expected: (u16, &str)| {
        let mut wire = Wire::connect(&server);
        for name in &names {
            let path = media_path(&video, grant, name);
            for headers in [&[][..], &[("Range", "bytes=0-9")], &[("If-None-Match", "*")]] {
                assert_refused(&wire.exchange("GET", &path, headers), &[expected], &path);
            }
            let head = wire.exchange("HEAD", &path, &[]);
            assert_eq!((head.status(), head.header("etag")), (expected.0, None), "{path}");
        }
    };
    let (fields, mac) = revoked.grant.rsplit_once('.').unwrap();
    let flipped = if mac.starts_with('A') { "B" } else { "A" };
    for tampered in [
        format!("{fields}.{flipped}{}", &mac[1..]),
        revoked.grant.replacen("p1.", "r1.", 1),
        other.grant.clone(),
        fields.to_owned(),
    ] {
        walk(&tampered, INVALID);
    }
    let mut open = Wire::connect(&server);
    for grant in [&expiring.grant, &revoked.grant] {
        for name in &names {
            let answer = open.exchange("GET", &media_path(&video, grant, name), &[]);
            assert_eq!((answer.status(), answer.body.is_empty()), (200, false), "{name}");
        }
    }
    let session = revoked.answer["session"]["id"].as_str().unwrap();
    server.admin(Method::DELETE, &format!("/sessions/{session}"), &Value::Null).expect(204);
    walk(&revoked.grant, (403, "asset_url_revoked"));
    let mut open = Wire::connect(&server);
    wait_for("the URL to expire", Duration::from_secs(40), || {
        open.exchange("HEAD", &media_path(&video, &expiring.grant, "master.m3u8"), &[]).status() == 403
    });
    walk(&expiring.grant, (403, "asset_url_expired"));
}

#[test]
fn names_that_a_video_does_not_have_are_not_found_behind_its_grant() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let watched = watch_video(&server, &video, &embed);
    let rendition = watched.asset.trim_end_matches(".mp4");
    let mut wire = Wire::connect(&server);
    let mut absent: Vec<String> = [
        "0.m4s",
        "01.m4s",
        "+1.m4s",
        "-1.m4s",
        "1.M4S",
        "1.m4s.",
        "1.mp4",
        "1",
        "2.m4s",
        "1.5.m4s",
        "1e0.m4s",
        "0x1.m4s",
        "%31.m4s",
        "999.m4s",
        "2147483648.m4s",
        "4294967296.m4s",
        "4294967297.m4s",
        "18446744073709551615.m4s",
        "18446744073709551617.m4s",
        ".m4s",
        "1.m4s/",
        "/1.m4s",
        "init.mp",
        "Init.mp4",
        "index.m3u",
        "index.mp4",
        "master.m3u8",
        "source.mp4",
        "",
    ]
    .map(|part| format!("{rendition}/{part}"))
    .into();
    absent
        .extend(["index.m3u8", "init.mp4", "1.m4s", "Master.m3u8", "storyboard.vtt", "poster.jpg"].map(str::to_owned));
    absent.extend(["captions/en.vtt", "captions/en.m3u8", "storyboard/1.jpg"].map(str::to_owned));
    // The source and the index of segments lie beside the rendition, and are nobody's to fetch.
    let others: Vec<String> = std::fs::read_dir(server.state().join("media"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != rendition)
        .collect();
    assert_eq!(others.len(), 2, "{others:?}");
    for file in others.iter().chain([&video, &embed]) {
        absent.push(file.clone());
        absent.push(format!("{file}.mp4"));
        absent.extend(["index.m3u8", "init.mp4", "1.m4s"].map(|part| format!("{file}/{part}")));
    }
    for name in absent {
        let path = media_path(&video, &watched.grant, &name);
        assert_refused(&wire.exchange("GET", &path, &[]), &[ABSENT], &path);
    }
    for part in ["index.m3u8", "iframes.m3u8", "init.mp4", "1.m4s"] {
        let path = media_path(&video, &watched.grant, &format!("{rendition}/{part}"));
        assert_eq!(wire.exchange("GET", &path, &[]).status(), 200, "{path}");
    }
}

/// Every string anywhere in a JSON value.
fn strings(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(members) => members.values().for_each(|member| strings(member, found)),
        _ => {}
    }
}

#[test]
fn no_url_in_any_answer_gives_bytes_once_its_grant_is_stripped_or_altered() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let mut found = BTreeSet::new();
    let playback = server.playback(&embed, Some(&token)).expect(200).json();
    strings(&playback, &mut found);
    let renewed = server
        .request(Method::POST, path_of(playback["session"]["renewUri"].as_str().unwrap()))
        .json(&json!({ "renewToken": playback["session"]["renewToken"] }))
        .send()
        .unwrap();
    assert_eq!(renewed.status(), 200);
    strings(&renewed.json().unwrap(), &mut found);
    let page = server.embed_page(&embed, Some(&token)).expect(200).text();
    let inside = page.split("id=\"playback\">").nth(1).unwrap().split("</script>").next().unwrap();
    strings(&serde_json::from_str(inside).unwrap(), &mut found);
    found.extend(page.split('"').map(str::to_owned));
    for path in [
        "/organization",
        "/videos",
        "/embeds",
        "/sessions",
        "/signing-keys",
        "/publishable-keys",
        "/private-keys",
        "/audit",
        &format!("/videos/{video}"),
        &format!("/embeds/{embed}"),
    ] {
        strings(&server.admin(Method::GET, path, &Value::Null).expect(200).json(), &mut found);
    }
    let urls: BTreeSet<&str> = found
        .iter()
        .filter(|text| text.starts_with('/') || text.starts_with("https://"))
        .map(|url| path_of(url))
        .collect();
    let media: Vec<&&str> = urls.iter().filter(|path| path.starts_with("/media/")).collect();
    let ends = |end: &str| media.iter().any(|path| path.ends_with(end));
    assert!(ends(".m3u8") && ends(".mp4"), "{urls:?}");
    let mut wire = Wire::connect(&server);
    for path in &media {
        let answer = wire.exchange("GET", path, &[]);
        assert_eq!(answer.status(), 200, "{path}");
        match path.rsplit_once('.').unwrap().1 {
            "mp4" if path.ends_with("/init.mp4") => assert!(packaged(FIXTURE).starts_with(&answer.body), "{path}"),
            "mp4" => assert_eq!(answer.body, packaged(FIXTURE), "{path}"),
            "m4s" => assert!(packaged(FIXTURE).ends_with(&answer.body), "{path}"),
            "m3u8" => assert!(answer.body.starts_with(b"#EXTM3U\n"), "{path}"),
            kind => panic!("{kind} among what answers name: {path}"),
        }
        let parts: Vec<&str> = path.split('/').collect();
        let (video, grant, asset) = (parts[2], parts[3], parts[4..].join("/"));
        for changed in [
            format!("/media/{video}/{asset}"),
            format!("/media/{video}//{asset}"),
            format!("/media/{video}/-/{asset}"),
            format!("/media/{asset}"),
            format!("/media/{video}/{}/{asset}", grant.rsplit_once('.').unwrap().0),
            format!("/media/{video}/{}/{asset}", grant.replacen("p1.", "p1.0", 1)),
            format!("/media/{video}/{}/{asset}", grant.chars().rev().collect::<String>()),
        ] {
            assert_refused(&wire.exchange("GET", &changed, &[]), &[INVALID, ABSENT], &changed);
        }
    }
    // Whatever else an answer names is no way to the file either.
    for path in urls.iter().filter(|path| !path.starts_with("/media/")) {
        assert_no_media(&wire.exchange("GET", path, &[]).body, path);
    }
}

#[test]
fn no_other_route_reaches_stored_bytes() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let watched = watch_video(&server, &video, &embed);
    let file = watched.asset.trim_end_matches(".mp4");
    let bearer = format!("Bearer {}", server.private_key);
    let mut wire = Wire::connect(&server);
    let page = server.embed_page(&embed, Some(&server.token(&video))).text();
    let assets = page.split('"').find(|text| text.starts_with("/assets/")).unwrap();
    let assets = assets.rsplit_once('/').unwrap().0.to_owned();
    let mut prefixes: Vec<String> = [
        "",
        "/media",
        "/assets",
        "/static",
        "/files",
        "/file",
        "/uploads",
        "/incoming",
        "/state",
        "/state/media",
        "/source",
        "/sources",
        "/videos",
        "/video",
        "/v1/videos",
        "/api/v1/videos",
        "/api/v1/media",
        "/embed",
        "/download",
        "/raw",
        "/public",
        "/hls",
        "/stream",
        "/admin/v1/videos",
        "/admin/v1/media",
        "/admin/v1/files",
        "/admin/v1/uploads",
        "/appliance/v1/media",
        "/.well-known",
        "/tmp",
    ]
    .map(str::to_owned)
    .into();
    prefixes.push(assets);
    prefixes.push(format!("/admin/v1/videos/{video}"));
    prefixes.push(format!("/admin/v1/videos/{video}/media"));
    prefixes.push(format!("/media/{video}"));
    let names = [
        file.to_owned(),
        watched.asset.clone(),
        video.clone(),
        format!("{video}.mp4"),
        format!("{embed}.mp4"),
        format!("{video}/source"),
        format!("{video}/source.mp4"),
        format!("{video}/{}", watched.asset),
        "source".into(),
        "master.m3u8".into(),
        format!("{file}/index.m3u8"),
        format!("{file}/init.mp4"),
        format!("{file}/1.m4s"),
        "../media/".to_owned() + &watched.asset,
    ];
    for prefix in &prefixes {
        for name in &names {
            let path = format!("{prefix}/{name}");
            for headers in [&[][..], &[("Authorization", bearer.as_str())]] {
                let answer = wire.exchange("GET", &path, headers);
                assert_no_media(&answer.body, &path);
                let is_record = answer.status() == 200 && path == format!("/admin/v1/videos/{video}");
                let is_page = path.starts_with("/embed/");
                assert!(is_record || is_page || [401, 403, 404, 405].contains(&answer.status()), "{path}: {answer:?}");
            }
        }
    }
    let source = wire.exchange("GET", &format!("/admin/v1/videos/{video}/source"), &[("Authorization", &bearer)]);
    assert_eq!((source.status(), source.header("allow")), (405, Some("PUT")));
    assert_eq!(wire.exchange("GET", &watched.path(), &[]).body, packaged(FIXTURE));
}

/// The MAC as docs/asset-urls.md describes it, from nothing of the server's own code.
fn published_mac(key: &[u8], video: &str, fields: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(b"screener asset grant v1\n");
    mac.update(video.as_bytes());
    mac.update(b"\n");
    mac.update(fields.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[test]
fn the_published_vectors_follow_from_the_published_description() {
    let page = include_str!("../../docs/asset-urls.md");
    let key: Vec<u8> = (0..32).collect();
    let video = page.split("the video is `").nth(1).unwrap().split('`').next().unwrap();
    let vectors: Vec<&str> =
        page.lines().filter(|line| line.starts_with("p1.a1b2c3d4.") || line.starts_with("r1.a1b2c3d4.")).collect();
    assert_eq!(vectors.len(), 3);
    for grant in vectors {
        let (fields, mac) = grant.rsplit_once('.').unwrap();
        assert_eq!(published_mac(&key, video, fields), mac, "{grant}");
    }
}

#[test]
fn a_grant_has_the_published_form() {
    let server = Server::start();
    for visibility in ["private", "public"] {
        let began = now();
        let watched = watch(&server, visibility);
        let fields: Vec<&str> = watched.grant.split('.').collect();
        let [purpose, key, epoch, session, authority, started, expires, ends, mac] = fields[..] else {
            panic!("{}", watched.grant)
        };
        assert_eq!((purpose, epoch), ("p1", "0"));
        assert!(key.len() == 8 && key.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{key}");
        assert_eq!(session, watched.answer["session"]["id"]);
        assert_eq!(authority, if visibility == "private" { server.kid.as_str() } else { "-" });
        let seconds = |text: &str| text.parse::<i64>().unwrap();
        assert!((began..=now()).contains(&seconds(started)));
        assert_eq!((seconds(expires) - seconds(started), seconds(ends) - seconds(started)), (300, 43_200));
        assert_eq!(mac.len(), 43);
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(mac).unwrap().len(), 32);
    }
}
