//! Whether the clock can be believed. It is compared with one that nobody sets.

use super::App;
use crate::domain::{Timestamp, limits};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;

/// The clock stands before the program was written.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error(
    "the clock says {0}, which is before this program was written: set it, and start again. With a clock that is behind, \
     tokens and URLs that expired would be good once more"
)]
pub struct ClockBehind(pub Timestamp);

/// Refuses a clock that can't be right.
pub fn check_clock(now: Timestamp) -> Result<(), ClockBehind> {
    if now.secs() < limits::EARLIEST_CLOCK_S { Err(ClockBehind(now)) } else { Ok(()) }
}

/// What the clock was seen to do.
pub struct ClockWatch {
    began: Instant,
    /// In milliseconds: the furthest that the clock was ahead of the time that has passed since.
    furthest: AtomicI64,
    was_set_back: AtomicBool,
}

impl Default for ClockWatch {
    fn default() -> Self {
        Self { began: Instant::now(), furthest: AtomicI64::new(i64::MIN), was_set_back: AtomicBool::new(false) }
    }
}

impl ClockWatch {
    /// Takes in what the clock says after so many milliseconds; whether it stands behind what it said before.
    fn see(&self, now: Timestamp, passed_ms: i64) -> bool {
        let offset = now.millis().saturating_sub(passed_ms);
        let furthest = self.furthest.fetch_max(offset, Ordering::Relaxed).max(offset);
        furthest.saturating_sub(offset) > limits::CLOCK_SET_BACK_MS
    }
}

impl App {
    /// Looks at the clock. Says in the log when it was set back, and when it has caught up.
    ///
    /// # Errors
    /// It stands before the program was written.
    pub fn look_at_clock(&self) -> Result<(), ClockBehind> {
        let now = self.now();
        check_clock(now)?;
        let passed_ms = i64::try_from(self.clock_watch.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let is_behind = self.clock_watch.see(now, passed_ms);
        let was_behind = self.clock_watch.was_set_back.swap(is_behind, Ordering::Relaxed);
        match (was_behind, is_behind) {
            (false, true) => tracing::warn!(%now, "the clock was set back: what expired since then may be good again"),
            (true, false) => tracing::info!(%now, "the clock has caught up with what it said before"),
            _ => {}
        }
        Ok(())
    }

    /// Whether the clock stands behind what it said before.
    pub fn is_clock_suspect(&self) -> bool {
        self.clock_watch.was_set_back.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_from_before_the_program_is_refused() {
        let earliest = Timestamp::from_secs(limits::EARLIEST_CLOCK_S);
        assert!(check_clock(earliest).is_ok());
        for wrong in [earliest.plus_secs(-1), Timestamp::from_secs(10), Timestamp::from_secs(-1)] {
            let sentence = check_clock(wrong).unwrap_err().to_string();
            assert!(sentence.contains("clock") && sentence.contains("set it"), "{sentence}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_is_noticed_until_it_has_caught_up() {
        let watch = ClockWatch::default();
        let at = |seconds: i64| Timestamp::from_secs(limits::EARLIEST_CLOCK_S + seconds);
        assert!(!watch.see(at(0), 0) && !watch.see(at(100), 100_000));
        // A step of seconds is what time servers do; so is a clock that is put right forwards.
        assert!(!watch.see(at(105), 110_000) && !watch.see(at(1_000), 120_000));
        assert!(watch.see(at(900), 130_000));
        assert!(watch.see(at(905), 135_000));
        assert!(!watch.see(at(1_020), 140_000));
    }
}
