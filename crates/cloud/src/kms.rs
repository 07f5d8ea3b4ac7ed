//! Customers' keys in AWS KMS: `Encrypt` and `Decrypt` with a session of the customer's role, and `DescribeKey` where that is granted.
//!
//! A role is assumed for each question. KMS would go on answering to a session for an hour after the customer has closed the role to us.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use pinyon_model::{AwsKmsKey, CustomerKey};
use pinyon_service::{Clock, KeyContext, KeyFault, KeyHalf, KeyProvider};
use pinyon_storage::random_bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    aws::{Aws, AwsFault, FaultKind, Role, Session, refusal},
    endpoint::AwsEndpoints,
    xml,
};

/// One request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A request that the other side had no time for is made so often in all, after about 0.2, 0.4 and 0.8 seconds.
const ATTEMPTS: u32 = 4;
const RETRY_MS: u64 = 200;
/// A sealed key is not longer than this; KMS's are some 200 bytes.
const SEALED_MAX: usize = 8 << 10;

/// Keys in AWS KMS.
pub struct AwsKms {
    aws: Aws,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsKms")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_context: Option<BTreeMap<&'static str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_blob: Option<String>,
}

/// What any answer may hold.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Answer {
    key_id: Option<String>,
    plaintext: Option<String>,
    ciphertext_blob: Option<String>,
    key_metadata: Option<Metadata>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Metadata {
    key_state: Option<String>,
    key_usage: Option<String>,
    key_spec: Option<String>,
    origin: Option<String>,
    multi_region: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    #[serde(rename = "__type", alias = "code")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

impl AwsKms {
    /// Keys behind these hosts.
    pub fn new(endpoints: AwsEndpoints, clock: Arc<dyn Clock>) -> Self {
        Self { aws: Aws::new(endpoints, TIMEOUT), clock }
    }

    /// Asks, and asks again where the other side had no time, after waits of random length, so that all who wait do not come back at once.
    async fn ask(&self, key: &AwsKmsKey, operation: &str, question: Question<'_>) -> Result<Answer, AwsFault> {
        let body = Zeroizing::new(serde_json::to_vec(&question).unwrap_or_default());
        let (mut session, mut wait_ms, mut attempt) = (None, RETRY_MS, 1);
        loop {
            match self.ask_once(key, operation, &body, &mut session).await {
                Err(fault) if fault.kind == FaultKind::Lost && attempt < ATTEMPTS => {
                    let chance = u64::from_le_bytes(random_bytes()) % wait_ms;
                    self.clock.wait_ms(wait_ms / 2 + chance).await;
                    (attempt, wait_ms) = (attempt + 1, wait_ms * 2);
                }
                done => return done,
            }
        }
    }

    async fn ask_once(&self, key: &AwsKmsKey, operation: &str, body: &[u8], session: &mut Option<Session>) -> Result<Answer, AwsFault> {
        let region = key.key_arn.region();
        let session = match session {
            Some(session) => session,
            None => {
                let external_id = key.external_id.as_ref();
                let role = Role { role_arn: &key.role_arn, external_id, region, session_name: "pinyon-cmek" };
                session.insert(self.aws.assume_role(&role).await?)
            }
        };
        let step = format!("{operation} with {}", key.key_arn.as_str());
        let response = self.aws.kms(&step, region, session, operation, body.to_vec()).await?;
        read(&step, response.status(), response.body())
    }
}

/// What an answer of KMS says.
fn read(step: &str, status: StatusCode, body: &[u8]) -> Result<Answer, AwsFault> {
    let lost = |told: String| AwsFault { kind: FaultKind::Lost, code: String::new(), told };
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|_| lost(format!("{step}: the answer cannot be read")));
    }
    let Refusal { kind, message } = serde_json::from_slice(body).unwrap_or_default();
    // `com.amazonaws.kms#DisabledException`, or without what is before the mark.
    let code = xml::readable(kind.rsplit('#').next().unwrap_or_default());
    Err(refusal(step, status, code, &xml::readable(&message)).or_something_else(status))
}

/// Whatever came, read as every kind of answer.
pub(crate) fn read_any(bytes: &[u8]) {
    for status in [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR] {
        if let Ok(answer) = read("fuzz", status, bytes) {
            let _ = answer.key_metadata.as_ref().and_then(unusable);
            let _ = opened(answer);
        }
    }
}

impl From<AwsFault> for KeyFault {
    /// Only who says no denies. What is not in order with us is not the customer's decision.
    fn from(fault: AwsFault) -> Self {
        match fault.kind {
            FaultKind::Refused => KeyFault::Denied(fault.told),
            FaultKind::Lost | FaultKind::Ours => KeyFault::Unreachable(fault.told),
        }
    }
}

/// Why a key of this kind is of no use.
fn unusable(metadata: &Metadata) -> Option<String> {
    let Metadata { key_state, key_usage, key_spec, origin, multi_region } = metadata;
    let is_other = |value: &Option<String>, wanted: &str| value.as_deref().is_some_and(|v| v != wanted);
    let shown = |value: &Option<String>| xml::readable(value.as_deref().unwrap_or_default());
    if is_other(key_state, "Enabled") {
        return Some(format!("the key is {}", shown(key_state)));
    }
    if is_other(key_usage, "ENCRYPT_DECRYPT") || is_other(key_spec, "SYMMETRIC_DEFAULT") {
        return Some(format!(
            "the key is for {} by {}; a symmetric key to encrypt and decrypt is needed",
            shown(key_usage),
            shown(key_spec)
        ));
    }
    if is_other(origin, "AWS_KMS") {
        return Some(format!("the key's material is of the origin {}; only KMS's own is taken", shown(origin)));
    }
    (*multi_region == Some(true)).then(|| "the key is a multi-region key; only one of a single region is taken".to_owned())
}

/// An answer of another key than the one that was asked.
fn check_key(key: &AwsKmsKey, answer: &Answer) -> Result<(), KeyFault> {
    match &answer.key_id {
        Some(id) if id != key.key_arn.as_str() => {
            Err(KeyFault::Denied(format!("another key answered: {}, not {}", xml::readable(id), key.key_arn.as_str())))
        }
        _ => Ok(()),
    }
}

fn opened(answer: Answer) -> Option<KeyHalf> {
    let text = Zeroizing::new(answer.plaintext?);
    KeyHalf::take(STANDARD.decode(text.as_bytes()).ok()?)
}

fn context(context: &KeyContext) -> Option<BTreeMap<&'static str, String>> {
    Some(context.pairs().into_iter().collect())
}

#[async_trait::async_trait]
impl KeyProvider for AwsKms {
    async fn check(&self, CustomerKey::AwsKms(key): &CustomerKey) -> Result<(), KeyFault> {
        let question = Question { key_id: key.key_arn.as_str(), encryption_context: None, plaintext: None, ciphertext_blob: None };
        match self.ask(key, "DescribeKey", question).await {
            Ok(answer) => match answer.key_metadata.as_ref().and_then(unusable) {
                Some(why) => Err(KeyFault::Denied(why)),
                None => Ok(()),
            },
            // It need not be granted; and what else may be wrong, the use of the key says.
            Err(AwsFault { kind: FaultKind::Refused, .. }) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    async fn encrypt(&self, CustomerKey::AwsKms(key): &CustomerKey, bound: &KeyContext, plain: &KeyHalf) -> Result<Vec<u8>, KeyFault> {
        let plaintext = Zeroizing::new(STANDARD.encode(plain.expose()));
        let encryption_context = context(bound);
        let question =
            Question { key_id: key.key_arn.as_str(), encryption_context, plaintext: Some(plaintext.as_str()), ciphertext_blob: None };
        let answer = self.ask(key, "Encrypt", question).await?;
        check_key(key, &answer)?;
        let sealed = answer.ciphertext_blob.and_then(|text| STANDARD.decode(text).ok()).filter(|s| (1..=SEALED_MAX).contains(&s.len()));
        sealed.ok_or_else(|| KeyFault::Unreachable(format!("Encrypt with {}: the answer holds no ciphertext", key.key_arn.as_str())))
    }

    async fn decrypt(&self, CustomerKey::AwsKms(key): &CustomerKey, bound: &KeyContext, sealed: &[u8]) -> Result<KeyHalf, KeyFault> {
        let ciphertext_blob = Some(STANDARD.encode(sealed));
        let encryption_context = context(bound);
        let question = Question { key_id: key.key_arn.as_str(), encryption_context, plaintext: None, ciphertext_blob };
        let answer = self.ask(key, "Decrypt", question).await?;
        check_key(key, &answer)?;
        let wrong = || KeyFault::Denied(format!("Decrypt with {} answered with no key that it was given", key.key_arn.as_str()));
        opened(answer).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(status: u16, body: &str) -> KeyFault {
        read("Decrypt with k", StatusCode::from_u16(status).unwrap(), body.as_bytes()).err().unwrap().into()
    }

    fn is_denied(status: u16, code: &str) -> bool {
        matches!(fault(status, &format!(r#"{{"__type":"{code}","message":"m"}}"#)), KeyFault::Denied(_))
    }

    #[test]
    fn what_is_a_refusal_and_what_is_not() {
        for code in [
            "AccessDeniedException",
            "com.amazonaws.kms#DisabledException",
            "KMSInvalidStateException",
            "NotFoundException",
            "InvalidCiphertextException",
            "IncorrectKeyException",
            "InvalidKeyUsageException",
            "InvalidGrantTokenException",
            "ValidationException",
            "UnrecognizedClientException",
            "ExpiredTokenException",
            "SomethingNew",
        ] {
            assert!(is_denied(400, code), "{code}");
        }
        assert!(is_denied(403, "OptInRequired") && is_denied(403, ""));
        for (status, code) in [
            (400, "ThrottlingException"),
            (400, "LimitExceededException"),
            (429, ""),
            (500, "KMSInternalException"),
            (500, "KeyUnavailableException"),
            (503, "DependencyTimeoutException"),
            (503, ""),
            (301, ""),
            (404, ""),
            (407, ""),
            (408, ""),
        ] {
            assert!(!is_denied(status, code), "{status} {code}");
        }
        let skewed = r#"{"__type":"InvalidSignatureException","message":"Signature expired: 20260101T000000Z is now earlier than …"}"#;
        assert!(matches!(fault(400, skewed), KeyFault::Unreachable(why) if why.contains("clock")));
        assert!(matches!(fault(403, "<html>no</html>"), KeyFault::Denied(_)));
        assert!(matches!(fault(200, "{"), KeyFault::Unreachable(_)));
        let told = fault(400, r#"{"__type":"AccessDeniedException","Message":"not\u0007 you"}"#);
        assert_eq!(told, KeyFault::Denied("Decrypt with k was refused with 400 Bad Request: AccessDeniedException: not you".into()));
    }

    #[test]
    fn keys_of_other_kinds_are_of_no_use() {
        let of = |json: &str| unusable(&serde_json::from_str(json).unwrap());
        let good =
            r#"{"KeyState":"Enabled","KeyUsage":"ENCRYPT_DECRYPT","KeySpec":"SYMMETRIC_DEFAULT","Origin":"AWS_KMS","MultiRegion":false}"#;
        assert_eq!((of(good), of("{}")), (None, None));
        for (part, other, told) in [
            ("\"Enabled\"", "\"PendingDeletion\"", "PendingDeletion"),
            ("ENCRYPT_DECRYPT", "SIGN_VERIFY", "symmetric"),
            ("SYMMETRIC_DEFAULT", "RSA_2048", "symmetric"),
            ("AWS_KMS", "EXTERNAL", "origin"),
            ("false", "true", "multi-region"),
        ] {
            assert!(of(&good.replace(part, other)).unwrap().contains(told), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..90) {
            read_any(&bytes);
            let answer = br#"{"KeyId":"k","Plaintext":"AAAA","CiphertextBlob":"AAAA","KeyMetadata":{"KeyState":"Enabled"}}"#;
            let mut changed = answer.to_vec();
            changed.splice(at.., bytes);
            read_any(&changed);
        }
    }
}
