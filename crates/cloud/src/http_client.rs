//! One HTTP client: TLS by rustls with the system's authorities, no redirects, bounded answers, a time to end by.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use reqsign_core::HttpSend;

/// No answer that is looked at is longer.
const ANSWER_MAX: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that nobody used for so long is closed: AWS closes them after 20 s or less.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String>,
    timeout: Duration,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

impl HttpClient {
    /// A client that gives a request up after `timeout`. Where the system has no certificate authorities, each request says so.
    pub(crate) fn new(timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider).map_err(|e| {
            format!("the system's certificate authorities cannot be read ({e}); install them, or name a file with SSL_CERT_FILE")
        });
        let client = tls.map(|tls| {
            let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
            Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector)
        });
        Self { client, timeout }
    }

    /// Sends a request and reads its answer. What went wrong is told without anything of the request but its host.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let exchange = async {
            let response = client.request(request.map(Full::new)).await.map_err(|e| format!("{host} is not reached: {}", chain(&e)))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|e| format!("{host} did not answer to its end: {e}"))?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("{host} did not answer in {} seconds", self.timeout.as_secs())),
        }
    }
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// For credentials that come over the network: from the machine's metadata, from a token service.
impl HttpSend for HttpClient {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        self.send(request).await.map_err(reqsign_core::Error::unexpected)
    }
}
