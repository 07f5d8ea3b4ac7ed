//! Crashes of a real process at every site, and the null cipher. Runs with the feature `faults` only:
//! `cargo test -p pinyon-storage --features faults --test crash`.
#![cfg(feature = "faults")]

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use pinyon_model::{IndexId, Lsn, NamespaceId};
use pinyon_storage::fs::Site;
use pinyon_storage::{
    ChunkSize, DataDir, DataDirOptions, KeyStore, LocalStore, Log, LogKind, LogOptions, ObjectKind, Purpose, PutMode, RootKey, SealedStore,
};

const PLANT: &str = "planted to be found";

/// A life: opens everything in `folder`, writes, deletes, and appends to `acks` what was acknowledged. Errors end a step, not the life.
async fn live(folder: &Path) {
    let config = folder.join("config/root.key");
    let Ok(data) = DataDir::open(folder.join("data"), DataDirOptions { reserve_bytes: Some(0) }) else { return };
    let Ok((root, _)) = RootKey::load_or_generate(&config, data.path()) else { return };
    let Ok(keys) = KeyStore::open(&data.path().join("keys"), root) else { return };
    let index = IndexId::from_bytes([1; 16]);
    let ack = |line: String| {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("acks")).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    };
    if keys.create_index_key(index).await.is_err() {
        return;
    }
    let namespace = NamespaceId::from_bytes([2; 16]);
    let Ok(key) = keys.create_namespace_key(index, namespace).await else { return };
    let _ = keys.create_namespace_key(index, NamespaceId::from_random(pinyon_storage::random_bytes())).await;
    let _ = keys.create_namespace_key(index, NamespaceId::from_random(pinyon_storage::random_bytes())).await;
    if let Ok(scrap) = keys.system_key("scrap").await {
        let _ = scrap.seal(b"", b"");
    }
    let Ok(local) = LocalStore::open(data.path(), data.space()) else { return };
    let store = SealedStore::new(Arc::new(local));

    let dir = data.path().join("ns");
    let manifest = store.get_named("ns/manifest", ObjectKind::MANIFEST, &key).await.ok();
    let after = manifest.as_ref().map_or(0, |m| u64::from_le_bytes(m.plain[..8].try_into().unwrap()));
    let options = LogOptions { kind: LogKind::NAMESPACE, owner: [2; 16], keys: key.clone().into(), after: Lsn(after), space: data.space() };
    let (mut log, _) = Log::open(dir, options).expect("a log opens after any crash");
    for n in 0..4 {
        let frame = Bytes::from(format!("{PLANT} {n} {}", std::process::id()));
        let filler = Bytes::from(vec![b'x'; 600 << 10]);
        if let Ok(lsn) = log.append(vec![frame.clone(), filler], Purpose::Data).await {
            ack(format!("log {} {}", lsn.0 - 1, String::from_utf8_lossy(&frame)));
        }
        let name = format!("ns/objects/{n}");
        let done = store.put_named(&name, ObjectKind::SEGMENT, 1, &key, PLANT.as_bytes(), PutMode::CreateOnly, Purpose::Data).await;
        if done.is_ok() {
            ack(format!("put {name}"));
        }
        if let Ok(mut writer) = store.writer("ns", ObjectKind::SEGMENT, 1, &key, ChunkSize::KIB_4, Purpose::Data).await
            && writer.write(&PLANT.as_bytes().repeat(9000)).await.is_ok()
            && let Ok(object) = writer.finish().await
        {
            ack(format!("put {}", object.name));
        }
    }
    // A flush: the manifest says what is safe, then the log is trimmed.
    let (upto, last) = (log.last_lsn().0.saturating_sub(2), log.last_lsn().0);
    for upto in [upto, last] {
        let plain = upto.to_le_bytes();
        let put = store.put_named("ns/manifest", ObjectKind::MANIFEST, 1, &key, &plain, PutMode::Overwrite, Purpose::Essential);
        if put.await.is_ok() {
            ack(format!("flush {upto}"));
            let _ = log.trim(Lsn(upto)).await;
        }
    }
    let _ = log.append(vec![Bytes::from_static(b"after the flush")], Purpose::Data).await;
    ack("deleting".into());
    let _ = store.blobs().delete("ns/objects/0").await;
    let _ = store.blobs().delete_dir("ns/objects").await;
    let _ = keys.destroy_namespace_key(index, NamespaceId::from_bytes([9; 16])).await;
    let _ = keys.compact().await;
    let new = RootKey::generate();
    let aside = folder.join("config/next.key");
    let rotated = !aside.exists() && new.save_new(&aside, data.path()).is_ok() && keys.rotate_root(new.clone()).await.is_ok();
    // Until the new key is in its place, the copy set aside is the only one.
    if rotated && new.replace(&config, data.path()).is_ok() {
        let _ = std::fs::remove_file(aside);
    }
}

/// Opens what a crash left, as the next start would, and compares with what was acknowledged.
async fn survives(folder: &Path, what: &str) {
    let acks = std::fs::read_to_string(folder.join("acks")).unwrap_or_default();
    let data = DataDir::open(folder.join("data"), DataDirOptions { reserve_bytes: Some(0) }).unwrap();
    let (config, aside) = (folder.join("config/root.key"), folder.join("config/next.key"));
    let open = |path: &Path| RootKey::load(path, data.path()).and_then(|root| KeyStore::open(&data.path().join("keys"), root));
    if aside.exists() {
        // A rotation was under way: whichever root key opens the store is the one.
        if open(&config).is_err() {
            open(&aside).unwrap_or_else(|e| panic!("{what}: neither root key opens: {e}"));
            RootKey::load(&aside, data.path()).unwrap().replace(&config, data.path()).unwrap();
        }
        std::fs::remove_file(&aside).unwrap();
    }
    if !config.exists() {
        assert!(acks.is_empty(), "{what}: acknowledged without a root key");
        return;
    }
    let keys = open(&config).unwrap_or_else(|e| panic!("{what}: {e}"));
    keys.check().unwrap();
    let Ok(key) = keys.namespace_key(IndexId::from_bytes([1; 16]), NamespaceId::from_bytes([2; 16])) else {
        assert!(acks.is_empty(), "{what}: acknowledged, and the key is gone");
        return;
    };
    let local = LocalStore::open(data.path(), data.space()).unwrap();
    let store = SealedStore::new(Arc::new(local));
    let manifest = store.get_named("ns/manifest", ObjectKind::MANIFEST, &key).await.ok();
    let after = manifest.map_or(0, |m| u64::from_le_bytes(m.plain[..8].try_into().unwrap()));
    let options = LogOptions { kind: LogKind::NAMESPACE, owner: [2; 16], keys: key.clone().into(), after: Lsn(after), space: data.space() };
    let (_, frames) = Log::open(data.path().join("ns"), options).unwrap_or_else(|e| panic!("{what}: {e}"));
    let frames: HashMap<u64, Bytes> = frames.into_iter().map(|(lsn, b)| (lsn.0, b)).collect();
    let deleting = acks.lines().any(|l| l == "deleting");
    for line in acks.lines() {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "log" => {
                let (lsn, text) = rest.split_once(' ').unwrap();
                let lsn: u64 = lsn.parse().unwrap();
                assert!(lsn <= after || frames.get(&lsn).is_some_and(|b| b == text), "{what}: lost or changed: {line}");
            }
            "put" if !(deleting && rest.starts_with("ns/objects/")) => {
                let reader = store.open(rest, ObjectKind::SEGMENT, &key).await.unwrap_or_else(|e| panic!("{what}: {line}: {e}"));
                assert!(reader.read_all().await.unwrap().starts_with(PLANT.as_bytes()), "{what}: {line}");
            }
            "flush" => assert!(after >= rest.parse().unwrap(), "{what}: {line}"),
            _ => {}
        }
    }
}

fn child(folder: &Path, settings: &[(&str, String)]) -> std::process::ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_life", "--nocapture", "--test-threads=1"]).env("PINYON_TEST_LIFE", folder).env("RUST_BACKTRACE", "0");
    command.stdout(std::process::Stdio::null());
    command.envs(settings.iter().map(|(name, value)| (*name, value)));
    command.status().unwrap()
}

/// Not a test of its own: what the child processes do. Alone it does nothing.
#[test]
fn a_life() {
    if let Ok(folder) = std::env::var("PINYON_TEST_LIFE") {
        run(live(Path::new(&folder)));
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn nonces(file: &Path) -> usize {
    let mut seen = HashMap::new();
    for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
        let (key_and_nonce, hash) = line.rsplit_once(' ').unwrap();
        let before = seen.insert(key_and_nonce.to_owned(), hash.to_owned());
        assert!(before.is_none(), "a (key, nonce) was used twice: {line}");
    }
    seen.len()
}

/// Two lives without faults visit every site; then each site is hit at its first three visits by each kind of fault, the same folder living
/// on after each. Nothing acknowledged is lost, and no (key, nonce) is used twice in all of it.
#[test]
fn every_site_is_survived() {
    let fresh = scratch();
    let count = fresh.path().join("count");
    let visits = || {
        let mut visits: HashMap<String, u32> = HashMap::new();
        std::fs::read_to_string(&count).unwrap().lines().for_each(|l| *visits.entry(l.to_owned()).or_default() += 1);
        visits
    };
    for _ in 0..2 {
        assert!(child(fresh.path(), &[("PINYON_FAULT_COUNT", count.display().to_string())]).success());
        run(survives(fresh.path(), "no fault"));
    }
    let visited = visits();
    let missing: Vec<_> = Site::ALL.iter().filter(|s| !visited.contains_key(s.name())).collect();
    assert!(missing.is_empty(), "sites that no life visits: {missing:?}");

    // Each round begins with fresh folders; 4 rounds are more than 5,000 runs.
    let rounds = std::env::var("PINYON_TEST_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(1);
    let (mut runs, mut killed, mut sealed) = (0, 0, 0);
    for site in std::iter::repeat_n(Site::ALL, rounds).flatten() {
        let shared = scratch();
        let log = shared.path().join("nonces");
        let mut hit = HashSet::new();
        for nth in 1..=3 {
            for kind in ["kill", "after", "torn", "eio", "enospc", "short"] {
                let once = scratch();
                // A folder of its own for what happens only in a first life, and one that has seen all faults before.
                for folder in [once.path(), shared.path()] {
                    let settings =
                        [("PINYON_FAULT", format!("{}:{nth}:{kind}", site.name())), ("PINYON_NONCE_LOG", log.display().to_string())];
                    let status = child(folder, &settings);
                    let by_kill = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
                    assert!(by_kill || status.success(), "{site:?}:{nth}:{kind}: {status}");
                    if by_kill {
                        hit.insert((nth, kind));
                        killed += 1;
                    }
                    runs += 1;
                    run(survives(folder, &format!("{}:{nth}:{kind}", site.name())));
                }
            }
        }
        assert!(hit.iter().any(|(nth, _)| *nth == 1), "{site:?} was never met");
        sealed += nonces(&log);
    }
    println!("{runs} runs, {killed} of them killed, {sealed} seals, no (key, nonce) twice");
}

/// What a search for plaintext looks for is found when nothing is encrypted, and only then.
#[test]
fn a_search_for_plaintext_can_find_it() {
    fn files_with(folder: &Path, needle: &[u8]) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        entries
            .map(|path| match path.is_dir() {
                true => files_with(&path, needle),
                false => usize::from(std::fs::read(path).unwrap().windows(needle.len()).any(|w| w == needle)),
            })
            .sum()
    }
    for (null, found) in [(true, true), (false, false)] {
        let folder = scratch();
        let settings = if null { vec![("PINYON_NULL_CIPHER", "1".to_owned())] } else { Vec::new() };
        // Killed before it deletes anything.
        let settings = [settings, vec![("PINYON_FAULT", "BlobUnlink:1:kill".to_owned())]].concat();
        child(folder.path(), &settings);
        let data = folder.path().join("data");
        assert_eq!(files_with(&data, PLANT.as_bytes()) >= 8, found, "null cipher: {null}");
    }
}
