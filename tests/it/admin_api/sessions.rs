//! `/sessions`: who is watching, and ending it. What ending does to bytes is in `revocation`.

use super::{assert_fields, get, ids, text};
use crate::support::Server;
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn live_sessions_are_listed_page_by_page_and_ended_one_by_one() {
    let server = Server::start();
    let (private, private_embed) = server.video("private");
    let (public, public_embed) = server.video("public");
    let token = server.token(&private);
    let mut opened: Vec<String> = Vec::new();
    for number in 0..5 {
        let (embed, token) = if number == 0 { (&public_embed, None) } else { (&private_embed, Some(token.as_str())) };
        opened.push(text(&server.playback(embed, token).expect(200).json()["session"]["id"]));
    }
    let listed = get(&server, "/sessions");
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 5);
    let first = items.iter().find(|item| item["id"] == opened[0].as_str()).unwrap();
    assert_eq!((&first["videoId"], &first["embedId"]), (&json!(public), &json!(public_embed)));
    assert_eq!(first["signingKeyId"], Value::Null);
    let second = items.iter().find(|item| item["id"] == opened[1].as_str()).unwrap();
    assert_eq!((&second["videoId"], &second["signingKeyId"]), (&json!(private), &json!(server.kid)));
    assert!(["startedAt", "liveUntil", "endsAt"].iter().all(|member| second[*member].is_string()), "{second}");
    let mut paged = Vec::new();
    let mut path = "/sessions?limit=2".to_owned();
    loop {
        let page = get(&server, &path);
        paged.extend(ids(page["items"].as_array().unwrap()));
        match page["pageInfo"]["nextCursor"].as_str() {
            Some(next) => path = format!("/sessions?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, ids(items));
    for wrong in ["limit=0", "limit=101", "limit=x"] {
        assert_fields(server.admin(Method::GET, &format!("/sessions?{wrong}"), &Value::Null), &["limit"]);
    }
    assert_fields(server.admin(Method::GET, "/sessions?cursor=x", &Value::Null), &["cursor"]);
    let path = format!("/sessions/{}", opened[2]);
    server.admin(Method::DELETE, &path, &Value::Null).expect(204);
    let left = ids(get(&server, "/sessions")["items"].as_array().unwrap());
    assert!(left.len() == 4 && !left.contains(&opened[2]), "{left:?}");
    // Again is the same as once.
    server.admin(Method::DELETE, &path, &Value::Null).expect(204);
    for id in ["00000000-0000-4000-8000-000000000000", "nonsense"] {
        server.admin(Method::DELETE, &format!("/sessions/{id}"), &Value::Null).expect_code(404, "not_found");
    }
    // A key that goes takes its sessions off the list.
    server.admin(Method::POST, &format!("/signing-keys/{}/revoke", server.kid), &Value::Null).expect(200);
    assert_eq!(ids(get(&server, "/sessions")["items"].as_array().unwrap()), [opened[0].clone()]);
}

#[test]
fn paging_goes_on_when_the_session_it_stopped_at_has_ended() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    for _ in 0..6 {
        server.playback(&embed, None).expect(200);
    }
    let all = ids(get(&server, "/sessions")["items"].as_array().unwrap());
    let page = get(&server, "/sessions?limit=3");
    let cursor = text(&page["pageInfo"]["nextCursor"]);
    server.admin(Method::DELETE, &format!("/sessions/{}", all[2]), &Value::Null).expect(204);
    let rest = get(&server, &format!("/sessions?limit=3&cursor={cursor}"));
    assert_eq!(ids(rest["items"].as_array().unwrap()), all[3..]);
}
