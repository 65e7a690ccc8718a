//! What every page holds to, and what becomes of texts that people type.

use super::{Browser, between, escape, unescape};
use crate::support::{FIXTURE, Reply, Server};
use reqwest::Method;
use serde_json::json;

/// A text that would be markup, an attribute, a script or the end of any of them, were it not escaped.
const HOSTILE: &str =
    "\"'></textarea></title></script><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}&lt;";

/// Headers and markup that every page has, whatever it says.
#[track_caller]
pub fn check(reply: &Reply) {
    let header = |name| reply.header(name).unwrap_or_default();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("referrer-policy"), "same-origin");
    let policy = header("content-security-policy");
    for directive in ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
        assert!(policy.split("; ").any(|one| one == directive), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("script-src") && !policy.contains('*'), "{policy}");
    assert!(reply.header("access-control-allow-origin").is_none());
    for (name, attributes) in tags(&reply.text()) {
        assert!(!["style", "base", "object", "embed"].contains(&name.as_str()), "<{name}>");
        for (attribute, value) in &attributes {
            assert!(
                attribute != "style" && attribute != "srcdoc" && !attribute.starts_with("on"),
                "{attribute}={value}"
            );
            assert!(!value.to_lowercase().contains("javascript:"), "{attribute}={value}");
        }
        if name == "script" {
            let source = attributes.iter().find(|(attribute, _)| attribute == "src").map(|(_, value)| value.as_str());
            assert!(source.is_some_and(|source| source.starts_with("/assets/")), "an inline script: {attributes:?}");
        }
    }
}

/// The tags of a page with their attributes, as a browser reads them: nothing within an attribute or a text is one.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '>').unwrap();
        let name = rest[..end].to_lowercase();
        rest = &rest[end..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let end = rest.find(|c: char| c.is_whitespace() || c == '>' || c == '=').unwrap();
            let attribute = rest[..end].to_lowercase();
            rest = &rest[end..];
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                let quoted = after.strip_prefix('"').unwrap_or_else(|| panic!("{attribute} is not quoted in <{name}>"));
                (value, rest) = quoted.split_once('"').unwrap();
            }
            attributes.push((attribute, value.to_owned()));
        }
        found.push((name, attributes));
    }
    found
}

/// The same without what texts may differ in.
fn skeleton(html: &str) -> Vec<(String, Vec<String>)> {
    let names = |attributes: Vec<(String, String)>| attributes.into_iter().map(|(name, _)| name).collect();
    tags(html).into_iter().map(|(name, attributes)| (name, names(attributes))).collect()
}

/// A server on which every text that people type says this; its video.
fn server_that_says(text: &str) -> (Server, String) {
    let server = Server::start();
    let made = json!({ "title": text, "visibility": "private", "referenceId": text });
    let video = super::text(&server.admin(Method::POST, "/videos", &made).expect(201).json()["id"]);
    server.upload(&video, FIXTURE).expect(200);
    let captions = include_bytes!("../../fixtures/captions.vtt").to_vec();
    let path = format!("/admin/v1/videos/{video}/captions/en?label={}", escape(text));
    let put = server.request(Method::PUT, &path).bearer_auth(&server.private_key);
    Reply::read(put.header("content-type", "text/vtt").body(captions).send().unwrap()).expect(200);
    for kind in ["signing-keys", "publishable-keys", "private-keys"] {
        server.admin(Method::POST, &format!("/{kind}"), &json!({ "label": text })).expect(201);
    }
    server.publishable(&json!({ "label": text, "bundleIds": ["com.acme.shop"], "originRules": ["acme.com"] }));
    server.set(&json!({ "name": text, "originRules": ["acme.com"] }));
    (server, video)
}

fn addresses(server: &Server, video: &str) -> Vec<String> {
    let mut found: Vec<String> = [
        "/videos",
        "/settings",
        "/signing-keys",
        "/publishable-keys",
        "/private-keys",
        "/audit",
        "/system",
        "/videos?search=acme",
        "/videos?limit=1",
        "/audit?limit=2",
    ]
    .map(|path| format!("/dashboard{path}"))
    .into();
    found.extend(["", "/security", "/embed"].map(|tab| format!("/dashboard/videos/{video}{tab}")));
    let made_last = super::text(&server.all("signing-keys")[0]["id"]);
    found.push(format!("/dashboard/signing-keys/{made_last}/rotate"));
    found.push(format!("/dashboard/signing-keys/{}/rotate?to={made_last}", server.kid));
    found
}

#[test]
fn no_text_that_someone_typed_becomes_markup_on_any_page() {
    let (plain, plain_video) = server_that_says("Plain words");
    let (hostile, hostile_video) = server_that_says(HOSTILE);
    let (plain_browser, browser) = (Browser::sign_in(&plain), Browser::sign_in(&hostile));
    let pairs = addresses(&plain, &plain_video).into_iter().zip(addresses(&hostile, &hostile_video));
    for (plain_path, path) in pairs {
        let page = browser.page(&path);
        assert_eq!(skeleton(&page), skeleton(&plain_browser.page(&plain_path)), "{path}");
        assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{path}");
    }
    // It is not lost on the way, either.
    let film = browser.page(&format!("/dashboard/videos/{hostile_video}"));
    assert_eq!(super::value_of(&film, "title"), HOSTILE);
    assert!(unescape(between(&film, "<h1", "</h1>")).contains(HOSTILE), "{film}");
    assert!(unescape(&film).matches(HOSTILE).count() >= 5, "title, heading, frame, reference and captions: {film}");
}

#[test]
fn what_was_typed_is_shown_again_as_text() {
    let (server, video) = server_that_says("Plain words");
    let browser = Browser::sign_in(&server);
    let rule = "\"></textarea><script>alert(1)</script>";
    let forms = [
        ("/dashboard/settings".to_owned(), "originRules"),
        ("/dashboard/settings".to_owned(), "name"),
        ("/dashboard/settings".to_owned(), "assetUrlTtl"),
        ("/dashboard/settings".to_owned(), HOSTILE),
        ("/dashboard/publishable-keys".to_owned(), "originRules"),
        ("/dashboard/publishable-keys".to_owned(), HOSTILE),
        ("/dashboard/signing-keys".to_owned(), HOSTILE),
        ("/dashboard/private-keys".to_owned(), HOSTILE),
        (format!("/dashboard/videos/{video}"), HOSTILE),
        (format!("/dashboard/videos/{video}/security"), "visibility"),
        (format!("/dashboard/videos/{video}/security"), HOSTILE),
    ];
    for (path, field) in forms {
        let typed = if field == "name" { format!("{rule}\u{7}") } else { rule.to_owned() };
        let page = browser.refused(&path, &[("title", "Title"), (field, &typed)], 422);
        assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{path} {field}: {page}");
    }
    let refused = browser.refused("/dashboard/settings", &[("originRules", &format!("acme.com {rule}"))], 422);
    let area = between(&refused, "<textarea id=\"originRules\"", "</textarea>");
    assert_eq!(unescape(area.split_once('>').unwrap().1), format!("acme.com {rule}"));
    for token in [rule, HOSTILE] {
        let path = format!("/dashboard/videos/{video}/security/test");
        let fields = [("token", token), ("origin", "https://acme.com")];
        let reply = browser.post(&path, &fields);
        check(&reply);
        assert!(!reply.text().contains("<script>alert"), "{}", reply.text());
    }
    for search in [rule, HOSTILE, "&search=x", "%", "\u{202e}", "+"] {
        let page = browser.page(&format!("/dashboard/videos?search={}", escape(search)));
        assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{page}");
        assert_eq!(super::value_of(&page, "search"), search);
    }
    // Only deeds that are known are told.
    let page = browser.page(&format!("/dashboard/settings?said={}", escape(rule)));
    assert!(!page.contains("class=\"said\"") && !page.contains("alert(1)"));
    assert!(browser.page("/dashboard/settings?said=saved").contains("<p class=\"said\" role=\"status\">Saved.</p>"));
}

#[test]
fn the_embed_code_holds_a_title_as_text_even_after_it_is_pasted() {
    let (server, video) = server_that_says(HOSTILE);
    let page = Browser::sign_in(&server).page(&format!("/dashboard/videos/{video}/embed"));
    let pasted = unescape(between(&page, "<code id=\"sample-iframe\">", "</code>"));
    let found = tags(&pasted);
    assert_eq!(found.len(), 1, "{pasted}");
    assert_eq!(found[0].0, "iframe");
    let title = found[0].1.iter().find(|(name, _)| name == "title").unwrap();
    assert_eq!(unescape(&title.1), format!("Video: {HOSTILE}"));
    assert_eq!(pasted.matches('<').count(), 2, "the frame and its end: {pasted}");
}

#[test]
fn what_is_wrong_is_said_on_a_page_too() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (path, status) in [
        ("/dashboard/nothing".to_owned(), 404),
        (format!("/dashboard/videos/{unknown}"), 404),
        (format!("/dashboard/signing-keys/{unknown}/rotate"), 404),
        (format!("/dashboard/signing-keys/{}/rotate?to={unknown}", server.kid), 404),
        ("/dashboard/sign-out".to_owned(), 405),
        ("/dashboard/videos?limit=0".to_owned(), 422),
        ("/dashboard/audit?cursor=x".to_owned(), 422),
        ("/dashboard/videos?search=%ff".to_owned(), 422),
    ] {
        let reply = browser.get(&path);
        assert_eq!(reply.status, status, "{path}");
        check(&reply);
        let page = reply.text();
        assert!(page.contains(reply.header("x-request-id").unwrap()), "no trace id: {page}");
        assert!(page.contains("<h1>"), "{page}");
    }
    let reply = browser.get("/dashboard/sign-out");
    assert_eq!(reply.header("allow"), Some("POST"));
    check(&server.get("/dashboard/sign-in").expect(200));
}

#[test]
fn no_page_with_a_fresh_secret_is_compressed() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let ask = |method: Method, path: &str| {
        let request =
            browser.request(method, path).header("accept-encoding", "br").header("sec-fetch-site", "same-origin");
        Reply::read(request.body("label=x").send().unwrap()).expect(200)
    };
    assert!(ask(Method::POST, "/dashboard/signing-keys").header("content-encoding").is_none());
    assert_eq!(ask(Method::GET, "/dashboard/settings").header("content-encoding"), Some("br"));
}
