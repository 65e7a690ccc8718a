//! Where time and chance come in. Everything below takes `now` and random bytes as arguments.

use crate::domain::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Draws random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    fn now(&self) -> Timestamp {
        // Before 1970 every token is from the future, which refuses it: the safe side.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The system's random number generator.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is where randomness is drawn")]
    fn fill(&self, bytes: &mut [u8]) {
        // Linux answers from the moment its pool is initialised; going on without would make guessable keys.
        getrandom::fill(bytes).expect("the system gives random bytes");
    }
}

/// A clock that a test sets, in seconds.
#[cfg(test)]
pub(super) struct SetClock(pub std::sync::Arc<std::sync::atomic::AtomicI64>);

#[cfg(test)]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}
