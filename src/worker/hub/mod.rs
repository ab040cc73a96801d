//! The one place where a worker's state changes: leases, slots, known runs, what waits to be committed. It gets messages, one
//! after the other, decides, and sends work out: to the loops, the activities, and tasks that talk to the service.
//!
//! A message belongs to a session by its generation; what belongs to an earlier session is void.

mod attempts;
mod audit;
mod commits;
mod drain;
mod turns;

use commits::Answered;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::activities::{self, Came, Task};
use super::alone::Alone;
use super::commit::Pipeline;
use super::definitions::Definitions;
use super::loops::{Loops, Turned};
use super::runs::Runs;
use super::send::{Line, Over, Requests};
use super::slots::Slots;
use super::turn::TurnJob;
use crate::api::worker::{ActivityWork, Leases, Work};
use crate::api::{Attempt, CommandNo, Definition, Entry, RunKey, Seq, SessionId};
use crate::client::worker::{Error, WorkerClient};
use crate::clock::StoreClock;
use crate::telemetry::crash::point;
use crate::telemetry::link::Link;

/// The wait of a poll that offers both kinds of slots.
const POLL_WAIT_MS: u64 = 30_000;
/// The wait of a poll that offers one kind only: the other may become free at any moment. Doubled while it stays so.
const LOPSIDED_WAIT_MS: (u64, u64) = (20, 320);
/// How long a poll waits for slots that come back soon.
const SLOTS_WITHIN: Duration = Duration::from_millis(20);
/// Journals that are read at once; each may have [`crate::api::limits::JOURNAL_BYTES_MAX`].
const JOURNALS_AT_ONCE: usize = 8;
/// Runs whose items wait for more while turns and scripts that bring it wait for this thread: an exchange costs more than a short turn.
const RUNS_TOGETHER: usize = 64;
/// They wait no longer, when those are long.
const TOGETHER_WITHIN: Duration = Duration::from_millis(1);
/// Messages that are looked at before what they led to is sent: what comes together goes together.
const MESSAGES_AT_ONCE: usize = 256;

/// What the hub is told.
#[derive(Debug)]
pub(super) enum Msg {
    /// A session is open; cancelling `over` says that it is lost. `silent` tells when the service does not answer it.
    Opened { session: SessionId, ttl: Duration, over: CancellationToken, silent: Arc<Notify> },
    /// It is lost.
    Lost { session: SessionId },
    /// It is to finish what it has and to take nothing new, or works on.
    Drain { session: SessionId, draining: bool },
    /// Slots have not come back so soon. Perhaps those that an earlier poll waited for: then it comes too early, and does no harm.
    SlotsLate { generation: u64 },
    /// A poll was answered.
    Polled { generation: u64, work: Result<Work, Over> },
    /// All leases of the session, as the store has them.
    Audited { generation: u64, leases: Leases },
    /// A turn's definition was fetched.
    TurnDefined { job: Box<TurnJob>, definition: Result<Arc<Definition>, Error> },
    /// A turn's journal was fetched: `None` when the run has gone on without this worker.
    TurnJournal { job: Box<TurnJob>, journal: Result<Option<Arc<Vec<Entry>>>, Error> },
    /// A loop took a turn.
    Turned { job: Box<TurnJob>, turned: Turned },
    /// An attempt's definition was fetched.
    AttemptDefined { generation: u64, work: Box<ActivityWork>, definition: Result<Arc<Definition>, Error> },
    /// An attempt says that it lives.
    AttemptLives { generation: u64, id: AttemptId },
    /// An attempt has ended.
    AttemptEnded { generation: u64, id: AttemptId, came: Came },
    /// A commit was answered, for these items. The first answer of a request is not the last one when it leaves items unknown.
    Committed { generation: u64, answered: Answered },
    /// The session was over before a commit was answered.
    Uncommitted { generation: u64, over: Over },
}

/// An attempt here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AttemptId {
    run: RunKey,
    command: CommandNo,
    attempt: Attempt,
    seq: Seq,
}

impl AttemptId {
    fn of(work: &ActivityWork) -> Self {
        Self { run: work.run.clone(), command: work.command, attempt: work.attempt, seq: work.seq }
    }
}

/// Whether a poll waits for slots that come back soon.
#[derive(Debug, Clone, Copy)]
enum WaitingForSlots {
    No,
    Yes,
    /// Not any longer: it goes with what there is.
    Enough,
}

#[derive(Debug)]
struct Held {
    work: ActivityWork,
    /// `None` until it has begun.
    running: Option<activities::Running>,
    /// The heartbeat time-out, when it has one, and when the last sign of life was passed on.
    heartbeat: Option<(Duration, Instant)>,
}

/// What the hub is made with.
pub(super) struct Parts {
    pub(super) client: WorkerClient,
    pub(super) clock: Arc<StoreClock>,
    pub(super) definitions: Arc<Definitions>,
    pub(super) alone: Alone,
    pub(super) runner: activities::Runner,
    pub(super) worker: Arc<str>,
    pub(super) turn_slots: u16,
    pub(super) activity_slots: u16,
    pub(super) link: Link,
    pub(super) messages: UnboundedSender<Msg>,
}

/// See the module.
pub(super) struct Hub {
    parts: Parts,
    loops: Loops,
    /// Scripts that wait to be tried at once.
    granted: VecDeque<(AttemptId, Task)>,
    session: Option<Line>,
    generation: u64,
    slots: Slots,
    runs: Runs,
    attempts: HashMap<AttemptId, Held>,
    /// Attempts that have ended here and whose outcome is not answered yet.
    ended: HashSet<AttemptId>,
    pipeline: Pipeline,
    /// Since when what is ready waits for more.
    gathering: Option<Instant>,
    strangers: audit::Strangers,
    polling: bool,
    waiting_for_slots: WaitingForSlots,
    /// Journals that may be read at once.
    journals: Arc<Semaphore>,
    /// Turns of suspects that may be taken at once.
    suspects: Arc<Semaphore>,
    lopsided_wait_ms: u64,
    /// Cancelled when it is time to stop.
    draining: CancellationToken,
    /// Cancelled when it is time to stop polling: then, and while the service wants nothing to be taken on.
    resting: CancellationToken,
    /// What has not ended by now is handed back.
    handing_back: bool,
}

impl Hub {
    pub(super) fn new(parts: Parts, loops: Loops) -> Self {
        let slots = Slots::new(parts.turn_slots, parts.activity_slots);
        let draining = CancellationToken::new();
        Self {
            parts,
            granted: VecDeque::new(),
            loops,
            session: None,
            generation: 0,
            slots,
            runs: Runs::default(),
            attempts: HashMap::new(),
            ended: HashSet::new(),
            pipeline: Pipeline::default(),
            gathering: None,
            strangers: audit::Strangers::default(),
            polling: false,
            waiting_for_slots: WaitingForSlots::No,
            journals: Arc::new(Semaphore::new(JOURNALS_AT_ONCE)),
            suspects: Arc::new(Semaphore::new(1)),
            lopsided_wait_ms: LOPSIDED_WAIT_MS.0,
            resting: draining.child_token(),
            draining,
            handing_back: false,
        }
    }

    /// Works until `shutdown`, then drains. Answers the session that is still open.
    pub(super) async fn run(
        mut self,
        mut messages: UnboundedReceiver<Msg>,
        shutdown: CancellationToken,
        drain: Duration,
    ) -> Option<SessionId> {
        let mut buffer = Vec::with_capacity(MESSAGES_AT_ONCE);
        while !shutdown.is_cancelled() {
            tokio::select! {
                biased;
                _ = messages.recv_many(&mut buffer, MESSAGES_AT_ONCE) => {}
                () = shutdown.cancelled() => {}
                () = tokio::task::yield_now(), if self.has_work() => {}
            }
            self.step(&mut buffer);
        }
        self.drain(messages, drain).await
    }

    /// Whether something waits for this thread that no message will tell.
    fn has_work(&self) -> bool {
        self.loops.has_work() || !self.granted.is_empty()
    }

    /// Whether what is ready goes now: it is enough, it has waited, or nothing that would go with it is on its way here.
    fn is_time_to_commit(&mut self) -> bool {
        let more_comes = self.loops.has_calls() || !self.granted.is_empty();
        let since = *self.gathering.get_or_insert_with(Instant::now);
        let now = !more_comes || self.pipeline.ready() >= RUNS_TOGETHER || since.elapsed() >= TOGETHER_WITHIN;
        if now {
            self.gathering = None;
        }
        now
    }

    fn step(&mut self, buffer: &mut Vec<Msg>) {
        for message in buffer.drain(..) {
            self.handle(message);
        }
        self.try_at_once();
        for message in self.loops.work() {
            self.handle(message);
        }
        if self.is_time_to_commit() {
            self.send_commits();
        }
        self.poll();
    }

    fn handle(&mut self, message: Msg) {
        match message {
            Msg::Opened { session, ttl, over, silent } => self.opened(session, ttl, over, silent),
            Msg::Lost { session } if self.session.as_ref().is_some_and(|line| line.session == session) => {
                self.lost();
            }
            Msg::Drain { session, draining } if self.session.as_ref().is_some_and(|line| line.session == session) => {
                self.told_to_drain(draining);
            }
            Msg::SlotsLate { generation } if generation == self.generation => {
                if matches!(self.waiting_for_slots, WaitingForSlots::Yes) {
                    self.waiting_for_slots = WaitingForSlots::Enough;
                }
            }
            Msg::Polled { generation, work } if generation == self.generation => self.polled(work),
            Msg::Audited { generation, leases } if generation == self.generation => self.audited(leases),
            Msg::TurnDefined { job, definition } if job.generation == self.generation => self.turn_defined(job, definition),
            Msg::TurnJournal { job, journal } if job.generation == self.generation => self.turn_journal(job, journal),
            Msg::Turned { job, turned } if job.generation == self.generation => self.turned(job, turned),
            Msg::AttemptDefined { generation, work, definition } if generation == self.generation => {
                self.attempt_defined(*work, definition);
            }
            Msg::AttemptLives { generation, id } if generation == self.generation => self.attempt_lives(&id),
            Msg::AttemptEnded { generation, id, came } if generation == self.generation => self.attempt_ended(&id, came),
            Msg::Committed { generation, answered } if generation == self.generation => self.committed(answered),
            Msg::Uncommitted { generation, over } if generation == self.generation => self.over(over),
            // Of an earlier session: its leases are void, and whatever stands in memory is known by its head.
            _ => {}
        }
    }

    fn opened(&mut self, session: SessionId, ttl: Duration, over: CancellationToken, silent: Arc<Notify>) {
        if self.session.is_some() {
            self.lost();
        }
        self.session = Some(Line {
            client: self.parts.client.clone(),
            clock: self.parts.clock.clone(),
            worker: self.parts.worker.clone(),
            session,
            requests: Arc::new(Requests::default()),
            over,
            silent,
        });
        self.audit_every(ttl);
    }

    /// The session is over: all leases are void, and everything begins anew with the next one.
    fn lost(&mut self) {
        if let Some(line) = self.session.take() {
            line.over.cancel();
        }
        self.generation += 1;
        for held in std::mem::take(&mut self.attempts).into_values() {
            if let Some(running) = held.running {
                running.stop();
            }
        }
        self.granted.clear();
        self.loops.drop_waiting(false);
        self.ended.clear();
        self.runs = Runs::default();
        self.pipeline = Pipeline::default();
        self.strangers = audit::Strangers::default();
        self.slots = Slots::new(self.parts.turn_slots, self.parts.activity_slots);
        // A mark belongs to its session.
        self.works_on();
        self.polling = false;
        self.waiting_for_slots = WaitingForSlots::No;
    }

    /// The service wants what is here to be finished and nothing to be taken on; or no longer.
    fn told_to_drain(&mut self, draining: bool) {
        if !draining {
            tracing::info!("work is taken on again");
            return self.works_on();
        }
        tracing::info!(attempts = self.attempts.len(), turns = self.runs.leases().len(), "to be drained: nothing new is taken on");
        self.slots.close();
        self.loops.ahead().close(true);
        self.resting.cancel();
        // Whoever sees it not ready may rely on that nothing is asked for any more.
        self.parts.link.drain(true);
    }

    /// Work is taken on, unless this process stops.
    fn works_on(&mut self) {
        self.resting = self.draining.child_token();
        self.parts.link.drain(false);
        if self.draining.is_cancelled() {
            self.slots.close();
        } else {
            self.slots.open();
            self.loops.ahead().close(false);
        }
    }

    fn poll(&mut self) {
        let Some(line) = self.session.clone().filter(|_| !self.polling && !self.draining.is_cancelled()) else { return };
        if self.slots.come_back() && !self.has_waited_for_slots() {
            return;
        }
        let Some((turns, activities)) = self.slots.poll() else { return };
        let wait_ms = if turns > 0 && activities > 0 {
            self.lopsided_wait_ms = LOPSIDED_WAIT_MS.0;
            POLL_WAIT_MS
        } else {
            let wait = self.lopsided_wait_ms;
            self.lopsided_wait_ms = (wait * 2).min(LOPSIDED_WAIT_MS.1);
            wait
        };
        self.polling = true;
        self.waiting_for_slots = WaitingForSlots::No;
        let (messages, generation, stop) = (self.parts.messages.clone(), self.generation, self.resting.clone());
        tokio::spawn(async move {
            let work = line.poll(turns, activities, wait_ms, &stop).await;
            let _ = messages.send(Msg::Polled { generation, work });
        });
    }

    /// Whether slots that were to come back soon have not. Begins to wait for them.
    fn has_waited_for_slots(&mut self) -> bool {
        let waited = self.waiting_for_slots;
        self.waiting_for_slots = match waited {
            WaitingForSlots::Enough => WaitingForSlots::No,
            WaitingForSlots::No | WaitingForSlots::Yes => WaitingForSlots::Yes,
        };
        if matches!(waited, WaitingForSlots::No) {
            let (messages, generation) = (self.parts.messages.clone(), self.generation);
            tokio::spawn(async move {
                tokio::time::sleep(SLOTS_WITHIN).await;
                let _ = messages.send(Msg::SlotsLate { generation });
            });
        }
        matches!(waited, WaitingForSlots::Enough)
    }

    fn polled(&mut self, work: Result<Work, Over>) {
        self.polling = false;
        match work {
            Ok(work) => {
                if !work.turns.is_empty() {
                    point("worker.granted");
                }
                self.slots.polled(work.turns.len(), work.activities.len());
                for turn in work.turns {
                    self.turn_granted(turn);
                }
                for attempt in work.activities {
                    self.attempt_granted(attempt);
                }
            }
            Err(over) => self.over(over),
        }
    }

    /// A request found the session to be over.
    fn over(&mut self, over: Over) {
        if over.lost {
            self.lost();
        }
    }

    fn send_commits(&mut self) {
        let Some(line) = self.session.clone() else { return };
        while let Some(batch) = self.pipeline.next_batch() {
            let (line, messages, generation) = (line.clone(), self.parts.messages.clone(), self.generation);
            tokio::spawn(async move {
                point("worker.before-commit");
                if let Err(over) = commits::send(&line, batch, |answered| {
                    point("worker.committed");
                    let _ = messages.send(Msg::Committed { generation, answered });
                })
                .await
                {
                    let _ = messages.send(Msg::Uncommitted { generation, over });
                }
            });
        }
    }
}
