//! Requests that are sent before the answers to those before them are read (RFC 9112 §9.3.2), and heads that never become
//! one (attacks C27, J04, J10, J32–J34).

use super::connections::used;
use super::framing::{HEAD_BYTES, RENEWAL};
use crate::revocation::{new_key, revoke_key};
use crate::support::{
    Claims, Exchange, FIXTURE, Options, Process, Server, Wire, answers, packaged, padded, path_of, plain,
    progressive_uri, sign, wait_for,
};
use reqwest::Method;
use rustix::io::ioctl_fionread;
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A request of sixteen bytes.
const TINY: &[u8] = b"GET / HTTP/1.0\n\n";

/// A server over plain HTTP.
fn without_tls() -> Server {
    let environment = vec![("SCREENER__SERVER__PLAIN_HTTP".to_owned(), "true".to_owned())];
    Server::with(Options { environment, ..Options::default() })
}

/// What comes back over a plain connection until it ends, which no reset may do.
#[track_caller]
fn come_back(server: &Server, request: &[u8]) -> Vec<u8> {
    let (mut socket, mut came) = (plain(server), Vec::new());
    socket.write_all(request).unwrap();
    socket.read_to_end(&mut came).unwrap();
    came
}

#[test]
fn requests_that_wait_for_an_answer_that_nobody_reads_cost_neither_memory_nor_time() {
    const CONNECTIONS: usize = 24;
    let server = Server::start();
    let process = Process(server.pid());
    let (video, embed) = server.pending_video("public");
    server.upload(&video, padded(16 << 20)).expect(200);
    let answer = server.playback(&embed, None).expect(200).json();
    let large = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path_of(progressive_uri(&answer)));
    let posted = format!("{RENEWAL}Content-Length: 2\r\n\r\n{{}}");
    let chunked = format!("{RENEWAL}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
    for (what, first, rest) in [
        ("behind one answer", large.clone(), TINY.repeat(4_096)),
        ("behind two answers", large.repeat(2), TINY.repeat(4_096)),
        ("behind a body", format!("{large}{posted}"), TINY.repeat(4_096)),
        ("behind chunks", format!("{chunked}{large}"), TINY.repeat(4_096)),
    ] {
        let stopped = |rest: &[u8]| {
            let mut wire = Wire::narrow(&server, 4 << 10);
            wire.send_raw(first.as_bytes()).unwrap();
            wire.head();
            wire.socket().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            // What does not fit into the kernel's buffers is not taken.
            let _ = wire.send_raw(rest);
            wire
        };
        let alone: Vec<Wire> = (0..CONNECTIONS).map(|_| stopped(b"")).collect();
        let before = process.memory_kib();
        let wires: Vec<Wire> = (0..CONNECTIONS).map(|_| stopped(&rest)).collect();
        let (cpu, began) = (process.cpu_s(), Instant::now());
        while began.elapsed() < Duration::from_secs(1) {
            assert_eq!(used(&server).exchange("GET", "/healthz", &[]).status(), 200);
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let (cpu, each) = (process.cpu_s() - cpu, process.memory_kib().saturating_sub(before) / CONNECTIONS as u64);
        println!("{CONNECTIONS} x 4,096 requests {what}: {each} KiB each, {cpu:.2} s of processor time in a second");
        assert!(each < 400, "{what}: {each} KiB each");
        assert!(cpu < 0.4, "{what}: {cpu:.2} s");
        drop((alone, wires));
    }
}

#[test]
fn a_request_behind_a_film_saves_nothing_of_it_from_a_revocation() {
    /// What fits into the kernel's buffers, whoever reads.
    const PART: usize = 100_000;
    let server = without_tls();
    let film = padded(1 << 20);
    let (video, embed) = server.pending_video("private");
    server.upload(&video, film.clone()).expect(200);
    let (kid, secret) = new_key(&server);
    let answer = server.playback(&embed, Some(&sign(&kid, &secret, &Claims::of(&video)))).expect(200).json();
    let path = path_of(progressive_uri(&answer));
    let part = format!("GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-{}\r\n\r\n", PART - 1);
    let address: SocketAddr = server.base_url.split_once("://").unwrap().1.parse().unwrap();
    let ask = |method: &str, connection: &str| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        // Before connecting: the window that is offered follows from it.
        socket.set_recv_buffer_size(4 << 10).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(part.as_bytes()).unwrap();
        write!(socket, "{method} /healthz HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n").unwrap();
        // By its method, which nobody else uses, it is known in the log.
        let line = format!("\"method\":\"{method}\"");
        wait_for("the request behind the film", Duration::from_secs(10), || server.log_text().contains(&line));
        socket
    };
    // The twin.
    let mut came = Vec::new();
    ask("TRACE", "close").read_to_end(&mut came).unwrap();
    let came = answers(&came);
    assert_eq!(came.iter().map(Exchange::status).collect::<Vec<_>>(), [206, 405]);
    assert!(came[0].body == packaged(&film)[..PART]);

    let mut socket = ask("DELETE", "keep-alive");
    revoke_key(&server, &kid);
    let since = Instant::now();
    let mut error = None;
    while error.is_none() && since.elapsed() < Duration::from_secs(1) {
        error = SockRef::from(&socket).take_error().unwrap();
        std::thread::park_timeout(Duration::from_millis(2));
    }
    assert!(error.is_some(), "the connection was not cut");
    let (arrived, mut came) = (ioctl_fionread(&socket).unwrap(), Vec::new());
    let _ = socket.read_to_end(&mut came);
    assert!(came.len() as u64 <= arrived && came.len() < PART, "{} bytes came, {arrived} had arrived", came.len());
}

#[test]
fn each_answer_is_that_of_its_own_request() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let answer = server.playback(&embed, None).expect(200).json();
    let path = path_of(progressive_uri(&answer));
    let length = server.get(path).expect(200).body.len();
    let (pending, _) = server.pending_video("public");
    let mut wire = Wire::connect(&server);
    let source = format!(
        "PUT /admin/v1/videos/{pending}/source HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        server.private_key,
        FIXTURE.len()
    );
    let sent = [
        &format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\nHEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        &source,
    ];
    wire.send_raw(sent.concat().as_bytes()).unwrap();
    let mut next = |has_body: bool| {
        let head = wire.head();
        let count = head.length().filter(|_| has_body).map_or(0, |length| usize::try_from(length).unwrap());
        wire.read_exact(&mut vec![0; count]).unwrap();
        (head.status, head.length().map(|length| usize::try_from(length).unwrap()))
    };
    assert_eq!(next(false), (200, Some(length)), "HEAD");
    assert_eq!(next(true), (200, Some(length)), "GET behind HEAD");
    assert_eq!(next(true).0, 200, "HTTP/1.0");
    assert_eq!(next(true), (200, Some(length)), "GET before HEAD");
    assert_eq!(next(false), (200, Some(length)), "HEAD behind GET");
    assert_eq!(next(false), (100, None), "consent behind answers");
    wire.send_raw(&[FIXTURE, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat()).unwrap();
    assert_eq!(wire.head().status, 200, "the upload");
}

#[test]
fn a_small_body_that_is_left_unread_does_not_end_the_connection() {
    let server = Server::start();
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let came = server.raw_bytes_back(format!("POST /healthz HTTP/1.1\r\nHost: a\r\n{body}{last}").as_bytes());
        assert_eq!(answers(&came).iter().map(Exchange::status).collect::<Vec<_>>(), [405, 200], "{body:?}");
    }
    // One that has not come whole does.
    let came = server.raw_bytes_back(b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhello");
    assert_eq!(answers(&came).iter().map(Exchange::status).collect::<Vec<_>>(), [405]);
}

#[test]
fn a_head_behind_another_request_has_the_same_bounds() {
    let server = Server::start();
    let good = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let of_bytes = |bytes: usize| {
        let rest = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let line = format!("X: {}\r\n", "x".repeat(1_500));
        let (lines, left) = ((bytes - rest.len() - 10) / line.len(), (bytes - rest.len() - 10) % line.len());
        rest.replace("Connection", &format!("{}Y: {}\r\nConnection", line.repeat(lines), "y".repeat(left + 5)))
    };
    for (bytes, status) in [(HEAD_BYTES, 200), (HEAD_BYTES + 1, 431), (60_000, 431)] {
        assert_eq!(of_bytes(bytes).len(), bytes);
        let came = answers(&server.raw_bytes_back(format!("{good}{good}{}", of_bytes(bytes)).as_bytes()));
        assert_eq!(came.iter().map(Exchange::status).collect::<Vec<_>>(), [200, 200, status], "{bytes}");
    }
    // Part of one comes with what is before it, and then nothing.
    let began = Instant::now();
    let came = answers(&server.raw_bytes_back(format!("{good}GET /healthz HTTP/1.1\r\nHo").as_bytes()));
    assert_eq!(came.iter().map(Exchange::status).collect::<Vec<_>>(), [200, 408]);
    assert_eq!(came[1].code(), "head_timeout");
    assert!((4..9).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[test]
fn what_is_no_request_gets_an_answer_like_any_other() {
    let server = without_tls();
    let head = "GET /healthz HTTP/1.1\r\nHost: a\r\n";
    for (request, status, code) in [
        (format!("{head}X : a\r\n\r\n"), 400, "bad_request"),
        ("\0\r\n\r\n".to_owned(), 400, "bad_request"),
        (format!("{head}{}\r\n", "X: a\r\n".repeat(100)), 431, "head_too_large"),
        (format!("{head}X: {}", "x".repeat(20_000)), 431, "head_too_large"),
        (format!("GET /{}", "x".repeat(20_000)), 414, "uri_too_long"),
    ] {
        // Whoever goes on sending gets the answer all the same, and no reset (RFC 9112 §9.6).
        let request = [request.as_bytes(), &[b'x'; 1 << 20]].concat();
        let mut came = answers(&come_back(&server, &request));
        assert_eq!(came.len(), 1);
        let answer = came.remove(0);
        assert_eq!((answer.status(), answer.code().as_str()), (status, code));
        let expected = [
            ("content-type", "application/json"),
            ("connection", "close"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["traceId"].as_str(), answer.header("x-request-id"));
        assert!(httpdate::parse_http_date(answer.header("date").unwrap()).is_ok());
        let id = body["traceId"].as_str().unwrap();
        let logged = || server.log_text().lines().find(|line| line.contains(id)).map(str::to_owned);
        wait_for("the line of the log", Duration::from_secs(5), || logged().is_some());
        let line: Value = serde_json::from_str(&logged().unwrap()).unwrap();
        assert_eq!((&line["status"], &line["peer"]), (&status.into(), &"127.0.0.1".into()), "{line}");
    }
    // No stranger raises an alarm.
    assert!(!server.log_text().contains("\"level\":\"ERROR\""), "{}", server.log_text());
    // The twin.
    let came = come_back(&server, format!("{head}Connection: close\r\n\r\n").as_bytes());
    assert_eq!(answers(&came)[0].status(), 200);
    server.admin(Method::GET, "/organization", &Value::Null).expect(200);
}
