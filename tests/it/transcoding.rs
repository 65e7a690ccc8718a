//! What ffmpeg makes of a source in the background: the ladder, a poster, a storyboard; and what happens when it is
//! stopped, killed, or not what it says it is.

use crate::support::{FIXTURE, Options, Server, film, keyframes, kill_now, probe, wait_for};
use reqwest::Method;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(180);

fn server(more: &str) -> Server {
    let config = format!("[media]\nmin_free_mib = 0\n[transcode]\nenabled = true\n{more}");
    Server::with(Options { config, ..Options::default() })
}

/// A server whose ffmpeg is this shell script.
fn server_with_script(script: &str) -> (Server, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ffmpeg");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    (server(&format!("stall_s = 1\nffmpeg = {path:?}\n")), directory)
}

fn read(server: &Server, video: &str) -> Value {
    server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json()
}

fn labels(body: &Value) -> Vec<&str> {
    body["renditions"].as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap()).collect()
}

fn files(server: &Server, directory: &str) -> usize {
    std::fs::read_dir(server.state().join(directory)).unwrap().count()
}

/// Processes that work below a server's state directory.
fn children(server: &Server) -> usize {
    let works_there =
        |process: &Path| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(server.state()));
    std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| works_there(&entry.path())).count()
}

/// Waits until nothing is left to make.
fn made(server: &Server, video: &str) -> Value {
    let mut body = Value::Null;
    wait_for("everything to be made", LIMIT, || {
        body = read(server, video);
        body["transcoding"].is_null() || body["transcoding"]["waiting"] == 0 && body["transcoding"]["label"].is_null()
    });
    body
}

#[test]
fn the_ladder_is_made_below_the_source_and_cut_alike() {
    let server = server("");
    let (video, embed) = server.pending_video("private");
    server.upload(&video, film(server.scratch(), "640x482", 7, &["-g", "33"])).expect(200);
    // It plays meanwhile.
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    let body = made(&server, &video);
    assert_eq!(body["transcoding"], Value::Null, "{body}");
    let mut sorted = labels(&body);
    sorted.sort_unstable();
    assert_eq!(sorted, ["240p", "360p", "480p", "482p"]);
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    for variant in answer["variants"].as_array().unwrap() {
        let label = variant["label"].as_str().unwrap();
        let bytes = server.get(variant["uri"].as_str().unwrap()).expect(200).body;
        if label == "482p" {
            continue;
        }
        assert_eq!(keyframes(server.scratch(), &bytes), [0.0, 2.0, 4.0, 6.0], "{label}");
        let asked = ["-show_entries", "stream=codec_name,width,height,channels,pix_fmt", "-of", "compact=p=0"];
        let streams = probe(server.scratch(), &bytes, &asked);
        assert!(streams.contains("codec_name=h264") && streams.contains("pix_fmt=yuv420p"), "{streams}");
        assert!(streams.contains(&format!("height={}", label.trim_end_matches('p'))), "{label}: {streams}");
        assert!(streams.contains("codec_name=aac|channels=2"), "{streams}");
    }
    let master = server.get(answer["playback"]["uri"].as_str().unwrap()).expect(200).text();
    assert_eq!(master.matches("#EXT-X-STREAM-INF").count(), 4, "{master}");
    assert_eq!(files(&server, "incoming"), 0);
    server.verify();
}

#[test]
fn a_poster_and_a_storyboard_are_made_and_leave_through_the_gate_alone() {
    let server = server("");
    let (video, embed) = server.pending_video("private");
    server.upload(&video, film(server.scratch(), "160x90", 40, &[])).expect(200);
    let body = made(&server, &video);
    assert_eq!((labels(&body), &body["poster"]["widthPx"]), (vec!["90p"], &Value::from(160)), "{body}");
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let poster = answer["posterUrl"].as_str().unwrap();
    assert_eq!(server.get(poster).expect(200).header("content-type"), Some("image/jpeg"));
    let list = answer["storyboardUrl"].as_str().unwrap();
    let text = server.get(list).expect(200).text();
    assert!(text.starts_with("WEBVTT\n") && text.matches(" --> ").count() == 40, "{text}");
    assert!(text.contains("\nstoryboard/2.jpg#xywh=480,0,160,90\n"), "{text}");
    for number in [1, 2] {
        let url = list.replace("storyboard.vtt", &format!("storyboard/{number}.jpg"));
        let sheet = server.get(&url).expect(200).body;
        let size = probe(server.scratch(), &sheet, &["-show_entries", "stream=width,height", "-of", "csv=p=0"]);
        assert_eq!(size.trim(), "960,540");
    }
    server.get(&list.replace("storyboard.vtt", "storyboard/3.jpg")).expect_code(404, "not_found");
    for name in ["poster.jpg", "storyboard.vtt", "storyboard/1.jpg"] {
        server.get(&format!("/media/{video}/{name}")).expect_code(403, "asset_url_invalid");
    }
    // A deleted one stays deleted; a made one goes with its source.
    server.admin(Method::DELETE, &format!("/videos/{video}/poster"), &Value::Null).expect(200);
    assert_eq!(made(&server, &video)["poster"], Value::Null);
    server.upload(&video, film(server.scratch(), "160x120", 3, &[])).expect(200);
    assert_eq!(made(&server, &video)["poster"]["heightPx"], 120);
    // Source, two files of its quality, poster, one sheet and its list.
    assert_eq!((files(&server, "media"), files(&server, "incoming")), (6, 0));
}

#[test]
fn a_storyboard_goes_on_where_the_picture_ends_before_the_sound() {
    let server = server("");
    let (video, embed) = server.pending_video("private");
    let longer = ["-af", "apad=pad_dur=40"];
    server.upload(&video, film(server.scratch(), "160x90", 4, &longer)).expect(200);
    let body = made(&server, &video);
    assert_eq!(body["transcoding"], Value::Null, "{body}");
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let list = answer["storyboardUrl"].as_str().unwrap();
    assert_eq!(server.get(list).expect(200).text().matches(" --> ").count(), 44);
    server.get(&list.replace("storyboard.vtt", "storyboard/2.jpg")).expect(200);
}

#[test]
fn making_is_cancelled_by_whoever_asks_by_deletion_and_by_a_new_source() {
    let (server, _script) =
        server_with_script("while :; do echo frame=$((n=n+1)); echo progress=continue; sleep 0.1; done");
    let (video, embed) = server.video("private");
    wait_for("it to begin", LIMIT, || {
        read(&server, &video)["transcoding"]["label"] == "poster" && children(&server) > 0
    });
    let path = format!("/videos/{video}/transcoding");
    let body = server.admin(Method::DELETE, &path, &Value::Null).expect(200).json();
    assert_eq!(body["transcoding"]["cancelled"], true);
    wait_for("it to end", LIMIT, || children(&server) == 0 && files(&server, "incoming") == 0);
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    server.admin(Method::POST, &path, &Value::Null).expect(200);
    wait_for("it to begin again", LIMIT, || children(&server) > 0);
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    wait_for("it to end", LIMIT, || children(&server) == 0 && files(&server, "incoming") == 0);
    assert_eq!(files(&server, "media"), 0);
}

#[test]
fn what_a_kill_interrupted_is_made_after_the_next_start() {
    let mut server = server("");
    let (video, _) = server.pending_video("private");
    server.upload(&video, film(server.scratch(), "960x540", 12, &[])).expect(200);
    wait_for("a quality to be under way", LIMIT, || {
        let now = read(&server, &video);
        now["transcoding"]["label"].as_str().is_some_and(|label| label.ends_with('p')) && children(&server) > 0
    });
    kill_now(server.pid());
    server.kill();
    wait_for("ffmpeg to end with its server", LIMIT, || children(&server) == 0);
    server.serve();
    let body = made(&server, &video);
    let mut sorted = labels(&body);
    sorted.sort_unstable();
    assert_eq!((sorted, files(&server, "incoming")), (vec!["240p", "360p", "480p", "540p"], 0));
    server.verify();
}

#[test]
fn no_quality_is_made_of_a_film_that_stands_still_for_hours() {
    let mut film = FIXTURE.to_vec();
    let mut patch = |kind: &[u8], offset: usize, bytes: &[u8]| {
        let at = film.windows(4).position(|window| window == kind).unwrap() + offset;
        film[at..at + bytes.len()].copy_from_slice(bytes);
    };
    // Twenty pictures of more than an hour each, of which no edit list shows two seconds, and two are keyframes.
    patch(b"stts", 16, &40_960_000_u32.to_be_bytes());
    patch(b"edts", 0, b"free");
    patch(b"tkhd", 80, &[2, 128, 0, 0, 1, 224, 0, 0]);
    let (server, _script) = server_with_script("exit 1");
    let (video, embed) = server.pending_video("private");
    server.upload(&video, film).expect(200);
    let body = made(&server, &video);
    let left_out = body["transcoding"]["leftOut"].as_array().unwrap();
    for out in left_out {
        let reason = out["reason"].as_str().unwrap();
        let is_quality = !["poster", "storyboard"].contains(&out["label"].as_str().unwrap());
        assert_eq!(reason.contains("no keyframe for more than 1 hour"), is_quality, "{out}");
    }
    assert!(left_out.len() > 2, "{body}");
    server.playback(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn a_stop_does_not_wait_for_ffmpeg() {
    let (mut server, _script) = server_with_script("exec sleep 1000");
    let (_, _) = server.video("private");
    wait_for("it to begin", LIMIT, || children(&server) > 0);
    let began = Instant::now();
    assert!(server.stop());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    wait_for("it to end", LIMIT, || children(&server) == 0);
    assert_eq!(files(&server, "incoming"), 0);
}

#[test]
fn an_ffmpeg_that_fails_hangs_or_writes_garbage_is_told_and_leaves_nothing() {
    for (script, said) in [
        ("echo 'No such encoder' >&2; exit 3", "ffmpeg ended with exit code 3: No such encoder"),
        ("sleep 1000", "ffmpeg made no progress for 1 s and was ended"),
        ("exit 0", "ffmpeg wrote no "),
        (
            "for last; do :; done; echo garbage >quality.mp4; echo garbage >poster.jpg; echo garbage >sheet-1.jpg",
            "ffmpeg wrote",
        ),
    ] {
        let (mut server, _script) = server_with_script(script);
        let (video, embed) = server.pending_video("private");
        server.upload(&video, film(server.scratch(), "320x242", 2, &[])).expect(200);
        let body = made(&server, &video);
        let left_out = body["transcoding"]["leftOut"].as_array().unwrap().clone();
        assert_eq!(left_out.len(), 3, "{body}");
        for out in &left_out {
            assert!(out["reason"].as_str().unwrap().contains(said), "{script}: {out}");
        }
        assert_eq!((&body["status"], labels(&body)), (&Value::from("ready"), vec!["242p"]));
        server.playback(&embed, Some(&server.token(&video))).expect(200);
        assert_eq!((files(&server, "media"), files(&server, "incoming"), children(&server)), (3, 0, 0));
        // It is not tried again, not even by the next start.
        assert!(server.stop());
        server.serve();
        assert_eq!(read(&server, &video)["transcoding"], body["transcoding"]);
    }
}

#[test]
fn without_ffmpeg_the_configuration_is_told_and_videos_play() {
    let server = server("ffmpeg = \"/nowhere/ffmpeg\"\n");
    let said = server.verb(&["check-config", "--json"]).expect(78).json();
    assert!(said["problems"].to_string().contains("transcode.ffmpeg"), "{said}");
    let (video, embed) = server.video("private");
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    // What an attempt leaves is removed behind it.
    wait_for("nothing is left of attempts", Duration::from_secs(10), || files(&server, "incoming") == 0);
}

#[test]
fn an_ffmpeg_that_can_not_be_started_for_a_moment_uses_nothing_up() {
    // As its loader says it while the libraries are being exchanged.
    let (server, _script) = server_with_script("echo 'error while loading shared libraries' >&2; exit 127");
    let (video, _) = server.pending_video("private");
    server.upload(&video, film(server.scratch(), "320x242", 2, &[])).expect(200);
    wait_for("an attempt to be told", LIMIT, || {
        server.log_text().contains("ffmpeg could not be started: error while loading shared libraries")
    });
    let transcoding = &read(&server, &video)["transcoding"];
    assert_eq!(transcoding["leftOut"].as_array().map_or(0, Vec::len), 0, "{transcoding}");
    assert!(transcoding["waiting"].as_u64().unwrap() > 0, "{transcoding}");
}
