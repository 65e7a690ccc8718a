//! More connections than a server has room for, and connections that break off (attacks J15, J16, J18, J25): what they held
//! comes back, and the store has what it needs.

use super::connections::{allow_many_files, used};
use super::tries;
use crate::support::{Dice, Options, Process, Server, Wire, padded, path_of, plain, progressive_uri, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn with_few_descriptors_the_store_still_writes_and_nothing_spins() {
    allow_many_files();
    let server = Server::with(Options { under: vec!["prlimit", "--nofile=256"], ..Options::default() });
    assert!(server.log_text().contains("the limit on open files is too low"));
    let process = Process(server.pid());
    let mut kept = used(&server);
    let crowd: Vec<TcpStream> = (0..400).map(|_| plain(&server)).collect();
    let (cpu, began) = (process.cpu_s(), Instant::now());
    // Whoever has a connection is served, and the store has what it needs.
    let body = json!({ "label": "made in the crowd" }).to_string();
    let (authorization, length) = (format!("Bearer {}", server.private_key), body.len().to_string());
    let headers =
        [("Authorization", authorization.as_str()), ("Content-Type", "application/json"), ("Content-Length", &length)];
    while began.elapsed() < Duration::from_secs(3) {
        kept.send("POST", "/admin/v1/signing-keys", &headers);
        kept.send_raw(body.as_bytes()).unwrap();
        let head = kept.head();
        assert_eq!(head.status, 201);
        kept.read_exact(&mut vec![0; usize::try_from(head.length().unwrap()).unwrap()]).unwrap();
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert!(process.descriptors() < 256 - 80, "{} descriptors", process.descriptors());
    let (cpu, took) = (process.cpu_s() - cpu, began.elapsed());
    println!("400 connections for 256 descriptors: {cpu:.2} s of processor time in {took:?}");
    assert!(cpu < 0.2 * took.as_secs_f64(), "{cpu:.2} s of processor time in {took:?}");
    // When the crowd goes there is room for everybody.
    drop(crowd);
    let (_, embed) = server.video("public");
    server.playback(&embed, None).expect(200);
    server.verify();
}

#[test]
fn a_full_server_serves_those_it_has_and_lets_others_wait() {
    let environment = [("MAX_CONNECTIONS", "16"), ("WORKERS", "1")];
    let environment = environment.map(|(key, value)| (format!("SCREENER__SERVER__{key}"), value.to_owned())).to_vec();
    let server = Server::with(Options { environment, ..Options::default() });
    let mut inside = Vec::new();
    // The client that set the server up may still hold some of the sixteen.
    wait_for("the server to be full", Duration::from_secs(30), || {
        let mut wire = Wire::connect(&server);
        wire.socket().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let is_served = wire.try_exchange("GET", "/healthz", &[]).is_ok_and(|answer| answer.status() == 200);
        if is_served {
            inside.push(wire);
        }
        !is_served
    });
    assert!(inside.len() <= 16 && inside.len() >= 8, "{}", inside.len());
    for wire in &mut inside {
        assert_eq!(wire.exchange("GET", "/healthz", &[]).status(), 200);
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Wire::connect(&server).exchange("GET", "/healthz", &[]).status());
        inside.pop();
        assert_eq!(waiting.join().unwrap(), 200);
    });
}

#[test]
fn one_address_has_its_share_of_the_connections_and_a_trusted_proxy_all() {
    let environment = [("MAX_CONNECTIONS_PER_ADDRESS", "4"), ("TRUSTED_PROXIES", "127.0.0.9")];
    let environment = environment.map(|(key, value)| (format!("SCREENER__SERVER__{key}"), value.to_owned())).to_vec();
    let server = Server::with(Options { environment, ..Options::default() });
    let served = |last: u8| {
        let mut wire = Wire::from_address(&server, IpAddr::from([127, 0, 0, last]));
        let answer = wire.try_exchange("GET", "/healthz", &[]).ok()?;
        Some((wire, answer.status()))
    };
    let mut inside: Vec<_> = (0..4).map(|_| served(3).expect("a place")).collect();
    assert!(served(3).is_none());
    assert!(inside.iter_mut().all(|(wire, _)| wire.exchange("GET", "/healthz", &[]).status() == 200));
    // Others are not held up, and whoever stands before many is not counted.
    assert!(served(4).is_some());
    let proxied: Vec<_> = (0..20).map(|_| served(9).expect("a place")).collect();
    wait_for("it to be told", Duration::from_secs(5), || server.log_text().contains("all the connections it may have"));
    // What is left is given to whoever comes next.
    drop((inside.pop(), proxied));
    wait_for("a place", Duration::from_secs(5), || served(3).is_some());
}

#[test]
fn readers_of_the_pages_own_files_who_stop_cost_little() {
    const READERS: usize = 64;
    let environment = vec![("SCREENER__SERVER__PLAIN_HTTP".to_owned(), "true".to_owned())];
    let server = Server::with(Options { environment, ..Options::default() });
    let process = Process(server.pid());
    let (_, embed) = server.video("public");
    let page = server.embed_page(&embed, None).expect(200).text();
    let script = page.split('"').find(|part| part.ends_with("/player.js")).expect("a script");
    let files = ["player.js", "library.js"].map(|name| script.replace("player.js", name));
    let (length, script) = files.map(|path| (server.get(&path).body.len(), path)).into_iter().max().unwrap();
    let reader = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let address: SocketAddr = server.base_url.rsplit('/').next().unwrap().parse().unwrap();
        socket.connect(&address.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        socket.write_all(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path_of(&script)).as_bytes()).unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        socket
    };
    drop(reader());
    let before = process.memory_kib();
    let mut readers: Vec<TcpStream> = (0..READERS).map(|_| reader()).collect();
    let each = process.memory_kib().saturating_sub(before) / READERS as u64;
    println!("{READERS} stopped readers of {length} bytes: {each} KiB each");
    assert!(length > 250_000 && each < 160, "{length} bytes, {each} KiB each");
    // The twin: whoever goes on reading gets all of it.
    let mut rest = vec![0; length];
    readers[0].read_exact(&mut rest).unwrap();
}

/// Connections to the server's port in `CLOSE_WAIT` (8 in proc(5), net/tcp).
fn in_close_wait(server: &Server) -> usize {
    let port: u16 = server.base_url.rsplit_once(':').unwrap().1.parse().unwrap();
    let ending = format!(":{port:04X}");
    let lines = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let columns = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    columns.filter(|columns| columns[1].ends_with(&ending) && columns[3] == "08").count()
}

#[test]
fn connections_that_break_off_leave_nothing() {
    let server = Server::start();
    let process = Process(server.pid());
    let (video, embed) = server.pending_video("public");
    server.upload(&video, padded(8 << 20)).expect(200);
    let answer = server.playback(&embed, None).expect(200).json();
    let path = path_of(progressive_uri(&answer));
    drop(used(&server));
    let before = process.descriptors();
    for number in 0..tries(1_000, 10_000) {
        let mut socket = plain(&server);
        match number % 3 {
            0 => {}
            1 => socket.write_all(b"\x16\x03\x01").unwrap(),
            _ => SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap(),
        }
    }
    for number in 0..60 {
        let mut wire = Wire::narrow(&server, 16 << 10);
        wire.send("GET", path, &[]);
        assert_eq!(wire.head().status, 200);
        match number % 3 {
            0 => SockRef::from(wire.socket()).set_linger(Some(Duration::ZERO)).unwrap(),
            1 => wire.socket().shutdown(Shutdown::Both).unwrap(),
            _ => {}
        }
    }
    // Half closed: who has said all still gets the answer.
    let mut wire = Wire::connect(&server);
    wire.send("GET", path, &[("Range", "bytes=0-99999")]);
    wire.finish();
    assert_eq!(wire.head().length(), Some(100_000));
    wire.read_exact(&mut [0; 100_000]).unwrap();
    drop(wire);
    wait_for("the descriptors to come back", Duration::from_secs(10), || process.descriptors() <= before + 4);
    wait_for("no connection to wait for its end", Duration::from_secs(10), || in_close_wait(&server) == 0);
}

#[test]
fn random_bytes_bring_nothing_down() {
    let connections = std::env::var("SCREENER_RANDOM_CONNECTIONS").ok().and_then(|count| count.parse().ok());
    let connections: u64 = connections.unwrap_or(tries(1_500, 100_000) as u64);
    let server = Server::start();
    let process = Process(server.pid());
    let mut dice = Dice::seeded("random bytes");
    const WORDS: [&[u8]; 12] = [
        b"GET ",
        b"POST ",
        b"/healthz",
        b" HTTP/1.1",
        b"\r\n",
        b"\r\n\r\n",
        b"Host: a",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked",
        b"0\r\n",
        b"\x16\x03\x01\x02\0",
        b"5",
    ];
    let mut send = |number: u64| {
        let mut bytes = Vec::new();
        for _ in 0..dice.below(30) {
            match dice.below(3) {
                0 => bytes.extend_from_slice(WORDS[usize::try_from(dice.below(12)).unwrap()]),
                _ => bytes.push(u8::try_from(dice.below(256)).unwrap()),
            }
        }
        // One in five of them inside TLS.
        if number.is_multiple_of(5) {
            let _ = Wire::connect(&server).send_raw(&bytes);
        } else {
            let _ = plain(&server).write_all(&bytes);
        }
    };
    (0..connections / 3).for_each(&mut send);
    let before = process.memory_kib();
    (connections / 3..connections).for_each(&mut send);
    wait_for("all of them to be gone", Duration::from_secs(20), || process.descriptors() < 60);
    let grown = process.memory_kib().saturating_sub(before);
    println!("{connections} connections of random bytes: {grown} KiB more at the end than after a third of them");
    assert!(grown < 8 << 10, "{grown} KiB");
    server.get("/healthz").expect(200);
    let log = server.log_text();
    assert!(!log.contains("\"status\":5"), "an answer of 5xx");
    server.admin(Method::GET, "/organization", &Value::Null).expect(200);
}
