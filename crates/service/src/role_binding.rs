//! Role bindings: every grant there is, and the guards that keep an organization governable.

use std::{collections::BTreeSet, sync::Arc};

use pinyon_model::{
    Error, InviteStatus, NewRoleBinding, OrganizationId, Page, PageRequest, Permission, Principal, PrincipalRef, PrincipalType,
    ResourceRef, ResourceType, Result, Role, RoleBinding, RoleBindingFilter, RoleBindingId, RoleGrant,
};
use pinyon_storage::random_bytes;

use crate::{
    OpContext, Service,
    authorize::{Action, Named, Place},
    catalog::{Change, Noun, NounId, Tables},
    user::bury_user,
};

/// The principal as bindings name it; none for the operator and for Pinyon itself.
pub(crate) fn principal_ref(principal: &Principal) -> Option<PrincipalRef> {
    match principal {
        Principal::ApiKey { id, .. } => Some(PrincipalRef::ApiKey(*id)),
        Principal::ServiceAccount { id, .. } => Some(PrincipalRef::ServiceAccount(*id)),
        Principal::User { id, .. } => Some(PrincipalRef::User(*id)),
        Principal::Operator | Principal::System => None,
    }
}

pub(crate) fn place(resource: ResourceRef) -> Place {
    match resource {
        ResourceRef::Organization(id) => Place::Organization(id),
        ResourceRef::Project(id) => Place::Project(id),
    }
}

fn resource(organization: OrganizationId, grant: RoleGrant) -> ResourceRef {
    grant.project.map_or(ResourceRef::Organization(organization), ResourceRef::Project)
}

/// A new binding.
pub(crate) fn bind(organization_id: OrganizationId, principal: PrincipalRef, grant: RoleGrant, created_at_ms: u64) -> RoleBinding {
    RoleBinding {
        id: RoleBindingId::from_random(random_bytes()),
        organization_id,
        principal,
        resource: resource(organization_id, grant),
        role: grant.role,
        created_at_ms,
    }
}

impl Service {
    /// The bindings that fit, of resources whose members the caller may see, oldest first.
    pub async fn list_role_bindings(&self, ctx: &OpContext, filter: RoleBindingFilter, page: PageRequest) -> Result<Page<RoleBinding>> {
        ctx.check_deadline(self.clock().now_ms())?;
        let organization = self.organization_of(ctx);
        let fitting: Vec<RoleBinding> = {
            let tables = self.catalog().tables();
            tables.bindings.values().filter(|b| b.organization_id == organization && filter.matches(b)).cloned().collect()
        };
        let seen = fitting.into_iter().filter(|b| self.may(ctx, read_permission(b.resource), place(b.resource)));
        Ok(Page::cut(seen, page, |b| (b.created_at_ms, *b.id.as_bytes())))
    }

    /// One binding.
    pub async fn describe_role_binding(&self, ctx: &OpContext, id: RoleBindingId) -> Result<RoleBinding> {
        let binding = self.binding(id)?;
        let authorized = self.authorize(ctx, Action::DescribeRoleBinding, named(&binding)).await?;
        authorized.close(Ok(binding)).await
    }

    /// Gives a role. `InvalidArgument` for a role that such a principal cannot hold there, `Forbidden` for more than the caller may
    /// itself, `AlreadyExists` for what is given already.
    pub async fn create_role_binding(self: &Arc<Self>, ctx: &OpContext, new: NewRoleBinding) -> Result<RoleBinding> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let organization = this.organization_of(&ctx);
            let resource = resource(organization, new.grant);
            let kind = resource.resource_type().as_str();
            let scope = Named { place: place(resource), id: resource.id(), kind };
            let mut authorized = this.authorize(&ctx, Action::CreateRoleBinding, scope).await?;
            let result: Result<RoleBinding> = async {
                let mut writer = this.catalog().writer().await;
                this.check_grants(&ctx, organization, new.principal.principal_type(), &[new.grant])?;
                let binding = bind(organization, new.principal, new.grant, ctx.now_ms);
                check_new(&this.catalog().tables(), &binding, ctx.now_ms)?;
                note(&mut authorized, &binding);
                let change = Change::Put(Noun::RoleBinding(binding.clone()));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(binding)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Takes a role away. A user's last binding takes the user with it. `Aborted` (409) for the organization's last owner and for
    /// the last organization role of a user with other roles, or of a pending invite.
    pub async fn delete_role_binding(self: &Arc<Self>, ctx: &OpContext, id: RoleBindingId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let binding = this.binding(id)?;
            let mut authorized = this.authorize(&ctx, Action::DeleteRoleBinding, named(&binding)).await?;
            note(&mut authorized, &binding);
            let result = async {
                let mut writer = this.catalog().writer().await;
                this.binding(id)?;
                let nouns = plan_delete(&this.catalog().tables(), &binding, &ctx)?;
                let user = match nouns.last() {
                    Some(NounId::User(id)) => this.catalog().tables().users.get(id).map(|u| u.stored.info.clone()),
                    _ => None,
                };
                match user {
                    Some(user) => this.bury(writer, &mut authorized, &ctx, bury_user(&user, nouns)).await,
                    None => {
                        let changes = nouns.into_iter().map(Change::Delete).collect();
                        this.catalog().change(&mut writer, &mut authorized, this.audit(), changes).await
                    }
                }
            }
            .await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }

    fn binding(&self, id: RoleBindingId) -> Result<RoleBinding> {
        let found = self.catalog().tables().bindings.get(&id).cloned();
        found.ok_or_else(|| Error::not_found(format!("There is no role binding {id}")))
    }

    /// Fails when a principal of this kind cannot hold these roles, when a project is not there, or when the caller lacks what it would
    /// give.
    pub(crate) fn check_grants(
        &self,
        ctx: &OpContext,
        organization: OrganizationId,
        kind: PrincipalType,
        grants: &[RoleGrant],
    ) -> Result<()> {
        for (at, grant) in grants.iter().enumerate() {
            let RoleGrant { role, project } = *grant;
            if !role.may_be_held_by(kind) {
                let allowed: Vec<_> = Role::ALL.into_iter().filter(|r| r.may_be_held_by(kind)).map(Role::as_str).collect();
                return Err(Error::invalid(format!(
                    "{} is not a role of a principal of type {}; {} are allowed",
                    role.as_str(),
                    kind.as_str(),
                    allowed.join(", ")
                )));
            }
            if grants[..at].contains(grant) {
                return Err(Error::invalid(format!("{} is given twice", role.as_str())));
            }
            if let Some(project) = project
                && self.catalog().tables().organization_of(project) != Some(organization)
            {
                return Err(Error::not_found(format!("There is no project {project}")));
            }
            self.check_giver(ctx, organization, *grant)?;
        }
        Ok(())
    }

    /// Nobody gives what they lack.
    fn check_giver(&self, ctx: &OpContext, organization: OrganizationId, grant: RoleGrant) -> Result<()> {
        let own = self.permissions(&ctx.principal, place(resource(organization, grant)));
        let lacking: Vec<Permission> = match own {
            None => return Ok(()),
            Some(own) => grant.role.permissions().iter().filter(|p| !own.contains(*p)).collect(),
        };
        if lacking.is_empty() {
            return Ok(());
        }
        let words: Vec<String> = lacking.iter().map(|p| format!("{p:?}")).collect();
        Err(Error::forbidden(format!(
            "You cannot give {}: it allows what you may not do yourself ({})",
            grant.role.as_str(),
            words.join(", ")
        )))
    }
}

fn named(binding: &RoleBinding) -> Named {
    Named { place: place(binding.resource), id: binding.id.to_string(), kind: "role binding" }
}

/// What shows who the members of a resource are.
const fn read_permission(resource: ResourceRef) -> Permission {
    match resource {
        ResourceRef::Organization(_) => Permission::OrganizationWrite,
        ResourceRef::Project(_) => Permission::ProjectRead,
    }
}

/// What the record says of a binding: for a person, user and role; for another principal, what it is.
fn note<T>(authorized: &mut crate::authorize::Authorized<T>, binding: &RoleBinding) {
    authorized.name(binding.principal.id(), binding.role.as_str());
    authorized.note("principal_type", binding.principal.principal_type().as_str());
    authorized.note("role", binding.role.as_str());
    authorized.note("resource_type", binding.resource.resource_type().as_str());
    authorized.note("resource_id", binding.resource.id());
    authorized.note("role_binding_id", binding.id.to_string());
}

/// Whether a new binding fits what is there.
fn check_new(tables: &Tables, new: &RoleBinding, now_ms: u64) -> Result<()> {
    let principal = new.principal;
    let kind = principal.principal_type().as_str();
    if tables.organization_of_principal(principal) != Some(new.organization_id) {
        return Err(Error::not_found(format!("There is no {kind} {}", principal.id())));
    }
    match principal {
        PrincipalRef::ApiKey(id) if tables.keys.get(&id).is_none_or(|k| ResourceRef::Project(k.stored.info.project_id) != new.resource) => {
            return Err(Error::invalid("An API key has roles in its own project only"));
        }
        PrincipalRef::Invite(id) if tables.invites.get(&id).is_none_or(|i| i.info.status(now_ms) == InviteStatus::Processed) => {
            return Err(Error::already_exists("The invite was accepted; give the role to the user"));
        }
        _ => {}
    }
    if tables.bindings_of(principal).any(|b| b.resource == new.resource && b.role == new.role) {
        return Err(Error::already_exists(format!("This {kind} has the role {} there already", new.role.as_str())));
    }
    Ok(())
}

/// The binding, and the user whose last one it is.
fn plan_delete(tables: &Tables, binding: &RoleBinding, ctx: &OpContext) -> Result<Vec<NounId>> {
    let removed = BTreeSet::from([binding.id]);
    check_owner_stays(tables, binding.organization_id, &removed, ctx)?;
    let others: Vec<&RoleBinding> = tables.bindings_of(binding.principal).filter(|b| b.id != binding.id).collect();
    let is_member = |b: &&&RoleBinding| b.role.scope() == ResourceType::Organization;
    let loses_membership = binding.role.scope() == ResourceType::Organization && !others.iter().any(|b| is_member(&b));
    let mut nouns = vec![NounId::RoleBinding(binding.id)];
    match binding.principal {
        PrincipalRef::User(_) if loses_membership && !others.is_empty() => {
            return Err(Error::aborted("This is the user's last role in the organization; take its roles in projects away first"));
        }
        PrincipalRef::Invite(_) if loses_membership => {
            return Err(Error::aborted("This is the invite's last role in the organization; delete the invite instead"));
        }
        PrincipalRef::User(id) if others.is_empty() => nouns.push(NounId::User(id)),
        _ => {}
    }
    Ok(nouns)
}

/// Fails when without these bindings nobody would own the organization. The operator, who can always make an owner, may do so.
pub(crate) fn check_owner_stays(
    tables: &Tables,
    organization: OrganizationId,
    removed: &BTreeSet<RoleBindingId>,
    ctx: &OpContext,
) -> Result<()> {
    let owners = |b: &&RoleBinding| b.role == Role::OrgOwner && b.organization_id == organization;
    let acts = |b: &&RoleBinding| !matches!(b.principal, PrincipalRef::Invite(_));
    let takes_one = removed.iter().filter_map(|id| tables.bindings.get(id)).filter(acts).any(|b| owners(&b));
    let is_operator = ctx.principal.grants().is_none();
    if takes_one && !is_operator && !tables.bindings.values().filter(owners).filter(acts).any(|b| !removed.contains(&b.id)) {
        return Err(Error::aborted("This is the organization's last OrgOwner; make another one first"));
    }
    Ok(())
}

/// Everything that a principal was given, to be removed with it.
pub(crate) fn bindings_to_remove(tables: &Tables, principal: PrincipalRef) -> BTreeSet<RoleBindingId> {
    tables.bindings_of(principal).map(|b| b.id).collect()
}
