use pinyon_model::{ErrorCode, IndexSpec, Plane, Role};
use pinyon_service::{DeletionOptions, OpContext, Service, ServiceOptions};

use crate::common::{House, close, code, files, namespace, pod, project, query, record, spec};

#[tokio::test]
async fn every_index_is_served_again_after_the_catalog_is_lost() {
    let house = House::new();
    let service = house.open().await;
    let other = service.create_project(&house.operator(), project("other")).await.unwrap();
    let project = service.default_project();
    let mine = house.editor(&service).await;
    let theirs = house.caller(&service, Some(other.id), &[Role::ProjectEditor]).await;
    for (me, names) in [(&mine, ["docs", "gone"]), (&theirs, ["docs", "pods"])] {
        for name in names {
            let deployment = if name == "pods" { pod() } else { spec(name).deployment };
            let index = service.create_index(me, IndexSpec { deployment, ..spec(name) }).await.unwrap();
            let host = service.resolve_index_by_port(index.port.unwrap()).unwrap();
            let text = format!("{name} of {}", index.project_id);
            service.upsert(me, &host, &namespace("n"), vec![record(&text, [1.0, 0.0, 0.0])]).await.unwrap();
        }
    }
    service.delete_index(&mine, "gone").await.unwrap();
    let (my_indexes, their_indexes) = (service.list_indexes(&mine).await.unwrap(), service.list_indexes(&theirs).await.unwrap());
    close(service).await;

    let whole = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap_err();
    assert_eq!(whole.code, ErrorCode::FailedPrecondition, "{whole}");
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let gone = house.open_with(house.options()).await.err().unwrap();
    assert_eq!(gone.code, ErrorCode::FailedPrecondition);
    assert!(gone.message.contains("catalog.db is gone") && gone.message.contains("pinyon catalog rebuild"), "{gone}");

    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert_eq!((report.indexes.len(), report.keys.len(), report.unreadable.len()), (3, 2, 0), "{report:?}");
    assert!(report.lost.iter().any(|l| l.contains("API key")), "{:?}", report.lost);

    let service = house.open().await;
    assert_eq!(service.default_project(), project);
    for key in &report.keys {
        let principal = service.authenticate(Plane::Data, Some(key.secret.reveal()), "").await.unwrap();
        let me = OpContext { principal, ..house.operator() };
        let expected = if key.key.project_id == project { &my_indexes } else { &their_indexes };
        assert_eq!(&service.list_indexes(&me).await.unwrap(), expected);
        for index in expected {
            let host = service.resolve_index_by_port(index.port.unwrap()).unwrap();
            let found = service.query(&me, &host, &namespace("n"), query([1.0, 0.0, 0.0])).await.unwrap();
            assert_eq!(found.matches.len(), 1);
            assert_eq!(found.matches[0].id.as_str(), format!("{} of {}", index.name, index.project_id));
        }
    }
    let mut names: Vec<_> = service.list_projects(&house.operator()).await.unwrap().into_iter().map(|p| p.name).collect();
    names.sort();
    assert_eq!(names, ["default", "other"]);
    close(service).await;
    assert!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged.is_empty());
}

#[tokio::test]
async fn a_damaged_descriptor_is_named_and_the_others_come_back() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let bad = service.create_index(&me, spec("bad")).await.unwrap();
    service.create_index(&me, spec("good")).await.unwrap();
    close(service).await;
    let (path, mut bytes) =
        files(house.path()).into_iter().find(|(p, _)| p.ends_with("descriptor") && p.to_string_lossy().contains(&bad.id.hex())).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let report = Service::check_offline(house.options(), house.clock()).await.unwrap();
    assert!(report.damaged.iter().any(|d| d.file.contains(&bad.id.hex()) && d.file.ends_with("descriptor")), "{report:?}");
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert_eq!(report.indexes.iter().map(|(_, n)| n.as_str()).collect::<Vec<_>>(), ["good"]);
    assert!(report.unreadable[0].file.contains(&bad.id.hex()), "{report:?}");
}

#[tokio::test]
async fn a_rebuild_of_nothing_is_a_first_start() {
    let house = House::new();
    close(house.open().await).await;
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert_eq!((report.indexes.len(), report.keys.len()), (0, 1));
    let service = house.open().await;
    let principal = service.authenticate(Plane::Data, Some(report.keys[0].secret.reveal()), "").await.unwrap();
    let me = OpContext { principal, ..house.operator() };
    service.create_index(&me, spec("x")).await.unwrap();
    close(service).await;
}

#[tokio::test]
async fn what_was_deleted_stays_deleted() {
    // The row went, and the process ended before the folder did: neither a start nor a rebuild brings the index back.
    for rebuild in [false, true] {
        let house = House::new();
        let at_once = || ServiceOptions { deletion: DeletionOptions { window_ms: 0, ..DeletionOptions::default() }, ..house.options() };
        let service = house.open().await;
        let me = house.editor(&service).await;
        let index = service.create_index(&me, spec("x")).await.unwrap();
        service.close().await;
        drop(service);
        let folder = house.path().join("indexes").join(index.id.hex());
        let kept: Vec<_> = files(&folder).into_iter().collect();
        let keys: Vec<_> = files(&house.path().join("keys")).into_iter().collect();
        let service = house.open_with(at_once()).await.unwrap();
        service.delete_index(&me, "x").await.unwrap();
        close(service).await;
        assert!(!folder.exists());
        for (path, bytes) in kept.into_iter().chain(keys) {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        if rebuild {
            std::fs::remove_file(house.path().join("catalog.db")).unwrap();
            let report = Service::rebuild_catalog(at_once(), house.clock()).await.unwrap();
            assert!(report.indexes.is_empty(), "{report:?}");
        }
        let service = house.open_with(at_once()).await.unwrap();
        if rebuild {
            // It is kept as something that was deleted, and its time is over.
            assert_eq!(service.purge_deleted(&house.operator(), false).await.unwrap().purged.len(), 1);
        }
        assert_eq!(code(service.describe_index(&house.operator(), "x").await), Some(ErrorCode::NotFound));
        assert!(!folder.exists(), "the folder is swept");
        close(service).await;
    }
}

#[tokio::test]
async fn a_folder_that_no_row_speaks_of_is_swept_after_a_day() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    close(service).await;
    let is_catalog = |p: &std::path::Path| p.ends_with("catalog.db") || p.to_string_lossy().contains("/audit/");
    let before: Vec<_> = files(house.path()).into_iter().filter(|(p, _)| is_catalog(p)).collect();
    let service = house.open().await;
    let index = service.create_index(&me, spec("x")).await.unwrap();
    close(service).await;
    // As if the process had ended before the row was there.
    files(house.path()).keys().filter(|p| is_catalog(p)).for_each(|p| std::fs::remove_file(p).unwrap());
    before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let folder = house.path().join("indexes").join(index.id.hex());
    for (later_ms, there) in [(0, true), (23 * 3_600_000, true), (3_600_001, false)] {
        house.clock.advance_ms(later_ms);
        let service = house.open().await;
        assert_eq!(folder.exists(), there);
        // The name is free all the while.
        assert!(service.list_indexes(&me).await.unwrap().is_empty());
        close(service).await;
    }
}
