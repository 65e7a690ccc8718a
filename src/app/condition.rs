//! What the running server knows of itself beyond its records: whether it is stopping, and how long its certificate is
//! good.

use crate::domain::Timestamp;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The condition that a server is in.
#[derive(Default)]
pub struct Condition {
    is_stopping: AtomicBool,
    certificate_ends_at: Mutex<Option<Timestamp>>,
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

    /// Notes until when the certificate that is shown is good.
    pub fn note_certificate_end(&self, at: Option<Timestamp>) {
        *self.certificate_ends_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// When the certificate that is shown is no longer good; `None` without TLS.
    pub fn certificate_ends_at(&self) -> Option<Timestamp> {
        *self.certificate_ends_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
