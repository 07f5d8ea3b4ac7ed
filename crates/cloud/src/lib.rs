//! pinyon-cloud
