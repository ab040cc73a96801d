//! The store that this operator works for.
//!
//! A store has an id. The first one that is met is recorded in a ConfigMap, and every call to the queue service names it, so a service
//! that has another store (emptied, restored from elsewhere, a wrong address) refuses them all: nothing that the objects ask for is done
//! to it, and in particular no run is started a second time. When that is seen the controllers stop, and it is said what accepts the
//! new store. A call also carries a term, so that one of an earlier leader is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::events::{Event, EventType};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::context::{publish, recorder};
use super::metrics::Metrics;
use crate::api::{Code, Problem};
use crate::client::{Client, ClientError};

/// The ConfigMap's name, in the namespace of the installation, and its one key.
const RECORD: &str = "everloop-store";
const STORE_ID: &str = "storeId";
/// Between two looks at a store that is not accepted, and at one that works.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOK_AT_WORK: Duration = Duration::from_secs(5);

/// Does `work` with a client of the accepted store until it ends, as long as the store is that one; then waits until a person has decided,
/// and begins again.
pub(super) async fn guarded<W: Future<Output = ()>>(
    cluster: kube::Client,
    queue: Client,
    config: &Config,
    metrics: &Metrics,
    shutdown: CancellationToken,
    work: impl Fn(Client) -> W,
) {
    let guard = Guard { maps: Api::namespaced(cluster.clone(), config.namespace.as_str()), cluster, queue, config, metrics };
    loop {
        let accepted = tokio::select! {
            accepted = guard.accepted() => accepted,
            () = shutdown.cancelled() => return,
        };
        tokio::select! {
            // Boxed: the controllers are large.
            () = Box::pin(work(accepted.leading())) => return,
            () = changed(&accepted) => tracing::error!("the queue service has another store: the controllers stop"),
        }
    }
}

/// Ends when the store is another one.
async fn changed(accepted: &Client) {
    while refusal(accepted).await.is_none() {
        tokio::time::sleep(LOOK_AT_WORK).await;
    }
}

/// Why the service does not take calls for this store, when it has another one.
async fn refusal(accepted: &Client) -> Option<Box<Problem>> {
    match accepted.ready().await {
        Err(ClientError::Refused(problem)) if problem.code == Code::StoreChanged => Some(problem),
        _ => None,
    }
}

struct Guard<'a> {
    maps: Api<ConfigMap>,
    cluster: kube::Client,
    queue: Client,
    config: &'a Config,
    metrics: &'a Metrics,
}

impl Guard<'_> {
    /// Waits until a store is recorded and is the one that the queue service has, or may have: while it is away nothing is known against it.
    async fn accepted(&self) -> Client {
        let mut told = false;
        loop {
            match self.look().await {
                Ok(Look::Accepted(client)) => {
                    self.metrics.store_changed.set(0);
                    return client;
                }
                Ok(Look::Changed(map, problem)) if !told => {
                    told = true;
                    self.metrics.store_changed.set(1);
                    self.tell(&map, &problem).await;
                }
                Ok(Look::Changed(..) | Look::Unknown) => {}
                Err(error) => tracing::warn!(%error, "the ConfigMap {RECORD}, which names the store, cannot be read or made; trying again"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn look(&self) -> kube::Result<Look> {
        if let Some(map) = self.maps.get_opt(RECORD).await? {
            let recorded = map.data.as_ref().and_then(|data| data.get(STORE_ID)).map_or("", String::as_str);
            let client = self.queue.with_store(recorded);
            return Ok(match refusal(&client).await {
                None => Look::Accepted(client),
                Some(problem) => Look::Changed(Box::new(map), problem),
            });
        }
        let Ok(ready) = self.queue.ready().await else { return Ok(Look::Unknown) };
        let mut map = ConfigMap { data: Some(BTreeMap::from([(STORE_ID.to_owned(), ready.store_id.clone())])), ..ConfigMap::default() };
        map.metadata.name = Some(RECORD.to_owned());
        self.maps.create(&PostParams::default(), &map).await?;
        tracing::info!(store = ready.store_id, "this operator works for this store from now on");
        Ok(Look::Accepted(self.queue.with_store(&ready.store_id)))
    }

    async fn tell(&self, map: &ConfigMap, problem: &Problem) {
        let accept = format!("kubectl -n {} delete configmap {RECORD}", self.config.namespace);
        let note =
            format!("{}; nothing is done until the store is the recorded one again, or `{accept}` accepts the new one", problem.detail);
        tracing::error!(accept, "StoreChanged: {note}");
        let reason = Code::StoreChanged.as_str().to_owned();
        let event = Event { type_: EventType::Warning, reason, note: Some(note), action: "Stop".to_owned(), secondary: None };
        publish(&recorder(&self.cluster, self.config), &event, map).await;
    }
}

enum Look {
    /// A client whose every call is for the recorded store.
    Accepted(Client),
    /// The service has another one than the one of the record.
    Changed(Box<ConfigMap>, Box<Problem>),
    /// None is recorded, and the service is away.
    Unknown,
}
