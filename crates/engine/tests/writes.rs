//! Many writers, and readers beside them: order, atomicity, read-your-writes.

mod support;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use pinyon_engine::{EngineSettings, IndexHandle, Kept};
use pinyon_model::{DeleteSelector, Lsn, Prefix, UpdateTarget};
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_writers_of_one_namespace() {
    let home = Home::new(EngineSettings { memtable_bytes: 100_000, compact_segments: 3, ..EngineSettings::default() });
    let engine = home.open().await;
    let index = index(&engine).await;
    let writers: Vec<_> = (0..64).map(|w| tokio::spawn(write_some(Arc::clone(&index), w))).collect();
    let mut lsns = HashSet::new();
    for writer in writers {
        for lsn in writer.await.unwrap() {
            assert!(lsns.insert(lsn), "{lsn} was given twice");
        }
    }
    assert_eq!(lsns.iter().map(|l| l.0).max(), Some(64 * 20), "consecutive");
    let expected: BTreeMap<String, f32> = (0..64).flat_map(|w| (0..20).map(move |n| (format!("w{w}-{}", n % 7), n as f32))).collect();
    assert_eq!(contents(&index, &name("ns")).await.unwrap(), expected);
    drop(engine);
    let engine = home.open().await;
    assert_eq!(contents(&*support::index(&engine).await, &name("ns")).await.unwrap(), expected);
    engine.close().await;
}

async fn write_some(index: Arc<IndexHandle>, writer: usize) -> Vec<Lsn> {
    let mut lsns = Vec::new();
    for n in 0..20 {
        let text = format!("w{writer}-{}", n % 7);
        let ack = index.upsert(&name("ns"), vec![record(&text, n as f32)]).await.unwrap();
        // Read-your-writes: at once, and under a position that is at least the write's.
        let fetched = index.fetch(&name("ns"), vec![id(&text)]).await.unwrap();
        assert!(fetched.max_indexed_lsn >= ack.lsn);
        assert_eq!(fetched.records, [record(&text, n as f32)]);
        assert!(lsns.last().is_none_or(|last| *last < ack.lsn));
        lsns.push(ack.lsn);
    }
    lsns
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_sees_part_of_a_batch() {
    let home = Home::new(EngineSettings { memtable_bytes: 20_000, compact_segments: 2, ..EngineSettings::default() });
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("ns"));
    let batch = |value: f32| (0..50).map(|n| record(&format!("r{n}"), value)).collect::<Vec<_>>();
    index.upsert(&ns, batch(0.0)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (index, ns, stop) = (Arc::clone(&index), ns.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut reads = 0;
                while !stop.load(Ordering::Relaxed) {
                    let found = index.query(&ns, greatest(100)).await.unwrap();
                    let scores: HashSet<u32> = found.matches.iter().map(|m| m.score.to_bits()).collect();
                    assert_eq!((found.matches.len(), scores.len()), (50, 1), "at {}", found.max_indexed_lsn);
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for n in 1..=200 {
        index.upsert(&ns, batch(n as f32)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_and_updates_land_during_compactions() {
    let home = Home::new(EngineSettings { compact_segments: 2, memtable_bytes: 1 << 20, ..EngineSettings::default() });
    let ns = name("ns");
    let mut engine = Arc::new(home.open().await);
    let mut index = index(&engine).await;
    let mut expected = BTreeMap::new();
    for round in 0..30u32 {
        let batch: Vec<_> = (0..120).map(|n| record(&format!("r{:03}", (n * 7 + round * 13) % 300), round as f32)).collect();
        expected.extend(batch.iter().map(|r| (r.id.as_str().to_owned(), round as f32)));
        index.upsert(&ns, batch).await.unwrap();
        let flushing = {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { engine.flush_all().await.unwrap() })
        };
        // While that is stored, and while what it makes due is merged, rows of every segment die and change.
        for n in 0..40 {
            let text = format!("r{:03}", (n * 11 + round * 5) % 300);
            if n % 2 == 0 {
                index.delete(&ns, DeleteSelector::Ids(vec![id(&text)])).await.unwrap();
                expected.remove(&text);
            } else {
                let update = pinyon_model::Update {
                    target: UpdateTarget::Id(id(&text)),
                    dense: record(&text, 1_000.0 + n as f32).dense,
                    sparse: None,
                    set_metadata: None,
                };
                index.update(&ns, update).await.unwrap();
                expected.entry(text).and_modify(|v| *v = 1_000.0 + n as f32);
            }
        }
        flushing.await.unwrap();
        assert_eq!(contents(&index, &ns).await.unwrap(), expected, "round {round}");
        if round % 7 == 6 {
            // Ends a compaction half way, if one is running.
            engine.close().await;
            engine = Arc::new(home.open().await);
            index = support::index(&engine).await;
            assert_eq!(contents(&index, &ns).await.unwrap(), expected, "round {round}, read anew");
        }
    }
    assert!(segment_files(&home) < 12, "{} files after 30 flushes", segment_files(&home));
    engine.close().await;
    let engine = home.open().await;
    assert_eq!(contents(&*support::index(&engine).await, &ns).await.unwrap(), expected);
    assert_eq!(engine.check().await.unwrap().damaged, []);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_superseded_is_removed_once_nobody_reads_it() {
    let home = Home::new(EngineSettings { compact_segments: 3, memtable_bytes: 1 << 30, ..EngineSettings::default() });
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("ns"));
    for n in 0..40 {
        index.upsert(&ns, (0..10).map(|i| record(&format!("{i}-{}", n % 4), n as f32)).collect()).await.unwrap();
        engine.flush_all().await.unwrap();
    }
    index.delete(&ns, DeleteSelector::All).await.unwrap();
    engine.flush_all().await.unwrap();
    // The namespace is empty: all that is left is a manifest and a log.
    while segment_files(&home) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(index.list(&ns, &Prefix::default(), 10, None).await.unwrap().ids, []);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_namespaces_made_at_once() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let index = index(&engine).await;
    let writers: Vec<_> = (0..200)
        .map(|n| {
            let index = Arc::clone(&index);
            tokio::spawn(
                async move { index.upsert(&name(&format!("ns{}", n % 100)), vec![record(&format!("{n}"), n as f32)]).await.unwrap() },
            )
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let stats = index.stats().await.unwrap();
    assert_eq!((stats.namespaces.len(), stats.total), (100, 200));
    engine.close().await;
    let engine = home.open().await;
    let stats = support::index(&engine).await.stats().await.unwrap();
    assert_eq!((stats.namespaces.len(), stats.total), (100, 200));
    assert_eq!(engine.open_namespaces(), 0, "closing kept the counts");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_are_deleted_under_their_writers() {
    let home = Home::new(EngineSettings { memtable_bytes: 5_000, ..EngineSettings::default() });
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("ns"));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let (index, ns, stop) = (Arc::clone(&index), ns.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // Refused with "try again" when it was deleted in this very moment, never anything else.
                    match index.upsert(&ns, vec![record(&format!("{w}-{n}"), 1.0)]).await {
                        Ok(_) => {}
                        Err(e) => assert_eq!(e.code, pinyon_model::ErrorCode::Unavailable, "{e}"),
                    }
                    index.query(&ns, greatest(5)).await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..30 {
        if let Err(e) = index.delete_namespace(&ns, Kept::NoLonger).await {
            assert_eq!(e.code, pinyon_model::ErrorCode::NotFound);
        }
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let _ = index.delete_namespace(&ns, Kept::NoLonger).await;
    assert!(files_below(&home.data()).iter().all(|f| !f.contains("/namespaces/")));
    engine.close().await;
}

/// Objects of namespaces: files whose name is an id.
fn segment_files(home: &Home) -> usize {
    let files = files_below(&home.data());
    files.iter().filter(|f| f.contains("/namespaces/") && f.rsplit('/').next().is_some_and(|n| n.len() == 32)).count()
}
