//! The commands of `pinyon`.

mod audit;
mod backup;
mod banner;
mod demo;
mod operate;
mod password;
mod serve;
mod show;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    config::{CatalogCommand, Cli, Command, CommonArgs, ConfigError, Folders, ServerArgs, Settings, read_file},
    telemetry,
};

/// What a command comes to when it fails: what to say, and the exit code.
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { message: error.to_string(), code: 1 }
    }
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    match run(common, command) {
        Ok(code) => code,
        Err(Failure { message, code }) => {
            eprintln!("pinyon: {message}");
            ExitCode::from(code)
        }
    }
}

fn run(common: CommonArgs, command: Command) -> Result<ExitCode, Failure> {
    let folders = Folders::of_this_user();
    match command {
        Command::Serve(args) => {
            let args = with_file(&common, *args, "info")?;
            runtime()?.block_on(serve::run(Settings::serve(args, &folders)?))
        }
        Command::Dev(args) => {
            let args = with_file(&common, *args, "info")?;
            let settings = Settings::dev(args, &folders, |name| std::env::var(name).ok())?;
            runtime()?.block_on(serve::run(settings))
        }
        Command::Demo(args) => {
            with_file(&common, ServerArgs::default(), "warn")?;
            runtime()?.block_on(demo::run(args, &folders))
        }
        other => {
            let file = with_file(&common, ServerArgs::default(), "warn")?;
            runtime()?.block_on(operate::run(other, file, &folders))
        }
    }
}

/// The settings of flags, environment and file together. Starts logging.
fn with_file(common: &CommonArgs, args: ServerArgs, quiet: &str) -> Result<ServerArgs, ConfigError> {
    let args = args.or(read_file(common.config.as_deref())?);
    let log = common.log.clone().or_else(|| args.log.clone()).unwrap_or_else(|| quiet.to_owned());
    telemetry::start(&log, common.log_format.or(args.log_format).unwrap_or_default())?;
    Ok(args)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pinyon").build()
}

/// The catalog's one repair; here so that the match above stays short.
pub(crate) fn catalog_args(command: CatalogCommand) -> crate::config::DataArgs {
    let CatalogCommand::Rebuild { data } = command;
    data
}
