//! Searches of a real set through a server: recall, service time, processor time, and how it bears load.
//!
//! The generator prepares everything before the clock starts and can have a core of its own, so that it is not what is measured.

pub(crate) mod dialect;
mod load;
pub(crate) mod pinyon;
mod stand;

use std::sync::Arc;

use bytes::Bytes;

use self::{
    dialect::Dialect,
    load::{Outcome, SteadyUpserts, closed, open, upsert_rate},
    stand::Stand,
};
use crate::{
    Failure,
    peers::{self, Files, Peer},
    pin,
    records::Protocol,
    report::{Report, Target, median},
    search::{
        MIB, one_thread,
        pass::pass,
        place::{Asked, InProcess},
    },
    server::{ServerSettings, processor_time},
    sets::{Set, SetArguments, State, classes::Class, truth::Placed},
    stats::recall,
    tolerances::{self, Tolerances},
};

const YARDSTICK: &str = "hnswlib";
const YARDSTICK_TARGET: f64 = 0.5;
const SERVICE_TIME_RATIO_TARGET: f64 = 2.5;
const POISSON_RATIO_TARGET: f64 = 5.0;
const UPSERTING_RATIO_TARGET: f64 = 8.0;
const GRPC_ADDED_TARGET_US: f64 = 40.0;
const REST_ADDED_TARGET_US: f64 = 60.0;
const MEMORY_SHARE_TARGET: f64 = 0.35;
const MEMORY_BASE_TARGET_MIB: f64 = 60.0;
const COLD_TARGET_MS: f64 = 150.0;
/// Records an upsert.
const BATCH: usize = 200;
/// Different upserts that are sent over and over.
const UPSERT_BODIES: usize = 40;
const UPSERT_CONNECTIONS: usize = 2;

/// Which server to drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// This project's, started here
    Pinyon,
    /// A running one, at --url and --grpc-url
    Qdrant,
}

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    set: SetArguments,
    #[command(flatten)]
    server: ServerSettings,
    /// Which server to drive
    #[arg(long, value_enum, default_value_t = Which::Pinyon)]
    target: Which,
    /// Where a server that runs already speaks REST
    #[arg(long, default_value = "http://127.0.0.1:6333")]
    url: String,
    /// Where it speaks gRPC
    #[arg(long, default_value = "http://127.0.0.1:6334")]
    grpc_url: String,
    /// Its API key
    #[arg(long)]
    target_api_key: Option<String>,
    /// Its process here, to tell its memory and processor time
    #[arg(long)]
    pid: Option<u32>,
    /// Protocols to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Protocol::Grpc, Protocol::Rest])]
    protocols: Vec<Protocol>,
    /// Connections of a saturating load
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Matches that a query asks for
    #[arg(long, default_value_t = 10)]
    top_k: usize,
    /// Filter
    #[arg(long, value_enum, default_value_t = Class::All)]
    filter: Class,
    /// Use the least effort that a caller may ask for and that reaches this recall [default: the server's own effort]
    #[arg(long)]
    recall: Option<f64>,
    /// Queries of each measurement
    #[arg(long, default_value_t = 4_000)]
    count: usize,
    /// Rate of random arrivals, as a share of saturation
    #[arg(long, default_value_t = 0.5)]
    share: f64,
    /// Rate of random arrivals, in queries a second, instead of a share
    #[arg(long)]
    rate: Option<f64>,
    /// Core for the load generator
    #[arg(long)]
    generator_core: Option<usize>,
    /// Core for the server that is started here
    #[arg(long)]
    server_core: Option<usize>,
    /// Also measure hnswlib in a process of its own at the recall asked for: what the server's processor time is held against
    #[arg(long, requires = "recall")]
    yardstick: bool,
    #[command(flatten)]
    peer_arguments: peers::Arguments,
    /// Leave out the same searches in this process, which tell what the protocols add
    #[arg(long)]
    no_in_process: bool,
    /// Leave out random arrivals while records are written
    #[arg(long)]
    no_upserts: bool,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[command(flatten)]
    check: tolerances::Arguments,
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    // Every turn looks at the network: nothing that has arrived waits until many other tasks have run.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()?;
    runtime.block_on(measure(settings))
}

async fn measure(settings: &Settings) -> Result<(), Failure> {
    let tolerances = Tolerances::read(&settings.check)?;
    let set = Set::load(&settings.set)?;
    let state = State::fresh(set.base.rows());
    let asked = Asked { class: settings.filter, k: settings.top_k, effort: None };
    let truth = set.truth(&state, asked.class, asked.k)?;
    let mut report = Report::new("wire");
    if settings.target == Which::Pinyon && !settings.no_in_process {
        in_process(settings, &set, &state, asked, &truth, &mut report).await?;
    }
    yardstick(settings, &set, &truth, &mut report)?;
    let mut stand = Stand::start(settings, &set).await?;
    if let Some(core) = settings.generator_core {
        pin::this_thread(core)?;
    }
    stand.fill(&set, &state.records, &mut report).await?;
    for protocol in &settings.protocols {
        let dialect = stand.dialect(*protocol);
        let mut job = Job { settings, set: &set, stand: &stand, dialect: &*dialect, truth: &truth, asked, report: &mut report };
        job.choose_effort().await?;
        job.run().await?;
    }
    memory(&stand, &set, &mut report)?;
    if settings.target == Which::Pinyon {
        let first = stand.first_query_after_restart(&set, asked).await?;
        report.record("first query after a start", "ms", first);
        report.expect("first query after a start", Target::AtMost(COLD_TARGET_MS));
    }
    stand.stop().await?;
    report.finish_within(&tolerances)
}

/// The same searches without a server: what the protocols add is the difference.
async fn in_process(
    settings: &Settings,
    set: &Set,
    state: &State,
    asked: Asked,
    truth: &[Vec<u32>],
    report: &mut Report,
) -> Result<(), Failure> {
    let place = InProcess::open(set.base.dimension(), set.metric, one_thread(None)).await?;
    place.upsert(set, &state.records).await?;
    place.settle().await?;
    for _ in 0..settings.runs {
        let pass = pass(&place, set, asked, truth).await?;
        report.record("in process: processor", "µs", pass.cpu_us);
        report.record("in process: recall", "", pass.recall);
    }
    place.close().await;
    Ok(())
}

/// The processor time of the library that others are measured against.
fn yardstick(settings: &Settings, set: &Set, truth: &[Vec<u32>], report: &mut Report) -> Result<(), Failure> {
    let Some(recall) = settings.recall.filter(|_| settings.yardstick) else { return Ok(()) };
    let files = Files::of(&settings.set, set, truth)?;
    let mut peer = Peer::start(YARDSTICK, &settings.peer_arguments, &files, settings.server_core)?;
    peer.build()?;
    let effort = peer.least_effort(recall, settings.top_k)?.ok_or_else(|| format!("{YARDSTICK} does not reach a recall of {recall}"))?;
    for _ in 0..settings.runs {
        let pass = peer.pass(&effort, settings.top_k)?;
        report.record(&format!("{YARDSTICK}: processor"), "µs", pass.cpu_us);
        report.record(&format!("{YARDSTICK}: recall"), "", pass.recall);
    }
    Ok(())
}

fn memory(stand: &Stand, set: &Set, report: &mut Report) -> Result<(), Failure> {
    let raw = set.base.bytes() as f64 / MIB;
    if let Some((now, most)) = stand.resident_mib()? {
        report.record("server's memory", "MiB", now);
        report.record("server's largest memory", "MiB", most);
        report.record("server's memory / raw vectors", "", now / raw);
        report.expect("server's memory", Target::AtMost(MEMORY_SHARE_TARGET * raw + MEMORY_BASE_TARGET_MIB));
    }
    if let Some(bytes) = stand.stored_bytes()? {
        report.record("stored", "MiB", bytes as f64 / MIB);
    }
    Ok(())
}

/// The measurements of one protocol.
struct Job<'a> {
    settings: &'a Settings,
    set: &'a Set,
    stand: &'a Stand,
    dialect: &'a dyn Dialect,
    truth: &'a [Vec<u32>],
    asked: Asked,
    report: &'a mut Report,
}

impl Job<'_> {
    fn record(&mut self, name: &str, unit: &'static str, value: f64) {
        self.report.record(&format!("{:?} {name}", self.dialect.protocol()), unit, value);
    }

    fn expect(&mut self, name: &str, target: Target) {
        self.report.expect(&format!("{:?} {name}", self.dialect.protocol()), target);
    }

    fn bodies(&self, effort: Option<f32>) -> Result<Arc<Vec<Bytes>>, Failure> {
        let queries = 0..self.set.queries.rows() as u32;
        Ok(Arc::new(queries.map(|query| self.dialect.query(self.set, query, Asked { effort, ..self.asked })).collect::<Result<_, _>>()?))
    }

    fn recall(&self, outcome: &Outcome) -> Result<f64, Failure> {
        let read = |(query, answer): &(u32, Bytes)| Ok((self.dialect.rows(answer.clone())?, *query as usize));
        let answers = outcome.answers.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
        Ok(recall(answers.iter().map(|(rows, query)| (&**rows, &*self.truth[*query])), self.asked.k))
    }

    /// The least effort that reaches the recall asked for.
    async fn choose_effort(&mut self) -> Result<(), Failure> {
        let Some(wanted) = self.settings.recall else { return Ok(()) };
        let efforts = self.dialect.efforts();
        let (mut low, mut high) = (0, efforts.len());
        while low < high {
            let middle = (low + high) / 2;
            let bodies = self.bodies(Some(efforts[middle]))?;
            let outcome = closed(self.dialect, &bodies, 1, bodies.len()).await?;
            if self.recall(&outcome)? >= wanted { high = middle } else { low = middle + 1 }
        }
        let effort = *efforts.get(low).ok_or_else(|| format!("no effort reaches a recall of {wanted}"))?;
        self.asked.effort = Some(effort);
        self.record("effort", "x", f64::from(effort));
        Ok(())
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let bodies = self.bodies(self.asked.effort)?;
        for run in 0..self.settings.runs {
            self.one_connection(&bodies).await?;
            let saturation = self.saturation(&bodies).await?;
            let rate = self.settings.rate.unwrap_or(saturation * self.settings.share);
            self.random_arrivals(&bodies, rate, run, None).await?;
            if !self.settings.no_upserts {
                self.while_upserting(&bodies, rate, run).await?;
            }
        }
        self.expect("one connection: p99 / p50", Target::AtMost(SERVICE_TIME_RATIO_TARGET));
        self.expect("random arrivals: p99 / p50", Target::AtMost(POISSON_RATIO_TARGET));
        self.expect("while upserting: p99 / resting p50", Target::AtMost(UPSERTING_RATIO_TARGET));
        let most = if self.dialect.protocol() == Protocol::Grpc { GRPC_ADDED_TARGET_US } else { REST_ADDED_TARGET_US };
        self.expect("processor added to in process", Target::AtMost(most));
        Ok(())
    }

    async fn one_connection(&mut self, bodies: &Arc<Vec<Bytes>>) -> Result<(), Failure> {
        let outcome = closed(self.dialect, bodies, 1, self.settings.count).await?;
        let recall = self.recall(&outcome)?;
        self.record("recall", "", recall);
        self.times("one connection", &outcome);
        self.record("one connection: p99 / p50", "", outcome.latencies.at(0.99) / outcome.latencies.at(0.5));
        Ok(())
    }

    /// As many queries as all connections together get answered in a second.
    async fn saturation(&mut self, bodies: &Arc<Vec<Bytes>>) -> Result<f64, Failure> {
        let (server_before, own_before) = (self.stand.processor_time()?, processor_time("self")?);
        let outcome = closed(self.dialect, bodies, self.settings.connections, self.settings.count).await?;
        let own = processor_time("self")? - own_before;
        let each = 1e6 / outcome.answers.len() as f64;
        self.times("all connections", &outcome);
        self.record("all connections: speed", "queries/s", outcome.qps());
        self.record("generator's processor", "µs", own.as_secs_f64() * each);
        if let Some(server) = self.stand.processor_time()?.zip(server_before).map(|(after, before)| after - before) {
            let used = server.as_secs_f64() * each;
            self.record("server's processor", "µs", used);
            let theirs = self.report.values(&format!("{YARDSTICK}: processor"));
            if !theirs.is_empty() {
                let ratio = used / median(theirs);
                self.record(&format!("server's processor / {YARDSTICK}"), "", ratio);
                self.expect(&format!("server's processor / {YARDSTICK}"), Target::AtMost(YARDSTICK_TARGET));
            }
            let alone = self.report.values("in process: processor");
            if !alone.is_empty() && self.asked.effort.is_none() {
                let alone = median(alone);
                self.record("processor added to in process", "µs", used - alone);
            }
        }
        Ok(outcome.qps())
    }

    async fn random_arrivals(&mut self, bodies: &[Bytes], rate: f64, run: usize, label: Option<&str>) -> Result<(), Failure> {
        let outcome = open(self.dialect, bodies, 8 * self.settings.connections, rate, self.settings.count, run as u64).await?;
        let label = label.unwrap_or("random arrivals");
        self.times(label, &outcome);
        self.record(&format!("{label}: rate"), "queries/s", outcome.qps());
        if label == "random arrivals" {
            self.record("random arrivals: p99 / p50", "", outcome.latencies.at(0.99) / outcome.latencies.at(0.5));
        } else {
            let resting = median(self.report.values(&format!("{:?} random arrivals: p50", self.dialect.protocol())));
            self.record(&format!("{label}: p99 / resting p50"), "", outcome.latencies.at(0.99) / resting);
        }
        Ok(())
    }

    /// Random arrivals while records are written over with themselves, at half the rate that is possible.
    async fn while_upserting(&mut self, bodies: &[Bytes], rate: f64, run: usize) -> Result<(), Failure> {
        let rows = self.set.base.rows().min(UPSERT_BODIES * BATCH);
        let records: Vec<Placed> = State::fresh(rows).records;
        let upserts = records.chunks(BATCH).map(|batch| self.dialect.upsert(self.set, batch)).collect::<Result<Vec<_>, _>>()?;
        let upserts = Arc::new(upserts);
        let most = upsert_rate(self.dialect, &upserts, UPSERT_CONNECTIONS, 2 * upserts.len()).await?;
        self.record("most upserts", "records/s", most * BATCH as f64);
        let steady = SteadyUpserts::start(self.dialect, &upserts, most / 2.0).await?;
        self.random_arrivals(bodies, rate, run, Some("while upserting")).await?;
        let sent = steady.stop().await?;
        self.record("while upserting: records written", "", (sent * BATCH) as f64);
        self.stand.settle().await.map(drop)
    }

    fn times(&mut self, label: &str, outcome: &Outcome) {
        for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            self.record(&format!("{label}: {name}"), "µs", outcome.latencies.at(share));
        }
    }
}
