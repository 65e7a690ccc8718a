//! How many lines the log gets of answers: whoever asks for nothing as fast as it goes must not drown what an operator has to
//! read, nor fill the disk with it. What is left out is counted.

use crate::domain::limits;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in the second that has begun, over all connections.
pub struct AnswerLines(Mutex<Option<Second>>);

struct Second {
    began: Instant,
    answers: u64,
}

impl AnswerLines {
    /// None yet.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Counts an answer: whether it gets its line, and how many got none in the second before, told once.
    pub fn count(&self, now: Instant) -> (bool, Option<u64>) {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = 0;
        let current = match &mut *second {
            Some(current) if now.saturating_duration_since(current.began) < Duration::from_secs(1) => current,
            other => {
                left_out = other.as_ref().map_or(0, |last| last.answers.saturating_sub(limits::ANSWER_LINES_PER_S));
                other.insert(Second { began: now, answers: 0 })
            }
        };
        current.answers += 1;
        (current.answers <= limits::ANSWER_LINES_PER_S, (left_out > 0).then_some(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_answers_gets_its_lines_of_each_second_and_the_rest_is_counted() {
        let (lines, began) = (AnswerLines::new(), Instant::now());
        let flood = |at_ms: u64| {
            let now = began + Duration::from_millis(at_ms);
            let counted: Vec<_> = (0..limits::ANSWER_LINES_PER_S + 700).map(|_| lines.count(now)).collect();
            let written = counted.iter().filter(|(is_written, _)| *is_written).count() as u64;
            (written, counted.iter().filter_map(|(_, left_out)| *left_out).collect::<Vec<_>>())
        };
        assert_eq!(flood(0), (limits::ANSWER_LINES_PER_S, vec![]));
        assert_eq!(lines.count(began + Duration::from_millis(999)), (false, None));
        assert_eq!(flood(1_000), (limits::ANSWER_LINES_PER_S, vec![701]));
        assert_eq!(lines.count(began + Duration::from_secs(60)), (true, Some(700)));
        assert_eq!(lines.count(began + Duration::from_secs(62)), (true, None));
    }
}
