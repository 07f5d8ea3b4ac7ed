//! pinyon-engine
