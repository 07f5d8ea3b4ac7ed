//! Delivery to buckets: only an organization's own, in order, at least once, whatever the bucket does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use pinyon_model::{
    AuditEvent, AuditSinkSettings, AwsRegion, BucketPath, DeliveryInterval, Error, ErrorCode, OrganizationId, Principal, Result, RoleArn,
};
use pinyon_service::{AUDIT_ACCESS_TEST, AuditBucket, AuditDelivery, Service, ServiceOptions};

use crate::common::{House, audit_events, close, code, project};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How the bucket behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Up,
    Down,
    Refusing,
    /// It stores, and the answer is lost.
    LosesAnswers,
    /// It never answers.
    Silent,
}

pub(crate) struct Bucket {
    mood: Mutex<Mood>,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    puts: Mutex<u32>,
}

impl Bucket {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { mood: Mutex::new(Mood::Up), objects: Mutex::default(), puts: Mutex::new(0) })
    }
    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
    fn objects(&self) -> Vec<(String, String)> {
        let objects = self.objects.lock().unwrap();
        let read = |(name, body): (&String, &Vec<u8>)| (name.clone(), String::from_utf8(body.clone()).unwrap());
        objects.iter().filter(|(name, _)| !name.ends_with(AUDIT_ACCESS_TEST)).map(read).collect()
    }
    /// The lines of all objects, in the order of their names.
    fn lines(&self) -> Vec<String> {
        self.objects().iter().flat_map(|(_, body)| body.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

#[async_trait::async_trait]
impl AuditBucket for Bucket {
    async fn put(&self, sink: &AuditSinkSettings, name: &str, body: Bytes) -> Result<()> {
        *self.puts.lock().unwrap() += 1;
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Down => return Err(Error::unavailable("PutObject: 503 SlowDown")),
            Mood::Refusing => return Err(Error::new(ErrorCode::FailedPrecondition, "AssumeRole was refused: AccessDenied")),
            Mood::Silent => std::future::pending::<()>().await,
            Mood::Up | Mood::LosesAnswers => {}
        }
        self.objects.lock().unwrap().insert(sink.bucket.key(name), body.to_vec());
        if mood == Mood::Up { Ok(()) } else { Err(Error::unavailable("PutObject: the connection was closed")) }
    }
}

fn print(event: &AuditEvent) -> Vec<u8> {
    line(event).into_bytes()
}

fn line(event: &AuditEvent) -> String {
    let id: String = event.id.iter().map(|b| format!("{b:02x}")).collect();
    format!("{id} {} {} {}", event.action, event.resource_type, event.resource_name)
}

/// As long as a batch may be, in a few events.
fn print_long(event: &AuditEvent) -> Vec<u8> {
    format!("{} {}", line(event), "x".repeat(3 << 20)).into_bytes()
}

pub(crate) fn options(house: &House, bucket: &Arc<Bucket>) -> ServiceOptions {
    let delivery = AuditDelivery { bucket: bucket.clone(), print, endpoints: "a test".to_owned() };
    ServiceOptions { audit_delivery: Some(delivery), ..house.options() }
}

pub(crate) fn settings(bucket: &str) -> AuditSinkSettings {
    AuditSinkSettings {
        role_arn: RoleArn::new("arn:aws:iam::123456789012:role/audit").unwrap(),
        external_id: None,
        bucket: BucketPath::new(bucket).unwrap(),
        region: AwsRegion::default_region(),
        interval: DeliveryInterval::new(10).unwrap(),
        enabled: true,
    }
}

async fn organization(house: &House, service: &Service) -> OrganizationId {
    service.list_organizations(&house.operator()).await.unwrap()[0].id
}

/// The lines of the organization's own entries, from its sink's set-up on.
async fn expected(house: &House, service: &Service, id: OrganizationId) -> Vec<String> {
    let events = audit_events(service, &house.operator()).await;
    let own: Vec<_> = events.iter().filter(|e| e.organization_id == id.to_string()).collect();
    let begin = own.iter().position(|e| (e.action.as_str(), e.resource_type.as_str()) == ("update", "audit-log")).unwrap();
    own[begin..].iter().map(|e| line(e)).collect()
}

#[tokio::test]
async fn an_organizations_events_are_delivered_from_the_enabling_on() {
    let (house, bucket) = (House::new(), Bucket::new());
    let service = house.open_with(options(&house, &bucket)).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    assert_eq!(code(service.describe_audit_sink(&me, id).await), Some(ErrorCode::NotFound));
    assert_eq!(code(service.delete_audit_sink(&me, id).await), Some(ErrorCode::NotFound));
    service.create_project(&me, project("before")).await.unwrap();
    let (sink, _) = service.put_audit_sink(&me, id, settings("logs/sub/directory")).await.unwrap();
    assert_eq!((sink.created_at_ms, sink.settings.interval.seconds()), (house.clock().now_ms(), 10));
    assert!(bucket.objects.lock().unwrap().contains_key("sub/directory/audit-log-access-test"));
    for n in 0..5 {
        service.create_project(&me, project(&format!("p{n}"))).await.unwrap();
    }
    let state = service.describe_audit_sink(&me, id).await.unwrap().1;
    assert_eq!((state.entries_pending, state.delivered_at_ms), (6, None));
    service.deliver_audit(id).await.unwrap();
    let wanted = expected(&house, &service, id).await;
    assert_eq!((bucket.lines(), wanted.len()), (wanted.clone(), 6), "nothing of before");
    let (name, _) = &bucket.objects()[0];
    assert!(name.starts_with("sub/directory/2023-11-14T22-13-20.") && name.ends_with(".jsonl"), "{name}");
    let state = service.describe_audit_sink(&me, id).await.unwrap().1;
    assert_eq!((state.entries_pending, state.delivered_at_ms, state.last_error), (0, Some(house.clock().now_ms()), None));
    let puts = *bucket.puts.lock().unwrap();
    service.deliver_audit(id).await.unwrap();
    assert_eq!(*bucket.puts.lock().unwrap(), puts, "nothing new is no object");

    // After a restart it goes on where it was.
    close(service).await;
    let service = house.open_with(options(&house, &bucket)).await.unwrap();
    service.create_project(&me, project("after")).await.unwrap();
    service.deliver_audit(id).await.unwrap();
    assert_eq!(bucket.lines(), expected(&house, &service, id).await);
    assert!(bucket.objects().len() >= 2);

    // Removed and set up anew it begins anew.
    let state = service.delete_audit_sink(&me, id).await.unwrap();
    assert_eq!(state.entries_pending, 0);
    service.create_project(&me, project("unseen")).await.unwrap();
    service.deliver_audit(id).await.unwrap();
    assert!(!bucket.lines().iter().any(|l| l.contains("unseen")));
    house.clock.advance_ms(1);
    service.put_audit_sink(&me, id, settings("logs/other")).await.unwrap();
    service.deliver_audit(id).await.unwrap();
    assert!(!bucket.lines().iter().any(|l| l.contains("unseen")), "from the enabling on");
    close(service).await;
}

#[tokio::test]
async fn what_is_refused_at_set_up_is_not_stored() {
    let (house, bucket) = (House::new(), Bucket::new());
    let service = house.open_with(options(&house, &bucket)).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    for mood in [Mood::Refusing, Mood::Down] {
        bucket.becomes(mood);
        let refused = service.put_audit_sink(&me, id, settings("logs")).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::FailedPrecondition, "{refused}");
        assert!(refused.message.contains("AccessDenied") || refused.message.contains("SlowDown"), "{refused}");
        assert_eq!(code(service.describe_audit_sink(&me, id).await), Some(ErrorCode::NotFound));
    }
    bucket.becomes(Mood::Up);
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    bucket.becomes(Mood::Refusing);
    assert!(service.put_audit_sink(&me, id, settings("others")).await.is_err());
    assert_eq!(service.describe_audit_sink(&me, id).await.unwrap().0.settings, settings("logs"), "an edit that is refused changes nothing");
    let events = audit_events(&service, &me).await;
    let tries: Vec<_> = events.iter().filter(|e| e.resource_type == "audit-log").map(|e| e.outcome.clone()).collect();
    assert!(tries.len() >= 2, "refusals are in the log too: {tries:?}");
    close(service).await;

    // A process that delivers nothing sets nothing up.
    let service = house.open().await;
    assert_eq!(code(service.put_audit_sink(&me, id, settings("logs")).await), Some(ErrorCode::FailedPrecondition));
    close(service).await;
}

#[tokio::test]
async fn a_sink_that_was_down_for_a_long_run_gets_everything_in_order() {
    let (house, bucket) = (House::new(), Bucket::new());
    let mut service = house.open_with(options(&house, &bucket)).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    let moods = [Mood::Down, Mood::LosesAnswers, Mood::Refusing, Mood::Down];
    for n in 0..400 {
        if n % 20 == 0 {
            bucket.becomes(moods[n / 20 % moods.len()]);
            house.clock.advance_ms(DAY_MS / 7);
            assert!(service.deliver_audit(id).await.is_err());
            let state = service.describe_audit_sink(&me, id).await.unwrap().1;
            assert!(state.last_error.is_some() && state.entries_pending > n as u64, "{state:?}");
        }
        if n % 150 == 149 {
            close(service).await;
            service = house.open_with(options(&house, &bucket)).await.unwrap();
        }
        service.rename_organization(&me, id, format!("name {n}")).await.unwrap();
    }
    bucket.becomes(Mood::Up);
    service.deliver_audit(id).await.unwrap();
    let wanted = expected(&house, &service, id).await;
    let mut seen = std::collections::BTreeSet::new();
    let delivered: Vec<String> = bucket.lines().into_iter().filter(|l| seen.insert(l.clone())).collect();
    assert!(wanted.len() > 400);
    assert_eq!(delivered, wanted, "0 lost, and in order, once repeats are left out by their ids");
    let state = service.describe_audit_sink(&me, id).await.unwrap().1;
    assert_eq!((state.entries_pending, state.last_error), (0, None));
    close(service).await;
}

#[tokio::test]
async fn disabling_and_removing_deliver_what_they_can_and_say_what_remains() {
    let (house, bucket) = (House::new(), Bucket::new());
    let service = house.open_with(options(&house, &bucket)).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    service.create_project(&me, project("p")).await.unwrap();
    let off = || AuditSinkSettings { enabled: false, ..settings("logs") };
    service.put_audit_sink(&me, id, off()).await.unwrap();
    assert!(bucket.lines().iter().any(|l| l.ends_with("create project p")), "drained: {:?}", bucket.lines());
    service.create_project(&me, project("while off")).await.unwrap();
    service.deliver_audit(id).await.unwrap();
    assert!(!bucket.lines().iter().any(|l| l.contains("while off")));
    // Enabled again it goes on where it stopped.
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    service.deliver_audit(id).await.unwrap();
    assert_eq!(bucket.lines(), expected(&house, &service, id).await);
    // With the bucket down, what remains is told, and stays in the log.
    bucket.becomes(Mood::Down);
    service.create_project(&me, project("q")).await.unwrap();
    let state = service.delete_audit_sink(&me, id).await.unwrap();
    assert_eq!(state.entries_pending, 1, "{state:?}");
    assert!(state.last_error.unwrap().contains("SlowDown"));
    assert!(audit_events(&service, &me).await.iter().any(|e| e.resource_name == "q"));
    close(service).await;
}

#[tokio::test]
async fn objects_are_cut_and_their_names_sort() {
    let (house, bucket) = (House::new(), Bucket::new());
    let delivery = AuditDelivery { bucket: bucket.clone(), print: print_long, endpoints: String::new() };
    let service = house.open_with(ServiceOptions { audit_delivery: Some(delivery), ..house.options() }).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    for n in 0..7 {
        service.create_project(&me, project(&format!("p{n}"))).await.unwrap();
    }
    service.deliver_audit(id).await.unwrap();
    let objects = bucket.objects();
    assert_eq!(objects.iter().map(|(_, body)| body.lines().count()).collect::<Vec<_>>(), [3, 3, 2]);
    let lines: Vec<String> = bucket.lines().iter().map(|l| l.trim_end_matches('x').trim_end().to_owned()).collect();
    assert_eq!(lines, expected(&house, &service, id).await);
    close(service).await;
}

#[tokio::test]
async fn what_a_sink_has_not_got_is_kept_however_old_it_is() {
    let (house, bucket) = (House::new(), Bucket::new());
    let open = || ServiceOptions { audit_retention_days: Some(1), ..options(&house, &bucket) };
    let service = house.open_with(open()).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    bucket.becomes(Mood::Down);
    for n in 0..3 {
        service.create_project(&me, project(&format!("p{n}"))).await.unwrap();
        house.clock.advance_ms(DAY_MS);
    }
    service.create_project(&me, project("now")).await.unwrap();
    service.retain_audit().await.unwrap();
    assert_eq!(service.verify_audit(&me).await.unwrap().dropped, 0, "nothing was delivered");
    bucket.becomes(Mood::Up);
    service.deliver_audit(id).await.unwrap();
    let wanted = expected(&house, &service, id).await;
    service.retain_audit().await.unwrap();
    let report = service.verify_audit(&me).await.unwrap();
    assert!(report.dropped > 0 && report.damaged.is_empty(), "{report:?}");
    assert_eq!(bucket.lines(), wanted);
    // What was dropped is no hole for the sink.
    service.create_project(&me, project("later")).await.unwrap();
    service.deliver_audit(id).await.unwrap();
    assert!(bucket.lines().last().unwrap().contains("later"));
    close(service).await;
}

#[tokio::test]
async fn other_organizations_events_stay_at_home() {
    let (house, bucket) = (House::new(), Bucket::new());
    let service = house.open_with(options(&house, &bucket)).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    // A caller of nowhere, refused here: it is an entry of its own organization or none, as the place says.
    let stranger = OrganizationId::from_bytes([9; 16]);
    assert_eq!(code(service.put_audit_sink(&me, stranger, settings("logs")).await), Some(ErrorCode::NotFound));
    assert!(service.authenticate(pinyon_model::Plane::Data, Some("pcsk_nobody"), "192.0.2.9").await.is_err());
    let system = house.context(Principal::System);
    assert!(service.rename_organization(&system, id, "renamed".to_owned()).await.is_ok());
    house.clock.advance_ms(120_000);
    service.deliver_audit(id).await.unwrap();
    assert_eq!(bucket.lines(), expected(&house, &service, id).await);
    assert!(bucket.lines().iter().all(|l| !l.contains("login")));
    close(service).await;
}

#[tokio::test]
async fn a_damaged_cursor_is_found_and_delivers_nothing_twice_or_never() {
    let (house, bucket) = (House::new(), Bucket::new());
    let service = house.open_with(options(&house, &bucket)).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    service.deliver_audit(id).await.unwrap();
    close(service).await;
    let path = house.path().join(format!("audit/sinks/{id}"));
    let whole = std::fs::read(&path).unwrap();
    for byte in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[byte] ^= 2;
        std::fs::write(&path, bytes).unwrap();
        let found = Service::check_offline(house.options(), house.clock()).await.unwrap().damaged;
        assert!(found.iter().any(|d| d.file.ends_with(&id.to_string())), "byte {byte}: {found:?}");
        if byte % 40 != 0 {
            continue;
        }
        let service = house.open_with(options(&house, &bucket)).await.unwrap();
        assert_eq!(code(service.deliver_audit(id).await), Some(ErrorCode::DataLoss), "byte {byte}");
        close(service).await;
    }
    // Set up anew, it begins anew.
    let service = house.open_with(options(&house, &bucket)).await.unwrap();
    service.retain_audit().await.unwrap_err();
    let state = service.delete_audit_sink(&me, id).await.unwrap();
    assert!(state.entries_pending > 0 && state.last_error.is_some(), "{state:?}");
    house.clock.advance_ms(1);
    service.put_audit_sink(&me, id, settings("logs/anew")).await.unwrap();
    service.deliver_audit(id).await.unwrap();
    assert_eq!(service.describe_audit_sink(&me, id).await.unwrap().1.entries_pending, 0);
    close(service).await;
}

#[tokio::test]
async fn a_silent_bucket_holds_up_nothing_else() {
    let (house, bucket) = (House::new(), Bucket::new());
    let service = house.open_with(options(&house, &bucket)).await.unwrap();
    let (me, id) = (house.operator(), organization(&house, &service).await);
    service.put_audit_sink(&me, id, settings("logs")).await.unwrap();
    bucket.becomes(Mood::Silent);
    let waiting = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.deliver_audit(id).await }
    });
    tokio::task::yield_now().await;
    service.create_project(&me, project("p")).await.unwrap();
    assert!(service.describe_audit_sink(&me, id).await.unwrap().1.entries_pending >= 1);
    service.retain_audit().await.unwrap();
    waiting.abort();
    close(service).await;
}
