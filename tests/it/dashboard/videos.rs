//! The pages of videos: finding them, changing them, who watches, why not, and previews.

use super::{Browser, between, escape, unescape};
use crate::support::{Claims, Reply, Server, now, path_of, sign};
use reqwest::Method;
use serde_json::{Value, json};

fn read(server: &Server, video: &str) -> Value {
    server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json()
}

#[test]
fn a_video_is_renamed_reclassified_and_deleted_by_its_forms() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (video, embed) = server.video("private");
    let at = |tail: &str| format!("/dashboard/videos/{video}{tail}");
    assert_eq!(browser.done(&at(""), &[("title", "  Lesson 1 ")]), format!("{}?said=saved", at("")));
    assert_eq!(read(&server, &video)["title"], "Lesson 1");
    for wrong in ["", "   ", &"x".repeat(201), "a\u{0}b"] {
        browser.refused(&at(""), &[("title", wrong)], 422);
        assert_eq!(read(&server, &video)["title"], "Lesson 1");
    }
    let uri = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let uri = super::text(&uri["playback"]["uri"]);
    server.get(&uri).expect(200);
    assert_eq!(browser.done(&at("/security"), &[("visibility", "public")]), format!("{}?said=public", at("/security")));
    assert_eq!(read(&server, &video)["visibility"], "public");
    assert_eq!(server.get(&uri).status, 403, "what was signed before still plays");
    server.playback(&embed, None).expect(200);
    browser.refused(&at("/security"), &[("visibility", "secret")], 422);
    assert!(browser.done(&at("/security"), &[("visibility", "private")]).ends_with("?said=private"));
    for wrong in [&[][..], &[("confirm", "")], &[("confirm", "revoke")]] {
        browser.refused(&at("/delete"), wrong, 422);
    }
    read(&server, &video);
    assert_eq!(browser.done(&at("/delete"), &[("confirm", "delete")]), "/dashboard/videos?said=video_deleted");
    server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect_code(404, "not_found");
    browser.get(&at("")).expect(404);
    server.verify();
}

#[test]
fn a_session_that_is_watched_is_listed_and_ended() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (video, embed) = server.video("private");
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let session = super::text(&answer["session"]["id"]);
    let uri = super::text(&answer["playback"]["uri"]);
    let security = format!("/dashboard/videos/{video}/security");
    assert!(browser.page(&security).contains(&session));
    let (other, _) = server.video("public");
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (video, session) in [(&other, session.as_str()), (&video, unknown), (&video, "x")] {
        browser.post(&format!("/dashboard/videos/{video}/sessions/{session}/end"), &[]).expect(404);
    }
    server.get(&uri).expect(200);
    let end = format!("/dashboard/videos/{video}/sessions/{session}/end");
    for _ in 0..2 {
        assert_eq!(browser.done(&end, &[]), format!("{security}?said=session_ended"));
    }
    assert_eq!(server.get(&uri).status, 403);
    assert!(!browser.page(&security).contains(&session));
}

#[test]
fn the_token_tester_says_which_check_failed() {
    let server = Server::start();
    server.set(&json!({ "originRules": ["acme.com"] }));
    let browser = Browser::sign_in(&server);
    let (video, embed) = server.video("private");
    let path = format!("/dashboard/videos/{video}/security/test");
    let expired = json!({ "sub": video, "iat": now() - 600, "exp": now() - 300 });
    let elsewhere = Claims::of("00000000-0000-4000-8000-000000000000");
    let mut forged = server.token(&video);
    forged.replace_range(forged.len() - 8..forged.len() - 4, "AAAA");
    let good = server.token(&video);
    for (token, origin, verdict, failed) in [
        (good.as_str(), "", "It plays.", None),
        (&format!(" {good}\r\n"), "https://acme.com", "It plays.", None),
        (&good, "no origin", "refused: <code>referrer_blocked</code>", Some("origin")),
        (&good, "https://evil.example", "refused: <code>referrer_blocked</code>", Some("origin")),
        (&sign(&server.kid, &server.secret, &expired), "", "playback_token_expired", Some("token times")),
        (&sign(&server.kid, &server.secret, &elsewhere), "", "refused", Some("token video")),
        (&forged, "", "refused", Some("token signature")),
        ("not a token", "", "refused", Some("token form")),
        ("", "", "refused", Some("token present")),
    ] {
        let reply = browser.post(&path, &[("token", token), ("origin", origin)]).expect(200);
        super::pages::check(&reply);
        let page = reply.text();
        let tested = between(&page, "<div id=\"tested\"", "</div>");
        assert!(tested.contains(verdict), "{token} of {origin:?}: {tested}");
        let fails: Vec<&str> = tested.split("<li class=\"fail\">").skip(1).collect();
        assert_eq!(fails.len(), usize::from(failed.is_some()), "{tested}");
        if let Some(failed) = failed {
            assert!(fails[0].contains(&format!("> {failed}: ")), "{failed}: {tested}");
        }
    }
    assert!(server.all("sessions").is_empty(), "trying a token opened a session");
    server.playback(&embed, Some(&good)).expect(200);
}

#[test]
fn a_preview_plays_and_counts_as_use_of_the_key_only_for_whoever_is_not_signed_in() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (video, embed) = server.video("private");
    let last_used = || {
        let keys = server.admin(Method::GET, "/signing-keys", &Value::Null).expect(200).json();
        keys["items"][0]["lastUsedAt"].clone()
    };
    // The frame on the film's page.
    let page = browser.page(&format!("/dashboard/videos/{video}"));
    let frame = unescape(between(&page, "<iframe class=\"player\" src=\"", "\""));
    assert!(frame.starts_with(&format!("/embed/{embed}?token=eyJ")), "{frame}");
    assert!(browser.get(&frame).expect(200).text().contains("A test video"));
    // The Embed page's token, and the API's.
    let page = browser.post(&format!("/dashboard/videos/{video}/embed/preview"), &[]).expect(200).text();
    let token = unescape(between(&page, "<code id=\"sample-token\">", "</code>"));
    let address = format!("{}/embed/{embed}?token={token}", server.base_url);
    assert!(page.contains(&format!("href=\"{address}\"")), "{page}");
    browser.get(path_of(&address)).expect(200);
    let made = browser.api(Method::POST, &format!("/videos/{video}/preview-token"), &Value::Null).expect(201).json();
    assert_eq!(made["signingKeyId"], server.kid.as_str());
    assert_eq!(made["url"], format!("{}/embed/{embed}?token={}", server.base_url, super::text(&made["token"])));
    browser.get(path_of(&super::text(&made["url"]))).expect(200);
    assert_eq!(last_used(), Value::Null, "looking at one's own video counted as use of the key");
    // A stranger's cookie, another organization's, and none.
    let (other_key, _) = server.other_organization();
    Browser::with(&server, "__Host-screener=x").get(&frame).expect(200);
    assert!(last_used().is_string());
    let kid = server.signing_key().kid;
    let newest = browser.api(Method::POST, &format!("/videos/{video}/preview-token"), &Value::Null).expect(201).json();
    assert_eq!(newest["signingKeyId"], kid.as_str(), "the newest key signs");
    Browser::sign_in_with(&server, &other_key).get(path_of(&super::text(&newest["url"]))).expect(200);
    assert!(last_used().is_string(), "another organization's sign-in hid a viewing");
    // No token is in the audit log, and none is made where there is no key.
    assert!(!browser.page("/dashboard/audit").contains("eyJ"));
    server.revoke(&kid);
    server.revoke(&server.kid);
    let path = format!("/videos/{video}/preview-token");
    browser.api(Method::POST, &path, &Value::Null).expect_code(409, "no_signing_key");
    let page = browser.refused(&format!("/dashboard/videos/{video}/embed/preview"), &[], 409);
    assert!(page.contains("Create one first."), "{page}");
    assert_ne!(browser.get(path_of(&super::text(&newest["url"]))).status, 200);
}

#[test]
fn a_posters_picture_opens_for_whoever_is_signed_in_and_counts_as_no_viewing() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (video, _) = server.video("private");
    let poster = include_bytes!("../../fixtures/poster.jpg").to_vec();
    let put = server.request(Method::PUT, &format!("/admin/v1/videos/{video}/poster")).bearer_auth(&server.private_key);
    Reply::read(put.header("content-type", "image/jpeg").body(poster.clone()).send().unwrap()).expect(200);
    let picture = || {
        let page = browser.page("/dashboard/videos");
        page.split("<img src=\"").nth(1).map(|rest| unescape(rest.split('"').next().unwrap()))
    };
    let address = picture().expect("no picture in the list");
    let reply = server.get(&address).expect(200);
    assert_eq!(reply.body, poster);
    assert!(!reply.header("cache-control").unwrap().contains("public"), "a private picture may be kept by a proxy");
    assert!(server.all("sessions").is_empty());
    assert_eq!(server.all("signing-keys")[0]["lastUsedAt"], Value::Null);
    server.set(&json!({ "tokenAccess": false }));
    assert_eq!(picture(), None);
    assert_eq!(server.get(&address).status, 403);
}

#[test]
fn search_finds_by_title_reference_and_id_and_goes_on_page_by_page() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (other_key, _) = server.other_organization();
    server.admin_as(&other_key, Method::POST, "/videos", &json!({ "title": "Übung of theirs" })).expect(201);
    let make = |title: &str, reference: Option<&str>| {
        let mut body = json!({ "title": title });
        if let Some(reference) = reference {
            body["referenceId"] = reference.into();
        }
        let made = server.admin(Method::POST, "/videos", &body);
        super::text(&made.expect(201).json()["id"])
    };
    let lesson = make("ÜBUNG Eins", Some("Course-7/Lesson 1"));
    let second = make("übung zwei & drei", None);
    for number in 0..60 {
        make(&format!("Filler {number}"), None);
    }
    let third = make("100% Übung", None);
    let find = |query: &str| -> Vec<String> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = browser.get(&format!("/admin/v1/videos?limit=2&search={query}{cursor}")).expect(200).json();
            found.extend(page["items"].as_array().unwrap().iter().map(|video| super::text(&video["id"])));
            match page["pageInfo"]["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    let all = [&third, &second, &lesson];
    assert_eq!(find("%C3%BCbung").iter().collect::<Vec<_>>(), all, "any case");
    assert_eq!(find(&escape(" ÜBUNG ")).iter().collect::<Vec<_>>(), all, "white space around it");
    assert_eq!(find("COURSE-7%2Flesson+1"), [lesson.as_str()]);
    assert_eq!(find(&lesson), [lesson.as_str()]);
    assert_eq!(find(&lesson.to_uppercase()), [lesson.as_str()]);
    assert!(find(&lesson[..8]).is_empty(), "a piece of an id");
    assert_eq!(find("100%25"), [third.as_str()]);
    assert_eq!(find("zwei+%26+drei"), [second.as_str()]);
    assert!(find("nothing+of+that").is_empty());
    assert_eq!(find("").len(), 63);
    for wrong in ["%ff", "%C3", "x%00%ff"] {
        browser.get(&format!("/admin/v1/videos?search={wrong}")).expect_code(422, "validation_failed");
    }
    browser.get("/admin/v1/videos?search=%00").expect(200);
    // The page does the same, and its link goes on with the search.
    let page = browser.page("/dashboard/videos?search=%C3%9Cbung&limit=2");
    assert!(page.contains(&third) && page.contains(&second) && !page.contains(&lesson), "{page}");
    let more = unescape(between(&page, "<p class=\"more\"><a class=\"button\" href=\"", "\""));
    let page = browser.page(&more);
    assert!(page.contains(&lesson) && !page.contains(&third), "{more}: {page}");
    let page = browser.page("/dashboard/videos?search=nothing");
    assert!(page.contains("No video has “<bdi>nothing</bdi>”"), "{page}");
    browser.get(&format!("/dashboard/videos?search={}", "x".repeat(3000))).expect(200);
}
