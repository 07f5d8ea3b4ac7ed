//! Backups of what lies under a customer's key: they lie under it too, and are of no use to anybody while it does not answer.

use pinyon_model::{
    BackupStatus, CollectionName, CollectionState, DeletionProtection, IndexState, NewCollection, NewRestore, RestoreJob, RestoreStatus,
};
use pinyon_service::SystemClock;

use super::*;
use crate::{
    backups::{named, stored, until},
    common::{name, pod},
};

fn into(text: &str) -> NewRestore {
    NewRestore { name: name(text), tags: None, deletion_protection: DeletionProtection::Disabled, read_capacity: None, cmek_id: None }
}

/// The test's clock stands still, so it waits by the computer's.
async fn until_restored(service: &Service, ctx: &OpContext, job: &RestoreJob) {
    for _ in 0..2_000 {
        match service.describe_restore_job(ctx, &job.id.to_string()).await.unwrap().status {
            RestoreStatus::Completed => return,
            RestoreStatus::Pending => {}
            ended => panic!("{ended:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the restore does not end: {:?}", service.describe_restore_job(ctx, &job.id.to_string()).await);
}

#[tokio::test]
async fn a_backup_lies_under_the_key_of_its_index() {
    let at = Customers::new();
    let options = || ServiceOptions { serves: true, ..at.options() };
    let service = at.house.open_with(options()).await.unwrap();
    let (project, cmek, index) = at.furnished(&service).await;
    let ctx = at.in_project(project);
    let made = service.create_backup(&ctx, "movies", named("first")).await.unwrap();
    let backup = stored(&service, &ctx, made.id).await;
    assert!(matches!(backup.status, BackupStatus::Ready(_)), "{backup:?}");
    assert_eq!(backup.cmek_id, Some(cmek.id));
    let id = backup.id.to_string();
    let (again, job) = service.create_index_from_backup(&ctx, &id, into("again")).await.unwrap();
    assert_eq!(again.cmek_id, Some(cmek.id), "what is restored of it too");
    until_restored(&service, &ctx, &job).await;
    let found = service.find_index(&ctx, "again").await.unwrap();
    assert_eq!(count(&service, &ctx, &found).await.unwrap(), 1);
    service.verify_backup(&ctx, &id).await.unwrap();
    let other = service.create_backup(&ctx, "movies", named("other")).await.unwrap();
    stored(&service, &ctx, other.id).await;

    at.keys.becomes(&cmek.key, Mood::Denied);
    at.pass(&service, LIFETIME_MS).await;
    refusal(count(&service, &ctx, &index).await);
    refusal(service.create_backup(&ctx, "movies", named("second")).await);
    refusal(service.create_index_from_backup(&ctx, &id, into("third")).await);
    refusal(service.verify_backup(&ctx, &id).await);
    refusal(service.export_backup(&ctx, &id, "/nonexistent/file".into()).await);
    assert_eq!(service.describe_backup(&ctx, &id).await.unwrap(), backup, "what it is can be said");
    let report = service.check(&at.me()).await.unwrap();
    assert!(report.damaged.is_empty(), "{:?}", report.damaged);

    service.delete_backup(&ctx, &other.id.to_string()).await.unwrap();
    assert_eq!(
        code(service.describe_backup(&ctx, &other.id.to_string()).await),
        Some(ErrorCode::NotFound),
        "it can be deleted all the same"
    );

    // A restore that the end of the server cut short waits for the key, and goes on once that answers.
    at.keys.becomes(&cmek.key, Mood::Up);
    at.pass(&service, LIFETIME_MS).await;
    let (_, job) = service.create_index_from_backup(&ctx, &id, into("late")).await.unwrap();
    // They keep the files open.
    drop((index, found));
    close(service).await;
    at.keys.becomes(&cmek.key, Mood::Denied);
    // By the computer's clock, since it waits by that which the service has.
    let service = Service::open(options(), Arc::new(SystemClock::default())).await.unwrap();
    let status = service.describe_restore_job(&ctx, &job.id.to_string()).await.unwrap().status;
    assert!(matches!(status, RestoreStatus::Pending | RestoreStatus::Completed), "{status:?}");
    at.keys.becomes(&cmek.key, Mood::Up);
    service.refresh_cmeks().await;
    until_restored(&service, &ctx, &job).await;
    let late = service.find_index(&ctx, "late").await.unwrap();
    assert_eq!(count(&service, &ctx, &late).await.unwrap(), 1);

    // The backup outlives every index, and its key cannot go before it.
    for text in ["movies", "again", "late"] {
        service.delete_index(&ctx, text).await.unwrap();
    }
    assert_eq!(code(service.delete_cmek(&at.me(), cmek.id, "main").await), Some(ErrorCode::FailedPrecondition));
    let (_, job) = service.create_index_from_backup(&ctx, &id, into("movies")).await.unwrap();
    until_restored(&service, &ctx, &job).await;
    close(service).await;
}

#[tokio::test]
async fn an_index_of_a_collection_lies_under_the_collections_key() {
    let at = Customers::new();
    let service = at.open().await;
    // A project that may hold what is under no customer's key too.
    let project = service.create_project(&at.me(), project("mixed")).await.unwrap().id;
    let cmek = at.add(&service, project, "main", 1).await.unwrap();
    let ctx = at.in_project(project);
    let pods = |text: &str| IndexSpec { deployment: pod(), ..spec(text) };
    service.create_index(&ctx, IndexSpec { cmek_id: Some(cmek.id), ..pods("movies") }).await.unwrap();
    let new = NewCollection { name: CollectionName::new("snap").unwrap(), source: "movies".into() };
    service.create_collection(&ctx, new).await.unwrap();
    until("the collection", async || {
        let found = service.describe_collection(&ctx, "snap").await.unwrap();
        (found.state == CollectionState::Ready).then_some(())
    })
    .await;
    let made = service.create_index(&ctx, IndexSpec { source_collection: Some("snap".into()), ..pods("again") }).await.unwrap();
    assert_eq!(made.cmek_id, Some(cmek.id));
    until("the index", async || (service.describe_index(&ctx, "again").await.unwrap().state == IndexState::Ready).then_some(())).await;
    assert_eq!(at.state(&service, cmek.id).await.indexes, 2, "its key does too");
    close(service).await;
}
