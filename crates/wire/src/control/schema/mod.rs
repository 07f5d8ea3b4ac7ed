//! 2026-07: `schema` and `deployment`.

mod configure;
mod create;
mod field;
mod print;

pub(super) use configure::configure;
pub(super) use create::create;
pub(super) use print::{IndexOut, SchemaOut};
