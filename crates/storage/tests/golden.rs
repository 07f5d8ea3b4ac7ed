//! Files that earlier versions wrote open for ever. Each folder of `tests/golden` was written once, by the version that brought its
//! formats, and is never changed.

use std::path::Path;
use std::sync::Arc;

use pinyon_model::{BackupId, IndexId, Lsn, NamespaceId};
use pinyon_storage::{
    BlobStore, KeyAbove, KeyId, KeyStore, LocalStore, Log, LogKind, LogOptions, ObjectKind, RootKey, SealedStore, Space, StorageError,
};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn opens(golden: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    copy(golden, folder);
    let (index, namespace) = (IndexId::from_bytes([1; 16]), NamespaceId::from_bytes([2; 16]));

    let root = RootKey::parse_text(&std::fs::read_to_string(folder.join("root.key")).unwrap()).unwrap();
    let keys = KeyStore::open(&folder.join("keys"), root).unwrap();
    assert_eq!((keys.len(), keys.check().unwrap()), (4, 4));
    let (index_key, namespace_key) = (keys.index_key(index).unwrap(), keys.namespace_key(index, namespace).unwrap());
    let system_key = keys.system_key("golden").await.unwrap();

    let owner = *namespace.as_bytes();
    let options =
        LogOptions { kind: LogKind::NAMESPACE, owner, keys: namespace_key.clone().into(), after: Lsn(1), space: Space::unlimited() };
    let (log, frames) = Log::open(folder.join("log"), options).unwrap();
    let long = "a longer frame, for its padding";
    let expected = [(2, ""), (3, long), (4, "first"), (5, ""), (6, long)];
    assert!(frames.iter().map(|(lsn, b)| (lsn.0, std::str::from_utf8(b).unwrap())).eq(expected), "{frames:?}");
    assert_eq!((log.files(), log.last_lsn()), (2, Lsn(6)));

    let blobs: Arc<dyn BlobStore> = Arc::new(LocalStore::open(&folder.join("objects"), Space::unlimited()).unwrap());
    let store = SealedStore::new(blobs.clone());
    let segment = blobs.list("ns/").await.unwrap().remove(0).name;
    let reader = store.open(&segment, ObjectKind::SEGMENT, &namespace_key).await.unwrap();
    assert_eq!((reader.format(), reader.plain_len(), segment), (7, 10_000, format!("ns/{}", reader.id().hex())));
    assert!(reader.read_all().await.unwrap().iter().enumerate().all(|(n, b)| *b == (n % 251) as u8));
    for (name, plain) in [("named", "a manifest"), ("empty", "")] {
        let named = store.get_named(name, ObjectKind::MANIFEST, &index_key).await.unwrap();
        assert_eq!((named.plain.as_ref(), named.format), (plain.as_bytes(), 3));
    }

    assert_eq!(system_key.open(b"table/row", &std::fs::read(folder.join("value")).unwrap()).unwrap(), b"a value");
    assert!(system_key.verify_mac("purpose", b"a row", &std::fs::read(folder.join("mac")).unwrap()));
}

/// The key store with keys of every kind, in folders written since there are any.
async fn rings_open(golden: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    copy(golden, folder);
    let root = RootKey::parse_text(&std::fs::read_to_string(folder.join("root.key")).unwrap()).unwrap();
    let keys = KeyStore::open(&folder.join("rings"), root).unwrap();
    let (index, namespace) = (IndexId::from_bytes([1; 16]), NamespaceId::from_bytes([2; 16]));
    let Some(KeyAbove::Project(project)) = keys.above_index(index) else { panic!("it lies under a project key") };
    assert!(matches!(keys.index_key(index), Err(StorageError::KeyLocked { .. })));
    assert_eq!(keys.sealed_project_key(project).unwrap(), b"as its provider sealed it");
    let bytes: [u8; 32] = std::fs::read(folder.join("project.key")).unwrap().try_into().unwrap();
    keys.unlock_project_key(project, bytes.into()).unwrap();
    assert_eq!(keys.namespace_keys(index, namespace).unwrap().older().len(), 1);
    assert_eq!((keys.len(), keys.check().unwrap()), (106, 104));
    let (under, destroyed) = (BackupId::from_bytes([4; 16]), BackupId::from_bytes([6; 16]));
    assert_eq!(keys.under_project_key(project).backups, [under]);
    keys.backup_key(BackupId::from_bytes([5; 16])).unwrap();
    assert!(keys.backup_key(destroyed).is_err());
    let id = KeyId::from_bytes(std::fs::read(folder.join("sealed-key.id")).unwrap().try_into().unwrap());
    let sealed = std::fs::read(folder.join("sealed-key")).unwrap().try_into().unwrap();
    keys.backup_key(under).unwrap().open_key(b"golden", id, &sealed).unwrap();
}

#[tokio::test]
async fn every_golden_folder_opens() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut count = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let folder = entry.unwrap().path();
        opens(&folder).await;
        if folder.join("rings").exists() {
            rings_open(&folder).await;
        }
        count += 1;
    }
    assert!(count >= 2);
}
