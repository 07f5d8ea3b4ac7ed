#![no_main]
//! A log file as it is, and with checksums that fit, so that what lies behind them is reached.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    pinyon_storage::fuzz::frame_file(data);
    pinyon_storage::fuzz::frame_file_resummed(data);
    pinyon_storage::fuzz::key_entries(data);
});
