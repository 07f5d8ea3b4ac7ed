//! The check: reads every stored byte of the engine and names what is damaged.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use pinyon_model::{Error, ErrorCode, IndexId, IndexRecall, NamespaceRecall, Recall, Result};

use crate::{
    Engine, IndexHandle, backup,
    error::stored,
    namespace,
    namespace_list::{self, NamespaceList, list_folder, namespace_folder},
    shared::Shared,
    slot::Slot,
};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckReport {
    /// Indexes looked at.
    pub indexes: u64,
    /// Namespaces looked at.
    pub namespaces: u64,
    /// Backups looked at.
    pub backups: u64,
    /// Indexes and backups that were not looked at, since the customer's key above theirs is not available.
    pub locked: u64,
    /// Files there are of namespaces and of their lists.
    pub files: u64,
    /// Their bytes, all of which were read but for those of damaged namespaces.
    pub bytes: u64,
    /// Live records of the namespaces that could be read.
    pub records: u64,
    /// The recall of approximate search, of each index that has any.
    pub recall: Vec<CheckedRecall>,
    /// What is damaged; empty when all is well.
    pub damaged: Vec<DamagedFile>,
}

/// The recall of one index.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedRecall {
    /// Which.
    pub index: IndexId,
    /// How it was measured: by live queries since the namespaces were first opened; or, of namespaces without such, by probes made of their
    /// own vectors, with noise.
    pub live: bool,
    /// What was measured.
    pub recall: Recall,
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
    /// Takes note of damage and of what is locked; any other error ends the check, for it says nothing about what is stored.
    fn note(&mut self, folder: &str, error: Error) -> Result<()> {
        if error.code == ErrorCode::Forbidden {
            self.locked += 1;
            return Ok(());
        }
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
        let list = list.as_ref();
        if let Err(error) = check_index(shared, index, list, &mut report).await {
            report.note(&Engine::index_folder(index), error)?;
        }
    }
    check_backups(shared, &mut report).await?;
    Ok(report)
}

/// Every backup that has a manifest: one without is being stored, or is left over from what a crash cut short.
async fn check_backups(shared: &Arc<Shared>, report: &mut CheckReport) -> Result<()> {
    for id in backup::all(shared).await? {
        match backup::check(shared, id).await {
            Ok(Some(summary)) => {
                report.backups += 1;
                report.bytes += summary.bytes;
            }
            Ok(None) => {}
            Err(error) => report.note(&Engine::backup_folder(id), error)?,
        }
    }
    Ok(())
}

async fn check_index(shared: &Arc<Shared>, index: IndexId, list: Option<&Arc<NamespaceList>>, report: &mut CheckReport) -> Result<()> {
    let key = shared.keys.index_key(index).map_err(stored)?;
    let slots: Vec<Arc<Slot>> = match list {
        Some(list) => {
            if let Err(error) = list.verify().await {
                report.note(&list_folder(index), error)?;
            }
            list.starting_with("").into_iter().chain(list.kept_slots()).collect()
        }
        None => namespace_list::verify(shared, index, &key).await?,
    };
    let (mut live, mut probes) = (Vec::new(), Vec::new());
    for slot in slots {
        report.namespaces += 1;
        let folder = namespace_folder(index, slot.id);
        match slot.verify(index, namespace::Place::new(shared, index, slot.id, &folder)).await {
            Ok(verified) => {
                report.records += verified.records;
                probes.extend(verified.probes);
                live.extend(slot.measured().and_then(|measured| {
                    Some(NamespaceRecall { namespace: slot.name.clone(), recall: measured.recall()?, effort: measured.effort() })
                }));
            }
            // It was deleted while the check went on.
            Err(error) if error.code == ErrorCode::NotFound => report.namespaces -= 1,
            Err(error) => report.note(&folder, error)?,
        }
    }
    let live = IndexRecall::of(live).total;
    let measured = [(true, live), (false, of_probes(&probes))].into_iter().filter(|(_, recall)| recall.samples > 0);
    report.recall.extend(measured.map(|(live, recall)| CheckedRecall { index, live, recall }));
    Ok(())
}

fn of_probes(recalls: &[f64]) -> Recall {
    if recalls.is_empty() {
        return Recall::default();
    }
    let mean = recalls.iter().sum::<f64>() / recalls.len() as f64;
    Recall { samples: recalls.len() as u64, mean, worst: recalls.iter().copied().fold(1.0, f64::min) }
}
