//! What every fuzz target shares: the properties, which `tests/it/mutations.rs` checks too, and the bound on memory.

pub mod properties;

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What one run may take beyond what was taken before it, in bytes: the longest index that a film may have, read whole.
const RUN_BYTES: usize = 64 << 20;

/// Runs `property`, and fails where it took more memory than it may.
pub fn bounded(property: impl FnOnce()) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    property();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= RUN_BYTES, "{taken} bytes were taken");
}
