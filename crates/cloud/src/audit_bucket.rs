//! Organizations' buckets: a session for each role, kept until shortly before it ends, and objects put with it.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use pinyon_model::{AuditSinkSettings, Result};
use pinyon_service::{AuditBucket, Clock};
use tokio::sync::Mutex;

use crate::{
    aws::{Aws, FaultKind, Role, Session},
    endpoint::AwsEndpoints,
};

/// An object that is not stored in this time is tried again.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A session with less left than this is not begun to be used.
const LEFT_MIN_S: i64 = 5 * 60;
/// Sessions kept; past it all are let go.
const SESSIONS_MAX: usize = 1_000;

/// Buckets in S3.
pub struct AwsAuditBucket {
    aws: Aws,
    clock: Arc<dyn Clock>,
    sessions: Mutex<HashMap<Key, Arc<Session>>>,
}

/// What a session was asked for with.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    role: String,
    external_id: Option<String>,
    region: String,
}

impl fmt::Debug for AwsAuditBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsAuditBucket")
    }
}

impl AwsAuditBucket {
    /// Buckets at these hosts.
    pub fn new(endpoints: AwsEndpoints, clock: Arc<dyn Clock>) -> Self {
        Self { aws: Aws::new(endpoints, TIMEOUT), clock, sessions: Mutex::default() }
    }

    /// The session at hand, or a new one; and whether it is new.
    async fn session(&self, sink: &AuditSinkSettings, fresh: bool) -> Result<(Arc<Session>, bool)> {
        let external_id = sink.external_id.as_ref().map(|id| id.as_str().to_owned());
        let key = Key { role: sink.role_arn.as_str().to_owned(), external_id, region: sink.region.as_str().to_owned() };
        let now_s = i64::try_from(self.clock.now_ms() / 1_000).unwrap_or(i64::MAX);
        if !fresh && let Some(session) = self.sessions.lock().await.get(&key).filter(|s| s.ends_s - now_s > LEFT_MIN_S) {
            return Ok((Arc::clone(session), false));
        }
        let role = Role {
            role_arn: &sink.role_arn,
            external_id: sink.external_id.as_ref(),
            region: &sink.region,
            session_name: "pinyon-audit-log",
        };
        let session = Arc::new(self.aws.assume_role(&role).await?);
        let mut sessions = self.sessions.lock().await;
        if sessions.len() >= SESSIONS_MAX {
            sessions.clear();
        }
        sessions.insert(key, Arc::clone(&session));
        Ok((session, true))
    }
}

#[async_trait::async_trait]
impl AuditBucket for AwsAuditBucket {
    async fn put(&self, sink: &AuditSinkSettings, name: &str, body: Bytes) -> Result<()> {
        // Setting a sink up proves that the role can be assumed now, whatever was possible an hour ago.
        let (session, is_new) = self.session(sink, name == pinyon_service::AUDIT_ACCESS_TEST).await?;
        let stored = self.aws.put_object(sink, &session, name, body.clone()).await;
        match stored {
            // The session may have been revoked, or the role changed since.
            Err(fault) if fault.kind != FaultKind::Lost && !is_new => {
                let (session, _) = self.session(sink, true).await?;
                Ok(self.aws.put_object(sink, &session, name, body).await?)
            }
            stored => Ok(stored?),
        }
    }
}
