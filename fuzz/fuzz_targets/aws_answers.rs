#![no_main]
//! What STS and S3 answer.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinyon_cloud::fuzz::aws_answer(bytes));
