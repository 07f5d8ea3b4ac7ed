//! From where a project may be reached.

use std::{collections::BTreeSet, sync::Arc};

use pinyon_model::{
    AuditEvent, AuditOutcome, ErrorCode, NamespaceName, Network, NewPrivateEndpoint, PrivateEndpoint, PrivateLink, ProjectAccess,
    ProjectAccessChange, ProjectId, Role, limits::PRIVATE_ENDPOINTS_MAX,
};
use pinyon_service::{OpContext, PrivatePath, Service, ServiceOptions};

use crate::common::*;

const REGION: &str = "us-east-1";

fn link(id: &str) -> PrivateLink {
    PrivateLink::parse("aws", id).unwrap()
}

fn new(id: &str) -> NewPrivateEndpoint {
    NewPrivateEndpoint { link: link(id), region: REGION.to_owned() }
}

fn access(private_control_plane: bool, networks: &[&str]) -> ProjectAccess {
    let networks: BTreeSet<Network> = networks.iter().map(|n| Network::parse(n).unwrap()).collect();
    ProjectAccess::new(true, private_control_plane, networks).unwrap()
}

/// The caller, through an endpoint and by a listener in this region.
fn through(ctx: &OpContext, id: Option<&str>, region: &str) -> OpContext {
    OpContext { private_path: Some(Arc::new(PrivatePath { link: id.map(link), region: region.to_owned() })), ..ctx.clone() }
}

async fn house() -> (House, Arc<Service>, ProjectId) {
    let house = House::new();
    let service = house.open_with(ServiceOptions { private_region: Some(REGION.to_owned()), ..house.options() }).await.unwrap();
    let project = service.default_project();
    (house, service, project)
}

#[tokio::test]
async fn ten_endpoints_and_each_once() {
    let (house, service, project) = house().await;
    let me = house.operator();
    for n in 0..PRIVATE_ENDPOINTS_MAX {
        service.create_private_endpoint(&me, project, new(&format!("vpce-{n}"))).await.unwrap();
    }
    let refused = |code: ErrorCode| move |e: pinyon_model::Error| e.code == code;
    let again = service.create_private_endpoint(&me, project, new("vpce-0")).await;
    assert!(again.is_err_and(refused(ErrorCode::AlreadyExists)));
    let more = service.create_private_endpoint(&me, project, new("vpce-x")).await;
    assert!(more.is_err_and(refused(ErrorCode::QuotaExceeded)));
    // Another project may have the same.
    let other = service.create_project(&me, crate::common::project("other")).await.unwrap();
    service.create_private_endpoint(&me, other.id, new("vpce-0")).await.unwrap();

    let mut listed: Vec<PrivateEndpoint> = service.list_private_endpoints(&me, project).await.unwrap();
    listed.sort_by_key(|e| e.link.clone());
    assert_eq!(listed.len(), PRIVATE_ENDPOINTS_MAX);
    for (typed, code) in [("", ErrorCode::InvalidArgument), ("vpce-1", ErrorCode::InvalidArgument)] {
        assert!(service.delete_private_endpoint(&me, project, listed[0].id, typed).await.is_err_and(refused(code)), "{typed}");
    }
    assert!(service.delete_private_endpoint(&me, other.id, listed[0].id, "vpce-0").await.is_err_and(refused(ErrorCode::NotFound)));
    service.delete_private_endpoint(&me, project, listed[0].id, "vpce-0").await.unwrap();
    service.delete_project(&me, other.id).await.unwrap();

    // All of it is there after a start.
    close(service).await;
    let service = house.open().await;
    let mut left = service.list_private_endpoints(&me, project).await.unwrap();
    left.sort_by_key(|e| e.link.clone());
    assert_eq!(left, listed[1..]);
}

#[tokio::test]
async fn every_door_of_a_private_project() {
    let (house, service, project) = house().await;
    let me = house.editor(&service).await;
    let index = service.create_index(&me, spec("near")).await.unwrap();
    let host = service.find_index(&me, "near").await.unwrap();
    let data = async |ctx: &OpContext| service.stats(ctx, &host, None).await.map(drop).map_err(|e| e.code);
    let control = async |ctx: &OpContext| service.list_indexes(ctx).await.map(drop).map_err(|e| e.code);
    let closed = Err(ErrorCode::Unauthenticated);
    let inside = through(&me, Some("vpce-1"), REGION);

    // Nothing is private: the public door is open, the private one leads to nobody without an endpoint.
    assert_eq!((data(&me).await, control(&me).await), (Ok(()), Ok(())));
    assert_eq!((data(&inside).await, control(&inside).await), (closed, closed));
    service.create_private_endpoint(&house.operator(), project, new("vpce-1")).await.unwrap();
    assert_eq!((data(&inside).await, control(&inside).await), (Ok(()), Ok(())));
    for other in [through(&me, Some("vpce-2"), REGION), through(&me, None, REGION), through(&me, Some("vpce-1"), "eu-west-1")] {
        assert_eq!((data(&other).await, control(&other).await), (closed, closed), "{:?}", other.private_path);
    }
    assert!(service.tells_private_host(&inside, &index) && !service.tells_private_host(&me, &index));

    let set = async |access: ProjectAccess| service.put_project_access(&house.operator(), project, access).await;
    set(access(false, &["203.0.113.0/24"])).await.unwrap();
    let listed = OpContext { source: "203.0.113.9".into(), ..me.clone() };
    assert_eq!((data(&me).await, data(&listed).await, data(&inside).await, control(&me).await), (closed, Ok(()), Ok(()), Ok(())));
    assert!(service.tells_private_host(&me, &index), "it has no other way in");
    assert!(!service.tells_private_host(&listed, &index), "it has the public one");
    // An address that a customer's network gave itself is no network of the list.
    let claims = OpContext { source: "203.0.113.9".into(), ..through(&me, Some("vpce-2"), REGION) };
    assert_eq!(data(&claims).await, closed);
    // Records by the control host are records.
    let explain = service.explain(&me, "near", &NamespaceName::default(), query([1.0, 0.0, 0.0])).await.map(drop).map_err(|e| e.code);
    assert_eq!(explain, closed);

    set(access(true, &["203.0.113.0/24"])).await.unwrap();
    assert_eq!((control(&me).await, control(&listed).await, control(&inside).await), (closed, Ok(()), Ok(())));
    assert_eq!(data(&house.operator()).await, Ok(()), "the operator comes by no network");
    // Another project's caller is told what it was told before.
    let other = service.create_project(&house.operator(), crate::common::project("other")).await.unwrap();
    let stranger = house.caller(&service, Some(other.id), &[Role::ProjectEditor]).await;
    let told = service.stats(&stranger, &host, None).await.unwrap_err();
    assert_eq!((told.code, told.message.as_str()), (ErrorCode::Unauthenticated, "Invalid API key."));
    // The first refusal of a kind in a minute is in the audit log, with the endpoint that it came by.
    let events = audit_events(&service, &house.operator()).await;
    let by = |e: &AuditEvent| {
        let refused = matches!(&e.outcome, AuditOutcome::Failure { reason, .. } if reason == "Unauthorized");
        refused && e.parameters.iter().any(|(name, _)| name == "private_endpoint")
    };
    assert!(events.iter().any(by));
}

#[tokio::test]
async fn nobody_shuts_every_door_by_mistake() {
    let (house, service, project) = house().await;
    let me = house.operator();
    let set = async |access: ProjectAccess| service.put_project_access(&me, project, access).await.map(drop).map_err(|e| e.code);
    assert_eq!(set(access(false, &[])).await, Err(ErrorCode::FailedPrecondition));
    assert_eq!(service.describe_project_access(&me, project).await.unwrap(), ProjectAccess::default());
    assert_eq!(set(access(false, &["10.0.0.0/8"])).await, Ok(()));
    let endpoint = service.create_private_endpoint(&me, project, new("vpce-1")).await.unwrap();
    assert_eq!(set(access(true, &[])).await, Ok(()));
    // What takes the last way in away is meant: an endpoint may have to go at once.
    service.delete_private_endpoint(&me, project, endpoint.id, "vpce-1").await.unwrap();
    assert!(service.describe_project_access(&me, project).await.unwrap().private_only());
}

#[tokio::test]
async fn changes_of_different_parts_do_not_undo_each_other() {
    let (house, service, project) = house().await;
    let me = house.operator();
    let change = async |change: ProjectAccessChange| service.change_project_access(&me, project, change).await;
    let only = |networks: &str| ProjectAccessChange {
        networks: Some([Network::parse(networks).unwrap()].into()),
        ..ProjectAccessChange::default()
    };
    let lock = ProjectAccessChange { private_only: Some(true), private_control_plane: Some(true), networks: None };
    let open = ProjectAccessChange { private_only: Some(false), ..ProjectAccessChange::default() };
    assert_eq!(change(lock.clone()).await.unwrap_err().code, ErrorCode::FailedPrecondition, "what counts is what the whole would be");
    change(only("10.0.0.0/8")).await.unwrap();
    for n in 0..8 {
        assert!(!change(open.clone()).await.unwrap().private_control_plane(), "the control plane is never private alone");
        let network = format!("10.0.{n}.0/24");
        let (locked, listed) = tokio::join!(change(lock.clone()), change(only(&network)));
        assert!(locked.is_ok() && listed.is_ok());
        assert_eq!(service.describe_project_access(&me, project).await.unwrap(), access(true, &[&network]));
    }
    // The audit log tells the whole, also of a change of a part.
    change(only("192.0.2.0/24")).await.unwrap();
    let events = audit_events(&service, &me).await;
    let told = |e: &AuditEvent, name: &str, value: &str| e.parameters.contains(&(name.to_owned(), value.to_owned()));
    let last = events.iter().find(|e| told(e, "networks", "192.0.2.0/24")).unwrap();
    assert!(told(last, "private_only", "true") && told(last, "private_control_plane", "true"), "{:?}", last.parameters);
}
