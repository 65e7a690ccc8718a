//! Running what sled may hang or panic in, on a thread of its own.

use super::index::IndexError;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often it is looked, within its limit, whether a thread gets on.
const LOOKS: u32 = 10;

/// Work on a thread of its own. One that hangs is left behind: it holds nothing that a rebuilt index needs.
pub(super) struct Guarded<T> {
    result: mpsc::Receiver<Result<T, IndexError>>,
    thread: Arc<OnceLock<ThreadClock>>,
}

/// Does the work, within `limit` as [`Guarded::finish`] counts it.
pub(super) fn guarded<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<T, IndexError> {
    Guarded::begin(work)?.finish(limit)
}

impl<T: Send + 'static> Guarded<T> {
    /// Begins the work.
    pub fn begin(work: impl FnOnce() -> Result<T, IndexError> + Send + 'static) -> Result<Self, IndexError> {
        let (sender, result) = mpsc::channel();
        let thread = Arc::new(OnceLock::new());
        let clock = Arc::clone(&thread);
        std::thread::Builder::new()
            .name("index-open".into())
            .spawn(move || {
                clock.get_or_init(ThreadClock::of_this);
                // A receiver that gave up is not interested.
                let _ = sender.send(work());
            })
            .map_err(sled::Error::Io)?;
        Ok(Self { result, thread })
    }

    /// Waits for its end, up to `limit` of what it computes or stands still from now on. On a machine that has no time for
    /// it, that is longer by the clock: an index must not be given up because others are busy.
    pub fn finish(&self, limit: Duration) -> Result<T, IndexError> {
        let step = limit / LOOKS;
        let (mut taken, mut computed) = (Duration::ZERO, self.computed());
        loop {
            match self.result.recv_timeout(step) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(IndexError::Panicked),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let before = std::mem::replace(&mut computed, self.computed());
            let progress = computed.saturating_sub(before);
            taken += if progress.is_zero() { step } else { progress };
            if taken >= limit {
                return Err(IndexError::Stuck(limit));
            }
        }
    }

    fn computed(&self) -> Duration {
        self.thread.get().and_then(ThreadClock::computed).unwrap_or_default()
    }
}

/// Says how long one thread has computed.
struct ThreadClock(Option<PathBuf>);

impl ThreadClock {
    fn of_this() -> Self {
        // PID/task/TID (proc(5)).
        let thread = std::fs::read_link("/proc/thread-self").ok();
        Self(thread.map(|thread| PathBuf::from("/proc").join(thread).join("schedstat")))
    }

    /// `None` where the system does not tell. Then all its time counts as standing still.
    fn computed(&self) -> Option<Duration> {
        // Nanoseconds on a processor, nanoseconds waiting for one, turns.
        let text = std::fs::read_to_string(self.0.as_ref()?).ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    const LIMIT: Duration = Duration::from_millis(200);

    #[test]
    fn work_that_stands_still_or_never_ends_is_given_up_and_what_ends_is_answered() {
        let is_over = Arc::new(AtomicBool::new(false));
        let (still, busy) = (Arc::clone(&is_over), Arc::clone(&is_over));
        let stands_still = move || {
            while !still.load(Ordering::Relaxed) {
                std::thread::park();
            }
            Ok(())
        };
        let computes = move || {
            while !busy.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            Ok(())
        };
        assert!(matches!(guarded(LIMIT, stands_still), Err(IndexError::Stuck(LIMIT))));
        assert!(matches!(guarded(LIMIT, computes), Err(IndexError::Stuck(LIMIT))));
        is_over.store(true, Ordering::Relaxed);
        // Writing a panic down may take a while.
        let long = 100 * LIMIT;
        assert_eq!(guarded(long, || Ok(5)).unwrap(), 5);
        assert!(matches!(guarded(long, || -> Result<(), _> { panic!("as sled does") }), Err(IndexError::Panicked)));
    }

    #[test]
    fn only_what_a_thread_computes_counts_as_long_as_it_gets_on() {
        // Long enough that no thread goes without any turn between two looks, however busy the machine is.
        let limit = 5 * LIMIT;
        // A thread that gets a small part of a processor: it computes a little, and waits.
        let gets_little = move || {
            let began = Instant::now();
            while began.elapsed() < 2 * limit {
                let turn = Instant::now();
                while turn.elapsed() < Duration::from_millis(1) {
                    std::hint::spin_loop();
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Ok(())
        };
        guarded(limit, gets_little).unwrap();
    }
}
