//! Backups of indexes, and indexes from backups.

use pinyon_model::Result;
use pinyon_wire::control;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list_of_index(call: Call) -> Result<Answer> {
    let index = call.param("index_name");
    let (include_deleted, listing) = control::list_index_backups(index, call.query())?;
    let page = call.service().list_index_backups(&call.ctx, index, include_deleted, listing.request()).await?;
    Ok(call.answer(control::backup_page(call.version, &listing, &page)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = control::create_backup(call.version, call.body())?;
    let backup = call.service().create_backup(&call.ctx, call.param("index_name"), new).await?;
    Ok(call.answer(control::backup_model(call.version, &backup)))
}

pub(super) async fn list(call: Call) -> Result<Answer> {
    let listing = control::list_backups(call.query())?;
    let page = call.service().list_backups(&call.ctx, listing.request()).await?;
    Ok(call.answer(control::backup_page(call.version, &listing, &page)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let backup = call.service().describe_backup(&call.ctx, call.param("backup_id")).await?;
    Ok(call.answer(control::backup_model(call.version, &backup)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_backup(&call.ctx, call.param("backup_id")).await?;
    Ok(Answer::empty(call.status))
}

pub(super) async fn create_index(call: Call) -> Result<Answer> {
    let new = control::create_index_from_backup(call.body())?;
    let (index, job) = call.service().create_index_from_backup(&call.ctx, call.param("backup_id"), new).await?;
    // Ready will be said only when the index's port answers.
    call.app.ports.open(call.service(), &index).await?;
    Ok(call.answer(control::created_from_backup(&job)))
}
