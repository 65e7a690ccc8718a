//! `/embeds`: handles that point at one video and can be pointed at another.

use super::{all, assert_fields, get, ids, text};
use crate::support::{FIXTURE, Server, packaged, progressive_uri};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn an_embed_is_made_pointed_elsewhere_and_deleted() {
    let server = Server::start();
    let (first, first_embed) = server.video("public");
    let (second, second_embed) = server.pending_video("public");
    server.upload(&second, include_bytes!("../../fixtures/moov_last.mp4").as_slice()).expect(200);
    let made = server.admin(Method::POST, "/embeds", &json!({ "videoId": first })).expect(201).json();
    let embed = text(&made["id"]);
    assert_eq!(made["videoId"], json!(first));
    assert!(text(&made["url"]).ends_with(&format!("/embed/{embed}")));
    assert_eq!(get(&server, &format!("/embeds/{embed}")), made);
    assert_eq!(ids(&all(&server, "/embeds")), [embed.clone(), second_embed.clone(), first_embed.clone()]);
    let bytes = |embed: &str| {
        let answer = server.playback(embed, None).expect(200).json();
        server.get(progressive_uri(&answer)).expect(200).body
    };
    assert_eq!(bytes(&embed), packaged(FIXTURE));
    let path = format!("/embeds/{embed}");
    let moved = server.admin(Method::PATCH, &path, &json!({ "videoId": second })).expect(200).json();
    assert_eq!((&moved["id"], &moved["videoId"]), (&json!(embed), &json!(second)));
    assert_eq!(bytes(&embed), packaged(include_bytes!("../../fixtures/moov_last.mp4")));
    assert_eq!(bytes(&first_embed), packaged(FIXTURE));
    server.admin(Method::DELETE, &path, &Value::Null).expect(204);
    server.playback(&embed, None).expect_code(404, "not_found");
    server.admin(Method::DELETE, &path, &Value::Null).expect_code(404, "not_found");
    // The video itself and its other embeds stay.
    server.playback(&second_embed, None).expect(200);
}

#[test]
fn an_embed_that_was_pointed_elsewhere_outlives_its_first_video() {
    let server = Server::start();
    let (first, embed) = server.video("public");
    let (second, _) = server.video("public");
    server.admin(Method::PATCH, &format!("/embeds/{embed}"), &json!({ "videoId": second })).expect(200);
    server.admin(Method::DELETE, &format!("/videos/{first}"), &Value::Null).expect(204);
    server.playback(&embed, None).expect(200);
    server.admin(Method::DELETE, &format!("/videos/{second}"), &Value::Null).expect(204);
    server.playback(&embed, None).expect_code(404, "not_found");
}

#[test]
fn an_embed_points_at_a_video_of_ones_own() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let (other, _) = server.other_organization();
    let theirs = server.admin_as(&other, Method::POST, "/videos", &json!({ "title": "Theirs" })).expect(201).json();
    for video in [text(&theirs["id"]), "00000000-0000-4000-8000-000000000000".into(), "nonsense".into(), String::new()]
    {
        let body = json!({ "videoId": video });
        for reply in [
            server.admin(Method::POST, "/embeds", &body),
            server.admin(Method::PATCH, &format!("/embeds/{embed}"), &body),
        ] {
            assert!([404, 422].contains(&reply.status), "{video:?}: {}", reply.text());
        }
    }
    assert_fields(server.admin(Method::POST, "/embeds", &json!({})), &["videoId"]);
    assert_fields(server.admin(Method::POST, "/embeds", &json!({ "videoId": 7 })), &["videoId"]);
    let body = json!({ "videoId": video, "id": embed });
    assert_fields(server.admin(Method::POST, "/embeds", &body), &["id"]);
    assert_eq!(get(&server, &format!("/embeds/{embed}"))["videoId"], json!(video));
    assert_eq!(all(&server, "/embeds").len(), 1);
}
