//! The main job, row by row of the contract's tables (sections 2 and 3), through both doors.

use crate::support::{
    Claims, FIXTURE, Key, Options, Reply, Server, check_page, check_refused_page, now, packaged, progressive_uri, sign,
    wait_for,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const MOUNTS: [&str; 2] = ["/api/v1", "/v1"];

#[test]
fn a_valid_token_plays_through_both_doors_and_its_bytes_are_the_packaged_source() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let answer = server.playback(&embed, Some(&token)).expect(200).json();
    let bytes = server.get(progressive_uri(&answer)).expect(200);
    assert_eq!(bytes.body, packaged(FIXTURE));
    assert_eq!(answer["playback"]["contentType"], "hls");
    let playlist = server.get(answer["playback"]["uri"].as_str().unwrap()).expect(200);
    assert_eq!(playlist.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert!(playlist.text().starts_with("#EXTM3U\n"), "{}", playlist.text());
    server.embed_page(&embed, Some(&token)).expect(200);
}

#[test]
fn no_token_and_an_expired_one_are_refused() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    server.playback(&embed, None).expect_code(401, "playback_token_missing");
    let mut claims = Claims::of(&video);
    claims["exp"] = (now() - 1).into();
    claims["iat"] = (now() - 100).into();
    let expired = sign(&server.kid, &server.secret, &claims);
    server.playback(&embed, Some(&expired)).expect_code(401, "playback_token_expired");
    server.embed_page(&embed, Some(&expired)).expect_code(401, "playback_token_expired");
}

/// Asks at both mounts of the API and at the embed page; each must refuse with this status and code.
fn expect_refusal(server: &Server, embed: &str, token: Option<&str>, status: u16, code: &str, situation: &str) {
    for mount in MOUNTS {
        let reply = ask_api(server, mount, embed, token);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{situation} at {mount}: {}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{situation}");
        for told in ["A test video", "/media/", "mvi_"] {
            assert!(!reply.text().contains(told), "{situation}: a refusal tells {told}");
        }
    }
    let page = server.embed_page(embed, token);
    assert_eq!((page.status, page.code().as_str()), (status, code), "{situation} at the embed page: {}", page.text());
    check_refused_page(&page, status, code);
}

/// Asks at both mounts of the API and at the embed page; each must play.
fn expect_playback(server: &Server, embed: &str, token: Option<&str>, situation: &str) {
    for mount in MOUNTS {
        let reply = ask_api(server, mount, embed, token);
        assert_eq!(reply.status, 200, "{situation} at {mount}: {}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{situation}");
    }
    let page = server.embed_page(embed, token);
    assert_eq!(page.status, 200, "{situation} at the embed page: {}", page.text());
    check_page(&page);
}

fn ask_api(server: &Server, mount: &str, embed: &str, token: Option<&str>) -> Reply {
    let bearer = format!("Bearer {}", server.publishable_key);
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(token.map(|token| ("x-moviie-playback-token", token)));
    server.play(&format!("{mount}/embeds/{embed}/playback"), &headers)
}

fn signed(key: &Key, claims: &Value) -> String {
    sign(&key.kid, &key.secret, claims)
}

#[test]
fn every_row_of_the_token_table_is_refused_with_its_status_and_code() {
    const INVALID: &str = "playback_token_invalid";
    let server = Server::start();
    let (video, embed) = server.video("private");
    let (other_video, other_embed) = server.video("private");
    let (ours, spare, revoked) = (server.first_key(), server.signing_key(), server.signing_key());
    server.revoke(&revoked.kid);
    let (other_private_key, _) = server.other_organization();
    let foreign = server.signing_key_of(&other_private_key);
    let claims = Claims::of(&video);
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let headed =
        |header: Value| crate::support::sign_raw(&header.to_string(), &claims.to_string(), ours.secret.as_bytes());
    let past = json!({ "sub": video, "iat": now() - 100, "exp": now() - 1 });
    let past_other = json!({ "sub": other_video, "iat": now() - 100, "exp": now() - 1 });
    let rows: Vec<(&str, Option<String>, u16, &str)> = vec![
        ("no token", None, 401, "playback_token_missing"),
        ("an empty token", Some(String::new()), 401, "playback_token_missing"),
        ("malformed", Some("not-a-token".into()), 401, INVALID),
        ("wrong alg", Some(headed(json!({ "alg": "HS512", "kid": ours.kid }))), 401, INVALID),
        ("alg none", Some(headed(json!({ "alg": "none", "kid": ours.kid }))), 401, INVALID),
        ("no alg", Some(headed(json!({ "kid": ours.kid }))), 401, INVALID),
        ("no kid", Some(headed(json!({ "alg": "HS256" }))), 401, INVALID),
        ("unknown kid", Some(sign(&video, &ours.secret, &claims)), 401, INVALID),
        ("bad MAC", Some(sign(&ours.kid, &spare.secret, &claims)), 401, INVALID),
        ("no sub", Some(signed(&ours, &without("sub"))), 401, INVALID),
        ("no exp", Some(signed(&ours, &without("exp"))), 401, INVALID),
        ("no iat", Some(signed(&ours, &without("iat"))), 401, INVALID),
        ("sub is a number", Some(signed(&ours, &with("sub", 7.into()))), 401, INVALID),
        ("exp is a string", Some(signed(&ours, &with("exp", (now() + 300).to_string().into()))), 401, INVALID),
        ("iat is null", Some(signed(&ours, &with("iat", Value::Null))), 401, INVALID),
        ("iat an hour ahead", Some(signed(&ours, &with("iat", (now() + 3600).into()))), 401, INVALID),
        ("nbf an hour ahead", Some(signed(&ours, &with("nbf", (now() + 3600).into()))), 401, INVALID),
        ("another organization's key", Some(signed(&foreign, &claims)), 401, INVALID),
        ("expired", Some(signed(&ours, &past)), 401, "playback_token_expired"),
        ("expired under a bad MAC", Some(sign(&ours.kid, &spare.secret, &past)), 401, INVALID),
        ("expired and for another video", Some(signed(&ours, &past_other)), 401, "playback_token_expired"),
        ("revoked", Some(signed(&revoked, &claims)), 401, "playback_token_revoked"),
        ("revoked under a bad MAC", Some(sign(&revoked.kid, &ours.secret, &claims)), 401, INVALID),
        ("revoked and expired", Some(signed(&revoked, &past)), 401, "playback_token_revoked"),
        (
            "too long lived",
            Some(signed(&ours, &json!({ "sub": video, "iat": now(), "exp": now() + 86_402 }))),
            401,
            "playback_token_too_long_lived",
        ),
        ("for another video", Some(signed(&ours, &Claims::of(&other_video))), 403, "playback_token_wrong_video"),
    ];
    let valid = server.token(&video);
    for (situation, token, status, code) in &rows {
        expect_refusal(&server, &embed, token.as_deref(), *status, code, situation);
        expect_playback(&server, &embed, Some(&valid), situation);
    }
    expect_playback(&server, &embed, Some(&signed(&spare, &claims)), "the second key");
    expect_playback(&server, &other_embed, Some(&server.token(&other_video)), "the other video's own token");
    let whole_day = json!({ "sub": video, "iat": now(), "exp": now() + 86_400 });
    expect_playback(&server, &embed, Some(&signed(&ours, &whole_day)), "exactly a day");
}

#[test]
fn the_organizations_own_lifetime_limit_binds() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let lived =
        |seconds: i64| signed(&server.first_key(), &json!({ "sub": video, "iat": now(), "exp": now() + seconds }));
    let five_minutes = lived(300);
    expect_playback(&server, &embed, Some(&five_minutes), "before");
    server.set(&json!({ "maxTokenLifetime": 60 }));
    let code = "playback_token_too_long_lived";
    expect_refusal(&server, &embed, Some(&five_minutes), 401, code, "five minutes where one is allowed");
    let minute_from = now();
    let exactly = signed(&server.first_key(), &json!({ "sub": video, "iat": minute_from, "exp": minute_from + 60 }));
    expect_playback(&server, &embed, Some(&exactly), "a minute");
    let iat = now();
    let over = signed(&server.first_key(), &json!({ "sub": video, "iat": iat, "exp": iat + 61 }));
    expect_refusal(&server, &embed, Some(&over), 401, code, "a minute and a second");
}

#[test]
fn with_token_access_off_a_private_video_plays_for_nobody() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let (_, public_embed) = server.video("public");
    let token = server.token(&video);
    expect_playback(&server, &embed, Some(&token), "on");
    server.set(&json!({ "tokenAccess": false }));
    for token in [Some(token.as_str()), None, Some("garbage")] {
        expect_refusal(&server, &embed, token, 401, "token_access_disabled", "off");
    }
    expect_playback(&server, &public_embed, None, "a public video of the same organization");
    server.set(&json!({ "tokenAccess": true }));
    expect_playback(&server, &embed, Some(&token), "on again");
}

#[test]
fn a_public_video_plays_with_any_token_or_none() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let (private, private_embed) = server.video("private");
    let expired = signed(&server.first_key(), &json!({ "sub": video, "iat": now() - 100, "exp": now() - 1 }));
    let (valid, wrong_video) = (server.token(&video), server.token(&private));
    for token in [None, Some(""), Some("garbage"), Some(&*expired), Some(&*valid), Some(&*wrong_video), Some("a.b.c")] {
        expect_playback(&server, &embed, token, "public");
    }
    let bearer = format!("Bearer {}", server.publishable_key);
    let twice =
        [("authorization", bearer.as_str()), ("x-moviie-playback-token", "a"), ("x-moviie-playback-token", "b")];
    server.play(&format!("/api/v1/embeds/{embed}/playback"), &twice).expect(200);
    server.get(&format!("/embed/{embed}?token=a&token=b")).expect(200);
    expect_refusal(&server, &private_embed, Some("garbage"), 401, "playback_token_invalid", "the private twin");
}

#[test]
fn every_row_of_the_playback_table_is_refused_with_its_status_and_code() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let (other_private_key, other_publishable_key) = server.other_organization();
    let (revoked_id, revoked) = server.publishable(&json!({}));
    server.admin(Method::POST, &format!("/publishable-keys/{revoked_id}/revoke"), &Value::Null).expect(200);
    let (_, for_app) = server.publishable(&json!({ "bundleIds": ["com.acme.app", "com.acme.tv"] }));
    let (_, for_site) = server.publishable(&json!({ "originRules": ["acme.com"] }));
    let unknown = format!("mvi_pub_{}", "A".repeat(43));
    let (ours, private) = (server.publishable_key.clone(), server.private_key.clone());
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    let api_key = |key: &str| ("x-api-key", key.to_owned());
    let client = |text: &str| ("x-moviie-client", text.to_owned());
    let origin = |text: &str| ("origin", text.to_owned());
    let nobody = "00000000-0000-4000-8000-000000000000";
    let (invalid, private_code) = ("publishable_key_invalid", "private_key_not_allowed");
    type Headers = Vec<(&'static str, String)>;
    // What is asked for, how it is refused, and the headers with which the very same video plays.
    let rows: Vec<(&str, &str, Headers, u16, &str, Headers)> = vec![
        ("no key", &embed, vec![], 401, invalid, vec![bearer(&ours)]),
        ("no key at all, by x-api-key", &embed, vec![api_key("")], 401, invalid, vec![api_key(&ours)]),
        ("unknown key", &embed, vec![bearer(&unknown)], 401, invalid, vec![bearer(&ours)]),
        ("unknown key by x-api-key", &embed, vec![api_key(&unknown)], 401, invalid, vec![api_key(&ours)]),
        ("revoked key", &embed, vec![bearer(&revoked)], 401, invalid, vec![bearer(&ours)]),
        ("revoked key by x-api-key", &embed, vec![api_key(&revoked)], 401, invalid, vec![api_key(&ours)]),
        ("a key cut short", &embed, vec![bearer(&ours[..ours.len() - 1])], 401, invalid, vec![bearer(&ours)]),
        ("a key and more", &embed, vec![bearer(&format!("{ours}A"))], 401, invalid, vec![bearer(&ours)]),
        ("a signing secret", &embed, vec![bearer(&server.secret)], 401, invalid, vec![bearer(&ours)]),
        ("a viewer token", &embed, vec![bearer(&token)], 401, invalid, vec![bearer(&ours)]),
        ("a private key", &embed, vec![bearer(&private)], 403, private_code, vec![bearer(&ours)]),
        ("a private key by x-api-key", &embed, vec![api_key(&private)], 403, private_code, vec![api_key(&ours)]),
        ("an unknown embed", nobody, vec![bearer(&ours)], 404, "not_found", vec![bearer(&ours)]),
        ("the video's id as embed", &video, vec![bearer(&ours)], 404, "not_found", vec![bearer(&ours)]),
        ("no id at all", "x", vec![bearer(&ours)], 404, "not_found", vec![bearer(&ours)]),
        (
            "another organization's key",
            &embed,
            vec![bearer(&other_publishable_key)],
            404,
            "not_found",
            vec![bearer(&ours)],
        ),
        (
            "another site",
            &embed,
            vec![bearer(&for_site), origin("https://evil.example")],
            403,
            "referrer_blocked",
            vec![bearer(&for_site), origin("https://acme.com")],
        ),
        (
            "no app",
            &embed,
            vec![bearer(&for_app)],
            403,
            "bundle_blocked",
            vec![bearer(&for_app), client("bundle_id=com.acme.app")],
        ),
        (
            "another app",
            &embed,
            vec![bearer(&for_app), client("bundle_id=com.evil.app;platform=ios;sdk=1.0")],
            403,
            "bundle_blocked",
            vec![bearer(&for_app), client("bundle_id=com.acme.app;platform=ios;sdk=1.0")],
        ),
        (
            "an app whose name only begins like it",
            &embed,
            vec![bearer(&for_app), client("bundle_id=com.acme.app.evil")],
            403,
            "bundle_blocked",
            vec![bearer(&for_app), client("platform=android; bundle_id=com.acme.tv")],
        ),
        (
            "an app in another spelling",
            &embed,
            vec![bearer(&for_app), client("bundle_id=COM.ACME.APP")],
            403,
            "bundle_blocked",
            vec![bearer(&ours), client("bundle_id=com.evil.app")],
        ),
    ];
    for (situation, id, headers, status, code, right) in &rows {
        for mount in MOUNTS {
            for (id, headers, status, code) in [(*id, headers, *status, *code), (embed.as_str(), right, 200, "")] {
                let headers: Vec<(&str, &str)> = headers
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .chain([("x-moviie-playback-token", token.as_str())])
                    .collect();
                let reply = server.play(&format!("{mount}/embeds/{id}/playback"), &headers);
                let seen = (reply.status, reply.code());
                assert_eq!(seen, (status, code.to_owned()), "{situation} at {mount}: {}", reply.text());
                assert_eq!(reply.header("cache-control"), Some("no-store"));
            }
        }
    }
    let foreign =
        server.admin_as(&other_private_key, Method::POST, "/videos", &json!({ "title": "Theirs" })).expect(201);
    let foreign_embed = foreign.json()["embedId"].as_str().unwrap().to_owned();
    server.playback(&foreign_embed, Some(&token)).expect_code(404, "not_found");
    check_refused_page(&server.embed_page(nobody, Some(&token)), 404, "not_found");
    check_refused_page(&server.embed_page("x", None), 404, "not_found");
    check_page(&server.embed_page(&embed, Some(&token)).expect(200));
}

#[test]
fn the_embed_page_holds_to_the_origin_rules() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    server.set(&json!({ "originRules": ["acme.com"] }));
    let page = |referer: &str| server.play(&format!("/embed/{embed}?token={token}"), &[("referer", referer)]);
    check_refused_page(&page("https://evil.example/"), 403, "referrer_blocked");
    check_page(&page("https://acme.com/").expect(200));
}

#[test]
fn a_video_that_is_not_ready_says_when_to_come_back() {
    let server = Server::start();
    for visibility in ["private", "public"] {
        let (video, embed) = server.pending_video(visibility);
        let token = server.token(&video);
        expect_refusal(&server, &embed, Some(&token), 409, "video_not_ready", visibility);
        for reply in [server.playback(&embed, Some(&token)), server.embed_page(&embed, Some(&token))] {
            assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
        }
        assert!(server.embed_page(&embed, Some(&token)).text().contains("href=\"\">Try again</a>"));
        if visibility == "private" {
            expect_refusal(
                &server,
                &embed,
                None,
                401,
                "playback_token_missing",
                "whoever has no token learns no status",
            );
            assert!(!server.embed_page(&embed, None).text().contains("Try again"));
        }
        server.upload(&video, include_bytes!("../fixtures/h264_aac.mp4").as_slice()).expect(200);
        expect_playback(&server, &embed, Some(&token), visibility);
    }
}

#[test]
fn too_many_requests_are_turned_away_for_a_while() {
    let config = "[limits]\nplayback_per_second = 1\nplayback_burst = 3\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    for _ in 0..3 {
        server.playback(&embed, Some(&token)).expect(200);
    }
    let asked: Vec<Reply> = (0..4).map(|_| server.playback(&embed, Some(&token))).collect();
    let refused = asked.iter().find(|reply| reply.status != 200).expect("seven requests at once are too many");
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limit"));
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    let mut page = server.embed_page(&embed, Some(&token));
    wait_for("the page is limited too", Duration::from_secs(10), || {
        page = server.embed_page(&embed, Some(&token));
        page.status == 429
    });
    check_refused_page(&page, 429, "rate_limit");
    assert!(page.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    wait_for("it plays again", Duration::from_secs(10), || server.playback(&embed, Some(&token)).status == 200);
}

#[test]
fn head_answers_what_get_would_without_a_body() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    for (token, status) in [(server.token(&video), 200), ("garbage".to_owned(), 401)] {
        for mount in MOUNTS {
            let request = server
                .request(Method::HEAD, &format!("{mount}/embeds/{embed}/playback"))
                .bearer_auth(&server.publishable_key)
                .header("x-moviie-playback-token", &token);
            let reply = Reply::read(request.send().unwrap()).expect(status);
            assert!(reply.body.is_empty());
        }
        let page = server.request(Method::HEAD, &format!("/embed/{embed}?token={token}"));
        assert!(Reply::read(page.send().unwrap()).expect(status).body.is_empty());
    }
}

#[test]
fn errors_have_one_shape_everywhere() {
    let server = Server::start();
    let (_, embed) = server.video("private");
    // What a reply's error body must hold is checked in Reply::read.
    let api = server.playback(&embed, None).expect_code(401, "playback_token_missing");
    let mut members: Vec<String> = api.json().as_object().unwrap().keys().cloned().collect();
    members.sort();
    assert_eq!(members, ["code", "error", "traceId"]);
    server.get("/nowhere").expect_code(404, "not_found");
    server.get("/admin/v1/nowhere").expect_code(404, "not_found");
    server.get("/admin/v1/videos").expect_code(401, "private_key_invalid");
    let wrong_method = server.request(Method::DELETE, &format!("/api/v1/embeds/{embed}/playback"));
    let wrong_method = Reply::read(wrong_method.send().unwrap()).expect_code(405, "method_not_allowed");
    assert_eq!(wrong_method.header("allow"), Some("GET, HEAD, OPTIONS"));
    let unfit = server.admin(Method::POST, "/videos", &json!({ "visibility": "secret", "colour": 1 })).expect(422);
    let unfit = unfit.json();
    for field in ["title", "visibility", "colour"] {
        assert!(unfit["errors"][field][0].is_string(), "{field}: {unfit}");
    }
    server.admin(Method::POST, "/videos", &json!({ "title": "Fit", "visibility": "private" })).expect(201);
    let traced = server.playback(&embed, None);
    let id = traced.json()["traceId"].as_str().unwrap().to_owned();
    wait_for("the log line with that trace id", Duration::from_secs(10), || server.log_text().contains(&id));
}
