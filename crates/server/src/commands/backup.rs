//! `pinyon backup …`: paths are made absolute here, because it may be the server that opens them.

use std::path::PathBuf;

use super::{Failure, operate::read_secret};
use crate::{
    config::{BackupCommand, BackupPlaceArgs, OperateArgs},
    operator,
};

pub(super) fn backup(command: BackupCommand) -> Result<(operator::Command, OperateArgs), Failure> {
    use operator::Command;
    let absolute = |file: PathBuf| std::path::absolute(file);
    Ok(match command {
        BackupCommand::Create { index, name, description, place: BackupPlaceArgs { project, operate } } => {
            (Command::CreateBackup { index, project, name, description }, operate)
        }
        BackupCommand::List { index, place: BackupPlaceArgs { project, operate } } => (Command::ListBackups { index, project }, operate),
        BackupCommand::Describe { id, place: BackupPlaceArgs { project, operate } } => (Command::DescribeBackup { id, project }, operate),
        BackupCommand::Delete { id, place: BackupPlaceArgs { project, operate } } => (Command::DeleteBackup { id, project }, operate),
        BackupCommand::Restore { id, index, protect, place: BackupPlaceArgs { project, operate } } => {
            (Command::RestoreBackup { id, index, project, protect }, operate)
        }
        BackupCommand::Verify { id, place: BackupPlaceArgs { project, operate } } => (Command::VerifyBackup { id, project }, operate),
        BackupCommand::Export { id, file, place: BackupPlaceArgs { project, operate } } => {
            (Command::ExportBackup { id, file: absolute(file)?, project }, operate)
        }
        BackupCommand::Import { file, place: BackupPlaceArgs { project, operate } } => {
            let file = absolute(file)?;
            (Command::ImportBackup { file, key: read_secret("export key")?, project }, operate)
        }
    })
}
