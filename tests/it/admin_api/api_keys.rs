//! `/publishable-keys` and `/private-keys`.

use super::{all, assert_fields, text};
use crate::support::Server;
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn a_private_key_is_shown_once_works_and_can_be_revoked() {
    let server = Server::start();
    let made = server.admin(Method::POST, "/private-keys", &json!({ "label": "CI" })).expect(201).json();
    let key = text(&made["key"]);
    assert!(key.starts_with("mvi_priv_") && key.len() == "mvi_priv_".len() + 43);
    server.admin_as(&key, Method::GET, "/organization", &Value::Null).expect(200);
    for path in ["/private-keys", "/audit", "/organization", "/publishable-keys"] {
        let shown = server.admin(Method::GET, path, &Value::Null).expect(200).text();
        assert!(!shown.contains(&key) && !shown.contains(&key[9..]), "{path}");
    }
    let listed = all(&server, "/private-keys");
    assert_eq!((listed.len(), &listed[0]["label"], &listed[0]["revokedAt"]), (2, &json!("CI"), &Value::Null));
    assert!(key.ends_with(&text(&listed[0]["hint"])));
    let path = format!("/private-keys/{}/revoke", text(&made["id"]));
    server.admin(Method::POST, &path, &Value::Null).expect(200);
    server.admin_as(&key, Method::GET, "/organization", &Value::Null).expect_code(401, "private_key_invalid");
    // Again is the same as once.
    server.admin(Method::POST, &path, &Value::Null).expect(200);
}

#[test]
fn the_last_private_key_cannot_be_revoked_not_even_by_two_at_once() {
    let server = Server::start();
    let first = text(&all(&server, "/private-keys")[0]["id"]);
    let revoke =
        |key: &str, id: &str| server.admin_as(key, Method::POST, &format!("/private-keys/{id}/revoke"), &Value::Null);
    revoke(&server.private_key, &first).expect_code(409, "last_private_key");
    let mut key = server.private_key.clone();
    let mut id = first;
    for _ in 0..10 {
        let made = server.admin_as(&key, Method::POST, "/private-keys", &Value::Null).expect(201).json();
        let (other_key, other_id) = (text(&made["key"]), text(&made["id"]));
        // Each revokes the other: one of them must stay.
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| revoke(&key, &other_id).status);
            let two = scope.spawn(|| revoke(&other_key, &id).status);
            (one.join().unwrap(), two.join().unwrap())
        });
        // 401 where the caller's own key was gone before it asked.
        assert!(matches!((one, two), (200, 401 | 409) | (401 | 409, 200)), "{one}, {two}");
        if two == 200 {
            (key, id) = (other_key, other_id);
        }
        server.admin_as(&key, Method::GET, "/organization", &Value::Null).expect(200);
    }
}

#[test]
fn a_publishable_key_carries_its_rules() {
    let server = Server::start();
    let body = json!({ "label": "app", "originRules": ["acme.com"], "bundleIds": ["com.acme.app"] });
    let made = server.admin(Method::POST, "/publishable-keys", &body).expect(201).json();
    assert!(text(&made["key"]).starts_with("mvi_pub_"));
    let listed = all(&server, "/publishable-keys");
    let listed = listed.iter().find(|key| key["id"] == made["id"]).unwrap();
    for (member, value) in body.as_object().unwrap() {
        assert_eq!(listed[member], *value);
    }
    for (member, value) in [
        ("label", json!("")),
        ("originRules", json!(["https://"])),
        ("bundleIds", json!(["a b"])),
        ("bundleIds", json!("com.acme")),
        ("bundleIds", json!(vec!["com.acme"; 31])),
        ("key", json!("mvi_pub_mine")),
        ("id", json!("x")),
        ("hash", json!("x")),
    ] {
        assert_fields(server.admin(Method::POST, "/publishable-keys", &json!({ member: value })), &[member]);
    }
}
