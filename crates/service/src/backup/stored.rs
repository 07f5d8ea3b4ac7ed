//! A backup as bytes: what its catalog row and its descriptor hold.

use pinyon_model::{
    Backup, BackupCounts, BackupId, BackupKind, BackupScheduleId, BackupStatus, CmekId, CollectionName, IndexId, IndexName, ProjectId,
    Result, Tags,
};

use crate::{
    codec::{Reader, Writer},
    index::{read_deployment, read_schema, write_deployment, write_schema},
};

pub(crate) fn write(backup: &Backup, w: &mut Writer) {
    let Backup {
        id: _,
        project_id: _,
        source_index_id,
        source_index_name,
        source_index_deleted_at_ms,
        kind,
        status,
        schema,
        deployment,
        tags,
        cmek_id,
        created_at_ms,
        schedule_id,
        expires_at_ms,
    } = backup;
    w.raw(source_index_id.as_bytes()).text(source_index_name.as_str());
    number(w, *source_index_deleted_at_ms);
    match kind {
        BackupKind::Backup { name, description } => {
            w.u8(0);
            text(w, name.as_deref());
            text(w, description.as_deref());
        }
        BackupKind::Collection(name) => {
            w.u8(1).text(name.as_str());
        }
    }
    match status {
        BackupStatus::Initializing => w.u8(0),
        BackupStatus::Ready(BackupCounts { namespaces, records, bytes }) => w.u8(1).u64(*namespaces).u64(*records).u64(*bytes),
        BackupStatus::Failed(reason) => w.u8(2).text(reason),
    };
    write_schema(w, schema);
    write_deployment(w, deployment);
    w.map(tags.pairs()).option(*cmek_id, |w, id| {
        w.raw(id.as_bytes());
    });
    w.u64(*created_at_ms);
    w.option(*schedule_id, |w, id| {
        w.raw(id.as_bytes());
    });
    number(w, *expires_at_ms);
}

pub(crate) fn read(id: BackupId, project_id: ProjectId, r: &mut Reader<'_>) -> Result<Backup> {
    Ok(Backup {
        id,
        project_id,
        source_index_id: IndexId::from_bytes(r.array()?),
        source_index_name: IndexName::new(&r.text()?)?,
        source_index_deleted_at_ms: r.option(Reader::u64)?,
        kind: match r.u8()? {
            0 => BackupKind::Backup { name: r.option(Reader::text)?, description: r.option(Reader::text)? },
            1 => BackupKind::Collection(CollectionName::new(&r.text()?)?),
            _ => return Err(r.malformed()),
        },
        status: match r.u8()? {
            0 => BackupStatus::Initializing,
            1 => BackupStatus::Ready(BackupCounts { namespaces: r.u64()?, records: r.u64()?, bytes: r.u64()? }),
            2 => BackupStatus::Failed(r.text()?),
            _ => return Err(r.malformed()),
        },
        schema: read_schema(r)?,
        deployment: read_deployment(r)?,
        tags: Tags::new(r.map()?)?,
        cmek_id: r.option(|r| Ok(CmekId::from_bytes(r.array()?)))?,
        created_at_ms: r.u64()?,
        schedule_id: r.option(|r| Ok(BackupScheduleId::from_bytes(r.array()?)))?,
        expires_at_ms: r.option(Reader::u64)?,
    })
}

fn text(w: &mut Writer, value: Option<&str>) {
    w.option(value, |w, t| {
        w.text(t);
    });
}

fn number(w: &mut Writer, value: Option<u64>) {
    w.option(value, |w, n| {
        w.u64(n);
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{option, prelude::*};

    use super::*;
    use crate::index::stored_index;

    fn kind() -> impl Strategy<Value = BackupKind> {
        prop_oneof![
            (option::of("[ -~]{1,60}"), option::of("[ -~]{1,60}")).prop_map(|(name, description)| BackupKind::Backup { name, description }),
            "[a-z0-9]{1,45}".prop_map(|name| BackupKind::Collection(CollectionName::new(&name).unwrap())),
        ]
    }

    fn status() -> impl Strategy<Value = BackupStatus> {
        prop_oneof![
            Just(BackupStatus::Initializing),
            any::<(u64, u64, u64)>().prop_map(|(namespaces, records, bytes)| BackupStatus::Ready(BackupCounts {
                namespaces,
                records,
                bytes
            })),
            "[ -~]{0,60}".prop_map(BackupStatus::Failed),
        ]
    }

    pub(crate) fn backup() -> impl Strategy<Value = Backup> {
        let numbers = (option::of(any::<u64>()), any::<u64>(), option::of(any::<[u8; 16]>()), option::of(any::<u64>()));
        (stored_index(), any::<[u8; 16]>(), kind(), status(), numbers).prop_map(
            |(stored, id, kind, status, (source_index_deleted_at_ms, created_at_ms, schedule, expires_at_ms))| Backup {
                id: BackupId::from_bytes(id),
                project_id: stored.index.project_id,
                source_index_id: stored.index.id,
                source_index_name: stored.index.name,
                source_index_deleted_at_ms,
                kind,
                status,
                schema: stored.index.schema,
                deployment: stored.index.deployment,
                tags: stored.index.tags,
                cmek_id: stored.index.cmek_id,
                created_at_ms,
                schedule_id: schedule.map(BackupScheduleId::from_bytes),
                expires_at_ms,
            },
        )
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(backup in backup()) {
            let mut w = Writer::default();
            write(&backup, &mut w);
            let bytes = w.finish();
            for len in 0..bytes.len() {
                let mut r = Reader::new("A backup", &bytes[..len]);
                prop_assert!(read(backup.id, backup.project_id, &mut r).and_then(|_| r.end()).is_err(), "cut to {} bytes", len);
            }
            let mut r = Reader::new("A backup", &bytes);
            prop_assert_eq!(&read(backup.id, backup.project_id, &mut r).unwrap(), &backup);
            r.end().unwrap();
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(BackupId::from_bytes([0; 16]), ProjectId::from_bytes([0; 16]), &mut Reader::new("A backup", &bytes));
        }
    }
}
