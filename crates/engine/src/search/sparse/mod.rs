//! Sparse search of a segment: the exact best rows, found without adding up the postings of most of the others.
//!
//! Groups of rows are searched one after the other by [`group::GroupSearch`], and what the earlier ones found spares work in
//! the later ones.

mod exact;
mod group;
mod pass;
mod reached;
mod scratch;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use pinyon_model::Result;

use super::{Allowed, Run, steps::Steps, top_k::Candidate};
use crate::segment::{FetchedGroup, FetchedList, SegmentReader, TermsBlock};
use group::GroupSearch;

/// Groups whose terms are read in one batch, and searched or added up in one step.
const GROUPS_PER_STEP: usize = 4;

/// The postings of one group that a query needs, each with the query's value for their index.
struct GroupLists {
    group: u32,
    lists: Vec<(f32, FetchedList)>,
}

impl Run {
    pub(super) async fn sparse(&self, reader: &Arc<SegmentReader>, allowed: Allowed) -> Result<Vec<Candidate>> {
        let Some(query) = self.search.query.sparse() else { return Ok(Vec::new()) };
        let mut steps = Steps::new(self);
        let groups: Vec<u32> = (0..reader.groups()).collect();
        let one_step = groups.len() <= GROUPS_PER_STEP;
        for groups in groups.chunks(GROUPS_PER_STEP) {
            let fetched = reader.fetch_impacts(groups, query, self.search.query.kernels()).await?;
            let heavy = fetched.iter().any(FetchedGroup::is_stored);
            let (reader, allowed) = (Arc::clone(reader), allowed.clone());
            let (search, floor) = (self.search.clone(), Arc::clone(&self.floor));
            let step = move || {
                let mut groups = GroupSearch::new(&search.query, &allowed, search.top_k, &floor);
                for group in fetched {
                    if group.bound() > 0.0 && groups.may_reach(group.bound()) {
                        groups.search(reader.decode_impacts(group)?);
                    }
                }
                Ok(groups.finish())
            };
            // Whoever waits here is on the pool already: a step that nothing runs beside is done at once.
            if one_step {
                return step();
            }
            steps.begin(self, heavy, step).await?;
        }
        let found = steps.finish().await?;
        self.best_rows(found).await
    }

    /// The sparse part of every row's score, by row.
    pub(super) async fn sparse_scores(&self, reader: &Arc<SegmentReader>) -> Result<Vec<f64>> {
        let mut steps = Steps::new(self);
        let groups: Vec<u32> = (0..reader.groups()).collect();
        for groups in groups.chunks(GROUPS_PER_STEP) {
            let mut fetched = Vec::with_capacity(groups.len());
            for (group, terms) in groups.iter().zip(reader.load::<TermsBlock>(groups).await?) {
                fetched.push(self.lists(reader, *group, &terms).await?);
            }
            // The first step makes room for all rows, which spares copying where there is no other.
            let first = groups[0];
            let end = if first == 0 { reader.rows() } else { reader.group(groups[groups.len() - 1]).end };
            let start = if first == 0 { 0 } else { reader.group(first).start };
            let reader = Arc::clone(reader);
            let step = move || {
                let mut scores = vec![0.0; (end - start) as usize];
                for GroupLists { group, lists } in fetched {
                    let rows = reader.group(group);
                    let Some(scores) = scores.get_mut((rows.start - start) as usize..(rows.end - start) as usize) else { continue };
                    for (weight, list) in lists {
                        reader.decode_list(list)?.add_to(weight, scores);
                    }
                }
                Ok((start as usize, scores))
            };
            steps.begin(self, true, step).await?;
        }
        let mut parts = steps.finish().await?.into_iter();
        let mut scores = parts.next().map_or_else(|| vec![0.0; reader.rows() as usize], |(_, scores)| scores);
        for (first, part) in parts {
            if let Some(place) = scores.get_mut(first..first + part.len()) {
                place.copy_from_slice(&part);
            }
        }
        Ok(scores)
    }

    async fn lists(&self, reader: &SegmentReader, group: u32, terms: &TermsBlock) -> Result<GroupLists> {
        let Some(query) = self.search.query.sparse() else { return Ok(GroupLists { group, lists: Vec::new() }) };
        let pairs = query.indices().iter().zip(query.values());
        let (wanted, weights): (Vec<u32>, Vec<f32>) = pairs.filter_map(|(i, v)| terms.find(*i).map(|term| (term, *v))).unzip();
        let fetched = reader.fetch_lists(group, terms, &wanted).await?;
        Ok(GroupLists { group, lists: weights.into_iter().zip(fetched).collect() })
    }
}
