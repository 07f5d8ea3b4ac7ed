//! Kills the real process under mixed writes and holds what it serves afterwards against a model that shares no code with it.
//!
//! Each worker owns its namespaces and one prefix of a shared namespace, so its model is sequential: an operation that was
//! answered must be there, one that was refused must not, and one that was cut off must be there wholly or not at all.
//!
//! `PINYON_CRASH_KILLS` (default 10) kills at random moments, `PINYON_CRASH_SEED` chooses them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    load::{self, Random, Totals, Worker},
    process::{self, Server},
    setting,
};

const WORKERS: usize = 4;

/// Runs the load until `moment` or until the server dies by itself, then kills it; returns what was done.
fn load_then_kill(server: Server, workers: &mut [Worker], moment: Duration) -> Totals {
    let stop = AtomicBool::new(false);
    let host = server.index_host();
    let mut server = server;
    thread::scope(|scope| {
        let running: Vec<_> = workers.iter_mut().map(|w| scope.spawn(|| w.run(&host, &stop))).collect();
        server.kill_after(moment);
        stop.store(true, Ordering::SeqCst);
        running.into_iter().map(|r| r.join().expect("a worker panicked")).sum()
    })
}

/// Starts the server anew and compares all it serves with every worker's model.
fn verify(dir: &process::Directory, workers: &mut [Worker]) -> Server {
    let server = Server::start(dir, &[]);
    let host = server.index_host();
    for worker in workers.iter_mut() {
        worker.verify(&host);
    }
    load::verify_namespaces(&host, workers);
    server
}

#[test]
fn kill_at_random_moments() {
    let kills = setting("PINYON_CRASH_KILLS", 10);
    let seed = setting("PINYON_CRASH_SEED", 1);
    let dir = process::Directory::new();
    let mut random = Random::new(seed);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|n| Worker::new(n, seed)).collect();
    let mut server = Server::start(&dir, &[]);
    server.create_index();
    let mut totals = Totals::default();
    for kill in 0..kills {
        let moment = Duration::from_millis(20 + random.below(400));
        totals += load_then_kill(server, &mut workers, moment);
        server = verify(&dir, &mut workers);
        if kill % 50 == 49 {
            println!("{} kills: {totals}", kill + 1);
        }
    }
    server.terminate();
    println!("{kills} kills, seed {seed}: {totals}; lost 0, phantoms 0, changed 0");
    assert!(totals.acknowledged > kills, "the load did next to nothing: {totals}");
}
