//! Starting on a large state directory (R23): ready within two seconds, within 300 MiB, and within five seconds where the
//! index is built anew from the journal.
//!
//! `SCREENER_START_VIDEOS` and `SCREENER_START_KEYS` say how large (100,000 and 10,000 in the long form). Prints one line,
//! `R23 PASS …`. What is timed is the whole start, from the process to its word that it serves.

use crate::support::{Forged, Server};
use reqwest::Method;
use screener::auth::{MasterKey, Secret};
use screener::domain::{SigningKey, SigningKeyId};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

const READY: Duration = Duration::from_secs(2);
const REBUILT: Duration = Duration::from_secs(5);
const RSS_KIB: u64 = 300 << 10;
/// Names of one file that ext4 takes (65,000), and some to spare.
const LINKS: u128 = 60_000;

fn count(name: &str, short_form: u128) -> u128 {
    std::env::var(name).ok().and_then(|count| count.parse().ok()).unwrap_or(short_form)
}

/// An id in the place of `old`, another for each number, spread as random ids are.
fn id(old: &str, number: u128) -> String {
    let old: Uuid = old.parse().unwrap();
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    uuid::Builder::from_random_bytes((old.as_u128() ^ mixed).to_be_bytes()).into_uuid().to_string()
}

/// Copies a video, its embed, files and audit entries `count` times, under other ids; the files as further names of its own.
fn add_videos(state: &Path, forged: &mut Forged, count: u128) {
    let is_of_a_video = |op: &&Value| ["video", "embed", "media_file"].iter().any(|kind| op["kind"] == **kind);
    let mut latest: Vec<Value> = Vec::new();
    for op in forged.ops().iter().filter(is_of_a_video) {
        latest.retain(|other| other["key"] != op["key"]);
        latest.push(op.clone());
    }
    latest.retain(|op| op["op"] == "put");
    let audit: Vec<Value> = forged.ops().iter().filter(|op| op["row"]["action"] == "video.packaged").cloned().collect();
    let (template, audit) = (serde_json::to_string(&latest).unwrap(), audit.last().unwrap().clone());
    let first_entry = forged.ops().iter().filter(|op| op["kind"] == "audit").count() as u128;
    let ids: Vec<String> = latest.iter().map(|op| op["key"].as_str().unwrap().to_owned()).collect();
    let files: Vec<&Value> = latest.iter().filter(|op| op["kind"] == "media_file").collect();
    let mut ops = Vec::new();
    for number in 1..=count {
        let mut text = template.clone();
        for old in &ids {
            text = text.replace(old, &id(old, number));
        }
        ops.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap());
        for (step, action) in ["video.create", "video.source", "video.packaged"].iter().enumerate() {
            let mut entry = audit.clone();
            let name = id(ids[0].as_str(), number * 8 + 1 + step as u128);
            (entry["key"], entry["row"]["id"]) = (json!(name), json!(name));
            let place = u64::try_from(first_entry + number * 3 + step as u128).unwrap();
            (entry["row"]["number"], entry["row"]["action"]) = (json!(place), json!(action));
            ops.push(entry);
        }
        if ops.len() > 150 || number == count {
            forged.commit(&std::mem::take(&mut ops));
        }
        for file in &files {
            let old = file["key"].as_str().unwrap();
            let media = state.join("media");
            let to = media.join(id(old, number));
            // The first of so many is a copy, the others are names of it.
            if number % LINKS == 1 {
                std::fs::copy(media.join(old), to).unwrap();
            } else {
                let first = number - (number - 1) % LINKS;
                std::fs::hard_link(media.join(id(old, first)), to).unwrap();
            }
        }
    }
}

fn add_keys(state: &Path, forged: &mut Forged, count: u128) {
    let text = std::fs::read_to_string(state.join("master.key")).unwrap();
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.trim().as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    let master = MasterKey::new(&Secret::new(bytes));
    let op = forged.ops().iter().rfind(|op| op["kind"] == "signing_key").unwrap().clone();
    let like: SigningKey = serde_json::from_value(op["row"].clone()).unwrap();
    let keys: Vec<Value> = (1..=count)
        .map(|number| {
            let id = SigningKeyId::parse(&id(&like.id.to_string(), number)).unwrap();
            let nonce = *number.to_be_bytes().last_chunk().unwrap();
            let secret = master.seal(&id.to_string(), format!("mvi_sign_{number:043}").as_bytes(), nonce);
            let key = SigningKey { id, secret, ..like.clone() };
            json!({ "op": "put", "kind": "signing_key", "key": id.to_string(), "v": op["v"], "row": key })
        })
        .collect();
    keys.chunks(150).for_each(|some| forged.commit(some));
}

/// The value of a line of `/proc/PID/status`, in KiB.
fn memory_kib(server: &Server, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn start(server: &mut Server) -> Duration {
    let began = Instant::now();
    server.serve();
    began.elapsed()
}

#[test]
fn a_start_takes_little_time_and_memory_however_much_there_is() {
    let (videos, keys) = (count("SCREENER_START_VIDEOS", 3_000), count("SCREENER_START_KEYS", 300));
    let mut server = Server::start();
    let (_, embed) = server.video("public");
    assert!(server.stop());
    let (state, journal) = (server.state(), server.state().join("journal"));
    let mut forged = Forged::on(&journal);
    add_videos(&state, &mut forged, videos);
    add_keys(&state, &mut forged, keys);
    forged.write(&journal);
    std::fs::remove_dir_all(state.join("index")).unwrap();
    let rebuilt = start(&mut server);
    assert!(server.stop());
    let ready = start(&mut server);
    let (rss, peak) = (memory_kib(&server, "VmRSS:"), memory_kib(&server, "VmHWM:"));
    server.playback(&embed, None).expect(200);
    let page = server.admin(Method::GET, "/videos?limit=100", &Value::Null).expect(200).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 100);
    let has_passed = ready <= READY && rebuilt <= REBUILT && rss <= RSS_KIB;
    println!(
        "R23 {} videos={videos} keys={keys} ready_s={:.2} rss_mib={} peak_rss_mib={} rebuild_s={:.2} journal_mib={}",
        if has_passed { "PASS" } else { "FAIL" },
        ready.as_secs_f64(),
        rss >> 10,
        peak >> 10,
        rebuilt.as_secs_f64(),
        std::fs::metadata(&journal).unwrap().len() >> 20,
    );
    assert!(has_passed);
}
