//! What a key is held to beyond its roles (RFC 0007): the part of the one gate that only restricted keys meet. It fails closed: what
//! is not named here is refused to them.

use pinyon_model::{Error, NamespaceName, Principal};

use crate::{action::Action, authorize::Verdict};

/// What of a project something is done to, as far as a key's restrictions are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// No index by name: the project, or something beside its indexes.
    Project,
    /// A whole index.
    Index(&'a str),
    /// The records of one namespace of an index.
    Namespace(&'a str, &'a NamespaceName),
}

/// What a key's restrictions say, of what its roles allow.
pub(crate) fn restricted(principal: &Principal, action: Action, scope: Scope<'_>) -> Verdict {
    let Some(restrictions) = principal.restrictions() else { return Verdict::Allowed };
    if !restrictions.indexes().is_empty() {
        match scope {
            Scope::Index(name) | Scope::Namespace(name, _) if restrictions.allow_index(name) => {}
            // That a name may not be taken says nothing of what is there.
            Scope::Index(_) if action == Action::CreateIndex => return Verdict::Restricted,
            Scope::Index(_) | Scope::Namespace(..) => return Verdict::Outside,
            // It shows what the key may touch.
            Scope::Project if action == Action::ListIndexes => {}
            Scope::Project => return Verdict::Restricted,
        }
    }
    if !restrictions.namespaces().is_empty() {
        let allowed = match scope {
            Scope::Namespace(_, name) => restrictions.allow_namespace(name),
            // The last two show what the key may touch.
            Scope::Index(_) | Scope::Project => {
                matches!(action, Action::ListIndexes | Action::DescribeIndex | Action::DescribeIndexStats | Action::ListNamespaces)
            }
        };
        if !allowed {
            return Verdict::Restricted;
        }
    }
    Verdict::Allowed
}

pub(crate) fn beyond_restrictions(principal: &Principal) -> Error {
    let mut to = Vec::new();
    if let Some(restrictions) = principal.restrictions() {
        to.extend(shown("index", "indexes", restrictions.indexes().iter().map(|n| n.as_str())));
        to.extend(shown("namespace", "namespaces", restrictions.namespaces().iter().map(|n| n.as_str())));
    }
    Error::forbidden(format!("This API key is restricted to {}", to.join(" and ")))
}

/// The first names of a restriction; none when there is none.
fn shown<'a>(one: &str, many: &str, names: impl ExactSizeIterator<Item = &'a str>) -> Option<String> {
    const SHOWN: usize = 5;
    let count = names.len();
    let list = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    match count {
        0 => None,
        1 => Some(format!("the {one} {list}")),
        2..=SHOWN => Some(format!("the {many} {list}")),
        more => Some(format!("the {many} {list} and {} more", more - SHOWN)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pinyon_model::{ApiKeyId, Grants, IndexName, OrganizationId, Permission, ProjectId, Restrictions};

    use super::*;

    fn key(indexes: &[&str], namespaces: &[&str]) -> Principal {
        let indexes = indexes.iter().map(|n| IndexName::new(n).unwrap()).collect();
        let namespaces = namespaces.iter().map(|n| NamespaceName::new(n).unwrap()).collect();
        Principal::ApiKey {
            id: ApiKeyId::from_bytes([1; 16]),
            name: "k".into(),
            project_id: ProjectId::from_bytes([2; 16]),
            grants: Grants::new(OrganizationId::from_bytes([3; 16]), []),
            restrictions: Restrictions::new(indexes, namespaces, BTreeSet::new()).unwrap(),
        }
    }

    fn name(text: &str) -> NamespaceName {
        NamespaceName::new(text).unwrap()
    }

    #[test]
    fn a_key_without_restrictions_meets_nothing() {
        for action in Action::ALL {
            for scope in [Scope::Project, Scope::Index("a"), Scope::Namespace("a", &name("n"))] {
                assert_eq!(restricted(&key(&[], &[]), *action, scope), Verdict::Allowed);
            }
        }
    }

    #[test]
    fn an_index_of_its_own_and_no_other() {
        let key = key(&["mine"], &[]);
        for action in Action::ALL.iter().chain(&[Action::Unbuilt(Permission::ControlWrite)]) {
            assert_eq!(restricted(&key, *action, Scope::Index("mine")), Verdict::Allowed, "{action:?}");
            assert_eq!(restricted(&key, *action, Scope::Namespace("mine", &name("n"))), Verdict::Allowed, "{action:?}");
            assert_eq!(restricted(&key, *action, Scope::Namespace("other", &name("n"))), Verdict::Outside, "{action:?}");
            let other = if *action == Action::CreateIndex { Verdict::Restricted } else { Verdict::Outside };
            assert_eq!(restricted(&key, *action, Scope::Index("other")), other, "{action:?}");
            let project = if *action == Action::ListIndexes { Verdict::Allowed } else { Verdict::Restricted };
            assert_eq!(restricted(&key, *action, Scope::Project), project, "{action:?}");
        }
    }

    #[test]
    fn a_namespace_of_its_own_and_no_other() {
        let key = key(&[], &["mine"]);
        let shown = [Action::ListIndexes, Action::DescribeIndex, Action::DescribeIndexStats, Action::ListNamespaces];
        for action in Action::ALL.iter().chain(&[Action::Unbuilt(Permission::DataWrite)]) {
            assert_eq!(restricted(&key, *action, Scope::Namespace("a", &name("mine"))), Verdict::Allowed, "{action:?}");
            assert_eq!(restricted(&key, *action, Scope::Namespace("a", &name(""))), Verdict::Restricted, "{action:?}");
            let whole = if shown.contains(action) { Verdict::Allowed } else { Verdict::Restricted };
            assert_eq!(restricted(&key, *action, Scope::Index("a")), whole, "{action:?}");
            assert_eq!(restricted(&key, *action, Scope::Project), whole, "{action:?}");
        }
    }

    #[test]
    fn both_must_allow() {
        let key = key(&["i"], &["n"]);
        assert_eq!(restricted(&key, Action::Query, Scope::Namespace("i", &name("n"))), Verdict::Allowed);
        assert_eq!(restricted(&key, Action::Query, Scope::Namespace("i", &name("m"))), Verdict::Restricted);
        assert_eq!(restricted(&key, Action::Query, Scope::Namespace("j", &name("n"))), Verdict::Outside);
    }

    #[test]
    fn refusals_name_what_is_allowed() {
        let told = |indexes: &[&str], namespaces: &[&str]| beyond_restrictions(&key(indexes, namespaces)).message;
        assert_eq!(told(&["i"], &["n"]), "This API key is restricted to the index i and the namespace n");
        assert_eq!(told(&[], &["a", "b"]), "This API key is restricted to the namespaces a, b");
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(told(&many, &[]), "This API key is restricted to the indexes a, b, c, d, e and 2 more");
    }
}
