//! Memory, start and first queries of a server with very many namespaces.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    Failure,
    client::Rest,
    records::{Batch, Protocol, Records, Writer},
    report::{Report, Target},
    server::{Place, Server, ServerSettings},
};

const MEMORY_TARGET_MIB: f64 = 256.0;
const START_TARGET_SECONDS: f64 = 5.0;
const COLD_QUERY_TARGET_MS: f64 = 50.0;

/// What to make.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    server: ServerSettings,
    /// Namespaces to make
    #[arg(long, default_value_t = 10_000)]
    namespaces: usize,
    /// Records in each
    #[arg(long, default_value_t = 20)]
    records: usize,
    /// Values a vector
    #[arg(long, default_value_t = 384)]
    dimension: usize,
    /// Connections that write
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Namespaces to query after each restart
    #[arg(long, default_value_t = 100)]
    queries: usize,
    /// How often to start the server anew
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    if settings.queries == 0 || settings.namespaces < settings.queries * settings.runs.max(1) {
        return Err("every query of every run needs a namespace of its own, or it would not be a cold one".into());
    }
    let place = Place::new(&settings.server)?;
    let (server, _) = place.start().await?;
    let port = server.create_index("bench", settings.dimension).await?;
    let records = Arc::new(Records::new(settings.dimension));
    let mut report = Report::new("namespaces");

    let seconds = write(settings, port, &records).await?;
    report.record("made and written", "namespaces/s", settings.namespaces as f64 / seconds);
    let (now, most) = server.resident_mib()?;
    report.record("memory after writing", "MiB", now);
    report.record("most memory while writing", "MiB", most);
    report.record("bytes stored", "MB", place.stored_bytes()? as f64 / 1e6);
    server.stop().await?;

    for run in 0..settings.runs {
        let (server, took) = place.start().await?;
        report.record("start", "s", took.as_secs_f64());
        report.record("memory after start", "MiB", server.resident_mib()?.0);
        query(settings, &server, port, &records, run, &mut report).await?;
        server.stop().await?;
    }
    report.expect("memory after writing", Target::AtMost(MEMORY_TARGET_MIB));
    report.expect("most memory while writing", Target::AtMost(MEMORY_TARGET_MIB));
    report.expect("memory after queries", Target::AtMost(MEMORY_TARGET_MIB));
    report.expect("start", Target::AtMost(START_TARGET_SECONDS));
    for measure in ["first query of all", "first query of a namespace", "slowest first query of a namespace"] {
        report.expect(measure, Target::AtMost(COLD_QUERY_TARGET_MS));
    }
    report.finish();
    Ok(())
}

fn name(number: usize) -> String {
    format!("namespace-{number:06}")
}

/// Makes every namespace by writing its records, and gives the seconds it took.
async fn write(settings: &Settings, port: u16, records: &Arc<Records>) -> Result<f64, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let (namespaces, count) = (settings.namespaces, settings.records);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..settings.connections {
        let (records, next) = (Arc::clone(records), Arc::clone(&next));
        let mut writer = Writer::connect(Protocol::Grpc, port).await?;
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= namespaces {
                    return Ok::<_, Failure>(());
                }
                writer.upsert(&records, &name(number), Batch { first: number * count, count }).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Queries namespaces that nobody has opened since the start, other ones in each run.
async fn query(settings: &Settings, server: &Server, port: u16, records: &Records, run: usize, report: &mut Report) -> Result<(), Failure> {
    let mut rest = Rest::connect(port).await?;
    let (mut slowest, mut times) = (Duration::ZERO, Vec::new());
    let stride = settings.namespaces / settings.queries;
    for query in 0..settings.queries {
        let number = query * stride + run % stride;
        let body = records.query_json(&name(number), number * settings.records);
        let sent = Instant::now();
        let answer = rest.send(Method::POST, "/query", body).await?;
        let took = sent.elapsed();
        let answer: Value = serde_json::from_slice(&answer)?;
        let wanted = format!("record-{:08}", number * settings.records);
        if answer["matches"][0]["id"].as_str() != Some(&wanted) {
            return Err(format!("{wanted} is not the best match for its own vector: {answer}").into());
        }
        if query == 0 {
            // This one also reads the list of namespaces.
            report.record("first query of all", "ms", took.as_secs_f64() * 1e3);
            continue;
        }
        slowest = slowest.max(took);
        times.push(took);
    }
    for took in times {
        report.record("first query of a namespace", "ms", took.as_secs_f64() * 1e3);
    }
    report.record("slowest first query of a namespace", "ms", slowest.as_secs_f64() * 1e3);
    report.record("memory after queries", "MiB", server.resident_mib()?.0);
    Ok(())
}
