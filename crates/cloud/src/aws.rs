//! Requests of AWS's: assume a role, store an object, ask a key management service.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pinyon_model::{AuditSinkSettings, AwsRegion, Error, ErrorCode, ExternalId, RoleArn};
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner};
use reqsign_core::{Context, OsEnv, ProvideCredential, SignRequest, time::Timestamp};
use reqsign_file_read_tokio::TokioFileRead;
use zeroize::{Zeroize, Zeroizing};

use crate::{endpoint::AwsEndpoints, http_client::HttpClient, xml};

/// What AWS leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');
/// How long a session is asked for: AWS's default, which every role allows.
const SESSION_SECONDS: u32 = 3_600;

/// The keys of a session. They are wiped when dropped, and print as nothing.
pub(crate) struct Session {
    credential: Credential,
    /// Seconds since 1970.
    pub(crate) ends_s: i64,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.credential.secret_access_key.zeroize();
        self.credential.session_token.zeroize();
    }
}

/// Speaks with AWS, or whatever stands in for it.
pub(crate) struct Aws {
    endpoints: AwsEndpoints,
    http: HttpClient,
    context: Context,
    base: DefaultCredentialProvider,
}

impl Aws {
    /// Requests that take longer than `timeout` are given up.
    pub(crate) fn new(endpoints: AwsEndpoints, timeout: Duration) -> Self {
        let http = HttpClient::new(timeout);
        let context = Context::new().with_file_read(TokioFileRead).with_http_send(http.clone()).with_env(OsEnv);
        Self { endpoints, http, context, base: DefaultCredentialProvider::new() }
    }

    /// A session of a role.
    pub(crate) async fn assume_role(&self, role: &Role<'_>) -> Result<Session, AwsFault> {
        let Role { role_arn, external_id, region, session_name } = *role;
        let step = format!("AssumeRole of {}", role_arn.as_str());
        let base = self.base.provide_credential(&self.context).await.ok().flatten().ok_or_else(|| {
            let told = "This server has no AWS credentials to assume roles with: its operator gives it some, by environment, profile or machine role";
            AwsFault { kind: FaultKind::Ours, code: String::new(), told: told.to_owned() }
        })?;
        let mut form = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName={session_name}&DurationSeconds={SESSION_SECONDS}&RoleArn={}",
            utf8_percent_encode(role_arn.as_str(), ENCODED)
        );
        if let Some(id) = external_id {
            form.push_str(&format!("&ExternalId={}", utf8_percent_encode(id.as_str(), ENCODED)));
        }
        let request = Request::post(format!("{}/", self.endpoints.sts(region)))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let response = self.send(&step, "sts", region, &base, request, Bytes::from(form)).await?;
        let body = Zeroizing::new(String::from_utf8_lossy(response.body()).into_owned());
        if !response.status().is_success() {
            let fault = refused(&step, response.status(), &body).or_something_else(response.status());
            // It is our own credentials that this is about, not the role.
            let kind = if OWN_FAULTS.contains(&fault.code.as_str()) { FaultKind::Ours } else { fault.kind };
            return Err(AwsFault { kind, ..fault });
        }
        read_session(&body).ok_or_else(|| AwsFault::lost(format!("{step}: the answer holds no credentials")))
    }

    /// Stores an object.
    pub(crate) async fn put_object(&self, sink: &AuditSinkSettings, session: &Session, name: &str, body: Bytes) -> Result<(), AwsFault> {
        let key = sink.bucket.key(name);
        let step = format!("PutObject of {key} in the bucket {}", sink.bucket.bucket());
        let base = self.endpoints.bucket(&sink.region, sink.bucket.bucket());
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{base}/{}", utf8_percent_encode(&key, ENCODED_PATH)))
            .header("content-type", "application/x-ndjson")
            // A bucket with Object Lock takes nothing without a checksum.
            .header("x-amz-checksum-sha256", STANDARD.encode(digest::digest(&digest::SHA256, &body)));
        let response = self.send(&step, "s3", &sink.region, &session.credential, request, body).await?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(refused(&step, response.status(), &String::from_utf8_lossy(response.body())))
    }

    /// Asks a key management service; the body of its answer, when that is one.
    pub(crate) async fn kms(
        &self,
        step: &str,
        region: &AwsRegion,
        session: &Session,
        operation: &str,
        body: Vec<u8>,
    ) -> Result<Response<Bytes>, AwsFault> {
        let request = Request::post(format!("{}/", self.endpoints.kms(region)))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{operation}"));
        self.send(step, "kms", region, &session.credential, request, Bytes::from(body)).await
    }

    async fn send(
        &self,
        step: &str,
        service: &str,
        region: &AwsRegion,
        credential: &Credential,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Bytes>, AwsFault> {
        let broken = |e: &dyn std::fmt::Display| AwsFault::lost(format!("{step}: the request could not be made: {e}"));
        let (mut parts, ()) = request.body(()).map_err(|e| broken(&e))?.into_parts();
        let sum: String = digest::digest(&digest::SHA256, &body).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        parts.headers.insert("x-amz-content-sha256", HeaderValue::try_from(sum).map_err(|e| broken(&e))?);
        let signer = RequestSigner::new(service, region.as_str());
        signer.sign_request(&self.context, &mut parts, Some(credential), None).await.map_err(|e| broken(&e))?;
        self.http.send(Request::from_parts(parts, body)).await.map_err(|why| AwsFault::lost(format!("{step}: {why}")))
    }
}

/// A role to assume, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role<'a> {
    pub(crate) role_arn: &'a RoleArn,
    pub(crate) external_id: Option<&'a ExternalId>,
    pub(crate) region: &'a AwsRegion,
    /// What the customer reads in its log of uses.
    pub(crate) session_name: &'static str,
}

/// Why AWS did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AwsFault {
    pub(crate) kind: FaultKind,
    /// AWS's word for it, where there is one.
    pub(crate) code: String,
    /// The step, and the reason.
    pub(crate) told: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It said no.
    Refused,
    /// It was busy or broken, or did not answer: it may go better later.
    Lost,
    /// Something of ours is not in order: our credentials, our clock.
    Ours,
}

impl AwsFault {
    /// The same, or lost: who says no without AWS's words, and is not asked for permission, is something else on the way.
    pub(crate) fn or_something_else(self, status: StatusCode) -> Self {
        let is_permission = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let is_silent = self.kind == FaultKind::Refused && self.code.is_empty() && !is_permission;
        if is_silent { Self::lost(self.told) } else { self }
    }

    fn lost(told: String) -> Self {
        Self { kind: FaultKind::Lost, code: String::new(), told }
    }
}

impl From<AwsFault> for Error {
    fn from(fault: AwsFault) -> Self {
        let code = match fault.kind {
            FaultKind::Lost => ErrorCode::Unavailable,
            FaultKind::Refused | FaultKind::Ours => ErrorCode::FailedPrecondition,
        };
        Error::new(code, fault.told)
    }
}

/// What says that the other side wants patience.
const BUSY: [&str; 9] = [
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "RequestTimeout",
    "RequestTimeTooSkewed",
];
/// What says that it is the caller who is not known, whatever it asked for.
const OWN_FAULTS: [&str; 8] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "MissingAuthenticationToken",
    "IncompleteSignature",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
];

/// What a refusal in XML says.
fn refused(step: &str, status: http::StatusCode, body: &str) -> AwsFault {
    let code = xml::text(body, "Code").map(xml::readable).unwrap_or_default();
    let message = xml::text(body, "Message").map(xml::readable).unwrap_or_default();
    refusal(step, status, code, &message)
}

/// What a refusal says. A server's fault and a request for patience may go better later.
pub(crate) fn refusal(step: &str, status: http::StatusCode, code: String, message: &str) -> AwsFault {
    let later = status.is_server_error() || status.as_u16() == 429 || BUSY.contains(&code.as_str());
    let is_skewed = is_skew(&code, message);
    let kind = if later {
        FaultKind::Lost
    } else if is_skewed {
        FaultKind::Ours
    } else {
        FaultKind::Refused
    };
    // A redirect says that the bucket is elsewhere; it is not followed.
    let hint = match () {
        () if status.is_redirection() || code == "AuthorizationHeaderMalformed" => " (is the region right?)",
        () if is_skewed => " (is this server's clock right?)",
        () => "",
    };
    let told = format!("{step} was refused with {status}: {code}{}{message}{hint}", if message.is_empty() { "" } else { ": " });
    AwsFault { kind, code, told }
}

/// Whether it is the time of the request that was refused: our clock and theirs differ.
fn is_skew(code: &str, message: &str) -> bool {
    let of_time = message.contains("Signature expired") || message.contains("Signature not yet current");
    matches!(code, "RequestTimeTooSkewed" | "RequestExpired") || (OWN_FAULTS.contains(&code) && of_time)
}

fn read_session(body: &str) -> Option<Session> {
    let ends: Timestamp = xml::text(body, "Expiration")?.parse().ok()?;
    let text = |name| xml::text(body, name).filter(|t| !t.is_empty()).map(str::to_owned);
    let credential = Credential {
        access_key_id: text("AccessKeyId")?,
        secret_access_key: text("SecretAccessKey")?,
        session_token: Some(text("SessionToken")?),
        expires_in: Some(ends),
    };
    Some(Session { credential, ends_s: ends.as_second() })
}

/// Whatever came, read as both kinds of answer.
pub(crate) fn read_any(bytes: &[u8]) {
    let body = String::from_utf8_lossy(bytes);
    let _ = read_session(&body);
    let _ = refused("fuzz", http::StatusCode::FORBIDDEN, &body);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
        <SecretAccessKey>s/e+c</SecretAccessKey><SessionToken>t==</SessionToken><Expiration>2026-04-10T15:23:00Z</Expiration>\
        </Credentials></AssumeRoleResult></AssumeRoleResponse>";

    #[test]
    fn sessions_are_read_and_do_not_print() {
        let session = read_session(ANSWER).unwrap();
        assert_eq!((session.credential.access_key_id.as_str(), session.ends_s), ("ASIA1", 1_775_834_580));
        assert_eq!(session.credential.session_token.as_deref(), Some("t=="));
        let printed = format!("{:?}", session.credential);
        assert!(!printed.contains("s/e+c") && !printed.contains("t=="), "{printed}");
        for part in ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"] {
            assert!(read_session(&ANSWER.replace(&format!("<{part}>"), "<Other>")).is_none(), "without {part}");
        }
    }

    #[test]
    fn refusals_say_what_was_refused_and_whether_to_wait() {
        let xml = "<Error><Code>AccessDenied</Code><Message>User is not authorized</Message></Error>";
        // A proxy's or a captive portal's own words are nobody's refusal.
        let strange = refused("AssumeRole of x", http::StatusCode::NOT_FOUND, "<html>").or_something_else(http::StatusCode::NOT_FOUND);
        assert_eq!(strange.kind, FaultKind::Lost);
        let error = refused("AssumeRole of x", http::StatusCode::FORBIDDEN, xml);
        assert_eq!((error.kind, error.code.as_str()), (FaultKind::Refused, "AccessDenied"));
        assert_eq!(error.told, "AssumeRole of x was refused with 403 Forbidden: AccessDenied: User is not authorized");
        let kind = |status: u16, body: &str| refused("s", http::StatusCode::from_u16(status).unwrap(), body).kind;
        assert_eq!(kind(503, "<Code>SlowDown</Code>"), FaultKind::Lost);
        assert_eq!(kind(429, ""), FaultKind::Lost);
        assert_eq!(kind(400, "<Code>Throttling</Code>"), FaultKind::Lost);
        assert_eq!(kind(404, "<Code>NoSuchBucket</Code>"), FaultKind::Refused);
        let late = "<Code>SignatureDoesNotMatch</Code><Message>Signature expired: 20260101T000000Z is now earlier</Message>";
        assert_eq!(kind(403, late), FaultKind::Ours);
        assert!(refused("s", http::StatusCode::MOVED_PERMANENTLY, "").told.contains("region"));
        let code = |kind| Error::from(AwsFault { kind, code: String::new(), told: String::new() }).code;
        assert_eq!([FaultKind::Lost, FaultKind::Refused].map(code), [ErrorCode::Unavailable, ErrorCode::FailedPrecondition]);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300, cut in 0usize..300) {
            read_any(&bytes);
            let mut changed = ANSWER.as_bytes().to_vec();
            changed.splice(at.min(changed.len())..at.saturating_add(cut).min(changed.len()), bytes);
            read_any(&changed);
        }
    }
}
