//! One suite for every blob store.

use std::sync::Arc;

use bytes::Bytes;
use pinyon_storage::{BlobStore, LocalStore, MemoryStore, Purpose, PutMode, Space, StorageError};

const DATA: Purpose = Purpose::Data;

async fn names(store: &dyn BlobStore, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|m| m.name).collect()
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn put_and_get(store: &dyn BlobStore) {
    assert!(store.get("a/b").await.is_err_and(|e| e.is_not_found()));
    let one = store.put("a/b", text("one"), PutMode::CreateOnly, DATA).await.unwrap();
    let refused = store.put("a/b", text("two"), PutMode::CreateOnly, DATA).await;
    assert!(matches!(refused, Err(StorageError::AlreadyExists { name }) if name == "a/b"));
    assert_eq!(store.get("a/b").await.unwrap(), (text("one"), one));
    let two = store.put("a/b", text("two"), PutMode::IfVersion(one), DATA).await.unwrap();
    assert_ne!(one, two);
    for name in ["a/b", "a/none"] {
        let lost = store.put(name, text("three"), PutMode::IfVersion(one), DATA).await;
        assert!(matches!(lost, Err(StorageError::Conflict { .. })), "{name}: {lost:?}");
    }
    assert_eq!(store.get("a/b").await.unwrap(), (text("two"), two));
    store.put("a/b", text("four"), PutMode::Overwrite, DATA).await.unwrap();
    store.put("new", text(""), PutMode::Overwrite, DATA).await.unwrap();
    assert_eq!(store.get("a/b").await.unwrap().0, "four");
    assert_eq!(store.head("new").await.unwrap().size, 0);
    assert!(store.head("a").await.is_err_and(|e| e.is_not_found()), "a folder is no object");
}

async fn ranges(store: &dyn BlobStore) {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    store.put("r", bytes.clone().into(), PutMode::CreateOnly, DATA).await.unwrap();
    for wanted in [vec![], vec![5..9, 0..3, 7..7], vec![0..3_000_000, 9..9], vec![2_999_999..3_000_000, 0..1]] {
        let got = store.get_ranges("r", &wanted).await.unwrap();
        let expected: Vec<_> = wanted.iter().map(|r| &bytes[r.start as usize..r.end as usize]).collect();
        assert_eq!(got, expected);
    }
    assert!(store.get_range("r", 0..3_000_001).await.is_err_and(|e| e.is_damage()));
    assert!(store.get_range("r", 0..u64::MAX).await.is_err_and(|e| e.is_damage()));
    assert!(store.get_range("none", 0..1).await.is_err_and(|e| e.is_not_found()));
}

async fn streams(store: &dyn BlobStore) {
    let mut writer = store.create("s/stream", DATA).await.unwrap();
    for part in ["pi", "", "ny", "on"] {
        writer.write(text(part)).await.unwrap();
    }
    assert!(names(store, "s/").await.is_empty(), "nobody sees it before it is finished");
    let mut second = store.create("s/stream", DATA).await.unwrap();
    second.write(text("late")).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), 6);
    assert!(matches!(second.finish().await, Err(StorageError::AlreadyExists { .. })));
    assert_eq!(store.get("s/stream").await.unwrap().0, "pinyon");
    let mut dropped = store.create("s/dropped", DATA).await.unwrap();
    dropped.write(text("x")).await.unwrap();
    drop(dropped);
    assert_eq!(names(store, "s").await, ["s/stream"]);
}

async fn list_and_delete(store: &dyn BlobStore) {
    for name in ["x/a", "x/b/c", "x/b/d", "xy", "z"] {
        store.put(name, text("1234"), PutMode::CreateOnly, DATA).await.unwrap();
    }
    assert_eq!(names(store, "").await, ["x/a", "x/b/c", "x/b/d", "xy", "z"]);
    assert_eq!(names(store, "x").await, ["x/a", "x/b/c", "x/b/d", "xy"]);
    assert_eq!(names(store, "x/").await, ["x/a", "x/b/c", "x/b/d"]);
    assert_eq!(names(store, "x/b/c").await, ["x/b/c"]);
    assert!(names(store, "x/b/c/d").await.is_empty() && names(store, "none/").await.is_empty());
    assert_eq!(store.list("z").await.unwrap()[0].size, 4);
    store.delete("x/b/c").await.unwrap();
    store.delete("x/b/c").await.unwrap();
    store.delete("no/folder").await.unwrap();
    assert_eq!(names(store, "x/b").await, ["x/b/d"]);
    store.delete_dir("x").await.unwrap();
    store.delete_dir("x").await.unwrap();
    store.delete_dir("no/such/folder").await.unwrap();
    assert_eq!(names(store, "").await, ["xy", "z"]);
    store.put("x/a", text("again"), PutMode::CreateOnly, DATA).await.unwrap();
    assert_eq!(names(store, "x/").await, ["x/a"]);
}

async fn links(store: &dyn BlobStore) {
    store.put("l/one", text("first"), PutMode::CreateOnly, DATA).await.unwrap();
    store.link("l/one", "l/deep/er/two").await.unwrap();
    store.sync("l/deep/er").await.unwrap();
    assert!(matches!(store.link("l/one", "l/deep/er/two").await, Err(StorageError::AlreadyExists { .. })));
    assert!(store.link("l/none", "l/three").await.is_err_and(|e| e.is_not_found()));
    assert_eq!(store.get("l/deep/er/two").await.unwrap().0, "first");
    // Each name stands for itself from here on.
    store.put("l/one", text("changed"), PutMode::Overwrite, DATA).await.unwrap();
    assert_eq!(store.get("l/deep/er/two").await.unwrap().0, "first");
    store.delete("l/one").await.unwrap();
    assert_eq!(store.get("l/deep/er/two").await.unwrap().0, "first");
    store.delete_dir("l").await.unwrap();
}

async fn bad_names(store: &dyn BlobStore) {
    let long = "n".repeat(600);
    for name in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", ".tmp/x", ".hidden", "a b", "é", "a\0b", "a\\b", &long] {
        let refused = |e: StorageError| matches!(e, StorageError::Invalid { .. });
        assert!(store.put(name, text("x"), PutMode::Overwrite, DATA).await.is_err_and(refused), "{name:?}");
        assert!(store.get(name).await.is_err_and(refused) && store.delete(name).await.is_err_and(refused), "{name:?}");
        assert!(store.create(name, DATA).await.is_err() && store.head(name).await.is_err_and(refused), "{name:?}");
        assert!(store.delete_dir(name).await.is_err_and(refused) && store.get_ranges(name, &[]).await.is_err_and(refused), "{name:?}");
    }
}

/// Of many that swap from one version, or create one name, exactly one wins.
async fn one_winner(store: Arc<dyn BlobStore>) {
    let version = store.put("race", text("start"), PutMode::CreateOnly, DATA).await.unwrap();
    for (name, mode) in [("race", PutMode::IfVersion(version)), ("fresh", PutMode::CreateOnly)] {
        let racers: Vec<_> = (0..16)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move { store.put(name, Bytes::from(format!("by {n}")), mode, DATA).await.is_ok() })
            })
            .collect();
        let mut winners = Vec::new();
        for (n, racer) in racers.into_iter().enumerate() {
            if racer.await.unwrap() {
                winners.push(n);
            }
        }
        assert_eq!(winners.len(), 1, "{name}");
        assert_eq!(store.get(name).await.unwrap().0, format!("by {}", winners[0]));
    }
}

async fn suite(fresh: impl Fn() -> Arc<dyn BlobStore>) {
    put_and_get(&*fresh()).await;
    ranges(&*fresh()).await;
    streams(&*fresh()).await;
    list_and_delete(&*fresh()).await;
    links(&*fresh()).await;
    bad_names(&*fresh()).await;
    one_winner(fresh()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    suite(|| Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local() {
    let root = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    suite(|| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(LocalStore::open(&root.path().join(n.to_string()), Space::unlimited()).unwrap())
    })
    .await;
    for n in 0..count.into_inner() {
        let left = std::fs::read_dir(root.path().join(n.to_string()).join(".tmp")).unwrap().count();
        assert_eq!(left, 0, "temporary files of store {n}");
    }
}
