//! One door for fuzzers to every decoder of segments and deletes. Nothing here may panic or ask for more memory than the
//! bytes at hand justify.

use pinyon_model::ObjectId;

use super::{
    bitmap,
    block::{Block, MetadataBlock, Shape, SparseBlock},
    codec::Malformed,
    codes::{Aligned, CodeQuery, Codes, Head, Parts},
    codes_section::{self, Stored},
    column::Column,
    deletes,
    dense::DenseBlock,
    fields::{FieldHead, FieldNames, NumberPage, TextPage},
    format::{Directory, FOOTER_LEN, Footer, Section, Table},
    ids::IdTable,
    impacts::{ImpactList, ImpactOrder},
    postings::{PostingList, TermsBlock},
    resident::{Resident, Statistics},
    verify::check_block,
};

/// Decodes `data` as the plaintext of a whole segment, checksums included.
pub(crate) fn segment(data: &[u8]) {
    let Some(footer_at) = data.len().checked_sub(FOOTER_LEN) else { return };
    let Ok(footer) = Footer::decode(&data[footer_at..], data.len() as u64) else { return };
    let slice = |range: std::ops::Range<u64>| data.get(range.start as usize..range.end as usize).unwrap_or_default();
    let Ok(table) = Table::decode(slice(footer.table.range()), footer.table.offset) else { return };
    let bytes_of = |section| table.get(section).map(|extent| slice(extent.range()));
    let Ok(resident) = Resident::decode(&table, footer.table.offset, bytes_of) else { return };
    for section in super::resident::RESIDENT {
        for entry in resident.directory(section).iter() {
            let _ = check_block(section, slice(entry.extent.range()), entry, &resident.shape);
        }
    }
    let _ = bytes_of(Section::Fields).map(FieldNames::decode);
    let rows = resident.ids.from(0).count();
    assert_eq!(rows, resident.statistics.rows as usize);
    let whole = |section| bytes_of(section).unwrap_or_default();
    let blocks = |section| -> Vec<u8> {
        let directory = resident.directory(section);
        let len: u64 = directory.iter().map(|entry| entry.extent.len).sum();
        if len > data.len() as u64 { Vec::new() } else { directory.iter().flat_map(|entry| slice(entry.extent.range())).copied().collect() }
    };
    let stored = Stored {
        head: whole(Section::CodesHead),
        clusters: whole(Section::Clusters),
        spilled: whole(Section::Spilled).to_vec(),
        centers: Aligned::from(whole(Section::Centers)),
        rows: whole(Section::CodedVectors).to_vec(),
        scan: Aligned::from(&blocks(Section::ScanCodes)[..]),
        second: Aligned::from(&blocks(Section::SecondCodes)[..]),
    };
    let _ = codes_section::decode(stored, &resident.dense).map(|codes| search(&codes));
}

/// Puts codes together from a head and as many bytes as it asks for, as far as there are so many.
fn codes(data: &[u8]) -> Result<(), Malformed> {
    let (head, mut rest) = data.split_at(data.len().min(26 + 12 * usize::from(data.first().copied().unwrap_or(0) % 4)));
    let head = Head::decode(head)?;
    let mut take = |count: u32, bytes: usize| -> Vec<u8> {
        let (taken, left) = rest.split_at(rest.len().min(count as usize * bytes));
        rest = left;
        taken.to_vec()
    };
    let (vectors, clusters) = (head.vectors, head.clusters);
    let (mean, sizes) = (take(head.padded, 4), take(clusters, 4));
    let centers = Aligned::from(&take(clusters, head.row_bytes(pinyon_kernels::CodeBits::Eight))[..]);
    let spilled = if head.seed % 2 == 0 { Vec::new() } else { [take(clusters, 4), take(vectors / 2, 4)].concat() };
    let (rows, second) = (take(vectors, 4), Some(Aligned::from(&take(vectors, head.row_bytes(head.bits))[..])));
    let codes = Codes::new(Parts { head, mean, sizes, spilled, centers, rows, scan: Aligned::from(rest), second })?;
    search(&codes);
    Ok(())
}

/// Asks codes everything that a search asks.
pub(super) fn search(codes: &Codes) {
    let kernels = pinyon_kernels::Kernels::detect();
    let query = CodeQuery::new(kernels, codes, &codes.rotation().rotated(kernels, &[1.0, -2.0], 1.0));
    let mut bases = Vec::new();
    query.bases(codes, codes.all_centers(), &mut bases);
    let _ = (query.rough_bases(codes, 1), query.rough_bases(codes, codes.clusters() as usize));
    assert_eq!(bases.len(), codes.clusters() as usize);
    let mut found = Vec::new();
    (0..codes.clusters()).zip(&bases).for_each(|(cluster, base)| query.scan(codes, cluster, *base, f32::NEG_INFINITY, &mut found));
    let slots: Vec<u32> = codes.slot_of().to_vec();
    for (place, _) in found {
        let cluster = codes.cluster_at(place);
        let ordinal = codes.ordinal(codes.slot_at(cluster, place));
        assert!(codes.places(cluster).contains(&place) && ordinal < codes.vectors());
        // A damaged segment may spill a vector twice; it is then known in its last place.
        assert!(codes.places_of(ordinal).all(|place| codes.ordinal(codes.slot_at(codes.cluster_at(place), place)) == ordinal));
    }
    assert!((0..).zip(&slots).all(|(ordinal, slot)| codes.ordinal(*slot) == ordinal));
    let mut estimates: Vec<f32> = slots.iter().map(|slot| bases[codes.cluster_of(*slot) as usize]).collect();
    query.second(codes, &slots, &mut estimates);
    let _ = codes.head().effort(10.0);
    let _ = codes.check_numbers();
}

/// Decodes `data` after its first two bytes as the part of a segment that the first names; the second sizes the segment.
pub(crate) fn part(data: &[u8]) {
    let [kind, size, data @ ..] = data else { return };
    let rows = u32::from(*size) * 16;
    let shape = Shape { rows, dimension: usize::from(*size % 8), field_pages: u32::from(*size) };
    match kind % 20 {
        0 => drop(Statistics::decode(data)),
        1 => drop(IdTable::decode(data, rows).map(|ids| assert_eq!(ids.from(0).count() as u32, rows))),
        2 => drop(Column::decode(data, rows).map(|column| (0..rows).map(|r| column.get(r)).max())),
        3 => drop(bitmap::decode(data, rows)),
        4 => drop(DenseBlock::decode(data, &shape)),
        5 => drop(MetadataBlock::decode(data, &shape).map(|b| (0..b.rows()).map(|r| b.get(r).is_ok()).collect::<Vec<_>>())),
        6 => drop(SparseBlock::decode(data, &shape).map(|b| (0..b.rows()).map(|r| b.get(r).is_ok()).collect::<Vec<_>>())),
        7 => drop(TermsBlock::decode(data, &shape).map(|t| (0..t.len()).map(|term| t.list_at(term).end).max())),
        8 => drop(PostingList::decode(data, rows).map(|list| list.add_to(1.0, &mut vec![0.0; rows as usize]))),
        9 => drop(FieldNames::decode(data)),
        10 => drop(FieldHead::decode(data, &shape)),
        11 => drop(TextPage::decode(data, &shape)),
        12 => drop(NumberPage::decode(data, &shape)),
        13 => drop(Directory::decode(data, u64::from(rows) * 1_024)),
        15 => drop(
            ImpactOrder::decode(data, &shape).map(|order| order.rows().map(|row| assert!(order.row(order.position(row)) == row)).count()),
        ),
        16 => drop(ImpactList::decode(data, rows, 2.0, None).map(|list| list.add_to(1.0, &mut vec![0.0; rows as usize]))),
        17 => drop(Head::decode(data)),
        18 => drop(codes(data)),
        14 => drop(Table::decode(data, u64::from(rows) * 1_024)),
        _ => drop(deletes::decode(data, ObjectId::from_bytes([0; 16]), rows)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn nothing_panics(data in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4], 0..120)) {
            super::part(&data);
            super::segment(&data);
        }
    }
}
