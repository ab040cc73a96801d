//! A store with a workflow in it, and short ways to write what the tests do.
//!
//! Every `now` is a small number: a store takes `min(now, its clock)`, so the tests choose the time on every store.

use std::any::Any;
use std::sync::Arc;

use everloop::api::limits::SLICE_MAX;
use everloop::api::{DurationMs, Head, Name, Partition, RunKey, RunStatus, SessionId, TimeMs, Uid, Version};
use everloop::machine::commit::{AttemptClaim, Refusal};
use everloop::machine::record::{AttemptRecord, RunRecord};
use everloop::machine::turn::{EntryText, NewAttempt, NewTimer};
use everloop::store::Store;
use everloop::store::op::*;

use crate::stores::{Opened, PARTITIONS};

pub const POOL: &str = "default";
pub const STARTED: &str = r#"{"Started":{"input":{"b":1.0,"a":[]}}}"#;
pub const CANCEL: &str = r#"{"CancelRequested":{"reason":"x"}}"#;
pub const PAUSED: &str = r#"{"reason":"Paused","message":"by hand"}"#;
/// A session's deadline that no test reaches.
pub const LATE: TimeMs = TimeMs(1_000_000);
/// How long a closed run of the workflow is kept.
pub const RETENTION_MS: u64 = 500;

pub struct World {
    pub store: Arc<dyn Store>,
    pub version: Version,
    _keep: Box<dyn Any + Send + Sync>,
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn session(text: &str) -> SessionId {
    text.parse().unwrap()
}

pub fn run(id: &str) -> RunKey {
    format!("shop/{id}").parse().unwrap()
}

pub fn place(id: &str) -> Partition {
    run(id).partition(PARTITIONS)
}

pub fn partitions() -> impl Iterator<Item = Partition> {
    (0..PARTITIONS).map(Partition)
}

pub fn offer(by: &str, seq: u64, turns: u16, activities: u16) -> Option<Offer> {
    Some(Offer { session: session(by), seq, pool: name(POOL), turns, activities, fair: false })
}

pub fn claim_of(attempt: &AttemptRecord) -> AttemptClaim {
    AttemptClaim { command: attempt.command, attempt: attempt.attempt, session: attempt.session.clone(), seq: attempt.seq }
}

pub fn completed(command: u32) -> String {
    format!(r#"{{"ActivityCompleted":{{"command":{command},"attempt":1,"result":{command}}}}}"#)
}

pub fn signal(n: usize) -> String {
    format!(r#"{{"SignalReceived":{{"name":"s","payload":{n}}}}}"#)
}

/// A turn that consumes one event and does nothing.
pub fn turn(base: &str, id: u64) -> Turn {
    let before = format!(r#"{{"v":1,"turn":0,"id":"{}","at":0,"worker":"w","events":["#, Head(id));
    Turn {
        base: base.parse().unwrap(),
        id: Head(id),
        at: TimeMs(0),
        entry: EntryText { before, after: r#"],"commands":[]}"#.into() },
        consumed: 1,
        next_command: 1,
        schedule: vec![],
        timers: vec![],
        cancel_timers: vec![],
        signals: Vec::new(),
        close: None,
        continued: false,
        seen: 0,
    }
}

pub fn activity(command: u32) -> NewAttempt {
    NewAttempt { command, queue: String::new(), timeout_ms: 1_000, heartbeat_ms: 0, start_by: TimeMs(0), close_by: TimeMs(0) }
}

pub fn timer(command: u32, due: u64) -> NewTimer {
    NewTimer { command, due: TimeMs(due) }
}

/// A turn that schedules activities of the pool.
pub fn scheduling(base: &str, id: u64, commands: &[u32]) -> Turn {
    let next_command = commands.iter().max().map_or(0, |last| last + 1);
    Turn { schedule: commands.iter().map(|n| activity(*n)).collect(), next_command, ..turn(base, id) }
}

/// A turn that ends the run.
pub fn closing(base: &str, id: u64) -> Turn {
    Turn { close: Some(RunStatus::Completed), ..turn(base, id) }
}

/// What a commit granted.
pub fn accepted(committed: Committed) -> Grants {
    match committed {
        Committed::Accepted { grants, .. } => grants,
        other => panic!("not accepted: {other:?}"),
    }
}

/// The same leases, whenever they were told.
pub fn without_clock(turns: Vec<TurnGrant>) -> Vec<TurnGrant> {
    turns.into_iter().map(|turn| TurnGrant { now: TimeMs(0), ..turn }).collect()
}

/// What a finish granted, and what became of its turn.
pub fn finished(finished: Finished) -> (Option<Result<(), Refusal>>, Grants) {
    match finished {
        Finished::Accepted { turn, grants, .. } => (turn, grants),
        other => panic!("not accepted: {other:?}"),
    }
}

impl World {
    pub async fn on(opened: Opened) -> Self {
        let world = Self { store: opened.store, version: Version::of("definition"), _keep: opened.keep };
        world.store.define(world.definition()).await.unwrap();
        world
    }

    pub fn definition(&self) -> Define {
        Define {
            namespace: name("shop"),
            name: name("order"),
            version: self.version.clone(),
            definition: "definition".into(),
            pool: name(POOL),
            retention: DurationMs(RETENTION_MS),
            holder: None,
            key: String::new(),
            now: TimeMs(1),
        }
    }

    /// Defines, as people do: what is current then, and whether it was before.
    pub async fn define(&self, define: Define) -> (WorkflowRecord, bool) {
        match self.store.define(define).await.unwrap() {
            Defined::Done { record, unchanged } => (record, unchanged),
            Defined::Held(record) => panic!("held: {record:?}"),
        }
    }

    pub fn start_of(&self, id: &str, now: u64) -> Start {
        let uid: Uid = "0190f3a0-0000-7000-8000-0123456789ab".parse().unwrap();
        Start {
            run: run(id),
            uid,
            head: Head(0xaa),
            workflow: name("order"),
            version: self.version.clone(),
            event: STARTED.into(),
            input_hash: "00112233aabbccdd".into(),
            origin: None,
            now: TimeMs(now),
            offer: None,
        }
    }

    /// Open runs over all partitions, by version.
    pub async fn open_runs(&self) -> Vec<OpenRuns> {
        let mut sums: Vec<OpenRuns> = Vec::new();
        for partition in partitions() {
            for counted in self.store.open_runs(partition).await.unwrap() {
                assert!(counted.runs > 0, "what is not open is not counted");
                match sums.iter_mut().find(|sum| OpenRuns { runs: counted.runs, ..(*sum).clone() } == counted) {
                    Some(sum) => sum.runs += counted.runs,
                    None => sums.push(counted),
                }
            }
        }
        sums.sort();
        sums
    }

    /// Opens a session in every partition.
    pub async fn open(&self, id: &str) {
        for partition in partitions() {
            assert!(self.store.open_session(partition, &session(id), &name(POOL), LATE).await.unwrap());
        }
    }

    /// Starts a run and returns its record.
    pub async fn start(&self, id: &str, now: u64) -> RunRecord {
        match self.store.start(self.start_of(id, now)).await.unwrap() {
            Started::New { record, .. } => record,
            other => panic!("not new: {other:?}"),
        }
    }

    /// Opens a session (again), starts a run, and leases its first turn as request 1.
    pub async fn leased(&self, id: &str, by: &str, now: u64) -> TurnGrant {
        self.open(by).await;
        let start = Start { offer: offer(by, 1, 1, 0), ..self.start_of(id, now) };
        match self.store.start(start).await.unwrap() {
            Started::New { grant: Some(grant), .. } => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// A run that waits for the activities of these commands, each leased to the session as request 2. Its head is `1`.
    pub async fn running(&self, id: &str, by: &str, commands: &[u32], now: u64) -> Vec<AttemptGrant> {
        let first = self.leased(id, by, now).await;
        let turn = scheduling(&first.record.head, 1, commands);
        let slots = offer(by, 2, 0, u16::try_from(commands.len()).unwrap());
        let grants = accepted(self.commit(id, by, 1, turn, now, slots).await);
        assert_eq!(grants.attempts.len(), commands.len());
        grants.attempts
    }

    pub async fn commit(&self, id: &str, by: &str, seq: u64, turn: Turn, now: u64, offer: Option<Offer>) -> Committed {
        let commit = Commit { run: run(id), session: session(by), seq, turn, now: TimeMs(now), offer };
        self.store.commit(commit).await.unwrap()
    }

    /// A run that waits for activity 0, leased to the session as request 2.
    pub async fn stepping(&self, id: &str, by: &str) -> AttemptGrant {
        let grant = self.leased(id, by, 10).await;
        let turn = scheduling(&grant.record.head, 2, &[0]);
        accepted(self.commit(id, by, 1, turn, 20, offer(by, 2, 0, 1)).await).attempts.remove(0)
    }

    /// The end of an attempt by who has it, at 30.
    pub fn finish_of(&self, grant: &AttemptGrant, event: String) -> Finish {
        let attempt = claim_of(&grant.attempt);
        Finish {
            run: grant.run.clone(),
            attempt,
            outcome: Outcome::Settled { event },
            turn: None,
            key: String::new(),
            now: TimeMs(30),
            offer: None,
        }
    }

    pub async fn finish(&self, id: &str, attempt: AttemptClaim, turn: Option<Turn>, now: u64, offer: Option<Offer>) -> Finished {
        let outcome = Outcome::Settled { event: completed(attempt.command) };
        self.store.finish(Finish { run: run(id), attempt, outcome, turn, key: String::new(), now: TimeMs(now), offer }).await.unwrap()
    }

    pub async fn deliver(&self, id: &str, event: &str, key: &str, now: u64) -> Delivered {
        let cancel = event == CANCEL;
        let deliver = Deliver { run: run(id), event: event.into(), cancel, key: key.into(), now: TimeMs(now), offer: None };
        self.store.deliver(deliver).await.unwrap()
    }

    /// An event for a run, at 15.
    pub fn delivery(&self, id: &str, event: &str, key: &str) -> Deliver {
        Deliver { run: run(id), event: event.into(), cancel: event == CANCEL, key: key.into(), now: TimeMs(15), offer: None }
    }

    pub fn claim_by(&self, partition: Partition, by: &str, seq: u64, turns: u16, attempts: u16, now: u64) -> Claim {
        let by = Claimer::Session { session: session(by), pool: name(POOL) };
        Claim { partition, by, seq, turns, attempts, again: false, now: TimeMs(now) }
    }

    /// Grants, `more` and `next_at`.
    pub async fn claimed(&self, claim: Claim) -> (Grants, bool, u64) {
        match self.store.claim(claim).await.unwrap() {
            Claimed::Granted { grants, more, next_at } => (grants, more, next_at.0),
            Claimed::SessionLost => panic!("the session is lost"),
        }
    }

    /// Claims in the partition of a run.
    pub async fn claim(&self, id: &str, by: &str, seq: u64, turns: u16, attempts: u16, now: u64) -> Grants {
        self.claimed(self.claim_by(place(id), by, seq, turns, attempts, now)).await.0
    }

    /// The same, with the whole answer.
    pub async fn try_claim(&self, id: &str, by: &str, seq: u64, turns: u16, attempts: u16, now: u64) -> Claimed {
        self.store.claim(self.claim_by(place(id), by, seq, turns, attempts, now)).await.unwrap()
    }

    pub async fn control(&self, id: &str, kind: ControlKind, head: u64, now: u64) -> Controlled {
        self.store
            .control(Control { run: run(id), kind, over: None, head: Head(head), key: String::new(), now: TimeMs(now) })
            .await
            .unwrap()
    }

    pub async fn fire(&self, id: &str, now: u64) -> Fired {
        self.store.fire(Fire { partition: place(id), now: TimeMs(now), offer: None, slice: SLICE_MAX }).await.unwrap()
    }

    pub async fn fire_to(&self, id: &str, now: u64, offer: Option<Offer>) -> Fired {
        self.store.fire(Fire { partition: place(id), now: TimeMs(now), offer, slice: SLICE_MAX }).await.unwrap()
    }

    pub async fn release_turn(&self, id: &str, by: &str, seq: u64, blocked: &str, keeps_context: bool, now: u64) -> bool {
        let what = Released::Turn { session: session(by), seq, blocked: blocked.into(), head: Head(0xb10c), keeps_context };
        self.store.release(Release { run: run(id), what, now: TimeMs(now) }).await.unwrap()
    }

    pub async fn end(&self, id: &str, by: &str, executing: &[&str], now: u64) -> Ended {
        let executing: Vec<_> = executing.iter().map(|id| run(id)).collect();
        self.store.end_session(place(id), &session(by), &Ending::Death { executing }, TimeMs(now)).await.unwrap()
    }

    pub async fn state(&self, id: &str) -> RunState {
        self.store.run(&run(id)).await.unwrap().expect("the run is there")
    }

    pub async fn record(&self, id: &str) -> RunRecord {
        self.state(id).await.record
    }

    pub async fn journal(&self, id: &str) -> Vec<String> {
        self.store.journal(&run(id), 0, usize::MAX).await.unwrap().expect("the run is there").entries
    }
}
