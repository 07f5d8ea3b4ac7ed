//! What organizations used in a month, in Pinecone's units. It is kept in one sealed object, `usage/month`, so that a restart does not
//! begin the month anew.

use std::collections::BTreeMap;

use pinyon_model::{OrganizationId, Result};
use pinyon_storage::{ObjectKind, Purpose, PutMode, StorageError};

use super::RateLimit;
use crate::{
    clock::DAY_MS,
    codec::{Reader, Writer},
    store::Store,
};

/// Its name in the store.
pub(crate) const OBJECT: &str = "usage/month";
const KIND: ObjectKind = ObjectKind(0x0110);
const FORMAT: u16 = 1;
/// The name of the system key it is sealed under.
const KEY: &str = "usage";

/// Units used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Units {
    read: u64,
    written: u64,
}

/// The units of every organization that used some this month.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MonthlyUsage {
    /// Months since January of the year 0, UTC.
    month: u32,
    used: BTreeMap<OrganizationId, Units>,
    changed: bool,
}

impl MonthlyUsage {
    fn turn(&mut self, now_ms: u64) {
        let month = month_of(now_ms);
        if self.month != month {
            *self = Self { month, used: BTreeMap::new(), changed: !self.used.is_empty() };
        }
    }

    pub(super) fn used(&mut self, organization: OrganizationId, now_ms: u64, limit: RateLimit) -> u64 {
        self.turn(now_ms);
        let units = self.used.get(&organization).copied().unwrap_or_default();
        if limit == RateLimit::OrganizationMonthlyReadUnits { units.read } else { units.written }
    }

    pub(super) fn add(&mut self, organization: OrganizationId, now_ms: u64, read: u64, written: u64) {
        self.turn(now_ms);
        let units = self.used.entry(organization).or_default();
        (units.read, units.written) = (units.read.saturating_add(read), units.written.saturating_add(written));
        self.changed = true;
    }

    /// What is to be stored, if it changed.
    pub(super) fn take_changed(&mut self) -> Option<Self> {
        std::mem::take(&mut self.changed).then(|| self.clone())
    }

    pub(super) fn not_stored(&mut self) {
        self.changed = true;
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u32(self.month).u32(u32::try_from(self.used.len()).unwrap_or(u32::MAX));
        for (id, units) in &self.used {
            w.raw(id.as_bytes()).u64(units.read).u64(units.written);
        }
        w.finish()
    }

    fn decode(plain: &[u8]) -> Result<Self> {
        let mut r = Reader::new("The usage of the month", plain);
        let month = r.u32()?;
        let one = |r: &mut Reader<'_>| Ok((OrganizationId::from_bytes(r.array()?), Units { read: r.u64()?, written: r.u64()? }));
        let used = r.list(one)?.into_iter().collect();
        r.end()?;
        Ok(Self { month, used, changed: false })
    }

    /// Writes it; durable when it returns.
    pub(crate) async fn write(&self, store: &Store) -> Result<()> {
        let key = store.keys().system_key(KEY).await?;
        store.sealed().put_named(OBJECT, KIND, FORMAT, &key, &self.encode(), PutMode::Overwrite, Purpose::Essential).await?;
        Ok(())
    }

    /// Reads it; what was never written is nothing.
    pub(crate) async fn read(store: &Store) -> Result<Self, StorageError> {
        if store.blobs().head(OBJECT).await.is_err_and(|e| e.is_not_found()) {
            return Ok(Self::default());
        }
        let malformed = || StorageError::Damaged { file: OBJECT.to_owned(), what: "it holds no usage".to_owned() };
        let key = store.keys().system_key(KEY).await?;
        let object = store.sealed().get_named(OBJECT, KIND, &key).await?;
        if object.format != FORMAT {
            return Err(malformed());
        }
        Self::decode(&object.plain).map_err(|_| malformed())
    }
}

/// Seconds until the next month, at least one.
pub(super) fn seconds_left(now_ms: u64) -> u32 {
    let month = month_of(now_ms);
    // A month is over after 31 days at most: by halves.
    let (mut over, mut not_over) = (now_ms.saturating_add(31 * DAY_MS), now_ms);
    while over - not_over > 1 {
        let middle = not_over + (over - not_over) / 2;
        if month_of(middle) == month { not_over = middle } else { over = middle }
    }
    u32::try_from((over - now_ms).div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
}

/// Months since January of the year 0, of a time in milliseconds since 1970, UTC.
fn month_of(ms: u64) -> u32 {
    // Days since March 1 of the year 0, where a year's last day is its leap day.
    let days = ms / DAY_MS + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    u32::try_from((era * 400 + year) * 12 + from_march + 2).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months() {
        assert_eq!(month_of(0), 1970 * 12);
        // 2024-02-29T23:59:59.999Z, then March.
        assert_eq!((month_of(1_709_251_199_999), month_of(1_709_251_200_000)), (2024 * 12 + 1, 2024 * 12 + 2));
        // 2023-12-31T23:59:59.999Z, then January.
        assert_eq!((month_of(1_704_067_199_999), month_of(1_704_067_200_000)), (2023 * 12 + 11, 2024 * 12));
        assert_eq!((seconds_left(1_704_067_199_999), seconds_left(1_704_067_200_000)), (1, 31 * 86_400));
        let mut before = month_of(0);
        for day in 0..200_000 {
            let month = month_of(day * DAY_MS);
            assert!(month == before || month == before + 1, "day {day}");
            before = month;
        }
        // 200,000 days after 1970-01-01 is 2517-08-01 or the day before.
        assert_eq!(before / 12, 2517);
    }

    #[test]
    fn reads_back_and_bytes_that_are_none_do_not() {
        let mut usage = MonthlyUsage::default();
        usage.add(OrganizationId::from_bytes([1; 16]), 5, 3, 4);
        usage.add(OrganizationId::from_bytes([2; 16]), 5, u64::MAX, 0);
        usage.add(OrganizationId::from_bytes([2; 16]), 5, 1, 0);
        let stored = usage.take_changed().unwrap();
        assert!(usage.take_changed().is_none());
        let bytes = stored.encode();
        assert_eq!(MonthlyUsage::decode(&bytes).unwrap().used, stored.used);
        (0..bytes.len()).for_each(|n| assert!(MonthlyUsage::decode(&bytes[..n]).is_err(), "{n} bytes"));
        assert!(MonthlyUsage::decode(&[bytes, vec![0]].concat()).is_err());
    }
}
