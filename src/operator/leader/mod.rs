//! Which of several operators works: the holder of a Lease.
//!
//! Election saves work; it does not make writes safe, since two can believe to lead (a process that was stopped for a while). So
//! the leader looks at its own clock before each write ([`fence`]), a write that rests on what was observed carries its
//! resourceVersion, and the queue service refuses the calls of an earlier leader.

mod fence;
mod record;
#[cfg(test)]
mod tests;

pub use record::Times;

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::client::ClientBuilder;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::published::Published;
use crate::api::Name;
use fence::{Deadline, Fence};
use record::{Next, Seen, next, released};

/// The Lease's name, in the namespace of the installation.
pub(super) const LEASE: &str = "everloop-operator";

/// One of those who may lead.
pub(super) struct Candidate {
    config: kube::Config,
    leases: Api<Lease>,
    name: String,
    times: Times,
    metrics: Arc<Metrics>,
    published: Arc<Published>,
    seen: Option<Seen>,
}

impl Candidate {
    /// `name` must be another one for each process.
    pub(super) fn new(
        config: kube::Config,
        namespace: &Name,
        name: String,
        times: Times,
        metrics: Arc<Metrics>,
        published: Arc<Published>,
    ) -> kube::Result<Self> {
        let leases = Api::namespaced(Client::try_from(config.clone())?, namespace.as_str());
        Ok(Self { config, leases, name, times, metrics, published, seen: None })
    }

    /// Leads again and again until `shutdown`: whenever this one becomes the leader, `work` runs with a client of its own, and ends by
    /// itself at the shutdown. When the lead is lost, `work` is dropped where it stands, and what it may have left behind writes
    /// nothing any more.
    pub(super) async fn lead<W: Future<Output = ()>>(
        mut self,
        shutdown: CancellationToken,
        work: impl Fn(Client) -> W,
    ) -> kube::Result<()> {
        while let Some(deadline) = self.elected(&shutdown).await {
            tracing::info!(name = self.name, "this operator leads");
            self.metrics.leading.set(1);
            let fence = Fence { deadline: deadline.clone(), metrics: self.metrics.clone() };
            let client = ClientBuilder::try_from(self.config.clone())?.with_layer(&fence).build();
            let done = tokio::select! {
                () = work(client) => true,
                () = self.renewed(&deadline) => false,
            };
            deadline.set(Instant::now());
            self.metrics.leading.set(0);
            if done {
                self.release().await;
                return Ok(());
            }
            tracing::warn!(name = self.name, "the lead is lost: this operator stands by");
        }
        Ok(())
    }

    /// Waits until this one leads; until when it may write. Nothing at the shutdown.
    async fn elected(&mut self, shutdown: &CancellationToken) -> Option<Deadline> {
        let mut told = false;
        loop {
            let asked = Instant::now();
            let taken = tokio::select! {
                taken = tokio::time::timeout(self.times.renew_within, self.take()) => taken,
                () = shutdown.cancelled() => return None,
            };
            match taken {
                Ok(Ok(Taken::Ours)) => return Some(Deadline::new(asked + self.times.renew_within)),
                Ok(Err(error)) if !told => {
                    told = true;
                    tracing::warn!(%error, "the Lease {LEASE} cannot be written yet; trying again");
                }
                Ok(_) | Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(self.times.retry) => {}
                () = shutdown.cancelled() => return None,
            }
        }
    }

    /// Gives signs until they are too late.
    async fn renewed(&mut self, deadline: &Deadline) {
        loop {
            tokio::time::sleep(self.times.retry).await;
            let (asked, until) = (Instant::now(), deadline.get());
            if asked >= until {
                return;
            }
            match tokio::time::timeout(until - asked, self.take()).await {
                Ok(Ok(Taken::Ours)) => deadline.set(asked + self.times.renew_within),
                Ok(Ok(Taken::Theirs)) | Err(_) => return,
                Ok(Ok(Taken::Raced)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "no sign of the leader could be written"),
            }
        }
    }

    /// One look, and one write where that is ours to do.
    async fn take(&mut self) -> kube::Result<Taken> {
        let found = self.leases.get_opt(LEASE).await?;
        let now = Instant::now();
        let known = self.seen.is_some();
        self.seen = found.map(|lease| Seen::again(self.seen.take(), lease, now));
        if known && self.seen.as_ref().is_some_and(|seen| seen.at == now && seen.is_held()) {
            // Another sign, so somebody lives; the first sight of a record says nothing of when it was written.
            self.published.led(now + self.times.lease);
        }
        let written = match next(&self.name, LEASE, self.seen.as_ref(), self.times, now, jiff::Timestamp::now()) {
            Next::Wait => return Ok(Taken::Theirs),
            Next::Create(lease) => self.leases.create(&PostParams::default(), &lease).await,
            // With the resourceVersion that was seen.
            Next::Replace(lease) => self.leases.replace(LEASE, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => {
                self.seen = Some(Seen { lease, at: now });
                self.published.led(now + self.times.lease);
                Ok(Taken::Ours)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Taken::Raced),
            Err(error) => Err(error),
        }
    }

    async fn release(&self) {
        let Some(seen) = &self.seen else { return };
        let (how, lease) = (PostParams::default(), released(&seen.lease));
        let write = self.leases.replace(LEASE, &how, &lease);
        match tokio::time::timeout(self.times.retry, write).await {
            Ok(Ok(_)) => tracing::info!(name = self.name, "the lead is given up"),
            Ok(Err(error)) => tracing::warn!(%error, "the lead was not given up: it ends by its time"),
            Err(_) => tracing::warn!("the lead was not given up in time: it ends by its time"),
        }
    }
}

/// What became of a look at the Lease.
enum Taken {
    /// This one leads.
    Ours,
    /// Another one does.
    Theirs,
    /// Somebody wrote the Lease in between: to be looked at again.
    Raced,
}
