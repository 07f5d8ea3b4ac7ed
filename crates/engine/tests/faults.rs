//! A disk that is full, fails or lies, and two owners of one directory: nothing acknowledged is lost, nothing refused
//! becomes visible, and damage stays where it is.

mod support;

use std::{collections::BTreeMap, sync::Arc};

use pinyon_engine::{EngineSettings, IndexHandle, Kept};
use pinyon_model::{DeleteSelector, ErrorCode};
use pinyon_storage::{
    BlobFault, BlobOp, MemoryStore,
    faults::{Fault, Rule, install},
    fs::Site,
};
use support::*;

/// Writes batches of three until `until`; returns what was acknowledged and how many were refused.
async fn write_batches(index: &IndexHandle, from: u32, until: u32, acked: &mut BTreeMap<String, f32>) -> u32 {
    let mut refused = 0;
    for n in from..until {
        let batch: Vec<_> = (0..3).map(|i| record(&format!("{}", (n * 3 + i) % 20), n as f32)).collect();
        match index.upsert(&name("ns"), batch.clone()).await {
            Ok(_) => acked.extend(batch.iter().map(|r| (r.id.as_str().to_owned(), n as f32))),
            Err(error) => {
                assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
                refused += 1;
            }
        }
    }
    refused
}

#[tokio::test]
async fn every_fault_of_the_log_is_survived() {
    for site in [Site::LogCreate, Site::LogWriteFirst, Site::LogWrite, Site::LogSync, Site::LogDirSync] {
        for fault in [Fault::Eio, Fault::Enospc, Fault::Short] {
            let home = Home::new(EngineSettings::default());
            let engine = home.open().await;
            let index = index(&engine).await;
            let mut acked = BTreeMap::new();
            write_batches(&index, 0, 5, &mut acked).await;
            engine.close().await;
            let engine = home.open().await;
            let index = support::index(&engine).await;
            contents(&index, &name("ns")).await.unwrap();
            let installed = install(&home.data(), vec![Rule::once(site, 1, fault), Rule::once(site, 3, fault)]);
            let refused = write_batches(&index, 5, 15, &mut acked).await;
            let visited = installed.visits().get(&site).copied().unwrap_or(0);
            drop(installed);
            assert!(visited > 0, "{} was not met", site.name());
            // The namespace list is written to as well before the first write; its refusal counts as one.
            assert!(refused > 0, "{} {fault:?}", site.name());
            assert_eq!(contents(&index, &name("ns")).await.unwrap(), acked, "{} {fault:?}", site.name());
            assert_eq!(write_batches(&index, 15, 20, &mut acked).await, 0, "writes go on after {} {fault:?}", site.name());
            drop(engine);
            let engine = home.open().await;
            assert_eq!(contents(&*support::index(&engine).await, &name("ns")).await.unwrap(), acked, "{} {fault:?}", site.name());
            engine.close().await;
        }
    }
}

#[tokio::test]
async fn every_fault_of_a_flush_is_survived() {
    use Site::{BlobCreate, BlobDirSync, BlobLink, BlobSync, BlobUnlink, BlobWrite, LogUnlink};
    for site in [BlobCreate, BlobWrite, BlobSync, BlobLink, BlobDirSync, BlobUnlink, LogUnlink] {
        for nth in 1..=4 {
            for fault in [Fault::Eio, Fault::Enospc] {
                let home = Home::new(EngineSettings { compact_segments: 2, ..EngineSettings::default() });
                let engine = home.open().await;
                let index = index(&engine).await;
                let mut acked = BTreeMap::new();
                let installed = install(&home.data(), vec![Rule::once(site, nth, fault)]);
                for round in 0..4 {
                    assert_eq!(write_batches(&index, round * 5, round * 5 + 5, &mut acked).await, 0);
                    let _ = engine.flush_all().await;
                    assert_eq!(contents(&index, &name("ns")).await.unwrap(), acked, "{} {nth} {fault:?}", site.name());
                }
                drop(installed);
                engine.flush_all().await.unwrap();
                engine.close().await;
                let engine = home.open().await;
                assert_eq!(contents(&*support::index(&engine).await, &name("ns")).await.unwrap(), acked, "{} {nth} {fault:?}", site.name());
                assert_eq!(engine.check().await.unwrap().damaged, [], "{} {nth} {fault:?}", site.name());
                engine.close().await;
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_whose_answer_is_lost_counts_once() {
    let home = Home::new(EngineSettings::default());
    let store = MemoryStore::new();
    let engine = home.open_on(Arc::new(store.clone())).await;
    let index = index(&engine).await;
    let mut acked = BTreeMap::new();
    for round in 0..6 {
        write_batches(&index, round * 5, round * 5 + 5, &mut acked).await;
        let mut seen = 0;
        store.set_faults(move |op, name| {
            seen += u32::from(op == BlobOp::Put && name.contains("manifest-"));
            let lost = op == BlobOp::Put && name.contains("manifest-") && seen <= round % 3;
            lost.then_some(if round % 2 == 0 { BlobFault::AnswerLost } else { BlobFault::Refused })
        });
        while engine.flush_all().await.is_err() {
            assert_eq!(contents(&index, &name("ns")).await.unwrap(), acked);
            write_batches(&index, round * 5, round * 5 + 2, &mut acked).await;
        }
        store.clear_faults();
        assert_eq!(contents(&index, &name("ns")).await.unwrap(), acked, "round {round}");
    }
    engine.close().await;
    let engine = home.open_on(Arc::new(store)).await;
    assert_eq!(contents(&*support::index(&engine).await, &name("ns")).await.unwrap(), acked);
    engine.close().await;
}

#[tokio::test]
async fn a_full_disk_can_be_emptied_and_filled_again() {
    let mut home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let index = index(&engine).await;
    let mut acked = BTreeMap::new();
    write_batches(&index, 0, 5, &mut acked).await;
    index.upsert(&name("other"), vec![record("a", 1.0)]).await.unwrap();
    engine.close().await;
    // No byte beyond the reserve is free.
    home.reserve = Some(u64::MAX / 2);
    let engine = home.open().await;
    let index = support::index(&engine).await;
    let refused = index.upsert(&name("ns"), vec![record("new", 1.0)]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);
    assert!(refused.message.contains("full"), "{refused}");
    assert_eq!(index.create_namespace(name("new"), None).await.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(contents(&index, &name("ns")).await.unwrap(), acked, "reads go on");
    index.delete(&name("ns"), DeleteSelector::Ids(vec![id("1")])).await.unwrap();
    acked.remove("1");
    assert_eq!(contents(&index, &name("ns")).await.unwrap(), acked);
    engine.flush_all().await.unwrap();
    index.delete_namespace(&name("other"), Kept::NoLonger).await.unwrap();
    engine.close().await;
    home.reserve = Some(0);
    let engine = home.open().await;
    let index = support::index(&engine).await;
    assert_eq!(write_batches(&index, 5, 10, &mut acked).await, 0);
    assert_eq!(contents(&index, &name("ns")).await.unwrap(), acked);
    assert_eq!(index.stats().await.unwrap().namespaces.len(), 1);
    engine.close().await;
}

#[tokio::test]
async fn an_older_owner_is_refused() {
    let home = Home::new(EngineSettings::default());
    let (old, ns) = (home.open().await, name("ns"));
    let old_index = index(&old).await;
    old_index.upsert(&ns, vec![record("a", 1.0)]).await.unwrap();
    let new = home.open().await;
    let new_index = index(&new).await;
    new_index.upsert(&ns, vec![record("b", 2.0)]).await.unwrap();
    let refused = old_index.upsert(&ns, vec![record("c", 3.0)]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}");
    assert_eq!(old_index.delete(&ns, DeleteSelector::All).await.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(old_index.query(&ns, greatest(1)).await.unwrap_err().code, ErrorCode::Unavailable, "what it would say is old");
    let both = BTreeMap::from([("a".to_owned(), 1.0), ("b".to_owned(), 2.0)]);
    assert_eq!(contents(&new_index, &ns).await.unwrap(), both);
    new_index.upsert(&ns, vec![record("d", 4.0)]).await.unwrap();
    old.close().await;
    new.close().await;
    let engine = home.open().await;
    let found = contents(&*index(&engine).await, &ns).await.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["a", "b", "d"]);
    engine.close().await;
}

/// A directory with three namespaces, all of whose kinds of file are there; returns its files.
async fn three_namespaces(home: &Home) -> Vec<String> {
    let engine = home.open().await;
    let index = index(&engine).await;
    for n in 0..3 {
        let ns = name(&format!("ns{n}"));
        index.upsert(&ns, (0..50).map(|i| record(&format!("{i}"), i as f32)).collect()).await.unwrap();
        engine.flush_all().await.unwrap();
        index.delete(&ns, DeleteSelector::Ids(vec![id("7")])).await.unwrap();
        engine.flush_all().await.unwrap();
    }
    // A write of each that is in its log alone.
    for n in 0..3 {
        index.upsert(&name(&format!("ns{n}")), vec![record("x", 1.0)]).await.unwrap();
    }
    engine.close().await;
    files_below(&home.data())
}

#[tokio::test]
async fn a_damaged_file_takes_its_namespace_alone() {
    let home = Home::new(EngineSettings::default());
    let files = three_namespaces(&home).await;
    let namespace_files: Vec<&String> = files.iter().filter(|f| f.contains("/namespaces/")).collect();
    assert!(namespace_files.len() >= 12, "{files:?}");
    for file in namespace_files {
        let path = home.data().join(file);
        let good = std::fs::read(&path).unwrap();
        for change in ["flip", "cut", "remove"] {
            let mut bad = good.clone();
            match change {
                "flip" => bad[good.len() / 2] ^= 0x10,
                "cut" => bad.truncate(good.len() / 2),
                _ => std::fs::remove_file(&path).unwrap(),
            }
            if change != "remove" {
                std::fs::write(&path, &bad).unwrap();
            }
            let engine = home.open().await;
            let index = support::index(&engine).await;
            let report = engine.check().await.unwrap();
            // A log that ends early may be what a crash left, so that the list alone knows that there was more.
            let named = if file.contains("/log-") && change != "flip" { file.rsplit_once('/').unwrap().0 } else { file };
            let mut lost = Vec::new();
            for n in 0..3 {
                match contents(&index, &name(&format!("ns{n}"))).await {
                    Ok(found) => assert_eq!(found.len(), 50, "{file} {change}: all of it, or an error"),
                    Err(error) => {
                        assert_eq!(error.code, ErrorCode::DataLoss, "{file} {change}: {error}");
                        // A manifest that is missing shows in the log, which begins too late.
                        assert!(file.contains("/manifest-") || error.message.contains(named), "{file} {change}: {error}");
                        let again = index.upsert(&name(&format!("ns{n}")), vec![record("y", 1.0)]).await.unwrap_err();
                        assert_eq!(again.code, ErrorCode::DataLoss);
                        lost.push(error);
                    }
                }
            }
            // As long as the log was not trimmed, it makes up for a manifest that is missing.
            assert!(lost.len() == 1 || file.contains("/manifest-") && change == "remove", "{file} {change}: {lost:?}");
            let reported = report.damaged.iter().any(|d| d.file.starts_with(named) || file.contains("/manifest-"));
            assert!(reported || lost.is_empty(), "{file} {change}: {:?}", report.damaged);
            engine.close().await;
            std::fs::write(&path, &good).unwrap();
        }
    }
    let engine = home.open().await;
    assert_eq!(engine.check().await.unwrap().damaged, []);
    engine.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_can_be_deleted() {
    let home = Home::new(EngineSettings::default());
    for file in three_namespaces(&home).await.iter().filter(|f| f.contains("/manifest-")) {
        std::fs::write(home.data().join(file), b"nothing").unwrap();
    }
    let engine = home.open().await;
    let index = support::index(&engine).await;
    for n in 0..3 {
        let ns = name(&format!("ns{n}"));
        assert_eq!(index.fetch(&ns, vec![id("1")]).await.unwrap_err().code, ErrorCode::DataLoss);
        index.delete_namespace(&ns, Kept::NoLonger).await.unwrap();
        index.upsert(&ns, vec![record("new", 1.0)]).await.unwrap();
        assert_eq!(contents(&index, &ns).await.unwrap().len(), 1);
    }
    assert_eq!(engine.check().await.unwrap().damaged, []);
    engine.close().await;
}

#[tokio::test]
async fn a_deletion_cut_short_ends_at_the_next_start() {
    let home = Home::new(EngineSettings::default());
    let (engine, ns) = (home.open().await, name("ns"));
    let index = index(&engine).await;
    index.upsert(&ns, vec![record("a", 1.0)]).await.unwrap();
    let installed = install(&home.data(), vec![Rule::always(Site::BlobDirRename, Fault::Eio)]);
    index.delete_namespace(&ns, Kept::NoLonger).await.unwrap();
    drop(installed);
    let left = || files_below(&home.data()).iter().filter(|f| f.contains("/namespaces/")).count();
    assert!(left() > 0, "the fault was not met");
    assert!(contents(&index, &ns).await.unwrap().is_empty());
    engine.close().await;
    let engine = home.open().await;
    let index = support::index(&engine).await;
    assert!(contents(&index, &ns).await.unwrap().is_empty());
    engine.close().await;
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn the_check_counts_what_it_read() {
    let home = Home::new(EngineSettings::default());
    let files = three_namespaces(&home).await;
    let bytes: u64 = files.iter().map(|f| std::fs::metadata(home.data().join(f)).unwrap().len()).sum();
    let engine = home.open().await;
    let cold = engine.check().await.unwrap();
    assert_eq!((cold.indexes, cold.namespaces, cold.records), (1, 3, 150));
    assert_eq!((cold.files, cold.bytes, &cold.damaged), (files.len() as u64, bytes, &vec![]));
    // The same while the namespaces are in use.
    let index = support::index(&engine).await;
    contents(&index, &name("ns1")).await.unwrap();
    index.upsert(&name("ns1"), vec![record("z", 1.0)]).await.unwrap();
    let warm = engine.check().await.unwrap();
    assert_eq!((warm.namespaces, warm.records, warm.damaged), (3, 151, vec![]));
    engine.close().await;
}
