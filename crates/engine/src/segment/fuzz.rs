//! One door for fuzzers to every decoder of segments and deletes. Nothing here may panic or ask for more memory than the
//! bytes at hand justify.

use pinyon_model::ObjectId;

use super::{
    bitmap,
    block::{Block, MetadataBlock, Shape, SparseBlock},
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
}

/// Decodes `data` after its first two bytes as the part of a segment that the first names; the second sizes the segment.
pub(crate) fn part(data: &[u8]) {
    let [kind, size, data @ ..] = data else { return };
    let rows = u32::from(*size) * 16;
    let shape = Shape { rows, dimension: usize::from(*size % 8), field_pages: u32::from(*size) };
    match kind % 18 {
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
