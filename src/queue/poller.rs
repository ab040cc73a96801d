//! A poll under way: look where something may be, sit down, and answer as soon as there is a grant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::border::problem::Refused;
use super::service::Service;
use super::sessions;
use super::stations::{self, Seen, Station};
use super::waiters::{Free, Granted, Seat, Settled};
use crate::api::worker::Poll;
use crate::api::{Name, Partition, Seq, SessionId, TimeMs};
use crate::machine::commit::AttemptClaim;
use crate::machine::record::EXTERNAL;
use crate::store::StoreError;
use crate::store::op::{self, Claim, Claimer};
use crate::telemetry::metrics::PoolLabels;

/// How long a poll whose time is over waits for an operation that has its slots; a store answers or gives up long before.
const OUTSTANDING_MAX: Duration = Duration::from_secs(30);

/// The look of one poll at its station.
struct Look<'a> {
    service: &'a Service,
    station: Arc<Station>,
    seen: Seen,
    by: Claimer,
    seq: Seq,
    /// Polls begin at different partitions, so that none is always last.
    start: usize,
}

/// What a claim came to.
struct Claimed {
    granted: Granted,
    /// Something is there still.
    left: bool,
    /// Something is there for anyone from then on.
    later: Option<Instant>,
}

impl<'a> Look<'a> {
    fn new(service: &'a Service, station: &str, by: Claimer, seq: Seq) -> Self {
        let partitions = service.info.partitions;
        Self {
            service,
            station: service.stations.at(station),
            seen: Seen::new(partitions),
            by,
            seq,
            start: rand::random_range(0..usize::from(partitions.max(1))),
        }
    }

    async fn claim(&self, partition: Partition, free: Free, again: bool) -> Result<Option<Claimed>, StoreError> {
        let claim = Claim {
            partition,
            by: self.by.clone(),
            seq: self.seq,
            turns: free.turns,
            attempts: free.activities,
            again,
            now: self.service.clock.for_store(),
        };
        Ok(match self.service.store.claim(claim).await? {
            op::Claimed::SessionLost => None,
            op::Claimed::Granted { grants, more, next_at } => {
                let later = (next_at > TimeMs(0)).then(|| Instant::now() + next_at.since(self.service.clock.now()).to_std());
                Some(Claimed { granted: self.service.granted(grants, "claim"), left: more, later })
            }
        })
    }

    /// Claims wherever something may be, in all these partitions at once, until the slots are full. `None`: the session has ended.
    /// What was granted before a failure is in `granted`.
    async fn all(&mut self, mut free: Free, granted: &mut Granted) -> Result<Option<Free>, StoreError> {
        loop {
            let reasons = self.station.hints().reasons(self.start, &self.seen, free, Instant::now());
            if reasons.is_empty() {
                return Ok(Some(free));
            }
            let shares = free.shares(reasons.len());
            let claims = reasons.iter().zip(&shares).map(|(reason, share)| self.claim(reason.partition, *share, false));
            let (mut failure, mut lost) = (None, false);
            for ((reason, share), claimed) in reasons.iter().zip(&shares).zip(join_all(claims).await) {
                match claimed {
                    Ok(Some(claimed)) => {
                        free = free.less(&claimed.granted);
                        let unfilled = share.less(&claimed.granted);
                        self.station.hints().looked(*reason, &mut self.seen, *share, unfilled, claimed.left, claimed.later);
                        granted.merge(claimed.granted);
                    }
                    Ok(None) => lost = true,
                    Err(error) => failure = Some(error),
                }
            }
            match failure {
                Some(error) => return Err(error),
                None if lost => return Ok(None),
                None => {}
            }
        }
    }
}

impl Service {
    /// A worker's poll.
    ///
    /// # Errors
    /// The session has ended, or the store does not answer: then the worker repeats the poll with `again`.
    pub async fn poll(&self, poll: &Poll) -> Result<Granted, Refused> {
        let pool = sessions::pool_of(&poll.session)?;
        let by = Claimer::Session { session: poll.session.clone(), pool: pool.clone() };
        let mut look = Look::new(self, &stations::pool(pool.as_str()), by, poll.seq);
        if poll.turns == 0 && poll.activities == 0 {
            // It offers nothing, so it takes no seat: that belongs to the session's poll, which may wait beside it.
            return self.recover(&mut look, poll).await;
        }
        let asked = Free { turns: poll.turns, activities: poll.activities };
        let seat = self.waiters.sit(&poll.session, &pool, poll.seq, asked);
        let wait = Duration::from_millis(poll.wait_ms).min(crate::api::limits::LONG_POLL_MAX.to_std());
        let until = Instant::now() + wait;
        let mut free = asked;
        if poll.again {
            let everywhere: Vec<_> = self.partitions().collect();
            free = self.ask_again_at(&mut look, &seat, &poll.session, everywhere, free).await?;
        }
        let station = look.station.clone();
        // What a session that is to be drained does not offer.
        let mut kept = Free::default();
        loop {
            let mut woken = std::pin::pin!(station.changed.notified());
            woken.as_mut().enable();
            let mut told = std::pin::pin!(self.draining.changed().notified());
            told.as_mut().enable();
            free.add(std::mem::take(&mut kept));
            if self.is_draining(&poll.session) {
                kept = std::mem::take(&mut free);
            }
            let mut granted = Granted::default();
            let Some(left) = look.all(free, &mut granted).await? else { return Err(sessions::lost(&poll.session).into()) };
            seat.put(left, granted);
            let last = Instant::now() >= until || self.shutdown.is_cancelled();
            match seat.settle(last) {
                Settled::Answer(granted) => return Ok(granted),
                // What it was granted is in the store only, under its number: an empty answer would lose it.
                Settled::Replaced => return Err(replaced()),
                Settled::AskAgain(partitions) => {
                    free = self.ask_again_at(&mut look, &seat, &poll.session, partitions, seat.take_free()).await?;
                    continue;
                }
                Settled::Wait if last => self.wait_for_outstanding(&seat, until).await?,
                Settled::Wait => {
                    let look_at = station.hints().next_look().min(until).max(Instant::now() + Duration::from_millis(1));
                    let _waiting = Waiting::new(self, &pool);
                    tokio::select! {
                        () = seat.changed.notified() => {}
                        () = woken => {}
                        () = told => {}
                        () = tokio::time::sleep_until(look_at.into()) => {}
                        () = self.shutdown.cancelled() => {}
                    }
                }
            }
            free = seat.take_free();
        }
    }

    /// An operation has slots of a poll that should answer: it ends soon, one way or another.
    async fn wait_for_outstanding(&self, seat: &Seat, until: Instant) -> Result<(), Refused> {
        let answered = tokio::time::timeout_at((until.max(Instant::now()) + OUTSTANDING_MAX).into(), seat.changed.notified()).await;
        answered.map_err(|_| {
            let detail = "an operation that may have granted work has no outcome".to_owned();
            StoreError::Unavailable { operation: "poll", detail }.into()
        })
    }

    /// What a request was granted whose answer was lost.
    async fn recover(&self, look: &mut Look<'_>, poll: &Poll) -> Result<Granted, Refused> {
        let mut found = Granted::default();
        if poll.again {
            for partition in self.partitions() {
                found.merge(Self::ask_again(look, &poll.session, partition, Free::default()).await?);
            }
        }
        Ok(found)
    }

    /// Asks for what this request was granted, in these partitions.
    async fn ask_again_at(
        &self,
        look: &mut Look<'_>,
        seat: &Seat,
        session: &SessionId,
        partitions: Vec<Partition>,
        mut free: Free,
    ) -> Result<Free, Refused> {
        for partition in partitions {
            let granted = Self::ask_again(look, session, partition, free).await?;
            free = free.less(&granted);
            seat.put(Free::default(), granted);
        }
        Ok(free)
    }

    async fn ask_again(look: &mut Look<'_>, session: &SessionId, partition: Partition, free: Free) -> Result<Granted, Refused> {
        let claimed = look.claim(partition, free, true).await?;
        claimed.map(|claimed| claimed.granted).ok_or_else(|| sessions::lost(session).into())
    }

    /// A poll of an external queue: attempts only, and nobody else offers it anything. With a key it first gives again what a poll
    /// with the same key was given. It ends early when `gone` is cancelled: nobody waits for the answer any more.
    ///
    /// # Errors
    /// The store does not answer. What it may have leased is given to a repeat with the same key, or comes back by its time-out.
    pub async fn poll_queue(&self, queue: &str, ask: QueueAsk, gone: &CancellationToken) -> Result<Granted, Refused> {
        let QueueAsk { max, wait, key } = ask;
        // The number is the lease's nonce, so it must be unique; below 2^53, because Lua has doubles.
        let seq = key.as_deref().map_or_else(|| rand::random_range(1..NUMBERS), |key| number_of(queue, key));
        let mut look = Look::new(self, &stations::queue(queue), Claimer::External { queue: queue.to_owned() }, seq);
        let station = look.station.clone();
        let until = Instant::now() + wait;
        if key.is_some() {
            let again = join_all(self.partitions().map(|partition| look.claim(partition, Free::default(), true))).await;
            let mut granted = Granted::default();
            for claimed in again {
                granted.merge(claimed?.map(|claimed| claimed.granted).unwrap_or_default());
            }
            if !granted.is_none() {
                return Ok(granted);
            }
        }
        loop {
            let mut woken = std::pin::pin!(station.changed.notified());
            woken.as_mut().enable();
            let mut granted = Granted::default();
            let looked = look.all(Free { turns: 0, activities: max }, &mut granted).await;
            if !granted.is_none() || Instant::now() >= until || self.shutdown.is_cancelled() || gone.is_cancelled() {
                // What was leased before the store failed is told; the failure shows with the next poll.
                return if granted.is_none() { looked.map(|_| granted).map_err(Into::into) } else { Ok(granted) };
            }
            looked?;
            let look_at = station.hints().next_look().min(until).max(Instant::now() + Duration::from_millis(1));
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(look_at.into()) => {}
                () = self.shutdown.cancelled() => {}
                () = gone.cancelled() => {}
            }
        }
    }

    /// Hands back what a program was to be given that has gone meanwhile.
    pub async fn undelivered(&self, granted: Granted) {
        for work in granted.activities {
            let claim = AttemptClaim { command: work.command, attempt: work.attempt, session: EXTERNAL.to_owned(), seq: work.seq };
            let release = op::Release { run: work.run.clone(), what: op::Released::Attempt(claim), now: self.clock.for_store() };
            if let Err(error) = self.store.release(release).await {
                tracing::warn!(%error, run = %work.run, "a task that nobody took was not handed back; it ends by its time-out");
            }
        }
    }
}

/// What a program asks of an external queue.
#[derive(Debug)]
pub struct QueueAsk {
    /// So many tasks at most.
    pub max: u16,
    /// How long to wait for the first.
    pub wait: Duration,
    /// The poll's idempotency key.
    pub key: Option<String>,
}

/// Request numbers of external queues are below it.
const NUMBERS: u64 = 1 << 53;

/// The request number of a poll with a key: equal for its repeats.
fn number_of(queue: &str, key: &str) -> u64 {
    let digest = Sha256::digest(format!("{queue} {key}").as_bytes());
    let word = digest[..8].iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
    1 + word % (NUMBERS - 1)
}

fn replaced() -> Refused {
    let detail = "another poll of the session took this one's place, or the session has ended".to_owned();
    StoreError::Unavailable { operation: "poll", detail }.into()
}

/// Counts a poll while it waits.
struct Waiting<'a> {
    service: &'a Service,
    labels: PoolLabels,
}

impl<'a> Waiting<'a> {
    fn new(service: &'a Service, pool: &Name) -> Self {
        let labels = PoolLabels { pool: pool.to_string() };
        service.metrics.polls.get_or_create(&labels).inc();
        Self { service, labels }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.service.metrics.polls.get_or_create(&self.labels).dec();
    }
}
