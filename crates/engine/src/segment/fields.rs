//! The filter index: for each metadata field, which rows have which value.
//!
//! A field has a *head* (who has the field at all, who has a number, true, false, and where its values are) and *pages* of
//! values in order, each value with the set of its rows: texts bytewise, numbers ascending. To test one value is to read one
//! page; to test a range is to read the pages it meets. -0 is stored as 0.

use std::cmp::Ordering;

use roaring::{MultiOps, RoaringBitmap};

use super::{
    bitmap,
    block::{Block, Shape},
    codec::{Decoder, Encode, Malformed},
    format::Section,
};

/// A set of at most this many rows is a list in a page, else a bitmap.
pub(super) const LISTED_ROWS_MAX: usize = 32;

/// The fields' names, ascending: the place of a name is the number of its head.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldNames(Vec<Box<str>>);

impl FieldNames {
    pub(crate) fn encode<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_varint(names.len() as u64);
        names.for_each(|name| out.put_blob(name.as_bytes()));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let names: Result<Vec<Box<str>>, _> = (0..from.count(1)?).map(|_| from.text().map(Box::from)).collect();
        let names = names?;
        from.finish()?;
        if names.is_sorted_by(|a, b| a < b) { Ok(Self(names)) } else { Err(Malformed("field names are not ascending")) }
    }

    /// The number of this field's head.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.0.binary_search_by(|n| (**n).cmp(name)).ok().map(|at| at as u32)
    }

    pub(crate) fn weight_bytes(&self) -> usize {
        self.0.iter().map(|n| n.len() + size_of::<Box<str>>()).sum()
    }
}

/// What a field's pages are ordered by.
pub(crate) trait Key: PartialOrd + Sized + Send + Sync + 'static {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut Decoder<'_>) -> Result<Self, Malformed>;
    fn weight_bytes(&self) -> usize;
}

impl Key for Box<str> {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_blob(self.as_bytes());
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        from.text().map(Box::from)
    }
    fn weight_bytes(&self) -> usize {
        self.len() + size_of::<Self>()
    }
}

impl Key for f64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        from.f64()
    }
    fn weight_bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// Where a field's values of one type are: consecutive pages, and the first value of each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PageIndex<K> {
    first_page: u32,
    firsts: Vec<K>,
}

impl<K: Key> PageIndex<K> {
    pub(super) fn new(first_page: u32) -> Self {
        Self { first_page, firsts: Vec::new() }
    }

    pub(super) fn push(&mut self, first: K) {
        self.firsts.push(first);
    }

    /// The page that `value` is on, if it is anywhere.
    pub(crate) fn page_of<Q: ?Sized + PartialOrd>(&self, value: &Q) -> Option<u32>
    where
        K: std::borrow::Borrow<Q>,
    {
        let after = self.firsts.partition_point(|first| first.borrow() <= value);
        after.checked_sub(1).map(|at| self.first_page + at as u32)
    }

    /// The pages that values between `low` and `high` may be on.
    pub(crate) fn pages(&self, low: &K, high: &K) -> std::ops::Range<u32> {
        let start = self.firsts.partition_point(|first| first <= low).saturating_sub(1);
        let end = self.firsts.partition_point(|first| first <= high);
        self.first_page + start.min(end) as u32..self.first_page + end as u32
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.first_page));
        out.put_varint(self.firsts.len() as u64);
        self.firsts.iter().for_each(|first| first.put(out));
    }

    fn decode(from: &mut Decoder<'_>, shape: &Shape) -> Result<Self, Malformed> {
        let first_page = from.varint32()?;
        let pages = from.count(1)?;
        let firsts: Vec<K> = (0..pages).map(|_| K::take(from)).collect::<Result<_, _>>()?;
        if first_page as usize + firsts.len() > shape.field_pages as usize {
            return Err(Malformed("it names a page that is not there"));
        }
        if !firsts.is_sorted_by(|a, b| a.partial_cmp(b) == Some(Ordering::Less)) {
            return Err(Malformed("the first values of its pages are not ascending"));
        }
        Ok(Self { first_page, firsts })
    }

    fn weight_bytes(&self) -> usize {
        self.firsts.iter().map(Key::weight_bytes).sum()
    }
}

/// What is known of one field before looking at its values.
#[derive(Debug, PartialEq)]
pub(crate) struct FieldHead {
    /// Rows that have the field.
    pub(crate) present: RoaringBitmap,
    /// Rows whose value is a number.
    pub(crate) numeric: RoaringBitmap,
    /// Rows whose value is true.
    pub(crate) yes: RoaringBitmap,
    /// Rows whose value is false.
    pub(crate) no: RoaringBitmap,
    /// Its texts, elements of lists among them.
    pub(crate) texts: PageIndex<Box<str>>,
    /// Its numbers.
    pub(crate) numbers: PageIndex<f64>,
}

impl FieldHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for rows in [&self.present, &self.numeric, &self.yes, &self.no] {
            out.put_blob(&bitmap::encode(rows));
        }
        self.texts.encode(&mut out);
        self.numbers.encode(&mut out);
        out
    }
}

impl Block for FieldHead {
    const SECTION: Section = Section::FieldHeads;

    fn decode(bytes: &[u8], shape: &Shape) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let mut rows = || bitmap::decode(from.blob()?, shape.rows);
        let (present, numeric, yes, no) = (rows()?, rows()?, rows()?, rows()?);
        let (texts, numbers) = (PageIndex::decode(&mut from, shape)?, PageIndex::decode(&mut from, shape)?);
        from.finish()?;
        Ok(Self { present, numeric, yes, no, texts, numbers })
    }

    fn weight_bytes(&self) -> usize {
        let rows = [&self.present, &self.numeric, &self.yes, &self.no];
        rows.iter().map(|r| r.serialized_size()).sum::<usize>() + self.texts.weight_bytes() + self.numbers.weight_bytes()
    }
}

/// The rows that have one value.
#[derive(Debug, PartialEq)]
enum RowSet {
    /// A stretch of the page's row list.
    Listed(u32, u32),
    Bitmap(RoaringBitmap),
}

/// Values in order, each with its rows.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<K> {
    values: Vec<K>,
    sets: Vec<RowSet>,
    rows: Vec<u32>,
}

/// A page of texts.
pub(crate) type TextPage = Page<Box<str>>;
/// A page of numbers.
pub(crate) type NumberPage = Page<f64>;

impl<K: Key> Page<K> {
    /// Adds the rows of `value` to `out`.
    pub(crate) fn add_equal<'a, Q: ?Sized + PartialOrd>(&'a self, value: &Q, out: &mut RowUnion<'a>)
    where
        K: std::borrow::Borrow<Q>,
    {
        let at = self.values.partition_point(|v| v.borrow() < value);
        if self.values.get(at).is_some_and(|v| v.borrow() == value) {
            self.add(at, out);
        }
    }

    /// Adds the rows of every value that `wanted` accepts to `out`.
    pub(crate) fn add_where<'a>(&'a self, wanted: impl Fn(&K) -> bool, out: &mut RowUnion<'a>) {
        for (at, _) in self.values.iter().enumerate().filter(|(_, value)| wanted(value)) {
            self.add(at, out);
        }
    }

    fn add<'a>(&'a self, at: usize, out: &mut RowUnion<'a>) {
        match &self.sets[at] {
            RowSet::Listed(start, end) => out.listed.push(&self.rows[*start as usize..*end as usize]),
            RowSet::Bitmap(rows) => out.bitmaps.push(rows),
        }
    }

    fn read(bytes: &[u8], shape: &Shape) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let count = from.count(2)?;
        let mut page = Self { values: Vec::with_capacity(count), sets: Vec::with_capacity(count), rows: Vec::new() };
        for _ in 0..count {
            let value = K::take(&mut from)?;
            if page.values.last().is_some_and(|last| last.partial_cmp(&value) != Some(Ordering::Less)) {
                return Err(Malformed("values are not ascending"));
            }
            page.values.push(value);
            let listed = from.varint()? as usize;
            let set = if listed == 0 {
                RowSet::Bitmap(bitmap::decode(from.blob()?, shape.rows)?)
            } else if listed <= LISTED_ROWS_MAX {
                page.read_list(&mut from, listed, shape.rows)?
            } else {
                return Err(Malformed("a list of rows is too long"));
            };
            page.sets.push(set);
        }
        from.finish()?;
        Ok(page)
    }

    fn read_list(&mut self, from: &mut Decoder<'_>, listed: usize, rows: u32) -> Result<RowSet, Malformed> {
        let start = self.rows.len() as u32;
        let mut next = 0u32;
        for _ in 0..listed {
            let row = next.checked_add(from.varint32()?).filter(|row| *row < rows).ok_or(Malformed("it names a row that is not there"))?;
            self.rows.push(row);
            next = row + 1;
        }
        Ok(RowSet::Listed(start, self.rows.len() as u32))
    }

    fn weigh(&self) -> usize {
        let bitmaps = self.sets.iter().map(|s| if let RowSet::Bitmap(rows) = s { rows.serialized_size() } else { 0 });
        let values: usize = self.values.iter().map(Key::weight_bytes).sum();
        values + bitmaps.sum::<usize>() + self.sets.len() * size_of::<RowSet>() + self.rows.len() * 4
    }
}

impl Block for TextPage {
    const SECTION: Section = Section::FieldPages;
    fn decode(bytes: &[u8], shape: &Shape) -> Result<Self, Malformed> {
        Self::read(bytes, shape)
    }
    fn weight_bytes(&self) -> usize {
        self.weigh()
    }
}

impl Block for NumberPage {
    const SECTION: Section = Section::FieldPages;
    fn decode(bytes: &[u8], shape: &Shape) -> Result<Self, Malformed> {
        Self::read(bytes, shape)
    }
    fn weight_bytes(&self) -> usize {
        self.weigh()
    }
}

/// Sets of rows of one segment that are to be put together.
pub(crate) struct RowUnion<'a> {
    rows: u32,
    listed: Vec<&'a [u32]>,
    bitmaps: Vec<&'a RoaringBitmap>,
}

/// From one row in so many on, a bit for each row of the segment costs less than sorting, or than merging sets one by one.
const BIT_EACH_FROM_ONE_IN: u64 = 64;

impl<'a> RowUnion<'a> {
    /// Nothing yet, of a segment with so many rows.
    pub(crate) fn new(rows: u32) -> Self {
        Self { rows, listed: Vec::new(), bitmaps: Vec::new() }
    }

    /// Adds a whole set.
    pub(crate) fn add(&mut self, rows: &'a RoaringBitmap) {
        self.bitmaps.push(rows);
    }

    /// The whole set.
    pub(crate) fn finish(self) -> RoaringBitmap {
        if let ([], [only]) = (&self.listed[..], &self.bitmaps[..]) {
            return (*only).clone();
        }
        let listed: usize = self.listed.iter().map(|rows| rows.len()).sum();
        let count = listed as u64 + self.bitmaps.iter().map(|rows| rows.len()).sum::<u64>();
        if count * BIT_EACH_FROM_ONE_IN >= u64::from(self.rows) {
            let mut bits = vec![0u8; self.rows as usize / 8 + 1];
            let mut set = |row: u32| bits[row as usize / 8] |= 1 << (row % 8);
            self.listed.iter().for_each(|rows| rows.iter().copied().for_each(&mut set));
            self.bitmaps.iter().for_each(|rows| rows.iter().for_each(&mut set));
            return RoaringBitmap::from_lsb0_bytes(0, &bits);
        }
        let mut single = self.listed.concat();
        single.sort_unstable();
        single.dedup();
        let single = RoaringBitmap::from_sorted_iter(single).expect("sorted just now");
        if self.bitmaps.is_empty() { single } else { self.bitmaps.into_iter().chain([&single]).union() }
    }
}

/// A page that is being filled.
pub(super) struct PageBuilder {
    bytes: Vec<u8>,
    values: u64,
}

/// About how many bytes share a page.
const PAGE_BYTES: usize = 16 * 1024;

impl PageBuilder {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), values: 0 }
    }

    pub(super) fn push<K: Key>(&mut self, value: &K, rows: &Rows) {
        value.put(&mut self.bytes);
        match rows {
            Rows::Listed(rows) => {
                self.bytes.put_varint(rows.len() as u64);
                let mut next = 0;
                for row in rows {
                    self.bytes.put_varint(u64::from(row - next));
                    next = row + 1;
                }
            }
            Rows::Bitmap(rows) => {
                self.bytes.put_varint(0);
                self.bytes.put_blob(&bitmap::encode(rows));
            }
        }
        self.values += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= PAGE_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// The page's bytes so far; the builder is empty then.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 4);
        out.put_varint(std::mem::take(&mut self.values));
        out.append(&mut self.bytes);
        out
    }
}

/// The rows of one value while a segment is being written: few in a list, many in a bitmap.
pub(super) enum Rows {
    Listed(Vec<u32>),
    Bitmap(RoaringBitmap),
}

impl Rows {
    /// Adds a row that is not less than those before; the same one twice is one.
    pub(super) fn push(&mut self, row: u32) {
        match self {
            Rows::Listed(rows) if rows.last() == Some(&row) => {}
            Rows::Listed(rows) if rows.len() < LISTED_ROWS_MAX => rows.push(row),
            Rows::Listed(rows) => *self = Rows::Bitmap(rows.iter().copied().chain([row]).collect()),
            Rows::Bitmap(rows) => {
                rows.insert(row);
            }
        }
    }
}
