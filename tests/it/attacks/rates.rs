//! Rates per address, per organization and per private key (attacks B26, J29, J30): who waits, who does not, and whose word
//! about an address is taken.

use crate::support::{Options, Server, Wire};
use reqwest::Method;
use serde_json::{Value, json};

fn with(config: &str) -> Server {
    Server::with(Options { config: config.to_owned(), ..Options::default() })
}

/// Statuses of `count` requests in a row.
fn statuses(count: usize, mut ask: impl FnMut() -> u16) -> Vec<u16> {
    (0..count).map(|_| ask()).collect()
}

/// Asserts that some were let through and then others were told to wait.
#[track_caller]
fn assert_paced(statuses: &[u16], good: u16) {
    assert_eq!(statuses[0], good, "{statuses:?}");
    assert!(statuses.iter().all(|status| *status == good || *status == 429), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() > statuses.len() / 3, "{statuses:?}");
}

#[test]
fn a_private_key_that_asks_too_often_waits_and_the_others_do_not() {
    // Room for what a server is set up with.
    let server = with("[limits]\nadmin_per_second = 1\nadmin_burst = 10\n");
    let (_, embed) = server.video("public");
    let (other, _) = server.other_organization();
    assert_paced(&statuses(30, || server.admin(Method::GET, "/organization", &Value::Null).status), 200);
    let refused = server.admin(Method::POST, "/videos", &json!({ "title": "Too much" }));
    let refused = refused.expect_code(429, "rate_limit");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Another key, a wrong one, a viewer.
    server.admin_as(&other, Method::GET, "/organization", &Value::Null).expect(200);
    server.admin_as("mvi_priv_wrong", Method::GET, "/organization", &Value::Null).expect(401);
    server.playback(&embed, None).expect(200);
    crate::support::wait_for("its turn to come again", std::time::Duration::from_secs(10), || {
        server.admin(Method::GET, "/organization", &Value::Null).status == 200
    });
}

#[test]
fn whoever_floods_with_a_leaked_key_does_not_keep_the_operator_from_revoking_it() {
    let server = Server::with(Options {
        config: "[limits]\nadmin_per_second = 1\nadmin_burst = 10\n".to_owned(),
        environment: vec![("SCREENER__SERVER__TRUSTED_PROXIES".to_owned(), "127.0.0.1".to_owned())],
        ..Options::default()
    });
    let made = server.admin(Method::POST, "/private-keys", &json!({ "label": "Backend" })).expect(201).json();
    let (leaked, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let from = |address: &str, method: Method, path: &str| {
        let request = server.request(method, &format!("/admin/v1{path}")).bearer_auth(leaked);
        request.header("X-Forwarded-For", address).send().unwrap().status().as_u16()
    };
    assert_paced(&statuses(30, || from("203.0.113.1", Method::GET, "/organization")), 200);
    // The operator has no other key at hand.
    assert_eq!(from("203.0.113.2", Method::POST, &format!("/private-keys/{id}/revoke")), 200);
    assert_eq!(from("203.0.113.1", Method::GET, "/organization"), 401);
}

#[test]
fn viewers_of_one_organization_are_paced_and_those_who_are_refused_do_not_count() {
    let server = with("[limits]\norganization_per_second = 1\norganization_burst = 5\n");
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    // However many wrong tokens come, whoever has a right one is let in.
    let wrong = format!("{}x", &token[..token.len() - 1]);
    assert_eq!(statuses(30, || server.playback(&embed, Some(&wrong)).status), [401; 30]);
    assert_eq!(statuses(30, || server.embed_page(&embed, None).status), [401; 30]);
    let answer = server.playback(&embed, Some(&token)).expect(200).json();
    assert_paced(&statuses(15, || server.playback(&embed, Some(&token)).status), 200);
    server.playback(&embed, Some(&token)).expect_code(429, "rate_limit");
    let refused = server.embed_page(&embed, Some(&token)).expect_code(429, "rate_limit");
    assert_eq!(refused.header("retry-after"), Some("1"), "the page says what the API does");
    let renewal = &answer["session"];
    let request = server.request(Method::POST, crate::support::path_of(renewal["renewUri"].as_str().unwrap()));
    let renewed = request.json(&json!({ "renewToken": renewal["renewToken"] })).send().unwrap();
    // Neither renewals nor bytes are counted: who plays goes on.
    assert_eq!(renewed.status(), 200);
    server.get(crate::support::progressive_uri(&answer)).expect(200);
    // Another organization's viewers are not held up.
    let (key, publishable) = server.other_organization();
    let made = server.admin_as(&key, Method::POST, "/videos", &json!({ "title": "Theirs", "visibility": "public" }));
    let theirs = made.expect(201).json()["embedId"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {publishable}");
    let path = format!("/api/v1/embeds/{theirs}/playback");
    server.play(&path, &[("authorization", &bearer)]).expect_code(409, "video_not_ready");
}

#[test]
fn renewals_of_sessions_that_never_were_count_as_viewers() {
    let server = with("[limits]\norganization_per_second = 1\norganization_burst = 5\n");
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let answer = server.playback(&embed, Some(&token)).expect(200).json();
    let (id, uri) = (answer["session"]["id"].as_str().unwrap(), answer["session"]["renewUri"].as_str().unwrap());
    let renew = |session: &str| {
        let path = crate::support::path_of(uri).replace(id, session);
        let request = server.request(Method::POST, &path).header("x-moviie-playback-token", &token);
        request.json(&json!({})).send().unwrap().status().as_u16()
    };
    let mut number = 0;
    let mut made_up = || {
        number += 1;
        renew(&format!("00000000-0000-4000-8000-{number:012}"))
    };
    assert_paced(&statuses(15, &mut made_up), 200);
    // Who plays goes on.
    assert_eq!(statuses(15, || renew(id)), [200; 15]);
}

#[test]
fn viewers_of_a_public_video_keep_out_nobody_who_has_a_token() {
    let server = with("[limits]\norganization_per_second = 1\norganization_burst = 5\n");
    let ((_, public), (video, private)) = (server.video("public"), server.video("private"));
    let token = server.token(&video);
    assert_paced(&statuses(15, || server.playback(&public, None).status), 200);
    server.embed_page(&public, None).expect_code(429, "rate_limit");
    // What comes along with a public video's request is no token.
    server.playback(&public, Some(&token)).expect_code(429, "rate_limit");
    assert_eq!(statuses(5, || server.playback(&private, Some(&token)).status), [200; 5]);
}

/// A playback request that says of itself where it comes from.
fn ask(wire: &mut Wire, forwarded: &[&str]) -> u16 {
    let headers: Vec<(&str, &str)> = forwarded.iter().map(|line| ("X-Forwarded-For", *line)).collect();
    let path = "/api/v1/embeds/a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001/playback";
    wire.exchange("GET", path, &headers).status()
}

/// Whether two requests count as one client's: when the first has to wait, the second has to, too.
fn are_one(wire: &mut Wire, first: &[&str], second: &[&str]) -> bool {
    while ask(wire, first) != 429 {}
    ask(wire, second) == 429
}

/// The same where they are: a second that ends between the two gives the client another request, but not five times.
fn stay_one(wire: &mut Wire, first: &[&str], second: &[&str]) -> bool {
    (0..5).any(|_| are_one(wire, first, second))
}

/// A server on an IPv6 socket to which IPv4 clients come, with one request a second for each of them.
fn dual(trusted: &str) -> Server {
    let variables =
        [("SCREENER__SERVER__LISTEN", "[::ffff:127.0.0.1]:0"), ("SCREENER__SERVER__TRUSTED_PROXIES", trusted)];
    Server::with(Options {
        config: "[limits]\nplayback_per_second = 1\nplayback_burst = 1\n".to_owned(),
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..Options::default()
    })
}

#[test]
fn a_client_is_who_a_trusted_proxy_says_and_the_same_however_it_is_written() {
    let server = dual("127.0.0.1,10.0.0.2");
    let mut wire = Wire::connect(&server);
    let thousand = format!("203.0.113.1, {}", vec!["10.0.0.2"; 1_000].join(","));
    for (first, second, are_the_same) in [
        (&["203.0.113.1"][..], &["::ffff:203.0.113.1"][..], true),
        (&["203.0.113.1"], &["198.51.100.7, 203.0.113.1"], true),
        (&["203.0.113.1"], &["198.51.100.7", "203.0.113.1"], true),
        (&["203.0.113.1"], &["203.0.113.1, 10.0.0.2"], true),
        (&["203.0.113.1"], &[&thousand], true),
        (&["203.0.113.1"], &["203.0.113.2"], false),
        (&["2001:db8:1:2::1"], &["2001:db8:1:2:ffff::9"], true),
        (&["2001:db8:1:2::1"], &["2001:db8:1:3::1"], false),
        // What is no address leaves the proxy's own.
        (&[], &["unknown"], true),
        (&[], &["203.0.113.3, <script>"], true),
        (&[], &["203.0.113.4"], false),
    ] {
        let found = if are_the_same { stay_one } else { are_one }(&mut wire, first, second);
        assert_eq!(found, are_the_same, "{first:?} {second:?}");
    }
}

#[test]
fn nobody_else_is_believed_about_an_address() {
    let server = dual("10.0.0.2");
    let mut wire = Wire::connect(&server);
    for made_up in [&["203.0.113.1"][..], &["10.0.0.2"], &["::ffff:10.0.0.2", "203.0.113.2"]] {
        assert!(stay_one(&mut wire, &[], made_up), "{made_up:?}");
    }
}
