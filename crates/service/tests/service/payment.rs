//! Plans, payment and quotas: what an organization may have, and what it may still do when it does not pay.

use pinyon_model::{
    AuditOutcome, DeleteSelector, Email, ErrorCode, IndexChange, NewInvite, NewRoleBinding, NewServiceAccount, OrganizationId,
    PaymentStatus, Plan, Plane, Role, RoleGrant,
};
use pinyon_service::{Acceptance, IndexRef, LimitPreset, Limits, OpContext, Service, ServiceOptions};

use crate::common::{House, audit_events, close, code, id, name, namespace, project, query, record, spec};

async fn organization(house: &House, service: &Service) -> OrganizationId {
    service.list_organizations(&house.operator()).await.unwrap()[0].id
}

fn index_of(service: &Service, me: &OpContext, text: &str) -> IndexRef {
    let pinyon_model::Principal::ApiKey { project_id, .. } = &*me.principal else { panic!("no key") };
    service.resolve_index_by_name(&project_id.short(), text).unwrap()
}

#[tokio::test]
async fn who_does_not_pay_is_refused_step_by_step() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("films")).await.unwrap();
    let host = index_of(&service, &me, "films");
    let ns = namespace("");
    service.upsert(&me, &host, &ns, vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
    let organization = organization(&house, &service).await;
    let (y, n) = (None, Some(ErrorCode::PaymentRequired));
    for (status, making, writing, reading) in [
        (PaymentStatus::PaymentPending, y, y, y),
        (PaymentStatus::PastDue, n, y, y),
        (PaymentStatus::Restricted, n, n, y),
        (PaymentStatus::Suspended, n, n, n),
        (PaymentStatus::Deactivated, n, n, n),
        (PaymentStatus::Active, y, y, y),
    ] {
        let set = service.set_payment_status(&house.operator(), organization, status).await.unwrap();
        assert_eq!(set.payment_status, status);
        let made = service.create_index(&me, spec(&format!("made-{}", status.as_str().to_lowercase()))).await;
        if let Err(error) = &made {
            assert!(error.message.contains(status.as_str()), "{error}");
        }
        assert_eq!(code(made), making, "{status:?}");
        assert_eq!(code(service.configure_index(&me, "films", IndexChange::default()).await), making, "{status:?}");
        assert_eq!(code(service.upsert(&me, &host, &ns, vec![record("a", [1.0, 0.0, 0.0])]).await), writing, "{status:?}");
        assert_eq!(code(service.create_namespace(&me, &host, namespace(status.as_str()), None).await), writing, "{status:?}");
        assert_eq!(code(service.query(&me, &host, &ns, query([1.0, 0.0, 0.0])).await), reading, "{status:?}");
        assert_eq!(code(service.fetch(&me, &host, &ns, vec![id("a")]).await), reading, "{status:?}");
        // What is kept can be seen and deleted.
        assert_eq!(service.list_indexes(&me).await.unwrap().len(), if made_so_far(status) { 2 } else { 1 }, "{status:?}");
        assert!(service.stats(&me, &host, None).await.is_ok());
        assert!(service.delete(&me, &host, &ns, DeleteSelector::Ids(vec![id("gone")])).await.is_ok());
        let doomed = format!("made-{}", status.as_str().to_lowercase());
        if making.is_none() {
            service.delete_index(&me, &doomed).await.unwrap();
        }
    }
    service.set_payment_status(&house.operator(), organization, PaymentStatus::Suspended).await.unwrap();
    service.delete_index(&me, name("films").as_str()).await.unwrap();
    let viewer = house.caller(&service, None, &[Role::ControlPlaneViewer]).await;
    assert_eq!(code(service.create_index(&viewer, spec("x")).await), Some(ErrorCode::Forbidden), "who may not at all is told so");
    let events = audit_events(&service, &house.operator()).await;
    let refused =
        |e: &&pinyon_model::AuditEvent| matches!(&e.outcome, AuditOutcome::Failure { error_code, .. } if error_code == "PaymentRequired");
    assert!(events.iter().any(|e| refused(&e) && e.action == "create"));
    let set = events.iter().find(|e| e.parameters.contains(&("payment_status".into(), "PastDue".into()))).unwrap();
    assert_eq!((set.action.as_str(), set.resource_type.as_str(), &set.outcome), ("update", "organization", &AuditOutcome::Success));
    close(service).await;
}

/// Whether an index was made in the round of this status.
fn made_so_far(status: PaymentStatus) -> bool {
    matches!(status, PaymentStatus::PaymentPending | PaymentStatus::Active)
}

#[tokio::test]
async fn the_operator_alone_sets_plan_and_status_and_they_stay() {
    let house = House::new();
    let service = house.open().await;
    let organization = organization(&house, &service).await;
    let grants = vec![RoleGrant::new(Role::OrgOwner, None).unwrap()];
    let made = service.create_service_account(&house.operator(), NewServiceAccount { name: "owner".into(), grants }).await.unwrap();
    let issued = service.issue_token(&made.account.client_id(), made.secret.reveal(), "").await.unwrap();
    let principal = service.authenticate(Plane::Admin, Some(issued.token.reveal()), "").await.unwrap();
    let owner = OpContext { principal, ..house.operator() };
    assert_eq!(code(service.set_plan(&owner, organization, Plan::Free).await), Some(ErrorCode::Forbidden));
    assert_eq!(code(service.set_payment_status(&owner, organization, PaymentStatus::Active).await), Some(ErrorCode::Forbidden));
    let nobody = OrganizationId::from_bytes([7; 16]);
    assert_eq!(code(service.set_plan(&house.operator(), nobody, Plan::Free).await), Some(ErrorCode::NotFound));
    service.set_plan(&house.operator(), organization, Plan::Standard).await.unwrap();
    service.set_payment_status(&house.operator(), organization, PaymentStatus::PastDue).await.unwrap();
    close(service).await;
    let service = house.open().await;
    let found = service.describe_organization(&house.operator(), organization).await.unwrap();
    assert_eq!((found.plan, found.payment_status), (Plan::Standard, PaymentStatus::PastDue));
    assert_eq!(code(service.delete_organization(&house.operator(), organization).await), Some(ErrorCode::FailedPrecondition));
    close(service).await;
}

async fn on(house: &House, limits: Limits, plan: Plan) -> std::sync::Arc<Service> {
    let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
    let organization = organization(house, &service).await;
    service.set_plan(&house.operator(), organization, plan).await.unwrap();
    service
}

#[tokio::test]
async fn the_free_plan_has_pinecones_quotas() {
    let house = House::new();
    let service = on(&house, Limits { preset: LimitPreset::Pinecone, ..Limits::default() }, Plan::Free).await;
    let refused = service.create_project(&house.operator(), project("second")).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::QuotaExceeded);
    assert!(refused.message.contains("organization") && refused.message.contains("limit of 1 projects"), "{refused}");

    let me = house.editor(&service).await;
    for n in 0..5 {
        service.create_index(&me, spec(&format!("i{n}"))).await.unwrap();
    }
    let refused = service.create_index(&me, spec("i5")).await.unwrap_err();
    assert_eq!((refused.code, refused.message.contains("limit of 5 serverless indexes")), (ErrorCode::QuotaExceeded, true), "{refused}");

    let invite =
        |email: &str| NewInvite { email: Email::new(email).unwrap(), grants: vec![RoleGrant::new(Role::OrgMember, None).unwrap()] };
    let first = service.create_invite(&house.operator(), invite("a@example.com")).await.unwrap();
    service.create_invite(&house.operator(), invite("b@example.com")).await.unwrap();
    let refused = service.create_invite(&house.operator(), invite("c@example.com")).await.unwrap_err();
    assert_eq!((refused.code, refused.message.contains("limit of 2 users")), (ErrorCode::QuotaExceeded, true), "{refused}");
    service.accept_invite(first.token.unwrap().reveal(), Acceptance::default(), "").await.unwrap();
    assert_eq!(code(service.create_invite(&house.operator(), invite("c@example.com")).await), Some(ErrorCode::QuotaExceeded));
    house.clock.advance_ms(7 * 24 * 3_600_000);
    let late = service.create_invite(&house.operator(), invite("c@example.com")).await.unwrap();
    house.clock.advance_ms(1);
    assert!(service.accept_invite(late.token.unwrap().reveal(), Acceptance::default(), "").await.is_ok(), "the other invite expired");

    let organization = organization(&house, &service).await;
    service.set_plan(&house.operator(), organization, Plan::Standard).await.unwrap();
    assert!(service.create_index(&me, spec("i5")).await.is_ok(), "another plan has other numbers");
    assert!(service.create_project(&house.operator(), project("second")).await.is_ok());
    let grant = RoleGrant::new(Role::OrgOwner, None).unwrap();
    let nobody = pinyon_model::PrincipalRef::User(pinyon_model::UserId::from_bytes([7; 16]));
    assert!(service.create_role_binding(&house.operator(), NewRoleBinding { principal: nobody, grant }).await.is_err());
    close(service).await;
}

#[tokio::test]
async fn namespaces_are_counted_however_they_are_made() {
    let house = House::new();
    let limits = Limits { namespaces_per_index: Some(3), ..Limits::default() };
    let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
    let me = house.editor(&service).await;
    service.create_index(&me, spec("films")).await.unwrap();
    let host = index_of(&service, &me, "films");
    let put = async |ns: &str| service.upsert(&me, &host, &namespace(ns), vec![record("a", [1.0, 0.0, 0.0])]).await;
    put("one").await.unwrap();
    service.create_namespace(&me, &host, namespace("two"), None).await.unwrap();
    put("three").await.unwrap();
    let refused = put("four").await.unwrap_err();
    assert_eq!((refused.code, refused.message.contains("limit of 3 namespaces")), (ErrorCode::QuotaExceeded, true), "{refused}");
    assert_eq!(code(service.create_namespace(&me, &host, namespace("four"), None).await), Some(ErrorCode::QuotaExceeded));
    put("one").await.unwrap();
    service.delete_namespace(&me, &host, &namespace("two")).await.unwrap();
    // Eight at once want the one place that is free.
    let tries = (0..8).map(|n| {
        let (service, me, host) = (service.clone(), me.clone(), host.clone());
        tokio::spawn(async move { service.upsert(&me, &host, &namespace(&format!("n{n}")), vec![record("a", [1.0, 0.0, 0.0])]).await })
    });
    let mut came = 0;
    for one in tries.collect::<Vec<_>>() {
        came += usize::from(one.await.unwrap().is_ok());
    }
    assert_eq!(came, 1);
    close(service).await;
}
