//! What each thread of user code executes right now: suspects if this process dies, and what a watch looks at for code that nothing
//! interrupts.
//!
//! The engine's limits are looked at between steps of JavaScript; one native step (a search in a long text, a product of huge
//! integers) can take hours. No thread can be ended from outside, so the process goes: its leases come back, and whoever killed two
//! workers is taken alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::thread::{Pid, gettid};

use crate::api::RunKey;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// CPU of one piece of work beyond the engine's own limit: the engine would have ended it long before.
const GRACE: Duration = Duration::from_secs(5);

/// A piece of work under way on a thread.
#[derive(Debug, Clone)]
struct Mark {
    thread: Pid,
    /// Told as a suspect; a script has none.
    run: Option<RunKey>,
}

#[derive(Debug, Default)]
struct Place {
    /// Pieces of work so far.
    count: u64,
    now: Option<Mark>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Executing(Arc<[Mutex<Place>]>);

impl Executing {
    /// Nothing yet, in so many places.
    pub(super) fn in_places(count: usize) -> Self {
        Self((0..count).map(|_| Mutex::default()).collect())
    }

    fn place(&self, place: usize) -> MutexGuard<'_, Place> {
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This thread begins a piece of work.
    pub(super) fn begin(&self, place: usize, run: Option<RunKey>) {
        let mut place = self.place(place);
        place.count += 1;
        place.now = Some(Mark { thread: gettid(), run });
    }

    /// It has ended.
    pub(super) fn end(&self, place: usize) {
        self.place(place).now = None;
    }

    /// The runs whose turns are executed right now.
    pub(super) fn runs(&self) -> Vec<RunKey> {
        (0..self.0.len()).filter_map(|place| self.place(place).now.as_ref()?.run.clone()).collect()
    }

    /// Looks again and again; ends the process when a piece of work has had `limit` of CPU and more than the grace. Ends when
    /// nobody else has this any more.
    pub(super) fn watch(self, limit: Duration) -> std::io::Result<()> {
        let most = limit + GRACE;
        let look = move || {
            let mut seen = vec![(0_u64, Duration::ZERO); self.0.len()];
            while Arc::strong_count(&self.0) > 1 {
                std::thread::sleep(LOOK_EVERY);
                for (place, seen) in seen.iter_mut().enumerate() {
                    let (count, now) = {
                        let place = self.place(place);
                        (place.count, place.now.clone())
                    };
                    let Some(mark) = now else { continue };
                    let Some(cpu) = cpu_of(mark.thread) else { continue };
                    // What was under way at the last look has its count still; a count comes once.
                    match *seen {
                        (same, began) if same == count && cpu.saturating_sub(began) > most => end_process(&mark, most),
                        (same, _) if same == count => {}
                        _ => *seen = (count, cpu),
                    }
                }
            }
        };
        std::thread::Builder::new().name("watch".to_owned()).spawn(look).map(|_| ())
    }
}

/// CPU that a thread of this process has had so far: the first number of `schedstat` (proc(5)), nanoseconds.
fn cpu_of(thread: Pid) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero())).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn end_process(mark: &Mark, most: Duration) -> ! {
    let what = mark.run.as_ref().map_or_else(|| "a script".to_owned(), |run| format!("a turn of {run}"));
    tracing::error!(
        what,
        seconds = most.as_secs(),
        "one native step of JavaScript computes without end; the worker ends, its leases come back"
    );
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_executed_is_told_while_it_is() {
        let executing = Executing::in_places(2);
        executing.begin(0, Some("shop/a".parse().unwrap()));
        executing.begin(1, None);
        assert_eq!(executing.runs(), ["shop/a".parse().unwrap()]);
        executing.end(0);
        assert!(executing.runs().is_empty());
    }

    #[test]
    fn a_thread_that_computes_uses_cpu_and_one_that_sleeps_none() {
        let cpu = || cpu_of(gettid()).unwrap();
        let before = cpu();
        std::thread::sleep(Duration::from_millis(30));
        let slept = cpu();
        assert!(slept.saturating_sub(before) < Duration::from_millis(20));
        let mut sum = 0_u64;
        while cpu().saturating_sub(slept) < Duration::from_millis(30) {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
