//! Losing the catalog loses who and what, and no record.

use std::fs;

use crate::{
    process::{Directory, Server},
    sample,
};

#[test]
fn every_record_is_served_after_the_catalog_is_lost() {
    let dir = Directory::new();
    let server = Server::start(&dir, &[]);
    sample::fill(&server);
    let before = sample::read(&server);
    server.terminate();
    for file in fs::read_dir(dir.data()).expect("a folder").flatten() {
        if file.file_name().to_string_lossy().starts_with("catalog") {
            fs::remove_file(file.path()).expect("removed");
        }
    }
    assert!(!dir.data().join("catalog.db").exists());
    assert!(Server::try_start(&dir, &[]).is_none(), "a directory with data and no catalog must not start as if it were empty");
    assert!(dir.last_words().contains("catalog rebuild"), "{}", dir.last_words());
    let (done, report) = dir.command(&["catalog", "rebuild"]);
    assert!(done, "{report}");
    println!("{report}");
    for word in ["keys", "1 index"] {
        assert!(report.contains(word), "the report does not speak of {word}: {report}");
    }
    let server = Server::start(&dir, &[]);
    assert_eq!(sample::read(&server), before);
    server.terminate();
}
