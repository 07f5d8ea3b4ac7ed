//! Settings: read from file, environment and flags, checked once, and from then on values that cannot be wrong.
//! Flags win over the environment, the environment over the file, the file over what is built in.

mod args;
mod backup_args;
mod bounds_args;
mod cmek;
mod deletion;
mod mail;
mod operate_args;
mod place;
mod private;
mod settings;
mod size;

pub(crate) use args::{
    AdvertiseScheme, AuditRecords, Cli, Command, CommonArgs, DemoArgs, EngineArgs, LimitsArg, LogFormat, QuotaArgs, ServerArgs,
};
pub(crate) use backup_args::{BackupCommand, BackupPlaceArgs};
pub(crate) use bounds_args::BoundsArgs;
pub(crate) use cmek::CmekSettings;
pub(crate) use deletion::deletion;
pub(crate) use mail::MailSettings;
pub(crate) use operate_args::{
    AuditCommand, AuditSinkCommand, CatalogCommand, CmekCommand, CustomerKeyArgs, DataArgs, DeletedCommand, KeyCommand, OperateArgs,
    OrgCommand, PrivateEndpointCommand, ProjectCommand, RoleCommand, ServiceAccountCommand, UserCommand,
};
pub(crate) use place::{DataPlace, Folders, ROOT_KEY_VARIABLE, RootKeyPlace};
pub(crate) use private::PrivateListen;
pub(crate) use settings::{Addresses, AuditSettings, HostSettings, Limits, Mode, PORT_DEFAULT, Settings, TlsSettings, read_file};

/// A setting that cannot be used: says which, what was wrong and what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
