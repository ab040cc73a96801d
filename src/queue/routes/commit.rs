//! The worker's commit: turns and outcomes of many runs in one request. Runs go side by side; the items of one run go in
//! order. A turn that follows a refused one is refused by its head; one that follows an unknown one waits for its repeat.

use std::collections::HashMap;

use axum::Json as Answered;
use axum::extract::State;
use futures_util::future::join_all;

use crate::api::worker::{AttemptOutcome, CommitAnswer, CommitRequest, INVALID, Item, ItemResult, Slots, TurnCommit};
use crate::api::{Code, Json, Name, Problem, RunKey, Seq, SessionId, TimeMs, limits};
use crate::machine::commit::{AttemptClaim, Refusal};
use crate::queue::border::body::LargeBody;
use crate::queue::border::problem::Answer;
use crate::queue::outcome::Tried;
use crate::queue::service::{Service, Shared, new_head};
use crate::queue::sessions::pool_of;
use crate::queue::turns::Unfit;
use crate::queue::waiters::Granted;
use crate::queue::watchers::{Closing, Ended, News};
use crate::store::StoreError;
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
            Item::Turn { run, seq, turn, offer } => self.turn(run, seq, turn, offer).await,
            Item::Activity { run, version, name, command, attempt, seq, scheduled_at, outcome, turn, offer } => {
                let tried = Tried { version: &version, name: &name, command, attempt, scheduled_at };
                let claim = AttemptClaim { command, attempt, session: self.session.to_string(), seq };
                self.activity(run, claim, tried, outcome, turn, offer).await
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

    async fn turn(&self, run: RunKey, seq: Seq, turn: TurnCommit, offer: Slots) -> Result<(ItemResult, Grants), StoreError> {
        let refused = |reason: String| Ok((ItemResult::Refused { reason }, Grants::default()));
        let end = self.end(&run, &turn);
        let turn = match self.service.turn(&run, &self.worker, turn).await {
            Ok(turn) => turn,
            Err(Unfit::Store(error)) => return Err(error),
            Err(Unfit::Refused(reason)) => {
                tracing::warn!(%run, session = %self.session, reason, "a worker's turn is not fit");
                self.refused("Unfit");
                return refused(reason);
            }
        };
        let due = first_due(&turn);
        let sends = !turn.signals.is_empty();
        let op = Commit {
            run: run.clone(),
            session: self.session.clone(),
            seq,
            turn,
            now: self.service.clock.for_store(),
            offer: self.offer(offer),
        };
        Ok(match self.service.store.commit(op).await? {
            Committed::Accepted { grants, at } => {
                self.committed(&run, due, sends, end, at);
                (ItemResult::Accepted, grants)
            }
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
        turn: Option<TurnCommit>,
        offer: Slots,
    ) -> Result<(ItemResult, Grants), StoreError> {
        let outcome = self.service.outcome(tried, outcome).await?;
        // The turn was computed from a completed outcome; without that it has no ground.
        let end = turn.as_ref().and_then(|turn| self.end(&run, turn));
        let (turn, unfit) = self.optimistic(&run, turn, &outcome).await?;
        let due = turn.as_ref().and_then(first_due);
        let sends = turn.as_ref().is_some_and(|turn| !turn.signals.is_empty());
        let now = self.service.clock.for_store();
        let finish = Finish { run: run.clone(), attempt, outcome, turn, key: String::new(), now, offer: self.offer(offer) };
        let (turn, grants, at) = match self.service.store.finish(finish).await? {
            Finished::Accepted { turn, grants, at } => (turn, grants, at),
            Finished::AttemptLost => {
                self.refused(Code::AttemptLost.as_str());
                return Ok((attempt_lost(), Grants::default()));
            }
            Finished::NotFound => {
                return Ok((ItemResult::Refused { reason: format!("{:?}", Refusal::NotFound) }, Grants::default()));
            }
        };
        let result = match (turn, unfit) {
            (Some(Ok(())), _) => {
                self.committed(&run, due, sends, end, at);
                ItemResult::Accepted
            }
            (Some(Err(refusal)), _) => {
                let reason = format!("{refusal:?}");
                self.refused(&reason);
                ItemResult::OutcomeOnly { reason }
            }
            (None, Some(reason)) => ItemResult::OutcomeOnly { reason },
            (None, None) => ItemResult::Accepted,
        };
        Ok((result, grants))
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

    fn committed(&self, run: &RunKey, due: Option<TimeMs>, sends: bool, end: Option<End>, at: TimeMs) {
        self.service.metrics.turns.inc();
        match end {
            Some(End { closing, ended }) => closing.ended(Ended { at, ..ended }),
            None => self.service.watchers.tell(run, News::Turn),
        }
        if let Some(due) = due {
            self.service.due(self.service.partition(run), due);
        }
        if sends {
            self.service.outgoing(self.service.partition(run));
        }
    }

    fn refused(&self, reason: &str) {
        self.service.metrics.refusals.get_or_create(&ReasonLabels { reason: reason.to_owned() }).inc();
    }
}

fn attempt_lost() -> ItemResult {
    ItemResult::Refused { reason: Code::AttemptLost.as_str().to_owned() }
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
