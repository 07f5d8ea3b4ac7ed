#![no_main]
//! What KMS answers.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinyon_cloud::fuzz::kms_answer(bytes));
