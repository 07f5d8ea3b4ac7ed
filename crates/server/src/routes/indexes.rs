//! Indexes: the control plane.

use pinyon_model::Result;
use pinyon_wire::control::{self, IndexHosts};

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let indexes = call.service().list_indexes(&call.ctx).await?;
    let hosts: Vec<IndexHosts> = indexes.iter().map(|index| call.hosts_of(index)).collect();
    Ok(call.answer(control::index_list(call.version, indexes.iter().zip(&hosts))))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let spec = control::create_index(call.version, call.body())?;
    let index = call.service().create_index(&call.ctx, spec).await?;
    // Ready is said only when the index's port answers.
    call.app.ports.open(call.service(), &index).await?;
    Ok(call.answer(control::index_model(call.version, &index, &call.hosts_of(&index))))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let index = call.service().describe_index(&call.ctx, call.param("index_name")).await?;
    Ok(call.answer(control::index_model(call.version, &index, &call.hosts_of(&index))))
}

pub(super) async fn configure(call: Call) -> Result<Answer> {
    let change = control::configure_index(call.version, call.body())?;
    let index = call.service().configure_index(&call.ctx, call.param("index_name"), change).await?;
    Ok(call.answer(control::index_model(call.version, &index, &call.hosts_of(&index))))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_index(&call.ctx, call.param("index_name")).await?;
    call.app.ports.follow(call.service()).await;
    Ok(Answer::empty(call.status))
}
