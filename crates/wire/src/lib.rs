//! pinyon-wire
