//! Qualities that an operator uploads ready-made: played beside the source, compared with it, refused when they are of
//! another film.

use crate::support::{Options, Reply, Server, film};
use reqwest::Method;
use serde_json::{Value, json};

fn put(server: &Server, video: &str, label: &str, bytes: Vec<u8>) -> Reply {
    let path = format!("/admin/v1/videos/{video}/renditions/{label}");
    Reply::read(server.request(Method::PUT, &path).bearer_auth(&server.private_key).body(bytes).send().unwrap())
}

fn delete(server: &Server, video: &str, label: &str) -> Reply {
    server.admin(Method::DELETE, &format!("/videos/{video}/renditions/{label}"), &Value::Null)
}

fn labels(body: &Value) -> Vec<&str> {
    body["renditions"].as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap()).collect()
}

fn files(server: &Server, directory: &str) -> usize {
    std::fs::read_dir(server.state().join(directory)).unwrap().count()
}

#[test]
fn a_quality_is_added_replaced_and_taken_away() {
    let server = Server::with(Options::default());
    let (video, embed) = server.pending_video("private");
    let source = film(server.scratch(), "320x180", 6, &[]);
    put(&server, &video, "low", source.clone()).expect_code(409, "video_not_ready");
    server.upload(&video, source).expect(200);
    let files_before = files(&server, "media");
    let low = film(server.scratch(), "160x90", 6, &["-b:v", "40k"]);
    let body = put(&server, &video, "low", low.clone()).expect(200).json();
    assert_eq!(body["alignment"], json!({ "aligned": true, "problems": [] }));
    assert_eq!(labels(&body), ["low", "180p"]);
    assert_eq!(body["renditions"][0]["origin"], "uploaded");
    // Every viewer finds it in the master playlist, and its bytes behind the grant.
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let master = server.get(answer["playback"]["uri"].as_str().unwrap()).expect(200).text();
    assert!(master.contains("RESOLUTION=160x90") && master.contains("RESOLUTION=320x180"), "{master}");
    let first = body["renditions"][0]["id"].clone();
    let again = put(&server, &video, "low", low).expect(200).json();
    assert_ne!(again["renditions"][0]["id"], first);
    assert_eq!((labels(&again), files(&server, "media")), (vec!["low", "180p"], files_before + 2));
    delete(&server, &video, "180p").expect_code(409, "label_taken");
    delete(&server, &video, "none").expect_code(404, "not_found");
    assert_eq!(labels(&delete(&server, &video, "low").expect(200).json()), ["180p"]);
    assert_eq!((files(&server, "media"), files(&server, "incoming")), (files_before, 0));
    server.verify();
}

#[test]
fn misalignment_is_told_and_another_film_is_refused() {
    let server = Server::start();
    let (video, _) = server.pending_video("private");
    server.upload(&video, film(server.scratch(), "320x180", 8, &[])).expect(200);
    let media = files(&server, "media");
    let body =
        put(&server, &video, "other-keys", film(server.scratch(), "160x90", 8, &["-g", "75"])).expect(200).json();
    assert_eq!(body["alignment"]["aligned"], false);
    let problems = body["alignment"]["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|problem| problem.as_str().unwrap().contains("Segment 2 begins at 3.000 s")),
        "{problems:?}"
    );
    let silent = put(&server, &video, "silent", film(server.scratch(), "160x90", 8, &["-an"])).expect(200).json();
    assert!(silent["alignment"]["problems"].to_string().contains("no sound"), "{silent}");
    let told = put(&server, &video, "short", film(server.scratch(), "160x90", 6, &[]));
    told.expect_code(422, "rendition_other_length");
    put(&server, &video, "text", b"not a film".to_vec()).expect_code(422, "rendition_unplayable");
    put(&server, &video, "180p", film(server.scratch(), "160x90", 8, &[])).expect_code(409, "label_taken");
    for label in ["a_b", "a.b", "twenty-one-characters", "%20"] {
        put(&server, &video, label, b"x".to_vec()).expect_code(404, "not_found");
    }
    let (other, _) = server.other_organization();
    let path = format!("/videos/{video}/renditions/silent");
    server.admin_as(&other, Method::DELETE, &path, &Value::Null).expect_code(404, "not_found");
    assert_eq!((files(&server, "media"), files(&server, "incoming")), (media + 4, 0));
    // A new source is another film: its qualities are not kept.
    server.upload(&video, film(server.scratch(), "320x180", 4, &[])).expect(200);
    assert_eq!(files(&server, "media"), media);
}
