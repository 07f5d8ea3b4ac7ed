//! Where in a shard the vectors are, by what their keys mix to.
//!
//! A table of its own, because it must be possible to ask the memory for an entry before it is looked at: a map does not tell where it is.

use pinyon_kernels::Kernels;

/// Entries to begin with.
const FIRST_ENTRIES: usize = 64;

/// Entries by open addressing. An entry is 32 bits of its hash, which also say where it belongs, and above 0 a place: 0 is no entry.
#[derive(Default)]
pub(super) struct Table {
    /// A power of two of them, or none.
    entries: Vec<u64>,
    held: usize,
}

fn entry(hash: u32, place: usize) -> u64 {
    u64::from(hash) << 32 | (place as u64 + 1)
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

impl Table {
    fn mask(&self) -> usize {
        self.entries.len().wrapping_sub(1)
    }

    /// Hints that the places of this hash will be asked for.
    pub(super) fn prefetch(&self, kernels: Kernels, hash: u32) {
        if let Some(entry) = self.entries.get(hash as usize & self.mask()) {
            kernels.prefetch_at(std::ptr::from_ref(entry));
        }
    }

    /// The places of this hash: mostly one or none.
    pub(super) fn places(&self, hash: u32) -> impl Iterator<Item = usize> {
        let at = move |step: usize| self.entries.get((hash as usize).wrapping_add(step) & self.mask()).copied();
        (0..self.entries.len()).map_while(at).take_while(|entry| *entry != 0).filter(move |entry| hash_of(*entry) == hash).map(place_of)
    }

    /// Enters a place under a hash.
    pub(super) fn add(&mut self, hash: u32, place: usize) {
        // At most two thirds are taken, so that a look ends soon.
        if self.held * 3 >= self.entries.len() * 2 {
            let old = std::mem::take(&mut self.entries);
            self.entries = vec![0; (2 * old.len()).max(FIRST_ENTRIES)];
            old.into_iter().filter(|entry| *entry != 0).for_each(|entry| self.put(entry));
        }
        self.put(entry(hash, place));
        self.held += 1;
    }

    fn put(&mut self, entry: u64) {
        let mask = self.mask();
        let mut at = hash_of(entry) as usize & mask;
        while self.entries[at] != 0 {
            at = (at + 1) & mask;
        }
        self.entries[at] = entry;
    }

    fn find(&self, hash: u32, place: usize) -> Option<usize> {
        let wanted = entry(hash, place);
        let mut at = (0..self.entries.len()).map(|step| (hash as usize).wrapping_add(step) & self.mask());
        at.find(|at| matches!(self.entries[*at], found if found == wanted || found == 0)).filter(|at| self.entries[*at] == wanted)
    }

    /// Takes out a place that is entered under a hash.
    pub(super) fn remove(&mut self, hash: u32, place: usize) {
        let Some(mut hole) = self.find(hash, place) else { return };
        self.held -= 1;
        self.entries[hole] = 0;
        // What comes next and could lie in the hole moves there: nothing must lie behind a hole that belongs before it.
        let mask = self.mask();
        let mut at = (hole + 1) & mask;
        while self.entries[at] != 0 {
            let home = hash_of(self.entries[at]) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.entries.swap(hole, at);
                hole = at;
            }
            at = (at + 1) & mask;
        }
    }

    /// What is entered as one place is at another from now on.
    pub(super) fn moved(&mut self, hash: u32, from: usize, to: usize) {
        if let Some(at) = self.find(hash, from) {
            self.entries[at] = entry(hash, to);
        }
    }
}

fn place_of(entry: u64) -> usize {
    (entry as u32 as usize).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain list, with hashes of which many begin at one entry.
        #[test]
        fn finds_what_was_entered(steps in prop::collection::vec((any::<bool>(), 0u32..40, 0usize..6), 0..300)) {
            let (mut table, mut list) = (Table::default(), Vec::<(u32, usize)>::new());
            for (add, hash, place) in steps {
                let hash = ((hash % 8) << 20) | (hash / 8);
                match list.iter().position(|one| *one == (hash, place)) {
                    Some(at) if !add => {
                        list.swap_remove(at);
                        table.remove(hash, place);
                    }
                    Some(at) => {
                        list[at].1 = place + 100;
                        table.moved(hash, place, place + 100);
                    }
                    None if add => {
                        list.push((hash, place));
                        table.add(hash, place);
                    }
                    None => table.remove(hash, place),
                }
                for hash in list.iter().map(|(hash, _)| *hash).chain([hash]) {
                    let mut found: Vec<usize> = table.places(hash).collect();
                    let mut expected: Vec<usize> = list.iter().filter(|one| one.0 == hash).map(|one| one.1).collect();
                    found.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(found, expected);
                }
                prop_assert_eq!(table.held, list.len());
            }
        }
    }
}
