//! The threads that searches compute on, so that the async workers only ever wait.
//!
//! Work comes in lanes, one for each query. The threads take one step from each lane in turn: a query cut into a thousand
//! steps delays a query of one step by one step, not by a thousand.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
use pinyon_model::{Error, Result};
use tokio::sync::oneshot;

type Step = Box<dyn FnOnce() + Send>;

/// A fixed number of threads with a fair queue. Dropping it lets queued steps finish and ends the threads.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    on_caller: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    next_lane: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// Lanes with steps waiting, in the order of their turns; each is here exactly once.
    turns: VecDeque<u64>,
    steps: HashMap<u64, VecDeque<Step>>,
    closed: bool,
}

impl Pool {
    /// Starts `threads` threads, at least one.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new(), next_lane: AtomicU64::new(0) });
        let pool = Self { shared: Arc::clone(&shared), threads, on_caller: false };
        for n in 0..threads {
            let shared = Arc::clone(&shared);
            // Reading much is handed to the runtime's threads for that.
            let runtime = tokio::runtime::Handle::try_current().ok();
            let work = move || {
                let _within = runtime.as_ref().map(tokio::runtime::Handle::enter);
                shared.work();
            };
            thread::Builder::new()
                .name(format!("pinyon-search-{n}"))
                .spawn(work)
                .map_err(|e| Error::internal(format!("Could not start a search thread: {e}")))?;
        }
        Ok(pool)
    }

    /// The same pool for callers that compute their queries themselves, and leave it but the steps of long ones.
    pub(crate) fn on_caller(mut self, on_caller: bool) -> Self {
        self.on_caller = on_caller;
        self
    }

    /// Whether callers compute their queries themselves.
    pub(crate) fn is_on_caller(&self) -> bool {
        self.on_caller
    }

    /// How many threads there are: how many steps of one lane are worth having in flight.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// A lane of its own, for one query.
    pub(crate) fn lane(&self) -> Lane {
        Lane { shared: Arc::clone(&self.shared), id: self.shared.next_lane.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    // A step never panics while the lock is held, so the queue behind a poisoned lock is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, lane: u64, step: Step) {
        let refused = self.lock().put(lane, step);
        self.wake.notify_one();
        drop(refused);
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(step) = queue.take() {
                drop(queue);
                step();
                queue = self.lock();
            } else if queue.closed {
                return;
            } else {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Queue {
    /// Queues a step; gives it back when nobody would run it. Dropped, it tells whoever waits for it, who may want the lock.
    #[must_use]
    fn put(&mut self, lane: u64, step: Step) -> Option<Step> {
        if self.closed {
            return Some(step);
        }
        let steps = self.steps.entry(lane).or_default();
        if steps.is_empty() {
            self.turns.push_back(lane);
        }
        steps.push_back(step);
        None
    }

    fn take(&mut self) -> Option<Step> {
        let lane = self.turns.pop_front()?;
        let steps = self.steps.get_mut(&lane)?;
        let step = steps.pop_front();
        if steps.is_empty() {
            self.steps.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        step
    }
}

/// One query's place in the queue.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    id: u64,
}

impl Lane {
    /// Runs a future on the threads of the pool: where it waits for something, others get the thread. If what this returns is dropped,
    /// so is the future.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Pending<T> {
        let (mut done, pending) = oneshot::channel();
        let whole = async move {
            let work = pin!(AssertUnwindSafe(work).catch_unwind());
            let outcome = match select(work, pin!(done.closed())).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => return,
            };
            let _ = done.send(outcome);
        };
        let task = Task {
            shared: Arc::clone(&self.shared),
            lane: self.id,
            queued: AtomicBool::new(false),
            future: Mutex::new(Some(Box::pin(whole))),
        };
        Arc::new(task).wake();
        Pending(pending)
    }

    /// Queues one step at once. If the returned future is dropped before the step began, the step is skipped.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let (done, pending) = oneshot::channel();
        let step = move || {
            if !done.is_closed() {
                // A panic is a defect of one query: it must not take the thread, and every later query, with it.
                let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
            }
        };
        self.shared.queue(self.id, Box::new(step));
        Pending(pending)
    }
}

/// A future that runs on the pool, a step for each time that it has something to do.
struct Task {
    shared: Arc<Shared>,
    lane: u64,
    /// Whether a step waits that has not begun.
    queued: AtomicBool,
    /// None once it is done.
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let (shared, lane) = (Arc::clone(&self.shared), self.lane);
            shared.queue(lane, Box::new(move || self.poll()));
        }
    }
}

impl Task {
    fn poll(self: Arc<Self>) {
        self.queued.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self));
        let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = future.as_mut()
            && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *future = None;
        }
    }
}

/// The result of a step, when it comes.
pub(crate) struct Pending<T>(oneshot::Receiver<thread::Result<T>>);

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(Error::internal("A step of the search failed unexpectedly")),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn lanes_take_turns() {
        let pool = Pool::new(1).unwrap();
        let (open, gate) = mpsc::channel::<()>();
        let (big, small) = (pool.lane(), pool.lane());
        let log = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let log = Arc::clone(&log);
            move || log.lock().unwrap().push(name)
        };
        let first = big.spawn(move || gate.recv().unwrap());
        let mut steps: Vec<_> = (0..5).map(|_| big.spawn(note("big"))).collect();
        steps.push(small.spawn(note("small")));
        open.send(()).unwrap();
        first.await.unwrap();
        for step in steps {
            step.await.unwrap();
        }
        let log = log.lock().unwrap();
        assert!(log.iter().position(|n| *n == "small").unwrap() <= 1, "{log:?}");
    }

    #[tokio::test]
    async fn a_panic_ends_one_step_only() {
        let pool = Pool::new(1).unwrap();
        let lane = pool.lane();
        let bad = lane.spawn(|| panic!("on purpose"));
        let good = lane.spawn(|| 7);
        assert!(bad.await.is_err());
        assert_eq!(good.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_future_gives_the_thread_to_others_where_it_waits() {
        let pool = Pool::new(1).unwrap();
        let (open, gate) = oneshot::channel::<u32>();
        let waiting = pool.lane().run(async move { gate.await.unwrap() + 1 });
        assert_eq!(pool.lane().spawn(|| 7).await.unwrap(), 7, "the one thread is free");
        open.send(4).unwrap();
        assert_eq!(waiting.await.unwrap(), 5);
        assert!(pool.lane().run(async { panic!("on purpose") }).await.is_err() as bool);
        assert_eq!(pool.lane().run(async { 3 }).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn an_abandoned_future_is_dropped() {
        let pool = Pool::new(1).unwrap();
        let (held, ended) = oneshot::channel::<()>();
        let abandoned = pool.lane().run(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        drop(abandoned);
        assert!(ended.await.is_err(), "what it held is gone");
    }

    #[tokio::test]
    async fn an_abandoned_step_is_skipped() {
        let pool = Pool::new(1).unwrap();
        let lane = pool.lane();
        let (open, gate) = mpsc::channel::<()>();
        let first = lane.spawn(move || gate.recv().unwrap());
        let ran = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&ran);
        drop(lane.spawn(move || counter.fetch_add(1, Ordering::SeqCst)));
        open.send(()).unwrap();
        first.await.unwrap();
        lane.spawn(|| ()).await.unwrap();
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    }
}
