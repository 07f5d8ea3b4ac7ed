//! Little-endian numbers and counted bytes: how the engine's own small structures are stored.

use std::collections::{BTreeMap, BTreeSet};

use pinyon_model::{DenseVector, Metadata, MetadataSchema, MetadataValue, RecordId, SparseVector};

/// Appends numbers and counted bytes.
#[derive(Default)]
pub(crate) struct Encoder(pub(crate) Vec<u8>);

impl Encoder {
    pub(crate) fn u8(&mut self, n: u8) {
        self.0.push(n);
    }
    pub(crate) fn u32(&mut self, n: u32) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    pub(crate) fn u64(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    /// A count that fits 32 bits: everything the engine encodes is at most a frame of 256 MiB.
    pub(crate) fn count(&mut self, n: usize) {
        self.u32(u32::try_from(n).expect("counts stay below the size of a frame"));
    }
    pub(crate) fn id16(&mut self, id: &[u8; 16]) {
        self.0.extend_from_slice(id);
    }
    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }
    pub(crate) fn dense(&mut self, vector: &DenseVector) {
        self.count(vector.len());
        self.floats(vector.as_slice());
    }
    pub(crate) fn sparse(&mut self, vector: &SparseVector) {
        self.count(vector.len());
        vector.indices().iter().for_each(|i| self.u32(*i));
        self.floats(vector.values());
    }
    fn floats(&mut self, values: &[f32]) {
        self.0.reserve(values.len() * 4);
        self.0.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
    pub(crate) fn metadata(&mut self, metadata: &Metadata) {
        self.count(metadata.fields().len());
        for (key, value) in metadata.fields() {
            self.text(key);
            match value {
                MetadataValue::String(s) => {
                    self.u8(0);
                    self.text(s);
                }
                MetadataValue::Number(n) => {
                    self.u8(1);
                    self.u64(n.to_bits());
                }
                MetadataValue::Bool(b) => {
                    self.u8(2);
                    self.u8(u8::from(*b));
                }
                MetadataValue::StringList(list) => {
                    self.u8(3);
                    self.count(list.len());
                    list.iter().for_each(|s| self.text(s));
                }
            }
        }
    }
    pub(crate) fn schema(&mut self, schema: Option<&MetadataSchema>) {
        self.u8(u8::from(schema.is_some()));
        if let Some(schema) = schema {
            self.count(schema.fields().len());
            schema.fields().iter().for_each(|f| self.text(f));
        }
    }
}

/// Takes numbers and counted bytes off the front; every method answers `None` when the bytes are not what was asked for.
pub(crate) struct Decoder<'a>(pub(crate) &'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(crate) fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(front)
    }
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_le_bytes)
    }
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }
    /// A count of things that take at least `unit` bytes each, so that a wrong one cannot ask for memory that is not there.
    pub(crate) fn count(&mut self, unit: usize) -> Option<usize> {
        let n = self.u32()? as usize;
        (n.checked_mul(unit)? <= self.0.len()).then_some(n)
    }
    pub(crate) fn id16(&mut self) -> Option<[u8; 16]> {
        self.bytes(16)?.try_into().ok()
    }
    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let n = self.count(1)?;
        std::str::from_utf8(self.bytes(n)?).ok()
    }
    pub(crate) fn record_id(&mut self) -> Option<RecordId> {
        RecordId::new(self.text()?).ok()
    }
    pub(crate) fn dense(&mut self) -> Option<DenseVector> {
        let n = self.count(4)?;
        DenseVector::new(self.floats(n)?).ok()
    }
    pub(crate) fn sparse(&mut self) -> Option<SparseVector> {
        let n = self.count(8)?;
        let indices = self.bytes(n * 4)?.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        SparseVector::new(indices, self.floats(n)?).ok()
    }
    fn floats(&mut self, n: usize) -> Option<Vec<f32>> {
        Some(self.bytes(n * 4)?.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
    pub(crate) fn metadata(&mut self) -> Option<Metadata> {
        let n = self.count(5)?;
        let mut fields = BTreeMap::new();
        for _ in 0..n {
            let key = self.text()?.to_owned();
            let value = match self.u8()? {
                0 => MetadataValue::String(self.text()?.to_owned()),
                1 => MetadataValue::Number(f64::from_bits(self.u64()?)),
                2 => MetadataValue::Bool(self.flag()?),
                3 => {
                    let n = self.count(4)?;
                    MetadataValue::StringList((0..n).map(|_| self.text().map(str::to_owned)).collect::<Option<_>>()?)
                }
                _ => return None,
            };
            fields.insert(key, value);
        }
        Metadata::new(fields).ok()
    }
    pub(crate) fn schema(&mut self) -> Option<Option<MetadataSchema>> {
        if !self.flag()? {
            return Some(None);
        }
        let n = self.count(4)?;
        let fields: BTreeSet<String> = (0..n).map(|_| self.text().map(str::to_owned)).collect::<Option<_>>()?;
        MetadataSchema::new(fields).ok().map(Some)
    }
}
