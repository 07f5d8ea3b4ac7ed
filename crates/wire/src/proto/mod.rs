//! The messages of the gRPC `VectorService`, generated from `proto/vector_service.proto` by `cargo run -p xtask -- proto`.

#[allow(missing_docs, reason = "the proto file documents them")]
#[rustfmt::skip]
mod generated;

pub use generated::*;
