//! What differs between the servers and protocols that can be measured: paths, bodies, and how an answer is read.

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::{
    Failure,
    client::{Address, Grpc, Rest},
    records::Protocol,
    search::place::Asked,
    sets::{Set, truth::Placed},
};

/// A way to ask one server.
pub(crate) trait Dialect: Send + Sync {
    fn protocol(&self) -> Protocol;
    fn address(&self) -> &Address;
    fn headers(&self) -> HeaderMap;
    /// Where queries go; by REST they are posted.
    fn query_path(&self) -> &str;
    /// Where upserts go, and by REST how.
    fn upsert_path(&self) -> (Method, &str);
    /// The body of a query.
    fn query(&self, set: &Set, query: u32, asked: Asked) -> Result<Bytes, Failure>;
    /// The rows in the answer to a query, best first.
    fn rows(&self, answer: Bytes) -> Result<Vec<u32>, Failure>;
    /// The body of an upsert.
    fn upsert(&self, set: &Set, records: &[Placed]) -> Result<Bytes, Failure>;
    /// The efforts that a caller may ask for, least first.
    fn efforts(&self) -> Vec<f32>;
}

/// A connection to a server, for one request at a time.
pub(crate) struct Connection {
    channel: Channel,
    query_path: String,
    upsert_path: (Method, String),
}

enum Channel {
    Grpc(Grpc),
    Rest(Rest),
}

impl Connection {
    pub(crate) async fn open(dialect: &dyn Dialect) -> Result<Self, Failure> {
        let channel = match dialect.protocol() {
            Protocol::Grpc => Channel::Grpc(Grpc::connect_to(dialect.address(), dialect.headers()).await?),
            Protocol::Rest => Channel::Rest(Rest::connect_to(dialect.address(), dialect.headers()).await?),
        };
        let (method, path) = dialect.upsert_path();
        Ok(Self { channel, query_path: dialect.query_path().to_owned(), upsert_path: (method, path.to_owned()) })
    }

    /// Sends the body of a query and gives the answer's, unread.
    pub(crate) async fn query(&mut self, body: Bytes) -> Result<Bytes, Failure> {
        match &mut self.channel {
            Channel::Grpc(grpc) => grpc.send(&self.query_path, body).await,
            Channel::Rest(rest) => rest.send(Method::POST, &self.query_path, body).await,
        }
    }

    /// Sends the body of an upsert, and returns when it is acknowledged.
    pub(crate) async fn upsert(&mut self, body: Bytes) -> Result<(), Failure> {
        let (method, path) = &self.upsert_path;
        match &mut self.channel {
            Channel::Grpc(grpc) => grpc.send(path, body).await.map(drop),
            Channel::Rest(rest) => rest.send(method.clone(), path, body).await.map(drop),
        }
    }
}
