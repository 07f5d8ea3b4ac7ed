//! A full disk: what adds is refused, what takes away works and is audited, and everything works again once there is room. And a disk that
//! fills up while a backup is taken or restored.

use std::collections::BTreeMap;

use pinyon_model::{AuditOutcome, BackupStatus, ErrorCode, IndexChange, RestoreStatus};
use pinyon_service::ServiceOptions;
use pinyon_storage::{
    faults::{self, Fault, Rule},
    fs::Site,
};

use crate::backups::{backed_up, content, fill, into, named, restored, stored};
use crate::common::{House, audit_events, close, code, namespace, query, record, spec, tags};

#[tokio::test]
async fn deletions_work_on_a_full_disk() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    for name in ["old", "kept"] {
        service.create_index(&me, spec(name)).await.unwrap();
        let host = service.find_index(&me, name).await.unwrap();
        service.upsert(&me, &host, &namespace("n"), vec![record("r", [1.0, 0.0, 0.0])]).await.unwrap();
    }
    close(service).await;

    // More is kept in reserve than the disk has: nothing but what makes room may be written.
    let full = ServiceOptions { reserve_bytes: Some(u64::MAX / 2), ..house.options() };
    let service = house.open_with(full).await.unwrap();
    let host = service.find_index(&me, "kept").await.unwrap();
    let ns = namespace("n");
    for refused in [
        service.create_index(&me, spec("new")).await.err(),
        service.upsert(&me, &host, &ns, vec![record("s", [1.0, 0.0, 0.0])]).await.err(),
    ] {
        let refused = refused.unwrap();
        assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}");
        assert!(refused.message.contains("disk is full"), "{refused}");
    }
    assert_eq!(service.query(&me, &host, &ns, query([1.0, 0.0, 0.0])).await.unwrap().matches.len(), 1, "reads go on");
    let change = IndexChange { tags: Some(tags(&[("k", "v")])), ..IndexChange::default() };
    service.configure_index(&me, "kept", change).await.unwrap();
    service.delete_index(&me, "old").await.unwrap();
    let events = audit_events(&service, &house.operator()).await;
    let last = events.last().unwrap();
    assert_eq!((last.action.as_str(), last.resource_name.as_str(), &last.outcome), ("delete", "old", &AuditOutcome::Success));
    assert!(events.iter().any(|e| e.action == "create" && e.resource_name == "new" && e.outcome != AuditOutcome::Success));
    assert_eq!(code(service.describe_index(&me, "new").await), Some(ErrorCode::NotFound));
    drop(host);
    close(service).await;

    let service = house.open().await;
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 1);
    let host = service.find_index(&me, "kept").await.unwrap();
    service.upsert(&me, &host, &ns, vec![record("s", [1.0, 0.0, 0.0])]).await.unwrap();
    service.create_index(&me, spec("new")).await.unwrap();
    close(service).await;
}

#[tokio::test]
async fn a_disk_that_fills_up_midway_fails_the_job_with_the_reason_and_harms_nothing_else() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 10, 0).await;
    let early = backed_up(&service, &me, "plants", "early").await;
    fill(&service, &me, "plants", 10, 3).await;
    let before = content(&service, &me, "plants").await;
    // From one of the writes on: what came before it lies there.
    let full = |site, nth| faults::install(&house.path().canonicalize().unwrap(), vec![Rule { nth, ..Rule::always(site, Fault::Enospc) }]);
    for site in [Site::BlobWrite, Site::BlobLink, Site::BlobSync] {
        let installed = full(site, 3);
        let failed = service.create_backup(&me, "plants", named("late")).await.unwrap();
        let failed = stored(&service, &me, failed.id).await;
        drop(installed);
        assert!(matches!(&failed.status, BackupStatus::Failed(reason) if reason.contains("disk is full")), "{site:?}: {failed:?}");
        assert_eq!(content(&service, &me, "plants").await, before, "{site:?}");
        service.delete_backup(&me, &failed.id.to_string()).await.unwrap();
    }
    for nth in [3, 8] {
        let installed = full(Site::BlobLink, nth);
        let (_, job) = service.create_index_from_backup(&me, &early.id.to_string(), into("again")).await.unwrap();
        let job = restored(&service, &me, &job).await;
        drop(installed);
        assert!(matches!(&job.status, RestoreStatus::Failed(reason) if reason.contains("disk is full")), "{nth}: {job:?}");
        assert_eq!(content(&service, &me, "plants").await, before, "{nth}");
        service.delete_index(&me, "again").await.unwrap();
    }
    let late = backed_up(&service, &me, "plants", "late").await;
    for (backup, name, records) in [(&early, "then", 30), (&late, "now", 60)] {
        let (_, job) = service.create_index_from_backup(&me, &backup.id.to_string(), into(name)).await.unwrap();
        assert_eq!(restored(&service, &me, &job).await.status, RestoreStatus::Completed);
        assert_eq!(content(&service, &me, name).await.values().map(BTreeMap::len).sum::<usize>(), records);
    }
    assert!(service.check(&house.operator()).await.unwrap().damaged.is_empty());
    close(service).await;
}
