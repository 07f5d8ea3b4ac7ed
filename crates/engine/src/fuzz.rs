//! Doors for fuzzers to the decoders of what the engine stores; no part of the engine's interface.

/// Decodes `data` as the plaintext of a whole segment.
pub fn segment(data: &[u8]) {
    crate::segment::fuzz::segment(data);
}

/// Decodes `data` as the part of a segment, or as the deletes beside one, that its first byte chooses.
pub fn segment_part(data: &[u8]) {
    crate::segment::fuzz::part(data);
}
