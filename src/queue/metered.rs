//! A store that is measured: how long each operation takes, and when the store did not answer.
//!
//! `around_store!` makes a store out of another one for any type with a method `around`.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::gate::Gate;
use crate::api::{Name, Partition, RunKey, SessionId, TimeMs, Version};
use crate::machine::commit::AttemptClaim;
use crate::store::{Store, StoreError, op};
use crate::telemetry::metrics::{Metrics, StoreLabels};

/// Operations that a store with little room refuses, and only these.
const TAKES_IN: [&str; 3] = ["define", "start", "deliver"];

/// See the module.
pub struct Metered {
    inner: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    gate: Arc<Gate>,
}

impl Metered {
    /// Measures `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, metrics: Arc<Metrics>, gate: Arc<Gate>) -> Self {
        Self { inner, metrics, gate }
    }

    async fn around<T>(&self, operation: &'static str, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let began = Instant::now();
        let answer = call.await;
        let outcome = if answer.is_ok() { "ok" } else { "error" };
        self.metrics.store.get_or_create(&StoreLabels { operation, outcome }).observe(began.elapsed().as_secs_f64());
        match &answer {
            // What takes in something new may be refused while all else goes on.
            Err(StoreError::Full { .. }) if TAKES_IN.contains(&operation) => {}
            // A store that is really full refuses renewals too.
            Err(StoreError::Unavailable { .. } | StoreError::Full { .. }) => {
                self.metrics.store_away.set(1);
                self.gate.outage();
            }
            _ => {
                self.metrics.store_away.set(0);
                self.gate.answered();
            }
        }
        answer
    }
}

/// Implements [`Store`] by calling `self.inner` through `self.around(operation, call)`.
macro_rules! around_store {
    ($type:ty) => {
        around_store! { $type;
            now() -> TimeMs;
            lineage() -> op::Lineage;
            next_term() -> u64;
            define(define: op::Define) -> op::Defined;
            retire(retire: op::Retire) -> Option<op::Defined>;
            definition(version: &Version) -> Option<String>;
            workflow(namespace: &Name, name: &Name) -> Option<op::WorkflowRecord>;
            workflows(namespace: &Name) -> Vec<op::WorkflowRecord>;
            held_workflows() -> Vec<(Name, op::WorkflowRecord)>;
            start(start: op::Start) -> op::Started;
            deliver(deliver: op::Deliver) -> op::Delivered;
            control(control: op::Control) -> op::Controlled;
            open_session(partition: Partition, session: &SessionId, pool: &Name, deadline: TimeMs) -> bool;
            renew_session(partition: Partition, session: &SessionId, deadline: TimeMs) -> bool;
            end_session(partition: Partition, session: &SessionId, ending: &op::Ending, now: TimeMs) -> op::Ended;
            expired_sessions(partition: Partition, now: TimeMs) -> Vec<SessionId>;
            drain_session(partition: Partition, session: &SessionId, until: TimeMs, now: TimeMs) -> bool;
            draining(partition: Partition) -> Vec<(SessionId, TimeMs)>;
            sessions(partition: Partition) -> Vec<SessionId>;
            claim(claim: op::Claim) -> op::Claimed;
            leases(partition: Partition, session: &SessionId) -> op::Leases;
            commit(commit: op::Commit) -> op::Committed;
            finish(finish: op::Finish) -> op::Finished;
            settle(settle: op::Settle) -> op::Settled;
            chain(chain: crate::store::chain::Chain) -> crate::store::chain::Chained;
            release(release: op::Release) -> bool;
            extend(run: &RunKey, attempt: &AttemptClaim, now: TimeMs) -> Option<TimeMs>;
            fire(fire: op::Fire) -> op::Fired;
            outbox(partition: Partition) -> Vec<op::Parcel>;
            receive(receive: op::Receive) -> op::Received;
            sent(from: Partition, to: Partition, last: u64) -> ();
            sweep(partition: Partition, now: TimeMs) -> op::Swept;
            run(run: &RunKey) -> Option<op::RunState>;
            journal(run: &RunKey, from: u32, bytes: usize) -> Option<op::JournalPage>;
            changes(partition: Partition, after: Option<u64>) -> op::Changes;
            list(list: op::List) -> op::Listed;
            open_runs(partition: Partition) -> Vec<op::OpenRuns>;
            followed(partition: Partition, after: Option<&RunKey>) -> op::FollowedRuns;
            counts(partition: Partition) -> op::Counts;
            load(partition: Partition, now: TimeMs) -> op::Load;
        }
    };
    ($type:ty; $($name:ident($($arg:ident: $arg_type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for $type {
            fn info(&self) -> op::StoreInfo {
                self.inner.info()
            }

            fn watch(&self) -> broadcast::Receiver<op::Wake> {
                self.inner.watch()
            }

            $(async fn $name(&self, $($arg: $arg_type),*) -> Result<$answer, StoreError> {
                self.around(stringify!($name), self.inner.$name($($arg),*)).await
            })*
        }
    };
}

around_store!(Metered);

#[cfg(test)]
pub(super) use around_store;
