//! Indexes found by name and by port.

use serde_json::json;

use crate::kit::{Api, Home, grpc, is_open, record};

/// The host of an index without its scheme and port.
fn name_of(description: &serde_json::Value) -> String {
    let host = description["host"].as_str().unwrap();
    let host = host.strip_prefix("http://").expect("plaintext `serve` carries the scheme");
    host.rsplit_once(':').unwrap().0.to_owned()
}

#[tokio::test]
async fn names_under_a_domain() {
    let home = Home::new();
    let server = home.serve(&["--domain", "vectors.test", "--cell", "here"]);
    home.run(&["project", "create", "other"]);
    let mine = Api::new(&home.first_key());
    let theirs_key = home.run(&["key", "create", "--project", "other"]);
    let theirs = Api::new(&theirs_key);
    let (a, b) = (mine.create_index(&server, "same-name").await, theirs.create_index(&server, "same-name").await);
    let (a, b) = (name_of(&a), name_of(&b));
    assert!(a != b && a.starts_with("same-name-") && a.ends_with(".svc.here.vectors.test"), "{a} {b}");
    assert!(!is_open(server.port + 1), "an index with a name needs no port");

    let url = server.url();
    let at = |api: Api, host: &str| api.with("Host", host);
    let reply = at(Api::new(&home.first_key()), &a).post(&format!("{url}/vectors/upsert"), json!({"vectors": [record("mine")]})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let count = async |key: &str, host: &str| {
        let reply = at(Api::new(key), host).post(&format!("{url}/describe_index_stats"), json!({})).await;
        (reply.status, if reply.status == 200 { reply.json()["totalVectorCount"].as_u64().unwrap() } else { 0 })
    };
    let mine_key = home.first_key();
    assert_eq!(count(&mine_key, &a).await, (200, 1));
    assert_eq!(count(&mine_key, &a.to_uppercase()).await, (200, 1), "names have no case");
    assert_eq!(count(&theirs_key, &b).await, (200, 0), "the projects never see each other");
    // Another project's index and one that is not there are answered alike.
    let missing_there = b.replace("same-name", "missing");
    assert_eq!(count(&mine_key, &b).await.0, 401);
    assert_eq!(count(&mine_key, &missing_there).await.0, 401);
    assert_eq!(count(&mine_key, &a.replace("same-name", "missing")).await.0, 404);
    assert_eq!(count(&mine_key, "vectors.test").await.0, 404, "the domain itself is the control plane");
    // Local names lead to the same indexes.
    assert_eq!(count(&mine_key, &a.replace("vectors.test", "localhost")).await, (200, 1));
}

#[tokio::test]
async fn grpc_is_told_by_its_authority() {
    let home = Home::new();
    let server = home.serve(&["--domain", "vectors.test"]);
    let key = home.first_key();
    let name = name_of(&Api::new(&key).create_index(&server, "a").await);
    let channel = tonic::transport::Endpoint::from_shared(server.url()).unwrap();
    let channel = channel.origin(format!("http://{name}").parse().unwrap()).connect().await.unwrap();
    let stats = crate::kit::grpc_on::<_, pinyon_wire::proto::DescribeIndexStatsResponse>(
        channel,
        Some(&key),
        "DescribeIndexStats",
        pinyon_wire::proto::DescribeIndexStatsRequest::default(),
    );
    assert_eq!(stats.await.unwrap().get_ref().dimension, Some(3));
}

#[tokio::test]
async fn a_port_for_each_index_while_it_lives() {
    let home = Home::new();
    let server = home.serve(&[]);
    let key = home.first_key();
    let api = Api::new(&key);
    let ports: Vec<u16> = ["a", "b"].iter().zip(1..).map(|(_, n)| server.port + n).collect();
    for (name, port) in ["a", "b"].into_iter().zip(&ports) {
        let description = api.create_index(&server, name).await;
        assert_eq!(description["host"], format!("http://localhost:{port}"));
        assert!(is_open(*port), "ready means that the first request succeeds");
    }
    assert_eq!(api.post(&format!("{}/vectors/upsert", server.index_url(2)), json!({"vectors": [record("x")]})).await.status, 200);
    assert_eq!(api.send("DELETE", &format!("{}/indexes/a", server.url()), "").await.status, 202);
    assert!(!is_open(ports[0]), "the port goes with its index");
    server.stop();

    // A restart finds every index where it was; a port that another program has is passed over.
    let taken = std::net::TcpListener::bind(("127.0.0.1", ports[0])).unwrap();
    let server = home.serve(&[]);
    let fetched = api.get(&format!("{}/vectors/fetch?ids=x", server.index_url(2))).await;
    assert!(fetched.json()["vectors"]["x"].is_object());
    let third = api.create_index(&server, "c").await;
    assert_eq!(third["host"], format!("http://localhost:{}", server.port + 3));
    drop(taken);
    let stats = pinyon_wire::proto::DescribeIndexStatsRequest::default();
    let stats = grpc::<_, pinyon_wire::proto::DescribeIndexStatsResponse>(ports[1], Some(&key), "DescribeIndexStats", stats).await;
    assert_eq!(stats.unwrap().get_ref().total_vector_count, 1);
}

#[tokio::test]
async fn dev_takes_the_emulators_place() {
    let home = Home::new();
    let mut command = home.command(&["dev"]);
    command.env("PORT", home.port.to_string()).env("PINECONE_HOST", "127.0.0.1");
    let child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let server = crate::kit::Server { child, port: home.port };
    while !is_open(home.port) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // Any key will do, and the host is bare for the dates whose SDKs and programs add the scheme themselves.
    let old = Api::new("pclocal").with("X-Pinecone-Api-Version", "2025-01").create_index(&server, "a").await;
    assert_eq!(old["host"], format!("127.0.0.1:{}", home.port + 1));
    let new = Api::new("other").with("X-Pinecone-Api-Version", "2026-04").get(&format!("{}/indexes/a", server.url())).await;
    assert_eq!(new.json()["host"], format!("http://127.0.0.1:{}", home.port + 1));
    assert_eq!(Api::bare().get(&format!("{}/indexes", server.url())).await.status, 200, "not even a key is needed");
    server.stop();
}
