/// One thing that may or may not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// See the organization.
    OrganizationRead,
    /// Its members, roles, service accounts, invites and audit log; rename and delete it.
    OrganizationWrite,
    /// Make projects in it.
    CreateProject,
    /// See its billing.
    BillingRead,
    /// Change its billing.
    BillingWrite,
    /// See a project's settings, members and keys.
    ProjectRead,
    /// Change those, and delete the project.
    ProjectWrite,
    /// List and describe indexes, backups, collections, assistants.
    ControlRead,
    /// Create, configure and delete those.
    ControlWrite,
    /// Query, fetch, list ids and namespaces, stats.
    DataRead,
    /// Upsert, update, delete, import.
    DataWrite,
    /// Embed and rerank.
    Inference,
    /// What concerns the whole installation (the root key, organizations): the operator's own.
    Operate,
}

impl Permission {
    /// All of them.
    pub const ALL: [Permission; 13] = [
        Permission::OrganizationRead,
        Permission::OrganizationWrite,
        Permission::CreateProject,
        Permission::BillingRead,
        Permission::BillingWrite,
        Permission::ProjectRead,
        Permission::ProjectWrite,
        Permission::ControlRead,
        Permission::ControlWrite,
        Permission::DataRead,
        Permission::DataWrite,
        Permission::Inference,
        Permission::Operate,
    ];
}

/// Some permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PermissionSet(u16);

impl PermissionSet {
    /// None of them.
    pub const NONE: PermissionSet = PermissionSet(0);

    /// These.
    pub const fn of(permissions: &[Permission]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < permissions.len() {
            bits |= 1 << permissions[i] as u16;
            i += 1;
        }
        Self(bits)
    }

    /// Whether this one is among them.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & 1 << permission as u16 != 0
    }

    /// Whether all of those are among them.
    pub const fn covers(self, others: PermissionSet) -> bool {
        others.0 & !self.0 == 0
    }

    /// Both together.
    #[must_use]
    pub const fn union(self, others: PermissionSet) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |p| self.contains(*p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let two = PermissionSet::of(&[Permission::DataRead, Permission::Operate]);
        assert_eq!(two.iter().collect::<Vec<_>>(), [Permission::DataRead, Permission::Operate]);
        assert!(two.covers(PermissionSet::of(&[Permission::Operate])) && !two.covers(PermissionSet::of(&[Permission::DataWrite])));
        assert!(PermissionSet::NONE.is_empty() && two.covers(PermissionSet::NONE));
        assert_eq!(PermissionSet::of(&Permission::ALL).iter().count(), Permission::ALL.len());
    }
}
