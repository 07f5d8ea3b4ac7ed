use std::sync::Arc;

use pinyon_engine::Clock;
use pinyon_model::{Error, Principal, ProjectId, Result};

use crate::{CreatedApiKey, ServiceOptions};

pub(crate) fn later<T>() -> Result<T> {
    Err(Error::unimplemented("Not there yet"))
}

/// One data directory, opened: everything that can be asked of it.
pub struct Service {
    default_project: ProjectId,
}

impl Service {
    /// Opens a data directory, or makes one: takes its lock, then opens keys, audit log, catalog and engine in this order, and ends
    /// what a deletion that was cut short left behind. `Unavailable` when another process has it, `DataLoss` (naming the file) when
    /// something is damaged, `FailedPrecondition` when the root key is another or the catalog fell back in time.
    pub async fn open(options: ServiceOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let _ = (options, clock);
        later()
    }

    /// The key that was made when the data directory was; there once, for whoever asks first.
    pub fn take_bootstrap_key(&self) -> Option<CreatedApiKey> {
        None
    }

    /// Who holds this secret. `source` is the caller's address, which unknown secrets are counted by.
    pub async fn authenticate(&self, secret: Option<&str>, source: &str) -> Result<Arc<Principal>> {
        let _ = (secret, source);
        later()
    }

    /// The project that the first start made, and that the operator's control-plane calls act on.
    pub fn default_project(&self) -> ProjectId {
        self.default_project
    }

    /// Whether the next request can be served: the catalog and the audit log can be written.
    pub fn is_ready(&self) -> bool {
        false
    }

    /// Ends background work and writes what is still counted. Everything acknowledged is durable without it.
    pub async fn close(&self) {}
}
