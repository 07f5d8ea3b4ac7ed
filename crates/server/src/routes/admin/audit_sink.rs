//! Where an organization's audit log is delivered to.

use pinyon_model::{OrganizationId, Result};
use pinyon_wire::admin;

use super::Call;
use crate::answer::Answer;

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let (sink, state) = call.service().describe_audit_sink(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::audit_sink_model(&sink, &state)))
}

pub(super) async fn put(call: Call) -> Result<Answer> {
    let settings = admin::put_audit_sink(call.body())?;
    let (sink, state) = call.service().put_audit_sink(&call.ctx, id(&call)?, settings).await?;
    Ok(call.answer(admin::audit_sink_model(&sink, &state)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    let state = call.service().delete_audit_sink(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::removed_audit_sink(&state)))
}

fn id(call: &Call) -> Result<OrganizationId> {
    OrganizationId::parse(call.param("organization_id"))
}
