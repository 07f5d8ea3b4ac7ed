//! Organizations: the admin plane.

use std::sync::Arc;

use pinyon_model::{DeletedKind, Error, ErrorCode, Organization, OrganizationId, PaymentStatus, Permission, Plan, Result};

use crate::{
    OpContext, Service,
    authorize::{Action, Authorized, Installation, Named, Place},
    catalog::{Change, Noun, NounId, Tables},
    deleted::Burying,
    project,
    service::new_owners,
};

pub(crate) fn named(id: OrganizationId) -> Named {
    Named { place: Place::Organization(id), id: id.to_string(), kind: "organization" }
}

impl Service {
    /// The organizations that the caller may see, oldest first: its own, for the operator all.
    pub async fn list_organizations(&self, ctx: &OpContext) -> Result<Vec<Organization>> {
        ctx.check_deadline(self.clock().now_ms())?;
        let mut organizations: Vec<Organization> = self.catalog().tables().organizations.values().cloned().collect();
        organizations.retain(|o| self.may(ctx, Permission::OrganizationRead, Place::Organization(o.id)));
        organizations.sort_by_key(|o| (o.created_at_ms, o.id));
        Ok(organizations)
    }

    /// One organization.
    pub async fn describe_organization(&self, ctx: &OpContext, id: OrganizationId) -> Result<Organization> {
        let authorized = self.authorize(ctx, Action::DescribeOrganization, named(id)).await?;
        let found = self.catalog().tables().organizations.get(&id).cloned();
        authorized.close(found.ok_or_else(|| gone(id))).await
    }

    /// Makes an organization, without a project and without anybody in it. The operator's. Its name is 1 to 512 characters and free.
    pub async fn create_organization(self: &Arc<Self>, ctx: &OpContext, name: String) -> Result<Organization> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreateOrganization, Installation).await?;
            let result: Result<Organization> = async {
                let (organization, _) = new_owners(&Organization::parse_name(&name)?, ctx.now_ms);
                authorized.name(organization.id.to_string(), organization.name.clone());
                let mut writer = this.catalog().writer().await;
                if this.catalog().tables().organizations.values().any(|o| o.name == organization.name) {
                    return Err(Error::already_exists("An organization of this name exists already"));
                }
                let change = Change::Put(Noun::Organization(organization.clone()));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(organization)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Gives an organization another name, of 1 to 512 characters.
    pub async fn rename_organization(self: &Arc<Self>, ctx: &OpContext, id: OrganizationId, name: String) -> Result<Organization> {
        let change = move |authorized: &mut Authorized<Named>, o: &mut Organization| {
            let name = Organization::parse_name(&name)?;
            authorized.name(name.clone(), o.name.clone());
            o.name = name;
            Ok(())
        };
        self.change_organization(ctx, Action::UpdateOrganization, id, change).await
    }

    /// Puts an organization on a plan. The operator's: what a plan bounds, [`crate::Limits`] say.
    pub async fn set_plan(self: &Arc<Self>, ctx: &OpContext, id: OrganizationId, plan: Plan) -> Result<Organization> {
        let change = move |authorized: &mut Authorized<Named>, o: &mut Organization| {
            authorized.note("plan", plan.as_str());
            authorized.name(o.name.clone(), o.name.clone());
            o.plan = plan;
            Ok(())
        };
        self.change_organization(ctx, Action::SetPlan, id, change).await
    }

    /// Says whether an organization pays. The operator's: what one that does not pay may still do, [`crate::payment`] says.
    pub async fn set_payment_status(self: &Arc<Self>, ctx: &OpContext, id: OrganizationId, status: PaymentStatus) -> Result<Organization> {
        let change = move |authorized: &mut Authorized<Named>, o: &mut Organization| {
            authorized.note("payment_status", status.as_str());
            authorized.name(o.name.clone(), o.name.clone());
            o.payment_status = status;
            Ok(())
        };
        self.change_organization(ctx, Action::SetPaymentStatus, id, change).await
    }

    /// Changes an organization's row; `change` names the organization in the record.
    async fn change_organization(
        self: &Arc<Self>,
        ctx: &OpContext,
        action: Action,
        id: OrganizationId,
        change: impl FnOnce(&mut Authorized<Named>, &mut Organization) -> Result<()> + Send + 'static,
    ) -> Result<Organization> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, action, named(id)).await?;
            let result: Result<Organization> = async {
                let mut writer = this.catalog().writer().await;
                let mut organization = this.catalog().tables().organizations.get(&id).cloned().ok_or_else(|| gone(id))?;
                change(&mut authorized, &mut organization)?;
                let change = Change::Put(Noun::Organization(organization.clone()));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(organization)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Deletes an organization with every principal in it. `FailedPrecondition` while it has projects, is on another plan than the free
    /// one or has not paid.
    pub async fn delete_organization(self: &Arc<Self>, ctx: &OpContext, id: OrganizationId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteOrganization, named(id)).await?;
            let result = async {
                let writer = this.catalog().writer().await;
                let burying = plan_delete(&this.catalog().tables(), id)?;
                authorized.name(burying.name.clone(), burying.name.clone());
                this.bury(writer, &mut authorized, &ctx, burying).await
            }
            .await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }
}

fn gone(id: OrganizationId) -> Error {
    Error::not_found(format!("There is no organization {id}"))
}

fn plan_delete(tables: &Tables, id: OrganizationId) -> Result<Burying> {
    let organization = tables.organizations.get(&id).ok_or_else(|| gone(id))?;
    let projects = tables.projects_of(id).count();
    let why = match (organization.plan, organization.payment_status) {
        _ if projects > 0 => Some(format!("The organization has {projects} projects; delete them first")),
        (Plan::Free, PaymentStatus::Active) => None,
        (plan, status) => Some(format!(
            "An organization is deleted on the plan Free with the payment status Active; this one is on {} and {}",
            plan.as_str(),
            status.as_str()
        )),
    };
    if let Some(why) = why {
        return Err(Error::new(ErrorCode::FailedPrecondition, why));
    }
    Ok(whole(tables, organization))
}

/// An organization with everything in it, to be deleted.
pub(crate) fn whole(tables: &Tables, organization: &Organization) -> Burying {
    let id = organization.id;
    let of_it = |organization: OrganizationId| organization == id;
    // Those of its projects are the organization's too, and come with it.
    let is_binding = |noun: &NounId| matches!(noun, NounId::RoleBinding(_));
    let projects = tables.projects_of(id).flat_map(|p| project::nouns_of(tables, p.id)).filter(|noun| !is_binding(noun));
    let bindings = tables.bindings.values().filter(|b| of_it(b.organization_id)).map(|b| NounId::RoleBinding(b.id));
    let invites = tables.invites.values().filter(|i| of_it(i.info.organization_id)).map(|i| NounId::Invite(i.info.id));
    let users = tables.users.values().filter(|u| of_it(u.stored.info.organization_id)).map(|u| NounId::User(u.stored.info.id));
    let accounts = tables.service_accounts.values().filter(|a| of_it(a.stored.info.organization_id));
    let accounts = accounts.map(|a| NounId::ServiceAccount(a.stored.info.id));
    let sink = tables.audit_sinks.contains_key(&id).then_some(NounId::AuditSink(id));
    let nouns = bindings.chain(projects).chain(invites).chain(users).chain(accounts).chain(sink).chain([NounId::Organization(id)]);
    Burying {
        kind: DeletedKind::Organization,
        of: id.to_string(),
        name: organization.name.clone(),
        organization_id: Some(id),
        project_id: None,
        nouns: nouns.collect(),
        others: Vec::new(),
    }
}
