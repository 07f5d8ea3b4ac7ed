//! How many vectors a server takes in a second, durable and sealed, by gRPC and by REST.
//!
//! The client runs on the same cores as the server, so what it uses of them is reported too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    Failure,
    client::Rest,
    records::{Batch, Protocol, Records, Writer},
    report::{Report, Target},
    server::{Place, Server, ServerSettings, processor_time},
};

/// Vectors a second that gRPC should reach on two cores.
const GRPC_TARGET: f64 = 40_000.0;
/// The share of it that REST should reach.
const REST_SHARE_TARGET: f64 = 0.6;

/// What to write.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    server: ServerSettings,
    /// Vectors that each run writes
    #[arg(long, default_value_t = 100_000)]
    vectors: usize,
    /// Values a vector
    #[arg(long, default_value_t = 384)]
    dimension: usize,
    /// Records an upsert
    #[arg(long, default_value_t = 200)]
    batch: usize,
    /// Connections, each with one upsert under way
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Protocols to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Protocol::Grpc, Protocol::Rest])]
    protocols: Vec<Protocol>,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let place = Place::new(&settings.server)?;
    let (server, _) = place.start().await?;
    let port = server.create_index("bench", settings.dimension).await?;
    let records = Arc::new(Records::new(settings.dimension));
    let mut report = Report::new("upsert");
    for run in 0..settings.runs {
        let mut rates = Vec::new();
        for protocol in &settings.protocols {
            let rate = write(settings, &server, port, &records, *protocol, &format!("{protocol:?}-{run}"), &mut report).await?;
            rates.push((*protocol, rate));
        }
        let rate_of = |wanted| rates.iter().find(|(protocol, _)| *protocol == wanted).map(|(_, rate)| *rate);
        if let (Some(grpc), Some(rest)) = (rate_of(Protocol::Grpc), rate_of(Protocol::Rest)) {
            report.record("Rest / Grpc", "", rest / grpc);
        }
    }
    report.record("server's largest memory", "MiB", server.resident_mib()?.1);
    report.expect("Grpc", Target::AtLeast(GRPC_TARGET));
    report.expect("Rest / Grpc", Target::AtLeast(REST_SHARE_TARGET));
    report.finish();
    server.stop().await
}

/// Writes into one fresh namespace and gives the vectors a second.
async fn write(
    settings: &Settings,
    server: &Server,
    port: u16,
    records: &Arc<Records>,
    protocol: Protocol,
    namespace: &str,
    report: &mut Report,
) -> Result<f64, Failure> {
    let mut writers = Vec::new();
    for _ in 0..settings.connections {
        writers.push(Writer::connect(protocol, port).await?);
    }
    let (batches, count) = (settings.vectors.div_ceil(settings.batch), settings.batch);
    let next = Arc::new(AtomicUsize::new(0));
    let (server_before, client_before) = (server.processor_time()?, processor_time("self")?);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut writer in writers {
        let (records, next, namespace) = (Arc::clone(records), Arc::clone(&next), namespace.to_owned());
        tasks.spawn(async move {
            let mut slowest = 0.0f64;
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= batches {
                    return Ok::<_, Failure>(slowest);
                }
                let sent = Instant::now();
                writer.upsert(&records, &namespace, Batch { first: at * count, count }).await?;
                slowest = slowest.max(sent.elapsed().as_secs_f64());
            }
        });
    }
    let mut slowest = 0.0f64;
    while let Some(done) = tasks.join_next().await {
        slowest = slowest.max(done??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (server_after, client_after) = (server.processor_time()?, processor_time("self")?);
    check_count(port, namespace, (batches * count) as u64).await?;
    let rate = (batches * count) as f64 / seconds;
    let millis = |seconds: f64| seconds * 1e3 / batches as f64;
    report.record(&format!("{protocol:?}"), "vectors/s", rate);
    report.record(&format!("{protocol:?} slowest upsert"), "ms", slowest * 1e3);
    report.record(&format!("{protocol:?} server's processor time"), "ms/upsert", millis((server_after - server_before).as_secs_f64()));
    report.record(&format!("{protocol:?} client's processor time"), "ms/upsert", millis((client_after - client_before).as_secs_f64()));
    Ok(rate)
}

/// Everything that was acknowledged must be there.
async fn check_count(port: u16, namespace: &str, expected: u64) -> Result<(), Failure> {
    let mut rest = Rest::connect(port).await?;
    let stats: Value = serde_json::from_slice(&rest.send(Method::POST, "/describe_index_stats", Bytes::from_static(b"{}")).await?)?;
    match stats["namespaces"][namespace]["vectorCount"].as_u64() {
        Some(count) if count == expected => Ok(()),
        count => Err(format!("{expected} vectors were acknowledged, and {count:?} are there").into()),
    }
}
