//! The admin API under rivals, floods and forgeries (group H).

use super::connections::used;
use super::tries;
use crate::support::{Options, Reply, Server, Wire, descriptors, packs_to, path_of, progressive_uri, run, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

#[test]
fn a_private_key_in_a_url_is_refused_and_told_to_the_operator() {
    let server = Server::start();
    let path = format!("/admin/v1/organization?key={}", server.private_key);
    server.get(&path).expect_code(401, "private_key_invalid");
    wait_for("the warning in the log", Duration::from_secs(10), || {
        server.log_text().contains("a private key was sent in a URL, which others write down: revoke it")
    });
    server.admin(Method::GET, "/organization", &Value::Null).expect(200);
}

#[test]
fn what_only_looks_like_a_key_raises_no_alarm() {
    let server = Server::start();
    let made_up = format!("mvi_priv_{}", "A".repeat(43));
    for query in ["key=mvi_priv_", "mvi_priv_mvi_priv_", &format!("key={made_up}")] {
        server.get(&format!("/admin/v1/organization?{query}")).expect_code(401, "private_key_invalid");
    }
    for header in ["mvi_sign_", "mvi_sign_short"] {
        server.admin_as(header, Method::GET, "/organization", &Value::Null).expect_code(401, "private_key_invalid");
        let request = server.request(Method::GET, "/api/v1/embeds/x/playback").header("x-api-key", header);
        Reply::read(request.send().unwrap()).expect_code(401, "publishable_key_invalid");
    }
    // The twin: a key that is one is told, and which it is.
    let keys = server.admin(Method::GET, "/private-keys", &Value::Null).expect(200).json();
    let id = keys["items"][0]["id"].as_str().unwrap().to_owned();
    server.get(&format!("/admin/v1/organization?key={}", server.private_key)).expect(401);
    let alarms = || {
        let log = server.log_text();
        let alarms = log.lines().filter(|line| line.contains("revoke it") || line.contains("rotate it"));
        alarms.map(str::to_owned).collect::<Vec<_>>()
    };
    wait_for("the alarm", Duration::from_secs(10), || !alarms().is_empty());
    assert!(matches!(alarms().as_slice(), [alarm] if alarm.contains(&id)), "{:?}", alarms());
}

/// Asks with a wrong key from an address of this machine.
fn wrong_key(server: &Server, from: IpAddr, headers: &[(&str, &str)]) -> u16 {
    let pem = std::fs::read(server.ca()).unwrap();
    let client = reqwest::blocking::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .local_address(from)
        .no_proxy()
        .build()
        .unwrap();
    let request = client.get(format!("{}/admin/v1/organization", server.base_url)).bearer_auth("mvi_priv_wrong");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Reply::read(request.send().unwrap()).status
}

#[test]
fn a_flood_of_wrong_keys_holds_up_its_own_address_alone() {
    let config = "[limits]\nadmin_failures_per_minute = 5\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let (_, embed) = server.video("public");
    let mut wire = Wire::connect(&server);
    let mut statuses = BTreeMap::new();
    for _ in 0..10_000 {
        let answer = wire.exchange("GET", "/admin/v1/organization", &[("Authorization", "Bearer mvi_priv_wrong")]);
        *statuses.entry(answer.status()).or_insert(0) += 1;
        assert!(answer.status() == 401 || answer.header("retry-after").is_some());
    }
    // Five at once, and one more every twelve seconds.
    assert!(statuses[&401] <= 10 && statuses[&429] >= 9_990, "{statuses:?}");
    // A key for pages in the private one's place is as wrong.
    let publishable = [("Authorization", &*format!("Bearer {}", server.publishable_key))];
    assert_eq!(wire.exchange("GET", "/admin/v1/organization", &publishable).status(), 429);
    let neighbour = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(wrong_key(&server, neighbour, &[]), 401);
    // Who has the right key is let in from the flooded address, and viewers play there.
    server.admin(Method::GET, "/organization", &Value::Null).expect(200);
    server.playback(&embed, None).expect(200);
}

#[test]
fn another_address_is_believed_of_a_trusted_proxy_alone() {
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    let limited = "[limits]\nadmin_failures_per_minute = 3\n";
    let refused_of_20 = |server: &Server| {
        let forged = (0..20).map(|number| format!("203.0.113.{number}")).collect::<Vec<_>>();
        let ask = |address: &String| {
            let forwarded = format!("for={address}");
            let headers = [("x-forwarded-for", address.as_str()), ("x-real-ip", address), ("forwarded", &forwarded)];
            wrong_key(server, localhost, &headers)
        };
        forged.iter().filter(|address| ask(address) == 429).count()
    };
    let direct = Server::with(Options { config: limited.to_owned(), ..Options::default() });
    assert!(refused_of_20(&direct) >= 15, "a rotated X-Forwarded-For dodges the limit");
    // The configuration of the server proper comes first, so that its section can't be opened twice.
    let behind = Server::with(Options {
        config: limited.to_owned(),
        environment: vec![("SCREENER__SERVER__TRUSTED_PROXIES".to_owned(), "127.0.0.1".to_owned())],
        ..Options::default()
    });
    assert_eq!(refused_of_20(&behind), 0, "the proxy's clients are one address each");
}

#[test]
fn of_two_setups_at_once_one_wins_and_prints_keys() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    let state = directory.path().join("state");
    std::fs::write(&config, format!("[server]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = {state:?}\n")).unwrap();
    let config = config.to_str().unwrap();
    let ran: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| run(&["init", "--json", "--config", config]))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won: Vec<_> = ran.iter().filter(|ran| ran.code == 0).collect();
    assert_eq!(won.len(), 1, "{:?}", ran.iter().map(|ran| (&ran.out, &ran.errors)).collect::<Vec<_>>());
    assert!(won[0].json()["privateKey"].as_str().unwrap().starts_with("mvi_priv_"));
    for lost in ran.iter().filter(|ran| ran.code != 0) {
        assert!(lost.out.is_empty() && !lost.errors.contains("mvi_"), "{} {}", lost.out, lost.errors);
    }
    run(&["store", "verify", "--config", config]).expect(0);
}

#[test]
fn what_a_caller_may_not_decide_is_no_field_of_a_change() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let before = server.told();
    let reads = |path: &str| server.admin(Method::GET, path, &Value::Null).expect(200).json();
    let nowhere = "00000000-0000-4000-8000-000000000000";
    for (name, value) in [
        ("id", json!(nowhere)),
        ("organization", json!(nowhere)),
        ("org_id", json!(nowhere)),
        ("createdAt", json!("1999-01-01T00:00:00Z")),
        ("status", json!("ready")),
        ("epoch", json!(0)),
        ("source", json!("/etc/shadow")),
        ("asset_path", json!("/etc/shadow")),
        ("sourceUrl", json!("http://169.254.169.254/latest/meta-data/")),
        ("source_url", json!("file:///etc/passwd")),
        ("url", json!("http://127.0.0.1:1/")),
        ("isAdmin", json!(true)),
        ("hash", json!("00")),
        ("key", json!("mvi_priv_chosen")),
        ("secret", json!("mvi_sign_chosen")),
        ("revokedAt", Value::Null),
        ("__proto__", json!({ "isAdmin": true })),
        ("constructor", json!(1)),
    ] {
        for (method, path) in [
            (Method::PATCH, format!("/videos/{video}")),
            (Method::PATCH, "/organization".to_owned()),
            (Method::PATCH, format!("/embeds/{embed}")),
            (Method::POST, "/signing-keys".to_owned()),
            (Method::POST, "/publishable-keys".to_owned()),
            (Method::POST, "/private-keys".to_owned()),
            (Method::POST, "/embeds".to_owned()),
            (Method::POST, "/videos/visibility".to_owned()),
        ] {
            let body = json!({ name: value, "title": "Taken", "videoId": video, "visibility": "public" });
            let reply = server.admin(method.clone(), &path, &body).expect_code(422, "validation_failed");
            assert!(reply.json()["errors"].get(name).is_some(), "{method} {path}: {}", reply.text());
        }
    }
    assert_eq!(server.told(), before);
    assert_eq!(reads(&format!("/videos/{video}"))["visibility"], "private");
    server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "title": "Mine" })).expect(200);
}

/// How often each field is changed.
const TURNS: usize = 50;

/// A field of a record, and its value in each turn: never the one of the turn before.
type Field = (&'static str, fn(usize) -> Value);

/// Changes each of these fields by a worker of its own, all at once: every answer has the value that was sent, and at the
/// end each field has its last. The changes that the audit log tells of this record by now.
fn change_at_once(server: &Server, path: &str, fields: &[Field], action: &str) -> Vec<Value> {
    let told = || -> Vec<Value> {
        let entries = server.all("audit");
        entries.into_iter().filter(|entry| entry["action"] == action).map(|entry| entry["detail"].clone()).collect()
    };
    let before = told();
    std::thread::scope(|scope| {
        for &(name, value) in fields {
            scope.spawn(move || {
                for turn in 0..TURNS {
                    let body = json!({ name: value(turn) });
                    let answer = server.admin(Method::PATCH, path, &body).expect(200).json();
                    assert_eq!(answer[name], value(turn), "{path} {name}");
                }
            });
        }
    });
    let read = server.admin(Method::GET, path, &Value::Null).expect(200).json();
    for (name, value) in fields {
        assert_eq!(read[*name], value(TURNS - 1), "{path} {name}");
    }
    // The latest is listed first.
    let mut after = told();
    after.truncate(after.len() - before.len());
    after
}

#[test]
fn changes_of_one_video_at_the_same_time_lose_no_field() {
    let server = Server::start();
    let (video, _) = server.pending_video("public");
    let of_video: [Field; 2] = [
        ("title", |turn| json!(format!("title {turn}"))),
        ("visibility", |turn| json!(if turn % 2 == 0 { "private" } else { "public" })),
    ];
    let of_organization: [Field; 4] = [
        ("name", |turn| json!(format!("name {turn}"))),
        ("assetUrlTtl", |turn| json!(400 + turn)),
        ("sessionMaxAge", |turn| json!(5_000 + turn)),
        ("maxTokenLifetime", |turn| json!(1_000 + turn)),
    ];
    for (path, fields, action) in [
        (format!("/videos/{video}"), &of_video[..], "video.change"),
        ("/organization".to_owned(), &of_organization, "organization.change"),
    ] {
        let told = change_at_once(&server, &path, fields, action);
        // Each change is in the log once, with its own field alone, after the one that it changed.
        assert_eq!(told.len(), fields.len() * TURNS, "{path}");
        for (name, value) in fields {
            let own = told.iter().rev().filter(|detail| detail.get(name).is_some()).collect::<Vec<_>>();
            assert!(own.iter().all(|detail| detail.as_object().unwrap().len() == 1), "{path} {name}");
            let set: Vec<_> = own.iter().map(|detail| detail[name]["to"].clone()).collect();
            assert_eq!(set, (0..TURNS).map(value).collect::<Vec<_>>(), "{path} {name}");
            let replaced: Vec<_> = own.iter().skip(1).map(|detail| detail[name]["from"].clone()).collect();
            assert_eq!(replaced, set[..TURNS - 1], "{path} {name}");
        }
    }
    server.verify();
}

#[test]
fn one_reference_makes_one_video_however_often_and_whenever_it_is_sent() {
    /// How much later each kill is than the one before, and after how many the first moment comes again.
    const STEP: Duration = Duration::from_micros(250);
    const LATER: u64 = 80;
    let mut server = Server::start();
    let create = |server: &Server, reference: &str| {
        server.try_admin(Method::POST, "/videos", &json!({ "title": "One", "referenceId": reference }))
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50).map(|_| scope.spawn(|| create(&server, "order-1").unwrap().status)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 49, "{statuses:?}");
    // Killed a little later each time after the last byte of the request. The client does not know, and asks again: the
    // video is made now, or was made before the kill.
    let (enough, mut seen) = (tries(1, 20), BTreeMap::from([(201, 0), (409, 0)]));
    for attempt in 0..LATER * enough as u64 {
        if seen.values().all(|count| *count >= enough) {
            break;
        }
        let reference = format!("killed-{attempt}");
        let body = json!({ "title": "One", "referenceId": reference }).to_string();
        let request = format!(
            "POST /admin/v1/videos HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            server.private_key,
            body.len()
        );
        let mut wire = used(&server);
        wire.send_raw(request.as_bytes()).unwrap();
        let (sent, later) = (Instant::now(), STEP * u32::try_from(attempt % LATER).unwrap());
        while sent.elapsed() < later {
            std::hint::spin_loop();
        }
        server.kill();
        let was_answered = !wire.rest().is_empty();
        server.serve();
        let again = create(&server, &reference).unwrap().status;
        match (was_answered, again) {
            (false, 201 | 409) => *seen.entry(again).or_default() += 1,
            (true, 409) => {}
            other => panic!("{reference}: {other:?}"),
        }
        let made = server.all("videos");
        assert_eq!(made.iter().filter(|video| video["referenceId"] == reference).count(), 1, "{reference}");
    }
    println!("H14 killed before the answer, and then made anew or there already: {seen:?}");
    assert!(seen.values().all(|count| *count >= enough), "{seen:?} of {enough} each");
}

#[test]
fn deleting_a_video_ends_all_of_its_viewers_and_gives_the_room_back() {
    let server = Server::start();
    let (video, embed) = server.pending_video("private");
    server.upload(&video, packs_to(8 << 20)).expect(200);
    server.wait_until_ready(&video);
    let mut watching: Vec<Wire> = (0..50)
        .map(|_| {
            let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
            let mut wire = Wire::narrow(&server, 16 << 10);
            wire.send("GET", path_of(progressive_uri(&answer)), &[]);
            assert_eq!(wire.head().status, 200);
            wire.read_exact(&mut [0; 1024]).unwrap();
            wire
        })
        .collect();
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    for wire in &mut watching {
        let got = wire.drain();
        assert!(got < 4 << 20, "{got} bytes came after the video was deleted");
    }
    drop(watching);
    // A file that is open keeps its room after its name is gone.
    let media = server.state().join("media").display().to_string();
    wait_for("the file to be closed", Duration::from_secs(10), || {
        !descriptors(server.pid()).iter().any(|open| open.contains(&media))
    });
    assert_eq!(std::fs::read_dir(server.state().join("media")).unwrap().count(), 0);
}

#[test]
fn what_is_wrong_with_a_body_is_said_in_words_for_its_sender() {
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    let state = server.state().display().to_string();
    let huge = format!("{{\"title\":{}}}", "9".repeat(400));
    let deep = format!("{{\"title\":{}1{}}}", "[".repeat(120), "]".repeat(120));
    for (path, body) in [
        ("/videos".to_owned(), "{\"title\":".to_owned()),
        ("/videos".to_owned(), huge),
        ("/videos".to_owned(), deep),
        ("/videos".to_owned(), "{\"title\":{\"a\":[1,2,{}]}}".to_owned()),
        ("/videos".to_owned(), "{\"title\":1,\"visibility\":7,\"referenceId\":[]}".to_owned()),
        ("/signing-keys".to_owned(), "{\"label\":1e300}".to_owned()),
        ("/publishable-keys".to_owned(), "{\"originRules\":[{}],\"bundleIds\":{}}".to_owned()),
        ("/embeds".to_owned(), "{\"videoId\":\"x\"}".to_owned()),
        ("/explain".to_owned(), "{\"embedId\":7,\"token\":[]}".to_owned()),
    ] {
        let request = server.request(Method::POST, &format!("/admin/v1{path}")).bearer_auth(&server.private_key);
        let reply = Reply::read(request.header("content-type", "application/json").body(body.clone()).send().unwrap());
        assert!([400, 404, 422].contains(&reply.status), "{path} {body:.60}: {}", reply.text());
        let told = reply.text();
        for inner in
            ["::", ".rs", "src/", "serde", "sled", "panick", "backtrace", "unwrap", "Option", "invalid type", &state]
        {
            assert!(!told.contains(inner), "{path} {body:.60} tells {inner}: {told}");
        }
    }
    server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200);
    server.admin(Method::GET, &format!("/embeds/{embed}"), &Value::Null).expect(200);
}

#[test]
fn a_foreign_host_is_nobodys_name_in_any_answer() {
    let server = Server::start();
    let (video, _) = server.video("private");
    let cookie = crate::dashboard::signed_in(&server);
    let bearer = format!("Bearer {}", server.private_key);
    for (target, name, value) in [
        (format!("/admin/v1/videos/{video}"), "Authorization", bearer.as_str()),
        ("/admin/v1/videos?limit=1".to_owned(), "Authorization", bearer.as_str()),
        (format!("/dashboard/videos/{video}"), "Cookie", cookie.as_str()),
        ("/dashboard/".to_owned(), "Cookie", "none=1"),
    ] {
        let mut wire = Wire::connect(&server);
        wire.send_raw(format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\nForwarded: host=evil.example\r\nX-Forwarded-Host: evil.example\r\n{name}: {value}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let came = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(came.starts_with("HTTP/1.1 ") && !came.contains("evil.example"), "{target}: {came}");
    }
}
