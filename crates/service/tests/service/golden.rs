//! A data directory as the first release of each format wrote it. It opens for ever.

use std::path::{Path, PathBuf};

use pinyon_model::{DedicatedCapacity, DeletionProtection, IndexName, IndexSpec, Metric, ReadCapacity, Role, SchemaField, Tags};
use pinyon_service::{ApiKeySecret, NewApiKey, OpContext, RootKey, Service};

use crate::common::{House, close, files, pod, spec, tags};

const SECRET: &str = "a-secret-that-is-known";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data-1")
}

/// An organization, two projects, keys, and an index of each kind.
async fn furnish(house: &House) {
    let service = house.open().await;
    let operator = house.operator();
    let other = service.create_project(&operator, "other project").await.unwrap();
    let secret = Some(ApiKeySecret::import(SECRET).unwrap());
    let new = NewApiKey { name: "known".into(), project_id: Some(other.id), roles: vec![Role::ProjectEditor], secret };
    service.create_key(&operator, new).await.unwrap();
    let principal = service.authenticate(Some(SECRET), "").await.unwrap();
    let me = OpContext { principal, ..house.operator() };
    for wanted in wanted() {
        service.create_index(&me, wanted).await.unwrap();
    }
    service.create_index(&me, spec("deleted")).await.unwrap();
    service.delete_index(&me, "deleted").await.unwrap();
    close(service).await;
}

fn wanted() -> [IndexSpec; 3] {
    let mut dense = spec("dense");
    dense.tags = Tags::new(tags(&[("team", "search"), ("stage", "test")])).unwrap();
    dense.deletion_protection = DeletionProtection::Enabled;
    dense.read_capacity = ReadCapacity::Dedicated(DedicatedCapacity { node_type: "t1".into(), shards: 2, replicas: 1 });
    let mut fields = dense.schema.fields().clone();
    fields.insert("city".into(), SchemaField::Filterable { description: Some("where it is".into()) });
    dense.schema = pinyon_model::IndexSchema::new(fields).unwrap();
    let sparse = IndexSpec { schema: pinyon_model::IndexSchema::sparse_index(None).unwrap(), ..spec("sparse") };
    [dense, sparse, IndexSpec { deployment: pod(), ..spec("pod") }]
}

/// With `PINYON_WRITE_GOLDEN` set, the folder is written if it is not there: once for each new format, by hand.
#[tokio::test]
async fn an_old_directory_opens() {
    let mut house = House::new();
    if std::env::var_os("PINYON_WRITE_GOLDEN").is_some() && !folder().exists() {
        furnish(&house).await;
        copy(house.path(), &folder());
        std::fs::write(folder().join("root.key.txt"), house.root.export_text().as_bytes()).unwrap();
    }
    house.root = RootKey::parse_text(&std::fs::read_to_string(folder().join("root.key.txt")).unwrap()).unwrap();
    copy(&folder(), house.path());
    let service = house.open().await;
    let principal = service.authenticate(Some(SECRET), "").await.unwrap();
    let me = OpContext { principal, ..house.operator() };
    let indexes = service.list_indexes(&me).await.unwrap();
    for wanted in wanted() {
        let found = indexes.iter().find(|i| Some(&i.name) == wanted.name.as_ref()).unwrap();
        assert_eq!((&found.schema, &found.deployment, &found.tags), (&wanted.schema, &wanted.deployment, &wanted.tags));
        assert_eq!((&found.read_capacity, found.deletion_protection), (&wanted.read_capacity, wanted.deletion_protection));
    }
    assert_eq!(
        indexes.iter().map(|i| (i.name.clone(), i.port)).collect::<Vec<_>>(),
        [
            (IndexName::new("dense").unwrap(), Some(5081)),
            (IndexName::new("pod").unwrap(), Some(5083)),
            (IndexName::new("sparse").unwrap(), Some(5082)),
        ]
    );
    assert_eq!(indexes[0].schema.shape().metric(), Metric::Cosine);
    let events = service.audit_events(&house.operator()).await.unwrap();
    let words: Vec<_> = events.iter().map(|e| format!("{} {} {}", e.action, e.resource_type, e.resource_name)).collect();
    let known = events[2].resource_name.clone();
    assert_eq!(
        words,
        [
            "create project default".to_owned(),
            "create project other project".to_owned(),
            format!("create api-key {known}"),
            "create index dense".to_owned(),
            "create index sparse".to_owned(),
            "create index pod".to_owned(),
            "create index deleted".to_owned(),
            "delete index deleted".to_owned(),
        ]
    );
    close(service).await;
    assert_eq!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged, []);
    // Its descriptors are enough to make the catalog anew.
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert_eq!((report.indexes.len(), report.unreadable.len()), (3, 0));
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}
