//! What this worker knows of runs: who stands where in memory, which turns are on their way, and which outcomes wait for one.

use std::collections::HashMap;
use std::sync::Arc;

use super::turn::{Ended, Source, TurnJob, completed_event, new_head};
use crate::api::worker::TurnWork;
use crate::api::{CommandNo, Head, Name, RunKey, Seq, TimeMs, Uid, Version};

/// Runs that are known and do nothing here. Beyond it they are forgotten, which costs each of them one optimistic turn.
const IDLE_MAX: usize = 65_536;

/// Kinds of runs that are remembered, at least; beyond it those that no run has are forgotten.
const KINDS_MAX: usize = 64;

/// What many runs have in common. Each of them refers to it, because its texts take more than all the rest.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    namespace: Name,
    workflow: Name,
    version: Version,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) uid: Uid,
    kind: Arc<Kind>,
    head: Head,
    number: u32,
    next_command: CommandNo,
    at: TimeMs,
    /// The context in memory stands at `head`, as far as is known here.
    pub(super) known: bool,
    /// Turns on their way: in a loop, in a commit, or waiting for a journal.
    pub(super) busy: u32,
    /// The turn lease.
    pub(super) lease: Option<Seq>,
    /// Attempts that run here.
    pub(super) held: u32,
    /// Outcomes that wait for the turn on its way.
    pub(super) parked: Vec<Ended>,
}

impl Run {
    /// The optimistic turn that follows from a completed attempt; the attempt itself when it has no such turn.
    pub(super) fn optimistic(&mut self, generation: u64, ended: Ended) -> Result<TurnJob, Ended> {
        let Some(event) = completed_event(&ended.work, &ended.outcome) else { return Err(ended) };
        if !self.known || self.busy > 0 || self.lease.is_some() || ended.work.uid != self.uid {
            return Err(ended);
        }
        self.busy += 1;
        Ok(TurnJob {
            generation,
            run: ended.work.run.clone(),
            uid: self.uid.clone(),
            workflow: self.kind.workflow.clone(),
            version: self.kind.version.clone(),
            base: self.head,
            id: new_head(),
            number: self.number,
            next_command: self.next_command,
            at: self.at,
            events: vec![event],
            consumed: 0,
            source: Source::Attempt(Box::new(ended)),
            seen: 0,
            deaths: 0,
            strikes: 0,
            verdict: None,
            parts: std::collections::VecDeque::new(),
        })
    }

    fn is_idle(&self) -> bool {
        self.busy == 0 && self.lease.is_none() && self.parked.is_empty()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Runs {
    // Boxed, because a table has room for twice as many.
    by_key: HashMap<RunKey, Box<Run>>,
    kinds: HashMap<Version, Vec<Arc<Kind>>>,
}

impl Runs {
    /// A run of this uid.
    pub(super) fn get(&mut self, run: &RunKey, uid: &Uid) -> Option<&mut Run> {
        self.by_key.get_mut(run).map(Box::as_mut).filter(|known| known.uid == *uid)
    }

    /// A turn lease has come: what it says of the run counts. `false`: it had come before.
    pub(super) fn lease(&mut self, work: &TurnWork) -> bool {
        if self.by_key.get(&work.run).is_some_and(|run| run.uid == work.uid && run.lease == Some(work.seq)) {
            return false;
        }
        let before = self.by_key.remove(&work.run).filter(|run| run.uid == work.uid);
        let (busy, held, parked) = before.map_or_else(Default::default, |run| (run.busy, run.held, run.parked));
        let kind = self.kind(work);
        let key = RunKey { namespace: kind.namespace.clone(), id: work.run.id.clone() };
        let run = Run {
            uid: work.uid.clone(),
            kind,
            head: work.head,
            number: work.number,
            next_command: work.next_command,
            at: work.at,
            known: false,
            busy: busy + 1,
            lease: Some(work.seq),
            held,
            parked,
        };
        self.by_key.insert(key, Box::new(run));
        true
    }

    /// What the run has in common with others, which then have it once.
    fn kind(&mut self, work: &TurnWork) -> Arc<Kind> {
        let kind = Kind { namespace: work.run.namespace.clone(), workflow: work.workflow.clone(), version: work.version.clone() };
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind.version) {
            self.kinds.retain(|_, kinds| kinds.iter().any(|kind| Arc::strong_count(kind) > 1));
        }
        let kinds = self.kinds.entry(kind.version.clone()).or_default();
        if let Some(known) = kinds.iter().find(|known| ***known == kind) {
            return known.clone();
        }
        kinds.retain(|known| Arc::strong_count(known) > 1);
        let kind = Arc::new(kind);
        kinds.push(kind.clone());
        kind
    }

    /// A turn was accepted, to its end: the context stands there.
    pub(super) fn accepted(&mut self, job: &TurnJob, closed: bool) {
        let Some(run) = self.get(&job.run, &job.uid) else { return };
        if job.number >= run.number {
            (run.head, run.number, run.next_command, run.at) = (job.base, job.number, job.next_command, job.at);
            run.known = !closed;
        }
    }

    /// A turn is no longer on its way, in whatever way it ended.
    pub(super) fn done(&mut self, job: &TurnJob) {
        if let Some(run) = self.get(&job.run, &job.uid) {
            run.busy = run.busy.saturating_sub(1);
            if let Source::Lease(seq) = job.source
                && run.lease == Some(seq)
            {
                run.lease = None;
            }
        }
    }

    /// The context in memory does not stand where the run does.
    pub(super) fn forget_context(&mut self, job: &TurnJob) {
        if let Some(run) = self.get(&job.run, &job.uid) {
            run.known = false;
        }
    }

    /// Whether the job's lease is still the one that is held; an optimistic turn needs none.
    pub(super) fn is_current(&mut self, job: &TurnJob) -> bool {
        match job.source {
            Source::Lease(seq) => self.get(&job.run, &job.uid).is_some_and(|run| run.lease == Some(seq)),
            Source::Attempt(_) | Source::Step => true,
        }
    }

    /// Outcomes whose turn is no longer on its way.
    pub(super) fn unpark(&mut self, run: &RunKey) -> Vec<Ended> {
        match self.by_key.get_mut(run) {
            Some(run) if run.busy == 0 && run.lease.is_none() => std::mem::take(&mut run.parked),
            _ => Vec::new(),
        }
    }

    /// All outcomes that wait.
    pub(super) fn unpark_all(&mut self) -> Vec<Ended> {
        self.by_key.values_mut().flat_map(|run| std::mem::take(&mut run.parked)).collect()
    }

    /// Forgets a run that is of no more use, and many when they are too many.
    pub(super) fn tidy(&mut self, run: &RunKey) {
        if self.by_key.get(run).is_some_and(|run| !run.known && run.is_idle() && run.held == 0) {
            self.by_key.remove(run);
        }
        if self.by_key.len() > IDLE_MAX {
            self.by_key.retain(|_, run| !run.is_idle() || run.held > 0);
        }
    }

    /// Turn leases, with their run.
    pub(super) fn leases(&self) -> Vec<(RunKey, Seq)> {
        self.by_key.iter().filter_map(|(key, run)| run.lease.map(|seq| (key.clone(), seq))).collect()
    }

    /// The lease is handed back: what its turn comes to is void.
    pub(super) fn give_up(&mut self, run: &RunKey) {
        if let Some(run) = self.by_key.get_mut(run) {
            run.lease = None;
        }
    }

    /// A turn is on its way that brings the outcome of an attempt with it.
    pub(super) fn has_optimistic(&self) -> bool {
        self.by_key.values().any(|run| run.busy > 0 && run.lease.is_none())
    }

    /// Nothing is on its way.
    pub(super) fn are_idle(&self) -> bool {
        self.by_key.values().all(|run| run.is_idle())
    }
}
