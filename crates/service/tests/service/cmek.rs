//! Customer-managed keys: what is served while a key answers, and what is not when it does not.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use pinyon_model::{
    AwsKmsKey, Cmek, CmekId, CmekState, CmekStatus, CustomerKey, Error, ErrorCode, IndexChange, IndexSpec, KmsKeyArn, NewCmek, NewProject,
    Principal, ProjectId, Result, RoleArn,
};
use pinyon_service::{CmekOptions, IndexRef, KeyContext, KeyFault, KeyHalf, KeyProvider, OpContext, Service, ServiceOptions};

use crate::common::{House, audit_events, close, code, namespace, project, query, record, spec};

mod backups;
mod swapped;

const LIFETIME_MS: u64 = 300_000;
const GRACE_MS: u64 = 3_600_000;

/// How a key behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Up,
    Denied,
    Down,
    /// It never answers.
    Silent,
    /// It answers with a key that nobody gave it.
    Lying,
    /// It refuses whatever is bound to another context, as KMS does.
    Swapping,
}

/// A house of keys that does as it is told.
#[derive(Default)]
struct Keys {
    moods: Mutex<HashMap<String, Mood>>,
    sealed: Mutex<Vec<(String, KeyContext, [u8; 32])>>,
    asked: AtomicU32,
}

impl Keys {
    fn becomes(&self, key: &CustomerKey, mood: Mood) {
        self.moods.lock().unwrap().insert(key.shown().to_owned(), mood);
    }
    fn asked(&self) -> u32 {
        self.asked.swap(0, Ordering::SeqCst)
    }
    async fn mood(&self, key: &CustomerKey) -> Result<Mood, KeyFault> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = self.moods.lock().unwrap().get(key.shown()).copied().unwrap_or(Mood::Up);
        match mood {
            Mood::Denied => Err(KeyFault::Denied("AccessDenied: the role arn:aws:iam::123456789012:role/pinyon may not".into())),
            Mood::Down => Err(KeyFault::Unreachable("timed out".into())),
            Mood::Silent => std::future::pending().await,
            mood => Ok(mood),
        }
    }
}

#[async_trait::async_trait]
impl KeyProvider for Keys {
    async fn encrypt(&self, key: &CustomerKey, context: &KeyContext, plain: &KeyHalf) -> Result<Vec<u8>, KeyFault> {
        self.mood(key).await?;
        let mut sealed = self.sealed.lock().unwrap();
        sealed.push((key.shown().to_owned(), *context, *plain.expose()));
        Ok((sealed.len() - 1).to_le_bytes().to_vec())
    }
    async fn decrypt(&self, key: &CustomerKey, context: &KeyContext, sealed: &[u8]) -> Result<KeyHalf, KeyFault> {
        let mood = self.mood(key).await?;
        let mut number = usize::from_le_bytes(sealed.try_into().map_err(|_| KeyFault::Denied("InvalidCiphertext".into()))?);
        let all = self.sealed.lock().unwrap();
        if mood == Mood::Swapping {
            number = all.len() - 1 - number;
        }
        let (by, bound, half) = &all[number];
        if by != key.shown() || bound != context {
            return Err(KeyFault::Denied("InvalidCiphertextException".into()));
        }
        let half = if mood == Mood::Lying { [9; 32] } else { *half };
        Ok(KeyHalf::take(half.to_vec()).unwrap())
    }
}

fn aws_key(n: u8) -> CustomerKey {
    CustomerKey::AwsKms(AwsKmsKey {
        key_arn: KmsKeyArn::new(&format!("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890{n:02x}")).unwrap(),
        role_arn: RoleArn::new("arn:aws:iam::123456789012:role/pinyon").unwrap(),
        external_id: None,
    })
}

/// A house whose customers have keys of their own.
struct Customers {
    house: House,
    keys: Arc<Keys>,
}

impl Customers {
    fn new() -> Self {
        Self { house: House::new(), keys: Arc::default() }
    }
    fn options(&self) -> ServiceOptions {
        let provider: Arc<dyn KeyProvider> = self.keys.clone();
        let cmek = CmekOptions { provider: Some(provider), endpoints: "a test".into(), lifetime_ms: LIFETIME_MS, grace_ms: GRACE_MS };
        ServiceOptions { cmek, ..self.house.options() }
    }
    async fn open(&self) -> Arc<Service> {
        self.house.open_with(self.options()).await.unwrap()
    }
    fn me(&self) -> OpContext {
        self.house.operator()
    }
    fn in_project(&self, project: ProjectId) -> OpContext {
        OpContext { project: Some(project), ..self.me() }
    }
    /// A project whose indexes must be under a customer's key.
    async fn project(&self, service: &Arc<Service>, name: &str) -> ProjectId {
        let new = NewProject { force_encryption_with_cmek: true, ..project(name) };
        service.create_project(&self.me(), new).await.unwrap().id
    }
    async fn add(&self, service: &Arc<Service>, project_id: ProjectId, name: &str, n: u8) -> Result<Cmek> {
        let new = NewCmek { project_id, name: name.to_owned(), key: aws_key(n) };
        service.create_cmek(&self.me(), new).await.map(|(cmek, _)| cmek)
    }
    async fn state(&self, service: &Service, id: CmekId) -> CmekState {
        service.describe_cmek(&self.me(), id).await.unwrap().1
    }
    async fn pass(&self, service: &Arc<Service>, ms: u64) {
        self.house.clock.advance_ms(ms);
        service.refresh_cmeks().await;
    }
    /// A project with a key, and an index under it that holds a record.
    async fn furnished(&self, service: &Arc<Service>) -> (ProjectId, Cmek, IndexRef) {
        let project = self.project(service, "sealed").await;
        let cmek = self.add(service, project, "main", 1).await.unwrap();
        let index = self.index(service, project, "movies").await;
        upsert(service, &self.me(), &index, "a").await.unwrap();
        (project, cmek, index)
    }
    async fn index(&self, service: &Arc<Service>, project: ProjectId, name: &str) -> IndexRef {
        let ctx = self.in_project(project);
        service.create_index(&ctx, spec(name)).await.unwrap();
        service.find_index(&ctx, name).await.unwrap()
    }
}

async fn upsert(service: &Service, ctx: &OpContext, index: &IndexRef, id: &str) -> Result<()> {
    service.upsert(ctx, index, &namespace("ns"), vec![record(id, [1.0, 0.0, 0.0])]).await.map(drop)
}

async fn count(service: &Service, ctx: &OpContext, index: &IndexRef) -> Result<usize> {
    service.query(ctx, index, &namespace("ns"), query([1.0, 0.0, 0.0])).await.map(|answer| answer.matches.len())
}

/// The refusal, which names the key and nothing of why.
fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code, ErrorCode::Forbidden, "{error}");
    assert!(error.message.contains("'main'") && !error.message.contains("arn:"), "{error}");
    error.message
}

#[tokio::test]
async fn a_project_that_must_have_a_key_takes_no_index_without_one() {
    let at = Customers::new();
    let service = at.open().await;
    let project = at.project(&service, "sealed").await;
    let ctx = at.in_project(project);
    let refused = service.create_index(&ctx, spec("movies")).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    assert!(refused.message.contains("cmek add"), "{refused}");
    assert!(service.list_indexes(&ctx).await.unwrap().is_empty());

    let first = at.add(&service, project, "first", 1).await.unwrap();
    let index = service.create_index(&ctx, spec("movies")).await.unwrap();
    assert_eq!(index.cmek_id, Some(first.id), "the only one there is");
    let second = at.add(&service, project, "second", 2).await.unwrap();
    let told = service.create_index(&ctx, spec("songs")).await.unwrap_err();
    assert_eq!(told.code, ErrorCode::InvalidArgument);
    assert!(told.message.contains(&first.id.to_string()) && told.message.contains(&second.id.to_string()), "{told}");
    let chosen = service.create_index(&ctx, IndexSpec { cmek_id: Some(second.id), ..spec("songs") }).await.unwrap();
    assert_eq!(chosen.cmek_id, Some(second.id));

    // A project that need not have one may: and another project's key is none.
    let free = service.create_project(&at.me(), crate::common::project("free")).await.unwrap().id;
    let free_ctx = at.in_project(free);
    let theirs = IndexSpec { cmek_id: Some(first.id), ..spec("x") };
    assert_eq!(code(service.create_index(&free_ctx, theirs).await), Some(ErrorCode::NotFound));
    assert_eq!(service.create_index(&free_ctx, spec("plain")).await.unwrap().cmek_id, None);
    let own = at.add(&service, free, "first", 1).await.unwrap();
    assert_eq!(service.create_index(&free_ctx, spec("plain-2")).await.unwrap().cmek_id, None, "it has to be asked for");
    let under = service.create_index(&free_ctx, IndexSpec { cmek_id: Some(own.id), ..spec("under") }).await.unwrap();
    assert_eq!(under.cmek_id, Some(own.id));
    close(service).await;
    let again = at.open().await;
    assert_eq!(again.describe_index(&free_ctx, "under").await.unwrap().cmek_id, Some(own.id));
}

#[tokio::test]
async fn a_key_is_tried_before_it_is_added() {
    let at = Customers::new();
    let service = at.open().await;
    let project = at.project(&service, "sealed").await;
    for (mood, told) in [
        (Mood::Denied, "The key cannot be used: AccessDenied"),
        (Mood::Down, "could not be found out: timed out"),
        (Mood::Lying, "another key"),
    ] {
        at.keys.becomes(&aws_key(1), mood);
        let error = at.add(&service, project, "main", 1).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::FailedPrecondition, "{mood:?}");
        assert!(error.message.contains(told), "{error}");
    }
    assert!(service.list_cmeks(&at.me(), None).await.unwrap().is_empty());
    at.keys.becomes(&aws_key(1), Mood::Up);
    let added = at.add(&service, project, " main ", 1).await.unwrap();
    assert_eq!(added.name, "main");
    assert_eq!(code(at.add(&service, project, "main", 2).await), Some(ErrorCode::AlreadyExists));
    for n in 2..=20 {
        at.add(&service, project, &format!("key-{n}"), n).await.unwrap();
    }
    assert_eq!(code(at.add(&service, project, "one more", 21).await), Some(ErrorCode::QuotaExceeded));
    let nowhere = ProjectId::from_bytes([7; 16]);
    assert_eq!(code(at.add(&service, nowhere, "main", 1).await), Some(ErrorCode::NotFound));
    let created = audit_events(&service, &at.me()).await;
    let failures = created.iter().filter(|e| e.resource_type == "cmek" && e.outcome != pinyon_model::AuditOutcome::Success);
    assert_eq!(failures.count(), 3, "refused adds are in the log, one of each kind at once");
    // Without a way to customers' keys nothing is added.
    close(service).await;
    let offline = at.house.open().await;
    let other = at.project(&offline, "other").await;
    assert_eq!(code(at.add(&offline, other, "x", 22).await), Some(ErrorCode::FailedPrecondition));
}

#[tokio::test]
async fn a_denied_key_takes_the_data_away_and_gives_it_back() {
    let at = Customers::new();
    let service = at.open().await;
    let (project, cmek, index) = at.furnished(&service).await;
    let (me, ctx) = (at.me(), at.in_project(project));
    at.keys.becomes(&cmek.key, Mood::Denied);
    at.pass(&service, LIFETIME_MS - 1).await;
    assert_eq!(count(&service, &me, &index).await, Ok(1), "for its lifetime an answer is good");
    at.pass(&service, 1).await;

    refusal(count(&service, &me, &index).await);
    refusal(upsert(&service, &me, &index, "b").await);
    refusal(service.stats(&me, &index, None).await);
    refusal(service.create_index(&ctx, spec("songs")).await);
    let state = at.state(&service, cmek.id).await;
    assert_eq!((state.status, state.served, state.denied, state.indexes), (CmekStatus::Denied, false, 1, 1));
    assert!(state.reason.unwrap().contains("AccessDenied"));
    // What an index is can be said and changed.
    assert_eq!(service.list_indexes(&ctx).await.unwrap().len(), 1);
    let tags = [("a".to_owned(), Some("b".to_owned()))].into_iter().map(|(k, v)| (k, v.unwrap())).collect();
    service.configure_index(&ctx, "movies", IndexChange { tags: Some(tags), ..IndexChange::default() }).await.unwrap();

    at.keys.becomes(&cmek.key, Mood::Up);
    at.pass(&service, 10_000).await;
    assert_eq!(count(&service, &me, &index).await, Ok(1), "it comes back without a restart");
    upsert(&service, &me, &index, "b").await.unwrap();
    let changes: Vec<String> = audit_events(&service, &me)
        .await
        .iter()
        .filter(|e| (e.action.as_str(), e.resource_type.as_str()) == ("update", "cmek"))
        .flat_map(|e| e.parameters.clone())
        .filter(|(name, _)| name == "status")
        .map(|(_, value)| value)
        .collect();
    assert_eq!(changes, ["ready -> denied", "denied -> ready"]);

    // Deleting takes no key.
    at.keys.becomes(&cmek.key, Mood::Denied);
    at.pass(&service, LIFETIME_MS).await;
    service.delete_index(&ctx, "movies").await.unwrap();
}

#[tokio::test]
async fn an_unreachable_key_is_served_for_the_grace() {
    let at = Customers::new();
    let service = at.open().await;
    let (_, cmek, index) = at.furnished(&service).await;
    let me = at.me();
    at.keys.becomes(&cmek.key, Mood::Down);
    at.pass(&service, LIFETIME_MS).await;
    assert_eq!(count(&service, &me, &index).await, Ok(1));
    let state = at.state(&service, cmek.id).await;
    assert_eq!((state.status, state.served, state.unreachable), (CmekStatus::Unreachable, true, 1));
    at.pass(&service, GRACE_MS - LIFETIME_MS).await;
    assert_eq!(count(&service, &me, &index).await, Ok(1), "counted from the last good answer");
    // Not even until the next look.
    at.house.clock.advance_ms(1);
    assert!(refusal(count(&service, &me, &index).await).contains("unreachable"));
    service.refresh_cmeks().await;
    assert!(!at.state(&service, cmek.id).await.served);
    at.keys.becomes(&cmek.key, Mood::Up);
    at.pass(&service, 60_000).await;
    assert_eq!(count(&service, &me, &index).await, Ok(1));
}

#[tokio::test]
async fn the_grace_is_not_carried_over_a_restart() {
    let at = Customers::new();
    let service = at.open().await;
    let (project, cmek, _) = at.furnished(&service).await;
    close(service).await;
    at.keys.becomes(&cmek.key, Mood::Down);
    let service = at.open().await;
    let ctx = at.in_project(project);
    let index = service.find_index(&ctx, "movies").await.unwrap();
    refusal(count(&service, &ctx, &index).await);
    service.refresh_cmeks().await;
    refusal(count(&service, &ctx, &index).await);
    // Others wait for nobody.
    service.create_index(&at.me(), spec("plain")).await.unwrap();
    at.keys.becomes(&cmek.key, Mood::Up);
    at.pass(&service, 10_000).await;
    assert_eq!(count(&service, &ctx, &index).await, Ok(1));
    drop(index);
    close(service).await;
    // Nor does a process that cannot reach keys serve what is under one.
    let offline = at.house.open().await;
    let index = offline.find_index(&ctx, "movies").await.unwrap();
    refusal(count(&offline, &ctx, &index).await);
}

#[tokio::test]
async fn a_key_that_answers_with_another_is_denied() {
    let at = Customers::new();
    let service = at.open().await;
    let (_, cmek, index) = at.furnished(&service).await;
    let other = at.project(&service, "other").await;
    let theirs = at.add(&service, other, "main", 1).await.unwrap();
    for mood in [Mood::Lying, Mood::Swapping] {
        at.keys.becomes(&cmek.key, mood);
        at.pass(&service, LIFETIME_MS).await;
        refusal(count(&service, &at.me(), &index).await);
        for id in [cmek.id, theirs.id] {
            let state = at.state(&service, id).await;
            assert_eq!(state.status, CmekStatus::Denied, "{mood:?}");
            let why = state.reason.unwrap();
            assert!(why.contains(if mood == Mood::Lying { "another key" } else { "InvalidCiphertext" }), "{why}");
        }
        at.keys.becomes(&cmek.key, Mood::Up);
        at.pass(&service, 10_000).await;
        assert_eq!(count(&service, &at.me(), &index).await, Ok(1));
    }
}

#[tokio::test]
async fn keys_are_asked_for_by_their_number_and_not_by_what_is_under_them() {
    let at = Customers::new();
    let service = at.open().await;
    let (project, ..) = at.furnished(&service).await;
    for n in 0..30 {
        let index = at.index(&service, project, &format!("index-{n}")).await;
        upsert(&service, &at.me(), &index, "a").await.unwrap();
    }
    at.keys.asked();
    for _ in 0..10 {
        at.pass(&service, LIFETIME_MS / 2).await;
    }
    assert_eq!(at.keys.asked(), 5, "one question in each lifetime");
}

#[tokio::test]
async fn a_key_is_replaced_under_use() {
    let at = Customers::new();
    let service = at.open().await;
    let (project, cmek, index) = at.furnished(&service).await;
    let me = at.me();
    for n in 0..5 {
        at.index(&service, project, &format!("more-{n}")).await;
    }
    at.keys.becomes(&aws_key(2), Mood::Denied);
    let refused = service.replace_cmek(&me, cmek.id, aws_key(2)).await;
    assert_eq!(code(refused), Some(ErrorCode::FailedPrecondition));
    assert_eq!(service.describe_cmek(&me, cmek.id).await.unwrap().0.key, cmek.key);
    at.keys.becomes(&aws_key(2), Mood::Up);

    let (replaced, state) = service.replace_cmek(&me, cmek.id, aws_key(2)).await.unwrap();
    assert_eq!((replaced.id, &replaced.name, &replaced.key), (cmek.id, &cmek.name, &aws_key(2)));
    let progress = state.replacement.unwrap();
    assert_eq!((progress.replaced, progress.done, progress.total, state.indexes), (cmek.key.clone(), 0, 6, 6));
    assert_eq!(count(&service, &me, &index).await, Ok(1), "in the middle of it");
    assert_eq!(code(service.replace_cmek(&me, cmek.id, aws_key(3)).await), Some(ErrorCode::FailedPrecondition), "one at a time");
    assert_eq!(code(service.delete_cmek(&me, cmek.id, "main").await), Some(ErrorCode::FailedPrecondition));
    // What is new is under the new one from now on.
    at.index(&service, project, "new").await;
    at.pass(&service, 0).await;
    let state = at.state(&service, cmek.id).await;
    assert_eq!((state.replacement, state.indexes), (None, 7));

    at.keys.becomes(&cmek.key, Mood::Denied);
    at.pass(&service, LIFETIME_MS).await;
    assert_eq!(count(&service, &me, &index).await, Ok(1), "nobody asks the old one any more");
    drop(index);
    close(service).await;
    let service = at.open().await;
    service.refresh_cmeks().await;
    let index = service.find_index(&at.in_project(project), "movies").await.unwrap();
    assert_eq!(count(&service, &me, &index).await, Ok(1));
    at.keys.becomes(&aws_key(2), Mood::Denied);
    at.pass(&service, LIFETIME_MS).await;
    refusal(count(&service, &me, &index).await);
}

#[tokio::test]
async fn a_replacement_goes_on_after_a_restart_and_waits_for_the_old_key() {
    let at = Customers::new();
    let service = at.open().await;
    let (project, cmek, _) = at.furnished(&service).await;
    service.replace_cmek(&at.me(), cmek.id, aws_key(2)).await.unwrap();
    close(service).await;
    at.keys.becomes(&cmek.key, Mood::Down);
    let service = at.open().await;
    let ctx = at.in_project(project);
    let index = service.find_index(&ctx, "movies").await.unwrap();
    service.refresh_cmeks().await;
    // Its key is under the old one still, and that is out of reach; what is new is not.
    assert_eq!(code(count(&service, &ctx, &index).await), Some(ErrorCode::Forbidden));
    let fresh = at.index(&service, project, "fresh").await;
    upsert(&service, &ctx, &fresh, "a").await.unwrap();
    let state = at.state(&service, cmek.id).await;
    let progress = state.replacement.unwrap();
    assert_eq!((progress.status, progress.done, progress.total), (CmekStatus::Unreachable, 1, 2));
    at.keys.becomes(&cmek.key, Mood::Up);
    at.pass(&service, 10_000).await;
    assert_eq!((count(&service, &ctx, &index).await, at.state(&service, cmek.id).await.replacement), (Ok(1), None));
}

#[tokio::test]
async fn deleting_a_key_takes_its_name_and_that_nothing_is_under_it() {
    let at = Customers::new();
    let service = at.open().await;
    let (project, cmek, _) = at.furnished(&service).await;
    let (me, ctx) = (at.me(), at.in_project(project));
    for wrong in ["", "Main", "other"] {
        assert_eq!(code(service.delete_cmek(&me, cmek.id, wrong).await), Some(ErrorCode::InvalidArgument), "{wrong}");
    }
    let told = service.delete_cmek(&me, cmek.id, "main").await.unwrap_err();
    assert_eq!((told.code, told.message.contains("1 indexes")), (ErrorCode::FailedPrecondition, true), "{told}");
    service.delete_index(&ctx, "movies").await.unwrap();
    let told = service.delete_cmek(&me, cmek.id, "main").await.unwrap_err();
    assert!(told.message.contains("deleted and not purged"), "it can still be brought back: {told}");
    at.house.clock.advance_ms(7 * 24 * 60 * 60 * 1_000);
    service.purge_deleted(&me, false).await.unwrap();
    service.delete_cmek(&me, cmek.id, "main").await.unwrap();
    assert_eq!(code(service.describe_cmek(&me, cmek.id).await), Some(ErrorCode::NotFound));
    assert_eq!(code(service.create_index(&ctx, spec("movies")).await), Some(ErrorCode::FailedPrecondition), "it has no key any more");
    // A project goes with its keys.
    at.add(&service, project, "again", 1).await.unwrap();
    service.delete_project(&me, project).await.unwrap();
    assert!(service.list_cmeks(&me, None).await.unwrap().is_empty());
    at.keys.asked();
    at.pass(&service, LIFETIME_MS).await;
    assert_eq!(at.keys.asked(), 0, "what is gone is not asked for");
}

#[tokio::test]
async fn a_key_that_answers_slowly_delays_no_other() {
    let at = Customers::new();
    let service = at.open().await;
    let (_, _, index) = at.furnished(&service).await;
    let other = at.project(&service, "other").await;
    let slow = at.add(&service, other, "slow", 2).await.unwrap();
    at.keys.becomes(&slow.key, Mood::Silent);
    at.house.clock.advance_ms(LIFETIME_MS);
    let all = tokio::time::timeout(std::time::Duration::from_millis(300), service.refresh_cmeks()).await;
    assert!(all.is_err(), "it waits for the silent one");
    let mut state = service.list_cmeks(&at.me(), None).await.unwrap();
    state.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    assert_eq!(state.iter().map(|(c, s)| (c.name.as_str(), s.asked)).collect::<Vec<_>>(), [("main", 2), ("slow", 1)]);
    assert_eq!(count(&service, &at.me(), &index).await, Ok(1));
}

#[tokio::test]
async fn keys_are_the_owners_to_change_and_the_members_to_see() {
    let at = Customers::new();
    let service = at.open().await;
    let (project, cmek, _) = at.furnished(&service).await;
    let stranger = at.house.caller(&service, None, &[pinyon_model::Role::ProjectEditor]).await;
    assert_eq!(code(service.describe_cmek(&stranger, cmek.id).await), Some(ErrorCode::NotFound));
    assert!(service.list_cmeks(&stranger, Some(project)).await.unwrap().is_empty());
    let own = at.house.caller(&service, Some(project), &[pinyon_model::Role::ProjectEditor]).await;
    assert_eq!(code(service.describe_cmek(&own, cmek.id).await), Some(ErrorCode::Forbidden));
    assert_eq!(code(service.delete_cmek(&own, cmek.id, "main").await), Some(ErrorCode::Forbidden));
    assert_eq!(code(service.replace_cmek(&own, cmek.id, aws_key(2)).await), Some(ErrorCode::Forbidden));
    assert!(matches!(&*at.me().principal, Principal::Operator));
}

#[tokio::test]
async fn a_rebuilt_catalog_knows_the_keys_again() -> Result<(), Error> {
    let at = Customers::new();
    let service = at.open().await;
    let (project, cmek, _) = at.furnished(&service).await;
    let (_, state) = service.replace_cmek(&at.me(), cmek.id, aws_key(2)).await?;
    assert!(state.replacement.is_some());
    close(service).await;
    std::fs::remove_file(at.house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(at.options(), at.house.clock()).await?;
    assert!(report.unreadable.is_empty() && report.indexes.len() == 1, "{report:?}");
    let service = at.open().await;
    service.refresh_cmeks().await;
    let ctx = at.in_project(project);
    let index = service.find_index(&ctx, "movies").await?;
    assert_eq!(index.describe().cmek_id, Some(cmek.id));
    assert_eq!(count(&service, &ctx, &index).await, Ok(1));
    let (found, state) = service.describe_cmek(&at.me(), cmek.id).await?;
    assert_eq!((found.name.as_str(), state.status, state.indexes), ("main", CmekStatus::Ready, 1));
    Ok(())
}

#[tokio::test]
async fn ten_thousand_namespaces_are_wrapped_anew_by_their_indexes() {
    let at = Customers::new();
    let service = at.open().await;
    let project = at.project(&service, "sealed").await;
    let cmek = at.add(&service, project, "main", 1).await.unwrap();
    let (namespaces, indexes) = (crate::common::rounds(200), 10);
    for n in 0..indexes {
        let index = at.index(&service, project, &format!("index-{n}")).await;
        let ctx = at.me();
        let make = async |m: usize| service.create_namespace(&ctx, &index, namespace(&format!("ns-{m}")), None).await.map(drop);
        for at_once in (0..namespaces / indexes).collect::<Vec<_>>().chunks(100) {
            let made = futures_util::future::join_all(at_once.iter().map(|m| make(*m))).await;
            made.into_iter().collect::<Result<()>>().unwrap();
        }
    }
    at.keys.asked();
    let begin = std::time::Instant::now();
    service.replace_cmek(&at.me(), cmek.id, aws_key(2)).await.unwrap();
    at.pass(&service, 0).await;
    let state = at.state(&service, cmek.id).await;
    assert_eq!((state.replacement, state.indexes), (None, indexes as u64));
    let asked = at.keys.asked();
    println!("{namespaces} namespaces in {indexes} indexes: replaced in {:?}, with {asked} calls of the provider", begin.elapsed());
    assert_eq!(asked, 2, "one to seal, one to open");
}
