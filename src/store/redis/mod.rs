//! The store in Redis 7.0+ or Valkey 8+: one Lua script per operation, so that each is atomic.
//!
//! Owns the keys (`keys`), the scripts (`lua/`, put together in `scripts`), the connections and the checks of the server.
//! Invariants: every key of a call begins with the prefix of one partition (or of the store's own data), so all carry one hash
//! tag, and each goes to the server that has that tag's slot; scripts check everything before their first write; payloads pass as text and are stored once; what was sent and not
//! answered is *unknown* and never sent again from here. Everything is in keys, so a replay of the AOF brings it back.
//! Deliberately absent: decisions (they are arguments), `WAITAOF` for replicas, and the crate's own clients for Sentinel and
//! Cluster: those send a call again when its connection has broken.

mod attempts;
mod begin;
mod chain;
mod checks;
mod cluster;
mod connection;
mod decode;
mod definitions;
mod draining;
mod due;
mod encode;
mod keys;
mod lineage;
mod list;
mod load;
mod node;
mod open;
mod outbox;
mod read;
mod refusal;
mod runs;
mod scripts;
mod sentinel;
mod servers;
mod sessions;
mod step;
mod turns;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use self::connection::Connections;
pub use self::servers::RedisAccess;
use self::watch::Watch;
use super::chain::{Chain, Chained};
use super::op;
use super::port::{Store, StoreError};
use crate::api::{Name, Partition, RunKey, SessionId, TimeMs, Version};
use crate::machine::commit::AttemptClaim;

/// The version of the keys and their contents. A store of a higher one is refused.
pub const STORE_FORMAT: u32 = 1;

/// How to reach a Redis and what is asked of it.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/db]`, `redis+sentinel://[user:password@]host[:port],.../name[/db]`,
    /// `redis+cluster://[user:password@]host[:port],...`, each with `rediss` for TLS, or `unix:///path`.
    pub url: String,
    /// Passwords and certificates that are not in it.
    pub access: RedisAccess,
    /// What an acknowledgement promises; the server is checked for it.
    pub durability: op::Durability,
    /// Partitions of a store that is created; of an existing one they must be the same. At least 1.
    pub partitions: u16,
    /// Pipelined connections to each server, at least 1. About four.
    pub connections: usize,
    /// How long an answer may take until the outcome is unknown.
    pub response_timeout: Duration,
}

impl RedisConfig {
    /// The defaults for a server: strict, 16 partitions, four connections, five seconds.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            access: RedisAccess::default(),
            durability: op::Durability::Strict,
            partitions: 16,
            connections: 4,
            response_timeout: Duration::from_secs(5),
        }
    }
}

/// The store in a Redis or Valkey server. Cheap to share behind an `Arc`; dropping it ends its subscription.
pub struct RedisStore {
    connections: Arc<Connections>,
    info: op::StoreInfo,
    channel: String,
    watch: Watch,
    seen: step::Seen,
    workflows: begin::Workflows,
}

impl RedisStore {
    /// Connects, waits while the servers load their data, checks them, and reads or creates the store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be reached; [`StoreError::Unfit`] with a line for each thing to change.
    pub async fn open(config: RedisConfig) -> Result<Self, StoreError> {
        let unfit = |line: String| StoreError::Unfit(vec![line]);
        if config.partitions == 0 {
            return Err(unfit("the number of partitions is 0: give at least 1".to_owned()));
        }
        let servers = servers::servers(&config).map_err(unfit)?;
        let fail_over = servers.fail_over();
        let connections = Arc::new(Connections::new(servers, config.connections, config.response_timeout));
        checks::loaded(&connections).await?;
        let server = checks::servers(&connections, config.durability, fail_over).await?;
        checks::forget_other_libraries(&connections).await?;
        let meta = checks::meta(&connections, config.partitions).await?;
        connections.expect(&meta.id);
        let channel = keys::channel(&meta.id);
        let watch = Watch::start(Arc::clone(&connections), channel.clone()).await?;
        let info = op::StoreInfo { kind: server, id: meta.id, partitions: config.partitions, durability: config.durability };
        let store = Self { connections, info, channel, watch, seen: step::Seen::new(), workflows: begin::Workflows::new() };
        if !meta.open_runs_counted {
            open::recount(&store).await?;
        }
        Ok(store)
    }

    fn partition_of(&self, run: &RunKey) -> Partition {
        run.partition(self.info.partitions)
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("info", &self.info).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    fn info(&self) -> op::StoreInfo {
        self.info.clone()
    }

    async fn now(&self) -> Result<TimeMs, StoreError> {
        read::now(self).await
    }

    async fn lineage(&self) -> Result<op::Lineage, StoreError> {
        lineage::lineage(self).await
    }

    async fn next_term(&self) -> Result<u64, StoreError> {
        lineage::next_term(self).await
    }

    async fn define(&self, define: op::Define) -> Result<op::Defined, StoreError> {
        definitions::define(self, define).await
    }

    async fn retire(&self, retire: op::Retire) -> Result<Option<op::Defined>, StoreError> {
        definitions::retire(self, retire).await
    }

    async fn definition(&self, version: &Version) -> Result<Option<String>, StoreError> {
        definitions::definition(self, version).await
    }

    async fn workflow(&self, namespace: &Name, name: &Name) -> Result<Option<op::WorkflowRecord>, StoreError> {
        definitions::workflow(self, namespace, name).await
    }

    async fn workflows(&self, namespace: &Name) -> Result<Vec<op::WorkflowRecord>, StoreError> {
        definitions::workflows(self, namespace).await
    }

    async fn held_workflows(&self) -> Result<Vec<(Name, op::WorkflowRecord)>, StoreError> {
        definitions::held(self).await
    }

    async fn start(&self, start: op::Start) -> Result<op::Started, StoreError> {
        runs::start(self, start).await
    }

    async fn deliver(&self, deliver: op::Deliver) -> Result<op::Delivered, StoreError> {
        runs::deliver(self, deliver).await
    }

    async fn control(&self, control: op::Control) -> Result<op::Controlled, StoreError> {
        runs::control(self, control).await
    }

    async fn open_session(&self, partition: Partition, session: &SessionId, pool: &Name, deadline: TimeMs) -> Result<bool, StoreError> {
        sessions::open(self, partition, session, pool, deadline).await
    }

    async fn renew_session(&self, partition: Partition, session: &SessionId, deadline: TimeMs) -> Result<bool, StoreError> {
        sessions::renew(self, partition, session, deadline).await
    }

    async fn end_session(
        &self,
        partition: Partition,
        session: &SessionId,
        ending: &op::Ending,
        now: TimeMs,
    ) -> Result<op::Ended, StoreError> {
        sessions::end(self, partition, session, ending, now).await
    }

    async fn expired_sessions(&self, partition: Partition, now: TimeMs) -> Result<Vec<SessionId>, StoreError> {
        sessions::expired(self, partition, now).await
    }

    async fn drain_session(&self, partition: Partition, session: &SessionId, until: TimeMs, now: TimeMs) -> Result<bool, StoreError> {
        draining::drain(self, partition, session, until, now).await
    }

    async fn draining(&self, partition: Partition) -> Result<Vec<(SessionId, TimeMs)>, StoreError> {
        draining::draining(self, partition).await
    }

    async fn sessions(&self, partition: Partition) -> Result<Vec<SessionId>, StoreError> {
        draining::sessions(self, partition).await
    }

    async fn claim(&self, claim: op::Claim) -> Result<op::Claimed, StoreError> {
        turns::claim(self, claim).await
    }

    async fn leases(&self, partition: Partition, session: &SessionId) -> Result<op::Leases, StoreError> {
        sessions::leases(self, partition, session).await
    }

    async fn commit(&self, commit: op::Commit) -> Result<op::Committed, StoreError> {
        turns::commit(self, commit).await
    }

    async fn finish(&self, finish: op::Finish) -> Result<op::Finished, StoreError> {
        attempts::finish(self, finish).await
    }

    async fn settle(&self, settle: op::Settle) -> Result<op::Settled, StoreError> {
        attempts::settle(self, settle).await
    }

    async fn chain(&self, chain: Chain) -> Result<Chained, StoreError> {
        chain::chain(self, chain).await
    }

    async fn release(&self, release: op::Release) -> Result<bool, StoreError> {
        turns::release(self, release).await
    }

    async fn extend(&self, run: &RunKey, attempt: &AttemptClaim, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        attempts::extend(self, run, attempt, now).await
    }

    async fn fire(&self, fire: op::Fire) -> Result<op::Fired, StoreError> {
        due::fire(self, fire).await
    }

    async fn outbox(&self, partition: Partition) -> Result<Vec<op::Parcel>, StoreError> {
        outbox::outbox(self, partition).await
    }

    async fn receive(&self, receive: op::Receive) -> Result<op::Received, StoreError> {
        outbox::receive(self, receive).await
    }

    async fn sent(&self, from: Partition, to: Partition, last: u64) -> Result<(), StoreError> {
        outbox::sent(self, from, to, last).await
    }

    async fn sweep(&self, partition: Partition, now: TimeMs) -> Result<op::Swept, StoreError> {
        due::sweep(self, partition, now).await
    }

    async fn run(&self, run: &RunKey) -> Result<Option<op::RunState>, StoreError> {
        read::run(self, run).await
    }

    async fn journal(&self, run: &RunKey, from: u32, bytes: usize) -> Result<Option<op::JournalPage>, StoreError> {
        read::journal(self, run, from, bytes).await
    }

    async fn changes(&self, partition: Partition, after: Option<u64>) -> Result<op::Changes, StoreError> {
        read::changes(self, partition, after).await
    }

    async fn list(&self, list: op::List) -> Result<op::Listed, StoreError> {
        list::list(self, list).await
    }

    async fn open_runs(&self, partition: Partition) -> Result<Vec<op::OpenRuns>, StoreError> {
        open::open_runs(self, partition).await
    }

    async fn followed(&self, partition: Partition, after: Option<&RunKey>) -> Result<op::FollowedRuns, StoreError> {
        open::followed(self, partition, after).await
    }

    async fn counts(&self, partition: Partition) -> Result<op::Counts, StoreError> {
        read::counts(self, partition).await
    }

    async fn load(&self, partition: Partition, now: TimeMs) -> Result<op::Load, StoreError> {
        load::load(self, partition, now).await
    }

    fn watch(&self) -> broadcast::Receiver<op::Wake> {
        self.watch.receiver()
    }
}
