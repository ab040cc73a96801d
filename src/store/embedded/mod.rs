//! The store in one file, or in memory: redb under one writer.
//!
//! It is the specification in code: its operations call the decisions of `machine` and do what they say, one file per
//! operation. Owns the file's layout ([`tables`]). Invariants: one writer thread ([`writer`]) takes what waits into one
//! transaction; every operation checks before it writes, so that a refused one leaves no trace; an answer follows its commit.
//! Deliberately absent: anything that the Redis store does not promise too.

mod attempts;
mod chain;
mod changes;
mod claim;
mod clock;
mod close;
mod commit;
mod control;
mod counts;
mod db;
mod define;
mod deliver;
mod due;
mod fault;
mod finish;
mod fire;
mod grant;
mod leases;
mod lengths;
mod lineage;
mod list;
mod load;
mod mailbox;
mod open;
mod outbox;
mod read;
mod release;
mod rows;
mod sessions;
mod space;
mod start;
mod sweep;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{Semaphore, broadcast, oneshot};

use self::clock::StoreClock;
pub use self::clock::{Clock, ManualClock, SystemClock};
use self::db::{Db, Open};
use self::fault::Fault;
use self::rows::{Snapshot, Tx};
use self::space::Space;
use self::writer::{Message, Op, WAITING_MAX, Writer};
use super::chain::{Chain, Chained};
use super::op::{self, Durability};
use super::port::{Store, StoreError};
use crate::api::{Name, Partition, RunKey, SessionId, TimeMs, Version};
use crate::machine::commit::AttemptClaim;

/// Wakes that a slow listener may fall behind; beyond it misses some, and looks by itself.
const WAKES_KEPT: usize = 4_096;

/// How a store is opened.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// How an acknowledgement is kept.
    pub durability: Durability,
    /// How many partitions a new store gets; an old one must have as many. 0: 16 for a new one, whatever an old one has.
    pub partitions: u16,
    /// The store's clock.
    pub clock: Arc<dyn Clock>,
    /// Bytes of the file's disk that are kept for what has begun: with less, new runs, definitions and signals are refused.
    pub keep_free: u64,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { durability: Durability::Strict, partitions: 0, clock: Arc::new(SystemClock), keep_free: 0 }
    }
}

/// The embedded store. Dropping it waits until everything acknowledged is on the disk and the file is free.
pub struct EmbeddedStore {
    info: op::StoreInfo,
    db: Arc<Db>,
    clock: StoreClock,
    wakes: broadcast::Sender<op::Wake>,
    room: Arc<Semaphore>,
    space: Space,
    inbox: Option<mpsc::Sender<Message>>,
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Opens a store in a file, and creates it when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Unfit`]: the file is another program's, damaged, of a newer format, in use, or has another number of
    /// partitions.
    pub fn open(path: impl AsRef<Path>, config: EmbeddedConfig) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let place = format!("the file {}", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let space = Space::new(Some(folder), config.keep_free);
        let open: Open = Box::new(move || db::builder().create(&path));
        Self::with("file", open, &place, space, config)
    }

    /// A store in memory, gone with the process.
    ///
    /// # Errors
    /// None that is known; opening a database can fail.
    pub fn memory(partitions: u16) -> Result<Self, StoreError> {
        Self::memory_with(EmbeddedConfig { partitions, durability: Durability::None, ..EmbeddedConfig::default() })
    }

    /// A store in memory with a clock of the caller's.
    ///
    /// # Errors
    /// As [`EmbeddedStore::memory`].
    pub fn memory_with(config: EmbeddedConfig) -> Result<Self, StoreError> {
        let memory = Arc::new(redb::backends::InMemoryBackend::new());
        let open: Open = Box::new(move || db::builder().create_with_backend(db::SharedMemory(memory.clone())));
        Self::with("memory", open, "the memory", Space::new(None, 0), EmbeddedConfig { durability: Durability::None, ..config })
    }

    fn with(kind: &str, open: Open, place: &str, space: Space, config: EmbeddedConfig) -> Result<Self, StoreError> {
        let (db, identity) = Db::open(open, place, config.partitions)?;
        let db = Arc::new(db);
        let clock = StoreClock::new(config.clock);
        let (wakes, _) = broadcast::channel(WAKES_KEPT);
        let (sender, inbox) = mpsc::channel();
        let writer = Writer {
            db: db.clone(),
            inbox,
            wakes: wakes.clone(),
            clock: clock.clone(),
            partitions: identity.partitions,
            durability: config.durability,
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|e| StoreError::Unfit(vec![format!("{place}: the writer's thread cannot be started: {e}")]))?;
        let info = op::StoreInfo { kind: kind.to_owned(), id: identity.id, partitions: identity.partitions, durability: config.durability };
        let room = Arc::new(Semaphore::new(WAITING_MAX));
        Ok(Self { info, db, clock, wakes, room, space, inbox: Some(sender), writer: Some(writer) })
    }

    /// Sends an operation through the writer. Cancellation: an operation whose caller goes away may have been done or not.
    async fn write<A, F>(&self, operation: &'static str, work: F) -> Result<A, StoreError>
    where
        A: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<A, Fault> + Send + 'static,
    {
        let stopped = || StoreError::Unavailable { operation, detail: "the store's writer has stopped".to_owned() };
        let permit = self.room.clone().acquire_owned().await.map_err(|_| stopped())?;
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Op { operation, work, answer: None, reply });
        let inbox = self.inbox.as_ref().ok_or_else(stopped)?;
        inbox.send(Message { job, permit }).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Reads a few rows here and now.
    fn look<A>(&self, operation: &'static str, look: impl FnOnce(&mut Snapshot) -> Result<A, Fault>) -> Result<A, StoreError> {
        self.db.read(look).map_err(|fault| fault.answer(operation))
    }

    /// Reads many rows, off the runtime's threads.
    async fn look_long<A, F>(&self, operation: &'static str, look: F) -> Result<A, StoreError>
    where
        A: Send + 'static,
        F: FnOnce(&mut Snapshot) -> Result<A, Fault> + Send + 'static,
    {
        let db = self.db.clone();
        let read = tokio::task::spawn_blocking(move || db.read(look)).await;
        match read {
            Ok(answer) => answer.map_err(|fault| fault.answer(operation)),
            Err(stopped) => Err(StoreError::Unavailable { operation, detail: stopped.to_string() }),
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        drop(self.inbox.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the embedded store's writer panicked");
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn info(&self) -> op::StoreInfo {
        self.info.clone()
    }

    async fn now(&self) -> Result<TimeMs, StoreError> {
        Ok(self.clock.now())
    }

    async fn lineage(&self) -> Result<op::Lineage, StoreError> {
        self.look("read the store's id", lineage::lineage)
    }

    async fn next_term(&self) -> Result<u64, StoreError> {
        self.write("give a term", lineage::next_term).await
    }

    async fn define(&self, define: op::Define) -> Result<op::Defined, StoreError> {
        self.space.check("define a workflow")?;
        self.write("define a workflow", move |tx| define::define(tx, &define)).await
    }

    async fn retire(&self, retire: op::Retire) -> Result<Option<op::Defined>, StoreError> {
        self.write("retire a workflow", move |tx| define::retire(tx, &retire)).await
    }

    async fn definition(&self, version: &Version) -> Result<Option<String>, StoreError> {
        self.look("read a definition", |rows| define::definition(rows, version))
    }

    async fn workflow(&self, namespace: &Name, name: &Name) -> Result<Option<op::WorkflowRecord>, StoreError> {
        self.look("read a workflow", |rows| define::workflow(rows, namespace, name))
    }

    async fn workflows(&self, namespace: &Name) -> Result<Vec<op::WorkflowRecord>, StoreError> {
        let namespace = namespace.clone();
        self.look_long("list workflows", move |rows| define::workflows(rows, &namespace)).await
    }

    async fn held_workflows(&self) -> Result<Vec<(Name, op::WorkflowRecord)>, StoreError> {
        self.look_long("list workflows", define::held).await
    }

    async fn start(&self, start: op::Start) -> Result<op::Started, StoreError> {
        self.space.check("start a run")?;
        self.write("start a run", move |tx| start::start(tx, &start)).await
    }

    async fn deliver(&self, deliver: op::Deliver) -> Result<op::Delivered, StoreError> {
        // What ends a run makes room.
        if !deliver.cancel {
            self.space.check("deliver an event")?;
        }
        self.write("deliver an event", move |tx| deliver::deliver(tx, &deliver)).await
    }

    async fn control(&self, control: op::Control) -> Result<op::Controlled, StoreError> {
        self.write("control a run", move |tx| control::control(tx, &control)).await
    }

    async fn open_session(&self, partition: Partition, session: &SessionId, pool: &Name, deadline: TimeMs) -> Result<bool, StoreError> {
        let (session, pool) = (session.clone(), pool.clone());
        self.write("open a session", move |tx| sessions::open(tx, partition, session.as_str(), &pool, deadline)).await
    }

    async fn renew_session(&self, partition: Partition, session: &SessionId, deadline: TimeMs) -> Result<bool, StoreError> {
        let session = session.clone();
        self.write("renew a session", move |tx| sessions::renew(tx, partition, session.as_str(), deadline)).await
    }

    async fn end_session(
        &self,
        partition: Partition,
        session: &SessionId,
        ending: &op::Ending,
        now: TimeMs,
    ) -> Result<op::Ended, StoreError> {
        let (session, ending) = (session.clone(), ending.clone());
        self.write("end a session", move |tx| sessions::end(tx, partition, session.as_str(), &ending, now)).await
    }

    async fn expired_sessions(&self, partition: Partition, now: TimeMs) -> Result<Vec<SessionId>, StoreError> {
        let now = now.min(self.clock.now());
        self.look("look for expired sessions", |rows| sessions::expired(rows, partition, now))
    }

    async fn drain_session(&self, partition: Partition, session: &SessionId, until: TimeMs, _now: TimeMs) -> Result<bool, StoreError> {
        let session = session.clone();
        self.write("mark a session to be drained", move |tx| sessions::drain(tx, partition, session.as_str(), until)).await
    }

    async fn draining(&self, partition: Partition) -> Result<Vec<(SessionId, TimeMs)>, StoreError> {
        let alive = self.look_long("list sessions to be drained", move |rows| sessions::alive(rows, partition)).await?;
        Ok(alive.into_iter().filter(|(_, until)| *until > TimeMs(0)).collect())
    }

    async fn sessions(&self, partition: Partition) -> Result<Vec<SessionId>, StoreError> {
        let alive = self.look_long("list sessions", move |rows| sessions::alive(rows, partition)).await?;
        Ok(alive.into_iter().map(|(session, _)| session).collect())
    }

    async fn claim(&self, claim: op::Claim) -> Result<op::Claimed, StoreError> {
        self.write("claim work", move |tx| claim::claim(tx, &claim)).await
    }

    async fn leases(&self, partition: Partition, session: &SessionId) -> Result<op::Leases, StoreError> {
        let session = session.clone();
        self.look_long("list the leases of a session", move |rows| leases::of_session(rows, partition, &session)).await
    }

    async fn commit(&self, commit: op::Commit) -> Result<op::Committed, StoreError> {
        self.write("commit a turn", move |tx| commit::commit(tx, &commit)).await
    }

    async fn finish(&self, finish: op::Finish) -> Result<op::Finished, StoreError> {
        self.write("finish an attempt", move |tx| finish::finish(tx, &finish)).await
    }

    async fn settle(&self, settle: op::Settle) -> Result<op::Settled, StoreError> {
        self.write("settle attempts", move |tx| finish::settle(tx, &settle)).await
    }

    async fn chain(&self, chain: Chain) -> Result<Chained, StoreError> {
        self.write("commit a chain of turns", move |tx| chain::chain(tx, &chain)).await
    }

    async fn release(&self, release: op::Release) -> Result<bool, StoreError> {
        self.write("release a lease", move |tx| release::release(tx, &release)).await
    }

    async fn extend(&self, run: &RunKey, attempt: &AttemptClaim, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        let (run, attempt) = (run.clone(), attempt.clone());
        self.write("extend a lease", move |tx| release::extend(tx, &run, &attempt, now)).await
    }

    async fn fire(&self, fire: op::Fire) -> Result<op::Fired, StoreError> {
        self.write("fire what is due", move |tx| fire::fire(tx, &fire)).await
    }

    async fn outbox(&self, partition: Partition) -> Result<Vec<op::Parcel>, StoreError> {
        self.look("read an outbox", |rows| outbox::parcels(rows, partition))
    }

    async fn receive(&self, receive: op::Receive) -> Result<op::Received, StoreError> {
        self.write("receive messages", move |tx| outbox::receive(tx, &receive)).await
    }

    async fn sent(&self, from: Partition, to: Partition, last: u64) -> Result<(), StoreError> {
        self.write("clear an outbox", move |tx| outbox::sent(tx, from, to, last)).await
    }

    async fn sweep(&self, partition: Partition, now: TimeMs) -> Result<op::Swept, StoreError> {
        self.write("sweep closed runs", move |tx| sweep::sweep(tx, partition, now)).await
    }

    async fn run(&self, run: &RunKey) -> Result<Option<op::RunState>, StoreError> {
        let partitions = self.info.partitions;
        self.look("read a run", |rows| read::run(rows, partitions, run))
    }

    async fn journal(&self, run: &RunKey, from: u32, bytes: usize) -> Result<Option<op::JournalPage>, StoreError> {
        let (run, partitions) = (run.clone(), self.info.partitions);
        self.look_long("read a journal", move |rows| read::journal(rows, partitions, &run, from, bytes)).await
    }

    async fn changes(&self, partition: Partition, after: Option<u64>) -> Result<op::Changes, StoreError> {
        self.look_long("read what has changed", move |rows| changes::changes(rows, partition, after)).await
    }

    async fn list(&self, list: op::List) -> Result<op::Listed, StoreError> {
        let partitions = self.info.partitions;
        self.look_long("list runs", move |rows| list::list(rows, partitions, &list)).await
    }

    async fn open_runs(&self, partition: Partition) -> Result<Vec<op::OpenRuns>, StoreError> {
        self.look_long("count open runs", move |rows| open::open_runs(rows, partition)).await
    }

    async fn followed(&self, partition: Partition, after: Option<&RunKey>) -> Result<op::FollowedRuns, StoreError> {
        let after = after.cloned();
        self.look_long("list followed runs", move |rows| open::followed(rows, partition, after.as_ref())).await
    }

    async fn counts(&self, partition: Partition) -> Result<op::Counts, StoreError> {
        self.look_long("count", move |rows| counts::counts(rows, partition)).await
    }

    async fn load(&self, partition: Partition, now: TimeMs) -> Result<op::Load, StoreError> {
        let now = now.min(self.clock.now());
        self.look_long("read the load", move |rows| load::load(rows, partition, now)).await
    }

    fn watch(&self) -> broadcast::Receiver<op::Wake> {
        self.wakes.subscribe()
    }
}
