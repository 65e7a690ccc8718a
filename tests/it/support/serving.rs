//! A server whose configuration is the test's own: any command line, any environment, its log in a file.

use super::process::{kill_now, terminate};
use super::wait_for;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A directory with a configuration that keeps its state below it.
pub fn configured(more: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let state = directory.path().join("state");
    std::fs::write(&path, format!("{more}\n[state]\ndir = {state:?}\n")).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

/// Writes a file that is for its owner alone.
pub fn write_closed(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A process that serves until it is told to end.
pub struct Serving {
    /// The process.
    pub process: Child,
    errors: PathBuf,
    _directory: tempfile::TempDir,
}

impl Serving {
    /// The binary with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same, with more environment.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_screener")).args(arguments).envs(environment.iter().copied()))
    }

    /// Any command that becomes one.
    pub fn run(command: &mut Command) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let errors = directory.path().join("errors");
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        Self { process, errors, _directory: directory }
    }

    /// The first line of its standard output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended: {}", self.log());
        line
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    /// Its base URL, once it serves.
    pub fn base_url(&self) -> String {
        self.event("\"message\":\"serving\"")["base_url"].as_str().unwrap().to_owned()
    }

    /// The first event of its log that holds `words`.
    pub fn event(&self, words: &str) -> Value {
        let find = || {
            let log = self.log();
            log.lines().find(|line| line.contains(words) && line.ends_with('}')).map(str::to_owned)
        };
        wait_for(words, Duration::from_secs(30), || find().is_some());
        serde_json::from_str(&find().unwrap()).unwrap()
    }

    /// SIGTERM; its exit code.
    pub fn end(&mut self) -> i32 {
        terminate(self.process.id());
        self.code()
    }

    /// Waits for its end; its exit code, -1 if a signal ended it.
    pub fn code(&mut self) -> i32 {
        self.process.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            kill_now(self.process.id());
            let _ = self.process.wait();
        }
    }
}
