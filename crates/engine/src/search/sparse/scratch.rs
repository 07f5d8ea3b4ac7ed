//! Room for the sums of one group, kept by each thread from query to query: clearing a quarter of a megabyte for each would
//! take longer than most searches.

use std::cell::Cell;

use crate::segment::{BLOCK_ROWS, GROUP_ROWS};

/// Positions of a group at most.
pub(super) const POSITIONS: usize = GROUP_ROWS as usize;
/// Blocks of a group at most.
pub(super) const BLOCKS: usize = POSITIONS / BLOCK_ROWS;

/// The room. Between groups all sums are 0.
pub(super) struct Scratch {
    /// What short lists add up to, by position.
    pub(super) sums: Box<[f32; POSITIONS]>,
    /// What the other lists can add at most, by block; whoever begins a group clears it.
    pub(super) bounds: Box<[f32; BLOCKS]>,
    /// Scores by position, where all postings are added up; whoever does clears it.
    pub(super) scores: Vec<f64>,
}

thread_local! {
    static KEPT: Cell<Option<Scratch>> = const { Cell::new(None) };
}

impl Scratch {
    /// This thread's room. If it is not given back, because something failed on the way, the next one is fresh.
    pub(super) fn take() -> Self {
        KEPT.take().unwrap_or_else(|| Self { sums: zeros(), bounds: zeros(), scores: Vec::new() })
    }

    /// Keeps the room, all sums of which must be 0, for the next query.
    pub(super) fn give_back(self) {
        KEPT.set(Some(self));
    }
}

fn zeros<const COUNT: usize>() -> Box<[f32; COUNT]> {
    match vec![0.0; COUNT].into_boxed_slice().try_into() {
        Ok(zeros) => zeros,
        Err(_) => unreachable!("the slice was made with this length"),
    }
}
