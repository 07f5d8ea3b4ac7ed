//! Deletion: kept for a while and brought back, or gone so that no copy is of use.

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use pinyon_engine::{Engine, EngineSettings, Kept};
use pinyon_model::{DeleteSelector, ErrorCode, Lsn, Metric, NamespaceId};
use pinyon_storage::{
    LocalStore, Space,
    faults::{Fault, Rule, install},
    fs::Site,
};
use support::*;

#[tokio::test]
async fn a_deleted_namespace_is_gone_at_once_and_can_be_brought_back() {
    let home = Home::new(small());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    index.upsert(&ns, (0..30).map(|n| record(&format!("{n}"), n as f32)).collect()).await.unwrap();
    let before = contents(&index, &ns).await.unwrap();
    home.clock.turn_ms(1_000);
    index.delete_namespace(&ns, Kept::Until(5_000)).await.unwrap();
    assert_eq!(index.describe_namespace(&ns).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(contents(&index, &ns).await.unwrap(), BTreeMap::new());
    let kept = index.deleted_namespaces().await.unwrap();
    assert_eq!((kept.len(), &kept[0].name, kept[0].deleted_at_ms, kept[0].kept_until_ms), (1, &ns, 1_000, 5_000));
    engine.close().await;

    let engine = home.open().await;
    let index = support::index(&engine).await;
    assert_eq!(index.deleted_namespaces().await.unwrap(), kept, "after a restart too");
    assert_eq!(index.upsert(&ns, vec![record("new", 1.0)]).await.unwrap().lsn, Lsn(1), "the name is free");
    assert_eq!(index.restore_namespace(kept[0].id).await.unwrap_err().code, ErrorCode::AlreadyExists);
    index.delete_namespace(&ns, Kept::NoLonger).await.unwrap();
    index.restore_namespace(kept[0].id).await.unwrap();
    assert_eq!(contents(&index, &ns).await.unwrap(), before);
    assert_eq!(index.deleted_namespaces().await.unwrap(), []);
    assert_eq!(index.restore_namespace(kept[0].id).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(index.upsert(&ns, vec![record("0", 7.0)]).await.unwrap().lsn, Lsn(2), "it goes on where it was");
    engine.close().await;
    let engine = home.open().await;
    assert_eq!(contents(&*support::index(&engine).await, &ns).await.unwrap()["0"], 7.0);
    engine.close().await;
}

/// The list is stored whole now and then, and its log trimmed.
#[tokio::test]
async fn a_kept_namespace_outlives_the_log_of_the_list() {
    let home = Home::new(small());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    index.upsert(&ns, vec![record("a", 1.0)]).await.unwrap();
    index.delete_namespace(&ns, Kept::Until(5_000)).await.unwrap();
    let kept = index.deleted_namespaces().await.unwrap();
    for round in 0..8 {
        let names: Vec<_> = (0..100).map(|n| name(&format!("{round}-{n}"))).collect();
        futures_util::future::join_all(names.iter().map(|n| index.create_namespace(n.clone(), None))).await;
        futures_util::future::join_all(names.iter().map(|n| index.delete_namespace(n, Kept::NoLonger))).await;
    }
    assert!(files_below(&home.data()).iter().any(|file| file.contains("namespaces-")), "it was stored whole");
    engine.close().await;
    let engine = home.open().await;
    let index = support::index(&engine).await;
    assert_eq!(index.deleted_namespaces().await.unwrap(), kept);
    index.restore_namespace(kept[0].id).await.unwrap();
    assert_eq!(contents(&index, &ns).await.unwrap().len(), 1);
    engine.close().await;
}

#[tokio::test]
async fn a_purge_takes_what_is_due_with_key_and_files() {
    let home = Home::new(small());
    let engine = home.open().await;
    let index = index(&engine).await;
    let (due, later) = (name("due"), name("later"));
    for ns in [&due, &later] {
        index.upsert(ns, vec![record("a", 1.0)]).await.unwrap();
    }
    index.delete_namespace(&due, Kept::Until(100)).await.unwrap();
    index.delete_namespace(&later, Kept::Until(101)).await.unwrap();
    let kept = index.deleted_namespaces().await.unwrap();
    let gone = kept.iter().find(|k| k.name == due).unwrap().id;
    let removed = index.purge_namespaces(&[gone]).await.unwrap();
    assert_eq!((removed.len(), removed[0].keys.len(), removed[0].objects.len()), (1, 1, 1), "{removed:?}");
    assert!(home.keys.namespace_key(INDEX, gone).is_err());
    assert!(files_below(&home.data()).iter().all(|file| !file.contains(&gone.hex())));
    assert_eq!(index.restore_namespace(gone).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(index.purge_namespaces(&[gone]).await.unwrap(), []);
    index.restore_namespace(index.deleted_namespaces().await.unwrap()[0].id).await.unwrap();
    assert_eq!(contents(&index, &later).await.unwrap().len(), 1);
    engine.close().await;
}

fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        std::fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
        std::fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
}

/// What a copy of the data directory says of the namespace, with the keys of today.
async fn opened_copy(home: &Home, copy: &Path) -> pinyon_model::Result<BTreeMap<String, f32>> {
    let store = Arc::new(LocalStore::open(copy, Space::unlimited()).unwrap());
    let engine = Engine::open(store, copy.to_owned(), Arc::clone(&home.keys), home.clock.clone(), home.settings.clone()).await.unwrap();
    let said = contents(&engine.index(INDEX, dense(2, Metric::Dotproduct)), &name("ns")).await;
    engine.close().await;
    said
}

/// Deleted in memory, in a segment, by overwriting, by clearing: whichever way, an older copy is of no use after the purge.
#[tokio::test]
async fn purged_records_are_in_no_copy_that_the_keys_open() {
    let all: Vec<_> = (0..40).map(|n| record(&format!("{n:02}"), n as f32)).collect();
    for way in 0..6 {
        let home = Home::new(EngineSettings { compact_segments: 100, ..small() });
        let engine = home.open().await;
        let (index, ns) = (index(&engine).await, name("ns"));
        index.upsert(&ns, all.clone()).await.unwrap();
        if way != 0 {
            engine.flush_all().await.unwrap();
        }
        match way {
            0 | 1 => drop(index.delete(&ns, DeleteSelector::Ids(vec![id("07")])).await.unwrap()),
            2 | 3 => drop(index.upsert(&ns, vec![record("07", 700.0)]).await.unwrap()),
            4 => drop(index.delete(&ns, DeleteSelector::All).await.unwrap()),
            _ => {
                index.delete(&ns, DeleteSelector::Ids(vec![id("07")])).await.unwrap();
                engine.flush_all().await.unwrap();
                engine.close().await;
            }
        }
        let engine = if way == 5 { home.open().await } else { engine };
        let index = support::index(&engine).await;
        if way == 3 {
            engine.flush_all().await.unwrap();
        }
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&home.data(), copy.path());
        let now = contents(&index, &ns).await.unwrap();
        assert_eq!(opened_copy(&home, copy.path()).await.unwrap(), now, "before the purge it opens");
        let removed = index.purge_records().await.unwrap();
        assert!(removed.len() == 1 && !removed[0].keys.is_empty() && !removed[0].objects.is_empty(), "way {way}: {removed:?}");
        let error = opened_copy(&home, copy.path()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::DataLoss, "way {way}: {error}");
        assert_eq!(contents(&index, &ns).await.unwrap(), now, "way {way}");
        assert_eq!(index.purge_records().await.unwrap(), [], "way {way}: nothing was deleted since");
        index.upsert(&ns, vec![record("later", 5.0)]).await.unwrap();
        engine.close().await;
        let engine = home.open().await;
        let index = support::index(&engine).await;
        assert_eq!(contents(&index, &ns).await.unwrap().len(), now.len() + 1);
        assert!(engine.check().await.unwrap().damaged.is_empty());
        assert_eq!(index.purge_records().await.unwrap(), [], "an insert sheds nothing");
        engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_while_writes_and_searches_go_on() {
    let home = Home::new(small());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("ns"));
    let writer = {
        let (index, ns) = (Arc::clone(&index), ns.clone());
        tokio::spawn(async move {
            let mut model = BTreeMap::new();
            for n in 0..120u32 {
                let batch: Vec<_> = (0..10).map(|i| record(&format!("{:02}", (n * 7 + i) % 50), (n * 10 + i) as f32)).collect();
                model.extend(batch.iter().map(|r| (r.id.as_str().to_owned(), r.dense.as_ref().unwrap().as_slice()[0])));
                index.upsert(&ns, batch).await.unwrap();
                if n % 10 == 3 {
                    model.remove("03");
                    index.delete(&ns, DeleteSelector::Ids(vec![id("03")])).await.unwrap();
                }
            }
            model
        })
    };
    let mut keys = Vec::new();
    while !writer.is_finished() {
        for removed in index.rotate_namespace_keys().await.unwrap() {
            keys.extend(removed.keys);
        }
        index.query(&ns, greatest(10)).await.unwrap();
    }
    let model = writer.await.unwrap();
    assert!(keys.len() >= 2, "{} rotations", keys.len());
    assert_eq!(contents(&index, &ns).await.unwrap(), model);
    engine.close().await;
    let engine = home.open().await;
    assert_eq!(contents(&*support::index(&engine).await, &ns).await.unwrap(), model);
    assert!(engine.check().await.unwrap().damaged.is_empty());
    engine.close().await;
}

#[tokio::test]
async fn a_damaged_namespace_keeps_its_keys_and_no_other_from_rotation() {
    let home = Home::new(small());
    let engine = home.open().await;
    let index = index(&engine).await;
    let names = ["a", "b", "c"].map(name);
    for ns in &names {
        index.upsert(ns, vec![record("a", 1.0)]).await.unwrap();
    }
    engine.flush_all().await.unwrap();
    engine.close().await;
    let manifest = files_below(&home.data()).into_iter().find(|file| file.contains("/manifest-")).unwrap();
    std::fs::write(home.data().join(&manifest), b"no manifest").unwrap();
    let engine = home.open().await;
    let removed = support::index(&engine).await.rotate_namespace_keys().await.unwrap();
    assert_eq!(removed.len(), 2, "{manifest}: {removed:?}");
    engine.close().await;
}

/// Wherever a rotation fails, and the process ends there: the namespace opens with all it held, and the next purge ends what was begun.
#[tokio::test]
async fn a_rotation_cut_short_anywhere_is_ended_by_the_next() {
    use Site::{
        BlobCreate, BlobDirSync, BlobLink, BlobSync, BlobWrite, KeysAppend, KeysCreate, KeysRename, LogCreate, LogUnlink, LogWriteFirst,
    };
    let sites =
        [BlobCreate, BlobWrite, BlobSync, BlobLink, BlobDirSync, KeysAppend, KeysCreate, KeysRename, LogCreate, LogWriteFirst, LogUnlink];
    let mut cut_short = 0;
    for (site, nth) in sites.into_iter().flat_map(|site| (1..=4).map(move |nth| (site, nth))) {
        let home = Home::new(EngineSettings { compact_segments: 100, ..small() });
        let engine = home.open().await;
        let (index, ns) = (index(&engine).await, name("ns"));
        for n in 0..3 {
            index.upsert(&ns, (0..20).map(|i| record(&format!("{i:02}"), (n * 20 + i) as f32)).collect()).await.unwrap();
            engine.flush_all().await.unwrap();
        }
        index.delete(&ns, DeleteSelector::Ids(vec![id("05")])).await.unwrap();
        let now = contents(&index, &ns).await.unwrap();
        let installed = install(home.dir.path(), vec![Rule::once(site, nth, Fault::Eio)]);
        let outcome = index.rotate_namespace_keys().await;
        drop(installed);
        cut_short += u32::from(outcome.is_err());
        drop(engine);
        let engine = home.open().await;
        let index = support::index(&engine).await;
        assert_eq!(contents(&index, &ns).await.unwrap(), now, "{} {nth}", site.name());
        index.purge_records().await.unwrap();
        assert_eq!(contents(&index, &ns).await.unwrap(), now, "{} {nth}", site.name());
        let ring = home.keys.namespace_keys(INDEX, namespace_id(&home)).unwrap();
        assert!(ring.older().is_empty(), "{} {nth}: {} older keys", site.name(), ring.older().len());
        assert!(engine.check().await.unwrap().damaged.is_empty(), "{} {nth}", site.name());
        engine.close().await;
    }
    assert!(cut_short >= 12, "{cut_short} of them were cut short");
}

/// The id of the only namespace there is.
fn namespace_id(home: &Home) -> NamespaceId {
    let namespaces = home.data().join(Engine::index_folder(INDEX)).join("namespaces");
    let entry = std::fs::read_dir(namespaces).unwrap().next().unwrap().unwrap();
    NamespaceId::parse(entry.file_name().to_str().unwrap()).unwrap()
}
