//! A machine that has little to give: memory, and time on its processors.

use crate::client::{Line, Target, on_a_thread};
use crate::figures::Waits;
use crate::support::{Server, film_head, picture_head};
use crate::viewers;
use reqwest::Method;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

/// Pictures of the longest film that is taken, less a few; each lasts so many milliseconds.
pub const PICTURES: usize = 9_999_000;
const PICTURE_MS: usize = 5;
/// Bytes of each: the length and the first byte of its one NAL unit, and one more.
const PICTURE_BYTES: usize = 6;

/// A limit of memory of its own for some processes, as the unit's `MemoryMax` sets one: a control group, of root's alone.
pub struct MemoryLimit(PathBuf);

impl MemoryLimit {
    /// One of so many MiB, if this machine lets us make it.
    pub fn of(mib: u64) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let (parent, limit) = if root.join("cgroup.controllers").exists() {
            fs::write(root.join("cgroup.subtree_control"), "+memory").ok()?;
            (root.to_owned(), "memory.max")
        } else {
            (root.join("memory"), "memory.limit_in_bytes")
        };
        let group = parent.join(format!("screener-load-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let made = Self(group);
        fs::write(made.0.join(limit), (mib << 20).to_string()).ok()?;
        Some(made)
    }

    /// Puts a process under it, with all that it starts.
    pub fn bind(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A film with as many pictures as one may have: its index alone is some 60 MB.
pub fn longest_film() -> Vec<u8> {
    let mut bytes = film_head(&vec![PICTURE_BYTES; PICTURES], PICTURE_MS);
    bytes.reserve(PICTURES * PICTURE_BYTES);
    for number in 0..PICTURES {
        bytes.extend_from_slice(&picture_head(number, PICTURE_BYTES));
        bytes.push(0);
    }
    bytes
}

/// Programs that compute and do nothing else, one for each processor; they end with this.
pub struct Neighbours(Vec<Child>);

impl Neighbours {
    /// Begins.
    pub fn on_every_processor() -> Self {
        let count = std::thread::available_parallelism().unwrap().get();
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..count).map(|_| busy()).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks for playback with a good token so many times a second for so long; how soon each was answered.
pub fn check_tokens(target: &Arc<Target>, per_second: u32, seconds: u32) -> Waits {
    let target = Arc::clone(target);
    let asked = on_a_thread(async move || {
        let mut waits = Waits::default();
        let mut line: Line = target.connect().await.unwrap();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
        for _ in 0..per_second * seconds {
            tick.tick().await;
            if let Err(error) = viewers::ask(&mut line, &target.playback, &mut waits).await {
                waits.note_error(error.to_string());
                break;
            }
        }
        waits
    });
    asked.join().unwrap()
}

/// Uploads a film, whatever becomes of it; its video's status in the end.
pub fn upload(server: &Server, film: Vec<u8>) -> String {
    let (video, _) = server.pending_video("private");
    let reply = server.try_upload(&video, film);
    let status = || {
        server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).json()["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    match reply {
        None => "no answer".to_owned(),
        Some(_) => {
            crate::support::wait_for("the film's end", Duration::from_secs(300), || {
                ["ready", "error"].contains(&status().as_str())
            });
            status()
        }
    }
}
