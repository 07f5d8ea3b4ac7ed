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

/// What of a project's access is to be another; what is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProjectAccessChange {
    /// Whether the data plane is to be private.
    pub private_only: Option<bool>,
    /// Whether the control plane is to be too.
    pub private_control_plane: Option<bool>,
    /// The networks that are to be answered beside private endpoints, all of them.
    pub networks: Option<BTreeSet<Network>>,
}

impl ProjectAccessChange {
    /// What this access is with the change. Whoever opens the data plane opens the control plane too, which is never private alone.
    pub fn applied_to(self, old: &ProjectAccess) -> Result<ProjectAccess> {
        let private_only = self.private_only.unwrap_or(old.private_only);
        let private_control_plane = self.private_control_plane.unwrap_or(old.private_control_plane && private_only);
        ProjectAccess::new(private_only, private_control_plane, self.networks.unwrap_or_else(|| old.networks.clone()))
    }
}

impl From<ProjectAccess> for ProjectAccessChange {
    /// The change after which the access is this one, whatever it was.
    fn from(access: ProjectAccess) -> Self {
        let ProjectAccess { private_only, private_control_plane, networks } = access;
        Self { private_only: Some(private_only), private_control_plane: Some(private_control_plane), networks: Some(networks) }
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

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let networks = |text: &str| BTreeSet::from([Network::parse(text).unwrap()]);
        let access = |data: bool, control: bool, text: &str| ProjectAccess::new(data, control, networks(text)).unwrap();
        let both = access(true, true, "10.0.0.0/8");
        let change = ProjectAccessChange::default();
        assert_eq!(change.clone().applied_to(&both), Ok(both.clone()));
        let other = ProjectAccessChange { networks: Some(networks("192.0.2.0/24")), ..change.clone() };
        assert_eq!(other.applied_to(&both), Ok(access(true, true, "192.0.2.0/24")));
        let open = ProjectAccessChange { private_only: Some(false), ..change.clone() };
        assert_eq!(open.applied_to(&both), Ok(access(false, false, "10.0.0.0/8")));
        let control = ProjectAccessChange { private_control_plane: Some(true), ..change };
        assert_eq!(control.clone().applied_to(&access(true, false, "10.0.0.0/8")), Ok(both.clone()));
        assert!(control.applied_to(&ProjectAccess::default()).is_err());
        assert_eq!(ProjectAccessChange::from(both.clone()).applied_to(&ProjectAccess::default()), Ok(both.clone()));
        assert_eq!(ProjectAccessChange::from(ProjectAccess::default()).applied_to(&both), Ok(ProjectAccess::default()));
    }
}
