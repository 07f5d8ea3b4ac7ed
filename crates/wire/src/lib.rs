//! Pinecone's shapes and dates, to and from `model`. Pure functions: bytes in, model out; model in, bytes out.
//!
//! A handler does three things: parse, call, render. On the data plane, for a route found with [`match_path`]:
//!
//! ```ignore
//! let request = UpsertRequest::from_json(&body)?;                    // or ::from_proto(message)
//! let count = request.records.len();
//! let ack = service.upsert(&cx, &index, request.namespace.name, request.records).await?;
//! let body = UpsertResponse { upserted_count: count as u32 }.to_json();     // or .into_proto()
//! ```
//!
//! On the control plane the caller's date decides the shape:
//!
//! ```ignore
//! let version = ApiVersion::from_header(headers.get(VERSION_HEADER))?;
//! let spec = control::create_index(version, &body)?;
//! let index = service.create_index(&cx, spec).await?;
//! let body = control::index_model(version, &index, &host_of(&index));
//! ```
//!
//! and an error becomes an answer through its route's envelope: `route.envelope(version).render(&error)`.

pub mod data;
mod error;
mod filter;
mod json;
mod metadata;
mod namespace_ref;
mod operations;
mod page;
mod percent;
pub mod proto;
mod version;

pub use error::{Envelope, RenderedError, grpc_code, http_status};
pub use namespace_ref::NamespaceRef;
pub use operations::{Matched, Operation, PathParams, ROUTES, Route, match_path, plane_envelope, unknown_route};
pub use page::Page;
pub use version::{ApiVersion, VERSION_HEADER};
