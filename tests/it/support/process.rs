//! Processes and files: the command line with its exit code, kill -9 in the midst of things, copies of directories.

use super::client::Reply;
use super::server::Server;
use reqwest::Method;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command left.
pub struct Ran {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub errors: String,
}

impl Ran {
    /// Asserts the exit code, showing what was said where it differs.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.errors);
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not one JSON value: {}", self.out))
    }
}

/// Runs the binary's command line.
pub fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, &[])
}

/// The same, with more environment.
pub fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_screener"));
    let output =
        command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null()).output().expect("it runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A process, looked at from outside (proc(5)).
#[derive(Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// Seconds of processor time so far, in user and system mode.
    pub fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        // Fields 14 and 15 of proc(5), in hundredths of a second on Linux.
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Memory that it has, in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most memory that it has had, in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// From now on the peak is a new one.
    pub fn forget_peak(&self) {
        let written = as_root("sh").args(["-c", &format!("echo 5 > /proc/{}/clear_refs", self.0)]).status();
        assert!(written.unwrap().success());
    }

    /// Open descriptors: files, sockets and whatever else.
    pub fn descriptors(&self) -> usize {
        descriptors(self.0).len()
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Sends SIGKILL to a process of ours; its end is waited for elsewhere.
pub fn kill_now(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Sends SIGTERM.
pub fn terminate(pid: u32) {
    send_signal(pid, Signal::TERM);
}

/// Sends a signal.
pub fn send_signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A command as root: what belongs to a process that hides its memory is for root alone, the process's own user excepted.
pub fn as_root(program: &str) -> Command {
    if geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

/// What a process has open, one a line, as `ls -l` says it.
pub fn descriptors(pid: u32) -> Vec<String> {
    let listed = as_root("ls").args(["-l", &format!("/proc/{pid}/fd")]).output().unwrap();
    // 1: one was closed between its name and where it leads to was read. 2: nothing could be listed.
    assert!(matches!(listed.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains(" -> ")).map(str::to_owned).collect()
}

/// Replaces `to` by a copy of `from`, modes and times included.
pub fn copy_directory(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp -a {} {}", from.display(), to.display());
}

/// Every regular file below `directory`.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Numbers that look random and are the same for the same seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// Seeded by `SCREENER_SEED`, or always the same; the seed is printed, so that a failed run can be repeated.
    pub fn seeded(what: &str) -> Self {
        let seed = std::env::var("SCREENER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_123);
        println!("{what}: SCREENER_SEED={seed}");
        Self(seed)
    }

    /// The next number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Where two values differ first; `None` where they are the same.
pub fn first_difference(left: &Value, right: &Value) -> Option<String> {
    let below = |name: String, left: &Value, right: &Value| {
        first_difference(left, right).map(|difference| format!("/{name}{difference}"))
    };
    match (left, right) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(name, value)| below(name.clone(), value, &b[name]))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| below(at.to_string(), a, b))
        }
        (Value::Array(a), Value::Array(b)) => Some(format!(": {} items, {} items", a.len(), b.len())),
        _ => (left != right).then(|| format!(": {left} and {right}")),
    }
}

impl Server {
    /// A call of the admin API; `None` if the server went away before it had answered.
    pub fn try_admin(&self, method: Method, path: &str, body: &Value) -> Option<Reply> {
        let request = self.request(method, &format!("/admin/v1{path}")).bearer_auth(&self.private_key);
        let request = if body.is_null() { request } else { request.json(body) };
        Reply::try_read(request.send().ok()?)
    }

    /// An upload; `None` if the server went away before it had answered.
    pub fn try_upload(&self, video: &str, source: impl Into<reqwest::blocking::Body>) -> Option<Reply> {
        let path = format!("/admin/v1/videos/{video}/source");
        let request = self.request(Method::PUT, &path).bearer_auth(&self.private_key).body(source);
        Reply::try_read(request.send().ok()?)
    }

    /// Every item of a list of the admin API.
    pub fn all(&self, list: &str) -> Vec<Value> {
        let (mut found, mut query) = (Vec::new(), "?limit=100".to_owned());
        loop {
            let page = self.admin(Method::GET, &format!("/{list}{query}"), &Value::Null).expect(200).json();
            found.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["pageInfo"]["nextCursor"].as_str() {
                Some(cursor) => query = format!("?limit=100&cursor={cursor}"),
                None => return found,
            }
        }
    }

    /// All that the admin API tells of the organization; the same before and after a restart.
    pub fn told(&self) -> Value {
        let mut told = serde_json::Map::new();
        let organization = self.admin(Method::GET, "/organization", &Value::Null).expect(200).json();
        told.insert("organization".into(), organization);
        for list in ["signing-keys", "publishable-keys", "private-keys", "videos", "embeds", "uploads", "audit"] {
            let mut items = self.all(list);
            for item in items.iter_mut().filter(|_| list == "signing-keys") {
                // Live sessions end with the process, and the last use is written down once a minute.
                let members = item.as_object_mut().unwrap();
                members.remove("liveSessions");
                members.remove("lastUsedAt");
            }
            for item in items.iter_mut().filter(|_| list == "embeds") {
                // It carries the port, which each start draws anew.
                item.as_object_mut().unwrap().remove("url");
            }
            told.insert(list.into(), items.into());
        }
        Value::Object(told)
    }

    /// Runs a verb with this server's configuration.
    pub fn verb(&self, arguments: &[&str]) -> Ran {
        run(&[arguments, &["--config", self.config().to_str().unwrap()]].concat())
    }

    /// `store verify`, which must find nothing wrong.
    #[track_caller]
    pub fn verify(&self) -> Value {
        let report = self.verb(&["store", "verify", "--json"]).expect(0).json();
        assert_eq!(report["problems"], serde_json::json!([]));
        report
    }
}
