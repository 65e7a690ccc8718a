//! sd_notify(3), heard in place of systemd.

use crate::support::{Serving, configured, run, send_signal, wait_for};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Somebody who listens as systemd would.
struct Manager {
    socket: UnixDatagram,
    /// What NOTIFY_SOCKET is to say.
    path: PathBuf,
    heard: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, path, heard: Vec::new(), _directory: directory }
    }

    /// One whose socket is in no file system.
    fn abstract_one() -> Self {
        let name = format!("screener-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, path: format!("@{name}").into(), ..Self::new() }
    }

    /// Has no room for any message until what is there was read.
    fn fill(&self) {
        let somebody = UnixDatagram::unbound().unwrap();
        somebody.connect(&self.path).unwrap();
        somebody.set_nonblocking(true).unwrap();
        while somebody.send(b"X_FULL=1").is_ok() {}
    }

    /// Every line heard so far.
    fn heard(&mut self) -> &[String] {
        let mut message = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            self.heard.extend(text.lines().map(str::to_owned));
        }
        &self.heard
    }

    fn position(&mut self, line: &str) -> Option<usize> {
        self.heard().iter().position(|heard| heard == line)
    }

    fn wait_for(&mut self, line: &str) {
        wait_for(line, Duration::from_secs(30), || self.position(line).is_some());
    }

    fn count(&mut self, line: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == line).count()
    }
}

/// A server that tells `manager` how it is.
fn started(manager: &Manager, more: &[(&str, &Path)]) -> (tempfile::TempDir, Serving) {
    let (directory, config) = configured("[server]\nlisten = \"127.0.0.1:0\"\nshutdown_grace_s = 7");
    run(&["init", "--config", &config]).expect(0);
    let environment = [&[("NOTIFY_SOCKET", manager.path.as_path())], more].concat();
    (directory, Serving::start_with(&["serve", "--config", &config], &environment))
}

#[test]
fn it_says_that_it_is_ready_when_it_answers_and_what_it_does_in_words() {
    let mut manager = Manager::new();
    let (_directory, mut serving) = started(&manager, &[]);
    manager.wait_for("READY=1");
    let base_url = serving.base_url();
    // Whoever hears it may connect: nothing is left to be waited for.
    TcpStream::connect(base_url.strip_prefix("https://").unwrap()).unwrap();
    let ready = manager.position("READY=1").unwrap();
    let opening = manager.position("STATUS=Opening the store").unwrap();
    let more_time = manager.position("EXTEND_TIMEOUT_USEC=30000000").unwrap();
    assert!(opening < ready && more_time < ready, "{:?}", manager.heard);
    manager.wait_for(&format!("STATUS=Serving {base_url}"));
    assert_eq!(serving.end(), 0);
    let stopping = manager.position("STOPPING=1").unwrap();
    assert!(stopping > ready);
    // Grace and margin: TimeoutStopSec= need not be kept above server.shutdown_grace_s.
    assert!(manager.position("EXTEND_TIMEOUT_USEC=12000000").unwrap() > stopping);
    assert!(manager.position("STATUS=Stopping: running answers have 7 s to finish").unwrap() > stopping);
}

#[test]
fn a_reload_is_told_as_one_and_a_server_that_stops_reloads_nothing() {
    let mut manager = Manager::new();
    let (_directory, mut serving) = started(&manager, &[]);
    let address = serving.base_url().strip_prefix("https://").unwrap().to_owned();
    manager.wait_for("READY=1");
    send_signal(serving.process.id(), Signal::HUP);
    wait_for("the reload", Duration::from_secs(10), || manager.count("READY=1") == 2);
    assert_eq!(manager.count("RELOADING=1"), 1);
    // A connection that says nothing keeps the stop waiting. What was accepted after it has been answered.
    let silent = TcpStream::connect(&address).unwrap();
    let mut other = TcpStream::connect(&address).unwrap();
    other.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _ = other.read_to_end(&mut Vec::new());
    send_signal(serving.process.id(), Signal::TERM);
    manager.wait_for("STOPPING=1");
    send_signal(serving.process.id(), Signal::HUP);
    serving.event("the server stops, and reloads nothing");
    drop(silent);
    assert_eq!(serving.code(), 0);
    assert_eq!((manager.count("RELOADING=1"), manager.count("READY=1")), (1, 2), "{:?}", manager.heard);
}

#[test]
fn a_manager_that_does_not_read_holds_nothing_up_and_hears_all_of_it_in_order_when_it_does() {
    let mut manager = Manager::new();
    manager.fill();
    let (_directory, mut serving) = started(&manager, &[("WATCHDOG_USEC", Path::new("600000"))]);
    TcpStream::connect(serving.base_url().strip_prefix("https://").unwrap()).unwrap();
    send_signal(serving.process.id(), Signal::HUP);
    serving.event("\"message\":\"reloaded\"");
    serving.event("the service manager reads no notifications");
    // That it is alive is told when nothing else waits.
    manager.wait_for("WATCHDOG=1");
    let told: Vec<&String> =
        manager.heard.iter().filter(|line| ["READY=1", "RELOADING=1"].contains(&line.as_str())).collect();
    assert_eq!(told, ["READY=1", "RELOADING=1", "READY=1"]);
    manager.fill();
    assert_eq!(serving.end(), 0);
}

#[test]
fn a_manager_with_an_abstract_name_is_told() {
    let mut manager = Manager::abstract_one();
    let (_directory, mut serving) = started(&manager, &[]);
    manager.wait_for("READY=1");
    assert_eq!(serving.end(), 0);
    assert!(manager.position("STOPPING=1").is_some());
}

#[test]
fn a_server_that_does_not_start_never_says_that_it_is_ready() {
    let mut manager = Manager::new();
    let (directory, mut serving) = started(&manager, &[]);
    manager.wait_for("READY=1");
    assert_eq!(serving.end(), 0);
    std::fs::write(directory.path().join("state/master.key"), "0".repeat(64)).unwrap();
    let mut manager = Manager::new();
    let config = directory.path().join("config.toml");
    let environment = [("NOTIFY_SOCKET", manager.path.as_path())];
    let mut serving = Serving::start_with(&["serve", "--config", config.to_str().unwrap()], &environment);
    assert_eq!(serving.code(), 78, "{}", serving.log());
    assert_eq!(manager.position("READY=1"), None, "{:?}", manager.heard);
}

#[test]
fn the_watchdog_is_fed_while_it_works_and_only_where_one_is_set() {
    let mut manager = Manager::new();
    let (_directory, mut serving) = started(&manager, &[("WATCHDOG_USEC", Path::new("600000"))]);
    wait_for("three pings", Duration::from_secs(30), || manager.count("WATCHDOG=1") >= 3);
    send_signal(serving.process.id(), Signal::STOP);
    let before = manager.count("WATCHDOG=1");
    send_signal(serving.process.id(), Signal::CONT);
    wait_for("pings again", Duration::from_secs(30), || manager.count("WATCHDOG=1") > before + 1);
    assert_eq!(serving.end(), 0);
    // Meant for another process, or not set: no ping.
    for variables in [&[("WATCHDOG_USEC", Path::new("600000")), ("WATCHDOG_PID", Path::new("1"))][..], &[]] {
        let mut manager = Manager::new();
        let (_directory, mut serving) = started(&manager, variables);
        manager.wait_for("READY=1");
        assert_eq!(serving.end(), 0);
        assert_eq!(manager.count("WATCHDOG=1"), 0);
    }
}
