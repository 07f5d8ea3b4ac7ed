//! How much there may be of everything, and how often anything may be done: the published numbers, and settings that stand instead.

use pinyon_model::Plan;

use crate::rates::{RateLimit, Rates};

/// Whose numbers hold where no setting names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LimitPreset {
    /// Objects by Pinecone's largest plan, whatever the organization's is; nothing is limited in time.
    #[default]
    None,
    /// What Pinecone publishes for the organization's plan.
    Pinecone,
}

/// What is limited, and by how much.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Whose numbers hold where the fields below name none.
    pub preset: LimitPreset,
    /// Projects of an organization.
    pub projects_per_organization: Option<u32>,
    /// Users of an organization, with those who were asked to come.
    pub users_per_organization: Option<u32>,
    /// Serverless and BYOC indexes of a project.
    pub serverless_indexes_per_project: Option<u32>,
    /// Pod indexes of a project; Pinecone counts pods by plan.
    pub pod_indexes_per_project: Option<u32>,
    /// Backups of a project.
    pub backups_per_project: Option<u32>,
    /// Collections of a project.
    pub collections_per_project: Option<u32>,
    /// API keys of a project; Pinecone publishes no number.
    pub api_keys_per_project: Option<u32>,
    /// Namespaces of an index.
    pub namespaces_per_index: Option<u32>,
    /// What may be done in a second or a month.
    pub rates: Rates,
}

/// How many objects there may be, on one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quotas {
    pub(crate) projects_per_organization: u32,
    pub(crate) users_per_organization: u32,
    pub(crate) serverless_indexes_per_project: u32,
    pub(crate) pod_indexes_per_project: u32,
    pub(crate) backups_per_project: u32,
    pub(crate) collections_per_project: u32,
    pub(crate) api_keys_per_project: u32,
    pub(crate) namespaces_per_index: u32,
}

/// Pinecone's largest plan; users are not limited on it.
const ENTERPRISE: Quotas = Quotas {
    projects_per_organization: 100,
    users_per_organization: u32::MAX,
    serverless_indexes_per_project: 200,
    pod_indexes_per_project: 200,
    backups_per_project: 1_000,
    collections_per_project: 100,
    api_keys_per_project: 1_000,
    namespaces_per_index: 100_000,
};

impl Limits {
    /// How many objects an organization on this plan may have.
    pub(crate) fn quotas(&self, plan: Plan) -> Quotas {
        let base = match (self.preset, plan) {
            (LimitPreset::None, _) | (LimitPreset::Pinecone, Plan::Enterprise | Plan::Dedicated) => ENTERPRISE,
            (LimitPreset::Pinecone, Plan::Standard) => {
                Quotas { projects_per_organization: 20, serverless_indexes_per_project: 20, backups_per_project: 500, ..ENTERPRISE }
            }
            (LimitPreset::Pinecone, Plan::Free) => Quotas {
                projects_per_organization: 1,
                users_per_organization: 2,
                serverless_indexes_per_project: 5,
                backups_per_project: 0,
                namespaces_per_index: 100,
                ..ENTERPRISE
            },
        };
        Quotas {
            projects_per_organization: self.projects_per_organization.unwrap_or(base.projects_per_organization),
            users_per_organization: self.users_per_organization.unwrap_or(base.users_per_organization),
            serverless_indexes_per_project: self.serverless_indexes_per_project.unwrap_or(base.serverless_indexes_per_project),
            pod_indexes_per_project: self.pod_indexes_per_project.unwrap_or(base.pod_indexes_per_project),
            backups_per_project: self.backups_per_project.unwrap_or(base.backups_per_project),
            collections_per_project: self.collections_per_project.unwrap_or(base.collections_per_project),
            api_keys_per_project: self.api_keys_per_project.unwrap_or(base.api_keys_per_project),
            namespaces_per_index: self.namespaces_per_index.unwrap_or(base.namespaces_per_index),
        }
    }

    /// How much of this an organization on this plan may do in a second or a month; none when it is not limited.
    pub(crate) fn rate(&self, limit: RateLimit, plan: Plan) -> Option<u64> {
        self.rates.get(limit).or_else(|| if self.preset == LimitPreset::Pinecone { limit.published(plan) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_counts_under_the_preset_alone_and_a_setting_always() {
        let none = Limits { projects_per_organization: Some(7), ..Limits::default() };
        let pinecone = Limits { preset: LimitPreset::Pinecone, projects_per_organization: Some(7), ..Limits::default() };
        for plan in Plan::ALL {
            assert_eq!(none.quotas(*plan), Quotas { projects_per_organization: 7, ..ENTERPRISE });
            assert!(RateLimit::ALL.iter().all(|l| none.rate(*l, *plan).is_none()));
            assert_eq!(pinecone.quotas(*plan).projects_per_organization, 7);
        }
        let plans = [Plan::Free, Plan::Standard, Plan::Enterprise, Plan::Dedicated];
        assert_eq!(plans.map(|p| pinecone.quotas(p).serverless_indexes_per_project), [5, 20, 200, 200]);
        assert_eq!(plans.map(|p| pinecone.quotas(p).namespaces_per_index), [100, 100_000, 100_000, 100_000]);
        assert_eq!(plans.map(|p| pinecone.quotas(p).users_per_organization), [2, u32::MAX, u32::MAX, u32::MAX]);
        assert_eq!(plans.map(|p| pinecone.quotas(p).backups_per_project), [0, 500, 1_000, 1_000]);
        let monthly = RateLimit::OrganizationMonthlyReadUnits;
        assert_eq!(plans.map(|p| pinecone.rate(monthly, p)), [Some(1_000_000), None, None, None]);
        let mut set = pinecone.clone();
        set.rates.set(RateLimit::NamespaceQueries, 3);
        assert_eq!(
            (set.rate(RateLimit::NamespaceQueries, Plan::Free), pinecone.rate(RateLimit::NamespaceQueries, Plan::Free)),
            (Some(3), Some(100))
        );
    }
}
