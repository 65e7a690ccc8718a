//! The pages of signing, publishable and private keys.

use super::{Browser, value_of};
use crate::support::{Claims, Server, sign};
use reqwest::Method;
use serde_json::{Value, json};

/// All that is told of keys after a secret was shown.
fn everything_later(browser: &Browser<'_>) -> String {
    let server = browser.server;
    let paths = ["signing-keys", "publishable-keys", "private-keys", "audit", "videos", "settings"];
    let mut told: String = paths.iter().map(|path| browser.page(&format!("/dashboard/{path}"))).collect();
    told.push_str(&server.told().to_string());
    told.push_str(&server.log_text());
    told
}

fn read(server: &Server, kind: &str, id: &str) -> Value {
    server.all(kind).into_iter().find(|key| key["id"] == id).unwrap()
}

#[test]
fn a_signing_keys_secret_is_on_the_page_that_made_it_and_nowhere_else() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (video, embed) = server.video("private");
    let page = browser.post("/dashboard/signing-keys", &[("label", "backend")]).expect(200).text();
    let (kid, secret) = (value_of(&page, "kid"), value_of(&page, "secret"));
    assert!(secret.starts_with("mvi_sign_"));
    assert_eq!(page.matches(&secret).count(), 1);
    server.playback(&embed, Some(&sign(&kid, &secret, &Claims::of(&video)))).expect(200);
    assert_eq!(read(&server, "signing-keys", &kid)["label"], "backend");
    let later = everything_later(&browser);
    assert!(!later.contains(&secret) && later.contains(&kid));
    browser.refused("/dashboard/signing-keys", &[("label", &"x".repeat(201))], 422);
}

#[test]
fn rotating_makes_a_key_beside_the_old_one_and_shows_its_secret_once() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (video, embed) = server.video("private");
    let path = format!("/dashboard/signing-keys/{}/rotate", server.kid);
    assert!(browser.page(&path).contains("Make the new key"));
    let page = browser.post(&path, &[]).expect(200).text();
    let (kid, secret) = (value_of(&page, "kid"), value_of(&page, "secret"));
    assert_ne!(kid, server.kid);
    for (kid, secret) in [(&kid, &secret), (&server.kid, &server.secret)] {
        server.playback(&embed, Some(&sign(kid, secret, &Claims::of(&video)))).expect(200);
    }
    let step = browser.page(&format!("{path}?to={kid}"));
    assert!(step.contains(&kid) && !step.contains(&secret));
    assert!(!everything_later(&browser).contains(&secret));
    let revoke = format!("/dashboard/signing-keys/{}/revoke", server.kid);
    assert_eq!(browser.done(&revoke, &[("confirm", "revoke")]), "/dashboard/signing-keys?said=key_revoked");
    server.playback(&embed, Some(&server.token(&video))).expect_code(401, "playback_token_revoked");
    server.playback(&embed, Some(&sign(&kid, &secret, &Claims::of(&video)))).expect(200);
    let again = browser.post(&path, &[]);
    assert_eq!(again.status, 409, "a revoked key was rotated: {}", again.text());
}

#[test]
fn no_key_is_revoked_before_the_word_is_typed() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let made = |kind: &str| {
        let made = server.admin(Method::POST, &format!("/{kind}"), &json!({ "label": "to be revoked" }));
        super::text(&made.expect(201).json()["id"])
    };
    for kind in ["signing-keys", "publishable-keys", "private-keys"] {
        let id = made(kind);
        let path = format!("/dashboard/{kind}/{id}/revoke");
        for typed in [None, Some(""), Some("delete"), Some("revoke it"), Some("revokerevoke")] {
            let fields: Vec<(&str, &str)> = typed.iter().map(|typed| ("confirm", *typed)).collect();
            let page = browser.refused(&path, &fields, 422);
            assert!(page.contains("must be the word revoke; nothing was changed"), "{page}");
            assert_eq!(read(&server, kind, &id)["revokedAt"], Value::Null);
        }
        let told = browser.done(&path, &[("confirm", " REVOKE ")]);
        assert_eq!(told, format!("/dashboard/{kind}?said=key_revoked"));
        assert!(read(&server, kind, &id)["revokedAt"].is_string());
        assert!(browser.page(&told).contains("The key is revoked."));
    }
}

#[test]
fn a_publishable_key_has_the_rules_that_the_form_names() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (_, embed) = server.video("public");
    let fields = [("label", "shop"), ("originRules", "shop.acme.com\r\n"), ("bundleIds", "com.acme.shop com.acme.tv")];
    let page = browser.post("/dashboard/publishable-keys", &fields).expect(200).text();
    let key = value_of(&page, "secret");
    let stored = &server.all("publishable-keys")[0];
    assert_eq!(stored["originRules"], json!(["shop.acme.com"]));
    assert_eq!(stored["bundleIds"], json!(["com.acme.shop", "com.acme.tv"]));
    let path = format!("/api/v1/embeds/{embed}/playback");
    let bearer = format!("Bearer {key}");
    let from = |origin: &str| {
        let client = ("x-moviie-client", "bundle_id=com.acme.shop");
        server.play(&path, &[("authorization", &bearer), ("origin", origin), client])
    };
    from("https://shop.acme.com").expect(200);
    assert_eq!(from("https://evil.example").status, 403);
    let page = browser.page("/dashboard/publishable-keys");
    assert!(page.contains("<code>shop.acme.com</code>") && page.contains("<code>com.acme.tv</code>"), "{page}");
    assert!(!everything_later(&browser).contains(&key));
    let refused = browser.refused("/dashboard/publishable-keys", &[("label", "x"), ("originRules", "no rule/")], 422);
    assert!(refused.contains("id=\"originRules-wrong\"") && refused.contains("<details open>"), "{refused}");
    assert_eq!(server.all("publishable-keys").len(), 2);
}

#[test]
fn a_private_key_signs_in_until_it_is_revoked_and_the_last_one_stays() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let own = super::text(&server.all("private-keys")[0]["id"]);
    let revoke = |id: &str| format!("/dashboard/private-keys/{id}/revoke");
    assert!(browser.page("/dashboard/private-keys").contains("the last one stays"));
    let refused = browser.refused(&revoke(&own), &[("confirm", "revoke")], 409);
    assert!(refused.contains("role=\"alert\""), "{refused}");
    let page = browser.post("/dashboard/private-keys", &[("label", "Ana")]).expect(200).text();
    let key = value_of(&page, "secret");
    assert!(!everything_later(&browser).contains(&key));
    let hers = Browser::sign_in_with(&server, &key);
    let page = hers.page("/dashboard/private-keys");
    assert_eq!(page.matches(">you</span>").count(), 1);
    assert!(page.split("<tr").skip(1).find(|row| row.contains("Ana")).unwrap().contains(">you</span>"), "{page}");
    // Whoever revokes the key that they are signed in with is signed out.
    browser.done(&revoke(&own), &[("confirm", "revoke")]);
    browser.get("/dashboard/private-keys?said=key_revoked").expect(303);
    hers.page("/dashboard/private-keys");
    let entries = hers.get("/admin/v1/audit").expect(200).json();
    assert_eq!(entries["items"][0]["action"], "private_key.revoke");
}
