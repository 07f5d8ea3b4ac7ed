//! A data directory as the first release of format 4 wrote it: customers' keys, backups, what is deleted and kept, private access. It opens
//! for ever.

use std::sync::Arc;

use pinyon_model::{
    AwsKmsKey, BackupFrequency, BackupStatus, CmekStatus, CollectionState, CustomerKey, ExternalId, KmsKeyArn, Network, NewBackup,
    NewBackupSchedule, NewCmek, NewCollection, NewPrivateEndpoint, NewProject, PageRequest, PrivateLink, ProjectAccess, ProjectId, Record,
    RoleArn,
};
use pinyon_service::{CmekOptions, KeyContext, KeyFault, KeyHalf, KeyProvider, OpContext, Service, ServiceOptions};

use crate::{
    common::{House, close, namespace, pod, project, query, record, spec},
    golden::{copy, folder, unfold},
};

const PAGE: PageRequest = PageRequest { limit: 100, after: None };

/// A provider that any process can play: what it seals is the key with every bit of it turned.
struct Mirror;

#[async_trait::async_trait]
impl KeyProvider for Mirror {
    async fn encrypt(&self, _key: &CustomerKey, _context: &KeyContext, plain: &KeyHalf) -> Result<Vec<u8>, KeyFault> {
        Ok(plain.expose().iter().map(|b| !b).collect())
    }
    async fn decrypt(&self, _key: &CustomerKey, _context: &KeyContext, sealed: &[u8]) -> Result<KeyHalf, KeyFault> {
        KeyHalf::take(sealed.iter().map(|b| !b).collect()).ok_or_else(|| KeyFault::Denied("it has another length".into()))
    }
}

fn options(house: &House) -> ServiceOptions {
    let provider: Arc<dyn KeyProvider> = Arc::new(Mirror);
    let cmek = CmekOptions { provider: Some(provider), endpoints: "a test".into(), lifetime_ms: 300_000, grace_ms: 3_600_000 };
    ServiceOptions { cmek, ..house.options() }
}

fn key() -> CustomerKey {
    CustomerKey::AwsKms(AwsKmsKey {
        key_arn: KmsKeyArn::new("arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
        role_arn: RoleArn::new("arn:aws:iam::123456789012:role/pinyon").unwrap(),
        external_id: Some(ExternalId::new("an-external-id").unwrap()),
    })
}

fn link() -> PrivateLink {
    PrivateLink::parse("aws", "vpce-0123456789abcdef0").unwrap()
}

fn access() -> ProjectAccess {
    ProjectAccess::new(true, false, [Network::parse("192.0.2.0/24").unwrap()].into()).unwrap()
}

fn records() -> Vec<Record> {
    vec![record("a", [1.0, 2.0, 3.0]), record("b", [3.0, 2.0, 1.0])]
}

/// A project under a customer's key with an index of two namespaces, one of them deleted and kept; a backup, a schedule, a collection, a
/// deleted index and a deleted project; a private endpoint.
async fn furnish(house: &House) {
    let service = house.open_with(options(house)).await.unwrap();
    let operator = house.operator();
    let sealed = NewProject { force_encryption_with_cmek: true, ..project("sealed") };
    let id = service.create_project(&operator, sealed).await.unwrap().id;
    service.create_cmek(&operator, NewCmek { project_id: id, name: "known key".into(), key: key() }).await.unwrap();
    let me = inside(house, id);
    for name in ["kept", "gone"] {
        service.create_index(&me, spec(name)).await.unwrap();
    }
    service.create_index(&me, pinyon_model::IndexSpec { deployment: pod(), ..spec("pod") }).await.unwrap();
    let index = service.find_index(&me, "kept").await.unwrap();
    for name in ["here", "deleted"] {
        service.upsert(&me, &index, &namespace(name), records()).await.unwrap();
    }
    service.delete_namespace(&me, &index, &namespace("deleted")).await.unwrap();
    service.delete_index(&me, "gone").await.unwrap();
    let new = NewBackup { name: Some("known-backup".into()), description: Some("for ever".into()) };
    let backup = service.create_backup(&me, "kept", new).await.unwrap();
    // The clock of a test stands still, so whoever waits by it waits for ever.
    while service.describe_backup(&me, &backup.id.to_string()).await.unwrap().status == BackupStatus::Initializing {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let new = NewBackupSchedule { name: "known-schedule".into(), frequency: BackupFrequency::Weekly, retention_days: 9 };
    service.create_backup_schedule(&me, "kept", new).await.unwrap();
    let new = NewCollection { name: pinyon_model::CollectionName::new("known-collection").unwrap(), source: "pod".into() };
    service.create_collection(&me, new).await.unwrap();
    while service.describe_collection(&me, "known-collection").await.unwrap().state != CollectionState::Ready {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let new = NewPrivateEndpoint { link: link(), region: "eu-west-1".into() };
    service.create_private_endpoint(&operator, id, new).await.unwrap();
    service.put_project_access(&operator, id, access()).await.unwrap();
    let doomed = service.create_project(&operator, project("doomed")).await.unwrap().id;
    service.delete_project(&operator, doomed).await.unwrap();
    drop(index);
    close(service).await;
}

fn inside(house: &House, id: ProjectId) -> OpContext {
    OpContext { project: Some(id), ..house.operator() }
}

/// With `PINYON_WRITE_GOLDEN` set, the folder is written if it is not there: once for each new format, by hand.
#[tokio::test]
async fn a_directory_with_customers_keys_and_backups_opens() {
    if std::env::var_os("PINYON_WRITE_GOLDEN").is_some() && !folder(4).exists() {
        let house = House::new();
        furnish(&house).await;
        copy(house.path(), &folder(4));
        std::fs::write(folder(4).join("root.key.txt"), house.root.export_text().as_bytes()).unwrap();
    }
    let house = unfold(4);
    let service = house.open_with(options(&house)).await.unwrap();
    service.refresh_cmeks().await;
    let operator = house.operator();
    let projects = service.list_projects(&operator).await.unwrap();
    let id = projects.iter().find(|p| p.name == "sealed").unwrap().id;
    assert!(projects.iter().all(|p| p.name != "doomed"));
    let me = inside(&house, id);
    let cmeks = service.list_cmeks(&operator, Some(id)).await.unwrap();
    assert_eq!((cmeks.len(), &cmeks[0].0.key, cmeks[0].0.name.as_str(), cmeks[0].1.status), (1, &key(), "known key", CmekStatus::Ready));
    let index = service.find_index(&me, "kept").await.unwrap();
    assert_eq!(index.describe().cmek_id, Some(cmeks[0].0.id));
    let found = service.query(&me, &index, &namespace("here"), query([1.0, 2.0, 3.0])).await.unwrap().matches;
    assert_eq!(found.len(), 2);
    let kinds: Vec<String> =
        service.list_deleted(&operator).await.unwrap().iter().map(|d| format!("{} {}", d.kind.as_str(), d.name)).collect();
    for wanted in ["index gone", "namespace kept/deleted", "project doomed"] {
        assert!(kinds.iter().any(|k| k == wanted), "{wanted} of {kinds:?}");
    }
    let backups = service.list_backups(&me, PAGE).await.unwrap().items;
    let backup = backups.iter().find(|b| b.name() == Some("known-backup")).unwrap();
    assert!(matches!(backup.status, BackupStatus::Ready(_)), "{:?}", backup.status);
    service.verify_backup(&me, &backup.id.to_string()).await.unwrap();
    let schedules = service.list_backup_schedules(&me, "kept", PAGE).await.unwrap().items;
    assert_eq!((schedules.len(), schedules[0].frequency, schedules[0].retention_days), (1, BackupFrequency::Weekly, 9));
    assert_eq!(service.list_collections(&me).await.unwrap()[0].state, CollectionState::Ready);
    let endpoints = service.list_private_endpoints(&operator, id).await.unwrap();
    assert_eq!((endpoints.len(), &endpoints[0].link), (1, &link()));
    assert_eq!(service.describe_project_access(&operator, id).await.unwrap(), access());
    let gone = service.list_deleted(&operator).await.unwrap().into_iter().find(|d| d.name == "gone").unwrap();
    service.restore_deleted(&operator, gone.id).await.unwrap();
    service.find_index(&me, "gone").await.unwrap();
    drop(index);
    close(service).await;
    assert_eq!(Service::check_offline(options(&house), house.clock()).await.unwrap().damaged, []);
}
