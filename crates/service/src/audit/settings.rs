//! What the log was set to do when a server last started, so that another setting is an entry.

use pinyon_model::{AuditEvent, AuditOutcome, Principal, Result};
use pinyon_storage::{ObjectKind, Purpose, PutMode, StorageError, random_bytes};

use super::{Audit, Start, event::actor};
use crate::codec::{Reader, Writer};

pub(super) const SETTINGS: &str = "audit/settings";
pub(super) const SETTINGS_KIND: ObjectKind = ObjectKind(0x0103);
const SETTINGS_FORMAT: u16 = 1;
/// What a log is set to that nobody has set.
const DEFAULTS: [(&str, &str); 7] = [
    ("audit_records", "off"),
    ("audit_retention_days", "90"),
    ("audit_endpoints", "AWS"),
    ("audit_key_use", "true"),
    ("cmek_endpoints", "AWS"),
    ("cmek_cache_seconds", "300"),
    ("cmek_grace_seconds", "3600"),
];

/// Settings by their names, and the root key that was the last in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RecordedSettings {
    pub(crate) settings: Vec<(String, String)>,
    /// The root key's fingerprint.
    pub(crate) root: String,
}

impl Audit {
    /// What was recorded last; none before the first time.
    pub(crate) async fn recorded_settings(&self) -> Result<Option<RecordedSettings>> {
        let object = match self.0.store.sealed().get_named(SETTINGS, SETTINGS_KIND, &self.0.key).await {
            Ok(object) => object,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut r = Reader::new("The file audit/settings", &object.plain);
        if object.format != SETTINGS_FORMAT {
            return Err(r.malformed());
        }
        let recorded = RecordedSettings { settings: r.list(|r| Ok((r.text()?, r.text()?)))?, root: r.text()? };
        r.end()?;
        Ok(Some(recorded))
    }

    /// Remembers what is in the log now.
    pub(crate) async fn remember_settings(&self, recorded: &RecordedSettings) -> Result<()> {
        let mut w = Writer::default();
        w.u32(u32::try_from(recorded.settings.len()).unwrap_or(u32::MAX));
        for (name, value) in &recorded.settings {
            w.text(name).text(value);
        }
        w.text(&recorded.root);
        let plain = w.finish();
        let store = self.0.store.sealed();
        store.put_named(SETTINGS, SETTINGS_KIND, SETTINGS_FORMAT, &self.0.key, &plain, PutMode::Overwrite, Purpose::Essential).await?;
        Ok(())
    }

    /// Enters what changed since a server last started: its settings, and a root key whose rotation was cut short before its entry.
    pub(crate) async fn record_changes(&self, now: &RecordedSettings, now_ms: u64) -> Result<()> {
        let before = self.recorded_settings().await?;
        if before.as_ref() == Some(now) {
            return Ok(());
        }
        let event = |action: &str, kind: &str| AuditEvent {
            id: random_bytes(),
            actor: actor(&Principal::System),
            time_ms: now_ms,
            action: action.to_owned(),
            resource_type: kind.to_owned(),
            outcome: AuditOutcome::Success,
            count: 1,
            ..AuditEvent::default()
        };
        let is_new = before.is_none();
        let old = before.unwrap_or_default();
        if !is_new && old.root != now.root && !self.knows_root(&now.root).await? {
            self.record(AuditEvent { resource_id: now.root.clone(), ..event("update", "root-key") }).await?;
        }
        let default = |name: &str| DEFAULTS.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v);
        let old_value = |name: &str| old.settings.iter().find(|(n, _)| n == name).map_or(default(name), |(_, v)| v.as_str());
        let changed: Vec<(String, String)> = now
            .settings
            .iter()
            .filter(|(name, value)| old_value(name) != value)
            .map(|(name, value)| (name.clone(), format!("{} -> {value}", old_value(name))))
            .collect();
        if !changed.is_empty() {
            self.record(AuditEvent { parameters: changed, ..event("update", "audit-configuration") }).await?;
        }
        self.remember_settings(now).await
    }

    /// Whether the log says already that this root key was made.
    async fn knows_root(&self, fingerprint: &str) -> Result<bool> {
        let mut entries = self.entries(Start::Oldest).await?;
        let mut known = false;
        while let Some(part) = entries.next_part().await? {
            known |= part.iter().map(|e| &e.event).any(|e| {
                (e.action.as_str(), e.resource_type.as_str(), e.resource_id.as_str()) == ("update", "root-key", fingerprint)
                    && e.outcome == AuditOutcome::Success
            });
        }
        Ok(known)
    }
}
