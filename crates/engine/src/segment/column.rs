//! One number for each row, resident: as many bytes a row as the widest distance from the least number needs.

use super::codec::{Decoder, Encode, Malformed};

/// Numbers by row.
pub(crate) struct Column {
    base: u64,
    width: usize,
    above: Box<[u8]>,
}

/// The section's bytes: the least number, the width of an entry in bytes (0, 1, 2, 4 or 8), each row's distance from the least.
pub(crate) fn encode(numbers: &[u64]) -> Vec<u8> {
    let base = numbers.iter().min().copied().unwrap_or(0);
    let most = numbers.iter().max().map_or(0, |max| max - base);
    let width = match most {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    let mut out = Vec::with_capacity(9 + numbers.len() * width);
    out.put_u64(base);
    out.push(width as u8);
    for number in numbers {
        out.extend_from_slice(&(number - base).to_le_bytes()[..width]);
    }
    out
}

impl Column {
    /// Reads the numbers of `rows` rows.
    pub(crate) fn decode(bytes: &[u8], rows: u32) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let (base, width) = (from.u64()?, usize::from(from.u8()?));
        let above = from.bytes(from.remaining())?;
        if !matches!(width, 0 | 1 | 2 | 4 | 8) || above.len() as u64 != u64::from(rows) * width as u64 {
            return Err(Malformed("its length does not fit the rows"));
        }
        let column = Self { base, width, above: above.into() };
        if (0..rows).any(|row| base.checked_add(column.distance(row as usize)).is_none()) {
            return Err(Malformed("it holds an integer that is too large"));
        }
        Ok(column)
    }

    /// The number of `row`; the least one if there is no such row.
    pub(crate) fn get(&self, row: u32) -> u64 {
        self.base + self.distance(row as usize)
    }

    fn distance(&self, row: usize) -> u64 {
        let mut bytes = [0; 8];
        if let Some(stored) = self.above.get(row * self.width..(row + 1) * self.width) {
            bytes[..self.width].copy_from_slice(stored);
        }
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_reads_back() {
        let far = |distance: u64| vec![9, 7, 7 + distance];
        for numbers in [vec![], vec![5, 5], far(200), far(60_000), far(u64::from(u32::MAX)), vec![0, u64::MAX, 3]] {
            let bytes = encode(&numbers);
            let column = Column::decode(&bytes, numbers.len() as u32).unwrap();
            let read: Vec<u64> = (0..numbers.len() as u32).map(|row| column.get(row)).collect();
            assert_eq!(read, numbers);
            assert!(numbers.len() < 3 || Column::decode(&bytes, numbers.len() as u32 + 1).is_err());
        }
        let mut over = encode(&[u64::MAX, u64::MAX - 1]);
        over[0] = 0xff;
        assert!(Column::decode(&over, 2).is_err(), "past the last number");
    }
}
