//! Carries commands out, as the operator.

use std::{future::Future, sync::Arc};

use crate::config::BoundsArgs;
use pinyon_model::{
    ApiKey, ApiKeyChange, Email, Error, IndexName, NamespaceName, NewInvite, NewProject, NewRoleBinding, NewServiceAccount, Organization,
    OrganizationId, Page, PageRequest, PaymentStatus, Plan, Principal, PrincipalRef, PrincipalType, Project, ProjectChange, ProjectId,
    ResourceRef, ResourceType, Restrictions, Result, Role, RoleBindingFilter, RoleBindingId, RoleGrant, ServiceAccount, ServiceAccountId,
    UserId, excerpt,
};
use pinyon_service::{
    ApiKeySecret, AuditReport, Clock, CreatedApiKey, CreatedInvite, CreatedServiceAccount, NewApiKey, OpContext, Password,
    PermissionQuestion, Service,
};

use super::{
    Command, Order, Output, RootKeyFile, Secret, audit,
    backups::Backups,
    bounds, cmek, deleted, private_access,
    rows::{KeyRow, RoleRow},
};

/// What a command works with.
pub(super) struct Operator<'a> {
    pub(super) service: &'a Arc<Service>,
    pub(super) ctx: OpContext,
}

impl Order {
    /// Carries the command out.
    pub(crate) async fn execute(self, service: &Arc<Service>, clock: &dyn Clock, root_key: &RootKeyFile) -> Result<Output> {
        let mut operator = Operator { service, ctx: OpContext::internal(Principal::Operator, clock.now_ms()) };
        if let Some(text) = &self.organization {
            operator.ctx.organization = Some(operator.organization(text).await?);
        }
        self.command.run(&operator, root_key).await
    }
}

impl Command {
    async fn run(self, operator: &Operator<'_>, root_key: &RootKeyFile) -> Result<Output> {
        let (service, ctx) = (operator.service, &operator.ctx);
        Ok(match self {
            Command::CreateKey { name, roles, project, value, bounds } => operator.create_key(name, &roles, project, value, bounds).await?,
            Command::UpdateKey { id, name, roles, bounds } => operator.update_key(&id, name, &roles, bounds).await?,
            Command::RotateKey { id, overlap } => operator.rotate_key(&id, &overlap).await?,
            Command::ListKeys { project } => operator.list_keys(project).await?,
            Command::RevokeKey { id } => {
                let key = service.find_api_key(ctx, &id).await?;
                service.delete_api_key(ctx, key.id).await?;
                Output::KeyRevoked { id: key.id.to_string() }
            }
            Command::RotateRoot => Output::RootRotated { place: root_key.rotate(service, ctx).await? },
            Command::ExportRoot => Output::Root { value: Secret::new(service.export_root(ctx).await?.export_text()) },
            Command::ListOrganizations => {
                Output::Organizations { organizations: service.list_organizations(ctx).await?.into_iter().map(Into::into).collect() }
            }
            Command::CreateOrganization { name } => changed(service.create_organization(ctx, name).await?),
            Command::RenameOrganization { organization, name } => {
                let id = operator.organization(&organization).await?;
                changed(service.rename_organization(ctx, id, name).await?)
            }
            Command::SetPlan { organization, plan } => {
                let id = operator.organization(&organization).await?;
                changed(service.set_plan(ctx, id, Plan::parse(&plan)?).await?)
            }
            Command::SetPaymentStatus { organization, payment_status } => {
                let id = operator.organization(&organization).await?;
                changed(service.set_payment_status(ctx, id, PaymentStatus::parse(&payment_status)?).await?)
            }
            Command::CreateProject { name, force_encryption_with_cmek } => {
                let new = NewProject { name: Project::parse_name(&name)?, max_pods: None, force_encryption_with_cmek };
                Output::ProjectCreated { project: service.create_project(ctx, new).await?.into() }
            }
            Command::ListProjects => Output::Projects { projects: service.list_projects(ctx).await?.into_iter().map(Into::into).collect() },
            Command::RenameProject { project, name } => {
                let id = operator.project(&project).await?;
                let change = ProjectChange { name: Some(Project::parse_name(&name)?), ..ProjectChange::default() };
                Output::ProjectChanged { project: service.update_project(ctx, id, change).await?.into() }
            }
            Command::DeleteProject { project } => {
                let id = operator.project(&project).await?;
                service.delete_project(ctx, id).await?;
                Output::ProjectDeleted { id: id.to_string() }
            }
            Command::ListPrivateEndpoints { project } => private_access::list(operator, project).await?,
            Command::CreatePrivateEndpoint { project, provider, endpoint_id, region } => {
                private_access::create(operator, project, &provider, &endpoint_id, &region).await?
            }
            Command::DeletePrivateEndpoint { project, endpoint_id } => private_access::delete(operator, project, endpoint_id).await?,
            Command::ProjectAccess { project, change } => private_access::access(operator, project, change).await?,
            Command::CreateServiceAccount { name, roles, project } => operator.create_service_account(&name, &roles, project).await?,
            Command::ListServiceAccounts => {
                let accounts = all(|page| service.list_service_accounts(ctx, page)).await?;
                Output::ServiceAccounts { service_accounts: accounts.into_iter().map(Into::into).collect() }
            }
            Command::RotateServiceAccount { id } => {
                secret_of(service.rotate_service_account_secret(ctx, ServiceAccountId::parse(&id)?).await?)
            }
            Command::DeleteServiceAccount { id } => {
                let id = ServiceAccountId::parse(&id)?;
                service.delete_service_account(ctx, id).await?;
                Output::ServiceAccountDeleted { id: id.to_string() }
            }
            Command::ListRoles { principal, project, role } => operator.list_roles(principal, project, role).await?,
            Command::GrantRole { role, to, project } => operator.grant_role(&role, &to, project).await?,
            Command::RevokeRole { id } => {
                let id = RoleBindingId::parse(&id)?;
                service.delete_role_binding(ctx, id).await?;
                Output::RoleRevoked { id: id.to_string() }
            }
            Command::DescribePermissions { principal, project, operation, index, namespace } => {
                operator.permissions(&principal, project, operation, index, namespace).await?
            }
            Command::ListUsers { email } => {
                let email = email.map(|text| Email::new(&text)).transpose()?;
                let users = all(|page| service.list_users(ctx, email.clone(), page)).await?;
                Output::Users { users: users.into_iter().map(Into::into).collect() }
            }
            Command::InviteUser { email, roles, project } => operator.invite(&email, &roles, project).await?,
            Command::SetPassword { user, password } => {
                let password = Password::choose(password.reveal())?;
                let user = service.set_password(ctx, operator.user(&user).await?, password).await?;
                Output::PasswordSet { user: user.into() }
            }
            Command::DeleteUser { user } => {
                let id = operator.user(&user).await?;
                service.delete_user(ctx, id).await?;
                Output::UserDeleted { id: id.to_string() }
            }
            Command::DeactivateProject { project } => {
                let id = operator.project_or_first(Some(project)).await?;
                service.deactivate_project(ctx, id).await?;
                Output::ProjectDeleted { id: id.to_string() }
            }
            Command::DeactivateOrganization { organization } => {
                let id = operator.organization(&organization).await?;
                service.deactivate_organization(ctx, id).await?;
                Output::OrganizationDeleted { id: id.to_string() }
            }
            Command::ListDeleted => deleted::list(operator).await?,
            Command::RestoreDeleted { id } => deleted::restore(operator, &id).await?,
            Command::PurgeDeleted { confirm } => deleted::purge(operator, confirm).await?,
            Command::DeletionReport { id } => deleted::report(operator, id.as_deref()).await?,
            Command::VerifyDeletionReport { document } => deleted::verify(operator, &document).await?,
            Command::DeletionReportKey => deleted::public_key(operator).await?,
            Command::CreateBackup { index, project, name, description } => {
                operator.backups(project).await?.create(&index, name, description).await?
            }
            Command::ListBackups { index, project } => operator.backups(project).await?.list(index.as_deref()).await?,
            Command::DescribeBackup { id, project } => operator.backups(project).await?.describe(&id).await?,
            Command::DeleteBackup { id, project } => operator.backups(project).await?.delete(id).await?,
            Command::RestoreBackup { id, index, project, protect } => {
                operator.backups(project).await?.restore(&id, &index, protect).await?
            }
            Command::VerifyBackup { id, project } => operator.backups(project).await?.verify(id).await?,
            Command::ExportBackup { id, file, project } => operator.backups(project).await?.export(&id, file).await?,
            Command::ImportBackup { file, key, project } => operator.backups(project).await?.import(file, &key).await?,
            Command::AuditEvents { after, last } => audit::page(service, ctx, after, last).await?,
            Command::CreateCmek { name, project, key } => {
                cmek::create(service, ctx, operator.project_of(project).await?, name, key).await?
            }
            Command::ListCmeks { project } => cmek::list(service, ctx, operator.project_of(project).await?).await?,
            Command::DescribeCmek { cmek } => cmek::describe(service, ctx, &cmek).await?,
            Command::ReplaceCmek { cmek, key } => cmek::replace(service, ctx, &cmek, &key).await?,
            Command::DeleteCmek { cmek, name } => cmek::delete(service, ctx, &cmek, &name).await?,
            Command::DescribeAuditSink => audit::describe_sink(service, ctx, operator.own_organization().await?).await?,
            Command::PutAuditSink { settings } => audit::put_sink(service, ctx, operator.own_organization().await?, &settings).await?,
            Command::EnableAuditSink { enabled } => audit::enable_sink(service, ctx, operator.own_organization().await?, enabled).await?,
            Command::DeleteAuditSink => audit::delete_sink(service, ctx, operator.own_organization().await?).await?,
            Command::VerifyAudit => {
                let AuditReport { entries, dropped, damaged } = service.verify_audit(ctx).await?;
                Output::AuditVerified { entries, dropped, damaged: damaged.into_iter().map(|d| (d.file, d.what)).collect() }
            }
            Command::Check => Output::Checked { report: service.check(ctx).await?.into() },
        })
    }
}

impl Operator<'_> {
    async fn create_key(
        &self,
        name: String,
        roles: &[String],
        project: Option<String>,
        value: Option<Secret>,
        bounds: BoundsArgs,
    ) -> Result<Output> {
        let (expires_at_ms, change) = bounds::read(bounds, self.ctx.now_ms)?;
        let projects = self.service.list_projects(&self.ctx).await?;
        let new = NewApiKey {
            name,
            project_id: project.map(|p| find_project(&projects, &p)).transpose()?,
            roles: roles.iter().map(|r| Role::parse_for_api_key(r)).collect::<Result<_>>()?,
            secret: value.map(|v| ApiKeySecret::import(v.reveal())).transpose()?,
            expires_at_ms: expires_at_ms.flatten(),
            restrictions: change.of(&Restrictions::default())?,
        };
        let created = self.service.create_api_key(&self.ctx, new).await?;
        Ok(self.key_created(&projects, created))
    }

    async fn update_key(&self, id: &str, name: Option<String>, roles: &[String], bounds: BoundsArgs) -> Result<Output> {
        let key = self.service.find_api_key(&self.ctx, id).await?;
        let (expires_at_ms, restrictions) = bounds::read(bounds, self.ctx.now_ms)?;
        let roles: Vec<Role> = roles.iter().map(|r| Role::parse_for_api_key(r)).collect::<Result<_>>()?;
        let change = ApiKeyChange { name, roles: Some(roles).filter(|r| !r.is_empty()), expires_at_ms, restrictions };
        let key = self.service.update_api_key(&self.ctx, key.id, change).await?;
        let projects = self.service.list_projects(&self.ctx).await?;
        Ok(Output::KeyUpdated { key: self.key_row(&projects, key) })
    }

    async fn rotate_key(&self, id: &str, overlap: &str) -> Result<Output> {
        let key = self.service.find_api_key(&self.ctx, id).await?;
        let projects = self.service.list_projects(&self.ctx).await?;
        let created = self.service.rotate_api_key(&self.ctx, key.id, bounds::duration_ms(overlap)?).await?;
        Ok(self.key_created(&projects, created))
    }

    fn key_created(&self, projects: &[Project], created: CreatedApiKey) -> Output {
        let CreatedApiKey { key, secret } = created;
        let value = Secret::new(secret.reveal().to_owned());
        Output::KeyCreated { key: self.key_row(projects, key), value }
    }

    fn key_row(&self, projects: &[Project], key: ApiKey) -> KeyRow {
        KeyRow::new(projects, self.service.with_last_use(key))
    }

    async fn permissions(
        &self,
        principal: &str,
        project: Option<String>,
        operation: Option<String>,
        index: Option<String>,
        namespace: Option<String>,
    ) -> Result<Output> {
        let principal = parse_principal(principal)?;
        let resource = match self.project_of(project).await? {
            Some(id) => ResourceRef::Project(id),
            None => ResourceRef::Organization(self.own_organization().await?),
        };
        let index = index.map(|text| IndexName::new(&text)).transpose()?;
        let namespace = namespace.map(|text| NamespaceName::new(&text)).transpose()?;
        let question = operation.map(|operation| PermissionQuestion { operation, index, namespace });
        let found = self.service.describe_permissions(&self.ctx, principal, resource, question).await?;
        Ok(Output::Permissions { permissions: found.into() })
    }

    async fn list_keys(&self, project: Option<String>) -> Result<Output> {
        let projects = self.service.list_projects(&self.ctx).await?;
        let project = project.map(|p| find_project(&projects, &p)).transpose()?;
        let mut keys = self.service.list_api_keys(&self.ctx, project).await?;
        if self.ctx.organization.is_some() {
            keys.retain(|k| projects.iter().any(|p| p.id == k.project_id));
        }
        Ok(Output::Keys { keys: keys.into_iter().map(|key| self.key_row(&projects, key)).collect() })
    }

    async fn create_service_account(&self, name: &str, roles: &[String], project: Option<String>) -> Result<Output> {
        let project = self.project_of(project).await?;
        let grants = roles.iter().map(|role| grant(role, project)).collect::<Result<_>>()?;
        let new = NewServiceAccount { name: ServiceAccount::parse_name(name)?, grants };
        self.service.create_service_account(&self.ctx, new).await.map(secret_of)
    }

    async fn invite(&self, email: &str, roles: &[String], project: Option<String>) -> Result<Output> {
        let project = self.project_of(project).await?;
        let grants = roles.iter().map(|role| grant(role, project)).collect::<Result<_>>()?;
        let new = NewInvite { email: Email::new(email)?, grants };
        let CreatedInvite { invite, token } = self.service.create_invite(&self.ctx, new).await?;
        Ok(Output::UserInvited { invite: invite.into(), token: token.map(|t| Secret::new(t.reveal().to_owned())) })
    }

    /// A user by its address or its id.
    async fn user(&self, text: &str) -> Result<UserId> {
        if !text.contains('@') {
            return UserId::parse(text);
        }
        let found = self.service.list_users(&self.ctx, Some(Email::new(text)?), PageRequest { limit: 1, after: None }).await?;
        found.items.first().map(|u| u.id).ok_or_else(|| Error::not_found(format!("There is no user '{}'", excerpt(text))))
    }

    /// An organization by its id or its name.
    async fn organization(&self, text: &str) -> Result<OrganizationId> {
        let organizations = self.service.list_organizations(&self.ctx).await?;
        let found: Vec<_> = organizations.iter().filter(|o| o.name == text || o.id.to_string() == text).collect();
        match found[..] {
            [organization] => Ok(organization.id),
            [] => Err(Error::not_found(format!("There is no organization '{}'", excerpt(text)))),
            _ => Err(Error::invalid(format!("More than one organization is called '{}'; use its id", excerpt(text)))),
        }
    }

    /// The organization that was chosen, or the first.
    async fn own_organization(&self) -> Result<OrganizationId> {
        let first = self.service.list_organizations(&self.ctx).await?.first().map(|o| o.id);
        self.ctx.organization.or(first).ok_or_else(|| Error::not_found("There is no organization"))
    }

    async fn list_roles(&self, principal: Option<String>, project: Option<String>, role: Option<String>) -> Result<Output> {
        let filter = RoleBindingFilter {
            principal: principal.map(|text| parse_principal(&text)).transpose()?,
            resource: self.project_of(project).await?.map(ResourceRef::Project),
            role: role.map(|text| Role::parse(&text)).transpose()?,
            ..RoleBindingFilter::default()
        };
        let projects = self.service.list_projects(&self.ctx).await?;
        let bindings = all(|page| self.service.list_role_bindings(&self.ctx, filter, page)).await?;
        Ok(Output::Roles { roles: bindings.iter().map(|b| RoleRow::new(&projects, b)).collect() })
    }

    async fn grant_role(&self, role: &str, to: &str, project: Option<String>) -> Result<Output> {
        let projects = self.service.list_projects(&self.ctx).await?;
        let project = project.map(|p| find_project(&projects, &p)).transpose()?;
        let role = Role::parse(role)?;
        if role.scope() == ResourceType::Organization && project.is_some() {
            return Err(Error::invalid(format!("{} is a role in the organization: leave --project out", role.as_str())));
        }
        let new = NewRoleBinding { principal: parse_principal(to)?, grant: grant(role.as_str(), project)? };
        let binding = self.service.create_role_binding(&self.ctx, new).await?;
        Ok(Output::RoleGranted { role: RoleRow::new(&projects, &binding) })
    }

    /// The commands on the backups of a project.
    async fn backups(&self, project: Option<String>) -> Result<Backups<'_>> {
        Ok(Backups::new(self.service, &self.ctx, self.project_of(project).await?))
    }

    async fn project_of(&self, project: Option<String>) -> Result<Option<ProjectId>> {
        match project {
            Some(text) => self.project(&text).await.map(Some),
            None => Ok(None),
        }
    }

    /// The project that was named, or the one that the first start made.
    pub(super) async fn project_or_first(&self, project: Option<String>) -> Result<ProjectId> {
        Ok(self.project_of(project).await?.unwrap_or_else(|| self.service.default_project()))
    }

    async fn project(&self, text: &str) -> Result<ProjectId> {
        find_project(&self.service.list_projects(&self.ctx).await?, text)
    }
}

fn changed(organization: Organization) -> Output {
    Output::OrganizationChanged { organization: organization.into() }
}

fn secret_of(created: CreatedServiceAccount) -> Output {
    let CreatedServiceAccount { account, secret } = created;
    Output::ServiceAccountSecret { service_account: account.into(), client_secret: Secret::new(secret.reveal().to_owned()) }
}

/// Every page of a listing.
pub(super) async fn all<T, F: Future<Output = Result<Page<T>>>>(list: impl Fn(PageRequest) -> F) -> Result<Vec<T>> {
    let mut items = Vec::new();
    let mut request = PageRequest { limit: 100, after: None };
    loop {
        let Page { items: part, next } = list(request).await?;
        items.extend(part);
        match next {
            Some(_) => request.after = next,
            None => return Ok(items),
        }
    }
}

/// A role in the organization, or in the project when it is a role in one.
fn grant(role: &str, project: Option<ProjectId>) -> Result<RoleGrant> {
    let role = Role::parse(role)?;
    match role.scope() {
        ResourceType::Organization => RoleGrant::new(role, None),
        ResourceType::Project if project.is_none() => {
            Err(Error::invalid(format!("{} is a role in a project: say in which by --project", role.as_str())))
        }
        ResourceType::Project => RoleGrant::new(role, project),
    }
}

/// `TYPE:ID`; a type's two words may also be joined by a hyphen.
fn parse_principal(text: &str) -> Result<PrincipalRef> {
    let (kind, id) = text.split_once(':').unwrap_or((text, ""));
    let kind = kind.replace('-', "_");
    let Some(kind) = PrincipalType::ALL.into_iter().find(|t| t.as_str() == kind) else {
        let shown = excerpt(text);
        return Err(Error::invalid(format!("'{shown}' is not user:ID, service_account:ID, api_key:ID or invite:ID")));
    };
    UserId::parse(id).map(|id| PrincipalRef::from_bytes(kind, *id.as_bytes()))
}

/// A project by its id or its name.
fn find_project(projects: &[Project], text: &str) -> Result<ProjectId> {
    let found: Vec<_> = projects.iter().filter(|p| p.name == text || p.id.to_string() == text).collect();
    match found[..] {
        [project] => Ok(project.id),
        [] => Err(Error::not_found(format!("There is no project '{}'", excerpt(text)))),
        _ => Err(Error::invalid(format!("More than one project is called '{}'; use its id", excerpt(text)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_spelled_with_their_type() {
        let id = "07070707-0707-0707-0707-070707070707";
        let account = PrincipalRef::ServiceAccount(ServiceAccountId::from_bytes([7; 16]));
        for text in [format!("service_account:{id}"), format!("service-account:{id}")] {
            assert_eq!(parse_principal(&text), Ok(account));
        }
        for bad in ["", "user", "user:", "robot:1", id] {
            assert!(parse_principal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn roles_are_given_where_they_are_roles() {
        let project = Some(ProjectId::from_bytes([1; 16]));
        assert_eq!(grant("OrgOwner", project).unwrap().project, None, "--project is for the other roles of the account");
        assert_eq!(grant("ProjectOwner", project).unwrap().project, project);
        assert!(grant("ProjectOwner", None).unwrap_err().message.contains("--project"));
        assert!(grant("Emperor", None).is_err());
    }
}
