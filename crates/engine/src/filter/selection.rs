//! What a filter selects of one segment, kept for the next query with the same filter.
//!
//! A segment never changes, so a selection is never stale: rows that died since are in it, and are left out by whoever searches.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, OnceLock},
};

use pinyon_model::{Condition, Filter, ObjectId, Result, Scalar};
use roaring::RoaringBitmap;

use super::{
    places::{self, PlaceSet},
    segment,
};
use crate::{
    pool::Lane,
    segment::{Codes, SegmentReader},
};

/// The rows of a segment that a filter selects, dead ones among them.
#[derive(Debug)]
pub(crate) struct Selection {
    rows: Arc<RoaringBitmap>,
    /// Made when codes are first searched for them.
    places: OnceLock<PlaceSet>,
}

impl Selection {
    /// What `filter` selects of `segment`: as it was found before, or found now. For what runs on the pool.
    pub(crate) async fn of(lane: &Lane, segment: &Arc<SegmentReader>, filter: &Arc<Filter>) -> Result<Arc<Self>> {
        if let Some(kept) = segment.kept_selection(filter) {
            return Ok(kept);
        }
        let selection = Arc::new(Self::new(segment::rows_on_pool(lane, segment, filter).await?));
        segment.keep_selection(filter, &selection);
        Ok(selection)
    }

    pub(crate) fn new(rows: RoaringBitmap) -> Self {
        Self { rows: Arc::new(rows), places: OnceLock::new() }
    }

    /// The rows.
    pub(crate) fn rows(&self) -> &Arc<RoaringBitmap> {
        &self.rows
    }

    /// Their places in the segment's codes.
    pub(crate) fn places(&self, segment: &SegmentReader, codes: &Codes) -> &PlaceSet {
        self.places.get_or_init(|| places::places_of(&self.rows, codes, segment.dense()))
    }

    /// Bytes that it may come to occupy in a segment of so many vectors with codes.
    pub(crate) fn weight_bytes(&self, coded: u32) -> usize {
        let places = if coded > 0 { PlaceSet::bytes_at_most(self.rows.len() as usize, coded as usize) } else { 0 };
        size_of::<Self>() + self.rows.serialized_size() + places
    }
}

/// Names a selection.
#[derive(Clone)]
pub(crate) struct SelectionKey {
    pub(crate) object: ObjectId,
    pub(crate) filter: Arc<Filter>,
}

impl PartialEq for SelectionKey {
    fn eq(&self, other: &Self) -> bool {
        self.object == other.object && self.filter == other.filter
    }
}

/// Numbers in filters are finite, so that each equals itself.
impl Eq for SelectionKey {}

impl Hash for SelectionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object.hash(state);
        hash(&self.filter, state);
    }
}

impl SelectionKey {
    /// Bytes that it occupies.
    pub(crate) fn weight_bytes(&self) -> usize {
        size_of::<Self>() + super::bytes(&self.filter)
    }
}

/// Hashes equal filters alike, and hardly any others.
fn hash<H: Hasher>(filter: &Filter, state: &mut H) {
    std::mem::discriminant(filter).hash(state);
    match filter {
        Filter::And(parts) | Filter::Or(parts) => {
            parts.len().hash(state);
            parts.iter().for_each(|part| hash(part, state));
        }
        Filter::Not(part) => hash(part, state),
        Filter::Field(name, condition) => {
            name.hash(state);
            std::mem::discriminant(condition).hash(state);
            match condition {
                Condition::Eq(scalar) | Condition::Ne(scalar) => hash_scalar(scalar, state),
                Condition::Gt(n) | Condition::Gte(n) | Condition::Lt(n) | Condition::Lte(n) => hash_number(*n, state),
                Condition::In(list) | Condition::Nin(list) => {
                    list.len().hash(state);
                    list.iter().for_each(|scalar| hash_scalar(scalar, state));
                }
                Condition::Exists(wanted) => wanted.hash(state),
            }
        }
    }
}

fn hash_scalar<H: Hasher>(scalar: &Scalar, state: &mut H) {
    std::mem::discriminant(scalar).hash(state);
    match scalar {
        Scalar::String(text) => text.hash(state),
        Scalar::Number(n) => hash_number(*n, state),
        Scalar::Bool(yes) => yes.hash(state),
    }
}

/// Adding 0 turns -0 into 0, which it equals.
fn hash_number<H: Hasher>(n: f64, state: &mut H) {
    (n + 0.0).to_bits().hash(state);
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn equal_filters_have_one_hash_and_others_another() {
        let field = |name: &str, condition| Filter::Field(name.into(), condition);
        let text = |text: &str| Scalar::String(text.into());
        let all = [
            field("a", Condition::Eq(text("x"))),
            field("a", Condition::Ne(text("x"))),
            field("b", Condition::Eq(text("x"))),
            field("a", Condition::Eq(Scalar::Number(0.0))),
            field("a", Condition::Eq(Scalar::Bool(false))),
            field("a", Condition::Gt(1.0)),
            field("a", Condition::Gt(2.0)),
            field("a", Condition::In(vec![text("x"), text("y")])),
            field("a", Condition::In(vec![text("xy")])),
            field("a", Condition::Exists(true)),
            Filter::And(Vec::new()),
            Filter::Or(Vec::new()),
            Filter::Not(Box::new(Filter::And(Vec::new()))),
            Filter::And(vec![Filter::Or(Vec::new()), Filter::And(Vec::new())]),
        ];
        let (state, object) = (RandomState::new(), ObjectId::from_bytes([1; 16]));
        let key = |filter: &Filter| SelectionKey { object, filter: Arc::new(filter.clone()) };
        for (at, a) in all.iter().enumerate() {
            for (other, b) in all.iter().enumerate() {
                assert_eq!(key(a) == key(b), at == other, "{a:?} {b:?}");
                assert_eq!(state.hash_one(key(a)) == state.hash_one(key(b)), at == other, "{a:?} {b:?}");
            }
        }
        let (zero, minus) = (field("a", Condition::Lt(0.0)), field("a", Condition::Lt(-0.0)));
        assert!(key(&zero) == key(&minus));
        assert_eq!(state.hash_one(key(&zero)), state.hash_one(key(&minus)));
        let elsewhere = SelectionKey { object: ObjectId::from_bytes([2; 16]), ..key(&zero) };
        assert!(elsewhere != key(&zero));
    }
}
