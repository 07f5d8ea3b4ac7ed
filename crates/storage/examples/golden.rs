//! Writes the files of `tests/golden/FORMATS` in today's formats: `cargo run -p pinyon-storage --example golden -- NEW-FOLDER`.
//!
//! Run it only to add a folder when a format is added. What is there stays: every version reads what any version wrote.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pinyon_model::{BackupId, IndexId, Lsn, NamespaceId};
use pinyon_storage::{
    ChunkSize, KeyAbove, KeyStore, LocalStore, Log, LogKind, LogOptions, ObjectKind, ProjectKey, Purpose, PutMode, RootKey, SealedStore,
    Space,
};

type Done<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done<()> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let (index, namespace) = (IndexId::from_bytes([1; 16]), NamespaceId::from_bytes([2; 16]));

    let root = RootKey::generate();
    std::fs::write(folder.join("root.key"), root.export_text().as_bytes())?;
    let keys = KeyStore::open(&folder.join("keys"), root)?;
    let index_key = keys.create_index_key(index).await?;
    let namespace_key = keys.create_namespace_key(index, namespace).await?;
    let system_key = keys.system_key("golden").await?;
    keys.create_namespace_key(index, NamespaceId::from_bytes([3; 16])).await?;

    let options = LogOptions {
        kind: LogKind::NAMESPACE,
        owner: *namespace.as_bytes(),
        keys: namespace_key.clone().into(),
        after: Lsn(0),
        space: Space::unlimited(),
    };
    let frames = |texts: &[&'static str]| texts.iter().map(|t| Bytes::from_static(t.as_bytes())).collect::<Vec<_>>();
    for _ in 0..2 {
        let (mut log, _) = Log::open(folder.join("log"), options.clone())?;
        log.append(frames(&["first", ""]), Purpose::Data).await?;
        log.append(frames(&["a longer frame, for its padding"]), Purpose::Data).await?;
    }

    let store = SealedStore::new(Arc::new(LocalStore::open(&folder.join("objects"), Space::unlimited())?));
    let mut writer = store.writer("ns", ObjectKind::SEGMENT, 7, &namespace_key, ChunkSize::KIB_4, Purpose::Data).await?;
    let plain: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
    writer.write(&plain).await?;
    writer.finish().await?;
    store.put_named("named", ObjectKind::MANIFEST, 3, &index_key, b"a manifest", PutMode::CreateOnly, Purpose::Data).await?;
    store.put_named("empty", ObjectKind::MANIFEST, 3, &index_key, b"", PutMode::CreateOnly, Purpose::Data).await?;

    std::fs::write(folder.join("value"), system_key.seal(b"table/row", b"a value"))?;
    std::fs::write(folder.join("mac"), system_key.mac("purpose", b"a row"))?;
    rings(folder).await?;
    // None of them belongs to a format.
    std::fs::remove_file(folder.join("keys/LOCK"))?;
    std::fs::remove_file(folder.join("rings/LOCK"))?;
    std::fs::remove_dir(folder.join("objects/.tmp"))?;
    Ok(())
}

/// A key store with every kind of key: namespaces of several, backups, and some under a project key.
async fn rings(folder: &Path) -> Done<()> {
    let root = RootKey::parse_text(&std::fs::read_to_string(folder.join("root.key"))?)?;
    let keys = KeyStore::open(&folder.join("rings"), root)?;
    let (index, namespace, project) = (IndexId::from_bytes([1; 16]), NamespaceId::from_bytes([2; 16]), ProjectKey::generate());
    std::fs::write(folder.join("project.key"), project.expose())?;
    keys.put_project_key(&project, b"as its provider sealed it").await?;
    // Enough of them that what is destroyed stays in the file.
    for n in 0..100 {
        keys.create_index_key(IndexId::from_bytes([100 + n; 16])).await?;
    }
    keys.create_index_key_under(index, KeyAbove::Project(project.id())).await?;
    let first = keys.create_namespace_key(index, namespace).await?;
    keys.rotate_namespace_key(index, namespace).await?;
    keys.rotate_namespace_key(index, namespace).await?;
    keys.destroy_older_namespace_key(index, namespace, first.id()).await?;
    let backup = keys.create_backup_key(BackupId::from_bytes([4; 16]), KeyAbove::Project(project.id())).await?;
    keys.create_backup_key(BackupId::from_bytes([5; 16]), KeyAbove::Root).await?;
    keys.create_backup_key(BackupId::from_bytes([6; 16]), KeyAbove::Root).await?;
    keys.destroy_backup_key(BackupId::from_bytes([6; 16])).await?;
    std::fs::write(folder.join("sealed-key"), backup.seal_key(b"golden", &first))?;
    std::fs::write(folder.join("sealed-key.id"), first.id().as_bytes())?;
    Ok(())
}
