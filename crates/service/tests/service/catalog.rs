//! The catalog's file: what happens to it is noticed, and what is in it cannot be read.

use std::collections::BTreeMap;

use pinyon_model::{ErrorCode, IndexSpec, Role, Tags};
use pinyon_service::{NewApiKey, Service};

use crate::common::{House, Numbers, close, files, key_roles, project, restore, rounds, spec, tags};

/// Two projects, keys of several roles, indexes with tags.
async fn furnished() -> House {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let other = service.create_project(&operator, project("planted-project-name")).await.unwrap();
    for role in key_roles() {
        let new = NewApiKey { name: "planted-key-name".into(), project_id: Some(other.id), roles: vec![role], ..NewApiKey::default() };
        service.create_api_key(&operator, new).await.unwrap();
    }
    for project in [None, Some(other.id)] {
        let me = house.caller(&service, project, &[Role::ProjectEditor]).await;
        for n in 0..4 {
            let tags = Tags::new(tags(&[("planted-tag-key", "planted-tag-value")])).unwrap();
            service.create_index(&me, IndexSpec { tags, ..spec(&format!("planted-index-{n}")) }).await.unwrap();
        }
        service.delete_index(&me, "planted-index-2").await.unwrap();
    }
    close(service).await;
    house
}

/// All that the catalog knows, to compare.
async fn everything(house: &House, service: &Service) -> String {
    let operator = house.operator();
    let (projects, keys) = (service.list_projects(&operator).await.unwrap(), service.list_api_keys(&operator, None).await.unwrap());
    let mut indexes = BTreeMap::new();
    for port in service.index_ports() {
        indexes.insert(port, service.resolve_index_by_port(port).unwrap().describe());
    }
    for project in &projects {
        for (port, index) in &indexes {
            if index.project_id == project.id {
                let found = service.resolve_index_by_name(&project.short_id(), index.name.as_str()).unwrap();
                assert_eq!(found.describe().port, Some(*port));
            }
        }
    }
    format!("{projects:?} {keys:?} {indexes:?}")
}

#[tokio::test]
async fn every_flipped_bit_is_detected_or_harmless() {
    let house = furnished().await;
    let whole = files(house.path());
    let service = house.open().await;
    let expected = everything(&house, &service).await;
    close(service).await;
    restore(house.path(), &whole);
    let path = house.path().join("catalog.db");
    let mut numbers = Numbers::new(11);
    let (mut detected, mut harmless) = (0, 0);
    for _ in 0..rounds(300) {
        let mut bytes = whole[&path].clone();
        let bit = numbers.below(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bytes).unwrap();
        match house.open_with(house.options()).await {
            Err(error) => {
                assert!(error.message.contains("catalog.db"), "bit {bit}: {error}");
                detected += 1;
            }
            Ok(service) => {
                assert_eq!(everything(&house, &service).await, expected, "bit {bit}");
                close(service).await;
                harmless += 1;
            }
        }
        restore(house.path(), &whole);
    }
    assert!(detected > 0, "{detected} detected, {harmless} harmless");
}

#[tokio::test]
async fn at_rest_there_is_one_file_and_while_running_an_empty_journal() {
    let house = furnished().await;
    assert!(!house.path().join("catalog.db-wal").exists());
    let service = house.open().await;
    service.create_project(&house.operator(), project("p")).await.unwrap();
    let journal = std::fs::metadata(house.path().join("catalog.db-wal")).map_or(0, |m| m.len());
    assert_eq!(journal, 0);
    close(service).await;
}

#[tokio::test]
async fn no_name_or_tag_can_be_read_in_any_file() {
    let house = furnished().await;
    let service = house.open().await;
    let secret = service
        .create_api_key(&house.operator(), NewApiKey { name: "k".into(), project_id: None, roles: vec![], ..NewApiKey::default() })
        .await;
    let secret = secret.unwrap().secret;
    for when in ["while running", "at rest"] {
        let plants =
            ["planted-project-name", "planted-key-name", "planted-index", "planted-tag-key", "planted-tag-value", &secret.reveal()[28..]];
        for (path, bytes) in files(house.path()) {
            for plant in plants {
                assert!(!bytes.windows(plant.len()).any(|w| w == plant.as_bytes()), "'{plant}' in {} {when}", path.display());
            }
        }
        if when == "while running" {
            service.close().await;
        }
    }
}

#[tokio::test]
async fn an_older_copy_is_refused_and_can_be_made_anew() {
    let house = furnished().await;
    let path = house.path().join("catalog.db");
    let older = std::fs::read(&path).unwrap();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("newer")).await.unwrap();
    close(service).await;
    let newer = std::fs::read(&path).unwrap();
    std::fs::write(&path, &older).unwrap();
    let refused = house.open_with(house.options()).await.err().unwrap();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    assert!(refused.message.contains("catalog.db") && refused.message.contains("pinyon catalog rebuild"), "{refused}");
    std::fs::write(&path, &newer).unwrap();
    close(house.open().await).await;
    std::fs::write(&path, &older).unwrap();
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert_eq!(report.indexes.len(), 7);
    close(house.open().await).await;
}

#[tokio::test]
async fn a_page_of_zeros_and_a_cut_are_detected() {
    let house = furnished().await;
    let whole = files(house.path());
    let path = house.path().join("catalog.db");
    let bytes = &whole[&path];
    let pages = bytes.len() / 4096;
    assert!(pages > 4);
    for page in 0..pages {
        let mut zeroed = bytes.clone();
        zeroed[page * 4096..(page + 1) * 4096].fill(0);
        let cut = bytes[..page * 4096].to_vec();
        for damaged in [zeroed, cut] {
            std::fs::write(&path, damaged).unwrap();
            let error = house.open_with(house.options()).await.err().unwrap_or_else(|| panic!("page {page} went unnoticed"));
            assert!(error.message.contains("catalog.db"), "page {page}: {error}");
            restore(house.path(), &whole);
        }
    }
}

#[tokio::test]
async fn a_running_service_goes_on_and_its_check_names_the_file() {
    let house = furnished().await;
    let service = house.open().await;
    let expected = everything(&house, &service).await;
    let report = service.check(&house.operator()).await.unwrap();
    assert_eq!(report.damaged, []);
    assert!(report.audit_events > 10);
    let path = house.path().join("catalog.db");
    let mut bytes = std::fs::read(&path).unwrap();
    for page in 1..bytes.len() / 4096 {
        bytes[page * 4096 + 4000] ^= 8;
    }
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(everything(&house, &service).await, expected);
    let report = service.check(&house.operator()).await.unwrap();
    assert!(report.damaged.iter().any(|d| d.file == "catalog.db"), "{report:?}");
    // Nothing is written over it.
    let refused = service.create_project(&house.operator(), project("one more")).await.unwrap_err();
    assert!(refused.message.contains("catalog.db"), "{refused}");
    assert_eq!(everything(&house, &service).await, expected);
    close(service).await;
}
