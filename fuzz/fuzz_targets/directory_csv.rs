//! See `enrolld::probes::directory_csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enrolld::probes::directory_csv(bytes));
