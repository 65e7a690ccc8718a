//! How long a browser stays signed in, and what ends it.

use super::{Browser, COOKIE};
use crate::support::{Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

/// Asserts that a cookie opens neither pages nor the API, to read or to change.
#[track_caller]
fn assert_over(browser: &Browser<'_>) {
    let sent = browser.get("/dashboard/settings").expect(303);
    assert_eq!(sent.header("location"), Some("/dashboard/sign-in?next=/dashboard/settings"));
    assert_eq!(browser.done("/dashboard/signing-keys", &[("label", "x")]), "/dashboard/sign-in?said=signed_out");
    browser.get("/admin/v1/videos").expect_code(401, "private_key_invalid");
    browser.api(Method::POST, "/signing-keys", &json!({})).expect_code(401, "private_key_invalid");
    browser.get("/dashboard/sign-in").expect(200);
}

#[test]
fn a_session_opens_pages_and_the_api_until_it_is_signed_out() {
    let server = Server::start();
    let (browser, other) = (Browser::sign_in(&server), Browser::sign_in(&server));
    browser.page("/dashboard/settings");
    browser.get("/admin/v1/videos").expect(200);
    browser.api(Method::POST, "/videos", &json!({ "title": "By cookie" })).expect(201);
    let entry = &server.all("audit")[0];
    assert_eq!(entry["actor"]["type"], "private_key", "{entry}");
    let reply = browser.post("/dashboard/sign-out", &[]).expect(303);
    assert_eq!(reply.header("location"), Some("/dashboard/sign-in?said=signed_out"));
    let gone = reply.header("set-cookie").unwrap();
    assert!(gone.starts_with(&format!("{COOKIE}=;")) && gone.contains("Max-Age=0"), "{gone}");
    assert_over(&browser);
    browser.post("/dashboard/sign-out", &[]).expect(303);
    other.page("/dashboard/settings");
    let actions: Vec<Value> = server.all("audit").iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "dashboard.sign_out").count(), 1, "{actions:?}");
}

#[test]
fn a_session_ends_with_its_private_key_and_no_other_does() {
    let server = Server::start();
    let made = server.admin(Method::POST, "/private-keys", &json!({ "label": "Ana" })).expect(201).json();
    let (hers, mine) = (Browser::sign_in_with(&server, made["key"].as_str().unwrap()), Browser::sign_in(&server));
    hers.page("/dashboard/videos");
    server.admin(Method::POST, &format!("/private-keys/{}/revoke", super::text(&made["id"])), &Value::Null).expect(200);
    assert_over(&hers);
    mine.page("/dashboard/videos");
}

#[test]
fn a_session_outlives_a_restart_and_no_restored_backup_brings_one_back() {
    let mut server = Server::start();
    let cookie = Browser::sign_in(&server).cookie;
    assert!(server.stop());
    server.serve();
    Browser::with(&server, &cookie).page("/dashboard/videos");
    server.kill();
    server.serve();
    Browser::with(&server, &cookie).page("/dashboard/videos");
    let backup = server.scratch().join("backup");
    server.verb(&["backup", "create", backup.to_str().unwrap()]).expect(0);
    assert!(server.stop());
    let (state, into) = (server.state(), server.scratch().join("restored"));
    server.verb(&["backup", "restore", backup.to_str().unwrap(), "--into", into.to_str().unwrap()]).expect(0);
    std::fs::copy(state.join("master.key"), into.join("master.key")).unwrap();
    std::fs::rename(&state, state.with_extension("before")).unwrap();
    std::fs::rename(&into, &state).unwrap();
    server.serve();
    assert_over(&Browser::with(&server, &cookie));
    Browser::sign_in(&server).page("/dashboard/videos");
}

#[test]
fn the_cookie_is_found_among_others_and_nothing_else_is_taken_for_it() {
    let server = Server::start();
    let cookie = Browser::sign_in(&server).cookie;
    let value = cookie.split_once('=').unwrap().1;
    let status = |headers: &[String]| {
        let request = server.request(Method::GET, "/dashboard/system");
        let request = headers.iter().fold(request, |request, header| request.header("cookie", header));
        Reply::read(request.send().unwrap()).status
    };
    for found in [
        format!("a=b; {cookie}; c=d"),
        format!("a=b;{cookie};c=d"),
        format!("x{COOKIE}=no; {cookie}"),
        format!("a=\"{COOKIE}=no\"; {cookie}"),
        // What an application on another port of this host has set; cookies know no ports (RFC 6265 §8.5).
        format!("name=Zoë; {cookie}"),
    ] {
        assert_eq!(status(std::slice::from_ref(&found)), 200, "{found}");
    }
    for lost in [
        String::new(),
        format!("{COOKIE}="),
        COOKIE.to_owned(),
        format!("x{cookie}"),
        format!("screener={value}"),
        format!("{COOKIE} ={value}"),
        format!("{COOKIE}=\"{value}\""),
        format!("{cookie}x"),
        format!("{COOKIE}={}", &value[1..]),
        format!("{COOKIE}={}", server.private_key),
        format!("{COOKIE}={}", "A".repeat(6000)),
        format!("{}={value}", COOKIE.to_lowercase()),
    ] {
        assert_eq!(status(std::slice::from_ref(&lost)), 303, "{lost}");
    }
    assert_eq!(status(&[cookie.clone(), "a=b".to_owned()]), 303, "two Cookie lines are never one browser's");
    // It is no credential anywhere else.
    for header in ["authorization", "x-api-key", "x-moviie-playback-token"] {
        let request = server.request(Method::GET, "/admin/v1/videos").header(header, format!("Bearer {value}"));
        Reply::read(request.send().unwrap()).expect_code(401, "private_key_invalid");
    }
}
