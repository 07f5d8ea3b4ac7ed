#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| pinyon_wire::fuzz::grpc(data));
