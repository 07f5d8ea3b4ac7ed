//! Open ports: the main one, and one per index while it lives.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pinyon_service::PrivatePath;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    activity::Connections,
    connection::{Entrance, Handler, Peer, Protocol},
    proxy_header::{self, ProxyHeader},
};
use crate::config::{Addresses, Limits, PrivateListen};

/// How long to wait after the system could not give us a connection (out of files, out of memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a balancer may take to say who connects.
const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The listeners of one server.
pub(crate) struct Listeners {
    addresses: Addresses,
    tls: Option<TlsAcceptor>,
    protocol: Protocol,
    handler: Handler,
    handshake_timeout: Duration,
    connections: Arc<Connections>,
    tasks: TaskTracker,
    stop: CancellationToken,
    open: Mutex<HashMap<u16, CancellationToken>>,
}

impl Listeners {
    /// No port is open yet.
    pub(crate) fn new(
        addresses: Addresses,
        tls: Option<TlsAcceptor>,
        limits: &Limits,
        connections: Arc<Connections>,
        handler: Handler,
    ) -> Arc<Self> {
        Arc::new(Self {
            addresses,
            tls,
            protocol: Protocol::new(limits),
            handler,
            handshake_timeout: limits.header_timeout,
            connections,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            open: Mutex::new(HashMap::new()),
        })
    }

    /// Opens the main port and says which it is.
    pub(crate) async fn open_main(self: &Arc<Self>) -> io::Result<u16> {
        self.open(self.addresses.port, |_| Entrance::Main).await
    }

    /// Opens the port of an index. Once this returns, a connection to it succeeds.
    pub(crate) async fn open_index(self: &Arc<Self>, port: u16) -> io::Result<()> {
        if self.open.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&port) {
            return Ok(());
        }
        self.open(port, Entrance::Index).await.map(drop)
    }

    /// Opens the private listener. It reads a balancer's header before anything else, and from nobody but the balancers.
    pub(crate) async fn open_private(self: &Arc<Self>, settings: PrivateListen) -> io::Result<()> {
        let listener = bind(settings.address).await?;
        self.tasks.spawn(self.clone().accept_private(listener, Arc::new(settings)));
        Ok(())
    }

    /// Closes a port, and its connections once their requests are answered.
    pub(crate) fn close(&self, port: u16) {
        if let Some(token) = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&port) {
            token.cancel();
        }
    }

    /// Stops listening, asks every connection to end, and waits until all have.
    pub(crate) async fn shut_down(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Serves the connections of a Unix socket.
    pub(crate) fn open_socket(self: &Arc<Self>, listener: tokio::net::UnixListener) {
        let this = self.clone();
        self.tasks.spawn(async move {
            loop {
                let stream = tokio::select! {
                    () = this.stop.cancelled() => return,
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => stream,
                        Err(error) => { this.pause(&error).await; continue }
                    },
                };
                let place = this.connections.place(this.stop.child_token()).await;
                let peer = Peer { entrance: Entrance::Operator, address: None, secure: false, private_path: None };
                let (protocol, handler) = (this.protocol.clone(), this.handler.clone());
                this.tasks.spawn(async move { protocol.serve(stream, peer, place, handler).await });
            }
        });
    }

    async fn open(self: &Arc<Self>, port: u16, entrance: impl Fn(u16) -> Entrance) -> io::Result<u16> {
        let mut listeners = Vec::new();
        let mut bound = port;
        for address in &self.addresses.required {
            let listener = bind(SocketAddr::new(*address, bound)).await?;
            bound = listener.local_addr()?.port();
            listeners.push(listener);
        }
        for address in &self.addresses.optional {
            match bind(SocketAddr::new(*address, bound)).await {
                Ok(listener) => listeners.push(listener),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => return Err(e),
                Err(error) => tracing::debug!(%address, %error, "address is not available here"),
            }
        }
        let token = self.stop.child_token();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(bound, token.clone());
        for listener in listeners {
            self.tasks.spawn(self.clone().accept(listener, entrance(bound), token.clone()));
        }
        Ok(bound)
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, entrance: Entrance, token: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = token.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let place = tokio::select! {
                        () = token.cancelled() => return,
                        place = self.connections.place(token.child_token()) => place,
                    };
                    let peer = Peer { entrance, address: Some(address), secure: self.tls.is_some(), private_path: None };
                    self.tasks.spawn(self.clone().greet(stream, peer, place));
                }
                Err(error) => self.pause(&error).await,
            }
        }
    }

    async fn accept_private(self: Arc<Self>, listener: TcpListener, settings: Arc<PrivateListen>) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((_, address)) if !settings.balancers.iter().any(|n| n.contains(address.ip())) => {
                    tracing::debug!(%address, "not a balancer of the private listener");
                }
                Ok((stream, address)) => {
                    let place = tokio::select! {
                        () = self.stop.cancelled() => return,
                        place = self.connections.place(self.stop.child_token()) => place,
                    };
                    self.tasks.spawn(self.clone().greet_private(stream, address, settings.clone(), place));
                }
                Err(error) => self.pause(&error).await,
            }
        }
    }

    async fn greet_private(
        self: Arc<Self>,
        mut stream: TcpStream,
        balancer: SocketAddr,
        settings: Arc<PrivateListen>,
        place: super::activity::Place,
    ) {
        let read = tokio::select! {
            () = place.activity.told_to_end() => return,
            read = tokio::time::timeout(PROXY_HEADER_TIMEOUT, ProxyHeader::read(&mut stream)) => read,
        };
        let (entrance, address, link) = match read {
            Ok(Ok(ProxyHeader::Proxied { source, link })) => (Entrance::Private, Some(source), link),
            Ok(Ok(ProxyHeader::Local)) => (Entrance::Health, Some(balancer), None),
            Ok(Err(error)) => return tracing::debug!(%balancer, %error, "the PROXY header is not believed"),
            Err(_) => return tracing::debug!(%balancer, "no PROXY header came"),
        };
        let mut first = [0];
        let peeked = tokio::select! {
            () = place.activity.told_to_end() => return,
            peeked = tokio::time::timeout(self.handshake_timeout, stream.peek(&mut first)) => peeked,
        };
        if !matches!(peeked, Ok(Ok(1))) || proxy_header::is_another(first[0]) {
            return tracing::debug!(?address, "nothing, or a second PROXY header, follows the first");
        }
        let path = PrivatePath { link, region: settings.region.clone() };
        let peer = Peer { entrance, address, secure: self.tls.is_some(), private_path: Some(Arc::new(path)) };
        self.greet(stream, peer, place).await;
    }

    async fn greet(self: Arc<Self>, stream: TcpStream, peer: Peer, place: super::activity::Place) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let Some(tls) = &self.tls else {
            return self.protocol.serve(stream, peer, place, self.handler.clone()).await;
        };
        let shaken = tokio::select! {
            () = place.activity.told_to_end() => return,
            shaken = tokio::time::timeout(self.handshake_timeout, tls.accept(stream)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => self.protocol.serve(stream, peer, place, self.handler.clone()).await,
            Ok(Err(error)) => tracing::debug!(?peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(?peer, "TLS handshake took too long"),
        }
    }

    /// A connection that was gone before we took it is no matter; anything else means the system is short of something.
    async fn pause(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return;
        }
        tracing::warn!(%error, open = self.connections.len(), "cannot accept connections; trying again");
        self.connections.evict();
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address).map_err(|e| io::Error::new(e.kind(), format!("{address}: {e}")))?;
    socket.listen(4096)
}
