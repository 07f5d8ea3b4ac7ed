use crate::{
    BackupId, BackupScheduleId, Error, IndexId, ProjectId, Result,
    calendar::{compact_utc, month_later},
    excerpt,
    limits::{self, BACKUP_RETENTION_DAYS_MAX},
    name::display_name,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How often a schedule takes a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackupFrequency {
    /// Each day.
    Daily,
    /// Each week.
    Weekly,
    /// Each month, on the same day of it; on its last where it has no such day.
    Monthly,
}

impl BackupFrequency {
    /// All of them.
    pub const ALL: [BackupFrequency; 3] = [BackupFrequency::Daily, BackupFrequency::Weekly, BackupFrequency::Monthly];

    /// Pinecone's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            BackupFrequency::Daily => "daily",
            BackupFrequency::Weekly => "weekly",
            BackupFrequency::Monthly => "monthly",
        }
    }

    /// Reads Pinecone's word.
    pub fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|f| f.as_str() == text);
        found.ok_or_else(|| Error::invalid(format!("'{}' is not a frequency; daily, weekly and monthly are allowed", excerpt(text))))
    }

    /// The time after this one.
    pub fn after(self, ms: u64) -> u64 {
        match self {
            BackupFrequency::Daily => ms.saturating_add(DAY_MS),
            BackupFrequency::Weekly => ms.saturating_add(7 * DAY_MS),
            BackupFrequency::Monthly => month_later(ms),
        }
    }
}

/// A run that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedRun {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The id that its backup will have.
    pub backup_id: BackupId,
}

/// Backups of one index that are taken by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSchedule {
    /// Its id.
    pub id: BackupScheduleId,
    /// Whose it is.
    pub project_id: ProjectId,
    /// The index; one that is made later under its name does not inherit the schedule.
    pub index_id: IndexId,
    /// What it is called.
    pub name: String,
    /// How often it runs.
    pub frequency: BackupFrequency,
    /// Days for which its backups are kept.
    pub retention_days: u32,
    /// The next run; none while it is disabled.
    pub next_run: Option<PlannedRun>,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
}

impl BackupSchedule {
    /// Reads a name: 1 to 80 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("a backup schedule", text, limits::BACKUP_SCHEDULE_NAME_LEN_MAX)
    }

    /// Checks a number of days to keep backups for.
    pub fn check_retention(days: u64) -> Result<u32> {
        match u32::try_from(days) {
            Ok(days @ 1..=BACKUP_RETENTION_DAYS_MAX) => Ok(days),
            _ => Err(Error::invalid(format!("expire_after_days is {days}; it must be between 1 and {BACKUP_RETENTION_DAYS_MAX}"))),
        }
    }

    /// Whether it runs.
    pub fn is_enabled(&self) -> bool {
        self.next_run.is_some()
    }

    /// What its backup of this time is called.
    pub fn backup_name(&self, at_ms: u64) -> String {
        format!("{}-{}", self.name, compact_utc(at_ms))
    }

    /// When a backup that was taken at this time is deleted.
    pub fn expiry(&self, taken_ms: u64) -> u64 {
        taken_ms.saturating_add(u64::from(self.retention_days) * DAY_MS)
    }

    /// The first time of the run's sequence that lies after now: of times that were missed, none is made up for.
    pub fn next_time(&self, run_ms: u64, now_ms: u64) -> u64 {
        let mut next = self.frequency.after(run_ms);
        if next <= now_ms && self.frequency != BackupFrequency::Monthly {
            let step = self.frequency.after(0);
            next += (now_ms - next) / step * step;
        }
        while next <= now_ms {
            next = self.frequency.after(next);
        }
        next
    }
}

/// What a new schedule is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBackupSchedule {
    /// What to call it.
    pub name: String,
    /// How often it runs.
    pub frequency: BackupFrequency,
    /// Days for which its backups are kept.
    pub retention_days: u32,
}

/// What of a schedule is to be another; what is `None` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupScheduleChange {
    /// How often it runs.
    pub frequency: Option<BackupFrequency>,
    /// Days for which its backups are kept, those that are there among them.
    pub retention_days: Option<u32>,
    /// Whether it runs.
    pub enabled: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(frequency: BackupFrequency) -> BackupSchedule {
        BackupSchedule {
            id: BackupScheduleId::from_bytes([1; 16]),
            project_id: ProjectId::from_bytes([2; 16]),
            index_id: IndexId::from_bytes([3; 16]),
            name: "nightly".into(),
            frequency,
            retention_days: 2,
            next_run: None,
            created_at_ms: 0,
        }
    }

    #[test]
    fn a_missed_time_is_not_made_up_for_twice() {
        let daily = schedule(BackupFrequency::Daily);
        assert_eq!(daily.next_time(100, 100), DAY_MS + 100);
        assert_eq!(daily.next_time(100, DAY_MS + 99), DAY_MS + 100);
        assert_eq!(daily.next_time(100, DAY_MS + 100), 2 * DAY_MS + 100);
        assert_eq!(daily.next_time(100, 1_000 * DAY_MS), 1_000 * DAY_MS + 100);
        assert_eq!(schedule(BackupFrequency::Weekly).next_time(0, 20 * DAY_MS), 21 * DAY_MS);
        // Of January 31st: February 28th, and from there on the 28th.
        assert_eq!(schedule(BackupFrequency::Monthly).next_time(30 * DAY_MS, 60 * DAY_MS), (31 + 28 + 27) * DAY_MS);
    }

    #[test]
    fn names_and_days_at_their_edges() {
        assert_eq!(schedule(BackupFrequency::Daily).backup_name(1_775_834_580_000), "nightly-20260410T152300Z");
        assert_eq!(schedule(BackupFrequency::Daily).expiry(5), 2 * DAY_MS + 5);
        assert!(BackupSchedule::parse_name(&"n".repeat(80)).is_ok() && BackupSchedule::parse_name(&"n".repeat(81)).is_err());
        assert_eq!((BackupSchedule::check_retention(1), BackupSchedule::check_retention(3_650)), (Ok(1), Ok(3_650)));
        for bad in [0, 3_651, u64::MAX] {
            assert!(BackupSchedule::check_retention(bad).is_err(), "{bad}");
        }
        for word in BackupFrequency::ALL {
            assert_eq!(BackupFrequency::parse(word.as_str()), Ok(word));
        }
        assert!(BackupFrequency::parse("hourly").is_err());
    }
}
