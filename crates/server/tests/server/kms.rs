//! A key management service and a token service of our own, which do wrong what they are told to.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/pinyon";
pub(crate) const EXTERNAL_ID: &str = "7f3a-the-id";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    /// The role may not be assumed any more.
    RoleClosed,
    /// The role may not use the key.
    AccessDenied,
    Disabled,
    PendingDeletion,
    /// It asks for patience, each time.
    Throttling,
    /// It asks for patience every other time.
    ThrottlingNowAndThen,
    /// It answers when nobody waits any more.
    Slow,
    /// A 500 of its own.
    Broken,
    /// An answer that is cut off.
    Cut,
    /// It opens what was sealed as something else.
    OtherPlaintext,
    /// Another key answers.
    OtherKey,
    /// It finds the time of the request wrong.
    Skewed,
    /// It knows the caller's own credentials no more.
    OwnCredentials,
}

/// A running one.
#[derive(Clone)]
pub(crate) struct Kms {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    troubles: HashMap<String, Trouble>,
    sealed: Vec<Sealed>,
    asked: Vec<String>,
    turn: u32,
    missing: HashSet<String>,
}

struct Sealed {
    key: String,
    context: Value,
    plain: String,
}

/// The ARN of the n-th key there.
pub(crate) fn key(n: u16) -> String {
    format!("arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-12345678{n:04x}")
}

impl Kms {
    /// Starts one on a thread of its own, so that it answers while a test waits for a command.
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (tell, told) = mpsc::channel();
        let shared = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                loop {
                    let Ok((stream, _)) = listener.accept().await else { return };
                    let state = shared.clone();
                    let answer = service_fn(move |request| answer(state.clone(), request));
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
                }
            });
        });
        Self { port: told.recv().unwrap(), state }
    }

    /// The words that lead a server to it.
    pub(crate) fn words(&self) -> [String; 4] {
        let url = format!("http://127.0.0.1:{}", self.port);
        ["--cmek-sts-endpoint".into(), url.clone(), "--cmek-kms-endpoint".into(), url]
    }

    /// The server's own credentials.
    pub(crate) fn env() -> Vec<(String, String)> {
        [("AWS_ACCESS_KEY_ID", "AKIDPINYON"), ("AWS_SECRET_ACCESS_KEY", "of-the-server"), ("AWS_EC2_METADATA_DISABLED", "true")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    pub(crate) fn breaks(&self, key: &str, trouble: Trouble) {
        self.state.lock().unwrap().troubles.insert(key.to_owned(), trouble);
    }
    pub(crate) fn heals(&self, key: &str) {
        self.state.lock().unwrap().troubles.remove(key);
    }
    /// A key that is not there.
    pub(crate) fn has_no(&self, key: &str) {
        self.state.lock().unwrap().missing.insert(key.to_owned());
    }
    /// What was asked since the last time: operation and key.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
    /// Puts what was sealed for one in the place of what was sealed for another.
    pub(crate) fn swap_sealed(&self, a: usize, b: usize) {
        self.state.lock().unwrap().sealed.swap(a, b);
    }
    /// What was sealed.
    pub(crate) fn halves(&self) -> Vec<[u8; 32]> {
        self.state.lock().unwrap().sealed.iter().map(|s| STANDARD.decode(&s.plain).unwrap().try_into().unwrap()).collect()
    }
    pub(crate) fn sealed_count(&self) -> usize {
        self.state.lock().unwrap().sealed.len()
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let scope = header("authorization");
    let (status, text, trouble) = match header("x-amz-target").strip_prefix("TrentService.") {
        Some(operation) => {
            let question: Value = serde_json::from_slice(&body).unwrap();
            ask(&mut state.lock().unwrap(), operation, &question, &scope)
        }
        None => assume(&mut state.lock().unwrap(), &String::from_utf8_lossy(&body), &scope),
    };
    if trouble == Some(Trouble::Slow) {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

type Answer = (StatusCode, String, Option<Trouble>);

/// `AssumeRole`. What is wrong with the role is told by what is wrong with any key.
fn assume(state: &mut State, form: &str, scope: &str) -> Answer {
    let field = |name: &str| {
        let found = form.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        percent_encoding::percent_decode_str(found.unwrap_or_default()).decode_utf8().unwrap().into_owned()
    };
    state.asked.push("AssumeRole".into());
    let refuse = |status: u16, code: &str, message: &str| {
        let xml = format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>");
        (StatusCode::from_u16(status).unwrap(), xml, None)
    };
    assert!(scope.contains("AKIDPINYON") && scope.contains("/eu-west-1/sts/aws4_request"), "{scope}");
    let is = |trouble: Trouble| state.troubles.values().any(|t| *t == trouble);
    if is(Trouble::OwnCredentials) {
        return refuse(403, "InvalidClientTokenId", "The security token included in the request is invalid");
    }
    if is(Trouble::RoleClosed) || field("RoleArn") != ROLE || field("ExternalId") != EXTERNAL_ID {
        return refuse(403, "AccessDenied", "User is not authorized to perform: sts:AssumeRole");
    }
    let xml = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
               <SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    (StatusCode::OK, xml.to_owned(), None)
}

fn ask(state: &mut State, operation: &str, question: &Value, scope: &str) -> Answer {
    let key = question["KeyId"].as_str().unwrap().to_owned();
    assert!(scope.contains("ASIAROLE") && scope.contains("/eu-west-1/kms/aws4_request"), "{scope}");
    state.asked.push(format!("{operation} {}", key.rsplit('/').next().unwrap()));
    let trouble = state.troubles.get(&key).copied();
    let refuse = |status: u16, code: &str, message: &str| {
        (StatusCode::from_u16(status).unwrap(), json!({"__type": code, "message": message}).to_string(), trouble)
    };
    state.turn += 1;
    match trouble {
        Some(Trouble::AccessDenied) => return refuse(400, "AccessDeniedException", "not authorized to perform: kms:Decrypt"),
        Some(Trouble::Disabled) => return refuse(400, "DisabledException", "the key is disabled"),
        Some(Trouble::PendingDeletion) => return refuse(400, "KMSInvalidStateException", "the key is pending deletion"),
        Some(Trouble::Throttling) => return refuse(400, "ThrottlingException", "Rate exceeded"),
        Some(Trouble::ThrottlingNowAndThen) if state.turn.is_multiple_of(2) => return refuse(400, "ThrottlingException", "Rate exceeded"),
        Some(Trouble::Broken) => return refuse(500, "KMSInternalException", "a fault of ours"),
        Some(Trouble::Skewed) => return refuse(403, "InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier"),
        Some(Trouble::Cut) => return (StatusCode::OK, "{\"Plaintext\": \"AAA".into(), trouble),
        _ => {}
    }
    if state.missing.contains(&key) {
        return refuse(400, "NotFoundException", "there is no such key");
    }
    let context = question["EncryptionContext"].clone();
    let told = if trouble == Some(Trouble::OtherKey) { self::key(0xffff) } else { key.clone() };
    let reply = match operation {
        // Not granted.
        "DescribeKey" => return refuse(400, "AccessDeniedException", "not authorized to perform: kms:DescribeKey"),
        "Encrypt" => {
            let plain = question["Plaintext"].as_str().unwrap().to_owned();
            assert_eq!(STANDARD.decode(&plain).unwrap().len(), 32);
            state.sealed.push(Sealed { key, context, plain });
            json!({"KeyId": told, "CiphertextBlob": STANDARD.encode((state.sealed.len() - 1).to_string())})
        }
        _ => {
            let number = STANDARD.decode(question["CiphertextBlob"].as_str().unwrap()).unwrap();
            let number: usize = String::from_utf8(number).unwrap().parse().unwrap();
            let sealed = &state.sealed[number];
            if sealed.key != key || sealed.context != context {
                return refuse(400, "InvalidCiphertextException", "");
            }
            let plain = if trouble == Some(Trouble::OtherPlaintext) { STANDARD.encode([9; 32]) } else { sealed.plain.clone() };
            json!({"KeyId": told, "Plaintext": plain})
        }
    };
    (StatusCode::OK, reply.to_string(), trouble)
}
