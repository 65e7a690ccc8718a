//! oEmbed: the snippet of a public video for whoever has its address, and nothing of a private one.

use crate::support::{Options, Reply, Server};
use reqwest::Method;
use serde_json::json;

/// Asks about an address; `more` is the rest of the query.
fn ask(server: &Server, url: &str, more: &str) -> Reply {
    server.get(&format!("/oembed?url={}{more}", percent_encoded(url)))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn page(server: &Server, embed: &str) -> String {
    format!("{}/embed/{embed}", server.base_url)
}

#[test]
fn a_public_video_is_described_to_anyone() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let reply = ask(&server, &page(&server, &embed), "&format=json").expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
    let body = reply.json();
    for (name, value) in
        [("type", "video"), ("version", "1.0"), ("title", "A test video"), ("provider_name", "Screener")]
    {
        assert_eq!(body[name], value);
    }
    assert_eq!(body["provider_url"], server.base_url);
    let html = body["html"].as_str().unwrap();
    let (width, height) = (body["width"].as_u64().unwrap(), body["height"].as_u64().unwrap());
    for part in [
        format!("<iframe src=\"{}\" ", page(&server, &embed)),
        " title=\"Video: A test video\" ".to_owned(),
        format!(" width=\"{width}\" height=\"{height}\" "),
        " allow=\"autoplay; fullscreen; picture-in-picture; clipboard-write\" allowfullscreen ".to_owned(),
    ] {
        assert!(html.contains(&part), "{part} is missing: {html}");
    }
    assert!(!reply.text().contains("/media/"), "an expiring URL: {body}");
    let head =
        Reply::read(server.request(Method::HEAD, &format!("/oembed?url={}", page(&server, &embed))).send().unwrap());
    assert_eq!((head.expect(200).body.len(), body["author_name"].is_string()), (0, true));
}

#[test]
fn the_page_of_a_public_video_says_where_it_is_described() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let page = server.embed_page(&embed, None).expect(200).text();
    let link = page.split("<link ").find(|link| link.contains("application/json+oembed")).expect("no discovery link");
    let href = link.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let href = href.replace("&#38;", "&").replace("&amp;", "&");
    assert_eq!(server.get(&href).expect(200).json()["title"], "A test video");
    let (video, embed) = server.video("private");
    let page = server.embed_page(&embed, Some(&server.token(&video))).expect(200).text();
    assert!(!page.contains("oembed"), "{page}");
}

#[test]
fn the_player_keeps_the_videos_shape_within_the_bounds() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let played = server.playback(&embed, None).expect(200).json();
    let (width, height) = (played["videoWidthPx"].as_f64().unwrap(), played["videoHeightPx"].as_f64().unwrap());
    for (bounds, max_width, max_height) in [
        ("", 640.0, 640.0),
        ("&maxwidth=320", 320.0, f64::MAX),
        ("&maxheight=100", f64::MAX, 100.0),
        ("&maxwidth=10000&maxheight=90", 10_000.0, 90.0),
    ] {
        let body = ask(&server, &page(&server, &embed), bounds).expect(200).json();
        let (w, h) = (body["width"].as_f64().unwrap(), body["height"].as_f64().unwrap());
        assert!(w <= max_width && h <= max_height, "{bounds}: {w}×{h}");
        assert!(w == max_width || h == max_height, "{bounds} leaves room: {w}×{h}");
        assert!((w * height - h * width).abs() <= width.max(height), "{bounds} changes the shape: {w}×{h}");
    }
    for bounds in ["&maxwidth=0", "&maxwidth=-1", "&maxheight=wide", "&maxwidth=10001", "&maxwidth="] {
        ask(&server, &page(&server, &embed), bounds).expect_code(400, "bad_request");
    }
}

#[test]
fn a_private_video_is_not_described() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let refused = ask(&server, &page(&server, &embed), "").expect_code(401, "video_private");
    assert!(!refused.text().contains("A test video"));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    let with_token = format!("{}?token={}", page(&server, &embed), server.token(&video));
    ask(&server, &with_token, "").expect_code(401, "video_private");
    let (video, embed) = server.video("public");
    ask(&server, &page(&server, &embed), "").expect(200);
    server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "visibility": "private" })).expect(200);
    ask(&server, &page(&server, &embed), "").expect_code(401, "video_private");
}

#[test]
fn a_title_stays_text_and_a_token_is_not_passed_on() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let title = "\"><script>alert('1')</script>&amp;";
    server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "title": title })).expect(200);
    let asked = format!("{}?token=abc.def.ghi&autoplay=1\"><b>#<i>", page(&server, &embed));
    let body = ask(&server, &asked, "").expect(200).json();
    assert_eq!(body["title"], title);
    let html = body["html"].as_str().unwrap();
    for told in ["<script", "<b>", "<i>", "abc.def", "autoplay=1", "('1')"] {
        assert!(!html.contains(told), "{told} in {html}");
    }
    assert_eq!((html.matches('<').count(), html.matches('>').count()), (2, 2), "{html}");
}

#[test]
fn what_is_no_embed_page_of_this_server_is_refused() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let id = "00000000-0000-4000-8000-000000000000";
    for url in [
        page(&server, id),
        page(&server, &video),
        page(&server, "x"),
        format!("{}/embed/{embed}/", server.base_url),
        format!("{}/x/embed/{embed}", server.base_url),
        format!("https://example.com/embed/{embed}"),
        server.base_url.clone(),
    ] {
        ask(&server, &url, "").expect_code(404, "not_found");
    }
    for url in ["", "x", "javascript:alert(1)", &format!("/embed/{embed}")] {
        ask(&server, url, "").expect_code(400, "bad_request");
    }
    server.get("/oembed").expect_code(400, "bad_request");
    server.get("/oembed?url=%FF").expect_code(400, "bad_request");
    for format in ["xml", "XML", ""] {
        ask(&server, &page(&server, &embed), &format!("&format={format}")).expect_code(501, "format_not_supported");
    }
    let posted = Reply::read(server.request(Method::POST, "/oembed").send().unwrap());
    assert_eq!(posted.expect_code(405, "method_not_allowed").header("allow"), Some("GET, HEAD"));
    let (_, pending) = server.pending_video("public");
    ask(&server, &page(&server, &pending), "").expect_code(409, "video_not_ready");
    ask(&server, &page(&server, &embed), "").expect(200);
}

#[test]
fn an_address_that_asks_too_often_is_told_to_wait() {
    let config = "[limits]\nplayback_per_second = 1\nplayback_burst = 3\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (_, embed) = server.video("public");
    let refused = (0..20).map(|_| ask(&server, &page(&server, &embed), "")).find(|reply| reply.status != 200);
    let refused = refused.expect("no end to it").expect_code(429, "rate_limit");
    assert!(refused.header("retry-after").is_some());
}

#[test]
fn a_script_of_a_site_that_the_rules_allow_may_read_the_answer() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    server.set(&json!({ "originRules": ["acme.com"] }));
    for (origin, is_allowed) in [("https://acme.com", true), ("https://evil.example", false)] {
        let request = server.request(Method::GET, &format!("/oembed?url={}", page(&server, &embed)));
        let reply = Reply::read(request.header("origin", origin).send().unwrap()).expect(200);
        assert_eq!(reply.header("access-control-allow-origin"), is_allowed.then_some(origin));
        assert_eq!(reply.header("vary"), Some("Origin"));
    }
}
