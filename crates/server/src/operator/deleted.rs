//! What was deleted, as commands say it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pinyon_model::{Deleted, DeletedId, DeletionReport, Error, Result};
use pinyon_service::{PurgeOutcome, SignedReport, WaitingPurge};
use pinyon_wire::rfc3339;
use serde::{Deserialize, Serialize};

use super::{Output, execute::Operator};

/// Something that was deleted, as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeletedRow {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// The id that it had.
    pub(crate) of: String,
    pub(crate) name: String,
    pub(crate) organization_id: Option<String>,
    pub(crate) project_id: Option<String>,
    pub(crate) deleted_at: String,
    pub(crate) deleted_by: String,
    pub(crate) kept_until: String,
}

/// The report of a purge, as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReportRow {
    pub(crate) deleted: DeletedRow,
    pub(crate) purged_at: String,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) keys: u64,
}

impl From<Deleted> for DeletedRow {
    fn from(deleted: Deleted) -> Self {
        let Deleted { id, kind, of, name, organization_id, project_id, deleted_at_ms, deleted_by, kept_until_ms } = deleted;
        Self {
            id: id.to_string(),
            kind: kind.as_str().to_owned(),
            of,
            name,
            organization_id: organization_id.map(|id| id.to_string()),
            project_id: project_id.map(|id| id.to_string()),
            deleted_at: rfc3339(deleted_at_ms),
            deleted_by,
            kept_until: rfc3339(kept_until_ms),
        }
    }
}

impl From<DeletionReport> for ReportRow {
    fn from(report: DeletionReport) -> Self {
        let DeletionReport { deleted, purged_at_ms, objects, keys } = report;
        Self {
            deleted: deleted.into(),
            purged_at: rfc3339(purged_at_ms),
            objects: objects.len() as u64,
            bytes: objects.iter().map(|(_, bytes)| bytes).sum(),
            keys: keys.len() as u64,
        }
    }
}

pub(super) async fn list(operator: &Operator<'_>) -> Result<Output> {
    let deleted = operator.service.list_deleted(&operator.ctx).await?;
    let waiting = operator.service.purge_waits();
    Ok(Output::Deleted { deleted: deleted.into_iter().map(Into::into).collect(), waiting })
}

pub(super) async fn restore(operator: &Operator<'_>, id: &str) -> Result<Output> {
    let restored = operator.service.restore_deleted(&operator.ctx, DeletedId::parse(id)?).await?;
    Ok(Output::DeletedRestored { restored: restored.into() })
}

pub(super) async fn purge(operator: &Operator<'_>, confirm: bool) -> Result<Output> {
    let PurgeOutcome { purged, waiting } = operator.service.purge_deleted(&operator.ctx, confirm).await?;
    let waiting = waiting.map(|WaitingPurge { due_bytes, stored_bytes }| (due_bytes, stored_bytes));
    Ok(Output::DeletedPurged { purged: purged.into_iter().map(Into::into).collect(), waiting })
}

pub(super) async fn report(operator: &Operator<'_>, id: Option<&str>) -> Result<Output> {
    match id {
        Some(id) => {
            let signed = operator.service.deletion_report(&operator.ctx, DeletedId::parse(id)?).await?;
            Ok(Output::DeletionReport { document: signed.to_document() })
        }
        None => {
            let reports = operator.service.list_deletion_reports(&operator.ctx).await?;
            Ok(Output::DeletionReports { reports: reports.into_iter().map(Into::into).collect() })
        }
    }
}

pub(super) async fn verify(operator: &Operator<'_>, document: &str) -> Result<Output> {
    let public_key = operator.service.deletion_report_key(&operator.ctx).await?;
    let signed = SignedReport::parse(document).map_err(|e| Error::new(e.code, e.message))?;
    Ok(Output::DeletionReportVerified { genuine: signed.is_signed_by(&public_key) })
}

pub(super) async fn public_key(operator: &Operator<'_>) -> Result<Output> {
    Ok(Output::DeletionReportKey { public_key: STANDARD.encode(operator.service.deletion_report_key(&operator.ctx).await?) })
}
