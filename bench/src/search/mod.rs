//! Searches of a real set through the engine in this process: one thread, one query at a time.

mod change;
pub(crate) mod pass;
pub(crate) mod place;
mod work;

use std::time::Instant;

use pinyon_engine::EngineSettings;

use self::{
    change::Change,
    pass::{Pass, least_effort, pass},
    place::{Asked, InProcess},
};
use crate::{
    Failure, pin,
    report::{Report, Target, median},
    server::resident_mib,
    sets::{Set, SetArguments, State, classes::Class},
    stats::own_processor_time,
    tolerances::{self, Tolerances},
};

const DEFAULT_RECALL_TARGET: f64 = 0.97;
const CLASS_RECALL_TARGET: f64 = 0.95;
/// Bytes of a MiB.
pub(crate) const MIB: f64 = 1_048_576.0;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    set: SetArguments,
    /// Matches that a query asks for
    #[arg(long, value_delimiter = ',', default_value = "10")]
    top_k: Vec<usize>,
    /// Filters
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    filters: Vec<Class>,
    /// States to measure in, each made of the one before
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fresh")]
    states: Vec<Change>,
    /// Also with the least effort that reaches each of these recalls; none if nothing follows
    #[arg(long, value_delimiter = ',', num_args = 0.., default_value = "0.95,0.97,0.99")]
    recalls: Vec<f64>,
    /// Every filter, every state and top_k 1, 10, 100 and 1,000, with default effort alone
    #[arg(long)]
    full: bool,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Memory for decrypted data, in MiB [default: the engine's own]
    #[arg(long)]
    engine_cache: Option<u64>,
    /// Core to ask and to search on
    #[arg(long)]
    core: Option<usize>,
    #[command(flatten)]
    check: tolerances::Arguments,
}

impl Settings {
    fn asked(&self) -> (Vec<Class>, Vec<usize>, Vec<Change>, &[f64]) {
        if self.full {
            (Class::EVERY.to_vec(), vec![1, 10, 100, 1_000], Change::EVERY.to_vec(), &[])
        } else {
            (self.filters.clone(), self.top_k.clone(), self.states.clone(), &self.recalls)
        }
    }
}

/// The settings of an engine that answers on the thread that asks, and does not replay queries meanwhile: the replays would run while
/// something else is measured.
pub(crate) fn one_thread(cache_mib: Option<u64>) -> EngineSettings {
    let default = EngineSettings::default();
    let cache_bytes = cache_mib.map_or(default.cache_bytes, |mib| mib << 20);
    EngineSettings { query_on_caller: true, recall_one_in: 0, cache_bytes, ..default }
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let tolerances = Tolerances::read(&settings.check)?;
    let set = Set::load(&settings.set)?;
    let mut report = Report::new("search");
    report.record("raw vectors", "MiB", set.base.bytes() as f64 / MIB);
    let before_mib = resident_mib("self")?.0;
    let place = InProcess::open(set.base.dimension(), set.metric, one_thread(settings.engine_cache)).await?;
    if let Some(core) = settings.core {
        // Not before: building has all cores.
        pin::this_thread(core)?;
    }
    let (classes, tops, states, recalls) = settings.asked();
    let mut state = State::fresh(set.base.rows());
    for change in states {
        state = bring_to(&place, &set, &state, change, &mut report).await?;
        for (class, k) in classes.iter().flat_map(|class| tops.iter().map(|k| (*class, *k))) {
            measure(settings, &place, &set, &state, Asked { class, k, effort: None }, recalls, &mut report).await?;
        }
        report.record(&format!("{} engine's memory, queried", state.name), "MiB", resident_mib("self")?.0 - before_mib);
    }
    place.close().await;
    report.finish_within(&tolerances)
}

/// Makes a change, waits until all work that follows from it is over, and records what that took.
async fn bring_to(place: &InProcess, set: &Set, state: &State, change: Change, report: &mut Report) -> Result<State, Failure> {
    let (written, deleted, after) = change.apply(state);
    let (begun, before) = (Instant::now(), own_processor_time());
    place.upsert(set, &written).await?;
    place.delete(&deleted).await?;
    let ended = place.settle().await?;
    let used = own_processor_time() - before;
    report.record(&format!("{} build, processor", after.name), "s", used.as_secs_f64());
    report.record(&format!("{} build", after.name), "s", (ended - begun).as_secs_f64());
    report.record(&format!("{} stored", after.name), "MiB", place.stored_bytes()? as f64 / MIB);
    Ok(after)
}

async fn measure(
    settings: &Settings,
    place: &InProcess,
    set: &Set,
    state: &State,
    asked: Asked,
    recalls: &[f64],
    report: &mut Report,
) -> Result<(), Failure> {
    let truth = set.truth(state, asked.class, asked.k)?;
    let label = format!("{} {} top {}", state.name, asked.class.name(), asked.k);
    for _ in 0..settings.runs {
        record(report, &label, &pass(place, set, asked, &truth).await?);
    }
    let target = if asked.class == Class::All && asked.k == 10 { DEFAULT_RECALL_TARGET } else { CLASS_RECALL_TARGET };
    report.expect(&format!("{label}: recall"), Target::AtLeast(target));
    work::record(place, set, asked, &label, report).await?;
    compare_with_unfiltered(state, asked, "", report);
    for wanted in recalls {
        let Some(effort) = least_effort(place, set, asked, &truth, *wanted).await? else {
            report.note(&format!("{label}: no effort reaches a recall of {wanted}"));
            continue;
        };
        let label = format!("{label} at {wanted}");
        for _ in 0..settings.runs {
            record(report, &label, &pass(place, set, Asked { effort: Some(effort), ..asked }, &truth).await?);
        }
        report.record(&format!("{label}: effort"), "x", f64::from(effort));
        compare_with_unfiltered(state, asked, &format!(" at {wanted}"), report);
    }
    Ok(())
}

/// What a filter costs, if the same was measured without one before.
fn compare_with_unfiltered(state: &State, asked: Asked, level: &str, report: &mut Report) {
    let name = |class: Class| format!("{} {} top {}{level}: processor", state.name, class.name(), asked.k);
    let (with, without) = (report.values(&name(asked.class)), report.values(&name(Class::All)));
    if asked.class == Class::All || with.is_empty() || without.is_empty() {
        return;
    }
    let ratio = format!("{} / all", name(asked.class));
    let value = median(with) / median(without);
    report.record(&ratio, "", value);
    if matches!(asked.class, Class::Tenth | Class::Hundredth | Class::Thousandth) {
        report.expect(&ratio, Target::AtMost(1.0));
    }
}

/// Records the figures of a pass.
pub(crate) fn record(report: &mut Report, label: &str, pass: &Pass) {
    report.record(&format!("{label}: recall"), "", pass.recall);
    report.record(&format!("{label}: speed"), "queries/s", pass.qps());
    report.record(&format!("{label}: processor"), "µs", pass.cpu_us);
    for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        report.record(&format!("{label}: {name}"), "µs", pass.latencies.at(share));
    }
}
