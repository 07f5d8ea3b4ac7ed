//! Recall that is known: a share of live dense queries is replayed exactly in idle time, and what the approximate search finds of the
//! exact answer is kept for each namespace. The effort of its searches follows.

mod effort;
mod measured;
mod probe;
mod replay;
mod sampler;

pub(crate) use measured::Measured;
pub(crate) use probe::probe;
pub(crate) use replay::recall;
pub(crate) use sampler::{Sample, Sampler, replay_when_quiet};
