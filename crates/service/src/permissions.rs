//! Why somebody may or may not do something: answered by the functions that decide it.

use pinyon_model::{
    ApiKey, Error, IndexName, NamespaceName, Permission, Principal, PrincipalRef, ResourceRef, Restrictions, Result, RoleBinding, excerpt,
};

use crate::{
    OpContext, Service,
    action::Action,
    authorize::{Named, Verdict},
    restrictions::{Scope, beyond_restrictions, restricted},
    role_binding::place,
};

/// One thing that somebody might want to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionQuestion {
    /// The operation, by its name in the table of operations.
    pub operation: String,
    /// The index it is done to.
    pub index: Option<IndexName>,
    /// The namespace of that index.
    pub namespace: Option<NamespaceName>,
}

/// What a principal may do with a resource, and why.
#[derive(Debug, Clone)]
pub struct EffectivePermissions {
    /// Who.
    pub principal: PrincipalRef,
    /// What it is called: a user's and an invite's address, another's name.
    pub name: String,
    /// Where.
    pub resource: ResourceRef,
    /// Every permission it has there, with the bindings that give it.
    pub permissions: Vec<(Permission, Vec<RoleBinding>)>,
    /// An API key's bounds.
    pub key: Option<ApiKey>,
    /// The answer to the question, when one was asked.
    pub decision: Option<Decision>,
}

/// Whether something is allowed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The permission that it takes.
    pub permission: Permission,
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, or why not.
    pub reason: String,
}

impl Service {
    /// What a principal of the caller's organization may do with a resource. Asked by those who may see the resource's members.
    pub async fn describe_permissions(
        &self,
        ctx: &OpContext,
        principal: PrincipalRef,
        resource: ResourceRef,
        question: Option<PermissionQuestion>,
    ) -> Result<EffectivePermissions> {
        let scope = Named { place: place(resource), id: resource.id(), kind: resource.resource_type().as_str() };
        let authorized = self.authorize(ctx, Action::DescribePermissions, scope).await?;
        let described = self.effective_permissions(principal, resource, question);
        authorized.close(described).await
    }

    fn effective_permissions(
        &self,
        principal: PrincipalRef,
        resource: ResourceRef,
        question: Option<PermissionQuestion>,
    ) -> Result<EffectivePermissions> {
        let (name, acting, key, bindings) = self.acting(principal, resource)?;
        let gives = |permission: Permission| -> Vec<RoleBinding> {
            bindings.iter().filter(|b| self.gives(b, resource, permission)).cloned().collect()
        };
        let permissions: Vec<_> = Permission::ALL.into_iter().map(|p| (p, gives(p))).filter(|(_, by)| !by.is_empty()).collect();
        let decision = question.map(|q| self.answer(&q, &permissions, acting.as_ref(), key.as_ref(), resource)).transpose()?;
        Ok(EffectivePermissions { principal, name, resource, permissions, key, decision })
    }

    /// A principal's name, itself as it acts (invites do not), a key's bounds, and what it was given.
    #[allow(clippy::type_complexity, reason = "four things of one look at the tables")]
    fn acting(
        &self,
        principal: PrincipalRef,
        resource: ResourceRef,
    ) -> Result<(String, Option<Principal>, Option<ApiKey>, Vec<RoleBinding>)> {
        let tables = self.catalog().tables();
        let gone = || Error::not_found(format!("There is no {} {}", principal.principal_type().as_str(), principal.id()));
        let organization = match resource {
            ResourceRef::Organization(id) => Some(id),
            ResourceRef::Project(id) => tables.organization_of(id),
        };
        if tables.organization_of_principal(principal) != organization {
            return Err(gone());
        }
        let bindings = tables.bindings_of(principal).cloned().collect();
        let (name, acting, key) = match principal {
            PrincipalRef::ApiKey(id) => tables.keys.get(&id).map(|key| {
                let info = key.stored.info.clone();
                (info.name.clone(), Some((*key.principal).clone()), Some(info))
            }),
            PrincipalRef::ServiceAccount(id) => {
                tables.service_accounts.get(&id).map(|a| (a.stored.info.name.clone(), Some((*a.principal).clone()), None))
            }
            PrincipalRef::User(id) => {
                tables.users.get(&id).map(|u| (u.stored.info.email.as_str().to_owned(), Some((*u.principal).clone()), None))
            }
            PrincipalRef::Invite(id) => tables.invites.get(&id).map(|i| (i.info.email.as_str().to_owned(), None, None)),
        }
        .ok_or_else(gone)?;
        Ok((name, acting, key, bindings))
    }

    /// Whether a binding gives this permission on this resource.
    fn gives(&self, binding: &RoleBinding, resource: ResourceRef, permission: Permission) -> bool {
        let given = match (binding.resource, resource) {
            (mine, asked) if mine == asked => binding.role.permissions(),
            (ResourceRef::Organization(_), ResourceRef::Project(_)) => binding.role.permissions_on_projects(),
            _ => return false,
        };
        given.contains(permission) || (permission == Permission::Inference && self.viewers_infer() && given.contains(Permission::DataRead))
    }

    fn answer(
        &self,
        question: &PermissionQuestion,
        permissions: &[(Permission, Vec<RoleBinding>)],
        acting: Option<&Principal>,
        key: Option<&ApiKey>,
        resource: ResourceRef,
    ) -> Result<Decision> {
        let unknown = || Error::invalid(format!("There is no operation '{}' to ask about", excerpt(&question.operation)));
        let action = Action::by_name(&question.operation).ok_or_else(unknown)?;
        let place = place(resource);
        let permission = action.permission(place);
        let no = |reason: String| Decision { permission, allowed: false, reason };
        let Some(principal) = acting else {
            return Ok(no("An invite acts only once it is accepted".to_owned()));
        };
        if key.is_some_and(|k| k.is_expired(self.clock().now_ms())) {
            return Ok(no("The API key has expired".to_owned()));
        }
        if key.is_some() && action.is_administration() {
            return Ok(no("An API key is no credential on the admin plane".to_owned()));
        }
        let scope = match (&question.index, &question.namespace) {
            (Some(index), Some(namespace)) => Scope::Namespace(index.as_str(), namespace),
            (Some(index), None) => Scope::Index(index.as_str()),
            (None, _) => Scope::Project,
        };
        if self.decide(principal, action, place) != Verdict::Allowed {
            return Ok(no(format!("No role that it has gives {permission:?} there")));
        }
        if restricted(principal, action, scope) != Verdict::Allowed {
            return Ok(no(beyond_restrictions(principal).message));
        }
        let by = permissions.iter().find(|(p, _)| *p == permission).map_or(&[][..], |(_, by)| by);
        let roles: Vec<_> = by.iter().map(|b| format!("{} on the {}", b.role.as_str(), b.resource.resource_type().as_str())).collect();
        let mut reason = format!("{permission:?} is given by {}", roles.join(" and "));
        if principal.restrictions().map(Restrictions::networks).is_some_and(|n| !n.is_empty()) {
            reason.push_str("; only from the networks that the key is restricted to");
        }
        Ok(Decision { permission, allowed: true, reason })
    }
}
