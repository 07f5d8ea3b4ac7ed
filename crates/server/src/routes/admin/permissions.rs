//! Why a principal may or may not do something.

use pinyon_model::Result;
use pinyon_service::{EffectivePermissions, PermissionQuestion};
use pinyon_wire::pinyon::{PermissionsQuery, PermissionsResponse, permissions_query};

use super::Call;
use crate::answer::Answer;

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let asked = permissions_query(call.param("principal_type"), call.param("principal_id"), call.query())?;
    let PermissionsQuery { principal, resource, operation } = asked;
    let question = operation.map(|(operation, index, namespace)| PermissionQuestion { operation, index, namespace });
    let operation = question.as_ref().map(|q| q.operation.clone()).unwrap_or_default();
    let found = call.service().describe_permissions(&call.ctx, principal, resource, question).await?;
    let EffectivePermissions { principal, name, resource, permissions, key, decision } = &found;
    let decision = decision.as_ref().map(|d| (operation.as_str(), d.allowed, d.permission, d.reason.as_str()));
    let response = PermissionsResponse { principal: *principal, name, resource: *resource, permissions, key: key.as_ref(), decision };
    Ok(call.answer(response.to_json()))
}
