//! What every fuzz target shares: the properties, which `tests/it/mutations.rs` checks too, and the bounds on memory and time.

pub mod properties;

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What one run may take beyond what was taken before it, in bytes: the longest index that a film may have, read whole.
const RUN_BYTES: usize = 64 << 20;

/// How long one run may compute. Others' work on the same machine does not count. The program itself has 100 ms
/// (`tests/it/mutations.rs`); counting coverage and memory takes two to three times as long.
const RUN_TIME: Duration = Duration::from_millis(300);

/// How often it is run for the least of its times: others take caches, and half of a core, from it.
const ATTEMPTS: usize = 3;

/// Runs `property`, and fails where it took more memory or time than it may.
pub fn bounded(property: impl Fn()) {
    let mut least = Duration::MAX;
    for _ in 0..ATTEMPTS {
        let (before, began) = (MEMORY.current_usage(), computed());
        MEMORY.reset_peak_usage();
        property();
        let (taken, computed) = (MEMORY.peak_usage().saturating_sub(before), computed() - began);
        assert!(taken <= RUN_BYTES, "{taken} bytes were taken");
        least = least.min(computed);
        if least <= RUN_TIME {
            return;
        }
    }
    panic!("{least:?} were computed");
}

/// What this thread has computed until now.
fn computed() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
