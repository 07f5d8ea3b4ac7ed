//! Audit sinks: where an organization's audit events go. The owner's alone.

use std::sync::Arc;

use bytes::Bytes;
use pinyon_model::{AuditSink, AuditSinkSettings, AuditSinkState, Error, ErrorCode, OrganizationId, Result};

use crate::{
    OpContext, Service,
    authorize::{Action, Authorized, Named, Place},
    catalog::{Change, Noun, NounId, StoredAuditSink},
};

/// The object that shows whether a sink can be written.
pub const AUDIT_ACCESS_TEST: &str = "audit-log-access-test";
/// How long setting a sink up may take.
const TRY_MS: u64 = 30_000;

fn named(id: OrganizationId) -> Named {
    Named { place: Place::Organization(id), id: id.to_string(), kind: "organization" }
}

impl Service {
    /// Where an organization's audit events go, and how delivery stands. `NotFound` when no sink is set up.
    pub async fn describe_audit_sink(&self, ctx: &OpContext, id: OrganizationId) -> Result<(AuditSink, AuditSinkState)> {
        let authorized = self.authorize(ctx, Action::DescribeAuditSink, named(id)).await?;
        let described = async {
            let stored = self.audit_sink(id)?;
            let state = self.audit_sink_state(&stored).await?;
            Ok((stored.info, state))
        };
        let described = described.await;
        authorized.close(described).await
    }

    /// Sets a sink up, or changes it. One that is to be enabled is tried first: `FailedPrecondition` says which step was refused
    /// and why, and nothing is changed. One that is disabled delivers what it can first; what is pending then stays in the log.
    pub async fn put_audit_sink(
        self: &Arc<Self>,
        ctx: &OpContext,
        id: OrganizationId,
        settings: AuditSinkSettings,
    ) -> Result<(AuditSink, AuditSinkState)> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::PutAuditSink, named(id)).await?;
            note(&mut authorized, &settings);
            let result = this.put_authorized(&mut authorized, id, settings, ctx.now_ms).await;
            authorized.close(result).await
        })
        .await
    }

    async fn put_authorized(
        &self,
        authorized: &mut Authorized<Named>,
        id: OrganizationId,
        settings: AuditSinkSettings,
        now_ms: u64,
    ) -> Result<(AuditSink, AuditSinkState)> {
        if settings.enabled {
            self.try_sink(&settings).await?;
        } else {
            self.drain_audit(id).await;
        }
        let stored = {
            let mut writer = self.catalog().writer().await;
            let (organization, old) = {
                let tables = self.catalog().tables();
                (tables.organizations.get(&id).cloned(), tables.audit_sinks.get(&id).cloned())
            };
            let organization = organization.ok_or_else(|| Error::not_found(format!("There is no organization {id}")))?;
            authorized.name(id.to_string(), organization.name);
            let (created_at_ms, after) = match &old {
                Some(old) => (old.info.created_at_ms, old.after),
                None => {
                    self.forget_deliveries(id).await?;
                    (self.clock().now_ms(), self.audit().head().await?.seq)
                }
            };
            let info = AuditSink { organization_id: id, settings, created_at_ms, updated_at_ms: now_ms.max(created_at_ms) };
            let stored = StoredAuditSink { info, after };
            let change = Change::Put(Noun::AuditSink(stored.clone()));
            self.catalog().change(&mut writer, authorized, self.audit(), vec![change]).await?;
            stored
        };
        self.deliveries().hurry(id);
        let state = self.audit_sink_state(&stored).await?;
        Ok((stored.info, state))
    }

    /// Removes a sink, after it delivered what it could; answers how it stood then. What is pending stays in the log.
    pub async fn delete_audit_sink(self: &Arc<Self>, ctx: &OpContext, id: OrganizationId) -> Result<AuditSinkState> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteAuditSink, named(id)).await?;
            let result = async {
                let stored = this.audit_sink(id)?;
                this.drain_audit(id).await;
                let state = this.audit_sink_state(&stored).await?;
                authorized.note("entries_pending", state.entries_pending.to_string());
                let mut writer = this.catalog().writer().await;
                // Somebody else may have removed it meanwhile.
                this.audit_sink(id)?;
                let change = Change::Delete(NounId::AuditSink(id));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                this.forget_deliveries(id).await?;
                Ok(state)
            };
            let result = result.await;
            authorized.close(result).await
        })
        .await
    }

    fn audit_sink(&self, id: OrganizationId) -> Result<StoredAuditSink> {
        let found = self.catalog().tables().audit_sinks.get(&id).cloned();
        found.ok_or_else(|| Error::not_found(format!("Organization {id} has no delivery of its audit log set up")))
    }

    /// Writes the test object. What is only slow or busy now is refused too: whoever sets a sink up is there to try again.
    async fn try_sink(&self, settings: &AuditSinkSettings) -> Result<()> {
        let bucket = &self.deliveries().delivery()?.bucket;
        let body = Bytes::from_static(b"Pinyon can write the audit log here.\n");
        let tried = tokio::select! {
            tried = bucket.put(settings, AUDIT_ACCESS_TEST, body) => tried,
            () = self.clock().wait_ms(TRY_MS) => Err(Error::unavailable("The test object was not stored in time")),
        };
        tried.map_err(|error| Error::new(ErrorCode::FailedPrecondition, error.message))
    }
}

/// What the settings were, for the record.
fn note(authorized: &mut Authorized<Named>, settings: &AuditSinkSettings) {
    let AuditSinkSettings { role_arn, external_id, bucket, region, interval, enabled } = settings;
    authorized.note("role_arn", role_arn.as_str());
    authorized.note("external_id", if external_id.is_some() { "set" } else { "none" });
    authorized.note("bucket", bucket.as_str());
    authorized.note("region", region.as_str());
    authorized.note("interval_seconds", interval.seconds().to_string());
    authorized.note("enabled", enabled.to_string());
}
