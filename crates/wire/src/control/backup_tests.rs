//! Backups, restores, schedules and collections as clients of every date send them, and as each date is answered.

use pinyon_model::{
    Backup, BackupCounts, BackupFrequency, BackupId, BackupKind, BackupSchedule, BackupScheduleChange, BackupScheduleId, BackupStatus,
    Collection, CollectionName, Deployment, Dimension, ErrorCode, IndexId, IndexName, IndexSchema, MetadataSchema, Metric, NewBackup, Page,
    PlannedRun, ProjectId, RestoreJob, RestoreJobId, RestoreStatus, Tags,
};

use super::*;

const NIGHTLY: &str = r#""name":"nightly","description":"all of it""#;

fn backup() -> Backup {
    let metadata = MetadataSchema::new(["genre".to_owned()].into()).unwrap();
    Backup {
        id: BackupId::from_bytes([1; 16]),
        project_id: ProjectId::from_bytes([2; 16]),
        source_index_id: IndexId::from_bytes([3; 16]),
        source_index_name: IndexName::new("docs").unwrap(),
        source_index_deleted_at_ms: None,
        kind: BackupKind::Backup { name: Some("nightly".into()), description: Some("all of it".into()) },
        status: BackupStatus::Ready(BackupCounts { namespaces: 2, records: 30, bytes: 400 }),
        schema: IndexSchema::dense_index(Dimension::new(3).unwrap(), Metric::Cosine, Some(&metadata)).unwrap(),
        deployment: Deployment::Managed { cloud: "aws".into(), region: "us-east-1".into() },
        tags: Tags::default(),
        cmek_id: None,
        created_at_ms: 0,
        schedule_id: None,
        expires_at_ms: None,
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn code<T>(result: Result<T>) -> Option<ErrorCode> {
    result.err().map(|e| e.code)
}

#[test]
fn a_backup_is_printed_as_each_date_knows_it() {
    let head = format!(
        r#"{{"backup_id":"01010101-0101-0101-0101-010101010101","source_index_name":"docs","source_index_id":"03030303-0303-0303-0303-030303030303",{NIGHTLY},"status":"Ready","cloud":"aws","region":"us-east-1","#
    );
    let counts = r#""record_count":30,"namespace_count":2,"size_bytes":400,"#;
    let created = r#""created_at":"1970-01-01T00:00:00.000Z"}"#;
    let old = format!(r#"{head}"dimension":3,"metric":"cosine",{counts}{created}"#);
    assert_eq!(text(backup_model(ApiVersion::V2025_04, &backup())), old);
    let schema = r#""schema":{"fields":{"genre":{"filterable":true}}},"#;
    for version in [ApiVersion::V2025_10, ApiVersion::V2026_04] {
        assert_eq!(text(backup_model(version, &backup())), format!(r#"{head}"dimension":3,"metric":"cosine",{schema}{counts}{created}"#));
    }
    let typed = r#""schema":{"fields":{"_values":{"type":"dense_vector","dimension":3,"metric":"cosine"},"genre":{"filterable":true}}},"#;
    assert_eq!(text(backup_model(ApiVersion::V2026_07, &backup())), format!(r#"{head}{typed}{counts}"tags":null,{created}"#));
}

#[test]
fn what_is_not_known_yet_is_left_out_and_a_failure_says_why() {
    let mut b = Backup { status: BackupStatus::Initializing, kind: BackupKind::Backup { name: None, description: None }, ..backup() };
    b.tags = Tags::new([("team".to_owned(), "red".to_owned())].into()).unwrap();
    let printed = text(backup_model(ApiVersion::V2025_10, &b));
    assert!(printed.contains(r#""status":"Initializing","#) && printed.contains(r#""tags":{"team":"red"}"#), "{printed}");
    assert!(!printed.contains("count") && !printed.contains("\"name\"") && !printed.contains("null"), "{printed}");
    b.status = BackupStatus::Failed("The disk is full".into());
    b.source_index_deleted_at_ms = Some(1);
    let printed = text(backup_model(ApiVersion::V2026_07, &b));
    assert!(printed.contains(r#""status":"Failed","error_message":"The disk is full","#), "{printed}");
    assert!(printed.contains(r#""source_index_deleted_at":"1970-01-01T00:00:00.001Z""#), "{printed}");
    assert!(!text(backup_model(ApiVersion::V2026_04, &b)).contains("source_index_deleted_at"));
    b.deployment = Deployment::Byoc { environment: "gcp-us-east4".into() };
    assert!(text(backup_model(ApiVersion::V2026_07, &b)).contains(r#""cloud":"gcp","region":"gcp-us-east4""#));
}

#[test]
fn a_name_has_a_rule_since_2026_07() {
    let read = |version, body: &str| create_backup(version, body.as_bytes());
    for version in [ApiVersion::V2025_04, ApiVersion::V2026_07] {
        assert_eq!(read(version, ""), Ok(NewBackup::default()));
        let new = read(version, r#"{"name":"nightly","description":""}"#).unwrap();
        assert_eq!((new.name.as_deref(), new.description), (Some("nightly"), None));
        assert_eq!(code(read(version, r#"{"name":1}"#)), Some(ErrorCode::UnprocessableEntity));
        assert_eq!(code(read(version, "{")), Some(ErrorCode::InvalidArgument));
    }
    let free = r#"{"name":"Nightly, all of it"}"#;
    assert_eq!(read(ApiVersion::V2026_04, free).unwrap().name.as_deref(), Some("Nightly, all of it"));
    assert_eq!(read(ApiVersion::V2026_04, r#"{"name":""}"#).unwrap().name, None);
    for bad in [free, r#"{"name":""}"#, r#"{"name":"-a"}"#] {
        assert_eq!(code(read(ApiVersion::V2026_07, bad)), Some(ErrorCode::InvalidArgument), "{bad}");
    }
}

#[test]
fn an_index_from_a_backup() {
    let new = create_index_from_backup(br#"{"name":"again"}"#).unwrap();
    assert_eq!((new.name.as_str(), new.tags, new.read_capacity), ("again", None, None));
    let all = r#"{"name":"again","tags":{"a":"b"},"deletion_protection":"enabled","read_capacity":{"mode":"Dedicated","dedicated":{"node_type":"t1","scaling":"Manual","manual":{"shards":1,"replicas":1}}},"cmek_id":"01010101-0101-0101-0101-010101010101"}"#;
    let new = create_index_from_backup(all.as_bytes()).unwrap();
    assert_eq!(new.deletion_protection, pinyon_model::DeletionProtection::Enabled);
    assert_eq!(new.cmek_id, Some(pinyon_model::CmekId::from_bytes([1; 16])));
    assert!(new.read_capacity.is_some() && new.tags.is_some_and(|t| t.pairs()["a"] == "b"));
    for (body, expected) in [
        ("{}", ErrorCode::UnprocessableEntity),
        (r#"{"name":"A"}"#, ErrorCode::InvalidArgument),
        (r#"{"name":"a","cmek_id":"k"}"#, ErrorCode::InvalidArgument),
        (r#"{"name":"a","deletion_protection":"maybe"}"#, ErrorCode::InvalidArgument),
        (r#"{"name":"a","read_capacity":{"mode":"Sometimes"}}"#, ErrorCode::InvalidArgument),
    ] {
        assert_eq!(code(create_index_from_backup(body.as_bytes())), Some(expected), "{body}");
    }
}

#[test]
fn restores() {
    let job = RestoreJob {
        id: RestoreJobId::from_bytes([4; 16]),
        project_id: ProjectId::from_bytes([2; 16]),
        backup_id: BackupId::from_bytes([1; 16]),
        target_index_id: IndexId::from_bytes([5; 16]),
        target_index_name: IndexName::new("again").unwrap(),
        status: RestoreStatus::Pending,
        created_at_ms: 0,
        completed_at_ms: None,
        percent_complete: Some(12.5),
    };
    let expected = r#"{"restore_job_id":"04040404-0404-0404-0404-040404040404","backup_id":"01010101-0101-0101-0101-010101010101","target_index_name":"again","target_index_id":"05050505-0505-0505-0505-050505050505","status":"Pending","created_at":"1970-01-01T00:00:00.000Z","percent_complete":12.5}"#;
    assert_eq!(text(restore_job_model(&job)), expected);
    let failed = RestoreJob {
        status: RestoreStatus::Failed("The disk is full".into()),
        completed_at_ms: Some(1),
        percent_complete: None,
        ..job.clone()
    };
    let printed = text(restore_job_model(&failed));
    assert!(printed.contains(r#""status":"Failed","error_message":"The disk is full","#) && !printed.contains("percent"), "{printed}");
    let created = r#"{"restore_job_id":"04040404-0404-0404-0404-040404040404","index_id":"05050505-0505-0505-0505-050505050505"}"#;
    assert_eq!(text(created_from_backup(&job)), created);
    let listing = list_restore_jobs("").unwrap();
    let page = Page { items: vec![job], next: None };
    assert_eq!(text(restore_job_page(&listing, &page)), format!(r#"{{"data":[{expected}],"pagination":null}}"#));
}

#[test]
fn schedules() {
    let good = r#"{"name":"Compliance","schedule":{"type":"time-based","frequency":"weekly"},"retention":{"expire_after_days":90}}"#;
    let new = create_backup_schedule(good.as_bytes()).unwrap();
    assert_eq!((new.name.as_str(), new.frequency, new.retention_days), ("Compliance", BackupFrequency::Weekly, 90));
    for (from, to, expected) in [
        ("time-based", "cron", ErrorCode::InvalidArgument),
        ("weekly", "hourly", ErrorCode::InvalidArgument),
        (":90", ":0", ErrorCode::InvalidArgument),
        (":90", ":-1", ErrorCode::UnprocessableEntity),
        ("\"retention\"", "\"retain\"", ErrorCode::UnprocessableEntity),
        ("Compliance", "", ErrorCode::InvalidArgument),
    ] {
        assert_eq!(code(create_backup_schedule(good.replace(from, to).as_bytes())), Some(expected), "{to}");
    }
    assert_eq!(update_backup_schedule(b"{}"), Ok(BackupScheduleChange::default()));
    let change = update_backup_schedule(br#"{"frequency":"daily","retention":{"expire_after_days":7},"enabled":false}"#).unwrap();
    assert_eq!((change.frequency, change.retention_days, change.enabled), (Some(BackupFrequency::Daily), Some(7), Some(false)));
    let mut schedule = BackupSchedule {
        id: BackupScheduleId::from_bytes([6; 16]),
        project_id: ProjectId::from_bytes([2; 16]),
        index_id: IndexId::from_bytes([3; 16]),
        name: "Compliance".into(),
        frequency: BackupFrequency::Monthly,
        retention_days: 90,
        next_run: Some(PlannedRun { at_ms: 1, backup_id: BackupId::from_bytes([7; 16]) }),
        created_at_ms: 0,
    };
    let expected = r#"{"schedule_id":"06060606-0606-0606-0606-060606060606","name":"Compliance","index_id":"03030303-0303-0303-0303-030303030303","project_id":"02020202-0202-0202-0202-020202020202","schedule_type":"time-based","frequency":"monthly","retention_expire_after_days":90,"enabled":true,"next_scheduled_run":"1970-01-01T00:00:00.001Z","created_at":"1970-01-01T00:00:00.000Z"}"#;
    assert_eq!(text(backup_schedule_model(&schedule)), expected);
    schedule.next_run = None;
    assert!(text(backup_schedule_model(&schedule)).contains(r#""enabled":false,"next_scheduled_run":null"#));

    let listing = list_backup_schedule_history("06", "limit=1").unwrap();
    let planned = Page { items: vec![(backup(), Some(1))], next: Some((1, [1; 16])) };
    let printed = text(backup_schedule_history(ApiVersion::V2026_07, &listing, &planned));
    assert!(printed.contains(r#""status":"Scheduled""#), "{printed}");
    assert!(printed.contains(r#""scheduled_execution_at":"1970-01-01T00:00:00.001Z""#), "{printed}");
    assert!(list_backup_schedule_history("07", &format!("paginationToken={}", "00")).is_err());
}

#[test]
fn collections() {
    let name = CollectionName::new("snapshot").unwrap();
    let deployment =
        Deployment::Pod { environment: "us-east1-gcp".into(), pod_type: "p1.x1".into(), replicas: 1, shards: 1, indexed: None };
    let mut b = Backup { kind: BackupKind::Collection(name), deployment, ..backup() };
    let print = |b: &Backup, version| text(collection_model(version, &Collection::of(b).unwrap()));
    let ready = r#"{"name":"snapshot","status":"Ready","environment":"us-east1-gcp","size":400,"dimension":3,"vector_count":30}"#;
    for version in ApiVersion::ALL {
        assert_eq!(print(&b, version), ready);
    }
    assert_eq!(text(collection_list(ApiVersion::V2024_04, &[Collection::of(&b).unwrap()])), format!(r#"{{"collections":[{ready}]}}"#));
    b.status = BackupStatus::Initializing;
    assert!(!print(&b, ApiVersion::V2026_07).contains("vector_count"));
    b.status = BackupStatus::Failed("no room".into());
    assert!(print(&b, ApiVersion::V2026_07).contains("Terminated") && print(&b, ApiVersion::V2026_04).contains("Terminating"));
    assert_eq!(create_collection(br#"{"name":"c","source":"i"}"#).unwrap().source, "i");
    assert_eq!(code(create_collection(br#"{"name":"C","source":"i"}"#)), Some(ErrorCode::InvalidArgument));
    assert_eq!(code(create_collection(br#"{"name":"c"}"#)), Some(ErrorCode::UnprocessableEntity));
}

#[test]
fn pages_of_backups() {
    let (deleted, listing) = list_index_backups("docs", "limit=2&include_deleted=true").unwrap();
    assert!(deleted && listing.request().limit == 2);
    let page = Page { items: vec![backup()], next: Some((0, [1; 16])) };
    let printed: serde_json::Value = serde_json::from_slice(&backup_page(ApiVersion::V2026_07, &listing, &page)).unwrap();
    let token = printed["pagination"]["next"].as_str().unwrap();
    let (_, next) = list_index_backups("docs", &format!("include_deleted=true&paginationToken={token}")).unwrap();
    assert_eq!((next.request().after, next.request().limit), (Some((0, [1; 16])), 2), "the token carries the size of the page");
    assert!(list_index_backups("docs", &format!("paginationToken={token}")).is_err(), "another listing");
    assert!(list_index_backups("other", &format!("include_deleted=true&paginationToken={token}")).is_err());
    assert_eq!(list_backups("").unwrap().request().limit, 10);
    for bad in ["limit=0", "limit=101", "limit=x"] {
        assert!(list_backups(bad).is_err(), "{bad}");
    }
    assert!(list_index_backups("docs", "include_deleted=maybe").is_err());
}
