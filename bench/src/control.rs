//! What the control plane costs beside its own work: knowing the caller and asking its rights; and the entry in the audit log, against the
//! disk's fsync in the same run. With very many keys and projects beside few.

use std::{fs::File, io::Write, path::PathBuf, sync::Arc, time::Instant};

use pinyon_model::{NewProject, Plane, Principal, Role};
use pinyon_service::{Clock, NewApiKey, OpContext, RootKey, Service, ServiceOptions, SystemClock};
use tempfile::TempDir;

use crate::{
    Failure,
    report::{Report, Target, median},
    stats::Latencies,
};

/// The most that an entry may cost, at the 99th percentile, on a disk whose fsync is fast.
const AUDIT_TARGET_MS: f64 = 2.0;
/// The most that knowing the caller and asking its rights may add to a request.
const AUTHORIZE_TARGET_US: f64 = 5.0;
/// How much of either may come with very many keys and projects.
const GROWTH_TARGET: f64 = 1.2;
/// Bytes of an entry, about.
const ENTRY_BYTES: usize = 512;
/// Keys that take turns in showing who they are.
const CALLERS: usize = 1_000;
/// Calls that are timed together.
const BATCH: usize = 1_000;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Folder on the disk to measure [default: the one for temporary files]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Actions of each kind in a run
    #[arg(long, default_value_t = 1_000)]
    actions: usize,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Measure in turn with so many API keys in all; making them takes a few milliseconds each
    #[arg(long, default_value_t = 0)]
    keys: usize,
    /// And so many projects
    #[arg(long, default_value_t = 1)]
    projects: usize,
}

/// A service with callers.
struct House {
    /// What its figures are called: nothing for the small one.
    label: &'static str,
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    secrets: Vec<String>,
    folder: TempDir,
}

impl House {
    async fn open(settings: &Settings, label: &'static str, keys: usize, projects: usize) -> Result<Self, Failure> {
        let folder = match &settings.folder {
            Some(folder) => TempDir::with_prefix_in("pinyon-bench-", folder)?,
            None => TempDir::with_prefix("pinyon-bench-")?,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let mut options = ServiceOptions::new(folder.path().join("data"), RootKey::generate());
        options.limits.projects_per_organization = Some(u32::MAX);
        options.limits.api_keys_per_project = Some(u32::MAX);
        let service = Service::open(options, Arc::clone(&clock)).await?;
        let mut house = Self { label, service, clock, secrets: Vec::new(), folder };
        house.furnish(keys, projects).await?;
        Ok(house)
    }

    fn ctx(&self) -> OpContext {
        OpContext::internal(Principal::Operator, self.clock.now_ms())
    }

    /// The callers are spread over all projects; the first of these has the index that is asked for.
    async fn furnish(&mut self, keys: usize, projects: usize) -> Result<(), Failure> {
        let mut places = vec![self.service.default_project()];
        for n in 1..projects {
            let new = NewProject { name: format!("project {n}"), max_pods: None, force_encryption_with_cmek: false };
            places.push(self.service.create_project(&self.ctx(), new).await?.id);
        }
        let every = (keys / CALLERS).max(1);
        for n in 0..keys {
            let new = NewApiKey {
                name: format!("key {n}"),
                project_id: Some(places[n % places.len()]),
                roles: vec![Role::ProjectEditor],
                ..NewApiKey::default()
            };
            let made = self.service.create_api_key(&self.ctx(), new).await?;
            if n % every == 0 {
                self.secrets.push(made.secret.reveal().to_owned());
            }
        }
        Ok(())
    }

    fn record(&self, report: &mut Report, name: &str, unit: &'static str, value: f64) {
        report.record(&format!("{}{name}", self.label), unit, value);
    }

    /// Who the caller is; and that with what it may do: the list of indexes, of which it has none, is the question alone.
    async fn authorize(&self, report: &mut Report) -> Result<(), Failure> {
        let (mut known, mut asked) = (Vec::new(), Vec::new());
        for _ in 0..CALLERS.div_ceil(10) {
            let begun = Instant::now();
            for secret in self.secrets.iter().cycle().take(BATCH) {
                self.service.authenticate(Plane::Control, Some(secret), "192.0.2.7").await?;
            }
            known.push(micros(begun) / BATCH as f64);
            let ctx = self.ctx();
            let begun = Instant::now();
            for secret in self.secrets.iter().cycle().take(BATCH) {
                let principal = self.service.authenticate(Plane::Control, Some(secret), "192.0.2.7").await?;
                self.service.list_indexes(&OpContext { principal, ..ctx.clone() }).await?;
            }
            asked.push(micros(begun) / BATCH as f64);
        }
        self.record(report, "authenticate", "us", Latencies::new(known).at(0.5));
        self.record(report, "authenticate and authorize", "us", Latencies::new(asked).at(0.5));
        Ok(())
    }

    /// An action that does nothing but be audited; and changes of the catalog, audited as they are.
    async fn audit(&self, settings: &Settings, report: &mut Report) -> Result<(), Failure> {
        let (mut audited, mut created, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..settings.actions {
            let begun = Instant::now();
            self.service.export_root(&self.ctx()).await?;
            audited.push(micros(begun));
            let new = NewApiKey { name: format!("key {n}"), roles: vec![Role::ProjectEditor], ..NewApiKey::default() };
            let begun = Instant::now();
            let key = self.service.create_api_key(&self.ctx(), new).await?.key;
            created.push(micros(begun));
            let begun = Instant::now();
            self.service.delete_api_key(&self.ctx(), key.id).await?;
            deleted.push(micros(begun));
        }
        for (name, times) in [("audited action", audited), ("create API key", created), ("delete API key", deleted)] {
            let times = Latencies::new(times);
            for (share, word) in [(0.5, "p50"), (0.99, "p99")] {
                self.record(report, &format!("{name}, {word}"), "ms", times.at(share) / 1e3);
            }
        }
        Ok(())
    }
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let mut report = Report::new("control");
    let mut houses = vec![House::open(settings, "", CALLERS, 1).await?];
    if settings.keys > CALLERS {
        houses.push(House::open(settings, "many: ", settings.keys, settings.projects).await?);
    }
    for _ in 0..settings.runs {
        let times = Latencies::new(fsync(settings.actions, &houses[0].folder)?);
        for (share, word) in [(0.5, "p50"), (0.99, "p99")] {
            report.record(&format!("fsync, {word}"), "ms", times.at(share) / 1e3);
        }
        for house in &houses {
            house.authorize(&mut report).await?;
            house.audit(settings, &mut report).await?;
        }
    }
    report.expect("audited action, p99", Target::AtMost(AUDIT_TARGET_MS));
    report.expect("authenticate and authorize", Target::AtMost(AUTHORIZE_TARGET_US));
    if houses.len() > 1 {
        for name in ["authenticate and authorize", "audited action, p50", "audited action, p99"] {
            let (few, many) = (median(report.values(name)), median(report.values(&format!("many: {name}"))));
            report.record(&format!("{name}: many / few"), "", many / few);
            report.expect(&format!("{name}: many / few"), Target::AtMost(GROWTH_TARGET));
        }
    }
    report.finish();
    for house in houses {
        house.service.close().await;
    }
    Ok(())
}

/// Appends of about an entry's size, each synced.
fn fsync(times: usize, folder: &TempDir) -> Result<Vec<f64>, Failure> {
    let mut file = File::create(folder.path().join("fsync"))?;
    let entry = [7; ENTRY_BYTES];
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        file.write_all(&entry)?;
        file.sync_data()?;
        taken.push(micros(begun));
    }
    Ok(taken)
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
