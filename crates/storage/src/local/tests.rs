use super::*;
use crate::faults::{self, Fault, Rule};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

const SITES: [Site; 14] = [
    Site::BlobDirCreate,
    Site::BlobDirParentSync,
    Site::BlobCreate,
    Site::BlobWrite,
    Site::BlobSync,
    Site::BlobLink,
    Site::BlobRename,
    Site::BlobDirSync,
    Site::BlobTempUnlink,
    Site::BlobUnlink,
    Site::BlobUnlinkSync,
    Site::BlobDirRename,
    Site::BlobDirRenameSync,
    Site::BlobSweep,
];

/// Whatever fails, an object is there whole, in its old or its new form, or not at all; and once nothing fails all goes through.
#[tokio::test]
async fn objects_stay_whole_through_a_failure_at_any_site() {
    for site in SITES {
        for fault in [Fault::Eio, Fault::Enospc, Fault::Short] {
            for nth in 1..4 {
                let root = folder();
                let store = LocalStore::open(root.path(), Space::unlimited()).unwrap();
                store.put("d/old", Bytes::from_static(b"old"), PutMode::CreateOnly, Purpose::Data).await.unwrap();
                let faults = faults::install(root.path(), vec![Rule::once(site, nth, fault)]);
                for n in 0..3 {
                    let name = format!("e{n}/new");
                    let put = store.put(&name, Bytes::from_static(b"new"), PutMode::CreateOnly, Purpose::Data).await;
                    let got = store.get(&name).await.map(|(b, _)| b);
                    assert!(got.as_ref().is_ok_and(|b| b == "new") || (put.is_err() && got.is_err_and(|e| e.is_not_found())), "{site:?}");
                    let over = store.put("d/old", Bytes::from(format!("{n}")), PutMode::Overwrite, Purpose::Data).await;
                    let got = store.get("d/old").await.unwrap().0;
                    assert!(got == format!("{n}") || (over.is_err() && got.len() <= 3), "{site:?}");
                    let mut stream = store.create(&format!("s{n}"), Purpose::Data).await;
                    if let Ok(writer) = &mut stream {
                        let wrote = writer.write(Bytes::from_static(b"half")).await;
                        let again = writer.write(Bytes::from_static(b"half")).await;
                        assert!(again.is_err() || wrote.is_ok(), "a broken stream goes on");
                    }
                    if let Ok(writer) = stream {
                        let _ = writer.finish().await;
                    }
                    if let Ok((bytes, _)) = store.get(&format!("s{n}")).await {
                        assert_eq!(bytes, "halfhalf", "{site:?}");
                    }
                    let gone = store.delete(&name).await;
                    assert!(store.head(&name).await.is_err() || gone.is_err(), "{site:?}");
                    let gone = store.delete_dir(&format!("e{n}")).await;
                    assert!(gone.is_err() || store.list(&format!("e{n}/")).await.unwrap().is_empty(), "{site:?}");
                }
                assert!(faults.visits().get(&site).copied().unwrap_or(0) >= nth, "{site:?} was met less than {nth} times");
                drop(faults);
                drop(store);
                let store = LocalStore::open(root.path(), Space::unlimited()).unwrap();
                assert_eq!(std::fs::read_dir(root.path().join(TEMP)).unwrap().count(), 0, "{site:?}");
                store.put("again", Bytes::from_static(b"x"), PutMode::CreateOnly, Purpose::Data).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn what_a_crash_left_is_swept_and_what_cannot_be_is_no_obstacle() {
    let root = folder();
    std::fs::create_dir_all(root.path().join(".tmp/folder/deep")).unwrap();
    std::fs::write(root.path().join(".tmp/half"), b"x").unwrap();
    {
        let _faults = faults::install(root.path(), vec![Rule::always(Site::BlobSweep, Fault::Eio)]);
        let store = LocalStore::open(root.path(), Space::unlimited()).unwrap();
        assert!(store.list("").await.unwrap().is_empty());
    }
    LocalStore::open(root.path(), Space::unlimited()).unwrap();
    assert_eq!(std::fs::read_dir(root.path().join(TEMP)).unwrap().count(), 0);
}

#[tokio::test]
async fn a_full_disk_takes_essential_objects_only() {
    let root = folder();
    let store = LocalStore::open(root.path(), Space::of(root.path(), Some(u64::MAX / 2)).unwrap()).unwrap();
    let put = async |purpose| store.put("n", Bytes::from_static(b"x"), PutMode::CreateOnly, purpose).await;
    assert!(matches!(put(Purpose::Data).await, Err(StorageError::Full { .. })));
    put(Purpose::Essential).await.unwrap();
    let mut stream = store.create("s", Purpose::Data).await.unwrap();
    assert!(matches!(stream.write(Bytes::from_static(b"x")).await, Err(StorageError::Full { .. })));
    drop(stream);
    assert_eq!(std::fs::read_dir(root.path().join(TEMP)).unwrap().count(), 0);
}
