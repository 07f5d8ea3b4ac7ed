//! Searches of a real set by this engine and by other libraries in turn, on the same machine in the same call: one thread each, one
//! query at a time, each with the least effort that reaches a recall.

use serde_json::Value;

use crate::{
    Failure,
    peers::{self, Files, Peer, PeerPass},
    pin,
    report::{Report, Target, median},
    search::{
        one_thread,
        pass::{Pass, least_effort, pass},
        place::{Asked, InProcess},
    },
    sets::{Set, SetArguments, State, classes::Class},
    stats::own_processor_time,
    tolerances::{self, Tolerances},
};

/// The peer that every ratio is to.
const YARDSTICK: &str = "hnswlib";
const DEFAULT_RECALL_TARGET: f64 = 0.97;
const DEFAULT_SPEED_TARGET: f64 = 3.0;
const BUILD_TARGET: f64 = 1.0 / 8.0;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    set: SetArguments,
    #[command(flatten)]
    peer_arguments: peers::Arguments,
    /// Libraries to measure beside
    #[arg(long, value_delimiter = ',', default_value = "hnswlib,faiss-hnsw,faiss-ivfpq,faiss-ivfrabitq,usearch,svs-vamana")]
    peers: Vec<String>,
    /// Recalls to compare at, besides that of default settings
    #[arg(long, value_delimiter = ',', default_value = "0.95,0.97,0.99")]
    recalls: Vec<f64>,
    /// Matches that a query asks for
    #[arg(long, default_value_t = 10)]
    top_k: usize,
    /// Times as fast as hnswlib that is the target at recalls below 0.99, and at 0.99
    #[arg(long, num_args = 2, default_values_t = [3.0, 4.0])]
    hnswlib_targets: Vec<f64>,
    /// Times as fast as the best of the others that is the target
    #[arg(long, default_value_t = 2.0)]
    others_target: f64,
    /// How often to measure, all of them in turn
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Memory for decrypted data, in MiB [default: the engine's own]
    #[arg(long)]
    engine_cache: Option<u64>,
    /// Core that everyone asks and searches on, in turn
    #[arg(long)]
    core: Option<usize>,
    #[command(flatten)]
    check: tolerances::Arguments,
}

/// The efforts of everyone at one recall.
struct Level {
    name: String,
    ours: Option<f32>,
    theirs: Vec<(usize, Value)>,
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let tolerances = Tolerances::read(&settings.check)?;
    let set = Set::load(&settings.set)?;
    let state = State::fresh(set.base.rows());
    let truth = set.truth(&state, Class::All, settings.top_k)?;
    let mut report = Report::new("compare");
    let mut peers = start_peers(settings, &set, &truth, &mut report)?;
    let place = InProcess::open(set.base.dimension(), set.metric, one_thread(settings.engine_cache)).await?;
    let before = own_processor_time();
    place.upsert(&set, &state.records).await?;
    place.settle().await?;
    report.record("pinyon build, processor", "s", (own_processor_time() - before).as_secs_f64());
    if let Some(core) = settings.core {
        // Not before: building has all cores.
        pin::this_thread(core)?;
    }
    compare_builds(&peers, &mut report);

    let asked = Asked { class: Class::All, k: settings.top_k, effort: None };
    let levels = levels(settings, &place, &set, asked, &truth, &mut peers, &mut report).await?;
    for _ in 0..settings.runs {
        for level in &levels {
            let ours = pass(&place, &set, Asked { effort: level.ours, ..asked }, &truth).await?;
            let mut theirs = Vec::new();
            for (peer, effort) in &level.theirs {
                let pass = peers[*peer].pass(effort, settings.top_k)?;
                theirs.push((peers[*peer].name.clone(), pass));
            }
            record(level, &ours, &theirs, &mut report);
        }
    }
    for (level, recall) in levels.iter().zip([None].into_iter().chain(settings.recalls.iter().copied().map(Some))) {
        expect(settings, level, recall, &mut report);
    }
    place.close().await;
    let names: Vec<&str> = ["pinyon"].into_iter().chain(peers.iter().map(|peer| &*peer.name)).collect();
    let table = table(&levels, &names, &report);
    let outcome = report.finish_within(&tolerances);
    eprint!("\n{table}");
    outcome
}

/// Starts every peer that can be and builds its index. One that fails is told and left out.
fn start_peers(settings: &Settings, set: &Set, truth: &[Vec<u32>], report: &mut Report) -> Result<Vec<Peer>, Failure> {
    let files = Files::of(&settings.set, set, truth)?;
    let mut peers = Vec::new();
    for name in &settings.peers {
        // A peer has read its files when it answers, so they may go at the end.
        let started = Peer::start(name, &settings.peer_arguments, &files, settings.core).and_then(|mut peer| Ok((peer.build()?, peer)));
        match started {
            Ok((build, peer)) => {
                report.record(&format!("{name} build, processor"), "s", build.cpu_s);
                report.record(&format!("{name} build"), "s", build.wall_s);
                report.record(&format!("{name} index"), "MiB", build.index_mib);
                peers.push(peer);
            }
            Err(error) => report.note(&format!("{name} is left out: {error}")),
        }
    }
    Ok(peers)
}

fn compare_builds(peers: &[Peer], report: &mut Report) {
    for peer in peers {
        let ours = median(report.values("pinyon build, processor"));
        let theirs = median(report.values(&format!("{} build, processor", peer.name)));
        report.record(&format!("pinyon build / {}", peer.name), "", ours / theirs);
    }
    report.expect(&format!("pinyon build / {YARDSTICK}"), Target::AtMost(BUILD_TARGET));
}

/// Everyone's efforts: at the recall that this engine has by default, and at those asked for.
async fn levels(
    settings: &Settings,
    place: &InProcess,
    set: &Set,
    asked: Asked,
    truth: &[Vec<u32>],
    peers: &mut [Peer],
    report: &mut Report,
) -> Result<Vec<Level>, Failure> {
    let by_default = pass(place, set, asked, truth).await?.recall;
    report.record("pinyon default recall", "", by_default);
    report.expect("pinyon default recall", Target::AtLeast(DEFAULT_RECALL_TARGET));
    let mut levels = vec![Level { name: "default".to_owned(), ours: None, theirs: efforts(settings, by_default, peers, report)? }];
    for recall in &settings.recalls {
        let ours = least_effort(place, set, asked, truth, *recall).await?;
        if ours.is_none() {
            report.note(&format!("no effort of pinyon reaches a recall of {recall}; it runs with its own"));
        }
        levels.push(Level { name: format!("at {recall}"), ours, theirs: efforts(settings, *recall, peers, report)? });
    }
    Ok(levels)
}

fn efforts(settings: &Settings, recall: f64, peers: &mut [Peer], report: &mut Report) -> Result<Vec<(usize, Value)>, Failure> {
    let mut efforts = Vec::new();
    for (at, peer) in peers.iter_mut().enumerate() {
        match peer.least_effort(recall, settings.top_k)? {
            Some(effort) => {
                report.note(&format!("{} reaches a recall of {recall} with {effort}", peer.name));
                efforts.push((at, effort));
            }
            None => report.note(&format!("no effort of {} reaches a recall of {recall}", peer.name)),
        }
    }
    Ok(efforts)
}

/// Records one round: everyone's figures, and the ratios within the round.
fn record(level: &Level, ours: &Pass, theirs: &[(String, PeerPass)], report: &mut Report) {
    let Level { name, .. } = level;
    report.record(&format!("pinyon {name}: recall"), "", ours.recall);
    report.record(&format!("pinyon {name}: speed"), "queries/s", ours.qps());
    report.record(&format!("pinyon {name}: processor"), "µs", ours.cpu_us);
    report.record(&format!("pinyon {name}: p50"), "µs", ours.latencies.at(0.5));
    report.record(&format!("pinyon {name}: p99"), "µs", ours.latencies.at(0.99));
    for (peer, theirs) in theirs {
        report.record(&format!("{peer} {name}: recall"), "", theirs.recall);
        report.record(&format!("{peer} {name}: speed"), "queries/s", theirs.qps);
        report.record(&format!("{peer} {name}: processor"), "µs", theirs.cpu_us);
        report.record(&format!("{peer} {name}: p50"), "µs", theirs.p50_us);
        report.record(&format!("{peer} {name}: p99"), "µs", theirs.p99_us);
        report.record(&format!("{peer} memory"), "MiB", theirs.resident_mib);
        report.record(&format!("{name}: speed / {peer}"), "", ours.qps() / theirs.qps);
        report.record(&format!("{name}: speed by processor time / {peer}"), "", theirs.cpu_us / ours.cpu_us);
    }
    let best =
        |figure: fn(&PeerPass) -> f64| theirs.iter().filter(|(peer, _)| *peer != YARDSTICK).map(|(_, pass)| figure(pass)).reduce(f64::max);
    if let Some(best) = best(|pass| pass.qps) {
        report.record(&format!("{name}: speed / best of the others"), "", ours.qps() / best);
    }
    if let Some(best) = best(|pass| 1.0 / pass.cpu_us) {
        report.record(&format!("{name}: speed by processor time / best of the others"), "", 1.0 / (ours.cpu_us * best));
    }
}

fn expect(settings: &Settings, level: &Level, recall: Option<f64>, report: &mut Report) {
    let times = match recall {
        None => DEFAULT_SPEED_TARGET,
        Some(recall) => settings.hnswlib_targets[usize::from(recall >= 0.99)],
    };
    report.expect(&format!("{}: speed / {YARDSTICK}", level.name), Target::AtLeast(times));
    if recall.is_some() {
        report.expect(&format!("{}: speed / best of the others", level.name), Target::AtLeast(settings.others_target));
    }
}

/// The medians side by side: queries a second, processor time, and how many times as fast this engine is by each.
fn table(levels: &[Level], names: &[&str], report: &Report) -> String {
    let mut lines = format!("{:>12}  {:<16}{:>12}{:>12}{:>20}{:>20}\n", "", "", "queries/s", "cpu µs", "pinyon / it", "by cpu");
    for level in levels {
        for name in names {
            let of = |figure: &str| {
                Some(report.values(&format!("{name} {}: {figure}", level.name))).filter(|values| !values.is_empty()).map(median)
            };
            let ratio = |what: &str| {
                let values = report.values(&format!("{}: {what} / {name}", level.name));
                if values.is_empty() { String::new() } else { format!("{:.2}", median(values)) }
            };
            if let (Some(speed), Some(cpu)) = (of("speed"), of("processor")) {
                let (times, by_cpu) = (ratio("speed"), ratio("speed by processor time"));
                lines.push_str(&format!("{:>12}  {name:<16}{speed:>12.0}{cpu:>12.0}{times:>20}{by_cpu:>20}\n", level.name));
            }
        }
    }
    lines
}
