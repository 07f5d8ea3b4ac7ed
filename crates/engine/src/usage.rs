//! What operations are billed as, in Pinecone's units, each rounded up.

use pinyon_model::Usage;

/// Bytes of a namespace that one read unit of a query pays for.
const QUERY_BYTES: u64 = 1_000_000_000;
/// Records that one read unit of a fetch pays for.
const FETCH_RECORDS: u64 = 10;
/// Bytes of new and old records that one write unit pays for.
const WRITE_BYTES: u64 = 1_024;
/// Write units of the smallest request.
const WRITE_UNITS_MIN: u64 = 5;

fn read(units: u64) -> Usage {
    Usage { read_units: u32::try_from(units.max(1)).unwrap_or(u32::MAX), write_units: 0 }
}

/// A query of a namespace with so many counted bytes.
pub(crate) fn query(namespace_bytes: u64) -> Usage {
    read(namespace_bytes.div_ceil(QUERY_BYTES))
}

/// A fetch that gave so many records.
pub(crate) fn fetch(records: usize) -> Usage {
    read((records as u64).div_ceil(FETCH_RECORDS))
}

/// One page of a listing.
pub(crate) fn list() -> Usage {
    read(1)
}

/// A write that put, replaced and removed so many bytes.
pub(crate) fn write(bytes: u64) -> Usage {
    let units = bytes.div_ceil(WRITE_BYTES).max(WRITE_UNITS_MIN);
    Usage { read_units: 0, write_units: u32::try_from(units).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_at_their_edges() {
        assert_eq!([0, 1, 1_000_000_000, 1_000_000_001].map(|b| query(b).read_units), [1, 1, 1, 2]);
        assert_eq!([0, 1, 10, 11, 1_000].map(|n| fetch(n).read_units), [1, 1, 1, 2, 100]);
        assert_eq!([0, 5 * 1_024, 5 * 1_024 + 1].map(|b| write(b).write_units), [5, 5, 6]);
    }
}
