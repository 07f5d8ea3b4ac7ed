//! Restores that nobody runs any more, and backups that come by a file: what is cut short goes on, or leaves no trace.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use pinyon_model::{Backup, BackupId, DeletedKind, ErrorCode, IndexState, RestoreJob, RestoreStatus};
use pinyon_service::{ExportKey, OpContext, Service};
use pinyon_storage::{
    faults::{self, Fault, Rule},
    fs::Site,
};

use crate::{
    backups::{FIRST, backed_up, content, fill, into, remove_catalog, restored},
    common::{House, close, code, files, project, restore, spec},
};

/// A restore whose rows are there, and which nobody runs: what followed their commit failed.
async fn begun_and_not_run(house: &House, service: &Arc<Service>, me: &OpContext, backup: &Backup) -> RestoreJob {
    let failing = [Site::LogCreate, Site::LogWriteFirst, Site::LogWrite, Site::LogSync].map(|s| Rule::always(s, Fault::Eio));
    let installed = faults::install(&house.path().canonicalize().unwrap().join("audit"), failing.to_vec());
    let begun = service.create_index_from_backup(me, &backup.id.to_string(), into("again")).await;
    assert_eq!(code(begun), Some(ErrorCode::Unavailable));
    drop(installed);
    let mut jobs = service.list_restore_jobs(me, FIRST).await.unwrap().items;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

#[tokio::test]
async fn a_restore_that_nobody_runs_begins_again_by_itself() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 20, 0).await;
    let before = content(&service, &me, "plants").await;
    let backup = backed_up(&service, &me, "plants", "b").await;
    let job = begun_and_not_run(&house, &service, &me, &backup).await;
    assert_eq!(job.status, RestoreStatus::Pending);
    assert_eq!(code(service.delete_backup(&me, &backup.id.to_string()).await), Some(ErrorCode::FailedPrecondition), "it is needed");
    // One second after the other: what runs is not begun twice, and what is over not once more.
    for _ in 0..3 {
        service.run_backup_schedules().await.unwrap();
    }
    assert_eq!(restored(&service, &me, &job).await.status, RestoreStatus::Completed);
    for _ in 0..2 {
        service.run_backup_schedules().await.unwrap();
        assert_eq!(service.describe_index(&me, "again").await.unwrap().state, IndexState::Ready);
        assert_eq!(content(&service, &me, "again").await, before);
    }
    close(service).await;
}

#[tokio::test]
async fn a_restore_goes_on_when_its_project_comes_back() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let other = service.create_project(&operator, project("other")).await.unwrap();
    let theirs = OpContext { project: Some(other.id), ..operator.clone() };
    service.create_index(&theirs, spec("plants")).await.unwrap();
    fill(&service, &theirs, "plants", 3, 0).await;
    let before = content(&service, &theirs, "plants").await;
    let backup = backed_up(&service, &theirs, "plants", "b").await;
    let job = begun_and_not_run(&house, &service, &theirs, &backup).await;
    service.deactivate_project(&operator, other.id).await.unwrap();
    // There is nothing to go on with now.
    service.run_backup_schedules().await.unwrap();
    let deleted = service.list_deleted(&operator).await.unwrap();
    let kept = deleted.iter().find(|d| d.kind == DeletedKind::Project).unwrap();
    service.restore_deleted(&operator, kept.id).await.unwrap();
    assert_eq!(service.describe_restore_job(&theirs, &job.id.to_string()).await.unwrap().status, RestoreStatus::Pending);
    service.run_backup_schedules().await.unwrap();
    assert_eq!(restored(&service, &theirs, &job).await.status, RestoreStatus::Completed);
    assert_eq!(content(&service, &theirs, "again").await, before);
    close(service).await;
}

/// A backup of an index of three namespaces, in a file below this folder, with what opens it.
async fn exported(folder: &Path) -> (BackupId, PathBuf, ExportKey) {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 3, 0).await;
    let backup = backed_up(&service, &me, "plants", "b").await;
    let file = folder.join("b.pinyon");
    let exported = service.export_backup(&house.operator(), &backup.id.to_string(), file.clone()).await.unwrap();
    close(service).await;
    (backup.id, file, exported.key)
}

fn same(key: &ExportKey) -> ExportKey {
    ExportKey::parse(&key.text()).unwrap()
}

#[tokio::test]
async fn of_two_imports_of_one_file_one_makes_the_backup() {
    let folder = tempfile::tempdir().unwrap();
    let (id, file, key) = exported(folder.path()).await;
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let (one, two) = tokio::join!(
        service.import_backup(&operator, file.clone(), same(&key)),
        service.import_backup(&operator, file.clone(), same(&key)),
    );
    let (made, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(made.unwrap().id, id);
    assert_eq!(code(refused), Some(ErrorCode::AlreadyExists));
    // It is whole, and what is said of it is so.
    let report = service.verify_backup(&operator, &id.to_string()).await.unwrap();
    assert_eq!(report.counts.records, 9);
    close(service).await;
}

#[tokio::test]
async fn an_import_that_a_crash_cut_short_can_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (id, file, key) = exported(folder.path()).await;
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let importing = tokio::spawn({
        let (service, operator, file, key) = (Arc::clone(&service), operator.clone(), file.clone(), same(&key));
        async move { service.import_backup(&operator, file, key).await }
    });
    // All of the file lies there, and is being verified.
    let manifest = house.path().join(format!("backups/{}/manifest", id.hex()));
    while !manifest.exists() {
        assert!(!importing.is_finished(), "it ended before it was seen");
        tokio::task::yield_now().await;
    }
    let crashed = files(house.path());
    importing.await.unwrap().unwrap();
    close(service).await;
    restore(house.path(), &crashed);
    let service = house.open().await;
    assert_eq!(code(service.describe_backup(&operator, &id.to_string()).await), Some(ErrorCode::NotFound));
    assert!(!manifest.exists(), "nothing of it is left");
    service.import_backup(&operator, file, key).await.unwrap();
    service.verify_backup(&operator, &id.to_string()).await.unwrap();
    close(service).await;
}

#[tokio::test]
async fn a_backup_that_was_deleted_and_imported_again_outlives_its_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    fill(&service, &me, "plants", 3, 0).await;
    let backup = backed_up(&service, &me, "plants", "b").await;
    let (id, file) = (backup.id.to_string(), folder.path().join("b.pinyon"));
    let exported = service.export_backup(&house.operator(), &id, file.clone()).await.unwrap();
    service.delete_backup(&me, &id).await.unwrap();
    let kept = service.import_backup(&house.operator(), file.clone(), same(&exported.key)).await;
    assert_eq!(code(kept), Some(ErrorCode::AlreadyExists), "it is not gone yet");
    house.clock.advance_ms(7 * 24 * 60 * 60 * 1_000);
    service.purge_deleted(&house.operator(), false).await.unwrap();
    service.import_backup(&house.operator(), file, exported.key).await.unwrap();
    close(service).await;

    remove_catalog(house.path());
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert_eq!(report.backups, [backup.id], "{report:?}");
    let service = house.open().await;
    service.verify_backup(&house.operator(), &id).await.unwrap();
    close(service).await;
}
