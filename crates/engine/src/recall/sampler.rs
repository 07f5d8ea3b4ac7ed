//! A share of live dense queries, kept for a moment to be replayed exactly when nobody asks anything.
//!
//! They are in memory alone, few and small: at most [`OF_INDEX`] of an index, [`ALL`] in all and [`BYTES`] together, the oldest giving way.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use pinyon_model::IndexId;
use tokio::sync::Notify;

use crate::{Clock, EngineSettings, filter, namespace::Namespace, search::Search, segment::Chance, shared::Shared};

/// Samples of one index that wait.
const OF_INDEX: usize = 32;
/// Samples that wait.
const ALL: usize = 256;
/// Bytes of their vectors and filters.
const BYTES: usize = 8 << 20;

/// One live query, to be replayed.
pub(crate) struct Sample {
    pub(crate) index: IndexId,
    /// Whoever closes or deletes the namespace does not wait for it.
    pub(crate) namespace: Weak<Namespace>,
    pub(crate) search: Search,
}

impl Sample {
    fn bytes(&self) -> usize {
        self.search.query.dense_bytes() + self.search.filter.as_deref().map_or(0, filter::bytes)
    }
}

/// Chooses samples, holds them, and knows when it is quiet.
pub(crate) struct Sampler {
    clock: Arc<dyn Clock>,
    /// One query in so many; 0: none.
    one_in: u32,
    quiet_ms: u64,
    asked: AtomicU64,
    running: AtomicU32,
    last_ms: AtomicU64,
    waiting: Mutex<VecDeque<Sample>>,
    added: Notify,
}

/// A query under way.
pub(crate) struct Asking<'a>(&'a Sampler);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.last_ms.fetch_max(self.0.clock.now_ms(), Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sampler {
    pub(crate) fn new(clock: Arc<dyn Clock>, settings: &EngineSettings) -> Self {
        Self {
            clock,
            one_in: settings.recall_one_in,
            quiet_ms: settings.recall_quiet_ms,
            asked: AtomicU64::new(0),
            running: AtomicU32::new(0),
            last_ms: AtomicU64::new(0),
            waiting: Mutex::default(),
            added: Notify::new(),
        }
    }

    /// Somebody asks something: until what is returned is dropped, and a moment after, it is not quiet. Nothing where samples are not taken.
    pub(crate) fn asking(&self) -> Option<Asking<'_>> {
        (self.one_in > 0).then(|| {
            self.running.fetch_add(1, Ordering::Relaxed);
            Asking(self)
        })
    }

    /// Whether this query is one of the share. Not every nth exactly: clients ask in turns too.
    pub(crate) fn chooses(&self) -> bool {
        self.one_in > 0 && Chance::new(self.asked.fetch_add(1, Ordering::Relaxed)).below(self.one_in as usize) == 0
    }

    /// Keeps a query.
    pub(crate) fn keep(&self, sample: Sample) {
        let mut waiting = self.lock();
        let of_index = waiting.iter().filter(|other| other.index == sample.index).count();
        if of_index >= OF_INDEX
            && let Some(oldest) = waiting.iter().position(|other| other.index == sample.index)
        {
            waiting.remove(oldest);
        }
        waiting.push_back(sample);
        while waiting.len() > ALL || waiting.iter().map(Sample::bytes).sum::<usize>() > BYTES {
            waiting.pop_front();
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// The next sample to replay, if it is quiet.
    fn next_if_quiet(&self) -> Option<Sample> {
        let quiet_since = self.last_ms.load(Ordering::Relaxed).saturating_add(self.quiet_ms);
        let quiet = self.running.load(Ordering::Relaxed) == 0 && quiet_since <= self.clock.now_ms();
        if quiet { self.lock().pop_front() } else { None }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replays samples for as long as the engine runs: one at a time, in quiet moments.
pub(crate) async fn replay_when_quiet(shared: Arc<Shared>) {
    let work = async {
        loop {
            if shared.sampler.is_empty() {
                shared.sampler.added.notified().await;
            }
            shared.clock.wait_ms(shared.settings.recall_quiet_ms.max(1)).await;
            if let Some(sample) = shared.sampler.next_if_quiet()
                && let Some(namespace) = sample.namespace.upgrade()
                && let Err(error) = namespace.replay(sample.search).await
            {
                tracing::debug!("a query was not replayed: {error}");
            }
        }
    };
    tokio::select! {
        () = shared.closing.cancelled() => {}
        () = work => {}
    }
}

#[cfg(test)]
mod tests {
    use pinyon_kernels::Kernels;
    use pinyon_model::{Condition, DenseVector, Dimension, Filter, Metric, Scalar, VectorShape};

    use super::*;
    use crate::search::{Effort, PreparedQuery};

    struct Hand(AtomicU64);

    #[async_trait::async_trait]
    impl Clock for Hand {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
        async fn wait_ms(&self, _: u64) {
            std::future::pending::<()>().await;
        }
    }

    fn sampler(one_in: u32) -> (Sampler, Arc<Hand>) {
        let clock = Arc::new(Hand(AtomicU64::new(1_000)));
        let settings = EngineSettings { recall_one_in: one_in, recall_quiet_ms: 100, ..EngineSettings::default() };
        (Sampler::new(clock.clone(), &settings), clock)
    }

    fn sample(index: u8, dimension: u32, top_k: usize) -> Sample {
        let shape = VectorShape { dense: Some((Dimension::new(dimension).unwrap(), Metric::Cosine)), sparse: false };
        let vector = DenseVector::new(vec![1.0; dimension as usize]).unwrap();
        let query = PreparedQuery::new(Kernels::detect(), &shape, Some(vector), None).unwrap();
        let search = Search { query: Arc::new(query), filter: None, top_k, effort: Effort::default() };
        Sample { index: IndexId::from_bytes([index; 16]), namespace: Weak::new(), search }
    }

    #[test]
    fn about_the_share_is_chosen_and_none_when_off() {
        let (sampler_100, _) = sampler(100);
        let chosen = (0..100_000).filter(|_| sampler_100.chooses()).count();
        assert!((800..1_200).contains(&chosen), "{chosen}");
        let (off, _) = sampler(0);
        assert!(!(0..1_000).any(|_| off.chooses()) && off.asking().is_none());
        let (all, _) = sampler(1);
        assert!((0..100).all(|_| all.chooses()));
    }

    #[test]
    fn the_oldest_of_the_index_gives_way_and_no_more_is_held_than_allowed() {
        let (sampler, _) = sampler(1);
        sampler.keep(sample(2, 4, 7));
        (1..=2 * OF_INDEX).for_each(|k| sampler.keep(sample(1, 4, k)));
        assert_eq!(sampler.lock().len(), OF_INDEX + 1);
        assert_eq!(sampler.next_if_quiet().unwrap().search.top_k, 7, "another index's is left alone");
        assert_eq!(sampler.next_if_quiet().unwrap().search.top_k, OF_INDEX + 1);
        (0..100).for_each(|index| (0..10).for_each(|_| sampler.keep(sample(index, 4, 1))));
        assert_eq!(sampler.lock().len(), ALL);
        (0..100).for_each(|index| (0..10).for_each(|_| sampler.keep(sample(index, 20_000, 1))));
        assert!(sampler.lock().iter().map(Sample::bytes).sum::<usize>() <= BYTES);
    }

    #[test]
    fn nothing_is_replayed_while_somebody_asks_and_a_moment_after() {
        let (sampler, clock) = sampler(1);
        sampler.keep(sample(1, 4, 1));
        let asking = sampler.asking();
        clock.0.fetch_add(10_000, Ordering::SeqCst);
        assert!(sampler.next_if_quiet().is_none(), "a query is under way");
        drop(asking);
        clock.0.fetch_add(99, Ordering::SeqCst);
        assert!(sampler.next_if_quiet().is_none(), "it has just ended");
        clock.0.fetch_add(1, Ordering::SeqCst);
        assert!(sampler.next_if_quiet().is_some());
        assert!(sampler.next_if_quiet().is_none());
    }

    #[test]
    fn filters_count_for_what_they_hold() {
        let long = Filter::Field("f".into(), Condition::Eq(Scalar::String("x".repeat(5_000))));
        assert!(filter::bytes(&Filter::And(vec![long.clone(), Filter::Not(Box::new(long))])) > 10_000);
    }
}
