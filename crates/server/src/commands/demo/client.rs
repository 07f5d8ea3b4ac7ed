//! The demo's client: what any program would send, over the same network path.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::commands::Failure;

/// Sends requests with an API key and a date.
pub(super) struct Api(Client<HttpConnector, Full<Bytes>>);

/// The key that the demo sends; a development server takes any.
pub(super) const API_KEY: &str = "demo";
/// The date that the demo speaks.
pub(super) const VERSION: &str = "2025-10";

impl Api {
    pub(super) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends one request; the JSON that came back, and how long it took.
    pub(super) async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> Result<(Value, Duration), Failure> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("Api-Key", API_KEY)
            .header("X-Pinecone-Api-Version", VERSION)
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let started = Instant::now();
        let response = self.0.request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        let took = started.elapsed();
        if !status.is_success() {
            return Err(Failure::new(format!("{url} answered {status}: {}", String::from_utf8_lossy(&bytes))));
        }
        Ok((if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? }, took))
    }
}
