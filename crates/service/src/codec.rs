//! Bytes of what the service stores: little-endian numbers, texts with a u32 length, one byte for a choice. Sealed before
//! it touches a disk, so a reader meets damage only as a defect; it still never panics.

use std::collections::BTreeMap;

use pinyon_model::{Error, ErrorCode, Result};

/// Appends fields to a buffer.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, n: u8) -> &mut Self {
        self.0.push(n);
        self
    }
    pub(crate) fn u32(&mut self, n: u32) -> &mut Self {
        self.0.extend_from_slice(&n.to_le_bytes());
        self
    }
    pub(crate) fn u64(&mut self, n: u64) -> &mut Self {
        self.0.extend_from_slice(&n.to_le_bytes());
        self
    }
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.raw(text.as_bytes())
    }
    pub(crate) fn texts<T: AsRef<str>>(&mut self, texts: impl ExactSizeIterator<Item = T>) -> &mut Self {
        self.u32(u32::try_from(texts.len()).unwrap_or(u32::MAX));
        texts.for_each(|text| {
            self.text(text.as_ref());
        });
        self
    }
    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(v) => {
                self.u8(1);
                write(self, v);
                self
            }
        }
    }
    pub(crate) fn map(&mut self, pairs: &BTreeMap<String, String>) -> &mut Self {
        self.u32(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
        for (key, value) in pairs {
            self.text(key).text(value);
        }
        self
    }
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads fields back in the order they were written.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` names the thing in errors.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }
    /// The error for bytes that make no sense.
    pub(crate) fn malformed(&self) -> Error {
        Error::new(ErrorCode::DataLoss, format!("{} is malformed", self.what))
    }
    pub(crate) fn raw(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(head)
    }
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N)?);
        Ok(out)
    }
    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }
    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    pub(crate) fn text(&mut self) -> Result<String> {
        let n = self.u32()? as usize;
        let bytes = self.raw(n)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.malformed())
    }
    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(self.malformed()),
        }
    }
    /// So many items, each at least one byte long: a wrong count cannot reserve memory.
    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let n = self.u32()? as usize;
        if n > self.rest.len() {
            return Err(self.malformed());
        }
        (0..n).map(|_| read(self)).collect()
    }
    pub(crate) fn map(&mut self) -> Result<BTreeMap<String, String>> {
        Ok(self.list(|r| Ok((r.text()?, r.text()?)))?.into_iter().collect())
    }
    pub(crate) fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}
