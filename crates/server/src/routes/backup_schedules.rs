//! Backup schedules of indexes.

use pinyon_model::{Page, Result};
use pinyon_service::ScheduledRun;
use pinyon_wire::control;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let index = call.param("index_name");
    let listing = control::list_backup_schedules(index, call.query())?;
    let page = call.service().list_backup_schedules(&call.ctx, index, listing.request()).await?;
    Ok(call.answer(control::backup_schedule_page(&listing, &page)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = control::create_backup_schedule(call.body())?;
    let schedule = call.service().create_backup_schedule(&call.ctx, call.param("index_name"), new).await?;
    Ok(call.answer(control::backup_schedule_model(&schedule)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let schedule = call.service().describe_backup_schedule(&call.ctx, call.param("schedule_id")).await?;
    Ok(call.answer(control::backup_schedule_model(&schedule)))
}

pub(super) async fn update(call: Call) -> Result<Answer> {
    let change = control::update_backup_schedule(call.body())?;
    let schedule = call.service().update_backup_schedule(&call.ctx, call.param("schedule_id"), change).await?;
    Ok(call.answer(control::backup_schedule_model(&schedule)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_backup_schedule(&call.ctx, call.param("schedule_id")).await?;
    Ok(Answer::empty(call.status))
}

pub(super) async fn history(call: Call) -> Result<Answer> {
    let schedule = call.param("schedule_id");
    let listing = control::list_backup_schedule_history(schedule, call.query())?;
    let Page { items, next } = call.service().list_backup_schedule_history(&call.ctx, schedule, listing.request()).await?;
    let items = items.into_iter().map(|run| match run {
        ScheduledRun::Taken(backup) => (*backup, None),
        ScheduledRun::Planned { backup, at_ms } => (*backup, Some(at_ms)),
    });
    let page = Page { items: items.collect(), next };
    Ok(call.answer(control::backup_schedule_history(call.version, &listing, &page)))
}
