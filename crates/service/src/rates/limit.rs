//! What is limited, by how much Pinecone says, and what was set instead.

use pinyon_model::Plan;

/// What a limit is a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Namespace,
    Index,
    Project,
    Organization,
}

macro_rules! rates {
    ($($(#[$doc:meta])* $limit:ident $scope:ident $name:literal $what:literal $published:expr;)*) => {
        /// Something that may be done so often in a second or a month.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RateLimit {
            $($(#[$doc])* $limit,)*
        }

        impl RateLimit {
            /// All of them.
            pub const ALL: &'static [RateLimit] = &[$(RateLimit::$limit),*];

            /// Its name in the settings, and to callers.
            pub const fn name(self) -> &'static str {
                match self { $(RateLimit::$limit => $name),* }
            }

            pub(crate) const fn scope(self) -> Scope {
                match self { $(RateLimit::$limit => Scope::$scope),* }
            }

            /// What is counted.
            pub(crate) const fn what(self) -> &'static str {
                match self { $(RateLimit::$limit => $what),* }
            }

            /// What Pinecone publishes for this plan: of Starter, of Standard, and of Enterprise for the two largest.
            pub(crate) const fn published(self, plan: Plan) -> Option<u64> {
                let by_plan: [Option<u64>; 3] = match self { $(RateLimit::$limit => $published),* };
                match plan {
                    Plan::Free => by_plan[0],
                    Plan::Standard => by_plan[1],
                    Plan::Enterprise | Plan::Dedicated => by_plan[2],
                }
            }
        }
    };
}

/// One number for all plans.
const fn all(n: u64) -> [Option<u64>; 3] {
    [Some(n); 3]
}

const NONE: [Option<u64>; 3] = [None; 3];

rates! {
    /// Queries of a namespace.
    NamespaceQueries Namespace "namespace-queries" "queries" all(100);
    /// Upserts into a namespace.
    NamespaceUpserts Namespace "namespace-upserts" "upserts" all(100);
    /// Bytes upserted into a namespace, as upserts are counted.
    NamespaceUpsertBytes Namespace "namespace-upsert-bytes" "upserted bytes" all(50 << 20);
    /// Updates in a namespace.
    NamespaceUpdates Namespace "namespace-updates" "updates" all(100);
    /// Records updated by id in a namespace.
    NamespaceUpdatedRecords Namespace "namespace-updated-records" "updated records" all(100);
    /// Deletes in a namespace.
    NamespaceDeletes Namespace "namespace-deletes" "deletes" all(100);
    /// Records deleted by id in a namespace.
    NamespaceDeletedRecords Namespace "namespace-deleted-records" "deleted records" all(5_000);
    /// Updates by metadata in a namespace.
    NamespaceUpdatesByMetadata Namespace "namespace-updates-by-metadata" "updates by metadata" all(5);
    /// Deletes by metadata in a namespace.
    NamespaceDeletesByMetadata Namespace "namespace-deletes-by-metadata" "deletes by metadata" all(5);
    /// Fetches by metadata from a namespace.
    NamespaceFetchesByMetadata Namespace "namespace-fetches-by-metadata" "fetches by metadata" all(5);
    /// Read units of the queries of an index that is not dedicated.
    IndexReadUnits Index "index-read-units" "read units" all(2_000);
    /// Fetches from an index.
    IndexFetches Index "index-fetches" "fetches" all(100);
    /// Listings of ids of an index.
    IndexLists Index "index-lists" "listings" all(200);
    /// Descriptions of an index's stats.
    IndexStats Index "index-stats" "descriptions of stats" all(100);
    /// Records deleted by id in an index.
    IndexDeletedRecords Index "index-deleted-records" "deleted records" all(5_000);
    /// Updates by metadata in an index.
    IndexUpdatesByMetadata Index "index-updates-by-metadata" "updates by metadata" all(500);
    /// Deletes by metadata in an index.
    IndexDeletesByMetadata Index "index-deletes-by-metadata" "deletes by metadata" all(500);
    /// Requests about records, in a project.
    ProjectRequests Project "project-requests" "requests" NONE;
    /// Requests about records, in an organization.
    OrganizationRequests Organization "organization-requests" "requests" NONE;
    /// Read units of an organization in a month.
    OrganizationMonthlyReadUnits Organization "organization-monthly-read-units" "read units" [Some(1_000_000), None, None];
    /// Write units of an organization in a month.
    OrganizationMonthlyWriteUnits Organization "organization-monthly-write-units" "write units" [Some(2_000_000), None, None];
}

impl RateLimit {
    /// Whether it is counted by the month.
    pub(crate) const fn is_monthly(self) -> bool {
        matches!(self, RateLimit::OrganizationMonthlyReadUnits | RateLimit::OrganizationMonthlyWriteUnits)
    }
}

/// The limits that were set, for every plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates([Option<u64>; RateLimit::ALL.len()]);

impl Default for Rates {
    fn default() -> Self {
        Self([None; RateLimit::ALL.len()])
    }
}

impl Rates {
    /// Sets one of them.
    pub fn set(&mut self, limit: RateLimit, max: u64) {
        self.0[limit as usize] = Some(max);
    }

    pub(crate) fn get(&self, limit: RateLimit) -> Option<u64> {
        self.0[limit as usize]
    }
}
