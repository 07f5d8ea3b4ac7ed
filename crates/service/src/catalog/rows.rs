//! A noun and its row. What is not needed to find a row is sealed; the seal also covers what is not sealed (ids, owner, keyed
//! hashes, port) and the table's name, so that no column can be changed and no row moved.

use std::sync::Arc;

use pinyon_model::{ApiKeyId, Error, ErrorCode, OrganizationId, ProjectId, Result, Role};
use pinyon_storage::DataKey;

use crate::{
    ApiKeyInfo, Organization, Project,
    codec::{Reader, Writer},
    index::StoredIndex,
};

/// The format of what is sealed in a row.
pub(super) const FORMAT: u8 = 1;

/// The file's name in the data directory.
pub(crate) const FILE: &str = "catalog.db";

/// The tables that hold nouns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Organizations,
    Projects,
    ApiKeys,
    Indexes,
}

impl Table {
    pub(super) const ALL: [Table; 4] = [Table::Organizations, Table::Projects, Table::ApiKeys, Table::Indexes];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Table::Organizations => "organizations",
            Table::Projects => "projects",
            Table::ApiKeys => "api_keys",
            Table::Indexes => "indexes",
        }
    }
}

/// One row as it lies in the file.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) table: Table,
    pub(super) id: [u8; 16],
    /// The organization of a project, the project of a key or an index.
    pub(super) owner: Option<[u8; 16]>,
    /// The keyed hash of a key's secret or of an index's name.
    pub(super) lookup: Option<[u8; 32]>,
    pub(super) port: Option<u16>,
    pub(super) sealed: Vec<u8>,
}

/// What a row stands for.
#[derive(Debug, Clone)]
pub(crate) enum Noun {
    Organization(Organization),
    Project(Project),
    ApiKey(StoredApiKey),
    Index(StoredIndex),
}

/// An API key with the keyed hash of its secret.
#[derive(Debug, Clone)]
pub(crate) struct StoredApiKey {
    pub(crate) info: ApiKeyInfo,
    pub(crate) secret_hash: [u8; 32],
}

/// Seals rows, opens them and hashes what they are found by.
pub(super) struct RowSealer(pub(super) Arc<DataKey>);

impl RowSealer {
    pub(super) fn name_hash(&self, project: ProjectId, name: &str) -> [u8; 32] {
        let mut w = Writer::default();
        w.raw(project.as_bytes()).text(name);
        self.0.mac("catalog index name", &w.finish())
    }

    /// The row's part of the digest.
    pub(super) fn mac(&self, row: &Row) -> [u8; 32] {
        let mut bytes = row.context();
        bytes.extend_from_slice(&row.sealed);
        self.0.mac("catalog row", &bytes)
    }

    pub(super) fn seal(&self, noun: &Noun) -> Row {
        let mut w = Writer::default();
        w.u8(FORMAT);
        let (table, id, owner, lookup, port) = match noun {
            Noun::Organization(o) => {
                w.text(&o.name).u64(o.created_at_ms);
                (Table::Organizations, *o.id.as_bytes(), None, None, None)
            }
            Noun::Project(p) => {
                w.text(&p.name).u64(p.created_at_ms);
                (Table::Projects, *p.id.as_bytes(), Some(*p.organization_id.as_bytes()), None, None)
            }
            Noun::ApiKey(k) => {
                let info = &k.info;
                w.text(&info.name).text(&info.hint).u64(info.created_at_ms).u32(u32::try_from(info.roles.len()).unwrap_or(u32::MAX));
                info.roles.iter().for_each(|r| {
                    w.text(r.as_str());
                });
                (Table::ApiKeys, *info.id.as_bytes(), Some(*info.project_id.as_bytes()), Some(k.secret_hash), None)
            }
            Noun::Index(i) => {
                i.write(&mut w);
                let hash = self.name_hash(i.index.project_id, i.index.name.as_str());
                (Table::Indexes, *i.index.id.as_bytes(), Some(*i.index.project_id.as_bytes()), Some(hash), i.index.port)
            }
        };
        let mut row = Row { table, id, owner, lookup, port, sealed: Vec::new() };
        row.sealed = self.0.seal(&row.context(), &w.finish());
        row
    }

    pub(super) fn open(&self, row: &Row) -> Result<Noun> {
        let what = || damaged(format!("a row of its table {} was changed", row.table.name()));
        let plain = self.0.open(&row.context(), &row.sealed).map_err(|_| what())?;
        let mut r = Reader::new("A row of catalog.db", &plain);
        if r.u8()? != FORMAT {
            return Err(r.malformed());
        }
        let owner = || row.owner.ok_or_else(what);
        let noun = match row.table {
            Table::Organizations => {
                Noun::Organization(Organization { id: OrganizationId::from_bytes(row.id), name: r.text()?, created_at_ms: r.u64()? })
            }
            Table::Projects => Noun::Project(Project {
                id: ProjectId::from_bytes(row.id),
                organization_id: OrganizationId::from_bytes(owner()?),
                name: r.text()?,
                created_at_ms: r.u64()?,
            }),
            Table::ApiKeys => Noun::ApiKey(StoredApiKey {
                info: ApiKeyInfo {
                    id: ApiKeyId::from_bytes(row.id),
                    project_id: ProjectId::from_bytes(owner()?),
                    name: r.text()?,
                    hint: r.text()?,
                    created_at_ms: r.u64()?,
                    roles: r.list(|r| Role::parse(&r.text()?))?,
                },
                secret_hash: row.lookup.ok_or_else(what)?,
            }),
            Table::Indexes => {
                let stored = StoredIndex::read(&mut r)?;
                let same = stored.index.id.as_bytes() == &row.id
                    && Some(*stored.index.project_id.as_bytes()) == row.owner
                    && stored.index.port == row.port
                    && row.lookup == Some(self.name_hash(stored.index.project_id, stored.index.name.as_str()));
                if !same {
                    return Err(what());
                }
                Noun::Index(stored)
            }
        };
        r.end()?;
        Ok(noun)
    }
}

impl Row {
    /// What its seal is bound to: the table and every column that is not sealed.
    fn context(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.text(self.table.name()).raw(&self.id);
        w.option(self.owner, |w, o| {
            w.raw(&o);
        });
        w.option(self.lookup, |w, l| {
            w.raw(&l);
        });
        w.option(self.port, |w, p| {
            w.u32(u32::from(p));
        });
        w.finish()
    }
}

/// Damage of the catalog, with what helps.
pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataLoss, format!("{FILE} is damaged: {what}. 'pinyon catalog rebuild' makes it anew from the indexes"))
}
