//! What an answer, a page, a file or a certificate could tell that it must not (group F).

use crate::support::{Exchange, Server, Wire, film, path_of, progressive_uri};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Headers that differ from answer to answer, or follow from the status (RFC 9110 §11.6.1).
const OF_ITS_OWN: [&str; 4] = ["x-request-id", "content-length", "date", "www-authenticate"];

/// What is asked of every machine on the internet, and what a server like this might have.
const SCANNED: &str = "\
    / /index.html /robots.txt /favicon.ico /sitemap.xml /sw.js /service-worker.js /manifest.json /.well-known/ \
    /.well-known/security.txt /.well-known/openid-configuration /static/ /static/../media /assets/ /assets /media \
    /media/ /data /data/ /uploads /uploads/ /state /journal /master.key /config.toml /config /.env /.git/HEAD \
    /.git/config /.htaccess /debug /debug/pprof/ /metrics /server-status /status /stats /version /info \
    /actuator/env /actuator/heapdump /console /phpinfo.php /wp-login.php /admin /admin/ /admin/v1 /admin/v1/ \
    /admin.sock /appliance/v1/status /appliance/v1/organizations /api /api/ /api/v1/ /api/v1/embeds /v1/embeds \
    /embed/ /graphql /swagger.json /openapi.json /backup /backup.tar.gz /dump.rdb /core";

fn headers(answer: &Exchange) -> BTreeMap<String, String> {
    let kept = answer.head.headers.iter().filter(|(name, _)| !OF_ITS_OWN.contains(&name.as_str()));
    kept.cloned().collect()
}

#[test]
fn a_private_and_an_unknown_embed_differ_in_what_the_refusal_says_alone() {
    let server = Server::start();
    let (_, private) = server.video("private");
    let (_, other) = server.video("private");
    // RFC 9562 §5.4: 122 random bits, which nobody guesses.
    for embed in [&private, &other] {
        assert!(embed.as_bytes()[14] == b'4' && b"89ab".contains(&embed.as_bytes()[19]), "{embed}");
    }
    assert_ne!(private, other);
    let unknown = "00000000-0000-4000-8000-000000000000";
    let bearer = format!("Bearer {}", server.publishable_key);
    let mut wire = Wire::connect(&server);
    for (path, tail) in [("/api/v1/embeds/", "/playback"), ("/v1/embeds/", "/playback"), ("/embed/", "")] {
        for method in ["GET", "HEAD"] {
            let mut ask =
                |embed| wire.exchange(method, &format!("{path}{embed}{tail}"), &[("Authorization", bearer.as_str())]);
            let (known, unknown) = (ask(private.as_str()), ask(unknown));
            assert_eq!((known.status(), unknown.status()), (401, 404), "{method} {path}");
            assert_eq!(headers(&known), headers(&unknown), "{method} {path}");
            if method == "GET" && !tail.is_empty() {
                let names = |answer: &Exchange| {
                    let body: Value = serde_json::from_slice(&answer.body).unwrap();
                    body.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
                };
                assert_eq!(names(&known), names(&unknown));
            }
        }
    }
}

#[test]
fn nothing_answers_at_the_addresses_that_scanners_try() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let watched = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let asset = path_of(watched["playback"]["uri"].as_str().unwrap());
    let granted = asset.rsplit_once('/').unwrap().0;
    let bearer = format!("Bearer {}", server.private_key);
    let mut wire = Wire::connect(&server);
    for path in SCANNED.split_whitespace() {
        for headers in [&[][..], &[("Authorization", bearer.as_str())]] {
            let answer = wire.exchange("GET", path, headers);
            // A path below /media is an asset's URL that is none.
            let wanted = if path == "/media/" { [403, 403] } else { [404, 404] };
            assert!(wanted.contains(&answer.status()), "{path}: {answer:?}");
            assert!(answer.body.len() < 200 && !answer.code().is_empty(), "{path}: {answer:?}");
        }
    }
    // A directory is no asset, not even behind a good grant.
    for path in [format!("{granted}/"), format!("{granted}/captions/"), format!("/media/{video}/")] {
        let answer = wire.exchange("GET", &path, &[]);
        assert!([403, 404].contains(&answer.status()), "{path}: {answer:?}");
    }
    // What is open to all says one word.
    for path in ["/healthz", "/readyz"] {
        let answer = wire.exchange("GET", path, &[]);
        assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"{\"status\":\"ok\"}"[..]), "{path}");
    }
}

#[test]
fn a_preflight_allows_what_is_listed_whatever_it_asks_for() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let mut wire = Wire::connect(&server);
    let many = (0..1_000).map(|number| format!("x-{number}")).collect::<Vec<_>>().join(",");
    let path = format!("/api/v1/embeds/{embed}/playback");
    let listed = "authorization, content-type, x-api-key, x-moviie-client, x-moviie-playback-token";
    for asked in ["authorization", "AuThOrIzAtIoN", "x-evil", "cookie, set-cookie", "*", &many] {
        let headers = [
            ("Origin", "https://acme.com"),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", asked),
        ];
        let answer = wire.exchange("OPTIONS", &path, &headers);
        assert_eq!(
            (answer.status(), answer.header("access-control-allow-headers")),
            (204, Some(listed)),
            "{asked:.40}"
        );
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, POST"));
        assert!(answer.header("access-control-allow-credentials").is_none());
    }
}

#[test]
fn no_script_of_another_site_may_read_the_admin_api_or_the_dashboard() {
    let server = Server::start();
    server.set(&json!({ "originRules": ["acme.com"] }));
    let bearer = format!("Bearer {}", server.private_key);
    let mut wire = Wire::connect(&server);
    for path in ["/admin/v1/organization", "/admin/v1/videos", "/admin/v1/uploads", "/dashboard/videos", "/healthz"] {
        for origin in ["https://acme.com", "https://evil.example", "null", &server.base_url] {
            for (method, more) in
                [("GET", ("Authorization", bearer.as_str())), ("OPTIONS", ("Access-Control-Request-Method", "GET"))]
            {
                let answer = wire.exchange(method, path, &[("Origin", origin), more]);
                let told = answer.head.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
                assert_eq!(told, None, "{method} {path} for {origin}");
            }
        }
    }
}

#[test]
fn an_asset_has_no_name_but_its_url() {
    let server = Server::start();
    let body = json!({ "title": "Board \"meeting\"\u{202e}/../x", "visibility": "private" });
    let made = server.admin(Method::POST, "/videos", &body).expect(201).json();
    let (video, embed) = (made["id"].as_str().unwrap(), made["embedId"].as_str().unwrap());
    let form = crate::support::form::multipart(&[], b"canary-of-a-name.mov", crate::support::FIXTURE);
    let request =
        server.request(Method::PUT, &format!("/admin/v1/videos/{video}/source")).bearer_auth(&server.private_key);
    let refused = request.header("content-type", crate::support::form::multipart_kind()).body(form).send().unwrap();
    assert_eq!(refused.status(), 422, "a form is no film");
    server.upload(video, crate::support::FIXTURE).expect(200);
    let answer = server.playback(embed, Some(&server.token(video))).expect(200).json();
    for uri in [progressive_uri(&answer), answer["playback"]["uri"].as_str().unwrap()] {
        let reply = server.get(uri).expect(200);
        assert!(reply.header("content-disposition").is_none(), "{uri}");
        for (name, value) in &reply.headers {
            let value = value.to_str().unwrap();
            assert!(!value.contains("canary") && !value.contains("meeting"), "{name}: {value}");
        }
    }
}

#[test]
fn what_a_camera_wrote_beside_the_picture_is_not_given_out() {
    let server = Server::start();
    let told = ["canary-title", "canary-comment", "canary-place"];
    let more = [
        "-metadata",
        "title=canary-title",
        "-metadata",
        "comment=canary-comment",
        "-metadata",
        "location=canary-place",
        "-metadata",
        "creation_time=2011-01-02T03:04:05Z",
        "-movflags",
        "use_metadata_tags",
    ];
    let source = film(server.scratch(), "128x96", 1, &more);
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    // In seconds since 1904 (ISO/IEC 14496-12 §8.2.2).
    let created = 1_293_937_445_u32 + 2_082_844_800;
    let holds_time = |bytes: &[u8]| bytes.windows(4).any(|window| window == created.to_be_bytes());
    for text in told {
        assert!(holds(&source, text), "ffmpeg did not write {text}");
    }
    assert!(holds_time(&source), "ffmpeg did not write the time");
    assert!(holds(&source, "Lavc"), "ffmpeg did not write the encoder's name");
    let (video, embed) = server.pending_video("private");
    server.upload(&video, source).expect(200);
    server.wait_until_ready(&video);
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let file = progressive_uri(&answer).to_owned();
    for uri in [format!("{}/init.mp4", file.trim_end_matches(".mp4")), file] {
        let given = server.get(&uri).expect(200).body;
        let found = told.iter().find(|text| holds(&given, text));
        assert_eq!(found, None, "{uri}");
        assert!(!holds_time(&given) && !holds(&given, "Lavf") && !holds(&given, "udta"), "{uri}");
        // The track names no encoder; the frames themselves leave as they were made.
        assert!(!uri.ends_with("/init.mp4") || !holds(&given, "Lavc"), "{uri}");
    }
}

#[test]
fn the_certificate_and_the_handshake_are_the_same_for_every_name() {
    let server = Server::start();
    let address = server.base_url.strip_prefix("https://").unwrap();
    let shown = |name: &[&str]| {
        let said = Command::new("openssl")
            .args(["s_client", "-connect", address, "-showcerts", "-alpn", "h2,http/1.1"])
            .args(name)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(out.contains("ALPN protocol: http/1.1"), "{name:?}: {out}");
        let begins = out.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{name:?}: {out}"));
        out[begins..out.rfind("-----END CERTIFICATE-----").unwrap()].to_owned()
    };
    let usual = shown(&["-noservername"]);
    for name in ["evil.example", "localhost", "admin.internal", "a"] {
        assert_eq!(shown(&["-servername", name]), usual, "{name}");
    }
}

#[test]
fn a_clock_that_a_request_tells_is_nobodys() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let old = crate::support::now() - 400;
    let expired = json!({ "sub": video, "iat": old, "exp": old + 300 });
    let expired = crate::support::sign(&server.kid, &server.secret, &expired);
    let bearer = format!("Bearer {}", server.publishable_key);
    let mut wire = Wire::connect(&server);
    for (name, value) in [
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("X-Date", "1994-11-06"),
        ("X-Timestamp", "784111777"),
        ("Age", "-400"),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let ask = |token: &str, wire: &mut Wire| {
            let headers = [("Authorization", bearer.as_str()), ("x-moviie-playback-token", token), (name, value)];
            wire.exchange("GET", &format!("/api/v1/embeds/{embed}/playback"), &headers)
        };
        let refused = ask(&expired, &mut wire);
        assert_eq!((refused.status(), refused.code().as_str()), (401, "playback_token_expired"), "{name}");
        assert_eq!(ask(&server.token(&video), &mut wire).status(), 200, "{name}");
    }
}
