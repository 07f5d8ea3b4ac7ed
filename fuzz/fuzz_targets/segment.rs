#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    pinyon_engine::fuzz::segment(data);
    pinyon_engine::fuzz::segment_part(data);
});
