//! Whether the server still does its work: every worker's event loop answers, and a read of the store completes. The
//! service manager's watchdog is fed when both do, never by a timer alone.

use super::manager;
use crate::app::App;
use actix_web::web;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The event loops of the workers.
#[derive(Default)]
pub(super) struct Pulse(Mutex<Vec<mpsc::Sender<oneshot::Sender<()>>>>);

impl Pulse {
    /// To be called on a worker's thread when it begins: from then on its event loop is asked.
    pub fn attach(&self) {
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
        actix_web::rt::spawn(async move {
            while let Some(answer) = asked.recv().await {
                // Whoever asked may have given up waiting.
                let _ = answer.send(());
            }
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ask);
    }

    /// Waits until so many event loops answer.
    pub async fn begin(&self, loops: usize) {
        while self.beats(Duration::from_secs(1)).await < loops {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How many event loops answer within `limit`.
    async fn beats(&self, limit: Duration) -> usize {
        let asks: Vec<_> = {
            let mut asks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // A worker that panicked has been replaced by one that has attached itself.
            asks.retain(|ask| !ask.is_closed());
            asks.clone()
        };
        let answers = asks.iter().map(|ask| async move {
            let (answer, answered) = oneshot::channel();
            // One that still has the last question to answer is not asked another.
            let is_asked = ask.try_send(answer).is_ok();
            is_asked && tokio::time::timeout(limit, answered).await.is_ok_and(|answer| answer.is_ok())
        });
        futures_util::future::join_all(answers).await.into_iter().filter(|has_answered| *has_answered).count()
    }
}

/// Feeds the watchdog for as long as the server runs and works; `loops` event loops are to answer.
pub(super) async fn feed(app: web::Data<App>, pulse: web::Data<Pulse>, loops: usize) {
    let Some(interval) = manager::watchdog() else { return };
    // Three rounds in an interval: one may be late on a busy machine.
    let limit = interval / 3;
    let mut tick = tokio::time::interval(limit);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let reader = app.clone();
        let read = web::block(move || reader.store.probe());
        let (beats, read) = tokio::join!(pulse.beats(limit), tokio::time::timeout(limit, read));
        if let Ok(Ok(Err(error))) = &read {
            // It was read, and wrong: that is for health to tell. A restart is for what hangs.
            tracing::error!(%error, "the index could not be read");
        }
        if beats >= loops && read.is_ok() {
            manager::alive();
        } else {
            let silent = loops.saturating_sub(beats);
            tracing::error!(silent_workers = silent, store_answers = read.is_ok(), "stuck; the watchdog is not fed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier, mpsc as blocking};

    /// A thread with an event loop, as a worker has, which does what it is sent until nothing more can come.
    fn worker(pulse: &Arc<Pulse>) -> mpsc::UnboundedSender<Box<dyn FnOnce() + Send>> {
        let (sender, mut work) = mpsc::unbounded_channel::<Box<dyn FnOnce() + Send>>();
        let (pulse, attached) = (Arc::clone(pulse), Arc::new(Barrier::new(2)));
        let begun = Arc::clone(&attached);
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                pulse.attach();
                begun.wait();
                while let Some(step) = work.recv().await {
                    step();
                }
            });
        });
        attached.wait();
        sender
    }

    #[test]
    fn a_worker_that_is_stuck_is_missed_and_counts_again_when_it_goes_on() {
        let pulse = Arc::new(Pulse::default());
        let (busy, _idle) = (worker(&pulse), worker(&pulse));
        let beats = |limit| actix_web::rt::System::new().block_on(pulse.beats(Duration::from_millis(limit)));
        assert_eq!(beats(20_000), 2);
        let (release, held) = blocking::channel::<()>();
        let (stuck, is_stuck) = blocking::channel();
        busy.send(Box::new(move || {
            stuck.send(()).unwrap();
            // Blocks the thread, as a system call that does not return would.
            let _ = held.recv();
        }))
        .unwrap();
        is_stuck.recv().unwrap();
        assert_eq!(beats(50), 1);
        // Not asked again before it has answered: questions do not pile up.
        assert_eq!(beats(50), 1);
        release.send(()).unwrap();
        let (caught_up, has_caught_up) = blocking::channel();
        busy.send(Box::new(move || caught_up.send(()).unwrap())).unwrap();
        has_caught_up.recv().unwrap();
        while beats(20_000) < 2 {}
    }

    #[test]
    fn a_worker_that_is_gone_is_not_counted() {
        let pulse = Arc::new(Pulse::default());
        let (gone, _other) = (worker(&pulse), worker(&pulse));
        let beats = || actix_web::rt::System::new().block_on(pulse.beats(Duration::from_secs(20)));
        assert_eq!(beats(), 2);
        drop(gone);
        while beats() != 1 {}
    }
}
