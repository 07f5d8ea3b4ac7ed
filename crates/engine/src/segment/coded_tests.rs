//! Segments with codes: damage is found and named, what contradicts itself is refused, and stored ones are read for ever.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use pinyon_kernels::{CodeBits, Kernels};
use pinyon_model::{DenseVector, Dimension, ErrorCode, Metadata, Metric, ObjectId, Record, RecordId, VectorShape};
use pinyon_storage::Purpose;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::{
    codec::Malformed,
    codes::{self, Aligned, CodesBuilder, Head},
    codes_section::SECTIONS,
    format::{Directory, FOOTER_LEN, Footer, Section, Table},
    tests::{DIR, Fixture, block_on},
    *,
};
use crate::{
    pool::Pool,
    search::{Effort, PreparedQuery, Search, Source, search},
};

/// Numbers from -1 to 1 that look random.
fn value(n: u64) -> f32 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Vectors around five middles; one record in ten has none.
fn records(count: u64, dimension: u64) -> Vec<Record> {
    let vector =
        |n: u64| -> Vec<f32> { (0..dimension).map(|i| 2.0 * value(n % 5 * 1_000_003 + i) + 0.5 * value(n * 7_919 + i * 31)).collect() };
    let record = |n: u64| Record {
        id: RecordId::new(format!("{n:05}")).unwrap(),
        dense: (n % 10 != 9).then(|| DenseVector::new(vector(n)).unwrap()),
        sparse: None,
        metadata: Metadata::new(BTreeMap::new()).unwrap(),
    };
    (0..count).map(record).collect()
}

async fn write(fixture: &Fixture, records: &[Record], dimension: u32, metric: Metric) -> ObjectId {
    let dense = Some((Dimension::new(dimension).unwrap(), metric));
    let options = SegmentOptions { kernels: Kernels::detect(), dense, codes: CodesFrom { coded: 100, clustered: 100 }, schema: None };
    let mut writer = SegmentWriter::create(&fixture.store, DIR, &fixture.key, options, Purpose::Data).await.unwrap();
    for record in records {
        writer.push(record, pinyon_model::Lsn(7)).await.unwrap();
    }
    writer.finish().await.unwrap().object
}

/// Where a segment's sections lie in its plaintext, and where the blocks of the blocked ones do.
fn extents(plain: &[u8]) -> Vec<(Section, Range<usize>)> {
    let footer = Footer::decode(&plain[plain.len() - FOOTER_LEN..], plain.len() as u64).unwrap();
    let range = |extent: format::Extent| extent.range().start as usize..extent.range().end as usize;
    let table = Table::decode(&plain[range(footer.table)], footer.table.offset).unwrap();
    let mut extents = Vec::new();
    for section in SECTIONS {
        let Some(own) = table.get(section).map(range) else { continue };
        if [Section::ScanCodes, Section::SecondCodes].contains(&section) {
            let blocks = Directory::decode(&plain[own.clone()], footer.table.offset).unwrap();
            extents.extend(blocks.iter().map(|block| (section, range(block.extent))));
        }
        extents.push((section, own));
    }
    extents
}

/// The best of a segment by codes, looked for hard.
async fn best(reader: &Arc<SegmentReader>, query: &DenseVector, metric: Metric, top_k: usize) -> pinyon_model::Result<Vec<(String, f32)>> {
    let pool = Pool::new(1)?;
    let shape = VectorShape { dense: Some((Dimension::new(query.len() as u32)?, metric)), sparse: false };
    let query = Arc::new(PreparedQuery::new(Kernels::detect(), &shape, Some(query.clone()), None)?);
    let wanted = Search { query, filter: None, top_k, effort: Effort { factor: 4.0, ..Effort::default() } };
    let source = Source::Segment { reader: Arc::clone(reader), dead: Arc::new(RoaringBitmap::new()) };
    let hits = search(&pool, wanted, vec![source]).await?;
    Ok(hits.into_iter().map(|hit| (hit.id.as_str().to_owned(), hit.score)).collect())
}

#[tokio::test]
async fn any_changed_byte_of_codes_is_found_by_the_check_and_by_a_search() {
    let fixture = Fixture::new();
    let records = records(160, 3);
    let object = write(&fixture, &records, 3, Metric::Cosine).await;
    let plain = fixture.plain(object).await;
    fixture.open(object).await.unwrap().verify().await.unwrap();
    let query = records[0].dense.clone().unwrap();
    let extents = extents(&plain);
    assert!(SECTIONS.iter().all(|section| extents.iter().any(|(other, range)| other == section && !range.is_empty())));
    for (section, range) in extents {
        let step = if range.len() > 1_000 { 61 } else { 3 };
        for at in range.step_by(step) {
            let mut bad = plain.clone();
            bad[at] ^= 1 << (at % 8);
            let object = fixture.seal(&bad).await;
            let found = |error: pinyon_model::Error| {
                assert_eq!(error.code, ErrorCode::DataLoss, "byte {at}: {error}");
                assert!(error.message.contains(&object.hex()) && error.message.contains(section.name()), "byte {at}: {error}");
            };
            match fixture.open(object).await {
                Ok(reader) => {
                    found(reader.verify().await.expect_err(&format!("byte {at} of the {}", section.name())));
                    found(best(&reader, &query, Metric::Cosine, 10).await.expect_err(&format!("byte {at}, by a search")));
                }
                Err(error) => found(error),
            }
        }
    }
}

/// The parts of codes, as they are stored.
#[derive(Clone)]
struct Stored {
    head: Head,
    mean: Vec<u8>,
    sizes: Vec<u8>,
    spilled: Vec<u8>,
    centers: Vec<u8>,
    rows: Vec<u8>,
    scan: Vec<u8>,
    second: Vec<u8>,
}

impl Stored {
    fn codes(self) -> Result<Codes, Malformed> {
        let aligned = |bytes: &[u8]| Aligned::from(bytes);
        let (centers, scan, second) = (aligned(&self.centers), aligned(&self.scan), Some(aligned(&self.second)));
        Codes::new(codes::Parts {
            head: self.head,
            mean: self.mean,
            sizes: self.sizes,
            spilled: self.spilled,
            centers,
            rows: self.rows,
            scan,
            second,
        })
    }
}

/// The parts of real codes.
fn stored(metric: Metric, dimension: usize, count: u64) -> Stored {
    let mut builder = CodesBuilder::new(Kernels::detect(), metric, dimension, CodesFrom { coded: 1, clustered: 1 });
    records(count, dimension as u64).iter().filter_map(|record| record.dense.as_ref()).for_each(|vector| builder.push(vector.as_slice()));
    let plan = builder.plan().unwrap();
    let (mut scan, mut rows, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for batch in 0..plan.batches() {
        let encoded = plan.encode(batch);
        scan.extend(encoded.scan);
        rows.extend(encoded.rows);
        second.extend(encoded.second);
    }
    let head = plan.calibrate(Aligned::from(&scan[..]), rows.clone()).unwrap();
    Stored { head, mean: plan.mean(), sizes: plan.sizes(), spilled: plan.spilled(), centers: plan.centers(), rows, scan, second }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let good = stored(Metric::Euclidean, 70, 300);
    assert!(good.head.clusters > 1);
    let codes = good.clone().codes().unwrap();
    assert_eq!(codes.check_numbers(), Ok(()));
    fuzz::search(&codes);
    let refused = |what: &str, change: &dyn Fn(&mut Stored)| {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(bad.codes().and_then(|codes| codes.check_numbers()).is_err(), "{what}");
    };
    refused("a vector twice", &|stored| stored.rows.copy_within(0..4, 4));
    refused("a vector that is not there", &|stored| stored.rows[..4].copy_from_slice(&good.head.vectors.to_le_bytes()));
    refused("one vector more", &|stored| stored.head.vectors += 1);
    refused("as many vectors as there can be", &|stored| stored.head.vectors = u32::MAX);
    refused("one cluster more", &|stored| stored.head.clusters += 1);
    refused("other dimensions", &|stored| stored.head.padded += 64);
    refused("other bits", &|stored| stored.head.bits = CodeBits::Eight);
    refused("a cluster that is too large", &|stored| stored.sizes[..4].copy_from_slice(&u32::MAX.to_le_bytes()));
    refused("clusters of one vector too many", &|stored| {
        let size = u32::from_le_bytes(*stored.sizes.first_chunk().unwrap());
        stored.sizes[..4].copy_from_slice(&(size + 1).to_le_bytes());
    });
    refused("a spilled vector that is not there", &|stored| {
        let last = stored.spilled.len() - 4;
        stored.spilled[last..].copy_from_slice(&good.head.vectors.to_le_bytes());
    });
    refused("more spilled vectors than vectors", &|stored| {
        (0..good.head.vectors).for_each(|_| stored.spilled.extend_from_slice(&0u32.to_le_bytes()));
    });
    refused("a cluster that is spilled too many", &|stored| stored.spilled[..4].copy_from_slice(&u32::MAX.to_le_bytes()));
    refused("a cluster that is spilled one less", &|stored| {
        let at = stored.spilled.as_chunks::<4>().0.iter().position(|count| *count != [0; 4]).unwrap() * 4;
        let count = u32::from_le_bytes(*stored.spilled[at..].first_chunk().unwrap());
        stored.spilled[at..at + 4].copy_from_slice(&(count - 1).to_le_bytes());
    });
    refused("spilled vectors without an end", &|stored| stored.spilled.truncate(4 * good.head.clusters as usize - 4));
    refused("no spilled vectors where blocks hold them", &|stored| stored.spilled.clear());
    refused("a mean that is no number", &|stored| stored.mean[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    for less in [1, 4, 32] {
        refused("a mean cut short", &|stored| stored.mean.truncate(good.mean.len() - less.max(4)));
        refused("rows cut short", &|stored| stored.rows.truncate(good.rows.len() - less.max(4)));
        refused("scan codes cut short", &|stored| stored.scan.truncate(good.scan.len() - less));
        refused("second codes cut short", &|stored| stored.second.truncate(good.second.len() - less));
        refused("centers cut short", &|stored| stored.centers.truncate(good.centers.len() - less));
    }
    let (end, row) = (good.centers.len(), good.head.row_bytes(good.head.bits));
    refused("a center's factor that is no number", &|stored| stored.centers[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes()));
    refused("an addend without end", &|stored| stored.second[row - 8..row - 4].copy_from_slice(&f32::INFINITY.to_le_bytes()));
    refused("a lane of a vector that is skipped", &|stored| {
        let addends = 4 * good.head.padded as usize;
        stored.scan[addends..addends + 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    });
}

#[test]
fn a_head_asks_for_no_more_than_there_is() {
    let head = stored(Metric::Cosine, 3, 200).head;
    assert_eq!(Head::decode(&head.encode()).as_ref(), Ok(&head));
    let mut all = head.clone();
    all.calibration.iter_mut().for_each(|point| (point.clusters, point.pool) = (head.clusters, head.vectors));
    assert!(Head::decode(&all.encode()).is_ok());
    for change in
        [|head: &mut Head| head.calibration[0].clusters = head.clusters + 1, |head: &mut Head| head.calibration[0].pool = u32::MAX]
    {
        let mut bad = head.clone();
        change(&mut bad);
        assert_eq!(Head::decode(&bad.encode()), Err(Malformed("its calibration asks for more than there is")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever the bytes are, once they are accepted a search of them computes something, and nothing panics.
    #[test]
    fn any_bytes_can_be_searched(
        metric in prop::sample::select(vec![Metric::Cosine, Metric::Euclidean, Metric::Dotproduct]),
        changes in prop::collection::vec((0usize..7, any::<prop::sample::Index>(), any::<u8>()), 0..40),
        head in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
    ) {
        let mut bad = stored(metric, 2, 70);
        let mut bytes = bad.head.encode();
        head.iter().for_each(|(at, to)| *at.get_mut(&mut bytes) = *to);
        for (part, at, to) in changes {
            let part = match part {
                0 => &mut bad.mean,
                1 => &mut bad.sizes,
                2 => &mut bad.centers,
                3 => &mut bad.rows,
                4 => &mut bad.scan,
                5 => &mut bad.spilled,
                _ => &mut bad.second,
            };
            *at.get_mut(part) = to;
        }
        if let Ok(head) = Head::decode(&bytes) {
            bad.head = head;
            if let Ok(codes) = bad.codes() {
                fuzz::search(&codes);
            }
        }
    }
}

/// A segment with codes as it was first written, kept for ever. What is written now may differ by the rounding of a processor; what was
/// written is read and searched all the same.
mod golden {
    use super::*;

    /// Before vectors were spilled, and with that.
    const FIRST: &[u8] = include_bytes!("../../tests/golden/segment-1-codes.plain");
    const SPILLED: &[u8] = include_bytes!("../../tests/golden/segment-1-spilled.plain");
    const DIMENSION: u32 = 8;

    fn expected(query: &DenseVector, top_k: usize) -> Vec<(String, f32)> {
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            (dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())) as f32
        };
        let score = |record: &Record| Some((record.id.as_str().to_owned(), cosine(query.as_slice(), record.dense.as_ref()?.as_slice())));
        let mut all: Vec<(String, f32)> = records(200, DIMENSION.into()).iter().filter_map(score).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(top_k);
        all
    }

    #[tokio::test]
    async fn a_coded_segment_is_still_read_and_searched() {
        for (plain, spilled) in [(FIRST, false), (SPILLED, true)] {
            is_read_and_searched(plain, spilled).await;
        }
    }

    async fn is_read_and_searched(plain: &[u8], spilled: bool) {
        let fixture = Fixture::new();
        let reader = fixture.open(fixture.seal(plain).await).await.unwrap();
        reader.verify().await.unwrap();
        let all = records(200, DIMENSION.into());
        let rows: Vec<u32> = (0..reader.rows()).collect();
        assert_eq!(reader.records(&rows, super::super::Parts::ALL).await.unwrap(), all);
        let codes = reader.codes().await.unwrap().unwrap();
        assert_eq!((codes.vectors(), codes.clusters() > 1, codes.head().bits), (180, true, CodeBits::Eight));
        assert_eq!(codes.all_places() > 180, spilled);
        let (mut found, mut wanted) = (0, 0);
        for n in 0..20 {
            let query = DenseVector::new((0..DIMENSION.into()).map(|i| value(500_000 + n * 97 + i)).collect::<Vec<_>>()).unwrap();
            let answer = best(&reader, &query, Metric::Cosine, 10).await.unwrap();
            let expected = expected(&query, 180);
            for (id, score) in &answer {
                let (_, exact) = expected.iter().find(|(other, _)| other == id).unwrap();
                assert!((score - exact).abs() <= 1e-6, "{id}: {score} and {exact}");
            }
            found += expected[..10].iter().filter(|best| answer.iter().any(|(id, _)| *id == best.0)).count();
            wanted += 10;
        }
        assert!(found * 100 >= wanted * 98, "{found} of {wanted}");
    }

    #[tokio::test]
    async fn what_is_written_now_has_the_same_shape() {
        let fixture = Fixture::new();
        let plain = fixture.plain(write(&fixture, &records(200, DIMENSION.into()), DIMENSION, Metric::Cosine).await).await;
        if std::env::var_os("PINYON_WRITE_GOLDEN").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/segment-1-spilled.plain"), &plain).unwrap();
        }
        let length = |plain, section| -> usize {
            extents(plain).into_iter().filter(|(other, _)| *other == section).map(|(_, range): (_, Range<usize>)| range.len()).sum()
        };
        // What hangs on the number of vectors alone.
        for section in [Section::CodedVectors, Section::SecondCodes] {
            assert_eq!(length(&plain, section), length(SPILLED, section), "{}", section.name());
        }
        let decoded = |plain: &[u8]| {
            let (_, range) = extents(plain).into_iter().find(|(section, _)| *section == Section::CodesHead).unwrap();
            Head::decode(&plain[range]).unwrap()
        };
        let (now, then) = (decoded(&plain), decoded(SPILLED));
        assert_eq!(
            (now.seed, now.metric, now.bits, now.padded, now.vectors),
            (then.seed, then.metric, then.bits, then.padded, then.vectors)
        );
    }
}

/// Segments of a version that wrote larger chunks are read: the size of the chunks is in the object's header.
#[test]
fn chunks_of_any_size_are_read() {
    use pinyon_storage::{ChunkSize, ObjectKind};
    block_on(async {
        let fixture = Fixture::new();
        let records = records(200, 8);
        let plain = fixture.plain(write(&fixture, &records, 8, Metric::Euclidean).await).await;
        for chunk in [ChunkSize::KIB_4, ChunkSize::KIB_16, ChunkSize::KIB_64] {
            let writer = fixture.store.writer(DIR, ObjectKind::SEGMENT, format::FORMAT, &fixture.key, chunk, Purpose::Data).await;
            let mut writer = writer.unwrap();
            writer.write(&plain).await.unwrap();
            let reader = fixture.open(writer.finish().await.unwrap().id).await.unwrap();
            reader.verify().await.unwrap();
            let found = best(&reader, records[3].dense.as_ref().unwrap(), Metric::Euclidean, 1).await.unwrap();
            assert_eq!(found, [("00003".to_owned(), 0.0)]);
        }
    });
}
