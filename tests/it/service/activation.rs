//! Sockets that somebody else has opened, handed over as systemd does (`systemd-socket-activate` stands in for it).

use crate::support::{Serving, configured, run, terminate, wait_for};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whoever holds these sockets becomes the server when the first connection comes.
fn activated(sockets: &[&str], config: &str) -> Serving {
    let mut command = Command::new("systemd-socket-activate");
    command.args(sockets.iter().flat_map(|socket| ["--listen", socket]));
    let serving = Serving::run(command.args([env!("CARGO_BIN_EXE_screener"), "serve", "--config", config]));
    wait_for("it listens", Duration::from_secs(10), || serving.log().contains("Listening on"));
    serving
}

fn health(mut socket: TcpStream) -> String {
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_takes_the_sockets_it_is_handed_and_answers_who_came_before_it() {
    // The configured address is somebody else's: it is not used.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("[server]\nlisten = {:?}\nplain_http = true", taken.local_addr().unwrap().to_string());
    let (_directory, config) = configured(&more);
    run(&["init", "--config", &config]).expect(0);
    let (first, second) = (format!("127.0.0.1:{}", free_port()), format!("[::1]:{}", free_port()));
    let mut serving = activated(&[&first, &second], &config);
    // This connection is what starts the server.
    let early = TcpStream::connect(&first).unwrap();
    assert!(health(early).starts_with("HTTP/1.1 200"));
    let event = serving.event("\"message\":\"serving\"");
    assert_eq!((&event["from_systemd"], &event["address"]), (&true.into(), &first.as_str().into()));
    assert_eq!(event["base_url"], format!("http://{first}"));
    assert!(health(TcpStream::connect(&second).unwrap()).starts_with("HTTP/1.1 200"));
    assert_eq!(serving.end(), 0);
}

#[test]
fn who_connected_just_before_a_stop_is_heard_and_told_that_the_connection_ends() {
    let (_directory, config) = configured("[server]\nplain_http = true");
    run(&["init", "--config", &config]).expect(0);
    let address = format!("127.0.0.1:{}", free_port());
    let mut serving = activated(&[&address], &config);
    let mut silent = TcpStream::connect(&address).unwrap();
    serving.base_url();
    terminate(serving.process.id());
    serving.event("stopping; once more to stop at once");
    silent.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"causes\":[\"stopping\"]"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close\r\n"), "{answer}");
    assert_eq!(serving.code(), 0);
}

#[test]
fn a_socket_that_others_reach_is_refused_without_tls_and_without_a_public_url() {
    for (more, said) in [
        ("plain_http = true", "would serve without TLS on 0.0.0.0:"),
        ("", "is no address a viewer can open; set server.public_url"),
    ] {
        let (_directory, config) = configured(&format!("[server]\n{more}"));
        run(&["init", "--config", &config]).expect(0);
        let port = free_port();
        let mut serving = activated(&[&format!("0.0.0.0:{port}")], &config);
        drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
        assert_eq!(serving.code(), 78, "{}", serving.log());
        assert!(serving.log().contains(said), "{}", serving.log());
    }
    // The twin: with a public URL, and TLS.
    let (_directory, config) = configured("[server]\npublic_url = \"https://video.example.com\"");
    run(&["init", "--config", &config]).expect(0);
    let port = free_port();
    let mut serving = activated(&[&format!("0.0.0.0:{port}")], &config);
    let _early = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(serving.base_url(), "https://video.example.com");
    assert_eq!(serving.end(), 0);
}

#[test]
fn a_socket_that_is_not_tcp_is_refused_by_name() {
    let (directory, config) = configured("");
    run(&["init", "--config", &config]).expect(0);
    let path = directory.path().join("socket");
    let mut serving = activated(&[path.to_str().unwrap()], &config);
    drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
    assert_eq!(serving.code(), 78, "{}", serving.log());
    assert!(serving.log().contains("the socket from systemd: fd 3 is not a valid tcp socket"), "{}", serving.log());
}
