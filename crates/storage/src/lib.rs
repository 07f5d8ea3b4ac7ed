//! pinyon-storage
