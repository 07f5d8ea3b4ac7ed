//! Two requests of AWS's: assume a role, store an object.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pinyon_model::{AuditSinkSettings, Error, ErrorCode, Result};
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
    pub(crate) fn new(endpoints: AwsEndpoints) -> Self {
        let http = HttpClient::new();
        let context = Context::new().with_file_read(TokioFileRead).with_http_send(http.clone()).with_env(OsEnv);
        Self { endpoints, http, context, base: DefaultCredentialProvider::new() }
    }

    /// A session of the sink's role.
    pub(crate) async fn assume_role(&self, sink: &AuditSinkSettings) -> Result<Session> {
        let step = format!("AssumeRole of {}", sink.role_arn.as_str());
        let base = self.base.provide_credential(&self.context).await.ok().flatten().ok_or_else(|| {
            let told = "This server has no AWS credentials to assume roles with: its operator gives it some, by environment, profile or machine role";
            Error::new(ErrorCode::FailedPrecondition, told)
        })?;
        let mut form = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=pinyon-audit-log&DurationSeconds={SESSION_SECONDS}&RoleArn={}",
            utf8_percent_encode(sink.role_arn.as_str(), ENCODED)
        );
        if let Some(id) = &sink.external_id {
            form.push_str(&format!("&ExternalId={}", utf8_percent_encode(id.as_str(), ENCODED)));
        }
        let request = Request::post(format!("{}/", self.endpoints.sts(&sink.region)))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let response = self.send(&step, "sts", sink, &base, request, Bytes::from(form)).await?;
        let body = Zeroizing::new(String::from_utf8_lossy(response.body()).into_owned());
        if !response.status().is_success() {
            return Err(refused(&step, response.status(), &body));
        }
        read_session(&body).ok_or_else(|| Error::unavailable(format!("{step}: the answer holds no credentials")))
    }

    /// Stores an object.
    pub(crate) async fn put_object(&self, sink: &AuditSinkSettings, session: &Session, name: &str, body: Bytes) -> Result<()> {
        let key = sink.bucket.key(name);
        let step = format!("PutObject of {key} in the bucket {}", sink.bucket.bucket());
        let base = self.endpoints.bucket(&sink.region, sink.bucket.bucket());
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{base}/{}", utf8_percent_encode(&key, ENCODED_PATH)))
            .header("content-type", "application/x-ndjson")
            // A bucket with Object Lock takes nothing without a checksum.
            .header("x-amz-checksum-sha256", STANDARD.encode(digest::digest(&digest::SHA256, &body)));
        let response = self.send(&step, "s3", sink, &session.credential, request, body).await?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(refused(&step, response.status(), &String::from_utf8_lossy(response.body())))
    }

    async fn send(
        &self,
        step: &str,
        service: &str,
        sink: &AuditSinkSettings,
        credential: &Credential,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Bytes>> {
        let broken = |e: &dyn std::fmt::Display| Error::internal(format!("{step}: the request could not be made: {e}"));
        let (mut parts, ()) = request.body(()).map_err(|e| broken(&e))?.into_parts();
        let sum: String = digest::digest(&digest::SHA256, &body).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        parts.headers.insert("x-amz-content-sha256", HeaderValue::try_from(sum).map_err(|e| broken(&e))?);
        let signer = RequestSigner::new(service, sink.region.as_str());
        signer.sign_request(&self.context, &mut parts, Some(credential), None).await.map_err(|e| broken(&e))?;
        self.http.send(Request::from_parts(parts, body)).await.map_err(|why| Error::unavailable(format!("{step}: {why}")))
    }
}

/// What a refusal says. A server's fault and a request for patience may go better later.
fn refused(step: &str, status: http::StatusCode, body: &str) -> Error {
    let code = xml::text(body, "Code").map(xml::readable).unwrap_or_default();
    let message = xml::text(body, "Message").map(xml::readable).unwrap_or_default();
    let busy = ["SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout", "RequestTimeTooSkewed"];
    let later = status.is_server_error() || status.as_u16() == 429 || busy.contains(&code.as_str());
    // A redirect says that the bucket is elsewhere; it is not followed.
    let hint = if status.is_redirection() || code == "AuthorizationHeaderMalformed" { " (is the region right?)" } else { "" };
    let told = format!("{step} was refused with {status}: {code}{}{message}{hint}", if message.is_empty() { "" } else { ": " });
    Error::new(if later { ErrorCode::Unavailable } else { ErrorCode::FailedPrecondition }, told)
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
        let error = refused("AssumeRole of x", http::StatusCode::FORBIDDEN, xml);
        assert_eq!(error.code, ErrorCode::FailedPrecondition);
        assert_eq!(error.message, "AssumeRole of x was refused with 403 Forbidden: AccessDenied: User is not authorized");
        let code = |status: u16, body: &str| refused("s", http::StatusCode::from_u16(status).unwrap(), body).code;
        assert_eq!(code(503, "<Code>SlowDown</Code>"), ErrorCode::Unavailable);
        assert_eq!(code(429, ""), ErrorCode::Unavailable);
        assert_eq!(code(400, "<Code>Throttling</Code>"), ErrorCode::Unavailable);
        assert_eq!(code(404, "<Code>NoSuchBucket</Code>"), ErrorCode::FailedPrecondition);
        assert!(refused("s", http::StatusCode::MOVED_PERMANENTLY, "").message.contains("region"));
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
