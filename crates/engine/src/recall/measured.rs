//! What was measured of one namespace. Kept in memory, for as long as the namespace is in its index's list.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use pinyon_model::Recall;

use super::effort::EffortControl;

/// Samples that count as recent.
const RECENT: usize = 64;
/// What each sample's weight is to that of the next.
const AGING: f64 = 0.97;

/// The recall of one namespace, and the effort that follows from it.
pub(crate) struct Measured {
    /// Bits of the factor, for searches, which take no lock.
    factor: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    samples: u64,
    recent: VecDeque<f32>,
    control: EffortControl,
}

impl Default for Measured {
    fn default() -> Self {
        let state = State::default();
        Self { factor: AtomicU64::new(state.control.factor().to_bits()), state: Mutex::new(state) }
    }
}

impl Measured {
    /// Times the calibrated effort.
    pub(crate) fn effort(&self) -> f64 {
        f64::from_bits(self.factor.load(Ordering::Relaxed))
    }

    /// Takes the recall of one more sample into account.
    pub(crate) fn add(&self, recall: f64) {
        let mut state = self.lock();
        state.samples += 1;
        if state.recent.len() == RECENT {
            state.recent.pop_front();
        }
        state.recent.push_back(recall as f32);
        state.control.measured(recall);
        self.factor.store(state.control.factor().to_bits(), Ordering::Relaxed);
    }

    /// What is known; none before the first sample.
    pub(crate) fn recall(&self) -> Option<Recall> {
        let state = self.lock();
        let (mut sum, mut weights, mut weight) = (0.0, 0.0, 1.0);
        for recall in state.recent.iter().rev() {
            sum += weight * f64::from(*recall);
            weights += weight;
            weight *= AGING;
        }
        let worst = state.recent.iter().copied().fold(1.0, f32::min);
        (state.samples > 0).then(|| Recall { samples: state.samples, mean: sum / weights, worst: f64::from(worst) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_samples_count_more_and_old_ones_not_at_all() {
        let measured = Measured::default();
        assert_eq!(measured.recall(), None);
        (0..50).for_each(|_| measured.add(0.5));
        let before = measured.recall().unwrap();
        assert!((before.mean - 0.5).abs() < 1e-9 && before.worst == 0.5 && before.samples == 50);
        (0..20).for_each(|_| measured.add(1.0));
        let mixed = measured.recall().unwrap();
        assert!(mixed.mean > 0.5 + 0.5 * 20.0 / 64.0 && mixed.worst == 0.5, "{mixed:?}");
        (0..RECENT).for_each(|_| measured.add(1.0));
        assert_eq!(measured.recall(), Some(Recall { samples: 50 + 20 + RECENT as u64, mean: 1.0, worst: 1.0 }));
    }

    #[test]
    fn the_effort_follows() {
        let measured = Measured::default();
        assert_eq!(measured.effort(), 1.0);
        (0..200).for_each(|_| measured.add(0.8));
        assert!(measured.effort() > 1.5);
    }
}
