//! Requests that two servers could part or read differently, as raw bytes (attacks J01–J09, J26–J28, J31; R16). Each
//! refused one carries a request inside that would make a video if it were ever taken for one.

use crate::support::{FIXTURE, Server, answers, path_of, progressive_uri};
use reqwest::Method;
use serde_json::Value;

/// One row: what it is, the bytes, and the status of each answer until the server closes the connection.
struct Row {
    what: String,
    request: Vec<u8>,
    statuses: Vec<u16>,
}

fn row(what: &str, request: impl AsRef<[u8]>, statuses: &[u16]) -> Row {
    Row { what: what.to_owned(), request: request.as_ref().to_owned(), statuses: statuses.to_vec() }
}

/// Longest head that is read.
pub const HEAD_BYTES: usize = 16 << 10;

/// What would make a video.
fn smuggled(server: &Server) -> String {
    format!(
        "POST /admin/v1/videos HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 20\r\nConnection: close\r\n\r\n{{\"title\":\"smuggled\"}}",
        server.private_key
    )
}

fn videos(server: &Server) -> usize {
    server.all("videos").len()
}

/// Sends each row on a connection of its own. Prints how many there were; nothing may have been smuggled.
#[track_caller]
fn check(server: &Server, name: &str, rows: &[Row]) {
    let (before, mut wrong) = (videos(server), Vec::new());
    let mut server_errors = 0;
    for row in rows {
        let came = server.raw_bytes_back(&row.request);
        if came.is_empty() && row.request.len() > HEAD_BYTES {
            // Refused while it was being sent: the answer may be lost to the reset that ends the connection.
            continue;
        }
        let statuses: Vec<u16> = answers(&came).iter().map(|answer| answer.head.status).collect();
        server_errors += statuses.iter().filter(|status| **status >= 500).count();
        if statuses != row.statuses {
            wrong.push(format!("{}: {statuses:?} instead of {:?}", row.what, row.statuses));
        }
    }
    let desync = videos(server) - before + wrong.len();
    let verdict = if desync + server_errors == 0 { "PASS" } else { "FAIL" };
    println!(
        "R16 {verdict} {name}: {} requests, {desync} read otherwise than meant, {server_errors} x 5xx",
        rows.len()
    );
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((desync, server_errors), (0, 0));
}

/// A request that reads a body and needs no key; `{}` is answered 401.
pub const RENEWAL: &str = "POST /api/v1/videos/a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001/sessions/a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0002/renew \
                       HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";

#[test]
fn a_request_whose_length_two_servers_could_read_differently_ends_its_connection() {
    let server = Server::start();
    let inner = smuggled(&server);
    let length = inner.len();
    let mut rows: Vec<Row> = [
        ("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n".to_owned()),
        ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n".into()),
        ("CL.TE, length 0", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".into()),
        ("the same length twice", format!("Content-Length: {length}\r\nContent-Length: {length}\r\n")),
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: {length}\r\n")),
        ("two lengths, named in two cases", format!("content-length: {length}\r\nCONTENT-LENGTH: 0\r\n")),
    ]
    .into_iter()
    .chain(
        [
            "4, 4",
            "4,4",
            "+4",
            "-1",
            "0x4",
            "4.0",
            "1e1",
            "4 4",
            "4;",
            "a",
            "",
            " ",
            "٤",
            "\"4\"",
            "4\t4",
            "18446744073709551616",
            "99999999999999999999",
        ]
        .map(|length| ("a length that is none", format!("Content-Length: {length}\r\n"))),
    )
    .chain(
        [
            "xchunked",
            "chunked, gzip",
            "gzip, chunked",
            "chunked, chunked",
            "chunked,",
            ",chunked",
            "chunked;q=1",
            "\"chunked\"",
            "\u{b}chunked",
            "chunked\u{b}",
            "chun ked",
            "identity",
            "gzip",
            "",
            "chunked, identity",
        ]
        .map(|coding| ("a coding that is not chunked", format!("Transfer-Encoding: {coding}\r\n"))),
    )
    .chain([
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".to_owned()),
        ("chunked, then identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".into()),
        ("identity, then chunked", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n".into()),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n".into()),
        ("a tab before the colon", "Content-Length\t: 4\r\n".into()),
        ("a folded line", "Transfer-Encoding:\r\n chunked\r\n".into()),
        ("a folded line after a length", "Content-Length: 4\r\n 4\r\n".into()),
        ("a NUL in the name", "Transfer-Encoding\0: chunked\r\n".into()),
        ("a CR before the colon", "Content-Length\r: 4\r\n".into()),
    ])
    .map(|(what, headers)| {
        let request = format!("POST /healthz HTTP/1.1\r\nHost: a\r\n{headers}\r\n0\r\n\r\n{inner}");
        row(&format!("{what}: {headers:?}"), request, &[400])
    })
    .collect();
    let old = |headers: &str| format!("POST /healthz HTTP/1.0\r\nHost: a\r\n{headers}\r\n0\r\n\r\n{inner}");
    rows.extend([
        row("chunked in HTTP/1.0", old("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"), &[400]),
        row("no length in HTTP/1.0", old("Connection: keep-alive\r\n"), &[400]),
        row(
            "leading space on the first header",
            format!("GET /healthz HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n{inner}"),
            &[400],
        ),
        // A length that holds: what is inside is a body, and nobody's request.
        row(
            "a request as the body of a GET",
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{inner}"),
            &[200],
        ),
        row(
            "a request as a body of JSON",
            format!("{RENEWAL}Content-Length: {length}\r\nConnection: close\r\n\r\n{inner}"),
            &[400],
        ),
        row(
            "a request as a chunk",
            format!(
                "{RENEWAL}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"
            ),
            &[400],
        ),
        row(
            "chunked, in capitals",
            format!("{RENEWAL}Transfer-Encoding: CHUNKED\r\nConnection: close\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"),
            &[401],
        ),
        row("zeros before a length", format!("{RENEWAL}Content-Length: 002\r\nConnection: close\r\n\r\n{{}}"), &[401]),
    ]);
    check(&server, "lengths", &rows);
    // The twin: what would have been smuggled is a good request where it stands on its own.
    let came = server
        .raw_bytes_back(format!("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n{inner}").as_bytes());
    assert_eq!(answers(&came).iter().map(|answer| answer.head.status).collect::<Vec<_>>(), [200, 201]);
    assert_eq!(videos(&server), 1);
}

#[test]
fn a_chunk_has_one_size_and_one_end() {
    let server = Server::start();
    let inner = smuggled(&server);
    let chunked = |body: &str| format!("{RENEWAL}Transfer-Encoding: chunked\r\n\r\n{body}");
    let last = |body: &str| format!("{RENEWAL}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{body}");
    let mut rows: Vec<Row> = [
        "FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
        "f0000000000000002\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}xx0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "2;a\rb\r\n{}\r\n0\r\n\r\n",
        "2;a\0b\r\n{}\r\n0\r\n\r\n",
        "2 2\r\n{}\r\n0\r\n\r\n",
        "2_\r\n{}\r\n0\r\n\r\n",
        "2;a=\"b\"c\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0;\r\n\r\n",
        "2\r\n{}\r\n0\r\nX: y\n\r\n",
        "2\r\n{}\r\n0\r\nX\r\n\r\n",
        "2\r\n{}\r\n0\r\n: y\r\n\r\n",
        "2\r\n{}\r\n0\r\n X: y\r\n\r\n",
        "2\r\n{}\r\n0\r\nX : y\r\n\r\n",
        "2\r\n{}\r\n0\r\nX: y\r\n z\r\n\r\n",
        "2\r\n{}\r\n0\r\nX: a\0b\r\n\r\n",
        "2\r\n{}\r\n0\r\n5\r\nabcde\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\n\n",
    ]
    .iter()
    .map(|body| row(&format!("{body:?}"), chunked(&format!("{body}{inner}")), &[400]))
    .collect();
    let ones: String = "{\"a\":1}".chars().map(|character| format!("1\r\n{character}\r\n")).collect();
    rows.extend([
        row(
            "an extension of 100 KB",
            chunked(&format!("2;{}\r\n{{}}\r\n0\r\n\r\n{inner}", "x".repeat(100_000))),
            &[400],
        ),
        row("a request where trailers stand", chunked(&format!("2\r\n{{}}\r\n0\r\n{inner}")), &[400]),
        row("trailers", last("2\r\n{}\r\n0\r\nHost: evil\r\nContent-Length: 5\r\nX: y\r\n\r\n"), &[401]),
        row("extensions", last("2 ; a = b;c=\"d;\\\"\"\r\n{}\r\n0;e\r\n\r\n"), &[401]),
        row("zeros before a size", last("0002\r\n{}\r\n000\r\n\r\n"), &[401]),
        row("chunks of one byte", last(&format!("{ones}0\r\n\r\n")), &[422]),
        row("a size in capitals", last("0A\r\n{        }\r\n0\r\n\r\n"), &[401]),
    ]);
    check(&server, "chunks", &rows);
}

#[test]
fn a_head_is_read_to_the_letter() {
    let server = Server::start();
    let inner = smuggled(&server);
    let get = |line: &str, headers: &str| format!("{line}\r\n{headers}Connection: close\r\n\r\n");
    let ok = "GET /healthz HTTP/1.1";
    let mut rows = vec![
        row("as it should be", get(ok, "Host: a\r\n"), &[200]),
        row("no Host", get(ok, ""), &[400]),
        row("no Host in HTTP/1.0", get("GET /healthz HTTP/1.0", ""), &[200]),
        row("two Hosts", get(ok, "Host: a\r\nHost: b\r\n"), &[400]),
        row("one Host twice", get(ok, "Host: a\r\nhost: a\r\n"), &[400]),
        row("Host with a port", get(ok, "Host: [::1]:8443\r\n"), &[200]),
        row("absolute form, another Host", get("GET http://evil.example/healthz HTTP/1.1", "Host: a\r\n"), &[200]),
        row("authority form", get("GET a:443 HTTP/1.1", "Host: a\r\n"), &[400]),
        row("CONNECT", get("CONNECT a:443 HTTP/1.1", "Host: a\r\n"), &[404]),
        row("asterisk", get("OPTIONS * HTTP/1.1", "Host: a\r\n"), &[204]),
        row("lines that end in LF", "GET /healthz HTTP/1.1\nHost: a\nConnection: close\n\n", &[200]),
        row("empty lines before", format!("\r\n\r\n{}", get(ok, "Host: a\r\n")), &[200]),
        row("white space around values", get(ok, "Host: \t a \t\r\n"), &[200]),
        row("an empty value", get(ok, "Host: a\r\nX:\r\n"), &[200]),
        row("bytes above ASCII in a value", get(ok, "Host: a\r\nX: ä\r\n"), &[200]),
        row(
            "a hop-by-hop list",
            "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close, host\r\n\r\n",
            &[200],
        ),
        row("an upgrade to h2c", get(ok, "Host: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), &[200]),
        row(
            "an upgrade to WebSocket",
            "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            &[200],
        ),
        row(
            "an upgrade with a body",
            format!("{RENEWAL}Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{{}}{inner}"),
            &[401],
        ),
        row("an unknown expectation", get(ok, "Host: a\r\nExpect: the unexpected\r\n"), &[200]),
        row("PROXY protocol", format!("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{}", get(ok, "Host: a\r\n")), &[400]),
        row("PROXY protocol 2", [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", &[0; 12][..]].concat(), &[400]),
        row("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400]),
        row(
            "a fragment behind another request",
            format!("{ok}\r\nHost: a\r\n\r\nGET /healthz#a HTTP/1.1\r\nHost: a\r\n\r\n{inner}"),
            &[200, 400],
        ),
        row("a request line without end", format!("GET /{}", "x".repeat(1 << 20)), &[414]),
        row("a name without end", format!("GET /healthz HTTP/1.1\r\n{}", "x".repeat(1 << 20)), &[431]),
    ];
    for line in [
        "GET /healthz",
        "GET /healthz HTTP/0.9",
        "GET /healthz HTTP/1.2",
        "GET /healthz HTTP/1.9",
        "GET /healthz HTTP/2.0",
        "GET /healthz HTTP/3",
        "GET /healthz http/1.1",
        "GET /healthz Http/1.1",
        "GET /healthz HTTP/1.10",
        "GET /healthz HTTP/01.1",
        "GET /healthz HTTP/1,1",
        "GET /healthz HTTP/1.1 x",
        "GET /healthz HTTP /1.1",
        "GET  /healthz HTTP/1.1",
        "GET /healthz  HTTP/1.1",
        "GET\t/healthz HTTP/1.1",
        "GET /healthz\tHTTP/1.1",
        " GET /healthz HTTP/1.1",
        "GET HTTP/1.1",
        "GET",
        "",
        "GET \0 HTTP/1.1",
        "GET /a\0b HTTP/1.1",
        "GET /a\u{7f} HTTP/1.1",
        "GET /a b HTTP/1.1",
        "G\0T /healthz HTTP/1.1",
        "G(T /healthz HTTP/1.1",
        "GÄT /healthz HTTP/1.1",
        ": GET /healthz HTTP/1.1",
        "HTTP/1.1 200 OK",
        "GET /healthz HTTP/1.1\r",
        "GET\u{b}/healthz HTTP/1.1",
        "{\"a\":1}",
        "<policy-file-request/>",
        "GET /healthz#a HTTP/1.1",
        "GET /healthz?a#b HTTP/1.1",
        "GET http://a/healthz# HTTP/1.1",
    ] {
        rows.push(row(&format!("line {line:?}"), format!("{line}\r\nHost: a\r\n\r\n{inner}"), &[400]));
    }
    for name in "()<>@,;\\\"/[]?={} \t\0\u{1}\u{7f}ä".chars() {
        let header = format!("X{name}Y: 1\r\n");
        rows.push(row(&format!("header {header:?}"), format!("{ok}\r\nHost: a\r\n{header}\r\n{inner}"), &[400]));
    }
    for header in ["X\r\n", ": x\r\n", "X: a\rb\r\n", "X: a\r\n b\r\n", " X: a\r\n", "\tX: a\r\n", "X: a\r\r\n"] {
        rows.push(row(&format!("header {header:?}"), format!("{ok}\r\nHost: a\r\n{header}\r\n{inner}"), &[400]));
    }
    for control in (0..0x20_u8).filter(|byte| !b"\t\n".contains(byte)).chain([0x7f]) {
        let request = [ok.as_bytes(), b"\r\nHost: a\r\nX: a", &[control], b"b\r\n\r\n", inner.as_bytes()].concat();
        rows.push(row(&format!("byte {control:#04x} in a value"), request, &[400]));
    }
    for host in [
        "", " ", "a b", "a/b", "a?b", "a#b", "u@a", "a,b", "<a>", "a\"", "ä", "a\\b", ":", ":::", "]", "[::1", "a:b",
        "a:1:2", "a:99999", "a..b",
    ] {
        rows.push(row(&format!("Host {host:?}"), get(ok, &format!("Host: {host}\r\n")), &[400]));
    }
    for host in ["a.", "my_app-1:8080", "a:", "127.0.0.1:0", "[::1]"] {
        rows.push(row(&format!("Host {host:?}"), get(ok, &format!("Host: {host}\r\n")), &[200]));
    }
    check(&server, "heads", &rows);
}

#[test]
fn a_head_has_bounds_and_what_fits_is_read() {
    let server = Server::start();
    let of_bytes = |bytes: usize| {
        let rest = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: \r\n\r\n";
        rest.replace("X: ", &format!("X: {}", "x".repeat(bytes - rest.len())))
    };
    let of_lines = |lines: usize| {
        let more: String = (3..=lines).map(|number| format!("X-{number}: x\r\n")).collect();
        format!("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
    };
    let of_target = |bytes: usize| {
        format!("GET /oembed?{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "x".repeat(bytes - "/oembed?".len()))
    };
    let rows = [
        row("16 KiB", of_bytes(HEAD_BYTES), &[200]),
        row("16 KiB and a byte", of_bytes(HEAD_BYTES + 1), &[431]),
        row("a line of 64 KB", of_bytes(64 << 10), &[431]),
        row("128 KiB", of_bytes(128 << 10), &[431]),
        row("a megabyte", of_bytes(1 << 20), &[431]),
        row("64 lines", of_lines(64), &[200]),
        row("65 lines", of_lines(65), &[431]),
        row("96 lines", of_lines(96), &[431]),
        row("97 lines", of_lines(97), &[431]),
        row("5,000 lines", of_lines(5_000), &[431]),
        row("a target of 12 KiB", of_target(12 << 10), &[400]),
        row("a target of 12 KiB and a byte", of_target((12 << 10) + 1), &[414]),
        row("a target of 70 KB", of_target(70_000), &[414]),
        row("10,000 segments", format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", "/a".repeat(10_000)), &[414]),
    ];
    check(&server, "bounds", &rows);
    let refused = answers(&server.raw_bytes_back(of_bytes(20_000).as_bytes())).remove(0);
    assert_eq!((refused.code().as_str(), refused.header("connection")), ("head_too_large", Some("close")));
    assert!(refused.header("x-request-id").is_some());
}

#[test]
fn requests_in_a_row_are_answered_in_order_up_to_the_bad_one() {
    let server = Server::start();
    let (video, embed) = server.video("public");
    let answer = server.playback(&embed, None).expect(200).json();
    let path = path_of(progressive_uri(&answer));
    let one = |number: usize| format!("GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes={number}-{number}\r\n\r\n");
    let film = server.get(path).expect(200).body;
    let (good, inner) = ((0..500).map(one).collect::<String>(), smuggled(&server));
    let came = server.raw_bytes_back(format!("{good}GET /healthz HTTP/1.1\r\n\r\n{inner}{good}").as_bytes());
    let all = answers(&came);
    assert_eq!(all.len(), 501);
    for (number, answer) in all[..500].iter().enumerate() {
        assert_eq!((answer.status(), answer.body.as_slice()), (206, &film[number..=number]), "{number}");
    }
    assert_eq!(all[500].status(), 400);
    assert_eq!(videos(&server), 1);
    // The twin: a thousand good ones, with bodies between.
    let posted = format!(
        "{RENEWAL}Content-Length: 2\r\n\r\n{{}}{RENEWAL}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    );
    let many = format!("{}GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", posted.repeat(500));
    let statuses: Vec<u16> =
        answers(&server.raw_bytes_back(many.as_bytes())).iter().map(crate::support::Exchange::status).collect();
    assert_eq!((statuses.len(), statuses[1000]), (1_001, 200));
    assert!(statuses[..1000].iter().all(|status| *status == 401));
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
}

#[test]
fn a_token_is_read_whatever_the_connection_header_names() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let headers = format!(
        "Authorization: Bearer {}\r\nx-moviie-playback-token: {}\r\n",
        server.publishable_key,
        server.token(&video)
    );
    let line = format!("GET /api/v1/embeds/{embed}/playback HTTP/1.1");
    for named in
        ["keep-alive, close, x-moviie-playback-token", "close, authorization, host", "close, transfer-encoding"]
    {
        server.raw(&line, &format!("Connection: {named}\r\n{headers}")).expect_code(200, "");
    }
    server.raw(&line, "Connection: close\r\n").expect_code(401, "publishable_key_invalid");
}

#[test]
fn an_answer_without_a_body_has_none_and_every_answer_has_its_date() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let uri = server.playback(&embed, None).expect(200).json();
    let path = path_of(progressive_uri(&uri)).to_owned();
    let etag = server.get(&path).expect(200).header("etag").unwrap().to_owned();
    for (request, status) in [
        (format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n"), 200),
        (format!("HEAD {path}x HTTP/1.1\r\nHost: a\r\n"), 404),
        (format!("GET {path} HTTP/1.1\r\nHost: a\r\nIf-None-Match: {etag}\r\n"), 304),
        (
            format!(
                "OPTIONS {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n"
            ),
            204,
        ),
        ("OPTIONS /admin/v1/uploads HTTP/1.1\r\nHost: a\r\n".to_owned(), 204),
    ] {
        let came = server.raw_bytes_back(format!("{request}Connection: close\r\n\r\n").as_bytes());
        let end = came.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let text = String::from_utf8_lossy(&came).into_owned();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {text}");
        assert_eq!(came.len(), end, "{request}: a body: {text}");
        let date =
            text.lines().find_map(|line| line.strip_prefix("date: ")).unwrap_or_else(|| panic!("no date: {text}"));
        assert!(httpdate::parse_http_date(date).is_ok() && date.ends_with(" GMT"), "{date}");
        assert!(!text.contains("transfer-encoding"), "{text}");
    }
}

#[test]
fn consent_to_a_body_is_given_when_somebody_reads_it() {
    let server = Server::start();
    let (video, _) = server.pending_video("public");
    let head = |key: &str, length: usize| {
        format!(
            "PUT /admin/v1/videos/{video}/source HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
    };
    let mut wire = crate::support::Wire::connect(&server);
    wire.send_raw(head(&server.private_key, FIXTURE.len()).as_bytes()).unwrap();
    assert_eq!(wire.head().status, 100);
    wire.send_raw(FIXTURE).unwrap();
    assert_eq!(wire.head().status, 200);
    // Whoever is refused is told so at once, and not asked for the body.
    for (key, length, status) in [
        ("mvi_priv_wrong".to_owned(), FIXTURE.len(), 401),
        (server.publishable_key.clone(), FIXTURE.len(), 403),
        (server.other_organization().0, FIXTURE.len(), 404),
        (server.private_key.clone(), 1 << 50, 413),
    ] {
        let came = answers(&server.raw_bytes_back(head(&key, length).as_bytes()));
        assert_eq!(came.iter().map(crate::support::Exchange::status).collect::<Vec<_>>(), [status], "{key:.9}");
    }
}
