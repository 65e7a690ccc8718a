//! How uploads end: as a film, as a quality, refused, deleted, expired.

use super::{assert_became, begin, file, files, offset, patch, read, tus};
use crate::support::{FIXTURE, Server, film, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs::File;
use std::time::{Duration, SystemTime};

const OTHER: &[u8] = include_bytes!("../../fixtures/moov_last.mp4");

/// What the list says of an upload.
fn listed(server: &Server, id: &str) -> Value {
    server.all("uploads").into_iter().find(|item| item["id"] == id).unwrap_or_default()
}

#[test]
fn a_film_for_a_video_that_has_one_takes_its_place() {
    let server = Server::start();
    let (video, _) = server.video("public");
    let upload = begin(&server, OTHER.len(), &[("videoId", &video)]);
    patch(&server, &upload, 0, OTHER).expect(204);
    let media = server.state().join("media").join(&upload.id);
    wait_for("it to be packaged", Duration::from_secs(30), || {
        media.exists() && files(&server, "media").len() == 3 && files(&server, "uploads").is_empty()
    });
    assert_became(&server, &upload, OTHER);
    server.verify();
}

#[test]
fn what_is_no_film_is_refused_and_the_video_says_why() {
    let server = Server::start();
    let upload = begin(&server, 4_096, &[("name", "noise"), ("visibility", "public")]);
    patch(&server, &upload, 0, &[0xff; 4_096]).expect(204);
    wait_for("it to be refused", Duration::from_secs(20), || listed(&server, &upload.id)["status"] == "refused");
    let video = read(&server, &upload.video);
    assert_eq!(video["status"], "error");
    assert!(!video["statusDetail"].as_str().unwrap().is_empty());
    wait_for("its file to be gone", Duration::from_secs(10), || files(&server, "uploads").is_empty());
    assert!(files(&server, "media").is_empty());
    assert!(listed(&server, &upload.id)["statusDetail"].is_string());
    // The next one is another upload.
    let next = begin(&server, FIXTURE.len(), &[("videoId", &upload.video)]);
    patch(&server, &next, 0, FIXTURE).expect(204);
    assert_became(&server, &next, FIXTURE);
    assert_eq!(read(&server, &upload.video)["statusDetail"], Value::Null);
}

#[test]
fn a_quality_comes_in_pieces_too() {
    let server = Server::start();
    let (video, _) = server.pending_video("public");
    server.upload(&video, film(server.scratch(), "320x180", 4, &[])).expect(200);
    let low = film(server.scratch(), "160x90", 4, &["-b:v", "40k"]);
    let upload = begin(&server, low.len(), &[("videoId", &video), ("rendition", "low")]);
    patch(&server, &upload, 0, &low[..1000]).expect(204);
    patch(&server, &upload, 1000, &low[1000..]).expect(204);
    wait_for("it to be there", Duration::from_secs(30), || listed(&server, &upload.id)["status"] == "received");
    let renditions = read(&server, &video)["renditions"].clone();
    assert_eq!((&renditions[0]["label"], &renditions[0]["origin"]), (&json!("low"), &json!("uploaded")));
    wait_for("its file to be gone", Duration::from_secs(10), || files(&server, "uploads").is_empty());
    let short = film(server.scratch(), "160x90", 9, &[]);
    let upload = begin(&server, short.len(), &[("videoId", &video), ("rendition", "short")]);
    patch(&server, &upload, 0, &short).expect(204);
    wait_for("it to be refused", Duration::from_secs(30), || listed(&server, &upload.id)["status"] == "refused");
    assert!(listed(&server, &upload.id)["statusDetail"].as_str().unwrap().contains("ms long"));
    assert_eq!(read(&server, &video)["status"], "ready");
    server.verify();
}

#[test]
fn a_received_upload_may_be_deleted_and_its_film_stays() {
    let server = Server::start();
    let upload = begin(&server, FIXTURE.len(), &[("name", "x"), ("visibility", "public")]);
    patch(&server, &upload, 0, FIXTURE).expect(204);
    assert_became(&server, &upload, FIXTURE);
    tus(&server, "DELETE", &upload.path, &[], "").expect(204);
    tus(&server, "HEAD", &upload.path, &[], "").expect(404);
    assert_became(&server, &upload, FIXTURE);
    server.verify();
}

#[test]
fn a_video_takes_all_its_uploads_with_it() {
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    let uploads: Vec<_> = (0..70).map(|_| begin(&server, 10, &[("videoId", &video)])).collect();
    for _ in 0..30 {
        server.admin(Method::POST, "/embeds", &json!({ "videoId": video })).expect(201);
    }
    assert_eq!(files(&server, "uploads").len(), 70);
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    assert!(
        files(&server, "uploads").is_empty() && server.all("uploads").is_empty() && server.all("embeds").is_empty()
    );
    patch(&server, &uploads[0], 0, b"x").expect(404);
    server.playback(&embed, None).expect(404);
    server.verify();
}

/// Makes an upload's file look as if it had last been written to so many seconds ago.
#[expect(clippy::disallowed_methods, reason = "files carry the real clock's time")]
fn age(server: &Server, upload: &super::Upload, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(file(server, upload)).unwrap().set_modified(then).unwrap();
}

#[test]
fn what_nobody_goes_on_with_expires() {
    let mut server = Server::start();
    let words = [("name", "x"), ("visibility", "public")];
    let [old, young, whole] = [(); 3].map(|()| begin(&server, FIXTURE.len(), &words));
    for upload in [&old, &young, &whole] {
        patch(&server, upload, 0, &FIXTURE[..1000]).expect(204);
    }
    let life = 3 * 86_400;
    age(&server, &old, life + 5);
    age(&server, &young, life - 60);
    tus(&server, "HEAD", &old.path, &[], "").expect(410);
    patch(&server, &old, 1000, &FIXTURE[1000..]).expect_code(410, "upload_expired");
    assert_eq!(offset(&server, &young), 1000);
    server.kill();
    // What is whole is a film, however long it has lain there.
    let all = std::fs::write(file(&server, &whole), FIXTURE);
    all.unwrap();
    age(&server, &whole, 2 * life);
    server.serve();
    // It may be the clock that is wrong, for an hour.
    tus(&server, "HEAD", &old.path, &[], "").expect(410);
    assert!(file(&server, &old).exists());
    assert_became(&server, &whole, FIXTURE);
    assert!(server.all("audit").iter().all(|entry| entry["action"] != "upload.delete"));
    // A piece gives it three days more.
    assert_eq!(offset(&server, &young), 1000);
    patch(&server, &young, 1000, &FIXTURE[1000..2000]).expect(204);
    server.kill();
    server.serve();
    patch(&server, &young, 2000, &FIXTURE[2000..]).expect(204);
    assert_became(&server, &young, FIXTURE);
    server.verify();
}
