//! Role bindings: who may do what.

use pinyon_model::{Result, RoleBindingId};
use pinyon_wire::admin;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let (filter, listing) = admin::list_role_bindings(call.query())?;
    let page = call.service().list_role_bindings(&call.ctx, filter, listing.request()).await?;
    Ok(call.answer(admin::role_binding_page(&listing, &page)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = admin::create_role_binding(call.body())?;
    let binding = call.service().create_role_binding(&call.ctx, new).await?;
    Ok(call.answer(admin::role_binding_model(&binding)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let binding = call.service().describe_role_binding(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::role_binding_model(&binding)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_role_binding(&call.ctx, id(&call)?).await?;
    Ok(Answer::empty(call.status))
}

fn id(call: &Call) -> Result<RoleBindingId> {
    RoleBindingId::parse(call.param("role_binding_id"))
}
