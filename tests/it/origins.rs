//! Origin rules: where the playback API may be called from and the embed page shown, and what CORS tells of it.

use crate::support::{Options, Reply, Server, check_page, check_refused_page, path_of, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const RULES: [&str; 4] = ["acme.com", "*.acme.com", "localhost:3000", "shop.example:8443"];

/// Origins, and whether [`RULES`] let them in.
const ORIGINS: [(&str, bool); 27] = [
    ("https://acme.com", true),
    ("http://acme.com", true),
    ("https://www.acme.com", true),
    ("https://a-b.acme.com", true),
    ("http://localhost:3000", true),
    ("https://localhost:3000", true),
    ("https://shop.example:8443", true),
    ("https://acme.com:443", true),
    ("https://a.b.acme.com", false),
    ("https://.acme.com", false),
    ("https://acme.com:8443", false),
    ("https://acme.com.evil.example", false),
    ("https://evilacme.com", false),
    ("https://acme.co", false),
    ("https://com", false),
    ("https://evil.example/acme.com", false),
    ("https://evil.example?acme.com", false),
    ("https://evil.example#acme.com", false),
    ("https://acme.com@evil.example", false),
    ("https://evil.example\\acme.com", false),
    ("http://localhost", false),
    ("http://localhost:3001", false),
    ("https://shop.example", false),
    ("null", false),
    ("", false),
    ("file://acme.com", false),
    ("https://acme.com https://evil.example", false),
];

/// A server whose organization has [`RULES`], a private video's embed, and a token for it.
fn with_rules(rules: &[&str]) -> (Server, String, String) {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    server.set(&json!({ "originRules": rules }));
    (server, embed, token)
}

fn from_origin(server: &Server, embed: &str, token: &str, origins: &[&str]) -> Reply {
    from_origin_with(server, &server.publishable_key, embed, token, origins)
}

fn from_origin_with(server: &Server, key: &str, embed: &str, token: &str, origins: &[&str]) -> Reply {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str()), ("x-moviie-playback-token", token)];
    headers.extend(origins.iter().map(|origin| ("origin", *origin)));
    server.play(&format!("/api/v1/embeds/{embed}/playback"), &headers)
}

/// Asserts which origin an answer names to the browser, and that it never names all of them.
#[track_caller]
fn expect_echo(reply: &Reply, origin: Option<&str>) {
    assert_eq!(reply.header("access-control-allow-origin"), origin);
    assert_eq!(reply.headers.get_all("access-control-allow-origin").iter().count(), usize::from(origin.is_some()));
    assert!(reply.header("access-control-allow-credentials").is_none());
    let vary: Vec<&str> = reply.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(vary.join(",").split(',').any(|name| name.trim().eq_ignore_ascii_case("origin")), "Vary: {vary:?}");
}

#[test]
fn the_playback_api_answers_the_origins_of_the_rules_and_no_other() {
    let (server, embed, token) = with_rules(&RULES);
    for (origin, is_allowed) in ORIGINS {
        let reply = from_origin(&server, &embed, &token, &[origin]);
        if is_allowed {
            assert_eq!(reply.status, 200, "{origin}: {}", reply.text());
            if origin != "https://acme.com:443" {
                // That one is no origin's serialization: no browser sends it.
                expect_echo(&reply, Some(origin));
            }
        } else {
            assert_eq!((reply.status, reply.code().as_str()), (403, "referrer_blocked"), "{origin}");
            expect_echo(&reply, None);
        }
    }
    let both = ["https://acme.com", "https://evil.example"];
    from_origin(&server, &embed, &token, &both).expect_code(403, "referrer_blocked");
    from_origin(&server, &embed, &token, &["https://acme.com"; 2]).expect_code(403, "referrer_blocked");
    // An app or a backend sends none.
    from_origin(&server, &embed, &token, &[]).expect(200);
}

#[test]
fn the_servers_own_origin_is_always_let_in() {
    let (server, embed, token) = with_rules(&["acme.com"]);
    let own = server.base_url.clone();
    expect_echo(&from_origin(&server, &embed, &token, &[&own]).expect(200), Some(&own));
    let elsewhere = own.replace("127.0.0.1", "127.0.0.2");
    from_origin(&server, &embed, &token, &[&elsewhere]).expect_code(403, "referrer_blocked");
    let plain = own.replace("https", "http");
    from_origin(&server, &embed, &token, &[&plain]).expect_code(403, "referrer_blocked");
    let page = format!("/embed/{embed}?token={token}");
    server.play(&page, &[("referer", &format!("{own}/dashboard")), ("sec-fetch-dest", "iframe")]).expect(200);
    let key = server.publishable(&json!({ "originRules": ["shop.example"] })).1;
    from_origin_with(&server, &key, &embed, &token, &[&own]).expect(200);
}

#[test]
fn without_rules_anywhere_is_allowed() {
    let (server, embed, token) = with_rules(&[]);
    for origin in ["https://acme.com", "https://evil.example", "http://localhost:3000", "https://[::1]:8443"] {
        expect_echo(&from_origin(&server, &embed, &token, &[origin]).expect(200), Some(origin));
    }
    let opaque = from_origin(&server, &embed, &token, &["null"]).expect(200);
    assert_ne!(opaque.header("access-control-allow-origin"), Some("*"));
    let page = format!("/embed/{embed}?token={token}");
    server.play(&page, &[("referer", "https://evil.example/")]).expect(200);
}

#[test]
fn a_publishable_keys_own_rules_bind_besides_the_organizations() {
    let (server, embed, token) = with_rules(&["acme.com", "shop.example"]);
    let key = server.publishable(&json!({ "originRules": ["shop.example", "third.example"] })).1;
    let ask = |key: &str, origin: &str| from_origin_with(&server, key, &embed, &token, &[origin]);
    expect_echo(&ask(&key, "https://shop.example").expect(200), Some("https://shop.example"));
    // In one list only: the organization's, then the key's.
    expect_echo(&ask(&key, "https://acme.com").expect_code(403, "referrer_blocked"), None);
    expect_echo(&ask(&key, "https://third.example").expect_code(403, "referrer_blocked"), None);
    ask(&server.publishable_key, "https://acme.com").expect(200);
    ask(&server.publishable_key, "https://third.example").expect_code(403, "referrer_blocked");
    server.set(&json!({ "originRules": [] }));
    ask(&key, "https://third.example").expect(200);
    ask(&key, "https://acme.com").expect_code(403, "referrer_blocked");
    ask(&server.publishable_key, "https://anywhere.example").expect(200);
}

#[test]
fn changed_rules_bind_at_once() {
    let (server, embed, token) = with_rules(&["acme.com"]);
    from_origin(&server, &embed, &token, &["https://new.example"]).expect_code(403, "referrer_blocked");
    server.set(&json!({ "originRules": ["new.example"] }));
    from_origin(&server, &embed, &token, &["https://new.example"]).expect(200);
    from_origin(&server, &embed, &token, &["https://acme.com"]).expect_code(403, "referrer_blocked");
}

#[test]
fn a_rule_that_is_no_host_is_not_taken() {
    let server = Server::start();
    for rule in ["", "*", "https://acme.com", "acme.com/x", "a b", "*.*.com", "acme.com:0", "'none'", "a;b", "null,"] {
        let answer = server.admin(Method::PATCH, "/organization", &json!({ "originRules": [rule] }));
        assert_eq!(answer.status, 422, "{rule:?}");
        assert!(answer.json()["errors"]["originRules"][0].is_string());
    }
    server.set(&json!({ "originRules": ["acme.com", "*.acme.com", "localhost:3000"] }));
}

fn preflight(server: &Server, path: &str, origin: &str, method: &str) -> Reply {
    let request = server
        .request(Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization,x-moviie-playback-token");
    Reply::read(request.send().unwrap())
}

#[test]
fn a_preflight_is_answered_for_the_origins_of_the_rules() {
    let (server, embed, token) = with_rules(&["acme.com"]);
    let answer = server.playback(&embed, Some(&token)).expect(200).json();
    let text = |pointer: &str| path_of(answer.pointer(pointer).unwrap().as_str().unwrap()).to_owned();
    let resources = [
        (format!("/api/v1/embeds/{embed}/playback"), "GET"),
        (format!("/v1/embeds/{embed}/playback"), "GET"),
        (text("/session/renewUri"), "POST"),
        (text("/playback/uri"), "GET"),
    ];
    for (path, method) in &resources {
        let allowed = preflight(&server, path, "https://acme.com", method).expect(204);
        expect_echo(&allowed, Some("https://acme.com"));
        assert!(allowed.header("access-control-allow-methods").unwrap().contains(method));
        let headers = allowed.header("access-control-allow-headers").unwrap().to_owned();
        let needed = if path.starts_with("/media") { "range" } else { "x-moviie-playback-token" };
        assert!(headers.split(", ").any(|name| name == needed), "{path}: {headers}");
        assert!(allowed.body.is_empty());
        for origin in ["https://evil.example", "null", "https://www.acme.com", "https://acme.com:8443"] {
            let refused = preflight(&server, path, origin, method).expect(204);
            expect_echo(&refused, None);
            assert!(refused.header("access-control-allow-methods").is_none());
            assert!(refused.header("access-control-allow-headers").is_none());
        }
    }
    let unknown =
        preflight(&server, "/api/v1/embeds/00000000-0000-4000-8000-000000000000/playback", "https://acme.com", "GET");
    expect_echo(&unknown.expect(204), None);
}

#[test]
fn a_refusal_that_the_site_may_know_of_can_be_read_by_its_script() {
    let (server, embed, _) = with_rules(&["acme.com"]);
    let refused =
        from_origin(&server, &embed, "garbage", &["https://acme.com"]).expect_code(401, "playback_token_invalid");
    expect_echo(&refused, Some("https://acme.com"));
    let blocked =
        from_origin(&server, &embed, "garbage", &["https://evil.example"]).expect_code(403, "referrer_blocked");
    expect_echo(&blocked, None);
}

#[test]
fn a_refusal_before_anything_is_looked_up_can_be_read_where_the_preflight_is_let_in() {
    let config = "[limits]\nplayback_per_second = 1\nplayback_burst = 20\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (_, embed) = server.video("public");
    server.set(&json!({ "originRules": ["acme.com"] }));
    let unknown = "00000000-0000-4000-8000-000000000000";
    let ask = |key: &str, embed: &str, origin: &str| from_origin_with(&server, key, embed, "", &[origin]);
    let all = [(embed.as_str(), "https://acme.com"), (&embed, "https://evil.example"), (unknown, "https://acme.com")];
    let echoes = [Some("https://acme.com"), None, None];
    let no_key = format!("mvi_pub_{}", "x".repeat(43));
    for (key, status, code) in
        [(&no_key, 401, "publishable_key_invalid"), (&server.private_key, 403, "private_key_not_allowed")]
    {
        for ((embed, origin), echo) in all.into_iter().zip(echoes) {
            expect_echo(&ask(key, embed, origin).expect_code(status, code), echo);
        }
    }
    wait_for("too many requests", Duration::from_secs(30), || ask(&no_key, &embed, "https://acme.com").status == 429);
    for ((embed, origin), echo) in all.into_iter().zip(echoes) {
        // One a second is let through meanwhile.
        let mut asked = (0..10).map(|_| ask(&no_key, embed, origin));
        let refused = asked.find(|reply| reply.status == 429).unwrap();
        expect_echo(&refused, echo);
        assert!(refused.header("retry-after").is_some());
        let exposed = refused.header("access-control-expose-headers").unwrap_or_default();
        assert_eq!(exposed.contains("Retry-After"), echo.is_some());
    }
}

#[test]
fn media_is_echoed_to_the_origins_of_the_rules() {
    let (server, embed, token) = with_rules(&["acme.com"]);
    let answer = server.playback(&embed, Some(&token)).expect(200).json();
    let uri = path_of(answer["playback"]["uri"].as_str().unwrap()).to_owned();
    let allowed = server.play(&uri, &[("origin", "https://acme.com")]).expect(200);
    expect_echo(&allowed, Some("https://acme.com"));
    let exposed = allowed.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
    assert!(["content-range", "content-length", "etag"].iter().all(|name| exposed.contains(name)), "{exposed}");
    expect_echo(&server.play(&uri, &[("origin", "https://evil.example")]), None);
    expect_echo(&server.play(&uri, &[]).expect(200), None);
    // Where there is no owner any more there are no rules, and a script learns why it is refused.
    let video = uri.split('/').nth(2).unwrap();
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    let refused = server.play(&uri, &[("origin", "https://acme.com")]).expect_code(403, "asset_url_revoked");
    expect_echo(&refused, Some("https://acme.com"));
}

fn ancestors(page: &Reply) -> String {
    let policy = page.header("content-security-policy").unwrap();
    policy.split(';').map(str::trim).find(|directive| directive.starts_with("frame-ancestors ")).unwrap().to_owned()
}

#[test]
fn the_embed_page_names_who_may_frame_it() {
    let (server, embed, token) = with_rules(&[]);
    assert_eq!(ancestors(&server.embed_page(&embed, Some(&token)).expect(200)), "frame-ancestors *");
    server.set(&json!({ "originRules": RULES }));
    let page = server.embed_page(&embed, Some(&token)).expect(200);
    check_page(&page);
    let named = ancestors(&page);
    let sources: Vec<&str> = named.split(' ').skip(1).collect();
    assert!(sources.contains(&"'self'") && !sources.contains(&"*"), "{named}");
    for rule in RULES {
        assert!(sources.contains(&format!("https://{rule}").as_str()), "{named}");
    }
    // A refusal is framed by the same sites: the blocked viewer sees why.
    assert_eq!(ancestors(&server.embed_page(&embed, None)), named);
}

#[test]
fn the_embed_page_is_refused_where_the_browser_names_another_site() {
    let (server, embed, token) = with_rules(&RULES);
    let path = format!("/embed/{embed}?token={token}");
    for (origin, is_allowed) in ORIGINS {
        if origin.contains([' ', '\\', '#']) || origin.is_empty() {
            continue;
        }
        for referer in [origin.to_owned(), format!("{origin}/page?x=https://acme.com")] {
            for headers in [vec![], vec![("sec-fetch-dest", "iframe"), ("sec-fetch-site", "cross-site")]] {
                let mut headers = headers;
                headers.push(("referer", referer.as_str()));
                let page = server.play(&path, &headers);
                if is_allowed {
                    assert_eq!(page.status, 200, "{referer}: {}", page.text());
                } else {
                    assert_eq!((page.status, page.code().as_str()), (403, "referrer_blocked"), "{referer}");
                    check_refused_page(&page, 403, "referrer_blocked");
                }
            }
        }
    }
    let twice = [("referer", "https://acme.com/"), ("referer", "https://evil.example/")];
    check_refused_page(&server.play(&path, &twice), 403, "referrer_blocked");
}

#[test]
fn the_embed_page_plays_where_the_browser_is_told_to_name_nobody() {
    let (server, embed, token) = with_rules(&["acme.com"]);
    let path = format!("/embed/{embed}?token={token}");
    let silent: [&[(&str, &str)]; 3] = [&[], &[("sec-fetch-dest", "iframe")], &[("sec-fetch-site", "cross-site")]];
    for headers in silent {
        // A page with `no-referrer` still works: frame-ancestors binds in the browser.
        check_page(&server.play(&path, headers).expect(200));
    }
}

#[test]
fn following_a_link_to_the_page_is_not_embedding_it() {
    let (server, embed, token) = with_rules(&["acme.com"]);
    let path = format!("/embed/{embed}?token={token}");
    let from = ("referer", "https://mail.example/inbox");
    server.play(&path, &[from, ("sec-fetch-dest", "document")]).expect(200);
    for destination in ["iframe", "frame", "embed", "object", "empty", "Document", ""] {
        let page = server.play(&path, &[from, ("sec-fetch-dest", destination)]);
        assert_eq!((page.status, page.code().as_str()), (403, "referrer_blocked"), "{destination}");
    }
    let twice = [from, ("sec-fetch-dest", "document"), ("sec-fetch-dest", "iframe")];
    server.play(&path, &twice).expect_code(403, "referrer_blocked");
}

#[test]
fn the_rules_of_one_organization_are_nobody_elses() {
    let (server, embed, token) = with_rules(&["acme.com"]);
    let (private_key, publishable_key) = server.other_organization();
    let made =
        server.admin_as(&private_key, Method::POST, "/videos", &json!({ "title": "Theirs", "visibility": "public" }));
    let made = made.expect(201).json();
    let (theirs, video) = (made["embedId"].as_str().unwrap(), made["id"].as_str().unwrap());
    let upload = server
        .request(Method::PUT, &format!("/admin/v1/videos/{video}/source"))
        .bearer_auth(&private_key)
        .body(include_bytes!("../fixtures/h264_aac.mp4").as_slice());
    Reply::read(upload.send().unwrap()).expect(200);
    let answer = from_origin_with(&server, &publishable_key, theirs, "", &["https://other.example"]).expect(200);
    expect_echo(&answer, Some("https://other.example"));
    from_origin(&server, &embed, &token, &["https://other.example"]).expect_code(403, "referrer_blocked");
    server
        .admin_as(&private_key, Method::PATCH, "/organization", &json!({ "originRules": ["other.example"] }))
        .expect(200);
    from_origin(&server, &embed, &token, &["https://acme.com"]).expect(200);
    let ours = server.admin(Method::GET, "/organization", &Value::Null).expect(200).json();
    assert_eq!(ours["originRules"], json!(["acme.com"]));
}
