//! Nothing a user wrote can be read from the data directory; and the search that says so can find what is there.

use std::{fs, path::Path};

use crate::{
    process::{Directory, Server},
    sample,
};

/// What was planted, as the bytes that a file would show.
fn plants() -> Vec<(&'static str, Vec<u8>)> {
    let floats = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    vec![
        ("index name", sample::INDEX.into()),
        ("tag key", sample::TAG_KEY.into()),
        ("tag value", sample::TAG_VALUE.into()),
        ("namespace", sample::NAMESPACE.into()),
        ("record id", sample::ID.into()),
        ("metadata field", sample::FIELD.into()),
        ("metadata text", sample::TEXT.into()),
        ("metadata list", "plant list red kite".into()),
        ("updated metadata", "plant late set".into()),
        ("dense values", floats(&sample::VALUES)),
        // One value is enough to look for: a format may store values apart from each other.
        ("sparse value", floats(&sample::SPARSE_VALUES[..1])),
        ("sparse index", sample::SPARSE_INDICES[1].to_le_bytes().to_vec()),
    ]
}

/// Which plants occur in any file under `dir`, with the file.
fn found(dir: &Path) -> Vec<(&'static str, String)> {
    let mut hits = Vec::new();
    let plants = plants();
    let mut files = 0;
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a type");
            for (what, bytes) in &plants {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                if name.as_bytes().windows(bytes.len()).any(|w| w == bytes.as_slice()) {
                    hits.push((*what, format!("the name {name}")));
                }
            }
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                files += 1;
                let content = fs::read(&path).expect("a file");
                for (what, bytes) in &plants {
                    if content.windows(bytes.len()).any(|w| w == bytes.as_slice()) {
                        hits.push((*what, path.display().to_string()));
                    }
                }
            }
        }
    }
    assert!(files > 10, "only {files} files to search");
    hits
}

#[test]
fn nothing_readable_on_disk() {
    let dir = Directory::new();
    let server = Server::start(&dir, &[]);
    sample::fill(&server);
    let while_running = found(&dir.data());
    server.kill();
    let after_a_kill = found(&dir.data());
    Server::start(&dir, &[]).terminate();
    let after_a_stop = found(&dir.data());
    for hits in [while_running, after_a_kill, after_a_stop] {
        assert!(hits.is_empty(), "{hits:?}");
    }
}

#[test]
fn the_search_finds_every_plant_when_nothing_is_sealed() {
    let dir = Directory::new();
    let server = Server::start(&dir, &[("PINYON_NULL_CIPHER", "1")]);
    sample::fill(&server);
    server.terminate();
    let hits = found(&dir.data());
    for (what, _) in plants() {
        assert!(hits.iter().any(|(w, _)| *w == what), "the search is blind to the {what}: {hits:?}");
    }
}
