//! Restore jobs. One shape for every date.

use pinyon_model::{Page, RestoreJob, RestoreStatus, Result};
use serde::Serialize;

use super::backup::LIMIT_DEFAULT;
use crate::{json, listing::Listing, percent::Parameters, rfc3339};

/// Reads the query string of `GET /restore-jobs`.
pub fn list_restore_jobs(query: &str) -> Result<Listing> {
    Listing::with_default(&Parameters::parse(query)?, "restore jobs", &[], LIMIT_DEFAULT)
}

/// The body that describes one restore.
pub fn restore_job_model(job: &RestoreJob) -> Vec<u8> {
    json::to_vec(&RestoreJobOut::from(job))
}

/// The body of a page of restores.
pub fn restore_job_page(listing: &Listing, page: &Page<RestoreJob>) -> Vec<u8> {
    listing.page(page, RestoreJobOut::from)
}

#[derive(Serialize)]
struct RestoreJobOut<'a> {
    restore_job_id: String,
    backup_id: String,
    target_index_name: &'a str,
    target_index_id: String,
    status: &'static str,
    /// Why it failed: Pinyon's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent_complete: Option<f64>,
}

impl<'a> From<&'a RestoreJob> for RestoreJobOut<'a> {
    fn from(job: &'a RestoreJob) -> Self {
        Self {
            restore_job_id: job.id.to_string(),
            backup_id: job.backup_id.to_string(),
            target_index_name: job.target_index_name.as_str(),
            target_index_id: job.target_index_id.to_string(),
            status: match job.status {
                RestoreStatus::Pending => "Pending",
                RestoreStatus::Completed => "Completed",
                RestoreStatus::Failed(_) => "Failed",
                RestoreStatus::Cancelled => "Cancelled",
            },
            error_message: if let RestoreStatus::Failed(reason) = &job.status { Some(reason) } else { None },
            created_at: rfc3339(job.created_at_ms),
            completed_at: job.completed_at_ms.map(rfc3339),
            percent_complete: job.percent_complete,
        }
    }
}
