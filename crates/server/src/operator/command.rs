//! The commands and what they answer: as JSON between a command line and a running server.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::BoundsArgs;

use super::{
    Secret,
    deleted::{DeletedRow, ReportRow},
    private_access::{AccessChange, AccessRow, PrivateEndpointRow},
    rows::{BackupRow, CheckRows, InviteRow, KeyRow, OrganizationRow, PermissionRows, ProjectRow, RoleRow, ServiceAccountRow, UserRow},
};

/// What can be asked. Projects and organizations are named by their name or id, users by their address or id, principals as `TYPE:ID`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Command {
    CreateKey {
        name: String,
        roles: Vec<String>,
        project: Option<String>,
        value: Option<Secret>,
        #[serde(default)]
        bounds: BoundsArgs,
    },
    UpdateKey {
        id: String,
        name: Option<String>,
        roles: Vec<String>,
        bounds: BoundsArgs,
    },
    RotateKey {
        id: String,
        overlap: String,
    },
    ListKeys {
        project: Option<String>,
    },
    RevokeKey {
        id: String,
    },
    RotateRoot,
    ExportRoot,
    ListOrganizations,
    CreateOrganization {
        name: String,
    },
    RenameOrganization {
        organization: String,
        name: String,
    },
    SetPlan {
        organization: String,
        plan: String,
    },
    SetPaymentStatus {
        organization: String,
        payment_status: String,
    },
    CreateProject {
        name: String,
        #[serde(default)]
        force_encryption_with_cmek: bool,
    },
    ListProjects,
    RenameProject {
        project: String,
        name: String,
    },
    DeleteProject {
        project: String,
    },
    ListPrivateEndpoints {
        project: Option<String>,
    },
    CreatePrivateEndpoint {
        project: Option<String>,
        provider: String,
        endpoint_id: String,
        region: String,
    },
    DeletePrivateEndpoint {
        project: Option<String>,
        endpoint_id: String,
    },
    ProjectAccess {
        project: Option<String>,
        #[serde(default)]
        change: AccessChange,
    },
    CreateServiceAccount {
        name: String,
        roles: Vec<String>,
        project: Option<String>,
    },
    ListServiceAccounts,
    RotateServiceAccount {
        id: String,
    },
    DeleteServiceAccount {
        id: String,
    },
    ListRoles {
        principal: Option<String>,
        project: Option<String>,
        role: Option<String>,
    },
    GrantRole {
        role: String,
        to: String,
        project: Option<String>,
    },
    RevokeRole {
        id: String,
    },
    DescribePermissions {
        principal: String,
        project: Option<String>,
        operation: Option<String>,
        index: Option<String>,
        namespace: Option<String>,
    },
    ListUsers {
        email: Option<String>,
    },
    InviteUser {
        email: String,
        roles: Vec<String>,
        project: Option<String>,
    },
    SetPassword {
        user: String,
        password: Secret,
    },
    DeleteUser {
        user: String,
    },
    DeactivateProject {
        project: String,
    },
    DeactivateOrganization {
        organization: String,
    },
    ListDeleted,
    RestoreDeleted {
        id: String,
    },
    PurgeDeleted {
        confirm: bool,
    },
    DeletionReport {
        id: Option<String>,
    },
    VerifyDeletionReport {
        document: String,
    },
    DeletionReportKey,
    CreateBackup {
        index: String,
        project: Option<String>,
        name: Option<String>,
        description: Option<String>,
    },
    ListBackups {
        index: Option<String>,
        project: Option<String>,
    },
    DescribeBackup {
        id: String,
        project: Option<String>,
    },
    DeleteBackup {
        id: String,
        project: Option<String>,
    },
    RestoreBackup {
        id: String,
        index: String,
        project: Option<String>,
        protect: bool,
    },
    VerifyBackup {
        id: String,
        project: Option<String>,
    },
    /// The file as an absolute path, which the server writes.
    ExportBackup {
        id: String,
        file: PathBuf,
        project: Option<String>,
    },
    /// The file as an absolute path, which the server reads.
    ImportBackup {
        file: PathBuf,
        key: Secret,
        project: Option<String>,
    },
    AuditEvents {
        after: Option<String>,
        last: Option<u64>,
    },
    CreateCmek {
        name: String,
        project: Option<String>,
        key: Value,
    },
    ListCmeks {
        project: Option<String>,
    },
    DescribeCmek {
        cmek: String,
    },
    ReplaceCmek {
        cmek: String,
        key: Value,
    },
    DeleteCmek {
        cmek: String,
        name: String,
    },
    DescribeAuditSink,
    PutAuditSink {
        settings: Value,
    },
    EnableAuditSink {
        enabled: bool,
    },
    DeleteAuditSink,
    VerifyAudit,
    Check,
}

/// A command, and where it is meant.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// The organization, by name or id; none: the first.
    #[serde(default)]
    pub(crate) organization: Option<String>,
    pub(crate) command: Command,
}

impl From<Command> for Order {
    fn from(command: Command) -> Self {
        Self { organization: None, command }
    }
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Output {
    KeyCreated {
        key: KeyRow,
        value: Secret,
    },
    KeyUpdated {
        key: KeyRow,
    },
    Keys {
        keys: Vec<KeyRow>,
    },
    KeyRevoked {
        id: String,
    },
    RootRotated {
        place: String,
    },
    Root {
        value: Secret,
    },
    Organizations {
        organizations: Vec<OrganizationRow>,
    },
    OrganizationChanged {
        organization: OrganizationRow,
    },
    ProjectCreated {
        project: ProjectRow,
    },
    ProjectChanged {
        project: ProjectRow,
    },
    Projects {
        projects: Vec<ProjectRow>,
    },
    ProjectDeleted {
        id: String,
    },
    PrivateEndpoints {
        private_endpoints: Vec<PrivateEndpointRow>,
    },
    PrivateEndpointCreated {
        private_endpoint: PrivateEndpointRow,
    },
    PrivateEndpointDeleted {
        endpoint_id: String,
    },
    ProjectAccess {
        access: AccessRow,
    },
    /// Of a new account, and of one with a new secret.
    ServiceAccountSecret {
        service_account: ServiceAccountRow,
        client_secret: Secret,
    },
    ServiceAccounts {
        service_accounts: Vec<ServiceAccountRow>,
    },
    ServiceAccountDeleted {
        id: String,
    },
    RoleGranted {
        role: RoleRow,
    },
    Roles {
        roles: Vec<RoleRow>,
    },
    RoleRevoked {
        id: String,
    },
    Permissions {
        permissions: PermissionRows,
    },
    Users {
        users: Vec<UserRow>,
    },
    /// With what accepts the invite, unless it went out by mail.
    UserInvited {
        invite: InviteRow,
        token: Option<Secret>,
    },
    PasswordSet {
        user: UserRow,
    },
    UserDeleted {
        id: String,
    },
    OrganizationDeleted {
        id: String,
    },
    Deleted {
        deleted: Vec<DeletedRow>,
        /// Whether what is due is so much that it waits for a word.
        #[serde(default)]
        waiting: bool,
    },
    DeletedRestored {
        restored: DeletedRow,
    },
    DeletedPurged {
        purged: Vec<DeletedRow>,
        /// Bytes that are due and bytes that are stored, when the brake holds.
        waiting: Option<(u64, u64)>,
    },
    /// Lines of text, the last one its signature.
    DeletionReport {
        document: String,
    },
    DeletionReports {
        reports: Vec<ReportRow>,
    },
    DeletionReportVerified {
        genuine: bool,
    },
    DeletionReportKey {
        public_key: String,
    },
    Backup {
        backup: BackupRow,
    },
    Backups {
        backups: Vec<BackupRow>,
    },
    BackupDeleted {
        id: String,
    },
    Restored {
        index: String,
        index_id: String,
        restore_job_id: String,
    },
    BackupVerified {
        id: String,
        namespaces: u64,
        records: u64,
        bytes: u64,
        /// Each namespace with the number of its last write.
        lsns: Vec<(String, u64)>,
    },
    /// With what opens the file.
    BackupExported {
        file: PathBuf,
        bytes: u64,
        key: Secret,
    },
    AuditEvents {
        /// Each the line of JSON that the API's schema makes of it.
        events: Vec<String>,
        /// After which the next ones come.
        next: String,
        more: bool,
    },
    /// As the API describes it.
    Cmek {
        cmek: Value,
    },
    Cmeks {
        cmeks: Vec<Value>,
    },
    CmekDeleted {
        id: String,
    },
    /// As the API describes it.
    AuditSink {
        sink: Value,
    },
    AuditVerified {
        entries: u64,
        dropped: u64,
        damaged: Vec<(String, String)>,
    },
    Checked {
        report: CheckRows,
    },
}
