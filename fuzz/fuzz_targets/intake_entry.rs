//! See `enrolld::probes::intake_entry`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enrolld::probes::intake_entry(bytes));
