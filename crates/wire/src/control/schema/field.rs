//! The fields a schema may declare, and the rules that hold among them.

use std::collections::BTreeMap;

use pinyon_model::{
    Dimension, Error, IndexSchema, Metric, Result, SchemaField, excerpt,
    limits::{DIMENSION_MAX, FIELD_DESCRIPTION_LEN_MAX, FIELD_NAME_LEN_MAX},
};
use serde::{Deserialize, de::IgnoredAny};

/// Fields with full-text search in one schema.
const FULL_TEXT_FIELDS_MAX: usize = 100;
const DECLARABLE: &str = "dense_vector, sparse_vector, and string with full_text_search, embed or sparse_embed can be declared";

/// One field of a create. An unknown `type`, `integer` among them, does not fit the shape: a 422.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FieldBody {
    DenseVector {
        dimension: i64,
        metric: String,
        #[serde(default)]
        description: Option<String>,
    },
    SparseVector {
        #[serde(default)]
        metric: Option<String>,
        #[serde(default)]
        description: Option<String>,
    },
    String {
        #[serde(default)]
        description: Option<String>,
        #[serde(default)]
        filterable: Option<bool>,
        #[serde(default)]
        full_text_search: Option<IgnoredAny>,
        #[serde(default)]
        embed: Option<IgnoredAny>,
        #[serde(default)]
        sparse_embed: Option<IgnoredAny>,
        #[serde(default)]
        store_text: Option<bool>,
    },
    SemanticText {},
    StringList {},
    Boolean {},
    Float {},
}

/// What the rules among fields count.
#[derive(Default)]
struct Slots {
    dense: usize,
    sparse: usize,
    full_text: usize,
    documents: bool,
    reserved: bool,
}

/// Checks the declared fields and makes the schema of a vector index of them. Fields that make a document index are checked too, and
/// then answered with a 501.
pub(super) fn schema(fields: BTreeMap<String, FieldBody>, cmek: bool) -> Result<IndexSchema> {
    if fields.is_empty() {
        return Err(Error::invalid(format!("Schema needs at least one field; {DECLARABLE}")));
    }
    let mut slots = Slots::default();
    let mut made = BTreeMap::new();
    let mut document = None;
    for (name, field) in fields {
        name_rules(&name, &field, &mut slots)?;
        match field.check(&name, &mut slots)? {
            Some(field) if slots_reserved(&name) => {
                made.insert(name, field);
            }
            _ => document = document.or(Some(name)),
        }
    }
    slots.check(cmek)?;
    match document {
        None => IndexSchema::new(made),
        Some(name) => Err(Error::unimplemented(format!(
            "Schema field '{}' makes this a document index, which is not supported by this server yet; a vector index has the fields '{}' and '{}'",
            excerpt(&name),
            IndexSchema::DENSE,
            IndexSchema::SPARSE
        ))),
    }
}

fn slots_reserved(name: &str) -> bool {
    name == IndexSchema::DENSE || name == IndexSchema::SPARSE
}

fn name_rules(name: &str, field: &FieldBody, slots: &mut Slots) -> Result<()> {
    let wrong = |why: &str| Err(Error::invalid(format!("Schema field '{}' is not valid: {why}", excerpt(name))));
    if name.is_empty() || name.len() > FIELD_NAME_LEN_MAX {
        return wrong(&format!("a name has 1 to {FIELD_NAME_LEN_MAX} bytes"));
    }
    if name.starts_with('$') {
        return wrong("a name does not start with '$'");
    }
    match (name, field) {
        (IndexSchema::DENSE, FieldBody::DenseVector { .. }) | (IndexSchema::SPARSE, FieldBody::SparseVector { .. }) => {
            slots.reserved = true
        }
        (IndexSchema::DENSE, _) => return wrong("it is reserved for a dense_vector"),
        (IndexSchema::SPARSE, _) => return wrong("it is reserved for a sparse_vector"),
        _ if name.starts_with('_') => return wrong("names that start with '_' are reserved, except '_values' and '_sparse_values'"),
        _ => slots.documents = true,
    }
    Ok(())
}

impl FieldBody {
    /// The field of a vector index that this is, if it is one.
    fn check(self, name: &str, slots: &mut Slots) -> Result<Option<SchemaField>> {
        let shown = excerpt(name);
        match self {
            FieldBody::DenseVector { dimension, metric, description } => {
                slots.dense += 1;
                let description = described(name, description)?;
                let dimension = u32::try_from(dimension).map_or_else(
                    |_| Err(Error::invalid(format!("Dimension is {dimension}; it must be between 1 and {DIMENSION_MAX}"))),
                    Dimension::new,
                )?;
                Ok(Some(SchemaField::DenseVector { dimension, metric: Metric::parse(&metric)?, description }))
            }
            FieldBody::SparseVector { metric, description } => {
                slots.sparse += 1;
                let description = described(name, description)?;
                match metric.as_deref() {
                    None | Some("dotproduct") => Ok(Some(SchemaField::SparseVector { description })),
                    Some(other) => {
                        Err(Error::invalid(format!("The metric of sparse field '{shown}' is '{}'; dotproduct is allowed", excerpt(other))))
                    }
                }
            }
            FieldBody::String { description, filterable, full_text_search, embed, sparse_embed, store_text } => {
                described(name, description)?;
                let (full_text, embedded) = (full_text_search.is_some(), embed.is_some() || sparse_embed.is_some());
                slots.dense += usize::from(embed.is_some());
                slots.sparse += usize::from(sparse_embed.is_some());
                slots.full_text += usize::from(full_text);
                if !full_text && !embedded {
                    return Err(metadata_only(&shown, "string"));
                }
                if filterable.is_some() {
                    return Err(Error::invalid(format!("String field '{shown}' is searchable and cannot have 'filterable' too")));
                }
                if store_text == Some(false) && (full_text || !embedded) {
                    return Err(Error::invalid(format!(
                        "String field '{shown}' has store_text false, which needs embed or sparse_embed and excludes full_text_search"
                    )));
                }
                Ok(None)
            }
            FieldBody::SemanticText {} => {
                Err(Error::invalid(format!("Field '{shown}' of type semantic_text cannot be declared; {DECLARABLE}")))
            }
            FieldBody::StringList {} => Err(metadata_only(&shown, "string_list")),
            FieldBody::Boolean {} => Err(metadata_only(&shown, "boolean")),
            FieldBody::Float {} => Err(metadata_only(&shown, "float")),
        }
    }
}

fn described(name: &str, description: Option<String>) -> Result<Option<String>> {
    match description {
        Some(d) if d.len() > FIELD_DESCRIPTION_LEN_MAX => Err(Error::invalid(format!(
            "The description of field '{}' has {} bytes; at most {FIELD_DESCRIPTION_LEN_MAX} are allowed",
            excerpt(name),
            d.len()
        ))),
        other => Ok(other),
    }
}

fn metadata_only(name: &str, kind: &str) -> Error {
    Error::invalid(format!("Field '{name}' of type {kind} is metadata, which is indexed without being declared; {DECLARABLE}"))
}

impl Slots {
    fn check(&self, cmek: bool) -> Result<()> {
        let at_most_one = "a schema has at most one dense and one sparse vector field, embedded strings included";
        if self.dense > 1 || self.sparse > 1 {
            return Err(Error::invalid(format!("Schema has {} dense and {} sparse vector fields; {at_most_one}", self.dense, self.sparse)));
        }
        if self.full_text > FULL_TEXT_FIELDS_MAX {
            return Err(Error::invalid(format!(
                "Schema has {} fields with full_text_search; at most {FULL_TEXT_FIELDS_MAX} are allowed",
                self.full_text
            )));
        }
        if self.reserved && self.documents {
            return Err(Error::invalid("The reserved fields '_values' and '_sparse_values' cannot stand beside fields of other names"));
        }
        if cmek && self.full_text > 0 {
            return Err(Error::invalid("A schema with full_text_search cannot be encrypted with cmek_id"));
        }
        Ok(())
    }
}
