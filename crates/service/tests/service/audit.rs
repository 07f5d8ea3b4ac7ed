use std::future::Future;

use pinyon_model::{AuditEvent, AuditOutcome};
use pinyon_model::{ErrorCode, Plane, Role};
use pinyon_service::{DataPlaneAudit, Service, ServiceOptions};
use pinyon_storage::{
    faults::{self, Fault, Rule},
    fs::Site,
};

use crate::common::{House, Numbers, audit_events, close, code, files, namespace, project, query, record, restore, rounds, spec};

async fn events(house: &House, service: &Service) -> Vec<AuditEvent> {
    audit_events(service, &house.operator()).await
}

fn short(e: &AuditEvent) -> (String, String, bool, u64) {
    let (action, kind) = (&e.action, &e.resource_type);
    (format!("{action}/{kind}"), e.resource_name.clone(), e.outcome == AuditOutcome::Success, e.count)
}

#[tokio::test]
async fn control_plane_acts_are_there_before_their_answer() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("x")).await.unwrap();
    let last = events(&house, &service).await.pop().unwrap();
    assert_eq!(short(&last), ("create/index".into(), "x".into(), true, 1));
    assert_eq!((last.actor.principal_type.as_str(), last.resource_id.as_str()), ("api_key", "x"));
    assert_eq!((last.user_agent.as_str(), last.source.as_str(), last.request_id.as_str()), ("test/1", "192.0.2.7", "request-1"));
    assert_eq!((last.organization_name.as_str(), last.time_ms), ("default", me.now_ms));
    assert!(last.parameters.iter().any(|(k, v)| k == "project_id" && *v == service.default_project().to_string()));

    assert_eq!(code(service.create_index(&me, spec("x")).await), Some(ErrorCode::AlreadyExists));
    let last = events(&house, &service).await.pop().unwrap();
    assert_eq!(short(&last), ("create/index".into(), "x".into(), false, 1));
    assert!(matches!(&last.outcome, AuditOutcome::Failure { error_code, .. } if error_code == "AlreadyExists"));

    service.delete_index(&me, "x").await.unwrap();
    assert_eq!(short(&events(&house, &service).await.pop().unwrap()), ("delete/index".into(), "x".into(), true, 1));
    // Reads leave nothing.
    let before = events(&house, &service).await.len();
    service.list_indexes(&me).await.unwrap();
    assert_eq!(events(&house, &service).await.len(), before);
    close(service).await;

    let service = house.open().await;
    assert_eq!(events(&house, &service).await.len(), before, "and all of it is there after a restart");
    close(service).await;
}

#[tokio::test]
async fn refusals_are_there_before_their_answer_and_repeats_fold() {
    let house = House::new();
    let service = house.open().await;
    let editor = house.editor(&service).await;
    service.create_index(&editor, spec("x")).await.unwrap();
    let host = service.find_index(&editor, "x").await.unwrap();
    let me = house.caller(&service, None, &[Role::DataPlaneViewer]).await;
    let before = events(&house, &service).await.len();
    for _ in 0..500 {
        assert_eq!(code(service.upsert(&me, &host, &namespace(""), vec![record("r", [1.0, 0.0, 0.0])]).await), Some(ErrorCode::Forbidden));
    }
    let now = events(&house, &service).await;
    assert_eq!(now.len(), before + 1, "one entry stands for the minute");
    assert_eq!(short(&now[before]), ("upsert/record".into(), "x".into(), false, 1));
    // Another principal and another act are entries of their own.
    assert_eq!(code(service.delete_index(&me, "x").await), Some(ErrorCode::Forbidden));
    let other = house.caller(&service, None, &[Role::DataPlaneViewer]).await;
    assert_eq!(code(service.delete_index(&other, "x").await), Some(ErrorCode::Forbidden));
    let folded_into = events(&house, &service).await.len();
    house.clock.advance_ms(60_001);
    close(service).await;
    let service = house.open().await;
    let now = events(&house, &service).await;
    assert_eq!(now[folded_into..].iter().map(short).collect::<Vec<_>>(), [("upsert/record".into(), "x".into(), false, 499)]);
    close(service).await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_a_few_entries() {
    let house = House::new();
    let service = house.open().await;
    let before = events(&house, &service).await.len();
    for n in 0..5_000 {
        let source = format!("198.51.{}.{}", n % 200, n % 7);
        assert!(service.authenticate(Plane::Data, Some("pcsk_unknown"), &source).await.is_err());
    }
    close(service).await;
    let service = house.open().await;
    let now = events(&house, &service).await;
    let counted = &now[before..];
    assert!(counted.len() <= 65, "{} entries", counted.len());
    assert_eq!(counted.iter().map(|e| e.count).sum::<u64>(), 5_000);
    assert!(counted.iter().all(|e| e.actor.principal_type == "unknown" && e.action == "login"));
    close(service).await;
}

#[tokio::test]
async fn data_plane_writes_are_audited_when_asked_for() {
    let house = House::new();
    let service = house.open_with(ServiceOptions { data_plane_audit: DataPlaneAudit::Writes, ..house.options() }).await.unwrap();
    let me = house.editor(&service).await;
    service.create_index(&me, spec("x")).await.unwrap();
    let host = service.find_index(&me, "x").await.unwrap();
    let before = events(&house, &service).await.len();
    service.upsert(&me, &host, &namespace(""), vec![record("r", [1.0, 0.0, 0.0])]).await.unwrap();
    service.query(&me, &host, &namespace(""), query([1.0, 0.0, 0.0])).await.unwrap();
    let now = events(&house, &service).await;
    assert_eq!(now[before..].iter().map(short).collect::<Vec<_>>(), [("upsert/record".into(), "x".into(), true, 1)]);
    close(service).await;
}

#[tokio::test]
async fn data_plane_reads_are_audited_too_when_asked_for() {
    let house = House::new();
    let service = house.open_with(ServiceOptions { data_plane_audit: DataPlaneAudit::All, ..house.options() }).await.unwrap();
    let me = house.editor(&service).await;
    service.create_index(&me, spec("x")).await.unwrap();
    let host = service.find_index(&me, "x").await.unwrap();
    let before = events(&house, &service).await.len();
    service.upsert(&me, &host, &namespace(""), vec![record("r", [1.0, 0.0, 0.0])]).await.unwrap();
    service.query(&me, &host, &namespace(""), query([1.0, 0.0, 0.0])).await.unwrap();
    service.list_indexes(&me).await.unwrap();
    service.fetch(&me, &host, &namespace(""), vec![crate::common::id("r")]).await.unwrap();
    let told: Vec<_> = events(&house, &service).await[before..].iter().map(|e| short(e).0).collect();
    assert_eq!(told, ["upsert/record", "query/record", "fetch/record"], "the control plane's reads are no records");
    // What cannot be recorded is not answered; many at once go out together.
    let many = (0..50).map(|_| {
        let (service, me, host) = (service.clone(), me.clone(), host.clone());
        tokio::spawn(async move { service.query(&me, &host, &namespace(""), query([1.0, 0.0, 0.0])).await })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(events(&house, &service).await.len(), before + 53);
    {
        let failing = [Site::LogCreate, Site::LogWriteFirst, Site::LogWrite, Site::LogSync].map(|s| Rule::always(s, Fault::Eio));
        let _installed = faults::install(&house.path().canonicalize().unwrap().join("audit"), failing.to_vec());
        let refused = service.query(&me, &host, &namespace(""), query([1.0, 0.0, 0.0])).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    }
    service.query(&me, &host, &namespace(""), query([1.0, 0.0, 0.0])).await.unwrap();
    drop(host);
    close(service).await;
}

#[tokio::test]
async fn the_root_keys_export_and_rotation_and_a_rebuild_are_entries() {
    let house = House::new();
    let service = house.open().await;
    service.export_root(&house.operator()).await.unwrap();
    let second = pinyon_service::RootKey::generate();
    service.rotate_root(&house.operator(), second.clone()).await.unwrap();
    close(service).await;
    std::fs::remove_file(house.path().join("catalog.db")).unwrap();
    let options = || ServiceOptions { root_key: second.clone(), ..house.options() };
    Service::rebuild_catalog(options(), house.clock()).await.unwrap();
    let service = house.open_with(options()).await.unwrap();
    let told: Vec<_> = events(&house, &service).await.iter().map(|e| (short(e).0, e.actor.principal_type.clone(), short(e).2)).collect();
    for wanted in ["read/root-key", "update/root-key", "update/catalog"] {
        assert!(told.contains(&(wanted.to_owned(), "operator".to_owned(), true)), "{wanted}: {told:?}");
    }
    close(service).await;
}

#[tokio::test]
async fn an_operation_whose_caller_goes_away_is_recorded_too() {
    let house = House::new();
    let service = house.open_with(ServiceOptions { data_plane_audit: DataPlaneAudit::Writes, ..house.options() }).await.unwrap();
    let me = house.editor(&service).await;
    service.create_index(&me, spec("x")).await.unwrap();
    let host = service.find_index(&me, "x").await.unwrap();
    let before = events(&house, &service).await.len();
    {
        let ns = namespace("");
        let mut upsert = Box::pin(service.upsert(&me, &host, &ns, vec![record("r", [1.0, 0.0, 0.0])]));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(upsert.as_mut().poll(cx).is_pending())).await;
        assert!(polled, "the write takes longer than one poll");
    }
    service.create_project(&house.operator(), project("next")).await.unwrap();
    let now = events(&house, &service).await;
    let abandoned = now[before..].iter().find(|e| e.action == "upsert").unwrap();
    assert!(matches!(&abandoned.outcome, AuditOutcome::Failure { error_code, .. } if error_code == "Aborted"), "{abandoned:?}");
    // A change of the control plane goes on to its end.
    {
        let mut create = Box::pin(service.create_index(&me, spec("y")));
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(create.as_mut().poll(cx).is_pending())).await);
    }
    while service.find_index(&me, "y").await.is_err() {
        tokio::task::yield_now().await;
    }
    // The lock that changes take turns with: once another change is done, the first is closed.
    service.create_project(&house.operator(), project("after")).await.unwrap();
    assert!(events(&house, &service).await.iter().any(|e| short(e) == ("create/index".into(), "y".into(), true, 1)));
    close(service).await;
}

#[tokio::test]
async fn what_cannot_be_audited_is_not_done() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let viewer = house.caller(&service, None, &[Role::ProjectViewer]).await;
    service.create_index(&me, spec("x")).await.unwrap();
    let before = events(&house, &service).await.len();
    let host = service.find_index(&me, "x").await.unwrap();
    let failing = [Site::LogCreate, Site::LogWriteFirst, Site::LogWrite, Site::LogSync].map(|s| Rule::always(s, Fault::Eio));
    let installed = faults::install(&house.path().canonicalize().unwrap().join("audit"), failing.to_vec());
    // A refusal stays a refusal, and says that it could not be recorded.
    assert_eq!(code(service.create_index(&viewer, spec("y")).await), Some(ErrorCode::Unavailable));
    assert!(!service.is_ready());
    for _ in 0..3 {
        assert_eq!(code(service.create_index(&me, spec("y")).await), Some(ErrorCode::Unavailable));
        assert_eq!(code(service.delete_index(&me, "x").await), Some(ErrorCode::Unavailable));
    }
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 1, "nothing was made or deleted");
    service.query(&me, &host, &namespace(""), query([1.0, 0.0, 0.0])).await.unwrap();
    drop(installed);
    service.create_index(&me, spec("y")).await.unwrap();
    assert!(service.is_ready());
    let last = events(&house, &service).await;
    assert_eq!(short(last.last().unwrap()), ("create/index".into(), "y".into(), true, 1));
    assert!(last.len() > before);
    drop(host);
    close(service).await;
    assert_eq!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged, []);
}

#[tokio::test]
async fn a_change_whose_entry_failed_is_in_the_log_later() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    {
        let rules = [Site::LogCreate, Site::LogWriteFirst, Site::LogWrite, Site::LogSync].map(|s| Rule::always(s, Fault::Eio));
        let _installed = faults::install(&house.path().canonicalize().unwrap().join("audit"), rules.to_vec());
        // The log worked until now, so the change is made; its entry lies beside it, and the caller is told of the failure.
        assert_eq!(code(service.create_index(&me, spec("x")).await), Some(ErrorCode::Unavailable));
        close(service).await;
    }
    let service = house.open().await;
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 1);
    let made: Vec<_> = events(&house, &service).await.iter().filter(|e| e.resource_name == "x").map(short).collect();
    assert_eq!(made, [("create/index".into(), "x".into(), true, 1)], "once, and as what it was");
    close(service).await;
}

/// A directory with a log of some entries in two files, closed.
async fn a_log() -> House {
    let house = House::new();
    for n in 0..2 {
        let service = house.open().await;
        for i in 0..5 {
            service.create_project(&house.operator(), project(&format!("project {n} {i}"))).await.unwrap();
        }
        close(service).await;
    }
    house
}

/// Whether the check sees the damage; what only data needs goes on in any case.
async fn is_seen(house: &House) -> bool {
    let report = Service::check_offline(house.options(), house.clock()).await;
    let checked = match &report {
        Ok(report) => report.damaged.iter().any(|d| d.file.contains("audit")),
        Err(error) => panic!("{error}"),
    };
    let opened = match house.open_with(house.options()).await {
        Err(error) => panic!("{error}"),
        Ok(service) => {
            let refused = service.create_project(&house.operator(), project("one more")).await.is_err();
            // What needs no entry goes on.
            assert!(service.list_projects(&house.operator()).await.is_ok());
            close(service).await;
            refused
        }
    };
    // A start reads what came after the last close, the check reads all.
    assert!(checked || !opened, "what stops a start shows in the check");
    checked
}

#[tokio::test]
async fn every_flipped_bit_of_the_log_is_found() {
    let house = a_log().await;
    let whole = files(house.path());
    assert!(!is_seen(&house).await, "the whole log is no damage");
    let logs: Vec<_> = whole.keys().filter(|p| p.to_string_lossy().contains("/audit/log-")).cloned().collect();
    assert!(logs.len() >= 2, "{logs:?}");
    let mut numbers = Numbers::new(7);
    for _ in 0..rounds(60) {
        restore(house.path(), &whole);
        let path = &logs[numbers.below(logs.len())];
        let mut bytes = whole[path].clone();
        let bit = numbers.below(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(path, bytes).unwrap();
        let report = Service::check_offline(house.options(), house.clock()).await.unwrap();
        let named: Vec<_> = report.damaged.iter().map(|d| house.path().join(&d.file)).collect();
        assert_eq!(named, std::slice::from_ref(path), "bit {bit}");
    }
}

#[tokio::test]
async fn a_deleted_and_a_swapped_file_are_found() {
    let house = a_log().await;
    let whole = files(house.path());
    let logs: Vec<_> = whole.keys().filter(|p| p.to_string_lossy().contains("/audit/log-")).cloned().collect();
    for gone in &logs {
        restore(house.path(), &whole);
        std::fs::remove_file(gone).unwrap();
        assert!(is_seen(&house).await, "without {}", gone.display());
    }
    restore(house.path(), &whole);
    std::fs::write(&logs[0], &whole[&logs[1]]).unwrap();
    std::fs::write(&logs[1], &whole[&logs[0]]).unwrap();
    assert!(is_seen(&house).await, "swapped");
    restore(house.path(), &whole);
    let last = logs.last().unwrap();
    std::fs::write(last, &whole[last][..whole[last].len() - 20]).unwrap();
    assert!(is_seen(&house).await, "cut short");
    // The log of an earlier day in place of today's.
    let service = {
        restore(house.path(), &whole);
        house.open().await
    };
    // Of the last change alone the catalog still has the entry, and would put it back.
    service.create_project(&house.operator(), project("newer")).await.unwrap();
    service.create_project(&house.operator(), project("newest")).await.unwrap();
    close(service).await;
    for path in files(house.path()).into_keys().filter(|p| p.to_string_lossy().contains("/audit/")) {
        std::fs::remove_file(path).unwrap();
    }
    for (path, bytes) in whole.iter().filter(|(p, _)| p.to_string_lossy().contains("/audit/")) {
        std::fs::write(path, bytes).unwrap();
    }
    assert!(is_seen(&house).await, "an older log");

    // Of no log at all a new one is begun, and the catalog with its keys stays.
    std::fs::remove_dir_all(house.path().join("audit")).unwrap();
    assert!(is_seen(&house).await, "no log");
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert!(report.audit_set_aside.is_some() && report.keys.is_empty(), "{report:?}");
    assert!(!is_seen(&house).await);
    let service = house.open().await;
    assert_eq!(service.list_projects(&house.operator()).await.unwrap().len(), 14);
    close(service).await;
}

#[tokio::test]
async fn with_a_damaged_log_data_is_served_and_nothing_else_is_done() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("x")).await.unwrap();
    let host = service.find_index(&me, "x").await.unwrap();
    service.upsert(&me, &host, &namespace(""), vec![record("r", [1.0, 0.0, 0.0])]).await.unwrap();
    close(service).await;
    drop(host);
    for (path, mut bytes) in files(house.path()).into_iter().filter(|(p, _)| p.to_string_lossy().contains("/audit/")) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let service = house.open().await;
    assert!(!service.is_ready());
    let host = service.find_index(&me, "x").await.unwrap();
    assert_eq!(service.query(&me, &host, &namespace(""), query([1.0, 0.0, 0.0])).await.unwrap().matches.len(), 1);
    service.upsert(&me, &host, &namespace(""), vec![record("s", [1.0, 0.0, 0.0])]).await.unwrap();
    for refused in [service.create_index(&me, spec("y")).await.unwrap_err(), service.delete_index(&me, "x").await.unwrap_err()] {
        assert_eq!(refused.code, ErrorCode::DataLoss);
        assert!(refused.message.contains("audit"), "{refused}");
    }
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 1);
    close(service).await;
    drop(host);

    // The rebuild begins a new log, and keeps the catalog with its keys.
    let report = Service::rebuild_catalog(house.options(), house.clock()).await.unwrap();
    assert!(report.audit_set_aside.is_some() && report.lost.is_empty());
    let service = house.open().await;
    service.create_index(&me, spec("y")).await.unwrap();
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 2);
    close(service).await;
    assert!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged.is_empty());
}
