//! What the wall clock says is over, and since when. Relies on a clock that nobody sets.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Records that may be forgotten once the clock has said so for long enough. In memory alone: after a start the time
/// begins anew, and a record stays longer than it had to.
#[derive(Default)]
pub struct Overdue(Mutex<HashMap<Uuid, Instant>>);

impl Overdue {
    /// Those of `over` that were so for `enough` without a break.
    pub fn confirmed(&self, over: impl Iterator<Item = Uuid>, now: Instant, enough: Duration) -> HashSet<Uuid> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since: HashMap<Uuid, Instant> = over.map(|id| (id, known.get(&id).copied().unwrap_or(now))).collect();
        *known = since;
        known.iter().filter(|(_, since)| now.duration_since(**since) >= enough).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_for_a_day_without_a_break_is_forgotten() {
        let overdue = Overdue::default();
        let (steady, fleeting) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let began = Instant::now();
        let day = Duration::from_secs(86_400);
        let at = |over: &[Uuid], after: Duration| overdue.confirmed(over.iter().copied(), began + after, day);
        assert!(at(&[steady, fleeting], Duration::ZERO).is_empty());
        // The clock was ahead, and is put right.
        assert!(at(&[steady], day / 2).is_empty());
        assert!(at(&[steady, fleeting], day - Duration::from_secs(1)).is_empty());
        assert_eq!(at(&[steady, fleeting], day), HashSet::from([steady]));
        assert_eq!(at(&[steady, fleeting], day * 2), HashSet::from([steady, fleeting]));
    }
}
