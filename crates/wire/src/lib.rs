//! Pinecone's shapes and dates, to and from `model`. Pure functions: bytes in, model out; model in, bytes out.
//!
//! A handler does three things: parse, call, render. [`match_path`] finds its [`Route`], which knows the permission, the status of
//! success and the envelope of errors:
//!
//! ```
//! use pinyon_model::{Plane, Usage};
//! use pinyon_wire::{ApiVersion, Matched, Operation, data, match_path};
//!
//! let Ok(Matched::Route(route, _)) = match_path(Plane::Data, "POST", "/vectors/upsert") else { panic!() };
//! assert_eq!(route.operation, Operation::Upsert);
//!
//! let body = br#"{"vectors":[{"id":"a","values":[0.1,0.2]}],"namespace":""}"#;
//! let request = data::UpsertRequest::from_json(body).unwrap();       // or ::from_proto(message)
//! // service.upsert(&cx, &index, request.namespace.name, request.records).await?
//! let answer = data::UpsertResponse { upserted_count: request.records.len() as u32 };
//! assert_eq!(answer.to_json(), br#"{"upsertedCount":1}"#);           // or .into_proto()
//!
//! // What goes wrong is rendered in the envelope of the route.
//! let error = data::UpsertRequest::from_json(b"{}").unwrap_err();
//! assert_eq!(route.envelope(ApiVersion::NEWEST).render(&error).status, 400);
//!
//! // A listing gives the engine `page.limit` and `page.after`, and prints a token made of the last entry of an unfinished page.
//! let request = data::ListRequest::from_query("namespace=a&prefix=doc&limit=10").unwrap();
//! let next = request.page.next_token(Some("doc9"));
//! let answer = data::ListResponse { namespace: request.namespace, ids: vec![], next, usage: Usage::default() };
//! assert!(answer.to_json().starts_with(b"{"));
//! ```
//!
//! On the control plane the caller's date decides the shape:
//!
//! ```
//! use pinyon_wire::{ApiVersion, control};
//!
//! let version = ApiVersion::from_header(Some("2025-10")).unwrap();
//! let body = br#"{"name":"a","dimension":3,"spec":{"serverless":{"cloud":"aws","region":"us-east-1"}}}"#;
//! let spec = control::create_index(version, body).unwrap();
//! // let index = service.create_index(&cx, spec).await?;
//! // let body = control::index_model(version, &index, &host);
//! # assert_eq!(spec.name.unwrap().as_str(), "a");
//! ```

pub mod admin;
mod audit_event;
pub mod control;
pub mod data;
mod error;
mod filter;
#[doc(hidden)]
pub mod fuzz;
mod json;
mod listing;
pub mod login;
mod metadata;
mod namespace_ref;
pub mod oauth;
mod operations;
mod page;
mod percent;
pub mod pinyon;
#[cfg(test)]
mod property_tests;
pub mod proto;
mod timestamp;
mod version;

pub use audit_event::audit_event;
pub use error::{Envelope, RenderedError, grpc_code, http_status};
pub use listing::Listing;
pub use namespace_ref::NamespaceRef;
pub use operations::{Matched, Operation, PathParams, ROUTES, Route, match_path, plane_envelope, unknown_route};
pub use page::Page;
pub use timestamp::{parse_rfc3339, rfc3339};
pub use version::{ApiVersion, VERSION_HEADER};
