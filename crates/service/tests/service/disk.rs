//! A full disk: what adds is refused, what takes away works and is audited, and everything works again once there is room.

use pinyon_model::AuditOutcome;
use pinyon_model::{ErrorCode, IndexChange};
use pinyon_service::ServiceOptions;

use crate::common::{House, audit_events, close, code, namespace, query, record, spec, tags};

#[tokio::test]
async fn deletions_work_on_a_full_disk() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    for name in ["old", "kept"] {
        service.create_index(&me, spec(name)).await.unwrap();
        let host = service.find_index(&me, name).await.unwrap();
        service.upsert(&me, &host, &namespace("n"), vec![record("r", [1.0, 0.0, 0.0])]).await.unwrap();
    }
    close(service).await;

    // More is kept in reserve than the disk has: nothing but what makes room may be written.
    let full = ServiceOptions { reserve_bytes: Some(u64::MAX / 2), ..house.options() };
    let service = house.open_with(full).await.unwrap();
    let host = service.find_index(&me, "kept").await.unwrap();
    let ns = namespace("n");
    for refused in [
        service.create_index(&me, spec("new")).await.err(),
        service.upsert(&me, &host, &ns, vec![record("s", [1.0, 0.0, 0.0])]).await.err(),
    ] {
        let refused = refused.unwrap();
        assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}");
        assert!(refused.message.contains("disk is full"), "{refused}");
    }
    assert_eq!(service.query(&me, &host, &ns, query([1.0, 0.0, 0.0])).await.unwrap().matches.len(), 1, "reads go on");
    let change = IndexChange { tags: Some(tags(&[("k", "v")])), ..IndexChange::default() };
    service.configure_index(&me, "kept", change).await.unwrap();
    service.delete_index(&me, "old").await.unwrap();
    let events = audit_events(&service, &house.operator()).await;
    let last = events.last().unwrap();
    assert_eq!((last.action.as_str(), last.resource_name.as_str(), &last.outcome), ("delete", "old", &AuditOutcome::Success));
    assert!(events.iter().any(|e| e.action == "create" && e.resource_name == "new" && e.outcome != AuditOutcome::Success));
    assert_eq!(code(service.describe_index(&me, "new").await), Some(ErrorCode::NotFound));
    drop(host);
    close(service).await;

    let service = house.open().await;
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 1);
    let host = service.find_index(&me, "kept").await.unwrap();
    service.upsert(&me, &host, &ns, vec![record("s", [1.0, 0.0, 0.0])]).await.unwrap();
    service.create_index(&me, spec("new")).await.unwrap();
    close(service).await;
}
