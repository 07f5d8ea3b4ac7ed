//! Commands on a data directory: through its running server's socket, else on the directory itself.

use std::{
    fmt::Write as _,
    io::{BufRead, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use pinyon_service::{Clock, RebuildReport, RootKey, Service, ServiceOptions, SystemClock};
use zeroize::Zeroizing;

use super::Failure;
use crate::{
    config::{Command, ConfigError, DataArgs, Folders, KeyCommand, ProjectCommand, RootKeyPlace, ServerArgs},
    operator::{self, Output, RootKeyFile, SOCKET_NAME, Secret},
    server::open_service,
};

pub(super) async fn run(command: Command, file: ServerArgs, folders: &Folders) -> Result<ExitCode, Failure> {
    let (command, data) = match command {
        Command::Catalog(command) => return rebuild(place(super::catalog_args(command), file, folders)?).await,
        Command::Check(data) => return check(place(data, file, folders)?).await,
        Command::Key(KeyCommand::Create { name, roles, project, value_stdin, data }) => {
            let value = if value_stdin { Some(read_secret()?) } else { None };
            (operator::Command::CreateKey { name, roles, project, value }, data)
        }
        Command::Key(KeyCommand::List { project, data }) => (operator::Command::ListKeys { project }, data),
        Command::Key(KeyCommand::Revoke { id, data }) => (operator::Command::RevokeKey { id }, data),
        Command::Key(KeyCommand::RotateRoot { data }) => (operator::Command::RotateRoot, data),
        Command::Key(KeyCommand::ExportRoot { data }) => (operator::Command::ExportRoot, data),
        Command::Project(ProjectCommand::Create { name, data }) => (operator::Command::CreateProject { name }, data),
        Command::Project(ProjectCommand::List { data }) => (operator::Command::ListProjects, data),
        Command::Serve(_) | Command::Dev(_) | Command::Demo(_) => return Err(ConfigError::new("not a command on a data directory").into()),
    };
    let place = place(data, file, folders)?;
    let output = match operator::send(&place.data_dir, &command).await {
        Some(answered) => answered?,
        None => offline(&place, command).await?,
    };
    Ok(show(output)?)
}

/// A data directory and its root key.
struct Place {
    data_dir: PathBuf,
    key_dir: Option<PathBuf>,
    root_key: RootKeyFile,
}

fn place(args: DataArgs, file: ServerArgs, folders: &Folders) -> Result<Place, ConfigError> {
    let data_dir = args.data_dir.or(file.data_dir).unwrap_or_else(|| folders.data.clone());
    let key = RootKeyPlace::new(args.root_key_file.or(file.root_key_file), &data_dir, folders)?;
    Ok(Place { root_key: RootKeyFile::new(key, &data_dir), data_dir, key_dir: args.key_dir.or(file.key_dir) })
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
        let (dir, key_dir) = (self.data_dir.clone(), self.key_dir.clone());
        move |key| ServiceOptions { key_dir: key_dir.clone(), ..ServiceOptions::new(dir.clone(), key) }
    }
}

async fn offline(place: &Place, command: operator::Command) -> Result<Output, Failure> {
    place.must_exist()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (service, _) = open_service(&place.root_key, false, &clock, place.options()).await?;
    let output = command.execute(&service, &*clock, &place.root_key).await;
    service.close().await;
    Ok(output?)
}

/// A running server checks what it has open; without one every file is read, however damaged the rest is.
async fn check(place: Place) -> Result<ExitCode, Failure> {
    if let Some(answered) = operator::send(&place.data_dir, &operator::Command::Check).await {
        return Ok(show(answered?)?);
    }
    place.must_exist()?;
    let key = only_key(&place)?;
    let report = Service::check_offline(place.options()(key), Arc::new(SystemClock::default())).await?;
    Ok(show(Output::Checked { report: report.into() })?)
}

async fn rebuild(place: Place) -> Result<ExitCode, Failure> {
    if std::os::unix::net::UnixStream::connect(place.data_dir.join(SOCKET_NAME)).is_ok() {
        return Err(ConfigError::new("a server is running on this data directory; stop it first").into());
    }
    place.must_exist()?;
    let key = only_key(&place)?;
    let report = Service::rebuild_catalog(place.options()(key), Arc::new(SystemClock::default())).await?;
    let RebuildReport { indexes, unreadable, lost, keys, audit_set_aside } = report;
    let mut out = String::new();
    for (project, name) in &indexes {
        let _ = writeln!(out, "served again  {name} (project {project})");
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

/// One line of standard input.
fn read_secret() -> Result<Secret, Failure> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line)?;
    let value = Zeroizing::new(line.trim().to_owned());
    if value.is_empty() {
        return Err(ConfigError::new("--value-stdin: nothing came on standard input").into());
    }
    Ok(Secret::new(value))
}

fn show(output: Output) -> std::io::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    match output {
        Output::KeyCreated { key, value } => {
            eprintln!(
                "Key '{}' ({}) of project '{}' may act as {}. It is shown this once:",
                key.name,
                key.id,
                key.project,
                key.roles.join(", ")
            );
            let mut line = Zeroizing::new(value.reveal().to_owned());
            line.push('\n');
            say(&line)?;
        }
        Output::Keys { keys } => {
            let rows = keys.into_iter().map(|k| [k.id, k.name, k.project, k.roles.join(","), format!("{}…", k.hint)]);
            say(&table(["ID", "NAME", "PROJECT", "ROLES", "BEGINS WITH"], rows))?;
        }
        Output::KeyRevoked { id } => say(&format!("Key {id} is revoked\n"))?,
        Output::RootRotated { place } => {
            say(&format!("The root key in {place} is new; copies of the old one open nothing written from now on\n"))?
        }
        Output::Root { value } => {
            let mut line = Zeroizing::new(value.reveal().to_owned());
            line.push('\n');
            say(&line)?;
        }
        Output::ProjectCreated { project } => say(&format!("Project '{}' has the id {}\n", project.name, project.id))?,
        Output::Projects { projects } => say(&table(["ID", "NAME"], projects.into_iter().map(|p| [p.id, p.name])))?,
        Output::Checked { report } => {
            for (file, what) in &report.damaged {
                say(&format!("damaged  {file}: {what}\n"))?;
            }
            for r in &report.recall {
                let by = if r.live { "live queries" } else { "probes made of stored vectors" };
                say(&format!("recall   index {}: {:.3} over {} {by}, at worst {:.3}\n", r.index, r.mean, r.samples, r.worst))?;
            }
            say(&format!(
                "{} files, {} bytes, {} indexes, {} namespaces, {} records, {} audit events: {}\n",
                report.files,
                report.bytes,
                report.indexes,
                report.namespaces,
                report.records,
                report.audit_events,
                if report.damaged.is_empty() { "all is well".to_owned() } else { format!("{} damaged", report.damaged.len()) }
            ))?;
            if !report.damaged.is_empty() {
                code = ExitCode::from(2);
            }
        }
    }
    Ok(code)
}

/// Rows under a heading, in columns as wide as they need to be.
fn table<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0));
    rows.iter().fold(String::new(), |mut out, row| {
        let line: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
        out
    })
}

fn say(text: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())
}
