//! `/videos`: creating, listing, reading, renaming, re-classifying, deleting.

use super::{all, assert_fields, files, get, ids, text};
use crate::support::{FIXTURE, Server, assert_no_media, film, packaged, probe, progressive_uri};
use reqwest::Method;
use serde_json::{Value, json};

const NOWHERE: &str = "00000000-0000-4000-8000-000000000000";

fn make(server: &Server, body: &Value) -> Value {
    server.admin(Method::POST, "/videos", body).expect(201).json()
}

#[test]
fn a_new_video_waits_for_its_source_and_has_an_embed() {
    let server = Server::start();
    let made = make(&server, &json!({ "title": " A film ", "visibility": "private" }));
    assert_eq!((&made["title"], &made["visibility"]), (&json!("A film"), &json!("private")));
    assert_eq!((&made["status"], &made["statusDetail"]), (&json!("pending_upload"), &Value::Null));
    assert_ne!(made["embedId"], made["id"]);
    let id = text(&made["id"]);
    let read = get(&server, &format!("/videos/{id}"));
    assert_eq!(read, made);
    let embed = get(&server, &format!("/embeds/{}", text(&made["embedId"])));
    assert_eq!(embed["videoId"], made["id"]);
    server.playback(&text(&made["embedId"]), Some(&server.token(&id))).expect_code(409, "video_not_ready");
}

#[test]
fn a_video_that_plays_says_what_is_in_it() {
    let server = Server::start();
    let (video, _) = server.video("public");
    let read = get(&server, &format!("/videos/{video}"));
    assert_eq!(read["status"], "ready");
    let seconds = read["durationSeconds"].as_f64().unwrap();
    assert!((1.9..2.2).contains(&seconds), "{seconds}");
    let tracks = read["tracks"].as_array().unwrap();
    let picture = tracks.iter().find(|track| track["kind"] == "video").unwrap();
    assert_eq!((&picture["widthPx"], &picture["heightPx"]), (&json!(96), &json!(64)));
    assert!(tracks.iter().any(|track| track["kind"] == "audio"), "{read}");
    let renditions = read["renditions"].as_array().unwrap();
    assert_eq!(renditions.len(), 1);
    let rendition = &renditions[0];
    assert_eq!((&rendition["widthPx"], &rendition["heightPx"]), (&json!(96), &json!(64)));
    assert_eq!((&rendition["label"], &rendition["origin"]), (&json!("64p"), &json!("source")));
    assert_eq!(rendition["sizeBytes"], packaged(FIXTURE).len());
    assert!(rendition["codecs"].to_string().contains("avc1.") && rendition["bitsPerSecond"].as_u64().unwrap() > 0);
    assert_eq!(read["progress"], Value::Null, "there is nothing under way");
}

#[test]
fn of_several_sounds_the_one_that_is_played_is_told() {
    let server = Server::start();
    let sounds = ["-map", "0:v", "-map", "1:a", "-map", "1:a", "-metadata:s:a:0", "language=eng"];
    let second = ["-metadata:s:a:1", "language=deu", "-disposition:a:0", "0", "-disposition:a:1", "default"];
    let first = ["-disposition:a:0", "default", "-disposition:a:1", "0"];
    for (enabled, played) in [(&second[..], [true, false, true]), (&first[..], [true, true, false])] {
        let (video, embed) = server.pending_video("public");
        let film = film(server.scratch(), "160x90", 2, &[&sounds[..], enabled].concat());
        let answer = server.upload(&video, film).expect(200).json();
        let tracks = answer["tracks"].as_array().unwrap();
        assert_eq!(tracks.iter().map(|track| track["played"].as_bool().unwrap()).collect::<Vec<_>>(), played);
        let languages: Vec<&Value> = tracks.iter().map(|track| &track["language"]).collect();
        let last = if played[2] { json!("deu") } else { Value::Null };
        assert_eq!(languages, [&Value::Null, &json!("eng"), &last]);
        // And it is that one that viewers get.
        let answer = server.playback(&embed, None).expect(200).json();
        let bytes = server.get(progressive_uri(&answer)).expect(200).body;
        let asked = ["-select_streams", "a", "-show_entries", "stream_tags=language", "-of", "csv=p=0"];
        assert_eq!(probe(server.scratch(), &bytes, &asked).trim(), if played[2] { "deu" } else { "eng" });
    }
}

#[test]
fn a_video_is_created_right_or_not_at_all() {
    let server = Server::start();
    for (body, fields) in [
        (json!({}), &["title"][..]),
        (json!({ "title": "" }), &["title"]),
        (json!({ "title": "   " }), &["title"]),
        (json!({ "title": null }), &["title"]),
        (json!({ "title": ["a"] }), &["title"]),
        (json!({ "title": "x".repeat(201) }), &["title"]),
        (json!({ "title": "a\u{7}b" }), &["title"]),
        (json!({ "title": "a", "visibility": "hidden" }), &["visibility"]),
        (json!({ "title": "a", "referenceId": "" }), &["referenceId"]),
        (json!({ "title": "a", "referenceId": 7 }), &["referenceId"]),
        (json!({ "visibility": "hidden", "x": 1 }), &["title", "visibility", "x"]),
        (json!({ "title": "a", "id": NOWHERE }), &["id"]),
        (json!({ "title": "a", "status": "ready" }), &["status"]),
        (json!({ "title": "a", "organization": NOWHERE }), &["organization"]),
        (json!({ "title": "a", "epoch": 7 }), &["epoch"]),
        (json!({ "title": "a", "source": "/etc/passwd" }), &["source"]),
        (json!({ "title": "a", "sourceUrl": "file:///etc/passwd" }), &["sourceUrl"]),
    ] {
        assert_fields(server.admin(Method::POST, "/videos", &body), fields);
    }
    assert!(all(&server, "/videos").is_empty() && all(&server, "/embeds").is_empty());
    make(&server, &json!({ "title": "x".repeat(200), "referenceId": "r" }));
    assert_eq!(all(&server, "/videos").len(), 1);
}

#[test]
fn a_reference_belongs_to_one_video_of_an_organization() {
    let server = Server::start();
    let first = make(&server, &json!({ "title": "a", "referenceId": "lesson-1" }));
    let body = json!({ "title": "b", "referenceId": "lesson-1" });
    server.admin(Method::POST, "/videos", &body).expect_code(409, "reference_taken");
    assert_eq!((all(&server, "/videos").len(), all(&server, "/embeds").len()), (1, 1));
    // Another organization has its own, and a deleted video gives its back.
    let (other, _) = server.other_organization();
    server.admin_as(&other, Method::POST, "/videos", &body).expect(201);
    server.admin(Method::DELETE, &format!("/videos/{}", text(&first["id"])), &Value::Null).expect(204);
    assert_eq!(make(&server, &body)["referenceId"], "lesson-1");
    // Of many at once, one.
    let raced = json!({ "title": "c", "referenceId": "raced" });
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls = [(); 8].map(|()| scope.spawn(|| server.admin(Method::POST, "/videos", &raced).status));
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

#[test]
fn a_long_list_is_paged_newest_first_and_stands_still_while_it_grows() {
    let server = Server::start();
    let made: Vec<String> =
        (0..130).map(|number| text(&make(&server, &json!({ "title": format!("Video {number}") }))["id"])).collect();
    let newest_first: Vec<String> = made.iter().rev().cloned().collect();
    assert_eq!(ids(&all(&server, "/videos")), newest_first);
    assert_eq!(get(&server, "/videos")["items"].as_array().unwrap().len(), 24);
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = if pages == 0 { "/videos?limit=7".to_owned() } else { format!("/videos?limit=7&cursor={cursor}") };
        let page = get(&server, &path);
        seen.extend(ids(page["items"].as_array().unwrap()));
        pages += 1;
        if pages == 3 {
            // New videos come before the first page; one that was on it goes: neither moves the rest.
            make(&server, &json!({ "title": "Later" }));
            server.admin(Method::DELETE, &format!("/videos/{}", newest_first[0]), &Value::Null).expect(204);
        }
        match page["pageInfo"]["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((seen, pages), (newest_first, 19));
    // A cursor whose own item is gone still goes on from its place.
    let page = get(&server, "/videos?limit=5");
    let (listed, cursor) = (ids(page["items"].as_array().unwrap()), text(&page["pageInfo"]["nextCursor"]));
    server.admin(Method::DELETE, &format!("/videos/{}", listed[4]), &Value::Null).expect(204);
    let rest = get(&server, &format!("/videos?limit=100&cursor={cursor}"));
    assert_eq!(rest["items"][0]["id"], json!(made[made.len() - 6]));
}

#[test]
fn a_list_takes_limits_from_1_to_100_and_its_own_cursors() {
    let server = Server::start();
    for title in ["a", "b", "c"] {
        make(&server, &json!({ "title": title }));
    }
    assert_eq!(get(&server, "/videos?limit=1")["items"].as_array().unwrap().len(), 1);
    assert_eq!(get(&server, "/videos?limit=100")["items"].as_array().unwrap().len(), 3);
    assert_eq!(get(&server, "/videos?limit=3")["pageInfo"]["nextCursor"], Value::Null);
    for limit in ["0", "-1", "101", "1000000000", "abc", "", "1.5", "99999999999999999999"] {
        assert_fields(server.admin(Method::GET, &format!("/videos?limit={limit}"), &Value::Null), &["limit"]);
    }
    let cursor = text(&get(&server, "/videos?limit=1")["pageInfo"]["nextCursor"]);
    for wrong in ["", "x", "AAAA", "....", &format!("{cursor}A"), &cursor[1..]] {
        assert_fields(server.admin(Method::GET, &format!("/videos?cursor={wrong}"), &Value::Null), &["cursor"]);
    }
    // Another organization's cursor never shows another organization's rows.
    let (other, _) = server.other_organization();
    let reply = server.admin_as(&other, Method::GET, &format!("/videos?cursor={cursor}"), &Value::Null);
    assert!(reply.status == 422 || reply.json()["items"].as_array().unwrap().is_empty());
}

#[test]
fn a_video_is_renamed_and_reclassified_alone() {
    let server = Server::start();
    let (video, _) = server.video("public");
    let path = format!("/videos/{video}");
    let before = get(&server, &path);
    let renamed = server.admin(Method::PATCH, &path, &json!({ "title": "New" })).expect(200).json();
    assert_eq!((&renamed["title"], &renamed["visibility"]), (&json!("New"), &json!("public")));
    let changed = server.admin(Method::PATCH, &path, &json!({ "visibility": "private" })).expect(200).json();
    assert_eq!((&changed["title"], &changed["visibility"]), (&json!("New"), &json!("private")));
    assert_eq!(changed["createdAt"], before["createdAt"]);
    for (body, field) in [
        (json!({ "title": "" }), "title"),
        (json!({ "visibility": "none" }), "visibility"),
        (json!({ "referenceId": "x" }), "referenceId"),
        (json!({ "status": "ready" }), "status"),
        (json!({ "id": NOWHERE }), "id"),
    ] {
        assert_fields(server.admin(Method::PATCH, &path, &body), &[field]);
    }
    let after = get(&server, &path);
    assert_eq!((&after["title"], &after["visibility"]), (&json!("New"), &json!("private")));
    let body = json!({ "title": "x" });
    server.admin(Method::PATCH, &format!("/videos/{NOWHERE}"), &body).expect_code(404, "not_found");
}

#[test]
fn deleting_a_video_takes_its_embeds_and_its_file() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let (kept, kept_embed) = server.video("public");
    // More embeds than one commit removes.
    for _ in 0..100 {
        server.admin(Method::POST, "/embeds", &json!({ "videoId": video })).expect(201);
    }
    assert_eq!(files(&server, "media").len(), 6);
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    assert_eq!(files(&server, "media").len(), 3);
    for method in [Method::GET, Method::DELETE] {
        server.admin(method, &format!("/videos/{video}"), &Value::Null).expect_code(404, "not_found");
    }
    server.admin(Method::GET, &format!("/embeds/{embed}"), &Value::Null).expect_code(404, "not_found");
    let page = server.embed_page(&embed, None);
    assert_no_media(&page.body, "the embed page");
    assert_eq!(page.status, 404);
    assert_eq!(ids(&all(&server, "/embeds")), std::slice::from_ref(&kept_embed));
    assert_eq!(ids(&all(&server, "/videos")), [kept]);
    server.playback(&kept_embed, None).expect(200);
}
