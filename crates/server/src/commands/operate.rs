//! Commands on a data directory: through its running server's socket, else on the directory itself.

use std::{fmt::Write as _, io::BufRead, path::PathBuf, process::ExitCode, sync::Arc};

use pinyon_service::{Clock, DeletionOptions, RebuildReport, RootKey, Service, ServiceOptions, SystemClock};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Failure, audit, backup, password,
    show::{say, show},
};
use crate::{
    config::deletion as deletion_options,
    config::{
        AuditCommand, CmekCommand, Command, ConfigError, CustomerKeyArgs, DataArgs, DeletedCommand, Folders, KeyCommand, OperateArgs,
        OrgCommand, PrivateEndpointCommand, ProjectCommand, RoleCommand, RootKeyPlace, ServerArgs, ServiceAccountCommand, UserCommand,
    },
    operator::{self, Output, RootKeyFile, SOCKET_NAME, Secret},
    server::open_service,
};

pub(super) async fn run(command: Command, file: ServerArgs, folders: &Folders) -> Result<ExitCode, Failure> {
    let (command, operate) = match command {
        Command::Catalog(command) => return rebuild(place(super::catalog_args(command), file, folders)?).await,
        Command::Check(operate) => return check(place(operate.data, file, folders)?, operate.json).await,
        Command::Key(command) => key(command)?,
        Command::Org(command) => organization(command),
        Command::Cmek(command) => cmek(command),
        Command::Project(command) => project(command),
        Command::PrivateEndpoint(command) => private_endpoint(command),
        Command::Deleted(command) => deleted(command)?,
        Command::ServiceAccount(command) => service_account(command),
        Command::Role(command) => role(command),
        Command::User(command) => user(command)?,
        Command::Audit(AuditCommand::Tail { lines, follow, operate }) => {
            return audit::entries(place(operate.data, file, folders)?, Some(lines), follow, operate.json).await;
        }
        Command::Audit(AuditCommand::Export { operate }) => {
            return audit::entries(place(operate.data, file, folders)?, None, false, true).await;
        }
        Command::Audit(AuditCommand::Verify { operate }) => (operator::Command::VerifyAudit, operate),
        Command::Audit(AuditCommand::Sink(command)) => audit::sink(command),
        Command::Backup(command) => backup::backup(command)?,
        Command::Serve(_) | Command::Dev(_) | Command::Demo(_) => return Err(ConfigError::new("not a command on a data directory").into()),
    };
    let place = place(operate.data, file, folders)?;
    let order = operator::Order { organization: operate.org, command };
    Ok(show(ask(&place, order).await?, operate.json)?)
}

/// Through the running server, else on the directory itself.
pub(super) async fn ask(place: &Place, order: operator::Order) -> Result<Output, Failure> {
    match operator::send(&place.data_dir, &order).await {
        Some(answered) => Ok(answered?),
        None => offline(place, order).await,
    }
}

fn key(command: KeyCommand) -> Result<(operator::Command, OperateArgs), Failure> {
    Ok(match command {
        KeyCommand::Create { name, roles, project, value_stdin, bounds, operate } => {
            let value = if value_stdin { Some(read_secret("--value-stdin")?) } else { None };
            (operator::Command::CreateKey { name, roles, project, value, bounds }, operate)
        }
        KeyCommand::Update { id, name, roles, bounds, operate } => (operator::Command::UpdateKey { id, name, roles, bounds }, operate),
        KeyCommand::Rotate { id, overlap, operate } => (operator::Command::RotateKey { id, overlap }, operate),
        KeyCommand::List { project, operate } => (operator::Command::ListKeys { project }, operate),
        KeyCommand::Revoke { id, operate } => (operator::Command::RevokeKey { id }, operate),
        KeyCommand::RotateRoot { operate } => (operator::Command::RotateRoot, operate),
        KeyCommand::ExportRoot { operate } => (operator::Command::ExportRoot, operate),
    })
}

fn organization(command: OrgCommand) -> (operator::Command, OperateArgs) {
    match command {
        OrgCommand::Create { name, operate } => (operator::Command::CreateOrganization { name }, operate),
        OrgCommand::Deactivate { organization, operate } => (operator::Command::DeactivateOrganization { organization }, operate),
        OrgCommand::List { operate } => (operator::Command::ListOrganizations, operate),
        OrgCommand::Rename { organization, name, operate } => (operator::Command::RenameOrganization { organization, name }, operate),
        OrgCommand::SetPlan { organization, plan, operate } => (operator::Command::SetPlan { organization, plan }, operate),
        OrgCommand::SetPaymentStatus { organization, payment_status, operate } => {
            (operator::Command::SetPaymentStatus { organization, payment_status }, operate)
        }
    }
}

fn user(command: UserCommand) -> Result<(operator::Command, OperateArgs), Failure> {
    Ok(match command {
        UserCommand::List { email, operate } => (operator::Command::ListUsers { email }, operate),
        UserCommand::Invite { email, roles, project, operate } => (operator::Command::InviteUser { email, roles, project }, operate),
        UserCommand::SetPassword { user, operate } => {
            let password = password::read(&format!("New password of {user}: "))?;
            (operator::Command::SetPassword { user, password }, operate)
        }
        UserCommand::Delete { user, operate } => (operator::Command::DeleteUser { user }, operate),
    })
}

fn cmek(command: CmekCommand) -> (operator::Command, OperateArgs) {
    let parts =
        |CustomerKeyArgs { key_arn, role_arn, external_id }| json!({"key_arn": key_arn, "role_arn": role_arn, "external_id": external_id});
    match command {
        CmekCommand::Add { name, key, project, operate } => (operator::Command::CreateCmek { name, project, key: parts(key) }, operate),
        CmekCommand::List { project, operate } => (operator::Command::ListCmeks { project }, operate),
        CmekCommand::Describe { cmek, operate } => (operator::Command::DescribeCmek { cmek }, operate),
        CmekCommand::Replace { cmek, key, operate } => (operator::Command::ReplaceCmek { cmek, key: parts(key) }, operate),
        CmekCommand::Delete { cmek, name, operate } => (operator::Command::DeleteCmek { cmek, name }, operate),
    }
}

fn project(command: ProjectCommand) -> (operator::Command, OperateArgs) {
    match command {
        ProjectCommand::Create { name, force_encryption_with_cmek, operate } => {
            (operator::Command::CreateProject { name, force_encryption_with_cmek }, operate)
        }
        ProjectCommand::List { operate } => (operator::Command::ListProjects, operate),
        ProjectCommand::Rename { project, name, operate } => (operator::Command::RenameProject { project, name }, operate),
        ProjectCommand::Deactivate { project, operate } => (operator::Command::DeactivateProject { project }, operate),
        ProjectCommand::Access { project, private_only, private_control_plane, networks, no_network, operate } => {
            let change = operator::AccessChange { private_only, private_control_plane, networks, no_network };
            (operator::Command::ProjectAccess { project, change }, operate)
        }
        ProjectCommand::Delete { project, operate } => (operator::Command::DeleteProject { project }, operate),
    }
}

fn deleted(command: DeletedCommand) -> Result<(operator::Command, OperateArgs), Failure> {
    Ok(match command {
        DeletedCommand::List { operate } => (operator::Command::ListDeleted, operate),
        DeletedCommand::Restore { id, operate } => (operator::Command::RestoreDeleted { id }, operate),
        DeletedCommand::Purge { confirm, operate } => (operator::Command::PurgeDeleted { confirm }, operate),
        DeletedCommand::Report { verify: Some(file), operate, .. } => {
            let document = std::fs::read_to_string(&file).map_err(|e| ConfigError::new(format!("{}: {e}", file.display())))?;
            (operator::Command::VerifyDeletionReport { document }, operate)
        }
        DeletedCommand::Report { public_key: true, operate, .. } => (operator::Command::DeletionReportKey, operate),
        DeletedCommand::Report { id, operate, .. } => (operator::Command::DeletionReport { id }, operate),
    })
}

fn private_endpoint(command: PrivateEndpointCommand) -> (operator::Command, OperateArgs) {
    match command {
        PrivateEndpointCommand::Create { id, provider, region, project, operate } => {
            (operator::Command::CreatePrivateEndpoint { project, provider, endpoint_id: id, region }, operate)
        }
        PrivateEndpointCommand::List { project, operate } => (operator::Command::ListPrivateEndpoints { project }, operate),
        PrivateEndpointCommand::Delete { id, project, operate } => {
            (operator::Command::DeletePrivateEndpoint { project, endpoint_id: id }, operate)
        }
    }
}

fn service_account(command: ServiceAccountCommand) -> (operator::Command, OperateArgs) {
    match command {
        ServiceAccountCommand::Create { name, roles, project, operate } => {
            (operator::Command::CreateServiceAccount { name, roles, project }, operate)
        }
        ServiceAccountCommand::List { operate } => (operator::Command::ListServiceAccounts, operate),
        ServiceAccountCommand::Rotate { id, operate } => (operator::Command::RotateServiceAccount { id }, operate),
        ServiceAccountCommand::Delete { id, operate } => (operator::Command::DeleteServiceAccount { id }, operate),
    }
}

fn role(command: RoleCommand) -> (operator::Command, OperateArgs) {
    match command {
        RoleCommand::List { principal, project, role, operate } => (operator::Command::ListRoles { principal, project, role }, operate),
        RoleCommand::Why { principal, project, operation, index, namespace, operate } => {
            (operator::Command::DescribePermissions { principal, project, operation, index, namespace }, operate)
        }
        RoleCommand::Grant { role, to, project, operate } => (operator::Command::GrantRole { role, to, project }, operate),
        RoleCommand::Revoke { id, operate } => (operator::Command::RevokeRole { id }, operate),
    }
}

/// A data directory and its root key.
pub(super) struct Place {
    data_dir: PathBuf,
    key_dir: Option<PathBuf>,
    root_key: RootKeyFile,
    deletion: DeletionOptions,
}

fn place(args: DataArgs, file: ServerArgs, folders: &Folders) -> Result<Place, ConfigError> {
    let deletion = deletion_options(&file)?;
    let data_dir = args.data_dir.or(file.data_dir).unwrap_or_else(|| folders.data.clone());
    let key = RootKeyPlace::new(args.root_key_file.or(file.root_key_file), &data_dir, folders)?;
    Ok(Place { root_key: RootKeyFile::new(key, &data_dir), data_dir, key_dir: args.key_dir.or(file.key_dir), deletion })
}

impl Place {
    /// Commands never make a data directory: a mistyped path is an error, not an empty database.
    fn must_exist(&self) -> Result<(), ConfigError> {
        if self.data_dir.join("keys").exists() {
            return Ok(());
        }
        Err(ConfigError::new(format!(
            "{} is not a data directory of Pinyon; name one with --data-dir, or start a server on it first",
            self.data_dir.display()
        )))
    }

    fn options(&self) -> impl Fn(RootKey) -> ServiceOptions {
        let (dir, key_dir, deletion) = (self.data_dir.clone(), self.key_dir.clone(), self.deletion);
        move |key| ServiceOptions { key_dir: key_dir.clone(), serves: false, deletion, ..ServiceOptions::new(dir.clone(), key) }
    }
}

async fn offline(place: &Place, order: operator::Order) -> Result<Output, Failure> {
    place.must_exist()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (service, _) = open_service(&place.root_key, false, &clock, place.options()).await?;
    let output = order.execute(&service, &*clock, &place.root_key).await;
    service.close().await;
    Ok(output?)
}

/// A running server checks what it has open; without one every file is read, however damaged the rest is.
async fn check(place: Place, json: bool) -> Result<ExitCode, Failure> {
    if let Some(answered) = operator::send(&place.data_dir, &operator::Command::Check.into()).await {
        return Ok(show(answered?, json)?);
    }
    place.must_exist()?;
    let key = only_key(&place)?;
    let report = Service::check_offline(place.options()(key), Arc::new(SystemClock::default())).await?;
    Ok(show(Output::Checked { report: report.into() }, json)?)
}

async fn rebuild(place: Place) -> Result<ExitCode, Failure> {
    if std::os::unix::net::UnixStream::connect(place.data_dir.join(SOCKET_NAME)).is_ok() {
        return Err(ConfigError::new("a server is running on this data directory; stop it first").into());
    }
    place.must_exist()?;
    let key = only_key(&place)?;
    let report = Service::rebuild_catalog(place.options()(key), Arc::new(SystemClock::default())).await?;
    let RebuildReport { indexes, backups, unreadable, lost, keys, audit_set_aside } = report;
    let mut out = String::new();
    for (project, name) in &indexes {
        let _ = writeln!(out, "served again  {name} (project {project})");
    }
    if !backups.is_empty() {
        let _ = writeln!(out, "known again   {} backups and collections", backups.len());
    }
    for damaged in &unreadable {
        let _ = writeln!(out, "unreadable    {}: {}", damaged.file, damaged.what);
    }
    for line in &lost {
        let _ = writeln!(out, "lost          {line}");
    }
    if let Some(folder) = &audit_set_aside {
        let _ = writeln!(out, "set aside     the damaged audit log, in {folder}; a new one was begun");
    }
    let _ = writeln!(out, "{} indexes are served again. New API keys, shown this once:", indexes.len());
    for key in &keys {
        let _ = writeln!(out, "{}  (project {}, {})", key.secret.reveal(), key.key.project_id, key.key.name);
    }
    say(&Zeroizing::new(out))?;
    Ok(if unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn only_key(place: &Place) -> Result<RootKey, Failure> {
    let (mut keys, _) = place.root_key.candidates(false)?;
    if keys.len() > 1 {
        return Err(ConfigError::new("a rotation of the root key was cut short; start the server once, which settles it").into());
    }
    keys.pop().ok_or_else(|| ConfigError::new("there is no root key").into())
}

/// One line of standard input; `what` it is to be.
pub(super) fn read_secret(what: &str) -> Result<Secret, Failure> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line)?;
    let value = Zeroizing::new(line.trim().to_owned());
    if value.is_empty() {
        return Err(ConfigError::new(format!("{what}: nothing came on standard input")).into());
    }
    Ok(Secret::new(value))
}
