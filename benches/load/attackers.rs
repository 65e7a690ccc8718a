//! Clients that don't behave: heads that come byte by byte, tokens that nobody signed, ranges of everything.

use crate::client::{Line, Target, on_a_thread};
use crate::figures::{Statuses, Waits};
use crate::viewers::open;
use screener::domain::limits;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::{Instant, Interval, interval, sleep, sleep_until};

/// One slow head begins so long after the one before it, in milliseconds.
const STAGGER_MS: u64 = 2;
/// Longest that a slow connection lasts, in milliseconds: the time that a head has, and what the server may linger. Its
/// handshake takes milliseconds.
const TURN_MS: u64 = (limits::REQUEST_HEAD_S + limits::LINGER_S) * 1_000;
/// How long those who were slow hold on to their connections when they have stopped: longer than the server may take to
/// end them.
const HELD: Duration = crate::FREED.saturating_add(Duration::from_secs(5));

/// What they did, and what came of it.
#[derive(Default)]
pub struct Told {
    /// Slow connections that the server ended before the attack was over; each came back.
    pub cut: u64,
    /// Slow connections that could not be made.
    pub not_made: u64,
    /// Slow connections that the server had not ended [`HELD`] after they had stopped.
    pub kept: u64,
    /// Answers to forged tokens.
    pub tokens: Statuses,
    /// Answers to requests for many ranges.
    pub ranges: Statuses,
}

/// How many slow connections a server that keeps its limits ends at least in an attack of so many seconds.
pub fn least_cuts(slow: usize, seconds: usize) -> u64 {
    (0..slow as u64).map(|number| (seconds as u64 * 1_000).saturating_sub(number * STAGGER_MS) / TURN_MS).sum()
}

/// What a flood is of.
#[derive(Clone, Copy)]
enum Kind {
    Tokens,
    Ranges,
}

/// Begins them all; `over` ends them. Those who were slow with their heads say nothing more then, and stay until the server
/// has ended them.
pub fn begin(
    target: &Arc<Target>,
    slow: usize,
    tokens_per_s: usize,
    ranges_per_s: usize,
    over: &Arc<AtomicBool>,
) -> JoinHandle<Told> {
    let (target, over) = (Arc::clone(target), Arc::clone(over));
    on_a_thread(async move || {
        let told = Rc::new(RefCell::new(Told::default()));
        let began = Instant::now();
        let mut tasks = Vec::new();
        for number in 0..slow {
            let (target, over, told) = (Arc::clone(&target), Arc::clone(&over), Rc::clone(&told));
            tasks.push(tokio::task::spawn_local(async move {
                sleep_until(began + Duration::from_millis(number as u64 * STAGGER_MS)).await;
                while !over.load(Ordering::Relaxed) {
                    let Ok(mut line) = target.connect().await else {
                        told.borrow_mut().not_made += 1;
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    if drip(&mut line, &over).await {
                        told.borrow_mut().cut += 1;
                    } else if !hold(&mut line).await {
                        told.borrow_mut().kept += 1;
                    }
                }
            }));
        }
        for (per_s, kind) in [(tokens_per_s, Kind::Tokens), (ranges_per_s, Kind::Ranges)] {
            let (target, over, told) = (Arc::clone(&target), Arc::clone(&over), Rc::clone(&told));
            tasks.push(tokio::task::spawn_local(async move {
                let mut tick = interval(Duration::from_secs_f64(1.0 / per_s.max(1) as f64));
                while !over.load(Ordering::Relaxed) {
                    if flood(&target, &over, &mut tick, kind, &told).await.is_err() {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        told.take()
    })
}

/// One request after the other at the rate of `tick`, on one connection, until it ends.
async fn flood(
    target: &Target,
    over: &AtomicBool,
    tick: &mut Interval,
    kind: Kind,
    told: &RefCell<Told>,
) -> std::io::Result<()> {
    let mut line = target.connect().await?;
    let request = match kind {
        Kind::Tokens => target.forged.clone(),
        // Someone who may watch asks for all of a segment some thousand times in one request.
        Kind::Ranges => {
            let segments = open(target, &mut line, &mut Waits::default()).await?;
            format!("GET {segments}/1.m4s HTTP/1.1\r\nHost: a\r\nRange: bytes={}0-\r\n\r\n", "0-,".repeat(2_700))
        }
    };
    while !over.load(Ordering::Relaxed) {
        tick.tick().await;
        let status = line.exchange(&request).await?.status;
        let mut told = told.borrow_mut();
        match kind {
            Kind::Tokens => told.tokens.note(status),
            Kind::Ranges => told.ranges.note(status),
        }
    }
    Ok(())
}

/// A head that comes at one byte a second: whether the server had enough of it before the attack was over.
async fn drip(line: &mut Line, over: &AtomicBool) -> bool {
    let mut next: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
    while !over.load(Ordering::Relaxed) {
        if line.send(next).await.is_err() || line.ends_within(Duration::from_secs(1)).await {
            return true;
        }
        next = b"x";
    }
    false
}

/// Says nothing more, and holds on until the server ends the connection: whether it does.
async fn hold(line: &mut Line) -> bool {
    let until = Instant::now() + HELD;
    while Instant::now() < until {
        if line.ends_within(until - Instant::now()).await {
            return true;
        }
    }
    false
}
