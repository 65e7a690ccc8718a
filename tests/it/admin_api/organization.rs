//! `/organization`: its settings.

use super::{assert_fields, get};
use crate::support::Server;
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn a_new_organization_has_the_documented_settings() {
    let server = Server::start();
    let (key, _) = server.other_organization();
    let organization = server.admin_as(&key, Method::GET, "/organization", &Value::Null).expect(200).json();
    for (member, value) in [
        ("tokenAccess", json!(false)),
        ("defaultVisibility", json!("public")),
        ("assetUrlTtl", json!(300)),
        ("sessionMaxAge", json!(43_200)),
        ("maxTokenLifetime", json!(86_400)),
        ("originRules", json!([])),
        ("name", json!("Other")),
    ] {
        assert_eq!(organization[member], value, "{member}");
    }
}

#[test]
fn each_setting_is_changed_alone_and_read_back() {
    let server = Server::start();
    for (member, value) in [
        ("name", json!("Acme")),
        ("tokenAccess", json!(false)),
        ("defaultVisibility", json!("private")),
        ("assetUrlTtl", json!(30)),
        ("assetUrlTtl", json!(86_400)),
        ("sessionMaxAge", json!(0)),
        ("sessionMaxAge", json!(604_800)),
        ("maxTokenLifetime", json!(60)),
        ("originRules", json!(["acme.com", "*.acme.com", "acme.com:8443"])),
        ("originRules", json!([])),
    ] {
        let before = get(&server, "/organization");
        let answer = server.admin(Method::PATCH, "/organization", &json!({ member: value })).expect(200).json();
        let mut expected = before.clone();
        expected[member] = value;
        assert_eq!(answer, expected, "{member}");
        assert_eq!(get(&server, "/organization"), expected, "{member}");
    }
}

#[test]
fn what_is_wrong_is_said_field_by_field_and_nothing_is_changed() {
    let server = Server::start();
    let before = get(&server, "/organization");
    for (member, value) in [
        ("name", json!("")),
        ("name", json!(7)),
        ("name", json!(null)),
        ("tokenAccess", json!("yes")),
        ("tokenAccess", json!(1)),
        ("tokenAccess", json!(null)),
        ("defaultVisibility", json!("secret")),
        ("defaultVisibility", json!("Public")),
        ("defaultVisibility", json!(null)),
        ("assetUrlTtl", json!(29)),
        ("assetUrlTtl", json!(86_401)),
        ("assetUrlTtl", json!("300")),
        ("assetUrlTtl", json!(300.5)),
        ("assetUrlTtl", json!(-300)),
        ("assetUrlTtl", json!(1e30)),
        ("sessionMaxAge", json!(-1)),
        ("sessionMaxAge", json!(604_801)),
        ("maxTokenLifetime", json!(59)),
        ("originRules", json!("acme.com")),
        ("originRules", json!([7])),
        ("originRules", json!(["*"])),
        ("originRules", json!(["a b"])),
        ("originRules", json!(["*.*.acme.com"])),
        ("originRules", json!(vec!["acme.com"; 31])),
        // Members that exist but are not anyone's to set, and some that don't.
        ("id", json!("00000000-0000-4000-8000-000000000000")),
        ("createdAt", json!("2020-01-01T00:00:00Z")),
        ("isAdmin", json!(true)),
        ("tokenaccess", json!(true)),
    ] {
        let body = json!({ "assetUrlTtl": 77, member: value });
        assert_fields(server.admin(Method::PATCH, "/organization", &body), &[member]);
        assert_eq!(get(&server, "/organization"), before, "{member}");
    }
    let body = json!({ "name": "", "assetUrlTtl": 1, "nonsense": 1 });
    assert_fields(server.admin(Method::PATCH, "/organization", &body), &["name", "assetUrlTtl", "nonsense"]);
    server.admin(Method::PATCH, "/organization", &json!({ "assetUrlTtl": 77 })).expect(200);
}
