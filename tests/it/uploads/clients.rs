//! The clients that others use, as docs/uploads.md shows them, over lines that are cut: tus-js-client in Node, and tuspy.

use super::{assert_plays, files};
use crate::readme::{install_clients, repository};
use crate::support::{Server, padded};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};

const MIB: usize = 1 << 20;

/// What happens to a connection that has carried enough to the server.
#[derive(Clone, Copy)]
enum Cut {
    /// Both ends are told.
    Both,
    /// The client is told; the server's end stands, and nothing more comes over it.
    Client,
    /// Nothing more comes through until the test says so, and then it is cut.
    Restart,
}

/// Stands between a client and a server, and cuts the connections between them.
struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    reached: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

struct Shared {
    target: Mutex<String>,
    /// After how many bytes to the server, of one connection, the next cut comes.
    cuts: Mutex<VecDeque<(usize, Cut)>>,
    restart: Mutex<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
    /// Ends that are kept open and say nothing.
    silent: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    fn start(server: &Server, cuts: &[(usize, Cut)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((reached_sender, reached), (go_on, go_on_receiver)) = (mpsc::channel(), mpsc::channel());
        let shared = Arc::new(Shared {
            target: Mutex::new(authority(server)),
            cuts: Mutex::new(cuts.iter().copied().collect()),
            restart: Mutex::new((reached_sender, go_on_receiver)),
            silent: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.carry(client.unwrap()));
            }
        });
        Self { address, shared, reached, go_on }
    }

    fn cuts_left(&self) -> usize {
        self.shared.cuts.lock().unwrap().len()
    }
}

fn authority(server: &Server) -> String {
    server.base_url.strip_prefix("https://").unwrap().to_owned()
}

impl Shared {
    fn carry(&self, mut client: TcpStream) {
        // A server that is down refuses, and so do we.
        let target = self.target.lock().unwrap().clone();
        let Ok(mut server) = TcpStream::connect(target) else { return };
        let (mut answers, mut answered) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut answered);
            let _ = answered.shutdown(Shutdown::Both);
        });
        let (mut buffer, mut carried) = (vec![0; 16 << 10], 0);
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            if server.write_all(&buffer[..count]).is_err() {
                break;
            }
            carried += count;
            let cut = {
                let mut cuts = self.cuts.lock().unwrap();
                let is_due = cuts.front().is_some_and(|(after, _)| *after <= carried);
                if is_due { cuts.pop_front() } else { None }
            };
            match cut {
                None => continue,
                Some((_, Cut::Both)) => {}
                Some((_, Cut::Client)) => {
                    let _ = client.shutdown(Shutdown::Both);
                    return self.silent.lock().unwrap().push(server);
                }
                Some((_, Cut::Restart)) => {
                    let restart = self.restart.lock().unwrap();
                    restart.0.send(()).unwrap();
                    restart.1.recv().unwrap();
                }
            }
            break;
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    }
}

/// The sample of this language in docs/uploads.md.
fn sample(language: &str) -> String {
    let text = std::fs::read_to_string(repository().join("docs/uploads.md")).unwrap();
    let start = text.find(&format!("```{language}\n")).unwrap();
    text[start..].lines().skip(1).take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

/// Runs a sample through a proxy, with a film beside it, and restarts the server whenever the proxy says so.
fn upload(server: &mut Server, proxy: &Proxy, command: &[&str], program: &str, film: &[u8]) -> Output {
    install_clients();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lesson.mp4"), film).unwrap();
    symlink(repository().join("tests/clients/node_modules"), directory.path().join("node_modules")).unwrap();
    let mut process = Command::new(command[0])
        .args(&command[1..])
        .current_dir(directory.path())
        .env("SCREENER_URL", format!("https://{}", proxy.address))
        .env("PRIVATE_KEY", &server.private_key)
        .env("NODE_EXTRA_CA_CERTS", server.ca())
        .env("REQUESTS_CA_BUNDLE", server.ca())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let waiting = std::thread::spawn(move || process.wait_with_output().unwrap());
    while !waiting.is_finished() {
        if proxy.reached.recv_timeout(std::time::Duration::from_millis(50)).is_ok() {
            server.kill();
            server.serve();
            *proxy.shared.target.lock().unwrap() = authority(server);
            proxy.go_on.send(()).unwrap();
        }
    }
    waiting.join().unwrap()
}

fn goes_up(command: &[&str], language: &str, cuts: &[(usize, Cut)]) {
    let mut server = Server::start();
    let film = padded(24 * MIB + 4321);
    let proxy = Proxy::start(&server, cuts);
    let output = upload(&mut server, &proxy, command, &sample(language), &film);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{language}: {errors}\n{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(proxy.cuts_left(), 0, "not every line was cut");
    let (videos, uploads) = (server.all("videos"), server.all("uploads"));
    assert_eq!((videos.len(), uploads.len()), (1, 1), "{videos:?} {uploads:?}");
    let video = videos[0]["id"].as_str().unwrap();
    assert_eq!(videos[0]["title"], "Lesson 1");
    server.wait_until_ready(video);
    let kept = std::fs::read(server.state().join("media").join(uploads[0]["id"].as_str().unwrap())).unwrap();
    assert!(kept == film, "{} bytes of something else", kept.len());
    assert_plays(&server, video, &film);
    assert!(files(&server, "uploads").is_empty());
    server.verify();
}

fn python() -> String {
    let python: &Path = &repository().join("target/test-tools/venv/bin/python");
    python.to_str().unwrap().to_owned()
}

#[test]
fn tus_js_client_goes_on_where_its_line_was_cut() {
    let cuts = [(5 * MIB + 1, Cut::Both), (3 * MIB, Cut::Client), (20_000, Cut::Both), (7 * MIB + 77, Cut::Client)];
    goes_up(&["node", "--input-type=module"], "js", &cuts);
}

#[test]
fn tus_js_client_goes_on_after_the_server_was_killed() {
    goes_up(&["node", "--input-type=module"], "js", &[(6 * MIB, Cut::Restart), (9 * MIB, Cut::Restart)]);
}

#[test]
fn tuspy_goes_on_where_its_line_was_cut() {
    let cuts = [(5 * MIB + 1, Cut::Both), (3 * MIB, Cut::Client), (20_000, Cut::Both), (7 * MIB + 77, Cut::Client)];
    goes_up(&[&python(), "-"], "python", &cuts);
}

#[test]
fn tuspy_goes_on_after_the_server_was_killed() {
    goes_up(&[&python(), "-"], "python", &[(6 * MIB, Cut::Restart), (5 * MIB, Cut::Restart)]);
}

#[test]
fn a_film_goes_up_by_hand_as_the_document_shows() {
    let server = Server::start();
    let film = padded(3 * MIB);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lesson.mp4"), &film).unwrap();
    let (block, mut known) = (sample("sh"), Vec::new());
    let commands: Vec<&str> = block.split("\n\n").collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        let output = Command::new("bash")
            .args(["-ec", command])
            .current_dir(directory.path())
            .env("SCREENER_URL", &server.base_url)
            .env("PRIVATE_KEY", &server.private_key)
            .env("CURL_CA_BUNDLE", server.ca())
            .envs(known.iter().cloned())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        for line in printed.lines() {
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "location" => known.push(("LOCATION", value.to_owned())),
                "upload-offset" => known.push(("OFFSET", value.to_owned())),
                "screener-video-id" => known.push(("VIDEO", value.to_owned())),
                _ => {}
            }
        }
    }
    let video = &known.iter().find(|(name, _)| *name == "VIDEO").unwrap().1;
    server.wait_until_ready(video);
    assert_plays(&server, video, &film);
}
