//! Restores, as they go on.

use pinyon_model::Result;
use pinyon_wire::control;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let listing = control::list_restore_jobs(call.query())?;
    let page = call.service().list_restore_jobs(&call.ctx, listing.request()).await?;
    Ok(call.answer(control::restore_job_page(&listing, &page)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let job = call.service().describe_restore_job(&call.ctx, call.param("job_id")).await?;
    Ok(call.answer(control::restore_job_model(&job)))
}
