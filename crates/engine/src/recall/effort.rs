//! How hard to look, from how much was found: a factor on the calibrated effort that rises in steps while measured recall is under the
//! target, and falls slowly when it is clearly above.
//!
//! Nothing moves on chance: a step up needs the mean to lie under the target by more than its standard error, a step down above
//! [`CLEARLY_ABOVE`] by as much; and every step begins the count anew, for what was measured before it says nothing of the new factor.

use pinyon_model::RECALL_TARGET;

/// The least factor: what calibration asked for.
const LEAST: f64 = 1.0;
/// The greatest.
const MOST: f64 = 4.0;
/// One step up.
const UP: f64 = 1.15;
/// One step down.
const DOWN: f64 = 1.05;
/// Samples before a step up.
const SAMPLES_UP: u32 = 24;
/// Samples before a step down: it is no loss to look a little too hard for a while.
const SAMPLES_DOWN: u32 = 96;
/// Mean recall from which on less effort will do.
const CLEARLY_ABOVE: f64 = 0.99;

/// The factor and the samples since it last changed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EffortControl {
    factor: f64,
    samples: u32,
    sum: f64,
    sum_of_squares: f64,
}

impl Default for EffortControl {
    fn default() -> Self {
        Self { factor: LEAST, samples: 0, sum: 0.0, sum_of_squares: 0.0 }
    }
}

impl EffortControl {
    /// The factor to search with now.
    pub(super) fn factor(&self) -> f64 {
        self.factor
    }

    /// Takes the recall of one sample, 0 to 1, into account.
    pub(super) fn measured(&mut self, recall: f64) {
        self.samples += 1;
        self.sum += recall;
        self.sum_of_squares += recall * recall;
        let n = f64::from(self.samples);
        let mean = self.sum / n;
        let error = ((self.sum_of_squares / n - mean * mean).max(0.0) / n).sqrt();
        if self.samples >= SAMPLES_UP && mean + error < RECALL_TARGET && self.factor < MOST {
            self.step((self.factor * UP).min(MOST));
        } else if self.samples >= SAMPLES_DOWN {
            if mean - error > CLEARLY_ABOVE && self.factor > LEAST {
                self.step((self.factor / DOWN).max(LEAST));
            } else {
                // The older half of what was measured counts half, so that a change of the data is seen.
                (self.samples, self.sum, self.sum_of_squares) = (self.samples / 2, self.sum / 2.0, self.sum_of_squares / 2.0);
            }
        }
    }

    fn step(&mut self, factor: f64) {
        *self = Self { factor, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples whose recall follows from the factor, alternating by `spread` about it.
    fn run(control: &mut EffortControl, samples: u32, spread: f64, recall: impl Fn(f64) -> f64) {
        for n in 0..samples {
            let off = if n % 2 == 0 { spread } else { -spread };
            control.measured((recall(control.factor()) + off).clamp(0.0, 1.0));
        }
    }

    #[test]
    fn it_rises_in_steps_until_the_target_is_met_and_no_further() {
        let mut control = EffortControl::default();
        run(&mut control, SAMPLES_UP - 1, 0.0, |_| 0.5);
        assert_eq!(control.factor(), 1.0, "too few samples say nothing");
        run(&mut control, 1, 0.0, |_| 0.5);
        assert_eq!(control.factor(), UP);
        // Reached at a factor of 2.
        let recall = |factor: f64| (0.90 + 0.04 * factor).min(1.0);
        run(&mut control, 3_000, 0.0, recall);
        assert!(control.factor() >= 2.0 && control.factor() < 2.0 * UP * UP, "{}", control.factor());
        let settled = control.factor();
        run(&mut control, 3_000, 0.0, recall);
        assert_eq!(control.factor(), settled, "it stays where it is");
    }

    #[test]
    fn it_has_bounds() {
        let mut control = EffortControl::default();
        run(&mut control, 10_000, 0.0, |_| 0.2);
        assert_eq!(control.factor(), MOST);
        run(&mut control, 100_000, 0.0, |_| 1.0);
        assert_eq!(control.factor(), LEAST);
    }

    #[test]
    fn it_falls_slower_than_it_rises() {
        let mut control = EffortControl::default();
        run(&mut control, SAMPLES_UP, 0.0, |_| 0.9);
        let up = control.factor();
        run(&mut control, SAMPLES_UP, 0.0, |_| 1.0);
        assert_eq!(control.factor(), up);
        run(&mut control, SAMPLES_DOWN, 0.0, |_| 1.0);
        assert!(control.factor() < up && control.factor() > LEAST);
    }

    #[test]
    fn what_may_be_chance_moves_nothing() {
        let mut control = EffortControl::default();
        // A mean of 0.977, with an error of a hundredth: one in eight missed much.
        for n in 0..SAMPLES_UP {
            control.measured(if n % 8 == 0 { 0.85 } else { 0.995 });
        }
        assert_eq!(control.factor(), 1.0);
        // Between target and clearly above it stays.
        let mut control = EffortControl { factor: 2.0, ..EffortControl::default() };
        run(&mut control, 10_000, 0.01, |_| 0.985);
        assert_eq!(control.factor(), 2.0);
    }

    #[test]
    fn it_sees_a_change_of_the_data_after_a_long_good_time() {
        let mut control = EffortControl::default();
        run(&mut control, 100_000, 0.0, |_| 0.985);
        assert_eq!(control.factor(), 1.0);
        run(&mut control, 2 * SAMPLES_DOWN, 0.0, |_| 0.9);
        assert!(control.factor() > 1.0);
    }
}
