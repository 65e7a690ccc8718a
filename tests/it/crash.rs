//! kill -9 at any moment: what was answered is there after the restart, and every restart succeeds.
//!
//! `SCREENER_CRASHES` says how often (100 unless set), `SCREENER_SEED` which random moments. A kill leaves the page
//! cache in place, so this says nothing of power cuts: those are `tests/faults/power-cut`.

use crate::support::{Claims, Dice, Server, files_below, kill_now, packaged, progressive_uri, sign, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SOURCE: &[u8] = include_bytes!("../fixtures/h264_aac.mp4");
const OTHER_SOURCE: &[u8] = include_bytes!("../fixtures/moov_last.mp4");

fn crashes() -> usize {
    std::env::var("SCREENER_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(100)
}

/// How long starts took.
#[derive(Default)]
struct Starts(Vec<Duration>);

impl Starts {
    fn serve(&mut self, server: &mut Server) {
        let began = Instant::now();
        server.serve();
        self.0.push(began.elapsed());
    }

    fn print(mut self, what: &str) {
        self.0.sort();
        let p99 = self.0[(self.0.len() * 99).div_ceil(100) - 1];
        println!("{what}: {} starts, ready after {p99:?} (p99)", self.0.len());
    }
}

#[test]
fn a_key_revoked_before_a_kill_is_revoked_after_the_restart() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let (mut starts, mut revoked) = (Starts::default(), Vec::new());
    for round in 0..crashes() {
        let key = server.admin(Method::POST, "/signing-keys", &json!({ "label": format!("{round}") })).expect(201);
        let key = key.json();
        let id = key["id"].as_str().unwrap().to_owned();
        let token = sign(&id, key["secret"].as_str().unwrap(), &Claims::of(&video));
        server.playback(&embed, Some(&token)).expect(200);
        server.admin(Method::POST, &format!("/signing-keys/{id}/revoke"), &json!({})).expect(200);
        server.kill();
        starts.serve(&mut server);
        server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
        server.playback(&embed, Some(&server.token(&video))).expect(200);
        revoked.push(id);
    }
    let keys = server.all("signing-keys");
    for id in &revoked {
        let key = keys.iter().find(|key| key["id"] == **id).unwrap_or_else(|| panic!("{id} is forgotten"));
        assert_eq!(key["status"], "revoked", "{key}");
    }
    assert_eq!(keys.len(), revoked.len() + 1);
    server.verify();
    starts.print("revoke and kill");
}

#[test]
fn a_publishable_and_a_private_key_revoked_before_a_kill_stay_revoked() {
    let mut server = Server::start();
    let (_, embed) = server.video("public");
    let publishable = server.admin(Method::POST, "/publishable-keys", &Value::Null).expect(201).json();
    let private = server.admin(Method::POST, "/private-keys", &Value::Null).expect(201).json();
    let play = |server: &Server| {
        let path = format!("/api/v1/embeds/{embed}/playback");
        let request = server.request(Method::GET, &path).bearer_auth(publishable["key"].as_str().unwrap());
        crate::support::Reply::read(request.send().unwrap())
    };
    let look =
        |server: &Server| server.admin_as(private["key"].as_str().unwrap(), Method::GET, "/organization", &Value::Null);
    play(&server).expect(200);
    look(&server).expect(200);
    for (list, key) in [("publishable-keys", &publishable), ("private-keys", &private)] {
        let path = format!("/{list}/{}/revoke", key["id"].as_str().unwrap());
        server.admin(Method::POST, &path, &json!({})).expect(200);
    }
    server.kill();
    server.serve();
    play(&server).expect_code(401, "publishable_key_invalid");
    look(&server).expect(401);
    server.playback(&embed, None).expect(200);
}

/// What the server promised by answering, and what it may have done besides.
enum Promise {
    /// A key exists; whether it is revoked, unless a revocation was under way.
    Key { id: String, token: String, revoked: Option<bool> },
    /// A member of a video has the first value, or the second, which was under way.
    Member { video: String, member: &'static str, acknowledged: String, under_way: Option<String> },
    /// A video has this source.
    Plays { embed: String, source: &'static [u8] },
}

impl Promise {
    fn check(&self, server: &Server, embed_of_tokens: &str) {
        match self {
            Self::Key { token, revoked, .. } => {
                let answer = server.playback(embed_of_tokens, Some(token));
                match (revoked, answer.status) {
                    (Some(false), 200) | (None, 200 | 401) => {}
                    (Some(true) | None, _) => drop(answer.expect_code(401, "playback_token_revoked")),
                    (Some(false), _) => drop(answer.expect(200)),
                }
            }
            Self::Member { video, member, acknowledged, under_way } => {
                let found = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
                let value = found[member].as_str().unwrap();
                let is_fine = value == acknowledged || under_way.as_deref() == Some(value);
                assert!(is_fine, "{member} is {value}; {acknowledged} was answered, {under_way:?} was under way");
                assert!(found["embedId"].is_string(), "half of a video is there: {found}");
            }
            Self::Plays { embed, source } => {
                let answer = server.playback(embed, None).expect(200).json();
                let bytes = server.get(progressive_uri(&answer)).expect(200);
                assert_eq!(bytes.body, packaged(source));
            }
        }
    }
}

/// One of the writers of a round: writes until the server is gone, and answers what it was promised.
struct Writer<'a> {
    server: &'a Server,
    acknowledged: &'a AtomicUsize,
    gone: &'a AtomicBool,
}

impl Writer<'_> {
    /// The answer's JSON, counted; `None` once the server is gone.
    fn write(&self, method: Method, path: &str, body: &Value) -> Option<Value> {
        let reply = self.server.try_admin(method, path, body)?;
        assert!((200..300).contains(&reply.status), "{path}: {}", reply.text());
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        Some(reply.json())
    }

    fn is_over(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    fn keys(&self, video: &str) -> Vec<Promise> {
        let mut promises = Vec::new();
        while !self.is_over() {
            let Some(key) = self.write(Method::POST, "/signing-keys", &Value::Null) else { break };
            let id = key["id"].as_str().unwrap().to_owned();
            let token = sign(&id, key["secret"].as_str().unwrap(), &Claims::of(video));
            let mut revoked = Some(false);
            if promises.len() % 2 == 0 {
                let answer = self.write(Method::POST, &format!("/signing-keys/{id}/revoke"), &json!({}));
                revoked = answer.map(|_| true);
            }
            promises.push(Promise::Key { id, token, revoked });
        }
        promises
    }

    /// Gives one member of a video one value after another.
    fn member(&self, video: &str, member: &'static str, value: impl Fn(usize) -> String) -> Vec<Promise> {
        let mut promise = (value(0), None);
        for step in 1.. {
            let next = value(step);
            match self.write(Method::PATCH, &format!("/videos/{video}"), &json!({ member: next })) {
                Some(_) => promise.0 = next,
                None => {
                    promise.1 = Some(next);
                    break;
                }
            }
        }
        let (acknowledged, under_way) = promise;
        vec![Promise::Member { video: video.to_owned(), member, acknowledged, under_way }]
    }

    fn uploads(&self) -> Vec<Promise> {
        let mut promises = Vec::new();
        while !self.is_over() {
            let body = json!({ "title": "Upload", "visibility": "public" });
            let Some(video) = self.write(Method::POST, "/videos", &body) else { break };
            let source = if promises.len() % 2 == 0 { SOURCE } else { OTHER_SOURCE };
            let Some(reply) = self.server.try_upload(video["id"].as_str().unwrap(), source) else { break };
            reply.expect(200);
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
            promises.push(Promise::Plays { embed: video["embedId"].as_str().unwrap().to_owned(), source });
        }
        promises
    }
}

#[test]
fn what_concurrent_writers_were_answered_is_there_after_a_kill_at_any_moment() {
    let mut dice = Dice::seeded("kills among writers");
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let videos: Vec<String> = (0..4).map(|_| server.pending_video("public").0).collect();
    let (mut starts, mut all) = (Starts::default(), Vec::new());
    for _ in 0..crashes().div_ceil(5) {
        let (acknowledged, gone) = (AtomicUsize::new(0), AtomicBool::new(false));
        let kill_at = usize::try_from(dice.below(60)).unwrap();
        let spins = dice.below(200_000);
        let word = |step: usize| ["public", "private"][step % 2].to_owned();
        // The first value of each member is what it has: a round goes on where the last one ended.
        let now = |video: &String, member: &str| {
            let found = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
            found[member].as_str().unwrap().to_owned()
        };
        let titles: Vec<String> = videos.iter().map(|video| now(video, "title")).collect();
        let visible = usize::from(now(&videos[0], "visibility") == "private");
        let writer = Writer { server: &server, acknowledged: &acknowledged, gone: &gone };
        let promises: Vec<Promise> = std::thread::scope(|scope| {
            let rename = |at: usize| {
                let (writer, video, first) = (&writer, &videos[at], titles[at].clone());
                move || {
                    writer.member(
                        video,
                        "title",
                        |step| if step == 0 { first.clone() } else { format!("{first}{step}") },
                    )
                }
            };
            let (first, video, writer) = (&videos[0], &video, &writer);
            let mut running = vec![
                scope.spawn(move || writer.keys(video)),
                scope.spawn(move || writer.member(first, "visibility", |step| word(visible + step))),
                scope.spawn(move || writer.uploads()),
            ];
            running.extend((1..videos.len()).map(|at| scope.spawn(rename(at))));
            wait_for("the writers write", Duration::from_secs(60), || acknowledged.load(Ordering::SeqCst) >= kill_at);
            (0..spins).for_each(|_| std::hint::spin_loop());
            kill_now(server.pid());
            gone.store(true, Ordering::SeqCst);
            running.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        server.kill();
        server.verify();
        starts.serve(&mut server);
        for promise in &promises {
            promise.check(&server, &embed);
        }
        // Titles grow: begin anew before they reach the limit.
        for video in &videos[1..] {
            server.admin(Method::PATCH, &format!("/videos/{video}"), &json!({ "title": "A" })).expect(200);
        }
        all.extend(promises.into_iter().filter(|promise| !matches!(promise, Promise::Member { .. })));
    }
    all.iter().for_each(|promise| promise.check(&server, &embed));
    let keys = server.all("signing-keys");
    for promise in &all {
        let Promise::Key { id, revoked, .. } = promise else { continue };
        let key = keys.iter().find(|key| key["id"] == **id).unwrap_or_else(|| panic!("{id} is forgotten"));
        if let Some(revoked) = revoked {
            assert_eq!(key["status"] == "revoked", *revoked, "{key}");
        }
    }
    server.verify();
    println!("{} promises kept", all.len());
    starts.print("kills among writers");
}

/// A body that is handed out as a test says.
struct SlowBody {
    pieces: mpsc::Receiver<Vec<u8>>,
    piece: std::io::Cursor<Vec<u8>>,
}

impl Read for SlowBody {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.piece.position() == self.piece.get_ref().len() as u64 {
            self.piece = std::io::Cursor::new(self.pieces.recv().unwrap_or_default());
        }
        self.piece.read(buffer)
    }
}

#[test]
fn an_upload_cut_off_by_a_kill_leaves_nothing_and_can_be_sent_again() {
    let mut server = Server::start();
    let (video, embed) = server.pending_video("public");
    let incoming = server.state().join("incoming");
    let (sender, pieces) = mpsc::channel();
    let body = SlowBody { pieces, piece: std::io::Cursor::default() };
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| server.try_upload(&video, reqwest::blocking::Body::new(body)).is_none());
        // Over one step, so that some of it has reached the disk.
        for piece in SOURCE.chunks(4096).cycle().take(400) {
            sender.send(piece.to_vec()).unwrap();
        }
        wait_for("some of the upload is on disk", Duration::from_secs(30), || {
            files_below(&incoming).iter().any(|file| file.metadata().is_ok_and(|file| file.len() > 0))
        });
        kill_now(server.pid());
        drop(sender);
        assert!(upload.join().unwrap(), "an upload was answered by a killed server");
    });
    server.kill();
    assert_eq!(files_below(&incoming).len(), 1, "the kill came in the midst of it");
    server.serve();
    assert_eq!(files_below(&incoming).len(), 0);
    assert_eq!(files_below(&server.state().join("media")).len(), 0);
    server.playback(&embed, None).expect_code(409, "video_not_ready");
    server.upload(&video, SOURCE).expect(200);
    server.playback(&embed, None).expect(200);
    server.verify();
}

#[test]
fn a_source_replaced_before_a_kill_is_the_new_one_and_the_old_file_is_gone() {
    let mut server = Server::start();
    let (video, embed) = server.video("public");
    server.upload(&video, OTHER_SOURCE).expect(200);
    server.kill();
    server.serve();
    Promise::Plays { embed, source: OTHER_SOURCE }.check(&server, "");
    assert_eq!(files_below(&server.state().join("media")).len(), 3);
    server.verify();
}
