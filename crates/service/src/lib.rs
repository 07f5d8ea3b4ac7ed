//! pinyon-service
