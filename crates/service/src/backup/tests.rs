//! What nobody outside sees of backups: whose files are in use, and whose keys are left.

use std::{sync::Arc, time::Duration};

use pinyon_model::{
    BackupId, DeletionProtection, Deployment, Dimension, ErrorCode, IndexName, IndexSchema, IndexSpec, Metric, NewBackup, Principal,
    ReadCapacity, Tags,
};
use pinyon_storage::KeyAbove;
use tempfile::TempDir;

use crate::{Limits, ManualClock, OpContext, RootKey, Service, ServiceOptions};

const NOW_MS: u64 = 1_700_000_000_000;

/// A new directory with a service on it that does nothing by itself, and its operator.
pub(crate) async fn opened(limits: Limits) -> (TempDir, Arc<Service>, OpContext) {
    let dir = tempfile::tempdir().unwrap();
    let production = ServiceOptions::new(dir.path().to_owned(), RootKey::generate());
    let options = ServiceOptions { reserve_bytes: Some(0), serves: false, limits, ..production };
    let service = Service::open(options, Arc::new(ManualClock::at(NOW_MS))).await.unwrap();
    (dir, service, OpContext::internal(Principal::Operator, NOW_MS))
}

/// A serverless index of this name that is to be.
pub(crate) fn spec(name: &str) -> IndexSpec {
    IndexSpec {
        name: Some(IndexName::new(name).unwrap()),
        schema: IndexSchema::dense_index(Dimension::new(3).unwrap(), Metric::Cosine, None).unwrap(),
        deployment: Deployment::Managed { cloud: "aws".into(), region: "us-east-1".into() },
        read_capacity: ReadCapacity::OnDemand,
        deletion_protection: DeletionProtection::Disabled,
        tags: Tags::default(),
        cmek_id: None,
        source_collection: None,
    }
}

fn unnamed() -> NewBackup {
    NewBackup { name: None, description: None }
}

#[tokio::test]
async fn an_index_is_in_use_while_it_is_settled_what_is_in_its_backup() {
    let (_dir, service, me) = opened(Limits { backups_per_project: Some(1), ..Limits::default() }).await;
    let index = service.create_index(&me, spec("plants")).await.unwrap().id;
    // No row can be made, so both get as far as one can without.
    let writer = service.catalog().writer().await;
    let take = || {
        let (service, me) = (Arc::clone(&service), me.clone());
        tokio::spawn(async move { service.create_backup(&me, "plants", unnamed()).await })
    };
    let taking = [take(), take()];
    for _ in 0..2_000 {
        if service.store().keys().backups().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(service.store().keys().backups().len(), 2);
    assert!(service.backup_tasks().uses(index), "whoever deletes it waits for them");
    drop(writer);
    let mut refused = Vec::new();
    for one in taking {
        refused.extend(one.await.unwrap().err().map(|error| error.code));
    }
    assert_eq!(refused, [ErrorCode::QuotaExceeded]);
    // One that cannot be taken holds nothing, and leaves nothing.
    tokio::time::timeout(Duration::from_secs(30), service.backup_tasks().unused(index)).await.unwrap();
    assert_eq!(service.store().keys().backups().len(), 1);
    service.close().await;
}

#[tokio::test]
async fn the_key_of_a_backup_that_never_came_to_be_is_destroyed() {
    let (_dir, service, me) = opened(Limits::default()).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    let listed = service.create_backup(&me, "plants", unnamed()).await.unwrap().id;
    let deleted = service.create_backup(&me, "plants", unnamed()).await.unwrap().id;
    service.backup_tasks().stored().await;
    service.delete_backup(&me, &deleted.to_string()).await.unwrap();
    // As a crash leaves them: one for ever, one for as long as it takes.
    let (lost, coming) = (BackupId::from_bytes([7; 16]), BackupId::from_bytes([8; 16]));
    let keys = service.store().keys();
    for id in [lost, coming] {
        keys.create_backup_key(id, KeyAbove::Root).await.unwrap();
    }
    let importing = service.backup_tasks().begin_import(coming);
    let there = || [listed, deleted, coming, lost].map(|id| keys.backup_key_id(id).is_some());
    service.sweep_backups().await.unwrap();
    assert_eq!(there(), [true, true, true, false], "what has a row, is kept aside or is on its way stays");
    drop(importing);
    service.sweep_backups().await.unwrap();
    assert_eq!(there(), [true, true, false, false]);
    service.close().await;
}
