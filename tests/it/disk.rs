//! A disk that fills: told at the first mark, no uploads from the second on, no changes from the third on but those that
//! revoke or remove. Filled for real, refused and taken again without a restart: `tests/faults/full-disk`.

use crate::support::{Claims, FIXTURE, Options, Reply, Server, packaged, progressive_uri, sign, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Starts anew with these marks; no disk is so empty that it does not pass one of 1.
fn restart(server: &mut Server, configured: &str, marks: [u8; 3]) {
    assert!(server.stop());
    let [warn, uploads, changes] = marks;
    let disk = format!("[disk]\nwarn_percent = {warn}\nuploads_percent = {uploads}\nchanges_percent = {changes}\n");
    std::fs::write(server.config(), format!("{configured}\n{disk}")).unwrap();
    server.serve();
}

/// What is said of the state, wherever it is said.
#[track_caller]
fn assert_told(server: &Server, fullness: &str, code: Option<&str>) {
    let ready = server.get("/readyz").expect(200).json();
    let expected = match code {
        Some(code) => json!({ "status": "degraded", "causes": [code] }),
        None => json!({ "status": "ok" }),
    };
    assert_eq!(ready, expected);
    assert_eq!(server.get("/healthz").expect(200).json(), json!({ "status": "ok" }));
    let system = server.admin(Method::GET, "/system", &Value::Null).expect(200).json();
    let status = server.verb(&["status", "--json"]).expect(0).json();
    assert_eq!(system["disk"]["fullness"], fullness);
    for told in [&system, &status] {
        let codes: Vec<&Value> = told["concerns"].as_array().unwrap().iter().map(|concern| &concern["code"]).collect();
        assert_eq!(codes, code.iter().map(|code| json!(code)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        assert_eq!(told["healthy"], true);
    }
}

fn put(server: &Server, path: &str, body: &[u8]) -> Reply {
    let request = server.request(Method::PUT, &format!("/admin/v1{path}")).bearer_auth(&server.private_key);
    Reply::read(request.body(body.to_vec()).send().unwrap())
}

fn begin_upload(server: &Server, length: usize) -> Reply {
    let request = server.request(Method::POST, "/admin/v1/uploads").bearer_auth(&server.private_key);
    let request = request.header("tus-resumable", "1.0.0").header("upload-length", length);
    Reply::read(request.header("upload-metadata", "filename YQ==").send().unwrap())
}

#[test]
fn each_mark_is_told_and_what_goes_beyond_it_is_refused_but_never_a_revocation_or_a_removal() {
    let mut server = Server::start();
    let configured = std::fs::read_to_string(server.config()).unwrap();
    let (video, embed) = server.video("public");
    let (doomed, _) = server.video("public");
    let patch = |server: &Server, body: Value| server.admin(Method::PATCH, &format!("/videos/{video}"), &body);
    let plays = |server: &Server| {
        let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
        assert!(server.get(progressive_uri(&answer)).expect(200).body == packaged(FIXTURE));
    };
    restart(&mut server, &configured, [100, 100, 100]);
    assert_told(&server, "roomy", None);

    restart(&mut server, &configured, [1, 100, 100]);
    assert_told(&server, "filling", Some("disk_filling"));
    put(&server, &format!("/videos/{video}/source"), FIXTURE).expect(200);

    restart(&mut server, &configured, [1, 1, 100]);
    assert_told(&server, "no_uploads", Some("disk_nearly_full"));
    for path in ["source", "renditions/low", "poster"] {
        let body = if path == "poster" { &include_bytes!("../fixtures/poster.png")[..] } else { FIXTURE };
        put(&server, &format!("/videos/{video}/{path}"), body).expect_code(507, "storage_full");
    }
    begin_upload(&server, 1).expect_code(507, "storage_full");
    let back_up = |server: &Server, directory: &Path| server.verb(&["backup", "create", directory.to_str().unwrap()]);
    // One that copies the journal alone is taken as changes are.
    back_up(&server, &server.state().join("backups/first")).expect(0);
    patch(&server, json!({ "title": "Renamed" })).expect(200);
    plays(&server);

    restart(&mut server, &configured, [1, 1, 1]);
    assert_told(&server, "no_changes", Some("disk_full"));
    wait_for("the log to tell", Duration::from_secs(5), || {
        server.log_text().contains("the disk is full; only revoking and deleting works")
    });
    server.admin(Method::POST, "/signing-keys", &Value::Null).expect_code(507, "storage_full");
    let refused = back_up(&server, &server.state().join("backups/second")).expect(1);
    assert!(refused.errors.contains("the server's own disk has no room"), "{}", refused.errors);
    assert_eq!(std::fs::read_dir(server.state().join("backups")).unwrap().count(), 1, "something was left");
    // Another disk may be filled.
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    back_up(&server, &elsewhere.path().join("backup")).expect(0);
    patch(&server, json!({ "title": "Once more" })).expect_code(507, "storage_full");
    server.admin(Method::POST, "/videos", &json!({ "title": "New" })).expect_code(507, "storage_full");
    let settings = json!({ "assetUrlTtl": 60 });
    server.admin(Method::PATCH, "/organization", &settings).expect_code(507, "storage_full");
    // What says nothing new takes no room.
    patch(&server, json!({ "title": "Renamed" })).expect(200);
    // Whoever makes room signs in for it, and closes what must be closed.
    let form = format!("key={}", server.private_key);
    let request = server.request(Method::POST, "/dashboard/sign-in").header("sec-fetch-site", "same-origin");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    Reply::read(request.send().unwrap()).expect(303);
    // A name that is changed with it is no reason to give it the reserve.
    patch(&server, json!({ "visibility": "private", "title": "Once more" })).expect_code(507, "storage_full");
    patch(&server, json!({ "visibility": "private" })).expect(200);
    for closing in [
        json!({ "originRules": ["acme.example"], "sessionMaxAge": 0, "defaultVisibility": "private" }),
        json!({ "tokenAccess": false }),
    ] {
        server.admin(Method::PATCH, "/organization", &closing).expect(200);
    }
    for opening in [json!({ "tokenAccess": true }), json!({ "originRules": [] }), json!({ "sessionMaxAge": 60 })] {
        server.admin(Method::PATCH, "/organization", &opening).expect_code(507, "storage_full");
    }
    restart(&mut server, &configured, [1, 1, 100]);
    let opening = json!({ "tokenAccess": true, "originRules": [], "sessionMaxAge": 60 });
    server.admin(Method::PATCH, "/organization", &opening).expect(200);
    restart(&mut server, &configured, [1, 1, 1]);
    patch(&server, json!({ "visibility": "public" })).expect_code(507, "storage_full");
    plays(&server);
    let session = server.all("sessions")[0]["id"].as_str().unwrap().to_owned();
    server.admin(Method::POST, &format!("/sessions/{session}/end"), &Value::Null).expect(204);
    server.admin(Method::DELETE, &format!("/videos/{doomed}"), &Value::Null).expect(204);
    let token = sign(&server.kid, &server.secret, &Claims::of(&video));
    server.playback(&embed, Some(&token)).expect(200);
    server.revoke(&server.kid);
    server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");

    restart(&mut server, &configured, [100, 100, 100]);
    assert_told(&server, "roomy", None);
    server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
    patch(&server, json!({ "title": "Once more" })).expect(200);
    put(&server, &format!("/videos/{video}/source"), FIXTURE).expect(200);
    server.verify();
}

#[test]
fn an_upload_for_which_room_is_held_goes_on_when_the_disk_has_filled_meanwhile() {
    let mut server = Server::start();
    let configured = std::fs::read_to_string(server.config()).unwrap();
    let begun = begin_upload(&server, FIXTURE.len()).expect(201);
    let (path, video) = (begun.header("location").unwrap(), begun.header("screener-video-id").unwrap());
    restart(&mut server, &configured, [1, 1, 100]);
    let request = server.request(Method::PATCH, path).bearer_auth(&server.private_key);
    let request = request.header("tus-resumable", "1.0.0").header("upload-offset", "0");
    let request = request.header("content-type", "application/offset+octet-stream").body(FIXTURE);
    Reply::read(request.send().unwrap()).expect(204);
    // Its packaged copy waits for room.
    let status = |server: &Server| server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).json();
    wait_for("packaging to be put off", Duration::from_secs(20), || {
        server.log_text().contains("packaging was put off")
    });
    assert_eq!(status(&server)["status"], "processing");
    restart(&mut server, &configured, [100, 100, 100]);
    server.wait_until_ready(video);
}

#[test]
fn a_start_makes_the_reserve_and_a_backup_and_a_check_pass_it_over() {
    let environment = vec![("SCREENER__DISK__RESERVE_MIB".to_owned(), "8".to_owned())];
    let server = Server::with(Options { environment, ..Options::default() });
    let reserve = server.state().join("reserve");
    let blocks = || std::fs::metadata(&reserve).map_or(0, |file| file.blocks());
    wait_for("the reserve", Duration::from_secs(5), || blocks() * 512 >= 8 << 20);
    let backup = server.scratch().join("backup");
    server.verb(&["backup", "create", backup.to_str().unwrap()]).expect(0);
    assert!(!backup.join("reserve").exists());
    server.verify();
    // Whoever takes it away finds it made again.
    std::fs::remove_file(&reserve).unwrap();
    wait_for("the reserve, anew", Duration::from_secs(20), || blocks() * 512 >= 8 << 20);
}
