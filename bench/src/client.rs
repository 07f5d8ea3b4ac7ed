//! The least that speaks REST and gRPC to a server: one connection, one request at a time.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

use crate::Failure;

const API_VERSION: &str = "2025-10";
const HOST: &str = "127.0.0.1";
/// A gRPC message follows a flag byte and its length in four.
const MESSAGE_HEAD: usize = 5;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// A port of this machine.
    pub(crate) fn local(port: u16) -> Self {
        Self { host: HOST.to_owned(), port }
    }

    /// The host and port of a URL in plaintext.
    pub(crate) fn parse(url: &str) -> Result<Self, Failure> {
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        match (uri.scheme_str(), uri.host(), uri.port_u16()) {
            (None | Some("http"), Some(host), Some(port)) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(format!("{url}: it must be http://HOST:PORT").into()),
        }
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    async fn tcp(&self) -> Result<TokioIo<TcpStream>, Failure> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }
}

/// The headers that name the caller and the API's date.
pub(crate) fn pinyon_headers() -> HeaderMap {
    let headers = [("api-key", "bench"), ("x-pinecone-api-version", API_VERSION)];
    headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// A connection that speaks HTTP/1.1.
pub(crate) struct Rest {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
    headers: HeaderMap,
}

impl Rest {
    pub(crate) async fn connect(port: u16) -> Result<Self, Failure> {
        Self::connect_to(&Address::local(port), pinyon_headers()).await
    }

    /// A connection whose requests all carry these headers.
    pub(crate) async fn connect_to(address: &Address, headers: HeaderMap) -> Result<Self, Failure> {
        let (sender, connection) = http1::handshake(address.tcp().await?).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.authority(), headers })
    }

    /// Sends one request with a JSON body and gives the answer's; anything but success is a failure.
    pub(crate) async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        request.headers_mut().extend(self.headers.clone());
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into()) }
    }
}

/// A connection that speaks gRPC.
pub(crate) struct Grpc {
    sender: http2::SendRequest<Full<Bytes>>,
    authority: String,
    headers: HeaderMap,
}

impl Grpc {
    pub(crate) async fn connect(port: u16) -> Result<Self, Failure> {
        Self::connect_to(&Address::local(port), pinyon_headers()).await
    }

    /// A connection whose calls all carry these headers.
    pub(crate) async fn connect_to(address: &Address, headers: HeaderMap) -> Result<Self, Failure> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), address.tcp().await?).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority: format!("http://{}", address.authority()), headers })
    }

    /// Calls a method of the vector service with an encoded request; anything but success is a failure.
    pub(crate) async fn call<Answer: Message + Default>(&mut self, method: &str, request: Bytes) -> Result<Answer, Failure> {
        Ok(Answer::decode(self.send(&format!("/VectorService/{method}"), request).await?)?)
    }

    /// Calls a method by its path with an encoded request, and gives the answer's message as it came; anything but success is a
    /// failure.
    pub(crate) async fn send(&mut self, path: &str, request: Bytes) -> Result<Bytes, Failure> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.authority))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Full::new(request))?;
        request.headers_mut().extend(self.headers.clone());
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("{path}: {}", response.status()).into());
        }
        // An answer without a message has its status among the headers.
        let headers = response.headers().clone();
        let body = response.into_body().collect().await?;
        let status = body.trailers().unwrap_or(&headers);
        if status.get("grpc-status").is_none_or(|code| code != "0") {
            return Err(format!("{path}: {:?}: {:?}", status.get("grpc-status"), status.get("grpc-message")).into());
        }
        let mut message = body.to_bytes();
        if message.len() < MESSAGE_HEAD {
            return Err(format!("{path}: an answer of {} bytes", message.len()).into());
        }
        message.advance(MESSAGE_HEAD);
        Ok(message)
    }
}

/// A message as a gRPC body: not compressed, its length, itself.
pub(crate) fn grpc_body(message: &impl Message) -> Result<Bytes, Failure> {
    let len = message.encoded_len();
    let mut body = BytesMut::with_capacity(MESSAGE_HEAD + len);
    body.extend_from_slice(&[0]);
    body.extend_from_slice(&u32::try_from(len)?.to_be_bytes());
    message.encode(&mut body)?;
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let address = Address::parse("http://localhost:6333").expect("it is one");
        assert_eq!((&*address.authority(), address), ("localhost:6333", Address { host: "localhost".to_owned(), port: 6_333 }));
        for wrong in ["https://localhost:6333", "http://localhost", "::", ""] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
