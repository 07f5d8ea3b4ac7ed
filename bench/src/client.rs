//! The least that speaks REST and gRPC to a server: one connection, one request at a time.

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, StatusCode, header};
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

async fn tcp(port: u16) -> Result<TokioIo<TcpStream>, Failure> {
    let stream = TcpStream::connect((HOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

/// A connection that speaks HTTP/1.1.
pub(crate) struct Rest {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
}

impl Rest {
    pub(crate) async fn connect(port: u16) -> Result<Self, Failure> {
        let (sender, connection) = http1::handshake(tcp(port).await?).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: format!("{HOST}:{port}") })
    }

    /// Sends one request with a JSON body and gives the answer's; anything but success is a failure.
    pub(crate) async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .header("Api-Key", "bench")
            .header("X-Pinecone-API-Version", API_VERSION)
            .body(Full::new(body))?;
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
}

impl Grpc {
    pub(crate) async fn connect(port: u16) -> Result<Self, Failure> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), tcp(port).await?).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority: format!("http://{HOST}:{port}") })
    }

    /// Calls a method of the vector service with an encoded request; anything but success is a failure.
    pub(crate) async fn call<Answer: Message + Default>(&mut self, method: &str, request: Bytes) -> Result<Answer, Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/VectorService/{method}", self.authority))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header("api-key", "bench")
            .header("x-pinecone-api-version", API_VERSION)
            .body(Full::new(request))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("{method}: {}", response.status()).into());
        }
        // An answer without a message has its status among the headers.
        let headers = response.headers().clone();
        let body = response.into_body().collect().await?;
        let status = body.trailers().unwrap_or(&headers);
        if status.get("grpc-status").is_none_or(|code| code != "0") {
            return Err(format!("{method}: {:?}: {:?}", status.get("grpc-status"), status.get("grpc-message")).into());
        }
        let mut message = body.to_bytes();
        if message.len() < MESSAGE_HEAD {
            return Err(format!("{method}: an answer of {} bytes", message.len()).into());
        }
        message.advance(MESSAGE_HEAD);
        Ok(Answer::decode(message)?)
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
