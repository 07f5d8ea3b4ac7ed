//! The nouns of Pinyon and what makes them valid.
//!
//! Nothing here reads a clock, draws a random number, touches a file or knows how a value looks on the wire. A value of
//! one of these types has been checked once, where it was made; whoever holds it may rely on it.

mod deployment;
mod error;
mod explain;
mod filter;
mod id;
mod index;
pub mod limits;
mod metadata;
mod namespace;
mod principal;
mod query;
mod recall;
mod record;
mod tags;
mod text;
mod vector;

pub use deployment::{DedicatedCapacity, Deployment, ReadCapacity, ReadCapacityChange};
pub use error::{Error, ErrorCode, Result};
pub use explain::{Explain, SearchPlan, SegmentExplain};
pub use filter::{Condition, Filter, Scalar};
pub use id::{ApiKeyId, IndexId, NamespaceId, ObjectId, OrganizationId, ProjectId};
pub use index::{
    DeletionProtection, Dimension, Index, IndexChange, IndexName, IndexSchema, IndexSpec, IndexState, Metric, SchemaField, VectorShape,
    VectorType,
};
pub use metadata::{Metadata, MetadataValue};
pub use namespace::{MetadataSchema, NamespaceDescription, NamespaceName, Prefix};
pub use principal::{Permission, Plane, Principal, Role};
pub use query::{DeleteSelector, ListPage, Match, Query, QueryTarget, TopK, Update, UpdateTarget, Usage};
pub use recall::{IndexRecall, NamespaceRecall, RECALL_TARGET, Recall};
pub use record::{Lsn, Record, RecordId};
pub use tags::Tags;
pub use vector::{DenseVector, SparseVector};
