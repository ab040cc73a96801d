//! The worker's commit: turns and outcomes of many runs in one request. Runs go side by side; the items of one run go in
//! order. A turn that follows a refused one is refused by its head; one that follows an unknown one waits for its repeat.

use std::collections::HashMap;

use axum::Json as Answered;
use axum::extract::State;
use futures_util::future::join_all;

use crate::api::worker::{AttemptOutcome, CommitAnswer, CommitRequest, INVALID, Item, ItemResult, Slots, StepCommit, TurnCommit};
use crate::api::{Code, Event, Json, Name, Problem, RunKey, Seq, SessionId, TimeMs, limits};
use crate::machine::commit::{AttemptClaim, Refusal};
use crate::queue::border::body::LargeBody;
use crate::queue::border::problem::Answer;
use crate::queue::outcome::{Tried, text};
use crate::queue::service::{Service, Shared, new_head};
use crate::queue::sessions::pool_of;
use crate::queue::turns::Unfit;
use crate::queue::waiters::{Free, Granted};
use crate::queue::watchers::{Closing, Ended, News};
use crate::store::StoreError;
use crate::store::chain::{Chain as Links, First, FirstAnswer, Step};
use crate::store::op::{Commit, Committed, Finish, Finished, Grants, Offer, Outcome, Release, Released, Turn};
use crate::telemetry::metrics::ReasonLabels;

/// `POST /v1/worker/commit`.
pub async fn commit(State(service): State<Shared>, LargeBody(request): LargeBody<CommitRequest>) -> Answer<Answered<CommitAnswer>> {
    let pool = pool_of(&request.session)?;
    if request.items.len() > limits::COMMIT_ITEMS_MAX {
        let detail = format!("{} items in one commit; {} are allowed", request.items.len(), limits::COMMIT_ITEMS_MAX);
        return Err(Problem::new(Code::InvalidRequest, detail).next("send the rest in another request").into());
    }
    let count = request.items.len();
    let given_back = given_back(&request.items);
    let draining = service.is_draining(&request.session);
    let by = By { service: &service, draining, session: request.session, seq: request.seq, worker: request.worker, pool };
    let settled = join_all(chains(request.items).into_iter().map(|chain| by.chain(chain))).await;
    let mut answer = CommitAnswer::default();
    let mut results: Vec<Option<ItemResult>> = vec![None; count];
    let mut granted = Granted::default();
    for (place, result, grants) in settled.into_iter().flatten() {
        results[place] = Some(result);
        // Every grant stands in one chain only, so nothing comes twice.
        granted.turns.extend(grants.turns);
        granted.activities.extend(grants.activities);
    }
    let missing = || ItemResult::Unknown { detail: "the item was not carried out".into() };
    answer.results = results.into_iter().map(|result| result.unwrap_or_else(missing)).collect();
    service.waiters.came_back(&by.session, given_back.less(&granted));
    (answer.turns, answer.activities) = (granted.turns, granted.activities);
    answer.now = service.clock.now();
    Ok(Answered(answer))
}

type Chain = Vec<(usize, Item)>;

/// The items of each run, in order, with their places in the request.
fn chains(items: Vec<Item>) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut by_run: HashMap<RunKey, usize> = HashMap::new();
    for (place, item) in items.into_iter().enumerate() {
        let chain = *by_run.entry(run_of(&item).clone()).or_insert_with(|| {
            chains.push(Vec::new());
            chains.len() - 1
        });
        chains[chain].push((place, item));
    }
    chains
}

/// The slots that the items give back, each of its own kind: those of the other kind may be lent.
fn given_back(items: &[Item]) -> Free {
    let mut all = Free::default();
    for item in items {
        all.add(match item {
            Item::Turn { offer, .. } => Free { turns: offer.turns, activities: 0 },
            Item::Activity { offer, .. } => Free { turns: 0, activities: offer.activities },
            _ => Free::default(),
        });
    }
    all
}

fn run_of(item: &Item) -> &RunKey {
    match item {
        Item::Turn { run, .. }
        | Item::Activity { run, .. }
        | Item::ReleaseTurn { run, .. }
        | Item::ReleaseActivity { run, .. }
        | Item::Heartbeat { run, .. }
        | Item::Block { run, .. } => run,
    }
}

/// What all items of a request share.
struct By<'a> {
    service: &'a Service,
    /// What the worker offers is not taken.
    draining: bool,
    session: SessionId,
    seq: Seq,
    worker: String,
    pool: Name,
}

impl By<'_> {
    async fn chain(&self, chain: Chain) -> Vec<(usize, ItemResult, Granted)> {
        let mut settled = Vec::with_capacity(chain.len());
        let mut unknown: Option<String> = None;
        for (place, item) in chain {
            let (result, grants) = self.item(item, unknown.as_deref()).await.unwrap_or_else(|error| {
                let detail = error.to_string();
                unknown = Some(detail.clone());
                (ItemResult::Unknown { detail }, Grants::default())
            });
            settled.push((place, result, self.service.granted(grants, "commit")));
        }
        settled
    }

    /// `unknown`: the outcome of an earlier item of the run is.
    async fn item(&self, item: Item, unknown: Option<&str>) -> Result<(ItemResult, Grants), StoreError> {
        if let Some(detail) = unknown {
            return Ok((ItemResult::Unknown { detail: detail.to_owned() }, Grants::default()));
        }
        let plain = |done: bool, reason: Refusal| {
            let result = if done { ItemResult::Accepted } else { ItemResult::Refused { reason: format!("{reason:?}") } };
            Ok((result, Grants::default()))
        };
        match item {
            Item::Turn { run, seq, turn, steps, offer } => self.turn(run, seq, turn, steps, offer).await,
            Item::Activity { run, version, name, command, attempt, seq, scheduled_at, outcome, turn, steps, offer } => {
                let tried = Tried { version: &version, name: &name, command, attempt, scheduled_at };
                let claim = AttemptClaim { command, attempt, session: self.session.to_string(), seq };
                self.activity(run, claim, tried, outcome, (turn, steps), offer).await
            }
            Item::ReleaseTurn { run, seq, keeps_context } => {
                let what = self.released(seq, String::new(), keeps_context);
                plain(self.release(run, what).await?, Refusal::LeaseLost)
            }
            Item::Block { run, seq, blocked } => {
                let what = self.released(seq, Json::of(&blocked).get().to_owned(), false);
                plain(self.release(run, what).await?, Refusal::LeaseLost)
            }
            Item::Heartbeat { run, command, attempt, seq } => {
                let claim = AttemptClaim { command, attempt, session: self.session.to_string(), seq };
                let extended = self.service.store.extend(&run, &claim, self.service.clock.for_store()).await?;
                Ok((if extended.is_some() { ItemResult::Accepted } else { attempt_lost() }, Grants::default()))
            }
            Item::ReleaseActivity { run, command, attempt, seq } => {
                let claim = AttemptClaim { command, attempt, session: self.session.to_string(), seq };
                let done = self.release(run, Released::Attempt(claim)).await?;
                let result = if done { ItemResult::Accepted } else { attempt_lost() };
                Ok((result, Grants::default()))
            }
        }
    }

    fn released(&self, seq: Seq, blocked: String, keeps_context: bool) -> Released {
        Released::Turn { session: self.session.clone(), seq, blocked, head: new_head(), keeps_context }
    }

    async fn release(&self, run: RunKey, what: Released) -> Result<bool, StoreError> {
        self.service.store.release(Release { run, what, now: self.service.clock.for_store() }).await
    }

    async fn turn(
        &self,
        run: RunKey,
        seq: Seq,
        turn: TurnCommit,
        steps: Vec<StepCommit>,
        offer: Slots,
    ) -> Result<(ItemResult, Grants), StoreError> {
        let mut after = After::of(self, &run, &turn, &steps);
        let turn = match self.service.turn(&run, &self.worker, turn).await {
            Ok(turn) => turn,
            Err(Unfit::Store(error)) => return Err(error),
            Err(Unfit::Refused(reason)) => {
                tracing::warn!(%run, session = %self.session, reason, "a worker's turn is not fit");
                self.refused("Unfit");
                return Ok((ItemResult::Refused { reason }, Grants::default()));
            }
        };
        after.turn(&turn);
        let steps = self.steps(&run, steps, &mut after).await?;
        let op = Commit {
            run: run.clone(),
            session: self.session.clone(),
            seq,
            turn,
            now: self.service.clock.for_store(),
            offer: self.offer(offer),
        };
        let (answer, taken) = if steps.is_empty() {
            (self.service.store.commit(op).await?, 0)
        } else {
            let chained = self.service.store.chain(Links { first: First::Commit(op), steps }).await?;
            let FirstAnswer::Committed(answer) = chained.first else { return Err(answered_otherwise()) };
            (answer, chained.taken)
        };
        Ok(match answer {
            Committed::Accepted { grants, at } => (self.committed(&run, after, taken, at), grants),
            Committed::MoreEvents { events, mail } => {
                let damaged =
                    |error: crate::api::json::InvalidJson| StoreError::Damaged { operation: "read an event", detail: error.to_string() };
                let events = events.iter().map(|event| Json::trusted(event).map_err(damaged)).collect::<Result<_, _>>()?;
                (ItemResult::MoreEvents { events, mail }, Grants::default())
            }
            Committed::Refused(refusal) => {
                let reason = format!("{refusal:?}");
                self.refused(&reason);
                (ItemResult::Refused { reason }, Grants::default())
            }
        })
    }

    async fn activity(
        &self,
        run: RunKey,
        attempt: AttemptClaim,
        tried: Tried<'_>,
        outcome: AttemptOutcome,
        (turn, steps): (Option<TurnCommit>, Vec<StepCommit>),
        offer: Slots,
    ) -> Result<(ItemResult, Grants), StoreError> {
        let outcome = self.service.outcome(tried, outcome).await?;
        let mut after = turn.as_ref().map(|turn| After::of(self, &run, turn, &steps));
        // The turn was computed from a completed outcome; without that it has no ground.
        let (turn, unfit) = self.optimistic(&run, turn, &outcome).await?;
        let steps = match (&turn, &mut after) {
            (Some(turn), Some(after)) => {
                after.turn(turn);
                self.steps(&run, steps, after).await?
            }
            _ => Vec::new(),
        };
        let now = self.service.clock.for_store();
        let finish = Finish { run: run.clone(), attempt, outcome, turn, key: String::new(), now, offer: self.offer(offer) };
        let (answer, taken) = if steps.is_empty() {
            (self.service.store.finish(finish).await?, 0)
        } else {
            let chained = self.service.store.chain(Links { first: First::Finish(finish), steps }).await?;
            let FirstAnswer::Finished(answer) = chained.first else { return Err(answered_otherwise()) };
            (answer, chained.taken)
        };
        let (turn, grants, at) = match answer {
            Finished::Accepted { turn, grants, at } => (turn, grants, at),
            Finished::AttemptLost => {
                self.refused(Code::AttemptLost.as_str());
                return Ok((attempt_lost(), Grants::default()));
            }
            Finished::NotFound => {
                return Ok((ItemResult::Refused { reason: format!("{:?}", Refusal::NotFound) }, Grants::default()));
            }
        };
        let result = match (turn, unfit, after) {
            (Some(Ok(())), _, Some(after)) => self.committed(&run, after, taken, at),
            (Some(Err(refusal)), _, _) => {
                let reason = format!("{refusal:?}");
                self.refused(&reason);
                ItemResult::OutcomeOnly { reason }
            }
            (_, Some(reason), _) => ItemResult::OutcomeOnly { reason },
            (_, None, _) => ItemResult::Accepted,
        };
        Ok((result, grants))
    }

    /// The steps for the store, up to the first that is not fit.
    async fn steps(&self, run: &RunKey, steps: Vec<StepCommit>, after: &mut After) -> Result<Vec<Step>, StoreError> {
        let mut fit = Vec::with_capacity(steps.len());
        for StepCommit { command, result, turn } in steps.into_iter().take(limits::ITEM_STEPS_MAX) {
            let turn = match self.service.turn(run, &self.worker, turn).await {
                _ if result.check().is_err() => break,
                Ok(turn) if turn.consumed > 0 || turn.continued => break,
                Ok(turn) => turn,
                Err(Unfit::Store(error)) => return Err(error),
                Err(Unfit::Refused(reason)) => {
                    tracing::warn!(%run, session = %self.session, reason, "a worker's step is not fit");
                    self.refused("Unfit");
                    break;
                }
            };
            after.turn(&turn);
            fit.push(Step { command, event: text(&Event::ActivityCompleted { command, attempt: 1, result }), turn });
        }
        Ok(fit)
    }

    /// The optimistic turn for the store, or why there is none.
    async fn optimistic(
        &self,
        run: &RunKey,
        turn: Option<TurnCommit>,
        outcome: &Outcome,
    ) -> Result<(Option<Turn>, Option<String>), StoreError> {
        let Some(turn) = turn else { return Ok((None, None)) };
        let completed = matches!(outcome, Outcome::Settled { event } if event.starts_with(r#"{"ActivityCompleted""#));
        let reason = if completed {
            match self.service.turn(run, &self.worker, turn).await {
                Ok(turn) => return Ok((Some(turn), None)),
                Err(Unfit::Store(error)) => return Err(error),
                Err(Unfit::Refused(reason)) => reason,
            }
        } else {
            format!("{INVALID}an optimistic turn follows from a completed outcome only")
        };
        self.refused("Unfit");
        Ok((None, Some(reason)))
    }

    fn offer(&self, slots: Slots) -> Option<Offer> {
        (!self.draining && (slots.turns > 0 || slots.activities > 0)).then(|| Offer {
            session: self.session.clone(),
            seq: self.seq,
            pool: self.pool.clone(),
            turns: slots.turns.min(limits::SLOTS_MAX),
            activities: slots.activities.min(limits::SLOTS_MAX),
            fair: slots.fair,
        })
    }

    /// The end that a turn would bring. Until it is dropped nobody who waits here for it asks the store.
    fn end(&self, run: &RunKey, turn: &TurnCommit) -> Option<End> {
        let command = turn.commands.last()?;
        let status = command.end()?;
        let (version, command) = (turn.version.clone(), command.clone());
        let ended = Ended { status, at: TimeMs(0), turns: turn.number + 1, version, command };
        Some(End { closing: self.service.watchers.closing(run), ended })
    }

    fn committed(&self, run: &RunKey, after: After, taken: usize, at: TimeMs) -> ItemResult {
        let steps = u64::try_from(taken).unwrap_or(u64::MAX);
        self.service.metrics.turns.inc_by(1 + steps);
        self.service.completed(steps);
        let After { end, due, sends, steps: wanted } = after;
        match end.filter(|_| taken == wanted) {
            Some(End { closing, ended }) => closing.ended(Ended { at, ..ended }),
            None => self.service.watchers.tell(run, News::Turn),
        }
        if let Some(due) = due {
            self.service.due(self.service.partition(run), due);
        }
        if sends {
            self.service.outgoing(self.service.partition(run));
        }
        match u32::try_from(taken).unwrap_or(u32::MAX) {
            0 => ItemResult::Accepted,
            steps => ItemResult::Advanced { steps },
        }
    }

    fn refused(&self, reason: &str) {
        self.service.metrics.refusals.get_or_create(&ReasonLabels { reason: reason.to_owned() }).inc();
    }
}

fn attempt_lost() -> ItemResult {
    ItemResult::Refused { reason: Code::AttemptLost.as_str().to_owned() }
}

fn answered_otherwise() -> StoreError {
    StoreError::Damaged { operation: "commit a chain of turns", detail: "it was answered as another operation".to_owned() }
}

/// What is to be seen to when an item was committed.
struct After {
    /// The end of the run, when its last turn brings it.
    end: Option<End>,
    /// When the first thing that it sets falls due.
    due: Option<TimeMs>,
    /// It sends signals to other runs.
    sends: bool,
    /// The steps that it has.
    steps: usize,
}

impl After {
    fn of(by: &By<'_>, run: &RunKey, turn: &TurnCommit, steps: &[StepCommit]) -> Self {
        let end = by.end(run, steps.last().map_or(turn, |step| &step.turn));
        Self { end, due: None, sends: false, steps: steps.len() }
    }

    fn turn(&mut self, turn: &Turn) {
        self.due = self.due.into_iter().chain(first_due(turn)).min();
        self.sends |= !turn.signals.is_empty();
    }
}

/// The end of a run on its way to the store.
struct End {
    closing: Closing,
    ended: Ended,
}

/// When the first thing that a turn sets falls due.
fn first_due(turn: &Turn) -> Option<TimeMs> {
    let give_up = turn.schedule.iter().flat_map(|attempt| [attempt.start_by, attempt.close_by]).filter(|at| *at > TimeMs(0));
    turn.timers.iter().map(|timer| timer.due).chain(give_up).min()
}
