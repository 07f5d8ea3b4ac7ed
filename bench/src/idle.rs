//! Memory of a server that has nothing to do.

use std::time::Duration;

use crate::{
    Failure,
    report::{Report, Target},
    server::{Place, ServerSettings},
};

const MEMORY_TARGET_MIB: f64 = 60.0;

/// How to measure it.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    server: ServerSettings,
    /// Seconds to wait after the start
    #[arg(long, default_value_t = 5)]
    wait: u64,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let mut report = Report::new("idle");
    for _ in 0..settings.runs {
        let place = Place::new(&settings.server)?;
        let (server, took) = place.start().await?;
        server.create_index("bench", 384).await?;
        tokio::time::sleep(Duration::from_secs(settings.wait)).await;
        let before = server.processor_time()?;
        tokio::time::sleep(Duration::from_secs(settings.wait)).await;
        let used = (server.processor_time()? - before).as_secs_f64() / settings.wait.max(1) as f64;
        report.record("start on an empty directory", "s", took.as_secs_f64());
        report.record("memory", "MiB", server.resident_mib()?.0);
        report.record("processor", "% of a core", used * 100.0);
        server.stop().await?;
    }
    report.expect("memory", Target::AtMost(MEMORY_TARGET_MIB));
    report.finish();
    Ok(())
}
