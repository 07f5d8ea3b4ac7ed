//! The rates of the data plane: what each request counts as, before its work and after it.

use pinyon_model::{DeleteSelector, NamespaceName, Organization, Plan, ReadCapacity, Result, Update, UpdateTarget, Usage};

use crate::{
    IndexRef, RateLimit, Service,
    rates::{RateLimiter, Spot},
};

/// What a request counts as.
pub(crate) type Amounts = Vec<(RateLimit, u64)>;

/// A request that was admitted. What it turns out to use is counted once that is known.
pub(crate) struct Metered<'a>(Option<Admitted<'a>>);

struct Admitted<'a> {
    rates: &'a RateLimiter,
    spot: Spot<'a>,
    is_query: bool,
    now_ms: u64,
    is_dedicated: bool,
}

impl Metered<'_> {
    /// Counts what was used.
    pub(crate) fn used(self, usage: Usage) {
        let Some(Admitted { rates, spot, is_query, now_ms, is_dedicated }) = self.0 else { return };
        let usage = if is_dedicated { Usage { read_units: 0, ..usage } } else { usage };
        rates.spend(&spot, usage, is_query, now_ms);
    }
}

impl Service {
    /// Admits a request about records, or refuses it with `ResourceExhausted`. Where nothing is limited, nothing is looked up.
    pub(crate) fn meter<'a>(
        &'a self,
        index: &'a IndexRef,
        namespace: Option<&'a NamespaceName>,
        amounts: impl FnOnce() -> Amounts,
    ) -> Result<Metered<'a>> {
        let Some(rates) = self.rates() else { return Ok(Metered(None)) };
        let mut amounts = amounts();
        // Dedicated indexes have no read units, by Pinecone's words.
        let is_dedicated = matches!(index.stored().index.read_capacity, ReadCapacity::Dedicated(_));
        if is_dedicated {
            amounts.retain(|(limit, _)| !matches!(limit, RateLimit::IndexReadUnits | RateLimit::OrganizationMonthlyReadUnits));
        }
        amounts.extend([(RateLimit::ProjectRequests, 1), (RateLimit::OrganizationRequests, 1)]);
        let project = index.project_id();
        let (organization, plan) = {
            let tables = self.catalog().tables();
            let organization = tables.organization_of(project).unwrap_or(tables.defaults().organization);
            (organization, tables.organizations.get(&organization).map_or(Plan::Free, |o: &Organization| o.plan))
        };
        let spot = Spot { organization, plan, project, index: index.id(), index_name: index.name().as_str(), namespace };
        let is_query = amounts.iter().any(|(limit, _)| *limit == RateLimit::IndexReadUnits);
        let now_ms = self.clock().now_ms();
        rates.admit(&spot, &amounts, now_ms)?;
        Ok(Metered(Some(Admitted { rates, spot, is_query, now_ms, is_dedicated })))
    }
}

pub(crate) fn query() -> Amounts {
    vec![(RateLimit::NamespaceQueries, 1), (RateLimit::IndexReadUnits, 1), (RateLimit::OrganizationMonthlyReadUnits, 1)]
}

pub(crate) fn upsert(bytes: usize) -> Amounts {
    vec![(RateLimit::NamespaceUpserts, 1), (RateLimit::NamespaceUpsertBytes, bytes as u64), (RateLimit::OrganizationMonthlyWriteUnits, 1)]
}

pub(crate) fn update(update: &Update) -> Amounts {
    let mut amounts = vec![(RateLimit::NamespaceUpdates, 1), (RateLimit::OrganizationMonthlyWriteUnits, 1)];
    match update.target {
        UpdateTarget::Id(_) => amounts.push((RateLimit::NamespaceUpdatedRecords, 1)),
        UpdateTarget::Filter { .. } => {
            amounts.extend([(RateLimit::NamespaceUpdatesByMetadata, 1), (RateLimit::IndexUpdatesByMetadata, 1)]);
        }
    }
    amounts
}

pub(crate) fn delete(which: &DeleteSelector) -> Amounts {
    let mut amounts = vec![(RateLimit::NamespaceDeletes, 1), (RateLimit::OrganizationMonthlyWriteUnits, 1)];
    match which {
        DeleteSelector::Ids(ids) => {
            let records = ids.len() as u64;
            amounts.extend([(RateLimit::NamespaceDeletedRecords, records), (RateLimit::IndexDeletedRecords, records)]);
        }
        DeleteSelector::Filter(_) => {
            amounts.extend([(RateLimit::NamespaceDeletesByMetadata, 1), (RateLimit::IndexDeletesByMetadata, 1)]);
        }
        DeleteSelector::All => {}
    }
    amounts
}

pub(crate) fn fetch() -> Amounts {
    vec![(RateLimit::IndexFetches, 1), (RateLimit::OrganizationMonthlyReadUnits, 1)]
}

pub(crate) fn fetch_by_metadata() -> Amounts {
    vec![(RateLimit::NamespaceFetchesByMetadata, 1), (RateLimit::IndexFetches, 1), (RateLimit::OrganizationMonthlyReadUnits, 1)]
}

pub(crate) fn list() -> Amounts {
    vec![(RateLimit::IndexLists, 1), (RateLimit::OrganizationMonthlyReadUnits, 1)]
}

pub(crate) fn stats() -> Amounts {
    vec![(RateLimit::IndexStats, 1)]
}
