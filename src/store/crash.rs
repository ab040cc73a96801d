//! A store whose process may die before or after any of its operations: every operation of the port is a named point,
//! `<operation>.before` and `<operation>.after` (see [`crate::telemetry::crash`]). Only tests put it around a store.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::chain::{Chain, Chained};
use super::{Store, StoreError, op};
use crate::api::{Name, Partition, RunKey, SessionId, TimeMs, Version};
use crate::machine::commit::AttemptClaim;
use crate::telemetry::crash::point;

/// See the module.
pub struct CrashStore(pub Arc<dyn Store>);

macro_rules! passing {
    ($name:literal, $call:expr) => {{
        point(concat!($name, ".before"));
        let answer = $call.await;
        point(concat!($name, ".after"));
        answer
    }};
}

#[async_trait]
impl Store for CrashStore {
    fn info(&self) -> op::StoreInfo {
        self.0.info()
    }
    async fn now(&self) -> Result<TimeMs, StoreError> {
        self.0.now().await
    }
    async fn define(&self, define: op::Define) -> Result<op::Defined, StoreError> {
        passing!("define", self.0.define(define))
    }
    async fn retire(&self, retire: op::Retire) -> Result<Option<op::Defined>, StoreError> {
        passing!("retire", self.0.retire(retire))
    }
    async fn definition(&self, version: &Version) -> Result<Option<String>, StoreError> {
        self.0.definition(version).await
    }
    async fn workflow(&self, namespace: &Name, name: &Name) -> Result<Option<op::WorkflowRecord>, StoreError> {
        self.0.workflow(namespace, name).await
    }
    async fn workflows(&self, namespace: &Name) -> Result<Vec<op::WorkflowRecord>, StoreError> {
        self.0.workflows(namespace).await
    }
    async fn held_workflows(&self) -> Result<Vec<(Name, op::WorkflowRecord)>, StoreError> {
        self.0.held_workflows().await
    }
    async fn start(&self, start: op::Start) -> Result<op::Started, StoreError> {
        passing!("start", self.0.start(start))
    }
    async fn deliver(&self, deliver: op::Deliver) -> Result<op::Delivered, StoreError> {
        passing!("deliver", self.0.deliver(deliver))
    }
    async fn control(&self, control: op::Control) -> Result<op::Controlled, StoreError> {
        passing!("control", self.0.control(control))
    }
    async fn open_session(&self, partition: Partition, session: &SessionId, pool: &Name, deadline: TimeMs) -> Result<bool, StoreError> {
        passing!("open_session", self.0.open_session(partition, session, pool, deadline))
    }
    async fn renew_session(&self, partition: Partition, session: &SessionId, deadline: TimeMs) -> Result<bool, StoreError> {
        passing!("renew_session", self.0.renew_session(partition, session, deadline))
    }
    async fn end_session(
        &self,
        partition: Partition,
        session: &SessionId,
        ending: &op::Ending,
        now: TimeMs,
    ) -> Result<op::Ended, StoreError> {
        passing!("end_session", self.0.end_session(partition, session, ending, now))
    }
    async fn expired_sessions(&self, partition: Partition, now: TimeMs) -> Result<Vec<SessionId>, StoreError> {
        self.0.expired_sessions(partition, now).await
    }
    async fn drain_session(&self, partition: Partition, session: &SessionId, until: TimeMs, now: TimeMs) -> Result<bool, StoreError> {
        self.0.drain_session(partition, session, until, now).await
    }
    async fn draining(&self, partition: Partition) -> Result<Vec<(SessionId, TimeMs)>, StoreError> {
        self.0.draining(partition).await
    }
    async fn sessions(&self, partition: Partition) -> Result<Vec<SessionId>, StoreError> {
        self.0.sessions(partition).await
    }
    async fn claim(&self, claim: op::Claim) -> Result<op::Claimed, StoreError> {
        passing!("claim", self.0.claim(claim))
    }
    async fn leases(&self, partition: Partition, session: &SessionId) -> Result<op::Leases, StoreError> {
        self.0.leases(partition, session).await
    }
    async fn commit(&self, commit: op::Commit) -> Result<op::Committed, StoreError> {
        passing!("commit", self.0.commit(commit))
    }
    async fn finish(&self, finish: op::Finish) -> Result<op::Finished, StoreError> {
        passing!("finish", self.0.finish(finish))
    }
    async fn settle(&self, settle: op::Settle) -> Result<op::Settled, StoreError> {
        passing!("settle", self.0.settle(settle))
    }
    async fn chain(&self, chain: Chain) -> Result<Chained, StoreError> {
        passing!("chain", self.0.chain(chain))
    }
    async fn release(&self, release: op::Release) -> Result<bool, StoreError> {
        passing!("release", self.0.release(release))
    }
    async fn extend(&self, run: &RunKey, attempt: &AttemptClaim, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        passing!("extend", self.0.extend(run, attempt, now))
    }
    async fn fire(&self, fire: op::Fire) -> Result<op::Fired, StoreError> {
        passing!("fire", self.0.fire(fire))
    }
    async fn outbox(&self, partition: Partition) -> Result<Vec<op::Parcel>, StoreError> {
        self.0.outbox(partition).await
    }
    async fn receive(&self, receive: op::Receive) -> Result<op::Received, StoreError> {
        passing!("receive", self.0.receive(receive))
    }
    async fn sent(&self, from: Partition, to: Partition, last: u64) -> Result<(), StoreError> {
        passing!("sent", self.0.sent(from, to, last))
    }
    async fn sweep(&self, partition: Partition, now: TimeMs) -> Result<op::Swept, StoreError> {
        passing!("sweep", self.0.sweep(partition, now))
    }
    async fn run(&self, run: &RunKey) -> Result<Option<op::RunState>, StoreError> {
        self.0.run(run).await
    }
    async fn journal(&self, run: &RunKey, from: u32, bytes: usize) -> Result<Option<op::JournalPage>, StoreError> {
        self.0.journal(run, from, bytes).await
    }
    async fn lineage(&self) -> Result<op::Lineage, StoreError> {
        self.0.lineage().await
    }
    async fn next_term(&self) -> Result<u64, StoreError> {
        self.0.next_term().await
    }
    async fn changes(&self, partition: Partition, after: Option<u64>) -> Result<op::Changes, StoreError> {
        self.0.changes(partition, after).await
    }
    async fn list(&self, list: op::List) -> Result<op::Listed, StoreError> {
        self.0.list(list).await
    }
    async fn open_runs(&self, partition: Partition) -> Result<Vec<op::OpenRuns>, StoreError> {
        self.0.open_runs(partition).await
    }
    async fn followed(&self, partition: Partition, after: Option<&RunKey>) -> Result<op::FollowedRuns, StoreError> {
        self.0.followed(partition, after).await
    }
    async fn counts(&self, partition: Partition) -> Result<op::Counts, StoreError> {
        self.0.counts(partition).await
    }
    async fn load(&self, partition: Partition, now: TimeMs) -> Result<op::Load, StoreError> {
        self.0.load(partition, now).await
    }
    fn watch(&self) -> broadcast::Receiver<op::Wake> {
        self.0.watch()
    }
}
