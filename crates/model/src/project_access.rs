use std::{collections::BTreeSet, net::IpAddr};

use crate::{Error, Network, Result, limits::ACCESS_NETWORKS_MAX};

/// From where a project may be reached: from everywhere, unless it is private.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProjectAccess {
    private_only: bool,
    private_control_plane: bool,
    networks: BTreeSet<Network>,
}

impl ProjectAccess {
    /// What was asked for. The control plane is never private alone, and there are at most 100 networks.
    pub fn new(private_only: bool, private_control_plane: bool, networks: BTreeSet<Network>) -> Result<Self> {
        if private_control_plane && !private_only {
            return Err(Error::invalid("private_control_plane needs private_only: what is private is the data plane, or both"));
        }
        if networks.len() > ACCESS_NETWORKS_MAX {
            return Err(Error::invalid(format!("A project has at most {ACCESS_NETWORKS_MAX} networks, but got {}", networks.len())));
        }
        Ok(Self { private_only, private_control_plane, networks })
    }

    /// Whether the data plane answers private endpoints and the listed networks alone.
    pub fn private_only(&self) -> bool {
        self.private_only
    }

    /// Whether the control plane does too.
    pub fn private_control_plane(&self) -> bool {
        self.private_control_plane
    }

    /// The networks that a private project answers beside its private endpoints.
    pub fn networks(&self) -> &BTreeSet<Network> {
        &self.networks
    }

    /// Whether one of the networks has this address.
    pub fn lists(&self, source: Option<IpAddr>) -> bool {
        source.is_some_and(|address| self.networks.iter().any(|n| n.contains(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let networks = |n: usize| (0..n).map(|i| Network::parse(&format!("10.0.{i}.0/24")).unwrap()).collect::<BTreeSet<_>>();
        assert!(ProjectAccess::new(true, true, networks(ACCESS_NETWORKS_MAX)).is_ok());
        assert!(ProjectAccess::new(true, true, networks(ACCESS_NETWORKS_MAX + 1)).is_err());
        assert!(ProjectAccess::new(false, true, networks(1)).unwrap_err().message.contains("private_only"));
        let access = ProjectAccess::new(true, false, networks(2)).unwrap();
        let from = |text: &str| access.lists(text.parse().ok());
        assert_eq!((from("10.0.1.7"), from("::ffff:10.0.1.7"), from("10.0.2.1"), from("")), (true, true, false, false));
    }
}
