use pinyon_model::{
    DedicatedCapacity, DeletionProtection, Deployment, ErrorCode, IndexChange, IndexState, ReadCapacity, ReadCapacityChange,
};
use pinyon_service::{Limits, ServiceOptions};

use crate::common::{House, close, code, name, namespace, pod, query, record, spec, tags};

#[tokio::test]
async fn create_list_describe_delete() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    assert!(service.list_indexes(&me).await.unwrap().is_empty());
    let b = service.create_index(&me, spec("b")).await.unwrap();
    assert_eq!((b.state, b.port, b.project_id), (IndexState::Ready, Some(5081), service.default_project()));
    let a = service.create_index(&me, spec("a")).await.unwrap();
    assert_eq!(a.port, Some(5082));
    assert_eq!(service.list_indexes(&me).await.unwrap(), [a.clone(), b.clone()]);
    assert_eq!(service.describe_index(&me, "b").await.unwrap(), b);
    assert_eq!(service.index_ports(), [5081, 5082]);
    assert_eq!(service.resolve_index_by_port(5082).unwrap().describe(), a);

    let again = service.create_index(&me, spec("b")).await.unwrap_err();
    assert_eq!((again.code, again.message.as_str()), (ErrorCode::AlreadyExists, "Resource already exists."));

    service.delete_index(&me, "b").await.unwrap();
    assert_eq!(service.list_indexes(&me).await.unwrap(), [a]);
    assert!(service.resolve_index_by_port(5081).is_none());
    for gone in [service.describe_index(&me, "b").await.unwrap_err(), service.delete_index(&me, "b").await.unwrap_err()] {
        assert_eq!((gone.code, gone.message.as_str()), (ErrorCode::NotFound, "Resource b not found"));
    }
    assert_eq!(code(service.describe_index(&me, "Not/valid").await), Some(ErrorCode::NotFound));
    // The name and the port are free again, and the new index is another one.
    let new = service.create_index(&me, spec("b")).await.unwrap();
    assert_eq!(new.port, Some(5081));
    assert_ne!(new.id, b.id);
    close(service).await;
}

#[tokio::test]
async fn ready_means_that_the_first_request_succeeds() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    for n in 0..20 {
        let index = service.create_index(&me, spec(&format!("index-{n}"))).await.unwrap();
        let host = service.resolve_index_by_port(index.port.unwrap()).unwrap();
        service.upsert(&me, &host, &namespace(""), vec![record("r", [1.0, 0.0, 0.0])]).await.unwrap();
        let answer = service.query(&me, &host, &namespace(""), query([1.0, 0.0, 0.0])).await.unwrap();
        assert_eq!(answer.matches.len(), 1);
    }
    close(service).await;
}

#[tokio::test]
async fn a_name_is_made_up_when_none_is_given() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let index = service.create_index(&me, pinyon_model::IndexSpec { name: None, ..spec("x") }).await.unwrap();
    assert!(index.name.as_str().starts_with("index-"));
    assert_eq!(service.describe_index(&me, index.name.as_str()).await.unwrap(), index);
    close(service).await;
}

#[tokio::test]
async fn protection() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let mut wanted = spec("kept");
    wanted.deletion_protection = DeletionProtection::Enabled;
    service.create_index(&me, wanted).await.unwrap();
    let refused = service.delete_index(&me, "kept").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert_eq!(refused.message, "Deletion protection is enabled for this index. Disable deletion protection before retrying.");
    let off = IndexChange { deletion_protection: Some(DeletionProtection::Disabled), ..IndexChange::default() };
    assert_eq!(service.configure_index(&me, "kept", off).await.unwrap().deletion_protection, DeletionProtection::Disabled);
    service.delete_index(&me, "kept").await.unwrap();
    close(service).await;
}

#[tokio::test]
async fn configure() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("s")).await.unwrap();
    let mut wanted = spec("p");
    wanted.deployment = pod();
    service.create_index(&me, wanted).await.unwrap();

    let tagged = |t: &[(&str, &str)]| IndexChange { tags: Some(tags(t)), ..IndexChange::default() };
    service.configure_index(&me, "s", tagged(&[("a", "1"), ("b", "2")])).await.unwrap();
    let merged = service.configure_index(&me, "s", tagged(&[("a", ""), ("c", "3")])).await.unwrap();
    assert_eq!(*merged.tags.pairs(), tags(&[("b", "2"), ("c", "3")]));
    assert_eq!(service.describe_index(&me, "s").await.unwrap(), merged);
    assert_eq!(code(service.configure_index(&me, "s", tagged(&[("bad key", "1")])).await), Some(ErrorCode::InvalidArgument));

    let bigger = IndexChange { replicas: Some(3), pod_type: Some("p1.x2".into()), ..IndexChange::default() };
    assert_eq!(code(service.configure_index(&me, "s", bigger.clone()).await), Some(ErrorCode::InvalidArgument), "not a pod index");
    let Deployment::Pod { replicas, pod_type, .. } = service.configure_index(&me, "p", bigger).await.unwrap().deployment else { panic!() };
    assert_eq!((replicas, pod_type.as_str()), (3, "p1.x2"));
    let other = |t: &str| IndexChange { pod_type: Some(t.into()), ..IndexChange::default() };
    for bad in ["s1.x1", "p1.x3", "q1.x1", ""] {
        assert_eq!(code(service.configure_index(&me, "p", other(bad)).await), Some(ErrorCode::InvalidArgument), "{bad}");
    }
    let dedicated = |shards| IndexChange {
        read_capacity: Some(ReadCapacityChange::Dedicated { node_type: Some("t1".into()), shards: Some(shards), replicas: Some(1) }),
        ..IndexChange::default()
    };
    let capacity = service.configure_index(&me, "s", dedicated(2)).await.unwrap().read_capacity;
    assert_eq!(capacity, ReadCapacity::Dedicated(DedicatedCapacity { node_type: "t1".into(), shards: 2, replicas: 1 }));
    assert_eq!(code(service.configure_index(&me, "s", dedicated(0)).await), Some(ErrorCode::InvalidArgument));
    assert_eq!(code(service.configure_index(&me, "p", dedicated(2)).await), Some(ErrorCode::InvalidArgument));
    assert_eq!(code(service.configure_index(&me, "nobody", tagged(&[])).await), Some(ErrorCode::NotFound));
    close(service).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_leaves_nothing() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let with = |deployment| pinyon_model::IndexSpec { deployment, ..spec("x") };
    let nowhere = service.create_index(&me, with(Deployment::Managed { cloud: "ibm".into(), region: "moon".into() })).await.unwrap_err();
    assert_eq!((nowhere.code, nowhere.message.as_str()), (ErrorCode::NotFound, "Resource cloud: ibm region: moon not found."));
    for bad in [
        Deployment::Pod { environment: String::new(), pod_type: "p1.x1".into(), replicas: 1, shards: 1, indexed: None },
        Deployment::Pod { environment: "e".into(), pod_type: "p9".into(), replicas: 1, shards: 1, indexed: None },
        Deployment::Pod { environment: "e".into(), pod_type: "p1.x1".into(), replicas: 0, shards: 1, indexed: None },
        Deployment::Byoc { environment: "no spaces".into() },
    ] {
        assert_eq!(code(service.create_index(&me, with(bad.clone())).await), Some(ErrorCode::InvalidArgument), "{bad:?}");
    }
    assert!(service.list_indexes(&me).await.unwrap().is_empty());
    assert!(!house.path().join("indexes").exists() || std::fs::read_dir(house.path().join("indexes")).unwrap().next().is_none());
    service.create_index(&me, with(Deployment::Byoc { environment: "mine".into() })).await.unwrap();
    close(service).await;
}

#[tokio::test]
async fn quotas_and_ports() {
    let house = House::new();
    let limits = Limits { serverless_indexes_per_project: Some(2), ..Limits::default() };
    let options = ServiceOptions { limits, ports: Some(7000..=7002), ..house.options() };
    let service = house.open_with(options).await.unwrap();
    let me = house.editor(&service).await;
    service.create_index(&me, spec("one")).await.unwrap();
    service.create_index(&me, spec("two")).await.unwrap();
    let full = service.create_index(&me, spec("three")).await.unwrap_err();
    assert_eq!(full.code, ErrorCode::QuotaExceeded);
    assert!(full.message.contains("2 serverless"), "{}", full.message);
    let podded = |n: &str| pinyon_model::IndexSpec { deployment: pod(), ..spec(n) };
    assert_eq!(service.create_index(&me, podded("pod")).await.unwrap().port, Some(7002));
    let no_port = service.create_index(&me, podded("pod2")).await.unwrap_err();
    assert_eq!(no_port.code, ErrorCode::QuotaExceeded);
    assert!(no_port.message.contains("7000-7002"), "{}", no_port.message);
    service.delete_index(&me, "one").await.unwrap();
    assert_eq!(service.create_index(&me, spec("three")).await.unwrap().port, Some(7000));
    close(service).await;
}

#[tokio::test]
async fn many_at_once_get_one_name_each_and_one_port_each() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let tasks: Vec<_> = (0..24)
        .map(|n| {
            let (service, me) = (service.clone(), me.clone());
            tokio::spawn(async move { service.create_index(&me, spec(&format!("x{}", n % 12))).await })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(index) => made.push(index.port.unwrap()),
            Err(error) => assert_eq!(error.code, ErrorCode::AlreadyExists),
        }
    }
    made.sort_unstable();
    assert_eq!(made, (5081..5093).collect::<Vec<u16>>());
    close(service).await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let mut wanted = spec("first");
    wanted.tags = pinyon_model::Tags::new(tags(&[("team", "search")])).unwrap();
    service.create_index(&me, wanted).await.unwrap();
    service.create_index(&me, pinyon_model::IndexSpec { deployment: pod(), ..spec("second") }).await.unwrap();
    service.delete_index(&me, "first").await.unwrap();
    service.create_index(&me, spec("third")).await.unwrap();
    let change = IndexChange { tags: Some(tags(&[("k", "v")])), ..IndexChange::default() };
    service.configure_index(&me, "second", change).await.unwrap();
    let host = service.find_index(&me, "second").await.unwrap();
    service.upsert(&me, &host, &namespace("n"), vec![record("r", [1.0, 2.0, 3.0])]).await.unwrap();
    let before = service.list_indexes(&me).await.unwrap();
    drop(host);
    close(service).await;

    let service = house.open().await;
    assert_eq!(service.list_indexes(&me).await.unwrap(), before);
    assert_eq!(
        before.iter().map(|i| (i.name.clone(), i.port)).collect::<Vec<_>>(),
        [(name("second"), Some(5082)), (name("third"), Some(5081))]
    );
    let host = service.resolve_index_by_port(5082).unwrap();
    let fetched = service.fetch(&me, &host, &namespace("n"), vec![crate::common::id("r")]).await.unwrap();
    assert_eq!(fetched.records, [record("r", [1.0, 2.0, 3.0])]);
    assert!(service.take_bootstrap_key().is_none(), "only the first start makes a key");
    close(service).await;
}

#[tokio::test]
async fn indexes_made_without_ports_get_them_when_there_are_some() {
    let house = House::new();
    let service = house.open_with(ServiceOptions { ports: None, ..house.options() }).await.unwrap();
    let me = house.editor(&service).await;
    assert_eq!(service.create_index(&me, spec("x")).await.unwrap().port, None);
    let short = service.default_project().short();
    assert_eq!(service.resolve_index_by_name(&short, "x").unwrap().name(), &name("x"));
    assert!(service.resolve_index_by_name("aaaaaaa", "x").is_none());
    close(service).await;
    let service = house.open().await;
    assert_eq!(service.describe_index(&me, "x").await.unwrap().port, Some(5081));
    close(service).await;
}

#[tokio::test]
async fn a_passed_deadline_is_told_and_nothing_is_done() {
    let house = House::new();
    let service = house.open().await;
    let mut me = house.editor(&service).await;
    me.deadline = Some(me.now_ms + 5);
    house.clock.advance_ms(6);
    assert_eq!(code(service.create_index(&me, spec("late")).await), Some(ErrorCode::DeadlineExceeded));
    me.deadline = None;
    assert!(service.list_indexes(&me).await.unwrap().is_empty());
    close(service).await;
}
