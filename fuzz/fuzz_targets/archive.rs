#![no_main]
//! A file that is said to be an exported backup.
libfuzzer_sys::fuzz_target!(|data: &[u8]| pinyon_storage::fuzz::archive(data));
