//! Rates: so many in a second or a month, and not one more.

use std::sync::Arc;

use pinyon_model::{Condition, DeleteSelector, Error, ErrorCode, Filter, NamespaceName, Prefix, Role, Scalar, Update, UpdateTarget};
use pinyon_service::{IndexRef, LimitPreset, Limits, OpContext, RateLimit, Rates, Service, ServiceOptions};

use crate::common::{House, close, code, files, id, metadata, namespace, query, record, restore, spec};

/// A service with these limits, and an index with one record in the namespace "en".
struct Place {
    house: House,
    service: Arc<Service>,
    me: OpContext,
    host: IndexRef,
}

fn limits(rates: &[(RateLimit, u64)]) -> Limits {
    let mut set = Rates::default();
    rates.iter().for_each(|(limit, max)| set.set(*limit, *max));
    Limits { rates: set, ..Limits::default() }
}

impl Place {
    async fn new(limits: Limits) -> Self {
        let house = House::new();
        let service = house.open().await;
        let me = house.editor(&service).await;
        service.create_index(&me, spec("films")).await.unwrap();
        let host = find(&service, &me);
        service.upsert(&me, &host, &namespace("en"), vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
        close(service).await;
        drop(host);
        let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
        let me = house.caller(&service, None, &[Role::ProjectEditor]).await;
        let host = find(&service, &me);
        Self { house, service, me, host }
    }
    async fn reopen(self, limits: Limits) -> Self {
        let Self { house, service, me, host } = self;
        close(service).await;
        drop((me, host));
        let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
        let me = house.caller(&service, None, &[Role::ProjectEditor]).await;
        let host = find(&service, &me);
        Self { house, service, me, host }
    }
    async fn query(&self, ns: &str) -> Result<(), Error> {
        self.service.query(&self.me, &self.host, &namespace(ns), query([1.0, 0.0, 0.0])).await.map(drop)
    }
    async fn upsert(&self, ns: &str, n: usize) -> Result<(), Error> {
        let records = (0..n).map(|i| record(&format!("r{i}"), [1.0, 0.0, 0.0])).collect();
        self.service.upsert(&self.me, &self.host, &namespace(ns), records).await.map(drop)
    }
    async fn delete(&self, which: DeleteSelector) -> Result<(), Error> {
        self.service.delete(&self.me, &self.host, &namespace("en"), which).await.map(drop)
    }
    async fn update(&self, target: UpdateTarget) -> Result<(), Error> {
        let set_metadata = Some(metadata(&[("colour", "red")]));
        let update = Update { target, dense: None, sparse: None, set_metadata };
        self.service.update(&self.me, &self.host, &namespace("en"), update).await.map(drop)
    }
}

fn find(service: &Service, me: &OpContext) -> IndexRef {
    let pinyon_model::Principal::ApiKey { project_id, .. } = &*me.principal else { panic!("no key") };
    service.resolve_index_by_name(&project_id.short(), "films").unwrap()
}

fn teal() -> Filter {
    Filter::Field("colour".into(), Condition::Eq(Scalar::String("teal".into())))
}

fn ids(n: usize) -> Vec<pinyon_model::RecordId> {
    (0..n).map(|i| id(&format!("gone{i}"))).collect()
}

/// Does it so often in this second, then once more, then in the next second.
async fn exactly(place: &Place, limit: RateLimit, n: u64, act: impl AsyncFn() -> Result<(), Error>) {
    for i in 0..n {
        act().await.unwrap_or_else(|e| panic!("{limit:?} {i}: {e}"));
    }
    let error = act().await.expect_err(limit.name());
    assert_eq!((error.code, error.retry_after_s), (ErrorCode::ResourceExhausted, Some(1)), "{limit:?}");
    assert!(error.message.contains(limit.name()), "{limit:?}: {error}");
    place.house.clock.advance_ms(1_000);
    act().await.unwrap_or_else(|e| panic!("{limit:?} in the next second: {e}"));
    place.house.clock.advance_ms(1_000);
}

#[tokio::test]
async fn each_limit_of_a_second_at_its_edge() {
    use RateLimit as L;
    let three = limits(&[
        (L::NamespaceQueries, 3),
        (L::NamespaceUpserts, 3),
        (L::NamespaceUpdates, 3),
        (L::NamespaceDeletes, 3),
        (L::NamespaceUpdatesByMetadata, 2),
        (L::NamespaceDeletesByMetadata, 2),
        (L::NamespaceFetchesByMetadata, 2),
        (L::IndexFetches, 4),
        (L::IndexLists, 3),
        (L::IndexStats, 3),
    ]);
    let place = Place::new(three).await;
    let (service, me, host, en) = (&place.service, &place.me, &place.host, namespace("en"));
    exactly(&place, L::NamespaceQueries, 3, async || place.query("en").await).await;
    exactly(&place, L::NamespaceUpserts, 3, async || place.upsert("en", 1).await).await;
    exactly(&place, L::NamespaceUpdates, 3, async || place.update(UpdateTarget::Id(id("a"))).await).await;
    exactly(&place, L::NamespaceDeletes, 3, async || place.delete(DeleteSelector::Ids(ids(1))).await).await;
    let by_filter = || UpdateTarget::Filter { filter: teal(), dry_run: true };
    exactly(&place, L::NamespaceUpdatesByMetadata, 2, async || place.update(by_filter()).await).await;
    exactly(&place, L::NamespaceDeletesByMetadata, 2, async || place.delete(DeleteSelector::Filter(teal())).await).await;
    let fetch_by = async || service.fetch_by_metadata(me, host, &en, teal(), 10, None).await.map(drop);
    exactly(&place, L::NamespaceFetchesByMetadata, 2, fetch_by).await;
    exactly(&place, L::IndexFetches, 4, async || service.fetch(me, host, &en, vec![id("a")]).await.map(drop)).await;
    exactly(&place, L::IndexLists, 3, async || service.list(me, host, &en, &Prefix::default(), 10, None).await.map(drop)).await;
    exactly(&place, L::IndexStats, 3, async || service.stats(me, host, None).await.map(drop)).await;
    for _ in 0..3 {
        place.query("en").await.unwrap();
    }
    assert!(place.query("de").await.is_ok(), "another namespace has its own");
    close(place.service).await;
}

#[tokio::test]
async fn amounts_at_their_edges() {
    use RateLimit as L;
    let size: usize = record("r0", [1.0, 0.0, 0.0]).size_bytes();
    let place = Place::new(limits(&[
        (L::NamespaceUpsertBytes, 10 * size as u64),
        (L::NamespaceUpdatedRecords, 2),
        (L::NamespaceDeletedRecords, 10),
        (L::IndexDeletedRecords, 15),
        (L::IndexUpdatesByMetadata, 2),
        (L::IndexDeletesByMetadata, 2),
    ]))
    .await;
    exactly(&place, L::NamespaceUpsertBytes, 2, async || place.upsert("en", 5).await).await;
    assert!(place.upsert("en", 11).await.is_err(), "more than there ever is");
    assert!(place.upsert("en", 10).await.is_ok(), "all of it, at once");
    place.house.clock.advance_ms(1_000);
    exactly(&place, L::NamespaceUpdatedRecords, 2, async || place.update(UpdateTarget::Id(id("a"))).await).await;
    exactly(&place, L::NamespaceDeletedRecords, 2, async || place.delete(DeleteSelector::Ids(ids(5))).await).await;
    let by_filter = || UpdateTarget::Filter { filter: teal(), dry_run: true };
    exactly(&place, L::IndexUpdatesByMetadata, 2, async || place.update(by_filter()).await).await;
    exactly(&place, L::IndexDeletesByMetadata, 2, async || place.delete(DeleteSelector::Filter(teal())).await).await;
    place.upsert("de", 1).await.unwrap();
    place.house.clock.advance_ms(1_000);
    place.delete(DeleteSelector::Ids(ids(10))).await.unwrap();
    let of_de = async |n| place.service.delete(&place.me, &place.host, &namespace("de"), DeleteSelector::Ids(ids(n))).await;
    let refused = of_de(6).await.unwrap_err();
    assert!(refused.message.contains("index films has reached its limit of 15 deleted records per second"), "{refused}");
    assert!(of_de(5).await.is_ok(), "what was refused took nothing");
    close(place.service).await;
}

#[tokio::test]
async fn a_project_and_an_organization_have_limits_too() {
    use RateLimit as L;
    for limit in [L::ProjectRequests, L::OrganizationRequests] {
        let place = Place::new(limits(&[(limit, 4)])).await;
        place.query("en").await.unwrap();
        place.upsert("de", 1).await.unwrap();
        place.service.stats(&place.me, &place.host, None).await.unwrap();
        place.service.describe_namespace(&place.me, &place.host, &namespace("en")).await.unwrap();
        let refused = place.query("fr").await.unwrap_err();
        assert_eq!((refused.code, refused.message.contains(limit.name())), (ErrorCode::ResourceExhausted, true), "{refused}");
        assert!(place.service.list_indexes(&place.me).await.is_ok(), "records alone are counted");
        close(place.service).await;
    }
}

#[tokio::test]
async fn a_month_is_counted_through_restarts_and_begins_anew() {
    use RateLimit as L;
    let set = || limits(&[(L::OrganizationMonthlyReadUnits, 4), (L::OrganizationMonthlyWriteUnits, 12)]);
    let place = Place::new(set()).await;
    for _ in 0..3 {
        place.query("en").await.unwrap();
    }
    // Five units is the least that a write costs.
    place.upsert("en", 1).await.unwrap();
    let place = place.reopen(set()).await;
    place.query("en").await.unwrap();
    let refused = place.query("en").await.unwrap_err();
    assert!(refused.message.contains("4 read units per month"), "{refused}");
    // 2023-11-14T22:13:20Z: sixteen days and some hours are left of November.
    let left = 16 * 86_400 + 6_400;
    assert!(refused.message.ends_with(&format!("begins in {left} seconds")), "{refused}");
    place.upsert("en", 1).await.unwrap();
    place.upsert("en", 1).await.unwrap();
    assert_eq!(code(place.upsert("en", 1).await), Some(ErrorCode::ResourceExhausted));
    let place = place.reopen(set()).await;
    assert_eq!(code(place.query("en").await), Some(ErrorCode::ResourceExhausted));
    place.house.clock.advance_ms(1_000 * left - 1);
    assert_eq!(code(place.query("en").await), Some(ErrorCode::ResourceExhausted));
    place.house.clock.advance_ms(1);
    place.query("en").await.unwrap();
    place.upsert("en", 1).await.unwrap();
    let place = place.reopen(Limits::default()).await;
    for _ in 0..20 {
        place.query("en").await.unwrap();
    }
    close(place.service).await;
}

/// A changed or cut count of the month is noticed, and keeps nobody from the data.
#[tokio::test]
async fn a_damaged_month_is_named_and_counted_anew() {
    let set = || limits(&[(RateLimit::OrganizationMonthlyReadUnits, 3)]);
    let place = Place::new(set()).await;
    place.query("en").await.unwrap();
    let Place { house, service, me, host } = place;
    close(service).await;
    drop((me, host));
    let good = files(house.path());
    let path = good.keys().find(|p| p.ends_with("usage/month")).unwrap().clone();
    let bytes = good[&path].clone();
    let mut changes: Vec<Vec<u8>> = (0..bytes.len())
        .step_by(7)
        .map(|i| {
            let mut changed = bytes.clone();
            changed[i] ^= 1;
            changed
        })
        .collect();
    changes.push(bytes[..bytes.len() / 2].to_vec());
    changes.push(Vec::new());
    for changed in changes {
        std::fs::write(&path, &changed).unwrap();
        let report = Service::check_offline(house.options(), house.clock()).await.unwrap();
        assert_eq!(report.damaged.iter().map(|d| d.file.as_str()).collect::<Vec<_>>(), ["usage/month"]);
    }
    let service = house.open_with(ServiceOptions { limits: set(), ..house.options() }).await.unwrap();
    let me = house.editor(&service).await;
    let host = find(&service, &me);
    for _ in 0..3 {
        service.query(&me, &host, &namespace("en"), query([1.0, 0.0, 0.0])).await.unwrap();
    }
    assert!(service.query(&me, &host, &namespace("en"), query([1.0, 0.0, 0.0])).await.is_err());
    close(service).await;
    drop((me, host));
    restore(house.path(), &good);
    let report = Service::check_offline(house.options(), house.clock()).await.unwrap();
    assert_eq!(report.damaged, []);
}

#[tokio::test]
async fn the_published_numbers_hold_for_whoever_chose_them() {
    let place = Place::new(Limits { preset: LimitPreset::Pinecone, ..Limits::default() }).await;
    exactly(&place, RateLimit::NamespaceQueries, 100, async || place.query("en").await).await;
    exactly(&place, RateLimit::NamespaceUpserts, 100, async || place.upsert("en", 1).await).await;
    let by = async || place.delete(DeleteSelector::Filter(teal())).await;
    exactly(&place, RateLimit::NamespaceDeletesByMetadata, 5, by).await;
    close(place.service).await;
    let place = Place::new(Limits::default()).await;
    for _ in 0..300 {
        place.query("en").await.unwrap();
    }
    close(place.service).await;
}

/// Forty at once want the twenty that there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_once_they_are_as_many_as_one_after_the_other() {
    let place = Place::new(limits(&[(RateLimit::NamespaceQueries, 20), (RateLimit::OrganizationRequests, 30)])).await;
    for _ in 0..5 {
        let ask = |n: usize| {
            let (service, me, host) = (place.service.clone(), place.me.clone(), place.host.clone());
            let ns = namespace(["en", "de"][n % 2]);
            tokio::spawn(async move { service.query(&me, &host, &ns, query([1.0, 0.0, 0.0])).await.is_ok() })
        };
        let mut came = 0;
        for one in (0..80).map(ask).collect::<Vec<_>>() {
            came += usize::from(one.await.unwrap());
        }
        assert_eq!(came, 30);
        place.house.clock.advance_ms(1_000);
    }
    close(place.service).await;
}

#[tokio::test]
async fn who_may_not_do_it_takes_nothing_from_the_others() {
    let place = Place::new(limits(&[(RateLimit::NamespaceQueries, 3)])).await;
    let stranger = place.house.caller(&place.service, None, &[Role::ControlPlaneViewer]).await;
    for _ in 0..10 {
        let asked = place.service.query(&stranger, &place.host, &NamespaceName::new("en").unwrap(), query([1.0, 0.0, 0.0])).await;
        assert_eq!(code(asked), Some(ErrorCode::Forbidden));
    }
    exactly(&place, RateLimit::NamespaceQueries, 3, async || place.query("en").await).await;
    close(place.service).await;
}
