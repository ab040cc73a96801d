//! A store with a defined workflow, and short ways to write what the tests do.
//!
//! Every `now` is a small number: a store takes `min(now, its clock)`, so the tests choose the time.

use everloop::api::{DurationMs, Head, Name, Partition, RunKey, RunStatus, SessionId, TimeMs, Version};
use everloop::machine::commit::AttemptClaim;
use everloop::machine::record::RunRecord;
use everloop::machine::turn::{EntryText, NewAttempt, NewTimer};
use everloop::store::Store;
use everloop::store::op::*;
use everloop::store::redis::{RedisConfig, RedisStore};

use crate::server::{MEMORY, RedisServer};

pub const POOL: &str = "default";
pub const STARTED: &str = r#"{"Started":{"input":{"b":1.0,"a":[]}}}"#;
pub const CANCEL: &str = r#"{"CancelRequested":{"reason":"x"}}"#;
/// A session's deadline that no test reaches.
pub const LATE: u64 = 1_000_000;

pub struct World {
    pub server: RedisServer,
    pub store: RedisStore,
    pub version: Version,
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

pub fn config(server: &RedisServer, durability: Durability) -> RedisConfig {
    RedisConfig { durability, ..RedisConfig::new(server.url()) }
}

pub fn offer(by: &str, seq: u64, turns: u16, activities: u16) -> Option<Offer> {
    Some(Offer { session: session(by), seq, pool: name(POOL), turns, activities, fair: false })
}

pub fn claim_of(attempt: &everloop::machine::record::AttemptRecord) -> AttemptClaim {
    AttemptClaim { command: attempt.command, attempt: attempt.attempt, session: attempt.session.clone(), seq: attempt.seq }
}

pub fn completed(command: u32) -> String {
    format!(r#"{{"ActivityCompleted":{{"command":{command},"attempt":1,"result":{command}}}}}"#)
}

pub fn signal(n: u32) -> String {
    format!(r#"{{"SignalReceived":{{"name":"s","payload":{n}}}}}"#)
}

/// A turn that consumes one event and does nothing.
pub fn turn(base: &str, id: u64) -> Turn {
    let base: Head = base.parse().unwrap();
    let entry = EntryText { before: format!(r#"{{"v":1,"id":"{id}","events":["#), after: r#"],"commands":[]}"#.into() };
    Turn {
        base,
        id: Head(id),
        at: TimeMs(0),
        entry,
        consumed: 1,
        next_command: 1,
        schedule: vec![],
        timers: vec![],
        cancel_timers: vec![],
        close: None,
        continued: false,
        insist: false,
    }
}

pub fn activity(command: u32) -> NewAttempt {
    NewAttempt { command, queue: String::new(), timeout_ms: 1_000, heartbeat_ms: 0, give_up_at: TimeMs(0) }
}

pub fn timer(command: u32, due: u64) -> NewTimer {
    NewTimer { command, due: TimeMs(due) }
}

/// A turn that schedules an activity of the pool.
pub fn scheduling(base: &str, id: u64, command: u32) -> Turn {
    Turn { schedule: vec![activity(command)], next_command: command + 1, ..turn(base, id) }
}

/// A turn that ends the run.
pub fn closing(base: &str, id: u64) -> Turn {
    Turn { close: Some(RunStatus::Completed), ..turn(base, id) }
}

impl World {
    pub async fn new() -> Self {
        Self::on(RedisServer::start(&MEMORY), Durability::None).await
    }

    pub async fn on(server: RedisServer, durability: Durability) -> Self {
        let store = RedisStore::open(config(&server, durability)).await.unwrap();
        let world = Self { version: Version::of("definition"), server, store };
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
            retention: DurationMs(500),
            now: TimeMs(1),
        }
    }

    pub fn partition(&self, id: &str) -> Partition {
        run(id).partition(16)
    }

    pub fn start_of(&self, id: &str) -> Start {
        Start {
            run: run(id),
            uid: uuid::Uuid::now_v7().to_string().parse().unwrap(),
            head: Head(1),
            workflow: name("order"),
            version: self.version.clone(),
            pool: name(POOL),
            retention_ms: 500,
            event: STARTED.into(),
            input_hash: "0123456789abcdef".into(),
            now: TimeMs(10),
            offer: None,
        }
    }

    pub async fn open(&self, id: &str, by: &str) {
        assert!(self.store.open_session(self.partition(id), &session(by), &name(POOL), TimeMs(LATE)).await.unwrap());
    }

    /// Starts a run with its turn granted to a new session, in request 1.
    pub async fn started(&self, id: &str, by: &str) -> TurnGrant {
        self.open(id, by).await;
        let start = Start { offer: offer(by, 1, 1, 0), ..self.start_of(id) };
        match self.store.start(start).await.unwrap() {
            Started::New { grant: Some(grant), .. } => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// The same, and its first turn is committed; it asks for the activity 0, which the session gets in request 2.
    pub async fn stepping(&self, id: &str, by: &str) -> AttemptGrant {
        let grant = self.started(id, by).await;
        let grants = self.accepted(id, by, 1, scheduling(&grant.record.head, 2, 0), offer(by, 2, 0, 1)).await;
        grants.attempts.into_iter().next().expect("the activity is granted")
    }

    pub async fn commit(&self, id: &str, by: &str, seq: u64, turn: Turn, offer: Option<Offer>) -> Committed {
        let commit = Commit { run: run(id), session: session(by), seq, turn, now: TimeMs(20), offer };
        self.store.commit(commit).await.unwrap()
    }

    pub async fn accepted(&self, id: &str, by: &str, seq: u64, turn: Turn, offer: Option<Offer>) -> Grants {
        match self.commit(id, by, seq, turn, offer).await {
            Committed::Accepted { grants } => grants,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub fn finish_of(&self, grant: &AttemptGrant, event: String) -> Finish {
        let attempt = claim_of(&grant.attempt);
        Finish { run: grant.run.clone(), attempt, outcome: Outcome::Settled { event }, turn: None, now: TimeMs(30), offer: None }
    }

    pub async fn finish(&self, finish: Finish) -> Finished {
        self.store.finish(finish).await.unwrap()
    }

    pub async fn claim(&self, id: &str, by: &str, seq: u64, turns: u16, attempts: u16, now: u64) -> Claimed {
        self.claim_again(id, by, seq, (turns, attempts), now, false).await
    }

    pub async fn claim_again(&self, id: &str, by: &str, seq: u64, wanted: (u16, u16), now: u64, again: bool) -> Claimed {
        let by = Claimer::Session { session: session(by), pool: name(POOL) };
        let partition = self.partition(id);
        let claim = Claim { partition, by, seq, turns: wanted.0, attempts: wanted.1, again, now: TimeMs(now) };
        self.store.claim(claim).await.unwrap()
    }

    /// What a claim grants; it must not be refused.
    pub async fn claimed(&self, id: &str, by: &str, seq: u64, now: u64) -> Grants {
        match self.claim(id, by, seq, 8, 8, now).await {
            Claimed::Granted { grants, .. } => grants,
            Claimed::SessionLost => panic!("the session {by} is lost"),
        }
    }

    pub async fn fire(&self, id: &str, now: u64, offer: Option<Offer>) -> Fired {
        self.store.fire(Fire { partition: self.partition(id), now: TimeMs(now), offer }).await.unwrap()
    }

    pub async fn deliver(&self, id: &str, event: &str, key: &str) -> Delivered {
        self.store.deliver(self.delivery(id, event, key)).await.unwrap()
    }

    pub fn delivery(&self, id: &str, event: &str, key: &str) -> Deliver {
        Deliver { run: run(id), event: event.into(), cancel: event == CANCEL, key: key.into(), now: TimeMs(15), offer: None }
    }

    pub async fn record(&self, id: &str) -> RunRecord {
        self.store.run(&run(id)).await.unwrap().expect("the run is there").record
    }

    pub async fn entries(&self, id: &str) -> Vec<String> {
        self.store.journal(&run(id), 0, usize::MAX >> 12).await.unwrap().expect("the run is there").entries
    }
}
