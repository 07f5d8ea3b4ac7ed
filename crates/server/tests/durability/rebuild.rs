//! Losing the catalog loses who and what, and no record; and a rebuild that is cut short can be done again.

use std::{collections::BTreeSet, fs};

use crate::{
    process::{Directory, Server},
    sample,
};

fn lose_the_catalog(dir: &Directory) {
    for file in fs::read_dir(dir.data()).expect("a folder").flatten() {
        if file.file_name().to_string_lossy().starts_with("catalog") {
            fs::remove_file(file.path()).expect("removed");
        }
    }
}

#[test]
fn every_record_is_served_after_the_catalog_is_lost() {
    let dir = Directory::new();
    let server = Server::start(&dir, &[]);
    sample::fill(&server);
    let before = sample::read(&server);
    server.terminate();
    lose_the_catalog(&dir);
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

/// Each write, rename, sync and removal of a rebuild kills it once and fails once; the rebuild after it brings every record back.
#[test]
fn a_rebuild_that_is_cut_short_is_done_again() {
    let dir = Directory::new();
    let server = Server::start(&dir, &[]);
    sample::fill(&server);
    let before = sample::read(&server);
    server.terminate();
    lose_the_catalog(&dir);
    // A damaged catalog is set aside by the rebuild, an absent one is not: this one has more to do.
    let garbage = || fs::write(dir.data().join("catalog.db"), "garbage").expect("a file");
    garbage();
    let count = dir.path().join("sites.txt");
    let (done, report) = dir.command_with(&["catalog", "rebuild"], &[("PINYON_FAULT_COUNT", count.to_str().expect("a plain path"))]);
    assert!(done, "{report}");
    let sites: BTreeSet<String> = fs::read_to_string(&count).expect("sites").lines().map(str::to_owned).collect();
    let mut met = 0;
    for site in &sites {
        for way in ["kill", "eio"] {
            lose_the_catalog(&dir);
            garbage();
            let (done, _) = dir.command_with(&["catalog", "rebuild"], &[("PINYON_FAULT", &format!("{site}:1:{way}"))]);
            met += u64::from(!done);
            let (again, report) = dir.command(&["catalog", "rebuild"]);
            assert!(again || done || report.contains("nothing to rebuild"), "after {site}:{way}: {report}");
        }
    }
    println!("{} sites of a rebuild, {met} rebuilds cut short: {sites:?}", sites.len());
    assert!(met >= sites.len() as u64, "{met}");
    let server = Server::start(&dir, &[]);
    assert_eq!(sample::read(&server), before);
    server.terminate();
}
