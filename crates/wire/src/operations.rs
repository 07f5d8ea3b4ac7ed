//! Every operation of Pinecone's public API, and Pinyon's own under `/pinyon/v1/`, in one table, which drives routing, authorization and the documentation.

use pinyon_model::{Error, Permission, Plane, Result};

use crate::{ApiVersion, Envelope, percent};

/// One row of the table: an operation, where it is found and what it takes.
#[derive(Debug)]
pub struct Route {
    /// Which operation.
    pub operation: Operation,
    /// Its HTTP methods; the first is the usual one.
    pub methods: &'static [&'static str],
    /// Its path; `{name}` stands for one percent-encoded segment.
    pub path: &'static str,
    /// Its method of the gRPC `VectorService`.
    pub grpc: Option<&'static str>,
    /// The date that introduced it. It is served to older dates too.
    pub since: ApiVersion,
    /// Which side it is on: control and admin routes answer on the control host, data routes on an index's host.
    pub plane: Plane,
    /// What a principal must be allowed to do, at least; none: it is asked by those who have no credential yet.
    pub permission: Option<Permission>,
    /// The HTTP status of success.
    pub success: u16,
    /// Whether it is built; what is not answers 501.
    pub implemented: bool,
    envelope: Envelope,
}

impl Route {
    /// The envelope of this operation's errors for a caller of this date.
    pub fn envelope(&self, version: ApiVersion) -> Envelope {
        let shapes_schema = matches!(self.operation, Operation::CreateIndex | Operation::ConfigureIndex);
        if shapes_schema && version >= ApiVersion::V2026_07 { Envelope::StatusPlainShape } else { self.envelope }
    }

    /// Whether the host of this plane answers it: the admin plane is on the control plane's host.
    fn answers_on(&self, plane: Plane) -> bool {
        let host = |plane| if plane == Plane::Admin { Plane::Control } else { plane };
        host(self.plane) == host(plane)
    }

    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        match self.plane {
            Plane::Admin => self.permission.is_some() && self.methods != ["GET"],
            Plane::Control | Plane::Data => matches!(self.permission, Some(Permission::ControlWrite | Permission::DataWrite)),
        }
    }

    /// The 501 of an operation that is not built.
    pub fn unimplemented(&self) -> Error {
        Error::unimplemented(format!("{} {} is not supported by this server yet", self.methods[0], self.path))
    }

    /// The parameters of `path`, still encoded, when it has this route's form.
    fn parameters<'p>(&self, path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
        let mut parameters = Vec::new();
        let mut given = path.split('/');
        for expected in self.path.split('/') {
            let segment = given.next()?;
            match expected.strip_prefix('{').and_then(|e| e.strip_suffix('}')) {
                Some(_) if segment.is_empty() => return None,
                Some(name) => parameters.push((name, segment)),
                None if expected != segment => return None,
                None => {}
            }
        }
        given.next().is_none().then_some(parameters)
    }
}

/// The parameters of a path, percent-decoded. An encoded slash is part of its segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathParams(Vec<(&'static str, String)>);

impl PathParams {
    /// The parameter of this name; empty when the route has none such.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }
}

/// What a method and a path lead to.
#[derive(Debug)]
pub enum Matched {
    /// An operation.
    Route(&'static Route, PathParams),
    /// A known path that does not answer to the method: a 405 with these in `Allow`, in this envelope.
    WrongMethod(Vec<&'static str>, Envelope),
    /// Nothing: a 404 in the plane's envelope, see [`unknown_route`].
    Unknown,
}

/// Finds the operation that `method` and `path` (as it came, without query string) mean on this plane. A path segment that is
/// not percent-encoded UTF-8 is a 400.
pub fn match_path(plane: Plane, method: &str, path: &str) -> Result<Matched> {
    let mut allowed = Vec::new();
    let mut envelope = plane_envelope(plane);
    for route in ROUTES.iter().filter(|r| r.answers_on(plane)) {
        let Some(parameters) = route.parameters(path) else { continue };
        if route.methods.contains(&method) {
            let decoded = parameters.into_iter().map(|(name, segment)| Ok((name, percent::decode_segment(segment)?)));
            return Ok(Matched::Route(route, PathParams(decoded.collect::<Result<_>>()?)));
        }
        allowed.extend(route.methods);
        envelope = route.envelope;
    }
    Ok(if allowed.is_empty() { Matched::Unknown } else { Matched::WrongMethod(allowed, envelope) })
}

/// The envelope of what concerns no operation on this plane: an unknown path, a refused key.
pub const fn plane_envelope(plane: Plane) -> Envelope {
    match plane {
        Plane::Control | Plane::Admin => Envelope::Status,
        Plane::Data => Envelope::Gateway,
    }
}

/// The 404 of a path that leads nowhere.
pub fn unknown_route(path: &str) -> Error {
    let shown: String = path.chars().take(200).collect();
    Error::not_found(format!("There is nothing at '{}'", shown.escape_debug()))
}

macro_rules! operations {
    ($($operation:ident: $($method:ident)|+ $path:literal, $since:ident, $plane:ident $envelope:ident, $permission:ident, $success:literal, $built:ident $(, grpc $grpc:literal)?;)*) => {
        /// An operation of Pinecone's API, or one of Pinyon's own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $(#[doc = concat!("`", stringify!($($method)|+), " ", $path, "`")] $operation,)*
        }

        /// The table.
        pub static ROUTES: &[Route] = &[$(Route {
            operation: Operation::$operation,
            methods: &[$(stringify!($method)),+],
            path: $path,
            grpc: operations!(@grpc $($grpc)?),
            since: ApiVersion::$since,
            plane: Plane::$plane,
            permission: operations!(@may $permission),
            success: $success,
            implemented: operations!(@$built),
            envelope: Envelope::$envelope,
        }),*];
    };
    (@may Anyone) => { None };
    (@may $permission:ident) => { Some(Permission::$permission) };
    (@grpc) => { None };
    (@grpc $grpc:literal) => { Some($grpc) };
    (@built) => { true };
    (@later) => { false };
}

operations! {
    ListIndexes: GET "/indexes", V2024_04, Control Status, ControlRead, 200, built;
    CreateIndex: POST "/indexes", V2024_04, Control Status, ControlWrite, 201, built;
    DescribeIndex: GET "/indexes/{index_name}", V2024_04, Control Status, ControlRead, 200, built;
    ConfigureIndex: PATCH "/indexes/{index_name}", V2024_04, Control Status, ControlWrite, 202, built;
    DeleteIndex: DELETE "/indexes/{index_name}", V2024_04, Control Status, ControlWrite, 202, built;
    CreateIndexForModel: POST "/indexes/create-for-model", V2025_01, Control Status, ControlWrite, 201, later;
    ListIndexBackups: GET "/indexes/{index_name}/backups", V2025_04, Control Status, ControlRead, 200, built;
    CreateBackup: POST "/indexes/{index_name}/backups", V2025_04, Control Status, ControlWrite, 201, built;
    ListBackups: GET "/backups", V2025_04, Control Status, ControlRead, 200, built;
    DescribeBackup: GET "/backups/{backup_id}", V2025_04, Control Status, ControlRead, 200, built;
    DeleteBackup: DELETE "/backups/{backup_id}", V2025_04, Control Status, ControlWrite, 202, built;
    CreateIndexFromBackup: POST "/backups/{backup_id}/create-index", V2025_04, Control Status, ControlWrite, 202, built;
    ListRestoreJobs: GET "/restore-jobs", V2025_04, Control Status, ControlRead, 200, built;
    DescribeRestoreJob: GET "/restore-jobs/{job_id}", V2025_04, Control Status, ControlRead, 200, built;
    ListBackupSchedules: GET "/indexes/{index_name}/backup-schedules", V2026_07, Control Status, ControlRead, 200, built;
    CreateBackupSchedule: POST "/indexes/{index_name}/backup-schedules", V2026_07, Control Status, ControlWrite, 201, built;
    DescribeBackupSchedule: GET "/backup-schedules/{schedule_id}", V2026_07, Control Status, ControlRead, 200, built;
    UpdateBackupSchedule: PATCH "/backup-schedules/{schedule_id}", V2026_07, Control Status, ControlWrite, 200, built;
    DeleteBackupSchedule: DELETE "/backup-schedules/{schedule_id}", V2026_07, Control Status, ControlWrite, 202, built;
    ListBackupScheduleHistory: GET "/backup-schedules/{schedule_id}/history", V2026_07, Control Status, ControlRead, 200, built;
    ListCollections: GET "/collections", V2024_04, Control Status, ControlRead, 200, built;
    CreateCollection: POST "/collections", V2024_04, Control Status, ControlWrite, 201, built;
    DescribeCollection: GET "/collections/{collection_name}", V2024_04, Control Status, ControlRead, 200, built;
    DeleteCollection: DELETE "/collections/{collection_name}", V2024_04, Control Status, ControlWrite, 202, built;

    Embed: POST "/embed", V2024_07, Control Status, Inference, 200, later;
    Rerank: POST "/rerank", V2024_10, Control Status, Inference, 200, later;
    ListModels: GET "/models", V2025_04, Control Status, Inference, 200, later;
    DescribeModel: GET "/models/{model_name}", V2025_04, Control Status, Inference, 200, later;

    ListAssistants: GET "/assistant/assistants", V2025_01, Control Status, ControlRead, 200, built;
    CreateAssistant: POST "/assistant/assistants", V2025_01, Control Status, ControlWrite, 200, later;
    DescribeAssistant: GET "/assistant/assistants/{assistant_name}", V2025_01, Control Status, ControlRead, 200, later;
    UpdateAssistant: PATCH "/assistant/assistants/{assistant_name}", V2025_01, Control Status, ControlWrite, 200, later;
    DeleteAssistant: DELETE "/assistant/assistants/{assistant_name}", V2025_01, Control Status, ControlWrite, 200, later;
    ListFiles: GET "/assistant/files/{assistant_name}", V2025_01, Control Status, DataRead, 200, later;
    UploadFile: POST "/assistant/files/{assistant_name}", V2025_01, Control Status, DataWrite, 202, later;
    DescribeFile: GET "/assistant/files/{assistant_name}/{file_id}", V2025_01, Control Status, DataRead, 200, later;
    UpsertFile: PUT "/assistant/files/{assistant_name}/{file_id}", V2026_04, Control Status, DataWrite, 202, later;
    DeleteFile: DELETE "/assistant/files/{assistant_name}/{file_id}", V2025_01, Control Status, DataWrite, 202, later;
    ListAssistantOperations: GET "/assistant/operations/{assistant_name}", V2026_04, Control Status, DataRead, 200, later;
    DescribeAssistantOperation: GET "/assistant/operations/{assistant_name}/{operation_id}", V2026_04, Control Status, DataRead, 200, later;
    ChatAssistant: POST "/assistant/chat/{assistant_name}", V2025_01, Control Status, DataRead, 200, later;
    ChatCompletionAssistant: POST "/assistant/chat/{assistant_name}/chat/completions", V2025_01, Control Status, DataRead, 200, later;
    ContextAssistant: POST "/assistant/chat/{assistant_name}/context", V2025_01, Control Status, DataRead, 200, later;
    EvaluateAlignment: POST "/assistant/evaluation/metrics/alignment", V2025_01, Control Status, DataRead, 200, later;

    ListOrganizations: GET "/admin/organizations", V2025_04, Admin Status, OrganizationRead, 200, built;
    DescribeOrganization: GET "/admin/organizations/{organization_id}", V2025_04, Admin Status, OrganizationRead, 200, built;
    UpdateOrganization: PATCH "/admin/organizations/{organization_id}", V2025_04, Admin Status, OrganizationWrite, 200, built;
    DeleteOrganization: DELETE "/admin/organizations/{organization_id}", V2025_04, Admin Status, OrganizationWrite, 202, built;
    ListProjects: GET "/admin/projects", V2025_04, Admin Status, ProjectRead, 200, built;
    CreateProject: POST "/admin/projects", V2025_04, Admin Status, CreateProject, 200, built;
    DescribeProject: GET "/admin/projects/{project_id}", V2025_04, Admin Status, ProjectRead, 200, built;
    UpdateProject: PATCH "/admin/projects/{project_id}", V2025_04, Admin Status, ProjectWrite, 200, built;
    DeleteProject: DELETE "/admin/projects/{project_id}", V2025_04, Admin Status, ProjectWrite, 202, built;
    ListApiKeys: GET "/admin/projects/{project_id}/api-keys", V2025_04, Admin Status, ProjectRead, 200, built;
    CreateApiKey: POST "/admin/projects/{project_id}/api-keys", V2025_04, Admin Status, ProjectWrite, 201, built;
    DescribeApiKey: GET "/admin/api-keys/{api_key_id}", V2025_04, Admin Status, ProjectRead, 200, built;
    UpdateApiKey: PATCH "/admin/api-keys/{api_key_id}", V2025_04, Admin Status, ProjectWrite, 200, built;
    DeleteApiKey: DELETE "/admin/api-keys/{api_key_id}", V2025_04, Admin Status, ProjectWrite, 202, built;
    ListServiceAccounts: GET "/admin/service-accounts", V2026_04, Admin Status, OrganizationWrite, 200, built;
    CreateServiceAccount: POST "/admin/service-accounts", V2026_04, Admin Status, OrganizationWrite, 201, built;
    DescribeServiceAccount: GET "/admin/service-accounts/{service_account_id}", V2026_04, Admin Status, OrganizationWrite, 200, built;
    UpdateServiceAccount: PATCH "/admin/service-accounts/{service_account_id}", V2026_04, Admin Status, OrganizationWrite, 200, built;
    DeleteServiceAccount: DELETE "/admin/service-accounts/{service_account_id}", V2026_04, Admin Status, OrganizationWrite, 202, built;
    RotateServiceAccountSecret: POST "/admin/service-accounts/{service_account_id}/rotate-secret", V2026_04, Admin Status, OrganizationWrite, 200, built;
    ListUsers: GET "/admin/users", V2026_04, Admin Status, OrganizationWrite, 200, built;
    DescribeUser: GET "/admin/users/{user_id}", V2026_04, Admin Status, OrganizationWrite, 200, built;
    DeleteUser: DELETE "/admin/users/{user_id}", V2026_04, Admin Status, OrganizationWrite, 202, built;
    ListInvites: GET "/admin/invites", V2026_04, Admin Status, OrganizationWrite, 200, built;
    CreateInvite: POST "/admin/invites", V2026_04, Admin Status, OrganizationWrite, 200, built;
    DescribeInvite: GET "/admin/invites/{invite_id}", V2026_04, Admin Status, OrganizationWrite, 200, built;
    DeleteInvite: DELETE "/admin/invites/{invite_id}", V2026_04, Admin Status, OrganizationWrite, 202, built;
    ResendInvite: POST "/admin/invites/{invite_id}/resend", V2026_04, Admin Status, OrganizationWrite, 200, built;
    ListRoleBindings: GET "/admin/role-bindings", V2026_04, Admin Status, ProjectRead, 200, built;
    CreateRoleBinding: POST "/admin/role-bindings", V2026_04, Admin Status, ProjectWrite, 200, built;
    DescribeRoleBinding: GET "/admin/role-bindings/{role_binding_id}", V2026_04, Admin Status, ProjectRead, 200, built;
    DeleteRoleBinding: DELETE "/admin/role-bindings/{role_binding_id}", V2026_04, Admin Status, ProjectWrite, 202, built;
    IssueToken: POST "/oauth/token", V2025_04, Admin OAuth, Anyone, 200, built;
    AcceptInvite: POST "/pinyon/v1/invites/accept", V2024_04, Admin Status, Anyone, 200, built;
    Login: POST "/pinyon/v1/login", V2024_04, Admin Status, Anyone, 200, built;
    Logout: POST "/pinyon/v1/logout", V2024_04, Admin Status, OrganizationRead, 200, built;
    ChangePassword: POST "/pinyon/v1/password", V2024_04, Admin Status, OrganizationRead, 200, built;

    ListBoundedApiKeys: GET "/pinyon/v1/projects/{project_id}/api-keys", V2024_04, Admin Status, ProjectRead, 200, built;
    CreateBoundedApiKey: POST "/pinyon/v1/projects/{project_id}/api-keys", V2024_04, Admin Status, ProjectWrite, 201, built;
    DescribeBoundedApiKey: GET "/pinyon/v1/api-keys/{api_key_id}", V2024_04, Admin Status, ProjectRead, 200, built;
    UpdateBoundedApiKey: PATCH "/pinyon/v1/api-keys/{api_key_id}", V2024_04, Admin Status, ProjectWrite, 200, built;
    RotateApiKey: POST "/pinyon/v1/api-keys/{api_key_id}/rotate", V2024_04, Admin Status, ProjectWrite, 200, built;
    DescribePermissions: GET "/pinyon/v1/principals/{principal_type}/{principal_id}/permissions", V2024_04, Admin Status, ProjectRead, 200, built;
    ListPrivateEndpoints: GET "/pinyon/v1/projects/{project_id}/private-endpoints", V2024_04, Admin Status, ProjectRead, 200, built;
    CreatePrivateEndpoint: POST "/pinyon/v1/projects/{project_id}/private-endpoints", V2024_04, Admin Status, ProjectWrite, 201, built;
    DeletePrivateEndpoint: DELETE "/pinyon/v1/projects/{project_id}/private-endpoints/{private_endpoint_id}", V2024_04, Admin Status, ProjectWrite, 202, built;
    DescribeProjectAccess: GET "/pinyon/v1/projects/{project_id}/access", V2024_04, Admin Status, ProjectRead, 200, built;
    PutProjectAccess: PUT "/pinyon/v1/projects/{project_id}/access", V2024_04, Admin Status, ProjectWrite, 200, built;
    DescribeAuditSink: GET "/pinyon/v1/organizations/{organization_id}/audit-log", V2024_04, Admin Status, OrganizationWrite, 200, built;
    PutAuditSink: PUT "/pinyon/v1/organizations/{organization_id}/audit-log", V2024_04, Admin Status, OrganizationWrite, 200, built;
    DeleteAuditSink: DELETE "/pinyon/v1/organizations/{organization_id}/audit-log", V2024_04, Admin Status, OrganizationWrite, 200, built;
    ListCmeks: GET "/pinyon/v1/cmeks", V2024_04, Admin Status, ProjectRead, 200, built;
    CreateCmek: POST "/pinyon/v1/cmeks", V2024_04, Admin Status, OrganizationWrite, 201, built;
    DescribeCmek: GET "/pinyon/v1/cmeks/{cmek_id}", V2024_04, Admin Status, ProjectRead, 200, built;
    ReplaceCmek: POST "/pinyon/v1/cmeks/{cmek_id}/replace", V2024_04, Admin Status, OrganizationWrite, 202, built;
    DeleteCmek: DELETE "/pinyon/v1/cmeks/{cmek_id}", V2024_04, Admin Status, OrganizationWrite, 202, built;

    Explain: POST "/pinyon/v1/indexes/{index_name}/explain", V2024_04, Control Status, DataRead, 200, built;
    DescribeRecall: GET "/pinyon/v1/indexes/{index_name}/recall", V2024_04, Control Status, DataRead, 200, built;

    Upsert: POST "/vectors/upsert", V2024_04, Data Gateway, DataWrite, 200, built, grpc "Upsert";
    Query: POST "/query", V2024_04, Data Gateway, DataRead, 200, built, grpc "Query";
    Fetch: GET "/vectors/fetch", V2024_04, Data Gateway, DataRead, 200, built, grpc "Fetch";
    FetchByMetadata: POST "/vectors/fetch_by_metadata", V2025_10, Data Gateway, DataRead, 200, built, grpc "FetchByMetadata";
    List: GET "/vectors/list", V2024_04, Data Gateway, DataRead, 200, built, grpc "List";
    Update: POST "/vectors/update", V2024_04, Data Gateway, DataWrite, 200, built, grpc "Update";
    Delete: POST|DELETE "/vectors/delete", V2024_04, Data Gateway, DataWrite, 200, built, grpc "Delete";
    DescribeIndexStats: POST|GET "/describe_index_stats", V2024_04, Data Gateway, DataRead, 200, built, grpc "DescribeIndexStats";
    ListNamespaces: GET "/namespaces", V2025_04, Data Gateway, DataRead, 200, built, grpc "ListNamespaces";
    CreateNamespace: POST "/namespaces", V2025_10, Data Gateway, DataWrite, 200, built, grpc "CreateNamespace";
    DescribeNamespace: GET "/namespaces/{namespace}", V2025_04, Data Gateway, DataRead, 200, built, grpc "DescribeNamespace";
    DeleteNamespace: DELETE "/namespaces/{namespace}", V2025_04, Data Gateway, DataWrite, 200, built, grpc "DeleteNamespace";

    UpsertRecords: POST "/records/namespaces/{namespace}/upsert", V2025_01, Data StatusOnIndex, DataWrite, 201, later;
    SearchRecords: POST "/records/namespaces/{namespace}/search", V2025_01, Data StatusOnIndex, DataRead, 200, later;
    StartImport: POST "/bulk/imports", V2024_10, Data Gateway, DataWrite, 200, later;
    ListImports: GET "/bulk/imports", V2024_10, Data Gateway, DataRead, 200, later;
    DescribeImport: GET "/bulk/imports/{import_id}", V2024_10, Data Gateway, DataRead, 200, later;
    CancelImport: DELETE "/bulk/imports/{import_id}", V2024_10, Data Gateway, DataWrite, 200, later;
    UpsertDocuments: POST "/namespaces/{namespace}/documents/upsert", V2026_07, Data StatusOnIndex, DataWrite, 202, later;
    SearchDocuments: POST "/namespaces/{namespace}/documents/search", V2026_07, Data StatusOnIndex, DataRead, 200, later;
    FetchDocuments: POST "/namespaces/{namespace}/documents/fetch", V2026_07, Data StatusOnIndex, DataRead, 200, later;
    UpdateDocuments: POST "/namespaces/{namespace}/documents/update", V2026_07, Data StatusOnIndex, DataWrite, 200, later;
    DeleteDocuments: POST "/namespaces/{namespace}/documents/delete", V2026_07, Data StatusOnIndex, DataWrite, 202, later;
    ListDocuments: POST "/namespaces/{namespace}/documents/list", V2026_07, Data StatusOnIndex, DataRead, 200, later;
}

impl Operation {
    /// Its row.
    pub fn route(self) -> &'static Route {
        // The table is generated with the enum, one row each in the same order.
        &ROUTES[self as usize]
    }

    /// The operation behind a method of the gRPC service.
    pub fn from_grpc(method: &str) -> Option<Operation> {
        ROUTES.iter().find(|r| r.grpc == Some(method)).map(|r| r.operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(plane: Plane, method: &str, path: &str) -> (Operation, PathParams) {
        match match_path(plane, method, path).unwrap() {
            Matched::Route(r, p) => (r.operation, p),
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    #[test]
    fn each_row_is_its_operations_and_finds_itself() {
        for r in ROUTES {
            assert_eq!(r.operation.route().operation, r.operation);
            let path = r.path.replace(['{', '}'], "");
            for method in r.methods {
                assert_eq!(route(r.plane, method, &path).0, r.operation, "{method} {path}");
            }
            if let Some(method) = r.grpc {
                assert_eq!(Operation::from_grpc(method), Some(r.operation));
            }
        }
        assert_eq!(ROUTES.iter().filter(|r| r.grpc.is_some()).count(), 12);
        assert_eq!(Operation::from_grpc("Nothing"), None);
    }

    #[test]
    fn an_encoded_slash_stays_in_its_segment() {
        let (operation, p) = route(Plane::Data, "GET", "/namespaces/it%20docs%2Fxx");
        assert_eq!((operation, p.get("namespace")), (Operation::DescribeNamespace, "it docs/xx"));
        let (operation, p) = route(Plane::Data, "DELETE", "/namespaces/%2E%2E");
        assert_eq!((operation, p.get("namespace")), (Operation::DeleteNamespace, ".."));
        let (operation, p) = route(Plane::Data, "POST", "/namespaces/__default__/documents/upsert");
        assert_eq!((operation, p.get("namespace"), p.get("other")), (Operation::UpsertDocuments, "__default__", ""));
        assert!(match_path(Plane::Data, "GET", "/namespaces/%ff").is_err());
    }

    #[test]
    fn a_literal_may_also_be_a_name() {
        assert_eq!(route(Plane::Control, "POST", "/indexes/create-for-model").0, Operation::CreateIndexForModel);
        assert_eq!(route(Plane::Control, "GET", "/indexes/create-for-model").0, Operation::DescribeIndex);
    }

    #[test]
    fn the_admin_plane_answers_on_the_control_host_alone() {
        let path = "/admin/projects/p/api-keys";
        for plane in [Plane::Control, Plane::Admin] {
            let (operation, p) = route(plane, "POST", path);
            assert_eq!((operation, p.get("project_id")), (Operation::CreateApiKey, "p"));
        }
        assert!(matches!(match_path(Plane::Data, "POST", path).unwrap(), Matched::Unknown));
        let open: Vec<_> = ROUTES.iter().filter(|r| r.permission.is_none()).map(|r| r.operation).collect();
        assert_eq!(
            open,
            [Operation::IssueToken, Operation::AcceptInvite, Operation::Login],
            "nothing else is answered without a credential"
        );
        assert!(!Operation::IssueToken.route().is_write() && Operation::ResendInvite.route().is_write());
        assert!(!Operation::ListUsers.route().is_write() && Operation::Upsert.route().is_write() && !Operation::Query.route().is_write());
    }

    #[test]
    fn unknown_paths_and_methods() {
        for (plane, path) in [
            (Plane::Control, "/"),
            (Plane::Control, "/indexes/"),
            (Plane::Control, "/indexes/a/b"),
            (Plane::Control, "/query"),
            (Plane::Data, "/indexes"),
            (Plane::Data, "/namespaces/"),
            (Plane::Data, "query"),
            (Plane::Data, ""),
        ] {
            assert!(matches!(match_path(plane, "GET", path).unwrap(), Matched::Unknown), "{path}");
        }
        match match_path(Plane::Control, "PUT", "/indexes/a").unwrap() {
            Matched::WrongMethod(allowed, envelope) => {
                assert_eq!(allowed, ["GET", "PATCH", "DELETE"]);
                assert_eq!(envelope, Envelope::Status);
            }
            other => panic!("{other:?}"),
        }
    }

    /// The table for people, with what a program sees of each operation.
    fn markdown() -> String {
        let mut text = String::from(
            "# Operations\n\nEvery operation of the API, and Pinyon's own under `/pinyon/v1/`, made from the table in `src/operations.rs`; `BLESS=1 cargo test -p pinyon-wire operations` writes it.\n\n\
             | operation | path | gRPC | since | host | permission | success | built |\n|---|---|---|---|---|---|---|---|\n",
        );
        for r in ROUTES {
            let host = if r.plane == Plane::Data { "index" } else { "control" };
            let permission = r.permission.map_or("anyone".to_owned(), |p| format!("{p:?}"));
            text += &format!(
                "| {:?} | {} `{}` | {} | {} | {host} | {permission} | {} | {} |\n",
                r.operation,
                r.methods.join(", "),
                r.path,
                r.grpc.unwrap_or("–"),
                r.since,
                r.success,
                if r.implemented { "yes" } else { "501" },
            );
        }
        text
    }

    #[test]
    fn the_page_of_operations_is_fresh() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/OPERATIONS.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(page, markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(page).unwrap_or_default(), markdown(), "write it again with BLESS=1");
    }

    #[test]
    fn envelopes() {
        let create = Operation::CreateIndex.route();
        assert_eq!(create.envelope(ApiVersion::V2026_04), Envelope::Status);
        assert_eq!(create.envelope(ApiVersion::V2026_07), Envelope::StatusPlainShape);
        assert_eq!(Operation::ListIndexes.route().envelope(ApiVersion::V2026_07), Envelope::Status);
        assert_eq!(Operation::SearchDocuments.route().envelope(ApiVersion::V2026_07), Envelope::StatusOnIndex);
        assert_eq!(Operation::CreateNamespace.route().envelope(ApiVersion::V2026_07), Envelope::Gateway);
    }
}
