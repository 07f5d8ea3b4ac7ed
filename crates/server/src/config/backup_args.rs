//! The arguments of the backup commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::OperateArgs;

/// In which project backups are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BackupPlaceArgs {
    /// The project, by name or id [default: the first one]
    #[arg(long)]
    pub(crate) project: Option<String>,
    #[command(flatten)]
    pub(crate) operate: OperateArgs,
}

/// `pinyon backup …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Take a backup of an index, and wait until it is stored
    Create {
        /// Which index, by name
        index: String,
        /// What to call it: lower-case letters, digits and '-'
        #[arg(long)]
        name: Option<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        place: BackupPlaceArgs,
    },
    /// List backups
    List {
        /// Only those of indexes of this name, deleted ones among them
        #[arg(long)]
        index: Option<String>,
        #[command(flatten)]
        place: BackupPlaceArgs,
    },
    /// Show one backup
    Describe {
        /// Its id, as list shows it
        id: String,
        #[command(flatten)]
        place: BackupPlaceArgs,
    },
    /// Delete a backup
    Delete {
        /// Its id, as list shows it
        id: String,
        #[command(flatten)]
        place: BackupPlaceArgs,
    },
    /// Make an index from a backup, and wait until it serves
    Restore {
        /// Its id, as list shows it
        id: String,
        /// What to call the index
        #[arg(long)]
        index: String,
        /// Protect the index from deletion
        #[arg(long)]
        protect: bool,
        #[command(flatten)]
        place: BackupPlaceArgs,
    },
    /// Read every byte of a backup, restore it where nobody sees it, and compare
    Verify {
        /// Its id, as list shows it
        id: String,
        #[command(flatten)]
        place: BackupPlaceArgs,
    },
    /// Write a backup into a file for another installation, and print the key that opens it, once
    Export {
        /// Its id, as list shows it
        id: String,
        /// The file, which must not exist
        file: PathBuf,
        #[command(flatten)]
        place: BackupPlaceArgs,
    },
    /// Make a backup of an exported file; its export key is read as a line of standard input
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        place: BackupPlaceArgs,
    },
}
