//! Connections that are slow or silent, or go on too long (attacks J10–J14, J17, J34, I39): each is ended, nobody else
//! waits for it, and what it held comes back.

use super::tries;
use crate::support::{FIXTURE, Process, Server, Wire, answers, padded, path_of, plain, progressive_uri, wait_for};
use reqwest::Method;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Connections of each kind. The load generator (`benches/load/`) opens thousands.
const EACH: usize = 100;

/// Lets this process open as many files as the system gives it: the usual 1,024 is for `select`.
pub fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Whether the server has ended a connection; what it had said before is thrown away.
fn has_ended(socket: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    socket.set_nonblocking(true).unwrap();
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}

/// A connection over which something comes now and then.
struct Slow {
    socket: TcpStream,
    drip: Box<dyn FnMut() -> std::io::Result<()> + Send>,
    ended_after: Option<Duration>,
}

impl Slow {
    /// One that says nothing more.
    fn silent(socket: TcpStream) -> Self {
        Self { socket, drip: Box::new(|| Ok(())), ended_after: None }
    }

    /// One that goes on byte by byte, inside TLS.
    fn dripping(mut wire: Wire, bytes: &'static [u8]) -> Self {
        wire.send_raw(b"").unwrap();
        let socket = wire.socket().try_clone().unwrap();
        let mut left = bytes.iter().cycle();
        Self { socket, drip: Box::new(move || wire.send_raw(&[*left.next().unwrap()])), ended_after: None }
    }
}

/// Drips until every connection has ended; how long the longest of them lasted.
#[track_caller]
fn drip_until_ended(kind: &str, mut slow: Vec<Slow>, pace: Duration, limit: Duration) -> Duration {
    let began = Instant::now();
    let mut dripped = Instant::now();
    while slow.iter().any(|one| one.ended_after.is_none()) {
        let left = slow.iter().filter(|one| one.ended_after.is_none()).count();
        assert!(began.elapsed() < limit, "{kind}: {left} connections still stand after {limit:?}");
        let is_due = dripped.elapsed() >= pace;
        if is_due {
            dripped = Instant::now();
        }
        for one in slow.iter_mut().filter(|one| one.ended_after.is_none()) {
            let refused = is_due && (one.drip)().is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
            if refused || has_ended(&mut one.socket) {
                one.ended_after = Some(began.elapsed());
            }
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    slow.iter().filter_map(|one| one.ended_after).max().unwrap()
}

/// A connection that has had an answer, so that what comes now is its second request.
pub fn used(server: &Server) -> Wire {
    let mut wire = Wire::connect(server);
    assert_eq!(wire.exchange("GET", "/healthz", &[]).status(), 200);
    wire
}

/// Whoever behaves, on connections of their own, until `done`; the longest that they waited.
fn longest_wait(server: &Server, done: impl Fn() -> bool) -> Duration {
    let mut longest = Duration::ZERO;
    while !done() {
        let began = Instant::now();
        assert_eq!(Wire::connect(server).exchange("GET", "/healthz", &[]).status(), 200);
        longest = longest.max(began.elapsed());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    longest
}

#[test]
fn whoever_is_silent_or_slow_is_cut_and_holds_up_nobody() {
    allow_many_files();
    let server = Server::start();
    let process = Process(server.pid());
    used(&server);
    let before = process.descriptors();
    const HEAD: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
    const HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let half_hello = |server: &Server| {
        let mut socket = plain(server);
        socket.write_all(HELLO).unwrap();
        socket
    };
    let unread = |server: &Server| {
        let mut wire = Wire::connect(server);
        wire.send_raw(b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .unwrap();
        assert_eq!(wire.head().status, 405);
        wire
    };
    type Make<'a> = Box<dyn Fn(&Server) -> Slow + Send + 'a>;
    // Each kind, how many of it at once, and how often.
    let kinds: [(&str, usize, usize, Make<'_>); 7] = [
        ("silent", tries(EACH, 1_000), tries(1, 10), Box::new(|server| Slow::silent(plain(server)))),
        // More than TLS may once have waited for at a time.
        ("half a ClientHello", tries(6 * EACH, 2_000), 1, Box::new(|server| Slow::silent(half_hello(server)))),
        (
            "TLS and nothing more",
            EACH,
            1,
            Box::new(|server| {
                let mut wire = Wire::connect(server);
                wire.send_raw(b"").unwrap();
                Slow::silent(wire.socket().try_clone().unwrap())
            }),
        ),
        ("a dripping head", EACH, 1, Box::new(|server| Slow::dripping(Wire::connect(server), HEAD))),
        ("a dripping second head", EACH, 1, Box::new(|server| Slow::dripping(used(server), HEAD))),
        (
            "nothing after an answer",
            EACH,
            1,
            Box::new(|server| Slow::silent(used(server).socket().try_clone().unwrap())),
        ),
        (
            "a body without end that nobody reads",
            EACH,
            1,
            Box::new(|server| Slow::dripping(unread(server), b"1\r\nx\r\n")),
        ),
    ];
    std::thread::scope(|scope| {
        let server = &server;
        let running: Vec<_> = kinds
            .into_iter()
            .map(|(kind, count, rounds, make)| {
                scope.spawn(move || {
                    // Five seconds for a handshake or a head, fifteen for the next request to begin, and time to part.
                    let limit = Duration::from_secs(if kind == "nothing after an answer" { 19 } else { 12 });
                    let lasted = (0..rounds).map(|_| {
                        let slow: Vec<Slow> = (0..count).map(|_| make(server)).collect();
                        drip_until_ended(kind, slow, Duration::from_millis(500), limit)
                    });
                    (kind, rounds * count, lasted.max().unwrap())
                })
            })
            .collect();
        let longest = longest_wait(server, || running.iter().all(std::thread::ScopedJoinHandle::is_finished));
        for kind in running {
            let (kind, count, lasted) = kind.join().unwrap();
            println!("{count} of {kind}: ended after {lasted:?} at the latest");
        }
        println!("whoever behaves waited {longest:?} at most");
        assert!(longest < Duration::from_secs(3), "{longest:?}");
    });
    wait_for("the descriptors to come back", Duration::from_secs(5), || process.descriptors() <= before + 4);
}

#[test]
fn what_stays_away_too_long_is_answered_408() {
    let server = Server::start();
    let (video, _) = server.pending_video("public");
    let head = |line: &str, length: usize| {
        let key = &server.private_key;
        format!("{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\nab")
    };
    let silent = [
        // A first head that never ends, and bodies that break off.
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ".to_owned(),
        head(&format!("PUT /admin/v1/videos/{video}/source"), 60_000),
        head(&format!("PUT /admin/v1/videos/{video}/captions/en"), 60_000),
        head("POST /admin/v1/videos", 60_000).replace("Host", "Content-Type: application/json\r\nHost"),
    ];
    std::thread::scope(|scope| {
        for said in &silent {
            let server = &server;
            scope.spawn(move || {
                let mut wire = Wire::connect(server);
                wire.send_raw(said.as_bytes()).unwrap();
                let came = String::from_utf8_lossy(&wire.rest()).into_owned();
                assert!(came.starts_with("HTTP/1.1 408 "), "{said}: {came}");
            });
        }
    });
}

#[test]
fn whoever_is_refused_while_sending_gets_the_answer_when_done() {
    let server = Server::start();
    let (video, _) = server.pending_video("public");
    let mut wire = Wire::connect(&server);
    let head = format!(
        "PUT /admin/v1/videos/{video}/source HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer mvi_priv_wrong\r\n\
         Content-Length: 1000000000\r\n\r\n"
    );
    wire.send_raw(head.as_bytes()).unwrap();
    // The refusal is there by now. It is left unread until the server has given up on a handshake, after five seconds.
    let (clock, began) = (plain(&server), Instant::now());
    clock.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while clock.peek(&mut [0]).is_err() {
        wire.send_raw(&[b'x'; 16 << 10]).unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert!(began.elapsed() > Duration::from_secs(4));
    let came = answers(&wire.rest());
    assert_eq!(
        came.iter().map(|answer| (answer.status(), answer.code())).collect::<Vec<_>>(),
        [(401, "private_key_invalid".to_owned())]
    );
}

#[test]
fn a_body_that_drips_is_ended_on_every_route_and_others_are_not_held_up() {
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    let session =
        "/api/v1/videos/a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001/sessions/a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0002/renew";
    let cookie = crate::dashboard::signed_in(&server);
    let tus = |path: &str, offset: &str| {
        format!("{path} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n{offset}")
    };
    // Rounds, so that the crowd is no larger.
    for _ in 0..tries(1, 5) {
        let begun = server
            .request(Method::POST, "/admin/v1/uploads")
            .bearer_auth(&server.private_key)
            .header("tus-resumable", "1.0.0")
            .header("upload-length", "1000000")
            .header("upload-metadata", "name eA==")
            .send()
            .unwrap();
        let upload = begun.headers()["location"].to_str().unwrap().to_owned();
        let json = "Content-Type: application/json\r\n";
        let form = format!(
            "Sec-Fetch-Site: same-origin\r\nCookie: {cookie}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        );
        let routes = [
            format!("POST {session} HTTP/1.1\r\n{json}"),
            format!("POST /admin/v1/videos HTTP/1.1\r\n{json}"),
            format!("PUT /admin/v1/videos/{video}/source HTTP/1.1\r\n"),
            format!("PUT /admin/v1/videos/{video}/poster HTTP/1.1\r\nContent-Type: image/jpeg\r\n"),
            format!("PUT /admin/v1/videos/{video}/captions/en HTTP/1.1\r\nContent-Type: text/vtt\r\n"),
            tus(&format!("PATCH {upload}"), "Upload-Offset: 0\r\n"),
            tus("POST /admin/v1/uploads", "Upload-Length: 1000000\r\nUpload-Metadata: name eA==\r\n"),
            format!("POST /dashboard/videos HTTP/1.1\r\n{form}"),
            "POST /dashboard/sign-in HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n".to_owned(),
        ];
        std::thread::scope(|scope| {
            let (server, routes) = (&server, &routes);
            let slow: Vec<Slow> = (0..EACH)
                .map(|number| {
                    let (line, headers) = routes[number % routes.len()].split_once("\r\n").unwrap();
                    let authorization = match headers.contains("Cookie") {
                        true => String::new(),
                        false => format!("Authorization: Bearer {}\r\n", server.private_key),
                    };
                    let head = format!("{line}\r\nHost: a\r\n{authorization}{headers}Content-Length: 60000\r\n\r\n");
                    let mut wire = Wire::connect(server);
                    wire.send_raw(head.as_bytes()).unwrap();
                    Slow::dripping(wire, b" ")
                })
                .collect();
            // A rate counts after 30 seconds; the longest silence is 15.
            let limit = Duration::from_secs(45);
            let dripping = scope.spawn(move || drip_until_ended("a body", slow, Duration::from_secs(1), limit));
            let longest = longest_wait(server, || {
                server.upload(&video, FIXTURE).expect(200);
                dripping.is_finished()
            });
            let lasted = dripping.join().unwrap();
            assert!(lasted > Duration::from_secs(14), "{lasted:?}");
            println!("{EACH} dripping bodies: ended after {lasted:?} at the latest; others waited {longest:?} at most");
            assert!(longest < Duration::from_secs(3), "{longest:?}");
        });
    }
    assert_eq!(std::fs::read_dir(server.state().join("incoming")).unwrap().count(), 0);
    server.playback(&embed, None).expect(200);
}

#[test]
fn readers_who_stop_cost_little_and_hold_up_nobody() {
    allow_many_files();
    let server = Server::start();
    let process = Process(server.pid());
    let (video, embed) = server.pending_video("public");
    server.upload(&video, padded(16 << 20)).expect(200);
    let answer = server.playback(&embed, None).expect(200).json();
    let path = path_of(progressive_uri(&answer));
    let reader = || {
        let mut wire = Wire::narrow(&server, 4 << 10);
        wire.send("GET", path, &[]);
        assert_eq!(wire.head().status, 200);
        wire
    };
    drop(reader());
    let (before, descriptors) = (process.memory_kib(), process.descriptors());
    let readers: Vec<Wire> = (0..tries(2 * EACH, 2_000)).map(|_| reader()).collect();
    let began = Instant::now();
    let longest = longest_wait(&server, || began.elapsed() > Duration::from_secs(1));
    let grown = process.memory_kib().saturating_sub(before);
    println!("{} stopped readers: {grown} KiB; others waited {longest:?} at most", readers.len());
    assert!(grown < readers.len() as u64 * 300, "{grown} KiB");
    assert!(longest < Duration::from_secs(3), "{longest:?}");
    // Long enough, and the server gives up on them by itself: `SCREENER_STALL_S=330`.
    let patience = std::env::var("SCREENER_STALL_S").ok().and_then(|seconds| seconds.parse().ok());
    if let Some(patience) = patience.map(Duration::from_secs) {
        wait_for("the server to give up", patience, || process.descriptors() <= descriptors + 4);
        println!("given up on after {:?}", began.elapsed());
    }
    drop(readers);
    wait_for("the descriptors to come back", Duration::from_secs(10), || process.descriptors() <= descriptors + 4);
}
