use pinyon_model::{AuditSink, AuditSinkSettings, AuditSinkState, AwsRegion, BucketPath, DeliveryInterval, ExternalId, Result, RoleArn};
use serde::{Deserialize, Serialize};

use crate::{json, rfc3339};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsBody {
    role_arn: String,
    #[serde(default)]
    external_id: Option<String>,
    bucket: String,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    interval_seconds: Option<u32>,
    #[serde(default)]
    enabled: Option<bool>,
}

/// Reads the body of `PUT /pinyon/v1/organizations/{id}/audit-log`. Without a region it is us-east-1, without an interval half an hour;
/// it is enabled unless it says otherwise.
pub fn put_audit_sink(body: &[u8]) -> Result<AuditSinkSettings> {
    let SettingsBody { role_arn, external_id, bucket, region, interval_seconds, enabled } = json::from_control(body)?;
    Ok(AuditSinkSettings {
        role_arn: RoleArn::new(&role_arn)?,
        external_id: external_id.as_deref().map(ExternalId::new).transpose()?,
        bucket: BucketPath::new(&bucket)?,
        region: region.as_deref().map_or_else(|| Ok(AwsRegion::default_region()), AwsRegion::new)?,
        interval: interval_seconds.map_or_else(|| Ok(DeliveryInterval::default()), DeliveryInterval::new)?,
        enabled: enabled.unwrap_or(true),
    })
}

/// The body that describes a sink and how delivery stands.
pub fn audit_sink_model(sink: &AuditSink, state: &AuditSinkState) -> Vec<u8> {
    let AuditSink { organization_id, settings, created_at_ms, updated_at_ms } = sink;
    let AuditSinkSettings { role_arn, external_id, bucket, region, interval, enabled } = settings;
    json::to_vec(&SinkOut {
        organization_id: organization_id.to_string(),
        role_arn: role_arn.as_str(),
        external_id: external_id.as_ref().map(ExternalId::as_str),
        bucket: bucket.as_str(),
        region: region.as_str(),
        interval_seconds: interval.seconds(),
        enabled: *enabled,
        created_at: rfc3339(*created_at_ms),
        updated_at: rfc3339(*updated_at_ms),
        delivery: StateOut::from(state),
    })
}

/// The body that says how delivery stood when a sink was removed.
pub fn removed_audit_sink(state: &AuditSinkState) -> Vec<u8> {
    json::to_vec(&RemovedOut { delivery: StateOut::from(state) })
}

#[derive(Serialize)]
struct SinkOut<'a> {
    organization_id: String,
    role_arn: &'a str,
    external_id: Option<&'a str>,
    bucket: &'a str,
    region: &'a str,
    interval_seconds: u32,
    enabled: bool,
    created_at: String,
    updated_at: String,
    delivery: StateOut<'a>,
}

#[derive(Serialize)]
struct RemovedOut<'a> {
    delivery: StateOut<'a>,
}

#[derive(Serialize)]
struct StateOut<'a> {
    last_delivered_at: Option<String>,
    last_delivered_sequence: u64,
    entries_pending: u64,
    last_error: Option<&'a str>,
}

impl<'a> From<&'a AuditSinkState> for StateOut<'a> {
    fn from(state: &'a AuditSinkState) -> Self {
        let AuditSinkState { delivered_at_ms, delivered_sequence, entries_pending, last_error } = state;
        Self {
            last_delivered_at: delivered_at_ms.map(rfc3339),
            last_delivered_sequence: *delivered_sequence,
            entries_pending: *entries_pending,
            last_error: last_error.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::OrganizationId;
    use serde_json::{Value, json};

    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/audit";

    fn put(body: Value) -> Result<AuditSinkSettings> {
        put_audit_sink(body.to_string().as_bytes())
    }

    #[test]
    fn settings() {
        let least = put(json!({"role_arn": ROLE, "bucket": "logs"})).unwrap();
        assert_eq!((least.region.as_str(), least.interval.seconds(), least.enabled, &least.external_id), ("us-east-1", 1_800, true, &None));
        let all = json!({"role_arn": ROLE, "bucket": "logs/a/b", "external_id": "x-1", "region": "eu-west-1", "interval_seconds": 10, "enabled": false});
        let all = put(all).unwrap();
        assert_eq!((all.bucket.as_str(), all.interval.seconds(), all.enabled), ("logs/a/b", 10, false));
        for (field, wrong) in [
            ("role_arn", json!("arn:aws:iam::1:role/x")),
            ("role_arn", json!(7)),
            ("bucket", json!("a")),
            ("external_id", json!("")),
            ("region", json!("moon")),
            ("interval_seconds", json!(9)),
            ("interval_seconds", json!(-1)),
            ("enabled", json!("yes")),
            ("endpoint", json!("http://169.254.169.254")),
        ] {
            let mut body = json!({"role_arn": ROLE, "bucket": "logs"});
            body[field] = wrong.clone();
            assert!(put(body).is_err(), "{field}: {wrong}");
        }
        assert!(put(json!({"bucket": "logs"})).is_err() && put(json!({"role_arn": ROLE})).is_err());
    }

    #[test]
    fn described() {
        let settings = put(json!({"role_arn": ROLE, "bucket": "logs", "interval_seconds": 10})).unwrap();
        let organization_id = OrganizationId::from_bytes([0x11; 16]);
        let sink = AuditSink { organization_id, settings, created_at_ms: 0, updated_at_ms: 1 };
        let state = AuditSinkState { delivered_at_ms: None, delivered_sequence: 7, entries_pending: 2, last_error: Some("no".into()) };
        let expected = json!({
            "organization_id": "11111111-1111-1111-1111-111111111111", "role_arn": ROLE, "external_id": null, "bucket": "logs",
            "region": "us-east-1", "interval_seconds": 10, "enabled": true,
            "created_at": "1970-01-01T00:00:00.000Z", "updated_at": "1970-01-01T00:00:00.001Z",
            "delivery": {"last_delivered_at": null, "last_delivered_sequence": 7, "entries_pending": 2, "last_error": "no"},
        });
        assert_eq!(serde_json::from_slice::<Value>(&audit_sink_model(&sink, &state)).unwrap(), expected);
        let removed: Value = serde_json::from_slice(&removed_audit_sink(&state)).unwrap();
        assert_eq!(removed["delivery"], expected["delivery"]);
    }
}
