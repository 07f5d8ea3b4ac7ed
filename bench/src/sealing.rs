//! What sealing costs: upserts and warm queries of an engine in this process, sealed and with a cipher that does nothing, in turn.
//!
//! Checksums, logs, fsyncs and all else are the same. Each run makes a new directory for each of the two.

use std::time::{Duration, Instant};

use pinyon_engine::EngineSettings;
use pinyon_storage::unsealed;

use crate::{
    Failure,
    report::{Report, Target},
    search::place::{Asked, InProcess},
    sets::{Set, SetArguments, State, classes::Class},
};

/// The share of the unsealed rate that must be left.
const UPSERT_TARGET: f64 = 0.90;
const QUERY_TARGET: f64 = 0.95;
/// Seconds of queries before those that count.
const WARM_UP: Duration = Duration::from_secs(3);

/// What to write and search.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    set: SetArguments,
    /// How often to measure each
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of queries in each run
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let set = Set::load(&settings.set)?;
    let mut report = Report::new("sealing");
    for run in 0..settings.runs {
        // Who comes first changes, so that neither has the cooler processor each time.
        let order = if run % 2 == 0 { [true, false] } else { [false, true] };
        let mut rates = [(0.0, 0.0); 2];
        for sealed in order {
            let (upserts, queries) = measure(settings, &set, sealed).await?;
            let label = if sealed { "sealed" } else { "unsealed" };
            report.record(&format!("{label} upserts"), "vectors/s", upserts);
            report.record(&format!("{label} queries"), "queries/s", queries);
            rates[usize::from(sealed)] = (upserts, queries);
        }
        report.record("upserts, sealed / unsealed", "", rates[1].0 / rates[0].0);
        report.record("queries, sealed / unsealed", "", rates[1].1 / rates[0].1);
    }
    report.expect("upserts, sealed / unsealed", Target::AtLeast(UPSERT_TARGET));
    report.expect("queries, sealed / unsealed", Target::AtLeast(QUERY_TARGET));
    report.finish();
    Ok(())
}

/// Vectors upserted in a second, each batch acknowledged before the next, and queries answered in a second once all is quiet and warm.
async fn measure(settings: &Settings, set: &Set, sealed: bool) -> Result<(f64, f64), Failure> {
    unsealed::set(!sealed);
    let engine = EngineSettings { query_on_caller: true, recall_one_in: 0, ..EngineSettings::default() };
    let place = InProcess::open(set.base.dimension(), set.metric, engine).await?;
    let state = State::fresh(set.base.rows());
    let begun = Instant::now();
    place.upsert(set, &state.records).await?;
    let upserts = set.base.rows() as f64 / begun.elapsed().as_secs_f64();
    place.settle().await?;
    let asked = Asked { class: Class::All, k: 10, effort: None };
    ask(&place, set, asked, WARM_UP).await?;
    let queries = ask(&place, set, asked, Duration::from_secs(settings.seconds)).await?;
    place.close().await;
    unsealed::set(false);
    Ok((upserts, queries))
}

/// Queries in a second, one after the other for so long.
async fn ask(place: &InProcess, set: &Set, asked: Asked, how_long: Duration) -> Result<f64, Failure> {
    let (begun, mut answered) = (Instant::now(), 0u32);
    let queries = u32::try_from(set.queries.rows())?;
    while begun.elapsed() < how_long {
        place.query(set, answered % queries, asked).await?;
        answered += 1;
    }
    Ok(f64::from(answered) / begun.elapsed().as_secs_f64())
}
