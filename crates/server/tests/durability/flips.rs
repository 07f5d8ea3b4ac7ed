//! One flipped bit in any stored file is detected or harmless: never a wrong answer, never more than its namespace.
//! `PINYON_FLIPS` (default 60) bits are flipped, one at a time, spread over the kinds of file. The catalog holds some hundred keys,
//! projects and indexes, so that its pages are full, and was killed in the middle of a commit, so that it has a journal.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    catalog::journal,
    http::Client,
    load::Random,
    process::{Directory, Server, copy},
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
    /// So they are without the change in the journal, which was never acknowledged.
    WithoutLastChange,
}

/// The kind of a stored file: its folder and name with ids and numbers taken out.
fn kind(path: &Path) -> String {
    let part = |text: &str| {
        let is_id = text.len() >= 8 && text.chars().all(|c| c.is_ascii_hexdigit());
        if is_id { "ID".to_owned() } else { text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned() }
    };
    let parts: Vec<String> = path.iter().map(|p| part(&p.to_string_lossy())).collect();
    parts.join("/")
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

/// Everything a reader can see, and what an operator can list.
fn read(dir: &Directory, server: &Server) -> Reads {
    let mut reads = sample::read(server);
    let mut operator = Client::operator(&dir.data());
    for command in [json!({"command": "list-keys", "project": null}), json!({"command": "list-projects"})] {
        let (status, body) = operator.command(&command).map_or((0, Value::Null), |a| (a.status, a.body));
        reads.insert(command.to_string(), (status, body));
    }
    reads
}

fn command(dir: &Directory, command: &Value) -> Option<u16> {
    Client::operator(&dir.data()).command(command).map(|a| a.status)
}

/// Fills the catalog's pages.
fn fill_the_catalog(dir: &Directory, server: &Server) {
    let done = |answer: Option<u16>| assert_eq!(answer, Some(200));
    for n in 0..250 {
        done(command(dir, &json!({"command": "create-key", "name": format!("key {n}"), "roles": ["ProjectEditor", "DataPlaneViewer"]})));
    }
    (0..60).for_each(|n| done(command(dir, &json!({"command": "create-project", "name": format!("project {n}")}))));
    let mut control = Client::new(&server.control_host());
    for n in 0..12 {
        let body = json!({"name": format!("further-{n}"), "dimension": 3, "tags": {"n": n.to_string()},
            "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}});
        let answer = control.send("POST", "/indexes", Some(&body)).expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

/// Kills the server in the middle of a commit that is in the journal and not yet in the file. Answers what is to be read with the journal
/// and without it: a change that was not acknowledged may be there or not.
fn kill_amid_a_commit(dir: &Directory, mut server: Server, whole: &Path, random: &mut Random) -> [Reads; 2] {
    let number = AtomicU64::new(0);
    for _ in 0..300 {
        let moment = Duration::from_micros(3_000 + random.below(20_000));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let name = || format!("late {}", number.fetch_add(1, Ordering::SeqCst));
                    while command(dir, &json!({"command": "create-key", "name": name(), "roles": ["ProjectEditor"]})) == Some(200) {}
                });
            }
            server.kill_after(moment);
        });
        if journal(&dir.data()) > 0 {
            let _ = fs::remove_dir_all(whole);
            copy(&dir.data(), whole);
            let with = {
                let server = Server::start(dir, &[]);
                let reads = read(dir, &server);
                server.kill();
                reads
            };
            restore(dir, whole);
            fs::remove_file(dir.data().join("catalog.db-wal")).expect("removed");
            if let Some(server) = Server::try_start(dir, &[]) {
                let without = read(dir, &server);
                server.kill();
                if with != without {
                    return [with, without];
                }
            }
        }
        // Not this time: the commit was not whole, or was in the file already.
        server = Server::start(dir, &[]);
    }
    panic!("no kill left a journal with a whole commit");
}

fn restore(dir: &Directory, whole: &Path) {
    fs::remove_dir_all(dir.data()).expect("the old copy goes");
    copy(whole, &dir.data());
}

/// Compares what is served with what should be: an error must be a 5xx that names a file, any other difference is wrong. How many
/// reads were refused, or the first wrong answer.
fn judge(expected: &Reads, served: &Reads) -> Result<usize, String> {
    let mut refused = 0;
    for (request, (status, body)) in expected {
        let (s, b) = &served[request];
        if (s, b) == (status, body) {
            continue;
        }
        let text = b.to_string();
        if *s < 500 || !text.contains("damaged") {
            return Err(format!("wrong answer to {request}: {s} {text:.300}, not {status}"));
        }
        refused += 1;
    }
    Ok(refused)
}

#[test]
fn a_flipped_bit_never_makes_a_wrong_answer() {
    let flips = setting("PINYON_FLIPS", 60);
    let mut random = Random::new(setting("PINYON_FLIPS_SEED", 5));
    let dir = Directory::new();
    let server = Server::start(&dir, &[]);
    sample::fill(&server);
    fill_the_catalog(&dir, &server);
    server.terminate();
    let server = Server::start(&dir, &[]);
    // Killed, not stopped: the catalog's journal and the open logs are there too.
    let whole = dir.path().join("whole");
    let expected = kill_amid_a_commit(&dir, server, &whole, &mut random);
    for (request, (status, _)) in expected.iter().flatten() {
        assert_eq!(*status, 200, "{request}");
    }
    println!("the catalog has {} bytes, its journal {}", fs::metadata(whole.join("catalog.db")).expect("a file").len(), journal(&whole));
    let kinds = files(&whole);
    let names: Vec<&String> = kinds.keys().collect();
    println!("kinds of file: {names:?}");
    let mut met: BTreeMap<(String, Met), u64> = BTreeMap::new();
    for n in 0..flips {
        let kind = names[(n % names.len() as u64) as usize];
        let of_kind = &kinds[kind];
        let file = &of_kind[random.below(of_kind.len() as u64) as usize];
        restore(&dir, &whole);
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

fn meet(dir: &Directory, expected: &[Reads], what: &str) -> Met {
    let Some(server) = Server::try_start(dir, &[]) else {
        let said = dir.last_words();
        assert!(said.contains("damaged") || said.contains("catalog rebuild"), "{what}: did not start and did not say why: {said}");
        return Met::AtStart;
    };
    let served = read(dir, &server);
    let judged: Vec<Result<usize, String>> = expected.iter().map(|e| judge(e, &served)).collect();
    let harmless = match judged.as_slice() {
        [Ok(0), _] => Met::Harmless,
        [_, Ok(0)] => Met::WithoutLastChange,
        _ if judged.iter().any(Result::is_ok) => return Met::AtRead,
        _ => panic!("{what}: {judged:?}"),
    };
    server.kill();
    let (clean, report) = dir.command(&["check"]);
    if clean {
        return harmless;
    }
    assert!(report.contains("damaged"), "{what}: {report}");
    Met::ByCheck
}
