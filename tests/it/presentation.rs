//! How a request presents its key and its token: once, in its own header, and nowhere else (attacks B01–B25).

use crate::support::{Claims, Reply, Server, check_refused_page, sign, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A server with a private video: its id, its embed and a token.
fn private_video() -> (Server, String, String, String) {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    (server, video, embed, token)
}

fn path(embed: &str) -> String {
    format!("/api/v1/embeds/{embed}/playback")
}

fn with_key(server: &Server, target: &str, headers: &str) -> crate::support::RawReply {
    let key = &server.publishable_key;
    server.raw(
        &format!("GET {target} HTTP/1.1"),
        &format!("Connection: close\r\nAuthorization: Bearer {key}\r\n{headers}"),
    )
}

#[test]
fn the_api_reads_the_token_from_its_header_alone() {
    let (server, video, embed, token) = private_video();
    let other = sign(&server.kid, &server.secret, &Claims::of(&server.video("private").0));
    let asked = format!("{}?token={token}", path(&embed));
    with_key(&server, &asked, "").expect_code(401, "playback_token_missing");
    let mixed = format!("{}?token={other}", path(&embed));
    with_key(&server, &mixed, &format!("x-moviie-playback-token: {token}\r\n")).expect_code(200, "");
    for headers in [
        format!("Cookie: x-moviie-playback-token={token}; token={token}\r\n"),
        format!("x_moviie_playback_token: {token}\r\n"),
        format!("playback-token: {token}\r\n"),
        format!("x-moviie-playback-token2: {token}\r\n"),
        format!("Content-Length: {}\r\nContent-Type: application/json\r\n", 0),
        "x-moviie-playback-token:\r\n".to_owned(),
        "x-moviie-playback-token:   \r\n".to_owned(),
    ] {
        with_key(&server, &path(&embed), &headers).expect_code(401, "playback_token_missing");
    }
    server
        .play(&path(&embed), &[("authorization", &format!("Bearer {token}"))])
        .expect_code(401, "publishable_key_invalid");
    let in_body = server.playback_request(&embed).json(&json!({ "token": token, "playbackToken": token }));
    Reply::read(in_body.send().unwrap()).expect_code(401, "playback_token_missing");
    server.playback(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn the_tokens_header_is_named_in_any_case() {
    let (server, _, embed, token) = private_video();
    for name in ["X-Moviie-Playback-Token", "X-MOVIIE-PLAYBACK-TOKEN", "x-moviie-playback-token"] {
        with_key(&server, &path(&embed), &format!("{name}: {token}\r\n")).expect_code(200, "");
        // White space around a value is no part of it (RFC 9110 §5.5).
        with_key(&server, &path(&embed), &format!("{name}: \t {token} \t\r\n")).expect_code(200, "");
        with_key(&server, &path(&embed), &format!("{name}:{token}x\r\n")).expect_code(401, "playback_token_invalid");
    }
}

#[test]
fn a_repeated_token_is_refused() {
    let (server, _, embed, token) = private_video();
    let once = format!("x-moviie-playback-token: {token}\r\n");
    let garbage = "x-moviie-playback-token: garbage\r\n".to_owned();
    let empty = "X-Moviie-Playback-Token:\r\n".to_owned();
    with_key(&server, &path(&embed), &once).expect_code(200, "");
    for headers in [[&once, &once], [&once, &garbage], [&garbage, &once], [&once, &empty], [&empty, &once]] {
        with_key(&server, &path(&embed), &headers.map(String::as_str).concat())
            .expect_code(401, "playback_token_invalid");
    }
    for query in [
        format!("token={token}&token={token}"),
        format!("token={token}&token=garbage"),
        format!("token=garbage&token={token}"),
        format!("token={token}&token="),
    ] {
        check_refused_page(&server.get(&format!("/embed/{embed}?{query}")), 401, "playback_token_invalid");
    }
    server.get(&format!("/embed/{embed}?a=1&token={token}&b=2")).expect(200);
}

#[test]
fn a_header_that_two_servers_could_read_differently_is_no_request() {
    let (server, _, embed, token) = private_video();
    let key = &server.publishable_key;
    let (front, back) = token.split_at(20);
    for header in [
        format!("x-moviie-playback-token : {token}\r\n"),
        format!("x-moviie-playback-token: {front}\r\n {back}\r\n"),
        format!("x-moviie-playback-token: {token}\0\r\n"),
        format!("x-moviie-playback-token: {front}\0{back}\r\n"),
        format!("x-moviie playback-token: {token}\r\n"),
    ] {
        let began = Instant::now();
        // Not asked to close: it must close by itself.
        let line = format!("GET {} HTTP/1.1", path(&embed));
        let reply = server.raw(&line, &format!("Authorization: Bearer {key}\r\n{header}"));
        assert_eq!(reply.status, 400, "{header:?}: {}", reply.text);
        assert!(began.elapsed() < Duration::from_secs(5), "the connection stayed open");
        assert!(!reply.text.contains(&token) && !reply.text.contains("/media/"));
    }
    with_key(&server, &path(&embed), &format!("x-moviie-playback-token: {token}\r\n")).expect_code(200, "");
}

#[test]
fn the_publishable_key_comes_once_as_a_bearer() {
    let (server, _, embed, token) = private_video();
    let key = &server.publishable_key;
    let ask = |headers: &str| {
        let line = format!("GET {} HTTP/1.1", path(&embed));
        server.raw(&line, &format!("Connection: close\r\nx-moviie-playback-token: {token}\r\n{headers}"))
    };
    for headers in [
        format!("Authorization: Bearer {key}\r\n"),
        format!("Authorization: bearer {key}\r\n"),
        format!("authorization: BEARER {key}\r\n"),
        format!("X-Api-Key: {key}\r\n"),
        format!("x-api-key:{key}\r\n"),
    ] {
        ask(&headers).expect_code(200, "");
    }
    for headers in [
        "Authorization: Bearer \r\n".to_owned(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization:\r\n".to_owned(),
        "Authorization: Basic UEs6\r\n".to_owned(),
        format!("Authorization: {key}\r\n"),
        format!("Authorization: Basic {key}\r\n"),
        format!("Authorization: Bearer  {key}\r\n"),
        format!("Authorization: Bearer {key} {key}\r\n"),
        format!("Authorization: Bearer {key},{key}\r\n"),
        format!("Authorization: Bearer {key}\r\nAuthorization: Bearer {key}\r\n"),
        format!("Authorization: Bearer {key}\r\nauthorization: Bearer garbage\r\n"),
        format!("x-api-key: {key}\r\nx-api-key: {key}\r\n"),
        format!("Authorization: Bearer \"{key}\"\r\n"),
        format!("Authorization: Bearer {}\r\n", key.to_uppercase()),
        format!("Authorization: Bearer {}\r\n", server.secret),
        format!("Cookie: key={key}\r\n"),
        String::new(),
    ] {
        ask(&headers).expect_code(401, "publishable_key_invalid");
    }
    let in_query =
        server.raw(&format!("GET {}?key={key}&x-api-key={key} HTTP/1.1", path(&embed)), "Connection: close\r\n");
    in_query.expect_code(401, "publishable_key_invalid");
    // Someone's backend leaks its secret: the operator is told, without the secret.
    wait_for("the warning in the log", Duration::from_secs(10), || {
        server.log_text().contains("what looks like a signing secret was sent as a publishable key")
    });
}

#[test]
fn keys_open_only_the_door_that_they_are_for() {
    let (server, video, embed, token) = private_video();
    let admin = |key: &str| server.admin_as(key, Method::GET, "/videos", &Value::Null);
    admin(&server.private_key).expect(200);
    admin(&server.publishable_key).expect_code(403, "publishable_key_not_allowed");
    admin(&token).expect_code(401, "private_key_invalid");
    admin(&server.secret).expect_code(401, "private_key_invalid");
    let bearer = format!("Bearer {}", server.private_key);
    let headers = [("authorization", bearer.as_str()), ("x-moviie-playback-token", token.as_str())];
    server.play(&path(&embed), &headers).expect_code(403, "private_key_not_allowed");
    server.playback(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn nothing_of_one_organization_opens_anothers() {
    let (server, video, embed, token) = private_video();
    let (second_video, second_embed) = server.video("private");
    let (private_key, publishable_key) = server.other_organization();
    let theirs = server.signing_key_of(&private_key);
    server.admin_as(&private_key, Method::PATCH, "/organization", &json!({ "tokenAccess": true })).expect(200);
    let made =
        server.admin_as(&private_key, Method::POST, "/videos", &json!({ "title": "Theirs", "visibility": "private" }));
    let made = made.expect(201).json();
    let (their_video, their_embed) = (made["id"].as_str().unwrap(), made["embedId"].as_str().unwrap());
    let upload = server
        .request(Method::PUT, &format!("/admin/v1/videos/{their_video}/source"))
        .bearer_auth(&private_key)
        .body(include_bytes!("../fixtures/h264_aac.mp4").as_slice());
    Reply::read(upload.send().unwrap()).expect(200);
    let ask = |key: &str, embed: &str, token: &str| {
        let bearer = format!("Bearer {key}");
        server.play(&path(embed), &[("authorization", &bearer), ("x-moviie-playback-token", token)])
    };
    let sign_theirs = |video: &str| sign(&theirs.kid, &theirs.secret, &Claims::of(video));
    ask(&publishable_key, their_embed, &sign_theirs(their_video)).expect(200);
    ask(&publishable_key, their_embed, &token).expect_code(401, "playback_token_invalid");
    ask(&publishable_key, their_embed, &sign(&server.kid, &server.secret, &Claims::of(their_video)))
        .expect_code(401, "playback_token_invalid");
    ask(&publishable_key, &embed, &token).expect_code(404, "not_found");
    ask(&server.publishable_key, their_embed, &sign_theirs(their_video)).expect_code(404, "not_found");
    ask(&server.publishable_key, &embed, &sign_theirs(&video)).expect_code(401, "playback_token_invalid");
    ask(&server.publishable_key, &second_embed, &token).expect_code(403, "playback_token_wrong_video");
    ask(&server.publishable_key, &second_embed, &server.token(&second_video)).expect(200);
    server
        .embed_page(their_embed, Some(&sign(&server.kid, &server.secret, &Claims::of(their_video))))
        .expect_code(401, "playback_token_invalid");
    server.embed_page(their_embed, Some(&sign_theirs(their_video))).expect(200);
}

#[test]
fn an_embed_has_one_spelling() {
    let (server, _, embed, token) = private_video();
    let headers = format!("x-moviie-playback-token: {token}\r\n");
    let first = format!("%{:02X}{}", embed.as_bytes()[0], &embed[1..]);
    for target in [
        path(&embed.to_uppercase()),
        path(&first),
        path(&format!("{embed}%00")),
        path(&format!("{embed}/")),
        path(&format!("{embed}%20")),
        path(&format!("{{{embed}}}")),
        path(&embed.replace('-', "")),
        path("a"),
        format!("/api/v1/embeds/{embed}/playback/"),
        format!("/api/v1//embeds/{embed}/playback"),
        format!("//api/v1/embeds/{embed}/playback"),
        format!("/api/v1/./embeds/{embed}/playback"),
        format!("/api/v1/embeds/x/../{embed}/playback"),
        format!("/API/V1/embeds/{embed}/playback"),
        format!("/api/v1/embeds/{embed}/PLAYBACK"),
        format!("/api/v2/embeds/{embed}/playback"),
        format!("/api/v1/embeds/{embed};x=1/playback"),
    ] {
        let reply = with_key(&server, &target, &headers);
        assert!([400, 404].contains(&reply.status), "{target}: {}", reply.text);
        assert!(!reply.text.contains("/media/") && !reply.text.to_ascii_lowercase().contains("\r\nlocation:"));
    }
    let long = with_key(&server, &path(&"e".repeat(10 << 10)), &headers);
    assert!([400, 404, 414].contains(&long.status), "{}", long.text);
    for page in [embed.to_uppercase(), first, format!("{embed}/"), format!("{embed}%00")] {
        let reply = server.raw(&format!("GET /embed/{page}?token={token} HTTP/1.1"), "Connection: close\r\n");
        assert_eq!(reply.status, 404, "{page}: {}", reply.text);
    }
    with_key(&server, &path(&embed), &headers).expect_code(200, "");
}

#[test]
fn other_methods_are_refused_and_change_nothing() {
    let (server, _, embed, token) = private_video();
    let headers = format!(
        "Connection: close\r\nAuthorization: Bearer {}\r\nx-moviie-playback-token: {token}\r\n",
        server.publishable_key
    );
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "get", "GETT", "QUERY", "PROPFIND"] {
        for target in [path(&embed), format!("/embed/{embed}?token={token}")] {
            let body = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
            let reply = server.raw(&format!("{method} {target} HTTP/1.1"), &format!("{headers}{body}"));
            let is_known = ["POST", "PUT", "PATCH", "DELETE", "TRACE"].contains(&method);
            let allowed: &[u16] = if is_known { &[405] } else { &[400, 404, 405] };
            assert!(allowed.contains(&reply.status), "{method} {target}: {}", reply.text);
            if reply.status == 405 {
                let head = reply.text.to_ascii_lowercase();
                assert!(head.contains("\r\nallow: get, head"), "{method}: {head}");
            }
            assert!(!reply.text.contains(&token) && !reply.text.contains(&server.publishable_key), "{method} echoes");
        }
    }
    for headers in [
        "X-HTTP-Method-Override: DELETE\r\n",
        "X-HTTP-Method: DELETE\r\n",
        "X-Method-Override: PUT\r\n",
        "X-Original-URL: /admin/v1/signing-keys\r\n",
        "X-Rewrite-URL: /admin/v1/signing-keys\r\n",
    ] {
        let headers = format!("{headers}x-moviie-playback-token: {token}\r\n");
        let reply = with_key(&server, &format!("{}?_method=DELETE", path(&embed)), &headers);
        reply.expect_code(200, "");
        assert!(reply.text.contains("\"renewToken\""), "another resource answered: {}", reply.text);
    }
}

#[test]
fn a_body_on_a_get_does_no_harm() {
    let (server, _, embed, token) = private_video();
    let request = server.playback_request(&embed).header("x-moviie-playback-token", &token).body(vec![b'x'; 1 << 20]);
    if let Ok(reply) = request.send() {
        assert!([200, 400, 413].contains(&reply.status().as_u16()));
    }
    server.playback(&embed, Some(&token)).expect(200);
}

#[test]
fn a_body_that_never_comes_holds_no_connection() {
    let (server, _, embed, token) = private_video();
    let began = Instant::now();
    let line = format!("GET {} HTTP/1.1", path(&embed));
    let headers = format!(
        "Authorization: Bearer {}\r\nx-moviie-playback-token: {token}\r\nContent-Length: 5\r\n",
        server.publishable_key
    );
    let reply = server.raw(&line, &headers);
    assert!([200, 400, 408].contains(&reply.status), "{}", reply.text);
    assert!(began.elapsed() < Duration::from_secs(10), "the server did not close: {:?}", began.elapsed());
    server.playback(&embed, Some(&token)).expect(200);
}

#[test]
fn urls_are_built_from_the_configuration_and_never_from_the_request() {
    let (server, _, embed, token) = private_video();
    for headers in [
        "Host: evil.example\r\n",
        "Host: evil.example:443\r\nX-Forwarded-Host: evil.example\r\n",
        "Host: 127.0.0.1\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\n",
        "Host: 127.0.0.1\r\nForwarded: host=evil.example;proto=http\r\nX-Forwarded-Server: evil.example\r\n",
        "Host: 127.0.0.1\r\nX-Forwarded-Prefix: /evil.example\r\nVia: 1.1 evil.example\r\n",
    ] {
        let key = &server.publishable_key;
        for (target, status) in
            [(path(&embed), 200), (format!("/embed/{embed}?token={token}"), 200), ("/nowhere".into(), 404)]
        {
            let request = format!(
                "GET {target} HTTP/1.1\r\n{headers}Connection: close\r\nAuthorization: Bearer {key}\r\nx-moviie-playback-token: {token}\r\n\r\n"
            );
            let reply = server.raw_bytes(request.as_bytes());
            assert_eq!(reply.status, status, "{}", reply.text);
            assert!(!reply.text.contains("evil"), "{}", reply.text);
        }
    }
    let answer = server.playback(&embed, Some(&token)).expect(200).json();
    assert!(answer["playback"]["uri"].as_str().unwrap().starts_with(&format!("{}/media/", server.base_url)));
}

#[test]
fn the_api_speaks_json_uncompressed_whatever_it_is_asked_for() {
    let (server, _, embed, token) = private_video();
    for (accept, encoding) in [("text/html", "gzip"), ("*/*", "br, gzip, deflate, zstd"), ("image/png", "identity;q=0")]
    {
        let request = server
            .playback_request(&embed)
            .header("x-moviie-playback-token", &token)
            .header("accept", accept)
            .header("accept-encoding", encoding);
        let reply = Reply::read(request.send().unwrap()).expect(200);
        assert!(reply.header("content-type").unwrap().starts_with("application/json"));
        assert!(reply.header("content-encoding").is_none(), "compressed beside a token (BREACH)");
        assert!(reply.json()["session"]["renewToken"].is_string());
    }
}

#[test]
fn the_embed_page_needs_a_token_that_the_server_sees() {
    let (server, video, embed, token) = private_video();
    for query in ["", "?", "?token", "?token=", "?Token=x", "?t=x", "?playback_token=x"] {
        check_refused_page(&server.get(&format!("/embed/{embed}{query}")), 401, "playback_token_missing");
    }
    // After `#` it never leaves the browser; sent raw, it is no part of the query.
    let reply = server.raw(&format!("GET /embed/{embed}#token={token} HTTP/1.1"), "Connection: close\r\n");
    assert!([400, 401, 404].contains(&reply.status), "{}", reply.text);
    let headers = [("x-moviie-playback-token", token.as_str()), ("authorization", token.as_str())];
    check_refused_page(&server.play(&format!("/embed/{embed}"), &headers), 401, "playback_token_missing");
    for query in ["token=%00", "token=<script>alert(1)</script>", "token=%3Cscript%3E", "token=null", "token=a.b.c"] {
        let page = server.get(&format!("/embed/{embed}?{query}"));
        check_refused_page(&page, 401, "playback_token_invalid");
        assert!(!page.text().contains("alert(") && !page.text().contains(query));
    }
    server.embed_page(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn the_page_of_a_public_video_needs_none() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    for query in ["", "?token=", "?token=garbage", "?token=a&token=b"] {
        server.get(&format!("/embed/{embed}{query}")).expect(200);
    }
    server.playback(&embed, None).expect(200);
    server.playback(&embed, Some("garbage")).expect(200);
}
