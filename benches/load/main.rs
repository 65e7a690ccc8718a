//! Load and attack: figures R11 and R12, and two of a machine that has little to give (K18, K19); one line each.
//!
//!     cargo bench --bench load              all in a short form, some three minutes
//!     cargo bench --bench load -- full      R11 for five minutes, R12 for three, as in docs/SECURITY.md
//!     cargo bench --bench load -- k18 full  under a limit of memory; needs root
//!     cargo bench --bench load -- r11 viewers=500 idle=1000 seconds=60
//!
//! One process plays all clients, on the same machine: they take their share of its processors. It ends with 1 where a
//! goal was missed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measurement that can't go on ends, with the place"
)]

mod attackers;
mod client;
mod figures;
mod scarce;
#[expect(dead_code, unused_imports, reason = "the tests' own server, of which a measurement needs less")]
#[path = "../../tests/it/support/mod.rs"]
mod support;
mod viewers;

use client::Target;
use figures::{Waits, exact_mib, mib};
use rustix::process::{Resource, getrlimit, setrlimit};
use scarce::{MemoryLimit, Neighbours};
use screener::domain::limits;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Options, Process, Server, padded};

/// Bytes of the film that is watched: 32 seconds at 1 Mbit/s.
const FILM_BYTES: usize = 4 << 20;

/// Goals of R11: memory in MiB, and the time to an answer's first byte for 99 of 100.
const MOST_MIB: u64 = 512;
const LOADED_P99: Duration = Duration::from_millis(100);
/// Goal of R12 for whoever behaves.
const ATTACKED_P99: Duration = Duration::from_millis(250);
/// How soon after an attack its descriptors have to be free, though nobody on the other side lets go, and how near memory and
/// descriptors have to come back.
const FREED: Duration = Duration::from_secs(10);
const NEAR_PERCENT: u64 = 5;
/// How long the allocator is given after it to give back what is free.
const SHRUNK: Duration = Duration::from_secs(30);

/// What can be asked for.
const FIGURES: [&str; 4] = ["r11", "r12", "k18", "k19"];
/// Goal of K19 for a token's check.
const BUSY_P99: Duration = Duration::from_millis(500);

/// What is measured with: a word of the command line, or its default.
struct Sizes(HashMap<String, usize>);

impl Sizes {
    fn of(&self, name: &str, short: usize, full: usize) -> usize {
        let default = if self.0.contains_key("full") { full } else { short };
        self.0.get(name).copied().unwrap_or(default)
    }
}

fn main() -> ExitCode {
    // Cargo itself adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let sizes = words.iter().map(|word| match word.split_once('=') {
        Some((name, number)) => (name.to_owned(), number.parse().unwrap()),
        None => (word.clone(), 1),
    });
    let sizes = Sizes(sizes.collect());
    let is_wanted =
        |figure: &str| sizes.0.contains_key(figure) || !FIGURES.iter().any(|name| sizes.0.contains_key(*name));
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut outcomes = Vec::new();
    if is_wanted("r11") {
        outcomes.push(load(&sizes));
    }
    if is_wanted("r12") {
        outcomes.push(attack(&sizes));
    }
    if is_wanted("k18") {
        let outcome = little_memory(&sizes);
        // Where nobody asked for it by its name, a machine that can't is no miss.
        outcomes.extend(outcome.or_else(|| sizes.0.contains_key("k18").then_some(false)));
    }
    if is_wanted("k19") {
        outcomes.push(busy(&sizes));
    }
    if outcomes.iter().all(|passed| *passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A server with a private film.
fn serve() -> (Server, Arc<Target>) {
    // All come from one address, which may have a quarter of the connections unless told.
    let environment = vec![("SCREENER__SERVER__MAX_CONNECTIONS_PER_ADDRESS".to_owned(), "8192".to_owned())];
    let server = Server::with(Options { environment, ..Options::default() });
    // Nobody renews here.
    server.set(&serde_json::json!({ "assetUrlTtl": 3600 }));
    let (video, embed) = server.pending_video("private");
    server.upload(&video, padded(FILM_BYTES)).expect(200);
    let target = Target::of(&server, &embed, &server.token(&video));
    (server, Arc::new(target))
}

fn verdict(passed: bool) -> &'static str {
    if passed { "PASS" } else { "FAIL" }
}

/// Whether the server may have so many connections at once; it takes what its descriptors allow.
fn has_room_for(connections: usize) -> bool {
    let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let most = descriptors.saturating_sub(limits::STORE_DESCRIPTORS) / limits::CONNECTION_DESCRIPTORS;
    let has_room = connections as u64 <= most;
    if !has_room {
        eprintln!("{descriptors} open files (ulimit -Hn) are {most} connections; {connections} need more");
    }
    has_room
}

/// R11: many viewers beside many connections that do next to nothing.
fn load(sizes: &Sizes) -> bool {
    let (viewers, idle) = (sizes.of("viewers", 200, 2_000), sizes.of("idle", 500, 5_000));
    let seconds = sizes.of("seconds", 20, 300);
    if !has_room_for(viewers + idle) {
        return false;
    }
    let (server, target) = serve();
    let process = Process(server.pid());
    let done = Arc::new(AtomicBool::new(false));
    let idle = viewers::idle(&target, idle, &done);
    let running = viewers::watch(&target, viewers, &done);
    let (mut most_kib, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        most_kib = most_kib.max(process.memory_kib());
        std::thread::park_timeout(Duration::from_millis(200));
    }
    done.store(true, Ordering::Relaxed);
    let (waits, idle) = (running.join().unwrap(), idle.join().unwrap());
    let p99 = waits.percentile(99);
    let errors = waits.errors + idle.errors;
    let passed = mib(most_kib) <= MOST_MIB && p99 <= LOADED_P99 && errors == 0;
    println!(
        "R11 {} {viewers} viewers for {seconds} s, {} segments, {:.0} Mbit/s; {} idle connections; first byte p50 {:?} p99 {p99:?}; {} MiB; {errors} errors{}",
        verdict(passed),
        waits.count(),
        waits.bytes as f64 * 8.0 / 1e6 / seconds as f64,
        idle.count(),
        waits.percentile(50),
        mib(most_kib),
        waits.first_error.or(idle.first_error).map(|error| format!(", the first: {error}")).unwrap_or_default(),
    );
    passed
}

/// R12: slow heads, bad tokens and floods of ranges, while some watch.
fn attack(sizes: &Sizes) -> bool {
    let (slow, tokens) = (sizes.of("slow", 500, 5_000), sizes.of("tokens", 500, 500));
    let (ranges, seconds) = (sizes.of("ranges", 100, 100), sizes.of("seconds", 20, 180));
    let viewers = sizes.of("viewers", 50, 50);
    let (server, target) = serve();
    let process = Process(server.pid());
    let done = Arc::new(AtomicBool::new(false));
    let running = viewers::watch(&target, viewers, &done);
    std::thread::park_timeout(Duration::from_secs(5));
    let (kib, descriptors) = (process.memory_kib(), process.descriptors());
    let over = Arc::new(AtomicBool::new(false));
    let attackers = attackers::begin(&target, slow, tokens, ranges, &over);
    std::thread::park_timeout(Duration::from_secs(seconds as u64));
    let (at_most, most_kib) = (process.descriptors(), process.memory_kib());
    over.store(true, Ordering::Relaxed);
    // From now on they only hold on to what they have.
    let ended = Instant::now();
    let is_near = |now: u64, then: u64| now * 100 <= then * (100 + NEAR_PERCENT);
    let come_back = |what: &dyn Fn() -> bool| {
        while !what() && ended.elapsed() < SHRUNK {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        ended.elapsed()
    };
    let freed = come_back(&|| is_near(process.descriptors() as u64, descriptors as u64));
    let told = attackers.join().unwrap();
    let shrunk = come_back(&|| is_near(process.memory_kib(), kib));
    let after_kib = process.memory_kib();
    done.store(true, Ordering::Relaxed);
    let waits: Waits = running.join().unwrap();
    let p99 = waits.percentile(99);
    let least_cuts = attackers::least_cuts(slow, seconds);
    let are_cut = told.cut >= least_cuts && told.kept == 0;
    // Several ranges get the whole segment, once.
    let are_answered = told.tokens.are_all_of(&[401, 429]) && told.ranges.are_all_of(&[200]);
    let is_served = p99 <= ATTACKED_P99 && waits.errors == 0;
    let passed = is_served && are_cut && are_answered && freed <= FREED && shrunk < SHRUNK;
    println!(
        "R12 {} {seconds} s of {slow} slow heads ({} cut, {least_cuts} at least; {} not made; {} kept), {} bad tokens ({}), {} floods of ranges ({}); {viewers} viewers: first byte p50 {:?} p99 {p99:?}, {} lost; {at_most} descriptors, back to {descriptors} after {freed:?} while their clients held on; {} MiB before, {} at its end, {} after {shrunk:?}{}",
        verdict(passed),
        told.cut,
        told.not_made,
        told.kept,
        told.tokens.count(),
        told.tokens,
        told.ranges.count(),
        told.ranges,
        waits.percentile(50),
        waits.errors,
        exact_mib(kib),
        mib(most_kib),
        exact_mib(after_kib),
        waits.first_error.map(|error| format!("; the first error: {error}")).unwrap_or_default(),
    );
    passed
}

/// K18: viewers and the longest film that is taken, in little memory. Not one viewer is lost, and the server goes on. `None`
/// where memory can't be limited.
fn little_memory(sizes: &Sizes) -> Option<bool> {
    let viewers = sizes.of("viewers", 200, 2_000);
    let mib_allowed = sizes.of("memory", 256, 256) as u64;
    let Some(limit) = MemoryLimit::of(mib_allowed) else {
        eprintln!("K18 was not run: it needs root, and a control group of memory");
        return None;
    };
    let film = scarce::longest_film();
    let bytes = film.len() as u64;
    let (server, target) = serve();
    limit.bind(server.pid());
    let process = Process(server.pid());
    let done = Arc::new(AtomicBool::new(false));
    let running = viewers::watch(&target, viewers, &done);
    let began = Instant::now();
    let status = scarce::upload(&server, film);
    let took = began.elapsed();
    let peak_kib = process.peak_memory_kib();
    done.store(true, Ordering::Relaxed);
    let waits = running.join().unwrap();
    let passed = waits.errors == 0 && status != "no answer" && server.get("/healthz").status == 200;
    println!(
        "K18 {} {viewers} viewers in {mib_allowed} MiB, a film of {} MB with {} pictures: {status} after {took:.1?}; {} segments, first byte p99 {:?}; {} MiB at most; {} errors{}",
        verdict(passed),
        bytes / 1_000_000,
        scarce::PICTURES,
        waits.count(),
        waits.percentile(99),
        mib(peak_kib),
        waits.errors,
        waits.first_error.map(|error| format!(", the first: {error}")).unwrap_or_default(),
    );
    drop(server);
    drop(limit);
    Some(passed)
}

/// K19: tokens are checked while other programs use every processor.
fn busy(sizes: &Sizes) -> bool {
    let (seconds, per_second) = (sizes.of("seconds", 20, 60), sizes.of("tokens", 50, 50));
    let (_server, target) = serve();
    let neighbours = Neighbours::on_every_processor();
    let waits = scarce::check_tokens(&target, per_second as u32, seconds as u32);
    drop(neighbours);
    let p99 = waits.percentile(99);
    let passed = waits.errors == 0 && p99 <= BUSY_P99;
    println!(
        "K19 {} {} tokens checked while a program computes on every processor: p50 {:?} p99 {p99:?}, {} errors{}",
        verdict(passed),
        waits.count(),
        waits.percentile(50),
        waits.errors,
        waits.first_error.map(|error| format!(", the first: {error}")).unwrap_or_default(),
    );
    passed
}
