//! See `enrolld::probes::directory_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enrolld::probes::directory_json(bytes));
