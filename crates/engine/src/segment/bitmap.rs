//! Sets of rows in bytes: the portable roaring format, run-length coded where that is shorter.

use roaring::RoaringBitmap;

use super::codec::Malformed;

/// The bytes of a set.
pub(crate) fn encode(rows: &RoaringBitmap) -> Vec<u8> {
    let mut best = rows.clone();
    best.optimize();
    let mut out = Vec::with_capacity(best.serialized_size());
    best.serialize_into(&mut out).expect("writing to memory does not fail");
    out
}

/// Reads a set whose members are all below `rows`, with nothing left over.
pub(crate) fn decode(mut bytes: &[u8], rows: u32) -> Result<RoaringBitmap, Malformed> {
    let bitmap = RoaringBitmap::deserialize_from(&mut bytes).map_err(|_| Malformed("it holds a bitmap that cannot be read"))?;
    if !bytes.is_empty() {
        return Err(Malformed("it has bytes left over"));
    }
    match bitmap.max() {
        Some(max) if max >= rows => Err(Malformed("it names a row that is not there")),
        _ => Ok(bitmap),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_back(rows in prop::collection::btree_set(0u32..200_000, 0..300), run in 0u32..5_000) {
            let bitmap: RoaringBitmap = rows.into_iter().chain(0..run).collect();
            let bytes = encode(&bitmap);
            prop_assert_eq!(decode(&bytes, 200_000).unwrap(), bitmap);
        }

        #[test]
        fn bad_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, 1_000);
        }
    }

    #[test]
    fn rows_beyond_the_last_are_refused() {
        let bytes = encode(&RoaringBitmap::from([7]));
        assert!(decode(&bytes, 8).is_ok());
        assert!(decode(&bytes, 7).is_err());
        assert!(decode(&[&bytes[..], &[0]].concat(), 8).is_err());
    }
}
