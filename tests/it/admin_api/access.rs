//! Who may call: every route with every credential that is not the right one.

use super::{all, get, text};
use crate::support::routes::{Objects, Route, operators_routes};
use crate::support::{Options, Reply, Server};
use reqwest::Method;
use serde_json::Value;

/// Every call of the admin API, on objects that exist.
fn calls(objects: &Objects) -> Vec<Route> {
    operators_routes(objects).into_iter().filter(|route| !route.is_page()).collect()
}

/// Everything that a call could change.
fn state(server: &Server) -> Vec<Value> {
    let mut seen: Vec<Value> = ["/organization", "/sessions"].iter().map(|path| get(server, path)).collect();
    for path in ["/signing-keys", "/publishable-keys", "/private-keys", "/videos", "/embeds", "/uploads", "/audit"] {
        seen.push(Value::Array(all(server, path)));
    }
    seen
}

fn call(server: &Server, authorization: Option<&str>, route: &Route, objects: &Objects) -> Reply {
    let mut request = server.request(route.method.clone(), &route.path);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    Reply::read(route.filled(request, objects).send().unwrap())
}

#[test]
fn no_route_takes_a_credential_that_is_not_a_private_key() {
    let config = "[limits]\nadmin_failures_per_minute = 0\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let revoked = server.admin(Method::POST, "/private-keys", &Value::Null).expect(201).json();
    let path = format!("/private-keys/{}/revoke", text(&revoked["id"]));
    server.admin(Method::POST, &path, &Value::Null).expect(200);
    let objects = Objects::of(&server);
    let calls = calls(&objects);
    let before = state(&server);
    let good = &server.private_key;
    let mut altered = good.clone();
    altered.replace_range(20..21, if &good[20..21] == "A" { "B" } else { "A" });
    let wrong: Vec<(Option<String>, u16, &str)> = vec![
        (None, 401, "private_key_invalid"),
        (Some(String::new()), 401, "private_key_invalid"),
        (Some("Bearer".into()), 401, "private_key_invalid"),
        (Some("Bearer ".into()), 401, "private_key_invalid"),
        (Some("Bearer garbage".into()), 401, "private_key_invalid"),
        (Some(format!("Bearer {altered}")), 401, "private_key_invalid"),
        (Some(format!("Bearer {}", &good[..good.len() - 1])), 401, "private_key_invalid"),
        (Some(format!("Bearer {good}A")), 401, "private_key_invalid"),
        (Some(format!("Bearer  {good}")), 401, "private_key_invalid"),
        (Some(format!("Bearer {good} {good}")), 401, "private_key_invalid"),
        (Some(format!("Basic {good}")), 401, "private_key_invalid"),
        (Some(good.clone()), 401, "private_key_invalid"),
        (Some(format!("Bearer {}", server.secret)), 401, "private_key_invalid"),
        (Some(format!("Bearer {}", text(&revoked["key"]))), 401, "private_key_invalid"),
        (Some(format!("Bearer {}", server.publishable_key)), 403, "publishable_key_not_allowed"),
    ];
    for made in &calls {
        for (authorization, status, code) in &wrong {
            let reply = call(&server, authorization.as_deref(), made, &objects);
            let what = format!("{} {} with {authorization:?}", made.method, made.path);
            let told = if made.method == Method::HEAD { (*code).to_owned() } else { reply.code() };
            assert_eq!((reply.status, told.as_str()), (*status, *code), "{what}");
            assert_eq!(reply.header("www-authenticate").is_some(), *status == 401, "{what}");
            assert!(reply.body.len() < 300, "{what}");
        }
        let request = |path: &str| made.filled(server.request(made.method.clone(), path), &objects);
        let query = format!("{}?key={good}&authorization=Bearer%20{good}&access_token={good}", made.path);
        assert_eq!(Reply::read(request(&query).send().unwrap()).status, 401, "{query}");
        let header = request(&made.path).header("x-api-key", good);
        assert_eq!(header.send().unwrap().status(), 401);
        let twice = request(&made.path).header("authorization", format!("Bearer {good}"));
        assert_eq!(twice.header("authorization", "Bearer x").send().unwrap().status(), 401);
    }
    assert_eq!(state(&server), before);
    // The twin: the right key.
    for made in calls.iter().filter(|made| made.method == Method::GET) {
        call(&server, Some(&format!("bearer {good}")), made, &objects).expect(200);
    }
}

#[test]
fn another_organizations_key_reaches_nothing() {
    let server = Server::start();
    let (other, other_publishable) = server.other_organization();
    let objects = Objects::of(&server);
    let before = state(&server);
    let bearer = format!("Bearer {other}");
    for made in calls(&objects) {
        let reply = call(&server, Some(&bearer), &made, &objects);
        let what = format!("{} {}: {}", made.method, made.path, reply.text());
        let points_at_one =
            made.method == Method::POST && ["/embeds", "/explain"].iter().any(|end| made.path.ends_with(end));
        if made.names_an_object {
            let told = if made.method == Method::HEAD { "not_found".to_owned() } else { reply.code() };
            assert_eq!((reply.status, told.as_str()), (404, "not_found"), "{what}");
        } else if points_at_one {
            assert!([404, 422].contains(&reply.status), "{what}");
        } else {
            assert!(reply.status < 300, "{what}");
        }
        let found = objects.ids().into_iter().find(|id| reply.text().contains(id));
        assert_eq!(found, None, "{what}");
    }
    assert_eq!(state(&server), before);
    let embed = &objects.embed;
    let path = format!("/api/v1/embeds/{embed}/playback");
    let theirs = Reply::read(server.request(Method::GET, &path).bearer_auth(&other_publishable).send().unwrap());
    theirs.expect_code(404, "not_found");
    server.playback(embed, Some(&server.token(&objects.video))).expect(200);
}

#[test]
fn wrong_keys_are_slowed_down_and_the_right_one_is_not() {
    let config = "[limits]\nadmin_failures_per_minute = 5\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let statuses: Vec<u16> =
        (0..20).map(|_| server.admin_as("mvi_priv_wrong", Method::GET, "/organization", &Value::Null).status).collect();
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses[8..].iter().all(|status| *status == 429), "{statuses:?}");
    get(&server, "/organization");
    let (_, embed) = server.video("public");
    server.playback(&embed, None).expect(200);
}
