//! What goes with a video: a poster and captions, uploaded through the admin API, given out through the gate alone.

use crate::support::{FIXTURE, Options, Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

const JPEG: &[u8] = include_bytes!("../fixtures/poster.jpg");
const PNG: &[u8] = include_bytes!("../fixtures/poster.png");
const WEBP: &[u8] = include_bytes!("../fixtures/poster.webp");
const VTT: &[u8] = include_bytes!("../fixtures/captions.vtt");
const SRT: &[u8] = include_bytes!("../fixtures/captions.srt");

/// Files of a video that plays: its source, the rendition, and where its segments are.
const PACKAGED_FILES: usize = 3;

fn put(server: &Server, path: &str, body: impl Into<reqwest::blocking::Body>) -> Reply {
    put_as(server, &server.private_key, path, body)
}

fn put_as(server: &Server, key: &str, path: &str, body: impl Into<reqwest::blocking::Body>) -> Reply {
    let request = server.request(Method::PUT, &format!("/admin/v1{path}")).bearer_auth(key).body(body);
    Reply::read(request.send().unwrap())
}

fn delete(server: &Server, path: &str) -> Reply {
    server.admin(Method::DELETE, path, &Value::Null)
}

/// Files that lie in the media directory.
fn stored(server: &Server) -> usize {
    std::fs::read_dir(server.state().join("media")).unwrap().count()
}

fn answer(server: &Server, embed: &str, video: &str) -> Value {
    server.playback(embed, Some(&server.token(video))).expect(200).json()
}

#[test]
fn a_poster_is_kept_as_it_is_and_leaves_through_the_gate_alone() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let path = format!("/videos/{video}/poster");
    assert_eq!(answer(&server, &embed, &video)["posterUrl"], Value::Null);
    for (bytes, name, content_type) in
        [(JPEG, "poster.jpg", "image/jpeg"), (PNG, "poster.png", "image/png"), (WEBP, "poster.webp", "image/webp")]
    {
        let body = put(&server, &path, bytes).expect(200).json();
        assert_eq!(body["poster"]["contentType"], content_type);
        assert!(body["poster"]["widthPx"].as_u64().unwrap() > 0, "{body}");
        let answer = answer(&server, &embed, &video);
        let url = answer["posterUrl"].as_str().unwrap();
        assert!(url.starts_with(&server.base_url) && url.ends_with(name), "{url}");
        let reply = server.get(url).expect(200);
        assert_eq!((reply.body.as_slice(), reply.header("content-type")), (bytes, Some(content_type)));
        assert!(reply.header("cache-control").unwrap().starts_with("private, max-age="));
        // Without the grant, with another's, by another name: nothing.
        server.get(&url.replace(".r1.", ".").replace("/p1.", "/p2.")).expect_code(403, "asset_url_invalid");
        server.get(&format!("/media/{video}/{name}")).expect_code(403, "asset_url_invalid");
        server.get(&url.replace(name, "poster.gif")).expect_code(404, "not_found");
        assert_eq!(stored(&server), PACKAGED_FILES + 1, "a poster that is replaced leaves the disk");
    }
    let url = answer(&server, &embed, &video)["posterUrl"].as_str().unwrap().to_owned();
    let page = server.embed_page(&embed, Some(&server.token(&video))).expect(200).text();
    assert!(page.contains("poster=\"/media/"), "the page shows it");
    assert!(!server.embed_page(&embed, None).expect(401).text().contains("/media/"));
    delete(&server, &path).expect(200);
    server.get(&url).expect_code(404, "not_found");
    delete(&server, &path).expect_code(404, "not_found");
    assert_eq!((stored(&server), &answer(&server, &embed, &video)["posterUrl"]), (PACKAGED_FILES, &Value::Null));
}

#[test]
fn what_is_no_picture_is_refused_and_changes_nothing() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let path = format!("/videos/{video}/poster");
    put(&server, &path, JPEG).expect(200);
    for bytes in [
        &b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"[..],
        b"<!doctype html><script>alert(1)</script>",
        b"GIF89a\x01\x00\x01\x00",
        &JPEG[..12],
        b"",
    ] {
        let refusal = put(&server, &path, bytes).expect_code(422, "picture_unusable").json();
        assert!(refusal["error"].as_str().unwrap().len() > 30, "{refusal}");
    }
    put(&server, &path, vec![0; (8 << 20) + 1]).expect_code(413, "body_too_large");
    let kept = answer(&server, &embed, &video)["posterUrl"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&kept).expect(200).body, JPEG);
    assert_eq!(stored(&server), PACKAGED_FILES + 1);
    let (other, _) = server.other_organization();
    put_as(&server, &other, &path, PNG).expect_code(404, "not_found");
    put_as(&server, "mvi_priv_wrong", &path, PNG).expect_code(401, "private_key_invalid");
    assert_eq!(std::fs::read_dir(server.state().join("incoming")).unwrap().count(), 0);
}

#[test]
fn captions_are_kept_as_webvtt_and_stand_in_the_answer_and_the_page() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let path = |language: &str| format!("/videos/{video}/captions/{language}");
    put(&server, &format!("{}?label=Portugu%C3%AAs", path("pt-BR")), SRT).expect(200);
    let body = put(&server, &path("en"), VTT).expect(200).json();
    assert_eq!(
        body["captions"],
        json!([{ "language": "en", "label": "en" }, { "language": "pt-br", "label": "Português" }])
    );
    let answer = answer(&server, &embed, &video);
    for captions in answer["captions"].as_array().unwrap() {
        let language = captions["language"].as_str().unwrap();
        let uri = captions["uri"].as_str().unwrap();
        assert!(uri.ends_with(&format!("/captions/{language}.vtt")), "{uri}");
        let reply = server.get(uri).expect(200);
        assert_eq!(reply.header("content-type"), Some("text/vtt; charset=utf-8"));
        assert!(reply.text().starts_with("WEBVTT\n") && reply.text().contains(" --> "), "{}", reply.text());
        let part = Reply::read(server.new_client().get(uri).header("Range", "bytes=0-5").send().unwrap());
        assert_eq!((part.status, part.text().as_str()), (206, "WEBVTT"));
        server.get(&format!("/media/{video}/captions/{language}.vtt")).expect_code(403, "asset_url_invalid");
    }
    let page = server.embed_page(&embed, Some(&server.token(&video))).expect(200).text();
    assert!(page.contains("srclang=\"pt-br\" label=\"Português\""), "{page}");
    // Again in the same language replaces, whatever the case.
    put(&server, &format!("{}?label=Brasil", path("PT-br")), VTT).expect(200);
    assert_eq!(stored(&server), PACKAGED_FILES + 2);
    let uri = answer["captions"][0]["uri"].as_str().unwrap();
    delete(&server, &path("en")).expect(200);
    server.get(uri).expect_code(404, "not_found");
    delete(&server, &path("en")).expect_code(404, "not_found");
    assert_eq!(stored(&server), PACKAGED_FILES + 1);
}

#[test]
fn captions_that_cannot_be_read_are_refused_with_the_place() {
    let server = Server::start();
    let (video, _) = server.video("public");
    let path = format!("/videos/{video}/captions/en");
    for bytes in [
        &b"not captions"[..],
        b"WEBVTT\n\n00:00:02.000 --> 00:00:01.000\nbackwards\n",
        b"WEBVTT\n\nSTYLE\n::cue { background: url(https://evil.example/x) }\n\n00:01.000 --> 00:02.000\nx\n",
        b"\xff\xfeW\x00E\x00B\x00",
        b"WEBVTT\n\n00:01.000 --> 00:02.000\n\x00\n",
    ] {
        put(&server, &path, bytes).expect_code(422, "captions_unusable");
    }
    put(&server, &path, vec![b'x'; (2 << 20) + 1]).expect_code(413, "body_too_large");
    for language in ["e", "en_US", "en-", "toolonglang"] {
        let refused = put(&server, &format!("/videos/{video}/captions/{language}"), VTT);
        let errors = refused.expect_code(422, "validation_failed").json()["errors"].clone();
        assert!(errors["language"][0].as_str().unwrap().contains("such as en or pt-br"), "{language}: {errors}");
    }
    assert_eq!(put(&server, &format!("/videos/{video}/captions/.."), VTT).status, 404);
    put(&server, &format!("{path}?label="), VTT).expect(422);
    assert_eq!(stored(&server), PACKAGED_FILES);
    for number in 0..30 {
        put(&server, &format!("/videos/{video}/captions/en-x{number}"), VTT).expect(200);
    }
    put(&server, &path, VTT).expect_code(409, "too_many_captions");
    assert_eq!(stored(&server), PACKAGED_FILES + 30);
    delete(&server, &format!("/videos/{video}")).expect(204);
    assert_eq!(stored(&server), 0, "all of it goes with the video");
}

#[test]
fn a_revoked_key_closes_poster_and_captions_too() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    put(&server, &format!("/videos/{video}/poster"), PNG).expect(200);
    put(&server, &format!("/videos/{video}/captions/en"), VTT).expect(200);
    let answer = answer(&server, &embed, &video);
    let urls = [answer["posterUrl"].as_str().unwrap(), answer["captions"][0]["uri"].as_str().unwrap()];
    // What was stored is there after a restart, too.
    server.kill();
    let before = server.base_url.clone();
    server.serve();
    let urls = urls.map(|url| url.replace(&before, &server.base_url));
    for url in &urls {
        server.get(url).expect(200);
    }
    server.admin(Method::POST, &format!("/signing-keys/{}/revoke", server.kid), &Value::Null).expect(200);
    for url in &urls {
        server.get(url).expect_code(403, "asset_url_revoked");
    }
    let log = server.admin(Method::GET, "/audit?limit=3", &Value::Null).json();
    let actions: Vec<&str> =
        log["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["signing_key.revoke", "video.captions", "video.poster"]);
}

#[test]
fn a_part_of_a_file_is_not_taken_for_the_whole() {
    let server = Server::start();
    let (video, _) = server.video("private");
    for (path, body) in
        [("poster", JPEG), ("captions/en", b"WEBVTT\n"), ("source", FIXTURE), ("renditions/low", FIXTURE)]
    {
        let request = server.request(Method::PUT, &format!("/admin/v1/videos/{video}/{path}"));
        let request = request.bearer_auth(&server.private_key).header("content-range", "bytes 0-99/4000");
        let said = Reply::read(request.body(body).send().unwrap()).expect_code(400, "bad_request").json();
        assert!(said["error"].as_str().unwrap().contains("Content-Range"), "{said}");
    }
    assert_eq!(stored(&server), PACKAGED_FILES);
}

#[test]
fn posters_and_captions_are_held_to_the_quota() {
    let server = Server::with(Options { config: "[media]\nquota_gib = 1\n".to_owned(), ..Options::default() });
    let (video, _) = server.video("private");
    let path = format!("/videos/{video}/poster");
    put(&server, &path, JPEG).expect(200);
    // All that is left is announced, but for less than a poster.
    let used: u64 = std::fs::read_dir(server.state().join("media"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    let left = (1_u64 << 30) - used - JPEG.len() as u64 / 2;
    let request = server.request(Method::POST, "/admin/v1/uploads").bearer_auth(&server.private_key);
    let request = request.header("tus-resumable", "1.0.0").header("upload-length", left);
    Reply::read(request.header("upload-metadata", "name eA==").send().unwrap()).expect(201);
    let (second, _) = server.pending_video("private");
    put(&server, &format!("/videos/{second}/poster"), JPEG).expect_code(403, "quota_exceeded");
    let long = format!("WEBVTT\n\n00:00.000 --> 00:01.000\n{}\n", "words ".repeat(JPEG.len() / 6));
    put(&server, &format!("/videos/{second}/captions/en"), long).expect_code(403, "quota_exceeded");
    // One in the place of another of its size fits.
    put(&server, &path, JPEG).expect(200);
}
