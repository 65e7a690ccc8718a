//! What every fuzz target shares: the properties, which `tests/it/mutations.rs` checks too, and the bounds on memory and time.

pub mod properties;

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What one run may take beyond what was taken before it, in bytes: the longest index that a film may have, read whole.
const RUN_BYTES: usize = 64 << 20;

/// How long one run may compute. Others' work on the same machine does not count.
const RUN_TIME: Duration = Duration::from_millis(100);

/// Runs `property`, and fails where it took more memory or time than it may.
pub fn bounded(property: impl FnOnce()) {
    let (before, began) = (MEMORY.current_usage(), computed());
    MEMORY.reset_peak_usage();
    property();
    let (taken, computed) = (MEMORY.peak_usage().saturating_sub(before), computed() - began);
    assert!(taken <= RUN_BYTES, "{taken} bytes were taken");
    assert!(computed <= RUN_TIME, "{computed:?} were computed");
}

/// What this thread has computed until now.
fn computed() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
