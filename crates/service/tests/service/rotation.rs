//! Rotation of the keys of the data, by the clock.

use crate::common::{House, audit_events, close, name, namespace, query, record, spec};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[tokio::test]
async fn keys_as_old_as_the_settings_allow_are_rotated_once() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("films")).await.unwrap();
    let host = service.find_index(&me, "films").await.unwrap();
    service.upsert(&me, &host, &namespace("ns"), vec![record("a", [1.0, 2.0, 3.0])]).await.unwrap();
    house.clock.advance_ms(90 * DAY_MS - 1);
    assert_eq!(service.rotate_due_keys().await.unwrap(), 0, "not a millisecond early");
    house.clock.advance_ms(1);
    assert_eq!(service.rotate_due_keys().await.unwrap(), 1);
    assert_eq!(service.rotate_due_keys().await.unwrap(), 0);
    let events = audit_events(&service, &house.operator()).await;
    let rotated: Vec<_> = events.iter().filter(|e| e.resource_type == "data-key").collect();
    assert_eq!(rotated.len(), 1);
    assert!(rotated[0].parameters.contains(&("keys_destroyed".to_owned(), "1".to_owned())), "{:?}", rotated[0].parameters);
    assert_eq!(rotated[0].resource_name, "films");
    drop(host);
    // The date outlives a restart, and the next rotation is counted from it.
    close(service).await;
    let service = house.open().await;
    house.clock.advance_ms(89 * DAY_MS);
    assert_eq!(service.rotate_due_keys().await.unwrap(), 0);
    house.clock.advance_ms(DAY_MS);
    assert_eq!(service.rotate_due_keys().await.unwrap(), 1);
    let me = house.editor(&service).await;
    let host = service.find_index(&me, name("films").as_str()).await.unwrap();
    assert_eq!(service.query(&me, &host, &namespace("ns"), query([1.0, 2.0, 3.0])).await.unwrap().matches.len(), 1);
    close(service).await;
}
