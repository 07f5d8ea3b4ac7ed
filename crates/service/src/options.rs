use std::{fmt, ops::RangeInclusive, path::PathBuf, sync::Arc};

use pinyon_engine::EngineSettings;
use pinyon_storage::RootKey;

use crate::{AuditDelivery, CmekOptions, DeletionOptions, InviteMail, Limits};

/// Which API keys are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthMode {
    /// Those that were created here.
    #[default]
    Keys,
    /// Those, and for anything else (also for no key at all) the default project, as its editor: for development.
    AnyKey,
}

/// What of the data plane is written to the audit log beside refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataPlaneAudit {
    /// Nothing, as with Pinecone.
    #[default]
    Off,
    /// Every write, before its answer.
    Writes,
    /// Every write and every read, before its answer: what cannot be recorded is not answered.
    All,
}

impl DataPlaneAudit {
    /// As the settings spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            DataPlaneAudit::Off => "off",
            DataPlaneAudit::Writes => "writes",
            DataPlaneAudit::All => "all",
        }
    }
}

/// Looks whether a port is free.
pub type PortCheck = Arc<dyn Fn(u16) -> bool + Send + Sync>;

/// How a service is opened.
pub struct ServiceOptions {
    /// The folder that everything is kept in; made when it is not there.
    pub data_dir: PathBuf,
    /// Where the key store lies when it is kept apart from the data.
    pub key_dir: Option<PathBuf>,
    /// The key that everything is sealed under.
    pub root_key: RootKey,
    /// Which API keys are accepted.
    pub auth: AuthMode,
    /// How many objects there may be.
    pub limits: Limits,
    /// The ports that indexes are served on, one each; none when they are told apart by name.
    pub ports: Option<RangeInclusive<u16>>,
    /// Whether a new index may be given this port: that no other program has it. Without one, every port of the range may.
    pub port_is_free: Option<PortCheck>,
    /// Free bytes on the disk below which only deletions, compaction and audit may write; `None` is 64 MiB and 1 %.
    pub reserve_bytes: Option<u64>,
    /// The engine's sizes and times.
    pub engine: EngineSettings,
    /// What of the data plane is audited.
    pub data_plane_audit: DataPlaneAudit,
    /// Whether the audit log tells of the use of API keys: by key and address, once an hour.
    pub audit_key_use: bool,
    /// Days after which the audit log's entries may go; none keeps them for ever.
    pub audit_retention_days: Option<u32>,
    /// Days after which namespaces get new keys, and what they hold is sealed anew; none leaves them as they are.
    pub data_key_days: Option<u32>,
    /// What takes audit events elsewhere, for the organizations that ask for it.
    pub audit_delivery: Option<AuditDelivery>,
    /// How customer-managed keys are asked for.
    pub cmek: CmekOptions,
    /// Whether this is a server, which keeps and delivers the audit log and records its settings; a command does not.
    pub serves: bool,
    /// Whether who may read records may also embed and rerank. Pinecone's older pages deny it, its newer ones allow it.
    pub viewers_infer: bool,
    /// How invites are sent; without it whoever makes one is told what accepts it.
    pub invite_mail: Option<InviteMail>,
    /// How long what was deleted is kept, and how it is purged.
    pub deletion: DeletionOptions,
    /// The region of the private listener; none when there is no such listener.
    pub private_region: Option<String>,
}

impl ServiceOptions {
    /// The defaults of production, in this folder.
    pub fn new(data_dir: PathBuf, root_key: RootKey) -> Self {
        Self {
            data_dir,
            key_dir: None,
            root_key,
            auth: AuthMode::default(),
            limits: Limits::default(),
            ports: Some(5081..=6080),
            port_is_free: None,
            reserve_bytes: None,
            engine: EngineSettings::default(),
            data_plane_audit: DataPlaneAudit::default(),
            audit_key_use: true,
            audit_retention_days: Some(90),
            data_key_days: Some(90),
            audit_delivery: None,
            cmek: CmekOptions::default(),
            serves: true,
            viewers_infer: false,
            invite_mail: None,
            deletion: DeletionOptions::default(),
            private_region: None,
        }
    }
}

impl fmt::Debug for ServiceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceOptions").field("data_dir", &self.data_dir).field("auth", &self.auth).finish_non_exhaustive()
    }
}
