//! The command line: every verb, its JSON, its exit codes, and what it leaves on disk.

use crate::support::{
    Claims, Options, Reply, Server, Serving, configured, copy_directory, files_below, packaged, padded,
    progressive_uri, run, run_with, sign, terminate, wait_for, write_closed,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn init_makes_a_closed_state_directory_and_prints_keys_once() {
    let (directory, config) = configured("");
    let said = run(&["init", "--json", "--name", "Acme", "--config", &config]).expect(0);
    let made = said.json();
    assert_eq!(text(&made, "/name"), "Acme");
    assert!(
        text(&made, "/privateKey").starts_with("mvi_priv_") && text(&made, "/publishableKey").starts_with("mvi_pub_")
    );
    assert!(!said.errors.contains("mvi_"), "{}", said.errors);
    let state = directory.path().join("state");
    assert_eq!((mode(&state), mode(&state.join("master.key"))), (0o700, 0o600));
    for file in files_below(&state) {
        assert_eq!(mode(&file) & 0o077, 0, "{} is open to others", file.display());
    }
}

#[test]
fn init_without_json_prints_the_keys_for_people() {
    let (_directory, config) = configured("");
    let said = run(&["init", "--config", &config]).expect(0);
    assert!(said.out.contains("mvi_priv_") && said.out.contains("mvi_pub_") && said.out.contains("master.key"));
}

#[test]
fn init_refuses_to_run_twice_and_changes_nothing() {
    let (directory, config) = configured("");
    run(&["init", "--config", &config]).expect(0);
    let contents = || -> Vec<(PathBuf, Vec<u8>)> {
        files_below(directory.path()).into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
    };
    let before = contents();
    for json in [&["--json"][..], &[]] {
        let said = run(&[&["init", "--config", &config], json].concat()).expect(1);
        assert!(said.errors.contains("exists already"), "{}", said.errors);
        assert_eq!(said.out, "");
    }
    // Neither over a state directory without its key, nor over a key without its state directory.
    let state = directory.path().join("state");
    let key = std::fs::read(state.join("master.key")).unwrap();
    std::fs::remove_file(state.join("master.key")).unwrap();
    run(&["init", "--config", &config]).expect(1);
    assert!(!state.join("master.key").exists());
    std::fs::write(state.join("master.key"), key).unwrap();
    assert!(contents() == before, "a refused init changed something");
}

#[test]
fn init_makes_nothing_that_can_not_be_served() {
    let (directory, config) = configured("");
    for name in ["", " ", "two\nlines", &"x".repeat(201)] {
        let said = run(&["init", "--name", name, "--config", &config]).expect(2);
        assert!(
            said.errors.contains("--name") && said.errors.contains("must be 1 to 200 characters"),
            "{}",
            said.errors
        );
    }
    assert!(!directory.path().join("state").exists(), "something was made");
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let there = memory.path().join("state");
    let said =
        run_with(&["init", "--config", &config], &[("SCREENER__STATE__DIR", there.to_str().unwrap())]).expect(78);
    assert!(said.errors.contains("lies on tmpfs") && !there.exists(), "{}", said.errors);
    // A disk of its own has a directory of its file system's.
    std::fs::create_dir_all(directory.path().join("state/lost+found")).unwrap();
    std::fs::set_permissions(directory.path().join("state"), std::fs::Permissions::from_mode(0o700)).unwrap();
    run(&["init", "--config", &config]).expect(0);
}

#[test]
fn the_master_key_is_exchanged_for_another_one_while_nobody_serves() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let (old, new) = (server.state().join("master.key"), server.scratch().join("new.key"));
    let rotate = |server: &Server, file: &Path| server.verb(&["key", "rotate-master", file.to_str().unwrap()]);
    let said = rotate(&server, &new).expect(1);
    assert!(said.errors.contains("in use by another screener process") && !new.exists(), "{}", said.errors);
    assert!(server.stop());
    let copy = server.scratch().join("copy.key");
    std::fs::copy(&old, &copy).unwrap();
    for same in [&old, &copy] {
        let said = rotate(&server, same).expect(1);
        assert!(said.errors.contains("holds the master key in use"), "{}", said.errors);
    }
    for no_file in [Path::new("/dev/null"), server.scratch()] {
        let said = rotate(&server, no_file).expect(1);
        assert!(said.errors.contains("does not hold a master key"), "{}", said.errors);
    }
    rotate(&server, &new).expect(0);
    assert!(server.try_serve().expect_err("the old key still opens it").contains("does not open signing key"));
    std::fs::rename(&new, &old).unwrap();
    server.serve();
    server.playback(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn the_keys_of_init_work_and_a_new_organization_starts_closed() {
    let mut server = Server::start();
    // The harness has initialised it with the same verb; what it was handed is what these calls use.
    let organization = server.admin(Method::GET, "/organization", &Value::Null).expect(200).json();
    assert_eq!(organization["name"], "My organization");
    let (_, embed) = server.video("public");
    server.playback(&embed, None).expect(200);
    assert!(server.stop());
}

#[test]
fn organizations_made_over_the_socket_are_apart_from_each_other() {
    let server = Server::start();
    assert_eq!(mode(&server.state().join("admin.sock")), 0o600);
    let (video, embed) = server.video("private");
    let made = server.verb(&["organization", "create", "--name", "Other", "--json"]).expect(0).json();
    let (other, other_publishable) = (text(&made, "/privateKey"), text(&made, "/publishableKey"));
    let seen = server.admin_as(other, Method::GET, "/organization", &Value::Null).expect(200).json();
    assert_eq!(
        (&seen["name"], &seen["id"], &seen["tokenAccess"]),
        (&json!("Other"), &made["organizationId"], &json!(false))
    );
    // Nothing of the first is to be had with the second's keys.
    let list = server.admin_as(other, Method::GET, "/videos", &Value::Null).expect(200).json();
    assert_eq!(list["items"], json!([]));
    server.admin_as(other, Method::GET, &format!("/videos/{video}"), &Value::Null).expect_code(404, "not_found");
    server.admin_as(other, Method::POST, &format!("/signing-keys/{}/revoke", server.kid), &json!({})).expect(404);
    let request =
        server.request(Method::GET, &format!("/api/v1/embeds/{embed}/playback")).bearer_auth(other_publishable);
    let request = request.header("x-moviie-playback-token", server.token(&video));
    Reply::read(request.send().unwrap()).expect_code(404, "not_found");
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    // Its own signing key does not open the first one's video.
    let key = server.admin_as(other, Method::POST, "/signing-keys", &Value::Null).expect(201).json();
    let token = sign(text(&key, "/id"), text(&key, "/secret"), &Claims::of(&video));
    server.playback(&embed, Some(&token)).expect_code(401, "playback_token_invalid");
    let listed = server.verb(&["organization", "list", "--json"]).expect(0);
    assert!(!listed.out.contains("mvi_"), "{}", listed.out);
    let names: Vec<Value> =
        listed.json()["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&json!("Other")) && names.contains(&json!("My organization")), "{names:?}");
    let table = server.verb(&["organization", "list"]).expect(0).out;
    assert!(table.contains("Other") && table.contains(text(&made, "/organizationId")), "{table}");
    server.verb(&["organization", "create", "--name", "", "--json"]).expect(1);
    server.verb(&["organization", "create"]).expect(2);
}

#[test]
fn every_organization_is_listed_however_many_there_are() {
    let server = Server::start();
    for number in 0..105 {
        server.verb(&["organization", "create", "--name", &format!("Organization {number}"), "--json"]).expect(0);
    }
    let listed = server.verb(&["organization", "list", "--json"]).expect(0).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 106);
}

#[test]
fn a_key_revoked_from_a_shell_is_refused_at_once() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    server.playback(&embed, Some(&token)).expect(200);
    let listed = server.verb(&["key", "list", "--json"]).expect(0);
    assert!(!listed.out.contains("mvi_sign_"), "{}", listed.out);
    let key = &listed.json()["items"][0];
    assert_eq!((text(key, "/id"), text(key, "/status")), (server.kid.as_str(), "active"));
    assert!(text(key, "/organizationId").len() > 8);
    let revoked = server.verb(&["key", "revoke", &server.kid, "--json"]).expect(0).json();
    assert_eq!(revoked["status"], "revoked");
    server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
    // Again is the same as once; another id is none.
    server.verb(&["key", "revoke", &server.kid]).expect(0);
    server.verb(&["key", "revoke", "00000000-0000-4000-8000-000000000000"]).expect(1);
    server.verb(&["key", "revoke", "../organizations"]).expect(1);
    server.verb(&["key", "revoke"]).expect(2);
    assert!(server.verb(&["key", "list"]).expect(0).out.contains("revoked"));
    let audit = server.admin(Method::GET, "/audit?limit=1", &Value::Null).expect(200).json();
    assert_eq!(audit["items"][0]["actor"]["type"], "appliance");
}

#[test]
fn verbs_that_need_a_running_server_say_so_when_there_is_none() {
    let (_directory, config) = configured("");
    run(&["init", "--config", &config]).expect(0);
    for verb in [&["status"][..], &["key", "list"], &["organization", "list"], &["backup", "create", "/tmp/none/x"]] {
        let said = run(&[verb, &["--config", &config]].concat()).expect(1);
        assert!(said.errors.contains("no server answers") && said.errors.contains("screener serve"), "{}", said.errors);
        let said = run(&[verb, &["--json", "--config", &config]].concat()).expect(1);
        let error: Value = serde_json::from_str(&said.errors).expect("an error as JSON");
        assert!(text(&error, "/error").contains("no server answers"));
    }
}

#[test]
fn check_config_says_everything_that_is_wrong_at_once() {
    let more =
        "[server]\nlisten = \"nowhere\"\nplain_http = \"perhaps\"\nlisten_port = 1\n[limits]\nplayback_burst = -1";
    let (_directory, config) = configured(more);
    let environment = [("SCREENER__LOG__LEVEL", "verbose"), ("SCREENER__SERVER__WORKER", "3")];
    let said = run_with(&["check-config", "--json", "--config", &config], &environment).expect(78);
    let report = said.json();
    assert_eq!(report["ok"], false);
    let problems = report["problems"].as_array().unwrap();
    let find = |key: &str| {
        let found = problems.iter().find(|problem| problem["key"] == key);
        found.unwrap_or_else(|| panic!("{key} is not named in {report}"))
    };
    for (key, value, source) in [
        ("server.listen", "\"nowhere\"", "config.toml"),
        ("server.plain_http", "\"perhaps\"", "config.toml"),
        ("server.listen_port", "1", "config.toml"),
        ("limits.playback_burst", "-1", "config.toml"),
        ("log.level", "\"verbose\"", "SCREENER__LOG__LEVEL"),
        ("server.worker", "\"3\"", "SCREENER__SERVER__WORKER"),
    ] {
        let problem = find(key);
        assert_eq!(problem["value"], value, "{problem}");
        assert!(text(problem, "/source").contains(source), "{problem}");
        assert!(text(problem, "/message").len() > 10, "{problem}");
        // Both forms say the same; the text has it on standard error.
        assert!(said.errors.contains(key), "{key} is not in {}", said.errors);
    }
    assert_eq!(problems.len(), 6, "{report}");
    assert!(text(find("server.worker"), "/message").contains("SCREENER__SERVER__WORKERS"), "no remedy for a slip");
    let people = run_with(&["check-config", "--config", &config], &environment).expect(78);
    assert_eq!(people.out, "");
    assert!(people.errors.contains("server.listen = \"nowhere\" (from file"), "{}", people.errors);
    // The server says the same and does not start.
    let serve = run_with(&["serve", "--config", &config], &environment).expect(78);
    for problem in problems {
        assert!(serve.errors.contains(text(problem, "/key")), "{}", serve.errors);
    }
}

#[test]
fn check_config_prints_every_value_with_its_source_and_passes_a_right_one() {
    let (directory, config) = configured("[server]\nlisten = \"127.0.0.1:9443\"");
    let environment = [("SCREENER__MEDIA__MIN_FREE_MIB", "7")];
    run_with(&["check-config", "--config", &config], &environment).expect(0);
    let said = run_with(&["check-config", "--json", "--config", &config], &environment).expect(0).json();
    assert_eq!(said, json!({ "ok": true, "problems": [] }));
    let printed = run_with(&["check-config", "--print", "--config", &config], &environment).expect(0).out;
    for line in [
        &format!("server.listen = \"127.0.0.1:9443\"  # file {config}, line 2"),
        "media.min_free_mib = 7  # environment SCREENER__MEDIA__MIN_FREE_MIB",
        "state.index_open_timeout_s = 10  # default",
    ] {
        assert!(printed.contains(line), "{line:?} is not in {printed}");
    }
    let said = run_with(&["check-config", "--print", "--json", "--config", &config], &environment).expect(0).json();
    assert!(said["values"].as_str().unwrap().contains("media.min_free_mib = 7"), "{said}");
    let example = run(&["check-config", "--example"]).expect(0).out;
    let path = directory.path().join("example.toml");
    std::fs::write(&path, example).unwrap();
    run(&["check-config", "--config", path.to_str().unwrap()]).expect(0);
    let missing = run(&["check-config", "--config", "/nonexistent/config.toml"]).expect(78);
    assert!(missing.errors.contains("/nonexistent/config.toml"), "{}", missing.errors);
    run(&["check-config", "--strange"]).expect(2);
}

#[test]
fn plain_http_is_for_loopback_alone_unless_asked_for_twice() {
    let (_directory, config) = configured("[server]\nlisten = \"0.0.0.0:0\"\nplain_http = true");
    for verb in ["check-config", "serve"] {
        let said = run(&[verb, "--config", &config]).expect(78);
        assert!(said.errors.contains("server.plain_http") && said.errors.contains("insecure_http"), "{}", said.errors);
    }
    let environment =
        [("SCREENER__SERVER__INSECURE_HTTP", "true"), ("SCREENER__SERVER__PUBLIC_URL", "https://video.example.com")];
    run_with(&["check-config", "--config", &config], &environment).expect(0);
    // The twin: on loopback it serves.
    let (directory, config) = configured("[server]\nlisten = \"127.0.0.1:0\"\nplain_http = true");
    run(&["init", "--config", &config]).expect(0);
    let mut serving = Serving::start(&["serve", "--config", &config]);
    let base_url = text(&serving.event("\"message\":\"serving\""), "/base_url").to_owned();
    assert!(base_url.starts_with("http://127.0.0.1:"), "{base_url}");
    let mut socket = std::net::TcpStream::connect(base_url.strip_prefix("http://").unwrap()).unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("strict-transport-security"), "{answer}");
    assert_eq!(serving.end(), 0);
    drop(directory);
}

#[test]
fn a_minted_token_plays_and_wrong_usage_is_told_apart_from_failure() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let secret = server.scratch().join("secret");
    std::fs::write(&secret, format!("{}\n", server.secret)).unwrap();
    let secret = secret.to_str().unwrap();
    let mint = |video: &str, key: &str, file: &str, life: &str| {
        run(&[
            "token",
            "mint",
            "--json",
            "--video",
            video,
            "--key-id",
            key,
            "--secret-file",
            file,
            "--expires-in",
            life,
        ])
    };
    let minted = mint(&video, &server.kid, secret, "90s").expect(0).json();
    let left = minted["expiresAt"].as_i64().unwrap() - crate::support::now();
    assert!((85..=90).contains(&left), "{left}");
    server.playback(&embed, Some(text(&minted, "/token"))).expect(200);
    let plain = run(&["token", "mint", "--video", &video, "--key-id", &server.kid, "--secret-file", secret]).expect(0);
    server.playback(&embed, Some(plain.out.trim())).expect(200);
    let (other, _) = server.video("private");
    let wrong = mint(&other, &server.kid, secret, "1h").expect(0).json();
    server.playback(&embed, Some(text(&wrong, "/token"))).expect_code(403, "playback_token_wrong_video");

    mint("no-id", &server.kid, secret, "5m").expect(2);
    mint(&video, "no-id", secret, "5m").expect(2);
    for life in ["0s", "-5m", "soon", "", "5d", "99999999999999999999s"] {
        mint(&video, &server.kid, secret, life).expect(2);
    }
    run(&["token", "mint", "--video", &video]).expect(2);
    run(&["token"]).expect(2);
    mint(&video, &server.kid, "/nonexistent", "5m").expect(1);
    let said = mint(&video, &server.kid, server.config().to_str().unwrap(), "5m").expect(1);
    assert!(said.errors.contains("does not hold a signing key's secret"), "{}", said.errors);
}

#[test]
fn token_explain_says_which_check_a_token_fails() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let file = server.scratch().join("token");
    let explain = |token: &str, embed: &str| {
        std::fs::write(&file, token).unwrap();
        server.verb(&["token", "explain", "--json", "--embed", embed, "--token-file", file.to_str().unwrap()])
    };
    let plays = explain(&server.token(&video), &embed).expect(0);
    assert_eq!((text(&plays.json(), "/outcome"), &plays.json()["code"]), ("plays", &Value::Null));
    let (other, _) = server.video("private");
    let blocked = explain(&server.token(&other), &embed).expect(0).json();
    assert_eq!((text(&blocked, "/outcome"), text(&blocked, "/code")), ("blocked", "playback_token_wrong_video"));
    let failed: Vec<&Value> =
        blocked["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "fail").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["check"], "token_video");
    explain(&server.token(&video), "00000000-0000-4000-8000-000000000000").expect(1);
    let table = server.verb(&["token", "explain", "--embed", &embed, "--token-file", file.to_str().unwrap()]).expect(0);
    assert!(table.out.contains("token_signature"), "{}", table.out);
    server.verb(&["token", "explain"]).expect(2);
}

#[test]
fn store_verify_finds_a_flipped_media_byte_and_a_tampered_audit_entry() {
    let mut server = Server::start();
    server.video("private");
    let report = server.verify();
    assert!(report["auditEntries"].as_u64().unwrap() >= 4 && report["mediaFiles"] == 3, "{report}");
    // The source, the rendition, and where its segments are.
    for media in files_below(&server.state().join("media")) {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&media).unwrap();
        let (mut byte, at) = ([0], media.metadata().unwrap().len() / 2);
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let report = server.verb(&["store", "verify", "--json"]).expect(1).json();
        assert!(text(&report, "/problems/0").contains("is damaged"), "{report}");
        file.write_all_at(&byte, at).unwrap();
        server.verify();
    }
    // Whoever can write the journal can make its checksums right; the chain shows it all the same.
    assert!(server.stop());
    let journal = server.state().join("journal");
    let good = std::fs::read(&journal).unwrap();
    for change in [
        |row: &mut Value| row["action"] = json!("nothing.happened"),
        |row: &mut Value| row["at"] = json!(row["at"].as_i64().unwrap() + 1),
        |row: &mut Value| row["previous"] = json!("0".repeat(64)),
        |row: &mut Value| row["actor"] = json!({ "type": "server" }),
        |row: &mut Value| row["number"] = json!(row["number"].as_u64().unwrap() + 100),
    ] {
        std::fs::write(&journal, tampered(&good, change)).unwrap();
        let report = server.verb(&["store", "verify", "--json"]).expect(1).json();
        assert!(text(&report, "/problems/0").contains("audit log"), "{report}");
    }
    std::fs::write(&journal, good).unwrap();
    server.verify();
}

/// A journal in which one audit entry, not the last, was changed and every checksum is right.
fn tampered(journal: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let (mut out, mut rest, mut audits) = (Vec::new(), journal, 0);
    while let Some((head, more)) = rest.split_first_chunk::<8>() {
        let (json, next) = more.split_at(u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize);
        let mut commit: Value = serde_json::from_slice(json).unwrap();
        // No more is on disk before it than there is, should one before it have become shorter.
        commit["durable"] = json!(commit["durable"].as_u64().unwrap().min(out.len() as u64));
        for op in commit["ops"].as_array_mut().unwrap().iter_mut().filter(|op| op["kind"] == "audit") {
            audits += 1;
            if audits == 3 {
                change(&mut op["row"]);
            }
        }
        let text = commit.to_string();
        out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        out.extend(crc32c::crc32c(text.as_bytes()).to_le_bytes());
        out.extend(text.as_bytes());
        rest = next;
    }
    assert!(audits > 3);
    out
}

#[test]
fn status_and_version_tell_what_they_are_asked() {
    let server = Server::start();
    let status = server.verb(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["healthy"], &status["organizations"]), (&json!(true), &json!(1)));
    assert_eq!(text(&status, "/publicUrl"), server.base_url);
    assert_eq!(text(&status, "/stateDir"), server.state().to_str().unwrap());
    assert!(server.verb(&["status"]).expect(0).out.contains("healthy"));
    let version = run(&["version", "--json"]).expect(0).json();
    assert_eq!(version["version"], status["version"]);
    assert_eq!(run(&["version"]).expect(0).out.trim(), format!("screener {}", text(&version, "/version")));
    assert!(run(&["--version"]).expect(0).out.contains(text(&version, "/version")));
    run(&["--help"]).expect(0);
    run(&[]).expect(2);
    run(&["conjure"]).expect(2);
    run(&["serve", "now"]).expect(2);
}

/// A client of a demo.
fn client_for(made: &Value) -> reqwest::blocking::Client {
    let pem = std::fs::read(text(made, "/caCertificate")).unwrap();
    reqwest::blocking::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .no_proxy()
        .build()
        .unwrap()
}

fn demo_playback(made: &Value, which: &str, token: Option<&str>) -> Reply {
    let url = format!("{}/api/v1/embeds/{}/playback", text(made, "/baseUrl"), text(made, &format!("/{which}/embedId")));
    let request = client_for(made).get(url).bearer_auth(text(made, "/publishableKey"));
    let request = match token {
        Some(token) => request.header("x-moviie-playback-token", token),
        None => request,
    };
    Reply::read(request.send().unwrap())
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_demo_serves_a_public_and_a_private_video_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Serving::start_with(&["demo", "--json", "--listen", "127.0.0.1:0"], &[("TMPDIR", temporary.path())]);
    let made: Value = serde_json::from_str(&demo.line()).unwrap();
    assert_eq!(
        names(&made),
        [
            "baseUrl",
            "caCertificate",
            "privateKey",
            "privateVideo",
            "publicVideo",
            "publishableKey",
            "signingKey",
            "token"
        ]
    );
    assert_eq!(names(&made["signingKey"]), ["id", "secret"]);
    assert_eq!(names(&made["publicVideo"]), ["embedId", "videoId"]);
    assert_eq!(names(&made["privateVideo"]), ["embedId", "videoId"]);
    demo_playback(&made, "publicVideo", None).expect(200);
    let answer = demo_playback(&made, "privateVideo", Some(text(&made, "/token"))).expect(200).json();
    let bytes = client_for(&made).get(progressive_uri(&answer)).send().unwrap().bytes().unwrap();
    assert_eq!(bytes, packaged(include_bytes!("../../static/sample.mp4")));
    demo_playback(&made, "privateVideo", None).expect_code(401, "playback_token_missing");
    // A token of the reader's own backend, with the printed key.
    let claims = Claims::of(text(&made, "/privateVideo/videoId"));
    let token = sign(text(&made, "/signingKey/id"), text(&made, "/signingKey/secret"), &claims);
    demo_playback(&made, "privateVideo", Some(&token)).expect(200);
    // The printed private key revokes it, as the demo's own words say.
    let url = format!("{}/admin/v1/signing-keys/{}/revoke", text(&made, "/baseUrl"), text(&made, "/signingKey/id"));
    let revoked = client_for(&made).post(url).bearer_auth(text(&made, "/privateKey")).send().unwrap();
    Reply::read(revoked).expect(200);
    demo_playback(&made, "privateVideo", Some(&token)).expect_code(401, "playback_token_revoked");
    assert!(demo.process.try_wait().unwrap().is_none(), "the demo ended by itself");
    assert_eq!(demo.end(), 0);
    assert_eq!(files_below(temporary.path()), Vec::<PathBuf>::new());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_takes_a_video_of_your_own_and_keeps_a_named_state_directory() {
    let directory = tempfile::tempdir().unwrap();
    let video = directory.path().join("mine.mp4");
    std::fs::write(&video, include_bytes!("../fixtures/moov_last.mp4")).unwrap();
    let state = directory.path().join("demo");
    let arguments = [
        "demo",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--video",
        video.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
    ];
    for _ in 0..2 {
        let mut demo = Serving::start(&arguments);
        let made: Value = serde_json::from_str(&demo.line()).unwrap();
        let answer = demo_playback(&made, "privateVideo", Some(text(&made, "/token"))).expect(200).json();
        let bytes = client_for(&made).get(progressive_uri(&answer)).send().unwrap().bytes().unwrap();
        assert_eq!(bytes, packaged(include_bytes!("../fixtures/moov_last.mp4")));
        assert_eq!(demo.end(), 0);
        assert!(state.join("journal").exists());
    }
}

#[test]
fn a_demo_that_was_killed_before_its_journal_said_anything_is_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("demo");
    let arguments = ["demo", "--json", "--listen", "127.0.0.1:0", "--state-dir", state.to_str().unwrap()];
    // It is killed when it writes more than 512 bytes to a file: a certificate, or the index.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_screener")]).args(arguments);
    assert!(!shell.output().unwrap().status.success());
    assert!(state.join("master.key").exists() && !state.join("format").exists());
    let mut demo = Serving::start(&arguments);
    demo.line();
    assert!(state.join("format").exists());
    assert_eq!(demo.end(), 0);
}

#[test]
fn a_demo_that_fails_says_why_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let unplayable = temporary.path().join("note.mp4");
    std::fs::write(&unplayable, "no video").unwrap();
    for (file, words) in [("/nonexistent.mp4", "/nonexistent.mp4"), (unplayable.to_str().unwrap(), "can't be played")] {
        let tmp = temporary.path().to_str().unwrap();
        let said =
            run_with(&["demo", "--json", "--listen", "127.0.0.1:0", "--video", file], &[("TMPDIR", tmp)]).expect(1);
        assert!(said.errors.contains(words), "{}", said.errors);
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1, "something was left behind");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let tmp = temporary.path().to_str().unwrap();
    let said = run_with(&["demo", "--listen", &address], &[("TMPDIR", tmp)]).expect(1);
    assert!(said.errors.contains("another program may hold it"), "{}", said.errors);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1, "something was left behind");
    run(&["demo", "--listen", "here"]).expect(2);
}

/// Longer than the buffers between hold, in bytes.
const LARGE_BYTES: usize = 48 << 20;

#[test]
fn sigterm_lets_a_download_finish_takes_nothing_new_and_ends_well() {
    let mut server = Server::start();
    let (video, embed) = server.pending_video("public");
    let source = padded(LARGE_BYTES);
    let film = packaged(&source);
    server.upload(&video, source);
    server.wait_until_ready(&video);
    let uri = progressive_uri(&server.playback(&embed, None).expect(200).json()).to_owned();
    let client = server.new_client();
    let mut answer = client.get(&uri).timeout(Duration::from_secs(60)).send().unwrap();
    let mut head = vec![0; 64 << 10];
    answer.read_exact(&mut head).unwrap();
    terminate(server.pid());
    wait_for("it takes no new connections", Duration::from_secs(5), || {
        std::net::TcpStream::connect(server.base_url.strip_prefix("https://").unwrap()).is_err()
    });
    // The download is not done yet: the rest is still to come, and comes.
    answer.read_to_end(&mut head).unwrap();
    assert!(head == film, "{} of {} bytes arrived", head.len(), film.len());
    drop((answer, client));
    assert!(server.stop(), "it did not end with exit code 0");
    assert!(!server.state().join("admin.sock").exists());
    let log = server.log_text();
    assert!(log.contains("\"message\":\"stopped\""), "{log}");
    server.serve();
    server.playback(&embed, None).expect(200);
}

#[test]
fn a_second_sigterm_ends_a_server_whose_download_is_stuck_at_once() {
    let mut server = Server::start();
    let (video, embed) = server.pending_video("public");
    server.upload(&video, padded(LARGE_BYTES));
    server.wait_until_ready(&video);
    let uri = progressive_uri(&server.playback(&embed, None).expect(200).json()).to_owned();
    let answer = server.new_client().get(&uri).send().unwrap();
    terminate(server.pid());
    let began = std::time::Instant::now();
    wait_for("it stops", Duration::from_secs(5), || server.log_text().contains("once more to stop at once"));
    assert!(server.stop(), "it did not end with exit code 0");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(answer);
}

/// One handshake; the protocol version and ALPN agreed on, or why there was none.
fn handshake(
    server: &Server,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Result<(rustls::ProtocolVersion, Option<Vec<u8>>), String> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(server.ca()).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = std::net::TcpStream::connect(server.base_url.strip_prefix("https://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let outcome = stream.read_to_end(&mut answer);
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(format!("{outcome:?}: {}", String::from_utf8_lossy(&answer)));
    }
    Ok((stream.conn.protocol_version().unwrap(), stream.conn.alpn_protocol().map(<[u8]>::to_vec)))
}

#[test]
fn tls_is_1_2_or_1_3_and_carries_http_1_1_alone() {
    let server = Server::start();
    use rustls::version::{TLS12, TLS13};
    let http = Some(b"http/1.1".to_vec());
    for (versions, agreed) in [
        (&[&TLS12][..], rustls::ProtocolVersion::TLSv1_2),
        (&[&TLS13], rustls::ProtocolVersion::TLSv1_3),
        (&[&TLS12, &TLS13], rustls::ProtocolVersion::TLSv1_3),
    ] {
        assert_eq!(handshake(&server, versions, &[b"h2", b"http/1.1"]), Ok((agreed, http.clone())));
        assert_eq!(handshake(&server, versions, &[b"http/1.1"]), Ok((agreed, http.clone())));
        assert_eq!(handshake(&server, versions, &[]), Ok((agreed, None)));
        // RFC 7301 §3.2: nothing in common ends the handshake.
        handshake(&server, versions, &[b"h2"]).expect_err("h2 was agreed on");
    }
    // Older ones are not spoken. OpenSSL is asked since rustls knows none of them.
    for old in ["-tls1", "-tls1_1"] {
        let address = server.base_url.strip_prefix("https://").unwrap();
        let said = Command::new("openssl")
            .args(["s_client", "-connect", address, old, "-cipher", "ALL:@SECLEVEL=0"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&said.stdout);
        assert!(!said.status.success() && out.contains("no peer certificate available"), "{old}: {out}");
    }
}

#[test]
fn the_configured_certificate_is_the_one_that_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (directory.path().join("chain.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    write_closed(&key, &made.signing_key.serialize_pem());
    let (state, config) = configured(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ntls_certificate_file = {certificate:?}\ntls_key_file = {key:?}"
    ));
    run(&["init", "--config", &config]).expect(0);
    let mut serving = Serving::start(&["serve", "--config", &config]);
    let base_url = text(&serving.event("\"message\":\"serving\""), "/base_url").to_owned();
    let client = |pem: &str| {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        reqwest::blocking::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap()
    };
    let answer = client(&made.cert.pem()).get(format!("{base_url}/healthz")).send().unwrap();
    assert_eq!(answer.status(), 200);
    // Browsers are to stay with TLS: this certificate is one that they can go on trusting.
    assert_eq!(answer.headers().get("strict-transport-security").unwrap(), "max-age=31536000");
    assert!(!state.path().join("state/tls").exists(), "one of its own was made all the same");
    // The twin: who trusts another certificate is not served.
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    client(&other.cert.pem()).get(format!("{base_url}/healthz")).send().expect_err("another certificate is trusted");
    assert_eq!(serving.end(), 0);
    // A key that does not fit is refused by name, before anything listens.
    std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    let said = run(&["check-config", "--config", &config]).expect(78);
    assert!(said.errors.contains("does not make a pair"), "{}", said.errors);
    let said = run(&["serve", "--config", &config]).expect(78);
    assert!(said.errors.contains("does not make a pair"), "{}", said.errors);
}

#[test]
fn an_address_that_is_taken_is_refused_by_name() {
    let server = Server::start();
    let address = server.base_url.strip_prefix("https://").unwrap();
    let (directory, config) = configured(&format!("[server]\nlisten = {address:?}"));
    run(&["init", "--config", &config]).expect(0);
    let said = run(&["serve", "--config", &config]).expect(1);
    assert!(said.errors.contains(address) && said.errors.contains("another program may hold it"), "{}", said.errors);
    assert!(!directory.path().join("state/admin.sock").exists());
}

#[test]
fn a_state_directory_that_was_moved_serves_from_its_new_place() {
    let mut server = Server::with(Options::default());
    let (video, embed) = server.video("private");
    assert!(server.stop());
    let (state, copy) = (server.state(), server.scratch().join("copy"));
    copy_directory(&state, &copy);
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(copy, state).unwrap();
    server.serve();
    server.playback(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn the_allocator_has_two_heaps_and_gives_back_what_is_free_by_itself() {
    let said = run_with(&["version"], &[("MALLOC_CONF", "stats_print:true")]).expect(0);
    for option in [
        "opt.narenas: 2",
        "opt.background_thread: true",
        "opt.dirty_decay_ms: 1000",
        "slab_sizes:513-640:1|4096-8192:16",
    ] {
        assert!(
            said.errors.contains(option),
            "no {option}: built outside of its directory, without .cargo/config.toml?"
        );
    }
}
