//! Dates up to 2026-04: `dimension`, `metric` and `spec`.

mod configure;
mod create;
mod print;

pub(super) use configure::configure;
pub(super) use create::create;
pub(super) use print::IndexOut;
