//! Playback sessions: renewal in place, what it takes, what ends it, and what a restart leaves of it.

use crate::support::{Claims, Reply, Server, Wire, now, path_of, sign, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const GONE: (u16, &str) = (403, "session_revoked");
const NO_RENEW_TOKEN: (u16, &str) = (401, "renew_token_invalid");
const TOO_OLD: (u16, &str) = (403, "session_too_old");

/// What a playback answer or a renewal hands out. URLs are kept as paths: a restarted server has another port.
#[derive(Clone)]
struct Session {
    id: String,
    uri: String,
    renew_path: String,
    renew_token: String,
    ends_at: String,
}

impl Session {
    fn of(answer: &Value) -> Self {
        let text = |pointer: &str| answer.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        Self {
            id: text("/session/id"),
            uri: path_of(&text("/playback/uri")).to_owned(),
            renew_path: path_of(&text("/session/renewUri")).to_owned(),
            renew_token: text("/session/renewToken"),
            ends_at: text("/session/endsAt"),
        }
    }

    fn open(server: &Server, embed: &str, token: Option<&str>) -> Self {
        Self::of(&server.playback(embed, token).expect(200).json())
    }

    /// The same session after a renewal that must succeed.
    fn renewed(&self, answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{name}: {answer}")).to_owned();
        Self {
            uri: path_of(&text("uri")).to_owned(),
            renew_token: text("renewToken"),
            ends_at: text("endsAt"),
            ..self.clone()
        }
    }

    fn renew(&self, server: &Server) -> Reply {
        post(server, &self.renew_path, &json!({ "renewToken": self.renew_token }), None)
    }

    fn renew_with(&self, server: &Server, token: &str) -> Reply {
        post(server, &self.renew_path, &json!({}), Some(token))
    }

    /// The grant in its asset URL.
    fn grant(&self) -> &str {
        self.uri.split('/').nth(3).unwrap()
    }
}

fn post(server: &Server, path: &str, body: &Value, token: Option<&str>) -> Reply {
    let request = server.request(Method::POST, path).json(body);
    let request = match token {
        Some(token) => request.header("x-moviie-playback-token", token),
        None => request,
    };
    Reply::read(request.send().unwrap())
}

#[track_caller]
fn expect(reply: Reply, (status, code): (u16, &str)) {
    reply.expect_code(status, code);
}

/// A server with an open session on a private video: server, video, embed, session.
fn opened() -> (Server, String, String, Session) {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let session = Session::open(&server, &embed, Some(&server.token(&video)));
    (server, video, embed, session)
}

/// Waits for the next second: grants are signed for whole ones.
fn next_second() {
    let began = now();
    wait_for("the next second", Duration::from_secs(5), || now() > began);
}

#[test]
fn a_renewal_hands_out_a_new_url_and_a_new_renew_token() {
    let (server, _, _, first) = opened();
    let mut session = first.clone();
    for _ in 0..2 {
        next_second();
        let reply = session.renew(&server).expect(200);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let answer = reply.json();
        for name in ["uri", "expiresAt", "refreshAfter", "renewToken", "endsAt"] {
            assert!(answer[name].is_string(), "{name}: {answer}");
        }
        assert!(answer["uri"].as_str().unwrap().starts_with(&format!("{}/media/", server.base_url)));
        assert!(answer["refreshAfter"].as_str() < answer["expiresAt"].as_str());
        let renewed = session.renewed(&answer);
        assert_ne!(renewed.uri, session.uri);
        assert_eq!(renewed.ends_at, first.ends_at, "renewing makes a session no younger");
        for url in [&first.uri, &session.uri, &renewed.uri] {
            server.get(url).expect(200);
        }
        session = renewed;
    }
    // Renewing twice with one token is a viewer whose first answer was lost.
    session.renew(&server).expect(200);
    session.renew(&server).expect(200);
}

#[test]
fn the_page_and_a_public_video_renew_as_well() {
    let server = Server::start();
    for visibility in ["private", "public"] {
        let (video, embed) = server.video(visibility);
        let page = server.embed_page(&embed, Some(&server.token(&video))).expect(200).text();
        let carried = page.split("id=\"playback\">").nth(1).unwrap().split("</script>").next().unwrap();
        let session = Session::of(&serde_json::from_str(carried).unwrap());
        let renewed = session.renewed(&session.renew(&server).expect(200).json());
        server.get(&renewed.uri).expect(200);
    }
}

#[test]
fn a_renewal_keeps_the_old_urls_alive_past_their_own_expiry() {
    let server = Server::start();
    server.set(&json!({ "assetUrlTtl": 30 }));
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let (kept, left) = (Session::open(&server, &embed, Some(&token)), Session::open(&server, &embed, Some(&token)));
    let opened_at = now();
    wait_for("4 s of viewing", Duration::from_secs(30), || now() >= opened_at + 4);
    let renewed = kept.renewed(&kept.renew(&server).expect(200).json());
    server.get(&left.uri).expect(200);
    // The twin that nobody renewed says when the time is over; then the renewed one goes on for what was added.
    wait_for("the URL that nobody renewed expires", Duration::from_secs(40), || {
        let clock_is_near = now() >= opened_at + 29;
        clock_is_near && server.get(&left.uri).status == 403
    });
    server.get(&left.uri).expect_code(403, "asset_url_expired");
    server.get(&kept.uri).expect(200);
    server.get(&renewed.uri).expect(200);
    wait_for("the renewed session's time is over as well", Duration::from_secs(15), || {
        server.get(&kept.uri).status == 403
    });
    server.get(&kept.uri).expect_code(403, "asset_url_expired");
    server.get(&renewed.uri).expect_code(403, "asset_url_expired");
    // A viewer who was away comes back: the renew token outlives the URLs.
    let back = left.renewed(&left.renew(&server).expect(200).json());
    server.get(&back.uri).expect(200);
    server.get(&left.uri).expect(200);
}

#[test]
fn an_asset_grant_renews_nothing_and_a_renew_token_gets_no_bytes() {
    let (server, video, embed, session) = opened();
    let (other_video, other_embed) = server.video("private");
    let other = Session::open(&server, &other_embed, Some(&server.token(&other_video)));
    let twin = Session::open(&server, &embed, Some(&server.token(&video)));
    let present =
        |session: &Session, token: &str| post(&server, &session.renew_path, &json!({ "renewToken": token }), None);
    // Everything that whoever holds a leaked asset URL could think of.
    let grant = session.grant();
    let dressed_up = grant.replacen("p1.", "r1.", 1);
    for token in [grant, &dressed_up, &session.uri, &session.id, "", "null", "r1", "r1.", "."] {
        expect(present(&session, token), NO_RENEW_TOKEN);
    }
    expect(post(&server, &session.renew_path, &json!({}), None), NO_RENEW_TOKEN);
    let bare = Reply::read(server.request(Method::POST, &session.renew_path).send().unwrap());
    expect(bare, NO_RENEW_TOKEN);
    // Another session's token, another video's, and this one for another path.
    expect(present(&session, &twin.renew_token), NO_RENEW_TOKEN);
    expect(present(&session, &other.renew_token), NO_RENEW_TOKEN);
    expect(present(&other, &session.renew_token), NO_RENEW_TOKEN);
    let mixed = session.renew_path.replace(&video, &other_video);
    expect(post(&server, &mixed, &json!({ "renewToken": session.renew_token }), None), NO_RENEW_TOKEN);
    // One character changed or gone, at every place.
    let token = &session.renew_token;
    for (at, old) in token.char_indices() {
        let new = if old == 'A' { 'B' } else { 'A' };
        expect(present(&session, &format!("{}{new}{}", &token[..at], &token[at + 1..])), NO_RENEW_TOKEN);
        expect(present(&session, &format!("{}{}", &token[..at], &token[at + 1..])), NO_RENEW_TOKEN);
    }
    // The other way round: a renew token in an asset URL.
    for grant in [session.renew_token.clone(), session.renew_token.replacen("r1.", "p1.", 1)] {
        let url = session.uri.replace(session.grant(), &grant);
        server.get(&url).expect_code(403, "asset_url_invalid");
    }
    assert!(!session.uri.contains(&session.renew_token));
    session.renew(&server).expect(200);
    twin.renew(&server).expect(200);
    other.renew(&server).expect(200);
    server.get(&session.uri).expect(200);
}

#[test]
fn a_public_videos_session_is_not_renewed_by_just_any_token() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let session = Session::open(&server, &embed, None);
    // A public video ignores whatever viewer token comes along, and so the renew token is still needed.
    for token in ["garbage", "a.b.c", &server.token(&video)] {
        expect(session.renew_with(&server, token), NO_RENEW_TOKEN);
        let both = json!({ "renewToken": session.renew_token });
        post(&server, &session.renew_path, &both, Some(token)).expect(200);
    }
    let unheard_of = session.renew_path.replace(&session.id, "00000000-0000-4000-8000-000000000000");
    expect(post(&server, &unheard_of, &json!({}), Some("garbage")), NO_RENEW_TOKEN);
    session.renew(&server).expect(200);
}

#[test]
fn a_session_that_never_was_begins_only_where_an_embed_shows_the_video() {
    let (server, video, embed, session) = opened();
    let renew_made_up = |number: u8| {
        let path = session.renew_path.replace(&session.id, &format!("00000000-0000-4000-8000-{number:012}"));
        post(&server, &path, &json!({}), Some(&server.token(&video)))
    };
    renew_made_up(1).expect(200);
    server.admin(Method::DELETE, &format!("/embeds/{embed}"), &Value::Null).expect(204);
    expect(renew_made_up(2), GONE);
    // Who watches already goes on.
    session.renew(&server).expect(200);
    session.renew_with(&server, &server.token(&video)).expect(200);
    server.admin(Method::POST, "/embeds", &json!({ "videoId": video })).expect(201);
    renew_made_up(2).expect(200);
}

#[test]
fn a_body_that_is_no_renewal_is_refused() {
    let (server, _, _, session) = opened();
    for (body, kind, status) in [
        ("{\"renewToken\":7}", "application/json", 422),
        ("{\"renewToken\":null}", "application/json", 422),
        ("{\"renewToken\":\"x\",\"more\":1}", "application/json", 422),
        ("[]", "application/json", 400),
        ("{", "application/json", 400),
        ("renewToken=x", "application/x-www-form-urlencoded", 415),
        ("{}", "text/plain", 415),
    ] {
        let request = server.request(Method::POST, &session.renew_path).header("content-type", kind).body(body);
        Reply::read(request.send().unwrap()).expect(status);
    }
    let wrong_method = Reply::read(server.request(Method::GET, &session.renew_path).send().unwrap()).expect(405);
    assert_eq!(wrong_method.header("allow"), Some("POST, OPTIONS"));
    for id in ["x", "00000000-0000-4000-8000-00000000000A"] {
        let path = session.renew_path.replace(&session.id, id);
        post(&server, &path, &json!({ "renewToken": session.renew_token }), None).expect_code(404, "not_found");
    }
    session.renew(&server).expect(200);
}

/// Opens two sessions with two keys on two videos, lets `end` end the first, and looks at both.
fn expect_ended_by(end: impl FnOnce(&Server, &str, &Session)) {
    let server = Server::start();
    let second_key = server.signing_key();
    let (video, embed) = server.video("private");
    let (twin_video, twin_embed) = server.video("private");
    let session = Session::open(&server, &embed, Some(&server.token(&video)));
    let twin_token = sign(&second_key.kid, &second_key.secret, &Claims::of(&twin_video));
    let twin = Session::open(&server, &twin_embed, Some(&twin_token));
    session.renew(&server).expect(200);
    server.get(&session.uri).expect(200);
    end(&server, &video, &session);
    expect(session.renew(&server), GONE);
    server.get(&session.uri).expect_code(403, "asset_url_revoked");
    twin.renew(&server).expect(200);
    server.get(&twin.uri).expect(200);
}

#[test]
fn a_session_ends_with_its_signing_key() {
    expect_ended_by(|server, _, _| server.revoke(&server.kid));
}

#[test]
fn a_session_ends_when_its_video_is_reclassified() {
    expect_ended_by(|server, video, _| {
        server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "visibility": "public" })).expect(200);
    });
    expect_ended_by(|server, video, _| {
        for visibility in ["public", "private"] {
            server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "visibility": visibility })).expect(200);
        }
    });
}

#[test]
fn a_session_on_a_public_video_ends_when_the_video_becomes_private() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let session = Session::open(&server, &embed, None);
    session.renew(&server).expect(200);
    server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "visibility": "private" })).expect(200);
    expect(session.renew(&server), GONE);
    server.get(&session.uri).expect_code(403, "asset_url_revoked");
    let anew = Session::open(&server, &embed, Some(&server.token(&video)));
    server.get(&anew.uri).expect(200);
}

#[test]
fn a_session_ends_with_its_video() {
    expect_ended_by(|server, video, session| {
        server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
        // As if it had never been.
        expect(session.renew_with(server, &server.token(video)), (401, "playback_token_invalid"));
    });
}

#[test]
fn a_session_ends_when_an_operator_ends_it() {
    expect_ended_by(|server, video, session| {
        server.admin(Method::POST, &format!("/sessions/{}/end", session.id), &Value::Null).expect(204);
        // Not even a fresh viewer token brings this session back; it opens another one.
        expect(session.renew_with(server, &server.token(video)), GONE);
    });
}

/// Whoever has tokens for two videos renews under one the session of the other: an id that stands for both ends for both.
#[test]
fn a_session_that_was_renewed_under_other_videos_ends_with_its_id_alone() {
    let (mut server, _, _, session) = opened();
    let others: Vec<String> = (0..3).map(|_| server.video("private").0).collect();
    for other in &others {
        let path = format!("/api/v1/videos/{other}/sessions/{}/renew", session.id);
        post(&server, &path, &json!({}), Some(&server.token(other))).expect(200);
    }
    let end = |server: &Server, more: &str| {
        server.admin(Method::DELETE, &format!("/sessions/{}{more}", session.id), &Value::Null)
    };
    // Ended for one of them, then for all.
    end(&server, &format!("?videoId={}", others[0])).expect(204);
    session.renew(&server).expect(200);
    server.kill();
    server.serve();
    server.get(&session.uri).expect(200);
    end(&server, "").expect(204);
    wait_for("its URLs to stop", Duration::from_secs(1), || server.get(&session.uri).status == 403);
    expect(session.renew(&server), GONE);
    for other in &others {
        let path = format!("/api/v1/videos/{other}/sessions/{}/renew", session.id);
        expect(post(&server, &path, &json!({}), Some(&server.token(other))), GONE);
    }
    end(&server, "").expect(204);
    server.kill();
    server.serve();
    expect(session.renew(&server), GONE);
    server.verify();
}

/// The time counts at which it is decided, not the one at which somebody began to ask.
#[test]
fn a_viewer_token_that_ends_while_the_body_comes_renews_nothing() {
    let (server, video, _, session) = opened();
    let now = now();
    let mut claims = Claims::of(&video);
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 2);
    let token = sign(&server.kid, &server.secret, &claims);
    let mut wire = Wire::connect(&server);
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n\
         x-moviie-playback-token: {token}\r\nContent-Length: 2\r\n\r\n",
        session.renew_path
    );
    wire.send_raw(head.as_bytes()).unwrap();
    assert_eq!(wire.head().status, 100);
    wait_for("the token to end", Duration::from_secs(5), || crate::support::now() >= now + 2);
    wire.send_raw(b"{}").unwrap();
    assert_eq!(wire.head().status, 401);
}

#[test]
fn sessions_end_while_token_access_is_off() {
    let (server, _, _, session) = opened();
    server.set(&json!({ "tokenAccess": false }));
    expect(session.renew(&server), GONE);
    server.get(&session.uri).expect_code(403, "asset_url_revoked");
    server.set(&json!({ "tokenAccess": true }));
    session.renew(&server).expect(200);
    server.get(&session.uri).expect(200);
}

#[test]
fn renewal_is_forbidden_where_sessions_may_not_age() {
    let (server, video, embed, before) = opened();
    server.set(&json!({ "sessionMaxAge": 0 }));
    let session = Session::open(&server, &embed, Some(&server.token(&video)));
    server.get(&session.uri).expect(200);
    for session in [&before, &session] {
        expect(session.renew(&server), TOO_OLD);
        expect(session.renew_with(&server, &server.token(&video)), TOO_OLD);
        server.get(&session.uri).expect(200);
    }
    server.set(&json!({ "sessionMaxAge": 43_200 }));
    before.renew(&server).expect(200);
}

#[test]
fn a_session_that_is_too_old_goes_on_with_a_fresh_viewer_token_alone() {
    let server = Server::start();
    server.set(&json!({ "sessionMaxAge": 3 }));
    let (video, embed) = server.video("private");
    let session = Session::open(&server, &embed, Some(&server.token(&video)));
    session.renew(&server).expect(200);
    wait_for("it is too old", Duration::from_secs(15), || session.renew(&server).status != 200);
    expect(session.renew(&server), TOO_OLD);
    let anew = session.renewed(&session.renew_with(&server, &server.token(&video)).expect(200).json());
    assert!(anew.ends_at > session.ends_at, "its age starts anew: {} and {}", session.ends_at, anew.ends_at);
    server.get(&anew.uri).expect(200);
    anew.renew(&server).expect(200);
    expect(session.renew(&server), TOO_OLD);
}

#[test]
fn a_fresh_viewer_token_is_checked_like_any_other() {
    let (server, video, _, session) = opened();
    let (other_video, _) = server.video("private");
    let (private_key, _) = server.other_organization();
    let (second, revoked, foreign) = (server.signing_key(), server.signing_key(), server.signing_key_of(&private_key));
    server.revoke(&revoked.kid);
    let claims = Claims::of(&video);
    let past = json!({ "sub": video, "iat": now() - 100, "exp": now() - 1 });
    let long = json!({ "sub": video, "iat": now(), "exp": now() + 90_000 });
    for (token, status, code) in [
        (server.token(&other_video), 403, "playback_token_wrong_video"),
        (sign(&server.kid, &server.secret, &past), 401, "playback_token_expired"),
        (sign(&server.kid, &server.secret, &long), 401, "playback_token_too_long_lived"),
        (sign(&revoked.kid, &revoked.secret, &claims), 401, "playback_token_revoked"),
        (sign(&foreign.kid, &foreign.secret, &claims), 401, "playback_token_invalid"),
        (sign(&server.kid, &second.secret, &claims), 401, "playback_token_invalid"),
        ("garbage".to_owned(), 401, "playback_token_invalid"),
        (session.renew_token.clone(), 401, "playback_token_invalid"),
    ] {
        session.renew_with(&server, &token).expect_code(status, code);
        // The renew token beside it does not make it good: the viewer token is taken instead.
        let both = json!({ "renewToken": session.renew_token });
        post(&server, &session.renew_path, &both, Some(&token)).expect_code(status, code);
    }
    let twice = server
        .request(Method::POST, &session.renew_path)
        .json(&json!({}))
        .header("x-moviie-playback-token", server.token(&video))
        .header("x-moviie-playback-token", server.token(&video));
    Reply::read(twice.send().unwrap()).expect_code(401, "playback_token_invalid");
    let renewed = session.renewed(&session.renew_with(&server, &server.token(&video)).expect(200).json());
    server.get(&renewed.uri).expect(200);
    server.get(&session.uri).expect(200);
    post(&server, &session.renew_path, &json!({ "renewToken": session.renew_token }), Some("")).expect(200);
}

#[test]
fn a_fresh_token_moves_a_session_to_the_key_that_signed_it() {
    let (server, video, _, session) = opened();
    let second = server.signing_key();
    let token = sign(&second.kid, &second.secret, &Claims::of(&video));
    let moved = session.renewed(&session.renew_with(&server, &token).expect(200).json());
    server.get(&session.uri).expect(200);
    server.revoke(&server.kid);
    server.get(&session.uri).expect_code(403, "asset_url_revoked");
    server.get(&moved.uri).expect(200);
    moved.renew(&server).expect(200);
    server.revoke(&second.kid);
    server.get(&moved.uri).expect_code(403, "asset_url_revoked");
    expect(moved.renew(&server), GONE);
}

#[test]
fn a_session_survives_a_restart() {
    let (mut server, video, _, session) = opened();
    let again = session.renewed(&session.renew(&server).expect(200).json());
    assert!(server.stop());
    server.serve();
    server.get(&session.uri).expect(200);
    for token in [&session, &again] {
        let renewed = session.renewed(&token.renew(&server).expect(200).json());
        server.get(&renewed.uri).expect(200);
    }
    session.renew_with(&server, &server.token(&video)).expect(200);
    let listed = server.admin(Method::GET, "/sessions", &Value::Null).expect(200).json();
    assert_eq!(listed["items"][0]["id"], *session.id, "a renewal shows it again: {listed}");
    server.kill();
    server.serve();
    session.renew(&server).expect(200);
    server.revoke(&server.kid);
    expect(session.renew(&server), GONE);
}

#[test]
fn what_ended_a_session_holds_after_a_restart() {
    let (mut server, video, embed, ended) = opened();
    let (kept, second_key) = (Session::open(&server, &embed, Some(&server.token(&video))), server.signing_key());
    let (twin_video, twin_embed) = server.video("private");
    let token = sign(&second_key.kid, &second_key.secret, &Claims::of(&twin_video));
    let revoked = Session::open(&server, &twin_embed, Some(&token));
    server.admin(Method::DELETE, &format!("/sessions/{}", ended.id), &Value::Null).expect(204);
    server.revoke(&second_key.kid);
    // At once, without a farewell: what was answered is durable.
    server.kill();
    server.serve();
    for session in [&ended, &revoked] {
        expect(session.renew(&server), GONE);
        server.get(&session.uri).expect_code(403, "asset_url_revoked");
    }
    expect(ended.renew_with(&server, &server.token(&video)), GONE);
    kept.renew(&server).expect(200);
    server.get(&kept.uri).expect(200);
}

#[test]
fn a_session_begun_before_a_restart_is_ended_by_naming_its_video() {
    let (mut server, video, _, session) = opened();
    let (twin_video, _) = server.video("private");
    let (private_key, _) = server.other_organization();
    server.kill();
    server.serve();
    let path = format!("/sessions/{}/end", session.id);
    let named = format!("{path}?videoId={video}");
    server.admin(Method::POST, &path, &Value::Null).expect_code(404, "not_found");
    server.admin(Method::POST, &format!("{path}?videoId=x"), &Value::Null).expect_code(404, "not_found");
    server.admin_as(&private_key, Method::POST, &named, &Value::Null).expect_code(404, "not_found");
    // Another video's session of that id is another session.
    server.admin(Method::POST, &format!("{path}?videoId={twin_video}"), &Value::Null).expect(204);
    server.get(&session.uri).expect(200);
    server.admin(Method::POST, &named, &Value::Null).expect(204);
    server.get(&session.uri).expect_code(403, "asset_url_revoked");
    expect(session.renew(&server), GONE);
}

#[test]
fn live_sessions_are_listed_and_ended_by_their_organization() {
    let (server, video, embed, first) = opened();
    let token = server.token(&video);
    let (private_key, _) = server.other_organization();
    let second = Session::open(&server, &embed, Some(&token));
    let third = Session::open(&server, &embed, Some(&token));
    let list = |query: &str| server.admin(Method::GET, &format!("/sessions{query}"), &Value::Null).expect(200).json();
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut all = ids(&list(""));
    all.sort();
    let mut expected = vec![first.id.clone(), second.id.clone(), third.id.clone()];
    expected.sort();
    assert_eq!(all, expected);
    let item = list("")["items"][0].clone();
    assert_eq!((&item["videoId"], &item["embedId"]), (&json!(video), &json!(embed)));
    assert_eq!(item["signingKeyId"], json!(server.kid));
    assert!(["startedAt", "liveUntil", "endsAt"].iter().all(|name| item[name].is_string()), "{item}");
    assert!(!list("").to_string().contains("r1.") && !list("").to_string().contains("p1."));

    let page = list("?limit=2");
    assert_eq!(ids(&page).len(), 2);
    let rest = list(&format!("?limit=2&cursor={}", page["pageInfo"]["nextCursor"].as_str().unwrap()));
    assert_eq!((ids(&rest).len(), &rest["pageInfo"]["nextCursor"]), (1, &Value::Null));
    let mut paged = [ids(&page), ids(&rest)].concat();
    paged.sort();
    assert_eq!(paged, expected);
    for query in ["?limit=0", "?limit=101", "?limit=x", "?cursor=x"] {
        server.admin(Method::GET, &format!("/sessions{query}"), &Value::Null).expect(422);
    }

    let keys = server.admin(Method::GET, "/signing-keys", &Value::Null).expect(200).json();
    let key = keys["items"].as_array().unwrap().iter().find(|key| key["id"] == json!(server.kid)).unwrap();
    assert_eq!(key["liveSessions"], 3);

    let theirs = server.admin_as(&private_key, Method::GET, "/sessions", &Value::Null).expect(200).json();
    assert_eq!(theirs["items"], json!([]));
    let path = format!("/sessions/{}", first.id);
    server.admin_as(&private_key, Method::DELETE, &path, &Value::Null).expect_code(404, "not_found");
    server.admin_as(&server.publishable_key, Method::DELETE, &path, &Value::Null).expect(403);
    server.get(&first.uri).expect(200);
    server.admin(Method::DELETE, &path, &Value::Null).expect(204);
    server.get(&first.uri).expect_code(403, "asset_url_revoked");
    let left = ids(&list(""));
    assert!(left.len() == 2 && !left.contains(&first.id), "{left:?}");
    second.renew(&server).expect(200);
    third.renew(&server).expect(200);
    assert_eq!(ids(&list("")).len(), 2, "a renewal is the same session");
}

#[test]
fn a_viewer_may_renew_past_the_tokens_own_expiry() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let short = sign(&server.kid, &server.secret, &json!({ "sub": video, "iat": now(), "exp": now() + 2 }));
    let session = Session::open(&server, &embed, Some(&short));
    wait_for("the token expires", Duration::from_secs(15), || server.playback(&embed, Some(&short)).status == 401);
    server.playback(&embed, Some(&short)).expect_code(401, "playback_token_expired");
    let renewed = session.renewed(&session.renew(&server).expect(200).json());
    server.get(&renewed.uri).expect(200);
    server.get(&session.uri).expect(200);
}

#[test]
fn the_secret_behind_asset_urls_is_rotated_unnoticed_or_dropped_at_once() {
    let (mut server, video, embed, before) = opened();
    let key_of = |session: &Session| session.uri.split('.').nth(1).unwrap().to_owned();
    let rotate = |server: &Server, more: &[&str]| {
        let config = server.config();
        let arguments = [&["key", "rotate-asset", "--json", "--config", config.to_str().unwrap()], more].concat();
        crate::support::screener(&arguments).unwrap()["assetKey"].as_str().unwrap().to_owned()
    };
    let second = rotate(&server, &[]);
    let after = Session::open(&server, &embed, Some(&server.token(&video)));
    assert_eq!(key_of(&after), second);
    assert_ne!(key_of(&before), second);
    server.get(&before.uri).expect(200);
    before.renew(&server).expect(200);
    server.get(&after.uri).expect(200);
    // Both are known after a restart, too.
    server.kill();
    server.serve();
    server.get(&before.uri).expect(200);
    let third = rotate(&server, &["--drop-old"]);
    assert!(third != second);
    for session in [&before, &after] {
        server.get(&session.uri).expect_code(403, "asset_url_invalid");
        expect(session.renew(&server), NO_RENEW_TOKEN);
    }
    server.kill();
    server.serve();
    server.get(&after.uri).expect_code(403, "asset_url_invalid");
    let anew = Session::open(&server, &embed, Some(&server.token(&video)));
    server.get(&anew.uri).expect(200);
}
