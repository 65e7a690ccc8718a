//! The 113 tests that Http11Probe (<https://github.com/MDA2AV/Http11Probe>) counts among what a server MUST do, by its names,
//! as requests to this server (attacks J37–J40; R16). Its requests ask `/` for an echo; here `/healthz` is asked, a
//! route that reads JSON and needs no key, and a video's title is the echo. A second request follows each at once: what is
//! refused for its framing ends the connection, and that one is not answered; anything else leaves both answered.

use super::framing::RENEWAL;
use crate::support::{Exchange, Server, Wire, answers};
use std::collections::HashSet;

/// One row of the table.
struct Row {
    name: &'static str,
    /// Of the RFC that says so.
    section: &'static str,
    request: Vec<u8>,
    /// Of each answer until the connection ends, the second request's included.
    statuses: &'static [u16],
    /// Whether the client says no more instead of asking a second time.
    is_cut: bool,
    /// What else the first answer must be.
    is_right: fn(&Exchange) -> bool,
}

/// Refused, and the end of the connection.
const ENDS: &[u16] = &[400];
/// Refused, though where the next request begins is beyond doubt.
const REFUSED: &[u16] = &[400, 200];
/// Answered, and so is the next.
const OK: &[u16] = &[200, 200];
/// Answered, and the end of the connection.
const LAST: &[u16] = &[200];
/// A video was created.
const CREATED: &[u16] = &[201, 200];

fn row(name: &'static str, section: &'static str, request: impl AsRef<[u8]>, statuses: &'static [u16]) -> Row {
    let request = request.as_ref().to_owned();
    Row { name, section, request, statuses, is_cut: false, is_right: |_| true }
}

/// A request line, with the one header that it needs.
fn line(name: &'static str, section: &'static str, line: &str, statuses: &'static [u16]) -> Row {
    row(name, section, format!("{line}\r\nHost: a\r\n\r\n"), statuses)
}

/// A request without a body, with these headers.
fn get(name: &'static str, section: &'static str, headers: &str, statuses: &'static [u16]) -> Row {
    row(name, section, format!("GET /healthz HTTP/1.1\r\n{headers}\r\n"), statuses)
}

/// A request with these headers and this body, to a route that reads it; the connection ends with it.
fn post(name: &'static str, section: &'static str, headers: &str, body: &str) -> Row {
    row(name, section, format!("{RENEWAL}{headers}\r\n{body}"), ENDS)
}

/// The same with chunks that are none.
fn chunks(name: &'static str, section: &'static str, body: &str) -> Row {
    post(name, section, CHUNKED, body)
}

impl Row {
    fn and(self, is_right: fn(&Exchange) -> bool) -> Self {
        Self { is_right, ..self }
    }

    fn cut(self) -> Self {
        Self { is_cut: true, ..self }
    }
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const NEXT: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const WEBSOCKET: &str =
    "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// What is wrong with a request line or a header, and what is right.
fn heads() -> Vec<Row> {
    let upgrade = format!("Host: a\r\nConnection: Upgrade\r\n{WEBSOCKET}");
    vec![
        get("RFC9110-5.6.2-SP-BEFORE-COLON", "RFC 9112 §5.1", "Host: a\r\nX-Test : value\r\n", ENDS),
        get("RFC9112-5.1-OBS-FOLD", "RFC 9112 §5.2", "Host: a\r\nX-Test: value\r\n continued\r\n", ENDS),
        get("RFC9112-7.1-MISSING-HOST", "RFC 9112 §3.2", "", ENDS),
        get("RFC9110-5.4-DUPLICATE-HOST", "RFC 9112 §3.2", "Host: a\r\nHost: other.example\r\n", ENDS),
        get("COMP-DUPLICATE-HOST-SAME", "RFC 9112 §3.2", "Host: a\r\nHost: a\r\n", ENDS),
        row("RFC9112-3-CR-ONLY-LINE-ENDING", "RFC 9112 §2.2", "GET /healthz HTTP/1.1\rHost: a\r\n\r\n", ENDS),
        get("RFC9112-5-EMPTY-HEADER-NAME", "RFC 9112 §5", "Host: a\r\n: value\r\n", ENDS),
        get("RFC9112-5-INVALID-HEADER-NAME", "RFC 9112 §5", "Host: a\r\nBad[Name: value\r\n", ENDS),
        get("RFC9112-5-HEADER-NO-COLON", "RFC 9112 §5", "Host: a\r\nNoColonHere\r\n", ENDS),
        get("COMP-WHITESPACE-BEFORE-HEADERS", "RFC 9112 §2.2", " \r\nHost: a\r\n", ENDS),
        line("RFC9112-3-MISSING-TARGET", "RFC 9112 §3", "GET HTTP/1.1", ENDS),
        line("COMP-ASTERISK-WITH-GET", "RFC 9112 §3.2.4", "GET * HTTP/1.1", REFUSED),
        line("COMP-OPTIONS-STAR", "RFC 9112 §3.2.4", "OPTIONS * HTTP/1.1", &[204, 200]),
        get("COMP-HOST-WITH-USERINFO", "RFC 9112 §3.2", "Host: user@a\r\n", REFUSED),
        get("COMP-HOST-WITH-PATH", "RFC 9112 §3.2", "Host: a/path\r\n", REFUSED),
        get("COMP-HOST-EMPTY-VALUE", "RFC 9112 §3.2", "Host: \r\n", REFUSED),
        get("SMUG-MULTIPLE-HOST-COMMA", "RFC 9110 §7.2", "Host: a, other.example\r\n", REFUSED),
        line("COMP-VERSION-MISSING-MINOR", "RFC 9112 §2.3", "GET /healthz HTTP/1", ENDS),
        line("COMP-VERSION-LEADING-ZEROS", "RFC 9112 §2.3", "GET /healthz HTTP/01.01", ENDS),
        line("COMP-VERSION-WHITESPACE", "RFC 9112 §2.3", "GET /healthz HTTP/ 1.1", ENDS),
        line("COMP-VERSION-CASE", "RFC 9112 §2.3", "GET /healthz http/1.1", ENDS),
        line("COMP-SPACE-IN-TARGET", "RFC 9112 §3.2", "GET /heal thz HTTP/1.1", ENDS),
        line("MAL-NUL-IN-URL", "RFC 9112 §2.2", "GET /\0test HTTP/1.1", ENDS),
        line("MAL-NON-ASCII-URL", "RFC 9112 §3", "GET /café HTTP/1.1", ENDS),
        row("MAL-URL-OVERLONG-UTF8", "RFC 3629 §3", b"GET /\xC0\xAF HTTP/1.1\r\nHost: a\r\n\r\n", ENDS),
        get("MAL-CONTROL-CHARS-HEADER", "RFC 9110 §5.5", "Host: a\r\nX-Test: abc\x07\x08\x0Bdef\r\n", ENDS),
        get("MAL-NON-ASCII-HEADER-NAME", "RFC 9112 §5", "Host: a\r\nX-Tëst: value\r\n", ENDS),
        get("MAL-NUL-IN-HEADER-VALUE", "RFC 9110 §5.5", "Host: a\r\nX-Test: val\0ue\r\n", ENDS),
        post("SMUG-BARE-CR-HEADER-VALUE", "RFC 9112 §2.2", "Content-Length: 5\r\nX-Test: val\rue\r\n", "hello"),
        get("COMP-CONNECTION-CLOSE", "RFC 9112 §9.6", "Host: a\r\nConnection: close\r\n", LAST)
            .and(|answer| answer.header("connection") == Some("close")),
        // No other protocol is spoken, so that no version of one is told from another: none is switched to.
        post("COMP-UPGRADE-POST", "RFC 6455 §4.1", &format!("Connection: Upgrade\r\n{WEBSOCKET}"), ""),
        get("COMP-UPGRADE-MISSING-CONN", "RFC 9110 §7.8", &format!("Host: a\r\n{WEBSOCKET}"), LAST),
        get(
            "COMP-UPGRADE-UNKNOWN",
            "RFC 9110 §7.8",
            "Host: a\r\nConnection: Upgrade\r\nUpgrade: made-up/1.0\r\n",
            LAST,
        )
        .and(|answer| answer.header("connection") == Some("close")),
        get("COMP-UPGRADE-INVALID-VER", "RFC 6455 §4.4", &upgrade.replace("13", "99"), LAST),
        row("COMP-UPGRADE-HTTP10", "RFC 9110 §7.8", format!("GET /healthz HTTP/1.0\r\n{upgrade}\r\n"), LAST),
        line("COMP-HEAD-NO-BODY", "RFC 9110 §9.3.2", "HEAD /healthz HTTP/1.1", OK),
        line("COMP-405-ALLOW", "RFC 9110 §15.5.6", "DELETE /healthz HTTP/1.1", &[405, 200])
            .and(|answer| answer.header("allow") == Some("GET, HEAD")),
        line("COMP-DATE-HEADER", "RFC 9110 §6.6.1", "GET /healthz HTTP/1.1", OK)
            .and(|answer| answer.header("date").is_some_and(|date| httpdate::parse_http_date(date).is_ok())),
        line("COMP-NO-CL-IN-204", "RFC 9110 §8.6", "OPTIONS /admin/v1/uploads HTTP/1.1", &[204, 200])
            .and(|answer| answer.header("content-length").is_none()),
        row(
            "COMP-NO-1XX-HTTP10",
            "RFC 9110 §15.2",
            format!("{RENEWAL}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{{}}").replace("HTTP/1.1", "HTTP/1.0"),
            &[401],
        ),
    ]
}

/// Lengths and codings that are none, or two.
fn lengths() -> Vec<Row> {
    let hello = |name, section, headers: &str| post(name, section, headers, "hello");
    let both = |name, section, coding: &str| {
        post(name, section, &format!("Transfer-Encoding: {coding}\r\nContent-Length: 5\r\n"), "hello")
    };
    let old = format!("{RENEWAL}{CHUNKED}Content-Length: 5\r\n\r\nhello").replace("HTTP/1.1", "HTTP/1.0");
    let folded = "Host: a\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello";
    vec![
        post("RFC9112-6.1-CL-NON-NUMERIC", "RFC 9112 §6.3", "Content-Length: abc\r\n", ""),
        hello("RFC9112-6.1-CL-PLUS-SIGN", "RFC 9112 §6.3", "Content-Length: +5\r\n"),
        post("SMUG-DUPLICATE-CL", "RFC 9110 §8.6", "Content-Length: 5\r\nContent-Length: 10\r\n", "helloworld"),
        hello("SMUG-CL-COMMA-DIFFERENT", "RFC 9110 §8.6", "Content-Length: 5, 10\r\n"),
        post("SMUG-CL-NEGATIVE", "RFC 9110 §8.6", "Content-Length: -1\r\n", ""),
        post("SMUG-CL-NEGATIVE-ZERO", "RFC 9110 §8.6", "Content-Length: -0\r\n", ""),
        post("SMUG-CL-UNDERSCORE", "RFC 9110 §8.6", "Content-Length: 1_0\r\n", "helloworld"),
        hello("SMUG-CL-OCTAL", "RFC 9110 §8.6", "Content-Length: 0o5\r\n"),
        hello("SMUG-CL-HEX-PREFIX", "RFC 9110 §8.6", "Content-Length: 0x5\r\n"),
        post("SMUG-CL-INTERNAL-SPACE", "RFC 9110 §8.6", "Content-Length: 1 0\r\n", "helloworld"),
        post("MAL-CL-EMPTY", "RFC 9110 §8.6", "Content-Length: \r\n", ""),
        post("MAL-CL-OVERFLOW", "RFC 9110 §8.6", "Content-Length: 99999999999999999999\r\n", ""),
        hello("NORM-SP-BEFORE-COLON-CL", "RFC 9112 §5.1", "Content-Length: 5\r\nContent-Length : 2\r\n"),
        hello("NORM-TAB-IN-NAME", "RFC 9112 §5", "Content-Length: 5\r\nContent\tLength: 99\r\n"),
        hello("SMUG-TE-SP-BEFORE-COLON", "RFC 9112 §5.1", "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n"),
        both("SMUG-TE-XCHUNKED", "RFC 9112 §6.1", "xchunked"),
        both("SMUG-TE-TRAILING-SPACE", "RFC 9112 §6.1", "chunked "),
        both("SMUG-TE-EMPTY-VALUE", "RFC 9112 §6.1", ""),
        both("SMUG-TE-IDENTITY", "RFC 9112 §7", "identity"),
        both("SMUG-TE-VTAB", "RFC 9112 §6.1", "\x0Bchunked"),
        both("SMUG-TE-FORMFEED", "RFC 9112 §6.1", "\x0Cchunked"),
        both("SMUG-TE-NULL", "RFC 9110 §5.5", "chunked\0"),
        both("SMUG-TE-OBS-FOLD", "RFC 9112 §5.2", "\r\n chunked"),
        both("SMUG-TE-DUPLICATE-HEADERS", "RFC 9112 §6.1", "chunked\r\nTransfer-Encoding: identity"),
        post("SMUG-TE-NOT-FINAL-CHUNKED", "RFC 9112 §6.3", "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        // 400 rather than 501: the request has no length that could be told.
        post("COMP-UNKNOWN-TE-501", "RFC 9112 §6.1", "Transfer-Encoding: gzip\r\n", ""),
        row("SMUG-TE-HTTP10", "RFC 9112 §6.1", old, ENDS),
        row("SMUG-OPTIONS-TE-OBS-FOLD", "RFC 9112 §5.2", format!("OPTIONS /healthz HTTP/1.1\r\n{folded}"), ENDS),
        hello("COMP-POST-CL-UNDERSEND", "RFC 9112 §6.3", "Content-Length: 10\r\n").cut(),
        post("MAL-POST-CL-HUGE-NO-BODY", "RFC 9112 §6.3", "Content-Length: 999999999\r\n", "").cut(),
    ]
}

/// A length and a coding, with a request inside for whoever reads the one and not the other.
fn smuggled() -> Vec<Row> {
    let clte = |name, section, headers: &str, method: &str| {
        let body = format!("0\r\n\r\n{method} /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        post(name, section, &headers.replace('N', &body.len().to_string()), &body)
    };
    let get = |name, headers: &str| clte(name, "RFC 9112 §6.1", headers, "GET");
    let short = |name, headers: &str, body| post(name, "RFC 9112 §6.1", headers, body);
    let inner = "GET /healthz HTTP/1.1\r\nHost: a\r\n";
    // Its own body is what a reader by length would find behind it.
    let chunk = format!("{inner}Content-Length: 7\r\n\r\n");
    let (size, rest) = (format!("{:x}\r\n", chunk.len()), format!("{chunk}\r\n0\r\n\r\n"));
    let two = format!("Content-Length: 4\r\nContent-Length: {}\r\n", 4 + inner.len() + 2);
    vec![
        short("SMUG-CLTE-PIPELINE", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        short("SMUG-TECL-PIPELINE", "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n", "0\r\n\r\n"),
        short("SMUG-CLTE-CONN-CLOSE", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        short("SMUG-TECL-CONN-CLOSE", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        short("SMUG-CLTE-DESYNC", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nX"),
        short("SMUG-TECL-DESYNC", "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n", "0\r\n\r\nX"),
        get("SMUG-CLTE-SMUGGLED-GET", "Content-Length: N\r\nTransfer-Encoding: chunked\r\n"),
        get("SMUG-CLTE-SMUGGLED-GET-CL-PLUS", "Content-Length: +N\r\nTransfer-Encoding: chunked\r\n"),
        get("SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC", "Content-Length: Nx\r\nTransfer-Encoding: chunked\r\n"),
        get("SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE", "Content-Length: N\r\nTransfer-Encoding: chunked \r\n"),
        get("SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA", "Content-Length: N\r\nTransfer-Encoding: , chunked\r\n"),
        get("SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH", "Content-Length: N\r\nTransfer-Encoding: Chunked\r\n"),
        get(
            "SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: N\r\n",
        ),
        clte(
            "SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD",
            "RFC 9112 §5.2",
            "Transfer-Encoding:\r\n chunked\r\nContent-Length: N\r\n",
            "GET",
        ),
        clte("SMUG-CLTE-SMUGGLED-HEAD", "RFC 9112 §6.1", "Content-Length: N\r\nTransfer-Encoding: chunked\r\n", "HEAD"),
        short(
            "SMUG-TECL-SMUGGLED-GET",
            &format!("{CHUNKED}Content-Length: {}\r\n", size.len()),
            &format!("{size}{rest}"),
        ),
        post("SMUG-DUPLICATE-CL-SMUGGLED-GET", "RFC 9110 §8.6", &two, &format!("PING{inner}\r\n")),
    ]
}

/// Chunks that are none.
fn broken_chunks() -> Vec<Row> {
    vec![
        chunks("SMUG-CHUNK-BARE-SEMICOLON", "RFC 9112 §7.1.1", "2;\r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-EXT-INVALID-TOKEN", "RFC 9112 §7.1.1", "2;bad[=x\r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-EXT-CTRL", "RFC 9112 §7.1.1", "2;\0ext\r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-EXT-CR", "RFC 9112 §2.2", "2;a\rX\r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-BARE-CR-TERM", "RFC 9112 §2.2", "2\r{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-HEX-PREFIX", "RFC 9112 §7.1", "0x2\r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-UNDERSCORE", "RFC 9112 §7.1", "1_0\r\n{              }\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-LEADING-SP", "RFC 9112 §7.1", " 2\r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-SIZE-TRAILING-OWS", "RFC 9112 §7.1", "2 \r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-SIZE-PLUS", "RFC 9112 §7.1", "+2\r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-NEGATIVE", "RFC 9112 §7.1", "-1\r\n{}\r\n0\r\n\r\n"),
        chunks("MAL-CHUNK-SIZE-OVERFLOW", "RFC 9112 §7.1", "FFFFFFFFFFFFFFFF0\r\n{}\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-MISSING-TRAILING-CRLF", "RFC 9112 §7.1", "2\r\n{}0\r\n\r\n"),
        chunks("SMUG-CHUNK-SPILL", "RFC 9112 §7.1", "2\r\n{}!!\r\n0\r\n\r\n"),
        chunks("SMUG-CHUNK-INVALID-SIZE-DESYNC", "RFC 9112 §7.1", "+0\r\n\r\nX"),
        chunks("COMP-CHUNKED-NO-FINAL", "RFC 9112 §7.1", "2\r\n{}\r\n").cut(),
    ]
}

/// Bodies as they should be: the title that was sent comes back.
fn bodies(server: &Server, video: &str) -> Vec<Row> {
    let key = format!("Host: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n", server.private_key);
    let create = |name, section, headers: &str, body: &str| {
        row(name, section, format!("POST /admin/v1/videos HTTP/1.1\r\n{key}{headers}\r\n{body}"), CREATED)
            .and(|answer| String::from_utf8_lossy(&answer.body).contains("\"hello\""))
    };
    let empty = |name, section, headers: &str| {
        let path = format!("/admin/v1/videos/{video}/preview-token");
        row(name, section, format!("POST {path} HTTP/1.1\r\n{key}{headers}"), CREATED)
    };
    let whole = "{\"title\":\"hello\"}";
    let (ten, seven) = whole.split_at(10);
    let two = format!("a\r\n{ten}\r\n7\r\n{seven}\r\n0\r\n\r\n");
    vec![
        create("COMP-POST-CL-BODY", "RFC 9112 §6.2", "Content-Length: 17\r\n", whole),
        create("COMP-RANGE-POST", "RFC 9110 §14.2", "Content-Length: 17\r\nRange: bytes=0-10\r\n", whole),
        create("COMP-CHUNKED-BODY", "RFC 9112 §7.1", CHUNKED, &format!("11\r\n{whole}\r\n0\r\n\r\n")),
        create("COMP-CHUNKED-MULTI", "RFC 9112 §7.1", CHUNKED, &two),
        create("COMP-CHUNKED-HEX-UPPERCASE", "RFC 9112 §7.1", CHUNKED, &two.replacen('a', "A", 1)),
        create("COMP-CHUNKED-EXTENSION", "RFC 9112 §7.1.1", CHUNKED, &two.replacen('a', "a;ext=value", 1)),
        create(
            "COMP-CHUNKED-TRAILER-VALID",
            "RFC 9112 §7.1.2",
            CHUNKED,
            &two.replace("\r\n0\r\n", "\r\n0\r\nX-Sum: a\r\n"),
        ),
        empty("COMP-POST-CL-ZERO", "RFC 9112 §6.2", "Content-Length: 0\r\n\r\n"),
        empty("COMP-POST-NO-CL-NO-TE", "RFC 9112 §6.3", "\r\n"),
        empty("COMP-CHUNKED-EMPTY", "RFC 9112 §7.1", &format!("{CHUNKED}\r\n0\r\n\r\n")),
    ]
}

/// What comes back for a row until the connection ends.
fn ask(server: &Server, row: &Row) -> Vec<Exchange> {
    let mut wire = Wire::connect(server);
    let next: &[u8] = if row.is_cut { b"" } else { NEXT.as_bytes() };
    wire.send_raw(&[&row.request, next].concat()).unwrap();
    if row.is_cut {
        wire.finish();
    }
    let mut came = Vec::new();
    if row.request.starts_with(b"HEAD ") {
        came.push(Exchange { head: wire.head(), body: Vec::new() });
    }
    came.extend(answers(&wire.rest()));
    came
}

#[test]
fn what_a_server_must_do_by_http11probe_is_done() {
    let server = Server::start();
    let (video, _) = server.pending_video("public");
    let groups = [heads(), lengths(), smuggled(), broken_chunks(), bodies(&server, &video)];
    let table: Vec<Row> = groups.into_iter().flatten().collect();
    let names: HashSet<&str> = table.iter().map(|row| row.name).collect();
    assert_eq!((names.len(), table.len()), (113, 113));
    let (mut wrong, mut server_errors) = (Vec::new(), 0);
    for row in &table {
        let came = ask(&server, row);
        let statuses: Vec<u16> = came.iter().map(Exchange::status).collect();
        server_errors += statuses.iter().filter(|status| **status >= 500).count();
        if statuses != row.statuses || !(row.is_right)(&came[0]) {
            wrong.push(format!("{} ({}): {came:?} instead of {:?}", row.name, row.section, row.statuses));
        }
        // Whoever comes next has nothing of it.
        assert_eq!(Wire::connect(&server).exchange("GET", "/healthz", &[]).status(), 200, "behind {}", row.name);
    }
    let verdict = if wrong.is_empty() && server_errors == 0 { "PASS" } else { "FAIL" };
    println!(
        "R16 {verdict} Http11Probe: {} requests, {} read otherwise than meant, {server_errors} x 5xx",
        table.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(server_errors, 0);
}
