//! Collects which rows have which metadata value while a segment is written.

use std::collections::{BTreeMap, HashMap};

use pinyon_model::{Metadata, MetadataSchema, MetadataValue};
use roaring::RoaringBitmap;

use super::fields::{FieldHead, FieldNames, Key, PageBuilder, PageIndex, Rows};

/// Everything that the filter index will say.
pub(crate) struct FieldsBuilder {
    schema: Option<MetadataSchema>,
    fields: BTreeMap<Box<str>, FieldBuilder>,
}

#[derive(Default)]
struct FieldBuilder {
    present: RoaringBitmap,
    numeric: RoaringBitmap,
    yes: RoaringBitmap,
    no: RoaringBitmap,
    texts: HashMap<Box<str>, Rows>,
    /// By the bits of the number, which is never -0.
    numbers: HashMap<u64, Rows>,
}

/// The filter index as blocks, to be stored in this order.
pub(crate) struct EncodedFields {
    pub(crate) names: Vec<u8>,
    pub(crate) heads: Vec<Vec<u8>>,
    pub(crate) pages: Vec<Vec<u8>>,
}

impl FieldsBuilder {
    /// With a schema, only its fields are indexed.
    pub(crate) fn new(schema: Option<MetadataSchema>) -> Self {
        Self { schema, fields: BTreeMap::new() }
    }

    /// Adds a row's metadata; rows come in order.
    pub(crate) fn push(&mut self, row: u32, metadata: &Metadata) {
        for (name, value) in metadata.fields() {
            if self.schema.as_ref().is_some_and(|schema| !schema.contains(name)) {
                continue;
            }
            if !self.fields.contains_key(name.as_str()) {
                self.fields.insert(name.as_str().into(), FieldBuilder::default());
            }
            if let Some(field) = self.fields.get_mut(name.as_str()) {
                field.push(row, value);
            }
        }
    }

    /// Sorts and encodes everything.
    pub(crate) fn finish(self) -> EncodedFields {
        let names = FieldNames::encode(self.fields.keys().map(|name| &**name));
        let mut pages = Vec::new();
        let heads = self.fields.into_values().map(|field| field.finish(&mut pages).encode()).collect();
        EncodedFields { names, heads, pages }
    }
}

impl FieldBuilder {
    fn push(&mut self, row: u32, value: &MetadataValue) {
        self.present.insert(row);
        match value {
            MetadataValue::String(text) => self.push_text(row, text),
            MetadataValue::StringList(list) => list.iter().for_each(|text| self.push_text(row, text)),
            MetadataValue::Number(n) => {
                self.numeric.insert(row);
                // Adding 0 turns -0 into 0 and changes nothing else.
                self.numbers.entry((n + 0.0).to_bits()).or_insert_with(|| Rows::Listed(Vec::new())).push(row);
            }
            MetadataValue::Bool(true) => _ = self.yes.insert(row),
            MetadataValue::Bool(false) => _ = self.no.insert(row),
        }
    }

    fn push_text(&mut self, row: u32, text: &str) {
        match self.texts.get_mut(text) {
            Some(rows) => rows.push(row),
            None => _ = self.texts.insert(text.into(), Rows::Listed(vec![row])),
        }
    }

    fn finish(self, pages: &mut Vec<Vec<u8>>) -> FieldHead {
        let mut texts: Vec<(Box<str>, Rows)> = self.texts.into_iter().collect();
        texts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut numbers: Vec<(f64, Rows)> = self.numbers.into_iter().map(|(bits, rows)| (f64::from_bits(bits), rows)).collect();
        numbers.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let texts = into_pages(texts, pages);
        let numbers = into_pages(numbers, pages);
        FieldHead { present: self.present, numeric: self.numeric, yes: self.yes, no: self.no, texts, numbers }
    }
}

fn into_pages<K: Key + Clone>(values: Vec<(K, Rows)>, pages: &mut Vec<Vec<u8>>) -> PageIndex<K> {
    let mut index = PageIndex::new(pages.len() as u32);
    let mut page = PageBuilder::new();
    for (value, rows) in values {
        if page.is_empty() {
            index.push(value.clone());
        }
        page.push(&value, &rows);
        if page.is_full() {
            pages.push(page.take());
        }
    }
    if !page.is_empty() {
        pages.push(page.take());
    }
    index
}
