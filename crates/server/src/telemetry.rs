//! Log lines, on standard error. What is logged never holds a secret: their types print nothing, and headers and bodies are not logged.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogFormat};

/// Starts logging for the rest of the process.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        ConfigError::new(format!("--log is '{filter}': {e}; off, error, warn, info, debug or a tracing filter is expected"))
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| ConfigError::new(e.to_string()))
}
