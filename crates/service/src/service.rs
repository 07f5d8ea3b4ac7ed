use std::{
    future::Future,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use pinyon_engine::{Clock, Engine};
use pinyon_model::{
    ApiKeyId, Error, ErrorCode, Grants, Organization, OrganizationId, PaymentStatus, Plan, Principal, PrincipalRef, Project, ProjectAccess,
    ProjectId, Restrictions, Result, Role, RoleGrant,
};
use pinyon_storage::{Mac, RootKey, random_bytes};
use tokio::task::JoinHandle;

use crate::{
    AuthMode, CreatedApiKey, DataPlaneAudit, DeletionOptions, InviteMail, Limits, NewApiKey, OpContext, PortCheck, ServiceOptions,
    api_key::{UseLog, bind_key},
    audit::{self, Audit},
    audit_delivery::Deliveries,
    authorize::{Action, Authorized, Installation},
    backup::BackupTasks,
    catalog::{self, Catalog, Change, Defaults, Noun, StoredApiKey, Tables},
    cmek::CustomerKeys,
    deleted::{Purging, REPORT_KEY},
    index::StoredIndex,
    limits::Quotas,
    mail::Resends,
    password::PasswordPool,
    rates::{MonthlyUsage, RateLimiter},
    role_binding::bind,
    rotation,
    store::Store,
    throttle::Throttle,
};

/// The system key that the hashes of secrets are made with.
const HASH_KEY: &str = "api-keys";
/// What they are for. Other secrets came later than those of API keys, and have their own shapes.
const HASH: &str = "api key secret";
/// The system key that tokens are made with, and what it is for.
const TOKEN_KEY: &str = "access-tokens";
const TOKEN: &str = "access token";
/// How often counted refusals are looked through.
const TICK_MS: u64 = 10_000;
/// How often old entries of the audit log are looked for.
const RETENTION_EVERY_MS: u64 = 10 * 60 * 1_000;
/// How often it is looked whose keys are due for rotation.
const ROTATION_EVERY_MS: u64 = 60 * 60 * 1_000;
/// How often it is looked which scheduled backups are due.
const BACKUP_TICK_MS: u64 = 1_000;
/// How long a stop waits for backups that are being stored.
const STORING_MS: u64 = 10_000;
/// How often it is looked which audit sinks are due.
const DELIVERY_TICK_MS: u64 = 1_000;
/// How often it is looked which customers' keys are to be asked for.
const CMEK_TICK_MS: u64 = 250;
/// How often it is looked whether something is to be purged, at least and at most.
const PURGE_TICK_MS_MIN: u64 = 200;
const PURGE_TICK_MS_MAX: u64 = 60_000;

/// One data directory, opened: everything that can be asked of it.
pub struct Service {
    store: Store,
    audit: Audit,
    catalog: Catalog,
    engine: Engine,
    secret_hasher: Mac,
    token_mac: Mac,
    passwords: PasswordPool,
    sign_ins: Throttle,
    invite_mail: Option<InviteMail>,
    resends: Resends,
    root: Mutex<RootKey>,
    clock: Arc<dyn Clock>,
    auth: AuthMode,
    limits: Limits,
    rates: Option<RateLimiter>,
    ports: Option<RangeInclusive<u16>>,
    port_is_free: Option<PortCheck>,
    data_plane_audit: DataPlaneAudit,
    audit_retention_days: Option<u32>,
    data_key_days: Option<u32>,
    deliveries: Deliveries,
    customer_keys: CustomerKeys,
    backup_tasks: Arc<BackupTasks>,
    viewers_infer: bool,
    private_region: Option<String>,
    deletion: DeletionOptions,
    purging: Purging,
    audits_key_use: bool,
    use_log: UseLog,
    bootstrap: Mutex<Option<CreatedApiKey>>,
    jobs: Mutex<Vec<JoinHandle<()>>>,
}

impl Service {
    /// Opens a data directory, or makes one: takes its lock, then opens keys, audit log, catalog and engine in this order, and ends
    /// what a deletion that was cut short left behind. `FailedPrecondition` when another process has it, the root key is another, or
    /// the catalog is gone or older than the audit log knows; `DataLoss`, naming the file, when it is damaged.
    pub async fn open(options: ServiceOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let serves = options.serves;
        let service = Arc::new(Self::assemble(options, clock).await?);
        if service.catalog.default_project().is_none() {
            service.bootstrap("default").await?;
        }
        service.bind_old_keys().await?;
        service.assign_ports().await?;
        service.sweep().await?;
        service.sweep_project_keys().await;
        // With a damaged audit log nothing can be settled, and reads are served all the same.
        if let Err(error) = service.settle_backups().await {
            tracing::error!(%error, "how backups ended is not recorded yet; it is tried again");
        }
        service.sweep_backups().await?;
        service.read_key_use().await;
        if serves {
            service.record_settings().await?;
        }
        let jobs = [
            Some(tokio::spawn(tick(Arc::downgrade(&service), Arc::clone(&service.clock)))),
            serves.then(|| tokio::spawn(keep_audit(Arc::downgrade(&service), Arc::clone(&service.clock)))),
            serves.then(|| tokio::spawn(rotate(Arc::downgrade(&service), Arc::clone(&service.clock)))),
            serves.then(|| tokio::spawn(purge(Arc::downgrade(&service), Arc::clone(&service.clock)))),
            serves.then(|| tokio::spawn(deliver(Arc::downgrade(&service), Arc::clone(&service.clock)))),
            serves.then(|| tokio::spawn(watch_cmeks(Arc::downgrade(&service), Arc::clone(&service.clock)))),
            serves.then(|| tokio::spawn(back_up(Arc::downgrade(&service), Arc::clone(&service.clock)))),
        ];
        lock(&service.jobs).extend(jobs.into_iter().flatten());
        if serves {
            service.resume_restores();
        }
        Ok(service)
    }

    async fn assemble(options: ServiceOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let root = options.root_key.clone();
        let store = Store::open(options.data_dir.clone(), options.key_dir.clone(), options.reserve_bytes, options.root_key.clone()).await?;
        let audit = Audit::open(store.clone(), Arc::clone(&clock)).await?;
        let catalog_key = store.keys().system_key(catalog::KEY).await?;
        let is_new = is_new(&store, &audit).await?;
        let path = store.path().join(catalog::FILE);
        if !is_new && store.blobs().head(catalog::FILE).await.is_err_and(|e| e.is_not_found()) {
            return Err(Error::new(
                ErrorCode::FailedPrecondition,
                format!(
                    "{} is gone from {}. Put it back, or make it anew with 'pinyon catalog rebuild'",
                    catalog::FILE,
                    store.path().display()
                ),
            ));
        }
        let catalog = Catalog::open(path, catalog_key, is_new).await?;
        if !audit.is_damaged().await {
            match catalog.reconcile(&audit).await {
                // It is the log that is at fault: as with any damage of it, data goes on being served.
                Err(error) if error.code == ErrorCode::DataLoss => audit.mark_damaged(error).await,
                reconciled => reconciled?,
            }
        }
        Self::with_parts(options, root, store, audit, catalog, clock).await
    }

    pub(crate) async fn with_parts(
        options: ServiceOptions,
        root: RootKey,
        store: Store,
        audit: Audit,
        catalog: Catalog,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let secret_hasher = store.keys().system_key(HASH_KEY).await?.mac_for(HASH);
        let token_mac = store.keys().system_key(TOKEN_KEY).await?.mac_for(TOKEN);
        // There from the first start, as the others: a record of a purge must not be under a key that is younger than what it is about.
        store.keys().system_key(REPORT_KEY).await?;
        // Nor is it made by a job, which may be stopped in the middle of that.
        store.keys().system_key(rotation::KEY).await?;
        let month = match MonthlyUsage::read(&store).await {
            Ok(month) => month,
            Err(error) => {
                // What is wrong with a count must not keep anybody from the data.
                tracing::error!(%error, "what was used this month is counted from nothing");
                MonthlyUsage::default()
            }
        };
        let rates = RateLimiter::new(&options.limits, month);
        let keys = Arc::clone(store.keys());
        let engine =
            Engine::open(Arc::clone(store.blobs()), store.path().to_owned(), keys, Arc::clone(&clock), options.engine.clone()).await?;
        Ok(Self {
            store,
            audit,
            catalog,
            engine,
            secret_hasher,
            token_mac,
            passwords: PasswordPool::default(),
            sign_ins: Throttle::default(),
            invite_mail: options.invite_mail,
            resends: Resends::default(),
            root: Mutex::new(root),
            clock,
            auth: options.auth,
            limits: options.limits,
            rates,
            ports: options.ports,
            port_is_free: options.port_is_free,
            data_plane_audit: options.data_plane_audit,
            audit_retention_days: options.audit_retention_days,
            data_key_days: options.data_key_days,
            deliveries: Deliveries::new(options.audit_delivery),
            customer_keys: CustomerKeys::new(options.cmek),
            backup_tasks: Arc::default(),
            viewers_infer: options.viewers_infer,
            private_region: options.private_region,
            deletion: options.deletion,
            purging: Purging::default(),
            audits_key_use: options.audit_key_use,
            use_log: UseLog::default(),
            bootstrap: Mutex::new(None),
            jobs: Mutex::default(),
        })
    }

    /// The key that was made when the data directory was; there once, for whoever asks first.
    pub fn take_bootstrap_key(&self) -> Option<CreatedApiKey> {
        lock(&self.bootstrap).take()
    }

    /// The project that the first start made, and that the operator's control-plane calls act on.
    pub fn default_project(&self) -> ProjectId {
        self.catalog.tables().defaults().project
    }

    /// Whether changes can be made: the last entry of the audit log could be written.
    pub fn is_ready(&self) -> bool {
        self.audit.is_writable()
    }

    /// Ends background work and writes what is still counted. Everything acknowledged is durable without it.
    pub async fn close(&self) {
        // A backup that is nearly stored need not be a failed one.
        tokio::select! {
            () = self.backup_tasks.stored() => {}
            () = self.clock.wait_ms(STORING_MS) => {}
        }
        let jobs: Vec<_> = lock(&self.jobs).drain(..).collect();
        jobs.iter().for_each(|job| job.abort());
        for job in jobs {
            // One that was stopped has an error to tell; it holds this service until then.
            let _ = job.await;
        }
        if let Err(error) = self.record_key_use().await {
            tracing::warn!(%error, "the last uses of API keys are not in the audit log");
        }
        self.write_key_use().await;
        self.store_month().await;
        self.engine.close().await;
        self.catalog.close().await;
        self.audit.close().await;
    }

    /// Stores what was used this month, if that changed. What a failure leaves, the next attempt stores.
    async fn store_month(&self) {
        let Some(rates) = &self.rates else { return };
        let Some(month) = rates.month_to_store() else { return };
        if let Err(error) = month.write(&self.store).await {
            tracing::error!(%error, "what was used this month could not be stored");
            rates.month_not_stored();
        }
    }

    /// Goes on with this after the answer, until it ends or the service closes.
    pub(crate) fn in_background(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut jobs = lock(&self.jobs);
        jobs.retain(|job| !job.is_finished());
        jobs.push(tokio::spawn(task));
    }

    /// Runs a change to its end even if the caller goes away, so that no step of it is left out.
    pub(crate) async fn detached<T: Send + 'static>(&self, change: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        tokio::spawn(change).await.unwrap_or_else(|_| Err(Error::internal("The change ended unexpectedly; look whether it was made")))
    }

    /// Organization, project and a key of the first start, in one change.
    pub(crate) async fn bootstrap(&self, name: &str) -> Result<()> {
        let ctx = OpContext::internal(Principal::System, self.clock.now_ms());
        let mut authorized = self.authorize(&ctx, Action::CreateProject, Installation).await?;
        let result = self.bootstrap_authorized(&mut authorized, name, ctx.now_ms).await;
        let key = authorized.close(result).await?;
        *lock(&self.bootstrap) = Some(key);
        Ok(())
    }

    async fn bootstrap_authorized(&self, authorized: &mut Authorized<Installation>, name: &str, now_ms: u64) -> Result<CreatedApiKey> {
        let mut writer = self.catalog.writer().await;
        let (organization, project) = new_owners(name, now_ms);
        let new = NewApiKey { name: "bootstrap".to_owned(), roles: vec![Role::ProjectEditor], ..NewApiKey::default() };
        let (created, key) = self.prepare_key(new, &project, now_ms)?;
        authorized.name(project.id.to_string(), name);
        authorized.note("api_key", created.key.id.to_string());
        let defaults = Defaults { organization: organization.id, project: project.id };
        let mut changes = vec![Change::Put(Noun::Organization(organization)), Change::Put(Noun::Project(project))];
        changes.extend(key.into_iter().chain([Change::SetDefaults(defaults)]));
        self.catalog.change(&mut writer, authorized, &self.audit, changes).await?;
        Ok(created)
    }

    /// Gives a port to each index that was made when indexes had none.
    async fn assign_ports(&self) -> Result<()> {
        if self.ports.is_none() {
            return Ok(());
        }
        let without: Vec<Arc<StoredIndex>> =
            self.catalog.tables().indexes.values().map(|i| i.stored()).filter(|s| s.index.port.is_none()).collect();
        for old in without {
            let ctx = OpContext::internal(Principal::System, self.clock.now_ms());
            let mut authorized = self.authorize(&ctx, Action::ConfigureIndex, Installation).await?;
            authorized.name(old.index.name.as_str(), old.index.name.as_str());
            let result = self.assign_port(&mut authorized, (*old).clone()).await;
            authorized.close(result).await?;
        }
        Ok(())
    }

    async fn assign_port(&self, authorized: &mut Authorized<Installation>, mut stored: StoredIndex) -> Result<()> {
        let mut writer = self.catalog.writer().await;
        stored.index.port = self.free_port(&self.catalog.tables())?;
        authorized.note("port", stored.index.port.map(|p| p.to_string()).unwrap_or_default());
        self.descriptor(&stored)?.write(&self.store, pinyon_storage::Purpose::Essential).await?;
        self.catalog.change(&mut writer, authorized, &self.audit, vec![Change::Put(Noun::Index(stored))]).await
    }

    /// Makes bindings of the roles that rows of keys held before there were bindings.
    async fn bind_old_keys(&self) -> Result<()> {
        let old: Vec<StoredApiKey> = {
            let tables = self.catalog.tables();
            tables.keys.values().filter(|k| !k.stored.roles_in_row.is_empty()).map(|k| k.stored.clone()).collect()
        };
        if old.is_empty() {
            return Ok(());
        }
        let ctx = OpContext::internal(Principal::System, self.clock.now_ms());
        let mut authorized = self.authorize(&ctx, Action::BindRoles, Installation).await?;
        authorized.note("api_keys", old.len().to_string());
        let mut changes = Vec::new();
        for mut key in old {
            let roles = std::mem::take(&mut key.roles_in_row);
            let organization = self.catalog.tables().organization_of(key.info.project_id);
            let organization = organization.ok_or_else(|| Error::internal("A key's project is not there"))?;
            changes.extend(bind_key(organization, &key.info, &roles, key.info.created_at_ms));
            changes.push(Change::Put(Noun::ApiKey(key)));
        }
        let mut writer = self.catalog.writer().await;
        let result = self.catalog.change(&mut writer, &mut authorized, &self.audit, changes).await;
        authorized.close(result).await
    }

    /// Whoever shows nothing known, where any key is accepted: an editor of the default project.
    pub(crate) fn any_key_principal(&self) -> Arc<Principal> {
        let Defaults { organization, project } = self.catalog.tables().defaults();
        let id = ApiKeyId::from_bytes([0; 16]);
        let grant = RoleGrant { project: Some(project), role: Role::ProjectEditor };
        let grants = Grants::new(organization, [&bind(organization, PrincipalRef::ApiKey(id), grant, 0)]);
        let restrictions = Restrictions::default();
        Arc::new(Principal::ApiKey { id, name: "any key".to_owned(), project_id: project, grants, restrictions })
    }

    pub(crate) fn replace_root(&self, new: RootKey) {
        *lock(&self.root) = new;
    }
    pub(crate) fn root(&self) -> RootKey {
        lock(&self.root).clone()
    }
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }
    pub(crate) fn data_key_days(&self) -> Option<u32> {
        self.data_key_days
    }
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
    pub(crate) fn secret_hasher(&self) -> &Mac {
        &self.secret_hasher
    }
    pub(crate) fn token_mac(&self) -> &Mac {
        &self.token_mac
    }
    pub(crate) fn passwords(&self) -> &PasswordPool {
        &self.passwords
    }
    pub(crate) fn sign_ins(&self) -> &Throttle {
        &self.sign_ins
    }
    pub(crate) fn invite_mail(&self) -> Option<&InviteMail> {
        self.invite_mail.as_ref()
    }
    pub(crate) fn resends(&self) -> &Resends {
        &self.resends
    }
    pub(crate) fn viewers_infer(&self) -> bool {
        self.viewers_infer
    }
    pub(crate) fn deletion(&self) -> DeletionOptions {
        self.deletion
    }
    pub(crate) fn purging(&self) -> &Purging {
        &self.purging
    }
    pub(crate) fn private_region(&self) -> Option<&str> {
        self.private_region.as_deref()
    }
    pub(crate) fn audits_key_use(&self) -> bool {
        self.audits_key_use
    }
    pub(crate) fn use_log(&self) -> &UseLog {
        &self.use_log
    }
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
    pub(crate) fn auth(&self) -> AuthMode {
        self.auth
    }
    /// How many objects an organization may have.
    pub(crate) fn quotas(&self, tables: &Tables, organization: OrganizationId) -> Quotas {
        // Without the organization there is nothing to count, and its absence is told elsewhere.
        self.limits.quotas(tables.organizations.get(&organization).map_or(Plan::Free, |o| o.plan))
    }
    pub(crate) fn quotas_of_project(&self, tables: &Tables, project: ProjectId) -> Quotas {
        self.quotas(tables, tables.organization_of(project).unwrap_or(tables.defaults().organization))
    }
    pub(crate) fn rates(&self) -> Option<&RateLimiter> {
        self.rates.as_ref()
    }
    pub(crate) fn port_is_free(&self, port: u16) -> bool {
        self.port_is_free.as_ref().is_none_or(|free| free(port))
    }
    pub(crate) fn ports(&self) -> Option<&RangeInclusive<u16>> {
        self.ports.as_ref()
    }
    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }
    pub(crate) fn customer_keys(&self) -> &CustomerKeys {
        &self.customer_keys
    }
    pub(crate) fn backup_tasks(&self) -> &Arc<BackupTasks> {
        &self.backup_tasks
    }
    pub(crate) fn audit_retention_days(&self) -> Option<u32> {
        self.audit_retention_days
    }
    pub(crate) fn data_plane_audit(&self) -> DataPlaneAudit {
        self.data_plane_audit
    }
}

/// An organization and a project of this name.
pub(crate) fn new_owners(name: &str, now_ms: u64) -> (Organization, Project) {
    let organization = Organization {
        id: OrganizationId::from_random(random_bytes()),
        name: name.to_owned(),
        plan: Plan::Enterprise,
        payment_status: PaymentStatus::Active,
        created_at_ms: now_ms,
    };
    let project = Project {
        id: ProjectId::from_random(random_bytes()),
        organization_id: organization.id,
        name: name.to_owned(),
        max_pods: 0,
        force_encryption_with_cmek: false,
        access: ProjectAccess::default(),
        created_at_ms: now_ms,
    };
    (organization, project)
}

/// Whether nothing was ever kept here: then a catalog that is not there is no loss.
async fn is_new(store: &Store, audit: &Audit) -> Result<bool> {
    let has_history = audit.is_damaged().await || audit.head().await.is_ok_and(|h| h.generation > 0);
    Ok(!has_history && store.blobs().list("indexes/").await?.is_empty())
}

/// Writes counted refusals and uses of keys once their time is over, for as long as the service lives.
async fn tick(service: Weak<Service>, clock: Arc<dyn Clock>) {
    loop {
        clock.wait_ms(TICK_MS).await;
        let Some(service) = service.upgrade() else { return };
        service.store_month().await;
        let recorded = match service.audit.tick().await {
            Ok(()) => service.record_key_use().await,
            failed => failed,
        };
        if let Err(error) = recorded {
            tracing::error!(%error, folder = audit::FOLDER, "the audit log cannot be written");
        }
    }
}

/// Drops entries whose time is over, for as long as the service lives.
async fn keep_audit(service: Weak<Service>, clock: Arc<dyn Clock>) {
    loop {
        {
            let Some(service) = service.upgrade() else { return };
            if let Err(error) = service.retain_audit().await {
                tracing::error!(%error, folder = audit::FOLDER, "old entries of the audit log are not dropped");
            }
        }
        clock.wait_ms(RETENTION_EVERY_MS).await;
    }
}

/// Rotates the keys of the data when they are old, for as long as the service lives.
async fn rotate(service: Weak<Service>, clock: Arc<dyn Clock>) {
    loop {
        {
            let Some(service) = service.upgrade() else { return };
            if let Err(error) = service.rotate_due_keys().await {
                tracing::error!(%error, "keys of the data are not rotated");
            }
        }
        clock.wait_ms(ROTATION_EVERY_MS).await;
    }
}

/// Purges what is due, for as long as the service lives.
async fn purge(service: Weak<Service>, clock: Arc<dyn Clock>) {
    loop {
        let wait_ms = {
            let Some(service) = service.upgrade() else { return };
            service.purge_in_turn().await;
            // A short window is kept as closely as a long one.
            (service.deletion.window_ms / 10).clamp(PURGE_TICK_MS_MIN, PURGE_TICK_MS_MAX)
        };
        clock.wait_ms(wait_ms).await;
    }
}

/// Delivers what is due, for as long as the service lives.
async fn deliver(service: Weak<Service>, clock: Arc<dyn Clock>) {
    loop {
        {
            let Some(service) = service.upgrade() else { return };
            service.deliver_due();
        }
        clock.wait_ms(DELIVERY_TICK_MS).await;
    }
}

/// Asks for customers' keys that are due, for as long as the service lives.
async fn watch_cmeks(service: Weak<Service>, clock: Arc<dyn Clock>) {
    loop {
        {
            let Some(service) = service.upgrade() else { return };
            service.refresh_cmeks_soon();
        }
        clock.wait_ms(CMEK_TICK_MS).await;
    }
}

/// Takes the backups that are due, and deletes those whose time is over, for as long as the service lives.
async fn back_up(service: Weak<Service>, clock: Arc<dyn Clock>) {
    loop {
        {
            let Some(service) = service.upgrade() else { return };
            if let Err(error) = service.run_backup_schedules().await {
                tracing::error!(%error, "scheduled backups cannot be taken, or deleted, at present");
            }
        }
        clock.wait_ms(BACKUP_TICK_MS).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
