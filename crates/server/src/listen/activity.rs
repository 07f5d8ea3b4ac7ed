//! What each open connection is doing, and the rule of which are closed: those that dawdle over a request's head, those
//! that do not take their answer, those idle too long, and, when all places are taken, those idle longest.
//!
//! hyper's own header timeout also runs while a kept-alive connection is idle, so it cannot be short without closing
//! pooled connections under the SDKs; hence this one sweep over all connections instead.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, Interval},
};
use tokio_util::sync::CancellationToken;

/// How long a client may refuse to take bytes of its answer.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// Every open connection.
pub(crate) struct Connections {
    start: Instant,
    capacity: usize,
    header_timeout: Duration,
    idle_timeout: Duration,
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
    freed: Notify,
}

/// One open connection. Times are milliseconds since the start of the server; 0 means "not".
#[derive(Debug)]
pub(crate) struct Activity {
    start: Instant,
    in_flight: AtomicU32,
    reading_since: AtomicU64,
    stalled_since: AtomicU64,
    idle_since: AtomicU64,
    multiplexed: AtomicBool,
    /// Finish what is in progress, then close.
    pub(crate) close: CancellationToken,
    /// Close at once.
    pub(crate) abort: CancellationToken,
}

/// A connection's place; given back when dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    pub(crate) activity: Arc<Activity>,
}

/// A request in progress, from its head to the end of its answer.
pub(crate) struct InFlight(Arc<Activity>);

impl Connections {
    /// Room for `capacity` connections.
    pub(crate) fn new(capacity: usize, header_timeout: Duration, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            capacity,
            header_timeout,
            idle_timeout,
            open: Mutex::new(HashMap::new()),
            next: AtomicU64::new(0),
            freed: Notify::new(),
        })
    }

    /// A place for a new connection. When all are taken, idle connections are closed to make room; when none is idle, waits.
    pub(crate) async fn place(self: &Arc<Self>, close: CancellationToken) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_place(&close) {
                return place;
            }
            self.evict();
            freed.await;
        }
    }

    fn try_place(self: &Arc<Self>, close: &CancellationToken) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.capacity {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity::new(self.start, close.clone()));
        open.insert(id, activity.clone());
        Some(Place { connections: self.clone(), id, activity })
    }

    /// Aborts the connections idle longest, a 64th of all, so that a flood does not search anew for each newcomer. Those told already
    /// are on their way out: counting them again would leave the next newcomer without a place of its own.
    pub(crate) fn evict(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let may_go = |a: &&Arc<Activity>| a.in_flight.load(Ordering::Relaxed) == 0 && !a.abort.is_cancelled();
        let mut idle: Vec<_> = open.values().filter(may_go).collect();
        idle.sort_unstable_by_key(|a| a.idle_since.load(Ordering::Relaxed));
        for activity in idle.iter().take(1 + self.capacity / 64) {
            activity.abort.cancel();
        }
    }

    /// Closes what the rules close, once per tick, for ever.
    pub(crate) async fn sweep(self: Arc<Self>, mut ticks: Interval) {
        loop {
            ticks.tick().await;
            self.sweep_once();
        }
    }

    fn sweep_once(&self) {
        let now = millis(self.start);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for activity in open.values() {
            activity.judge(now, self.header_timeout, self.idle_timeout);
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        self.connections.freed.notify_one();
    }
}

impl Activity {
    fn new(start: Instant, close: CancellationToken) -> Self {
        let now = millis(start);
        Self {
            start,
            in_flight: AtomicU32::new(0),
            reading_since: AtomicU64::new(now),
            stalled_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(now),
            multiplexed: AtomicBool::new(false),
            close,
            abort: CancellationToken::new(),
        }
    }

    /// Bytes came in. Between requests they begin the next head.
    pub(crate) fn received(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 && !self.multiplexed.load(Ordering::Relaxed) {
            let _ = self.reading_since.compare_exchange(0, millis(self.start), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The connection turned out to be HTTP/2, whose own pings find dead peers.
    pub(crate) fn is_multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
        self.reading_since.store(0, Ordering::Relaxed);
    }

    /// Whether the peer takes what is written to it.
    pub(crate) fn writing(&self, stalled: bool) {
        if !stalled {
            self.stalled_since.store(0, Ordering::Relaxed);
        } else {
            let _ = self.stalled_since.compare_exchange(0, millis(self.start), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Told to end, at once or when done. Until HTTP begins there is nothing to finish, so that both are the same.
    pub(crate) async fn told_to_end(&self) {
        tokio::select! {
            () = self.close.cancelled() => {}
            () = self.abort.cancelled() => {}
        }
    }

    /// A request's head is complete.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.reading_since.store(0, Ordering::Relaxed);
        InFlight(self.clone())
    }

    fn judge(&self, now: u64, header_timeout: Duration, idle_timeout: Duration) {
        let over = |since: u64, limit: Duration| since != 0 && now.saturating_sub(since) > limit.as_millis() as u64;
        if over(self.stalled_since.load(Ordering::Relaxed), WRITE_STALL) || over(self.reading_since.load(Ordering::Relaxed), header_timeout)
        {
            self.abort.cancel();
        } else if self.in_flight.load(Ordering::Relaxed) == 0 && over(self.idle_since.load(Ordering::Relaxed), idle_timeout) {
            self.close.cancel();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(millis(self.0.start), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Never 0, which means "not".
fn millis(start: Instant) -> u64 {
    start.elapsed().as_millis() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(300);

    fn judged(at: Duration, act: impl FnOnce(&Arc<Activity>)) -> (bool, bool) {
        let activity = Arc::new(Activity::new(Instant::now(), CancellationToken::new()));
        act(&activity);
        activity.judge(at.as_millis() as u64, HEADER, IDLE);
        (activity.abort.is_cancelled(), activity.close.is_cancelled())
    }

    #[test]
    fn a_silent_newcomer_is_aborted() {
        assert_eq!(judged(HEADER / 2, |_| ()), (false, false));
        assert_eq!(judged(HEADER * 2, |_| ()), (true, false));
    }

    #[test]
    fn a_kept_alive_connection_may_be_idle_but_not_dawdle() {
        let answered = |a: &Arc<Activity>| drop(a.begin());
        assert_eq!(judged(HEADER * 2, answered), (false, false));
        assert_eq!(judged(IDLE * 2, answered), (false, true));
        let dawdling = |a: &Arc<Activity>| {
            drop(a.begin());
            a.received();
        };
        assert_eq!(judged(HEADER * 2, dawdling), (true, false));
    }

    #[test]
    fn a_request_in_progress_is_left_alone_unless_its_answer_is_not_taken() {
        let working = |a: &Arc<Activity>| {
            std::mem::forget(a.begin());
            a.received();
        };
        assert_eq!(judged(IDLE * 2, working), (false, false));
        let stalled = |a: &Arc<Activity>| {
            std::mem::forget(a.begin());
            a.writing(true);
        };
        assert_eq!(judged(WRITE_STALL * 2, stalled), (true, false));
    }

    #[test]
    fn an_http2_connection_may_be_quiet() {
        assert_eq!(judged(HEADER * 2, |a| a.is_multiplexed()), (false, false));
        assert_eq!(judged(IDLE * 2, |a| a.is_multiplexed()), (false, true));
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_idle_make_room() {
        let connections = Connections::new(2, HEADER, IDLE);
        let busy = connections.place(CancellationToken::new()).await;
        let _request = busy.activity.begin();
        let idle = connections.place(CancellationToken::new()).await;
        let aborted = idle.activity.abort.clone();
        let gone = tokio::spawn(async move {
            idle.activity.abort.cancelled().await;
            drop(idle);
        });
        let third = connections.place(CancellationToken::new()).await;
        gone.await.unwrap();
        assert!(aborted.is_cancelled() && !busy.activity.abort.is_cancelled());
        assert_eq!(connections.len(), 2);
        drop(third);
        assert_eq!(connections.len(), 1);
    }

    #[tokio::test]
    async fn each_newcomer_makes_another_go() {
        let connections = Connections::new(3, HEADER, IDLE);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(connections.place(CancellationToken::new()).await);
        }
        // None of them has gone yet when the next newcomer comes.
        for told in 1..=3 {
            connections.evict();
            assert_eq!(places.iter().filter(|p| p.activity.abort.is_cancelled()).count(), told);
        }
        connections.evict();
    }

    #[tokio::test]
    async fn either_word_ends_what_has_not_begun() {
        let told = |act: fn(&Activity)| async move {
            let activity = Activity::new(Instant::now(), CancellationToken::new());
            act(&activity);
            tokio::time::timeout(Duration::from_secs(5), activity.told_to_end()).await.is_ok()
        };
        assert!(told(|a| a.abort.cancel()).await && told(|a| a.close.cancel()).await);
    }
}
