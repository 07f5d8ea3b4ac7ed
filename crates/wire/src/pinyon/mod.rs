//! Pinyon's own shapes of what Pinecone has no shape for, under `/pinyon/v1/`. One shape for every date.

mod api_key;
mod cmek;
mod permissions;
mod private_endpoint;
mod project_access;

pub use api_key::{
    BoundedKeyRequest, KeyUse, bounded_key_list, bounded_key_model, create_bounded_key, created_bounded_key, rotate_key, update_bounded_key,
};
pub use cmek::{cmek_list, cmek_model, create_cmek, delete_cmek, list_cmeks, replace_cmek};
pub use permissions::{PermissionsQuery, PermissionsResponse, permissions_query};
pub use private_endpoint::{create_private_endpoint, delete_private_endpoint, private_endpoint_list, private_endpoint_model};
pub use project_access::{project_access_model, put_project_access};
