//! `demo`.
use std::process::ExitCode;

use super::Failure;
use crate::config::{DemoArgs, Folders};

pub(super) async fn run(_args: DemoArgs, _folders: &Folders) -> Result<ExitCode, Failure> {
    Err(Failure { message: "not there yet".to_owned(), code: 1 })
}
