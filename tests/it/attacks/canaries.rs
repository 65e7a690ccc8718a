//! Secrets that are looked for wherever they must not stand (R20).

use crate::support::routes::FILE_NAME;
use crate::support::{Exchange, Server, Wire, files_below};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use std::io::ErrorKind;

/// What is looked for, by name.
type Canary = (&'static str, Vec<u8>);

/// Everything that is looked for.
pub struct Canaries {
    /// What nobody is told, and no file but one holds.
    secrets: Vec<Canary>,
    /// What operators are told, and their records hold.
    names: Vec<Canary>,
}

/// Lines of the log that are searched at least.
const LOG_LINES: usize = 10_000;

impl Canaries {
    /// The secrets of a server, a viewer token and the MAC of an asset's URL.
    pub fn of(server: &Server, token: &str, asset: &str) -> Self {
        let body = |key: &str| key.splitn(3, '_').last().unwrap().as_bytes().to_vec();
        let master = std::fs::read_to_string(server.state().join("master.key")).unwrap();
        let after_the_last_dot = |text: &str| text.rsplit('.').next().unwrap().as_bytes().to_vec();
        let grant = asset.split('/').nth(3).unwrap();
        let master_bytes = (0..32).map(|at| u8::from_str_radix(&master[2 * at..2 * at + 2], 16).unwrap()).collect();
        let secrets = vec![
            ("the admin key", body(&server.private_key)),
            ("the signing secret", body(&server.secret)),
            ("the master key", master.trim_end().as_bytes().to_vec()),
            ("the master key's bytes", master_bytes),
            ("a viewer token", after_the_last_dot(token)),
            ("an asset URL's MAC", after_the_last_dot(grant)),
        ];
        assert!(secrets.iter().all(|(_, canary)| canary.len() >= 32), "a canary too short to be told from chance");
        let name = FILE_NAME.trim_end_matches(".mp4");
        let names = vec![
            ("an upload's name", name.as_bytes().to_vec()),
            ("an upload's name in base64", BASE64_STANDARD.encode(&name[..18]).into_bytes()),
        ];
        Self { secrets, names }
    }

    /// Looks through one answer, headers and body.
    pub fn assert_absent_from_answer(&self, what: &str, answer: &Exchange, is_operators: bool) {
        let mut told: Vec<u8> = answer.body.clone();
        for (name, value) in &answer.head.headers {
            told.extend_from_slice(format!("\n{name}: {value}").as_bytes());
        }
        let found = found_in(&told, &self.secrets);
        let found = found.or_else(|| if is_operators { None } else { found_in(&told, &self.names) });
        assert_eq!(found, None, "in the answer to {what}");
    }

    fn assert_absent(&self, what: &str, bytes: &[u8]) {
        assert_eq!(found_in(bytes, &self.secrets).or_else(|| found_in(bytes, &self.names)), None, "in {what}");
    }

    /// Looks through the log, once it is long enough, the state directory, a backup, and what the system tells of the
    /// process. `answers` is how many were looked through before.
    pub fn search_everywhere_else(&self, server: &Server, answers: usize) {
        let misplaced = self.misplace(server);
        let log = server.log_text();
        for line in log.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no event: {line}"));
            assert!(line.len() < 1_000 && event["message"].is_string(), "{line}");
        }
        let lines = log.lines().count();
        self.assert_absent("the log", log.as_bytes());
        let backup = server.scratch().join("backup");
        server.verb(&["backup", "create", backup.to_str().unwrap()]).expect(0);
        let mut files = 0;
        for file in [server.state(), backup].iter().flat_map(|directory| files_below(directory)) {
            let found = found_in(&std::fs::read(&file).unwrap(), &self.secrets);
            let may = if file.ends_with("master.key") { Some("the master key") } else { None };
            assert_eq!(found, may, "in {}", file.display());
            files += 1;
        }
        for name in ["cmdline", "environ", "status", "comm"] {
            let path = format!("/proc/{}/{name}", server.pid());
            match std::fs::read(&path) {
                Ok(told) => self.assert_absent(&path, &told),
                Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{path}: {error}"),
            }
        }
        println!(
            "R20 PASS secrets={} answers={} log_lines={lines} files={files} hits=0; an upload's name: hits=0 but in its own records",
            self.secrets.len(),
            answers + misplaced
        );
    }

    /// Sends the secrets where they don't belong until the log is long enough; how many requests that took.
    fn misplace(&self, server: &Server) -> usize {
        let mut wire = Wire::connect(server);
        let text = |(_, canary): &Canary| String::from_utf8_lossy(canary).into_owned();
        let long = "x".repeat(10_000);
        let mut sent = 0;
        while server.log_text().lines().count() < LOG_LINES || sent < 1_000 {
            for canary in self.secrets.iter().map(text) {
                let referer = format!("https://acme.com/{canary}");
                for (method, target, headers) in [
                    ("GET", format!("/embed/{canary}?token={canary}"), vec![]),
                    (
                        "GET",
                        format!("/api/v1/embeds/{canary}/playback?token={canary}"),
                        vec![("X-API-Key", canary.as_str())],
                    ),
                    ("GET", format!("/admin/v1/videos?key={canary}"), vec![("Authorization", canary.as_str())]),
                    ("GET", format!("/media/{canary}/p1.{canary}/master.m3u8"), vec![]),
                    (
                        "GET",
                        "/healthz".to_owned(),
                        vec![("Referer", referer.as_str()), ("User-Agent", canary.as_str())],
                    ),
                    ("GET", "/dashboard/videos".to_owned(), vec![("Cookie", canary.as_str())]),
                    ("GET", "/readyz".to_owned(), vec![("User-Agent", long.as_str()), ("Accept", canary.as_str())]),
                    ("GET", format!("/{canary}%0a%1b%5b31m"), vec![("X-Request-Id", canary.as_str())]),
                    // A method is any word.
                    (canary.as_str(), "/healthz".to_owned(), vec![("User-Agent", "\u{2028}")]),
                    ("GET", "/healthz".to_owned(), vec![("User-Agent", "\u{1b}[31m")]),
                    (long.as_str(), "/healthz".to_owned(), vec![]),
                ] {
                    // A connection is kept for some seconds, and closed after what is no request.
                    let answer = wire.try_exchange(method, &target, &headers).unwrap_or_else(|_| {
                        wire = Wire::connect(server);
                        wire.exchange(method, &target, &headers)
                    });
                    self.assert_absent_from_answer(&target, &answer, false);
                    sent += 1;
                }
            }
        }
        sent
    }
}

fn found_in(bytes: &[u8], canaries: &[Canary]) -> Option<&'static str> {
    let holds = |canary: &[u8]| bytes.windows(canary.len()).any(|window| window == canary);
    canaries.iter().find(|(_, canary)| holds(canary)).map(|(name, _)| *name)
}

#[test]
fn a_search_for_secrets_finds_what_is_there() {
    let canaries = vec![("one", b"needle".to_vec()), ("another", b"pin".to_vec())];
    assert_eq!(found_in(b"hay needle hay", &canaries), Some("one"));
    assert_eq!(found_in(b"pinned", &canaries), Some("another"));
    assert_eq!(found_in(b"needl", &canaries), None);
}
