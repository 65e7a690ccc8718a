//! Who may call: every route with every credential that is not the right one.

use super::{all, get, text};
use crate::support::{FIXTURE, Options, Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

/// One call of every kind, on objects that exist.
fn calls(server: &Server) -> Vec<(Method, String, Value)> {
    let (video, embed) = server.video("public");
    let session = text(&server.playback(&embed, None).expect(200).json()["session"]["id"]);
    let publishable = text(&all(server, "/publishable-keys")[0]["id"]);
    // A second private key, so that revoking one is not refused for being the last.
    server.admin(Method::POST, "/private-keys", &Value::Null).expect(201);
    let private = text(&all(server, "/private-keys")[0]["id"]);
    let kid = &server.kid;
    vec![
        (Method::GET, "/organization".into(), Value::Null),
        (Method::PATCH, "/organization".into(), json!({ "name": "Taken" })),
        (Method::GET, "/signing-keys".into(), Value::Null),
        (Method::POST, "/signing-keys".into(), json!({})),
        (Method::POST, format!("/signing-keys/{kid}/rotate"), Value::Null),
        (Method::POST, format!("/signing-keys/{kid}/revoke"), Value::Null),
        (Method::GET, "/publishable-keys".into(), Value::Null),
        (Method::POST, "/publishable-keys".into(), json!({})),
        (Method::POST, format!("/publishable-keys/{publishable}/revoke"), Value::Null),
        (Method::GET, "/private-keys".into(), Value::Null),
        (Method::POST, "/private-keys".into(), json!({})),
        (Method::POST, format!("/private-keys/{private}/revoke"), Value::Null),
        (Method::GET, "/videos".into(), Value::Null),
        (Method::POST, "/videos".into(), json!({ "title": "Taken" })),
        (Method::GET, format!("/videos/{video}"), Value::Null),
        (Method::PATCH, format!("/videos/{video}"), json!({ "title": "Taken" })),
        (Method::PUT, format!("/videos/{video}/source"), Value::Null),
        (Method::DELETE, format!("/videos/{video}"), Value::Null),
        (Method::GET, "/uploads".into(), Value::Null),
        (Method::GET, "/embeds".into(), Value::Null),
        (Method::POST, "/embeds".into(), json!({ "videoId": video })),
        (Method::GET, format!("/embeds/{embed}"), Value::Null),
        (Method::PATCH, format!("/embeds/{embed}"), json!({ "videoId": video })),
        (Method::DELETE, format!("/embeds/{embed}"), Value::Null),
        (Method::GET, "/sessions".into(), Value::Null),
        (Method::DELETE, format!("/sessions/{session}"), Value::Null),
        (Method::POST, format!("/sessions/{session}/end"), Value::Null),
        (Method::GET, "/audit".into(), Value::Null),
        (Method::POST, "/explain".into(), json!({ "embedId": embed })),
    ]
}

/// Everything that a call could change.
fn state(server: &Server) -> Vec<Value> {
    let mut seen: Vec<Value> = ["/organization", "/sessions"].iter().map(|path| get(server, path)).collect();
    for path in ["/signing-keys", "/publishable-keys", "/private-keys", "/videos", "/embeds", "/uploads", "/audit"] {
        seen.push(Value::Array(all(server, path)));
    }
    seen
}

fn call(server: &Server, authorization: Option<&str>, (method, path, body): &(Method, String, Value)) -> Reply {
    let mut request = server.request(method.clone(), &format!("/admin/v1{path}"));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    if !body.is_null() {
        request = request.json(body);
    } else if *method == Method::PUT {
        request = request.body(FIXTURE);
    }
    Reply::read(request.send().unwrap())
}

#[test]
fn no_route_takes_a_credential_that_is_not_a_private_key() {
    let config = "[limits]\nadmin_failures_per_minute = 0\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let revoked = server.admin(Method::POST, "/private-keys", &Value::Null).expect(201).json();
    let path = format!("/private-keys/{}/revoke", text(&revoked["id"]));
    server.admin(Method::POST, &path, &Value::Null).expect(200);
    let calls = calls(&server);
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
            let reply = call(&server, authorization.as_deref(), made);
            let what = format!("{} {} with {authorization:?}", made.0, made.1);
            assert_eq!((reply.status, reply.code().as_str()), (*status, *code), "{what}");
            assert_eq!(reply.header("www-authenticate").is_some(), *status == 401, "{what}");
            assert!(reply.body.len() < 300, "{what}");
        }
        let query = format!("/admin/v1{}?key={good}&authorization=Bearer%20{good}&access_token={good}", made.1);
        let reply = Reply::read(server.request(made.0.clone(), &query).send().unwrap());
        assert_eq!(reply.status, 401, "{query}");
        let header = server.request(made.0.clone(), &format!("/admin/v1{}", made.1)).header("x-api-key", good);
        assert_eq!(header.send().unwrap().status(), 401);
        let twice = server.request(made.0.clone(), &format!("/admin/v1{}", made.1));
        let twice = twice.header("authorization", format!("Bearer {good}")).header("authorization", "Bearer x");
        assert_eq!(twice.send().unwrap().status(), 401);
    }
    assert_eq!(state(&server), before);
    // The twin: the right key, in the order that keeps each call's object alive for the next.
    for made in calls.iter().filter(|made| made.0 == Method::GET) {
        call(&server, Some(&format!("bearer {good}")), made).expect(200);
    }
}

#[test]
fn another_organizations_key_reaches_nothing() {
    let server = Server::start();
    let (other, other_publishable) = server.other_organization();
    let calls = calls(&server);
    let before = state(&server);
    let own: Vec<String> = before[2..].iter().flat_map(|list| super::ids(list.as_array().unwrap())).collect();
    assert!(own.len() > 10);
    let bearer = format!("Bearer {other}");
    for made in &calls {
        let reply = call(&server, Some(&bearer), made);
        let names_an_object = own.iter().any(|id| made.1.contains(id)) || made.1.starts_with("/sessions/");
        let points_at_one = !names_an_object && own.iter().any(|id| made.2.to_string().contains(id));
        if names_an_object {
            assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{} {}", made.0, made.1);
        } else if points_at_one {
            assert!([404, 422].contains(&reply.status), "{} {}", made.0, made.1);
        } else {
            assert!(reply.status < 300, "{} {}: {}", made.0, made.1, reply.text());
        }
        let shown = reply.text();
        let found = own.iter().find(|id| shown.contains(id.as_str()));
        assert_eq!(found, None, "{} {} shows another organization's", made.0, made.1);
    }
    assert_eq!(state(&server), before);
    let embed = text(&all(&server, "/embeds")[0]["id"]);
    let path = format!("/api/v1/embeds/{embed}/playback");
    let theirs = Reply::read(server.request(Method::GET, &path).bearer_auth(&other_publishable).send().unwrap());
    theirs.expect_code(404, "not_found");
    server.playback(&embed, None).expect(200);
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
