use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::DataKey;
use crate::faults::{self, Fault, Rule};
use crate::fs::Site;

/// A folder in memory where there is one: these tests sync often and ask nothing of a disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

struct Bed {
    folder: TempDir,
    options: LogOptions,
    runtime: tokio::runtime::Runtime,
}

impl Bed {
    fn new() -> Self {
        let key = Arc::new(DataKey::generate());
        let options = LogOptions { kind: LogKind::NAMESPACE, owner: [5; 16], keys: key.into(), after: Lsn(0), space: Space::unlimited() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { folder: folder(), options, runtime }
    }
    fn dir(&self) -> PathBuf {
        self.folder.path().join("ns")
    }
    fn open(&self) -> Result<(Log, Vec<(Lsn, Bytes)>)> {
        Log::open(self.dir(), self.options.clone())
    }
    fn log(&self) -> Log {
        self.open().unwrap().0
    }
    fn append(&self, log: &mut Log, texts: &[&str]) -> Result<Lsn> {
        let frames = texts.iter().map(|t| Bytes::copy_from_slice(t.as_bytes())).collect();
        self.runtime.block_on(log.append(frames, Purpose::Data))
    }
    fn trim(&self, log: &mut Log, upto: u64) -> Result<()> {
        self.runtime.block_on(log.trim(Lsn(upto)))
    }
    fn texts(&self) -> Vec<String> {
        self.open().unwrap().1.into_iter().map(|(_, b)| String::from_utf8(b.to_vec()).unwrap()).collect()
    }
    fn names(&self) -> Vec<String> {
        list(&self.dir()).unwrap().into_iter().map(|(e, s, _)| format!("{e}-{s}")).collect()
    }
    fn path(&self, epoch: u64, sequence: u64) -> PathBuf {
        self.dir().join(file_name(epoch, sequence))
    }
}

#[test]
fn what_was_appended_is_replayed_once_in_order() {
    let bed = Bed::new();
    let (mut log, replayed) = bed.open().unwrap();
    assert!(replayed.is_empty() && !bed.dir().exists(), "opening writes nothing");
    assert_eq!(bed.append(&mut log, &["a", "b"]).unwrap(), Lsn(2));
    assert_eq!(bed.append(&mut log, &[""]).unwrap(), Lsn(3));
    assert_eq!((log.files(), log.last_lsn()), (1, Lsn(3)));
    let mut log = bed.log();
    assert_eq!(bed.append(&mut log, &["d"]).unwrap(), Lsn(4));
    assert_eq!(bed.names(), ["1-0", "2-0"]);
    assert_eq!(bed.texts(), ["a", "b", "", "d"]);
    let newer = Log::open(bed.dir(), LogOptions { after: Lsn(2), ..bed.options.clone() }).unwrap().1;
    assert_eq!(newer, [(Lsn(3), Bytes::new()), (Lsn(4), Bytes::from_static(b"d"))]);
    let check = Log::check(&bed.dir(), &bed.options).unwrap();
    assert_eq!((check.files, check.frames, check.last_lsn, check.bytes), (2, 4, Lsn(4), bed.log().bytes()));
}

#[test]
fn an_older_owner_is_refused_whatever_the_newer_one_has_deleted() {
    for newer_trims in [false, true] {
        let bed = Bed::new();
        let mut old = bed.log();
        bed.append(&mut old, &["1"]).unwrap();
        let mut new = bed.log();
        bed.append(&mut new, &["2"]).unwrap();
        if newer_trims {
            let big = "x".repeat(2 << 20);
            bed.append(&mut new, &[&big]).unwrap();
            bed.trim(&mut new, 3).unwrap();
            assert_eq!(bed.names(), ["2-1"], "the fence itself is gone");
        }
        for _ in 0..2 {
            assert!(matches!(bed.append(&mut old, &["lost"]), Err(StorageError::Fenced { .. })));
        }
        bed.append(&mut new, &["3"]).unwrap();
        let options = LogOptions { after: Lsn(if newer_trims { 3 } else { 0 }), ..bed.options.clone() };
        let texts = Log::open(bed.dir(), options).unwrap().1;
        assert!(texts.iter().all(|(_, b)| b[..] != b"lost"[..]), "a refused frame was replayed");
        assert_eq!(texts.last().unwrap().1, "3");
    }
}

/// The old owner rolls to a file that the new one has never heard of, after the new one deleted its own first file.
#[test]
fn an_older_owner_that_begins_a_new_file_is_refused_too() {
    let bed = Bed::new();
    let mut old = bed.log();
    bed.append(&mut old, &["1"]).unwrap();
    {
        let _faults = faults::install(bed.folder.path(), vec![Rule::once(Site::LogSync, 1, Fault::Eio)]);
        bed.append(&mut old, &["failed, so the next begins a file"]).unwrap_err();
    }
    let mut new = bed.log();
    let big = "x".repeat(2 << 20);
    bed.append(&mut new, &[&big]).unwrap();
    let last = new.last_lsn().0;
    bed.trim(&mut new, last).unwrap();
    assert_eq!(bed.names(), ["2-1"]);
    assert!(matches!(bed.append(&mut old, &["lost"]), Err(StorageError::Fenced { .. })));
}

#[test]
fn whoever_read_the_log_before_another_wrote_is_refused() {
    let bed = Bed::new();
    bed.append(&mut bed.log(), &["1"]).unwrap();
    let (mut a, mut b) = (bed.log(), bed.log());
    bed.append(&mut a, &["2"]).unwrap();
    assert!(matches!(bed.append(&mut b, &["lost"]), Err(StorageError::Fenced { .. })));
    let mut c = bed.log();
    // The old owner goes on between c's reading and its first append.
    bed.append(&mut a, &["3"]).unwrap();
    assert!(matches!(bed.append(&mut c, &["lost"]), Err(StorageError::Fenced { .. })), "c has not seen 3");
    assert!(matches!(bed.append(&mut a, &["lost"]), Err(StorageError::Fenced { .. })), "c took the epoch all the same");
    assert_eq!(bed.append(&mut bed.log(), &["4"]).unwrap().0, bed.log().last_lsn().0);
    let texts = bed.texts();
    assert_eq!(texts[..3], ["1", "2", "3"]);
    assert_eq!(texts.last().unwrap(), "4");
}

/// Every site fails once: the append is refused, what was acknowledged before is there, and the next append goes through.
#[test]
fn after_a_failure_at_any_site_the_log_goes_on() {
    let sites =
        [Site::LogDirCreate, Site::LogDirParentSync, Site::LogCreate, Site::LogWriteFirst, Site::LogWrite, Site::LogSync, Site::LogDirSync];
    for site in sites {
        for fault in [Fault::Eio, Fault::Enospc, Fault::Short] {
            for nth in 1..4 {
                let bed = Bed::new();
                let faults = faults::install(bed.folder.path(), vec![Rule::once(site, nth, fault)]);
                let mut acked = Vec::new();
                for open in 0..3 {
                    let mut log = bed.log();
                    for n in 0..3 {
                        let texts = [format!("{open}.{n}a"), format!("{open}.{n}b")];
                        let texts = texts.each_ref().map(String::as_str);
                        let done = bed.append(&mut log, &texts).or_else(|_| bed.append(&mut log, &texts));
                        assert!(done.is_ok(), "{site:?} {fault:?} {nth}: {done:?}");
                        acked.extend(texts.map(str::to_owned));
                    }
                }
                assert_eq!(bed.texts(), acked, "{site:?} {fault:?} {nth}");
                let single = matches!(site, Site::LogDirCreate | Site::LogDirParentSync);
                assert!(single || faults.visits()[&site] >= nth, "{site:?} was not met");
            }
        }
    }
}

/// A write whose sync failed may be on disk in full. A restart right after it must not bring it back: its caller was told no.
#[test]
fn what_was_refused_is_not_replayed_by_a_restart() {
    for site in [Site::LogWrite, Site::LogSync, Site::LogWriteFirst, Site::LogDirSync] {
        for nth in 1..3 {
            let bed = Bed::new();
            let _faults = faults::install(bed.folder.path(), vec![Rule::once(site, nth, Fault::Eio)]);
            let mut acked = Vec::new();
            for n in 0..4 {
                let text = n.to_string();
                // Each append is the last of its open.
                if bed.append(&mut bed.log(), &[&text]).is_ok() {
                    acked.push(text);
                }
                assert_eq!(bed.texts(), acked, "{site:?} {nth}");
            }
            let mut log = bed.log();
            for text in ["x", "y", "z"] {
                if bed.append(&mut log, &[text]).is_ok() {
                    acked.push(text.to_owned());
                }
            }
            drop(log);
            assert_eq!(bed.texts(), acked, "{site:?} {nth}");
        }
    }
}

#[test]
fn a_full_disk_refuses_data_and_litters_nothing() {
    let bed = Bed::new();
    let mut log = bed.log();
    bed.append(&mut log, &["1"]).unwrap();
    {
        let _faults = faults::install(
            bed.folder.path(),
            vec![Rule::always(Site::LogWriteFirst, Fault::Enospc), Rule::always(Site::LogWrite, Fault::Enospc)],
        );
        for _ in 0..20 {
            assert!(matches!(bed.append(&mut log, &["no"]), Err(StorageError::Full { .. })));
        }
        assert_eq!(bed.names(), ["1-0"]);
    }
    bed.append(&mut log, &["2"]).unwrap();
    assert_eq!(bed.texts(), ["1", "2"]);

    let space = Space::of(bed.folder.path(), Some(u64::MAX / 2)).unwrap();
    let mut log = Log::open(bed.dir(), LogOptions { space, ..bed.options.clone() }).unwrap().0;
    assert!(matches!(bed.append(&mut log, &["no"]), Err(StorageError::Full { .. })));
    let essential = bed.runtime.block_on(log.append(vec![Bytes::from_static(b"deleted")], Purpose::Essential));
    assert_eq!(essential.unwrap(), Lsn(3));
}

#[test]
fn an_append_that_is_given_up_ends_the_log() {
    let bed = Bed::new();
    let mut log = bed.log();
    bed.append(&mut log, &["1"]).unwrap();
    bed.runtime.block_on(async {
        let append = log.append(vec![Bytes::from_static(b"2")], Purpose::Data);
        drop(tokio::time::timeout(std::time::Duration::ZERO, append).await);
    });
    // It may have ended in that instant; if not, nobody knows, and the log says so.
    if log.writer.is_none() {
        assert!(bed.append(&mut log, &["3"]).is_err());
    }
    bed.append(&mut bed.log(), &["4"]).unwrap();
    assert_eq!(bed.texts()[0], "1");
    assert_eq!(bed.texts().last().unwrap(), "4");
}

#[test]
fn trimming_deletes_dead_files_and_keeps_the_witness() {
    let bed = Bed::new();
    for n in 0..4 {
        bed.append(&mut bed.log(), &[&n.to_string()]).unwrap();
    }
    let mut log = bed.log();
    bed.trim(&mut log, 2).unwrap();
    assert_eq!((bed.names(), log.files()), (vec!["3-0".to_owned(), "4-0".to_owned()], 2));
    assert!(bed.open().is_err_and(|e| e.is_damage()), "LSN 1 and 2 are needed by whoever asks from 0");
    bed.append(&mut log, &["4"]).unwrap();
    bed.trim(&mut log, 5).unwrap();
    assert_eq!(bed.names(), ["5-0"], "the newest stays though it is dead");
    bed.append(&mut log, &["5"]).unwrap();
    let (log, frames) = Log::open(bed.dir(), LogOptions { after: Lsn(5), ..bed.options.clone() }).unwrap();
    assert_eq!((frames, log.last_lsn()), (vec![(Lsn(6), Bytes::from_static(b"5"))], Lsn(6)));
}

#[test]
fn a_big_file_is_followed_by_another_and_a_big_dead_one_replaced() {
    let bed = Bed::new();
    let mut log = bed.log();
    let big = "x".repeat(33 << 20);
    bed.append(&mut log, &[&big, &big]).unwrap();
    bed.append(&mut log, &["small"]).unwrap();
    assert_eq!(bed.names(), ["1-0", "1-1"]);
    bed.trim(&mut log, 2).unwrap();
    assert_eq!(bed.names(), ["1-1"]);
    bed.append(&mut log, &[&big]).unwrap();
    bed.trim(&mut log, 4).unwrap();
    assert_eq!((bed.names(), log.bytes()), (vec!["1-2".to_owned()], 176));
    let (log, frames) = Log::open(bed.dir(), LogOptions { after: Lsn(4), ..bed.options.clone() }).unwrap();
    assert_eq!((frames.len(), log.last_lsn()), (0, Lsn(4)));
}

#[test]
fn a_frame_over_the_limit_is_refused_before_anything_is_written() {
    let bed = Bed::new();
    let mut log = bed.log();
    let huge = Bytes::from(vec![0; crate::frame::MAX_FRAME + 1]);
    let refused = bed.runtime.block_on(log.append(vec![huge], Purpose::Data));
    assert!(matches!(refused, Err(StorageError::Invalid { .. })));
    assert!(bed.append(&mut log, &[]).is_err());
    assert!(!bed.dir().exists());
}

/// Copies a log's folder, lets `change` at one file of it, and opens the copy.
fn changed(bed: &Bed, file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<Bytes>> {
    let copy = folder();
    for entry in std::fs::read_dir(bed.dir()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let path = copy.path().join(file.file_name().unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    Log::open(copy.path().to_owned(), bed.options.clone()).map(|(_, frames)| frames.into_iter().map(|(_, b)| b).collect())
}

/// Two files, the first with a refused group behind what counts.
fn two_files() -> (Bed, Vec<String>) {
    let bed = Bed::new();
    let mut log = bed.log();
    bed.append(&mut log, &["one", "two"]).unwrap();
    {
        let _faults = faults::install(bed.folder.path(), vec![Rule::once(Site::LogSync, 1, Fault::Eio)]);
        bed.append(&mut log, &["refused"]).unwrap_err();
    }
    bed.append(&mut log, &["three"]).unwrap();
    bed.append(&mut log, &["four"]).unwrap();
    assert_eq!(bed.names(), ["1-0", "1-1"]);
    (bed, ["one", "two", "three", "four"].map(str::to_owned).to_vec())
}

#[test]
fn every_flipped_bit_is_found_or_lies_in_what_was_refused() {
    let (bed, texts) = two_files();
    assert_eq!(bed.texts(), texts);
    let counts = 176 + 2 * crate::frame::framed_len(3);
    for (epoch, sequence) in [(1, 0), (1, 1)] {
        let path = bed.path(epoch, sequence);
        for bit in 0..std::fs::metadata(&path).unwrap().len() as usize * 8 {
            match changed(&bed, &path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8)) {
                Err(StorageError::Damaged { file, .. }) => assert!(file.ends_with(&file_name(epoch, sequence)), "{file} for bit {bit}"),
                Ok(got) => {
                    assert!(sequence == 0 && bit / 8 >= counts, "bit {bit} of file {sequence} was not noticed");
                    assert_eq!(got, texts);
                }
                Err(e) => panic!("bit {bit}: {e}"),
            }
        }
    }
}

#[test]
fn a_cut_newest_file_loses_its_end_and_a_cut_older_one_is_named() {
    let (bed, texts) = two_files();
    let (older, newest) = (bed.path(1, 0), bed.path(1, 1));
    let counts = 176 + 2 * crate::frame::framed_len(3);
    for len in 0..std::fs::metadata(&older).unwrap().len() as usize {
        let got = changed(&bed, &older, |bytes| bytes.truncate(len));
        assert_eq!(got.is_ok(), len >= counts, "cut at {len}: {got:?}");
        assert!(got.is_ok_and(|got| got == texts) || len < counts);
    }
    for len in 0..std::fs::metadata(&newest).unwrap().len() as usize {
        let got = changed(&bed, &newest, |bytes| bytes.truncate(len)).unwrap();
        // Without its header nothing says that "refused" was: the client was told that its outcome is unknown.
        let whole = if len < 176 { vec!["one", "two", "refused"] } else { vec!["one", "two", "three"] };
        assert!(got.len() >= 2 && got[..] == whole[..got.len()], "cut at {len}: {got:?}");
    }
}

#[test]
fn a_zeroed_page_is_damage_unless_it_can_be_the_torn_last_group() {
    let bed = Bed::new();
    let mut log = bed.log();
    let text = |c: &str| c.repeat(3000);
    for c in ["a", "b", "c", "d", "e"] {
        bed.append(&mut log, &[&text(c)]).unwrap();
    }
    let path = bed.path(1, 0);
    let size = std::fs::metadata(&path).unwrap().len() as usize;
    let last_group = size - crate::frame::framed_len(3000);
    for from in (0..size).step_by(512) {
        let to = (from + 512).min(size);
        match changed(&bed, &path, |bytes| bytes[from..to].fill(0)) {
            Err(e) => assert!(e.is_damage() && from < last_group, "{from}: {e}"),
            Ok(got) => assert!(got.len() == 4 && from >= last_group, "{from}: {} frames", got.len()),
        }
    }
}

#[test]
fn a_log_of_another_owner_kind_or_name_is_damage() {
    let (bed, _) = two_files();
    let damaged = |options: LogOptions| Log::open(bed.dir(), options).is_err_and(|e| e.is_damage());
    assert!(damaged(LogOptions { owner: [6; 16], ..bed.options.clone() }));
    assert!(damaged(LogOptions { kind: LogKind::AUDIT, ..bed.options.clone() }));
    assert!(damaged(LogOptions { keys: Arc::new(DataKey::generate()).into(), ..bed.options.clone() }));
    std::fs::rename(bed.path(1, 1), bed.path(1, 2)).unwrap();
    assert!(damaged(bed.options.clone()));
    std::fs::remove_file(bed.path(1, 2)).unwrap();
    std::fs::copy(bed.path(1, 0), bed.path(1, 3)).unwrap();
    assert!(damaged(bed.options.clone()));
}

/// One step of a log's life.
#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Reopen,
    Trim,
    Fault(Site, Fault),
}

fn step() -> impl Strategy<Value = Step> {
    let sites = [Site::LogCreate, Site::LogWriteFirst, Site::LogWrite, Site::LogSync, Site::LogDirSync, Site::LogUnlink, Site::LogTrimSync];
    let fault = prop_oneof![Just(Fault::Eio), Just(Fault::Enospc), Just(Fault::Short)];
    prop_oneof![
        4 => (1usize..4).prop_map(Step::Append),
        1 => Just(Step::Reopen),
        1 => Just(Step::Trim),
        3 => (prop::sample::select(sites.to_vec()), fault).prop_map(|(s, f)| Step::Fault(s, f)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Through failures and reopenings: what was acknowledged is there, in order; what was not is nowhere but at the very end, where its
    /// outcome was unknown when the log was opened again. No (key, nonce) is used twice.
    #[test]
    fn nothing_acknowledged_is_lost(steps in prop::collection::vec(step(), 1..25)) {
        faults::watch_nonces();
        let bed = Bed::new();
        let (mut log, mut after, mut number) = (bed.log(), 0, 0u32);
        // The model: LSN of each text that counts, and the texts that failed since.
        let mut counts: Vec<String> = Vec::new();
        let mut pending = None;
        for step in steps {
            match step {
                Step::Append(n) => {
                    let texts: Vec<String> = (0..n).map(|i| format!("{number}.{i}")).collect();
                    number += 1;
                    if let Ok(lsn) = bed.append(&mut log, &texts.iter().map(String::as_str).collect::<Vec<_>>()) {
                        counts.extend(texts);
                        prop_assert_eq!(lsn.0 as usize, counts.len());
                    }
                    pending = None;
                }
                Step::Trim => {
                    // The caller has all of it safe elsewhere before it trims, however the trimming goes.
                    after = counts.len() as u64;
                    let _ = bed.trim(&mut log, after);
                }
                Step::Fault(site, fault) => pending = Some(faults::install(bed.folder.path(), vec![Rule::once(site, 1, fault)])),
                Step::Reopen => {
                    pending = None;
                    let options = LogOptions { after: Lsn(after), ..bed.options.clone() };
                    let (again, frames) = Log::open(bed.dir(), options).unwrap();
                    let texts: Vec<_> = frames.iter().map(|(_, b)| String::from_utf8(b.to_vec()).unwrap()).collect();
                    let expected = &counts[after as usize..];
                    prop_assert!(texts.len() >= expected.len());
                    prop_assert_eq!(&texts[..expected.len()], expected);
                    // What was in doubt counts from now on.
                    counts.extend(texts[expected.len()..].iter().cloned());
                    log = again;
                }
            }
        }
        drop(pending);
        prop_assert_eq!(faults::nonces_watched().1, 0);
    }
}

/// What a reader gives between two LSNs, a text for each part.
fn read(bed: &Bed, after: u64, upto: u64) -> Result<Vec<String>> {
    let mut reader = LogReader::open(&bed.dir(), &LogOptions { after: Lsn(after), ..bed.options.clone() }, Lsn(upto))?;
    let mut parts = Vec::new();
    while let Some(part) = reader.next_part()? {
        parts.push(part.frames.iter().map(|(lsn, frame)| format!("{lsn}{}", String::from_utf8_lossy(frame))).collect::<Vec<_>>().join(" "));
    }
    Ok(parts)
}

#[test]
fn a_reader_goes_from_file_to_file_and_no_further_than_asked() {
    let bed = Bed::new();
    let mut log = bed.log();
    assert_eq!(read(&bed, 0, 0).unwrap(), [""; 0]);
    bed.append(&mut log, &["a", "b"]).unwrap();
    bed.runtime.block_on(log.roll()).unwrap();
    bed.append(&mut log, &["c"]).unwrap();
    bed.append(&mut log, &["d"]).unwrap();
    bed.runtime.block_on(log.roll()).unwrap();
    bed.runtime.block_on(log.roll()).unwrap();
    bed.append(&mut log, &["e"]).unwrap();
    assert_eq!(bed.names(), ["1-0", "1-1", "1-2"], "two rolls are one");
    assert_eq!(bed.texts(), ["a", "b", "c", "d", "e"]);
    assert_eq!(read(&bed, 0, 5).unwrap(), ["1a 2b", "3c 4d", "5e"]);
    assert_eq!(read(&bed, 1, 4).unwrap(), ["2b", "3c 4d"]);
    assert_eq!(read(&bed, 2, 3).unwrap(), ["3c"]);
    assert_eq!(read(&bed, 5, 5).unwrap(), [""; 0]);
    // What is appended while it reads is not given.
    let mut reader = LogReader::open(&bed.dir(), &bed.options, log.last_lsn()).unwrap();
    assert_eq!(reader.next_part().unwrap().unwrap().frames.len(), 2);
    bed.append(&mut log, &["f"]).unwrap();
    let rest: usize = std::iter::from_fn(|| reader.next_part().unwrap()).map(|part| part.frames.len()).sum();
    assert_eq!(rest, 3);
    // From where it was trimmed to, it reads; before that there is nothing to be read.
    bed.trim(&mut log, 2).unwrap();
    assert_eq!(read(&bed, 2, 6).unwrap(), ["3c 4d", "5e 6f"]);
    assert!(read(&bed, 1, 6).is_err());
    assert!(read(&bed, 2, 7).unwrap_err().is_damage(), "what was acknowledged is not there");
}

#[test]
fn a_reader_finds_what_is_gone_and_what_is_changed() {
    let bed = Bed::new();
    let mut log = bed.log();
    for text in ["a", "b", "c"] {
        bed.append(&mut log, &[text, text]).unwrap();
        bed.runtime.block_on(log.roll()).unwrap();
    }
    for sequence in 0..3 {
        let path = bed.path(1, sequence);
        let whole = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(read(&bed, 0, 6).unwrap_err().is_damage(), "without file {sequence}");
        for byte in [20, 100, 150, 180, whole.len() - 5] {
            let mut bytes = whole.clone();
            bytes[byte] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            let error = read(&bed, 0, 6).unwrap_err();
            assert!(error.to_string().contains(&file_name(1, sequence)), "byte {byte}: {error}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(read(&bed, 0, 6).unwrap().len(), 3);
}

#[test]
fn a_log_goes_on_under_another_key() {
    let bed = Bed::new();
    let (old, new) = (Arc::clone(bed.options.keys.current()), Arc::new(DataKey::generate()));
    let both = KeyRing::new(Arc::clone(&new), vec![old]);
    let mut log = bed.log();
    bed.append(&mut log, &["before"]).unwrap();
    bed.runtime.block_on(log.rekey(both.clone())).unwrap();
    bed.append(&mut log, &["after"]).unwrap();
    drop(log);
    assert!(Log::open(bed.dir(), bed.options.clone()).is_err(), "the old key does not open all of it");
    let options = LogOptions { keys: both, ..bed.options.clone() };
    let (mut log, frames) = Log::open(bed.dir(), options).unwrap();
    let texts: Vec<&[u8]> = frames.iter().map(|(_, frame)| frame.as_ref()).collect();
    assert_eq!(texts, [b"before".as_slice(), b"after"]);
    bed.runtime.block_on(log.rekey(KeyRing::from(Arc::clone(&new)))).unwrap();
    bed.trim(&mut log, 2).unwrap();
    drop(log);
    let (log, _) = Log::open(bed.dir(), LogOptions { keys: new.into(), after: Lsn(2), ..bed.options.clone() }).unwrap();
    assert_eq!((log.last_lsn(), log.files()), (Lsn(2), 1));
}
