#![no_main]
//! What a balancer, or somebody else, puts before a connection.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinyon_server::fuzz::proxy_header(bytes));
