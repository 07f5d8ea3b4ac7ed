//! Private endpoints over the real binary: headers as balancers send them, before TLS; and what is spoofed.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use pinyon_wire::proto::{DescribeIndexStatsRequest, DescribeIndexStatsResponse};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::kit::{Api, Home, Server, grpc_on};

const ID: &str = "vpce-08ff8ff6b9b4e8b0a";
const DOMAIN: &str = "vectors.test";

/// A header for this client by this endpoint, with the padding that network load balancers add.
fn header(source: Ipv4Addr, endpoint: Option<&str>) -> Vec<u8> {
    let mut rest = [&source.octets()[..], &[192, 0, 2, 1], &40_000u16.to_be_bytes(), &443u16.to_be_bytes()].concat();
    let mut tlv = |kind: u8, value: &[u8]| {
        rest.push(kind);
        rest.extend((value.len() as u16).to_be_bytes());
        rest.extend(value);
    };
    tlv(0x04, &[0; 20]);
    if let Some(id) = endpoint {
        tlv(0xea, &[&[1], id.as_bytes()].concat());
    }
    frame(0x21, 0x11, &rest)
}

fn frame(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
}

fn of(endpoint: &str) -> Vec<u8> {
    header(Ipv4Addr::new(10, 1, 2, 3), Some(endpoint))
}

/// A server with a private listener on the port after its indexes'.
struct House {
    home: Home,
    server: Server,
    port: u16,
    tls: Option<TlsConnector>,
}

impl House {
    fn new(words: &[&str]) -> Self {
        let home = Home::new();
        let port = home.port + 3;
        let listen = format!("127.0.0.1:{port}");
        let private =
            ["--domain", DOMAIN, "--private-listen", &listen, "--private-balancers", "127.0.0.0/8", "--private-region", "us-east-1"];
        let server = home.serve(&[&private[..], words].concat());
        let tls = words.contains(&"--tls-self-signed").then(|| connector(&home));
        Self { home, server, port, tls }
    }

    /// Sends a request over HTTP/1.1 after these bytes. None when the connection was closed instead of answered.
    async fn send(
        &self,
        (port, first): (u16, &[u8]),
        host: &str,
        key: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Option<(u16, Bytes)> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(first).await.ok()?;
        match &self.tls {
            None => ask(stream, host, key, method, path, body).await,
            Some(tls) => {
                let stream = tls.connect(ServerName::try_from(host.to_owned()).unwrap(), stream).await.ok()?;
                ask(stream, host, key, method, path, body).await
            }
        }
    }

    async fn stats(&self, port: u16, first: &[u8], host: &str, key: &str) -> Option<u16> {
        self.send((port, first), host, key, "POST", "/describe_index_stats", json!({})).await.map(|(status, _)| status)
    }

    /// The answer by the private listener.
    async fn private(&self, first: &[u8], host: &str, key: &str) -> Option<u16> {
        self.stats(self.port, first, host, key).await
    }

    /// The answer from the internet.
    async fn public(&self, host: &str, key: &str) -> Option<u16> {
        self.stats(self.server.port, b"", host, key).await
    }

    async fn control(&self, port: u16, first: &[u8], key: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (status, body) = self.send((port, first), DOMAIN, key, method, path, body).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn create_index(&self, key: &str, name: &str, region: &str) -> Value {
        let spec = json!({"name": name, "dimension": 3, "metric": "cosine", "spec": {"serverless": {"cloud": "aws", "region": region}}});
        let (status, index) = self.control(self.server.port, b"", key, "POST", "/indexes", spec).await;
        assert_eq!(status, 201, "{index}");
        index
    }
}

fn connector(home: &Home) -> TlsConnector {
    let folder = std::fs::read_dir(home.path().join("config/pinyon/root-keys")).unwrap();
    let tls = folder.map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "tls")).unwrap();
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_file_iter(tls.join("ca.pem")).unwrap().for_each(|cert| roots.add(cert.unwrap()).unwrap());
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_root_certificates(roots);
    TlsConnector::from(Arc::new(config.with_no_client_auth()))
}

async fn ask<S>(stream: S, host: &str, key: &str, method: &str, path: &str, body: Value) -> Option<(u16, Bytes)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", host).header("api-key", key);
    let request = request.header("x-pinecone-api-version", "2025-10").body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let response = sender.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.into_body().collect().await.ok()?.to_bytes()))
}

/// The name in a host, and the same for private endpoints.
fn names(index: &Value) -> (String, String) {
    let host = index["host"].as_str().unwrap().trim_start_matches("http://");
    let public = host.split(':').next().unwrap().to_owned();
    (public.clone(), public.replace(".svc.", ".svc.private."))
}

#[tokio::test]
async fn from_the_first_endpoint_to_a_project_that_nobody_else_reaches() {
    let house = House::new(&["--tls-self-signed"]);
    let key = house.home.first_key();
    let index = house.create_index(&key, "near", "us-east-1").await;
    assert_eq!(index.get("private_host"), None, "{index}");
    let (public, private) = names(&index);
    let (_, far) = names(&house.create_index(&key, "far", "eu-west-1").await);
    assert_eq!(house.private(&of(ID), &private, &key).await, Some(401), "nobody has this endpoint yet");

    house.home.run(&["private-endpoint", "create", ID, "--region", "us-east-1"]);
    house.home.run(&["private-endpoint", "create", "vpce-e1", "--region", "eu-west-1"]);
    assert_eq!(house.private(&of(ID), &private, &key).await, Some(200));
    assert_eq!(house.private(&of(ID), &far, &key).await, Some(401), "an index of another region");
    assert_eq!(house.private(&of("vpce-e1"), &far, &key).await, Some(401), "this listener is not in the endpoint's region");
    assert_eq!(house.private(&of("vpce-0"), &private, &key).await, Some(401), "somebody else's endpoint");
    assert_eq!(house.private(&header(Ipv4Addr::LOCALHOST, None), &private, &key).await, Some(401), "no endpoint");
    assert_eq!(house.private(&of(ID), &private, "not-a-key").await, Some(401));
    // Each listener knows its own names.
    assert_eq!((house.private(&of(ID), &public, &key).await, house.public(&private, &key).await), (Some(404), Some(404)));
    assert_eq!(house.public(&public, &key).await, Some(200), "not private yet");

    // Who is told of the private host: those alone who reach the index by it.
    let described =
        async |port: u16, first: &[u8], name: &str| house.control(port, first, &key, "GET", &format!("/indexes/{name}"), json!({})).await;
    let told = format!("{private}:{}", house.port);
    assert_eq!(described(house.server.port, b"", "near").await.1.get("private_host"), None);
    assert_eq!(described(house.port, &of(ID), "near").await.1["private_host"], told);
    assert_eq!(described(house.port, &of(ID), "far").await.1.get("private_host"), None);
    let (status, _) = house.control(house.port, &of("vpce-0"), &key, "GET", "/indexes", json!({})).await;
    assert_eq!(status, 401, "the control plane too is for those who have the endpoint, here");

    // Private only.
    house.home.run(&["project", "access", "--private-only", "true"]);
    assert_eq!((house.private(&of(ID), &private, &key).await, house.public(&public, &key).await), (Some(200), Some(401)));
    let (_, body) =
        house.send((house.server.port, b""), &public, &key, "POST", "/query", json!({"vector": [1, 0, 0], "topK": 1})).await.unwrap();
    assert_eq!(body, "Unauthorized", "in the words of the data plane");
    let explain =
        house.control(house.server.port, b"", &key, "POST", "/pinyon/v1/indexes/near/explain", json!({"vector": [1, 0, 0], "topK": 1}));
    assert_eq!(explain.await.0, 401, "records by the control host are records");
    let missing = public.replace("near", "missing");
    assert_eq!(house.public(&missing, &key).await, Some(401), "what is not there looks alike");
    let described_now = described(house.server.port, b"", "near").await;
    assert_eq!((described_now.0, &described_now.1["private_host"]), (200, &json!(told)), "the control plane stays, and tells the way in");
    assert_eq!(described(house.server.port, b"", "far").await.1.get("private_host"), None, "no way in for this one");

    // gRPC, by either way.
    let tls = house.tls.clone().unwrap();
    let grpc = async |port: u16, first: Vec<u8>, host: &str| {
        let (tls, name) = (tls.clone(), host.to_owned());
        let dial = tower::service_fn(move |_: http::Uri| {
            let (tls, first, name) = (tls.clone(), first.clone(), name.clone());
            async move {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.write_all(&first).await?;
                tls.connect(ServerName::try_from(name).unwrap(), stream).await.map(TokioIo::new)
            }
        });
        let channel =
            tonic::transport::Endpoint::from_shared(format!("http://{host}")).unwrap().connect_with_connector(dial).await.unwrap();
        let asked = DescribeIndexStatsRequest::default();
        grpc_on::<_, DescribeIndexStatsResponse>(channel, Some(&key), "DescribeIndexStats", asked).await.map(drop).map_err(|e| e.code())
    };
    assert_eq!(grpc(house.port, of(ID), &private).await, Ok(()));
    assert_eq!(grpc(house.port, of("vpce-0"), &private).await, Err(tonic::Code::Unauthenticated));
    assert_eq!(grpc(house.server.port, Vec::new(), &public).await, Err(tonic::Code::Unauthenticated));

    // A key's networks see the address of the client, not the balancer's.
    let inside = house.home.run(&["key", "create", "--network", "10.1.2.0/24"]);
    let elsewhere = house.home.run(&["key", "create", "--network", "127.0.0.0/8"]);
    assert_eq!(house.private(&of(ID), &private, &inside).await, Some(200));
    assert_eq!(house.private(&of(ID), &private, &elsewhere).await, Some(401), "127.0.0.1 is the balancer");

    // Gone with the endpoint, at once.
    house.home.run(&["private-endpoint", "delete", ID]);
    assert_eq!(house.private(&of(ID), &private, &key).await, Some(401));
    let log = house.home.run(&["audit", "export"]);
    let found = |action: &str| {
        log.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["event"].clone()).any(|e| {
            (&e["action"], &e["resource_type"], &e["resource_id"], &e["outcome"]["result"])
                == (&json!(action), &json!("private-endpoints"), &json!(ID), &json!("success"))
        })
    };
    assert!(found("create") && found("delete"));
}

#[tokio::test]
async fn a_network_list_for_those_without_private_links_and_a_private_control_plane() {
    let house = House::new(&[]);
    let key = house.home.first_key();
    let (public, private) = names(&house.create_index(&key, "a", "us-east-1").await);
    let project = house.home.json(&["project", "list"])["projects"][0]["id"].as_str().unwrap().to_owned();
    let owner = Api::with_token(&house.server, &house.home.service_account("owner", &["--role", "OrgOwner"])).await;
    let access = format!("{}/pinyon/v1/projects/{project}/access", house.server.url());
    let put = async |body: Value| owner.send("PUT", &access, body.to_string()).await;
    let refused = put(json!({"private_only": true})).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (412, &json!("FAILED_PRECONDITION")), "nobody could come in");
    assert_eq!(put(json!({"private_only": true, "networks": ["203.0.113.0/24"]})).await.status, 200);
    assert_eq!(house.public(&public, &key).await, Some(401));
    assert_eq!(owner.get(&access).await.json()["networks"], json!(["203.0.113.0/24"]));

    assert_eq!(put(json!({"private_only": true, "networks": ["127.0.0.1/32"]})).await.status, 200);
    assert_eq!(house.public(&public, &key).await, Some(200));
    // A network is an address of the internet: what a customer's own network calls 127.0.0.1 says nothing.
    let claims = header(Ipv4Addr::LOCALHOST, Some(ID));
    assert_eq!(house.private(&claims, &private, &key).await, Some(401));

    let both = json!({"private_only": true, "private_control_plane": true, "networks": ["203.0.113.0/24"]});
    assert_eq!(put(both).await.status, 200);
    let list = async |port: u16, first: &[u8]| house.control(port, first, &key, "GET", "/indexes", json!({})).await;
    let (status, body) = list(house.server.port, b"").await;
    assert_eq!((status, &body["error"]["message"]), (401, &json!("Unauthorized")));
    assert_eq!(owner.get(&access).await.status, 200, "the admin plane stays, for whoever has to undo it");
    let endpoints = format!("{}/pinyon/v1/projects/{project}/private-endpoints", house.server.url());
    let made = owner.post(&endpoints, json!({"provider": "aws", "endpoint_id": ID, "region": "us-east-1"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(list(house.port, &of(ID)).await.0, 200);
    assert_eq!(house.private(&of(ID), &private, &key).await, Some(200));

    // Deleted by typing its id.
    let one = format!("{endpoints}/{}", made.json()["id"].as_str().unwrap());
    for (body, status) in
        [(json!({}), 422), (json!({"confirm": "vpce-1"}), 400), (json!({"confirm": ID}), 202), (json!({"confirm": ID}), 404)]
    {
        assert_eq!(owner.send("DELETE", &one, body.to_string()).await.status, status, "{body}");
    }
    let shown = house.home.run(&["project", "access", "--private-only", "false"]);
    assert!(shown.contains("private_only: false") && shown.contains("private_control_plane: false"), "{shown}");
    assert_eq!(house.public(&public, &key).await, Some(200));
}

#[tokio::test]
async fn only_one_sound_header_from_a_balancer_is_believed() {
    let house = House::new(&[]);
    let key = house.home.first_key();
    let (public, private) = names(&house.create_index(&key, "a", "us-east-1").await);
    house.home.run(&["private-endpoint", "create", ID, "--region", "us-east-1"]);
    house.home.run(&["project", "access", "--private-only", "true"]);
    let sound = of(ID);
    assert_eq!(house.private(&sound, &private, &key).await, Some(200));

    let v1 = b"PROXY TCP4 10.1.2.3 192.0.2.1 40000 443\r\n";
    let mut long = sound.clone();
    *long.last_mut().unwrap() = 0;
    long[14] = 0xff;
    let unix = frame(0x21, 0x31, &sound[16..]);
    for (why, first) in [
        ("doubled", [&sound[..], &sound].concat()),
        ("a second of version 1", [&sound[..], v1].concat()),
        ("version 1", v1.to_vec()),
        ("none", Vec::new()),
        ("longer than anything", long),
        ("not TCP", unix),
        ("two endpoints", frame(0x21, 0x11, &[&sound[16..], &sound[28 + 23..]].concat())),
    ] {
        assert_eq!(house.private(&first, &private, &key).await.filter(|status| *status != 400), None, "{why}");
    }
    // The public listener never reads one, whether or not it could be believed.
    for host in [&public, &private] {
        assert_eq!(house.stats(house.server.port, &sound, host, &key).await.filter(|status| *status != 400), None, "spoofed");
    }

    // A header that does not come is not waited for long.
    let started = Instant::now();
    let mut silent = TcpStream::connect(("127.0.0.1", house.port)).await.unwrap();
    silent.write_all(&sound[..20]).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(9), silent.read_to_end(&mut rest)).await.expect("closed").unwrap_or_default();
    assert!(rest.is_empty() && started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());

    // The balancer's own check is answered, and nothing else is.
    let local = frame(0x20, 0x00, &[]);
    let get = async |path: &str| house.send((house.port, &local), &private, &key, "GET", path, json!({})).await.map(|(status, _)| status);
    assert_eq!((get("/healthz").await, get("/readyz").await), (Some(200), Some(200)));
    assert_eq!((get("/indexes").await, get("/describe_index_stats").await), (Some(404), Some(404)));
    assert_eq!(house.private(&frame(0x20, 0x11, &sound[16..]), &private, &key).await, Some(404), "it names nobody");
}

#[tokio::test]
async fn who_is_no_balancer_is_not_heard() {
    let home = Home::new();
    let port = home.port + 3;
    let listen = format!("127.0.0.1:{port}");
    let _server = home.serve(&[
        "--domain",
        DOMAIN,
        "--private-listen",
        &listen,
        "--private-balancers",
        "192.0.2.0/24",
        "--private-region",
        "us-east-1",
    ]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = stream.write_all(&of(ID)).await;
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(4), stream.read_to_end(&mut answer)).await.expect("closed at once");
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn connections_that_stop_before_a_request_make_room_for_others() {
    let house = House::new(&["--tls-self-signed", "--max-connections", "32", "--header-timeout", "60"]);
    let (sound, local) = (of(ID), frame(0x20, 0x00, &[]));
    let begun = [&sound[..], &[0x16, 0x03]].concat();
    let mut held = Vec::new();
    for (what, first) in
        [("nothing", &b""[..]), ("half a header", &sound[..20]), ("a header alone", &sound[..]), ("half a hello", &begun[..])]
    {
        for _ in 0..40 {
            let mut stream = TcpStream::connect(("127.0.0.1", house.port)).await.unwrap();
            let _ = stream.write_all(first).await;
            held.push(stream);
        }
        let check = house.send((house.port, &local), DOMAIN, "", "GET", "/healthz", json!({}));
        // A header is waited for five seconds: by then even those that cannot be made to go would be gone.
        let (status, _) = tokio::time::timeout(Duration::from_secs(4), check).await.expect(what).expect(what);
        assert_eq!(status, 200, "{what}");
    }
}
