//! Packaging goes on behind the uploader's back: over a kill, past a full disk, and no further than its video lives.

use crate::support::{
    FIXTURE, Server, check_refused_page, files_below, kill_now, packaged, padded, progressive_uri, wait_for,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Long enough to be met while it is packaged, in bytes.
const FILM_BYTES: usize = 256 << 20;

fn read(server: &Server, video: &str) -> Value {
    server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json()
}

/// Waits until some of a rendition is written.
fn wait_until_under_way(server: &Server, video: &str) {
    wait_for("packaging to be under way", Duration::from_secs(60), || {
        let read = read(server, video);
        assert_ne!(read["status"], "ready", "it was packaged before anyone could look");
        let progress = read["progress"].as_f64();
        assert!(progress.is_none_or(|part| (0.0..=1.0).contains(&part)), "{read}");
        read["status"] == "processing" && progress.is_some_and(|part| part > 0.0)
    });
}

fn media(server: &Server) -> Vec<PathBuf> {
    files_below(&server.state().join("media"))
}

fn incoming(server: &Server) -> Vec<PathBuf> {
    files_below(&server.state().join("incoming"))
}

/// Uploads a long film and kills the server in the midst of its packaging.
fn interrupted(film: &[u8]) -> (Server, String, String) {
    let mut server = Server::start();
    let (video, embed) = server.pending_video("public");
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| server.try_upload(&video, film.to_vec()).is_none());
        wait_until_under_way(&server, &video);
        server.playback(&embed, None).expect_code(409, "video_not_ready");
        kill_now(server.pid());
        assert!(upload.join().unwrap(), "the upload was answered before it was packaged");
    });
    server.kill();
    assert_eq!((media(&server).len(), incoming(&server).len()), (1, 1), "the source, and a part of the rendition");
    (server, video, embed)
}

#[track_caller]
fn assert_plays(server: &Server, embed: &str, source: &[u8]) {
    let answer = server.playback(embed, None).expect(200).json();
    let bytes = server.get(progressive_uri(&answer)).expect(200).body;
    assert!(bytes == packaged(source), "{} bytes of something else", bytes.len());
    assert_eq!((media(server).len(), incoming(server).len()), (3, 0));
    server.verify();
}

#[test]
fn packaging_that_a_kill_cut_off_begins_anew_at_the_next_start() {
    let film = padded(FILM_BYTES);
    let (mut server, video, embed) = interrupted(&film);
    server.serve();
    // Sooner than what was put off is looked at, which is once a minute.
    wait_for("the video to play", Duration::from_secs(30), || read(&server, &video)["status"] == "ready");
    assert_plays(&server, &embed, &film);
}

#[test]
fn what_was_answered_as_ready_plays_after_a_kill() {
    let mut server = Server::start();
    for _ in 0..5 {
        let (video, embed) = server.pending_video("public");
        let answer = server.upload(&video, FIXTURE).expect(200).json();
        server.kill();
        assert_eq!((&answer["status"], &answer["progress"]), (&json!("ready"), &Value::Null));
        server.serve();
        assert_plays(&server, &embed, FIXTURE);
        server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    }
}

#[test]
fn a_disk_too_full_to_package_keeps_the_source_and_is_tried_again_later() {
    let film = padded(FILM_BYTES);
    let (mut server, video, embed) = interrupted(&film);
    let configured = std::fs::read_to_string(server.config()).unwrap();
    std::fs::write(server.config(), format!("{configured}\n[media]\nmin_free_mib = 1000000000\n")).unwrap();
    server.serve();
    wait_for("packaging to be put off", Duration::from_secs(30), || {
        server.log_text().contains("packaging was put off")
    });
    assert_eq!((&read(&server, &video)["status"], media(&server).len()), (&json!("processing"), 1));
    assert_eq!(incoming(&server), Vec::<PathBuf>::new());
    server.playback(&embed, None).expect_code(409, "video_not_ready");
    server.kill();
    std::fs::write(server.config(), configured).unwrap();
    server.serve();
    server.wait_until_ready(&video);
    assert_plays(&server, &embed, &film);
}

#[test]
fn the_page_of_a_video_that_is_packaged_says_how_far_it_is_to_whoever_may_watch() {
    let server = Server::start();
    let (video, embed) = server.pending_video("private");
    let film = padded(FILM_BYTES);
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| server.upload(&video, film).expect(200));
        wait_until_under_way(&server, &video);
        let page = server.embed_page(&embed, Some(&server.token(&video)));
        check_refused_page(&page, 409, "video_not_ready");
        let text = page.text();
        let value = text.split("<progress").nth(1).and_then(|rest| rest.split("value=\"").nth(1)).unwrap_or(&text);
        let progress: f64 = value.split('"').next().unwrap().parse().unwrap();
        assert!((0.0..=1.0).contains(&progress), "{text}");
        assert!(text.contains(&format!(">{:.0} %<", (progress * 100.0).floor())), "{text}");
        assert!(text.contains("role=\"status\"") && text.contains("http-equiv=\"refresh\""), "{text}");
        let stranger = server.embed_page(&embed, None);
        check_refused_page(&stranger, 401, "playback_token_missing");
        assert!(!stranger.text().contains("progress") && !stranger.text().contains("refresh"), "{}", stranger.text());
        upload.join().unwrap();
    });
    server.embed_page(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn a_video_deleted_while_it_is_packaged_leaves_no_file() {
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    let film = padded(FILM_BYTES);
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| server.upload(&video, film));
        wait_until_under_way(&server, &video);
        server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
        let answer = upload.join().unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{}", answer.text());
    });
    wait_for("every file to be gone", Duration::from_secs(30), || {
        media(&server).is_empty() && incoming(&server).is_empty()
    });
    server.playback(&embed, None).expect_code(404, "not_found");
    server.verify();
}

#[test]
fn a_source_that_comes_while_another_is_packaged_is_the_one_that_plays() {
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    let film = padded(FILM_BYTES);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| server.upload(&video, film));
        wait_until_under_way(&server, &video);
        for upload in [server.upload(&video, FIXTURE), first.join().unwrap()] {
            assert!([200, 202].contains(&upload.status), "{}", upload.text());
        }
    });
    server.wait_until_ready(&video);
    wait_for("the first source's files to be gone", Duration::from_secs(30), || media(&server).len() == 3);
    assert_plays(&server, &embed, FIXTURE);
}
