//! Threads that stay on one core.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// Keeps this thread, and every thread and process that it starts from now on, on one core.
pub(crate) fn this_thread(core: usize) -> Result<(), Failure> {
    if core >= CpuSet::MAX_CPU {
        return Err(format!("there is no core {core}").into());
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|error| format!("core {core}: {error}").into())
}

/// Does something on one core, and then returns this thread to where it was.
pub(crate) fn during<T>(core: Option<usize>, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let Some(core) = core else { return work() };
    let before = sched_getaffinity(None)?;
    this_thread(core)?;
    let outcome = work();
    sched_setaffinity(None, &before)?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_on_its_core_and_returns() {
        let before = sched_getaffinity(None).expect("the system tells");
        let core = (0..CpuSet::MAX_CPU).find(|core| before.is_set(*core)).expect("it runs somewhere");
        let inside = during(Some(core), || Ok(sched_getaffinity(None)?)).expect("the core is there");
        assert_eq!((inside.count(), inside.is_set(core)), (1, true));
        assert_eq!(sched_getaffinity(None).expect("the system tells").count(), before.count());
        assert!(during(Some(usize::MAX), || Ok(())).is_err());
    }
}
