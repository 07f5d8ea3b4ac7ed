//! Many writers on as many namespaces, against as many writers on one: what it costs that every namespace has a log of
//! its own.

use std::{sync::Arc, time::Instant};

use tokio::task::JoinSet;

use crate::{
    Failure,
    records::{Batch, Protocol, Records, Writer},
    report::{Report, Target},
    server::{Place, ServerSettings},
};

/// The share of the throughput on one namespace that many should reach.
const SHARE_TARGET: f64 = 0.5;

/// What to write.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    server: ServerSettings,
    /// Writers, each on a connection of its own
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// Upserts of each writer
    #[arg(long, default_value_t = 25)]
    upserts: usize,
    /// Records an upsert
    #[arg(long, default_value_t = 20)]
    batch: usize,
    /// Values a vector
    #[arg(long, default_value_t = 384)]
    dimension: usize,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let place = Place::new(&settings.server)?;
    let (server, _) = place.start().await?;
    let port = server.create_index("bench", settings.dimension).await?;
    let records = Arc::new(Records::new(settings.dimension));
    let mut report = Report::new("writers");
    for run in 0..settings.runs {
        let one = write(settings, port, &records, |_| format!("one-{run}")).await?;
        let many = write(settings, port, &records, |writer| format!("many-{run}-{writer}")).await?;
        report.record("one namespace", "vectors/s", one);
        report.record("many namespaces", "vectors/s", many);
        report.record("many / one", "", many / one);
    }
    report.expect("many / one", Target::AtLeast(SHARE_TARGET));
    report.finish();
    server.stop().await
}

/// Lets all writers write at once, each into the namespace of its number, and gives the vectors a second of all. The
/// namespaces exist when the clock starts.
async fn write(settings: &Settings, port: u16, records: &Arc<Records>, namespace_of: impl Fn(usize) -> String) -> Result<f64, Failure> {
    let count = settings.batch;
    let mut writers = Vec::new();
    for number in 0..settings.writers {
        let mut writer = Writer::connect(Protocol::Grpc, port).await?;
        let first = number * (settings.upserts + 1) * count;
        writer.upsert(records, &namespace_of(number), Batch { first, count }).await?;
        writers.push((writer, namespace_of(number), first + count));
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (mut writer, namespace, first) in writers {
        let (records, upserts) = (Arc::clone(records), settings.upserts);
        tasks.spawn(async move {
            for upsert in 0..upserts {
                writer.upsert(&records, &namespace, Batch { first: first + upsert * count, count }).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok((settings.writers * settings.upserts * count) as f64 / begun.elapsed().as_secs_f64())
}
