//! What a request names is neither opened nor fetched: a file that is watched, and a port that somebody listens on.

use crate::asset_urls::watch;
use crate::hostile_tokens::{Forge, INVALID, sign_bytes};
use crate::support::{Line, Server};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use std::fs;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// A file that nobody has any business with, and a port likewise.
struct Bait {
    file: PathBuf,
    openings: OwnedFd,
    listener: TcpListener,
}

impl Bait {
    fn beside(server: &Server) -> Self {
        let file = server.scratch().join("bait");
        fs::write(&file, "the empty secret's file").unwrap();
        let openings = inotify::init(CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&openings, &file, WatchFlags::OPEN | WatchFlags::ACCESS).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let bait = Self { file, openings, listener };
        // The watch works, and so does the port.
        drop(fs::read(&bait.file).unwrap());
        assert!(bait.was_opened());
        drop(TcpStream::connect(bait.listener.local_addr().unwrap()).unwrap());
        assert!(bait.was_called());
        bait
    }

    /// Whether anybody has opened the file since it was last asked.
    fn was_opened(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.openings, &mut buffer);
        let mut was_opened = false;
        while let Ok(event) = events.next() {
            was_opened |= event.events().intersects(ReadFlags::OPEN | ReadFlags::ACCESS);
        }
        was_opened
    }

    /// Whether anybody has called the port since it was last asked.
    fn was_called(&self) -> bool {
        match self.listener.accept() {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        assert!(!self.was_opened(), "{what}: the file was opened");
        assert!(!self.was_called(), "{what}: the port was called");
    }

    fn authority(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The file by its own name, and from directories that the server could stand in.
    fn names(&self) -> Vec<String> {
        let file = self.file.to_str().unwrap();
        let up = "../".repeat(12);
        vec![file.to_owned(), format!("{up}{}", &file[1..]), "../bait".into(), "../../bait".into(), "bait".into()]
    }
}

#[test]
fn no_name_or_address_in_a_token_is_followed() {
    let server = Server::start();
    let forge = Forge::new(&server);
    let bait = Bait::beside(&server);
    let authority = bait.authority();
    let mut kids = bait.names();
    kids.extend(bait.names().iter().map(|name| format!("file://{name}")));
    kids.push(format!("http://{authority}/key"));
    kids.push(format!("https://{authority}/key"));
    kids.push(format!("${{jndi:ldap://{authority}/x}}"));
    kids.push(r"\u001b[31mred\u001b[0m\nlevel=ERROR".into());
    let mut tokens: Vec<(String, String)> = Vec::new();
    for kid in kids {
        let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
        // Signed with our secret, with the file's content, and with nothing.
        for key in [forge.secret(), b"the empty secret's file", b""] {
            let token = sign_bytes(header.as_bytes(), forge.claims().as_bytes(), key);
            tokens.push((format!("A16 kid {kid}"), token));
        }
    }
    let mut members = Vec::new();
    for scheme in ["http", "https"] {
        members.push(format!(r#""jku":"{scheme}://{authority}/keys.json""#));
        members.push(format!(r#""x5u":"{scheme}://{authority}/chain.pem""#));
    }
    members.push(format!(r#""jku":"file://{}""#, bait.file.display()));
    members.push(format!(r#""x5u":"{}""#, bait.file.display()));
    members.push(r#""jwk":{"kty":"oct","alg":"HS256","k":"YXR0YWNrZXI"}"#.into());
    members.push(r#""x5c":["MIIB"],"x5t":"AAAA""#.into());
    for member in &members {
        let header = forge.header().replacen('{', &format!("{{{member},"), 1);
        for key in [forge.secret(), b"attacker"] {
            let token = sign_bytes(header.as_bytes(), forge.claims().as_bytes(), key);
            tokens.push((format!("A42 {member}"), token));
        }
    }
    let mut line = Line::to(&server);
    let key = format!("Bearer {}", server.publishable_key);
    let target = format!("/api/v1/embeds/{}/playback", forge.embed);
    for (row, token) in &tokens {
        let headers = [("Authorization", key.as_str()), ("x-moviie-playback-token", token.as_str())];
        let answer = line.ask("GET", &target, &headers).unwrap();
        assert_eq!((answer.status(), answer.code().as_str()), (401, INVALID), "{row}");
        bait.assert_untouched(row);
    }
    server.playback(&forge.embed, Some(&forge.valid())).expect(200);
    bait.assert_untouched("a good token");
    let log = server.log_text();
    for told in ["bait", "jndi", "level=ERROR", "\u{1b}", "empty secret"] {
        assert!(!log.contains(told), "the log repeats {told:?} from a token");
    }
}

#[test]
fn no_name_or_address_in_a_url_is_followed() {
    let server = Server::start();
    let good = watch(&server, "private");
    let bait = Bait::beside(&server);
    let (authority, path) = (bait.authority(), good.path());
    let prefix = path.rsplit_once('/').unwrap().0;
    let mut line = Line::to(&server);
    let mut rows: Vec<(&str, String, String)> = Vec::new();
    for name in bait.names() {
        let name = name.trim_start_matches('/');
        let encoded = [name.replace("..", "%2e%2e"), name.replace('/', "%2f"), name.replace("../", "..%5c")];
        for name in encoded.into_iter().chain([name.to_owned(), name.replace("../", "..\\"), format!("/{name}")]) {
            rows.push(("D16", "GET".into(), format!("{prefix}/{name}")));
            rows.push(("D16", "GET".into(), format!("/media/{name}")));
            rows.push(("D20", "GET".into(), format!("/{name}")));
        }
    }
    for target in [format!("/media/{authority}/x"), format!("//{authority}{path}"), format!("/http://{authority}/")] {
        rows.push(("D22", "GET".into(), target));
    }
    rows.push(("D23", "CONNECT".into(), authority.clone()));
    rows.push(("D23", "GET".into(), "*".into()));
    for (row, method, target) in &rows {
        let status = line.ask(method, target, &[]).map_or(0, |answer| answer.status());
        assert!([0, 400, 403, 404, 405].contains(&status), "{row} {target}: {status}");
        bait.assert_untouched(target);
    }
    // An absolute target names this server whatever its authority says (RFC 9112 §3.2.2).
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{authority}{path}");
        let headers = [("X-Forwarded-Host", authority.as_str()), ("Referer", url.as_str()), ("X-Original-URL", &url)];
        assert_eq!(line.ask("GET", &url, &headers).unwrap().status(), 200, "D22 {url}");
        bait.assert_untouched(&url);
    }
}
