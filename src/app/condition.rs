//! What the running server knows of itself beyond its records: whether it is stopping, how long its certificate is good,
//! and whether its own work goes on.

use crate::domain::{Timestamp, limits};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The condition that a server is in.
#[derive(Default)]
pub struct Condition {
    is_stopping: AtomicBool,
    certificate_ends_at: Mutex<Option<Timestamp>>,
    task_failed_at: Mutex<Option<Instant>>,
}

impl Condition {
    /// Notes that a stop has begun: what still runs is finished, and nothing more should come.
    pub fn begin_stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether a stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Notes that a task of the server's own has failed.
    pub fn note_failed_task(&self, now: Instant) {
        *self.task_failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether one has within [`limits::FAILED_TASK_TOLD_S`].
    pub fn has_failed_task(&self, now: Instant) -> bool {
        let failed_at = *self.task_failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_some_and(|at| now.duration_since(at) < Duration::from_secs(limits::FAILED_TASK_TOLD_S))
    }

    /// Notes until when the certificate that is shown is good.
    pub fn note_certificate_end(&self, at: Option<Timestamp>) {
        *self.certificate_ends_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// When the certificate that is shown is no longer good; `None` without TLS.
    pub fn certificate_ends_at(&self) -> Option<Timestamp> {
        *self.certificate_ends_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_failed_is_told_of_for_a_while() {
        let (condition, now) = (Condition::default(), Instant::now());
        let after = |seconds| condition.has_failed_task(now + Duration::from_secs(seconds));
        assert!(!after(0));
        condition.note_failed_task(now);
        assert!(after(0) && after(limits::FAILED_TASK_TOLD_S - 1) && !after(limits::FAILED_TASK_TOLD_S));
    }
}
