//! Turns: from the lease to the commit's item.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Hub, Msg};
use crate::api::definition::Kind;
use crate::api::journal::{Command, Event};
use crate::api::limits::TURN_SUSPECT_DEATHS;
use crate::api::run::Blocked;
use crate::api::worker::{Item, StepCommit, TurnCommit, TurnWork};
use crate::api::{Definition, Entry, Json, RunError};
use crate::client::worker::{Error, WorkerClient};
use crate::telemetry::crash::point;
use crate::worker::backoff::Backoff;
use crate::worker::commit::{Pending, Then, outcome_item};
use crate::worker::engine::{self, TurnOutcome};
use crate::worker::loops::Turned;
use crate::worker::turn::{Source, TurnJob, parts};

impl Hub {
    /// A turn lease has come.
    pub(super) fn turn_granted(&mut self, mut work: TurnWork) {
        if !self.runs.lease(&work) {
            self.slots.release_turn();
            return;
        }
        if work.deaths > 0 {
            tracing::warn!(run = %work.run, deaths = work.deaths, "workers died in this run's turns");
        }
        let texts = std::mem::take(&mut work.events);
        match read_events(&texts) {
            Ok(events) => {
                let job = Box::new(TurnJob::leased(self.generation, work, events));
                self.take_turn(job, None);
            }
            Err(message) => {
                let job = Box::new(TurnJob::leased(self.generation, work, Vec::new()));
                self.block(job, Blocked { reason: "UnknownEvent".to_owned(), message, holders: Vec::new() });
            }
        }
    }

    /// Gives a turn to its loop, once its definition is here.
    pub(super) fn take_turn(&mut self, job: Box<TurnJob>, journal: Option<Arc<Vec<Entry>>>) {
        if let Some(definition) = self.parts.definitions.get(&job.version) {
            self.turn(job, definition, journal);
            return;
        }
        let Some(over) = self.session.as_ref().map(|line| line.over.clone()) else { return };
        let (definitions, messages) = (self.parts.definitions.clone(), self.parts.messages.clone());
        tokio::spawn(async move {
            if let Some(definition) = definitions.load(&job.version, &over).await {
                let _ = messages.send(Msg::TurnDefined { job, definition });
            }
        });
    }

    /// To its loop, or, when workers have died in it, to a process of its own: that takes no worker with it, so the run is not said
    /// to be in execution here.
    fn turn(&mut self, mut job: Box<TurnJob>, definition: Arc<Definition>, journal: Option<Arc<Vec<Entry>>>) {
        if job.deaths < TURN_SUSPECT_DEATHS {
            self.loops.turn(job, definition, journal);
            return;
        }
        self.loops.evict(&job.uid);
        job.at = self.parts.clock.now().max(job.at);
        let input = job.input(definition, journal, job.at);
        let (alone, messages, one_at_a_time) = (self.parts.alone.clone(), self.parts.messages.clone(), self.suspects.clone());
        tokio::spawn(async move {
            let Ok(_alone) = one_at_a_time.acquire_owned().await else { return };
            let died = |e: tokio::task::JoinError| Err(format!("the thread that waited for it: {e}"));
            let turned = tokio::task::spawn_blocking(move || alone.turn(input)).await.unwrap_or_else(died);
            let turned = turned.map_or_else(Turned::Died, Turned::Outcome);
            let _ = messages.send(Msg::Turned { job, turned });
        });
    }

    pub(super) fn turn_defined(&mut self, job: Box<TurnJob>, definition: Result<Arc<Definition>, Error>) {
        match definition {
            Ok(definition) if self.runs.is_current(&job) => self.turn(job, definition, None),
            Ok(_) => self.abandon(*job),
            Err(error) => {
                let message = format!("the run's version {} cannot be read: {error}", job.version.short());
                self.not_taken(job, |hub, job| {
                    hub.block(job, Blocked { reason: "VersionNotFound".to_owned(), message, holders: Vec::new() });
                });
            }
        }
    }

    pub(super) fn turned(&mut self, mut job: Box<TurnJob>, turned: Turned) {
        point("worker.turned");
        if !self.runs.is_current(&job) {
            self.loops.evict(&job.uid);
            self.abandon(*job);
            return;
        }
        match turned {
            Turned::Outcome(TurnOutcome::Done(output)) => {
                if !output.unread_signals.is_empty() {
                    tracing::debug!(run = %job.run, signals = ?output.unread_signals, "the run closes with unread signals");
                }
                job.parts = parts(output);
                if job.is_optimistic() && job.parts.len() > 1 {
                    self.loops.evict(&job.uid);
                    self.outcome_instead(*job);
                } else {
                    self.commit_turn(job);
                }
            }
            Turned::Steps { turn, steps } => self.commit_with_steps(job, turn, steps),
            // A loop keeps what has yielded to itself.
            Turned::Outcome(TurnOutcome::Yielded | TurnOutcome::NotCached) => self.not_taken(job, Self::fetch_journal),
            Turned::Outcome(TurnOutcome::Blocked(blocked)) => self.not_taken(job, |hub, job| hub.block(job, blocked)),
            Turned::Outcome(TurnOutcome::LimitExceeded(error)) => {
                tracing::warn!(run = %job.run, error = %error.message, strike = job.strikes + 1, "a turn exceeded a limit");
                self.once_more(job, |hub, mut job| {
                    job.fail(error);
                    hub.commit_turn(job);
                });
            }
            Turned::Outcome(TurnOutcome::ReplayLimitExceeded(error)) => {
                tracing::warn!(run = %job.run, error = %error.message, strike = job.strikes + 1, "a replay exceeded a limit");
                self.once_more(job, |hub, job| {
                    let message = format!(
                        "the run's past turns, which were within the limits once, are not on this worker: {}\n\n\
                         Give the workers of the pool more time or memory; then `everloop resume {}`.",
                        error.message, job.run.id
                    );
                    hub.block(job, Blocked { reason: "ReplayLimitExceeded".to_owned(), message, holders: Vec::new() });
                });
            }
            Turned::Died(how) => {
                tracing::error!(run = %job.run, how, deaths = job.deaths, "a run's turn has killed its process");
                self.once_more(job, |hub, job| {
                    let message = format!(
                        "{} workers died while they had this run's turn, and two processes that took it alone: {how}.\n\n\
                         When the cause is gone, `everloop resume {}`.",
                        job.deaths, job.run.id
                    );
                    hub.block(job, Blocked { reason: "TurnKilledWorker".to_owned(), message, holders: Vec::new() });
                });
            }
            Turned::Broken(text) => self.once_more(job, |hub, job| {
                let message = format!("the engine broke twice in the run's turn: {text}");
                hub.block(job, Blocked { reason: "EngineBroke".to_owned(), message, holders: Vec::new() });
            }),
        }
    }

    /// A leased turn that went wrong is taken once more, from the journal; the second time is the last.
    fn once_more(&mut self, job: Box<TurnJob>, at_last: impl FnOnce(&mut Self, Box<TurnJob>)) {
        self.not_taken(job, |hub, mut job| {
            job.strikes += 1;
            hub.loops.evict(&job.uid);
            if job.strikes == 1 {
                hub.take_turn(job, None);
            } else {
                at_last(hub, job);
            }
        });
    }

    /// The engine did not take the turn: an optimistic one is given up, for a leased one something is done.
    fn not_taken(&mut self, job: Box<TurnJob>, then: impl FnOnce(&mut Self, Box<TurnJob>)) {
        if job.is_optimistic() {
            self.outcome_instead(*job);
        } else {
            then(self, job);
        }
    }

    fn fetch_journal(&mut self, job: Box<TurnJob>) {
        let Some(line) = self.session.as_ref() else { return };
        let (client, over, messages) = (line.client.clone(), line.over.clone(), self.parts.messages.clone());
        let reading = self.journals.clone();
        tokio::spawn(async move {
            let Ok(_reading) = reading.acquire_owned().await else { return };
            if let Some(journal) = read_journal(&client, &job, &over).await {
                let _ = messages.send(Msg::TurnJournal { job, journal });
            }
        });
    }

    pub(super) fn turn_journal(&mut self, job: Box<TurnJob>, journal: Result<Option<Arc<Vec<Entry>>>, Error>) {
        if !self.runs.is_current(&job) {
            self.abandon(*job);
            return;
        }
        match journal {
            Ok(Some(journal)) => self.take_turn(job, Some(journal)),
            Ok(None) => self.release_turn(*job),
            Err(error) => {
                let message = format!("the run's journal cannot be read by this worker: {error}");
                self.block(job, Blocked { reason: "UnreadableJournal".to_owned(), message, holders: Vec::new() });
            }
        }
    }

    /// Puts the next part of a turn into the pipeline.
    pub(super) fn commit_turn(&mut self, mut job: Box<TurnJob>) {
        if let Some(turn) = job.next_commit(engine::ENGINE_NAME, engine::FLAGS) {
            self.commit_with_steps(job, turn, Vec::new());
        }
    }

    fn commit_with_steps(&mut self, job: Box<TurnJob>, turn: TurnCommit, steps: Vec<StepCommit>) {
        let schedules = match steps.last() {
            None => self.schedules(&job, &turn),
            // Those in between need a slot as well.
            Some(last) => self.schedules(&job, &last.turn).max(1),
        };
        let (item, then) = match &job.source {
            Source::Lease(seq) => {
                let offer = self.slots.offer_for_turn(schedules, turn.continued);
                (Item::Turn { run: job.run.clone(), seq: *seq, turn, steps, offer }, Then::Turn(job))
            }
            Source::Attempt(ended) => {
                (outcome_item(ended, Some(turn), steps, self.slots.offer_for_activity(schedules)), Then::Optimistic(job))
            }
            // It is committed with the turn that it follows.
            Source::Step => return,
        };
        self.pipeline.push(Pending { item, then });
    }

    /// How many activities of a turn this worker could run itself.
    fn schedules(&self, job: &TurnJob, turn: &TurnCommit) -> usize {
        let definition = self.parts.definitions.get(&job.version);
        let runs_here = |command: &&Command| match command {
            Command::ScheduleActivity { name, .. } => definition.as_ref().is_some_and(|definition| {
                definition.activities.get(name).is_some_and(|activity| !matches!(activity.kind(), Ok(Kind::Queue(_)) | Err(_)))
            }),
            _ => false,
        };
        turn.commands.iter().filter(runs_here).count()
    }

    /// The run needs a person.
    pub(super) fn block(&mut self, job: Box<TurnJob>, blocked: Blocked) {
        tracing::warn!(run = %job.run, reason = blocked.reason, "a run is blocked");
        if let Source::Lease(seq) = job.source {
            self.slots.release_turn();
            self.pipeline.push(Pending { item: Item::Block { run: job.run.clone(), seq, blocked }, then: Then::Nothing });
        }
        self.loops.evict(&job.uid);
        self.turn_over(&job);
    }

    /// Hands the lease of a turn back, whose slot is still counted.
    fn release_turn(&mut self, job: TurnJob) {
        self.slots.release_turn();
        self.push_release(&job);
        self.turn_over(&job);
    }

    pub(super) fn push_release(&mut self, job: &TurnJob) {
        if let Source::Lease(seq) = job.source {
            let item = Item::ReleaseTurn { run: job.run.clone(), seq, keeps_context: false };
            self.pipeline.push(Pending { item, then: Then::Nothing });
        }
    }

    /// What it would come to is void; an attempt's outcome still counts.
    fn abandon(&mut self, job: TurnJob) {
        if job.is_optimistic() {
            self.outcome_instead(job);
        } else {
            self.slots.release_turn();
            self.turn_over(&job);
        }
    }

    /// A turn is no longer on its way and its run's context is not to be relied on.
    pub(super) fn turn_over(&mut self, job: &TurnJob) {
        self.runs.done(job);
        if let Some(run) = self.runs.get(&job.run, &job.uid)
            && run.lease.is_none()
        {
            run.known = false;
        }
        self.unpark(&job.run);
    }

    /// An optimistic turn is given up: the outcome goes alone.
    fn outcome_instead(&mut self, job: TurnJob) {
        self.turn_over(&job);
        if let Source::Attempt(ended) = job.source {
            self.outcome_only(&ended);
        }
    }
}

/// Reads what waited in a mailbox.
pub(super) fn read_events(texts: &[Json]) -> Result<Vec<Event>, String> {
    let read = |text: &Json| {
        serde_json::from_str(text.get()).map_err(|e| {
            let start: String = text.get().chars().take(120).collect();
            format!("an event of the mailbox is not known to this worker ({e}): {start}\nUpdate the workers, then resume the run.")
        })
    };
    texts.iter().map(read).collect()
}

/// A run's whole journal up to the job's base, page by page. `None` inside: the run has gone on otherwise. `None` outside: over.
async fn read_journal(client: &WorkerClient, job: &TurnJob, over: &CancellationToken) -> Option<Result<Option<Arc<Vec<Entry>>>, Error>> {
    let (mut entries, mut asked) = (Vec::new(), 0);
    let mut backoff = Backoff::default();
    let base = job.base.to_string();
    // A page is read on another thread, while the next one is on its way.
    let mut reading = None;
    while asked < job.number {
        let page = tokio::select! {
            page = client.journal(&job.run, asked) => page,
            () = over.cancelled() => return None,
        };
        match page {
            Ok(page) if page.uid != job.uid.as_str() || page.head != base || page.turns != job.number || page.entries.is_empty() => {
                return Some(Ok(None));
            }
            Ok(page) => {
                asked = asked.saturating_add(u32::try_from(page.entries.len()).unwrap_or(u32::MAX));
                if let Err(error) = add(&mut entries, reading.replace(tokio::task::spawn_blocking(move || page.read()))).await {
                    return Some(Err(error));
                }
            }
            Err(error) if error.is_final() => return Some(Ok(None)),
            Err(error @ Error::Unreadable { .. }) => return Some(Err(error)),
            Err(error) => {
                if backoff.failures() == 0 {
                    tracing::warn!(run = %job.run, %error, "a journal cannot be fetched; trying again");
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.next()) => {}
                    () = over.cancelled() => return None,
                }
            }
        }
    }
    Some(add(&mut entries, reading).await.map(|()| Some(Arc::new(entries))))
}

type Reading = tokio::task::JoinHandle<Result<Vec<Entry>, Error>>;

/// Adds the entries of a page that is being read.
async fn add(entries: &mut Vec<Entry>, page: Option<Reading>) -> Result<(), Error> {
    let Some(page) = page else { return Ok(()) };
    let broken = |error: tokio::task::JoinError| Error::Unreadable { operation: "read a journal", detail: error.to_string() };
    entries.extend(page.await.map_err(broken)??);
    Ok(())
}

/// The run's journal is at its bound: it ends with this.
pub(super) fn journal_full() -> RunError {
    let (mib, commands) = (crate::api::limits::JOURNAL_BYTES_MAX >> 20, crate::api::limits::JOURNAL_COMMANDS_MAX);
    let message = format!("the run's journal is at its bound of {mib} MiB and {commands} commands; split the work into several runs");
    RunError::new("JournalFull", message)
}
