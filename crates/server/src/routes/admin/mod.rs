//! The admin plane: a file for each noun.

mod api_keys;
mod audit_sink;
mod bounded_keys;
mod cmeks;
mod invites;
mod organizations;
mod permissions;
mod private_endpoints;
mod project_access;
mod projects;
mod role_bindings;
mod service_accounts;
mod users;

use pinyon_model::Result;
use pinyon_wire::Operation;

use super::Call;
use crate::answer::Answer;

pub(super) async fn handle(operation: Operation, call: Call) -> Result<Answer> {
    match operation {
        Operation::ListOrganizations => organizations::list(call).await,
        Operation::DescribeOrganization => organizations::describe(call).await,
        Operation::UpdateOrganization => organizations::update(call).await,
        Operation::DeleteOrganization => organizations::delete(call).await,
        Operation::ListProjects => projects::list(call).await,
        Operation::CreateProject => projects::create(call).await,
        Operation::DescribeProject => projects::describe(call).await,
        Operation::UpdateProject => projects::update(call).await,
        Operation::DeleteProject => projects::delete(call).await,
        Operation::ListApiKeys => api_keys::list(call).await,
        Operation::CreateApiKey => api_keys::create(call).await,
        Operation::DescribeApiKey => api_keys::describe(call).await,
        Operation::UpdateApiKey => api_keys::update(call).await,
        Operation::DeleteApiKey => api_keys::delete(call).await,
        Operation::ListBoundedApiKeys => bounded_keys::list(call).await,
        Operation::CreateBoundedApiKey => bounded_keys::create(call).await,
        Operation::DescribeBoundedApiKey => bounded_keys::describe(call).await,
        Operation::UpdateBoundedApiKey => bounded_keys::update(call).await,
        Operation::RotateApiKey => bounded_keys::rotate(call).await,
        Operation::DescribePermissions => permissions::describe(call).await,
        Operation::ListServiceAccounts => service_accounts::list(call).await,
        Operation::CreateServiceAccount => service_accounts::create(call).await,
        Operation::DescribeServiceAccount => service_accounts::describe(call).await,
        Operation::UpdateServiceAccount => service_accounts::update(call).await,
        Operation::DeleteServiceAccount => service_accounts::delete(call).await,
        Operation::RotateServiceAccountSecret => service_accounts::rotate_secret(call).await,
        Operation::ListUsers => users::list(call).await,
        Operation::DescribeUser => users::describe(call).await,
        Operation::DeleteUser => users::delete(call).await,
        Operation::ListInvites => invites::list(call).await,
        Operation::CreateInvite => invites::create(call).await,
        Operation::DescribeInvite => invites::describe(call).await,
        Operation::DeleteInvite => invites::delete(call).await,
        Operation::ResendInvite => invites::resend(call).await,
        Operation::ListRoleBindings => role_bindings::list(call).await,
        Operation::CreateRoleBinding => role_bindings::create(call).await,
        Operation::DescribeRoleBinding => role_bindings::describe(call).await,
        Operation::DeleteRoleBinding => role_bindings::delete(call).await,
        Operation::ListPrivateEndpoints => private_endpoints::list(call).await,
        Operation::CreatePrivateEndpoint => private_endpoints::create(call).await,
        Operation::DeletePrivateEndpoint => private_endpoints::delete(call).await,
        Operation::DescribeProjectAccess => project_access::describe(call).await,
        Operation::PutProjectAccess => project_access::put(call).await,
        Operation::DescribeAuditSink => audit_sink::describe(call).await,
        Operation::PutAuditSink => audit_sink::put(call).await,
        Operation::DeleteAuditSink => audit_sink::delete(call).await,
        Operation::ListCmeks => cmeks::list(call).await,
        Operation::CreateCmek => cmeks::create(call).await,
        Operation::DescribeCmek => cmeks::describe(call).await,
        Operation::ReplaceCmek => cmeks::replace(call).await,
        Operation::DeleteCmek => cmeks::delete(call).await,
        other => Err(other.route().unimplemented()),
    }
}
