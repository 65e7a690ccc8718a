//! The admin API, `/admin/v1`, noun by noun.

mod access;
mod api_keys;
mod audit;
mod bodies;
mod embeds;
mod explain;
mod organization;
mod sessions;
mod signing_keys;
mod source;
mod videos;

use crate::support::Server;
use reqwest::Method;
use serde_json::Value;

/// GET of a path, as JSON.
#[track_caller]
fn get(server: &Server, path: &str) -> Value {
    let reply = server.admin(Method::GET, path, &Value::Null).expect(200);
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
    reply.json()
}

/// Every item of a list, page by page.
fn all(server: &Server, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = None;
    loop {
        let target = match &cursor {
            None => format!("{path}?limit=100"),
            Some(cursor) => format!("{path}?limit=100&cursor={cursor}"),
        };
        let page = get(server, &target);
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["pageInfo"]["nextCursor"].as_str() {
            None => return items,
            Some(next) => cursor = Some(next.to_owned()),
        }
    }
}

/// The ids of items.
fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| text(&item["id"])).collect()
}

/// A text of an answer.
#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Names of the files in a directory of the server's state.
fn files(server: &Server, directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(server.state().join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Asserts that a refusal names exactly these fields, each with at least one sentence.
#[track_caller]
fn assert_fields(reply: crate::support::Reply, fields: &[&str]) {
    let body = reply.expect_code(422, "validation_failed").json();
    let errors = body["errors"].as_object().unwrap();
    let mut named: Vec<&str> = errors.keys().map(String::as_str).collect();
    let mut expected = fields.to_vec();
    named.sort_unstable();
    expected.sort_unstable();
    assert_eq!(named, expected, "{body}");
    for sentences in errors.values() {
        let sentences = sentences.as_array().unwrap();
        assert!(!sentences.is_empty() && sentences.iter().all(Value::is_string), "{body}");
    }
}
