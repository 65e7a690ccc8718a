//! The settings page, and the appliance's.

use super::{Browser, between, unescape, value_of};
use crate::support::Server;
use reqwest::Method;
use serde_json::{Value, json};

fn organization(server: &Server) -> Value {
    server.admin(Method::GET, "/organization", &Value::Null).expect(200).json()
}

#[test]
fn the_form_sets_what_the_api_sets() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let fields = [
        ("tokenAccess", "false"),
        ("tokenAccess", "true"),
        ("defaultVisibility", "private"),
        ("assetUrlTtl", " 120 "),
        ("sessionMaxAge", "7200"),
        ("maxTokenLifetime", "600"),
        ("originRules", "acme.com\r\n*.acme.com\r\n\r\nlocalhost:3000"),
        ("name", "Acme & Söhne"),
    ];
    assert_eq!(browser.done("/dashboard/settings", &fields), "/dashboard/settings?said=saved");
    let told = organization(&server);
    for (member, value) in [
        ("tokenAccess", json!(true)),
        ("defaultVisibility", json!("private")),
        ("assetUrlTtl", json!(120)),
        ("sessionMaxAge", json!(7200)),
        ("maxTokenLifetime", json!(600)),
        ("originRules", json!(["acme.com", "*.acme.com", "localhost:3000"])),
        ("name", json!("Acme & Söhne")),
    ] {
        assert_eq!(told[member], value, "{member}");
    }
    let page = browser.page("/dashboard/settings");
    assert_eq!(value_of(&page, "assetUrlTtl").as_str(), "120");
    assert!(page.contains("value=\"true\" checked"), "{page}");
    // An unticked box and an empty list are said, too.
    browser.done("/dashboard/settings", &[("tokenAccess", "false"), ("originRules", "")]);
    let told = organization(&server);
    assert_eq!((&told["tokenAccess"], &told["originRules"]), (&json!(false), &json!([])));
    assert_eq!(told["assetUrlTtl"], 120, "a field that was not sent is left alone");
}

#[test]
fn what_is_wrong_is_said_beside_its_field_what_was_typed_stays_and_nothing_is_stored() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let before = organization(&server);
    let typed = [
        ("tokenAccess", "false"),
        ("defaultVisibility", "private"),
        ("assetUrlTtl", "5"),
        ("sessionMaxAge", "much"),
        ("originRules", "acme.com https://acme.com/path"),
        ("name", "A new name"),
    ];
    let page = browser.refused("/dashboard/settings", &typed, 422);
    assert_eq!([value_of(&page, "assetUrlTtl"), value_of(&page, "sessionMaxAge")], ["5", "much"]);
    assert_eq!(value_of(&page, "name"), "A new name");
    assert!(between(&page, "<textarea id=\"originRules\"", "</textarea>").ends_with(">acme.com https://acme.com/path"));
    assert!(page.contains("value=\"private\" checked") && !page.contains("value=\"true\" checked"), "{page}");
    for field in ["assetUrlTtl", "sessionMaxAge", "originRules"] {
        assert!(
            page.contains(&format!("id=\"{field}-wrong\"")) && page.contains(&format!("href=\"#{field}\"")),
            "{page}"
        );
    }
    assert!(!page.contains("id=\"name-wrong\""));
    assert_eq!(organization(&server), before);
    let page = browser.refused("/dashboard/settings", &[("surprise", "x")], 422);
    assert!(page.contains("is not a field of this call"), "{page}");
}

#[test]
fn all_videos_are_reclassified_after_the_word_was_typed_and_counted_right() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let (other_key, _) = server.other_organization();
    let theirs = json!({ "title": "Theirs", "visibility": "public" });
    let theirs = server.admin_as(&other_key, Method::POST, "/videos", &theirs).expect(201).json();
    // More than fit one commit.
    for number in 0..63 {
        let body = json!({ "title": format!("Video {number}"), "visibility": "public" });
        server.admin(Method::POST, "/videos", &body).expect(201);
    }
    let (playing, embed) = server.video("public");
    let uri = server.playback(&embed, None).expect(200).json()["playback"]["uri"].as_str().unwrap().to_owned();
    server.pending_video("private");
    let visibilities =
        || -> Vec<String> { server.all("videos").iter().map(|video| super::text(&video["visibility"])).collect() };
    let count = |word: &str| visibilities().iter().filter(|visibility| *visibility == word).count();
    let page = browser.page("/dashboard/settings");
    assert!(page.contains("64 public, 1 private."), "{page}");
    assert!(page.contains("all 64 public ones") && page.contains("Make the private one public"), "{page}");
    for fields in [
        &[("visibility", "private")][..],
        &[("visibility", "private"), ("confirm", "")],
        &[("visibility", "private"), ("confirm", "public")],
        &[("visibility", "secret"), ("confirm", "secret")],
        &[("confirm", "")],
    ] {
        browser.refused("/dashboard/settings/apply", fields, 422);
        assert_eq!(count("public"), 64, "{fields:?}");
    }
    server.get(&uri).expect(200);
    let told = browser.done("/dashboard/settings/apply", &[("visibility", "private"), ("confirm", " Private ")]);
    assert_eq!(told, "/dashboard/settings?said=all_private");
    assert_eq!((count("private"), count("public")), (65, 0));
    assert_eq!(server.get(&uri).status, 403, "a URL that was signed for the public video still plays");
    server.playback(&embed, Some(&server.token(&playing))).expect(200);
    assert!(browser.page("/dashboard/settings").contains("0 public, 65 private."));
    let entries = server.all("audit");
    let changes = entries.iter().filter(|entry| entry["detail"]["visibility"]["to"] == "private");
    assert_eq!(changes.count(), 64, "an entry for each");
    let read =
        server.admin_as(&other_key, Method::GET, &format!("/videos/{}", super::text(&theirs["id"])), &Value::Null);
    assert_eq!(read.expect(200).json()["visibility"], "public", "another organization's video was changed");
    // And by the API, both ways.
    let all = |word: &str| browser.api(Method::POST, "/videos/visibility", &json!({ "visibility": word }));
    assert_eq!(all("public").expect(200).json(), json!({ "changed": 65 }));
    assert_eq!(all("public").expect(200).json(), json!({ "changed": 0 }));
    all("secret").expect_code(422, "validation_failed");
    browser.api(Method::POST, "/videos/visibility", &json!({})).expect_code(422, "validation_failed");
    assert_eq!(count("public"), 65);
    server.verify();
}

#[test]
fn the_system_page_tells_of_disk_certificate_and_the_last_backup() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let read = || browser.get("/admin/v1/system").expect(200).json();
    let before = read();
    assert_eq!(before["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&before["healthy"], &before["lastBackupAt"]), (&json!(true), &Value::Null));
    let disk = |name: &str| before["disk"][name].as_u64().unwrap();
    assert!(0 < disk("freeBytes") && disk("freeBytes") <= disk("totalBytes") && 0 < disk("keptFreeBytes"));
    assert_eq!(before["maxSourceBytes"].as_u64().unwrap() % (1 << 20), 0);
    let page = browser.page("/dashboard/system");
    assert!(page.contains("None was made yet.") && page.contains(">Missing<"), "{page}");
    // The certificate's end is what the certificate says.
    let ends = super::text(&before["certificateEndsAt"]);
    let certificate = std::fs::read_dir(server.state().join("tls")).unwrap().flatten().map(|entry| entry.path());
    let certificates: Vec<String> = certificate
        .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .map(|path| {
            let command = ["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", path.to_str().unwrap()];
            let output = std::process::Command::new("openssl").args(command).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    let day = &ends[..10];
    assert!(certificates.iter().any(|said| said.contains(day)), "{ends}: {certificates:?}");
    assert!(page.contains(&format!("Good until <time datetime=\"{ends}\"")), "{page}");
    let directory = server.scratch().join("backup");
    server.verb(&["backup", "create", directory.to_str().unwrap()]).expect(0);
    let made = super::text(&read()["lastBackupAt"]);
    let page = browser.page("/dashboard/system");
    assert!(page.contains(&format!("<time datetime=\"{made}\"")) && !page.contains(">Missing<"), "{page}");
    // One that was not made whole counts for nothing.
    assert_ne!(server.verb(&["backup", "create", directory.to_str().unwrap()]).code, 0);
    assert_eq!(super::text(&read()["lastBackupAt"]), made);
    assert!(unescape(&page).contains("Healthy"));
}
