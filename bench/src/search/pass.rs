//! One pass over all queries of a set, one after the other, and the least effort that reaches a recall.

use super::place::{Asked, InProcess};
use crate::{
    Failure,
    sets::Set,
    stats::{Latencies, own_processor_time, recall},
};

/// Queries before the clock starts.
const WARM_UP: u32 = 20;

/// What a pass gave.
pub(crate) struct Pass {
    pub(crate) recall: f64,
    pub(crate) latencies: Latencies,
    /// Processor time of this process for each query, in microseconds.
    pub(crate) cpu_us: f64,
}

impl Pass {
    /// Queries a second, one after the other.
    pub(crate) fn qps(&self) -> f64 {
        self.latencies.len() as f64 / self.latencies.total_s()
    }
}

/// Asks every query once.
pub(crate) async fn pass(place: &InProcess, set: &Set, asked: Asked, truth: &[Vec<u32>]) -> Result<Pass, Failure> {
    let count = set.queries.rows() as u32;
    for query in 0..WARM_UP.min(count) {
        place.query(set, query, asked).await?;
    }
    let (mut answers, mut times) = (Vec::with_capacity(truth.len()), Vec::with_capacity(truth.len()));
    let before = own_processor_time();
    for query in 0..count {
        let (rows, micros) = place.query(set, query, asked).await?;
        answers.push(rows);
        times.push(micros);
    }
    let used = own_processor_time() - before;
    let recall = recall(answers.iter().map(Vec::as_slice).zip(truth.iter().map(Vec::as_slice)), asked.k);
    Ok(Pass { recall, latencies: Latencies::new(times), cpu_us: used.as_secs_f64() * 1e6 / f64::from(count) })
}

/// The steps of effort that are tried: factors from 1/64 to 64, eight to a doubling.
const STEPS: std::ops::RangeInclusive<i32> = -48..=48;

fn factor(step: i32) -> f32 {
    2f32.powf(step as f32 / 8.0)
}

/// The least effort whose recall is at least as high, or nothing when the most there is does not reach it.
pub(crate) async fn least_effort(
    place: &InProcess,
    set: &Set,
    asked: Asked,
    truth: &[Vec<u32>],
    wanted: f64,
) -> Result<Option<f32>, Failure> {
    let (mut low, mut high) = (*STEPS.start(), *STEPS.end());
    let reaches = async |step| {
        let pass = pass(place, set, Asked { effort: Some(factor(step)), ..asked }, truth).await?;
        Ok::<_, Failure>(pass.recall >= wanted)
    };
    if !reaches(high).await? {
        return Ok(None);
    }
    while low < high {
        let middle = low + (high - low).div_euclid(2);
        if reaches(middle).await? { high = middle } else { low = middle + 1 }
    }
    Ok(Some(factor(low)))
}
