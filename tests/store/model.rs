//! Two stores are one: random sequences of operations, repeats and stale ones among them, get the same answers and leave the
//! same visible state in memory and on Redis.

use everloop::api::limits::SLICE_MAX;
use everloop::api::{Head, RunStatus, TimeMs, Version};
use everloop::machine::activity::AttemptPhase;
use everloop::machine::commit::AttemptClaim;
use everloop::machine::message::Message;
use everloop::machine::record::{EXTERNAL, PAUSED_PREFIX, RunRecord};
use everloop::machine::run::Phase;
use everloop::machine::turn::{NewAttempt, NewSignal};
use everloop::store::Store;
use everloop::store::chain::{self, Chain, First, FirstAnswer};
use everloop::store::op::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use crate::stores;
use crate::world::*;

const RUNS: [&str; 5] = ["a", "b", "p/1", "p/2", "p/3"];
const SESSIONS: [&str; 3] = ["s1", "s2", "s3"];
const QUEUE: &str = "shop/drivers";
const CASES: u32 = 100;
const STEPS: usize = 120;

/// A step as chance gives it; what it comes to depends on what is there.
#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    run: usize,
    by: usize,
    pick: usize,
    flags: u16,
    ticks: u64,
}

fn step() -> impl Strategy<Value = Step> {
    (0..40_u8, 0..RUNS.len(), 0..SESSIONS.len(), 0..4_usize, any::<u16>(), 0..40_u64).prop_map(|(kind, run, by, pick, flags, ticks)| Step {
        kind,
        run,
        by,
        pick,
        flags,
        ticks,
    })
}

/// An operation with its arguments.
#[derive(Debug, Clone)]
enum Call {
    Start(Start),
    Deliver(Deliver),
    Control(Control),
    Open(usize, TimeMs),
    Renew(usize, TimeMs),
    End(usize, Option<Vec<usize>>, TimeMs),
    Expired(TimeMs),
    Claim(Claim),
    Commit(Commit),
    Finish(Finish),
    Settle(Settle),
    Chain(Chain),
    Release(Release),
    Extend(usize, AttemptClaim, TimeMs),
    Fire(Fire),
    Sweep(TimeMs),
    /// Carries what lies in a partition's outbox: without the last word when the carrier dies before that, and past a message when it
    /// has gone mad.
    Carry {
        from: everloop::api::Partition,
        dies: bool,
        skips: bool,
        now: TimeMs,
    },
}

/// A turn lease that was granted once; it may be over.
#[derive(Debug, Clone)]
struct TurnLease {
    run: usize,
    session: String,
    seq: u64,
    base: String,
    events: u32,
}

/// What the driver remembers of the answers.
struct Driver {
    now: u64,
    seq: u64,
    head: u64,
    turns: Vec<TurnLease>,
    attempts: Vec<(usize, AttemptClaim)>,
    last: Option<Call>,
}

fn bit(step: &Step, n: u32) -> bool {
    step.flags & (1 << n) != 0
}

impl Driver {
    fn fresh(&mut self) -> Head {
        self.head += 1;
        Head(self.head)
    }

    fn offer(&mut self, step: &Step) -> Option<Offer> {
        if !bit(step, 15) {
            return None;
        }
        self.seq += 1;
        let offer = offer(SESSIONS[step.by], self.seq, u16::from(bit(step, 14)), u16::from(bit(step, 13)) * 2)?;
        Some(Offer { fair: bit(step, 12) && bit(step, 11), ..offer })
    }

    /// Outcomes of several attempts of a run, those that are over among them; one of them may be there twice.
    fn settle(&mut self, step: &Step, at: usize, first: &Outcome) -> Settle {
        let of_run = self.attempts.iter().rev().filter(|(run, _)| *run == at).map(|(_, attempt)| attempt);
        let mut attempts: Vec<_> = of_run.take(usize::from(1 + step.flags % 4)).cloned().collect();
        attempts.extend(attempts.first().filter(|_| bit(step, 7)).cloned());
        let outcome = |n, command| if n == 0 { first.clone() } else { Outcome::Settled { event: completed(command) } };
        let key = |attempt: &AttemptClaim| if bit(step, 8) { format!("{}/{}", attempt.command, attempt.seq) } else { String::new() };
        let outcomes = attempts.into_iter().enumerate().map(|(n, attempt)| Settlement {
            outcome: outcome(n, attempt.command),
            key: key(&attempt),
            attempt,
        });
        Settle { run: run(RUNS[at]), outcomes: outcomes.collect(), now: TimeMs(self.now), offer: self.offer(step) }
    }

    /// Steps behind a turn; mostly it asks for the one activity that they begin with, and a slot is there for it.
    fn steps(&mut self, step: &Step, first: &mut Turn, offer: Option<&mut Offer>) -> Vec<chain::Step> {
        if step.pick < 3 {
            first.schedule = vec![activity(first.next_command - 1)];
            first.timers.clear();
            first.signals.clear();
            (first.close, first.continued, first.seen) = (None, false, 0);
            if let Some(offer) = offer {
                offer.activities = offer.activities.max(1);
            }
        }
        let (mut base, mut command) = (first.id, first.next_command - 1);
        let mut steps = Vec::new();
        let count = 1 + step.flags % 4;
        for n in 0..count {
            if bit(step, 7) && bit(step, 8) && n == 1 {
                base = Head(7);
            }
            let id = self.fresh();
            let ends = bit(step, 6) && n + 1 == count;
            let turn = if ends { closing(&base.to_string(), id.0) } else { scheduling(&base.to_string(), id.0, &[command + 1]) };
            steps.push(chain::Step { command, event: completed(command), turn: Turn { consumed: 0, next_command: command + 2, ..turn } });
            (base, command) = (id, command + 1);
        }
        steps
    }

    /// A turn on the base, in one of many shapes.
    async fn turn(&mut self, world: &World, step: &Step, run: usize, base: &str, consumed: u32) -> Turn {
        let next = world.store.run(&self::run(RUNS[run])).await.unwrap().map_or(0, |state| state.record.next_command);
        let (mut schedule, mut timers) = (Vec::new(), Vec::new());
        let mut command = next;
        for n in 0..u32::from(step.flags & 3) {
            let queue = if bit(step, 2) && n == 0 { QUEUE.to_owned() } else { String::new() };
            let by = |asked: bool, after: u64| TimeMs(if asked { self.now + after } else { 0 });
            let heartbeat_ms = if bit(step, 2) { 300 } else { 0 };
            schedule.push(NewAttempt {
                queue,
                heartbeat_ms,
                start_by: by(bit(step, 3), 200),
                close_by: by(bit(step, 0), 500),
                ..activity(command)
            });
            command += 1;
        }
        if bit(step, 4) {
            timers.push(timer(command, self.now + 30 * step.ticks));
            command += 1;
        }
        let cancel_timers = if bit(step, 5) { (0..next).collect() } else { vec![] };
        let close = (bit(step, 6) && bit(step, 7)).then_some(RunStatus::Completed);
        if close.is_some() {
            (schedule, timers) = (vec![], vec![]);
        }
        let id = self.fresh();
        let (continued, seen) = (close.is_none() && bit(step, 8) && bit(step, 9), u32::from(bit(step, 10)));
        let shape = turn(base, id.0);
        let mut signals = Vec::new();
        if bit(step, 3) && bit(step, 13) {
            signals.push(NewSignal { command, to: self::run(RUNS[(run + step.pick) % RUNS.len()]), event: signal(step.pick) });
        }
        Turn { signals, consumed, next_command: command + 1, schedule, timers, cancel_timers, close, continued, seen, ..shape }
    }

    /// An operation, and some of those that take turns with steps behind it.
    async fn call(&mut self, world: &World, step: &Step) -> Option<Call> {
        let call = self.one(world, step).await?;
        if !step.ticks.is_multiple_of(3) {
            return Some(call);
        }
        Some(match call {
            Call::Commit(mut commit) if commit.offer.is_some() => {
                let steps = self.steps(step, &mut commit.turn, commit.offer.as_mut());
                Call::Chain(Chain { first: First::Commit(commit), steps })
            }
            Call::Finish(Finish { turn: Some(mut turn), offer: mut offer @ Some(_), run, attempt, outcome, key, now }) => {
                let steps = self.steps(step, &mut turn, offer.as_mut());
                let finish = Finish { turn: Some(turn), offer, run, attempt, outcome, key, now };
                Call::Chain(Chain { first: First::Finish(finish), steps })
            }
            other => other,
        })
    }

    async fn one(&mut self, world: &World, step: &Step) -> Option<Call> {
        self.now += step.ticks;
        let now = TimeMs(self.now);
        let key = if bit(step, 0) { format!("k{}", step.pick) } else { String::new() };
        Some(match step.kind {
            0..=3 => {
                let head = self.fresh();
                let origin = bit(step, 4).then(|| "kubernetes".parse().unwrap());
                Call::Start(Start { head, origin, offer: self.offer(step), ..world.start_of(RUNS[step.run], self.now) })
            }
            4..=7 => {
                let cancel = bit(step, 1) && bit(step, 2);
                let event = if cancel { CANCEL.into() } else { signal(step.pick) };
                Call::Deliver(Deliver { run: run(RUNS[step.run]), event, cancel, key, now, offer: self.offer(step) })
            }
            8..=16 => {
                let lease = self.turns.get(self.turns.len().checked_sub(1 + step.pick)?)?.clone();
                let consumed = lease.events.saturating_sub(u32::from(bit(step, 11)));
                let turn = self.turn(world, step, lease.run, &lease.base, consumed).await;
                let offer = self.offer(step);
                Call::Commit(Commit { run: run(RUNS[lease.run]), session: session(&lease.session), seq: lease.seq, turn, now, offer })
            }
            17..=24 => {
                let (at, attempt) = self.attempts.get(self.attempts.len().checked_sub(1 + step.pick)?)?.clone();
                let retries = bit(step, 12);
                let outcome = if retries {
                    Outcome::Retry { at: TimeMs(self.now + 50), error: "Error: again".into() }
                } else {
                    Outcome::Settled { event: completed(attempt.command) }
                };
                let turn = match world.store.run(&run(RUNS[at])).await.unwrap() {
                    Some(state) if !retries && !bit(step, 11) && attempt.session != EXTERNAL => {
                        Some(self.turn(world, step, at, &state.record.head, 0).await)
                    }
                    _ => None,
                };
                if turn.is_none() && bit(step, 9) {
                    return Some(Call::Settle(self.settle(step, at, &outcome)));
                }
                Call::Finish(Finish { run: run(RUNS[at]), attempt, outcome, turn, key: String::new(), now, offer: self.offer(step) })
            }
            25..=28 => {
                self.seq += 1;
                let partition = place(RUNS[step.run]);
                let (turns, attempts) = (step.flags & 3, (step.flags >> 2) & 3);
                if bit(step, 8) && bit(step, 9) {
                    let by = Claimer::External { queue: QUEUE.into() };
                    Call::Claim(Claim { partition, by, seq: self.seq, turns: 0, attempts, again: false, now })
                } else {
                    Call::Claim(world.claim_by(partition, SESSIONS[step.by], self.seq, turns, attempts, self.now))
                }
            }
            29..=30 => Call::Fire(Fire { partition: place(RUNS[step.run]), now, offer: self.offer(step), slice: SLICE_MAX }),
            31 => {
                let lease = self.turns.get(self.turns.len().checked_sub(1 + step.pick)?)?.clone();
                let blocked = if bit(step, 1) { r#"{"reason":"NonDeterminism","message":""}"#.into() } else { String::new() };
                let head = self.fresh();
                let (session, seq, keeps_context) = (session(&lease.session), lease.seq, bit(step, 2));
                let what = Released::Turn { session, seq, blocked, head, keeps_context };
                Call::Release(Release { run: run(RUNS[lease.run]), what, now })
            }
            32 => {
                let (at, attempt) = self.attempts.get(self.attempts.len().checked_sub(1 + step.pick)?)?.clone();
                if bit(step, 1) {
                    Call::Extend(at, attempt, now)
                } else {
                    Call::Release(Release { run: run(RUNS[at]), what: Released::Attempt(attempt), now })
                }
            }
            33..=34 => {
                let kind = match step.pick {
                    0 => ControlKind::Pause { blocked: format!("{PAUSED_PREFIX},\"message\":\"\"}}") },
                    1 if bit(step, 3) => ControlKind::Terminate { entry: r#"{"events":[],"commands":["why"]}"#.into() },
                    _ => ControlKind::Resume { version: bit(step, 6).then(|| Version::of("other")) },
                };
                Call::Control(Control {
                    run: run(RUNS[step.run]),
                    kind,
                    over: bit(step, 5).then_some(Head(self.head)),
                    head: self.fresh(),
                    key,
                    now,
                })
            }
            35 => Call::Open(step.by, TimeMs(self.now + 400)),
            36 if bit(step, 0) => Call::Renew(step.by, TimeMs(self.now + 400)),
            36 => Call::Expired(now),
            37 if bit(step, 0) && bit(step, 1) => Call::End(step.by, bit(step, 2).then(|| vec![step.run]), now),
            37 if bit(step, 3) => Call::Sweep(now),
            37..=38 => Call::Carry { from: place(RUNS[step.run]), dies: bit(step, 4), skips: bit(step, 5) && bit(step, 6), now },
            _ => self.last.clone()?,
        })
    }

    /// Leases in a store that no answer has told anybody.
    async fn untold(&self, world: &World) -> Vec<String> {
        let mut untold = Vec::new();
        for partition in partitions() {
            for by in SESSIONS {
                let leases = world.store.leases(partition, &session(by)).await.unwrap();
                let is_told = |key: &everloop::api::RunKey, seq: u64| {
                    self.turns.iter().any(|turn| run(RUNS[turn.run]) == *key && turn.session == by && turn.seq == seq)
                };
                untold.extend(leases.turns.iter().filter(|(key, seq)| !is_told(key, *seq)).map(|lease| format!("{by} {lease:?}")));
                let attempts = leases
                    .attempts
                    .iter()
                    .filter(|(key, claim)| !self.attempts.iter().any(|(at, told)| run(RUNS[*at]) == *key && told == claim));
                untold.extend(attempts.map(|lease| format!("{by} {lease:?}")));
            }
        }
        untold
    }

    /// Remembers what was granted.
    fn learn(&mut self, grants: &Grants) {
        let index = |run: &everloop::api::RunKey| RUNS.iter().position(|id| self::run(id) == *run).expect("a known run");
        for grant in &grants.turns {
            let record = &grant.record;
            self.turns.push(TurnLease {
                run: index(&grant.run),
                session: record.session.clone(),
                seq: record.seq,
                base: record.head.clone(),
                events: u32::try_from(grant.events.len()).unwrap(),
            });
        }
        self.attempts.extend(grants.attempts.iter().map(|grant| (index(&grant.run), claim_of(&grant.attempt))));
    }
}

/// Grants without what differs by nature: the store's clock, and which attempts stand beside a record.
fn told(grants: Grants) -> Grants {
    let turns = without_clock(grants.turns).into_iter().map(|turn| TurnGrant { record: bare(turn.record), ..turn });
    Grants { turns: turns.collect(), ..grants }
}

fn bare(record: RunRecord) -> RunRecord {
    RunRecord { attempts: vec![], attempts_beside: 0, ..record }
}

fn one(grant: Option<TurnGrant>) -> Grants {
    told(Grants { turns: grant.into_iter().collect(), attempts: vec![] })
}

/// What a store answers, in words, and what it grants.
async fn answer(store: &dyn Store, call: &Call) -> (String, Grants) {
    let say = |what: &dyn std::fmt::Debug| (format!("{what:?}"), Grants::default());
    match call.clone() {
        Call::Start(start) => match store.start(start).await.unwrap() {
            Started::New { record, grant } => (format!("new {record:?}"), one(grant)),
            Started::Existing(record) => say(&("existing", bare(record))),
            Started::Taken(record) => say(&("taken", bare(record))),
            other => say(&other),
        },
        Call::Deliver(deliver) => match store.deliver(deliver).await.unwrap() {
            Delivered::Accepted { grant } => ("accepted".into(), one(grant)),
            other => say(&other),
        },
        Call::Control(control) => match store.control(control).await.unwrap() {
            Controlled::Done(record) => say(&("done", bare(record))),
            Controlled::Moved(record) => say(&("moved", bare(record))),
            Controlled::NotApplicable(record) => say(&("not applicable", bare(record))),
            other => say(&other),
        },
        Call::Open(by, deadline) => {
            let mut all = Vec::new();
            for partition in partitions() {
                all.push(store.open_session(partition, &session(SESSIONS[by]), &name(POOL), deadline).await.unwrap());
            }
            say(&all)
        }
        Call::Renew(by, deadline) => {
            let mut all = Vec::new();
            for partition in partitions() {
                all.push(store.renew_session(partition, &session(SESSIONS[by]), deadline).await.unwrap());
            }
            say(&all)
        }
        Call::End(by, executing, now) => {
            let ending = match executing {
                None => Ending::Goodbye,
                Some(executing) => Ending::Death { executing: executing.iter().map(|at| run(RUNS[*at])).collect() },
            };
            let mut all = Vec::new();
            for partition in partitions() {
                all.push(store.end_session(partition, &session(SESSIONS[by]), &ending, now).await.unwrap());
            }
            say(&all)
        }
        Call::Expired(now) => {
            let mut all = Vec::new();
            for partition in partitions() {
                all.push(store.expired_sessions(partition, now).await.unwrap());
            }
            say(&all)
        }
        Call::Claim(claim) => match store.claim(claim).await.unwrap() {
            Claimed::Granted { grants, more, next_at } => (format!("granted {more} {next_at:?}"), told(grants)),
            Claimed::SessionLost => say(&"lost"),
        },
        Call::Commit(commit) => match store.commit(commit).await.unwrap() {
            Committed::Accepted { grants, at } => (format!("accepted {at:?}"), told(grants)),
            other => say(&other),
        },
        Call::Finish(finish) => match store.finish(finish).await.unwrap() {
            Finished::Accepted { turn, grants, at } => (format!("accepted {turn:?} {at:?}"), told(grants)),
            other => say(&other),
        },
        Call::Settle(settle) => {
            let Settled { counts, grants } = store.settle(settle).await.unwrap();
            (format!("settled {counts:?}"), told(grants))
        }
        Call::Chain(chain) => {
            let chained = store.chain(chain).await.unwrap();
            let taken = chained.taken;
            match chained.first {
                FirstAnswer::Committed(Committed::Accepted { grants, at }) => (format!("accepted, {taken} {at:?}"), told(grants)),
                FirstAnswer::Finished(Finished::Accepted { turn, grants, at }) => {
                    (format!("accepted {turn:?}, {taken} {at:?}"), told(grants))
                }
                other => say(&other),
            }
        }
        Call::Release(release) => say(&store.release(release).await.unwrap()),
        Call::Extend(at, attempt, now) => say(&store.extend(&run(RUNS[at]), &attempt, now).await.unwrap()),
        Call::Fire(fire) => {
            let fired = store.fire(fire).await.unwrap();
            let words = format!("{} {} {:?} {} {:?}", fired.timers, fired.retries, fired.timed_out, fired.more, fired.next_due);
            (words, told(fired.grants))
        }
        Call::Carry { from, dies, skips, now } => {
            let mut all = Vec::new();
            for Parcel { to, first, messages } in store.outbox(from).await.unwrap() {
                let first = first + u64::from(skips);
                let received = store.receive(Receive { from, to, first, messages, now }).await.unwrap();
                if !dies {
                    store.sent(from, to, received.last).await.unwrap();
                }
                all.push(received);
            }
            say(&all)
        }
        Call::Sweep(now) => {
            let mut all = Vec::new();
            for partition in partitions() {
                all.push(store.sweep(partition, now).await.unwrap());
            }
            say(&all)
        }
    }
}

/// The load, after a look that it is what is counted; without clocks, and without the moments that a preference for a session shifts.
async fn load(store: &dyn Store, partition: everloop::api::Partition, counts: &Counts) -> Load {
    let mut load = store.load(partition, TimeMs(u64::MAX >> 12)).await.unwrap();
    let numbers =
        |waiting: &std::collections::BTreeMap<String, Waiting>| waiting.iter().map(|(pool, of)| (pool.clone(), of.count)).collect();
    let turns: std::collections::BTreeMap<String, u64> = numbers(&load.turns);
    let attempts: std::collections::BTreeMap<String, u64> = numbers(&load.attempts);
    assert_eq!(turns, counts.ready_turns);
    let of_pools = counts.queued_attempts.iter().filter_map(|(queue, n)| Some((queue.strip_prefix("pool:")?.to_owned(), *n)));
    assert_eq!(attempts, of_pools.collect());
    let (ready, queued, held) = recounted(store, partition).await;
    assert_eq!(turns, ready, "ready runs, by their records");
    if let Some((queued, held)) = queued.zip(held) {
        assert_eq!(attempts, queued, "queued attempts, by the records of their runs");
        assert_eq!(load.leases, held, "leases, by the records of their runs");
    }
    for (session, leased) in &load.leases {
        let leases = store.leases(partition, session).await.unwrap();
        assert_eq!((leases.turns.len() as u64, leases.attempts.len() as u64), (leased.turns, leased.attempts), "{session}");
    }
    load.now = TimeMs(0);
    load
}

/// What the records of the runs say: ready turns and queued attempts by pool, and leases by session. The last two only of a store that keeps all
/// attempts in the records.
async fn recounted(store: &dyn Store, partition: everloop::api::Partition) -> (ByPool, Option<ByPool>, Option<BySession>) {
    let (mut ready, mut queued, mut held, mut all) = (ByPool::new(), ByPool::new(), BySession::new(), true);
    for id in RUNS.iter().filter(|id| place(id) == partition) {
        let Some(state) = store.run(&run(id)).await.unwrap() else { continue };
        let record = state.record;
        all &= record.attempts_beside == 0;
        match record.phase {
            Phase::Ready => *ready.entry(record.pool.clone()).or_default() += 1,
            Phase::Leased => held.entry(session(&record.session)).or_default().turns += 1,
            _ => {}
        }
        for attempt in &record.attempts {
            match attempt.phase {
                AttemptPhase::Queued if attempt.queue.is_empty() => *queued.entry(record.pool.clone()).or_default() += 1,
                AttemptPhase::Leased if attempt.session != EXTERNAL => held.entry(session(&attempt.session)).or_default().attempts += 1,
                _ => {}
            }
        }
    }
    (ready, all.then_some(queued), all.then_some(held))
}

type ByPool = std::collections::BTreeMap<String, u64>;
type BySession = std::collections::BTreeMap<everloop::api::SessionId, Leased>;

/// The open runs as the store counts and lists them, after a look that they are what the records say.
async fn open(store: &dyn Store) -> String {
    let (mut counted, mut followed) = (Vec::new(), Vec::new());
    for partition in partitions() {
        counted.extend(store.open_runs(partition).await.unwrap());
        followed.extend(store.followed(partition, None).await.unwrap().runs);
    }
    let mut records = Vec::new();
    for id in RUNS {
        records.extend(store.run(&run(id)).await.unwrap().map(|state| (run(id), state.record)));
    }
    records.retain(|(_, record)| !record.status().is_closed());
    let mut versions = std::collections::BTreeMap::new();
    for open in counted {
        *versions.entry(open.version.to_string()).or_insert(0) += open.runs;
    }
    let mut recounted = std::collections::BTreeMap::new();
    records.iter().for_each(|(_, record)| *recounted.entry(record.version.clone()).or_insert(0) += 1);
    assert_eq!(versions, recounted, "open runs by version");
    followed.sort();
    let with_origin = records.iter().filter(|(_, record)| !record.origin.is_empty());
    let mut relisted: Vec<_> = with_origin.map(|(run, record)| (run.clone(), record.origin.parse().unwrap())).collect();
    relisted.sort();
    assert_eq!(followed, relisted, "open runs with an origin");
    format!("{versions:?} {followed:?}")
}

/// Everything that a store shows.
async fn visible(store: &dyn Store) -> Vec<String> {
    let mut all = vec![open(store).await];
    for id in RUNS {
        all.push(format!("{id} {:?}", store.run(&run(id)).await.unwrap()));
        all.push(format!("{id} {:?}", store.journal(&run(id), 0, usize::MAX).await.unwrap()));
    }
    for partition in partitions() {
        let counts = store.counts(partition).await.unwrap();
        all.push(format!("{partition:?} {counts:?}"));
        all.push(format!("{partition:?} {:?}", load(store, partition, &counts).await));
        let changes = match store.changes(partition, Some(0)).await.unwrap() {
            Changes::Told { place, runs, more } => {
                let bare = |change: Change| (change.run, change.record.map(bare), change.last);
                format!("{place} {more} {:?}", runs.into_iter().map(bare).collect::<Vec<_>>())
            }
            Changes::TooOld => "too old".to_owned(),
        };
        all.push(format!("{partition:?} {changes}"));
        for parcel in store.outbox(partition).await.unwrap() {
            let messages: Vec<_> = parcel.messages.iter().map(|message| Message::decode(message).expect("a message")).collect();
            all.push(format!("{partition:?} {:?} {} {messages:?}", parcel.to, parcel.first));
        }
        for by in SESSIONS {
            all.push(format!("{partition:?} {by} {:?}", store.leases(partition, &session(by)).await.unwrap()));
        }
    }
    all
}

async fn compare(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (memory, redis) = (World::on(stores::memory().await).await, World::on(stores::redis().await).await);
    let mut driver = Driver { now: 10, seq: 100, head: 0x1000, turns: vec![], attempts: vec![], last: None };
    for world in [&memory, &redis] {
        for by in SESSIONS {
            world.open(by).await;
        }
    }
    let mut calls = Vec::new();
    for step in steps {
        let Some(call) = driver.call(&memory, &step).await else { continue };
        calls.push(call.clone());
        let (words, grants) = answer(&*memory.store, &call).await;
        let other = answer(&*redis.store, &call).await;
        prop_assert!(words == other.0 && grants == other.1, "answers: {}", difference(&calls, &(words, grants), &other));
        for (one, two) in visible(&*memory.store).await.iter().zip(&visible(&*redis.store).await) {
            prop_assert!(one == two, "state: {}", difference(&calls, one, two));
        }
        driver.learn(&grants);
        for (store, leased) in [("memory", driver.untold(&memory).await), ("Redis", driver.untold(&redis).await)] {
            prop_assert!(leased.is_empty(), "a lease in {store} that no answer told: {}", difference(&calls, &leased, &""));
        }
        driver.last = Some(call);
    }
    Ok(())
}

/// The sequence that two stores took differently.
fn difference(calls: &[Call], memory: &dyn std::fmt::Debug, redis: &dyn std::fmt::Debug) -> String {
    let calls: String = calls.iter().map(|call| format!("{call:?}\n")).collect();
    format!("memory {memory:?}\n Redis {redis:?}\nafter\n{calls}")
}

#[test]
fn random_operations_do_the_same_in_memory_and_on_redis() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let config = Config { cases: CASES, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&prop::collection::vec(step(), 1..STEPS), |steps| runtime.block_on(compare(steps)));
    if let Err(TestError::Fail(reason, _)) = checked {
        panic!("{reason}");
    }
}
