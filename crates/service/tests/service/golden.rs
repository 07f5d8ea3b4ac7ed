//! A data directory as the first release of each format wrote it. It opens for ever.

use std::path::{Path, PathBuf};

use pinyon_model::{
    DedicatedCapacity, DeletionProtection, IndexName, IndexSpec, Metric, NamespaceName, Network, PageRequest, Plane, ReadCapacity,
    Restrictions, Role, RoleBindingFilter, SchemaField, Tags,
};
use pinyon_service::{OpContext, RootKey, Service};

use crate::{
    audit_delivery::{Bucket, options, settings},
    common::{House, audit_events, close, files, pod, spec, tags},
    people::with,
};

const SECRET: &str = "a-secret-that-is-known";
const BOUNDED: &str = "another-secret-that-is-known";
const EMAIL: &str = "grace@example.com";
const PASSWORD: &str = "a password that is known";
/// In the year 2033.
const EXPIRES: u64 = 2_000_000_000_000;

/// 1: before there were role bindings. 2: with them. 3: with bounds of keys, passwords and audit sinks. 4: see `golden_sealed`.
pub(crate) fn folder(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/data-{version}"))
}

fn restrictions() -> Restrictions {
    Restrictions::new(
        [IndexName::new("dense").unwrap()].into(),
        [NamespaceName::new("").unwrap(), NamespaceName::new("en").unwrap()].into(),
        [Network::parse("192.0.2.0/24").unwrap(), Network::parse("2001:db8::/32").unwrap()].into(),
    )
    .unwrap()
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

#[tokio::test]
async fn an_old_directory_opens() {
    let words = opens(1).await;
    assert_eq!(words, [&told()[..], &["update catalog ".to_owned()]].concat(), "the roles of its keys are bindings now");
}

#[tokio::test]
async fn a_directory_with_role_bindings_opens() {
    let words = opens(2).await;
    let people = ["create service-account known account", "create user ", "create user Ada", "create user "];
    assert_eq!(words, [told(), people.map(str::to_owned).to_vec()].concat());
}

#[tokio::test]
async fn a_directory_with_bounded_keys_opens() {
    let house = unfold(3);
    let service = house.open_with(options(&house, &Bucket::new())).await.unwrap();
    let operator = house.operator();
    let keys = service.list_api_keys(&operator, None).await.unwrap();
    let bounded = service.with_last_use(keys.into_iter().find(|k| k.name == "bounded").unwrap());
    assert_eq!((bounded.key.expires_at_ms, &bounded.key.restrictions), (Some(EXPIRES), &restrictions()));
    assert_eq!(bounded.last_use.as_ref().map(|l| l.source.as_str()), Some("192.0.2.7"));
    service.authenticate(Plane::Data, Some(BOUNDED), "192.0.2.9").await.expect("the secret before the rotation");
    assert!(service.authenticate(Plane::Data, Some(BOUNDED), "198.51.100.1").await.is_err());
    assert_eq!(service.sign_in(with(EMAIL, PASSWORD, "192.0.2.7")).await.unwrap().0.name.as_deref(), Some("Grace"));
    let organization = service.list_organizations(&operator).await.unwrap()[0].id;
    assert_eq!(service.describe_audit_sink(&operator, organization).await.unwrap().0.settings, settings("logs/known"));
    close(service).await;
    assert_eq!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged, []);
}

/// A copy of the folder, to open.
pub(crate) fn unfold(version: u32) -> House {
    let mut house = House::new();
    house.root = RootKey::parse_text(&std::fs::read_to_string(folder(version).join("root.key.txt")).unwrap()).unwrap();
    copy(&folder(version), house.path());
    house
}

/// What the audit log of either of the first two tells.
fn told() -> Vec<String> {
    let words = [
        "create project default",
        "create project other project",
        "create api-key known",
        "create index dense",
        "create index sparse",
        "create index pod",
        "create index deleted",
        "delete index deleted",
    ];
    words.map(str::to_owned).to_vec()
}

/// Opens a copy of the folder, looks at everything in it, makes its catalog anew, and answers what its audit log tells.
async fn opens(version: u32) -> Vec<String> {
    let house = unfold(version);
    let service = house.open().await;
    let principal = service.authenticate(Plane::Data, Some(SECRET), "").await.unwrap();
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
    let events = audit_events(&service, &house.operator()).await;
    let words: Vec<_> = events.iter().map(|e| format!("{} {} {}", e.action, e.resource_type, e.resource_name)).collect();
    let operator = house.operator();
    let keys = service.list_api_keys(&operator, None).await.unwrap();
    assert_eq!(keys.iter().map(|k| k.roles.as_slice()).collect::<Vec<_>>(), [[Role::ProjectEditor]; 2]);
    let page = PageRequest { limit: 100, after: None };
    let accounts = service.list_service_accounts(&operator, page).await.unwrap().items;
    let users = service.list_users(&operator, None, page).await.unwrap().items;
    let invites = service.list_invites(&operator, page).await.unwrap().items;
    let bindings = service.list_role_bindings(&operator, RoleBindingFilter::default(), page).await.unwrap().items;
    let people = if version == 1 { (0, 0, 0, 2) } else { (1, 1, 1, 5) };
    assert_eq!((accounts.len(), users.len(), invites.len(), bindings.len()), people);
    close(service).await;
    assert_eq!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged, []);
    // Its descriptors are enough to make the catalog anew.
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert_eq!((report.indexes.len(), report.unreadable.len()), (3, 0));
    words
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}
