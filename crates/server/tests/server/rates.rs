//! Plans, payment, quotas and rates over the real binary, REST and gRPC alike.

use std::time::{SystemTime, UNIX_EPOCH};

use pinyon_wire::proto::{FetchRequest, FetchResponse, QueryRequest, QueryResponse, UpsertRequest, UpsertResponse, Vector};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::kit::{Api, Home, Reply, Server, grpc_on, index_spec, record};

struct House {
    home: Home,
    server: Server,
    key: String,
    api: Api,
}

impl House {
    /// A server with these settings, and an index with one record.
    async fn new(settings: &str) -> Self {
        let home = Home::new();
        let path = home.path().join("settings.toml");
        std::fs::write(&path, settings).unwrap();
        let server = home.serve(&["--config", path.to_str().unwrap()]);
        let key = home.first_key();
        let api = Api::new(&key);
        api.create_index(&server, "films").await;
        let this = Self { home, server, key, api };
        assert_eq!(this.upsert("").await.status, 200);
        this
    }
    fn index(&self, path: &str) -> String {
        format!("{}{path}", self.server.index_url(1))
    }
    async fn channel(&self) -> tonic::transport::Channel {
        let url = format!("http://127.0.0.1:{}", self.server.port + 1);
        tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap()
    }
    async fn query(&self, namespace: &str) -> Reply {
        self.api.post(&self.index("/query"), json!({"vector": [1, 0, 0], "topK": 1, "namespace": namespace})).await
    }
    async fn upsert(&self, namespace: &str) -> Reply {
        self.api.post(&self.index("/vectors/upsert"), json!({"vectors": [record("a")], "namespace": namespace})).await
    }
    async fn grpc_query(&self, channel: &tonic::transport::Channel, namespace: &str) -> Result<(), Status> {
        let request = QueryRequest { id: "a".into(), top_k: 1, namespace: namespace.into(), ..Default::default() };
        grpc_on::<_, QueryResponse>(channel.clone(), Some(&self.key), "Query", request).await.map(drop)
    }
    fn set_status(&self, status: &str) {
        self.home.run(&["org", "set-payment-status", "default", status]);
    }
}

fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Waits for a second to begin.
async fn next_second() -> u64 {
    let before = second();
    while second() == before {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    second()
}

#[tokio::test]
async fn a_limit_is_one_for_rest_and_grpc_and_exact() {
    let house = House::new("[rates]\nnamespace-queries = 6\nindex-fetches = 2\n").await;
    let channel = house.channel().await;
    let mut whole = false;
    for _ in 0..20 {
        let began = next_second().await;
        let mut rest = Vec::new();
        let mut grpc = Vec::new();
        for _ in 0..3 {
            rest.push(house.query("").await);
            grpc.push(house.grpc_query(&channel, "").await);
        }
        let (refused, refused_grpc) = (house.query("").await, house.grpc_query(&channel, "").await);
        let elsewhere = house.query("other").await;
        if second() != began {
            // A machine under load: the second was over before all were asked.
            continue;
        }
        assert!(rest.iter().all(|r| r.status == 200) && grpc.iter().all(Result::is_ok), "{rest:?} {grpc:?}");
        let told = "namespace '__default__' of index films has reached its limit of 6 queries per second (namespace-queries)";
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{refused:?}");
        assert_eq!((&refused.json()["code"], refused.json()["message"].as_str().unwrap().contains(told)), (&json!(8), true), "{refused:?}");
        let status = refused_grpc.unwrap_err();
        assert_eq!((status.code(), status.message().contains(told)), (Code::ResourceExhausted, true), "{status:?}");
        assert_eq!(status.metadata().get("retry-after").unwrap(), "1");
        assert_eq!(elsewhere.status, 200, "another namespace");
        whole = true;
        break;
    }
    assert!(whole, "no second was long enough");
    let fetch = || FetchRequest { ids: vec!["a".into()], ..Default::default() };
    let mut codes = Vec::new();
    for _ in 0..40 {
        let answer = grpc_on::<_, FetchResponse>(channel.clone(), Some(&house.key), "Fetch", fetch()).await;
        codes.push(answer.map_or_else(|s| s.code(), |_| Code::Ok));
    }
    assert!(codes.contains(&Code::Ok) && codes.contains(&Code::ResourceExhausted), "{codes:?}");
}

#[tokio::test]
async fn who_does_not_pay_is_told_so_on_every_plane() {
    let house = House::new("").await;
    let channel = house.channel().await;
    let control = format!("{}/indexes", house.server.url());
    house.set_status("PastDue");
    let refused = house.api.post(&control, index_spec("second")).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (402, &json!("PAYMENT_REQUIRED")), "{refused:?}");
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("PastDue"));
    let body = json!({"deletion_protection": "enabled"}).to_string();
    assert_eq!(house.api.send("PATCH", &format!("{control}/films"), body).await.status, 402);
    let embed = house.api.post(&format!("{}/embed", house.server.url()), json!({})).await;
    assert_eq!((embed.status, house.upsert("").await.status, house.query("").await.status), (402, 200, 200));

    house.set_status("Restricted");
    assert_eq!((house.upsert("").await.status, house.query("").await.status), (402, 200));
    let vectors = vec![Vector { id: "a".into(), values: vec![1.0, 2.0, 3.0], ..Default::default() }];
    let request = UpsertRequest { vectors, ..Default::default() };
    let status = grpc_on::<_, UpsertResponse>(channel.clone(), Some(&house.key), "Upsert", request).await.unwrap_err();
    assert_eq!((status.code(), status.message().contains("Restricted")), (Code::PermissionDenied, true));

    house.set_status("Suspended");
    let refused = house.query("").await;
    assert_eq!((refused.status, &refused.json()["code"], refused.header("retry-after")), (402, &json!(7), None), "{refused:?}");
    assert_eq!(house.grpc_query(&channel, "").await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(house.api.get(&control).await.status, 200, "what is kept can be seen");
    assert_eq!(house.api.post(&house.index("/vectors/delete"), json!({"ids": ["b"]})).await.status, 200, "and deleted");
    house.set_status("Active");
    assert_eq!((house.query("").await.status, house.grpc_query(&channel, "").await.is_ok()), (200, true));
}

#[tokio::test]
async fn the_free_plan_under_pinecones_limits() {
    let house = House::new("limits = 'pinecone'\n").await;
    let owner = Api::with_token(&house.server, &house.home.service_account("owner", &["--role", "OrgOwner"])).await;
    let url = |path: &str| format!("{}{path}", house.server.url());
    house.home.run(&["org", "set-plan", "default", "Free"]);
    let refused = |reply: &Reply, told: &str| {
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["code"]), (403, &json!("QUOTA_EXCEEDED")), "{reply:?}");
        assert!(error["message"].as_str().unwrap().contains(told), "{reply:?}");
    };
    refused(&owner.post(&url("/admin/projects"), json!({"name": "second"})).await, "limit of 1 projects");
    for n in 1..5 {
        house.api.create_index(&house.server, &format!("i{n}")).await;
    }
    refused(&house.api.post(&url("/indexes"), index_spec("i5")).await, "limit of 5 serverless indexes");
    for n in 1..100 {
        assert_eq!(house.upsert(&format!("n{n}")).await.status, 200, "{n}");
    }
    let hundredth = house.upsert("n100").await;
    assert_eq!((hundredth.status, &hundredth.json()["code"]), (403, &json!(7)), "{hundredth:?}");
    assert!(hundredth.json()["message"].as_str().unwrap().contains("limit of 100 namespaces"));
    assert_eq!(house.upsert("n99").await.status, 200);
    let member: Value = json!([{"resource_type": "organization", "role": "OrgMember"}]);
    for n in 0..2 {
        let made = owner.post(&url("/admin/invites"), json!({"email": format!("u{n}@acme.com"), "role_bindings": member})).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
    refused(&owner.post(&url("/admin/invites"), json!({"email": "u2@acme.com", "role_bindings": member})).await, "limit of 2 users");
    house.home.run(&["org", "set-plan", "default", "Enterprise"]);
    assert_eq!(owner.post(&url("/admin/projects"), json!({"name": "second"})).await.status, 200);
}
