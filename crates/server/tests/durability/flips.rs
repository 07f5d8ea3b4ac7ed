//! One flipped bit in any stored file is detected or harmless: never a wrong answer, never more than its namespace.
//! `PINYON_FLIPS` (default 60) bits are flipped, one at a time, spread over the kinds of file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    load::Random,
    process::{Directory, Server},
    sample::{self, Reads},
    setting,
};

/// How one flip was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// The server did not start, and said which file.
    AtStart,
    /// Some reads answered an error that names a file; all others were right.
    AtRead,
    /// All reads were right, and `check` names the file.
    ByCheck,
    /// All reads were right and `check` finds every byte that matters in order.
    Harmless,
}

/// The kind of a stored file: its folder and name with ids and numbers taken out.
fn kind(path: &Path) -> String {
    let text: String = path.to_string_lossy().chars().map(|c| if c.is_ascii_hexdigit() { '#' } else { c }).collect();
    let mut short = String::new();
    for c in text.chars() {
        if !(c == '#' && short.ends_with('#')) {
            short.push(c);
        }
    }
    short
}

fn files(root: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let relative = path.strip_prefix(root).expect("inside").to_path_buf();
            if path.is_dir() {
                open.push(path);
            } else if entry.metadata().expect("metadata").len() > 0 && !relative.ends_with("LOCK") {
                kinds.entry(kind(&relative)).or_default().push(relative);
            }
        }
    }
    kinds
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Compares what is served with what should be: an error must be a 5xx that names a file, any other difference is wrong.
fn judge(expected: &Reads, served: &Reads, what: &str) -> usize {
    let mut refused = 0;
    for (request, (status, body)) in expected {
        let (s, b) = &served[request];
        if (s, b) == (status, body) {
            continue;
        }
        let text = b.to_string();
        assert!(*s >= 500 && text.contains("damaged"), "{what}: wrong answer to {request}: {s} {text:.300}, not {status}");
        refused += 1;
    }
    refused
}

#[test]
fn a_flipped_bit_never_makes_a_wrong_answer() {
    let flips = setting("PINYON_FLIPS", 60);
    let mut random = Random::new(setting("PINYON_FLIPS_SEED", 5));
    let dir = Directory::new();
    let server = Server::start(&dir, &[]);
    sample::fill(&server);
    server.terminate();
    let server = Server::start(&dir, &[]);
    let expected = sample::read(&server);
    for (request, (status, _)) in &expected {
        assert_eq!(*status, 200, "{request}");
    }
    // Killed, not stopped: the catalog's journal and the open logs are there too.
    server.kill();
    let whole = dir.path().join("whole");
    copy(&dir.data(), &whole);
    let kinds = files(&whole);
    let names: Vec<&String> = kinds.keys().collect();
    println!("kinds of file: {names:?}");
    let mut met: BTreeMap<(String, Met), u64> = BTreeMap::new();
    for n in 0..flips {
        let kind = names[(n % names.len() as u64) as usize];
        let of_kind = &kinds[kind];
        let file = &of_kind[random.below(of_kind.len() as u64) as usize];
        fs::remove_dir_all(dir.data()).expect("the old copy goes");
        copy(&whole, &dir.data());
        let path = dir.data().join(file);
        let mut bytes = fs::read(&path).expect("a file");
        let bit = random.below(bytes.len() as u64 * 8);
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        fs::write(&path, bytes).expect("a write");
        let what = format!("bit {bit} of {}", file.display());
        let way = meet(&dir, &expected, &what);
        *met.entry((kind.clone(), way)).or_insert(0) += 1;
    }
    println!("{flips} flips, 0 wrong answers");
    for ((kind, way), count) in met {
        println!("{count:6} {way:?} {kind}");
    }
}

fn meet(dir: &Directory, expected: &Reads, what: &str) -> Met {
    let Some(server) = Server::try_start(dir, &[]) else {
        let said = dir.last_words();
        assert!(said.contains("damaged") || said.contains("catalog rebuild"), "{what}: did not start and did not say why: {said}");
        return Met::AtStart;
    };
    if judge(expected, &sample::read(&server), what) > 0 {
        return Met::AtRead;
    }
    server.kill();
    let (clean, report) = dir.command(&["check"]);
    if clean {
        return Met::Harmless;
    }
    assert!(report.contains("damaged"), "{what}: {report}");
    Met::ByCheck
}
