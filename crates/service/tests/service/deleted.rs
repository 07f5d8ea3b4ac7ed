//! What was deleted: gone at once, brought back inside the window, purged after it.

use std::sync::Arc;

use pinyon_model::{
    Deleted, DeletedKind, ErrorCode, IndexState, NewServiceAccount, PageRequest, Plane, ResourceRef, Role, RoleBindingFilter, RoleGrant,
};
use pinyon_service::{Clock, DeletionOptions, NewApiKey, OpContext, Service, ServiceOptions, SignedReport};
use pinyon_storage::{
    faults::{self, Fault, Rule},
    fs::Site,
};

use crate::{
    backups::{backed_up, into, named, restored, stored},
    common::*,
};

const WINDOW_MS: u64 = 60_000;

fn options(house: &House) -> ServiceOptions {
    let deletion = DeletionOptions { window_ms: WINDOW_MS, ..DeletionOptions::default() };
    ServiceOptions { deletion, ..house.options() }
}

async fn house() -> (House, Arc<Service>) {
    let house = House::new();
    let service = house.open_with(options(&house)).await.unwrap();
    (house, service)
}

/// Damages a file: its last byte is another.
fn flip_last(file: &std::path::Path) {
    let mut bytes = std::fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file, bytes).unwrap();
}

async fn only(service: &Service, me: &OpContext) -> Deleted {
    let mut all = service.list_deleted(me).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Whether a folder of an index is there.
fn folders(house: &House) -> usize {
    std::fs::read_dir(house.path().join("indexes")).map_or(0, |entries| entries.count())
}

#[tokio::test]
async fn an_index_comes_back_with_its_records_and_goes_for_good_after_the_window() {
    let (house, service) = house().await;
    let (me, operator) = (house.editor(&service).await, house.operator());
    service.create_index(&me, spec("films")).await.unwrap();
    let films = service.find_index(&me, "films").await.unwrap();
    service.upsert(&me, &films, &namespace(""), vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
    service.delete_index(&me, "films").await.unwrap();

    assert_eq!(code(service.describe_index(&me, "films").await), Some(ErrorCode::NotFound));
    assert_eq!(code(service.stats(&me, &films, None).await), Some(ErrorCode::NotFound), "also for who holds it");
    assert!(service.index_ports().is_empty() && service.list_indexes(&me).await.unwrap().is_empty());
    let kept = only(&service, &operator).await;
    assert_eq!((kept.kind, kept.name.as_str(), kept.of.as_str()), (DeletedKind::Index, "films", films.id().to_string().as_str()));
    assert_eq!((kept.deleted_at_ms, kept.kept_until_ms), (house.clock.now_ms(), house.clock.now_ms() + WINDOW_MS));
    assert_eq!(code(service.list_deleted(&me).await), Some(ErrorCode::Forbidden), "the operator's alone");
    assert_eq!(code(service.restore_deleted(&me, kept.id).await), Some(ErrorCode::Forbidden));

    // Its name and its port are free, and taken when it should come back.
    service.create_index(&me, spec("films")).await.unwrap();
    assert_eq!(code(service.restore_deleted(&operator, kept.id).await), Some(ErrorCode::AlreadyExists));
    service.delete_index(&me, "films").await.unwrap();
    service.create_index(&me, spec("other")).await.unwrap();
    // After a start too.
    drop(films);
    close(service).await;
    let service = house.open_with(options(&house)).await.unwrap();
    service.restore_deleted(&operator, kept.id).await.unwrap();
    let films = service.find_index(&me, "films").await.unwrap();
    assert_eq!(service.stats(&me, &films, None).await.unwrap().total, 1);
    assert_eq!(service.index_ports().len(), 2, "it has another port than the one that took its own");
    assert_eq!(code(service.restore_deleted(&operator, kept.id).await), Some(ErrorCode::NotFound), "once");

    // Not a moment before its time.
    service.delete_index(&me, "films").await.unwrap();
    house.clock.advance_ms(WINDOW_MS - 1);
    service.purge_deleted(&operator, false).await.unwrap();
    assert_eq!((service.list_deleted(&operator).await.unwrap().len(), folders(&house)), (2, 3));
    house.clock.advance_ms(1);
    let purged = service.purge_deleted(&operator, false).await.unwrap().purged;
    assert_eq!((purged.len(), folders(&house)), (2, 1));
    assert!(service.list_deleted(&operator).await.unwrap().is_empty());
    let gone = purged.iter().find(|d| d.of == films.id().to_string()).unwrap();
    assert_eq!(code(service.restore_deleted(&operator, gone.id).await), Some(ErrorCode::NotFound));

    // The report: signed by this installation, and of what was there.
    let report = service.deletion_report(&operator, gone.id).await.unwrap();
    let public_key = service.deletion_report_key(&operator).await.unwrap();
    assert!(report.is_signed_by(&public_key));
    let folder = format!("object: indexes/{}/", films.id().hex());
    assert!(report.text.contains(&folder) && report.text.contains("name: films\n"), "{report:?}");
    assert_eq!(report.text.matches("key destroyed: ").count(), 2, "of the index and of its namespace: {report:?}");
    let changed = report.to_document().replace("name: films", "name: filmz");
    assert!(!SignedReport::parse(&changed).unwrap().is_signed_by(&public_key));
    assert_eq!(service.list_deletion_reports(&operator).await.unwrap().len(), 2);
    let events = audit_events(&service, &operator).await;
    assert_eq!(events.iter().filter(|e| e.action == "purge" && e.actor.principal_type == "system").count(), 2);
}

#[tokio::test]
async fn principals_come_back_with_their_secrets_and_roles() {
    let (house, service) = house().await;
    let me = house.operator();
    let project = service.default_project();
    let key = service
        .create_api_key(&me, NewApiKey { name: "k".into(), roles: vec![Role::DataPlaneViewer], ..NewApiKey::default() })
        .await
        .unwrap();
    let grants = vec![RoleGrant::new(Role::OrgOwner, None).unwrap(), RoleGrant::new(Role::ProjectOwner, Some(project)).unwrap()];
    let account = service.create_service_account(&me, NewServiceAccount { name: "a".into(), grants }).await.unwrap();
    service.delete_api_key(&me, key.key.id).await.unwrap();
    service.delete_service_account(&me, account.account.id).await.unwrap();
    let shows = async || {
        let key = service.authenticate(Plane::Data, Some(key.secret.reveal()), "").await.is_ok();
        let token = service.issue_token(&account.account.client_id(), account.secret.reveal(), "").await.is_ok();
        (key, token)
    };
    assert_eq!(shows().await, (false, false));
    for kept in service.list_deleted(&me).await.unwrap() {
        service.restore_deleted(&me, kept.id).await.unwrap();
    }
    assert_eq!(shows().await, (true, true));
    let page = PageRequest { limit: 100, after: None };
    let bindings = service.list_role_bindings(&me, RoleBindingFilter::default(), page).await.unwrap().items;
    assert!(bindings.iter().any(|b| b.role == Role::DataPlaneViewer));
    assert!(bindings.iter().any(|b| b.role == Role::ProjectOwner && b.resource == ResourceRef::Project(project)));

    // A secret that another key has now.
    let secret = || pinyon_service::ApiKeySecret::import("an-imported-secret-of-length").unwrap();
    let import =
        |name: &str| NewApiKey { name: name.into(), roles: vec![Role::DataPlaneViewer], secret: Some(secret()), ..NewApiKey::default() };
    let first = service.create_api_key(&me, import("first")).await.unwrap();
    service.delete_api_key(&me, first.key.id).await.unwrap();
    service.create_api_key(&me, import("second")).await.unwrap();
    assert_eq!(code(service.restore_deleted(&me, only(&service, &me).await.id).await), Some(ErrorCode::AlreadyExists));
}

#[tokio::test]
async fn a_project_and_an_organization_go_and_come_with_all_that_is_in_them() {
    let (house, service) = house().await;
    let me = house.operator();
    let organization = service.create_organization(&me, "acme".into()).await.unwrap();
    let acme = OpContext { organization: Some(organization.id), ..me.clone() };
    let made = service.create_project(&acme, project("search")).await.unwrap();
    let editor = house.caller(&service, Some(made.id), &[Role::ProjectEditor]).await;
    service.create_index(&editor, spec("films")).await.unwrap();
    let films = service.find_index(&editor, "films").await.unwrap();
    service.upsert(&editor, &films, &namespace(""), vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();

    assert_eq!(code(service.deactivate_project(&editor, made.id).await), Some(ErrorCode::Forbidden));
    assert_eq!(code(service.deactivate_project(&me, service.default_project()).await), Some(ErrorCode::FailedPrecondition));
    service.deactivate_project(&acme, made.id).await.unwrap();
    let gone = only(&service, &me).await;
    assert_eq!((gone.kind, gone.name.as_str()), (DeletedKind::Project, "search"));
    assert!(service.list_projects(&acme).await.unwrap().is_empty());
    assert!(service.stats(&editor, &films, None).await.is_err());

    service.deactivate_organization(&me, organization.id).await.unwrap();
    assert_eq!(code(service.restore_deleted(&me, gone.id).await), Some(ErrorCode::FailedPrecondition), "its organization is not there");
    let all = service.list_deleted(&me).await.unwrap();
    let organization_gone = all.iter().find(|d| d.kind == DeletedKind::Organization).unwrap();
    service.restore_deleted(&me, organization_gone.id).await.unwrap();
    service.restore_deleted(&me, gone.id).await.unwrap();
    let films = service.find_index(&editor, "films").await.unwrap();
    assert_eq!(service.stats(&editor, &films, None).await.unwrap().total, 1);

    // All at once, and purged as one.
    service.deactivate_organization(&me, organization.id).await.unwrap();
    assert_eq!(only(&service, &me).await.kind, DeletedKind::Organization);
    house.clock.advance_ms(WINDOW_MS);
    service.purge_deleted(&me, false).await.unwrap();
    assert_eq!(folders(&house), 0);
}

#[tokio::test]
async fn a_large_purge_waits_for_the_operator() {
    let house = House::new();
    let deletion = DeletionOptions { window_ms: WINDOW_MS, brake_percent: 50, brake_bytes: 0 };
    let service = house.open_with(ServiceOptions { deletion, ..house.options() }).await.unwrap();
    let (me, operator) = (house.editor(&service).await, house.operator());
    for name in ["a", "b", "c"] {
        service.create_index(&me, spec(name)).await.unwrap();
    }
    let (first, rest) = ("a", ["b", "c"]);
    service.delete_index(&me, first).await.unwrap();
    house.clock.advance_ms(WINDOW_MS);
    let small = service.purge_deleted(&operator, false).await.unwrap();
    assert_eq!((small.purged.len(), small.waiting), (1, None), "a third is less than half");
    for name in rest {
        service.delete_index(&me, name).await.unwrap();
    }
    house.clock.advance_ms(WINDOW_MS);
    let braked = service.purge_deleted(&operator, false).await.unwrap();
    assert!(braked.purged.is_empty() && braked.waiting.is_some() && service.purge_waits());
    assert_eq!(service.list_deleted(&operator).await.unwrap().len(), 2, "it can be brought back for as long as it waits");
    let confirmed = service.purge_deleted(&operator, true).await.unwrap();
    assert_eq!((confirmed.purged.len(), confirmed.waiting, folders(&house)), (2, None, 0));
}

#[tokio::test]
async fn the_brake_counts_what_is_due_beyond_one_pass() {
    let house = House::new();
    // 120 of 130 are due: a pass of a hundred is less than 80 percent, and all of it is more.
    let deletion = DeletionOptions { window_ms: WINDOW_MS, brake_percent: 80, brake_bytes: 0 };
    let service = house.open_with(ServiceOptions { deletion, ..house.options() }).await.unwrap();
    let (me, operator) = (house.editor(&service).await, house.operator());
    for n in 0..130 {
        service.create_index(&me, spec(&format!("index-{n:03}"))).await.unwrap();
    }
    for n in 0..120 {
        service.delete_index(&me, &format!("index-{n:03}")).await.unwrap();
    }
    house.clock.advance_ms(WINDOW_MS);
    let braked = service.purge_deleted(&operator, false).await.unwrap();
    assert!(braked.purged.is_empty() && braked.waiting.is_some(), "{braked:?}");
    let confirmed = service.purge_deleted(&operator, true).await.unwrap();
    assert_eq!((confirmed.purged.len(), confirmed.waiting, folders(&house)), (120, None, 10), "one word is enough");
}

/// Whoever takes a backup waits for the catalog with the index's namespaces in hand, and whoever deletes the index waits for these.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_backed_up_is_deleted_at_the_same_time() {
    let (house, service) = house().await;
    let me = house.editor(&service).await;
    for round in 0..30 {
        let name = format!("films-{round}");
        service.create_index(&me, spec(&name)).await.unwrap();
        let films = service.find_index(&me, &name).await.unwrap();
        for n in 0..20 {
            service.upsert(&me, &films, &namespace(&format!("n{n}")), vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
        }
        drop(films);
        let deletion = {
            let (service, me, name) = (Arc::clone(&service), me.clone(), name.clone());
            tokio::spawn(async move { service.delete_index(&me, &name).await })
        };
        // At another moment of it each time.
        tokio::time::sleep(std::time::Duration::from_micros(round * 50)).await;
        let patience = std::time::Duration::from_secs(30);
        let taken = tokio::time::timeout(patience, service.create_backup(&me, &name, named("b"))).await.expect("the backup ends");
        tokio::time::timeout(patience, deletion).await.expect("the deletion ends").unwrap().unwrap();
        assert!(taken.is_ok() || taken.as_ref().is_err_and(|e| e.code == ErrorCode::NotFound), "{round}: {taken:?}");
    }
    close(service).await;
}

#[tokio::test]
async fn a_project_with_an_index_that_could_not_be_restored_comes_back() {
    let (house, service) = house().await;
    let operator = house.operator();
    let made = service.create_project(&operator, project("search")).await.unwrap();
    let me = house.caller(&service, Some(made.id), &[Role::ProjectEditor]).await;
    service.create_index(&me, spec("films")).await.unwrap();
    let backup = backed_up(&service, &me, "films", "b").await;
    let manifest = house.path().join(format!("backups/{}/manifest", backup.id.hex()));
    flip_last(&manifest);
    let (_, job) = service.create_index_from_backup(&me, &backup.id.to_string(), into("again")).await.unwrap();
    restored(&service, &me, &job).await;
    assert_eq!(service.describe_index(&me, "again").await.unwrap().state, IndexState::InitializationFailed);
    service.deactivate_project(&operator, made.id).await.unwrap();
    service.restore_deleted(&operator, only(&service, &operator).await.id).await.unwrap();
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 2);
    close(service).await;
}

#[tokio::test]
async fn a_rebuilt_catalog_does_not_bring_back_what_was_deactivated() {
    let (house, service) = house().await;
    let operator = house.operator();
    let mut backups = Vec::new();
    for name in ["search", "shop"] {
        let made = service.create_project(&operator, project(name)).await.unwrap();
        let me = house.caller(&service, Some(made.id), &[Role::ProjectEditor]).await;
        service.create_index(&me, spec("films")).await.unwrap();
        backups.push(backed_up(&service, &me, "films", "b").await.id);
        service.deactivate_project(&operator, made.id).await.unwrap();
    }
    house.clock.advance_ms(5);
    let shop = service.list_deleted(&operator).await.unwrap().into_iter().find(|d| d.name == "shop").unwrap();
    service.restore_deleted(&operator, shop.id).await.unwrap();
    close(service).await;
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(options(&house), house.clock()).await.unwrap();
    assert_eq!((report.indexes.len(), report.backups), (1, vec![backups[1]]), "what was brought back is there");
    let service = house.open_with(options(&house)).await.unwrap();
    assert!(service.list_projects(&operator).await.unwrap().iter().all(|p| p.name != "search"));
    close(service).await;
}

#[tokio::test]
async fn a_damaged_record_of_a_purge_keeps_nobody_from_the_others() {
    let (house, service) = house().await;
    let (me, operator) = (house.editor(&service).await, house.operator());
    let gone = async |service: &Arc<Service>, name: &str| {
        service.create_index(&me, spec(name)).await.unwrap();
        service.delete_index(&me, name).await.unwrap();
        house.clock.advance_ms(WINDOW_MS);
        service.purge_deleted(&operator, false).await.unwrap().purged[0].id
    };
    let first = gone(&service, "first").await;
    close(service).await;
    let file = house.path().join(format!("deletions/{}", first.hex()));
    flip_last(&file);
    let service = house.open_with(options(&house)).await.unwrap();
    let second = gone(&service, "second").await;
    let reports = service.list_deletion_reports(&operator).await.unwrap();
    assert_eq!(reports.iter().map(|r| r.deleted.id).collect::<Vec<_>>(), [second]);
    assert_eq!(code(service.deletion_report(&operator, first).await), Some(ErrorCode::DataLoss));
    assert!(service.list_deleted(&operator).await.unwrap().is_empty());
    close(service).await;
}

#[tokio::test]
async fn what_was_brought_back_and_cannot_be_read_is_not_swept() {
    let (house, service) = house().await;
    let (me, operator) = (house.editor(&service).await, house.operator());
    service.create_index(&me, spec("films")).await.unwrap();
    service.delete_index(&me, "films").await.unwrap();
    house.clock.advance_ms(5);
    service.restore_deleted(&operator, only(&service, &operator).await.id).await.unwrap();
    let id = service.find_index(&me, "films").await.unwrap().id();
    close(service).await;
    let descriptor = house.path().join(format!("indexes/{}/descriptor", id.hex()));
    flip_last(&descriptor);
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(options(&house), house.clock()).await.unwrap();
    assert_eq!((report.indexes.len(), report.unreadable.len()), (0, 1));
    house.clock.advance_ms(2 * 24 * 60 * 60 * 1_000);
    close(house.open_with(options(&house)).await.unwrap()).await;
    assert!(descriptor.exists(), "whoever mends the descriptor has the records");
}

#[tokio::test]
async fn without_a_window_it_is_gone_with_the_answer() {
    let house = House::new();
    let deletion = DeletionOptions { window_ms: 0, ..DeletionOptions::default() };
    let service = house.open_with(ServiceOptions { deletion, ..house.options() }).await.unwrap();
    let (me, operator) = (house.editor(&service).await, house.operator());
    service.create_index(&me, spec("films")).await.unwrap();
    service.delete_index(&me, "films").await.unwrap();
    assert_eq!(folders(&house), 0);
    assert!(service.list_deleted(&operator).await.unwrap().is_empty());
    assert_eq!(service.list_deletion_reports(&operator).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_rebuilt_catalog_does_not_bring_it_back_to_life_and_can() {
    let (house, service) = house().await;
    let me = house.editor(&service).await;
    for name in ["films", "books", "plays"] {
        service.create_index(&me, spec(name)).await.unwrap();
    }
    let films = service.find_index(&me, "films").await.unwrap();
    service.upsert(&me, &films, &namespace(""), vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
    service.delete_index(&me, "films").await.unwrap();
    service.delete_index(&me, "plays").await.unwrap();
    house.clock.advance_ms(5);
    let plays = service.list_deleted(&house.operator()).await.unwrap().into_iter().find(|d| d.name == "plays").unwrap();
    service.restore_deleted(&house.operator(), plays.id).await.unwrap();
    drop(films);
    close(service).await;
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(options(&house), house.clock()).await.unwrap();
    let mut names: Vec<&str> = report.indexes.iter().map(|(_, name)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["books", "plays"]);

    let service = house.open_with(options(&house)).await.unwrap();
    let operator = house.operator();
    let kept = only(&service, &operator).await;
    assert_eq!((kept.name.as_str(), kept.kept_until_ms), ("films", house.clock.now_ms() - 5 + WINDOW_MS));
    service.restore_deleted(&operator, kept.id).await.unwrap();
    let me = house.editor(&service).await;
    let films = service.find_index(&me, "films").await.unwrap();
    assert_eq!(service.stats(&me, &films, None).await.unwrap().total, 1);
}

#[tokio::test]
async fn a_namespace_comes_back_and_goes_for_good() {
    let (house, service) = house().await;
    let (me, operator) = (house.editor(&service).await, house.operator());
    service.create_index(&me, spec("films")).await.unwrap();
    let films = service.find_index(&me, "films").await.unwrap();
    let upsert = async |text: &str| service.upsert(&me, &films, &namespace("en"), vec![record(text, [1.0, 0.0, 0.0])]).await;
    let total = async || service.stats(&me, &films, None).await.unwrap().total;
    upsert("a").await.unwrap();
    service.delete_namespace(&me, &films, &namespace("en")).await.unwrap();
    assert_eq!(total().await, 0);
    let kept = only(&service, &operator).await;
    assert_eq!((kept.kind, kept.name.as_str(), kept.kept_until_ms), (DeletedKind::Namespace, "films/en", house.clock.now_ms() + WINDOW_MS));
    upsert("b").await.unwrap();
    assert_eq!(code(service.restore_deleted(&operator, kept.id).await), Some(ErrorCode::AlreadyExists));
    house.clock.advance_ms(1);
    service.delete_namespace(&me, &films, &namespace("en")).await.unwrap();
    service.restore_deleted(&operator, kept.id).await.unwrap();
    assert_eq!(total().await, 1);
    let fetched = service.fetch(&me, &films, &namespace("en"), vec![id("a")]).await.unwrap();
    assert_eq!(fetched.records.len(), 1);

    let kept = only(&service, &operator).await;
    house.clock.advance_ms(WINDOW_MS - 1);
    assert!(service.purge_deleted(&operator, false).await.unwrap().purged.is_empty());
    house.clock.advance_ms(1);
    assert_eq!(service.purge_deleted(&operator, false).await.unwrap().purged, std::slice::from_ref(&kept));
    assert_eq!(code(service.restore_deleted(&operator, kept.id).await), Some(ErrorCode::NotFound));
    let report = service.deletion_report(&operator, kept.id).await.unwrap();
    assert!(report.is_signed_by(&service.deletion_report_key(&operator).await.unwrap()));
    assert!(
        report.text.contains("kind: namespace\n") && report.text.contains("key destroyed: ") && report.text.contains("object: "),
        "{report:?}"
    );
    assert_eq!(total().await, 1, "the other one stays");
}

#[tokio::test]
async fn no_report_says_that_a_namespace_is_gone_before_it_is() {
    let (house, service) = house().await;
    let (me, operator) = (house.editor(&service).await, house.operator());
    service.create_index(&me, spec("films")).await.unwrap();
    let films = service.find_index(&me, "films").await.unwrap();
    service.upsert(&me, &films, &namespace("en"), vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
    service.delete_namespace(&me, &films, &namespace("en")).await.unwrap();
    let kept = only(&service, &operator).await;
    house.clock.advance_ms(WINDOW_MS);
    let installed = faults::install(&house.path().canonicalize().unwrap(), vec![Rule::always(Site::BlobDirRename, Fault::Eio)]);
    assert!(service.purge_deleted(&operator, false).await.is_err(), "its files stay");
    drop(installed);
    for _ in 0..2 {
        assert_eq!(only(&service, &operator).await.id, kept.id, "it is neither kept nor gone");
        assert_eq!(code(service.restore_deleted(&operator, kept.id).await), Some(ErrorCode::FailedPrecondition));
        assert!(service.list_deletion_reports(&operator).await.unwrap().is_empty());
        assert!(service.purge_deleted(&operator, false).await.unwrap().purged.is_empty());
    }
    drop(films);
    close(service).await;

    // The engine removes what is left when the index is opened next, in the background.
    let service = house.open_with(options(&house)).await.unwrap();
    for _ in 0..1_000 {
        service.purge_deleted(&operator, false).await.unwrap();
        if !service.list_deletion_reports(&operator).await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let report = service.deletion_report(&operator, kept.id).await.unwrap();
    assert!(report.text.contains("kind: namespace\n") && report.text.contains("key destroyed: "), "{report:?}");
    assert!(service.list_deleted(&operator).await.unwrap().is_empty());
    assert!(!files(house.path()).keys().any(|p| p.to_string_lossy().contains("/namespaces/")), "its files are gone");
    close(service).await;
}

#[tokio::test]
async fn records_that_were_deleted_leave_a_report_too() {
    let (house, service) = house().await;
    let (me, operator) = (house.editor(&service).await, house.operator());
    service.create_index(&me, spec("films")).await.unwrap();
    let films = service.find_index(&me, "films").await.unwrap();
    service.upsert(&me, &films, &namespace(""), vec![record("a", [1.0, 0.0, 0.0]), record("b", [0.0, 1.0, 0.0])]).await.unwrap();
    service.purge_deleted_records(&operator).await.unwrap();
    let before = service.list_deletion_reports(&operator).await.unwrap().len();
    service.delete(&me, &films, &namespace(""), pinyon_model::DeleteSelector::Ids(vec![id("a")])).await.unwrap();
    service.purge_deleted_records(&operator).await.unwrap();
    let reports = service.list_deletion_reports(&operator).await.unwrap();
    assert_eq!(reports.len(), before + 1);
    let report = reports.last().unwrap();
    assert_eq!((report.deleted.kind, report.deleted.name.as_str()), (DeletedKind::Records, "films"));
    assert!(!report.objects.is_empty() && !report.keys.is_empty(), "{report:?}");
    assert_eq!(service.stats(&me, &films, None).await.unwrap().total, 1);
}

#[tokio::test]
async fn a_check_names_a_damaged_record_of_a_purge() {
    let (house, service) = house().await;
    let (me, operator) = (house.editor(&service).await, house.operator());
    service.create_index(&me, spec("films")).await.unwrap();
    service.delete_index(&me, "films").await.unwrap();
    house.clock.advance_ms(WINDOW_MS);
    let purged = service.purge_deleted(&operator, false).await.unwrap().purged;
    assert!(service.check(&operator).await.unwrap().damaged.is_empty());
    let name = format!("deletions/{}", purged[0].id.hex());
    let file = house.path().join(&name);
    flip_last(&file);
    let report = service.check(&operator).await.unwrap();
    assert!(matches!(&report.damaged[..], [only] if only.file == name), "{report:?}");
    close(service).await;
    let report = Service::check_offline(options(&house), house.clock()).await.unwrap();
    assert!(matches!(&report.damaged[..], [only] if only.file == name), "{report:?}");
}

#[tokio::test]
async fn a_backup_comes_back_and_goes_for_good() {
    let (house, service) = house().await;
    let (me, operator) = (house.editor(&service).await, house.operator());
    service.create_index(&me, spec("films")).await.unwrap();
    let films = service.find_index(&me, "films").await.unwrap();
    service.upsert(&me, &films, &namespace(""), vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
    let backup = service.create_backup(&me, "films", named("first")).await.unwrap();
    let backup = stored(&service, &me, backup.id).await;
    let text = backup.id.to_string();
    service.delete_backup(&me, &text).await.unwrap();
    assert_eq!(code(service.describe_backup(&me, &text).await), Some(ErrorCode::NotFound));
    let kept = only(&service, &operator).await;
    assert_eq!((kept.kind, kept.name.as_str(), &kept.of), (DeletedKind::Backup, "first", &text));
    drop(films);
    close(service).await;
    // A start does not sweep what is kept, and a rebuild knows what was brought back.
    let service = house.open_with(options(&house)).await.unwrap();
    service.restore_deleted(&operator, kept.id).await.unwrap();
    assert_eq!(service.describe_backup(&me, &text).await.unwrap().status, backup.status);
    close(service).await;
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let report = Service::rebuild_catalog(options(&house), house.clock()).await.unwrap();
    assert_eq!(report.backups, [backup.id]);

    let service = house.open_with(options(&house)).await.unwrap();
    let me = house.editor(&service).await;
    service.delete_backup(&me, &text).await.unwrap();
    house.clock.advance_ms(WINDOW_MS);
    let purged = service.purge_deleted(&operator, false).await.unwrap().purged;
    assert_eq!(purged.len(), 1);
    assert!(!files(house.path()).keys().any(|p| p.to_string_lossy().contains("backups/")), "nothing of it is left");
    let report = service.deletion_report(&operator, purged[0].id).await.unwrap();
    assert!(report.text.contains("kind: backup\n") && report.text.contains("object: backups/") && report.text.contains("key destroyed: "));
}
