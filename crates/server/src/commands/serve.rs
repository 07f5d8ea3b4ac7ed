//! `serve` and `dev`: a server until a signal says to stop.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, banner};
use crate::{config::Settings, server::Server};

pub(super) async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    // Before anything is opened: a signal during the start is not lost.
    let mut signals = Signals::new()?;
    let server = Server::start(settings).await?;
    print!("{}", banner::started(&server.facts));
    while let Signal::Reload = signals.next().await {
        server.reload();
    }
    stop(server, signals).await
}

/// Stops a server gently; a second signal ends the process at once.
pub(super) async fn stop(server: Server, mut signals: Signals) -> Result<ExitCode, Failure> {
    tracing::info!("stopping: no new requests are taken, those in progress end first");
    tokio::select! {
        () = server.stop() => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        () = signals.stop() => Err(Failure { message: "stopped at once by a second signal".to_owned(), code: 130 }),
    }
}

/// The signals that a server listens to.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

enum Signal {
    Reload,
    Stop,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    /// Waits for a signal to stop.
    pub(super) async fn stop(&mut self) {
        while !matches!(self.next().await, Signal::Stop) {}
    }
}
