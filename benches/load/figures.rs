//! What was measured.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Which statuses answers had, and how often.
#[derive(Default)]
pub struct Statuses(BTreeMap<u16, u64>);

impl Statuses {
    /// Notes one answer.
    pub fn note(&mut self, status: u16) {
        *self.0.entry(status).or_default() += 1;
    }

    /// How many answers there were.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// Whether there were answers, and none of another status than these.
    pub fn are_all_of(&self, expected: &[u16]) -> bool {
        !self.0.is_empty() && self.0.keys().all(|status| expected.contains(status))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        formatter.write_str(&each.join(", "))
    }
}

/// How long answers took to begin, and what went wrong.
#[derive(Default)]
pub struct Waits {
    micros: Vec<u32>,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// Requests that were not answered as they should have been.
    pub errors: u64,
    /// The first of these.
    pub first_error: Option<String>,
}

impl Waits {
    /// Notes one answer.
    pub fn note(&mut self, first_byte: Duration, bytes: u64) {
        self.micros.push(u32::try_from(first_byte.as_micros()).unwrap_or(u32::MAX));
        self.bytes += bytes;
    }

    /// Notes what was no answer.
    pub fn note_error(&mut self, error: String) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    /// Adds what another one noted.
    pub fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.bytes += other.bytes;
        self.errors += other.errors;
        if let Some(error) = other.first_error {
            self.first_error.get_or_insert(error);
        }
    }

    /// How many answers there were.
    pub fn count(&self) -> usize {
        self.micros.len()
    }

    /// What so many of a hundred did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        Duration::from_micros(sorted.get(at).copied().unwrap_or(u32::MAX).into())
    }
}

/// Mebibytes with a decimal, for people.
pub fn exact_mib(kib: u64) -> String {
    format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024)
}

/// Mebibytes, rounded up.
pub fn mib(kib: u64) -> u64 {
    kib.div_ceil(1024)
}
