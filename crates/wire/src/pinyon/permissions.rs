//! Why a principal may or may not do something.

use pinyon_model::{ApiKey, Error, IndexName, NamespaceName, Permission, PrincipalRef, ResourceRef, Result, RoleBinding};
use serde::Serialize;

use super::api_key::BoundsOut;
use crate::{
    admin::role_binding::{principal, principal_type, resource, resource_type},
    json,
    percent::Parameters,
};

/// A question about one principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionsQuery {
    /// Who.
    pub principal: PrincipalRef,
    /// Where.
    pub resource: ResourceRef,
    /// What it might want to do: an operation's name, and the index and the namespace it is done to.
    pub operation: Option<(String, Option<IndexName>, Option<NamespaceName>)>,
}

/// Reads `GET /pinyon/v1/principals/{principal_type}/{principal_id}/permissions` with its query string.
pub fn permissions_query(kind: &str, id: &str, query: &str) -> Result<PermissionsQuery> {
    let parameters = Parameters::parse(query)?;
    let needed = |name: &str| {
        let told = || Error::invalid(format!("{name} is missing: say where, by resource_type (organization or project) and resource_id"));
        parameters.get_non_empty(name).ok_or_else(told)
    };
    let resource = resource(resource_type(needed("resource_type")?)?, needed("resource_id")?)?;
    let index = parameters.get_non_empty("index").map(IndexName::new).transpose()?;
    let namespace = parameters.get("namespace").map(NamespaceName::new).transpose()?;
    let operation = parameters.get_non_empty("operation");
    if operation.is_none() && (index.is_some() || namespace.is_some()) {
        return Err(Error::invalid("index and namespace belong to a question about an operation: name one by operation"));
    }
    if namespace.is_some() && index.is_none() {
        return Err(Error::invalid("namespace needs index beside it"));
    }
    Ok(PermissionsQuery {
        principal: principal(principal_type(kind)?, id)?,
        resource,
        operation: operation.map(|name| (name.to_owned(), index, namespace)),
    })
}

/// The answer.
#[derive(Debug, Clone, Copy)]
pub struct PermissionsResponse<'a> {
    /// Who.
    pub principal: PrincipalRef,
    /// What it is called.
    pub name: &'a str,
    /// Where.
    pub resource: ResourceRef,
    /// Every permission with the bindings that give it.
    pub permissions: &'a [(Permission, Vec<RoleBinding>)],
    /// An API key, for its bounds.
    pub key: Option<&'a ApiKey>,
    /// The operation that was asked about, whether it is allowed, by which permission, and why.
    pub decision: Option<(&'a str, bool, Permission, &'a str)>,
}

impl PermissionsResponse<'_> {
    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        let permissions = self.permissions.iter().map(|(permission, by)| PermissionOut {
            permission: format!("{permission:?}"),
            granted_by: by.iter().map(GrantOut::from).collect(),
        });
        json::to_vec(&ResponseOut {
            principal_type: self.principal.principal_type().as_str(),
            principal_id: self.principal.id(),
            principal_name: self.name,
            resource_type: self.resource.resource_type().as_str(),
            resource_id: self.resource.id(),
            permissions: permissions.collect(),
            bounds: self.key.map(BoundsOut::from),
            decision: self.decision.map(|(operation, allowed, permission, reason)| DecisionOut {
                operation,
                allowed,
                permission: format!("{permission:?}"),
                reason,
            }),
        })
    }
}

#[derive(Serialize)]
struct ResponseOut<'a> {
    principal_type: &'static str,
    principal_id: String,
    principal_name: &'a str,
    resource_type: &'static str,
    resource_id: String,
    permissions: Vec<PermissionOut>,
    #[serde(flatten)]
    bounds: Option<BoundsOut<'a>>,
    decision: Option<DecisionOut<'a>>,
}

#[derive(Serialize)]
struct PermissionOut {
    permission: String,
    granted_by: Vec<GrantOut>,
}

#[derive(Serialize)]
struct GrantOut {
    role_binding_id: String,
    role: &'static str,
    resource_type: &'static str,
    resource_id: String,
}

impl From<&RoleBinding> for GrantOut {
    fn from(binding: &RoleBinding) -> Self {
        Self {
            role_binding_id: binding.id.to_string(),
            role: binding.role.as_str(),
            resource_type: binding.resource.resource_type().as_str(),
            resource_id: binding.resource.id(),
        }
    }
}

#[derive(Serialize)]
struct DecisionOut<'a> {
    operation: &'a str,
    allowed: bool,
    permission: String,
    reason: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "07070707-0707-0707-0707-070707070707";

    #[test]
    fn questions_are_read() {
        let place = format!("resource_type=project&resource_id={ID}");
        let plain = permissions_query("user", ID, &place).unwrap();
        assert_eq!((plain.principal.id(), plain.resource.id(), plain.operation), (ID.to_owned(), ID.to_owned(), None));
        let asked = permissions_query("api_key", ID, &format!("{place}&operation=Upsert&index=movies&namespace=")).unwrap();
        let (operation, index, namespace) = asked.operation.unwrap();
        assert_eq!((operation.as_str(), index.unwrap().as_str(), namespace.unwrap().is_default()), ("Upsert", "movies", true));
        for (kind, id, query, told) in [
            ("robot", ID, place.clone(), "principal_type"),
            ("user", "1", place.clone(), "1"),
            ("user", ID, String::new(), "resource_type is missing"),
            ("user", ID, "resource_type=project".to_owned(), "resource_id is missing"),
            ("user", ID, format!("{place}&index=movies"), "name one by operation"),
            ("user", ID, format!("{place}&operation=Query&namespace=n"), "needs index"),
        ] {
            assert!(permissions_query(kind, id, &query).unwrap_err().message.contains(told), "{query}");
        }
    }
}
