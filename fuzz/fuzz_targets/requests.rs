#![no_main]

use screener_fuzz::properties::requests::{hold, status_of};

libfuzzer_sys::fuzz_target!(
    // The server's own start is no run.
    init: { status_of(b"GET /healthz\n\n"); },
    |bytes: &[u8]| screener_fuzz::bounded(|| hold(bytes))
);
