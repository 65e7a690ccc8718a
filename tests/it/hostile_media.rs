//! Films made to do harm: each is refused with a sentence or plays, in little time and memory, and stops nothing.
//!
//! What is measured is the real server, one file at a time: the processor time that its process used from before the
//! upload until the video was settled and fetched, and its peak memory meanwhile above what it held before (the kernel's
//! high-water mark, set back by `/proc/PID/clear_refs`). TLS, the journal and the disk are in these figures, so they
//! are an upper bound of what reading and packaging cost.

use crate::judges::{HostileFilm, beside, corpus, settled, uris};
use crate::support::{Process, Reply, Server, files_below};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// Processor time that a file may cost, in seconds.
const CPU_S: f64 = 1.0;
/// Memory that a file may cost, in KiB.
const MEMORY_KIB: u64 = 64 << 10;
/// What may be written for a file, as a multiple of its size, and in bytes for the smallest.
const GROWTH: u64 = 4;
const GROWTH_BYTES: u64 = 4 << 20;
/// Segments of a film that are fetched, from its beginning.
const SEGMENTS: usize = 20;

#[test]
fn hostile_films_are_refused_or_play_and_cost_little() {
    let server = Server::start();
    let process = Process(server.pid());
    let corpus = corpus();
    assert!(corpus.len() >= 1_400 && corpus.iter().filter(|film| film.verdict.is_some()).count() >= 150);
    let (mut wrong, mut refused, mut played) = (Vec::new(), 0, 0);
    let (mut most_cpu, mut most_memory) = ((0.0, ""), (0, ""));
    for HostileFilm { name, file, verdict } in &corpus {
        let (video, embed) = server.pending_video("private");
        let bytes = std::fs::read(file).unwrap();
        let length = bytes.len() as u64;
        process.forget_peak();
        let (cpu, memory) = (process.cpu_s(), process.memory_kib());
        let sent = server
            .request(Method::PUT, &format!("/admin/v1/videos/{video}/source"))
            .bearer_auth(&server.private_key)
            .body(bytes)
            .timeout(Duration::from_secs(60))
            .send();
        let Ok(sent) = sent else {
            wrong.push(format!("{name}: no answer: {}", sent.unwrap_err()));
            break;
        };
        let reply = Reply::read(sent);
        let record = settled(&server, &video);
        let became = if record["status"] == "ready" { "plays" } else { "refused" };
        if verdict.as_ref().is_some_and(|verdict| verdict != became) {
            wrong.push(format!("{name}: {became}: {record}"));
        }
        match (reply.status, record["status"].as_str().unwrap_or_default()) {
            (200 | 202, "ready") => {
                played += 1;
                wrong.extend(fetch(&server, &video, &embed).err().map(|reason| format!("{name}: {reason}")));
                let written: u64 =
                    files_below(&server.state().join("media")).iter().map(|file| file.metadata().unwrap().len()).sum();
                if written > length * (GROWTH + 1) + GROWTH_BYTES {
                    wrong.push(format!("{name}: {written} bytes on disk for {length}"));
                }
            }
            // An empty body is a mistake of the request, not of the film.
            (400, "pending_upload") if length == 0 => refused += 1,
            (422 | 202, "error") => {
                refused += 1;
                let reason = record["statusDetail"].as_str().unwrap_or_default();
                if reason.len() < 15 || reason.contains(".rs") {
                    wrong.push(format!("{name}: no reason: {record}"));
                }
            }
            (status, settled) => wrong.push(format!("{name}: {status}, {settled}: {}", reply.text())),
        }
        let (cpu, memory) = (process.cpu_s() - cpu, process.peak_memory_kib().saturating_sub(memory));
        if cpu > CPU_S {
            wrong.push(format!("{name}: {cpu:.2} s of processor time"));
        }
        if memory > MEMORY_KIB {
            wrong.push(format!("{name}: {memory} KiB of memory"));
        }
        if cpu > most_cpu.0 {
            most_cpu = (cpu, name);
        }
        if memory > most_memory.0 {
            most_memory = (memory, name);
        }
        server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    }
    println!("{} files: {refused} refused, {played} play", corpus.len());
    println!(
        "most processor time {:.2} s: {}; most memory {} KiB: {}",
        most_cpu.0, most_cpu.1, most_memory.0, most_memory.1
    );
    let panics = server.log_text().lines().filter(|line| line.contains("panicked at")).count();
    assert!(wrong.is_empty() && panics == 0, "{panics} panics, {} findings:\n{}", wrong.len(), wrong.join("\n"));
    assert!(played > 0 && refused > 100, "the corpus does not tell good from bad");
    for directory in ["media", "incoming"] {
        let left = files_below(&server.state().join(directory));
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// Fetches all playlists of a video and its first segments.
fn fetch(server: &Server, video: &str, embed: &str) -> Result<(), String> {
    let answer = server.playback(embed, Some(&server.token(video)));
    if answer.status != 200 {
        return Err(format!("ready, and does not play: {}", answer.text()));
    }
    let main = answer.json()["playback"]["uri"].as_str().unwrap().to_owned();
    let main = server.get(&main);
    if main.status != 200 {
        return Err(format!("ready, and its playlist is {}: {}", main.status, main.text()));
    }
    let uri = answer.json()["playback"]["uri"].as_str().unwrap().to_owned();
    for name in uris(&main.text()).iter().map(String::as_str).chain(["manifest.mpd"]) {
        let asset = beside(&uri, name);
        let list = server.get(&asset);
        if list.status != 200 {
            return Err(format!("{name}: {} {}", list.status, list.text()));
        }
        if name.ends_with("m3u8") {
            let text = list.text();
            // RFC 8216 §4.3.3.1 and §4.3.2.1: whole seconds, none longer than told, and numbers that are numbers.
            let target = text.lines().find_map(|line| line.strip_prefix("#EXT-X-TARGETDURATION:"));
            let target = target.and_then(|target| target.parse::<u64>().ok()).filter(|target| *target >= 1);
            let Some(target) = target else { return Err(format!("{name}: no length of its segments: {text}")) };
            for told in text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")) {
                let lasts = told.split(',').next().and_then(|seconds| seconds.parse::<f64>().ok());
                if !lasts.is_some_and(|seconds| seconds.is_finite() && seconds > 0.0 && seconds < target as f64 + 0.5) {
                    return Err(format!("{name}: a segment of {told} s, with {target} s at most"));
                }
            }
            for part in uris(&list.text()).iter().take(SEGMENTS) {
                let status = server.get(&beside(&asset, part)).status;
                if status != 200 {
                    return Err(format!("{name}: {part}: {status}"));
                }
            }
        }
    }
    Ok(())
}
