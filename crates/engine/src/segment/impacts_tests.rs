//! The order of rows in a stored segment: there, needed by nobody, and checked.

use std::sync::Arc;

use pinyon_kernels::Kernels;
use pinyon_model::{ErrorCode, Metadata, Record, RecordId, SparseVector};

use super::{
    format::Section,
    postings::TermsBlock,
    reader::SegmentReader,
    tests::{Fixture, block_on},
};

fn records(count: usize) -> Vec<Record> {
    let record = |n: usize| Record {
        id: RecordId::new(format!("{n:04}")).unwrap(),
        dense: None,
        sparse: Some(SparseVector::new(vec![n as u32 % 5, 10 + n as u32 % 3], vec![n as f32 + 1.0, -0.5]).unwrap()),
        metadata: Metadata::default(),
    };
    (0..count).map(record).collect()
}

async fn check(reader: &Arc<SegmentReader>) {
    reader.verify().await.unwrap();
    let query = SparseVector::new(vec![3, 12, 99], vec![1.0, 2.0, 3.0]).unwrap();
    let fetched = reader.fetch_impacts(&[0], &query, Kernels::scalar()).await.unwrap().remove(0);
    assert!(fetched.is_stored());
    let group = reader.decode_impacts(fetched).unwrap();
    assert!(!reader.fetch_impacts(&[0], &query, Kernels::scalar()).await.unwrap().remove(0).is_stored(), "kept in the cache");
    let rows = group.rows.len() as u16;
    for row in 0..rows {
        let position = group.order.as_ref().map_or(row, |order| order.position(row));
        let values = group.lists.iter().map(|(_, list)| list.get(position)).collect::<Vec<_>>();
        assert_eq!(values, [(row % 5 == 3).then_some(f32::from(row) + 1.0), (row % 3 == 2).then_some(-0.5)]);
    }
}

#[test]
fn few_rows_have_no_order_and_are_read_alike() {
    block_on(async {
        let fixture = Fixture::new();
        for count in [20, 100, 511, 512, 700] {
            let reader = fixture.segment(&records(count), 0).await;
            assert_eq!(reader.directory(Section::ImpactOrder).is_empty(), count < 512, "{count}");
            check(&reader).await;
        }
    });
}

/// Bytes of the order, of its directory and of the terms' bounds, each one changed, and the whole cut short there.
#[test]
fn damage_is_found() {
    block_on(async {
        let fixture = Fixture::new();
        let info = fixture.write(&records(512), 0, None).await;
        let plain = fixture.plain(info.object).await;
        let reader = fixture.open(info.object).await.unwrap();
        let order = reader.directory(Section::ImpactOrder).get(0).unwrap().extent;
        let directory = reader.table.get(Section::ImpactOrder).unwrap();
        let terms = reader.directory(Section::PostingTerms).get(0).unwrap().extent;
        for at in order.range().chain(directory.range()).chain(terms.range()) {
            let mut bad = plain.clone();
            bad[at as usize] ^= 1 << (at % 8);
            let object = fixture.seal(&bad).await;
            let outcome = match fixture.open(object).await {
                Ok(reader) => reader.verify().await,
                Err(error) => Err(error),
            };
            let error = outcome.expect_err(&format!("byte {at}"));
            assert!(error.code == ErrorCode::DataLoss && error.message.contains(&object.hex()), "{error}");
        }
        for len in order.range().step_by(97).chain(directory.range()) {
            let object = fixture.seal(&plain[..len as usize]).await;
            assert!(fixture.open(object).await.is_err(), "cut to {len}");
        }
    });
}

/// An order whose checksum is right and whose rows are not is found when it is used.
#[test]
fn an_order_of_other_rows_is_refused() {
    block_on(async {
        let fixture = Fixture::new();
        let info = fixture.write(&records(512), 0, None).await;
        let mut plain = fixture.plain(info.object).await;
        let reader = fixture.open(info.object).await.unwrap();
        let order = reader.directory(Section::ImpactOrder).get(0).unwrap().extent;
        let directory = reader.table.get(Section::ImpactOrder).unwrap();
        let footer = plain.len() - super::format::FOOTER_LEN;
        let table_at = u64::from_le_bytes(plain[footer..footer + 8].try_into().unwrap()) as usize;
        // The first row twice, and every checksum above made to fit.
        let (from, to) = (order.offset as usize, order.range().end as usize);
        plain.copy_within(from..from + 2, from + 2);
        let crc = crc32c::crc32c(&plain[from..to]);
        let (from, to) = (directory.offset as usize, directory.range().end as usize);
        plain[to - 4..to].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&plain[from..to]);
        let kind = (Section::ImpactOrder as u16).to_le_bytes();
        let entry = (table_at..footer).step_by(24).find(|at| plain[*at..*at + 2] == kind).unwrap();
        plain[entry + 20..entry + 24].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&plain[table_at..footer]);
        plain[footer + 12..footer + 16].copy_from_slice(&crc.to_le_bytes());
        let reader = fixture.open(fixture.seal(&plain).await).await.unwrap();
        let query = SparseVector::new(vec![3], vec![1.0]).unwrap();
        let error = reader.fetch_impacts(&[0], &query, Kernels::scalar()).await.err().unwrap();
        assert!(error.code == ErrorCode::DataLoss && error.message.contains("every row once"), "{error}");
        assert_eq!(reader.load::<TermsBlock>(&[0]).await.unwrap()[0].len(), 8, "the rest is still read");
    });
}

/// The bytes of an order, kept for ever.
mod golden {
    use super::*;

    const PLAIN: &[u8] = include_bytes!("../../tests/golden/segment-1-sparse.plain");

    #[test]
    fn a_segment_with_an_order_is_still_read() {
        block_on(async {
            let fixture = Fixture::new();
            let reader = fixture.open(fixture.seal(PLAIN).await).await.unwrap();
            assert!(!reader.directory(Section::ImpactOrder).is_empty());
            check(&reader).await;
        });
    }

    #[test]
    fn a_segment_with_an_order_is_what_is_written() {
        block_on(async {
            let fixture = Fixture::new();
            let info = fixture.write(&records(512), 0, None).await;
            let plain = fixture.plain(info.object).await;
            if std::env::var_os("PINYON_WRITE_GOLDEN").is_some() {
                std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/segment-1-sparse.plain"), &plain).unwrap();
            }
            assert!(plain == PLAIN, "the bytes of format 1 changed");
        });
    }
}
