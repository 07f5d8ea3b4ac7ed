//! TLS: REST and gRPC on one port, from a certificate that Pinyon made or that an operator brings and replaces.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use pinyon_wire::proto::{DescribeIndexStatsRequest, DescribeIndexStatsResponse};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::kit::{Home, grpc_on, index_spec};

/// A client that trusts this authority and offers these protocols.
fn client(authority: &Path, alpn: &[&str], version: &'static rustls::SupportedProtocolVersion) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(authority).unwrap() {
        roots.add(cert.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(connector: &TlsConnector, port: u16, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

/// The status of a GET over HTTP/1.1 on this stream, and the body.
async fn get(stream: TlsStream<TcpStream>, path: &str, key: &str) -> (u16, Bytes) {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").header("api-key", key).body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
}

fn authority(home: &Home) -> std::path::PathBuf {
    let folder = std::fs::read_dir(home.path().join("config/pinyon/root-keys")).unwrap();
    folder.map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "tls")).unwrap().join("ca.pem")
}

#[tokio::test]
async fn a_self_signed_certificate_serves_both_protocols() {
    let home = Home::new();
    let server = home.serve(&["--tls-self-signed"]);
    let key = home.first_key();
    let ca = authority(&home);
    assert!(home.log().contains("SSL_CERT_FILE="));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for name in ["localhost", "127.0.0.1", "an-index-aaaaaaa.svc.local.localhost"] {
            let stream = connect(&client(&ca, &["http/1.1"], version), server.port, name).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(get(stream, "/indexes", &key).await.0, 200);
        }
    }
    // A client without the authority refuses us.
    let other = Home::new();
    let foreign = other.serve(&["--tls-self-signed"]);
    assert!(connect(&client(&ca, &[], &rustls::version::TLS13), foreign.port, "localhost").await.is_err());

    let connector = client(&ca, &["h2"], &rustls::version::TLS13);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(
        connect(&client(&ca, &[], &rustls::version::TLS13), server.port, "localhost").await.unwrap(),
    ))
    .await
    .unwrap();
    tokio::spawn(connection);
    let create = Request::post("/indexes").header("host", "localhost").header("api-key", &key).header("x-pinecone-api-version", "2025-10");
    let create = create.body(http_body_util::Full::new(Bytes::from(index_spec("a").to_string()))).unwrap();
    let created = sender.send_request(create).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let created: serde_json::Value = serde_json::from_slice(&created).unwrap();
    assert_eq!(created["host"], format!("localhost:{}", server.port + 1), "over TLS a host carries no scheme");

    let port = server.port + 1;
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move { connect(&connector, port, "localhost").await.map(TokioIo::new) }
    });
    let channel = tonic::transport::Endpoint::from_static("http://localhost").connect_with_connector(dial).await.unwrap();
    let stats =
        grpc_on::<_, DescribeIndexStatsResponse>(channel, Some(&key), "DescribeIndexStats", DescribeIndexStatsRequest::default()).await;
    assert_eq!(stats.unwrap().get_ref().dimension, Some(3));
}

#[tokio::test]
async fn a_replaced_certificate_is_taken_over_while_connections_live() {
    let home = Home::new();
    let made = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    };
    let (cert, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    let put = |(c, k): (String, String)| {
        std::fs::write(&key, k).unwrap();
        std::fs::write(&cert, c).unwrap();
    };
    put(made("first.test"));
    let server = home.serve(&["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    let api_key = home.first_key();
    let first = home.path().join("first.pem");
    std::fs::copy(&cert, &first).unwrap();
    let old = client(&first, &["http/1.1"], &rustls::version::TLS13);
    let open = connect(&old, server.port, "first.test").await.unwrap();

    tokio::time::sleep(Duration::from_millis(20)).await;
    put(made("second.test"));
    server.signal("HUP");
    let new = client(&cert, &["http/1.1"], &rustls::version::TLS13);
    let mut taken_over = false;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Ok(stream) = connect(&new, server.port, "second.test").await {
            assert_eq!(get(stream, "/indexes", &api_key).await.0, 200);
            taken_over = true;
            break;
        }
    }
    assert!(taken_over);
    assert!(connect(&old, server.port, "first.test").await.is_err());
    assert_eq!(get(open, "/indexes", &api_key).await.0, 200, "a connection that was open goes on");
}

#[tokio::test]
async fn plaintext_on_a_tls_port_disturbs_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let home = Home::new();
    let server = home.serve(&["--tls-self-signed", "--header-timeout", "1"]);
    let mut plain = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    plain.write_all(b"GET /indexes HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes).await;
    assert!(!bytes.starts_with(b"HTTP/1.1 2"));
    // A handshake that is begun and left is cut off.
    let mut silent = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    silent.write_all(&[22, 3, 1]).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut bytes)).await.is_ok());
    let stream = connect(&client(&authority(&home), &["http/1.1"], &rustls::version::TLS13), server.port, "localhost").await.unwrap();
    assert_eq!(get(stream, "/indexes", &home.first_key()).await.0, 200);
}

#[tokio::test]
async fn connections_that_send_nothing_make_room_for_those_that_do() {
    let home = Home::new();
    let server = home.serve(&["--tls-self-signed", "--max-connections", "32", "--header-timeout", "60"]);
    let key = home.first_key();
    let connector = client(&authority(&home), &["http/1.1"], &rustls::version::TLS13);
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(("127.0.0.1", server.port)).await.unwrap());
    }
    let served = async { get(connect(&connector, server.port, "localhost").await.unwrap(), "/indexes", &key).await.0 };
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), served).await.expect("long before the others' handshakes are given up"), 200);
    drop(silent);
}
