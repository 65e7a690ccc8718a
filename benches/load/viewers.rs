//! Clients that behave: viewers, each at the film's own rate, and connections that ask for little.

use crate::client::{Line, Target, on_a_thread};
use crate::figures::Waits;
use serde_json::Value;
use std::io::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Length of a segment.
const SEGMENT: Duration = Duration::from_secs(2);
/// Segments of the film.
const SEGMENTS: usize = 16;
/// New connections in a second: below the rate that one address may ask for playback at.
const ARRIVALS_PER_S: usize = 400;
/// How often a connection that does next to nothing says something: before the server's keep-alive is over.
const PAUSE: Duration = Duration::from_secs(10);

/// So many viewers watch until `done`.
pub fn watch(target: &Arc<Target>, count: usize, done: &Arc<AtomicBool>) -> JoinHandle<Waits> {
    many(target, count, done, async |target, _, done| {
        let mut waits = Waits::default();
        if let Err(error) = view(target, done, &mut waits).await {
            waits.note_error(error.to_string());
        }
        waits
    })
}

/// So many connections stay open until `done`.
pub fn idle(target: &Arc<Target>, count: usize, done: &Arc<AtomicBool>) -> JoinHandle<Waits> {
    many(target, count, done, async |target, _, done| {
        let mut waits = Waits::default();
        if let Err(error) = stay(target, done, &mut waits).await {
            waits.note_error(error.to_string());
        }
        waits
    })
}

/// Starts clients one after the other and gathers what they noted.
fn many(
    target: &Arc<Target>,
    count: usize,
    done: &Arc<AtomicBool>,
    client: impl AsyncFn(&Target, usize, &AtomicBool) -> Waits + Send + Clone + 'static,
) -> JoinHandle<Waits> {
    let (target, done) = (Arc::clone(target), Arc::clone(done));
    on_a_thread(async move || {
        let began = Instant::now();
        let clients: Vec<_> = (0..count)
            .map(|number| {
                let (target, done, client) = (Arc::clone(&target), Arc::clone(&done), client.clone());
                let arrives = began + Duration::from_secs_f64(number as f64 / ARRIVALS_PER_S as f64);
                tokio::task::spawn_local(async move {
                    sleep_until(arrives).await;
                    client(&target, number, &done).await
                })
            })
            .collect();
        let mut all = Waits::default();
        for client in clients {
            all.add(client.await.unwrap());
        }
        all
    })
}

/// Opens the film as a player does; where its segments lie.
pub async fn open(target: &Target, line: &mut Line, waits: &mut Waits) -> Result<String> {
    let answer = ask(line, &target.playback, waits).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let main = answer["playback"]["uri"].as_str().unwrap();
    let main = crate::support::path_of(main);
    let base = main.rsplit_once('/').unwrap().0;
    let list = String::from_utf8(ask(line, &get(main), waits).await?).unwrap();
    let media = list.lines().find(|line| line.ends_with("/index.m3u8")).unwrap();
    ask(line, &get(&format!("{base}/{media}")), waits).await?;
    let segments = format!("{base}/{}", media.rsplit_once('/').unwrap().0);
    ask(line, &get(&format!("{segments}/init.mp4")), waits).await?;
    Ok(segments)
}

/// Watches: segment after segment, none before its time.
async fn view(target: &Target, done: &AtomicBool, waits: &mut Waits) -> Result<()> {
    let mut line = target.connect().await?;
    let segments = open(target, &mut line, waits).await?;
    let began = Instant::now();
    for number in 0.. {
        sleep_until(began + SEGMENT * number).await;
        if done.load(Ordering::Relaxed) {
            return Ok(());
        }
        let segment = number as usize % SEGMENTS + 1;
        ask(&mut line, &get(&format!("{segments}/{segment}.m4s")), waits).await?;
    }
    Ok(())
}

async fn stay(target: &Target, done: &AtomicBool, waits: &mut Waits) -> Result<()> {
    let mut line = target.connect().await?;
    while !done.load(Ordering::Relaxed) {
        ask(&mut line, &get("/healthz"), waits).await?;
        let next = Instant::now() + PAUSE;
        while Instant::now() < next && !done.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Asks, and gets what is to be had.
pub async fn ask(line: &mut Line, request: &str, waits: &mut Waits) -> Result<Vec<u8>> {
    let answer = line.exchange(request).await?;
    if answer.status != 200 {
        return Err(Error::other(format!("{} for {}", answer.status, request.lines().next().unwrap_or_default())));
    }
    waits.note(answer.first_byte, answer.body.len() as u64);
    Ok(answer.body)
}
