//! Backup schedules and their history. One shape for every date.

use pinyon_model::{Backup, BackupFrequency, BackupSchedule, BackupScheduleChange, Error, NewBackupSchedule, Page, Result, excerpt};
use serde::{Deserialize, Serialize};

use super::backup::{BackupOut, LIMIT_DEFAULT};
use crate::{ApiVersion, json, listing::Listing, percent::Parameters, rfc3339};

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    #[serde(deserialize_with = "json::object")]
    schedule: ScheduleBody,
    #[serde(deserialize_with = "json::object")]
    retention: RetentionBody,
}

#[derive(Deserialize)]
struct ScheduleBody {
    #[serde(rename = "type")]
    kind: String,
    frequency: String,
}

#[derive(Deserialize)]
struct RetentionBody {
    expire_after_days: u64,
}

#[derive(Deserialize)]
struct UpdateBody {
    #[serde(default)]
    frequency: Option<String>,
    #[serde(default, deserialize_with = "json::optional_object")]
    retention: Option<RetentionBody>,
    #[serde(default)]
    enabled: Option<bool>,
}

/// Reads the body of `POST /indexes/{name}/backup-schedules`.
pub fn create_backup_schedule(body: &[u8]) -> Result<NewBackupSchedule> {
    let CreateBody { name, schedule, retention } = json::from_control(body)?;
    if schedule.kind != "time-based" {
        return Err(Error::invalid(format!("schedule type is '{}'; time-based is allowed", excerpt(&schedule.kind))));
    }
    Ok(NewBackupSchedule {
        name: BackupSchedule::parse_name(&name)?,
        frequency: BackupFrequency::parse(&schedule.frequency)?,
        retention_days: BackupSchedule::check_retention(retention.expire_after_days)?,
    })
}

/// Reads the body of `PATCH /backup-schedules/{id}`.
pub fn update_backup_schedule(body: &[u8]) -> Result<BackupScheduleChange> {
    let UpdateBody { frequency, retention, enabled } = json::from_control(body)?;
    Ok(BackupScheduleChange {
        frequency: frequency.as_deref().map(BackupFrequency::parse).transpose()?,
        retention_days: retention.map(|r| BackupSchedule::check_retention(r.expire_after_days)).transpose()?,
        enabled,
    })
}

/// Reads the query string of `GET /indexes/{name}/backup-schedules`.
pub fn list_backup_schedules(index: &str, query: &str) -> Result<Listing> {
    Listing::with_default(&Parameters::parse(query)?, "backup schedules", &[index], LIMIT_DEFAULT)
}

/// Reads the query string of `GET /backup-schedules/{id}/history`.
pub fn list_backup_schedule_history(schedule: &str, query: &str) -> Result<Listing> {
    Listing::with_default(&Parameters::parse(query)?, "history of a backup schedule", &[schedule], LIMIT_DEFAULT)
}

/// The body that describes one schedule.
pub fn backup_schedule_model(schedule: &BackupSchedule) -> Vec<u8> {
    json::to_vec(&ScheduleOut::from(schedule))
}

/// The body of a page of schedules.
pub fn backup_schedule_page(listing: &Listing, page: &Page<BackupSchedule>) -> Vec<u8> {
    listing.page(page, ScheduleOut::from)
}

/// The body of a page of a schedule's runs: backups, and with a time the one that is to come.
pub fn backup_schedule_history(version: ApiVersion, listing: &Listing, page: &Page<(Backup, Option<u64>)>) -> Vec<u8> {
    listing.page(page, |(backup, planned)| match planned {
        None => BackupOut::new(version, backup),
        Some(at_ms) => BackupOut::planned(version, backup, *at_ms),
    })
}

#[derive(Serialize)]
struct ScheduleOut<'a> {
    schedule_id: String,
    name: &'a str,
    index_id: String,
    project_id: String,
    schedule_type: &'static str,
    frequency: &'static str,
    retention_expire_after_days: u32,
    enabled: bool,
    next_scheduled_run: Option<String>,
    created_at: String,
}

impl<'a> From<&'a BackupSchedule> for ScheduleOut<'a> {
    fn from(schedule: &'a BackupSchedule) -> Self {
        Self {
            schedule_id: schedule.id.to_string(),
            name: &schedule.name,
            index_id: schedule.index_id.to_string(),
            project_id: schedule.project_id.to_string(),
            schedule_type: "time-based",
            frequency: schedule.frequency.as_str(),
            retention_expire_after_days: schedule.retention_days,
            enabled: schedule.is_enabled(),
            next_scheduled_run: schedule.next_run.map(|run| rfc3339(run.at_ms)),
            created_at: rfc3339(schedule.created_at_ms),
        }
    }
}
