//! The server that is measured, and all that can be asked of it besides queries.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    BATCH, Settings, Which,
    dialect::{Connection, Dialect},
    pinyon::{PinyonGrpc, PinyonRest},
};
use crate::{
    Failure,
    client::Address,
    qdrant::{Collection, QdrantGrpc, QdrantRest},
    records::Protocol,
    report::Report,
    search::place::{Asked, IDLE_SHARE, QUIET, QUIET_LOOKS},
    server::{Place, Server, processor_time, resident_mib},
    sets::{Set, truth::Placed},
};

/// Upserts under way while a set is written.
const FILL_CONNECTIONS: usize = 4;

/// A server with an empty index.
pub(super) enum Stand {
    Pinyon { place: Place, server: Option<Server>, index: Address },
    Qdrant { collection: Collection, pid: Option<u32>, points: AtomicUsize },
}

impl Stand {
    /// Starts this project's server, or empties the collection of one that runs.
    pub(super) async fn start(settings: &Settings, set: &Set) -> Result<Self, Failure> {
        let dimension = set.base.dimension();
        if settings.target == Which::Qdrant {
            let (rest, grpc) = (Address::parse(&settings.url)?, Address::parse(&settings.grpc_url)?);
            let collection = Collection { rest, grpc, name: "bench".to_owned(), api_key: settings.target_api_key.clone() };
            collection.create(dimension, set.metric).await?;
            return Ok(Self::Qdrant { collection, pid: settings.pid, points: AtomicUsize::new(0) });
        }
        let place = Place::new(&settings.server)?.on_core(settings.server_core);
        let (server, _) = place.start().await?;
        let index = Address::local(server.create_index_of("bench", dimension, set.metric).await?);
        Ok(Self::Pinyon { place, server: Some(server), index })
    }

    pub(super) fn dialect(&self, protocol: Protocol) -> Box<dyn Dialect> {
        match (self, protocol) {
            (Self::Pinyon { index, .. }, Protocol::Grpc) => Box::new(PinyonGrpc(index.clone())),
            (Self::Pinyon { index, .. }, Protocol::Rest) => Box::new(PinyonRest(index.clone())),
            (Self::Qdrant { collection, .. }, Protocol::Grpc) => Box::new(QdrantGrpc(collection.clone())),
            (Self::Qdrant { collection, .. }, Protocol::Rest) => Box::new(QdrantRest::new(collection.clone())),
        }
    }

    /// Writes records by gRPC, waits until all work that follows is over, and records what it took.
    pub(super) async fn fill(&self, set: &Set, records: &[Placed], report: &mut Report) -> Result<(), Failure> {
        let (begun, before) = (Instant::now(), self.processor_time()?);
        let dialect = self.dialect(Protocol::Grpc);
        let mut idle = Vec::new();
        let mut tasks: JoinSet<Result<Connection, Failure>> = JoinSet::new();
        for batch in records.chunks(BATCH) {
            let mut connection = match idle.pop() {
                Some(connection) => connection,
                None if tasks.len() < FILL_CONNECTIONS => Connection::open(&*dialect).await?,
                None => tasks.join_next().await.ok_or("no upsert is under way")???,
            };
            while let Some(done) = tasks.try_join_next() {
                idle.push(done??);
            }
            let body = dialect.upsert(set, batch)?;
            tasks.spawn(async move {
                connection.upsert(body).await?;
                Ok(connection)
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        report.record("upserts acknowledged", "s", begun.elapsed().as_secs_f64());
        if let Self::Qdrant { points, .. } = self {
            points.store(records.len(), Ordering::Relaxed);
        }
        let ended = self.settle().await?;
        report.record("build", "s", (ended - begun).as_secs_f64());
        if let Some((before, after)) = before.zip(self.processor_time()?) {
            report.record("build, server's processor", "s", (after - before).as_secs_f64());
        }
        Ok(())
    }

    /// Waits until no background work is left, and gives the moment when there was none any more.
    pub(super) async fn settle(&self) -> Result<Instant, Failure> {
        let place = match self {
            Self::Qdrant { collection, points, .. } => {
                collection.settle(points.load(Ordering::Relaxed)).await?;
                return Ok(Instant::now());
            }
            Self::Pinyon { place, .. } => place,
        };
        let mut before = (place.files()?, self.processor_time()?);
        let (mut looks, mut last) = (0, Instant::now());
        while looks < QUIET_LOOKS {
            tokio::time::sleep(QUIET).await;
            let now = (place.files()?, self.processor_time()?);
            let used = now.1.zip(before.1).map_or(Duration::ZERO, |(now, before)| now - before);
            looks = if now.0 == before.0 && used.as_secs_f64() < IDLE_SHARE * QUIET.as_secs_f64() { looks + 1 } else { 0 };
            if looks == 0 {
                last = Instant::now();
            }
            before = now;
        }
        Ok(last)
    }

    /// Processor time that the server has used, if it is known which process it is.
    pub(super) fn processor_time(&self) -> Result<Option<Duration>, Failure> {
        match self {
            Self::Pinyon { server, .. } => server.as_ref().map(Server::processor_time).transpose(),
            Self::Qdrant { pid, .. } => pid.map(|pid| processor_time(&pid.to_string())).transpose(),
        }
    }

    /// Its memory now, and the most there was, in MiB.
    pub(super) fn resident_mib(&self) -> Result<Option<(f64, f64)>, Failure> {
        match self {
            Self::Pinyon { server, .. } => server.as_ref().map(Server::resident_mib).transpose(),
            Self::Qdrant { pid, .. } => pid.map(|pid| resident_mib(&pid.to_string())).transpose(),
        }
    }

    /// Bytes of its files, if they are here.
    pub(super) fn stored_bytes(&self) -> Result<Option<u64>, Failure> {
        match self {
            Self::Pinyon { place, .. } => place.stored_bytes().map(Some),
            Self::Qdrant { .. } => Ok(None),
        }
    }

    /// Stops the server, starts it again, and gives the milliseconds of its first query, the connection made before.
    pub(super) async fn first_query_after_restart(&mut self, set: &Set, asked: Asked) -> Result<f64, Failure> {
        let dialect = self.dialect(Protocol::Grpc);
        let Self::Pinyon { place, server, .. } = self else { return Err("only a server that was started here is stopped".into()) };
        if let Some(server) = server.take() {
            server.stop().await?;
        }
        *server = Some(place.start().await?.0);
        let body = dialect.query(set, 0, asked)?;
        let mut connection = Connection::open(&*dialect).await?;
        let begun = Instant::now();
        let answer = connection.query(body).await?;
        let millis = begun.elapsed().as_secs_f64() * 1e3;
        if dialect.rows(answer)?.is_empty() { Err("nothing is found after a restart".into()) } else { Ok(millis) }
    }

    /// Ends a server that was started here.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        match self {
            Self::Pinyon { server: Some(server), .. } => server.stop().await,
            Self::Pinyon { .. } | Self::Qdrant { .. } => Ok(()),
        }
    }
}
