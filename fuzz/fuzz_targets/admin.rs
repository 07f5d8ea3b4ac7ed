#![no_main]
//! The bodies of the admin plane and of the token endpoint; the first byte chooses which.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    if which % 2 == 0 { pinyon_wire::fuzz::admin_json(body) } else { pinyon_wire::fuzz::token_request(body) }
});
