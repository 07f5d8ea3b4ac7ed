//! Sparse search of a segment: the postings of the query's indices, added up group by group.

use std::sync::Arc;

use pinyon_model::Result;

use super::{
    Allowed, Run,
    steps::Steps,
    top_k::{ByRow, Candidate, TopK},
};
use crate::segment::{FetchedList, SegmentReader, TermsBlock};

/// Groups whose terms are read in one batch.
const GROUPS_PER_READ: usize = 8;

/// The postings of one group that a query needs, each with the query's value for their index.
struct GroupLists {
    group: u32,
    lists: Vec<(f32, FetchedList)>,
}

impl GroupLists {
    /// The group's scores by row, counted from its first.
    fn scores(self, reader: &SegmentReader) -> Result<Vec<f64>> {
        let mut scores = vec![0.0; reader.group(self.group).len()];
        for (weight, list) in self.lists {
            reader.decode_list(list)?.add_to(weight, &mut scores);
        }
        Ok(scores)
    }
}

impl Run {
    pub(super) async fn sparse(&self, reader: &Arc<SegmentReader>, allowed: Allowed) -> Result<Vec<Candidate>> {
        let mut steps = Steps::new(self);
        let groups: Vec<u32> = (0..reader.groups()).collect();
        for groups in groups.chunks(GROUPS_PER_READ) {
            for (group, terms) in groups.iter().zip(reader.load::<TermsBlock>(groups).await?) {
                let lists = self.lists(reader, *group, &terms).await?;
                let (reader, allowed) = (Arc::clone(reader), allowed.clone());
                let (search, floor) = (self.search.clone(), Arc::clone(&self.floor));
                let step = move || {
                    let first = reader.group(lists.group).start;
                    let mut top = TopK::new(search.top_k, ByRow, &floor);
                    for (row, score) in (first..).zip(lists.scores(&reader)?) {
                        let rank = search.query.rank(score);
                        if score != 0.0 && rank >= top.least() && allowed.contains(row) {
                            top.push(rank, row);
                        }
                    }
                    Ok(top.finish())
                };
                steps.begin(self, true, step).await?;
            }
        }
        let found = steps.finish().await?;
        self.best_rows(found).await
    }

    /// The sparse part of every row's score, by row.
    pub(super) async fn sparse_scores(&self, reader: &Arc<SegmentReader>) -> Result<Vec<f64>> {
        let mut steps = Steps::new(self);
        let groups: Vec<u32> = (0..reader.groups()).collect();
        for groups in groups.chunks(GROUPS_PER_READ) {
            for (group, terms) in groups.iter().zip(reader.load::<TermsBlock>(groups).await?) {
                let lists = self.lists(reader, *group, &terms).await?;
                let reader = Arc::clone(reader);
                steps.begin(self, true, move || Ok((reader.group(lists.group).start, lists.scores(&reader)?))).await?;
            }
        }
        let mut scores = vec![0.0; reader.rows() as usize];
        for (first, group) in steps.finish().await? {
            let first = first as usize;
            if let Some(place) = scores.get_mut(first..first + group.len()) {
                place.copy_from_slice(&group);
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
