//! Everything that can be done, in the words of the act, with the permission it takes.

use pinyon_model::Permission;

use crate::authorize::Place;

macro_rules! actions {
    ($($kind:ident $action:ident $permission:ident $word:literal $noun:literal;)*) => {
        /// Everything that can be done, in the words of the act.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Action {
            $($action,)*
            /// What Pinyon does not have yet, and who might use it if it had.
            Unbuilt(Permission),
        }

        impl Action {
            #[cfg(test)]
            pub(crate) const ALL: &[Action] = &[$(Action::$action),*];

            /// What a principal must be allowed for it, where it is done. Who belongs to a project is the project's own business, who
            /// belongs to the organization is the organization's.
            pub(crate) const fn permission(self, place: Place) -> Permission {
                match (self, place) {
                    (Action::CreateRoleBinding | Action::DeleteRoleBinding, Place::Organization(_)) => Permission::OrganizationWrite,
                    (Action::DescribeRoleBinding | Action::DescribePermissions, Place::Organization(_)) => Permission::OrganizationWrite,
                    $((Action::$action, _) => Permission::$permission,)*
                    (Action::Unbuilt(permission), _) => permission,
                }
            }

            /// The action of this name, as it is spelled here.
            pub(crate) fn by_name(name: &str) -> Option<Self> {
                [$((stringify!($action), Action::$action)),*].into_iter().find(|(n, _)| *n == name).map(|(_, action)| action)
            }

            /// Whether it belongs to the admin plane, where API keys are no credentials.
            pub(crate) const fn is_administration(self) -> bool {
                !matches!(
                    match self {
                        $(Action::$action => Permission::$permission,)*
                        Action::Unbuilt(permission) => permission,
                    },
                    Permission::ControlRead | Permission::ControlWrite | Permission::DataRead | Permission::DataWrite | Permission::Inference
                )
            }

            /// Whether it changes nothing. Exporting the root key changes nothing either, and is recorded all the same.
            pub(crate) const fn is_read(self) -> bool {
                match self {
                    $(Action::$action => actions!(@$kind),)*
                    Action::Unbuilt(_) => true,
                }
            }

            /// The audit log's words for it: action and kind of resource.
            pub(crate) const fn words(self) -> (&'static str, &'static str) {
                match self {
                    $(Action::$action => ($word, $noun),)*
                    Action::Unbuilt(_) => ("use", "operation"),
                }
            }
        }
    };
    (@read) => { true };
    (@write) => { false };
}

actions! {
    read ListIndexes ControlRead "list" "index";
    read DescribeIndex ControlRead "read" "index";
    write CreateIndex ControlWrite "create" "index";
    write ConfigureIndex ControlWrite "update" "index";
    write DeleteIndex ControlWrite "delete" "index";
    read ListIndexBackups ControlRead "list" "backup";
    read ListBackups ControlRead "list" "backup";
    read DescribeBackup ControlRead "read" "backup";
    write CreateBackup ControlWrite "create" "backup";
    write DeleteBackup ControlWrite "delete" "backup";
    write CreateIndexFromBackup ControlWrite "create" "index";
    read ListRestoreJobs ControlRead "list" "restore-job";
    read DescribeRestoreJob ControlRead "read" "restore-job";
    read ListBackupSchedules ControlRead "list" "backup-schedule";
    read DescribeBackupSchedule ControlRead "read" "backup-schedule";
    read ListBackupScheduleHistory ControlRead "list" "backup";
    write CreateBackupSchedule ControlWrite "create" "backup-schedule";
    write UpdateBackupSchedule ControlWrite "update" "backup-schedule";
    write DeleteBackupSchedule ControlWrite "delete" "backup-schedule";
    read ListCollections ControlRead "list" "collection";
    read DescribeCollection ControlRead "read" "collection";
    write CreateCollection ControlWrite "create" "collection";
    write DeleteCollection ControlWrite "delete" "collection";
    write FinishBackup Operate "update" "backup";
    write FinishRestore Operate "update" "restore-job";
    write RunBackupSchedule Operate "create" "backup";
    write ExpireBackup Operate "delete" "backup";
    write VerifyBackup Operate "read" "backup";
    write ExportBackup Operate "export" "backup";
    write ImportBackup Operate "create" "backup";
    read Query DataRead "query" "record";
    read Fetch DataRead "fetch" "record";
    read FetchByMetadata DataRead "fetch" "record";
    read ListRecords DataRead "list" "record";
    read DescribeIndexStats DataRead "read" "index-stats";
    read ListNamespaces DataRead "list" "namespace";
    read DescribeNamespace DataRead "read" "namespace";
    read Explain DataRead "explain" "query";
    read DescribeRecall DataRead "read" "recall";
    write Upsert DataWrite "upsert" "record";
    write Update DataWrite "update" "record";
    write Delete DataWrite "delete" "record";
    write CreateNamespace DataWrite "create" "namespace";
    write DeleteNamespace DataWrite "delete" "namespace";
    read DescribeOrganization OrganizationRead "read" "organization";
    write CreateOrganization Operate "create" "organization";
    write UpdateOrganization OrganizationWrite "update" "organization";
    write DeleteOrganization OrganizationWrite "delete" "organization";
    write SetPlan Operate "update" "organization";
    write SetPaymentStatus Operate "update" "organization";
    write CreateProject CreateProject "create" "project";
    read DescribeProject ProjectRead "read" "project";
    write UpdateProject ProjectWrite "update" "project";
    write DeleteProject ProjectWrite "delete" "project";
    read DescribeProjectAccess ProjectRead "read" "project-access";
    write UpdateProjectAccess ProjectWrite "update" "project-access";
    read ListPrivateEndpoints ProjectRead "list" "private-endpoints";
    write CreatePrivateEndpoint ProjectWrite "create" "private-endpoints";
    write DeletePrivateEndpoint ProjectWrite "delete" "private-endpoints";
    read ListApiKeys ProjectRead "list" "api-key";
    read DescribeApiKey ProjectRead "read" "api-key";
    write CreateApiKey ProjectWrite "create" "api-key";
    write UpdateApiKey ProjectWrite "update" "api-key";
    write RotateApiKey ProjectWrite "update" "api-key";
    write DeleteApiKey ProjectWrite "delete" "api-key";
    read ListServiceAccounts OrganizationWrite "list" "service-account";
    read DescribeServiceAccount OrganizationWrite "read" "service-account";
    write CreateServiceAccount OrganizationWrite "create" "service-account";
    write UpdateServiceAccount OrganizationWrite "update" "service-account";
    write RotateServiceAccountSecret OrganizationWrite "update" "service-account";
    write DeleteServiceAccount OrganizationWrite "delete" "service-account";
    read ListUsers OrganizationWrite "list" "user";
    read DescribeUser OrganizationWrite "read" "user";
    write DeleteUser OrganizationWrite "delete" "user";
    write Login Operate "login" "user";
    write Logout OrganizationRead "logout" "user";
    write ChangePassword OrganizationRead "update" "user";
    write SetPassword Operate "update" "user";
    read ListInvites OrganizationWrite "list" "invite";
    read DescribeInvite OrganizationWrite "read" "invite";
    write CreateInvite OrganizationWrite "create" "user";
    write ResendInvite OrganizationWrite "update" "invite";
    write DeleteInvite OrganizationWrite "delete" "invite";
    write AcceptInvite Operate "create" "user";
    read DescribeRoleBinding ProjectRead "read" "role-binding";
    read DescribePermissions ProjectRead "read" "permissions";
    write CreateRoleBinding ProjectWrite "update" "user";
    write DeleteRoleBinding ProjectWrite "update" "user";
    read ListAllApiKeys Operate "list" "api-key";
    write CreateToken Operate "create" "access-token";
    write BindRoles Operate "update" "catalog";
    write RotateDataKeys Operate "update" "data-key";
    write RotateRootKey Operate "update" "root-key";
    write ExportRootKey Operate "read" "root-key";
    read Check Operate "read" "installation";
    write RebuildCatalog Operate "update" "catalog";
    read DescribeAuditSink OrganizationWrite "read" "audit-log";
    write PutAuditSink OrganizationWrite "update" "audit-log";
    write DeleteAuditSink OrganizationWrite "delete" "audit-log";
    read DescribeCmek ProjectRead "read" "cmek";
    write CreateCmek OrganizationWrite "create" "cmek";
    write ReplaceCmek OrganizationWrite "update" "cmek";
    write DeleteCmek OrganizationWrite "delete" "cmek";
    write WatchCmek Operate "update" "cmek";
    write DeactivateProject Operate "delete" "project";
    write DeactivateOrganization Operate "delete" "organization";
    read ListDeleted Operate "list" "deleted";
    write RestoreDeleted Operate "restore" "deleted";
    write PurgeDeleted Operate "purge" "deleted";
    read DescribeDeletionReport Operate "read" "deletion-report";
    read ReadAuditLog Operate "read" "audit-log";
}
