//! Whatever takes a viewing's ground away stops its bytes within a second, those in flight included, and nobody else's.

use crate::support::{
    Claims, Options, Server, Wire, files_below, packaged, padded, path_of, progressive_uri, sign, wait_for,
};
use reqwest::Method;
use rustix::io::ioctl_fionread;
use screener::domain::limits;
use serde_json::{Value, json};
use socket2::SockRef;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What the contract gives a revocation to take hold.
const WITHIN: Duration = Duration::from_secs(1);
/// A film too long to hide in anyone's buffers.
const FILM_BYTES: usize = 64 << 20;
/// A file that fits into the buffers between server and viewer.
const SHORT_BYTES: usize = 600 << 10;
/// The client's receive buffer where it stalls.
const NARROW_BYTES: usize = 16 << 10;

/// One viewing.
pub struct Viewing {
    pub path: String,
    answer: Value,
}

impl Viewing {
    /// Opens one with a token of the server's own key.
    fn open(server: &Server, video: &str, embed: &str) -> Self {
        Self::with(server, embed, &server.token(video))
    }

    /// Opens one with this token.
    pub fn with(server: &Server, embed: &str, token: &str) -> Self {
        let answer = server.playback(embed, Some(token)).expect(200).json();
        let path = path_of(progressive_uri(&answer)).to_owned();
        Self { path, answer }
    }

    fn session(&self) -> &str {
        self.answer["session"]["id"].as_str().unwrap()
    }

    fn renew(&self, server: &Server) -> (u16, String) {
        let path = path_of(self.answer["session"]["renewUri"].as_str().unwrap());
        let body = json!({ "renewToken": self.answer["session"]["renewToken"] });
        let answer = server.request(Method::POST, path).json(&body).send().unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().unwrap()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// How a download that was read at the test's pace went.
struct Download {
    received: Vec<u8>,
    ended_at: Instant,
}

/// Reads a download a little at a time, telling how far it is; from `hurry` on as fast as it can.
fn read_slowly(mut wire: Wire, path: &str, progress: &AtomicUsize, hurry: &AtomicBool) -> Download {
    wire.send("GET", path, &[]);
    let head = wire.head();
    assert_eq!(head.status, 200);
    let length = usize::try_from(head.length().unwrap()).unwrap();
    let mut received = vec![0; length];
    let mut at = 0;
    while at < length {
        let end = length.min(at + (64 << 10));
        match wire.read(&mut received[at..end]) {
            Ok(count @ 1..) => at += count,
            Ok(0) | Err(_) => break,
        }
        progress.store(at, Ordering::SeqCst);
        if !hurry.load(Ordering::SeqCst) {
            // A few megabytes a second: a viewer, not a copying machine.
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
    received.truncate(at);
    Download { received, ended_at: Instant::now() }
}

/// A download whose reader has stopped, with all buffers on the way full.
struct Stalled {
    wire: Wire,
}

impl Stalled {
    fn begin(server: &Server, path: &str) -> Self {
        let mut wire = Wire::narrow(server, NARROW_BYTES);
        wire.send("GET", path, &[]);
        assert_eq!(wire.head().status, 200);
        let mut some = vec![0; 20_000];
        wire.read_exact(&mut some).unwrap();
        // Full when nothing more comes in for as long as it takes to look twenty times.
        let (mut last, mut unchanged) = (0, 0);
        wait_for("the receive buffer to fill", Duration::from_secs(10), || {
            let waiting = ioctl_fionread(wire.socket()).unwrap();
            unchanged = if waiting == last && waiting > 0 { unchanged + 1 } else { 0 };
            last = waiting;
            unchanged >= 20
        });
        Self { wire }
    }

    /// Asserts that the connection is cut without anyone reading, and that no more comes than had already arrived.
    #[track_caller]
    fn assert_cut(mut self, since: Instant, what: &str) {
        let socket = SockRef::from(self.wire.socket());
        let mut error = None;
        while error.is_none() && since.elapsed() < WITHIN {
            error = socket.take_error().unwrap();
            std::thread::park_timeout(Duration::from_millis(2));
        }
        assert!(error.is_some(), "{what}: the stalled connection was not cut within {WITHIN:?}");
        let arrived = ioctl_fionread(self.wire.socket()).unwrap();
        let came = self.wire.drain();
        // Besides the kernel's buffer there is one TLS record that the client had begun to take in.
        assert!(came <= arrived + (20 << 10), "{what}: {came} bytes came, {arrived} had arrived");
    }

    /// Reads all that is left.
    fn finish(mut self) -> u64 {
        let mut buffer = vec![0; 64 << 10];
        let mut total = 20_000;
        self.wire.socket().set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        while let Ok(count @ 1..) = self.wire.read(&mut buffer) {
            total += count as u64;
        }
        total
    }
}

/// A film that two people watch, and another viewing that must not notice.
struct Stage<'a> {
    server: &'a Server,
    watched: Viewing,
    bystander: Viewing,
    film: &'a [u8],
}

impl Stage<'_> {
    /// Revokes in mid-download and looks at everything that must stop, and at what must not.
    fn revoke(&self, what: &str, revoke: impl FnOnce()) {
        let Self { server, watched, bystander, film } = self;
        let (progress, other_progress) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (never, hurry) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut twin = Wire::connect(server);
        assert_eq!(twin.exchange("GET", &watched.path, &[("Range", "bytes=0-9")]).status(), 206, "{what}: before");
        let stalled = Stalled::begin(server, &watched.path);
        std::thread::scope(|scope| {
            let slow = Wire::narrow(server, 256 << 10);
            let other = Wire::narrow(server, 256 << 10);
            let slow = scope.spawn(|| read_slowly(slow, &watched.path, &progress, &never));
            let other = scope.spawn(|| read_slowly(other, &bystander.path, &other_progress, &hurry));
            wait_for("both downloads to be under way", Duration::from_secs(20), || {
                progress.load(Ordering::SeqCst) > 1 << 20 && other_progress.load(Ordering::SeqCst) > 1 << 20
            });
            revoke();
            let since = Instant::now();
            stalled.assert_cut(since, what);
            let slow = slow.join().unwrap();
            assert!(slow.received.len() < film.len(), "{what}: the whole film came through");
            assert!(film.starts_with(&slow.received), "{what}");
            assert!(slow.ended_at < since + WITHIN, "{what}: bytes came for {:?}", slow.ended_at - since);
            assert!(!other.is_finished(), "{what}: another viewing ended too");
            hurry.store(true, Ordering::SeqCst);
            let other = other.join().unwrap();
            assert!(other.received == *film, "{what}: another viewing got {} bytes", other.received.len());
        });
        let mut wire = Wire::connect(server);
        for method in ["GET", "HEAD"] {
            let answer = wire.exchange(method, &watched.path, &[("Range", "bytes=0-9")]);
            assert_eq!(answer.status(), 403, "{what}: {method}");
            assert!(method == "HEAD" || answer.code() == "asset_url_revoked", "{what}: {}", answer.code());
        }
        assert_eq!(watched.renew(server), (403, "session_revoked".into()), "{what}");
        assert_eq!(wire.exchange("GET", &bystander.path, &[("Range", "bytes=0-9")]).status(), 206, "{what}");
        assert_eq!(bystander.renew(server).0, 200, "{what}");
    }
}

fn film_on(server: &Server, visibility: &str, source: &[u8]) -> (String, String) {
    let (video, embed) = server.pending_video(visibility);
    server.upload(&video, source.to_vec());
    server.wait_until_ready(&video);
    (video, embed)
}

/// A signing key: its id and secret.
pub fn new_key(server: &Server) -> (String, String) {
    let key = server.admin(Method::POST, "/signing-keys", &Value::Null).expect(201).json();
    (key["id"].as_str().unwrap().to_owned(), key["secret"].as_str().unwrap().to_owned())
}

/// Revokes a signing key.
pub fn revoke_key(server: &Server, kid: &str) {
    server.admin(Method::POST, &format!("/signing-keys/{kid}/revoke"), &Value::Null).expect(200);
}

#[test]
fn revoking_a_signing_key_stops_what_it_opened() {
    let server = Server::start();
    let source = padded(FILM_BYTES);
    let film = packaged(&source);
    let (video, embed) = film_on(&server, "private", &source);
    let (kid, secret) = new_key(&server);
    let watched = Viewing::with(&server, &embed, &sign(&kid, &secret, &Claims::of(&video)));
    let bystander = Viewing::open(&server, &video, &embed);
    Stage { server: &server, watched, bystander, film: &film }.revoke("key", || revoke_key(&server, &kid));
}

#[test]
fn making_a_public_video_private_stops_its_urls() {
    let server = Server::start();
    let source = padded(FILM_BYTES);
    let film = packaged(&source);
    let (video, embed) = film_on(&server, "public", &source);
    let (other, other_embed) = film_on(&server, "public", &source);
    let watched = Viewing::open(&server, &video, &embed);
    let bystander = Viewing::open(&server, &other, &other_embed);
    Stage { server: &server, watched, bystander, film: &film }.revoke("re-classified", || {
        server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "visibility": "private" })).expect(200);
    });
    server.playback(&embed, None).expect_code(401, "playback_token_missing");
    // With a token it goes on.
    let again = Viewing::open(&server, &video, &embed);
    assert_eq!(Wire::connect(&server).exchange("HEAD", &again.path, &[]).status(), 200);
}

#[test]
fn deleting_a_video_stops_its_urls_and_removes_its_file() {
    let server = Server::start();
    let source = padded(FILM_BYTES);
    let film = packaged(&source);
    let (video, embed) = film_on(&server, "private", &source);
    let (other, other_embed) = film_on(&server, "private", &source);
    let watched = Viewing::open(&server, &video, &embed);
    let bystander = Viewing::open(&server, &other, &other_embed);
    let file = server.state().join("media").join(watched.path.rsplit('/').next().unwrap().trim_end_matches(".mp4"));
    assert!(file.exists());
    Stage { server: &server, watched, bystander, film: &film }.revoke("deleted", || {
        server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    });
    assert!(!file.exists());
    let left = files_below(&server.state().join("media"));
    assert_eq!(left.len(), 3, "the other video's alone: {left:?}");
    server.playback(&embed, Some(&server.token(&video))).expect_code(404, "not_found");
    server.embed_page(&embed, Some(&server.token(&video))).expect_code(404, "not_found");
}

#[test]
fn ending_a_session_stops_its_urls_alone() {
    let server = Server::start();
    let source = padded(FILM_BYTES);
    let film = packaged(&source);
    let (video, embed) = film_on(&server, "private", &source);
    let watched = Viewing::open(&server, &video, &embed);
    let bystander = Viewing::open(&server, &video, &embed);
    let session = watched.session().to_owned();
    let listed = server.admin(Method::GET, "/sessions", &Value::Null).expect(200).json();
    assert!(listed["items"].as_array().unwrap().iter().any(|item| item["id"] == session.as_str()), "{listed}");
    Stage { server: &server, watched, bystander, film: &film }.revoke("session", || {
        server.admin(Method::DELETE, &format!("/sessions/{session}"), &Value::Null).expect(204);
    });
    let listed = server.admin(Method::GET, "/sessions", &Value::Null).expect(200).json();
    assert!(!listed.to_string().contains(&session), "{listed}");
}

#[test]
fn turning_token_access_off_stops_private_videos_and_not_public_ones() {
    let server = Server::start();
    let source = padded(FILM_BYTES);
    let film = packaged(&source);
    let (video, embed) = film_on(&server, "private", &source);
    let (other, other_embed) = film_on(&server, "public", &source);
    let watched = Viewing::open(&server, &video, &embed);
    let bystander = Viewing::open(&server, &other, &other_embed);
    Stage { server: &server, watched, bystander, film: &film }.revoke("token access off", || {
        server.admin(Method::PATCH, "/organization", &json!({ "tokenAccess": false })).expect(200);
    });
    server.playback(&embed, Some(&server.token(&video))).expect_code(401, "token_access_disabled");
    server.playback(&embed, None).expect_code(401, "token_access_disabled");
}

#[test]
fn dropping_the_secrets_behind_asset_urls_cuts_what_they_signed() {
    let server = Server::start();
    let (video, embed) = film_on(&server, "private", &padded(FILM_BYTES));
    let stalled = Stalled::begin(&server, &Viewing::open(&server, &video, &embed).path);
    let rotate = |more: &[&str]| server.verb(&[&["key", "rotate-asset"], more].concat()).expect(0);
    // A new one signs from now on, and what the old one signed goes on.
    rotate(&[]);
    let newer = Stalled::begin(&server, &Viewing::open(&server, &video, &embed).path);
    rotate(&["--drop-old"]);
    let since = Instant::now();
    stalled.assert_cut(since, "signed by the first");
    newer.assert_cut(since, "signed by the second");
    let anew = Viewing::open(&server, &video, &embed);
    assert_eq!(Wire::connect(&server).exchange("HEAD", &anew.path, &[]).status(), 200);
}

#[test]
fn a_short_file_that_left_the_server_whole_is_taken_back_from_the_buffers() {
    let server = Server::start();
    let short = padded(SHORT_BYTES);
    let (video, embed) = film_on(&server, "private", &short);
    let (kid, secret) = new_key(&server);
    let token = sign(&kid, &secret, &Claims::of(&video));
    let (watched, bystander) = (Viewing::with(&server, &embed, &token), Viewing::open(&server, &video, &embed));
    let stalled = Stalled::begin(&server, &watched.path);
    let other = Stalled::begin(&server, &bystander.path);
    revoke_key(&server, &kid);
    stalled.assert_cut(Instant::now(), "a short file");
    assert_eq!(other.finish(), packaged(&short).len() as u64);
}

#[test]
fn a_connection_that_carries_someone_else_by_now_is_left_alone() {
    let server = Server::start();
    let source = padded(8 << 20);
    let film = packaged(&source);
    let (video, embed) = film_on(&server, "private", &source);
    let (kid, secret) = new_key(&server);
    let watched = Viewing::with(&server, &embed, &sign(&kid, &secret, &Claims::of(&video)));
    let bystander = Viewing::open(&server, &video, &embed);
    // As behind a proxy: one connection, one viewer after the other.
    let mut wire = Wire::narrow(&server, NARROW_BYTES);
    assert_eq!(wire.exchange("GET", &watched.path, &[]).body.len(), film.len());
    wire.send("GET", &bystander.path, &[]);
    assert_eq!(wire.head().status, 200);
    let mut begin = vec![0; 20_000];
    wire.read_exact(&mut begin).unwrap();
    revoke_key(&server, &kid);
    let mut rest = vec![0; film.len() - begin.len()];
    wire.read_exact(&mut rest).unwrap();
    assert!(film.ends_with(&rest));
    assert_eq!(wire.exchange("GET", &watched.path, &[]).code(), "asset_url_revoked");
}

#[test]
fn a_connection_ends_when_it_has_carried_so_many_viewings() {
    let server = busy_server();
    let (video, embed) = server.video("private");
    let mut wire = Wire::connect(&server);
    for number in 1..=limits::CONNECTION_VIEWINGS {
        let viewing = Viewing::open(&server, &video, &embed);
        let is_last = number == limits::CONNECTION_VIEWINGS;
        // However often one asks, it is one viewing.
        for _ in 0..if is_last { 1 } else { 2 } {
            let answer = wire.exchange("GET", &viewing.path, &[("Range", "bytes=0-9")]);
            assert_eq!((answer.status(), answer.header("connection") == Some("close")), (206, is_last), "{number}");
        }
    }
    assert!(wire.rest().is_empty());
}

#[test]
fn making_a_private_video_public_opens_it_at_once() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    server.playback(&embed, None).expect_code(401, "playback_token_missing");
    server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "visibility": "public" })).expect(200);
    server.playback(&embed, None).expect(200);
    // And a token that no longer holds is no hindrance.
    server.playback(&embed, Some("nonsense")).expect(200);
}

#[test]
fn a_new_key_is_good_at_once_and_its_secret_is_never_seen_again() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    for attempt in 0..20 {
        let (kid, secret) = new_key(&server);
        let token = sign(&kid, &secret, &Claims::of(&video));
        server.playback(&embed, Some(&token)).expect(200);
        assert!(secret.strip_prefix("mvi_sign_").is_some_and(|rest| rest.len() == 43), "attempt {attempt}");
        assert!(!secret.contains(&kid));
        for path in
            ["/signing-keys?limit=100", "/audit?limit=100", "/organization", "/private-keys", "/publishable-keys"]
        {
            let shown = server.admin(Method::GET, path, &Value::Null).expect(200).text();
            assert!(!shown.contains(&secret) && !shown.contains(&secret[9..]), "{path}");
        }
    }
    let keys = server.admin(Method::GET, "/signing-keys?limit=100", &Value::Null).json();
    let ids: std::collections::BTreeSet<&str> =
        keys["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 21);
}

#[test]
fn a_caller_can_choose_neither_id_nor_secret_nor_status_of_a_key() {
    let server = Server::start();
    for member in ["secret", "id", "status", "org", "organization", "revokedAt", "createdAt", "kid"] {
        let body = json!({ "label": "mine", member: "mvi_sign_mine" });
        let answer = server.admin(Method::POST, "/signing-keys", &body).expect_code(422, "validation_failed").json();
        assert!(answer["errors"][member].is_array(), "{answer}");
    }
    assert_eq!(server.admin(Method::GET, "/signing-keys", &Value::Null).json()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn rotating_makes_a_second_active_key_and_revoking_the_first_leaves_it() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let path = format!("/signing-keys/{}/rotate", server.kid);
    let rotated = server.admin(Method::POST, &path, &Value::Null).expect(201).json();
    let (kid, secret) = (rotated["id"].as_str().unwrap(), rotated["secret"].as_str().unwrap());
    assert_ne!(kid, server.kid);
    assert_ne!(secret, server.secret);
    let (old, new) = (server.token(&video), sign(kid, secret, &Claims::of(&video)));
    // The overlap: tokens of both pass, each under its own key alone.
    server.playback(&embed, Some(&old)).expect(200);
    server.playback(&embed, Some(&new)).expect(200);
    let crossed = sign(kid, &server.secret, &Claims::of(&video));
    server.playback(&embed, Some(&crossed)).expect_code(401, "playback_token_invalid");
    revoke_key(&server, &server.kid);
    server.playback(&embed, Some(&old)).expect_code(401, "playback_token_revoked");
    server.playback(&embed, Some(&new)).expect(200);
    server.admin(Method::POST, &path, &Value::Null).expect_code(409, "signing_key_revoked");
}

/// A server for more players than one address usually has.
pub fn busy_server() -> Server {
    Server::with(Options { config: "[limits]\nplayback_per_second = 0\n".into(), ..Options::default() })
}

#[test]
fn a_rotation_under_load_refuses_nobody() {
    let server = busy_server();
    let (video, embed) = server.video("private");
    let token = RwLock::new(server.token(&video));
    let (done, played) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    // Held across the call: whoever has taken the lock to switch knows that no old token is out.
                    let token = token.read().unwrap();
                    server.playback(&embed, Some(&token)).expect(200);
                    played.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _done = OnDrop(|| done.store(true, Ordering::SeqCst));
        let mut old = server.kid.clone();
        for _ in 0..10 {
            let (kid, secret) = new_key(&server);
            *token.write().unwrap() = sign(&kid, &secret, &Claims::of(&video));
            revoke_key(&server, &old);
            let before = played.load(Ordering::SeqCst);
            wait_for("some playing", Duration::from_secs(10), || played.load(Ordering::SeqCst) > before + 20);
            old = kid;
        }
    });
}

/// Runs something at the end of a scope, a panic's included: else the other threads would go on for ever.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn revoking_again_changes_nothing_and_only_ones_own_keys_can_be_revoked() {
    let server = Server::start();
    let (other, _) = server.other_organization();
    let (kid, _) = new_key(&server);
    let path = format!("/signing-keys/{kid}/revoke");
    for verb in ["revoke", "rotate"] {
        let path = format!("/signing-keys/{kid}/{verb}");
        server.admin_as(&other, Method::POST, &path, &Value::Null).expect_code(404, "not_found");
    }
    let unknown = "/signing-keys/00000000-0000-4000-8000-000000000000/revoke";
    server.admin(Method::POST, unknown, &Value::Null).expect_code(404, "not_found");
    let first = server.admin(Method::POST, &path, &Value::Null).expect(200).json();
    assert_eq!(first["status"], "revoked");
    let entries = audit_len(&server);
    let again = server.admin(Method::POST, &path, &Value::Null).expect(200).json();
    assert_eq!(again["revokedAt"], first["revokedAt"]);
    assert_eq!(audit_len(&server), entries);
}

pub fn audit_len(server: &Server) -> usize {
    server.admin(Method::GET, "/audit?limit=100", &Value::Null).json()["items"].as_array().unwrap().len()
}

#[test]
fn a_revoked_key_cannot_be_brought_back() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let kid = server.kid.clone();
    server.playback(&embed, Some(&token)).expect(200);
    revoke_key(&server, &kid);
    let path = format!("/signing-keys/{kid}");
    for (method, path, body) in [
        (Method::PATCH, path.clone(), json!({ "status": "active" })),
        (Method::PUT, path.clone(), json!({ "status": "active" })),
        (Method::DELETE, path.clone(), Value::Null),
        (Method::POST, format!("{path}/activate"), Value::Null),
        (Method::POST, format!("{path}/unrevoke"), Value::Null),
        (Method::DELETE, format!("{path}/revoke"), Value::Null),
        (Method::POST, "/signing-keys".into(), json!({ "id": kid })),
        (Method::POST, format!("{path}/rotate"), Value::Null),
    ] {
        let status = server.admin(method.clone(), &path, &body).status;
        assert!([404, 405, 409, 422].contains(&status), "{method} {path}: {status}");
        server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
    }
    // The last active key is gone: private videos are closed until there is a new one.
    let (fresh, secret) = new_key(&server);
    server.playback(&embed, Some(&sign(&fresh, &secret, &Claims::of(&video)))).expect(200);
    server.kill();
    server.serve();
    server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
    server.playback(&embed, Some(&sign(&fresh, &secret, &Claims::of(&video)))).expect(200);
}

#[test]
fn a_revocation_outlives_a_kill_right_after_its_answer() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    for _ in 0..10 {
        let (kid, secret) = new_key(&server);
        let token = sign(&kid, &secret, &Claims::of(&video));
        let watched = Viewing::with(&server, &embed, &token);
        revoke_key(&server, &kid);
        server.kill();
        server.serve();
        server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
        server.get(&watched.path).expect_code(403, "asset_url_revoked");
        assert_eq!(watched.renew(&server), (403, "session_revoked".into()));
    }
    let good = Viewing::open(&server, &video, &embed);
    server.kill();
    server.serve();
    server.get(&good.path).expect(200);
    assert_eq!(good.renew(&server).0, 200);
}

#[test]
fn an_ended_session_stays_ended_after_a_restart() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let (ended, other) = (Viewing::open(&server, &video, &embed), Viewing::open(&server, &video, &embed));
    let path = format!("/sessions/{}", ended.session());
    server.admin(Method::DELETE, &path, &Value::Null).expect(204);
    server.kill();
    server.serve();
    server.get(&ended.path).expect_code(403, "asset_url_revoked");
    assert_eq!(ended.renew(&server), (403, "session_revoked".into()));
    server.get(&other.path).expect(200);
    assert_eq!(other.renew(&server).0, 200);
}

#[test]
fn two_admins_at_once_leave_one_revocation_and_one_entry() {
    let server = Server::start();
    for _ in 0..20 {
        let (kid, _) = new_key(&server);
        let path = format!("/signing-keys/{kid}/revoke");
        let before = audit_len(&server);
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let calls = [(); 4].map(|()| {
                scope.spawn(|| server.admin(Method::POST, &path, &Value::Null).expect(200).json()["revokedAt"].clone())
            });
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|at| *at == answers[0] && at.is_string()), "{answers:?}");
        assert_eq!(audit_len(&server), before + 1);
    }
}

#[test]
fn a_label_is_kept_as_it_is_or_refused() {
    let server = Server::start();
    for label in ["<script>alert(1)</script>", "\u{1f511} \u{5bc6}\u{94a5}", "a\"b\\c", "&amp;", &"x".repeat(200)] {
        let made = server.admin(Method::POST, "/signing-keys", &json!({ "label": label })).expect(201).json();
        assert_eq!(made["label"], label);
        let listed = server.admin(Method::GET, "/signing-keys?limit=1", &Value::Null).json();
        assert_eq!(listed["items"][0]["label"], label);
    }
    for label in ["a\u{0}b", "a\nb", "\u{1b}[31m", "", "   ", &"x".repeat(201), &"x".repeat(10_000)] {
        let answer = server.admin(Method::POST, "/signing-keys", &json!({ "label": label }));
        answer.expect_code(422, "validation_failed");
    }
}

#[test]
fn a_changed_default_visibility_is_for_later_videos_alone() {
    let server = Server::start();
    let made = |server: &Server| {
        let video = server.admin(Method::POST, "/videos", &json!({ "title": "One" })).expect(201).json();
        (video["id"].as_str().unwrap().to_owned(), video["visibility"].as_str().unwrap().to_owned())
    };
    let (before, visibility) = made(&server);
    assert_eq!(visibility, "public");
    server.admin(Method::PATCH, "/organization", &json!({ "defaultVisibility": "private" })).expect(200);
    assert_eq!(made(&server).1, "private");
    let read = server.admin(Method::GET, &format!("/videos/{before}"), &Value::Null).json();
    assert_eq!(read["visibility"], "public");
}

#[test]
fn a_revoked_publishable_key_opens_nothing_more() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let made = server.admin(Method::POST, "/publishable-keys", &json!({ "label": "site" })).expect(201).json();
    let key = made["key"].as_str().unwrap();
    let call = || {
        let path = format!("/api/v1/embeds/{embed}/playback");
        let answer = server.request(Method::GET, &path).bearer_auth(key).send().unwrap();
        (answer.status().as_u16(), answer.json::<Value>().unwrap()["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(call().0, 200);
    let path = format!("/publishable-keys/{}/revoke", made["id"].as_str().unwrap());
    server.admin(Method::POST, &path, &Value::Null).expect(200);
    assert_eq!(call(), (401, "publishable_key_invalid".into()));
    server.playback(&embed, None).expect(200);
}
