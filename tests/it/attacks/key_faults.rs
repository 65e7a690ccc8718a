//! Group C: revoking while the disk fails, and keys of a clock that was wrong.

use crate::support::{Claims, Options, Server, sign, wait_for};
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// System calls of a running server on one file, failing until this is dropped.
struct Failing(Child);

impl Failing {
    /// `calls` on `file` fail with `error`, in every thread.
    fn begin(server: &Server, file: &Path, calls: &str, error: &str) -> Self {
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-P"])
            .arg(file)
            .args(["-e", &format!("inject={calls}:error={error}"), "-p", &server.pid().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let failing = Self(strace);
        let tasks = PathBuf::from(format!("/proc/{}/task", server.pid()));
        wait_for("strace to hold every thread", Duration::from_secs(20), || {
            std::fs::read_dir(&tasks).unwrap().flatten().all(|task| {
                let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        });
        failing
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // On SIGTERM it lets go; killed otherwise, it would take the server with it.
        crate::support::terminate(self.0.id());
        let _ = self.0.wait();
    }
}

#[test]
fn a_revocation_that_the_disk_does_not_take_is_not_said_to_have_happened() {
    for (row, calls, error) in [
        ("no room", "write,pwrite64,writev,pwritev", "ENOSPC"),
        ("a failing disk", "write,pwrite64,writev,pwritev", "EIO"),
        ("a sync that fails", "fdatasync,fsync", "EIO"),
        ("a sync without room", "fdatasync,fsync", "ENOSPC"),
    ] {
        let mut server = Server::start();
        let (video, embed) = server.video("private");
        let key = server.signing_key();
        let token = sign(&key.kid, &key.secret, &Claims::of(&video));
        let path = format!("/signing-keys/{}/revoke", key.kid);
        let journal = server.state().join("journal");
        assert!(journal.exists());
        let failing = Failing::begin(&server, &journal, calls, error);
        let answer = server.admin(Method::POST, &path, &Value::Null);
        assert!([503, 507].contains(&answer.status), "C15 {row}: {}", answer.text());
        // What was not said to have happened has not happened.
        server.playback(&embed, Some(&token)).expect(200);
        drop(failing);
        server.kill();
        server.serve();
        // Whatever the disk has of it now, list, memory and journal say the same.
        let listed = server.all("signing-keys");
        let listed = listed.iter().find(|other| other["id"] == key.kid.as_str()).unwrap();
        let is_revoked = listed["status"] == "revoked";
        let played = server.playback(&embed, Some(&token));
        assert_eq!(played.status, if is_revoked { 401 } else { 200 }, "C15 {row}: {listed}");
        server.admin(Method::POST, &path, &Value::Null).expect(200);
        server.playback(&embed, Some(&token)).expect_code(401, "playback_token_revoked");
        server.verify();
    }
}

/// Environment of a process whose clock is off by so many seconds.
fn clock(directory: &Path, offset_s: i64) -> Vec<(String, String)> {
    let library = directory.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clock.c");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(made.unwrap().success());
    vec![("LD_PRELOAD".into(), library.to_str().unwrap().to_owned()), ("CLOCK_OFFSET_S".into(), offset_s.to_string())]
}

#[test]
fn a_key_from_the_future_is_a_key_and_stays_revoked_in_the_past() {
    const DAY_S: i64 = 86_400;
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    assert!(server.stop());
    let ahead = clock(server.scratch(), DAY_S);
    server.options = Options { environment: ahead, ..server.options.clone() };
    server.serve();
    let (kept, revoked) = (server.signing_key(), server.signing_key());
    let token = |key: &crate::support::Key| sign(&key.kid, &key.secret, &Claims::of(&video));
    // The clock is a day ahead, indeed.
    server.playback(&embed, Some(&token(&kept))).expect_code(401, "playback_token_expired");
    server.revoke(&revoked.kid);
    assert!(server.stop());
    server.options.environment.clear();
    server.serve();
    server.playback(&embed, Some(&token(&kept))).expect(200);
    server.playback(&embed, Some(&token(&revoked))).expect_code(401, "playback_token_revoked");
    let listed = server.all("signing-keys");
    let status = |kid: &str| listed.iter().find(|key| key["id"] == kid).unwrap()["status"].clone();
    assert_eq!((status(&kept.kid), status(&revoked.kid)), ("active".into(), "revoked".into()));
    server.revoke(&kept.kid);
    server.playback(&embed, Some(&token(&kept))).expect_code(401, "playback_token_revoked");
    server.verify();
}
