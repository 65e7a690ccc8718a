//! Clients that don't behave: heads that come byte by byte, tokens that nobody signed, ranges of everything.

use crate::client::{Target, on_a_thread};
use crate::figures::Waits;
use crate::viewers::open;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::{Instant, Interval, interval, sleep, sleep_until};

/// What they did.
#[derive(Default, Clone, Copy)]
pub struct Told {
    /// Slow connections that the server cut; each came back.
    pub cut: u64,
    /// Forged tokens that were answered.
    pub tokens: u64,
    /// Requests for many ranges that were answered.
    pub ranges: u64,
}

/// What a flood is of.
#[derive(Clone, Copy)]
enum Kind {
    Tokens,
    Ranges,
}

/// Begins them all; `over` ends them.
pub fn begin(
    target: &Arc<Target>,
    slow: usize,
    tokens_per_s: usize,
    ranges_per_s: usize,
    over: &Arc<AtomicBool>,
) -> JoinHandle<Told> {
    let (target, over) = (Arc::clone(target), Arc::clone(over));
    on_a_thread(async move || {
        let told = Rc::new(Cell::new(Told::default()));
        let began = Instant::now();
        let mut tasks = Vec::new();
        for number in 0..slow {
            let (target, over, told) = (Arc::clone(&target), Arc::clone(&over), Rc::clone(&told));
            tasks.push(tokio::task::spawn_local(async move {
                sleep_until(began + Duration::from_millis(number as u64 * 2)).await;
                while !over.load(Ordering::Relaxed) {
                    let _ = drip(&target, &over).await;
                    told.set(Told { cut: told.get().cut + 1, ..told.get() });
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
        told.get()
    })
}

/// One request after the other at the rate of `tick`, on one connection, until it ends.
async fn flood(
    target: &Target,
    over: &AtomicBool,
    tick: &mut Interval,
    kind: Kind,
    told: &Cell<Told>,
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
        line.exchange(&request).await?;
        let so_far = told.get();
        told.set(match kind {
            Kind::Tokens => Told { tokens: so_far.tokens + 1, ..so_far },
            Kind::Ranges => Told { ranges: so_far.ranges + 1, ..so_far },
        });
    }
    Ok(())
}

/// A head that comes at one byte a second until the server has had enough.
async fn drip(target: &Target, over: &AtomicBool) -> std::io::Result<()> {
    let mut line = target.connect().await?;
    line.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ").await?;
    while !over.load(Ordering::Relaxed) {
        line.send(b"x").await?;
        if line.ends_within(Duration::from_secs(1)).await {
            return Ok(());
        }
    }
    Ok(())
}
