//! Doors for fuzzing: every parser of stored bytes, given bytes that nobody vouches for. They answer nothing and must not panic.

use crate::frame::{self, FileHeader, Head};
use crate::sealed::parse_object;
use crate::{DataKey, KeyId};

/// Reads `bytes` as a frame file: header, frames, and their decryption under some key.
pub fn frame_file(bytes: &[u8]) {
    let Ok(Head::Whole(header)) = FileHeader::decode(bytes, "fuzz") else { return };
    let _ = frame::walk(bytes, Some(header.base % 8), "fuzz");
    let Ok(walk) = frame::walk(bytes, None, "fuzz") else { return };
    let key = DataKey::from_parts(KeyId([0; 16]), [0; 32]);
    let sealer = header.sealer(key.bytes());
    let mut bytes = bytes.to_vec();
    for placed in &walk.frames {
        let _ = frame::open_frame(&header, &sealer, &mut bytes, placed, "fuzz");
    }
}

/// Reads `bytes` as a frame file whose checksums are made to fit, so that what lies behind them is reached.
pub fn frame_file_resummed(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    frame::fit_checksums(&mut bytes);
    frame_file(&bytes);
}

/// Reads `bytes` as a sealed object.
pub fn object(bytes: &[u8]) {
    let key = DataKey::from_parts(KeyId([0; 16]), [0; 32]);
    let _ = parse_object(bytes, &key, false);
    let _ = parse_object(bytes, &key, true);
}

/// Reads `bytes` as the entries of a key store.
pub fn key_entries(bytes: &[u8]) {
    let _ = crate::key_store::parse_entries(bytes);
}

/// Reads a file of these bytes as an exported backup, and of what follows a good header.
pub fn archive(bytes: &[u8]) {
    let _ = crate::archive::walk(bytes.to_vec());
    let header = [&b"PinyBack\x01\0"[..], &[0; 22]].concat();
    let _ = crate::archive::walk([&header[..], bytes].concat());
}

/// Reads `text` as an exported root key.
pub fn root_key(text: &str) {
    let _ = crate::RootKey::parse_text(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..700), text in ".{0,100}") {
            super::frame_file(&bytes);
            super::frame_file_resummed(&bytes);
            super::object(&bytes);
            super::key_entries(&bytes);
            super::archive(&bytes);
            super::root_key(&text);
        }
    }
}
