//! What holds an API key beyond its roles: expiry, rotation, restrictions, and what is known of its use.

use std::{collections::BTreeSet, sync::Arc};

use pinyon_model::{
    ApiKeyChange, ErrorCode, IndexName, NamespaceName, Network, Permission, Plane, Prefix, Principal, PrincipalRef, ResourceRef,
    Restrictions, RestrictionsChange, Role, UpdateTarget,
};
use pinyon_service::{ApiKeySecret, CreatedApiKey, NewApiKey, OpContext, PermissionQuestion, Service, ServiceOptions};

use crate::{
    common::{House, audit_events, close, code, namespace, query, record, spec},
    data_plane::index,
};

fn restrictions(indexes: &[&str], namespaces: &[&str], networks: &[&str]) -> Restrictions {
    Restrictions::new(
        indexes.iter().map(|n| IndexName::new(n).unwrap()).collect(),
        namespaces.iter().map(|n| NamespaceName::new(n).unwrap()).collect(),
        networks.iter().map(|n| Network::parse(n).unwrap()).collect(),
    )
    .unwrap()
}

async fn key(house: &House, service: &Arc<Service>, new: NewApiKey) -> CreatedApiKey {
    let new = NewApiKey { name: "k".into(), roles: if new.roles.is_empty() { vec![Role::ProjectEditor] } else { new.roles }, ..new };
    service.create_api_key(&house.operator(), new).await.unwrap()
}

/// The context of a restricted ProjectEditor.
async fn held_to(house: &House, service: &Arc<Service>, restrictions: Restrictions) -> OpContext {
    let made = key(house, service, NewApiKey { restrictions, ..NewApiKey::default() }).await;
    let principal = service.authenticate(Plane::Data, Some(made.secret.reveal()), "192.0.2.7").await.unwrap();
    OpContext { principal, ..house.operator() }
}

async fn asks(service: &Service, secret: &str, source: &str) -> Option<ErrorCode> {
    service.authenticate(Plane::Data, Some(secret), source).await.err().map(|e| e.code)
}

#[tokio::test]
async fn a_key_expires_at_its_moment_and_can_be_given_more_time() {
    let house = House::new();
    let service = house.open().await;
    let now = house.operator().now_ms;
    let made = key(&house, &service, NewApiKey { expires_at_ms: Some(now + 1_000), ..NewApiKey::default() }).await;
    let (id, secret) = (made.key.id, made.secret.reveal());
    house.clock.advance_ms(999);
    assert_eq!(asks(&service, secret, "192.0.2.7").await, None);
    house.clock.advance_ms(1);
    assert_eq!(asks(&service, secret, "192.0.2.7").await, Some(ErrorCode::Unauthenticated));
    let never = ApiKeyChange { expires_at_ms: Some(None), ..ApiKeyChange::default() };
    service.update_api_key(&house.operator(), id, never).await.unwrap();
    assert_eq!(asks(&service, secret, "192.0.2.7").await, None);
    let past = ApiKeyChange { expires_at_ms: Some(Some(house.operator().now_ms)), ..ApiKeyChange::default() };
    assert_eq!(code(service.update_api_key(&house.operator(), id, past).await), Some(ErrorCode::InvalidArgument));
    let refused = audit_events(&service, &house.operator()).await.into_iter().find(|e| e.action == "use").unwrap();
    assert_eq!((refused.resource_id, refused.actor.principal_type.as_str()), (id.to_string(), "api_key"));
    close(service).await;
}

#[tokio::test]
async fn a_rotated_secret_goes_on_for_its_overlap_and_over_a_restart() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let first = key(&house, &service, NewApiKey::default()).await;
    let (id, old) = (first.key.id, first.secret.reveal());
    assert_eq!(code(service.rotate_api_key(&operator, id, 86_400_001).await), Some(ErrorCode::InvalidArgument));
    let second = service.rotate_api_key(&operator, id, 60_000).await.unwrap();
    assert_eq!(second.key.previous.as_ref().map(|p| p.hint.clone()), Some(first.key.hint.clone()));
    assert_ne!(second.secret.reveal(), old);
    close(service).await;
    let service = house.open().await;
    for secret in [old, second.secret.reveal()] {
        assert_eq!(asks(&service, secret, "").await, None);
    }
    house.clock.advance_ms(59_999);
    assert_eq!(asks(&service, old, "").await, None);
    house.clock.advance_ms(1);
    assert_eq!(asks(&service, old, "").await, Some(ErrorCode::Unauthenticated));
    // Rotating again ends the one before at once, and without an overlap the one that was replaced too.
    let third = service.rotate_api_key(&house.operator(), id, 60_000).await.unwrap();
    let fourth = service.rotate_api_key(&house.operator(), id, 0).await.unwrap();
    assert_eq!(fourth.key.previous, None);
    for (secret, accepted) in
        [(old, false), (second.secret.reveal(), false), (third.secret.reveal(), false), (fourth.secret.reveal(), true)]
    {
        assert_eq!(asks(&service, secret, "").await.is_none(), accepted);
    }
    service.delete_api_key(&house.operator(), id).await.unwrap();
    assert_eq!(asks(&service, fourth.secret.reveal(), "").await, Some(ErrorCode::Unauthenticated));
    close(service).await;
}

#[tokio::test]
async fn a_secret_that_one_key_gave_up_can_be_anothers() {
    let house = House::new();
    let service = house.open().await;
    let first = key(&house, &service, NewApiKey::default()).await;
    service.rotate_api_key(&house.operator(), first.key.id, 0).await.unwrap();
    assert_eq!(asks(&service, first.secret.reveal(), "").await, Some(ErrorCode::Unauthenticated));
    let secret = Some(ApiKeySecret::import(first.secret.reveal()).unwrap());
    let second = key(&house, &service, NewApiKey { secret, ..NewApiKey::default() }).await;
    let principal = service.authenticate(Plane::Data, Some(first.secret.reveal()), "").await.unwrap();
    assert!(matches!(&*principal, Principal::ApiKey { id, .. } if *id == second.key.id));
    close(service).await;
}

#[tokio::test]
async fn a_deleted_keys_earlier_secret_is_dead_too() {
    let house = House::new();
    let service = house.open().await;
    let first = key(&house, &service, NewApiKey::default()).await;
    service.rotate_api_key(&house.operator(), first.key.id, 60_000).await.unwrap();
    assert_eq!(asks(&service, first.secret.reveal(), "").await, None);
    service.delete_api_key(&house.operator(), first.key.id).await.unwrap();
    assert_eq!(asks(&service, first.secret.reveal(), "").await, Some(ErrorCode::Unauthenticated));
    close(service).await;
}

#[tokio::test]
async fn from_another_network_a_key_is_unknown() {
    let house = House::new();
    let service = house.open().await;
    let made =
        key(&house, &service, NewApiKey { restrictions: restrictions(&[], &[], &["192.0.2.0/24", "::1"]), ..NewApiKey::default() }).await;
    let secret = made.secret.reveal();
    for (source, accepted) in
        [("192.0.2.7", true), ("::1", true), ("::ffff:192.0.2.9", true), ("192.0.3.7", false), ("::2", false), ("", false), ("x", false)]
    {
        assert_eq!(asks(&service, secret, source).await.is_none(), accepted, "{source}");
    }
    let refused = service.authenticate(Plane::Data, Some(secret), "10.0.0.1").await.unwrap_err();
    assert_eq!(refused.message, "Invalid API key.", "a thief does not hear that the key is good");
    close(service).await;
}

#[tokio::test]
async fn a_key_for_one_index_sees_no_other() {
    let house = House::new();
    let service = house.open().await;
    let all = house.editor(&service).await;
    let (mine, other) = (index(&service, &all, spec("mine")).await, index(&service, &all, spec("other")).await);
    let me = held_to(&house, &service, restrictions(&["mine", "later"], &[], &[])).await;
    let ns = namespace("");
    service.upsert(&me, &mine, &ns, vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
    let refused = service.query(&me, &other, &ns, query([1.0, 0.0, 0.0])).await.unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::Unauthenticated, "Invalid API key."));
    assert_eq!(code(service.stats(&me, &other, None).await), Some(ErrorCode::Unauthenticated));
    assert_eq!(service.list_indexes(&me).await.unwrap().iter().map(|i| i.name.as_str().to_owned()).collect::<Vec<_>>(), ["mine"]);
    service.describe_index(&me, "mine").await.unwrap();
    let (there, absent) =
        (service.describe_index(&me, "other").await.unwrap_err(), service.describe_index(&me, "absent").await.unwrap_err());
    assert_eq!((there.code, there.message.replace("other", "absent")), (absent.code, absent.message), "not-yours is not-there");
    assert_eq!(code(service.delete_index(&me, "other").await), Some(ErrorCode::NotFound));
    assert_eq!(code(service.recall(&me, "other").await), Some(ErrorCode::NotFound));
    for name in ["other", "absent"] {
        let refused = service.create_index(&me, spec(name)).await.unwrap_err();
        assert_eq!(refused.message, "This API key is restricted to the indexes later, mine", "whether it is there or not");
    }
    service.create_index(&me, spec("later")).await.unwrap();
    service.delete_index(&me, "later").await.unwrap();
    close(service).await;
}

#[tokio::test]
async fn a_key_for_one_namespace_touches_no_other() {
    let house = House::new();
    let service = house.open().await;
    let all = house.editor(&service).await;
    let host = index(&service, &all, spec("x")).await;
    for name in ["mine", "other"] {
        let rows = vec![record("a", [1.0, 0.0, 0.0]), record("b", [0.0, 1.0, 0.0])];
        service.upsert(&all, &host, &namespace(name), rows).await.unwrap();
    }
    let me = held_to(&house, &service, restrictions(&[], &["mine", "later"], &[])).await;
    let (mine, other, absent) = (namespace("mine"), namespace("other"), namespace("absent"));
    assert_eq!(service.query(&me, &host, &mine, query([1.0, 0.0, 0.0])).await.unwrap().matches.len(), 2);
    for ns in [&other, &absent, &namespace("")] {
        let told = service.query(&me, &host, ns, query([1.0, 0.0, 0.0])).await.unwrap_err();
        assert_eq!((told.code, told.message.as_str()), (ErrorCode::Forbidden, "This API key is restricted to the namespaces later, mine"));
        assert_eq!(code(service.upsert(&me, &host, ns, vec![record("c", [1.0; 3])]).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(service.fetch(&me, &host, ns, vec![crate::common::id("a")]).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(service.list(&me, &host, ns, &Prefix::default(), 10, None).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(service.describe_namespace(&me, &host, ns).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(service.delete_namespace(&me, &host, ns).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(service.create_namespace(&me, &host, ns.clone(), None).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(service.explain(&me, "x", ns, query([1.0, 0.0, 0.0])).await), Some(ErrorCode::Forbidden));
    }
    service.explain(&me, "x", &mine, query([1.0, 0.0, 0.0])).await.unwrap();
    let stats = service.stats(&me, &host, None).await.unwrap();
    assert_eq!((stats.total, stats.namespaces.keys().map(|n| n.to_string()).collect::<Vec<_>>()), (2, vec!["mine".to_owned()]));
    let (page, total) = service.list_namespaces(&me, &host, &Prefix::default(), 100, None).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].name.as_str(), page.next_after, total), (1, "mine", None, 1));
    assert_eq!(service.list_namespaces(&me, &host, &Prefix::new("o").unwrap(), 100, None).await.unwrap().1, 0);
    service.create_namespace(&me, &host, namespace("later"), None).await.unwrap();
    let (page, total) = service.list_namespaces(&me, &host, &Prefix::default(), 1, None).await.unwrap();
    assert_eq!((page.items[0].name.as_str(), page.next_after.as_deref(), total), ("later", Some("later"), 2));
    let (page, _) = service.list_namespaces(&me, &host, &Prefix::default(), 1, Some("later")).await.unwrap();
    assert_eq!((page.items[0].name.as_str(), page.next_after), ("mine", None));
    assert_eq!(code(service.recall(&me, "x").await), Some(ErrorCode::Forbidden));
    assert_eq!(code(service.delete_index(&me, "x").await), Some(ErrorCode::Forbidden));
    assert_eq!(code(service.create_index(&me, spec("y")).await), Some(ErrorCode::Forbidden));
    service.describe_index(&me, "x").await.unwrap();
    // An update names its namespace like everything else.
    let update = pinyon_model::Update { target: UpdateTarget::Id(crate::common::id("a")), dense: None, sparse: None, set_metadata: None };
    assert_eq!(code(service.update(&me, &host, &other, update).await), Some(ErrorCode::Forbidden));
    close(service).await;
}

#[tokio::test]
async fn restrictions_can_be_changed_and_hold_at_once_and_over_a_restart() {
    let house = House::new();
    let service = house.open().await;
    let all = house.editor(&service).await;
    let host = index(&service, &all, spec("x")).await;
    let made = key(&house, &service, NewApiKey::default()).await;
    let ask = async |service: &Service, host: &pinyon_service::IndexRef| {
        let principal = service.authenticate(Plane::Data, Some(made.secret.reveal()), "192.0.2.7").await.unwrap();
        service.stats(&OpContext { principal, ..house.operator() }, host, None).await.map_err(|e| e.code).err()
    };
    assert_eq!(ask(&service, &host).await, None);
    let only = RestrictionsChange { indexes: Some(BTreeSet::from([IndexName::new("y").unwrap()])), ..RestrictionsChange::default() };
    let change = ApiKeyChange { restrictions: only, ..ApiKeyChange::default() };
    let key = service.update_api_key(&house.operator(), made.key.id, change).await.unwrap();
    assert_eq!((key.roles, key.restrictions.indexes().len()), (vec![Role::ProjectEditor], 1));
    assert_eq!(ask(&service, &host).await, Some(ErrorCode::Unauthenticated));
    drop(host);
    close(service).await;
    let service = house.open().await;
    let host = service.find_index(&house.operator(), "x").await.unwrap();
    assert_eq!(ask(&service, &host).await, Some(ErrorCode::Unauthenticated));
    let none = RestrictionsChange { indexes: Some(BTreeSet::new()), ..RestrictionsChange::default() };
    let change = ApiKeyChange { restrictions: none, ..ApiKeyChange::default() };
    service.update_api_key(&house.operator(), made.key.id, change).await.unwrap();
    assert_eq!(ask(&service, &host).await, None);
    close(service).await;
}

#[tokio::test]
async fn the_last_use_is_known_and_told_by_the_hour() {
    let house = House::new();
    let service = house.open_with(ServiceOptions { audit_key_use: true, ..house.options() }).await.unwrap();
    let made = key(&house, &service, NewApiKey::default()).await;
    let last = |service: &Service| service.with_last_use(made.key.clone()).last_use;
    assert_eq!(last(&service), None);
    for _ in 0..5 {
        asks(&service, made.secret.reveal(), "192.0.2.7").await;
    }
    let at_ms = house.operator().now_ms;
    assert_eq!(last(&service).map(|l| (l.at_ms, l.source)), Some((at_ms, "192.0.2.7".to_owned())));
    close(service).await;
    let service = house.open().await;
    assert_eq!(last(&service).map(|l| l.at_ms), Some(at_ms), "kept over a restart");
    let uses: Vec<_> = audit_events(&service, &house.operator()).await.into_iter().filter(|e| e.action == "use").collect();
    assert_eq!(uses.len(), 1);
    assert_eq!((uses[0].count, uses[0].source.as_str(), uses[0].resource_id.clone()), (5, "192.0.2.7", made.key.id.to_string()));
    close(service).await;
    let quiet = house.open().await;
    house.clock.advance_ms(1);
    asks(&quiet, made.secret.reveal(), "192.0.2.8").await;
    close(quiet).await;
    let service = house.open().await;
    assert!(audit_events(&service, &house.operator()).await.iter().all(|e| e.source != "192.0.2.8"));
    assert_eq!(last(&service).map(|l| l.source), Some("192.0.2.8".to_owned()));
    close(service).await;
}

#[tokio::test]
async fn a_damaged_record_of_use_costs_only_itself_and_is_found() {
    let house = House::new();
    let service = house.open().await;
    let made = key(&house, &service, NewApiKey::default()).await;
    asks(&service, made.secret.reveal(), "192.0.2.7").await;
    close(service).await;
    let path = house.path().join("usage/api-keys");
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let report = Service::check_offline(house.options(), house.clock()).await.unwrap();
        assert_eq!(report.damaged.iter().map(|d| d.file.as_str()).collect::<Vec<_>>(), ["usage/api-keys"], "byte {at}");
    }
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let service = house.open().await;
    assert_eq!(asks(&service, made.secret.reveal(), "192.0.2.7").await, None, "keys go on working");
    assert_eq!(service.check(&house.operator()).await.unwrap().damaged.len(), 1);
    close(service).await;
}

#[tokio::test]
async fn why_somebody_may_or_may_not() {
    let house = House::new();
    let service = house.open().await;
    let project = ResourceRef::Project(service.default_project());
    let operator = house.operator();
    let new = NewApiKey {
        roles: vec![Role::DataPlaneViewer, Role::ControlPlaneViewer],
        restrictions: restrictions(&["movies"], &["en"], &[]),
        expires_at_ms: Some(operator.now_ms + 1_000),
        ..NewApiKey::default()
    };
    let made = key(&house, &service, new).await;
    let who = PrincipalRef::ApiKey(made.key.id);
    let ask = async |operation: &str, index: Option<&str>, ns: Option<&str>| {
        let question = PermissionQuestion {
            operation: operation.into(),
            index: index.map(|n| IndexName::new(n).unwrap()),
            namespace: ns.map(namespace),
        };
        service.describe_permissions(&operator, who, project, Some(question)).await
    };
    let found = ask("Query", Some("movies"), Some("en")).await.unwrap();
    let permissions: Vec<_> = found.permissions.iter().map(|(p, by)| (*p, by[0].role)).collect();
    assert_eq!(permissions, [(Permission::ControlRead, Role::ControlPlaneViewer), (Permission::DataRead, Role::DataPlaneViewer)]);
    assert_eq!(found.key.unwrap().restrictions.namespaces().len(), 1);
    for (operation, index, ns, allowed, told) in [
        ("Query", Some("movies"), Some("en"), true, "DataRead is given by DataPlaneViewer on the project"),
        ("Query", Some("movies"), Some("de"), false, "restricted to the index movies and the namespace en"),
        ("Query", Some("books"), Some("en"), false, "restricted to"),
        ("Upsert", Some("movies"), Some("en"), false, "No role that it has gives DataWrite"),
        ("ListIndexes", None, None, true, "ControlRead is given by"),
        ("CreateApiKey", None, None, false, "no credential on the admin plane"),
    ] {
        let decision = ask(operation, index, ns).await.unwrap().decision.unwrap();
        assert!(decision.allowed == allowed && decision.reason.contains(told), "{operation}: {decision:?}");
    }
    assert_eq!(code(ask("Conquer", None, None).await), Some(ErrorCode::InvalidArgument));
    house.clock.advance_ms(1_000);
    assert!(ask("Query", Some("movies"), Some("en")).await.unwrap().decision.unwrap().reason.contains("expired"));
    // Those who may not see a project's members may not ask, and what is another organization's is not there.
    let viewer = house.caller(&service, None, &[Role::ProjectViewer]).await;
    assert_eq!(code(service.describe_permissions(&viewer, who, project, None).await), Some(ErrorCode::Forbidden));
    let nobody = PrincipalRef::ApiKey(pinyon_model::ApiKeyId::from_bytes([9; 16]));
    assert_eq!(code(service.describe_permissions(&operator, nobody, project, None).await), Some(ErrorCode::NotFound));
    close(service).await;
}
