//! Room for the sums of one group, kept by each thread from query to query: clearing a quarter of a megabyte for each would
//! take longer than most searches.

use std::cell::Cell;

use crate::segment::{BLOCK_ROWS, GROUP_ROWS};

/// Positions of a group at most.
pub(super) const POSITIONS: usize = GROUP_ROWS as usize;
/// Blocks of a group at most.
pub(super) const BLOCKS: usize = POSITIONS / BLOCK_ROWS;

/// The room. Between groups all sums and numbers are 0.
pub(super) struct Scratch {
    /// What short lists add up to, by position.
    pub(super) sums: Box<[f32; POSITIONS]>,
    /// The largest of these sums, by block; whoever begins a group clears it.
    pub(super) most: Box<[f32; BLOCKS]>,
    /// What the other lists can add at most, by block; whoever begins a group clears it.
    pub(super) bounds: Box<[f32; BLOCKS]>,
    /// Blocks that have a chance, and the bits of what a row of each can reach.
    pub(super) chosen: Vec<(u32, u16)>,
    /// Numbers of rows that are scored exactly, by position; 0 for all others.
    pub(super) numbers: Box<[u16; POSITIONS]>,
    /// Exact scores, of some rows or by position; whoever makes them clears it.
    pub(super) scores: Vec<f64>,
}

thread_local! {
    static KEPT: Cell<Option<Scratch>> = const { Cell::new(None) };
}

impl Scratch {
    /// This thread's room. If it is not given back, because something failed on the way, the next one is fresh.
    pub(super) fn take() -> Self {
        let fresh = || Self { sums: zeros(), most: zeros(), bounds: zeros(), chosen: Vec::new(), numbers: zeros(), scores: Vec::new() };
        KEPT.take().unwrap_or_else(fresh)
    }

    /// Keeps the room, all sums and numbers of which must be 0, for the next query.
    pub(super) fn give_back(self) {
        KEPT.set(Some(self));
    }
}

fn zeros<T: Copy + Default, const COUNT: usize>() -> Box<[T; COUNT]> {
    match vec![T::default(); COUNT].into_boxed_slice().try_into() {
        Ok(zeros) => zeros,
        Err(_) => unreachable!("the slice was made with this length"),
    }
}
