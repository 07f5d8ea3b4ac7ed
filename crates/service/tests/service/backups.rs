//! Backups, restores, collections and the file that moves a backup, as callers see them.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use pinyon_model::{
    Backup, BackupId, BackupStatus, CollectionName, CollectionState, DeletionProtection, ErrorCode, IndexSource, IndexState, NewBackup,
    NewCollection, NewRestore, PageRequest, Prefix, ReadCapacity, ReadCapacityChange, RecordId, RestoreJob, RestoreStatus, Role, Tags,
};
use pinyon_service::{Clock, ExportKey, LimitPreset, Limits, OpContext, Service, ServiceOptions};

use crate::common::{House, audit_events, close, code, files, name, namespace, pod, project, query, record, restore, spec, tags};

pub(crate) const FIRST: PageRequest = PageRequest { limit: 100, after: None };

/// Every record of a namespace, by id.
type Content = BTreeMap<String, BTreeMap<String, pinyon_model::Record>>;

pub(crate) async fn content(service: &Service, ctx: &OpContext, index: &str) -> Content {
    let index = service.find_index(ctx, index).await.unwrap();
    let stats = service.stats(ctx, &index, None).await.unwrap();
    let mut content = Content::new();
    for space in stats.namespaces.keys() {
        let mut records = BTreeMap::new();
        let mut after = None;
        loop {
            let page = service.list(ctx, &index, space, &Prefix::default(), 100, after).await.unwrap();
            if !page.ids.is_empty() {
                let found = service.fetch(ctx, &index, space, page.ids).await.unwrap().records;
                records.extend(found.into_iter().map(|r| (r.id.as_str().to_owned(), r)));
            }
            after = page.next_after;
            if after.is_none() {
                break;
            }
        }
        content.insert(space.to_string(), records);
    }
    content
}

pub(crate) async fn fill(service: &Service, ctx: &OpContext, index: &str, namespaces: usize, from: usize) {
    let index = service.find_index(ctx, index).await.unwrap();
    for n in 0..namespaces {
        let records = (from..from + 3).map(|i| record(&format!("r{i}"), [1.0, n as f32, i as f32])).collect();
        service.upsert(ctx, &index, &namespace(&format!("n{n}")), records).await.unwrap();
    }
}

pub(crate) fn named(text: &str) -> NewBackup {
    NewBackup { name: Some(text.to_owned()), description: None }
}

pub(crate) fn into(text: &str) -> NewRestore {
    NewRestore { name: name(text), tags: None, deletion_protection: DeletionProtection::Disabled, read_capacity: None, cmek_id: None }
}

/// The test's clock stands still, so it waits by the computer's.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..2_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not come");
}

pub(crate) async fn stored(service: &Service, ctx: &OpContext, id: BackupId) -> Backup {
    until("a backup's end", async || {
        let backup = service.describe_backup(ctx, &id.to_string()).await.unwrap();
        (backup.status != BackupStatus::Initializing).then_some(backup)
    })
    .await
}

pub(crate) async fn restored(service: &Service, ctx: &OpContext, job: &RestoreJob) -> RestoreJob {
    until("a restore's end", async || {
        let job = service.describe_restore_job(ctx, &job.id.to_string()).await.unwrap();
        (job.status != RestoreStatus::Pending).then_some(job)
    })
    .await
}

pub(crate) async fn backed_up(service: &Arc<Service>, ctx: &OpContext, index: &str, text: &str) -> Backup {
    let backup = service.create_backup(ctx, index, named(text)).await.unwrap();
    assert_eq!(backup.status, BackupStatus::Initializing);
    let backup = stored(service, ctx, backup.id).await;
    assert!(matches!(backup.status, BackupStatus::Ready(_)), "{backup:?}");
    backup
}

#[tokio::test]
async fn a_backup_is_the_index_at_one_moment_and_stands_on_its_own() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let mut wanted = spec("plants");
    wanted.tags = Tags::new(tags(&[("team", "red")])).unwrap();
    let source = service.create_index(&me, wanted).await.unwrap();
    fill(&service, &me, "plants", 3, 0).await;
    let before = content(&service, &me, "plants").await;
    let new = NewBackup { name: Some("first".into()), description: Some("all of it".into()) };
    let backup = service.create_backup(&me, "plants", new).await.unwrap();
    // Whatever comes after the answer is not in it.
    fill(&service, &me, "plants", 5, 10).await;
    let backup = stored(&service, &me, backup.id).await;
    let counts = backup.status.counts().unwrap();
    assert_eq!((counts.namespaces, counts.records), (3, 9));
    assert!(counts.bytes > 0);
    assert_eq!((backup.name(), backup.source_index_id, backup.source_index_deleted_at_ms), (Some("first"), source.id, None));

    let (index, job) = service.create_index_from_backup(&me, &backup.id.to_string(), into("again")).await.unwrap();
    assert_eq!((index.state, &index.source), (IndexState::Initializing, &Some(IndexSource::Backup(backup.id))));
    assert_eq!(job.target_index_id, index.id);
    let job = restored(&service, &me, &job).await;
    assert_eq!((job.status, job.percent_complete), (RestoreStatus::Completed, Some(100.0)));
    let again = service.describe_index(&me, "again").await.unwrap();
    assert_eq!((again.state, again.tags, again.schema), (IndexState::Ready, source.tags.clone(), source.schema.clone()));
    assert_eq!(content(&service, &me, "again").await, before);

    // Its index is deleted and purged, and it is as whole as before.
    service.delete_index(&me, "plants").await.unwrap();
    service.delete_index(&me, "again").await.unwrap();
    close(service).await;
    let service = house.open().await;
    let kept = service.describe_backup(&me, &backup.id.to_string()).await.unwrap();
    assert_eq!(kept.source_index_deleted_at_ms, Some(house.clock.now_ms()));
    let change = ReadCapacityChange::Dedicated { node_type: Some("t1".into()), shards: Some(2), replicas: None };
    let other = NewRestore {
        tags: Some(Tags::default()),
        deletion_protection: DeletionProtection::Enabled,
        read_capacity: Some(change),
        ..into("third")
    };
    let (_, job) = service.create_index_from_backup(&me, &backup.id.to_string(), other).await.unwrap();
    assert_eq!(restored(&service, &me, &job).await.status, RestoreStatus::Completed);
    assert_eq!(content(&service, &me, "third").await, before);
    let third = service.describe_index(&me, "third").await.unwrap();
    assert!(third.tags.is_empty() && third.deletion_protection == DeletionProtection::Enabled);
    assert!(matches!(third.read_capacity, ReadCapacity::Dedicated(d) if d.shards == 2));
    assert_eq!(service.list_restore_jobs(&me, FIRST).await.unwrap().items.len(), 2);

    service.delete_backup(&me, &backup.id.to_string()).await.unwrap();
    assert_eq!(code(service.describe_backup(&me, &backup.id.to_string()).await), Some(ErrorCode::NotFound));
    assert_eq!(content(&service, &me, "third").await, before, "what was restored stands on its own too");
    house.clock.advance_ms(7 * 24 * 60 * 60 * 1_000);
    service.purge_deleted(&house.operator(), false).await.unwrap();
    assert!(!files(house.path()).keys().any(|p| p.to_string_lossy().contains("backups/")), "nothing of it is left");
    close(service).await;
    let service = house.open().await;
    assert_eq!(content(&service, &me, "third").await, before);
    let acts: Vec<String> = audit_events(&service, &house.operator())
        .await
        .into_iter()
        .filter(|e| e.resource_type == "backup")
        .map(|e| format!("{} {}", e.action, e.resource_id))
        .collect();
    assert_eq!(acts, ["create first", "update first", "delete first"]);
}

#[tokio::test]
async fn an_index_that_is_not_restored_yet_takes_no_calls_and_holds_its_backup() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 60, 0).await;
    let backup = backed_up(&service, &me, "plants", "b").await;
    let id = backup.id.to_string();
    let (_, job) = service.create_index_from_backup(&me, &id, into("again")).await.unwrap();
    let index = service.find_index(&me, "again").await.unwrap();
    assert_eq!(code(service.query(&me, &index, &namespace("n0"), query([1.0, 0.0, 0.0])).await), Some(ErrorCode::Unavailable));
    assert_eq!(code(service.create_backup(&me, "again", named("c")).await), Some(ErrorCode::Unavailable));
    assert_eq!(code(service.delete_backup(&me, &id).await), Some(ErrorCode::FailedPrecondition));
    let seen = service.describe_restore_job(&me, &job.id.to_string()).await.unwrap();
    assert_eq!(seen.status, RestoreStatus::Pending);
    assert!(seen.percent_complete.unwrap() < 100.0 && seen.completed_at_ms.is_none());
    assert_eq!(restored(&service, &me, &job).await.status, RestoreStatus::Completed);
    service.query(&me, &index, &namespace("n0"), query([1.0, 0.0, 0.0])).await.unwrap();
    service.delete_backup(&me, &id).await.unwrap();
}

#[tokio::test]
async fn deleting_the_index_cancels_its_restore() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 60, 0).await;
    let backup = backed_up(&service, &me, "plants", "b").await;
    let (index, job) = service.create_index_from_backup(&me, &backup.id.to_string(), into("again")).await.unwrap();
    service.delete_index(&me, "again").await.unwrap();
    assert_eq!(restored(&service, &me, &job).await.status, RestoreStatus::Cancelled);
    let folder = house.path().join(format!("indexes/{}", index.id.hex()));
    until("the folder's removal", async || (!folder.exists()).then_some(())).await;
    // The name is free again.
    let (_, job) = service.create_index_from_backup(&me, &backup.id.to_string(), into("again")).await.unwrap();
    assert_eq!(restored(&service, &me, &job).await.status, RestoreStatus::Completed);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_and_nothing_is_done() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    service.create_index(&me, pinyon_model::IndexSpec { deployment: pod(), ..spec("pod") }).await.unwrap();
    assert_eq!(code(service.create_backup(&me, "pod", named("b")).await), Some(ErrorCode::InvalidArgument));
    assert_eq!(code(service.create_backup(&me, "none", named("b")).await), Some(ErrorCode::NotFound));
    for id in ["", "x", "8f4a3a2e-1111-4222-8333-444455556666"] {
        assert_eq!(code(service.describe_backup(&me, id).await), Some(ErrorCode::NotFound), "{id}");
        assert_eq!(code(service.delete_backup(&me, id).await), Some(ErrorCode::NotFound), "{id}");
        assert_eq!(code(service.create_index_from_backup(&me, id, into("a")).await), Some(ErrorCode::NotFound), "{id}");
        assert_eq!(code(service.describe_restore_job(&me, id).await), Some(ErrorCode::NotFound), "{id}");
    }
    let backup = backed_up(&service, &me, "plants", "b").await;
    let id = backup.id.to_string();
    assert_eq!(code(service.create_index_from_backup(&me, &id, into("plants")).await), Some(ErrorCode::AlreadyExists));
    let shards = ReadCapacityChange::Dedicated { node_type: None, shards: None, replicas: None };
    let bad = NewRestore { read_capacity: Some(shards), ..into("a") };
    assert_eq!(code(service.create_index_from_backup(&me, &id, bad).await), Some(ErrorCode::InvalidArgument));
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 2);

    // What is another project's is not there.
    let other = service.create_project(&house.operator(), project("other")).await.unwrap();
    let stranger = house.caller(&service, Some(other.id), &[Role::ProjectEditor]).await;
    assert_eq!(code(service.describe_backup(&stranger, &id).await), Some(ErrorCode::NotFound));
    assert_eq!(code(service.create_index_from_backup(&stranger, &id, into("a")).await), Some(ErrorCode::NotFound));
    assert!(service.list_backups(&stranger, FIRST).await.unwrap().items.is_empty());
    let viewer = house.caller(&service, None, &[Role::ControlPlaneViewer]).await;
    assert_eq!(code(service.create_backup(&viewer, "plants", named("c")).await), Some(ErrorCode::Forbidden));
    assert_eq!(service.list_backups(&viewer, FIRST).await.unwrap().items.len(), 1);

    // A project that has backups stays.
    let theirs = OpContext { project: Some(other.id), ..house.operator() };
    service.create_index(&theirs, spec("theirs")).await.unwrap();
    let kept = backed_up(&service, &theirs, "theirs", "kept").await;
    service.delete_index(&theirs, "theirs").await.unwrap();
    assert_eq!(code(service.delete_project(&house.operator(), other.id).await), Some(ErrorCode::FailedPrecondition));
    service.delete_backup(&theirs, &kept.id.to_string()).await.unwrap();
    service.delete_project(&house.operator(), other.id).await.unwrap();
}

#[tokio::test]
async fn a_project_has_so_many_backups_and_no_more() {
    let house = House::new();
    let limits = Limits { backups_per_project: Some(2), collections_per_project: Some(1), ..Limits::default() };
    let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    backed_up(&service, &me, "plants", "a").await;
    let second = backed_up(&service, &me, "plants", "a").await;
    assert_eq!(code(service.create_backup(&me, "plants", named("c")).await), Some(ErrorCode::QuotaExceeded));
    service.delete_backup(&me, &second.id.to_string()).await.unwrap();
    backed_up(&service, &me, "plants", "c").await;
    service.create_index(&me, pinyon_model::IndexSpec { deployment: pod(), ..spec("pod") }).await.unwrap();
    let new = |text: &str| NewCollection { name: CollectionName::new(text).unwrap(), source: "pod".into() };
    service.create_collection(&me, new("one")).await.unwrap();
    assert_eq!(code(service.create_collection(&me, new("two")).await), Some(ErrorCode::QuotaExceeded));
    close(service).await;

    let limits = Limits { preset: LimitPreset::Pinecone, ..Limits::default() };
    let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
    let organization = service.list_organizations(&house.operator()).await.unwrap()[0].id;
    service.set_plan(&house.operator(), organization, pinyon_model::Plan::Free).await.unwrap();
    let refused = service.create_backup(&me, "plants", named("c")).await.unwrap_err();
    assert!(refused.code == ErrorCode::Forbidden && refused.message.contains("plan"), "{refused:?}");
}

#[tokio::test]
async fn lists_go_by_index_and_by_project() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    for index in ["a", "b"] {
        service.create_index(&me, spec(index)).await.unwrap();
    }
    for (index, text) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        house.clock.advance_ms(1_000);
        let me = OpContext { now_ms: house.clock.now_ms(), ..me.clone() };
        backed_up(&service, &me, index, text).await;
    }
    let names = |backups: Vec<Backup>| backups.iter().map(|b| b.name().unwrap().to_owned()).collect::<Vec<_>>();
    let of = async |index: &str, deleted| service.list_index_backups(&me, index, deleted, FIRST).await.map(|p| names(p.items));
    assert_eq!(names(service.list_backups(&me, FIRST).await.unwrap().items), ["a1", "b1", "a2"]);
    assert_eq!(of("a", false).await.unwrap(), ["a1", "a2"]);
    let first = service.list_backups(&me, PageRequest { limit: 2, after: None }).await.unwrap();
    let rest = service.list_backups(&me, PageRequest { limit: 2, after: first.next }).await.unwrap();
    assert_eq!((names(first.items), names(rest.items), rest.next), (vec!["a1".into(), "b1".into()], vec!["a2".into()], None));
    service.delete_index(&me, "a").await.unwrap();
    assert_eq!(code(of("a", false).await), Some(ErrorCode::NotFound));
    assert_eq!(of("a", true).await.unwrap(), ["a1", "a2"]);
    service.create_index(&me, spec("a")).await.unwrap();
    assert_eq!(of("a", false).await.unwrap(), [""; 0], "one that came later inherits none");
    assert_eq!(of("a", true).await.unwrap(), ["a1", "a2"]);
    for missing in ["none", "No Name"] {
        assert_eq!(code(of(missing, true).await), Some(ErrorCode::NotFound));
    }
}

#[tokio::test]
async fn a_crash_leaves_a_backup_whole_or_failed_with_the_reason() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 20, 0).await;
    let before = content(&service, &me, "plants").await;
    let backup = service.create_backup(&me, "plants", named("b")).await.unwrap();
    let crashed = files(house.path());
    stored(&service, &me, backup.id).await;
    let whole = files(house.path());
    close(service).await;
    // As it was right after the answer, and with the row as it was then over a backup that is whole.
    for (n, mut snapshot) in [crashed.clone(), whole].into_iter().enumerate() {
        if n == 1 {
            let catalog = |p: &&std::path::PathBuf| p.to_string_lossy().contains("catalog.db") || p.to_string_lossy().contains("/audit/");
            snapshot.retain(|p, _| !catalog(&p));
            snapshot.extend(crashed.iter().filter(|(p, _)| catalog(p)).map(|(p, b)| (p.clone(), b.clone())));
        }
        restore(house.path(), &snapshot);
        let service = house.open().await;
        let found = service.describe_backup(&me, &backup.id.to_string()).await.unwrap();
        match (&found.status, n) {
            (BackupStatus::Failed(reason), 0) => {
                assert!(reason.contains("ended"), "{reason}");
                let left = files(house.path()).keys().any(|p| p.to_string_lossy().contains("backups/"));
                assert!(!left, "nothing of it is left");
                let refused = service.create_index_from_backup(&me, &backup.id.to_string(), into("again")).await;
                assert_eq!(code(refused), Some(ErrorCode::FailedPrecondition));
            }
            (BackupStatus::Ready(counts), _) => {
                assert_eq!(counts.records, 60);
                let (_, job) = service.create_index_from_backup(&me, &backup.id.to_string(), into("again")).await.unwrap();
                assert_eq!(restored(&service, &me, &job).await.status, RestoreStatus::Completed);
                assert_eq!(content(&service, &me, "again").await, before);
            }
            (other, _) => panic!("{n}: {other:?}"),
        }
        close(service).await;
    }
}

#[tokio::test]
async fn a_restore_that_was_cut_short_begins_again() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 40, 0).await;
    let before = content(&service, &me, "plants").await;
    let backup = backed_up(&service, &me, "plants", "b").await;
    let (_, job) = service.create_index_from_backup(&me, &backup.id.to_string(), into("again")).await.unwrap();
    // Halfway.
    tokio::time::sleep(Duration::from_millis(3)).await;
    close(service).await;
    // A command goes by without touching it.
    let service = house.open().await;
    let status = service.describe_restore_job(&me, &job.id.to_string()).await.unwrap().status;
    close(service).await;
    assert_eq!(status, RestoreStatus::Pending);
    let service = house.open_with(ServiceOptions { serves: true, ..house.options() }).await.unwrap();
    assert_eq!(restored(&service, &me, &job).await.status, RestoreStatus::Completed);
    assert_eq!(content(&service, &me, "again").await, before);
}

#[tokio::test]
async fn a_restore_that_fails_says_why_and_harms_nothing_else() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 2, 0).await;
    let backup = backed_up(&service, &me, "plants", "b").await;
    let before = content(&service, &me, "plants").await;
    let manifest = house.path().join(format!("backups/{}/manifest", backup.id.hex()));
    let mut bytes = std::fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let (_, job) = service.create_index_from_backup(&me, &backup.id.to_string(), into("again")).await.unwrap();
    let job = restored(&service, &me, &job).await;
    assert!(matches!(&job.status, RestoreStatus::Failed(reason) if reason.contains("manifest")), "{job:?}");
    assert_eq!(job.percent_complete, None);
    let index = service.find_index(&me, "again").await.unwrap();
    assert_eq!(index.describe().state, IndexState::InitializationFailed);
    assert_eq!(code(service.stats(&me, &index, None).await), Some(ErrorCode::FailedPrecondition));
    let change = pinyon_model::IndexChange::default();
    assert_eq!(code(service.configure_index(&me, "again", change).await), Some(ErrorCode::FailedPrecondition));
    close(service).await;
    let service = house.open().await;
    assert_eq!(service.describe_index(&me, "again").await.unwrap().state, IndexState::InitializationFailed);
    let report = service.check(&house.operator()).await.unwrap();
    assert_eq!(report.damaged.len(), 1, "an index that holds nothing is not damaged: {report:?}");
    service.delete_index(&me, "again").await.unwrap();
    assert_eq!(content(&service, &me, "plants").await, before);
    let report = service.check(&house.operator()).await.unwrap();
    assert!(matches!(&report.damaged[..], [only] if only.file.contains("backups/")), "the check names it, and nothing else: {report:?}");
    assert_eq!(code(service.verify_backup(&me_operator(&house), &backup.id.to_string()).await), Some(ErrorCode::DataLoss));
}

fn me_operator(house: &House) -> OpContext {
    house.operator()
}

#[tokio::test]
async fn a_backup_is_verified_by_restoring_it_where_nobody_sees() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 4, 0).await;
    let index = service.find_index(&me, "plants").await.unwrap();
    let gone = pinyon_model::DeleteSelector::Ids(vec![RecordId::new("r1").unwrap()]);
    service.delete(&me, &index, &namespace("n0"), gone).await.unwrap();
    let backup = backed_up(&service, &me, "plants", "b").await;
    let before: Vec<_> = files(house.path()).into_keys().filter(|p| p.to_string_lossy().contains("indexes/")).collect();
    let report = service.verify_backup(&house.operator(), &backup.id.to_string()).await.unwrap();
    assert_eq!((report.counts.records, report.lsns.len()), (11, 4));
    assert!(report.lsns.iter().all(|(_, lsn)| *lsn >= 1), "{:?}", report.lsns);
    let after: Vec<_> = files(house.path()).into_keys().filter(|p| p.to_string_lossy().contains("indexes/")).collect();
    assert_eq!(after, before, "the scratch is gone, and the index as it was");
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 1);
    assert_eq!(code(service.verify_backup(&me, &backup.id.to_string()).await), Some(ErrorCode::Forbidden), "it is the operator's");
}

#[tokio::test]
async fn a_backup_goes_to_another_installation_by_a_file_and_a_key() {
    let (house, there) = (House::new(), House::new());
    let service = house.open().await;
    let me = house.editor(&service).await;
    let mut wanted = spec("plants");
    wanted.tags = Tags::new(tags(&[("team", "red")])).unwrap();
    service.create_index(&me, wanted).await.unwrap();
    fill(&service, &me, "plants", 3, 0).await;
    let before = content(&service, &me, "plants").await;
    let backup = backed_up(&service, &me, "plants", "b").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.pinyon");
    let id = backup.id.to_string();
    assert_eq!(code(service.export_backup(&me, &id, file.clone()).await), Some(ErrorCode::Forbidden), "it is the operator's");
    let exported = service.export_backup(&house.operator(), &id, file.clone()).await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().len(), exported.bytes);
    assert_eq!(code(service.export_backup(&house.operator(), &id, file.clone()).await), Some(ErrorCode::AlreadyExists));
    let bytes = std::fs::read(&file).unwrap();
    for plain in ["teal", "plants", "team", "Bern"] {
        assert!(!contains(&bytes, plain.as_bytes()), "{plain} is in the file");
    }
    close(service).await;

    let service = there.open().await;
    let operator = there.operator();
    let key = || ExportKey::parse(&exported.key.text()).unwrap();
    let wrong = service.import_backup(&operator, file.clone(), ExportKey::generate()).await;
    assert_eq!(code(wrong), Some(ErrorCode::InvalidArgument));
    let damaged = folder.path().join("damaged");
    for at in [40, bytes.len() / 2, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        std::fs::write(&damaged, flipped).unwrap();
        let refused = service.import_backup(&operator, damaged.clone(), key()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::DataLoss, "byte {at}: {refused:?}");
        assert!(!files(there.path()).keys().any(|p| p.to_string_lossy().contains("backups/")), "nothing of it is left");
    }
    let imported = service.import_backup(&operator, file.clone(), key()).await.unwrap();
    assert_eq!(
        (imported.id, imported.name(), imported.status.counts()),
        (
            backup.id,
            Some("b"),
            backup.status.counts().map(|c| { pinyon_model::BackupCounts { bytes: imported.status.counts().unwrap().bytes, ..c } })
        )
    );
    assert!(imported.source_index_deleted_at_ms.is_some());
    assert_eq!(code(service.import_backup(&operator, file, key()).await), Some(ErrorCode::AlreadyExists));
    close(service).await;
    let service = there.open().await;
    let (index, job) = service.create_index_from_backup(&operator, &id, into("plants")).await.unwrap();
    assert_eq!(index.tags.pairs(), &tags(&[("team", "red")]));
    assert_eq!(restored(&service, &operator, &job).await.status, RestoreStatus::Completed);
    assert_eq!(content(&service, &operator, "plants").await, before);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

#[tokio::test]
async fn a_rebuilt_catalog_knows_the_backups_again() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("kept")).await.unwrap();
    service.create_index(&me, spec("gone")).await.unwrap();
    fill(&service, &me, "kept", 2, 0).await;
    fill(&service, &me, "gone", 2, 0).await;
    let (of_kept, of_gone) = (backed_up(&service, &me, "kept", "a").await, backed_up(&service, &me, "gone", "b").await);
    let deleted = backed_up(&service, &me, "kept", "c").await;
    let before = content(&service, &me, "gone").await;
    service.delete_index(&me, "gone").await.unwrap();
    service.delete_backup(&me, &deleted.id.to_string()).await.unwrap();
    close(service).await;
    remove_catalog(house.path());
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert_eq!(report.backups.len(), 2, "{report:?}");
    let service = house.open().await;
    let operator = house.operator();
    let found = service.list_backups(&operator, FIRST).await.unwrap().items;
    let by_id = |id: BackupId| found.iter().find(|b| b.id == id).unwrap();
    assert_eq!((by_id(of_kept.id).status.clone(), by_id(of_kept.id).source_index_deleted_at_ms), (of_kept.status, None));
    assert!(by_id(of_gone.id).source_index_deleted_at_ms.is_some());
    let (_, job) = service.create_index_from_backup(&operator, &of_gone.id.to_string(), into("again")).await.unwrap();
    assert_eq!(restored(&service, &operator, &job).await.status, RestoreStatus::Completed);
    assert_eq!(content(&service, &operator, "again").await, before);
}

pub(crate) fn remove_catalog(dir: &Path) {
    for file in files(dir).keys().filter(|p| p.to_string_lossy().contains("catalog.db")) {
        std::fs::remove_file(file).unwrap();
    }
}

#[tokio::test]
async fn a_collection_is_a_pod_indexs_backup() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let of = |index: &str| pinyon_model::IndexSpec { deployment: pod(), ..spec(index) };
    service.create_index(&me, of("pod")).await.unwrap();
    service.create_index(&me, spec("serverless")).await.unwrap();
    fill(&service, &me, "pod", 1, 0).await;
    let before = content(&service, &me, "pod").await;
    let new = |text: &str, source: &str| NewCollection { name: CollectionName::new(text).unwrap(), source: source.into() };
    let refused = service.create_collection(&me, new("snap", "serverless")).await;
    assert_eq!(code(refused), Some(ErrorCode::InvalidArgument));
    assert_eq!(code(service.create_collection(&me, new("snap", "none")).await), Some(ErrorCode::NotFound));
    let made = service.create_collection(&me, new("snap", "pod")).await.unwrap();
    assert_eq!((made.state, made.environment.as_str(), made.records), (CollectionState::Initializing, "us-east1-gcp", None));
    assert_eq!(code(service.delete_index(&me, "pod").await), Some(ErrorCode::FailedPrecondition), "it is being made of it");
    assert_eq!(code(service.create_collection(&me, new("snap", "pod")).await), Some(ErrorCode::AlreadyExists));
    let ready = until("the collection", async || {
        let found = service.describe_collection(&me, "snap").await.unwrap();
        (found.state == CollectionState::Ready).then_some(found)
    })
    .await;
    assert_eq!((ready.records, ready.dimension.map(|d| d.get())), (Some(3), Some(3)));
    assert_eq!(service.list_collections(&me).await.unwrap(), [ready]);
    assert!(service.list_backups(&me, FIRST).await.unwrap().items.is_empty(), "it is no backup by that name");
    assert_eq!(code(service.describe_backup(&me, &made.id.to_string()).await), Some(ErrorCode::NotFound));
    service.delete_index(&me, "pod").await.unwrap();

    let from = |index: pinyon_model::IndexSpec, source: &str| pinyon_model::IndexSpec { source_collection: Some(source.into()), ..index };
    let missing = service.create_index(&me, from(of("again"), "non-existent-collection")).await.unwrap_err();
    assert!(missing.code == ErrorCode::InvalidArgument && missing.message.contains("Resource non-existent-collection not found"));
    let mut four = of("again");
    let four_dimensions = pinyon_model::Dimension::new(4).unwrap();
    four.schema = pinyon_model::IndexSchema::dense_index(four_dimensions, pinyon_model::Metric::Cosine, None).unwrap();
    assert_eq!(code(service.create_index(&me, from(four, "snap")).await), Some(ErrorCode::InvalidArgument));
    for (index, wanted) in [("again", of("again")), ("third", spec("third"))] {
        let made = service.create_index(&me, from(wanted, "snap")).await.unwrap();
        assert_eq!(made.source, Some(IndexSource::Collection(CollectionName::new("snap").unwrap())));
        until("the index", async || (service.describe_index(&me, index).await.unwrap().state == IndexState::Ready).then_some(())).await;
        assert_eq!(content(&service, &me, index).await, before);
    }
    assert!(service.list_restore_jobs(&me, FIRST).await.unwrap().items.is_empty(), "restores of collections are not listed");
    service.delete_collection(&me, "snap").await.unwrap();
    assert_eq!(code(service.describe_collection(&me, "snap").await), Some(ErrorCode::NotFound));
    assert_eq!(code(service.delete_collection(&me, "snap").await), Some(ErrorCode::NotFound));
}
