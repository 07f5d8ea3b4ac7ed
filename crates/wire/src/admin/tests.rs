//! Bodies as the official clients send them, the refusals, and each answer to the letter.

use pinyon_model::{
    ApiKey, ApiKeyId, Email, ErrorCode, Invite, InviteId, Organization, OrganizationId, Page, PaymentStatus, Plan, PrincipalRef,
    PrincipalType, Project, ProjectId, ResourceRef, ResourceType, Role, RoleBinding, RoleBindingId, RoleGrant, ServiceAccount,
    ServiceAccountId, User, UserId,
};

use super::*;

const AT: u64 = 1_775_834_580_000; // 2026-04-10T15:23:00Z
const ID: &str = "07070707-0707-0707-0707-070707070707";

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T>, code: ErrorCode, told: &str) {
    let error = result.unwrap_err();
    assert!(error.code == code && error.message.contains(told), "{:?} {} is not {code:?} {told}", error.code, error.message);
}

fn organization() -> Organization {
    Organization {
        id: OrganizationId::from_bytes([1; 16]),
        name: "Acme".into(),
        plan: Plan::Standard,
        payment_status: PaymentStatus::Active,
        created_at_ms: AT,
    }
}

fn project() -> Project {
    Project {
        id: ProjectId::from_bytes([7; 16]),
        organization_id: OrganizationId::from_bytes([1; 16]),
        name: "search \"prod\"".into(),
        max_pods: 3,
        force_encryption_with_cmek: true,
        access: pinyon_model::ProjectAccess::default(),
        created_at_ms: AT,
    }
}

fn api_key() -> ApiKey {
    ApiKey {
        expires_at_ms: None,
        restrictions: pinyon_model::Restrictions::default(),
        previous: None,
        id: ApiKeyId::from_bytes([2; 16]),
        name: "ci".into(),
        project_id: ProjectId::from_bytes([7; 16]),
        roles: vec![Role::ControlPlaneViewer, Role::DataPlaneEditor],
        hint: "pcsk_2abc".into(),
        created_at_ms: AT,
    }
}

fn service_account() -> ServiceAccount {
    ServiceAccount {
        id: ServiceAccountId::from_bytes([3; 16]),
        organization_id: OrganizationId::from_bytes([1; 16]),
        name: "ci-prod".into(),
        created_at_ms: AT,
        updated_at_ms: AT + 1_500,
    }
}

fn user(name: Option<&str>) -> User {
    User {
        id: UserId::from_bytes([4; 16]),
        organization_id: OrganizationId::from_bytes([1; 16]),
        email: Email::new("alice@example.com").unwrap(),
        name: name.map(str::to_owned),
        created_at_ms: AT,
    }
}

fn invite(processed_at_ms: Option<u64>) -> Invite {
    Invite {
        id: InviteId::from_bytes([5; 16]),
        organization_id: OrganizationId::from_bytes([1; 16]),
        email: Email::new("newhire@acme.com").unwrap(),
        created_at_ms: AT,
        expires_at_ms: AT + 7 * 86_400_000,
        processed_at_ms,
    }
}

fn binding(resource: ResourceRef, role: Role) -> RoleBinding {
    RoleBinding {
        id: RoleBindingId::from_bytes([6; 16]),
        organization_id: OrganizationId::from_bytes([1; 16]),
        principal: PrincipalRef::ServiceAccount(ServiceAccountId::from_bytes([3; 16])),
        resource,
        role,
        created_at_ms: AT,
    }
}

mod answers {
    use super::*;

    const ORGANIZATION: &str = r#"{"id":"01010101-0101-0101-0101-010101010101","name":"Acme","plan":"Standard","payment_status":"Active","created_at":"2026-04-10T15:23:00.000Z","support_tier":"Developer"}"#;
    const PROJECT: &str = r#"{"id":"07070707-0707-0707-0707-070707070707","name":"search \"prod\"","max_pods":3,"force_encryption_with_cmek":true,"organization_id":"01010101-0101-0101-0101-010101010101","created_at":"2026-04-10T15:23:00.000Z"}"#;
    const KEY: &str = r#"{"id":"02020202-0202-0202-0202-020202020202","name":"ci","project_id":"07070707-0707-0707-0707-070707070707","roles":["ControlPlaneViewer","DataPlaneEditor"]}"#;
    const ACCOUNT: &str = r#"{"id":"03030303-0303-0303-0303-030303030303","name":"ci-prod","client_id":"03030303030303030303030303030303","created_at":"2026-04-10T15:23:00.000Z","updated_at":"2026-04-10T15:23:01.500Z"}"#;
    const USER: &str = r#"{"id":"04040404-0404-0404-0404-040404040404","email":"alice@example.com","name":"Alice"}"#;
    const INVITE: &str = r#"{"id":"05050505-0505-0505-0505-050505050505","email":"newhire@acme.com","status":"pending","expires_at":"2026-04-17T15:23:00.000Z","processed_at":null,"created_at":"2026-04-10T15:23:00.000Z"}"#;
    const BINDING: &str = r#"{"id":"06060606-0606-0606-0606-060606060606","principal_type":"service_account","principal_id":"03030303-0303-0303-0303-030303030303","resource_type":"project","resource_id":"07070707-0707-0707-0707-070707070707","role":"DataPlaneEditor","created_at":"2026-04-10T15:23:00.000Z"}"#;

    #[test]
    fn single_ones() {
        assert_eq!(text(organization_model(&organization())), ORGANIZATION);
        assert_eq!(text(project_model(&project())), PROJECT);
        assert_eq!(text(api_key_model(&api_key())), KEY);
        assert_eq!(text(created_api_key(&api_key(), "pcsk_x_y")), format!(r#"{{"key":{KEY},"value":"pcsk_x_y"}}"#));
        assert_eq!(text(service_account_model(&service_account())), ACCOUNT);
        let created = format!(r#"{{"service_account":{ACCOUNT},"client_secret":"s"}}"#);
        assert_eq!(text(created_service_account(&service_account(), "s")), created);
        assert_eq!(text(user_model(&user(Some("Alice")))), USER);
        assert_eq!(text(user_model(&user(None))), USER.replace(r#","name":"Alice""#, ""));
        assert_eq!(text(invite_model(&invite(None), AT)), INVITE);
        assert_eq!(text(invite_model(&invite(None), AT + 7 * 86_400_000)), INVITE.replace("pending", "expired"));
        let processed = INVITE.replace("pending", "processed").replace("null", "\"2026-04-10T15:23:00.007Z\"");
        assert_eq!(text(invite_model(&invite(Some(AT + 7)), AT + 8)), processed);
        let in_project = binding(ResourceRef::Project(ProjectId::from_bytes([7; 16])), Role::DataPlaneEditor);
        assert_eq!(text(role_binding_model(&in_project)), BINDING);
        let in_organization = binding(ResourceRef::Organization(OrganizationId::from_bytes([1; 16])), Role::OrgMember);
        let printed = text(role_binding_model(&in_organization));
        assert!(
            printed.contains(r#""resource_type":"organization","resource_id":"01010101-0101-0101-0101-010101010101","role":"OrgMember""#)
        );
    }

    #[test]
    fn lists_and_pages() {
        assert_eq!(text(organization_list(&[organization()])), format!(r#"{{"data":[{ORGANIZATION}]}}"#));
        assert_eq!(text(project_list(&[project(), project()])), format!(r#"{{"data":[{PROJECT},{PROJECT}]}}"#));
        assert_eq!(text(api_key_list(&[])), r#"{"data":[]}"#);
        let last = |items| Page { items, next: None };
        let listing = list_service_accounts("").unwrap();
        let printed = text(service_account_page(&listing, &last(vec![service_account()])));
        assert_eq!(printed, format!(r#"{{"data":[{ACCOUNT}],"pagination":null}}"#));
        let (_, listing) = list_users("email=ALICE%40example.com").unwrap();
        let printed = text(user_page(&listing, &Page { items: vec![user(Some("Alice"))], next: None }));
        assert_eq!(printed, format!(r#"{{"data":[{USER}],"pagination":null}}"#));
        let listing = list_invites("limit=1").unwrap();
        let printed = text(invite_page(&listing, &Page { items: vec![invite(None)], next: Some((AT, [5; 16])) }, AT));
        let (data, token) = printed.split_once(r#","pagination":{"next":""#).unwrap();
        assert_eq!(data, format!(r#"{{"data":[{INVITE}]"#));
        let next = list_invites(&format!("limit=1&paginationToken={}", token.trim_end_matches("\"}}"))).unwrap();
        assert_eq!((next.request().limit, next.request().after), (1, Some((AT, [5; 16]))));
    }
}

mod requests {
    use super::*;

    #[test]
    fn projects_and_organizations() {
        let new = create_project(br#"{"name":"  chatbot-prod "}"#).unwrap();
        assert_eq!((new.name.as_str(), new.max_pods, new.force_encryption_with_cmek), ("chatbot-prod", None, false));
        let new = create_project(br#"{"name":"p","max_pods":5,"force_encryption_with_cmek":true,"region":"later"}"#).unwrap();
        assert_eq!((new.max_pods, new.force_encryption_with_cmek), (Some(5), true));
        let change = update_project(br#"{"max_pods":0}"#).unwrap();
        assert_eq!((change.name, change.max_pods, change.force_encryption_with_cmek), (None, Some(0), None));
        assert_eq!(update_organization(br#"{"name":"Acme"}"#).unwrap().as_deref(), Some("Acme"));
        assert_eq!(update_organization(b"{}").unwrap(), None);
    }

    #[test]
    fn api_keys() {
        let new = create_api_key(br#"{"name":"devkey"}"#).unwrap();
        assert_eq!((new.name.as_str(), new.roles), ("devkey", vec![Role::ProjectEditor]));
        let new = create_api_key(br#"{"name":"k","roles":["DataPlaneViewer","DataPlaneViewer","ControlPlaneEditor"]}"#).unwrap();
        assert_eq!(new.roles, [Role::DataPlaneViewer, Role::ControlPlaneEditor]);
        let change = update_api_key(br#"{"roles":[]}"#).unwrap();
        assert_eq!((change.name, change.roles), (None, Some(vec![])));
        assert_eq!(update_api_key(br#"{"name":"x","roles":null}"#).unwrap().roles, None);
    }

    #[test]
    fn service_accounts_and_invites() {
        let in_project = RoleGrant { project: Some(ProjectId::from_bytes([7; 16])), role: Role::DataPlaneEditor };
        let in_organization = RoleGrant { project: None, role: Role::OrgMember };
        let bindings = format!(
            r#"[{{"resource_type":"project","resource_id":"{ID}","role":"DataPlaneEditor"}},{{"resource_type":"organization","role":"OrgMember","resource_id":null}}]"#
        );
        let new = create_service_account(format!(r#"{{"name":"ci-prod","role_bindings":{bindings}}}"#).as_bytes()).unwrap();
        assert_eq!((new.name.as_str(), new.grants), ("ci-prod", vec![in_project, in_organization]));
        assert!(create_service_account(br#"{"name":"a"}"#).unwrap().grants.is_empty());
        assert_eq!(update_service_account(br#"{"name":"b"}"#).unwrap().as_deref(), Some("b"));
        let new = create_invite(format!(r#"{{"email":"NewHire@acme.com","role_bindings":{bindings}}}"#).as_bytes()).unwrap();
        assert_eq!((new.email.as_str(), new.grants), ("newhire@acme.com", vec![in_project, in_organization]));
    }

    #[test]
    fn role_bindings() {
        let body = format!(
            r#"{{"principal_type":"api_key","principal_id":"{ID}","resource_type":"project","resource_id":"{ID}","role":"ProjectViewer"}}"#
        );
        let new = create_role_binding(body.as_bytes()).unwrap();
        assert_eq!(new.principal, PrincipalRef::ApiKey(ApiKeyId::from_bytes([7; 16])));
        assert_eq!(new.grant, RoleGrant { project: Some(ProjectId::from_bytes([7; 16])), role: Role::ProjectViewer });
        let (filter, listing) = list_role_bindings("").unwrap();
        assert_eq!((filter, listing.request().limit, listing.request().after), (Default::default(), 100, None));
        let (filter, _) = list_role_bindings(&format!(
            "principal_type=invite&principal_id={ID}&resource_type=organization&resource_id={ID}&role=OrgOwner&limit=25"
        ))
        .unwrap();
        assert_eq!(filter.principal_type, Some(PrincipalType::Invite));
        assert_eq!(filter.principal, Some(PrincipalRef::Invite(InviteId::from_bytes([7; 16]))));
        assert_eq!(filter.resource_type, Some(ResourceType::Organization));
        assert_eq!(filter.resource, Some(ResourceRef::Organization(OrganizationId::from_bytes([7; 16]))));
        assert_eq!(filter.role, Some(Role::OrgOwner));
    }
}

mod refusals {
    use ErrorCode::{InvalidArgument, OutOfRange, UnprocessableEntity};

    use super::*;

    #[test]
    fn shapes() {
        refused(create_project(b"{"), InvalidArgument, "not valid JSON");
        refused(create_project(b""), UnprocessableEntity, "missing field `name`");
        refused(create_project(br#"["p"]"#), UnprocessableEntity, "expected a JSON object");
        refused(create_project(br#"{"name":7}"#), UnprocessableEntity, "invalid type");
        refused(create_project(br#"{"name":"p","max_pods":-1}"#), UnprocessableEntity, "invalid value");
        refused(update_project(br#"{"force_encryption_with_cmek":"yes"}"#), UnprocessableEntity, "invalid type");
        refused(create_api_key(br#"{"name":"k","roles":"ProjectEditor"}"#), UnprocessableEntity, "a list");
        refused(create_invite(br#"{"email":"a@b.c"}"#), UnprocessableEntity, "missing field `role_bindings`");
        refused(create_invite(br#"{"email":"a@b.c","role_bindings":[["organization"]]}"#), UnprocessableEntity, "a JSON object");
        refused(create_service_account(br#"{"name":"a","role_bindings":[{"role":"OrgOwner"}]}"#), UnprocessableEntity, "resource_type");
        refused(create_role_binding(br#"{"principal_type":"user"}"#), UnprocessableEntity, "missing field");
    }

    #[test]
    fn names_and_addresses() {
        refused(create_project(format!(r#"{{"name":"{}"}}"#, "é".repeat(513)).as_bytes()), InvalidArgument, "1 to 512");
        assert!(create_project(format!(r#"{{"name":"{}"}}"#, "é".repeat(512)).as_bytes()).is_ok());
        refused(update_organization(br#"{"name":" "}"#), InvalidArgument, "1 to 512");
        refused(create_api_key(format!(r#"{{"name":"{}"}}"#, "k".repeat(81)).as_bytes()), InvalidArgument, "1 to 80");
        refused(update_api_key(br#"{"name":""}"#), InvalidArgument, "1 to 80");
        refused(create_service_account(br#"{"name":"a\u0000b"}"#), InvalidArgument, "1 to 80");
        let member = r#"[{"resource_type":"organization","role":"OrgMember"}]"#;
        refused(create_invite(format!(r#"{{"email":"nobody","role_bindings":{member}}}"#).as_bytes()), InvalidArgument, "e-mail");
        refused(list_users("email=nobody").map(|_| ()), InvalidArgument, "e-mail");
    }

    #[test]
    fn roles() {
        refused(create_api_key(br#"{"name":"k","roles":["ProjectOwner"]}"#), InvalidArgument, "not a role of an API key");
        refused(create_api_key(br#"{"name":"k","roles":[]}"#), InvalidArgument, "roles is empty");
        let many = format!(r#"{{"name":"k","roles":[{}]}}"#, vec![r#""ProjectEditor""#; 33].join(","));
        refused(create_api_key(many.as_bytes()), InvalidArgument, "33 entries");
        let grants = |entries: &str| create_invite(format!(r#"{{"email":"a@b.c","role_bindings":[{entries}]}}"#).as_bytes());
        let member = r#"{"resource_type":"organization","role":"OrgMember"}"#;
        assert_eq!(grants(&[member; 100].join(",")).unwrap().grants.len(), 100);
        refused(grants(&[member; 101].join(",")), InvalidArgument, "101 entries");
        refused(grants(""), InvalidArgument, "a role in the organization");
        refused(
            grants(&format!(r#"{{"resource_type":"project","resource_id":"{ID}","role":"ProjectOwner"}}"#)),
            InvalidArgument,
            "a role in the organization",
        );
        let second = |entry: &str| grants(&format!("{member},{entry}"));
        let told = "role_bindings[1]: ";
        refused(second(r#"{"resource_type":"galaxy","role":"OrgOwner"}"#), InvalidArgument, told);
        refused(second(r#"{"resource_type":"galaxy","role":"OrgOwner"}"#), InvalidArgument, "organization, project are allowed");
        refused(second(r#"{"resource_type":"organization","role":"Emperor"}"#), InvalidArgument, "'Emperor' is not a role");
        refused(second(r#"{"resource_type":"organization","role":"ProjectOwner"}"#), InvalidArgument, "resource_type is organization");
        refused(second(r#"{"resource_type":"project","role":"OrgOwner"}"#), InvalidArgument, "resource_type is project");
        refused(second(r#"{"resource_type":"project","role":"ProjectOwner"}"#), InvalidArgument, "resource_id is needed");
        refused(second(r#"{"resource_type":"project","resource_id":"p","role":"ProjectOwner"}"#), InvalidArgument, "not a valid id");
        refused(
            second(&format!(r#"{{"resource_type":"organization","resource_id":"{ID}","role":"OrgOwner"}}"#)),
            InvalidArgument,
            "leave resource_id out",
        );
    }

    #[test]
    fn listings() {
        let list = |query: &str| list_role_bindings(query).map(|(_, listing)| listing);
        refused(list("limit=0"), OutOfRange, "between 1 and 100");
        refused(list("limit=101"), OutOfRange, "between 1 and 100");
        refused(list("limit=ten"), InvalidArgument, "whole number");
        refused(list(&format!("principal_id={ID}")), InvalidArgument, "needs principal_type");
        refused(list(&format!("resource_id={ID}")), InvalidArgument, "needs resource_type");
        refused(list("principal_type=robot"), InvalidArgument, "user, service_account, api_key, invite are allowed");
        refused(list("resource_type=index"), InvalidArgument, "organization, project are allowed");
        refused(list("role=Emperor"), InvalidArgument, "not a role");
        refused(list("principal_type=user&principal_id=me"), InvalidArgument, "not a valid id");
        refused(list("paginationToken=00ff"), InvalidArgument, "pagination token");
        let page = Page { items: Vec::<RoleBinding>::new(), next: Some((AT, [5; 16])) };
        let printed = text(role_binding_page(&list("role=OrgOwner").unwrap(), &page));
        let token = printed.split('"').rev().nth(1).unwrap();
        assert!(list(&format!("role=OrgOwner&limit=7&paginationToken={token}")).is_ok());
        refused(list(&format!("role=OrgMember&paginationToken={token}")), InvalidArgument, "pagination token");
        refused(list_invites(&format!("paginationToken={token}")), InvalidArgument, "pagination token");
    }
}
