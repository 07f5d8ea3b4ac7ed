//! Pinyon's own shapes of what Pinecone has no shape for, under `/pinyon/v1/`. One shape for every date.

mod api_key;
mod permissions;

pub use api_key::{
    BoundedKeyRequest, KeyUse, bounded_key_list, bounded_key_model, create_bounded_key, created_bounded_key, rotate_key, update_bounded_key,
};
pub use permissions::{PermissionsQuery, PermissionsResponse, permissions_query};
