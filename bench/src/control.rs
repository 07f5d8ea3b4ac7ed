//! What the control plane costs beside its own work: the entry in the audit log, against the disk's fsync in the same run.

use std::{fs::File, io::Write, path::PathBuf, sync::Arc, time::Instant};

use pinyon_model::{Principal, Restrictions, Role};
use pinyon_service::{Clock, NewApiKey, OpContext, RootKey, Service, ServiceOptions, SystemClock};
use tempfile::TempDir;

use crate::{
    Failure,
    report::{Report, Target},
    stats::Latencies,
};

/// The most that an entry may cost, at the 99th percentile, on a disk whose fsync is fast.
const AUDIT_TARGET_MS: f64 = 2.0;
/// Bytes of an entry, about.
const ENTRY_BYTES: usize = 512;

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
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let mut report = Report::new("control");
    for _ in 0..settings.runs {
        let folder = match &settings.folder {
            Some(folder) => TempDir::with_prefix_in("pinyon-bench-", folder)?,
            None => TempDir::with_prefix("pinyon-bench-")?,
        };
        audit(settings, &folder, &mut report).await?;
    }
    report.expect("audited action, p99", Target::AtMost(AUDIT_TARGET_MS));
    report.finish();
    Ok(())
}

/// The same disk's fsync; an action that does nothing but be audited; and changes of the catalog, audited as they are.
async fn audit(settings: &Settings, folder: &TempDir, report: &mut Report) -> Result<(), Failure> {
    let fsync = fsync(settings.actions, folder)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let options = ServiceOptions::new(folder.path().join("data"), RootKey::generate());
    let service = Service::open(options, Arc::clone(&clock)).await?;
    let ctx = || OpContext::internal(Principal::Operator, clock.now_ms());
    let (mut audited, mut created, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..settings.actions {
        let begun = Instant::now();
        service.export_root(&ctx()).await?;
        audited.push(micros(begun));
        let new = NewApiKey {
            name: format!("key {n}"),
            project_id: None,
            roles: vec![Role::ProjectEditor],
            secret: None,
            expires_at_ms: None,
            restrictions: Restrictions::default(),
        };
        let begun = Instant::now();
        let key = service.create_api_key(&ctx(), new).await?.key;
        created.push(micros(begun));
        let begun = Instant::now();
        service.delete_api_key(&ctx(), key.id).await?;
        deleted.push(micros(begun));
    }
    service.close().await;
    for (name, times) in [("fsync", fsync), ("audited action", audited), ("create API key", created), ("delete API key", deleted)] {
        let times = Latencies::new(times);
        for (share, word) in [(0.5, "p50"), (0.99, "p99")] {
            report.record(&format!("{name}, {word}"), "ms", times.at(share) / 1e3);
        }
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
        file.sync_all()?;
        taken.push(micros(begun));
    }
    Ok(taken)
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
