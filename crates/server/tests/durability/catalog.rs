//! The catalog's own writes, which SQLite makes and no fault site sees: killed in the middle of its commits, and on a disk without
//! a byte left.

use std::{
    fs,
    io::Write,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    control::Control,
    http::Client,
    load::{Random, Totals},
    process::{Directory, Server},
    setting,
};

const PAGE: u64 = 4096;

/// The length of the catalog's journal: a kill in the middle of a commit leaves one.
pub(crate) fn journal(data: &Path) -> u64 {
    fs::metadata(data.join("catalog.db-wal")).map_or(0, |m| m.len())
}

/// `PINYON_CRASH_KILLS` (default 10) kills at random moments while indexes, keys, projects and the root key change.
#[test]
fn kills_amid_changes_of_the_catalog() {
    let kills = setting("PINYON_CRASH_KILLS", 10);
    let seed = setting("PINYON_CRASH_SEED", 1);
    let dir = Directory::new();
    let mut random = Random::new(seed + 1);
    let mut users: Vec<Control> = (0..3).map(|n| Control::new(n, seed)).collect();
    let mut server = Server::start(&dir, &[]);
    let (mut totals, mut amid_a_commit) = (Totals::default(), 0);
    for _ in 0..kills {
        let moment = Duration::from_millis(20 + random.below(250));
        let (stop, host, data) = (AtomicBool::new(false), server.control_host(), dir.data());
        totals += thread::scope(|scope| {
            let running: Vec<_> = users.iter_mut().map(|user| scope.spawn(|| user.run(&host, &data, &stop))).collect();
            server.kill_after(moment);
            stop.store(true, Ordering::SeqCst);
            running.into_iter().map(|r| r.join().expect("a user panicked")).sum::<Totals>()
        });
        amid_a_commit += u64::from(journal(&data) > 0);
        server = Server::start(&dir, &[]);
        users.iter_mut().for_each(|user| user.verify(&server.control_host(), &data));
        let (clean, report) = dir.command(&["check"]);
        assert!(clean, "{report}");
    }
    server.terminate();
    println!("{kills} kills, {amid_a_commit} of them left a journal, seed {seed}: changes: {totals}; lost 0, half there 0");
    assert_eq!(totals.refused, 0, "nothing was at fault: {totals}");
    assert!(totals.acknowledged > kills, "next to nothing was changed: {totals}");
    assert!(kills < 10 || amid_a_commit > 0, "no kill met a commit");
}

/// Takes all the room of a disk but `room` bytes.
fn fill(disk: &Path, room: u64) {
    let mut filler = fs::File::create(disk.join("filler")).expect("a file");
    let piece = [7; PAGE as usize];
    let mut size = 0;
    while let Ok(n @ 1..) = filler.write(&piece) {
        size += n as u64;
    }
    filler.set_len(size.saturating_sub(room)).expect("a shorter file");
}

/// The disk is really full, at every step of a change: the server is made to believe in room, so that not even the reserve is kept.
#[test]
fn a_disk_without_a_byte_left_leaves_the_catalog_whole() {
    let mut dir = Directory::on_a_small_disk(24);
    let free = dir.path().join("free.txt");
    fs::write(&free, "1000000000000").expect("a file");
    let env = [("PINYON_FREE_FILE", free.to_str().expect("a plain path"))];
    let server = Server::start(&dir, &env);
    let (host, disk) = (server.control_host(), server.disk(&dir));
    let mut user = Control::new(1, 3);
    let (mut control, mut operator) = (Client::new(&host), Client::operator(&disk));
    let mut totals = Totals::default();
    (0..20).for_each(|_| user.step(&mut control, &mut operator, &mut totals));
    assert_eq!((totals.acknowledged, totals.refused), (20, 0), "with room: {totals}");
    let mut full = Totals::default();
    for room in 0..40 {
        fill(&disk, room * PAGE);
        (0..4).for_each(|_| user.step(&mut control, &mut operator, &mut full));
        let listed = control.send("GET", "/indexes", None).expect("an answer");
        assert_eq!(listed.status, 200, "reads go on: {listed:?}");
        fs::remove_file(disk.join("filler")).expect("removed");
        let patience = Instant::now() + Duration::from_secs(10);
        let mut after = Totals::default();
        while after.acknowledged == 0 {
            assert!(Instant::now() < patience, "changes do not resume");
            user.step(&mut control, &mut operator, &mut after);
        }
        user.verify(&host, &disk);
    }
    assert_eq!(full.cut_off, 0, "{full}");
    assert!(full.refused > 20 && full.acknowledged > 20, "the disk was full at too few steps: {full}");
    fill(&disk, 0);
    (0..4).for_each(|_| user.step(&mut control, &mut operator, &mut full));
    dir.leave_the_small_disk(server);
    fs::remove_file(dir.data().join("filler")).expect("removed");
    let server = Server::start(&dir, &[]);
    user.verify(&server.control_host(), &dir.data());
    let (clean, report) = dir.command(&["check"]);
    assert!(clean, "{report}");
    server.terminate();
    println!("changes of the catalog on a full disk: {full}; lost 0, half there 0");
}

/// `serve` with a certificate of its own, killed again and again before it was ready even once: the next start goes on from there.
#[test]
fn a_first_start_can_be_killed_at_any_moment() {
    let mut random = Random::new(setting("PINYON_CRASH_SEED", 1) + 2);
    let mut killed = 0;
    for _ in 0..setting("PINYON_CRASH_KILLS", 10).div_ceil(5) {
        let dir = Directory::new();
        let ready = || dir.last_words().contains("is ready");
        for _ in 0..5 {
            let mut server = Server::spawn(&dir, "serve", &["--tls-self-signed"], &[]);
            server.kill_after(Duration::from_millis(random.below(120)));
            killed += u64::from(!ready());
        }
        let mut server = Server::spawn(&dir, "serve", &["--tls-self-signed"], &[]);
        let patience = Instant::now() + Duration::from_secs(30);
        while !ready() {
            assert!(!server.is_gone() && Instant::now() < patience, "it does not start: {}", dir.last_words());
            thread::sleep(Duration::from_millis(5));
        }
        let (made, said) = dir.command(&["key", "create", "--name", "after", "--role", "ProjectEditor"]);
        assert!(made, "{said}");
        let (clean, report) = dir.command(&["check"]);
        assert!(clean, "{report}");
        server.terminate();
    }
    println!("{killed} first starts were killed before they were ready");
    assert!(killed > 0);
}
