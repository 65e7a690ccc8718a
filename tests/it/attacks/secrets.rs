//! Who can look into the server from the machine it runs on, and what is left of a secret in its memory (F26–F29).

use crate::support::{Exchange, FIXTURE, Options, Server, Wire, kill_now, wait_for};
use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, kill_process, prlimit};
use serde_json::{Value, json};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What takes a superuser's capabilities from the program named after it.
const WITHOUT_CAPABILITIES: [&str; 3] = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];

/// A program with this test's user and none of a superuser's capabilities: what another service of the same user is.
fn without_capabilities(program: &str) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new(WITHOUT_CAPABILITIES[0]);
    command.args(&WITHOUT_CAPABILITIES[1..]).arg(program);
    command
}

fn can_read(path: &str) -> bool {
    let read = without_capabilities("cat").arg(path).stdout(Stdio::null()).stderr(Stdio::null()).status();
    read.unwrap().success()
}

#[test]
fn whoever_runs_as_the_same_user_can_not_look_into_the_server() {
    let under = if geteuid().is_root() { WITHOUT_CAPABILITIES.to_vec() } else { Vec::new() };
    let server = Server::with(Options { under, ..Options::default() });
    // What a debugger, gcore and strace need; each asks the kernel the same (ptrace(2), access mode checking).
    for name in ["environ", "mem", "maps", "auxv"] {
        let path = format!("/proc/{}/{name}", server.pid());
        assert!(!can_read(&path), "{path} can be read");
    }
    // The twin: any other process of the same user, as soon as it has given up its capabilities.
    let mut other = without_capabilities("sleep").arg("600").spawn().unwrap();
    let environ = format!("/proc/{}/environ", other.id());
    wait_for("another process to be looked into", Duration::from_secs(20), || can_read(&environ));
    kill_now(other.id());
    other.wait().unwrap();
    server.get("/readyz").expect(200);
}

#[test]
fn the_server_leaves_no_core_file() {
    let mut server = Server::start();
    let pid = Pid::from_raw(server.pid().cast_signed()).unwrap();
    let hard = rustix::process::getrlimit(Resource::Core).maximum;
    prlimit(Some(pid), Resource::Core, Rlimit { current: hard, maximum: hard }).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    let status = server.ended();
    assert_eq!((status.signal(), status.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
    server.serve();
}

#[test]
fn everything_below_the_state_directory_is_for_its_owner_alone() {
    fn look(directory: &Path, seen: &mut usize) {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let metadata = entry.metadata().unwrap();
            let mode = metadata.permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is open to others ({mode:o})", entry.path().display());
            *seen += 1;
            if metadata.is_dir() {
                look(&entry.path(), seen);
            }
        }
    }
    let server = Server::start();
    let (video, _) = server.video("private");
    let upload = server.request(reqwest::Method::POST, "/admin/v1/uploads").bearer_auth(&server.private_key);
    let upload = upload
        .header("tus-resumable", "1.0.0")
        .header("upload-length", "1000")
        .header("upload-metadata", "title VA==")
        .send()
        .unwrap();
    assert_eq!(upload.status(), 201);
    server.upload(&video, FIXTURE).expect(200);
    server.verb(&["backup", "create", server.scratch().join("backup").to_str().unwrap()]).expect(0);
    let mut seen = 0;
    look(&server.state(), &mut seen);
    look(&server.scratch().join("backup"), &mut seen);
    assert!(seen > 15, "only {seen} files and directories were seen");
    let socket = std::fs::metadata(server.state().join("admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}

/// How often each of these stands in the memory that a process can write to; `None` where that can't be read.
fn copies(pid: u32, needles: &[Vec<u8>]) -> Option<Vec<usize>> {
    let refused = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(refused).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).map_err(refused).ok()?;
    let mut counts = vec![0; needles.len()];
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|access| access.starts_with("rw"))) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut bytes, from).is_err() {
            // Given back since.
            continue;
        }
        for (needle, count) in needles.iter().zip(&mut counts) {
            *count += bytes.windows(needle.len()).filter(|window| window == needle).count();
        }
    }
    Some(counts)
}

fn call(server: &Server, method: &str, path: &str, key: &str, headers: &[(&str, &str)], body: &str) -> Exchange {
    let bearer = format!("Bearer {key}");
    let mut all = vec![("Authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    if !body.is_empty() {
        all.push(("Content-Type", "application/json"));
    }
    // A connection of its own: what is in a buffer goes with it.
    let answer = Wire::connect(server).try_exchange_with(method, path, &all, body.as_bytes()).unwrap();
    assert!(answer.status() < 300, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer
}

#[test]
fn a_secret_that_was_made_and_used_is_wiped_from_memory() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let made = |path: &str, name: &str| {
        let answer = call(&server, "POST", &format!("/admin/v1{path}"), &server.private_key, &[], "{}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (body["id"].as_str().unwrap().to_owned(), body[name].as_str().unwrap().to_owned())
    };
    let (kid, secret) = made("/signing-keys", "secret");
    let (_, key) = made("/private-keys", "key");
    // Both are used: a token is verified, and a call is made.
    let token = crate::support::sign(&kid, &secret, &crate::support::Claims::of(&video));
    let path = format!("/api/v1/embeds/{embed}/playback");
    call(&server, "GET", &path, &server.publishable_key, &[("x-moviie-playback-token", &token)], "");
    call(&server, "PATCH", "/admin/v1/organization", &key, &[], &json!({ "name": "Acme" }).to_string());
    // Of what HTTP heads were read, a thread keeps the last until its next.
    for _ in 0..64 {
        call(&server, "GET", "/healthz", "nobody", &[], "");
    }
    let master = std::fs::read_to_string(server.state().join("master.key")).unwrap();
    let bytes = (0..32).map(|at| u8::from_str_radix(&master[2 * at..2 * at + 2], 16).unwrap());
    // The middle of each: of what is freed, an allocator overwrites the beginning.
    let middle = |text: &str| text.as_bytes()[16..].to_vec();
    let needles = [middle(&secret), middle(&key), middle(master.trim_end()), bytes.collect()];
    let mut found = None;
    wait_for("what was freed to be wiped", Duration::from_secs(10), || {
        found = copies(server.pid(), &needles);
        // The master key itself is in use: it is the first part of the cipher's key schedule (FIPS 197 §5.2).
        found.as_ref().is_none_or(|found| found[..3] == [0; 3] && found[3] <= 1)
    });
    match found {
        Some(found) => println!(
            "F29 copies in memory: signing secret {}, private key {}, master key as text {}, master key {}",
            found[0], found[1], found[2], found[3]
        ),
        None => println!("F29 the memory can't be read by this user"),
    }
    // The search finds what is there: the name that an organization has just got.
    let name = copies(server.pid(), &[b"Acme".to_vec()]);
    assert!(name.is_none_or(|found| found[0] > 0));
}
