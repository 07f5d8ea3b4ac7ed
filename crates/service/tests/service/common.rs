//! What every test needs: a directory to open and reopen, callers, indexes and records.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use pinyon_model::{
    AuditEvent, DeletionProtection, DenseVector, Deployment, Dimension, Error, ErrorCode, IndexName, IndexSchema, IndexSpec, Metadata,
    MetadataValue, Metric, NamespaceName, NewProject, Plane, Principal, PrincipalType, ProjectId, Query, QueryTarget, ReadCapacity, Record,
    RecordId, Role, Tags, TopK,
};
use pinyon_service::{AuditFrom, Clock, ManualClock, NewApiKey, OpContext, RootKey, Service, ServiceOptions};
use tempfile::TempDir;

/// A data directory with its root key and a clock that is turned by hand.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) root: RootKey,
    pub(crate) clock: ManualClock,
}

impl House {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), root: RootKey::generate(), clock: ManualClock::at(1_700_000_000_000) }
    }
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
    pub(crate) fn options(&self) -> ServiceOptions {
        // Tests that count entries of the audit log count acts.
        let production = ServiceOptions::new(self.path().to_owned(), self.root.clone());
        // What a server does by itself, a test does by hand.
        ServiceOptions { reserve_bytes: Some(0), audit_key_use: false, serves: false, ..production }
    }
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }
    pub(crate) async fn open(&self) -> Arc<Service> {
        self.open_with(self.options()).await.unwrap()
    }
    pub(crate) async fn open_with(&self, options: ServiceOptions) -> Result<Arc<Service>, Error> {
        Service::open(options, self.clock()).await
    }
    pub(crate) fn operator(&self) -> OpContext {
        self.context(Principal::Operator)
    }
    pub(crate) fn context(&self, principal: Principal) -> OpContext {
        OpContext {
            principal: Arc::new(principal),
            organization: None,
            project: None,
            request_id: Arc::from("request-1"),
            now_ms: self.clock.now_ms(),
            deadline: None,
            source: Arc::from("192.0.2.7"),
            private_path: None,
            user_agent: Arc::from("test/1"),
        }
    }
    /// A caller with a new key of this project and these roles, who was authenticated by its secret.
    pub(crate) async fn caller(&self, service: &Arc<Service>, project: Option<ProjectId>, roles: &[Role]) -> OpContext {
        let new = NewApiKey {
            name: format!("key {roles:?}").chars().take(80).collect(),
            project_id: project,
            roles: roles.to_vec(),
            ..NewApiKey::default()
        };
        let key = service.create_api_key(&self.operator(), new).await.unwrap();
        let principal = service.authenticate(Plane::Data, Some(key.secret.reveal()), "192.0.2.7").await.unwrap();
        OpContext { principal, ..self.operator() }
    }
    /// A ProjectEditor of the default project.
    pub(crate) async fn editor(&self, service: &Arc<Service>) -> OpContext {
        self.caller(service, None, &[Role::ProjectEditor]).await
    }
}

/// A project of this name that is to be.
pub(crate) fn project(name: &str) -> NewProject {
    NewProject { name: name.to_owned(), max_pods: None, force_encryption_with_cmek: false }
}

/// Revokes the key that an operator would mean by this.
pub(crate) async fn revoke(service: &Arc<Service>, ctx: &OpContext, which: &str) -> Result<pinyon_model::ApiKeyId, Error> {
    let key = service.find_api_key(ctx, which).await?;
    service.delete_api_key(ctx, key.id).await.map(|()| key.id)
}

/// Every entry of the audit log.
pub(crate) async fn audit_events(service: &Service, ctx: &OpContext) -> Vec<AuditEvent> {
    let (mut events, mut from) = (Vec::new(), AuditFrom::Oldest);
    loop {
        let page = service.audit_page(ctx, from, 100).await.unwrap();
        events.extend(page.events);
        if !page.more {
            return events;
        }
        from = AuditFrom::After(page.next);
    }
}

/// The roles that an API key may have.
pub(crate) fn key_roles() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(|r| r.may_be_held_by(PrincipalType::ApiKey))
}

/// Closes a service so that its directory can be opened again.
pub(crate) async fn close(service: Arc<Service>) {
    service.close().await;
    drop(service);
}

pub(crate) fn name(text: &str) -> IndexName {
    IndexName::new(text).unwrap()
}

pub(crate) fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(crate) fn serverless() -> Deployment {
    Deployment::Managed { cloud: "aws".into(), region: "us-east-1".into() }
}

pub(crate) fn pod() -> Deployment {
    Deployment::Pod { environment: "us-east1-gcp".into(), pod_type: "p1.x1".into(), replicas: 1, shards: 1, indexed: None }
}

/// A dense cosine index of three dimensions.
pub(crate) fn spec(text: &str) -> IndexSpec {
    IndexSpec {
        name: Some(name(text)),
        schema: IndexSchema::dense_index(Dimension::new(3).unwrap(), Metric::Cosine, None).unwrap(),
        deployment: serverless(),
        read_capacity: ReadCapacity::OnDemand,
        deletion_protection: DeletionProtection::Disabled,
        tags: Tags::default(),
        cmek_id: None,
        source_collection: None,
    }
}

pub(crate) fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

pub(crate) fn dense(values: [f32; 3]) -> DenseVector {
    DenseVector::new(values.to_vec()).unwrap()
}

pub(crate) fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    Metadata::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), MetadataValue::String((*v).to_owned()))).collect()).unwrap()
}

pub(crate) fn record(text: &str, values: [f32; 3]) -> Record {
    Record { id: id(text), dense: Some(dense(values)), sparse: None, metadata: metadata(&[("colour", "teal"), ("city", "Bern")]) }
}

pub(crate) fn namespace(text: &str) -> NamespaceName {
    NamespaceName::new(text).unwrap()
}

pub(crate) fn query(values: [f32; 3]) -> Query {
    Query {
        target: QueryTarget::Vector { dense: Some(dense(values)), sparse: None },
        top_k: TopK::new(10).unwrap(),
        filter: None,
        include_values: true,
        include_metadata: true,
        scan_factor: None,
        max_candidates: None,
    }
}

/// The kind of an answer, to compare with what was expected.
pub(crate) fn code<T>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.err().map(|e| e.code)
}

/// A small deterministic source of numbers.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// How many rounds a random test makes: `PINYON_ROUNDS`, or so many.
pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("PINYON_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Every file below a folder with its bytes.
pub(crate) fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                // A journal may be removed while we look: a connection that failed closes in the background.
                if let Ok(bytes) = std::fs::read(&path) {
                    found.insert(path, bytes);
                }
            }
        }
    }
    found
}

/// Makes the folder hold exactly these files.
pub(crate) fn restore(dir: &Path, wanted: &BTreeMap<std::path::PathBuf, Vec<u8>>) {
    for path in files(dir).keys().filter(|p| !wanted.contains_key(*p)) {
        // As above: it may be gone by now.
        let _ = std::fs::remove_file(path);
    }
    for (path, bytes) in wanted {
        if std::fs::read(path).ok().as_ref() != Some(bytes) {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}
