//! Codes that could not be made or stored, because the disk failed or the process ended: what was there before stays in charge, answers
//! as before, and the next try succeeds.

use std::{path::Path, process::Command, time::Duration};

use pinyon_engine::EngineSettings;
use pinyon_model::{ErrorCode, Match, Metric};
use pinyon_storage::{
    RootKey,
    faults::{Fault, Rule, install},
    fs::Site,
};

use crate::{
    block_on,
    data::{Mixture, Norms, Row},
    support::{files_below, name},
    world::{World, id, settings},
};

const DIMENSION: usize = 24;
const SITES: [Site; 5] = [Site::BlobCreate, Site::BlobWrite, Site::BlobSync, Site::BlobLink, Site::BlobDirSync];

/// Settings under which 400 vectors are a segment with codes in clusters, and three such segments are merged.
fn merging() -> EngineSettings {
    EngineSettings { coded_vectors: 100, clustered_vectors: 128, compact_segments: 3, ..settings() }
}

/// Answers to a few queries. All that match are asked for, so that none can be missed, however it is stored.
async fn answers(world: &World, queries: &[Row]) -> Vec<Vec<Match>> {
    let mut all = Vec::new();
    for query in queries {
        all.push(world.ask(&query.vector, world.rows.len(), None).await);
        let found = world.ask(&query.vector, 5, None).await;
        assert_eq!(found.len(), 5);
    }
    all
}

/// How often each site is visited by what `work` does.
async fn visits(world: &World, work: impl AsyncFnOnce(&World)) -> Vec<(Site, u64)> {
    let counted = install(&world.home.data(), Vec::new());
    work(world).await;
    let visits = counted.visits();
    SITES.into_iter().map(|site| (site, visits.get(&site).copied().unwrap_or(0))).collect()
}

#[test]
fn a_flush_that_fails_anywhere_is_done_again() {
    block_on(async {
        let mut mixture = Mixture::new(DIMENSION, Norms::Plain, 23);
        let rows = mixture.some(400);
        let queries = mixture.some(3);
        let first = async || {
            let mut world = World::new(DIMENSION, Metric::Cosine, merging()).await;
            world.put((0..).map(id).zip(rows.clone())).await;
            world
        };
        let visited = visits(&first().await, async |world: &World| world.engine.flush_all().await.unwrap()).await;
        for (site, visits) in visited {
            assert!(visits > 0, "{} is not met by a flush", site.name());
            for nth in 1..=visits {
                let world = &mut first().await;
                let before = answers(world, &queries).await;
                let fault = if nth % 2 == 0 { Fault::Eio } else { Fault::Enospc };
                let what = format!("{} {nth} of {visits}, {fault:?}", site.name());
                let installed = install(&world.home.data(), vec![Rule::once(site, nth, fault)]);
                let refused = world.engine.flush_all().await;
                drop(installed);
                // After the last link the manifest may be in place in spite of what follows.
                assert!(refused.is_err() || site == Site::BlobDirSync, "{what}");
                assert!(refused.err().is_none_or(|error| error.code == ErrorCode::Unavailable), "{what}");
                assert_eq!(answers(world, &queries).await, before, "{what}");
                world.engine.flush_all().await.unwrap();
                assert_eq!(answers(world, &queries).await, before, "{what}, after the next try");
                world.restart().await;
                assert_eq!(answers(world, &queries).await, before, "{what}, after a restart");
                let report = world.engine.check().await.unwrap();
                assert_eq!((report.damaged, report.records), (vec![], 400), "{what}");
            }
        }
    });
}

/// The objects of the namespace: segments and deletes.
fn objects(world: &World) -> usize {
    let is_object = |file: &&String| file.rsplit('/').next().is_some_and(|name| name.len() == 32);
    files_below(&world.home.data()).iter().filter(is_object).count()
}

/// Until the three segments are one.
async fn merged(world: &World, queries: &[Row], before: &[Vec<Match>], what: &str) {
    for _ in 0..500 {
        assert_eq!(answers(world, queries).await, before, "{what}, while it goes on");
        if objects(world) == 1 {
            return;
        }
        world.engine.flush_all().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what}: {:?} are left", files_below(&world.home.data()));
}

#[test]
fn a_merge_that_fails_anywhere_is_done_again() {
    block_on(async {
        let mut mixture = Mixture::new(DIMENSION, Norms::Plain, 29);
        let parts: Vec<Vec<Row>> = (0..3).map(|_| mixture.some(250)).collect();
        let queries = mixture.some(2);
        for (site, nth) in [
            (Site::BlobCreate, 3),
            (Site::BlobWrite, 3),
            (Site::BlobWrite, 4),
            (Site::BlobSync, 3),
            (Site::BlobLink, 3),
            (Site::BlobLink, 4),
        ] {
            let world = &mut World::new(DIMENSION, Metric::Dotproduct, merging()).await;
            for (n, part) in parts[..2].iter().enumerate() {
                world.store((0..).map(|row| id(row * 3 + n)).zip(part.clone())).await;
            }
            world.put((0..).map(|row| id(row * 3 + 2)).zip(parts[2].clone())).await;
            let before = answers(world, &queries).await;
            // The flush takes its visits, the merge that it makes due the later ones.
            let what = format!("{} {nth}", site.name());
            let installed = install(&world.home.data(), vec![Rule::once(site, nth, Fault::Eio)]);
            world.engine.flush_all().await.unwrap_or_else(|error| panic!("{what}: {error}"));
            for _ in 0..500 {
                if installed.visits().get(&site).is_some_and(|visits| *visits >= nth) {
                    break;
                }
                assert_eq!(answers(world, &queries).await, before, "{what}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let met = installed.visits();
            drop(installed);
            assert!(met.get(&site).is_some_and(|visits| *visits >= nth), "{what} was not met: {met:?}");
            merged(world, &queries, &before, &what).await;
            world.restart().await;
            assert_eq!(answers(world, &queries).await, before, "{what}, after a restart");
            let report = world.engine.check().await.unwrap();
            assert_eq!((report.damaged, report.records), (vec![], 750), "{what}");
        }
    });
}

const CHILD: &str = "PINYON_RECALL_CHILD";

/// What the process does that is killed: opens the engine in the folder it is given, and flushes.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    block_on(async {
        let dir = Path::new(&dir);
        let root = RootKey::parse_text(&std::fs::read_to_string(dir.join("root")).unwrap()).unwrap();
        let world = World::over(dir.to_owned(), root, DIMENSION, Metric::Euclidean, merging()).await;
        world.index.list(&name("ns"), &pinyon_model::Prefix::default(), 1, None).await.unwrap();
        world.engine.flush_all().await.unwrap();
        world.engine.close().await;
    });
}

#[test]
fn a_process_killed_while_it_builds_loses_nothing() {
    block_on(async {
        let mut mixture = Mixture::new(DIMENSION, Norms::Plain, 31);
        let (rows, queries) = (mixture.some(400), mixture.some(2));
        let mut cases =
            vec![(Site::BlobSync, 1, "kill"), (Site::BlobLink, 1, "kill"), (Site::BlobLink, 1, "after"), (Site::BlobLink, 2, "after")];
        cases.extend((1..=2).map(|nth| (Site::BlobWrite, nth, "torn")));
        for (site, nth, kind) in cases {
            let what = format!("{}:{nth}:{kind}", site.name());
            let dir = tempfile::tempdir().unwrap();
            let root = RootKey::generate();
            std::fs::write(dir.path().join("root"), root.export_text().as_bytes()).unwrap();
            let mut world = World::over(dir.path().to_owned(), root, DIMENSION, Metric::Euclidean, merging()).await;
            world.put((0..).map(id).zip(rows.clone())).await;
            let before = answers(&world, &queries).await;
            world.engine.close().await;
            let rows = std::mem::take(&mut world.rows);
            drop(world);
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["build_faults::child", "--exact"]).env(CHILD, dir.path()).env("PINYON_FAULT", &what);
            let ended = child.output().unwrap();
            assert!(!ended.status.success(), "{what} was not met: {}", String::from_utf8_lossy(&ended.stdout));
            let root = RootKey::parse_text(&std::fs::read_to_string(dir.path().join("root")).unwrap()).unwrap();
            let mut world = World::over(dir.path().to_owned(), root, DIMENSION, Metric::Euclidean, merging()).await;
            world.rows = rows;
            assert_eq!(answers(&world, &queries).await, before, "{what}");
            world.engine.flush_all().await.unwrap();
            assert_eq!(answers(&world, &queries).await, before, "{what}, after the next try");
            let report = world.engine.check().await.unwrap();
            assert_eq!((report.damaged, report.records), (vec![], 400), "{what}");
            world.engine.close().await;
        }
    });
}
