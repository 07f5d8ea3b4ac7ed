//! Principals and their roles: what may be given, by whom, and what keeps an organization governable.

use std::sync::Arc;

use pinyon_model::{
    ApiKeyChange, Email, ErrorCode, InviteStatus, NewInvite, NewRoleBinding, NewServiceAccount, OrganizationId, PageRequest, Plane,
    Principal, PrincipalRef, ProjectChange, ProjectId, Role, RoleBindingFilter, RoleGrant, ServiceAccount, ServiceAccountId,
};
use pinyon_service::{Acceptance, Clock, CreatedServiceAccount, NewApiKey, OpContext, Service};

use crate::common::{House, audit_events, close, code, project, spec};

const ALL: PageRequest = PageRequest { limit: 100, after: None };

fn grants(roles: &[(Role, Option<ProjectId>)]) -> Vec<RoleGrant> {
    roles.iter().map(|(role, project)| RoleGrant::new(*role, *project).unwrap()).collect()
}

fn account(name: &str, roles: &[(Role, Option<ProjectId>)]) -> NewServiceAccount {
    NewServiceAccount { name: name.into(), grants: grants(roles) }
}

fn new_key(roles: &[Role]) -> NewApiKey {
    NewApiKey { name: "k".into(), project_id: None, roles: roles.to_vec(), ..NewApiKey::default() }
}

fn invite(email: &str, roles: &[(Role, Option<ProjectId>)]) -> NewInvite {
    NewInvite { email: Email::new(email).unwrap(), grants: grants(roles) }
}

/// The context of a service account that got a token for its secret.
async fn token(house: &House, service: &Arc<Service>, created: &CreatedServiceAccount) -> OpContext {
    let issued = service.issue_token(&created.account.client_id(), created.secret.reveal(), "").await.unwrap();
    let principal = service.authenticate(Plane::Admin, Some(issued.token.reveal()), "").await.unwrap();
    OpContext { principal, ..house.operator() }
}

/// A service account with these roles, made by the operator, and its context.
async fn caller(house: &House, service: &Arc<Service>, roles: &[(Role, Option<ProjectId>)]) -> (ServiceAccount, OpContext) {
    let created = service.create_service_account(&house.operator(), account("caller", roles)).await.unwrap();
    let me = token(house, service, &created).await;
    (created.account, me)
}

#[tokio::test]
async fn a_token_is_good_for_half_an_hour_and_dies_with_its_secret_and_its_account() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let created = service.create_service_account(&operator, account("ci", &[(Role::OrgOwner, None)])).await.unwrap();
    let (id, client_id) = (created.account.id, created.account.client_id());
    let issued = service.issue_token(&client_id, created.secret.reveal(), "").await.unwrap();
    assert_eq!(issued.expires_in_s, 1_800);
    let asks = async |text: &str| service.authenticate(Plane::Admin, Some(text), "").await.map_err(|e| e.code);
    let token = issued.token.reveal();
    assert!(matches!(&*asks(token).await.unwrap(), Principal::ServiceAccount { id: found, .. } if *found == id));
    house.clock.advance_ms(1_799_999);
    assert!(asks(token).await.is_ok());
    house.clock.advance_ms(1);
    assert_eq!(asks(token).await.unwrap_err(), ErrorCode::Unauthenticated);

    let fresh = service.issue_token(&client_id, created.secret.reveal(), "").await.unwrap();
    let rotated = service.rotate_service_account_secret(&operator, id).await.unwrap();
    assert_eq!(asks(fresh.token.reveal()).await.unwrap_err(), ErrorCode::Unauthenticated, "it was got for the old secret");
    assert_eq!(code(service.issue_token(&client_id, created.secret.reveal(), "").await), Some(ErrorCode::Unauthenticated));
    let last = service.issue_token(&client_id, rotated.secret.reveal(), "").await.unwrap();
    assert!(asks(last.token.reveal()).await.is_ok());
    service.delete_service_account(&operator, id).await.unwrap();
    assert_eq!(asks(last.token.reveal()).await.unwrap_err(), ErrorCode::Unauthenticated);
    close(service).await;
}

#[tokio::test]
async fn wrong_credentials_are_refused_alike() {
    let house = House::new();
    let service = house.open().await;
    let a = service.create_service_account(&house.operator(), account("a", &[])).await.unwrap();
    let b = service.create_service_account(&house.operator(), account("b", &[])).await.unwrap();
    let key = service.take_bootstrap_key().unwrap();
    let (client, secret) = (a.account.client_id(), a.secret.reveal());
    let nobody = ServiceAccountId::from_bytes([7; 16]).hex();
    for (id, secret) in [
        (&*client, b.secret.reveal()),
        (&*b.account.client_id(), secret),
        (&*client, key.secret.reveal()),
        (&*client, ""),
        ("", secret),
        (&*nobody, secret),
        (&*client, &secret[..secret.len() - 1]),
    ] {
        let refused = service.issue_token(id, secret, "192.0.2.1").await.unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::Unauthenticated, "client_id or client_secret is wrong"));
    }
    // An API key is nothing on the admin plane, and a service account's secret is no credential by itself.
    for text in [key.secret.reveal(), secret] {
        assert_eq!(code(service.authenticate(Plane::Admin, Some(text), "").await), Some(ErrorCode::Unauthenticated));
    }
    assert!(service.authenticate(Plane::Data, Some(key.secret.reveal()), "").await.is_ok());
    close(service).await;
}

#[tokio::test]
async fn nobody_gives_what_they_lack() {
    let house = House::new();
    let service = house.open().await;
    let home = service.default_project();
    let other = service.create_project(&house.operator(), project("other")).await.unwrap().id;
    let (_, owner) = caller(&house, &service, &[(Role::ProjectOwner, Some(home))]).await;
    let (target, _) = caller(&house, &service, &[]).await;
    let to = PrincipalRef::ServiceAccount(target.id);
    let give = async |who: &OpContext, role: Role, project: Option<ProjectId>| {
        let new = NewRoleBinding { principal: to, grant: RoleGrant::new(role, project).unwrap() };
        code(service.create_role_binding(who, new).await)
    };
    // A project's owner: everything in the project, nothing of the organization's, nothing elsewhere.
    for role in [Role::ProjectOwner, Role::ProjectManager, Role::ProjectMember, Role::ProjectEditor, Role::DataPlaneViewer] {
        assert_eq!(give(&owner, role, Some(home)).await, None, "{role:?}");
        assert_eq!(give(&owner, role, Some(home)).await, Some(ErrorCode::AlreadyExists), "{role:?} again");
        assert_eq!(give(&owner, role, Some(other)).await, Some(ErrorCode::NotFound), "{role:?} elsewhere");
    }
    assert_eq!(give(&owner, Role::OrgMember, None).await, Some(ErrorCode::Forbidden));
    // Who may not change members gives nothing at all, not even what they have.
    for role in [Role::ProjectManager, Role::ProjectMember, Role::ProjectEditor] {
        let (_, me) = caller(&house, &service, &[(role, Some(home))]).await;
        assert_eq!(give(&me, Role::ProjectViewer, Some(home)).await, Some(ErrorCode::Forbidden), "{role:?}");
        assert_eq!(code(service.create_api_key(&me, new_key(&[Role::DataPlaneViewer])).await), Some(ErrorCode::Forbidden), "{role:?}");
    }
    let (_, root) = caller(&house, &service, &[(Role::OrgOwner, None)]).await;
    assert_eq!(give(&root, Role::OrgOwner, None).await, None);
    assert_eq!(give(&root, Role::ProjectOwner, Some(other)).await, None, "an organization's owner owns its projects");
    close(service).await;
}

#[tokio::test]
async fn roles_fit_their_principals() {
    let house = House::new();
    let service = house.open().await;
    let (home, operator) = (service.default_project(), house.operator());
    let other = service.create_project(&operator, project("other")).await.unwrap().id;
    let key = service.create_api_key(&operator, new_key(&[])).await.unwrap().key;
    let give = async |principal: PrincipalRef, role: Role, project: Option<ProjectId>| {
        let new = NewRoleBinding { principal, grant: RoleGrant::new(role, project).unwrap() };
        service.create_role_binding(&operator, new).await
    };
    for role in [Role::ProjectOwner, Role::ProjectManager, Role::ProjectMember] {
        assert_eq!(code(give(PrincipalRef::ApiKey(key.id), role, Some(home)).await), Some(ErrorCode::InvalidArgument), "{role:?}");
    }
    assert_eq!(code(give(PrincipalRef::ApiKey(key.id), Role::OrgMember, None).await), Some(ErrorCode::InvalidArgument));
    let elsewhere = give(PrincipalRef::ApiKey(key.id), Role::ProjectViewer, Some(other)).await;
    assert_eq!(code(elsewhere), Some(ErrorCode::InvalidArgument), "a key has roles in its own project");
    let nobody = PrincipalRef::ServiceAccount(ServiceAccountId::from_bytes([9; 16]));
    assert_eq!(code(give(nobody, Role::OrgMember, None).await), Some(ErrorCode::NotFound));

    // A key's roles and its bindings are one thing.
    let binding = give(PrincipalRef::ApiKey(key.id), Role::DataPlaneViewer, Some(home)).await.unwrap();
    assert_eq!(service.describe_api_key(&operator, key.id).await.unwrap().roles, [Role::ProjectEditor, Role::DataPlaneViewer]);
    let change = ApiKeyChange {
        name: Some("renamed".into()),
        roles: Some(vec![Role::DataPlaneViewer, Role::ControlPlaneViewer]),
        ..ApiKeyChange::default()
    };
    let changed = service.update_api_key(&operator, key.id, change).await.unwrap();
    assert_eq!((&*changed.name, &changed.roles[..]), ("renamed", &[Role::ControlPlaneViewer, Role::DataPlaneViewer][..]));
    let filter = RoleBindingFilter { principal: Some(PrincipalRef::ApiKey(key.id)), ..Default::default() };
    let bindings = service.list_role_bindings(&operator, filter, ALL).await.unwrap().items;
    assert!(bindings.len() == 2 && bindings.contains(&binding), "what stays keeps its binding: {bindings:?}");
    for binding in bindings {
        service.delete_role_binding(&operator, binding.id).await.unwrap();
    }
    assert_eq!(service.describe_api_key(&operator, key.id).await.unwrap().roles, []);
    let change = ApiKeyChange { roles: Some(vec![Role::OrgOwner]), ..Default::default() };
    assert_eq!(code(service.update_api_key(&operator, key.id, change).await), Some(ErrorCode::InvalidArgument));
    close(service).await;
}

#[tokio::test]
async fn an_organization_keeps_an_owner() {
    let house = House::new();
    let service = house.open().await;
    let (first, me) = caller(&house, &service, &[(Role::OrgOwner, None)]).await;
    let own = RoleBindingFilter { principal: Some(PrincipalRef::ServiceAccount(first.id)), ..Default::default() };
    let binding = service.list_role_bindings(&me, own, ALL).await.unwrap().items.remove(0);
    // An invited owner does not own anything yet.
    service.create_invite(&me, invite("owner@example.com", &[(Role::OrgOwner, None)])).await.unwrap();
    assert_eq!(code(service.delete_role_binding(&me, binding.id).await), Some(ErrorCode::Aborted));
    assert_eq!(code(service.delete_service_account(&me, first.id).await), Some(ErrorCode::Aborted));
    let (second, _) = caller(&house, &service, &[(Role::OrgOwner, None)]).await;
    service.delete_service_account(&me, second.id).await.unwrap();
    caller(&house, &service, &[(Role::OrgOwner, None)]).await;
    service.delete_service_account(&me, first.id).await.unwrap();
    assert_eq!(code(service.authenticate(Plane::Admin, Some("pinyon_at_x"), "").await), Some(ErrorCode::Unauthenticated));
    close(service).await;
}

#[tokio::test]
async fn people_come_by_invites_and_go_with_their_last_role() {
    let house = House::new();
    let service = house.open().await;
    let (home, operator) = (service.default_project(), house.operator());
    let roles = [(Role::OrgMember, None), (Role::ProjectEditor, Some(home))];
    let without = invite("a@example.com", &[(Role::ProjectEditor, Some(home))]);
    assert_eq!(code(service.create_invite(&operator, without).await), Some(ErrorCode::InvalidArgument));
    let sent = service.create_invite(&operator, invite("A@Example.com", &roles)).await.unwrap();
    assert_eq!(sent.invite.email.as_str(), "a@example.com");
    let again = service.create_invite(&operator, invite("a@example.com", &roles)).await;
    assert_eq!(code(again), Some(ErrorCode::AlreadyExists), "one is pending");

    // It expires after seven days to the millisecond; sent again, it has another token.
    house.clock.advance_ms(7 * 24 * 3_600_000 - 1);
    assert_eq!(sent.invite.status(house.clock.now_ms()), InviteStatus::Pending);
    house.clock.advance_ms(1);
    let accept = async |token: &str| service.accept_invite(token, Acceptance { name: Some("Ada".into()), password: None }, "").await;
    assert_eq!(code(accept(sent.token.as_ref().unwrap().reveal()).await), Some(ErrorCode::Unauthenticated), "too late");
    let operator = house.operator();
    let resent = service.resend_invite(&operator, sent.invite.id).await.unwrap();
    assert_eq!(code(accept(sent.token.as_ref().unwrap().reveal()).await), Some(ErrorCode::Unauthenticated), "the old token");

    let filter = |principal| RoleBindingFilter { principal: Some(principal), ..Default::default() };
    let invited = filter(PrincipalRef::Invite(sent.invite.id));
    let before = service.list_role_bindings(&operator, invited, ALL).await.unwrap().items;
    let member = before.iter().find(|b| b.role == Role::OrgMember).unwrap().id;
    assert_eq!(code(service.delete_role_binding(&operator, member).await), Some(ErrorCode::Aborted), "an invite's last org role");
    let user = accept(resent.token.as_ref().unwrap().reveal()).await.unwrap();
    assert_eq!(code(accept(resent.token.as_ref().unwrap().reveal()).await), Some(ErrorCode::Unauthenticated), "once only");
    let after = service.list_role_bindings(&operator, filter(PrincipalRef::User(user.id)), ALL).await.unwrap().items;
    let what = |b: &pinyon_model::RoleBinding| (b.id, b.created_at_ms, b.role, b.resource);
    assert_eq!(after.iter().map(what).collect::<Vec<_>>(), before.iter().map(what).collect::<Vec<_>>(), "ids and times stay");
    assert_eq!(service.list_role_bindings(&operator, invited, ALL).await.unwrap().items, []);
    assert_eq!(service.list_invites(&operator, ALL).await.unwrap().items, [], "only pending and expired ones are listed");
    let status = service.describe_invite(&operator, sent.invite.id).await.unwrap().status(house.clock.now_ms());
    assert_eq!(status, InviteStatus::Processed);
    for refused in
        [code(service.delete_invite(&operator, sent.invite.id).await), code(service.resend_invite(&operator, sent.invite.id).await)]
    {
        assert_eq!(refused, Some(ErrorCode::AlreadyExists));
    }
    let member_again = service.create_invite(&operator, invite("a@example.com", &roles)).await;
    assert_eq!(code(member_again), Some(ErrorCode::AlreadyExists), "a member already");
    let found = service.list_users(&operator, Some(Email::new("A@example.com").unwrap()), ALL).await.unwrap().items;
    assert_eq!((found.len(), found[0].name.as_deref()), (1, Some("Ada")));

    // The last organization role stays while there are others; the last role of all takes the user with it.
    let editor = after.iter().find(|b| b.role == Role::ProjectEditor).unwrap().id;
    assert_eq!(code(service.delete_role_binding(&operator, member).await), Some(ErrorCode::Aborted));
    service.delete_role_binding(&operator, editor).await.unwrap();
    service.delete_role_binding(&operator, member).await.unwrap();
    assert_eq!(code(service.describe_user(&operator, user.id).await), Some(ErrorCode::NotFound));
    close(service).await;
}

#[tokio::test]
async fn an_empty_project_goes_with_its_keys_and_roles() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let doomed = service.create_project(&operator, project("doomed")).await.unwrap();
    let mine = house.caller(&service, Some(doomed.id), &[Role::ProjectEditor]).await;
    let (_, owner) = caller(&house, &service, &[(Role::ProjectOwner, Some(doomed.id))]).await;
    service.create_index(&mine, spec("i")).await.unwrap();
    assert_eq!(code(service.delete_project(&owner, doomed.id).await), Some(ErrorCode::FailedPrecondition));
    service.delete_index(&mine, "i").await.unwrap();
    service.delete_project(&owner, doomed.id).await.unwrap();
    assert_eq!(service.list_api_keys(&operator, None).await.unwrap().len(), 1, "the bootstrap key");
    assert_eq!(code(service.describe_project(&operator, doomed.id).await), Some(ErrorCode::NotFound));
    assert_eq!(code(service.describe_project(&owner, doomed.id).await), Some(ErrorCode::NotFound));
    let left = service.list_role_bindings(&operator, RoleBindingFilter::default(), ALL).await.unwrap().items;
    assert_eq!(left.len(), 1, "the bootstrap key's: {left:?}");
    let home = service.default_project();
    assert_eq!(code(service.delete_project(&operator, home).await), Some(ErrorCode::FailedPrecondition));
    close(service).await;
    let service = house.open().await;
    assert_eq!(service.list_projects(&operator).await.unwrap().len(), 1);
    close(service).await;
}

#[tokio::test]
async fn projects_and_organizations_change_as_they_may() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let account = service.create_service_account(&operator, account("manager", &[(Role::OrgManager, None)])).await.unwrap();
    let made = service.create_project(&token(&house, &service, &account).await, project("made")).await.unwrap();
    let manager = token(&house, &service, &account).await;
    assert_eq!(service.list_projects(&manager).await.unwrap(), std::slice::from_ref(&made), "whoever makes a project owns it");
    let on = ProjectChange { force_encryption_with_cmek: Some(true), max_pods: Some(3), name: Some("named".into()) };
    let changed = service.update_project(&manager, made.id, on).await.unwrap();
    assert_eq!((&*changed.name, changed.max_pods, changed.force_encryption_with_cmek), ("named", 3, true));
    let off = ProjectChange { force_encryption_with_cmek: Some(false), ..Default::default() };
    assert_eq!(code(service.update_project(&manager, made.id, off).await), Some(ErrorCode::InvalidArgument));
    let taken = ProjectChange { name: Some("default".into()), ..Default::default() };
    assert_eq!(code(service.update_project(&manager, made.id, taken).await), Some(ErrorCode::AlreadyExists));

    let (_, member) = caller(&house, &service, &[(Role::OrgMember, None)]).await;
    let home = service.list_organizations(&member).await.unwrap().remove(0);
    assert_eq!(code(service.create_project(&member, project("x")).await), Some(ErrorCode::Forbidden));
    assert_eq!(code(service.rename_organization(&member, home.id, "x".into()).await), Some(ErrorCode::Forbidden));
    assert_eq!(code(service.describe_project(&member, made.id).await), Some(ErrorCode::NotFound), "not theirs is not there");
    let elsewhere = OrganizationId::from_bytes([3; 16]);
    assert_eq!(code(service.describe_organization(&member, elsewhere).await), Some(ErrorCode::NotFound));
    let (_, owner) = caller(&house, &service, &[(Role::OrgOwner, None)]).await;
    assert_eq!(service.rename_organization(&owner, home.id, " Trees ".into()).await.unwrap().name, "Trees");
    assert_eq!(code(service.delete_organization(&owner, home.id).await), Some(ErrorCode::FailedPrecondition));
    close(service).await;
    let service = house.open().await;
    assert_eq!(service.describe_organization(&operator, home.id).await.unwrap().name, "Trees");
    assert_eq!(service.describe_project(&operator, made.id).await.unwrap(), changed);
    close(service).await;
}

#[tokio::test]
async fn a_service_account_works_in_the_project_it_chooses() {
    let house = House::new();
    let service = house.open().await;
    let home = service.default_project();
    let other = service.create_project(&house.operator(), project("other")).await.unwrap().id;
    let (_, one) = caller(&house, &service, &[(Role::ProjectEditor, Some(other))]).await;
    service.create_index(&one, spec("only")).await.unwrap();
    let (_, both) = caller(&house, &service, &[(Role::ProjectEditor, Some(home)), (Role::ProjectViewer, Some(other))]).await;
    assert_eq!(code(service.list_indexes(&both).await), Some(ErrorCode::InvalidArgument), "which one?");
    let in_other = OpContext { project: Some(other), ..both.clone() };
    assert_eq!(service.list_indexes(&in_other).await.unwrap().len(), 1);
    assert_eq!(code(service.create_index(&in_other, spec("x")).await), Some(ErrorCode::Forbidden));
    let foreign = OpContext { project: Some(home), ..one.clone() };
    assert_eq!(code(service.list_indexes(&foreign).await), Some(ErrorCode::NotFound));
    let (_, none) = caller(&house, &service, &[(Role::OrgMember, None)]).await;
    assert_eq!(code(service.list_indexes(&none).await), Some(ErrorCode::Forbidden));
    // The index's own host: without a right on its project, the credential is none.
    let host = service.find_index(&one, "only").await.unwrap();
    assert_eq!(code(service.stats(&none, &host, None).await), Some(ErrorCode::Unauthenticated));
    assert_eq!(code(service.stats(&both, &host, None).await), None);
    close(service).await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_is_recorded() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let created = service.create_service_account(&operator, account("ci", &[(Role::OrgOwner, None)])).await.unwrap();
    let me = token(&house, &service, &created).await;
    let sent = service.create_invite(&me, invite("a@example.com", &[(Role::OrgMember, None)])).await.unwrap();
    let user = service.accept_invite(sent.token.as_ref().unwrap().reveal(), Acceptance::default(), "").await.unwrap();
    let key = service.create_api_key(&OpContext { project: Some(service.default_project()), ..me.clone() }, new_key(&[])).await.unwrap();
    close(service).await;
    let service = house.open().await;
    assert_eq!(service.describe_user(&operator, user.id).await.unwrap(), user);
    assert_eq!(service.describe_api_key(&operator, key.key.id).await.unwrap(), key.key);
    let me = token(&house, &service, &created).await;
    assert_eq!(service.list_service_accounts(&me, ALL).await.unwrap().items, std::slice::from_ref(&created.account));
    let events = audit_events(&service, &operator).await;
    let words: Vec<String> = events.iter().map(|e| format!("{} {} by {}", e.action, e.resource_type, e.actor.principal_type)).collect();
    for wanted in [
        "create service-account by operator",
        "create access-token by service_account",
        "create user by service_account",
        "create user by system",
        "create api-key by service_account",
    ] {
        assert!(words.iter().any(|w| w == wanted), "{wanted}: {words:?}");
    }
    let secrets = [created.secret.reveal(), sent.token.as_ref().unwrap().reveal(), key.secret.reveal()];
    assert!(events.iter().all(|e| !secrets.iter().any(|s| format!("{e:?}").contains(s))));
    close(service).await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    for n in 0..5 {
        house.clock.advance_ms(n % 2);
        service.create_service_account(&house.operator(), account(&format!("a{n}"), &[])).await.unwrap();
    }
    let (mut after, mut names) = (None, Vec::new());
    loop {
        let page = service.list_service_accounts(&operator, PageRequest { limit: 2, after }).await.unwrap();
        names.extend(page.items.into_iter().map(|a| a.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    names.sort();
    assert_eq!(names, ["a0", "a1", "a2", "a3", "a4"]);
    close(service).await;
}
