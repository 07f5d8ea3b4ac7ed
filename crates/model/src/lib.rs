//! The nouns of Pinyon and what makes them valid.
//!
//! Nothing here reads a clock, draws a random number, touches a file or knows how a value looks on the wire. A value of
//! one of these types has been checked once, where it was made; whoever holds it may rely on it.

mod api_key;
mod audit_event;
mod audit_sink;
mod backup;
mod backup_schedule;
mod calendar;
mod cmek;
mod collection;
mod deleted;
mod deployment;
mod email;
mod error;
mod explain;
mod filter;
mod id;
mod index;
mod invite;
pub mod limits;
mod metadata;
mod name;
mod namespace;
mod network;
mod organization;
mod page;
mod permission;
mod principal;
mod private_endpoint;
mod project;
mod project_access;
mod query;
mod recall;
mod record;
mod restore_job;
mod restrictions;
mod role;
mod role_binding;
mod service_account;
mod tags;
mod text;
mod user;
mod vector;

pub use api_key::{ApiKey, ApiKeyChange, PreviousSecret};
pub use audit_event::{AuditActor, AuditEvent, AuditOutcome};
pub use audit_sink::{AuditSink, AuditSinkSettings, AuditSinkState, AwsRegion, BucketPath, DeliveryInterval, ExternalId, RoleArn};
pub use backup::{Backup, BackupCounts, BackupKind, BackupStatus, NewBackup, NewRestore};
pub use backup_schedule::{BackupFrequency, BackupSchedule, BackupScheduleChange, NewBackupSchedule, PlannedRun};
pub use calendar::{civil, compact_utc, days_since_1970};
pub use cmek::{AwsKmsKey, Cmek, CmekReplacement, CmekState, CmekStatus, CustomerKey, KmsKeyArn, NewCmek};
pub use collection::{Collection, CollectionName, CollectionState, NewCollection};
pub use deleted::{Deleted, DeletedKind, DeletionReport};
pub use deployment::{DedicatedCapacity, Deployment, ReadCapacity, ReadCapacityChange};
pub use email::Email;
pub use error::{Error, ErrorCode, Result};
pub use explain::{Explain, SearchPlan, SegmentExplain};
pub use filter::{Condition, Filter, Scalar};
pub use id::{
    ApiKeyId, BackupId, BackupScheduleId, CmekId, DeletedId, IndexId, InviteId, NamespaceId, ObjectId, OrganizationId, PrivateEndpointId,
    ProjectId, RestoreJobId, RoleBindingId, ServiceAccountId, UserId,
};
pub use index::{
    DeletionProtection, Dimension, Index, IndexChange, IndexName, IndexSchema, IndexSource, IndexSpec, IndexState, Metric, SchemaField,
    VectorShape, VectorType,
};
pub use invite::{Invite, InviteStatus, NewInvite};
pub use metadata::{Metadata, MetadataValue};
pub use namespace::{MetadataSchema, NamespaceDescription, NamespaceName, Prefix};
pub use network::Network;
pub use organization::{Organization, PaymentStatus, Plan};
pub use page::{Page, PageMark, PageRequest};
pub use permission::{Permission, PermissionSet};
pub use principal::{Grants, Plane, Principal, PrincipalRef, PrincipalType, ResourceRef, ResourceType};
pub use private_endpoint::{NewPrivateEndpoint, PrivateEndpoint, PrivateLink, VpcEndpointId};
pub use project::{NewProject, Project, ProjectChange};
pub use project_access::{ProjectAccess, ProjectAccessChange};
pub use query::{DeleteSelector, ListPage, Match, Query, QueryTarget, TopK, Update, UpdateTarget, Usage};
pub use recall::{IndexRecall, NamespaceRecall, RECALL_TARGET, Recall};
pub use record::{Lsn, Record, RecordId};
pub use restore_job::{RestoreJob, RestoreStatus};
pub use restrictions::{Restrictions, RestrictionsChange};
pub use role::Role;
pub use role_binding::{NewRoleBinding, RoleBinding, RoleBindingFilter, RoleGrant};
pub use service_account::{NewServiceAccount, ServiceAccount};
pub use tags::Tags;
pub use text::excerpt;
pub use user::User;
pub use vector::{DenseVector, SparseVector};
