//! The twelve methods, and how gRPC says what went wrong.

use pinyon_wire::proto::{self, *};
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use tonic::Code;

use crate::kit::{Api, Home, Server, grpc};

fn vector(id: &str, x: f32) -> proto::Vector {
    let kind = ProtoValue { kind: Some(Kind::StringValue("a".into())) };
    let metadata = Some(Struct { fields: [("kind".to_owned(), kind)].into() });
    proto::Vector { id: id.into(), values: vec![x, 1.0, 0.0], metadata, ..Default::default() }
}

fn filter() -> Option<Struct> {
    Some(Struct { fields: [("kind".to_owned(), ProtoValue { kind: Some(Kind::StringValue("a".into())) })].into() })
}

async fn server(home: &Home, words: &[&str]) -> Server {
    let server = home.dev(words);
    Api::new("any").create_index(&server, "a").await;
    server
}

#[tokio::test]
async fn all_twelve_methods() {
    let home = Home::new();
    let server = server(&home, &[]).await;
    let port = server.port + 1;
    let key = Some("any");

    let vectors = (0..10).map(|i| vector(&format!("v{i}"), i as f32)).collect();
    let r = grpc::<_, UpsertResponse>(port, key, "Upsert", UpsertRequest { vectors, namespace: "n".into() }).await.unwrap();
    assert_eq!(r.get_ref().upserted_count, 10);
    let lsn: u64 = r.metadata().get("x-pinecone-request-lsn").unwrap().to_str().unwrap().parse().unwrap();

    let query = QueryRequest { namespace: "n".into(), top_k: 3, vector: vec![1.0, 0.0, 0.0], include_metadata: true, ..Default::default() };
    let r = grpc::<_, QueryResponse>(port, key, "Query", query).await.unwrap();
    assert_eq!(r.get_ref().matches.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["v9", "v8", "v7"]);
    let seen: u64 = r.metadata().get("x-pinecone-max-indexed-lsn").unwrap().to_str().unwrap().parse().unwrap();
    assert!(seen >= lsn);

    let fetch = FetchRequest { ids: vec!["v1".into(), "none".into()], namespace: "n".into() };
    let r = grpc::<_, FetchResponse>(port, key, "Fetch", fetch).await.unwrap();
    assert_eq!(r.get_ref().vectors.keys().collect::<Vec<_>>(), ["v1"]);

    let list = |token: Option<String>| ListRequest { limit: Some(6), namespace: "n".into(), pagination_token: token, ..Default::default() };
    let r = grpc::<_, ListResponse>(port, key, "List", list(None)).await.unwrap().into_inner();
    assert_eq!(r.vectors.len(), 6);
    let r = grpc::<_, ListResponse>(port, key, "List", list(Some(r.pagination.unwrap().next))).await.unwrap().into_inner();
    assert_eq!((r.vectors.len(), r.pagination), (4, None));

    let update = UpdateRequest { id: "v1".into(), values: vec![0.0, 0.0, 9.0], namespace: "n".into(), ..Default::default() };
    grpc::<_, UpdateResponse>(port, key, "Update", update).await.unwrap();
    let update = UpdateRequest { filter: filter(), dry_run: true, namespace: "n".into(), ..Default::default() };
    let r = grpc::<_, UpdateResponse>(port, key, "Update", update).await.unwrap();
    assert_eq!(r.get_ref().matched_records, Some(10));

    let by = FetchByMetadataRequest { namespace: "n".into(), filter: filter(), limit: 4, ..Default::default() };
    let r = grpc::<_, FetchByMetadataResponse>(port, key, "FetchByMetadata", by).await.unwrap().into_inner();
    assert!(r.vectors.len() == 4 && r.pagination.is_some());

    let delete = DeleteRequest { ids: vec!["v0".into()], namespace: "n".into(), ..Default::default() };
    grpc::<_, DeleteResponse>(port, key, "Delete", delete).await.unwrap();
    let r = grpc::<_, DescribeIndexStatsResponse>(port, key, "DescribeIndexStats", DescribeIndexStatsRequest::default()).await.unwrap();
    assert_eq!((r.get_ref().total_vector_count, r.get_ref().dimension), (9, Some(3)));

    let create = CreateNamespaceRequest { name: "m".into(), ..Default::default() };
    grpc::<_, NamespaceDescription>(port, key, "CreateNamespace", create.clone()).await.unwrap();
    let again = grpc::<_, NamespaceDescription>(port, key, "CreateNamespace", create).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let r = grpc::<_, ListNamespacesResponse>(port, key, "ListNamespaces", ListNamespacesRequest::default()).await.unwrap();
    assert_eq!(r.get_ref().namespaces.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["m", "n"]);
    let named = |name: &str| DescribeNamespaceRequest { namespace: name.into() };
    let r = grpc::<_, NamespaceDescription>(port, key, "DescribeNamespace", named("n")).await.unwrap();
    assert_eq!(r.get_ref().record_count, 9);
    grpc::<_, DeleteResponse>(port, key, "DeleteNamespace", DeleteNamespaceRequest { namespace: "n".into() }).await.unwrap();
    let gone = grpc::<_, NamespaceDescription>(port, key, "DescribeNamespace", named("n")).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn what_is_wrong_is_a_status_and_never_the_servers_fault() {
    let home = Home::new();
    let server = server(&home, &["--max-body", "1MB"]).await;
    let (port, key) = (server.port + 1, Some("any"));

    let short = QueryRequest { top_k: 1, vector: vec![1.0], ..Default::default() };
    let e = grpc::<_, QueryResponse>(port, key, "Query", short).await.unwrap_err();
    assert_eq!((e.code(), e.message()), (Code::InvalidArgument, "Vector dimension 1 does not match the dimension of the index 3"));
    assert!(e.metadata().get("x-pinecone-request-id").is_some());

    // A message of the wrong types: what is a string there is a number here.
    let e = grpc::<_, QueryResponse>(port, key, "Upsert", Usage { read_units: Some(7) }).await.unwrap_err();
    assert_eq!(e.code(), Code::InvalidArgument, "{e:?}");

    let large = UpsertRequest { vectors: vec![vector(&"x".repeat(2 << 20), 1.0)], ..Default::default() };
    let e = grpc::<_, UpsertResponse>(port, key, "Upsert", large).await.unwrap_err();
    assert_eq!(e.code(), Code::OutOfRange, "{e:?}");

    let e = grpc::<_, QueryResponse>(port, key, "Nothing", QueryRequest::default()).await.unwrap_err();
    assert_eq!(e.code(), Code::Unimplemented);
    let e = grpc::<_, QueryResponse>(server.port, key, "Query", QueryRequest::default()).await.unwrap_err();
    assert_eq!(e.code(), Code::NotFound, "the control plane has no records");
    // The connection and the server survived all of it.
    let r = grpc::<_, DescribeIndexStatsResponse>(port, key, "DescribeIndexStats", DescribeIndexStatsRequest::default()).await.unwrap();
    assert_eq!(r.get_ref().total_vector_count, 0);
}

#[tokio::test]
async fn compressed_messages_are_taken() {
    let home = Home::new();
    let server = server(&home, &["--max-body", "1MB"]).await;
    for encoding in [tonic::codec::CompressionEncoding::Gzip, tonic::codec::CompressionEncoding::Zstd] {
        let upsert = async |vectors: Vec<proto::Vector>| {
            let channel = tonic::transport::Endpoint::from_shared(server.index_url(1)).unwrap().connect().await.unwrap();
            let mut client = tonic::client::Grpc::new(channel).send_compressed(encoding);
            client.ready().await.unwrap();
            let mut request = tonic::Request::new(UpsertRequest { vectors, ..Default::default() });
            request.metadata_mut().insert("api-key", "any".parse().unwrap());
            let path = http::uri::PathAndQuery::from_static("/VectorService/Upsert");
            client.unary(request, path, tonic_prost::ProstCodec::<UpsertRequest, UpsertResponse>::default()).await
        };
        assert_eq!(upsert(vec![vector("a", 1.0)]).await.unwrap().get_ref().upserted_count, 1);
        let bomb = upsert(vec![vector(&"a".repeat(64 << 20), 1.0)]).await.unwrap_err();
        assert_eq!(bomb.code(), Code::OutOfRange, "{bomb:?}");
    }
}
