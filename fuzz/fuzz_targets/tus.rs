#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| screener_fuzz::bounded(|| screener_fuzz::properties::tus::hold(bytes)));
