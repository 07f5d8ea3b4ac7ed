//! Bytes in and out: the few primitive shapes that every section is made of.
//!
//! A [`Decoder`] never panics and never reserves room that the bytes at hand could not fill: counts are checked against
//! what is left before anything is allocated for them.

use std::collections::BTreeMap;

use pinyon_model::{Metadata, MetadataValue, SparseVector};

/// Why bytes could not be read. The caller knows which file and section they came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Reads from the front of a slice.
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|b| b[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A finite 32-bit float.
    pub(crate) fn f32(&mut self) -> Result<f32, Malformed> {
        let n = f32::from_le_bytes(self.array()?);
        if n.is_finite() { Ok(n) } else { Err(Malformed("it holds a number that is not finite")) }
    }

    /// A finite 64-bit float.
    pub(crate) fn f64(&mut self) -> Result<f64, Malformed> {
        let n = f64::from_le_bytes(self.array()?);
        if n.is_finite() { Ok(n) } else { Err(Malformed("it holds a number that is not finite")) }
    }

    /// A variable-length integer: seven bits a byte, lowest first, the high bit set on all but the last.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("it holds an integer that is too long"))
    }

    /// A variable-length integer of at most 32 bits.
    pub(crate) fn varint32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed("it holds an integer that is too large"))
    }

    /// How many things follow, each at least `bytes_each` long; so the count can be trusted for an allocation.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize, Malformed> {
        let count = self.varint()?;
        let most = self.rest.len() / bytes_each.max(1);
        usize::try_from(count).ok().filter(|n| *n <= most).ok_or(Malformed("it announces more than it holds"))
    }

    /// Bytes behind their length.
    pub(crate) fn blob(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count(1)?;
        self.bytes(len)
    }

    /// UTF-8 behind its length in bytes.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.blob()?).map_err(|_| Malformed("it holds text that is not UTF-8"))
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("it has bytes left over")) }
    }
}

/// Appends the shapes that [`Decoder`] reads.
pub(crate) trait Encode {
    fn put_varint(&mut self, value: u64);
    fn put_blob(&mut self, bytes: &[u8]);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
}

impl Encode for Vec<u8> {
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn put_blob(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
}

const STRING: u8 = 0;
const NUMBER: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const STRING_LIST: u8 = 4;

/// Appends a record's metadata: the number of fields, and for each, in order, its key, a tag and its value.
pub(crate) fn put_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    out.put_varint(metadata.fields().len() as u64);
    for (key, value) in metadata.fields() {
        out.put_blob(key.as_bytes());
        match value {
            MetadataValue::String(text) => {
                out.push(STRING);
                out.put_blob(text.as_bytes());
            }
            MetadataValue::Number(n) => {
                out.push(NUMBER);
                out.extend_from_slice(&n.to_le_bytes());
            }
            MetadataValue::Bool(false) => out.push(FALSE),
            MetadataValue::Bool(true) => out.push(TRUE),
            MetadataValue::StringList(list) => {
                out.push(STRING_LIST);
                out.put_varint(list.len() as u64);
                list.iter().for_each(|text| out.put_blob(text.as_bytes()));
            }
        }
    }
}

/// Reads what [`put_metadata`] wrote.
pub(crate) fn metadata(from: &mut Decoder<'_>) -> Result<Metadata, Malformed> {
    let mut fields = BTreeMap::new();
    for _ in 0..from.count(2)? {
        let key = from.text()?;
        let value = match from.u8()? {
            STRING => MetadataValue::String(from.text()?.to_owned()),
            NUMBER => MetadataValue::Number(from.f64()?),
            FALSE => MetadataValue::Bool(false),
            TRUE => MetadataValue::Bool(true),
            STRING_LIST => {
                let texts: Result<_, _> = (0..from.count(1)?).map(|_| from.text().map(str::to_owned)).collect();
                MetadataValue::StringList(texts?)
            }
            _ => return Err(Malformed("it holds a metadata value of an unknown type")),
        };
        if fields.insert(key.to_owned(), value).is_some() {
            return Err(Malformed("it holds a metadata key twice"));
        }
    }
    Metadata::new(fields).map_err(|_| Malformed("it holds metadata that is not valid"))
}

/// Appends a sparse vector: the number of pairs, each index as the distance from the one before, then the values.
pub(crate) fn put_sparse(out: &mut Vec<u8>, sparse: &SparseVector) {
    out.put_varint(sparse.len() as u64);
    let mut previous = 0;
    for &index in sparse.indices() {
        out.put_varint(u64::from(index - previous));
        previous = index;
    }
    sparse.values().iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
}

/// Reads what [`put_sparse`] wrote.
pub(crate) fn sparse(from: &mut Decoder<'_>) -> Result<SparseVector, Malformed> {
    let pairs = from.count(5)?;
    let mut indices = Vec::with_capacity(pairs);
    let mut previous = 0u32;
    for _ in 0..pairs {
        previous = previous.checked_add(from.varint32()?).ok_or(Malformed("it holds a sparse index that is too large"))?;
        indices.push(previous);
    }
    let values: Vec<f32> = (0..pairs).map(|_| from.f32()).collect::<Result<_, _>>()?;
    SparseVector::new(indices, values).map_err(|_| Malformed("it holds a sparse vector that is not valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_and_none_longer() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                bytes.put_varint(value);
                let mut from = Decoder::new(&bytes);
                assert_eq!(from.varint(), Ok(value));
                from.finish().unwrap();
            }
        }
        assert!(Decoder::new(&[0xff; 10]).varint().is_err());
        assert!(Decoder::new(&[0x80]).varint().is_err());
    }

    #[test]
    fn a_count_is_bounded_by_what_is_left() {
        let mut bytes = Vec::new();
        bytes.put_varint(u64::MAX);
        assert!(Decoder::new(&bytes).count(1).is_err());
        assert!(Decoder::new(&[3, 0, 0]).count(1).is_err());
        assert_eq!(Decoder::new(&[2, 0, 0]).count(1), Ok(2));
    }

    #[test]
    fn values_that_no_record_can_hold_are_refused() {
        let mut twice = vec![2];
        for _ in 0..2 {
            twice.extend([1, b'k', TRUE]);
        }
        assert!(metadata(&mut Decoder::new(&twice)).is_err());
        let mut nan = vec![1, 1, b'k', NUMBER];
        nan.extend(f64::NAN.to_le_bytes());
        assert!(metadata(&mut Decoder::new(&nan)).is_err());
        let mut repeated = vec![2, 5, 0];
        repeated.extend([0; 8]);
        assert!(sparse(&mut Decoder::new(&repeated)).is_err());
    }
}
