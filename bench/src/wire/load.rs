//! Load: as fast as answers come on some connections, or at random moments whether answers have come or not.
//!
//! Bodies are made before the clock starts and answers are read after it has stopped, so that sending and receiving is all that the
//! generator does meanwhile.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::dialect::{Connection, Dialect};
use crate::{Failure, stats::Latencies, vectors::Values};

/// What a load gave.
pub(crate) struct Outcome {
    /// From the moment a request should have been sent until its answer was there.
    pub(crate) latencies: Latencies,
    pub(crate) seconds: f64,
    /// Which query each answer belongs to, and the answer as it came.
    pub(crate) answers: Vec<(u32, Bytes)>,
}

impl Outcome {
    pub(crate) fn qps(&self) -> f64 {
        self.answers.len() as f64 / self.seconds
    }

    fn new(done: Vec<Done>, seconds: f64) -> Self {
        let latencies = Latencies::new(done.iter().map(|done| done.micros).collect());
        Self { latencies, seconds, answers: done.into_iter().map(|done| (done.query, done.answer)).collect() }
    }
}

struct Done {
    query: u32,
    micros: f64,
    answer: Bytes,
}

/// Sends `count` queries, the next one on a connection as soon as its last was answered.
pub(crate) async fn closed(dialect: &dyn Dialect, bodies: &Arc<Vec<Bytes>>, connections: usize, count: usize) -> Result<Outcome, Failure> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(dialect).await?;
        connection.query(bodies[0].clone()).await?;
        open.push(connection);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in open {
        let (bodies, next) = (Arc::clone(bodies), Arc::clone(&next));
        tasks.spawn(async move {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok::<_, Failure>(done);
                }
                let query = at % bodies.len();
                let sent = Instant::now();
                let answer = connection.query(bodies[query].clone()).await?;
                done.push(Done { query: query as u32, micros: sent.elapsed().as_secs_f64() * 1e6, answer });
            }
        });
    }
    let mut done = Vec::with_capacity(count);
    while let Some(part) = tasks.join_next().await {
        done.extend(part??);
    }
    Ok(Outcome::new(done, begun.elapsed().as_secs_f64()))
}

/// Sends `count` queries at the moments of a Poisson process. A query waits when every connection is busy, and its wait counts.
///
/// It never sleeps, because a timer would be late by more than an answer takes: it is meant to have a core of its own.
pub(crate) async fn open(
    dialect: &dyn Dialect,
    bodies: &[Bytes],
    connections: usize,
    rate: f64,
    count: usize,
    seed: u64,
) -> Result<Outcome, Failure> {
    let mut idle = VecDeque::new();
    for _ in 0..connections {
        let mut connection = Connection::open(dialect).await?;
        connection.query(bodies[0].clone()).await?;
        idle.push_back(connection);
    }
    let arrivals = arrivals(rate, count, seed);
    let (mut due, mut done, mut flights) = (0, Vec::with_capacity(count), JoinSet::new());
    let begun = Instant::now();
    while done.len() < count {
        while let Some(flight) = flights.try_join_next() {
            let (connection, one) = flight??;
            idle.push_back(connection);
            done.push(one);
        }
        while due < count && begun.elapsed() >= arrivals[due] {
            let Some(mut connection) = idle.pop_front() else { break };
            let (query, moment) = (due % bodies.len(), begun + arrivals[due]);
            let body = bodies[query].clone();
            flights.spawn(async move {
                let answer = connection.query(body).await?;
                let micros = moment.elapsed().as_secs_f64() * 1e6;
                Ok::<_, Failure>((connection, Done { query: query as u32, micros, answer }))
            });
            due += 1;
        }
        tokio::task::yield_now().await;
    }
    Ok(Outcome::new(done, begun.elapsed().as_secs_f64()))
}

/// When each request is due, from the start.
fn arrivals(rate: f64, count: usize, seed: u64) -> Vec<Duration> {
    let mut values = Values::new(seed);
    let mut at = 0.0;
    let next = |_| {
        at -= values.share().ln() / rate;
        Duration::from_secs_f64(at)
    };
    (0..count).map(next).collect()
}

/// Upserts one body after the other, over and over, on some connections, and gives the bodies sent a second.
pub(crate) async fn upsert_rate(dialect: &dyn Dialect, bodies: &Arc<Vec<Bytes>>, connections: usize, count: usize) -> Result<f64, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let (mut connection, bodies, next) = (Connection::open(dialect).await?, Arc::clone(bodies), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok::<_, Failure>(());
                }
                connection.upsert(bodies[at % bodies.len()].clone()).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Upserts bodies at a steady rate in the background until told to stop; then gives how many were sent.
pub(crate) struct SteadyUpserts {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<usize, Failure>>,
}

impl SteadyUpserts {
    pub(crate) async fn start(dialect: &dyn Dialect, bodies: &Arc<Vec<Bytes>>, rate: f64) -> Result<Self, Failure> {
        let (mut connection, bodies, stop) = (Connection::open(dialect).await?, Arc::clone(bodies), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                connection.upsert(bodies[sent % bodies.len()].clone()).await?;
                sent += 1;
            }
            Ok(sent)
        });
        Ok(Self { stop, task })
    }

    pub(crate) async fn stop(self) -> Result<usize, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_their_rate_and_at_random() {
        let arrivals = arrivals(1_000.0, 20_000, 1);
        let last = arrivals[arrivals.len() - 1].as_secs_f64();
        assert!((last - 20.0).abs() < 0.6, "{last}");
        let gaps: Vec<f64> = arrivals.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect();
        // Of a Poisson process the share of gaps shorter than the mean is 1 - 1/e.
        let short = gaps.iter().filter(|gap| **gap < 1e-3).count() as f64 / gaps.len() as f64;
        assert!((short - 0.632).abs() < 0.02, "{short}");
    }
}
