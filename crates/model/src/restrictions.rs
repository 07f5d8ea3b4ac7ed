use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    Error, IndexName, NamespaceName, Network, Result,
    limits::{KEY_INDEXES_MAX, KEY_NAMESPACES_MAX, KEY_NETWORKS_MAX},
};

/// What an API key is held to, beyond its roles. An empty set holds it to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restrictions {
    indexes: BTreeSet<IndexName>,
    namespaces: BTreeSet<NamespaceName>,
    networks: BTreeSet<Network>,
}

impl Restrictions {
    /// Checks how many there are: at most 100 of each.
    pub fn new(indexes: BTreeSet<IndexName>, namespaces: BTreeSet<NamespaceName>, networks: BTreeSet<Network>) -> Result<Self> {
        check_count("indexes", indexes.len(), KEY_INDEXES_MAX)?;
        check_count("namespaces", namespaces.len(), KEY_NAMESPACES_MAX)?;
        check_count("networks", networks.len(), KEY_NETWORKS_MAX)?;
        Ok(Self { indexes, namespaces, networks })
    }

    /// The only indexes it may touch; empty: every index of its project.
    pub fn indexes(&self) -> &BTreeSet<IndexName> {
        &self.indexes
    }

    /// The only namespaces whose records it may touch, in whichever index; empty: all.
    pub fn namespaces(&self) -> &BTreeSet<NamespaceName> {
        &self.namespaces
    }

    /// The only networks it may be used from; empty: any.
    pub fn networks(&self) -> &BTreeSet<Network> {
        &self.networks
    }

    /// Whether it is held to nothing.
    pub fn is_empty(&self) -> bool {
        self.indexes.is_empty() && self.namespaces.is_empty() && self.networks.is_empty()
    }

    /// Whether it may touch the index of this name.
    pub fn allow_index(&self, name: &str) -> bool {
        self.indexes.is_empty() || self.indexes.contains(name)
    }

    /// Whether it may touch the records of this namespace.
    pub fn allow_namespace(&self, name: &NamespaceName) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(name)
    }

    /// Whether it may be used from this address; one that is not known is in no network.
    pub fn allow_source(&self, address: Option<IpAddr>) -> bool {
        self.networks.is_empty() || address.is_some_and(|a| self.networks.iter().any(|n| n.contains(a)))
    }
}

/// What of the restrictions is to be another; an empty set takes one away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestrictionsChange {
    /// The indexes.
    pub indexes: Option<BTreeSet<IndexName>>,
    /// The namespaces.
    pub namespaces: Option<BTreeSet<NamespaceName>>,
    /// The networks.
    pub networks: Option<BTreeSet<Network>>,
}

impl RestrictionsChange {
    /// Whether anything is to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What these restrictions are with the change.
    pub fn of(self, old: &Restrictions) -> Result<Restrictions> {
        Restrictions::new(
            self.indexes.unwrap_or_else(|| old.indexes.clone()),
            self.namespaces.unwrap_or_else(|| old.namespaces.clone()),
            self.networks.unwrap_or_else(|| old.networks.clone()),
        )
    }
}

fn check_count(what: &str, n: usize, max: usize) -> Result<()> {
    if n <= max { Ok(()) } else { Err(Error::invalid(format!("An API key is restricted to at most {max} {what}; here are {n}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(n: usize) -> IndexName {
        IndexName::new(&format!("i{n}")).unwrap()
    }

    #[test]
    fn empty_allows_all_and_a_set_only_its_own() {
        let none = Restrictions::default();
        assert!(none.is_empty() && none.allow_index("a") && none.allow_namespace(&NamespaceName::default()) && none.allow_source(None));
        let network = Network::parse("10.0.0.0/8").unwrap();
        let namespaces = BTreeSet::from([NamespaceName::default()]);
        let some = Restrictions::new(BTreeSet::from([index(1)]), namespaces, BTreeSet::from([network])).unwrap();
        assert!(some.allow_index("i1") && !some.allow_index("i2") && !some.allow_index(""));
        assert!(some.allow_namespace(&NamespaceName::new("").unwrap()) && !some.allow_namespace(&NamespaceName::new("a").unwrap()));
        assert!(some.allow_source("10.1.1.1".parse().ok()) && !some.allow_source("11.1.1.1".parse().ok()) && !some.allow_source(None));
    }

    #[test]
    fn counts_have_an_edge() {
        let of = |n| Restrictions::new((0..n).map(index).collect(), BTreeSet::new(), BTreeSet::new());
        assert!(of(KEY_INDEXES_MAX).is_ok());
        assert!(of(KEY_INDEXES_MAX + 1).unwrap_err().message.contains("at most 100 indexes"));
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let old = Restrictions::new(BTreeSet::from([index(1)]), BTreeSet::from([NamespaceName::default()]), BTreeSet::new()).unwrap();
        let change = RestrictionsChange { indexes: Some(BTreeSet::new()), ..RestrictionsChange::default() };
        assert!(!change.is_empty() && RestrictionsChange::default().is_empty());
        let new = change.of(&old).unwrap();
        assert!(new.indexes().is_empty() && new.namespaces() == old.namespaces());
    }
}
