//! Backups: each namespace as it was after one write, taken while writes go on, standing on its own, restored whole.

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use pinyon_engine::{Engine, EngineSettings, IndexHandle, Kept, Progress};
use pinyon_model::{BackupId, DeleteSelector, ErrorCode, IndexId, Lsn, Metric, NamespaceName};
use pinyon_storage::{
    KeyAbove,
    faults::{Fault, Rule, install},
    fs::Site,
};
use support::*;

const BACKUP: BackupId = BackupId::from_bytes([3; 16]);
const TARGET: IndexId = IndexId::from_bytes([9; 16]);

async fn back_up(home: &Home, engine: &Engine, index: &Arc<IndexHandle>, backup: BackupId) -> pinyon_engine::BackupSummary {
    home.keys.create_backup_key(backup, KeyAbove::Root).await.unwrap();
    engine.capture(index, backup).await.unwrap().store(&Progress::default()).await.unwrap()
}

async fn restored(engine: &Engine, backup: BackupId, into: IndexId) -> Arc<IndexHandle> {
    let (options, progress) = (dense(2, Metric::Dotproduct), Progress::default());
    engine.create_index(into, &options).await.unwrap();
    engine.restore(backup, into, &options, &progress).await.unwrap();
    assert_eq!(progress.steps().0, progress.steps().1);
    engine.index(into, options)
}

/// What a namespace holds after each of its writes, from the first.
type History = Vec<BTreeMap<String, f32>>;

/// Writes of all kinds, one after the other, until it is told to stop.
async fn write_on(index: Arc<IndexHandle>, namespace: NamespaceName, seed: u32, stop: Arc<AtomicBool>) -> History {
    let (mut history, mut now) = (vec![BTreeMap::new()], BTreeMap::new());
    for n in 0u32.. {
        if stop.load(Ordering::SeqCst) && n > 20 {
            break;
        }
        let turn = seed.wrapping_mul(31).wrapping_add(n.wrapping_mul(17));
        let lsn = match turn % 11 {
            0 if !now.is_empty() => {
                let gone: Vec<String> = now.keys().step_by(3).cloned().collect();
                now.retain(|id, _| !gone.contains(id));
                index.delete(&namespace, DeleteSelector::Ids(gone.iter().map(|text| id(text)).collect())).await.unwrap().lsn
            }
            1 if n % 5 == 0 && !now.is_empty() => {
                now.clear();
                index.delete(&namespace, DeleteSelector::All).await.unwrap().lsn
            }
            _ => {
                let batch: Vec<_> = (0..20).map(|i| record(&format!("r{:02}", (turn + i * 7) % 60), (n * 3 + i) as f32)).collect();
                now.extend(batch.iter().map(|r| (r.id.as_str().to_owned(), r.dense.as_ref().unwrap().as_slice()[0])));
                index.upsert(&namespace, batch).await.unwrap().lsn
            }
        };
        history.push(now.clone());
        assert_eq!(lsn, Lsn(history.len() as u64 - 1));
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_during_writes_is_each_namespace_after_one_write() {
    let home = Home::new(small());
    let engine = home.open().await;
    let index = index(&engine).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..3).map(|n| tokio::spawn(write_on(Arc::clone(&index), name(&format!("ns{n}")), n, Arc::clone(&stop)))).collect();
    let backups: Vec<BackupId> = (0..8).map(|n| BackupId::from_bytes([n; 16])).collect();
    let mut summaries = Vec::new();
    for backup in &backups {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        summaries.push(back_up(&home, &engine, &index, *backup).await);
    }
    stop.store(true, Ordering::SeqCst);
    let mut histories = Vec::new();
    for writer in writers {
        histories.push(writer.await.unwrap());
    }
    // Nothing of it needs the index: not its files, not its keys.
    engine.delete_index(INDEX).await.unwrap();
    engine.close().await;
    let engine = home.open().await;
    for (n, (backup, summary)) in backups.iter().zip(&summaries).enumerate() {
        assert_eq!(engine.check_backup(*backup).await.unwrap(), *summary);
        let copy = restored(&engine, *backup, IndexId::from_bytes([100 + n as u8; 16])).await;
        for (namespace, lsn) in &summary.lsns {
            let history = &histories[namespace.as_str()[2..].parse::<usize>().unwrap()];
            assert_eq!(contents(&copy, namespace).await.unwrap(), history[lsn.0 as usize], "backup {n}, {namespace:?} at {lsn}");
        }
    }
    assert!(summaries.windows(2).all(|pair| pair[0].lsns.iter().zip(&pair[1].lsns).all(|(a, b)| a.1 <= b.1)));
    assert!(engine.check().await.unwrap().damaged.is_empty());
    engine.close().await;
}

/// What was acknowledged before the capture is in it, and what was written after it is not, however late it is stored.
#[tokio::test]
async fn a_capture_holds_what_was_acknowledged_and_nothing_later() {
    let home = Home::new(small());
    let engine = home.open().await;
    let index = index(&engine).await;
    let (open, closed, made_later) = (name("open"), name("closed"), name("later"));
    index.upsert(&closed, vec![record("a", 1.0)]).await.unwrap();
    engine.close().await;
    let engine = home.open().await;
    let index = support::index(&engine).await;
    index.upsert(&open, vec![record("a", 1.0), record("b", 2.0)]).await.unwrap();
    home.keys.create_backup_key(BACKUP, KeyAbove::Root).await.unwrap();
    let capture = engine.capture(&index, BACKUP).await.unwrap();
    assert_eq!(capture.namespaces(), 2);
    index.upsert(&open, vec![record("a", 9.0)]).await.unwrap();
    index.delete(&closed, DeleteSelector::All).await.unwrap();
    index.upsert(&made_later, vec![record("a", 1.0)]).await.unwrap();
    engine.flush_all().await.unwrap();
    assert_eq!(engine.describe_backup(BACKUP).await.unwrap_err().code, ErrorCode::DataLoss, "it is no backup yet");
    let summary = capture.store(&Progress::default()).await.unwrap();
    assert_eq!(summary.lsns, [(closed.clone(), Lsn(1)), (open.clone(), Lsn(1))]);
    assert_eq!((summary.namespaces, summary.records), (2, 3));
    let copy = restored(&engine, BACKUP, TARGET).await;
    assert_eq!(contents(&copy, &open).await.unwrap(), BTreeMap::from([("a".to_owned(), 1.0), ("b".to_owned(), 2.0)]));
    assert_eq!(contents(&copy, &closed).await.unwrap(), BTreeMap::from([("a".to_owned(), 1.0)]));
    assert_eq!(contents(&copy, &made_later).await.unwrap(), BTreeMap::new());
    // The copy goes on where the backup ended, and each on its own.
    assert_eq!(copy.upsert(&open, vec![record("c", 3.0)]).await.unwrap().lsn, Lsn(2));
    assert_eq!(contents(&index, &open).await.unwrap()["a"], 9.0);
    engine.close().await;
    let engine = home.open().await;
    let copy = engine.index(TARGET, dense(2, Metric::Dotproduct));
    assert_eq!(contents(&copy, &open).await.unwrap().len(), 3);
    assert_eq!(copy.describe_namespace(&closed).await.unwrap().record_count, 1);
    engine.close().await;
}

#[tokio::test]
async fn a_deleted_backup_leaves_nothing_and_harms_nobody() {
    let home = Home::new(small());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("ns"));
    index.upsert(&ns, (0..50).map(|n| record(&format!("{n}"), n as f32)).collect()).await.unwrap();
    let summary = back_up(&home, &engine, &index, BACKUP).await;
    assert!(summary.bytes > 0);
    let copy = restored(&engine, BACKUP, TARGET).await;
    assert_eq!(engine.backups().await.unwrap(), [BACKUP]);
    let removed = engine.delete_backup(BACKUP).await.unwrap();
    assert_eq!((removed.keys.len(), removed.objects.is_empty()), (1, false));
    assert_eq!(engine.backups().await.unwrap(), []);
    assert!(home.keys.backup_key(BACKUP).is_err());
    assert!(files_below(&home.data()).iter().all(|file| !file.starts_with("backups/")));
    assert_eq!(contents(&copy, &ns).await.unwrap(), contents(&index, &ns).await.unwrap());
    engine.delete_backup(BACKUP).await.unwrap();
    engine.close().await;
}

/// Nothing that changed since the last one: no bytes are written but names and the manifest.
#[tokio::test]
async fn a_second_backup_shares_what_did_not_change() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::new(small());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("ns"));
    index.upsert(&ns, (0..200).map(|n| record(&format!("{n}"), n as f32)).collect()).await.unwrap();
    engine.flush_all().await.unwrap();
    back_up(&home, &engine, &index, BACKUP).await;
    let other = BackupId::from_bytes([4; 16]);
    back_up(&home, &engine, &index, other).await;
    for file in files_below(&home.data().join(Engine::backup_folder(other))) {
        let inode = |backup| std::fs::metadata(home.data().join(Engine::backup_folder(backup)).join(&file)).unwrap().ino();
        assert_eq!(file == "manifest", inode(BACKUP) != inode(other), "{file}");
    }
    engine.close().await;
}

/// A manifest, a segment or deletes of one namespace in the place of another's, also where a restore made them share a key.
#[tokio::test]
async fn what_is_another_namespaces_is_refused() {
    let home = Home::new(small());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("ns"));
    index.upsert(&ns, (0..50).map(|n| record(&format!("{n}"), n as f32)).collect()).await.unwrap();
    engine.flush_all().await.unwrap();
    index.delete(&ns, DeleteSelector::Ids(vec![id("7")])).await.unwrap();
    engine.flush_all().await.unwrap();
    back_up(&home, &engine, &index, BACKUP).await;
    restored(&engine, BACKUP, TARGET).await;
    // The source goes on, so that its manifest has a higher number than the copy's.
    index.upsert(&ns, vec![record("new", 1.0)]).await.unwrap();
    engine.flush_all().await.unwrap();
    engine.close().await;
    let folder = |index: IndexId| {
        let namespaces = home.data().join(Engine::index_folder(index)).join("namespaces");
        std::fs::read_dir(namespaces).unwrap().next().unwrap().unwrap().path()
    };
    let (theirs, copy) = (folder(INDEX), folder(TARGET));
    // All that theirs has and the log has not: the copy's older keys open it.
    let names = |folder: &std::path::Path| -> Vec<_> { std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect() };
    let own = names(&copy);
    let foreign: Vec<_> =
        names(&theirs).into_iter().filter(|name| !own.contains(name) && !name.to_string_lossy().starts_with("log-")).collect();
    assert!(foreign.iter().any(|name| name.to_string_lossy().starts_with("manifest-")), "{foreign:?}");
    for name in &foreign {
        std::fs::copy(theirs.join(name), copy.join(name)).unwrap();
    }
    let engine = home.open().await;
    let error = contents(&engine.index(TARGET, dense(2, Metric::Dotproduct)), &ns).await.unwrap_err();
    assert!(error.message.contains("another namespace's"), "{error}");
    engine.close().await;
    foreign.iter().for_each(|name| std::fs::remove_file(copy.join(name)).unwrap());
    // Every object of the copy in the place of every other.
    let objects: Vec<_> =
        std::fs::read_dir(&copy).unwrap().map(|e| e.unwrap().path()).filter(|p| p.file_name().unwrap().len() == 32).collect();
    assert!(objects.len() >= 2);
    for (at, object) in objects.iter().enumerate() {
        let (other, aside) = (&objects[(at + 1) % objects.len()], copy.join("aside"));
        std::fs::rename(object, &aside).unwrap();
        std::fs::copy(other, object).unwrap();
        let engine = home.open().await;
        let error = contents(&engine.index(TARGET, dense(2, Metric::Dotproduct)), &ns).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::DataLoss, "{error}");
        engine.close().await;
        std::fs::rename(&aside, object).unwrap();
    }
    let engine = home.open().await;
    assert_eq!(contents(&engine.index(TARGET, dense(2, Metric::Dotproduct)), &ns).await.unwrap().len(), 49);
    engine.close().await;
}

#[tokio::test]
async fn every_fault_of_a_backup_or_restore_harms_nothing_else() {
    use Site::{BlobCreate, BlobDirSync, BlobLink, BlobSync, BlobWrite, KeysAppend, LogCreate, LogWriteFirst};
    for site in [BlobCreate, BlobWrite, BlobSync, BlobLink, BlobDirSync, KeysAppend, LogCreate, LogWriteFirst] {
        for nth in 1..=3 {
            let home = Home::new(small());
            let engine = home.open().await;
            let (index, ns) = (index(&engine).await, name("ns"));
            index.upsert(&ns, (0..30).map(|n| record(&format!("{n}"), n as f32)).collect()).await.unwrap();
            engine.flush_all().await.unwrap();
            index.upsert(&ns, vec![record("in memory", 100.0)]).await.unwrap();
            index.delete(&ns, DeleteSelector::Ids(vec![id("3")])).await.unwrap();
            let now = contents(&index, &ns).await.unwrap();
            home.keys.create_backup_key(BACKUP, KeyAbove::Root).await.unwrap();
            let installed = install(home.dir.path(), vec![Rule::once(site, nth, Fault::Eio)]);
            let taken = async { engine.capture(&index, BACKUP).await?.store(&Progress::default()).await };
            let taken = taken.await;
            let options = dense(2, Metric::Dotproduct);
            let back = async {
                engine.create_index(TARGET, &options).await?;
                engine.restore(BACKUP, TARGET, &options, &Progress::default()).await
            };
            let back = if taken.is_ok() { back.await } else { Ok(()) };
            drop(installed);
            assert_eq!(contents(&index, &ns).await.unwrap(), now, "{} {nth}", site.name());
            if taken.is_err() {
                engine.delete_backup(BACKUP).await.unwrap();
                back_up(&home, &engine, &index, BACKUP).await;
            }
            if taken.is_err() || back.is_err() {
                engine.delete_index(TARGET).await.unwrap();
                assert_eq!(contents(&*restored(&engine, BACKUP, TARGET).await, &ns).await.unwrap(), now, "{} {nth}", site.name());
            } else {
                assert_eq!(contents(&engine.index(TARGET, options.clone()), &ns).await.unwrap(), now, "{} {nth}", site.name());
            }
            engine.close().await;
            let engine = home.open().await;
            assert!(engine.check().await.unwrap().damaged.is_empty(), "{} {nth}", site.name());
            engine.close().await;
        }
    }
}

#[tokio::test]
async fn an_evicted_index_opens_again_at_its_next_use() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("ns"));
    index.upsert(&ns, vec![record("a", 1.0)]).await.unwrap();
    let keys = home.keys.namespace_key(INDEX, id_of(&home)).unwrap();
    engine.evict_index(INDEX).await;
    assert_eq!(engine.open_namespaces(), 0);
    // The key store keeps it open, and the test does; nobody else.
    assert_eq!(Arc::strong_count(&keys), 2);
    assert_eq!(contents(&index, &ns).await.unwrap().len(), 1);
    index.upsert(&ns, vec![record("b", 1.0)]).await.unwrap();
    engine.evict_index(INDEX).await;
    assert_eq!(index.describe_namespace(&ns).await.unwrap().record_count, 2);
    index.delete_namespace(&ns, Kept::NoLonger).await.unwrap();
    engine.close().await;
}

/// The id of the only namespace there is.
fn id_of(home: &Home) -> pinyon_model::NamespaceId {
    let namespaces = home.data().join(Engine::index_folder(INDEX)).join("namespaces");
    let entry = std::fs::read_dir(namespaces).unwrap().next().unwrap().unwrap();
    pinyon_model::NamespaceId::parse(entry.file_name().to_str().unwrap()).unwrap()
}
