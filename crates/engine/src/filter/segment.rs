//! A filter over a whole segment, as the exact set of rows that satisfy it.
//!
//! Three dependent reads at most: field names, the heads of the fields that the filter names, and the pages that its
//! conditions need. Then, on the pool, the sets are put together.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use pinyon_model::{Condition, Filter, Result, Scalar};
use roaring::RoaringBitmap;

use super::fields;
use crate::{
    pool::Lane,
    segment::{Fetched, FieldHead, NumberPage, RowUnion, SegmentReader, TextPage},
};

/// The rows of `segment`, dead ones too, that satisfy `filter`.
pub(crate) async fn rows(lane: &Lane, segment: &Arc<SegmentReader>, filter: &Arc<Filter>) -> Result<RoaringBitmap> {
    let material = Fetching::begin(segment, filter).await?;
    lane.spawn(move || material.rows()).await?
}

/// The same, asked by what runs on the pool already: little work is done at once, since a change of threads would cost more.
pub(super) async fn rows_on_pool(lane: &Lane, segment: &Arc<SegmentReader>, filter: &Arc<Filter>) -> Result<RoaringBitmap> {
    let material = Fetching::begin(segment, filter).await?;
    if material.is_light() { material.rows() } else { lane.spawn(move || material.rows()).await? }
}

/// Pages, all of them in the cache, up to which a filter is little work.
const LIGHT_PAGES: usize = 8;

/// What a filter needs of a segment: read, and yet to be decoded.
struct Fetching {
    segment: Arc<SegmentReader>,
    filter: Arc<Filter>,
    heads: Heads,
    texts: Vec<(u32, Fetched<TextPage>)>,
    numbers: Vec<(u32, Fetched<NumberPage>)>,
}

impl Fetching {
    async fn begin(segment: &Arc<SegmentReader>, filter: &Arc<Filter>) -> Result<Self> {
        let heads = heads(segment, filter).await?;
        let mut wanted = Wanted::default();
        wanted.collect(filter, &heads);
        let texts: Vec<u32> = wanted.texts.into_iter().collect();
        let numbers: Vec<u32> = wanted.numbers.into_iter().collect();
        let text_pages = segment.fetch::<TextPage>(&texts).await?;
        let number_pages = segment.fetch::<NumberPage>(&numbers).await?;
        let texts = texts.into_iter().zip(text_pages).collect();
        let numbers = numbers.into_iter().zip(number_pages).collect();
        Ok(Self { segment: Arc::clone(segment), filter: Arc::clone(filter), heads, texts, numbers })
    }

    fn is_light(&self) -> bool {
        let stored = self.texts.iter().any(|(_, page)| page.is_stored()) || self.numbers.iter().any(|(_, page)| page.is_stored());
        !stored && self.texts.len() + self.numbers.len() <= LIGHT_PAGES
    }

    fn rows(self) -> Result<RoaringBitmap> {
        let texts = decode(&self.segment, self.texts)?;
        let numbers = decode(&self.segment, self.numbers)?;
        Ok(Material { all: self.segment.rows(), heads: self.heads, texts, numbers }.rows(&self.filter))
    }
}

type Pages<T> = BTreeMap<u32, Arc<T>>;

fn decode<T: crate::segment::Block>(segment: &SegmentReader, fetched: Vec<(u32, Fetched<T>)>) -> Result<Pages<T>> {
    fetched.into_iter().map(|(n, page)| Ok((n, segment.decode(page)?))).collect()
}

type Heads = BTreeMap<String, Arc<FieldHead>>;

/// The heads of the fields that the filter names and some row has.
async fn heads(segment: &SegmentReader, filter: &Filter) -> Result<Heads> {
    let names = segment.field_names().await?;
    let found: Vec<(&str, u32)> = fields(filter).into_iter().filter_map(|name| names.find(name).map(|n| (name, n))).collect();
    let numbers: Vec<u32> = found.iter().map(|(_, n)| *n).collect();
    let heads = segment.load::<FieldHead>(&numbers).await?;
    Ok(found.into_iter().map(|(name, _)| name.to_owned()).zip(heads).collect())
}

/// How the rows whose number is in a range are found: by the pages inside, or, when these are fewer, by those outside.
struct RangePlan {
    pages: Range<u32>,
    outside: bool,
}

fn range_plan(head: &FieldHead, condition: &Condition) -> Option<RangePlan> {
    let index = &head.numbers;
    let (inside, outside) = match condition {
        Condition::Gt(n) | Condition::Gte(n) => (index.pages(n, &f64::MAX), index.pages(&f64::MIN, n)),
        Condition::Lt(n) | Condition::Lte(n) => (index.pages(&f64::MIN, n), index.pages(n, &f64::MAX)),
        _ => return None,
    };
    let plan = if inside.len() <= outside.len() {
        RangePlan { pages: inside, outside: false }
    } else {
        RangePlan { pages: outside, outside: true }
    };
    Some(plan)
}

fn in_range(condition: &Condition, value: f64) -> bool {
    match condition {
        Condition::Gt(n) => value > *n,
        Condition::Gte(n) => value >= *n,
        Condition::Lt(n) => value < *n,
        Condition::Lte(n) => value <= *n,
        _ => false,
    }
}

/// The values that an equality, or a list of them, asks for.
fn listed(condition: &Condition) -> &[Scalar] {
    match condition {
        Condition::Eq(scalar) | Condition::Ne(scalar) => std::slice::from_ref(scalar),
        Condition::In(list) | Condition::Nin(list) => list,
        _ => &[],
    }
}

/// The pages that a filter's conditions need.
#[derive(Default)]
struct Wanted {
    texts: BTreeSet<u32>,
    numbers: BTreeSet<u32>,
}

impl Wanted {
    fn collect(&mut self, filter: &Filter, heads: &Heads) {
        match filter {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| self.collect(part, heads)),
            Filter::Not(part) => self.collect(part, heads),
            Filter::Field(name, condition) => {
                let Some(head) = heads.get(name) else { return };
                if let Some(plan) = range_plan(head, condition) {
                    self.numbers.extend(plan.pages);
                }
                for scalar in listed(condition) {
                    match scalar {
                        Scalar::String(text) => self.texts.extend(head.texts.page_of(text.as_str())),
                        Scalar::Number(n) => self.numbers.extend(head.numbers.page_of(n)),
                        Scalar::Bool(_) => {}
                    }
                }
            }
        }
    }
}

/// All that is needed to answer, in RAM.
struct Material {
    /// Rows of the segment.
    all: u32,
    heads: Heads,
    texts: Pages<TextPage>,
    numbers: Pages<NumberPage>,
}

impl Material {
    fn everything(&self) -> RoaringBitmap {
        let mut rows = RoaringBitmap::new();
        rows.insert_range(0..self.all);
        rows
    }

    fn rows(&self, filter: &Filter) -> RoaringBitmap {
        match filter {
            Filter::And(parts) => self.all_of(parts),
            Filter::Or(parts) => parts.iter().fold(RoaringBitmap::new(), |rows, part| rows | self.rows(part)),
            Filter::Not(part) => self.everything() - self.rows(part),
            Filter::Field(name, condition) => self.condition(self.heads.get(name).map(Arc::as_ref), condition),
        }
    }

    fn all_of(&self, parts: &[Filter]) -> RoaringBitmap {
        let mut rows: Option<RoaringBitmap> = None;
        for part in parts {
            match &mut rows {
                Some(rows) if rows.is_empty() => break,
                Some(rows) => *rows &= self.rows(part),
                None => rows = Some(self.rows(part)),
            }
        }
        rows.unwrap_or_else(|| self.everything())
    }

    fn condition(&self, head: Option<&FieldHead>, condition: &Condition) -> RoaringBitmap {
        let complement = |rows: RoaringBitmap| self.everything() - rows;
        let Some(head) = head else {
            // No row has the field: what is exactly a complement holds for all, the rest for none.
            let all = matches!(condition, Condition::Ne(_) | Condition::Nin(_) | Condition::Exists(false));
            return if all { self.everything() } else { RoaringBitmap::new() };
        };
        match condition {
            Condition::Eq(_) | Condition::In(_) => self.equal(head, listed(condition)),
            Condition::Ne(_) | Condition::Nin(_) => complement(self.equal(head, listed(condition))),
            Condition::Gt(_) | Condition::Gte(_) | Condition::Lt(_) | Condition::Lte(_) => self.range(head, condition),
            Condition::Exists(true) => head.present.clone(),
            Condition::Exists(false) => complement(head.present.clone()),
        }
    }

    fn equal(&self, head: &FieldHead, values: &[Scalar]) -> RoaringBitmap {
        let mut rows = RowUnion::new(self.all);
        for scalar in values {
            match scalar {
                Scalar::String(text) => {
                    if let Some(page) = head.texts.page_of(text.as_str()).and_then(|n| self.texts.get(&n)) {
                        page.add_equal(text.as_str(), &mut rows);
                    }
                }
                Scalar::Number(value) => {
                    if let Some(page) = head.numbers.page_of(value).and_then(|n| self.numbers.get(&n)) {
                        page.add_equal(value, &mut rows);
                    }
                }
                Scalar::Bool(true) => rows.add(&head.yes),
                Scalar::Bool(false) => rows.add(&head.no),
            }
        }
        rows.finish()
    }

    fn range(&self, head: &FieldHead, condition: &Condition) -> RoaringBitmap {
        let Some(plan) = range_plan(head, condition) else { return RoaringBitmap::new() };
        let mut rows = RowUnion::new(self.all);
        for page in plan.pages.filter_map(|n| self.numbers.get(&n)) {
            page.add_where(|value| in_range(condition, *value) != plan.outside, &mut rows);
        }
        if plan.outside { &head.numeric - rows.finish() } else { rows.finish() }
    }
}
