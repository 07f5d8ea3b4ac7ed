//! Pinecone's published limits, in one place. The ones an operator may change are settings of `service`; these are the
//! ones that make a value valid.

/// Bytes of a record id, a namespace name or a list prefix.
pub const ID_LEN_MAX: usize = 512;
/// Values of a dense vector.
pub const DIMENSION_MAX: usize = 20_000;
/// Non-zero values of a sparse vector.
pub const SPARSE_NONZERO_MAX: usize = 2_048;
/// Bytes of one record's metadata, see [`crate::Metadata::size_bytes`].
pub const METADATA_BYTES_MAX: usize = 40 * 1024;
/// Records of one upsert.
pub const UPSERT_RECORDS_MAX: usize = 1_000;
/// Counted bytes of one upsert, see [`crate::Record::size_bytes`].
pub const UPSERT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Ids of one fetch or delete.
pub const IDS_MAX: usize = 1_000;
/// Matches of one query, and records of one fetch by metadata.
pub const TOP_K_MAX: u32 = 10_000;
/// Counted bytes of one answer that carries records.
pub const RESULT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Entries of one page of ids or namespaces.
pub const LIST_LIMIT_MAX: u32 = 100;
/// Records of one fetch by metadata when the caller names no limit.
pub const FETCH_BY_METADATA_LIMIT_DEFAULT: u32 = 100;
/// Values of one `$in` or `$nin`.
pub const FILTER_LIST_MAX: usize = 10_000;
/// How deep `$and`, `$or` and `$not` may nest.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Conditions of one filter, `$and`, `$or` and `$not` counted too.
pub const FILTER_NODES_MAX: usize = 4_096;
/// Fields of one metadata schema.
pub const METADATA_SCHEMA_FIELDS_MAX: usize = 50;
/// Bytes of the name of an index, a collection or a backup.
pub const RESOURCE_NAME_LEN_MAX: usize = 45;
/// Characters of a backup's name in the dates before 2026-07, which have no rule for it.
pub const BACKUP_NAME_LEN_MAX: usize = 512;
/// Characters of a backup's description.
pub const BACKUP_DESCRIPTION_LEN_MAX: usize = 2_048;
/// Characters of a backup schedule's name.
pub const BACKUP_SCHEDULE_NAME_LEN_MAX: usize = 80;
/// Days for which a schedule may have its backups kept: ten years.
pub const BACKUP_RETENTION_DAYS_MAX: u32 = 3_650;
/// Tags of one index.
pub const TAGS_MAX: usize = 20;
/// Bytes of a tag's key.
pub const TAG_KEY_LEN_MAX: usize = 80;
/// Bytes of a tag's value.
pub const TAG_VALUE_LEN_MAX: usize = 120;
/// Bytes of a schema field's name.
pub const FIELD_NAME_LEN_MAX: usize = 64;
/// Bytes of a schema field's description.
pub const FIELD_DESCRIPTION_LEN_MAX: usize = 256;
/// Characters of a project's name.
pub const PROJECT_NAME_LEN_MAX: usize = 512;
/// Characters of an organization's name.
pub const ORGANIZATION_NAME_LEN_MAX: usize = 512;
/// Characters of an API key's name.
pub const API_KEY_NAME_LEN_MAX: usize = 80;
/// Indexes that an API key can be restricted to.
pub const KEY_INDEXES_MAX: usize = 100;
/// Namespaces that an API key can be restricted to.
pub const KEY_NAMESPACES_MAX: usize = 100;
/// Networks that an API key can be restricted to.
pub const KEY_NETWORKS_MAX: usize = 100;
/// Milliseconds for which a rotated key's earlier secret may go on working: a day.
pub const KEY_OVERLAP_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Characters of the name of a customer-managed key.
pub const CMEK_NAME_LEN_MAX: usize = 80;
/// Customer-managed keys of a project.
pub const CMEKS_PER_PROJECT_MAX: usize = 20;
/// Characters of a service account's name.
pub const SERVICE_ACCOUNT_NAME_LEN_MAX: usize = 80;
/// Characters of a user's name.
pub const USER_NAME_LEN_MAX: usize = 256;
/// Private endpoints of a project, as Pinecone has them.
pub const PRIVATE_ENDPOINTS_MAX: usize = 10;
/// Networks that a private project answers beside its private endpoints.
pub const ACCESS_NETWORKS_MAX: usize = 100;
