//! `/explain`: each check with pass, fail or skip, without playing.

use super::{assert_fields, get, text};
use crate::support::{Claims, Server, now, sign};
use reqwest::Method;
use serde_json::{Value, json};

fn explain(server: &Server, body: &Value) -> Value {
    server.admin(Method::POST, "/explain", body).expect(200).json()
}

fn results(answer: &Value) -> Vec<(String, String)> {
    let checks = answer["checks"].as_array().unwrap();
    checks.iter().map(|check| (text(&check["check"]), text(&check["result"]))).collect()
}

const CHECKS: [&str; 10] = [
    "origin",
    "token_access",
    "token_present",
    "token_form",
    "token_header",
    "token_signature",
    "signing_key_active",
    "token_times",
    "token_video",
    "video_ready",
];

#[test]
fn a_good_token_passes_every_check_and_opens_no_session() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let answer = explain(&server, &json!({ "embedId": embed, "token": server.token(&video) }));
    assert_eq!((&answer["outcome"], &answer["code"]), (&json!("plays"), &Value::Null));
    let expected: Vec<(String, String)> = CHECKS.map(|check| (check.to_owned(), "pass".to_owned())).into();
    assert_eq!(results(&answer), expected);
    assert!(get(&server, "/sessions")["items"].as_array().unwrap().is_empty());
    assert!(!answer.to_string().contains("/media/"), "{answer}");
}

#[test]
fn the_first_failure_is_named_what_comes_after_it_is_skipped_and_playing_agrees() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let (other, _) = server.video("private");
    let revoked = server.admin(Method::POST, "/signing-keys", &Value::Null).expect(201).json();
    let (revoked_id, revoked_secret) = (text(&revoked["id"]), text(&revoked["secret"]));
    server.admin(Method::POST, &format!("/signing-keys/{revoked_id}/revoke"), &Value::Null).expect(200);
    let good = server.token(&video);
    let mut expired = Claims::of(&video);
    (expired["iat"], expired["exp"]) = ((now() - 100).into(), (now() - 1).into());
    let mut long = Claims::of(&video);
    long["exp"] = (now() + 90_000).into();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let signature = good.rfind('.').unwrap() + 1;
    let other_letter = if good[signature..].starts_with('A') { "B" } else { "A" };
    let mut mangled = good.clone();
    mangled.replace_range(signature..=signature, other_letter);
    for (token, failed, code) in [
        (None, "token_present", "playback_token_missing"),
        (Some("a.b".to_owned()), "token_form", "playback_token_invalid"),
        (Some(sign(unknown, &server.secret, &Claims::of(&video))), "token_header", "playback_token_invalid"),
        (Some(sign(&server.kid, "mvi_sign_wrong", &Claims::of(&video))), "token_signature", "playback_token_invalid"),
        (Some(mangled), "token_signature", "playback_token_invalid"),
        (Some(sign(&revoked_id, &revoked_secret, &Claims::of(&video))), "signing_key_active", "playback_token_revoked"),
        (Some(sign(&server.kid, &server.secret, &expired)), "token_times", "playback_token_expired"),
        (Some(sign(&server.kid, &server.secret, &long)), "token_times", "playback_token_too_long_lived"),
        (Some(server.token(&other)), "token_video", "playback_token_wrong_video"),
    ] {
        let mut body = json!({ "embedId": embed });
        if let Some(token) = &token {
            body["token"] = json!(token);
        }
        let answer = explain(&server, &body);
        assert_eq!((&answer["outcome"], &answer["code"]), (&json!("blocked"), &json!(code)), "{failed}: {answer}");
        let results = results(&answer);
        let at = results.iter().position(|(name, _)| name == failed).unwrap_or_else(|| panic!("{failed}: {answer}"));
        assert_eq!(results[at].1, "fail", "{failed}");
        assert!(results[..at].iter().all(|(_, result)| result == "pass"), "{failed}: {results:?}");
        let after =
            results[at + 1..].iter().filter(|(name, _)| name.starts_with("token_") || name.starts_with("signing"));
        assert!(after.into_iter().all(|(_, result)| result == "skip"), "{failed}: {results:?}");
        assert_eq!(server.playback(&embed, token.as_deref()).code(), code, "{failed}");
    }
    server.playback(&embed, Some(&good)).expect(200);
}

#[test]
fn origin_readiness_and_settings_are_explained_too() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    server.admin(Method::PATCH, "/organization", &json!({ "originRules": ["acme.com"] })).expect(200);
    let good = explain(&server, &json!({ "embedId": embed, "token": token, "origin": "https://acme.com" }));
    assert_eq!(good["outcome"], "plays");
    let bad = explain(&server, &json!({ "embedId": embed, "token": token, "origin": "https://www.acme.com" }));
    assert_eq!((&bad["code"], &results(&bad)[0].1), (&json!("referrer_blocked"), &"fail".to_owned()));
    server.admin(Method::PATCH, "/organization", &json!({ "tokenAccess": false })).expect(200);
    let closed = explain(&server, &json!({ "embedId": embed, "token": token }));
    assert_eq!(closed["code"], "token_access_disabled");
    let (_, public) = server.video("public");
    let skipped = explain(&server, &json!({ "embedId": public, "token": "nonsense" }));
    assert_eq!(skipped["outcome"], "plays");
    assert!(results(&skipped).iter().filter(|(_, result)| result == "skip").count() >= 6, "{skipped}");
    let (_, pending) = server.pending_video("public");
    let pending = explain(&server, &json!({ "embedId": pending }));
    assert_eq!((&pending["outcome"], &pending["code"]), (&json!("blocked"), &json!("video_not_ready")));
}

#[test]
fn only_ones_own_embeds_are_explained() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let (other, _) = server.other_organization();
    let body = json!({ "embedId": embed, "token": server.token(&video) });
    let refused = server.admin_as(&other, Method::POST, "/explain", &body).expect_code(404, "not_found");
    assert!(!refused.text().contains(&video));
    server.admin(Method::POST, "/explain", &json!({ "embedId": video })).expect_code(404, "not_found");
    assert_fields(server.admin(Method::POST, "/explain", &json!({})), &["embedId"]);
    assert_fields(server.admin(Method::POST, "/explain", &json!({ "embedId": embed, "token": 7 })), &["token"]);
    explain(&server, &body);
}
