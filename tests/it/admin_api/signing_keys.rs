//! `/signing-keys` as lists and shapes; what revoking does is in `revocation`.

use super::{all, get, text};
use crate::support::Server;
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn a_key_is_listed_with_everything_but_its_secret() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let listed = &get(&server, "/signing-keys")["items"][0];
    assert_eq!(listed["lastUsedAt"], Value::Null);
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    let page = get(&server, "/signing-keys");
    let listed = &page["items"][0];
    assert_eq!((&listed["id"], &listed["label"]), (&json!(server.kid), &json!("test")));
    assert_eq!((&listed["status"], &listed["revokedAt"]), (&json!("active"), &Value::Null));
    assert!(listed["createdAt"].is_string() && listed["lastUsedAt"].is_string(), "{listed}");
    assert_eq!(listed["liveSessions"], 2);
    assert_eq!(listed.get("secret"), None);
    server.admin(Method::POST, &format!("/signing-keys/{}/revoke", server.kid), &Value::Null).expect(200);
    let page = get(&server, "/signing-keys");
    let listed = &page["items"][0];
    assert_eq!((&listed["status"], &listed["liveSessions"]), (&json!("revoked"), &json!(0)));
    assert!(listed["revokedAt"].is_string());
}

#[test]
fn when_a_key_was_last_used_is_known_after_a_restart() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    let used = get(&server, "/signing-keys")["items"][0]["lastUsedAt"].clone();
    assert!(used.is_string());
    assert!(server.stop());
    server.serve();
    assert_eq!(get(&server, "/signing-keys")["items"][0]["lastUsedAt"], used);
}

#[test]
fn a_rotated_key_keeps_its_label_and_is_listed_first() {
    let server = Server::start();
    let rotated =
        server.admin(Method::POST, &format!("/signing-keys/{}/rotate", server.kid), &Value::Null).expect(201).json();
    assert_eq!(rotated["label"], "test");
    assert!(text(&rotated["secret"]).starts_with("mvi_sign_"));
    let keys = all(&server, "/signing-keys");
    assert_eq!(keys.len(), 2);
    assert_eq!((&keys[0]["id"], &keys[0]["status"]), (&rotated["id"], &json!("active")));
    assert_eq!(keys[1]["status"], "active");
    for id in ["00000000-0000-4000-8000-000000000000", "nonsense", "../organization"] {
        server.admin(Method::POST, &format!("/signing-keys/{id}/rotate"), &Value::Null).expect_code(404, "not_found");
    }
}
