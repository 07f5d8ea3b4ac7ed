//! Starts servers on free ports and speaks to them.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

use crate::leaks;

/// The binary under test.
pub(crate) const PINYON: &str = env!("CARGO_BIN_EXE_pinyon");
/// Ports that one server may use.
const BLOCK: u16 = 50;

/// The first of a block of ports that nobody else uses.
pub(crate) fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 200) as u16;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 240 * BLOCK;
        if (port..port + 4).all(|p| TcpListener::bind(("127.0.0.1", p)).is_ok()) {
            return port;
        }
    }
}

/// A folder with a data directory and everything that belongs outside it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    /// Variables of its servers.
    env: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::with_env(Vec::new())
    }
    /// One whose servers have these variables.
    pub(crate) fn with_env(env: Vec<(String, String)>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port: free_ports(), env }
    }
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }
    /// A command of the binary, with the configuration folder in this home and no variable of the caller's.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PINYON);
        command.args(words).env_clear().env("HOME", self.path()).env("XDG_CONFIG_HOME", self.path().join("config"));
        command.stdin(Stdio::null());
        command
    }
    /// Runs an operator's command on the data directory.
    pub(crate) fn operate(&self, words: &[&str]) -> Output {
        self.command(words).arg("--data-dir").arg(self.data()).output().unwrap()
    }
    /// As [`Self::operate`], for a command that must succeed; what it printed, without the last line break.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.operate(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout).trim_end().to_owned()
    }
    /// A server on the data directory that must start.
    pub(crate) fn serve(&self, words: &[&str]) -> Server {
        self.start("serve", words)
    }
    /// A development server on the data directory.
    pub(crate) fn dev(&self, words: &[&str]) -> Server {
        self.start("dev", words)
    }
    /// A server that has not been waited for.
    pub(crate) fn spawn(&self, kind: &str, words: &[&str]) -> Child {
        let last = self.port + BLOCK - 1;
        let mut command = self.command(&[kind, "--bind", "127.0.0.1"]);
        command.args(["--port", &self.port.to_string(), "--data-dir"]).arg(self.data());
        if !words.contains(&"--index-ports") {
            command.args(["--index-ports", &format!("{}-{last}", self.port + 1)]);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let log = std::fs::File::options().create(true).append(true).open(self.path().join("log")).unwrap();
        command.args(words).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }
    fn start(&self, kind: &str, words: &[&str]) -> Server {
        let banners = || self.log().matches("is ready").count();
        let before = banners();
        let mut server = Server { child: self.spawn(kind, words), port: self.port };
        let patience = Instant::now() + Duration::from_secs(60);
        while banners() == before {
            assert!(server.child.try_wait().unwrap().is_none(), "the server ended: {}", self.log());
            assert!(Instant::now() < patience, "the server did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }
    /// What the servers said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }
    /// The API key of the first start.
    pub(crate) fn first_key(&self) -> String {
        let folder = self.path().join("config/pinyon/root-keys");
        let file = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "api-key"));
        std::fs::read_to_string(file.expect("the first start leaves a key")).unwrap().trim().to_owned()
    }
    /// A new service account, made with these words more: its client id and secret.
    pub(crate) fn service_account(&self, name: &str, words: &[&str]) -> (String, String) {
        let made = self.json(&[&["service-account", "create", "--name", name], words].concat());
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        (text(&made["service_account"]["client_id"]), text(&made["client_secret"]))
    }
    /// As [`Self::operate`], with this on standard input.
    pub(crate) fn operate_with(&self, words: &[&str], input: &str) -> Output {
        use std::io::Write;
        let mut command = self.command(words);
        command.arg("--data-dir").arg(self.data()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
    /// What a command that must succeed tells a program.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[words, &["--json"]].concat())).unwrap()
    }
    /// A new key of the first project.
    pub(crate) fn key(&self, role: &str) -> String {
        self.run(&["key", "create", "--name", role, "--role", role])
    }
}

/// Whatever a test did: no secret that was issued in it may lie in a log or in the data directory.
impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let found = leaks::issued_in(&[self.data(), self.path().join("log")]);
            assert!(found.is_empty(), "secrets were left behind: {found:?}");
        }
    }
}

/// Whether something answers on this port.
pub(crate) fn is_open(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
    /// The base of the n-th port of an index, from 1.
    pub(crate) fn index_url(&self, n: u16) -> String {
        format!("http://127.0.0.1:{}", self.port + n)
    }
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
    /// Waits for the end and gives the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let patience = Instant::now() + Duration::from_secs(45);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < patience, "the server did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.wait(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A REST client with a key and a date.
pub(crate) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }
}

impl Api {
    pub(crate) fn new(key: &str) -> Self {
        Self::bare().with("Api-Key", key).with("X-Pinecone-Api-Version", "2025-10")
    }
    /// With a token for this service account.
    pub(crate) async fn with_token(server: &Server, account: &(String, String)) -> Self {
        let reply = Self::bare().post(&format!("{}/oauth/token", server.url()), token_request(account)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Self::bearer(reply.json()["access_token"].as_str().unwrap())
    }
    pub(crate) fn bearer(token: &str) -> Self {
        Self::bare().with("Authorization", &format!("Bearer {token}")).with("X-Pinecone-Api-Version", "2026-07")
    }
    /// Without any header.
    pub(crate) fn bare() -> Self {
        // A connection for each request: a test may stop a server and start it again.
        Self { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http(), headers: Vec::new() }
    }
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    pub(crate) async fn send(&self, method: &str, url: &str, body: impl Into<Bytes>) -> Reply {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response =
            self.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap_or_else(|e| panic!("{method} {url}: {e:?}"));
        let (parts, body) = response.into_parts();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }
    pub(crate) async fn get(&self, url: &str) -> Reply {
        self.send("GET", url, "").await
    }
    pub(crate) async fn post(&self, url: &str, body: Value) -> Reply {
        self.send("POST", url, body.to_string()).await
    }
    /// Makes a dense index of three dimensions and gives its description.
    pub(crate) async fn create_index(&self, server: &Server, name: &str) -> Value {
        let reply = self.post(&format!("{}/indexes", server.url()), index_spec(name)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()
    }
}

/// What a service account sends for a token.
pub(crate) fn token_request((client_id, client_secret): &(String, String)) -> Value {
    let audience = "https://api.pinecone.io/";
    json!({"client_id": client_id, "client_secret": client_secret, "grant_type": "client_credentials", "audience": audience})
}

pub(crate) fn index_spec(name: &str) -> Value {
    json!({"name": name, "dimension": 3, "metric": "cosine", "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}})
}

/// A record for such an index.
pub(crate) fn record(id: &str) -> Value {
    json!({"id": id, "values": [1.0, 2.0, 3.0], "metadata": {"kind": "a"}})
}

/// Calls a method of `VectorService` over plaintext HTTP/2.
pub(crate) async fn grpc<M, A>(port: u16, key: Option<&str>, method: &str, message: M) -> Result<tonic::Response<A>, tonic::Status>
where
    M: prost::Message + Default + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    grpc_as(port, key.map(|key| ("api-key", key)), method, message).await
}

/// As [`grpc`], on an open channel.
pub(crate) async fn grpc_on<M, A>(
    channel: tonic::transport::Channel,
    key: Option<&str>,
    method: &str,
    message: M,
) -> Result<tonic::Response<A>, tonic::Status>
where
    M: prost::Message + Default + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    call(channel, key.map(|key| ("api-key", key)), method, message).await
}

/// As [`grpc`], with a credential in this header.
pub(crate) async fn grpc_as<M, A>(
    port: u16,
    credential: Option<(&str, &str)>,
    method: &str,
    message: M,
) -> Result<tonic::Response<A>, tonic::Status>
where
    M: prost::Message + Default + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let channel = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
    call(channel, credential, method, message).await
}

async fn call<M, A>(
    channel: tonic::transport::Channel,
    credential: Option<(&str, &str)>,
    method: &str,
    message: M,
) -> Result<tonic::Response<A>, tonic::Status>
where
    M: prost::Message + Default + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(128 << 20);
    client.ready().await.unwrap();
    let mut request = tonic::Request::new(message);
    if let Some((header, value)) = credential {
        let header: tonic::metadata::MetadataKey<_> = header.to_lowercase().parse().unwrap();
        request.metadata_mut().insert(header, value.parse().unwrap());
    }
    let path = http::uri::PathAndQuery::try_from(format!("/VectorService/{method}")).unwrap();
    client.unary(request, path, tonic_prost::ProstCodec::<M, A>::default()).await
}
