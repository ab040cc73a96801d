//! What every request and every loop shares.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::definitions::Definitions;
use super::draining::Draining;
use super::facts::Facts;
use super::feeds::Feeds;
use super::gate::Gate;
use super::loads::Loads;
use super::loops::timers::Due;
use super::metered::Metered;
use super::sessions::Sessions;
use super::settling::Settling;
use super::stations::Stations;
use super::waiters::Waiters;
use super::watchers::Watchers;
use crate::api::{Head, Partition, RunKey, TimeMs};
use crate::clock::StoreClock;
use crate::store::{Store, StoreError, op};
use crate::telemetry::metrics::Metrics;

/// One replica of the queue service. Nothing in it must survive.
pub struct Service {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// What the store is.
    pub info: op::StoreInfo,
    /// See [`Config`].
    pub config: Config,
    /// The store's clock, estimated.
    pub clock: StoreClock,
    /// For how long the store has answered.
    pub gate: Arc<Gate>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Current versions and definitions, cached.
    pub definitions: Definitions,
    /// Pools and versions of runs, cached.
    pub facts: Facts,
    /// Where polls wait.
    pub stations: Stations,
    /// Polls of workers that wait.
    pub waiters: Waiters,
    /// Outcomes of tasks on their way to the store.
    pub settling: Settling,
    /// Requests that wait for a run.
    pub watchers: Watchers,
    /// Requests that wait for changes of any run that is followed.
    pub feeds: Feeds,
    /// What the pools have to do.
    pub loads: Loads,
    /// Sessions that talk to this replica.
    pub sessions: Sessions,
    /// Which sessions are to be drained.
    pub draining: Draining,
    /// When the timers of each partition are due next.
    pub due: Vec<Due>,
    /// Of each partition: its outbox has something.
    pub outgoing: Vec<Notify>,
    /// Requests under way.
    pub in_flight: AtomicUsize,
    /// This replica stops.
    pub shutdown: CancellationToken,
}

/// How every handler gets it.
pub type Shared = Arc<Service>;

impl Service {
    /// A replica in front of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, config: Config, shutdown: CancellationToken) -> Shared {
        let info = store.info();
        let metrics = Arc::new(Metrics::new());
        let gate = Arc::new(Gate::new());
        // Only until the first measurement; a store uses the smaller of this and its own clock.
        let guess = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Arc::new(Self {
            store: Arc::new(Metered::new(store, metrics.clone(), gate.clone())),
            clock: StoreClock::new(TimeMs(u64::try_from(guess).unwrap_or_default())),
            gate,
            metrics,
            definitions: Definitions::new(),
            facts: Facts::new(),
            stations: Stations::new(info.partitions),
            waiters: Waiters::default(),
            settling: Settling::default(),
            watchers: Watchers::default(),
            feeds: Feeds::new(info.partitions),
            loads: Loads::default(),
            sessions: Sessions::default(),
            draining: Draining::default(),
            outgoing: (0..info.partitions).map(|_| Notify::new()).collect(),
            due: (0..info.partitions).map(|_| Due::default()).collect(),
            in_flight: AtomicUsize::new(0),
            info,
            config,
            shutdown,
        })
    }

    /// All partitions of the store.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.info.partitions).map(Partition)
    }

    /// The partition of a run.
    #[must_use]
    pub fn partition(&self, run: &RunKey) -> Partition {
        run.partition(self.info.partitions)
    }

    /// Asks the store for its clock.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn measure_clock(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let now = self.store.now().await?;
        self.clock.measured(now, asked, Instant::now());
        Ok(())
    }

    /// How many runs are open.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn open_runs(&self) -> Result<u64, StoreError> {
        let counted = try_join_all(self.partitions().map(|partition| self.store.open_runs(partition))).await?;
        Ok(counted.into_iter().flatten().map(|version| version.runs).sum())
    }

    /// A session's deadline when it is renewed now.
    #[must_use]
    pub fn session_deadline(&self) -> TimeMs {
        TimeMs(self.clock.now().0.saturating_add(u64::try_from(self.config.session_ttl.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A new head: random, so that no reset or fail-over brings the same one back.
#[must_use]
pub fn new_head() -> Head {
    Head(rand::random())
}
