//! The ports of indexes, kept in step with which indexes there are.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, OnceLock},
};

use pinyon_model::{Error, Index, Result};
use pinyon_service::Service;
use tokio::{sync::Mutex, time::Interval};

use crate::listen::Listeners;

/// Opens and closes the ports of indexes. Does nothing when indexes are told apart by name.
#[derive(Default)]
pub(crate) struct IndexPorts {
    listeners: OnceLock<Arc<Listeners>>,
    /// The open ones, and why the others are not. Held while ports change, so that two changes do not meet.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Vec<u16>,
    failed: BTreeMap<u16, io::Error>,
}

impl IndexPorts {
    /// From now on, indexes have ports here.
    pub(crate) fn use_listeners(&self, listeners: Arc<Listeners>) {
        // A second call would come from a second start of the same server, which there is none of.
        let _ = self.listeners.set(listeners);
    }

    /// Opens the ports of indexes that have come, closes those of indexes that have gone.
    pub(crate) async fn follow(&self, service: &Service) {
        let Some(listeners) = self.listeners.get() else { return };
        let mut state = self.state.lock().await;
        let wanted = service.index_ports();
        for gone in state.open.extract_if(.., |port| wanted.binary_search(port).is_err()) {
            listeners.close(gone);
        }
        state.failed.clear();
        for port in wanted {
            if state.open.contains(&port) {
                continue;
            }
            match listeners.open_index(port).await {
                Ok(()) => state.open.push(port),
                Err(error) => {
                    tracing::error!(port, %error, "cannot open an index's port; trying again");
                    state.failed.insert(port, error);
                }
            }
        }
    }

    /// Opens the port of a new index; once this returns, its first request succeeds.
    pub(crate) async fn open(&self, service: &Service, index: &Index) -> Result<()> {
        self.follow(service).await;
        let Some(port) = index.port else { return Ok(()) };
        match self.state.lock().await.failed.get(&port) {
            None => Ok(()),
            Some(error) => Err(Error::unavailable(format!(
                "Index '{}' was made, but its port {port} cannot be opened yet: {error}. It will be once the port is free",
                index.name
            ))),
        }
    }

    /// Follows every change, and tries again at each tick what could not be opened, for ever.
    pub(crate) async fn keep_following(&self, service: Arc<Service>, mut ticks: Interval) {
        let mut changes = service.index_changes();
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = ticks.tick() => if self.state.lock().await.failed.is_empty() { continue },
            }
            self.follow(&service).await;
        }
    }
}
