//! What is going on, while it goes on: a block that redraws itself on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::api::http::{WorkerView, Workers};
use crate::api::run::Doing;
use crate::api::{DurationMs, RunStatus, RunView};
use crate::cli::when;

/// Without a terminal, a line every so often.
const PLAIN_EVERY: Duration = Duration::from_secs(2);
/// Characters of the bar.
const BAR: usize = 40;

/// How many orders are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Ready, and no worker has taken them yet.
    pub waiting: usize,
    /// A turn or an activity is under way.
    pub running: usize,
    /// Nothing to do but wait for the time.
    pub sleeping: usize,
    /// Ended, one way or another.
    pub done: usize,
    /// Need a person: there must be none.
    pub blocked: usize,
}

impl Counts {
    /// Counts a list.
    pub fn of(runs: &[RunView]) -> Self {
        let mut counts = Self::default();
        for run in runs {
            let count = match (run.status, run.doing) {
                (status, _) if status.is_closed() => &mut counts.done,
                (RunStatus::Blocked | RunStatus::Paused, _) | (_, Doing::Blocked) => &mut counts.blocked,
                (_, Doing::Ready) => &mut counts.waiting,
                (_, Doing::Waiting) if run.timers > 0 && run.activities.is_empty() => &mut counts.sleeping,
                _ => &mut counts.running,
            };
            *count += 1;
        }
        counts
    }
}

/// One moment of the demo.
pub struct Moment<'a> {
    pub orders: usize,
    pub accepted: usize,
    pub counts: Counts,
    /// All that were ever started, with whether each was killed.
    pub workers: &'a [(String, bool)],
    pub leases: &'a Workers,
    /// The service answered just now.
    pub answers: bool,
}

/// Where it is shown: stderr.
pub struct Screen {
    terminal: bool,
    began: Instant,
    drawn: usize,
    said: Option<Instant>,
}

impl Screen {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), began: Instant::now(), drawn: 0, said: None }
    }

    /// A line that stays.
    pub fn note(&mut self, text: &str) {
        self.erase();
        let _ = writeln!(std::io::stderr(), "{:>7}  {text}", self.clock());
    }

    /// The present moment, over the one before.
    pub fn show(&mut self, moment: &Moment<'_>) {
        if self.terminal {
            let lines = block(moment);
            self.erase();
            self.drawn = lines.len();
            let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
        } else if self.said.is_none_or(|said| said.elapsed() >= PLAIN_EVERY) {
            self.said = Some(Instant::now());
            self.note(&line(moment));
        }
    }

    /// Takes the block away.
    pub fn erase(&mut self) {
        if self.drawn > 0 {
            let _ = write!(std::io::stderr(), "\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn clock(&self) -> String {
        when::precise(DurationMs(u64::try_from(self.began.elapsed().as_millis() / 100 * 100).unwrap_or(u64::MAX))).replace("00s", "s")
    }
}

fn line(moment: &Moment<'_>) -> String {
    let Counts { waiting, running, sleeping, done, blocked } = moment.counts;
    let blocked = if blocked > 0 { format!(", {blocked} BLOCKED") } else { String::new() };
    let workers: Vec<_> = moment.workers.iter().map(|(name, killed)| leases(name, *killed, moment.leases)).collect();
    let silent = if moment.answers { "" } else { " (as of before: the service does not answer)" };
    format!(
        "orders {}/{}: {waiting} waiting, {running} running, {sleeping} sleeping, {done} done{blocked}; leases: {}{silent}",
        moment.accepted,
        moment.orders,
        workers.join(", ")
    )
}

fn block(moment: &Moment<'_>) -> Vec<String> {
    let Counts { waiting, running, sleeping, done, blocked } = moment.counts;
    let filled = BAR * done / moment.orders.max(1);
    let mut lines = vec![
        String::new(),
        format!("  {}{}  {done} of {} done", "█".repeat(filled), "░".repeat(BAR - filled), moment.orders),
        format!("  accepted {:<6} waiting {waiting:<6} running {running:<6} sleeping {sleeping:<6} done {done}", moment.accepted),
    ];
    if blocked > 0 {
        lines.push(format!("  {blocked} are BLOCKED and need a person"));
    }
    let workers: Vec<_> = moment.workers.iter().map(|(name, killed)| leases(name, *killed, moment.leases)).collect();
    lines.push(format!("  leases   {}", workers.join("   ")));
    lines.push(if moment.answers { String::new() } else { "  the queue service does not answer".into() });
    lines
}

fn leases(name: &str, killed: bool, workers: &Workers) -> String {
    if killed {
        return format!("{name} KILLED");
    }
    let own = workers.workers.iter().filter(|view| is_of(view, name));
    format!("{name} {}", own.map(|view| view.leases).sum::<u64>())
}

/// A session's id begins with the worker's name.
pub fn is_of(view: &WorkerView, worker: &str) -> bool {
    view.session.strip_prefix(worker).is_some_and(|rest| rest.starts_with('-'))
}
