//! The state directory as a place: made whole or not at all, one process's alone, and refused with the way out where
//! something else lies in it or the server may not use it. What `state.rs` damages are the records.

use crate::support::{Ran, Server, kill_now, run, wait_for};
use reqwest::Method;
use serde_json::Value;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The longest that a start may take here, to serve or to refuse.
const START: Duration = Duration::from_secs(20);
/// Whom a test that root runs starts the server as, since root may read whatever a file's mode says.
const NOBODY: u32 = 65534;

/// A configuration in a directory of its own, and a state directory that is not there yet.
struct Place {
    directory: tempfile::TempDir,
    config: String,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (state, config) = (directory.path().join("state"), directory.path().join("config.toml"));
        std::fs::write(&config, format!("[server]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = {state:?}\n")).unwrap();
        let config = config.to_str().unwrap().to_owned();
        Self { directory, config }
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn verb(&self, arguments: &[&str]) -> Ran {
        run(&[arguments, &["--config", &self.config]].concat())
    }

    /// `init` that is killed when it writes more than `blocks` of 512 bytes to a file; whether it was.
    fn init_killed_at(&self, blocks: u32) -> bool {
        let script = format!("ulimit -f {blocks}; exec \"$0\" init --config \"$1\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_screener"), &self.config]);
        !shell.output().unwrap().status.success()
    }

    fn start(&self) -> Start {
        Start::of(Command::new(env!("CARGO_BIN_EXE_screener")).args(["serve", "--config", &self.config]))
    }

    /// Serves until the organizations were told: how many there are.
    fn organizations(&self) -> usize {
        let _start = self.start();
        let list = || self.verb(&["organization", "list", "--json"]);
        wait_for("the server", START, || list().code == 0);
        list().json()["items"].as_array().unwrap().len()
    }
}

/// A start that may go either way.
struct Start(Child);

impl Start {
    fn of(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// What it says when it ends without having served.
    #[track_caller]
    fn refusal(mut self) -> String {
        let mut ended = None;
        wait_for("the refusal", START, || {
            ended = self.0.try_wait().unwrap();
            ended.is_some()
        });
        assert!(!ended.unwrap().success());
        std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap()
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            kill_now(self.0.id());
            let _ = self.0.wait();
        }
    }
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.unwrap();
}

#[test]
fn an_init_that_was_killed_is_run_again_and_nothing_serves_before() {
    let mut killed = 0;
    for blocks in [0, 1, 3, 1 << 20] {
        let place = Place::new();
        if place.init_killed_at(blocks) {
            killed += 1;
            let said = place.start().refusal();
            assert!(said.contains("is not whole") && said.contains("Run that again"), "{blocks}: {said}");
            place.verb(&["init", "--json"]).expect(0);
        }
        assert_eq!(place.organizations(), 1, "{blocks}");
    }
    assert_eq!(killed, 3, "the last has all the room it needs");
}

#[test]
fn an_init_that_was_killed_at_its_very_end_is_run_again_and_leaves_one_organization() {
    let place = Place::new();
    place.verb(&["init"]).expect(0);
    let key = std::fs::read(place.state().join("master.key")).unwrap();
    // What comes last of all had not happened; nor had anybody seen the keys.
    std::fs::rename(place.state().join("format"), place.state().join("format.unfinished")).unwrap();
    place.verb(&["init"]).expect(0);
    assert_eq!(std::fs::read(place.state().join("master.key")).unwrap(), key, "a master key was written over");
    assert_eq!(place.organizations(), 1);
    // The twin: from there on `init` says how to go on.
    let said = place.verb(&["init"]).expect(1).errors;
    assert!(said.contains("exists already") && said.contains("screener organization create"), "{said}");
}

#[test]
fn deleting_the_lock_lets_no_second_process_in() {
    let mut server = Server::start();
    std::fs::remove_file(server.state().join("lock")).unwrap();
    let config = server.config();
    let serve = || Start::of(Command::new(env!("CARGO_BIN_EXE_screener")).arg("serve").arg("--config").arg(&config));
    let said = serve().refusal();
    assert!(said.contains("is in use by another screener process"), "{said}");
    server.verb(&["status"]).expect(0);
    assert!(server.stop());
    server.serve();
}

#[test]
fn what_is_no_file_in_a_files_place_is_refused_at_once_with_the_way_out() {
    let mut server = Server::start();
    assert!(server.stop());
    type Put = fn(&Path);
    let (fifo, directory): (Put, Put) = (make_fifo, |path| std::fs::create_dir(path).unwrap());
    let endless: Put = |path| symlink("/dev/zero", path).unwrap();
    for (name, put) in [
        ("format", fifo),
        ("format", endless),
        ("format", directory),
        ("master.key", fifo),
        ("master.key", directory),
        ("lock", fifo),
        ("lock", endless),
        ("lock", directory),
        ("journal", directory),
    ] {
        let (path, kept) = (server.state().join(name), server.scratch().join("kept"));
        std::fs::rename(&path, &kept).unwrap();
        put(&path);
        if name == "master.key" {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let log = server.try_serve().expect_err(name);
        // The key's file is looked at with the configuration, which names it.
        let says_how = ["away, or put the", "is not a file; name one"].iter().any(|way_out| log.contains(way_out));
        assert!(log.contains(path.to_str().unwrap()) && says_how, "{name}: {log}");
        remove(&path);
        std::fs::rename(&kept, &path).unwrap();
    }
    for name in ["media", "incoming", "uploads"] {
        let (path, kept) = (server.state().join(name), server.scratch().join("kept"));
        std::fs::rename(&path, &kept).unwrap();
        std::fs::write(&path, "in the way").unwrap();
        let log = server.try_serve().expect_err(name);
        assert!(log.contains(path.to_str().unwrap()) && log.contains("put it back, or move the file away"), "{log}");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&kept, &path).unwrap();
    }
    server.serve();
}

#[test]
fn a_note_of_the_last_backup_that_never_ends_holds_nobody_up() {
    let server = Server::start();
    let note = server.state().join("last-backup");
    let last_backup = || server.admin(Method::GET, "/system", &Value::Null).expect(200).json()["lastBackupAt"].clone();
    make_fifo(&note);
    assert_eq!(last_backup(), Value::Null);
    remove(&note);
    symlink("/dev/zero", &note).unwrap();
    assert_eq!(last_backup(), Value::Null);
    // The twin, over what lies there; nobody waits at what lies in the way of it.
    make_fifo(&server.state().join("last-backup.unfinished"));
    server.verb(&["backup", "create", server.scratch().join("backup").to_str().unwrap()]).expect(0);
    assert!(last_backup().is_string());
}

#[test]
fn a_reserve_that_is_no_file_holds_no_change_up() {
    let mut server = Server::start();
    assert!(server.stop());
    let reserve = server.state().join("reserve");
    let _ = std::fs::remove_file(&reserve);
    make_fifo(&reserve);
    server.serve();
    server.video("public");
    wait_for("another reserve", START, || reserve.metadata().is_ok_and(|found| found.is_file()));
}

#[test]
fn bytes_that_are_no_text_are_refused_as_no_format_and_no_master_key() {
    let mut server = Server::start();
    assert!(server.stop());
    for (name, words) in [("format", "was written by another version"), ("master.key", "does not hold a master key")] {
        let path = server.state().join(name);
        let right = std::fs::read(&path).unwrap();
        std::fs::write(&path, [0xff; 64]).unwrap();
        let log = server.try_serve().expect_err(name);
        assert!(log.contains(words) && log.contains(server.state().to_str().unwrap()), "{log}");
        std::fs::write(&path, right).unwrap();
    }
    server.serve();
}

#[test]
fn a_socket_in_whose_place_a_directory_lies_is_named_with_the_way_out() {
    let mut server = Server::start();
    assert!(server.stop());
    let socket = server.state().join("admin.sock");
    std::fs::create_dir(&socket).unwrap();
    let log = server.try_serve().expect_err("a directory as the socket");
    assert!(log.contains(socket.to_str().unwrap()) && log.contains("move the directory away"), "{log}");
    std::fs::remove_dir(&socket).unwrap();
    server.serve();
}

#[test]
fn what_the_server_may_not_use_is_named_with_its_owner_and_the_way_out() {
    let place = Place::new();
    place.verb(&["init"]).expect(0);
    let is_root = rustix::process::geteuid().is_root();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_screener"));
        command.args(["serve", "--config", &place.config]);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        Start::of(&mut command)
    };
    if is_root {
        std::fs::set_permissions(place.directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let owned = Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(place.state()).status();
        assert!(owned.unwrap().success());
    }
    for name in ["", "format", "master.key", "lock", "journal", "media", "incoming", "uploads"] {
        let path = if name.is_empty() { place.state() } else { place.state().join(name) };
        let right = path.metadata().unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
        let said = start().refusal();
        let way_out = format!("chmod u+rwX {}", path.display());
        // What the configuration names is looked at with it.
        let is_told = said.contains(&way_out) || said.contains("give the user that runs the server access");
        assert!(is_told && said.contains(path.to_str().unwrap()), "{name}: {said}");
        std::fs::set_permissions(&path, right).unwrap();
        // Only root can give it to somebody else.
        if is_root {
            chown(&path, Some(0), Some(0)).unwrap();
            let said = start().refusal();
            let way_out =
                format!("{0} belongs to user 0, and this runs as user {NOBODY}: chown -R {NOBODY} {0}", path.display());
            let is_told = said.contains(&way_out) || said.contains("give the user that runs the server access");
            assert!(is_told && said.contains(path.to_str().unwrap()), "{name}: {said}");
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let mut right = start();
    wait_for("the server", START, || place.verb(&["status"]).code == 0);
    assert!(right.0.try_wait().unwrap().is_none());
}

#[test]
fn a_damaged_certificate_of_our_own_is_set_aside_and_made_anew() {
    let mut server = Server::start();
    let tls = server.state().join("tls");
    let authority = std::fs::read(server.ca()).unwrap();
    assert!(server.stop());
    server.serve();
    assert_eq!(std::fs::read(server.ca()).unwrap(), authority, "undamaged, it was made anew");
    type Damage = fn(&Path);
    // Another letter in the midst of the base64: certificates are still read, and their signatures wrong.
    let change: Damage = |path| {
        let mut bytes = std::fs::read(path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        std::fs::write(path, bytes).unwrap();
    };
    let empty: Damage = |path| std::fs::write(path, "").unwrap();
    let fifo: Damage = |path| {
        remove(path);
        make_fifo(path);
    };
    let directory: Damage = |path| {
        remove(path);
        std::fs::create_dir(path).unwrap();
    };
    let damages = [
        ("certificate.pem", change),
        ("certificate.pem", fifo),
        ("key.pem", change),
        ("key.pem", empty),
        ("ca.pem", change),
        ("ca.pem", directory),
        ("names", directory),
    ];
    for (number, (name, damage)) in damages.into_iter().enumerate() {
        assert!(server.stop());
        damage(&tls.join(name));
        server.serve();
        // Its client trusts the authority that lies there now, and nobody else.
        server.admin(Method::GET, "/organization", &Value::Null).expect(200);
        assert!(tls.with_extension(format!("set-aside-{}", number + 1)).exists(), "{name}");
    }
    assert!(server.log_text().contains("whoever trusted ca.pem has to trust the new one"));
}
