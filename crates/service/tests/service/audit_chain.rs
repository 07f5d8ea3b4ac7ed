//! The log against whoever changes it: by bytes, and as somebody who has the keys; and what is left of it once old files went.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use pinyon_model::{AuditOutcome, ErrorCode, Lsn};
use pinyon_service::{AuditFrom, Service, ServiceOptions};
use pinyon_storage::{
    DataKey, KeyStore, Log, LogKind, LogOptions, Purpose, Space,
    faults::{self, Fault, Rule},
    fs::Site,
};
use tempfile::TempDir;

use crate::common::{House, Numbers, audit_events, close, code, files, project, restore, rounds};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The key that the log is sealed under, taken while nobody has the directory open.
async fn log_key(house: &House) -> Arc<DataKey> {
    let keys = KeyStore::open_in(&house.path().join("keys"), house.root.clone(), Space::unlimited()).unwrap();
    keys.system_key("audit").await.unwrap()
}

fn log_options(key: &Arc<DataKey>) -> LogOptions {
    LogOptions { kind: LogKind::AUDIT, owner: *b"pinyon audit log", keys: Arc::clone(key).into(), after: Lsn(0), space: Space::unlimited() }
}

/// A log of these frames, written by somebody who has the key: its files by their names.
async fn sealed_anew(frames: &[Vec<u8>], key: &Arc<DataKey>) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (mut log, _) = Log::open(folder.path().join("l"), log_options(key)).unwrap();
    log.append(frames.iter().map(|f| Bytes::copy_from_slice(f)).collect(), Purpose::Essential).await.unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files(folder.path()).into_iter().map(|(path, bytes)| (name(&path), bytes)).collect()
}

/// The chain of these entries, each naming the hash of the one before it.
fn rechained(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut before = [0; 32];
    let link = |(n, frame): (usize, &Vec<u8>)| {
        let mut frame = frame.clone();
        frame[1..9].copy_from_slice(&(n as u64 + 1).to_le_bytes());
        frame[9..41].copy_from_slice(&before);
        before.copy_from_slice(digest(&SHA256, &frame).as_ref());
        frame
    };
    frames.iter().enumerate().map(link).collect()
}

/// One thing done to the log's files.
fn change_bytes(numbers: &mut Numbers, logs: &mut BTreeMap<PathBuf, Vec<u8>>) -> &'static str {
    let paths: Vec<PathBuf> = logs.keys().cloned().collect();
    let path = paths[numbers.below(paths.len())].clone();
    let bytes = logs.get_mut(&path).unwrap();
    let at = numbers.below(bytes.len());
    match numbers.below(5) {
        0 => {
            bytes[at] ^= 1 << numbers.below(8);
            "a bit"
        }
        1 => {
            bytes.truncate(at);
            "the end of a file"
        }
        2 => {
            let end = (at + 16 * (1 + numbers.below(40))).min(bytes.len());
            bytes.drain(at..end);
            "a piece of a file"
        }
        3 if paths.len() > 1 => {
            let other = paths.iter().find(|p| **p != path).unwrap().clone();
            let (a, b) = (logs[&path].clone(), logs[&other].clone());
            logs.extend([(path, b), (other, a)]);
            "two files"
        }
        _ => {
            logs.remove(&path);
            "a whole file"
        }
    }
}

/// One thing done to the entries.
fn change_entries(numbers: &mut Numbers, frames: &mut Vec<Vec<u8>>) -> &'static str {
    let at = numbers.below(frames.len());
    match numbers.below(6) {
        0 => {
            let byte = numbers.below(frames[at].len());
            frames[at][byte] ^= 1 << numbers.below(8);
            "an entry, edited"
        }
        1 => {
            // An edit of the text alone, with every hash after it made to fit.
            let byte = 41 + numbers.below(frames[at].len() - 41);
            frames[at][byte] ^= 1;
            *frames = rechained(frames);
            "an entry, edited, and the chain after it"
        }
        2 => {
            frames.remove(at);
            "an entry, left out"
        }
        3 => {
            frames.remove(at);
            *frames = rechained(frames);
            "an entry, left out, and the chain after it"
        }
        4 => {
            let other = (at + 1 + numbers.below(frames.len() - 1)) % frames.len();
            frames.swap(at, other);
            if numbers.below(2) == 0 {
                *frames = rechained(frames);
            }
            "two entries, swapped"
        }
        _ => {
            frames.truncate(at.max(1));
            "the last entries"
        }
    }
}

#[tokio::test]
async fn a_thousand_changes_of_the_log_are_all_found() {
    let house = House::new();
    for life in 0..3 {
        let service = house.open().await;
        for n in 0..12 {
            service.create_project(&house.operator(), project(&format!("p{life} {n}"))).await.unwrap();
        }
        close(service).await;
    }
    let key = log_key(&house).await;
    let folder = house.path().canonicalize().unwrap().join("audit");
    let frames: Vec<Vec<u8>> = Log::open(folder.clone(), log_options(&key)).unwrap().1.into_iter().map(|(_, f)| f.to_vec()).collect();
    assert!(frames.len() > 36);
    let service = house.open().await;
    let whole: BTreeMap<PathBuf, Vec<u8>> =
        files(&folder).into_iter().filter(|(p, _)| p.file_name().unwrap().to_string_lossy().starts_with("log-")).collect();
    assert!(whole.len() >= 3, "{whole:?}");
    let all = files(&folder);
    let report = service.verify_audit(&house.operator()).await.unwrap();
    assert_eq!((report.entries, report.damaged.len()), (frames.len() as u64, 0), "{report:?}");
    let (mut numbers, mut missed) = (Numbers::new(11), Vec::new());
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    for round in 0..rounds(1_000) {
        let (mut logs, mut changed) = (whole.clone(), frames.clone());
        let what = if round % 2 == 0 {
            change_bytes(&mut numbers, &mut logs)
        } else {
            let what = change_entries(&mut numbers, &mut changed);
            logs = sealed_anew(&changed, &key).await.into_iter().map(|(name, bytes)| (folder.join(name), bytes)).collect();
            what
        };
        *done.entry(what).or_default() += 1;
        whole.keys().filter(|p| !logs.contains_key(*p)).for_each(|p| std::fs::remove_file(p).unwrap());
        logs.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        if service.verify_audit(&house.operator()).await.unwrap().damaged.is_empty() && (logs != whole || changed != frames) {
            missed.push((round, what));
        }
        restore(&folder, &all);
    }
    println!("{done:?}: missed {}", missed.len());
    assert_eq!(missed, []);
    assert!(service.verify_audit(&house.operator()).await.unwrap().damaged.is_empty(), "and the whole log is no damage");
    close(service).await;
}

/// Three days of entries, a file or more each, and the clock on the fourth.
async fn four_days(house: &House, options: impl Fn() -> ServiceOptions) {
    for day in 0..3 {
        let service = house.open_with(options()).await.unwrap();
        for n in 0..4 {
            service.create_project(&house.operator(), project(&format!("day {day} {n}"))).await.unwrap();
        }
        close(service).await;
        house.clock.advance_ms(DAY_MS);
    }
}

fn logs(house: &House) -> Vec<PathBuf> {
    files(house.path()).into_keys().filter(|p| p.to_string_lossy().contains("/audit/log-")).collect()
}

fn keeps(house: &House, days: Option<u32>) -> ServiceOptions {
    ServiceOptions { audit_retention_days: days, ..house.options() }
}

#[tokio::test]
async fn old_files_go_and_what_is_left_is_proved() {
    let house = House::new();
    four_days(&house, || keeps(&house, None)).await;
    let before = logs(&house);
    let service = house.open_with(keeps(&house, None)).await.unwrap();
    service.retain_audit().await.unwrap();
    assert_eq!(logs(&house).len(), before.len(), "for ever");
    close(service).await;

    let service = house.open_with(keeps(&house, Some(2))).await.unwrap();
    service.retain_audit().await.unwrap();
    let events = audit_events(&service, &house.operator()).await;
    let day = |n: u32| events.iter().filter(|e| e.resource_name.starts_with(&format!("day {n} "))).count();
    assert_eq!((day(0), day(1), day(2)), (0, 4, 4), "the first day is more than two days ago");
    let told = events.iter().find(|e| (e.action.as_str(), e.resource_type.as_str()) == ("delete", "audit-log")).unwrap();
    let note = |name: &str| told.parameters.iter().find(|(n, _)| n == name).unwrap().1.parse::<u64>().unwrap();
    let report = service.verify_audit(&house.operator()).await.unwrap();
    assert_eq!((note("first_entry"), note("last_entry")), (1, report.dropped));
    assert_eq!((report.damaged.len(), report.entries), (0, events.len() as u64));
    assert!(!logs(&house).contains(&before[0]));
    // Another day, and after a restart too.
    house.clock.advance_ms(DAY_MS);
    close(service).await;
    let service = house.open_with(keeps(&house, Some(2))).await.unwrap();
    service.retain_audit().await.unwrap();
    let later = service.verify_audit(&house.operator()).await.unwrap();
    assert!(later.dropped > report.dropped && later.damaged.is_empty(), "{later:?}");
    let last = service.audit_page(&house.operator(), AuditFrom::Last(2), 10).await.unwrap();
    assert_eq!((last.events.len(), last.more), (2, false));
    close(service).await;

    // What a page names may be gone by the time the next is asked for: it goes on with what is there.
    let whole = files(house.path());
    let remaining = logs(&house);
    for gone in &remaining {
        std::fs::remove_file(gone).unwrap();
        let report = Service::check_offline(house.options(), house.clock()).await.unwrap();
        assert!(report.damaged.iter().any(|d| d.file.starts_with("audit")), "without {}", gone.display());
        restore(house.path(), &whole);
    }
    let anchor = house.path().join("audit/anchor");
    std::fs::remove_file(&anchor).unwrap();
    let report = Service::check_offline(house.options(), house.clock()).await.unwrap();
    assert!(!report.damaged.is_empty(), "without the anchor the chain has no beginning");
    restore(house.path(), &whole);
    for byte in 0..whole[&anchor.canonicalize().unwrap_or(anchor.clone())].len() {
        let mut bytes = whole[&anchor].clone();
        bytes[byte] ^= 4;
        std::fs::write(&anchor, bytes).unwrap();
        let found = Service::check_offline(house.options(), house.clock()).await.unwrap();
        assert!(!found.damaged.is_empty(), "byte {byte} of the anchor");
        if byte > 40 {
            break;
        }
    }
    restore(house.path(), &whole);
    assert_eq!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged, []);
}

#[tokio::test]
async fn an_older_anchor_does_not_fit() {
    let house = House::new();
    four_days(&house, || keeps(&house, None)).await;
    let service = house.open_with(keeps(&house, Some(2))).await.unwrap();
    service.retain_audit().await.unwrap();
    let old = std::fs::read(house.path().join("audit/anchor")).unwrap();
    house.clock.advance_ms(DAY_MS);
    service.retain_audit().await.unwrap();
    close(service).await;
    assert_eq!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged, []);
    assert_ne!(std::fs::read(house.path().join("audit/anchor")).unwrap(), old);
    std::fs::write(house.path().join("audit/anchor"), old).unwrap();
    assert_ne!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged, []);
}

#[tokio::test]
async fn whatever_fails_while_files_go_the_chain_holds() {
    let sites = [
        Site::LogWriteFirst,
        Site::LogSync,
        Site::BlobWrite,
        Site::BlobSync,
        Site::BlobRename,
        Site::BlobDirSync,
        Site::LogUnlink,
        Site::LogTrimSync,
    ];
    for site in sites {
        let house = House::new();
        four_days(&house, || keeps(&house, None)).await;
        let service = house.open_with(keeps(&house, Some(1_000))).await.unwrap();
        close(service).await;
        let service = house.open_with(keeps(&house, Some(2))).await.unwrap();
        let failed = {
            let _installed = faults::install(&house.path().canonicalize().unwrap(), vec![Rule::always(site, Fault::Eio)]);
            service.retain_audit().await
        };
        close(service).await;
        assert_eq!(Service::check_offline(house.options(), house.clock()).await.unwrap().damaged, [], "{site:?}: {failed:?}");
        let service = house.open_with(keeps(&house, Some(2))).await.unwrap();
        service.retain_audit().await.unwrap();
        let report = service.verify_audit(&house.operator()).await.unwrap();
        assert!(report.damaged.is_empty() && report.dropped > 0, "{site:?}: {report:?}");
        let events = audit_events(&service, &house.operator()).await;
        assert!(events.iter().any(|e| e.resource_type == "audit-log" && e.outcome == AuditOutcome::Success), "{site:?}");
        assert_eq!(events.iter().filter(|e| e.resource_name.starts_with("day 2 ")).count(), 4);
        close(service).await;
    }
}

#[tokio::test]
async fn a_damaged_file_is_not_dropped() {
    let house = House::new();
    four_days(&house, || keeps(&house, None)).await;
    let first = logs(&house)[0].clone();
    let mut bytes = std::fs::read(&first).unwrap();
    let at = bytes.len() - 30;
    bytes[at] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let service = house.open_with(keeps(&house, Some(1))).await.unwrap();
    assert_eq!(code(service.retain_audit().await), Some(ErrorCode::DataLoss));
    assert!(first.exists() && logs(&house).len() >= 3);
    close(service).await;
}

/// A copy of a directory, to be opened with the same root key.
fn copy(house: &House) -> House {
    let dir = TempDir::new().unwrap();
    for (path, bytes) in files(house.path()) {
        let to = dir.path().join(path.strip_prefix(house.path()).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    House { dir, root: house.root.clone(), clock: house.clock.clone() }
}

#[tokio::test]
async fn changed_settings_and_cut_short_rotations_are_entries() {
    let house = House::new();
    let server = || ServiceOptions { serves: true, audit_key_use: true, ..house.options() };
    close(house.open_with(server()).await.unwrap()).await;
    let entries = async |options: ServiceOptions| {
        let service = house.open_with(options).await.unwrap();
        let events = audit_events(&service, &house.operator()).await;
        close(service).await;
        let of = |kind: &str| events.iter().filter(|e| e.resource_type == kind).cloned().collect::<Vec<_>>();
        (of("audit-configuration"), of("root-key"))
    };
    let (first, _) = entries(server()).await;
    assert_eq!(first.len(), 0, "what nobody set is no change");
    let writes = || ServiceOptions { data_plane_audit: pinyon_service::DataPlaneAudit::Writes, audit_retention_days: Some(30), ..server() };
    let (changed, _) = entries(writes()).await;
    assert_eq!(changed.len(), 1);
    let said = |name: &str| changed[0].parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!((said("audit_records"), said("audit_retention_days")), (Some("off -> writes"), Some("90 -> 30")));
    assert_eq!(entries(writes()).await.0.len(), 1, "the same again is no change");
    // A command on the stopped directory is no server.
    assert_eq!(entries(ServiceOptions { serves: false, ..house.options() }).await.0.len(), 1);

    // A rotation is one entry; one that was cut short before its entry is one too, made at the next start.
    let service = house.open_with(writes()).await.unwrap();
    let second = pinyon_service::RootKey::generate();
    service.rotate_root(&house.operator(), second.clone()).await.unwrap();
    close(service).await;
    let third = pinyon_service::RootKey::generate();
    let moved = copy(&house);
    {
        let keys = KeyStore::open_in(&moved.path().join("keys"), second.clone(), Space::unlimited()).unwrap();
        keys.rotate_root(third.clone()).await.unwrap();
    }
    for _ in 0..2 {
        let service =
            moved.open_with(ServiceOptions { root_key: third.clone(), data_dir: moved.path().to_owned(), ..writes() }).await.unwrap();
        let events = audit_events(&service, &moved.operator()).await;
        let rotations: Vec<_> = events.iter().filter(|e| e.resource_type == "root-key").map(|e| e.resource_id.clone()).collect();
        assert_eq!(rotations, [second.fingerprint().to_string(), third.fingerprint().to_string()]);
        close(service).await;
    }
}
