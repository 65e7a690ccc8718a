//! `/audit`: every change exactly one entry, each chained to the one before it.

use super::{all, text};
use crate::support::{FIXTURE, Server};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[test]
fn every_change_is_one_entry_and_what_changes_nothing_is_none() {
    let server = Server::start();
    let mut secrets = vec![server.private_key.clone(), server.publishable_key.clone(), server.secret.clone()];
    let mut entries = all(&server, "/audit").len();
    let mut step = |method: Method, path: String, body: Value, status: u16, action: &str| {
        let reply = server.admin(method.clone(), &path, &body).expect(status);
        let made = if status == 204 { Value::Null } else { reply.json() };
        let now = all(&server, "/audit");
        let expected = usize::from(!action.is_empty());
        assert_eq!(now.len(), entries + expected, "{method} {path}: {:?}", now.first());
        if expected == 1 {
            assert_eq!(now[0]["action"], action);
            assert_eq!(now[0]["actor"]["type"], "private_key");
            assert!(now[0]["at"].is_string() && now[0]["subject"]["id"].is_string());
            if let Some(id) = made["id"].as_str()
                && action != "signing_key.rotate"
            {
                assert_eq!(now[0]["subject"]["id"], id, "{action}");
            }
        }
        entries = now.len();
        for member in ["secret", "key"] {
            secrets.extend(made[member].as_str().map(str::to_owned));
        }
        made
    };
    let org = || "/organization".to_owned();
    step(Method::PATCH, org(), json!({ "assetUrlTtl": 60 }), 200, "organization.change");
    step(Method::PATCH, org(), json!({ "assetUrlTtl": 60 }), 200, "");
    step(Method::PATCH, org(), json!({ "assetUrlTtl": 1 }), 422, "");
    let key = step(Method::POST, "/signing-keys".into(), Value::Null, 201, "signing_key.create");
    let key = text(&key["id"]);
    step(Method::POST, format!("/signing-keys/{key}/rotate"), Value::Null, 201, "signing_key.rotate");
    step(Method::POST, format!("/signing-keys/{key}/revoke"), Value::Null, 200, "signing_key.revoke");
    step(Method::POST, format!("/signing-keys/{key}/revoke"), Value::Null, 200, "");
    step(Method::POST, format!("/signing-keys/{key}/rotate"), Value::Null, 409, "");
    for (kind, action) in [("publishable-keys", "publishable_key"), ("private-keys", "private_key")] {
        let key = step(Method::POST, format!("/{kind}"), Value::Null, 201, &format!("{action}.create"));
        let path = format!("/{kind}/{}/revoke", text(&key["id"]));
        step(Method::POST, path.clone(), Value::Null, 200, &format!("{action}.revoke"));
        step(Method::POST, path, Value::Null, 200, "");
    }
    let video = step(Method::POST, "/videos".into(), json!({ "title": "a", "referenceId": "r" }), 201, "video.create");
    step(Method::POST, "/videos".into(), json!({ "title": "a", "referenceId": "r" }), 409, "");
    let (video, embed) = (text(&video["id"]), text(&video["embedId"]));
    step(Method::PATCH, format!("/videos/{video}"), json!({ "visibility": "private" }), 200, "video.change");
    step(Method::PATCH, format!("/videos/{video}"), json!({ "visibility": "private" }), 200, "");
    step(Method::POST, "/embeds".into(), json!({ "videoId": video }), 201, "embed.create");
    step(Method::PATCH, format!("/embeds/{embed}"), json!({ "videoId": video }), 200, "");
    step(Method::DELETE, format!("/embeds/{embed}"), Value::Null, 204, "embed.delete");
    step(Method::DELETE, format!("/embeds/{embed}"), Value::Null, 404, "");
    step(Method::POST, "/explain".into(), json!({ "embedId": embed }), 404, "");
    step(Method::GET, "/videos".into(), Value::Null, 200, "");
    step(Method::DELETE, format!("/videos/{video}"), Value::Null, 204, "video.delete");
    let (video, embed) = server.pending_video("public");
    assert_eq!(all(&server, "/audit")[0]["action"], "video.create");
    server.upload(&video, FIXTURE).expect(200);
    let log = all(&server, "/audit");
    assert_eq!((&log[1]["action"], &log[1]["actor"]["type"]), (&json!("video.source"), &json!("private_key")));
    assert_eq!((&log[0]["action"], &log[0]["actor"]["type"]), (&json!("video.packaged"), &json!("server")));
    assert_eq!((&log[0]["subject"]["id"], &log[1]["subject"]["id"]), (&json!(video), &json!(video)));
    let session = text(&server.playback(&embed, None).expect(200).json()["session"]["id"]);
    assert_eq!(all(&server, "/audit"), log, "playing changes nothing");
    // What stands beside a film.
    let before = log.len();
    let beside = |method: Method, what: &str, kind: &str, bytes: &'static [u8]| {
        let request = server.request(method, &format!("/admin/v1/videos/{video}/{what}"));
        let status = request.bearer_auth(&server.private_key).header("content-type", kind).body(bytes).send();
        assert!(status.unwrap().status().is_success(), "{what}");
        text(&all(&server, "/audit")[0]["action"])
    };
    let poster = include_bytes!("../../fixtures/poster.jpg");
    assert_eq!(beside(Method::PUT, "poster", "image/jpeg", poster), "video.poster");
    assert_eq!(beside(Method::DELETE, "poster", "image/jpeg", b""), "video.poster_delete");
    let captions = b"WEBVTT\n\n00:00.000 --> 00:01.000\na\n";
    assert_eq!(beside(Method::PUT, "captions/en", "text/vtt", captions), "video.captions");
    assert_eq!(beside(Method::DELETE, "captions/en", "text/vtt", b""), "video.captions_delete");
    assert_eq!(all(&server, "/audit").len(), before + 4);
    server.admin(Method::DELETE, &format!("/sessions/{session}"), &Value::Null).expect(204);
    let log = all(&server, "/audit");
    assert_eq!((&log[0]["action"], log.len()), (&json!("session.end"), entries + 8));
    let shown = Value::Array(log).to_string();
    assert!(secrets.len() > 6);
    for secret in secrets {
        let body = secret.rsplit_once('_').unwrap().1;
        let is_shown = shown.contains(&secret) || (body.len() > 20 && shown.contains(body));
        assert!(!is_shown, "a secret stands in the log");
    }
    for prefix in ["mvi_priv_", "mvi_sign_", "mvi_pub_"] {
        assert!(!shown.contains(prefix), "{prefix}");
    }
}

#[test]
fn the_chain_holds_from_the_first_entry_on_and_over_a_restart() {
    let mut server = Server::start();
    let (video, _) = server.video("private");
    server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "title": "<b>\u{e9}\"\\" })).expect(200);
    server.kill();
    server.serve();
    server.admin(Method::PATCH, "/organization", &json!({ "originRules": ["acme.com"] })).expect(200);
    let organization = text(&server.admin(Method::GET, "/organization", &Value::Null).json()["id"]);
    let mut log = all(&server, "/audit");
    log.reverse();
    let mut previous = "0".repeat(64);
    for (place, entry) in log.iter().enumerate() {
        assert_eq!(entry["number"], place + 1);
        assert_eq!(entry["previous"], previous);
        let at = OffsetDateTime::parse(entry["at"].as_str().unwrap(), &Rfc3339).unwrap();
        let millis = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap();
        // As src/domain/audit.rs has it: every other field, in the order of the record.
        let hashed = json!([
            entry["id"],
            organization,
            entry["number"],
            millis,
            entry["actor"],
            entry["action"],
            entry["subject"],
            entry["detail"]
        ]);
        let hash = Sha256::digest(format!("{previous}\n{hashed}"));
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(entry["hash"], hash, "{entry}");
        previous = hash;
    }
    assert!(log.len() >= 6, "{}", log.len());
    // The log is read, never written.
    for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
        server.admin(method, "/audit", &json!({})).expect_code(405, "method_not_allowed");
    }
    server.admin(Method::DELETE, &format!("/audit/{}", text(&log[0]["id"])), &Value::Null).expect(404);
}
