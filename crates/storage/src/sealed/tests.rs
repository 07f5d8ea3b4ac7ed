use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{BlobFault, BlobOp, BlobStore, DataKey, MemoryStore, Purpose, PutMode, random_bytes};

const KIND: ObjectKind = ObjectKind::SEGMENT;

struct Bed {
    memory: MemoryStore,
    store: SealedStore,
    key: DataKey,
}

impl Bed {
    fn new() -> Self {
        let memory = MemoryStore::new();
        let store = SealedStore::new(Arc::new(memory.clone()));
        Self { memory, store, key: DataKey::generate() }
    }

    /// Stores `plain` in pieces of the given lengths, repeated.
    async fn write(&self, plain: &[u8], pieces: &[usize], chunk: ChunkSize) -> SealedObject {
        let mut writer = self.store.writer("dir", KIND, 7, &self.key, chunk, Purpose::Data).await.unwrap();
        let (mut rest, mut pieces) = (plain, pieces.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
            writer.write(now).await.unwrap();
            rest = later;
        }
        writer.finish().await.unwrap()
    }

    async fn open(&self, object: &SealedObject) -> Result<SealedReader> {
        self.store.open(&object.name, KIND, &self.key).await
    }

    /// Everything there is to read of an object.
    async fn read(&self, object: &SealedObject) -> Result<Bytes> {
        let reader = self.open(object).await?;
        reader.verify().await?;
        reader.read_all().await
    }
}

fn noise(len: usize) -> Vec<u8> {
    (0..len.div_ceil(64)).flat_map(|_| random_bytes::<64>()).take(len).collect()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn ranges_are_those_of_the_plaintext(
        len in prop_oneof![0usize..40_000, (0usize..8).prop_map(|n| n * 4096), Just(1_200_000)],
        pieces in prop::collection::vec(1usize..9000, 1..5),
        wanted in prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 0..8),
    ) {
        run(async {
            let bed = Bed::new();
            let plain = noise(len);
            let object = bed.write(&plain, &pieces, ChunkSize::KIB_4).await;
            assert_eq!((object.plain_len, object.stored_len), (len as u64, bed.memory.head(&object.name).await.unwrap().size));
            assert_eq!(object.name, format!("dir/{}", object.id.hex()));
            let reader = bed.open(&object).await.unwrap();
            assert_eq!((reader.plain_len(), reader.format(), reader.id()), (len as u64, 7, object.id));
            let ranges: Vec<Range<u64>> = wanted
                .iter()
                .map(|(a, b)| {
                    let start = (a * len as f64) as u64;
                    start..start + (b * (len as u64 - start) as f64) as u64
                })
                .collect();
            let got = reader.read_ranges(&ranges).await.unwrap();
            for (range, got) in ranges.iter().zip(got) {
                assert_eq!(got, plain[range.start as usize..range.end as usize]);
            }
            assert_eq!(reader.read_all().await.unwrap(), plain);
            reader.verify().await.unwrap();
            assert_eq!(bed.store.scrub(&object.name).await.unwrap(), object.stored_len);
            assert!(reader.read_range(len as u64..len as u64 + 1).await.is_err());
        });
    }
}

#[test]
fn every_flipped_bit_is_found_with_and_without_the_key() {
    run(async {
        let bed = Bed::new();
        for len in [0, 30, 4097] {
            let object = bed.write(&noise(len), &[1000], ChunkSize::KIB_4).await;
            // All of a small object; of a longer one the header and the bytes around the chunks' ends.
            let size = object.stored_len as usize;
            let open_before = bed.open(&object).await.unwrap();
            for byte in (0..size).filter(|b| *b < 150 || size - b < 60) {
                for bit in 0..8 {
                    bed.memory.tamper(&object.name, |bytes| bytes[byte] ^= 1 << bit);
                    let read = bed.read(&object).await;
                    assert!(matches!(&read, Err(StorageError::Damaged { file, .. }) if *file == object.name), "{byte}.{bit}: {read:?}");
                    assert!(bed.store.scrub(&object.name).await.is_err(), "{byte}.{bit}");
                    assert!(open_before.verify().await.is_err(), "{byte}.{bit}");
                    bed.memory.tamper(&object.name, |bytes| bytes[byte] ^= 1 << bit);
                }
            }
            bed.read(&object).await.unwrap();
        }
    });
}

#[test]
fn a_cut_or_longer_object_is_damage() {
    run(async {
        let bed = Bed::new();
        let object = bed.write(&noise(3 * 4096 + 100), &[5000], ChunkSize::KIB_4).await;
        let whole = bed.memory.get(&object.name).await.unwrap().0;
        let stride = 4096 + 20;
        let cuts = (0..300).chain((0..4).flat_map(|n| (0..41).map(move |d| 96 + n * stride + d))).chain(whole.len() - 20..whole.len());
        for len in cuts {
            bed.memory.tamper(&object.name, |bytes| bytes.truncate(len));
            assert!(bed.read(&object).await.is_err_and(|e| e.is_damage()), "cut at {len}");
            bed.memory.tamper(&object.name, |bytes| *bytes = whole.to_vec());
        }
        for more in 1..100 {
            bed.memory.tamper(&object.name, |bytes| bytes.resize(whole.len() + more, 0));
            assert!(bed.read(&object).await.is_err_and(|e| e.is_damage()), "{more} more");
            bed.memory.tamper(&object.name, |bytes| *bytes = whole.to_vec());
        }
    });
}

#[test]
fn chunks_are_bound_to_their_place_and_object() {
    run(async {
        let bed = Bed::new();
        let (a, b) =
            (bed.write(&noise(3 * 4096), &[4096], ChunkSize::KIB_4).await, bed.write(&noise(3 * 4096), &[4096], ChunkSize::KIB_4).await);
        let other = bed.memory.get(&b.name).await.unwrap().0;
        let whole = bed.memory.get(&a.name).await.unwrap().0;
        let stride = 4096 + 20;
        bed.memory.tamper(&a.name, |bytes| {
            let (first, second) = bytes[96..].split_at_mut(stride);
            first.swap_with_slice(&mut second[..stride]);
        });
        assert!(bed.read(&a).await.is_err_and(|e| e.is_damage()), "chunks swapped");
        bed.memory.tamper(&a.name, |bytes| {
            *bytes = whole.to_vec();
            bytes[96..96 + stride].copy_from_slice(&other[96..96 + stride]);
        });
        assert!(bed.read(&a).await.is_err_and(|e| e.is_damage()), "a chunk of another object");
        bed.memory.tamper(&a.name, |bytes| {
            *bytes = whole.to_vec();
            bytes[5000..5000 + 4096].fill(0);
        });
        assert!(bed.read(&a).await.is_err_and(|e| e.is_damage()), "a page zeroed");
        // The chunks before the damage still serve.
        let reader = bed.open(&a).await.unwrap();
        assert!(reader.read_range(0..4096).await.is_ok() && reader.read_range(4000..4097).await.is_err());
    });
}

#[test]
fn only_its_kind_and_key_open_an_object() {
    run(async {
        let bed = Bed::new();
        let object = bed.write(b"text", &[10], ChunkSize::KIB_64).await;
        assert!(bed.store.open(&object.name, ObjectKind::MANIFEST, &bed.key).await.is_err_and(|e| e.is_damage()));
        assert!(bed.store.open(&object.name, KIND, &DataKey::generate()).await.is_err_and(|e| e.is_damage()));
        assert!(bed.store.open("dir/nothing", KIND, &bed.key).await.is_err_and(|e| e.is_not_found()));
        // Moved, it opens all the same: nothing in it is bound to a path.
        let (bytes, _) = bed.memory.get(&object.name).await.unwrap();
        bed.memory.put("elsewhere/x", bytes, PutMode::CreateOnly, Purpose::Data).await.unwrap();
        let moved = bed.store.open("elsewhere/x", KIND, &bed.key).await.unwrap();
        assert_eq!(moved.read_all().await.unwrap(), "text");
    });
}

#[test]
fn named_objects_are_swapped_by_version() {
    run(async {
        let bed = Bed::new();
        let put = async |plain: &[u8], mode| bed.store.put_named("n/manifest", KIND, 3, &bed.key, plain, mode, Purpose::Data).await;
        let first = put(b"one", PutMode::CreateOnly).await.unwrap();
        assert!(matches!(put(b"one", PutMode::CreateOnly).await, Err(StorageError::AlreadyExists { .. })), "another's, though alike");
        let long = noise(200_000);
        let second = put(&long, PutMode::IfVersion(first)).await.unwrap();
        assert!(matches!(put(b"three", PutMode::IfVersion(first)).await, Err(StorageError::Conflict { .. })));
        let named = bed.store.get_named("n/manifest", KIND, &bed.key).await.unwrap();
        assert_eq!((named.plain.as_ref(), named.format, named.version), (&long[..], 3, second));
        put(b"", PutMode::Overwrite).await.unwrap();
        assert!(bed.store.get_named("n/manifest", KIND, &bed.key).await.unwrap().plain.is_empty());
        for byte in 0..116 {
            bed.memory.tamper("n/manifest", |bytes| bytes[byte] ^= 1);
            assert!(bed.store.get_named("n/manifest", KIND, &bed.key).await.is_err_and(|e| e.is_damage()), "{byte}");
            bed.memory.tamper("n/manifest", |bytes| bytes[byte] ^= 1);
        }
    });
}

/// A store that answers "exists" to its own first attempt: the put went through.
#[test]
fn a_create_only_put_that_meets_itself_is_done() {
    #[derive(Debug)]
    struct Twice(MemoryStore);
    #[async_trait::async_trait]
    impl BlobStore for Twice {
        async fn put(&self, name: &str, bytes: Bytes, mode: PutMode, purpose: Purpose) -> Result<Version> {
            let _ = self.0.put(name, bytes.clone(), mode, purpose).await;
            self.0.put(name, bytes, mode, purpose).await
        }
        async fn create(&self, name: &str, purpose: Purpose) -> Result<Box<dyn crate::BlobWriter>> {
            self.0.create(name, purpose).await
        }
        async fn get(&self, name: &str) -> Result<(Bytes, Version)> {
            self.0.get(name).await
        }
        async fn get_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
            self.0.get_ranges(name, ranges).await
        }
        async fn head(&self, name: &str) -> Result<crate::BlobMeta> {
            self.0.head(name).await
        }
        async fn list(&self, prefix: &str) -> Result<Vec<crate::BlobMeta>> {
            self.0.list(prefix).await
        }
        async fn delete(&self, name: &str) -> Result<()> {
            self.0.delete(name).await
        }
        async fn delete_dir(&self, prefix: &str) -> Result<()> {
            self.0.delete_dir(prefix).await
        }
        async fn link(&self, from: &str, to: &str) -> Result<()> {
            self.0.link(from, to).await
        }
        async fn sync(&self, prefix: &str) -> Result<()> {
            self.0.sync(prefix).await
        }
    }
    run(async {
        let (store, key) = (SealedStore::new(Arc::new(Twice(MemoryStore::new()))), DataKey::generate());
        store.put_named("n/m", KIND, 1, &key, b"mine", PutMode::CreateOnly, Purpose::Data).await.unwrap();
        let again = store.put_named("n/m", KIND, 1, &key, b"mine", PutMode::CreateOnly, Purpose::Data).await;
        assert!(matches!(again, Err(StorageError::AlreadyExists { .. })));
    });
}

#[test]
fn an_object_that_fails_or_is_dropped_is_not_seen() {
    run(async {
        let bed = Bed::new();
        let mut writer = bed.store.writer("dir", KIND, 1, &bed.key, ChunkSize::KIB_4, Purpose::Data).await.unwrap();
        writer.write(&noise(3 << 20)).await.unwrap();
        drop(writer);
        bed.memory.set_faults(|op, _| (op == BlobOp::Finish).then_some(BlobFault::Full));
        let writer = bed.store.writer("dir", KIND, 1, &bed.key, ChunkSize::KIB_4, Purpose::Data).await.unwrap();
        assert!(matches!(writer.finish().await, Err(StorageError::Full { .. })));
        bed.memory.clear_faults();
        assert!(bed.memory.list("").await.unwrap().is_empty());
        let object = bed.write(b"text", &[4], ChunkSize::KIB_4).await;
        bed.memory.set_faults(|op, _| (op == BlobOp::Get).then_some(BlobFault::Flipped));
        assert!(bed.read(&object).await.is_err());
    });
}

#[test]
fn no_plaintext_is_stored() {
    run(async {
        let bed = Bed::new();
        let plant = b"a sentence planted to be found";
        let object = bed.write(&plant.repeat(1000), &[999], ChunkSize::KIB_4).await;
        let (bytes, _) = bed.memory.get(&object.name).await.unwrap();
        assert!(!bytes.windows(8).any(|w| w == &plant[..8]));
    });
}

#[test]
fn an_object_under_anothers_name_is_refused() {
    run(async {
        let bed = Bed::new();
        let (a, b) = (bed.write(b"one", &[3], ChunkSize::KIB_64).await, bed.write(b"two", &[3], ChunkSize::KIB_64).await);
        let (bytes, _) = bed.memory.get(&b.name).await.unwrap();
        bed.memory.put(&a.name, bytes.clone(), PutMode::Overwrite, Purpose::Data).await.unwrap();
        for refused in [bed.open(&a).await.map(drop), bed.store.scrub(&a.name).await.map(drop)] {
            assert!(refused.unwrap_err().is_damage());
        }
        // In another folder, under its own name, it is what it was; and a fixed name says nothing of ids.
        let elsewhere = b.name.replace("dir/", "elsewhere/");
        for name in [elsewhere.as_str(), "dir/manifest-1"] {
            bed.memory.put(name, bytes.clone(), PutMode::Overwrite, Purpose::Data).await.unwrap();
            assert_eq!(&bed.store.open(name, KIND, &bed.key).await.unwrap().read_all().await.unwrap()[..], b"two");
        }
    });
}
