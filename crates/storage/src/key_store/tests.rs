use tempfile::TempDir;

use super::entry::{Entry, Wrapped};
use super::*;
use crate::faults::{self, Fault, Rule};

fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn index(n: u8) -> IndexId {
    IndexId::from_bytes([n; 16])
}

fn backup(n: u8) -> BackupId {
    BackupId::from_bytes([n; 16])
}

fn namespace(n: u32) -> NamespaceId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    NamespaceId::from_bytes(bytes)
}

#[tokio::test]
async fn keys_are_made_once_and_found_again() {
    let (dir, root) = (folder(), RootKey::generate());
    let store = KeyStore::open(dir.path(), root.clone()).unwrap();
    assert!(matches!(store.create_namespace_key(index(1), namespace(1)).await, Err(StorageError::KeyMissing { .. })));
    let i = store.create_index_key(index(1)).await.unwrap();
    let n = store.create_namespace_key(index(1), namespace(1)).await.unwrap();
    let s = store.system_key("audit").await.unwrap();
    assert_eq!(store.create_index_key(index(1)).await.unwrap().bytes(), i.bytes());
    assert_eq!(store.create_namespace_key(index(1), namespace(1)).await.unwrap().bytes(), n.bytes());
    assert!(i.bytes() != n.bytes() && n.bytes() != s.bytes() && i.id() != n.id());
    assert!(matches!(store.namespace_key(index(2), namespace(1)), Err(StorageError::KeyMissing { .. })));
    drop(store);
    let store = KeyStore::open(dir.path(), root).unwrap();
    assert_eq!((store.len(), store.check().unwrap()), (3, 3));
    assert_eq!(store.index_key(index(1)).unwrap().bytes(), i.bytes());
    assert_eq!(store.namespace_key(index(1), namespace(1)).unwrap().id(), n.id());
    assert_eq!(store.system_key("audit").await.unwrap().bytes(), s.bytes());
}

#[tokio::test]
async fn only_one_may_have_the_store_open_and_only_with_its_root_key() {
    let (dir, root) = (folder(), RootKey::generate());
    let store = KeyStore::open(dir.path(), root.clone()).unwrap();
    store.create_index_key(index(1)).await.unwrap();
    assert!(matches!(KeyStore::open(dir.path(), root.clone()), Err(StorageError::Locked { .. })));
    drop(store);
    let other = RootKey::generate();
    let wrong = KeyStore::open(dir.path(), other.clone()).unwrap_err();
    let text = wrong.to_string();
    assert!(matches!(wrong, StorageError::WrongRootKey { .. }));
    assert!(text.contains(&other.fingerprint().to_string()) && text.contains(&root.fingerprint().to_string()), "{text}");
    KeyStore::open(dir.path(), root).unwrap();
}

/// While one write is under way, all that comes waits for the next: a hundred makers, at most two writes.
#[tokio::test]
async fn makers_share_a_write() {
    let dir = folder();
    let store = KeyStore::open(dir.path(), RootKey::generate()).unwrap();
    store.create_index_key(index(1)).await.unwrap();
    let faults = faults::install(dir.path(), Vec::new());
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (hold, held) = std::sync::mpsc::channel();
    let writing = {
        let store = store.clone();
        std::thread::spawn(move || {
            let _writing = locked(&store.0.file);
            hold.send(()).unwrap();
            let _ = released.recv();
        })
    };
    held.recv().unwrap();
    let makers: Vec<_> = (0..100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.create_namespace_key(index(1), namespace(n)).await.unwrap().id() })
        })
        .collect();
    // One is being written, or waits for the file; the others wait for it. A yield lets each maker run once.
    while !locked(&store.0.queue).busy {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    drop(release);
    writing.join().unwrap();
    let mut ids = std::collections::HashSet::new();
    for maker in makers {
        assert!(ids.insert(maker.await.unwrap()));
    }
    let syncs: u64 = [Site::KeysAppendSync, Site::KeysSync].iter().filter_map(|s| faults.visits().get(s).copied()).sum();
    assert!(syncs <= 2, "{syncs} syncs");
    assert_eq!(store.len(), 101);
}

/// Makers of one key at once get one key.
#[tokio::test(flavor = "multi_thread")]
async fn makers_of_one_key_agree() {
    let dir = folder();
    let store = KeyStore::open(dir.path(), RootKey::generate()).unwrap();
    let makers: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.system_key("catalog").await.unwrap().id() })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for maker in makers {
        ids.insert(maker.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_destroyed_key_is_gone_from_the_file_too() {
    let (dir, root) = (folder(), RootKey::generate());
    let store = KeyStore::open(dir.path(), root.clone()).unwrap();
    for i in 1..3 {
        store.create_index_key(index(i)).await.unwrap();
        for n in 0..3 {
            store.create_namespace_key(index(i), namespace(n)).await.unwrap();
        }
    }
    store.destroy_namespace_key(index(1), namespace(0)).await.unwrap();
    store.destroy_namespace_key(index(1), namespace(0)).await.unwrap();
    store.destroy_index_keys(index(2)).await.unwrap();
    assert!(store.namespace_key(index(1), namespace(0)).is_err());
    assert!(store.namespace_key(index(2), namespace(1)).is_err(), "not even from memory");
    let again = store.create_namespace_key(index(1), namespace(0)).await.unwrap();
    drop(store);
    let (file, entries) = KeyFile::open(dir.path(), &root).unwrap();
    assert_eq!((entries.len(), file.written()), (4, 4), "an index and its three, and nothing dead");
    drop(file);
    let store = KeyStore::open(dir.path(), root).unwrap();
    assert_eq!(store.namespace_key(index(1), namespace(0)).unwrap().id(), again.id());
}

#[tokio::test]
async fn a_new_root_key_leaves_namespace_keys_as_they_are() {
    let (dir, old, new) = (folder(), RootKey::generate(), RootKey::generate());
    let store = KeyStore::open(dir.path(), old.clone()).unwrap();
    let i = store.create_index_key(index(1)).await.unwrap();
    let n = store.create_namespace_key(index(1), namespace(1)).await.unwrap();
    let s = store.system_key("audit").await.unwrap();
    let owner = |n: u8| if n == 0 { Owner::Index(index(1)) } else { Owner::Namespace(index(1), namespace(1)) };
    let before = [0, 1].map(|n| store.0.entries().get(&owner(n))[0]);
    store.rotate_root(new.clone()).await.unwrap();
    let after = [0, 1].map(|n| store.0.entries().get(&owner(n))[0]);
    assert!(before[0] != after[0] && before[1] == after[1]);
    assert_eq!(store.fingerprint(), new.fingerprint());
    store.create_namespace_key(index(1), namespace(2)).await.unwrap();
    drop(store);
    assert!(matches!(KeyStore::open(dir.path(), old), Err(StorageError::WrongRootKey { .. })));
    let store = KeyStore::open(dir.path(), new).unwrap();
    assert_eq!(store.check().unwrap(), 4);
    assert_eq!(store.index_key(index(1)).unwrap().bytes(), i.bytes());
    assert_eq!(store.namespace_key(index(1), namespace(1)).unwrap().bytes(), n.bytes());
    assert_eq!(store.system_key("audit").await.unwrap().bytes(), s.bytes());
}

/// At every site, at its first and at its second visit: a change fails or not, what was acknowledged stays, the next one works.
#[tokio::test]
async fn after_a_failure_at_any_site_the_store_goes_on() {
    faults::watch_nonces();
    let sites = [
        Site::KeysUnlink,
        Site::KeysCreate,
        Site::KeysWrite,
        Site::KeysSync,
        Site::KeysRename,
        Site::KeysDirSync,
        Site::KeysAppend,
        Site::KeysAppendSync,
    ];
    for site in sites {
        for fault in [Fault::Eio, Fault::Enospc, Fault::Short] {
            for nth in 1..4 {
                let (dir, root) = (folder(), RootKey::generate());
                let store = KeyStore::open(dir.path(), root.clone()).unwrap();
                let faults = faults::install(dir.path(), vec![Rule::once(site, nth, fault)]);
                let mut made = Vec::new();
                let mut failed = 0;
                for n in 0..6 {
                    match store.create_index_key(index(n)).await {
                        Ok(key) => made.push((n, key.id())),
                        Err(_) => failed += 1,
                    }
                    if n == 3 {
                        let _ = store.compact().await;
                        let _ = store.destroy_index_keys(index(99)).await;
                    }
                }
                assert!(failed <= 1, "{site:?} {fault:?} {nth}");
                assert!(faults.visits()[&site] > 0, "{site:?} was not met");
                drop(faults);
                for (n, id) in &made {
                    assert_eq!(store.index_key(index(*n)).unwrap().id(), *id);
                }
                drop(store);
                let store = KeyStore::open(dir.path(), root).unwrap();
                for (n, id) in made {
                    assert_eq!(store.index_key(index(n)).unwrap().id(), id, "{site:?} {fault:?} {nth}");
                }
                store.check().unwrap();
            }
        }
    }
    assert_eq!(faults::nonces_watched().1, 0);
}

/// A root key's change that fails leaves a store that one of the two opens, whole.
#[tokio::test]
async fn a_failed_rotation_leaves_one_of_the_two_root_keys() {
    for site in [Site::KeysCreate, Site::KeysWrite, Site::KeysSync, Site::KeysRename, Site::KeysDirSync] {
        let (dir, old, new) = (folder(), RootKey::generate(), RootKey::generate());
        let store = KeyStore::open(dir.path(), old.clone()).unwrap();
        let key = store.create_index_key(index(1)).await.unwrap();
        let faults = faults::install(dir.path(), vec![Rule::once(site, 1, Fault::Eio)]);
        store.rotate_root(new.clone()).await.unwrap_err();
        drop((store, faults));
        let opened = KeyStore::open(dir.path(), old).or_else(|_| KeyStore::open(dir.path(), new)).unwrap();
        assert_eq!(opened.index_key(index(1)).unwrap().bytes(), key.bytes(), "{site:?}");
    }
}

async fn small_file() -> (TempDir, RootKey, Vec<u8>, usize) {
    let (dir, root) = (folder(), RootKey::generate());
    let store = KeyStore::open(dir.path(), root.clone()).unwrap();
    store.create_index_key(index(1)).await.unwrap();
    let first = std::fs::metadata(dir.path().join("keys")).unwrap().len() as usize;
    store.create_namespace_key(index(1), namespace(1)).await.unwrap();
    drop(store);
    let bytes = std::fs::read(dir.path().join("keys")).unwrap();
    (dir, root, bytes, first)
}

#[tokio::test]
async fn every_flipped_bit_is_found() {
    let (dir, root, bytes, _) = small_file().await;
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(dir.path().join("keys"), bad).unwrap();
        let opened = KeyStore::open(dir.path(), root.clone());
        assert!(matches!(&opened, Err(StorageError::Damaged { file, .. }) if file.ends_with("keys")), "bit {bit}: {opened:?}");
    }
}

#[tokio::test]
async fn a_cut_file_keeps_what_it_had_when_it_got_its_name() {
    let (dir, root, bytes, first) = small_file().await;
    for len in 0..bytes.len() {
        std::fs::write(dir.path().join("keys"), &bytes[..len]).unwrap();
        match KeyStore::open(dir.path(), root.clone()) {
            Ok(store) => assert!(len >= first && store.len() == 1, "cut at {len}"),
            Err(e) => assert!(len < first && e.is_damage(), "cut at {len}: {e}"),
        }
    }
}

#[tokio::test]
async fn many_keys_are_written_anew_in_several_frames() {
    let (dir, root) = (folder(), RootKey::generate());
    let mut entries = Entries::default();
    let above = Wrapped::fresh(&Owner::Index(index(1)), KeyAbove::Root, root.bytes());
    let key = above.unwrap(&Owner::Index(index(1)), root.bytes()).unwrap();
    entries.apply(Entry::Key(Owner::Index(index(1)), above));
    for n in 0..20_000 {
        let owner = Owner::Namespace(index(1), namespace(n));
        let wrapped = Wrapped::fresh(&owner, KeyAbove::Root, key.bytes());
        entries.apply(Entry::Key(owner, wrapped));
    }
    KeyFile::open(dir.path(), &root).unwrap().0.rewrite(&root, &entries).unwrap();
    let store = KeyStore::open(dir.path(), root).unwrap();
    assert_eq!(store.len(), 20_001);
    store.namespace_key(index(1), namespace(19_999)).unwrap();
    store.create_namespace_key(index(1), namespace(20_000)).await.unwrap();
    assert_eq!(store.len(), 20_002);
}

#[test]
fn a_left_over_temporary_file_does_not_stop_the_start() {
    let dir = folder();
    std::fs::write(dir.path().join("keys.new"), b"half").unwrap();
    KeyStore::open(dir.path(), RootKey::generate()).unwrap();
    assert!(!dir.path().join("keys.new").exists());
}

#[test]
fn entries_are_read_only_as_they_were_written() {
    let owner = Owner::System("audit".into());
    let under = KeyAbove::Project(KeyId([7; 16]));
    let key = |owner: Owner, above| Entry::Key(owner.clone(), Wrapped::fresh(&owner, above, &[1; 32]));
    let entries = [
        key(Owner::Index(index(1)), KeyAbove::Root),
        key(Owner::Index(index(1)), under),
        key(owner, KeyAbove::Root),
        key(Owner::Namespace(index(1), namespace(2)), KeyAbove::Root),
        key(Owner::Backup(backup(3)), KeyAbove::Root),
        key(Owner::Backup(backup(3)), under),
        Entry::Project(KeyId([7; 16]), SealedProjectKey { check: [8; 32], sealed: b"as KMS sealed it".as_slice().into() }),
        Entry::NamespaceKeyDestroyed(index(1), namespace(2), KeyId([9; 16])),
        Entry::Destroyed(Owner::Namespace(index(1), namespace(2))),
        Entry::Destroyed(Owner::Index(index(1))),
        Entry::Destroyed(Owner::Backup(backup(3))),
        Entry::ProjectDestroyed(KeyId([7; 16])),
    ];
    let mut bytes = Vec::new();
    entries.iter().for_each(|e| e.push(&mut bytes));
    assert_eq!(entry::parse(&bytes).unwrap(), entries);
    assert!((0..bytes.len()).filter(|len| entry::parse(&bytes[..*len]).is_some()).count() <= entries.len(), "only at an entry's end");
    assert_eq!(entry::parse(&[13]), None);
}

#[tokio::test]
async fn a_full_disk_refuses_new_indexes_and_lets_keys_be_destroyed() {
    let (dir, root) = (folder(), RootKey::generate());
    KeyStore::open(dir.path(), root.clone()).unwrap().create_index_key(index(1)).await.unwrap();
    let space = Space::of(dir.path(), Some(u64::MAX / 2)).unwrap();
    let store = KeyStore::open_in(dir.path(), root, space).unwrap();
    assert!(matches!(store.create_index_key(index(2)).await, Err(StorageError::Full { .. })));
    assert!(matches!(store.create_namespace_key(index(1), namespace(1)).await, Err(StorageError::Full { .. })));
    store.create_index_key(index(1)).await.unwrap();
    store.system_key("audit").await.unwrap();
    store.destroy_index_keys(index(1)).await.unwrap();
}

#[tokio::test]
async fn a_namespace_keeps_its_older_keys_until_they_are_destroyed() {
    let (dir, root) = (folder(), RootKey::generate());
    let store = KeyStore::open(dir.path(), root.clone()).unwrap();
    store.create_index_key(index(1)).await.unwrap();
    let first = store.create_namespace_key(index(1), namespace(1)).await.unwrap();
    let second = Arc::clone(store.rotate_namespace_key(index(1), namespace(1)).await.unwrap().current());
    let third = Arc::clone(store.rotate_namespace_key(index(1), namespace(1)).await.unwrap().current());
    assert!(first.id() != second.id() && second.id() != third.id());
    store.compact().await.unwrap();
    drop(store);
    let store = KeyStore::open(dir.path(), root.clone()).unwrap();
    let ring = store.namespace_keys(index(1), namespace(1)).unwrap();
    assert_eq!(ring.current().bytes(), third.bytes());
    assert_eq!(ring.older().iter().map(|key| key.id()).collect::<Vec<_>>(), [first.id(), second.id()]);
    assert_eq!(store.len(), 4);
    assert!(matches!(store.destroy_older_namespace_key(index(1), namespace(1), third.id()).await, Err(StorageError::Invalid { .. })));
    store.destroy_older_namespace_key(index(1), namespace(1), first.id()).await.unwrap();
    store.destroy_older_namespace_key(index(1), namespace(1), first.id()).await.unwrap();
    assert_eq!(store.namespace_keys(index(1), namespace(1)).unwrap().older().len(), 1);
    assert_eq!(store.namespace_key(index(1), namespace(1)).unwrap().id(), third.id());
    drop(store);
    let store = KeyStore::open(dir.path(), root).unwrap();
    assert_eq!((store.len(), store.namespace_keys(index(1), namespace(1)).unwrap().older()[0].id()), (3, second.id()));
    store.destroy_namespace_key(index(1), namespace(1)).await.unwrap();
    assert_eq!(store.len(), 1);
    assert!(matches!(store.rotate_namespace_key(index(1), namespace(1)).await, Err(StorageError::KeyMissing { .. })));
}

#[tokio::test]
async fn adopted_keys_open_and_a_new_one_seals() {
    let dir = folder();
    let store = KeyStore::open(dir.path(), RootKey::generate()).unwrap();
    store.create_index_key(index(1)).await.unwrap();
    store.create_index_key(index(2)).await.unwrap();
    let theirs = store.create_namespace_key(index(1), namespace(1)).await.unwrap();
    let ring = store.adopt_namespace_keys(index(2), namespace(2), vec![Arc::clone(&theirs)]).await.unwrap();
    assert_eq!((ring.older()[0].bytes(), ring.older()[0].id()), (theirs.bytes(), theirs.id()));
    assert_ne!(ring.current().id(), theirs.id());
    assert!(store.adopt_namespace_keys(index(2), namespace(2), vec![theirs]).await.is_err());
    store.destroy_index_keys(index(1)).await.unwrap();
    assert_eq!(store.namespace_keys(index(2), namespace(2)).unwrap().older().len(), 1);
}

/// A project key, and a store with an index, a namespace and a backup under it.
async fn with_project_key(dir: &Path, root: &RootKey) -> (KeyStore, ProjectKey) {
    let store = KeyStore::open(dir, root.clone()).unwrap();
    let project = ProjectKey::generate();
    store.put_project_key(&project, b"sealed elsewhere").await.unwrap();
    let above = KeyAbove::Project(project.id());
    store.create_index_key_under(index(1), above).await.unwrap();
    store.create_namespace_key(index(1), namespace(1)).await.unwrap();
    store.create_backup_key(backup(1), above).await.unwrap();
    store.create_index_key(index(2)).await.unwrap();
    (store, project)
}

#[tokio::test]
async fn what_lies_under_a_locked_project_key_does_not_open() {
    let (dir, root) = (folder(), RootKey::generate());
    let (store, project) = with_project_key(dir.path(), &root).await;
    let before = store.namespace_key(index(1), namespace(1)).unwrap();
    let locked = |store: &KeyStore| {
        let is = |outcome: Result<Arc<DataKey>>| matches!(outcome, Err(StorageError::KeyLocked { .. }));
        is(store.index_key(index(1))) && is(store.namespace_key(index(1), namespace(1))) && is(store.backup_key(backup(1)))
    };
    store.lock_project_key(project.id());
    assert!(locked(&store));
    assert_eq!(
        (store.index_key_ids(index(1)).len(), store.namespace_key_ids(index(1), namespace(1)), store.backup_key_id(backup(1)).is_some()),
        (2, vec![before.id()], true),
        "their ids can be told"
    );
    assert!(store.index_key_ids(index(1)).contains(&before.id()));
    assert!(matches!(store.create_namespace_key(index(1), namespace(2)).await, Err(StorageError::KeyLocked { .. })));
    store.index_key(index(2)).unwrap();
    assert_eq!(store.check().unwrap(), 1);
    assert_eq!(Arc::strong_count(&before), 1, "nobody else holds it");
    drop(store);

    let store = KeyStore::open(dir.path(), root).unwrap();
    assert!(locked(&store));
    assert_eq!(store.sealed_project_key(project.id()).unwrap(), b"sealed elsewhere");
    assert!(matches!(store.unlock_project_key(project.id(), Zeroizing::new([3; 32])), Err(StorageError::Invalid { .. })));
    assert!(locked(&store));
    store.unlock_project_key(project.id(), Zeroizing::new(*project.expose())).unwrap();
    assert_eq!(store.namespace_key(index(1), namespace(1)).unwrap().bytes(), before.bytes());
    assert_eq!(store.under_project_key(project.id()), KeysUnder { indexes: vec![index(1)], backups: vec![backup(1)] });
}

#[tokio::test]
async fn keys_are_wrapped_anew_under_another_project_key() {
    let (dir, root) = (folder(), RootKey::generate());
    let (store, old) = with_project_key(dir.path(), &root).await;
    let before = store.namespace_key(index(1), namespace(1)).unwrap();
    let new = ProjectKey::generate();
    store.put_project_key(&new, b"by another").await.unwrap();
    store.rewrap_index_key(index(1), KeyAbove::Project(new.id())).await.unwrap();
    assert!(matches!(store.destroy_project_key(old.id()).await, Err(StorageError::Invalid { .. })), "the backup lies under it");
    store.rewrap_backup_key(backup(1), KeyAbove::Project(new.id())).await.unwrap();
    store.destroy_project_key(old.id()).await.unwrap();
    assert_eq!(store.sealed_project_key(old.id()), None);
    let under_it = store.create_index_key_under(index(3), KeyAbove::Project(old.id())).await;
    assert!(matches!(under_it, Err(StorageError::Invalid { .. })), "nothing is wrapped by what was destroyed: {under_it:?}");
    drop(store);
    let other_root = RootKey::generate();
    let store = KeyStore::open(dir.path(), root).unwrap();
    store.rotate_root(other_root.clone()).await.unwrap();
    drop(store);
    let store = KeyStore::open(dir.path(), other_root).unwrap();
    store.unlock_project_key(new.id(), Zeroizing::new(*new.expose())).unwrap();
    assert_eq!(store.namespace_key(index(1), namespace(1)).unwrap().bytes(), before.bytes());
    assert_eq!(store.above_index(index(1)), Some(KeyAbove::Project(new.id())));
    // And back under the root key.
    store.rewrap_index_key(index(1), KeyAbove::Root).await.unwrap();
    store.lock_project_key(new.id());
    assert_eq!(store.namespace_key(index(1), namespace(1)).unwrap().bytes(), before.bytes());
}

/// What was wrapped for one owner, or by one project key, is of no use in another's place.
#[test]
fn a_wrapped_key_opens_in_its_place_only() {
    let (owner, other) = (Owner::Index(index(1)), Owner::Index(index(2)));
    let wrapped = Wrapped::fresh(&owner, KeyAbove::Project(KeyId([1; 16])), &[5; 32]);
    wrapped.unwrap(&owner, &[5; 32]).unwrap();
    assert!(wrapped.unwrap(&other, &[5; 32]).is_err());
    assert!(wrapped.unwrap(&Owner::Backup(backup(1)), &[5; 32]).is_err());
    assert!(wrapped.unwrap(&owner, &[6; 32]).is_err());
    let changed = |change: fn(&mut Wrapped)| {
        let mut wrapped = wrapped;
        change(&mut wrapped);
        wrapped.unwrap(&owner, &[5; 32])
    };
    changed(|_| {}).unwrap();
    assert!(changed(|w| w.above = KeyAbove::Project(KeyId([2; 16]))).is_err());
    assert!(changed(|w| w.above = KeyAbove::Root).is_err());
    assert!(changed(|w| w.key_id = KeyId([3; 16])).is_err());
}

#[tokio::test]
async fn open_keys_are_few_and_forgotten_at_once() {
    let keys = OpenKeys::default();
    let ring = || Arc::new(KeyRing::from(Arc::new(DataKey::generate())));
    for n in 0..5_000 {
        keys.insert(Owner::Namespace(index(1), namespace(n)), ring());
    }
    let open = (0..5_000).filter(|n| keys.get(&Owner::Namespace(index(1), namespace(*n))).is_some()).count();
    assert_eq!(open, 4_096);
    let held = ring();
    keys.insert(Owner::Index(index(9)), Arc::clone(&held));
    keys.forget(&Owner::Index(index(9)));
    assert_eq!((Arc::strong_count(&held), keys.get(&Owner::Index(index(9))).is_none()), (1, true));
}
