//! What a server refuses to start with: each by name, with the exit code that says whether trying again is of any use.

use crate::support::{configured, copy_directory, run, run_with, write_closed};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Both verbs refuse this configuration with 78 and all of these words.
#[track_caller]
fn both_refuse(config: &str, environment: &[(&str, &str)], words: &[&str]) {
    for verb in ["check-config", "serve"] {
        let said = run_with(&[verb, "--config", config], environment).expect(78);
        for word in words {
            assert!(said.errors.contains(word), "{verb}: {word:?} is not in {}", said.errors);
        }
        assert!(!said.errors.contains("panicked"), "{}", said.errors);
    }
}

/// Port 0 is any free port, and there is no key for the life of URLs: organizations set it.
#[test]
fn a_wrong_configuration_is_refused_with_file_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let path = file.to_str().unwrap();
    both_refuse(path, &[], &[path, "does not exist"]);
    for (text, words) in [
        ("[server]\nlisen = \"127.0.0.1:1\"", &["line 2", "server.lisen", "did you mean server.listen?"][..]),
        ("[server]\n\nworkers = \"four\"", &["line 3", "server.workers", "is not a whole number"]),
        ("[server]\nworkers = 1\nworkers = 2", &["line 3", "server.workers", "duplicate key; keep one of the two"]),
        ("[server]\nlisten = \"127.0.0.1:70000\"", &["line 2", "server.listen", "is not an IP address and port"]),
        ("[server]\npublic_url = \"video.example.com\"", &["line 2", "server.public_url", "is not an origin"]),
        ("[state]\ndir = \"/srv/s\"\n[ui]\nstatic_dir = \"/srv\"", &["line 4", "ui.static_dir", "overlaps state.dir"]),
        ("[server\nlisten = 1", &["line 1", "is not TOML"]),
    ] {
        std::fs::write(&file, text).unwrap();
        both_refuse(path, &[], &[&[path], words].concat());
    }
    std::fs::write(&file, b"[log]\nlevel = \"\xff\"").unwrap();
    both_refuse(path, &[], &[path, "is not UTF-8 at line 2"]);
    std::fs::write(&file, "#".repeat(10 << 20)).unwrap();
    both_refuse(path, &[], &[path, "is over 1 MiB"]);
    std::fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    both_refuse(path, &[], &[path, "is not a file; name one"]);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    let slip = [("SCREENER__SERVER__LISEN", "127.0.0.1:1")];
    both_refuse(path, &slip, &["environment SCREENER__SERVER__LISEN", "did you mean SCREENER__SERVER__LISTEN?"]);
    run(&["check-config", "--config", path]).expect(0);
}

#[test]
fn an_insecure_configuration_is_refused() {
    for (text, words) in [
        ("[server]\nplain_http = true\nlisten = \"0.0.0.0:80\"", &["server.plain_http", "insecure_http"][..]),
        ("[server]\nlisten = \"0.0.0.0:443\"", &["server.public_url", "is no address a viewer can open"]),
        ("[state]\nmaster_key = \"hunter2\"", &["line 2", "(not shown)", "use state.master_key_file"]),
        ("[server]\nframe_ancestors = \"*\"", &["line 2", "is not a known key"]),
        ("[server]\ncors = \"*\"", &["line 2", "is not a known key"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        both_refuse(file.to_str().unwrap(), &[], words);
        assert!(!run(&["check-config", "--config", file.to_str().unwrap()]).errors.contains("hunter2"));
    }
}

#[test]
fn too_few_descriptors_are_refused_by_number() {
    let (_directory, config) = configured("");
    run(&["init", "--config", &config]).expect(0);
    for number in [8, 16, 32] {
        let mut command = Command::new("prlimit");
        command.args([&format!("--nofile={number}"), env!("CARGO_BIN_EXE_screener"), "serve", "--config", &config]);
        let said = command.stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(78), "{errors}");
        assert!(errors.contains(&format!("the system gives {number} descriptors")), "{errors}");
    }
}

#[test]
fn more_sockets_than_anybody_hands_over_are_refused_before_they_are_counted() {
    let (_directory, config) = configured("");
    run(&["init", "--config", &config]).expect(0);
    let said = run_with(&["serve", "--config", &config], &[("LISTEN_FDS", "2147483647")]).expect(78);
    assert!(said.errors.contains("LISTEN_FDS says that there are 2147483647"), "{}", said.errors);
}

/// Serves without the right to overrule permissions, which root has.
fn serve_without_rights(config: &str, rights: &str) -> (Option<i32>, String) {
    let (binary, arguments) = (env!("CARGO_BIN_EXE_screener"), ["serve", "--config", config]);
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([&format!("--bounding-set={rights}"), binary]);
        command
    } else {
        Command::new(binary)
    };
    let said = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_state_directory_that_can_t_be_used_is_refused_by_name() {
    let (directory, config) = configured("");
    let state = directory.path().join("state");
    let said = run(&["serve", "--config", &config]).expect(78);
    assert!(said.errors.contains("is not a state directory; make one with `screener init`"), "{}", said.errors);
    std::fs::write(&state, "a file").unwrap();
    both_refuse(&config, &[], &["state.dir", "is not a directory"]);
    std::fs::remove_file(&state).unwrap();
    run(&["init", "--config", &config]).expect(0);
    set_mode(&state, 0o755);
    both_refuse(&config, &[], &["state.dir", "is open to other users (mode 0755); run: chmod 0700 "]);
    set_mode(&state, 0);
    let (code, said) = serve_without_rights(&config, "-dac_override,-dac_read_search");
    assert!(code == Some(73) || code == Some(78), "{code:?}: {said}");
    assert!(said.contains(state.to_str().unwrap()) && said.contains("Permission denied"), "{said}");
    set_mode(&state, 0o700);
    // In memory it would be gone after a reboot, revocations and all.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let elsewhere = memory.path().join("state");
    let environment = [("SCREENER__STATE__DIR", elsewhere.to_str().unwrap())];
    copy_directory(&state, &elsewhere);
    set_mode(&elsewhere, 0o700);
    both_refuse(&config, &environment, &["state.dir", "lies on tmpfs: it is gone after a reboot"]);
    // The twin.
    run(&["check-config", "--config", &config]).expect(0);
}

#[test]
fn a_master_key_that_is_missing_or_wrong_is_refused_as_a_configuration_is() {
    let (directory, config) = configured("");
    run(&["init", "--config", &config]).expect(0);
    let key = directory.path().join("state/master.key");
    let good = std::fs::read_to_string(&key).unwrap();
    for (text, words) in [("0123", "does not hold a master key"), (&"0".repeat(64), "does not fit this state")] {
        write_closed(&key, text);
        let said = run(&["serve", "--config", &config]).expect(78);
        assert!(said.errors.contains(words), "{}", said.errors);
    }
    std::fs::remove_file(&key).unwrap();
    let said = run(&["serve", "--config", &config]).expect(78);
    assert!(said.errors.contains("is missing: it holds the master key"), "{}", said.errors);
    write_closed(&key, &good);
    run(&["check-config", "--config", &config]).expect(0);
}

#[test]
fn an_address_that_can_t_be_had_is_refused_by_name_and_nothing_is_left_half_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    // TEST-NET-1 (RFC 5737) is no machine's; and only some may listen below port 1024.
    for address in [taken.as_str(), "192.0.2.1:8443", "127.0.0.1:443"] {
        let (directory, config) = configured(&format!("[server]\nlisten = {address:?}"));
        run(&["init", "--config", &config]).expect(0);
        let (code, said) = serve_without_rights(&config, "-net_bind_service");
        // It may be free, or ours, at the next try.
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("server.listen = {address}: ")), "{said}");
        assert!(!directory.path().join("state/admin.sock").exists());
    }
}
