//! The one gate. Nothing reaches the engine or changes the catalog without an [`Authorized`], and only [`Service::authorize`]
//! makes one. What it refuses is in the audit log before the caller hears of it; what it allows and is no read carries an open
//! record that has to be closed with the outcome, and that says so itself when it is dropped.

use pinyon_model::{
    AuditEvent, AuditOutcome, Error, ErrorCode, NamespaceName, OrganizationId, Permission, PermissionSet, Plane, Principal, ProjectId,
    Result,
};
use pinyon_storage::random_bytes;

pub(crate) use crate::action::Action;
use crate::{
    DataPlaneAudit, IndexRef, OpContext, Service,
    audit::{self, Audit},
    restrictions::{Scope, beyond_restrictions, restricted},
};

/// Where something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The installation itself: the operator's own.
    Installation,
    Organization(OrganizationId),
    Project(ProjectId),
}

/// What an action is about, as far as permission is concerned.
pub(crate) trait Resource {
    /// Where it is.
    fn place(&self) -> Place;
    /// What it is there.
    fn scope(&self) -> Scope<'_> {
        Scope::Project
    }
    /// The index whose host it is on.
    fn index(&self) -> Option<&IndexRef> {
        None
    }
    /// How the audit log names it: id and name.
    fn names(&self) -> (String, String);
    /// What a caller is told who may know the place and not whether this is there.
    fn outside(&self) -> Error {
        self.hidden()
    }
    /// What a caller is told who may not know whether it is there.
    fn hidden(&self) -> Error {
        match self.place() {
            Place::Installation => Error::not_found("There is no such resource"),
            Place::Organization(id) => Error::not_found(format!("There is no organization {id}")),
            Place::Project(id) => Error::not_found(format!("There is no project {id}")),
        }
    }
}

/// The installation: the root key, the catalog, the audit log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Installation;

impl Resource for Installation {
    fn place(&self) -> Place {
        Place::Installation
    }
    fn names(&self) -> (String, String) {
        (String::new(), String::new())
    }
}

/// Something of an organization or a project, by what the caller called it.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) place: Place,
    /// What the caller gave, for the record.
    pub(crate) id: String,
    /// What it says to those who may not know: the kind of thing.
    pub(crate) kind: &'static str,
}

impl Resource for Named {
    fn place(&self) -> Place {
        self.place
    }
    fn names(&self) -> (String, String) {
        (self.id.clone(), String::new())
    }
    fn hidden(&self) -> Error {
        Error::not_found(format!("There is no {} {}", self.kind, self.id))
    }
}

/// A project, as the place where indexes are looked up and made.
#[derive(Debug, Clone)]
pub(crate) struct ProjectScope {
    pub(crate) id: ProjectId,
    /// The name that the caller gave.
    pub(crate) index: Option<String>,
    /// The namespace of it, when only its records are asked for.
    pub(crate) namespace: Option<NamespaceName>,
}

impl Resource for ProjectScope {
    fn place(&self) -> Place {
        Place::Project(self.id)
    }
    fn scope(&self) -> Scope<'_> {
        match (&self.index, &self.namespace) {
            (Some(index), Some(namespace)) => Scope::Namespace(index, namespace),
            (Some(index), None) => Scope::Index(index),
            (None, _) => Scope::Project,
        }
    }
    fn outside(&self) -> Error {
        crate::index::not_found(self.index.as_deref().unwrap_or_default())
    }
    fn names(&self) -> (String, String) {
        let name: String = self.index.as_deref().unwrap_or_default().chars().take(NAME_SHOWN_MAX).collect();
        (name.clone(), name)
    }
}

impl Resource for IndexRef {
    fn place(&self) -> Place {
        Place::Project(IndexRef::project_id(self))
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Index(self.name().as_str())
    }
    fn index(&self) -> Option<&IndexRef> {
        Some(self)
    }
    fn names(&self) -> (String, String) {
        (self.name().to_string(), self.name().to_string())
    }
    fn hidden(&self) -> Error {
        invalid_api_key()
    }
}

/// The records of one namespace of an index.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a> {
    pub(crate) index: &'a IndexRef,
    pub(crate) namespace: &'a NamespaceName,
}

impl Resource for Records<'_> {
    fn place(&self) -> Place {
        self.index.place()
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Namespace(self.index.name().as_str(), self.namespace)
    }
    fn index(&self) -> Option<&IndexRef> {
        Some(self.index)
    }
    fn names(&self) -> (String, String) {
        self.index.names()
    }
    fn hidden(&self) -> Error {
        self.index.hidden()
    }
}

/// A caller's text goes into the audit log cut to this many characters.
const NAME_SHOWN_MAX: usize = 64;

/// The permission to do one thing to one resource, with the open audit record of it.
#[must_use = "what was authorized must be closed with its outcome"]
pub(crate) struct Authorized<T> {
    resource: T,
    record: Option<OpenRecord>,
}

impl<T> Authorized<T> {
    /// What may be worked with.
    pub(crate) fn resource(&self) -> &T {
        &self.resource
    }

    /// Names the resource in the record once it is known.
    pub(crate) fn name(&mut self, id: impl Into<String>, name: impl Into<String>) {
        if let Some(record) = &mut self.record {
            record.event.resource_id = id.into();
            record.event.resource_name = name.into();
        }
    }

    /// Adds a fact to the record.
    pub(crate) fn note(&mut self, key: &str, value: impl Into<String>) {
        if let Some(record) = &mut self.record {
            record.event.parameters.push((key.to_owned(), value.into()));
        }
    }

    /// Names who did it, where it was the caller and not Pinyon itself.
    pub(crate) fn by(&mut self, principal: &Principal) {
        if let Some(record) = &mut self.record {
            record.event.actor = audit::actor(principal);
        }
    }

    /// The record as it reads when the act succeeds: the catalog puts it beside the change, in one transaction.
    pub(crate) fn success(&self) -> Option<AuditEvent> {
        self.record.as_ref().map(|r| AuditEvent { outcome: AuditOutcome::Success, ..r.event.clone() })
    }

    /// The catalog has the record now: closing it again would write it twice.
    pub(crate) fn recorded(&mut self) {
        if let Some(record) = &mut self.record {
            record.closed = true;
        }
    }

    /// Closes the record with what came of it; durable when it returns. A success that cannot be recorded is no success.
    pub(crate) async fn close<R>(mut self, result: Result<R>) -> Result<R> {
        let Some(mut record) = self.record.take() else { return result };
        if record.closed {
            return result;
        }
        record.closed = true;
        let audit = record.audit.clone();
        let event = std::mem::take(&mut record.event);
        match &result {
            Ok(_) => audit.record(AuditEvent { outcome: AuditOutcome::Success, ..event }).await?,
            Err(error) => audit.refuse(AuditEvent { outcome: audit::failure(error), ..event }).await?,
        }
        result
    }
}

/// An audit record whose outcome is not known yet.
struct OpenRecord {
    event: AuditEvent,
    audit: Audit,
    closed: bool,
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if !self.closed {
            self.audit.abandoned(std::mem::take(&mut self.event));
        }
    }
}

impl Service {
    /// Asks whether this caller may do this to this resource. What the caller may not know of is answered as what is not there (for an
    /// index's host: as an unknown key is), what it knows and may not do is `Forbidden`; either is in the audit log when this returns.
    pub(crate) async fn authorize<T: Resource>(&self, ctx: &OpContext, action: Action, resource: T) -> Result<Authorized<T>> {
        ctx.check_deadline(self.clock().now_ms())?;
        let place = resource.place();
        let verdict = self.decide(&ctx.principal, action, place).and(|| restricted(&ctx.principal, action, resource.scope()));
        let permitted = match verdict {
            Verdict::Allowed => self.check_network(ctx, action, &resource).and_then(|()| self.check_payment(&ctx.principal, action)),
            Verdict::Hidden => Err(resource.hidden()),
            Verdict::Outside => Err(resource.outside()),
            Verdict::Restricted => Err(beyond_restrictions(&ctx.principal)),
            Verdict::Forbidden => Err(lacking(&ctx.principal, action, place)),
        };
        if let Err(error) = permitted {
            let mut event = self.event(ctx, action, &resource);
            event.outcome = audit::failure(&error);
            self.audit().refuse(event).await?;
            return Err(error);
        }
        let silent = match (action, action.permission(place)) {
            (Action::Unbuilt(_), _) => true,
            (_, Permission::DataWrite) => self.data_plane_audit() == DataPlaneAudit::Off,
            (_, Permission::DataRead) => self.data_plane_audit() != DataPlaneAudit::All,
            _ => action.is_read(),
        };
        let record = if silent {
            None
        } else {
            self.audit().check_writable().await?;
            Some(OpenRecord { event: self.event(ctx, action, &resource), audit: self.audit().clone(), closed: false })
        };
        Ok(Authorized { resource, record })
    }

    /// Asks whether this caller might use an operation that Pinyon does not have yet: only they are told that it is missing. A
    /// refusal is audited as any other.
    pub async fn permit_unbuilt(&self, ctx: &OpContext, permission: Permission, index: Option<&IndexRef>) -> Result<()> {
        let action = Action::Unbuilt(permission);
        match index {
            Some(index) => self.authorize(ctx, action, index.clone()).await.map(drop),
            None => self.authorize(ctx, action, self.project_scope(ctx, None)?).await.map(drop),
        }
    }

    /// Whether the caller may do this there, without a record of the question: for lists, which show what may be seen.
    pub(crate) fn may(&self, ctx: &OpContext, permission: Permission, place: Place) -> bool {
        self.permissions(&ctx.principal, place).is_none_or(|set| set.contains(permission))
    }

    /// The caller's permissions at a place; none means all of them.
    pub(crate) fn permissions(&self, principal: &Principal, place: Place) -> Option<PermissionSet> {
        let grants = principal.grants()?;
        Some(match place {
            Place::Installation => PermissionSet::NONE,
            Place::Organization(id) if id == grants.organization => grants.on_organization(),
            Place::Organization(_) => PermissionSet::NONE,
            Place::Project(id) => match principal {
                // A key has bindings on its own project only: nothing has to be looked up.
                Principal::ApiKey { .. } => grants.on_project(id),
                _ if self.catalog().tables().organization_of(id) == Some(grants.organization) => grants.on_project(id),
                _ => PermissionSet::NONE,
            },
        })
    }

    /// The rule itself, without its record.
    pub(crate) fn decide(&self, principal: &Principal, action: Action, place: Place) -> Verdict {
        let Some(given) = self.permissions(principal, place) else { return Verdict::Allowed };
        verdict(principal, given, action, place, self.viewers_infer())
    }

    pub(crate) fn event<T: Resource>(&self, ctx: &OpContext, action: Action, resource: &T) -> AuditEvent {
        let (word, kind) = action.words();
        let mut event = audit::open_event(ctx, random_bytes(), word, kind);
        (event.resource_id, event.resource_name) = resource.names();
        if let Some(link) = ctx.private_path.as_ref().and_then(|path| path.link.as_ref()) {
            event.parameters.push(("private_endpoint".to_owned(), link.to_string()));
        }
        let organization = match resource.place() {
            Place::Installation => ctx.principal.organization_id(),
            Place::Organization(id) => Some(id),
            Place::Project(id) => {
                event.parameters.push(("project_id".to_owned(), id.to_string()));
                self.catalog().tables().organization_of(id)
            }
        };
        self.place_event(&mut event, organization);
        event
    }

    /// Says whose event it is: without an organization, the one that the first start made.
    pub(crate) fn place_event(&self, event: &mut AuditEvent, organization: Option<OrganizationId>) {
        let tables = self.catalog().tables();
        if let Some(organization) = tables.organizations.get(&organization.unwrap_or(tables.defaults().organization)) {
            event.organization_id = organization.id.to_string();
            event.organization_name.clone_from(&organization.name);
        }
    }
}

/// What came of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// The caller may not know whether there is anything.
    Hidden,
    /// The caller knows it, and may not do this.
    Forbidden,
    /// The caller's key is restricted to other indexes, and it may not know whether there is this one.
    Outside,
    /// The caller's key is restricted to less.
    Restricted,
}

impl Verdict {
    fn and(self, other: impl FnOnce() -> Verdict) -> Verdict {
        if self == Verdict::Allowed { other() } else { self }
    }
}

fn verdict(principal: &Principal, given: PermissionSet, action: Action, place: Place, viewers_infer: bool) -> Verdict {
    let wanted = action.permission(place);
    if given.contains(wanted) || (wanted == Permission::Inference && viewers_infer && given.contains(Permission::DataRead)) {
        return Verdict::Allowed;
    }
    let knows = match place {
        Place::Installation => true,
        Place::Organization(id) => principal.organization_id() == Some(id),
        // A key knows its project even when every role of it is gone.
        Place::Project(id) => !given.is_empty() || matches!(principal, Principal::ApiKey { project_id, .. } if *project_id == id),
    };
    if knows { Verdict::Forbidden } else { Verdict::Hidden }
}

fn lacking(principal: &Principal, action: Action, place: Place) -> Error {
    let (word, kind) = action.words();
    let who = match principal {
        Principal::ApiKey { .. } => "This API key's",
        Principal::ServiceAccount { .. } => "This service account's",
        _ => "Your",
    };
    let permission = action.permission(place);
    Error::forbidden(format!("{who} roles do not allow to {word} ({kind}); the permission {permission:?} is missing"))
}

/// What an unknown, a missing and another project's key are answered alike.
pub(crate) fn invalid_api_key() -> Error {
    Error::new(ErrorCode::Unauthenticated, "Invalid API key.")
}

/// Whether a principal of this kind may call this side of the API at all: the admin plane takes no API keys.
pub(crate) fn admits(plane: Plane, principal: &Principal) -> bool {
    plane != Plane::Admin || !matches!(principal, Principal::ApiKey { .. })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write};

    use pinyon_model::{
        ApiKeyId, Grants, PrincipalRef, ResourceRef, ResourceType, Restrictions, Role, RoleBinding, RoleBindingId, ServiceAccountId,
    };

    use super::*;

    const HOME: [u8; 16] = [5; 16];
    const MINE: [u8; 16] = [9; 16];

    fn grants(roles: &[Role]) -> Grants {
        let organization_id = OrganizationId::from_bytes(HOME);
        let bindings: Vec<RoleBinding> = roles
            .iter()
            .map(|role| RoleBinding {
                id: RoleBindingId::from_bytes([0; 16]),
                organization_id,
                principal: PrincipalRef::ServiceAccount(ServiceAccountId::from_bytes([1; 16])),
                resource: match role.scope() {
                    ResourceType::Organization => ResourceRef::Organization(organization_id),
                    ResourceType::Project => ResourceRef::Project(ProjectId::from_bytes(MINE)),
                },
                role: *role,
                created_at_ms: 0,
            })
            .collect();
        Grants::new(organization_id, &bindings)
    }

    fn account(roles: &[Role]) -> Principal {
        Principal::ServiceAccount { id: ServiceAccountId::from_bytes([1; 16]), name: "s".into(), grants: grants(roles) }
    }

    fn key(roles: &[Role]) -> Principal {
        let (id, project_id) = (ApiKeyId::from_bytes([1; 16]), ProjectId::from_bytes(MINE));
        Principal::ApiKey { id, name: "k".into(), project_id, grants: grants(roles), restrictions: Restrictions::default() }
    }

    fn ask(principal: &Principal, action: Action, place: Place) -> Verdict {
        let grants = principal.grants().unwrap();
        let given = match place {
            Place::Installation => PermissionSet::NONE,
            Place::Organization(id) if id == grants.organization => grants.on_organization(),
            Place::Organization(_) => PermissionSet::NONE,
            Place::Project(id) if id.as_bytes() == &MINE => grants.on_project(id),
            Place::Project(_) => PermissionSet::NONE,
        };
        verdict(principal, given, action, place, false)
    }

    /// Where an action is done, for the table: in the organization, in a project, or in either by different permissions.
    fn places_of(action: Action) -> Vec<(&'static str, Place)> {
        let organization = Place::Organization(OrganizationId::from_bytes(HOME));
        let project = Place::Project(ProjectId::from_bytes(MINE));
        let in_project = Role::ProjectOwner.permissions();
        match (action.permission(organization), action.permission(project)) {
            (a, b) if a != b => vec![(" in the organization", organization), (" in the project", project)],
            (Permission::Operate, _) => vec![("", Place::Installation)],
            (permission, _) if in_project.contains(permission) => vec![("", project)],
            _ => vec![("", organization)],
        }
    }

    /// The table of who may do what, as a file that a person reads. After a deliberate change, copy what the failure prints.
    #[test]
    fn roles_as_a_table() {
        let mut table = String::from("action");
        Role::ALL.iter().for_each(|r| write!(table, "\t{}", r.as_str()).unwrap());
        table.push('\n');
        let rows = Action::ALL.iter().flat_map(|action| places_of(*action).into_iter().map(move |place| (*action, place)));
        for (action, (place_word, place)) in rows {
            write!(table, "{action:?}{place_word}").unwrap();
            for role in Role::ALL {
                let word = match ask(&account(&[role]), action, place) {
                    Verdict::Allowed => "yes",
                    Verdict::Hidden => "hidden",
                    _ => "-",
                };
                write!(table, "\t{word}").unwrap();
            }
            table.push('\n');
        }
        assert_eq!(table, include_str!("../tests/roles.tsv"), "\n{table}");
    }

    #[test]
    fn other_peoples_things_are_hidden() {
        for action in Action::ALL {
            for principal in [key(&Role::ALL), account(&Role::ALL)] {
                let theirs = [Place::Project(ProjectId::from_bytes([2; 16])), Place::Organization(OrganizationId::from_bytes([2; 16]))];
                for place in theirs {
                    assert_eq!(ask(&principal, *action, place), Verdict::Hidden, "{action:?} {place:?}");
                }
            }
        }
    }

    #[test]
    fn roles_are_united_and_none_is_none() {
        let mine = Place::Project(ProjectId::from_bytes(MINE));
        let both = key(&[Role::ControlPlaneViewer, Role::DataPlaneViewer]);
        assert_eq!(ask(&both, Action::Query, mine), Verdict::Allowed);
        assert_eq!(ask(&both, Action::ListIndexes, mine), Verdict::Allowed);
        assert_eq!(ask(&both, Action::Upsert, mine), Verdict::Forbidden);
        assert_eq!(ask(&key(&[]), Action::Query, mine), Verdict::Forbidden);
        assert_eq!(ask(&account(&[]), Action::Query, mine), Verdict::Hidden);
    }

    #[test]
    fn viewers_embed_where_it_is_set() {
        let mine = Place::Project(ProjectId::from_bytes(MINE));
        let embed = Action::Unbuilt(Permission::Inference);
        let given = |role: Role| grants(&[role]).on_project(ProjectId::from_bytes(MINE));
        for (role, allowed) in [(Role::DataPlaneViewer, true), (Role::ProjectViewer, true), (Role::ControlPlaneViewer, false)] {
            let principal = key(&[role]);
            assert_eq!(verdict(&principal, given(role), embed, mine, false), Verdict::Forbidden, "{role:?}");
            assert_eq!(verdict(&principal, given(role), embed, mine, true) == Verdict::Allowed, allowed, "{role:?}");
        }
    }

    #[test]
    fn every_action_has_its_row() {
        assert_eq!(Action::ALL.iter().collect::<BTreeSet<_>>().len(), Action::ALL.len());
    }
}
