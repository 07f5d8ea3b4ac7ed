//! Segments written and read back through the real sealed store, in memory.

use std::{collections::BTreeMap, sync::Arc};

use pinyon_kernels::Kernels;
use pinyon_model::{
    DenseVector, Dimension, ErrorCode, Lsn, Metadata, MetadataSchema, MetadataValue, Metric, ObjectId, Record, RecordId, SparseVector,
};
use pinyon_storage::{ChunkSize, DataKey, MemoryStore, ObjectKind, Purpose, SealedStore};
use proptest::prelude::*;

use super::*;
use crate::cache::{BlockCache, BlockKey, CacheBudgets};

/// A store in memory, a key, and a folder.
pub(crate) struct Fixture {
    pub(crate) store: SealedStore,
    pub(crate) key: DataKey,
    pub(crate) cache: Arc<BlockCache>,
}

const CODES: CodesFrom = CodesFrom { coded: 50, clustered: 100 };

fn cosine(dimension: u32) -> Option<(Dimension, Metric)> {
    Dimension::new(dimension).ok().map(|dimension| (dimension, Metric::Cosine))
}

pub(crate) const DIR: &str = "ns";

const BUDGETS: CacheBudgets = CacheBudgets { blocks: 64 << 20, vectors: 1 << 20, selections: 1 << 20 };

impl Fixture {
    pub(crate) fn new() -> Self {
        let store = SealedStore::new(Arc::new(MemoryStore::default()));
        Self { store, key: DataKey::generate(), cache: Arc::new(BlockCache::new(BUDGETS)) }
    }

    pub(crate) async fn write(&self, records: &[Record], dimension: u32, schema: Option<MetadataSchema>) -> SegmentInfo {
        let options = SegmentOptions { kernels: Kernels::detect(), dense: cosine(dimension), codes: CODES, schema };
        let mut writer = SegmentWriter::create(&self.store, DIR, &self.key, options, Purpose::Data).await.unwrap();
        for (n, record) in records.iter().enumerate() {
            writer.push(record, lsn(n)).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    pub(crate) async fn open(&self, object: ObjectId) -> pinyon_model::Result<Arc<SegmentReader>> {
        SegmentReader::open(&self.store, DIR, &self.key, object, Arc::clone(&self.cache)).await.map(Arc::new)
    }

    pub(crate) async fn segment(&self, records: &[Record], dimension: u32) -> Arc<SegmentReader> {
        let info = self.write(records, dimension, None).await;
        self.open(info.object).await.unwrap()
    }

    /// Seals these bytes as if they were a segment.
    pub(super) async fn seal(&self, plain: &[u8]) -> ObjectId {
        let mut writer =
            self.store.writer(DIR, ObjectKind::SEGMENT, format::FORMAT, &self.key, ChunkSize::KIB_4, Purpose::Data).await.unwrap();
        writer.write(plain).await.unwrap();
        writer.finish().await.unwrap().id
    }

    pub(super) async fn plain(&self, object: ObjectId) -> Vec<u8> {
        let reader = self.store.open(&format!("{DIR}/{}", object.hex()), ObjectKind::SEGMENT, &self.key).await.unwrap();
        reader.read_all().await.unwrap().to_vec()
    }
}

/// The LSN that the fixture gives the nth record: neither ascending nor unique.
fn lsn(n: usize) -> Lsn {
    Lsn(1_000 + (n as u64 * 7) % 13)
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

pub(crate) fn dense(dimension: usize) -> impl Strategy<Value = DenseVector> {
    let value = prop_oneof![4 => -2i8..3, 1 => Just(0)].prop_map(f32::from);
    let any = prop_oneof![6 => value, 1 => prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL, 1 => Just(1e30), 1 => Just(-1e30)];
    prop::collection::vec(any, dimension).prop_map(|v| DenseVector::new(v).unwrap())
}

pub(crate) fn sparse() -> impl Strategy<Value = SparseVector> {
    let index = prop_oneof![8 => 0u32..6, 1 => any::<u32>()];
    let value = prop_oneof![6 => (-3i8..4).prop_map(f32::from), 1 => prop::num::f32::NORMAL];
    prop::collection::btree_map(index, value, 1..6).prop_map(|pairs| {
        let (indices, values) = pairs.into_iter().unzip();
        SparseVector::new(indices, values).unwrap()
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab]{0,2}", 1 => any::<String>(), 1 => "é|日本|\u{0}|😀{1,3}"]
}

pub(crate) fn metadata() -> impl Strategy<Value = Metadata> {
    let number = prop_oneof![4 => (-3i8..4).prop_map(f64::from), 1 => Just(-0.0), 1 => prop::num::f64::NORMAL, 1 => prop::num::f64::ZERO];
    let value = prop_oneof![
        text().prop_map(MetadataValue::String),
        number.prop_map(MetadataValue::Number),
        any::<bool>().prop_map(MetadataValue::Bool),
        prop::collection::vec(text(), 0..4).prop_map(MetadataValue::StringList),
    ];
    let key = prop_oneof![8 => "[a-d]", 1 => any::<String>().prop_filter("reserved", |k| !k.starts_with('$'))];
    prop::collection::btree_map(key, value, 0..5).prop_map(|fields| Metadata::new(fields).unwrap())
}

/// Records in the order of their ids; each may lack its dense vector, its sparse one, its metadata.
pub(crate) fn records(dimension: usize, count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Record>> {
    let parts = (prop::option::weighted(0.8, dense(dimension)), prop::option::weighted(0.6, sparse()), metadata());
    prop::collection::btree_map("[a-z0-9]{1,8}", parts, count).prop_map(|records| {
        let record = |(id, (dense, sparse, metadata)): (String, _)| Record { id: RecordId::new(id).unwrap(), dense, sparse, metadata };
        records.into_iter().map(record).collect()
    })
}

fn plain_record(n: usize, dimension: usize) -> Record {
    let fields = BTreeMap::from([
        ("n".to_owned(), MetadataValue::Number(n as f64)),
        ("unique".to_owned(), MetadataValue::String(format!("value {n} {}", "x".repeat(n % 40)))),
        ("few".to_owned(), MetadataValue::String(format!("{}", n % 3))),
    ]);
    Record {
        id: RecordId::new(format!("record-{n:06}")).unwrap(),
        dense: Some(DenseVector::new((0..dimension).map(|i| (n * 31 + i * 7) as f32 % 97.0 - 48.0).collect::<Vec<_>>()).unwrap()),
        sparse: (!n.is_multiple_of(3)).then(|| SparseVector::new(vec![n as u32 % 50, 1_000], vec![n as f32, 1.0]).unwrap()),
        metadata: Metadata::new(fields).unwrap(),
    }
}

async fn check_round_trip(fixture: &Fixture, records: &[Record], dimension: u32) {
    let info = fixture.write(records, dimension, None).await;
    let reader = fixture.open(info.object).await.unwrap();
    assert_eq!((info.rows, reader.rows()), (records.len() as u32, records.len() as u32));
    assert_eq!(info.counted_bytes, records.iter().map(|r| r.size_bytes() as u64).sum::<u64>());
    assert_eq!(info.bytes, reader.bytes());
    for (n, record) in records.iter().enumerate() {
        let row = n as u32;
        assert_eq!(reader.find(&record.id), Some(row));
        assert_eq!(reader.id(row).as_ref(), Some(&record.id));
        assert_eq!((reader.lsn(row), reader.size_bytes(row)), (lsn(n), record.size_bytes() as u64));
        assert!(info.lsn_min <= lsn(n) && lsn(n) <= info.lsn_max);
    }
    let backwards: Vec<u32> = (0..reader.rows()).rev().chain([0]).collect();
    let expected: Vec<Record> = backwards.iter().map(|row| records[*row as usize].clone()).collect();
    assert_eq!(reader.records(&backwards, Parts::ALL).await.unwrap(), expected);
    let bare = reader.records(&[0], Parts { values: false, metadata: false }).await.unwrap();
    assert_eq!((bare[0].dense.is_none(), bare[0].metadata.is_empty()), (true, true));
    reader.verify().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_records_read_back(records in records(3, 1..60)) {
        block_on(check_round_trip(&Fixture::new(), &records, 3));
    }

    #[test]
    fn every_dimension_reads_back((dimension, records) in prop::sample::select(vec![1usize, 2, 3, 63, 64, 65, 1_536])
        .prop_flat_map(|d| (Just(d), records(d, 1..6)))) {
        block_on(check_round_trip(&Fixture::new(), &records, dimension as u32));
    }
}

#[tokio::test]
async fn many_blocks_of_every_kind_read_back() {
    let mut records: Vec<Record> = (0..2_000).map(|n| plain_record(n, 700)).collect();
    check_round_trip(&Fixture::new(), &records, 700).await;
    // With holes: ordinals and rows part ways, and whole blocks of rows have no metadata.
    for (n, record) in records.iter_mut().enumerate() {
        if n % 7 == 0 || n > 1_500 {
            record.dense = None;
        }
        if n % 500 > 150 {
            record.metadata = Metadata::default();
        }
    }
    check_round_trip(&Fixture::new(), &records, 700).await;
}

#[tokio::test]
async fn rows_longer_than_a_block_read_back() {
    let records: Vec<Record> = (0..40).map(|n| plain_record(n, 20_000)).collect();
    check_round_trip(&Fixture::new(), &records, 20_000).await;
}

#[tokio::test]
async fn a_sparse_segment_has_several_groups() {
    let record = |n: usize| Record {
        id: RecordId::new(format!("{n:06}")).unwrap(),
        dense: None,
        sparse: Some(SparseVector::new(vec![n as u32 % 100], vec![n as f32 + 1.0]).unwrap()),
        metadata: Metadata::default(),
    };
    let records: Vec<Record> = (0..70_000).map(record).collect();
    let fixture = Fixture::new();
    let info = fixture.write(&records, 0, None).await;
    let reader = fixture.open(info.object).await.unwrap();
    assert_eq!((0..reader.groups()).map(|g| reader.group(g)).collect::<Vec<_>>(), [0..65_536, 65_536..70_000]);
    reader.verify().await.unwrap();
    let terms = reader.load::<TermsBlock>(&[1]).await.unwrap().remove(0);
    let fetched = reader.fetch_lists(1, &terms, &[terms.find(36).unwrap()]).await.unwrap();
    let list = reader.decode_list(fetched.into_iter().next().unwrap()).unwrap();
    let mut scores = vec![0.0; 4_464];
    list.add_to(2.0, &mut scores);
    assert_eq!((scores[0], scores[1], scores[100]), (131_074.0, 0.0, 131_274.0), "row 65,536 has index 36");
}

#[tokio::test]
async fn only_the_schemas_fields_are_indexed() {
    let fixture = Fixture::new();
    let records: Vec<Record> = (0..5).map(|n| plain_record(n, 2)).collect();
    let names = |reader: Arc<SegmentReader>| async move {
        let names = reader.field_names().await.unwrap();
        ["few", "n", "other", "unique"].into_iter().filter(|name| names.find(name).is_some()).collect::<Vec<_>>()
    };
    let all = fixture.write(&records, 2, None).await;
    assert_eq!(names(fixture.open(all.object).await.unwrap()).await, ["few", "n", "unique"]);
    let schema = MetadataSchema::new(["n".to_owned(), "other".to_owned()].into()).unwrap();
    let some = fixture.write(&records, 2, Some(schema)).await;
    let reader = fixture.open(some.object).await.unwrap();
    assert_eq!(names(Arc::clone(&reader)).await, ["n"]);
    assert_eq!(reader.records(&[3], Parts::ALL).await.unwrap(), records[3..4], "what is not indexed is stored all the same");
}

#[tokio::test]
async fn a_writer_refuses_what_does_not_belong() {
    let fixture = Fixture::new();
    let begin = || async {
        let options = SegmentOptions { kernels: Kernels::detect(), dense: cosine(2), codes: CODES, schema: None };
        SegmentWriter::create(&fixture.store, DIR, &fixture.key, options, Purpose::Data).await.unwrap()
    };
    let mut writer = begin().await;
    writer.push(&plain_record(1, 2), Lsn(1)).await.unwrap();
    assert!(writer.push(&plain_record(1, 2), Lsn(1)).await.is_err(), "the same id");
    assert!(writer.push(&plain_record(0, 2), Lsn(1)).await.is_err(), "a lesser id");
    assert!(writer.push(&plain_record(2, 3), Lsn(1)).await.is_err(), "another dimension");
    assert!(begin().await.finish().await.is_err(), "no record at all");
}

/// Every byte of a segment matters: whichever is changed behind the seal, opening or verifying names the file.
#[tokio::test]
async fn any_changed_byte_is_found() {
    let fixture = Fixture::new();
    let mut records: Vec<Record> = (0..40).map(|n| plain_record(n, 3)).collect();
    records[7].dense = None;
    let info = fixture.write(&records, 3, None).await;
    let plain = fixture.plain(info.object).await;
    for at in 0..plain.len() {
        let mut bad = plain.clone();
        bad[at] ^= 1 << (at % 8);
        let object = fixture.seal(&bad).await;
        let outcome = match fixture.open(object).await {
            Ok(reader) => reader.verify().await,
            Err(error) => Err(error),
        };
        let error = outcome.expect_err(&format!("byte {at} of {}", plain.len()));
        assert_eq!(error.code, ErrorCode::DataLoss);
        assert!(error.message.contains(&object.hex()), "{}", error.message);
    }
    for len in 0..plain.len() {
        let object = fixture.seal(&plain[..len]).await;
        assert!(fixture.open(object).await.is_err(), "cut to {len}");
    }
}

/// A flipped bit of the stored, sealed bytes is found by whatever needs them, and by `verify` always.
#[tokio::test]
async fn a_flipped_bit_on_disk_is_found() {
    let fixture = Fixture::new();
    let records: Vec<Record> = (0..200).map(|n| plain_record(n, 64)).collect();
    let info = fixture.write(&records, 64, None).await;
    let name = format!("{DIR}/{}", info.object.hex());
    let blobs = fixture.store.blobs();
    let (bytes, _) = blobs.get(&name).await.unwrap();
    for at in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
        let mut bad = bytes.to_vec();
        bad[at] ^= 0x10;
        blobs.put(&name, bad.into(), pinyon_storage::PutMode::Overwrite, Purpose::Data).await.unwrap();
        let outcome = match fixture.open(info.object).await {
            Ok(reader) => reader.verify().await,
            Err(error) => Err(error),
        };
        let error = outcome.expect_err(&format!("byte {at} of {}", bytes.len()));
        assert_eq!(error.code, ErrorCode::DataLoss, "byte {at}: {error}");
        assert!(error.message.contains(&info.object.hex()), "byte {at}: {error}");
    }
}

#[tokio::test]
async fn a_closed_segment_leaves_nothing_in_the_cache() {
    let fixture = Fixture::new();
    let records: Vec<Record> = (0..100).map(|n| plain_record(n, 8)).collect();
    let info = fixture.write(&records, 8, None).await;
    let reader = fixture.open(info.object).await.unwrap();
    reader.records(&[5], Parts::ALL).await.unwrap();
    let key = BlockKey { object: info.object, section: 6, block: 0 };
    assert!(fixture.cache.get::<super::block::MetadataBlock>(&key).is_some());
    drop(reader);
    assert!(fixture.cache.get::<super::block::MetadataBlock>(&key).is_none());
}

#[tokio::test]
async fn dead_rows_are_stored_beside() {
    let fixture = Fixture::new();
    let segment = ObjectId::from_bytes([9; 16]);
    let dead = (0..5_000).step_by(3).collect();
    let (object, _) = deletes::write(&fixture.store, DIR, &fixture.key, segment, 5_000, &dead, Purpose::Essential).await.unwrap();
    assert_eq!(deletes::read(&fixture.store, DIR, &fixture.key, object, segment, 5_000).await.unwrap(), dead);
    let error = deletes::read(&fixture.store, DIR, &fixture.key, object, ObjectId::from_bytes([8; 16]), 5_000).await.unwrap_err();
    assert!(error.code == ErrorCode::DataLoss && error.message.contains(&object.hex()));
}

/// The bytes of format 1, kept for ever: a later version must still read them.
mod golden {
    use super::*;

    const PLAIN: &[u8] = include_bytes!("../../tests/golden/segment-1.plain");

    fn records() -> Vec<Record> {
        let mut records: Vec<Record> = (0..50).map(|n| plain_record(n, 5)).collect();
        records[3].dense = None;
        records[4].metadata = Metadata::new(BTreeMap::from([
            ("flag".to_owned(), MetadataValue::Bool(true)),
            ("list".to_owned(), MetadataValue::StringList(vec!["é".into(), String::new()])),
            ("n".to_owned(), MetadataValue::Number(-0.0)),
        ]))
        .unwrap();
        records
    }

    #[tokio::test]
    async fn format_1_is_still_read() {
        let fixture = Fixture::new();
        let object = fixture.seal(PLAIN).await;
        let reader = fixture.open(object).await.unwrap();
        reader.verify().await.unwrap();
        let rows: Vec<u32> = (0..reader.rows()).collect();
        assert_eq!(reader.records(&rows, Parts::ALL).await.unwrap(), records());
        assert_eq!(reader.lsn(49), lsn(49));
        let pool = crate::pool::Pool::new(1).unwrap();
        let filter = pinyon_model::Filter::Field("few".into(), pinyon_model::Condition::Eq(pinyon_model::Scalar::String("1".into())));
        let found = crate::filter::rows(&pool.lane(), &reader, &Arc::new(filter)).await.unwrap();
        assert_eq!(found, (0..50).filter(|n| n % 3 == 1 && *n != 4).collect());
    }

    /// A newer compressor may write other bytes: then the old file stays and is read, and a new one joins it.
    #[tokio::test]
    async fn format_1_is_what_is_written() {
        let fixture = Fixture::new();
        let info = fixture.write(&records(), 5, None).await;
        let plain = fixture.plain(info.object).await;
        if std::env::var_os("PINYON_WRITE_GOLDEN").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/segment-1.plain"), &plain).unwrap();
        }
        assert!(plain == PLAIN, "the bytes of format 1 changed");
    }
}
