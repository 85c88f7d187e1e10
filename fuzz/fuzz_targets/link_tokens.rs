//! See `enrolld::probes::link_tokens`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enrolld::probes::link_tokens(bytes));
