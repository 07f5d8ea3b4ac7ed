//! Organizations: those that the caller belongs to.

use pinyon_model::{OrganizationId, Result};
use pinyon_wire::admin;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let organizations = call.service().list_organizations(&call.ctx).await?;
    Ok(call.answer(admin::organization_list(&organizations)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let organization = call.service().describe_organization(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::organization_model(&organization)))
}

pub(super) async fn update(call: Call) -> Result<Answer> {
    let organization = match admin::update_organization(call.body())? {
        Some(name) => call.service().rename_organization(&call.ctx, id(&call)?, name).await?,
        None => call.service().describe_organization(&call.ctx, id(&call)?).await?,
    };
    Ok(call.answer(admin::organization_model(&organization)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_organization(&call.ctx, id(&call)?).await?;
    Ok(Answer::empty(call.status))
}

fn id(call: &Call) -> Result<OrganizationId> {
    OrganizationId::parse(call.param("organization_id"))
}
