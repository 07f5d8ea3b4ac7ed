//! An index as bytes: what its catalog row and its descriptor hold.

use std::collections::BTreeMap;

use pinyon_model::{
    BackupId, CmekId, CollectionName, DedicatedCapacity, DeletionProtection, Deployment, Dimension, Index, IndexId, IndexName, IndexSchema,
    IndexSource, IndexState, Metric, ProjectId, ReadCapacity, Result, SchemaField, Tags,
};

use crate::codec::{Reader, Writer};

/// An index, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredIndex {
    pub(crate) index: Index,
    /// Milliseconds since 1970.
    pub(crate) created_at_ms: u64,
}

impl StoredIndex {
    pub(crate) fn write(&self, w: &mut Writer) {
        let Index { id, project_id, name, schema, deployment, read_capacity, deletion_protection, tags, cmek_id, state, port, source } =
            &self.index;
        w.raw(id.as_bytes()).raw(project_id.as_bytes()).u64(self.created_at_ms).text(name.as_str());
        write_schema(w, schema);
        write_deployment(w, deployment);
        match read_capacity {
            ReadCapacity::OnDemand => w.u8(0),
            ReadCapacity::Dedicated(d) => w.u8(1).text(&d.node_type).u32(d.shards).u32(d.replicas),
        };
        w.u8(u8::from(*deletion_protection == DeletionProtection::Enabled)).map(tags.pairs());
        w.option(*port, |w, p| {
            w.u32(u32::from(p));
        });
        w.option(*cmek_id, |w, id| {
            w.raw(id.as_bytes());
        });
        w.u8(match state {
            IndexState::Ready | IndexState::Terminating => 0,
            IndexState::Initializing => 1,
            IndexState::InitializationFailed => 2,
        });
        w.option(source.as_ref(), |w, source| {
            match source {
                IndexSource::Backup(id) => w.u8(0).raw(id.as_bytes()),
                IndexSource::Collection(name) => w.u8(1).text(name.as_str()),
            };
        });
    }

    /// `format` is that of a row; before 4, an index was ready, made from nothing, and under no customer's key.
    pub(crate) fn read(r: &mut Reader<'_>, format: u8) -> Result<Self> {
        let (id, project_id) = (IndexId::from_bytes(r.array()?), ProjectId::from_bytes(r.array()?));
        let created_at_ms = r.u64()?;
        let name = IndexName::new(&r.text()?)?;
        let schema = read_schema(r)?;
        let deployment = read_deployment(r)?;
        let read_capacity = match r.u8()? {
            0 => ReadCapacity::OnDemand,
            1 => ReadCapacity::Dedicated(DedicatedCapacity { node_type: r.text()?, shards: r.u32()?, replicas: r.u32()? }),
            _ => return Err(r.malformed()),
        };
        let deletion_protection = match r.u8()? {
            0 => DeletionProtection::Disabled,
            1 => DeletionProtection::Enabled,
            _ => return Err(r.malformed()),
        };
        let tags = Tags::new(r.map()?)?;
        let port = r.option(|r| u16::try_from(r.u32()?).map_err(|_| r.malformed()))?;
        let cmek_id = if format >= 4 { r.option(|r| Ok(CmekId::from_bytes(r.array()?)))? } else { None };
        let (state, source) = if format >= 4 { (read_state(r)?, r.option(read_source)?) } else { (IndexState::Ready, None) };
        let index =
            Index { id, project_id, name, schema, deployment, read_capacity, deletion_protection, tags, cmek_id, state, port, source };
        Ok(Self { index, created_at_ms })
    }
}

fn read_state(r: &mut Reader<'_>) -> Result<IndexState> {
    Ok(match r.u8()? {
        0 => IndexState::Ready,
        1 => IndexState::Initializing,
        2 => IndexState::InitializationFailed,
        _ => return Err(r.malformed()),
    })
}

fn read_source(r: &mut Reader<'_>) -> Result<IndexSource> {
    Ok(match r.u8()? {
        0 => IndexSource::Backup(BackupId::from_bytes(r.array()?)),
        1 => IndexSource::Collection(CollectionName::new(&r.text()?)?),
        _ => return Err(r.malformed()),
    })
}

pub(crate) fn write_schema(w: &mut Writer, schema: &IndexSchema) {
    w.u32(u32::try_from(schema.fields().len()).unwrap_or(u32::MAX));
    for (name, field) in schema.fields() {
        w.text(name);
        write_field(w, field);
    }
}

pub(crate) fn read_schema(r: &mut Reader<'_>) -> Result<IndexSchema> {
    let fields: BTreeMap<_, _> = r.list(|r| Ok((r.text()?, read_field(r)?)))?.into_iter().collect();
    IndexSchema::new(fields)
}

fn description(w: &mut Writer, text: Option<&String>) {
    w.option(text, |w, t| {
        w.text(t);
    });
}

fn write_field(w: &mut Writer, field: &SchemaField) {
    match field {
        SchemaField::DenseVector { dimension, metric, description: d } => {
            let metric = match metric {
                Metric::Cosine => 0,
                Metric::Euclidean => 1,
                Metric::Dotproduct => 2,
            };
            description(w.u8(0).u32(u32::try_from(dimension.get()).unwrap_or(u32::MAX)).u8(metric), d.as_ref());
        }
        SchemaField::SparseVector { description: d } => description(w.u8(1), d.as_ref()),
        SchemaField::Filterable { description: d } => description(w.u8(2), d.as_ref()),
    }
}

fn read_field(r: &mut Reader<'_>) -> Result<SchemaField> {
    Ok(match r.u8()? {
        0 => {
            let dimension = Dimension::new(r.u32()?)?;
            let metric = match r.u8()? {
                0 => Metric::Cosine,
                1 => Metric::Euclidean,
                2 => Metric::Dotproduct,
                _ => return Err(r.malformed()),
            };
            SchemaField::DenseVector { dimension, metric, description: r.option(Reader::text)? }
        }
        1 => SchemaField::SparseVector { description: r.option(Reader::text)? },
        2 => SchemaField::Filterable { description: r.option(Reader::text)? },
        _ => return Err(r.malformed()),
    })
}

pub(crate) fn write_deployment(w: &mut Writer, deployment: &Deployment) {
    match deployment {
        Deployment::Managed { cloud, region } => w.u8(0).text(cloud).text(region),
        Deployment::Pod { environment, pod_type, replicas, shards, indexed } => {
            w.u8(1).text(environment).text(pod_type).u32(*replicas).u32(*shards).option(indexed.as_ref(), |w, fields| {
                w.u32(u32::try_from(fields.len()).unwrap_or(u32::MAX));
                fields.iter().for_each(|f| {
                    w.text(f);
                });
            })
        }
        Deployment::Byoc { environment } => w.u8(2).text(environment),
    };
}

pub(crate) fn read_deployment(r: &mut Reader<'_>) -> Result<Deployment> {
    Ok(match r.u8()? {
        0 => Deployment::Managed { cloud: r.text()?, region: r.text()? },
        1 => Deployment::Pod {
            environment: r.text()?,
            pod_type: r.text()?,
            replicas: r.u32()?,
            shards: r.u32()?,
            indexed: r.option(|r| r.list(Reader::text))?,
        },
        2 => Deployment::Byoc { environment: r.text()? },
        _ => return Err(r.malformed()),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::ROW_FORMAT;

    fn field() -> impl Strategy<Value = SchemaField> {
        let text = || prop::option::of("[ -~]{0,40}");
        prop_oneof![text().prop_map(|description| SchemaField::Filterable { description })]
    }

    fn vector() -> impl Strategy<Value = (&'static str, SchemaField)> {
        let metric = prop_oneof![Just(Metric::Cosine), Just(Metric::Euclidean), Just(Metric::Dotproduct)];
        prop_oneof![
            (1u32..=20_000, metric, prop::option::of("[ -~]{0,40}")).prop_map(|(n, metric, description)| {
                (IndexSchema::DENSE, SchemaField::DenseVector { dimension: Dimension::new(n).unwrap(), metric, description })
            }),
            prop::option::of("[ -~]{0,40}").prop_map(|description| (IndexSchema::SPARSE, SchemaField::SparseVector { description })),
        ]
    }

    fn deployment() -> impl Strategy<Value = Deployment> {
        prop_oneof![
            ("[a-z]{1,6}", "[a-z0-9-]{1,20}").prop_map(|(cloud, region)| Deployment::Managed { cloud, region }),
            ("[a-z-]{1,20}", "[a-z0-9.]{1,8}", 1u32..9, 1u32..9, prop::option::of(prop::collection::vec("[a-z]{1,9}", 0..4))).prop_map(
                |(environment, pod_type, replicas, shards, indexed)| Deployment::Pod { environment, pod_type, replicas, shards, indexed }
            ),
            "[a-z-]{1,20}".prop_map(|environment| Deployment::Byoc { environment }),
        ]
    }

    fn state() -> impl Strategy<Value = IndexState> {
        prop_oneof![Just(IndexState::Ready), Just(IndexState::Initializing), Just(IndexState::InitializationFailed)]
    }

    fn source() -> impl Strategy<Value = IndexSource> {
        prop_oneof![
            any::<[u8; 16]>().prop_map(|id| IndexSource::Backup(BackupId::from_bytes(id))),
            "[a-z0-9]{1,45}".prop_map(|name| IndexSource::Collection(CollectionName::new(&name).unwrap())),
        ]
    }

    pub(crate) fn stored_index() -> impl Strategy<Value = StoredIndex> {
        (
            (any::<[u8; 16]>(), any::<[u8; 16]>(), "[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?", any::<u64>(), any::<bool>()),
            vector(),
            prop::collection::btree_map("[a-z]{1,20}", field(), 0..5),
            deployment(),
            prop::option::of(("[bt]1", 1u32..9, 0u32..9)),
            prop::collection::btree_map("[A-Za-z0-9_-]{1,80}", "[ -~]{1,120}", 0..20),
            (prop::option::of(any::<u16>()), prop::option::of(any::<[u8; 16]>()), state(), prop::option::of(source())),
        )
            .prop_map(
                |(
                    (id, project, name, created_at_ms, protected),
                    vector,
                    mut fields,
                    deployment,
                    dedicated,
                    tags,
                    (port, cmek, state, source),
                )| {
                    fields.insert(vector.0.to_owned(), vector.1);
                    let index = Index {
                        id: IndexId::from_bytes(id),
                        project_id: ProjectId::from_bytes(project),
                        name: IndexName::new(&name).unwrap(),
                        schema: IndexSchema::new(fields).unwrap(),
                        deployment,
                        read_capacity: dedicated.map_or(ReadCapacity::OnDemand, |(node_type, shards, replicas)| {
                            ReadCapacity::Dedicated(DedicatedCapacity { node_type, shards, replicas })
                        }),
                        deletion_protection: if protected { DeletionProtection::Enabled } else { DeletionProtection::Disabled },
                        tags: Tags::new(tags).unwrap(),
                        cmek_id: cmek.map(CmekId::from_bytes),
                        state,
                        port,
                        source,
                    };
                    StoredIndex { index, created_at_ms }
                },
            )
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(stored in stored_index()) {
            let mut w = Writer::default();
            stored.write(&mut w);
            let bytes = w.finish();
            let mut r = Reader::new("An index", &bytes);
            prop_assert_eq!(&StoredIndex::read(&mut r, ROW_FORMAT).unwrap(), &stored);
            r.end().unwrap();
            for len in 0..bytes.len() {
                let mut r = Reader::new("An index", &bytes[..len]);
                prop_assert!(StoredIndex::read(&mut r, ROW_FORMAT).and_then(|_| r.end()).is_err(), "cut to {} bytes", len);
            }
        }
    }
}
