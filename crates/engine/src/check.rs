//! The check: reads every stored byte of the engine and names what is damaged.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use pinyon_model::{Error, ErrorCode, IndexId, Result};

use crate::{
    Engine, IndexHandle,
    error::stored,
    namespace,
    namespace_list::{self, NamespaceList, list_folder, namespace_folder},
    shared::Shared,
    slot::Slot,
};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Indexes looked at.
    pub indexes: u64,
    /// Namespaces looked at.
    pub namespaces: u64,
    /// Files there are of namespaces and of their lists.
    pub files: u64,
    /// Their bytes, all of which were read but for those of damaged namespaces.
    pub bytes: u64,
    /// Live records of the namespaces that could be read.
    pub records: u64,
    /// What is damaged; empty when all is well.
    pub damaged: Vec<DamagedFile>,
}

/// A file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its path below the data directory.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

impl CheckReport {
    /// Takes note of damage; any other error ends the check, for it says nothing about what is stored.
    fn note(&mut self, folder: &str, error: Error) -> Result<()> {
        if error.code != ErrorCode::DataLoss {
            return Err(error);
        }
        let named = error.message.strip_prefix('\'').and_then(|m| m.split_once("' is damaged: "));
        let (file, what) = named.unwrap_or((folder, &error.message));
        self.damaged.push(DamagedFile { file: file.to_owned(), what: what.to_owned() });
        Ok(())
    }
}

/// Checks every index that has a folder. `handles` are those in use.
pub(crate) async fn check(shared: &Arc<Shared>, handles: &HashMap<IndexId, Arc<IndexHandle>>) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let root = "indexes/";
    let mut indexes = BTreeSet::new();
    for object in shared.store.list(root).await.map_err(stored)? {
        // What else lies in an index's folder is not the engine's.
        if object.name.contains("/namespaces/") || object.name.contains("/namespace-list/") {
            report.files += 1;
            report.bytes += object.size;
        }
        let folder = object.name.strip_prefix(root).and_then(|rest| rest.split('/').next());
        indexes.extend(folder.and_then(|hex| IndexId::parse(hex).ok()));
    }
    for index in indexes {
        report.indexes += 1;
        let list = handles.get(&index).and_then(|handle| handle.opened());
        if let Err(error) = check_index(shared, index, list, &mut report).await {
            report.note(&Engine::index_folder(index), error)?;
        }
    }
    Ok(report)
}

async fn check_index(shared: &Arc<Shared>, index: IndexId, list: Option<&Arc<NamespaceList>>, report: &mut CheckReport) -> Result<()> {
    let key = shared.keys.index_key(index).map_err(stored)?;
    let slots: Vec<Arc<Slot>> = match list {
        Some(list) => {
            if let Err(error) = list.verify().await {
                report.note(&list_folder(index), error)?;
            }
            list.starting_with("")
        }
        None => namespace_list::verify(shared, index, &key).await?,
    };
    for slot in slots {
        report.namespaces += 1;
        let folder = namespace_folder(index, slot.id);
        match slot.verify(index, namespace::Place::new(shared, index, slot.id, &folder)).await {
            Ok(records) => report.records += records,
            // It was deleted while the check went on.
            Err(error) if error.code == ErrorCode::NotFound => report.namespaces -= 1,
            Err(error) => report.note(&folder, error)?,
        }
    }
    Ok(())
}
