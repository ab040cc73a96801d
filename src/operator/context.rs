//! What all controllers share.

use std::sync::Arc;

use kube::core::NamespaceResourceScope;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::Notify;

use super::Config;
use super::metrics::Metrics;
use super::{pool, run, workflow};
use crate::api::{Code, Name, Problem};
use crate::client::ClientError;

/// An event's note has at most 1 kB.
const NOTE_CHARACTERS_MAX: usize = 250;

/// What a pass over an object can fail with. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server.
    #[error("the API server: {0}")]
    Cluster(#[from] kube::Error),
    /// What was observed is older than what another operator has made of it.
    #[error("the object that was observed is not the newest")]
    Outdated,
    /// The process that reads a source.
    #[error("failed to have the source read: {0}")]
    Reading(#[from] std::io::Error),
    /// The queue service, which is away or refused what it should not.
    #[error(transparent)]
    Queue(#[from] ClientError),
}

impl Error {
    /// What was observed is no longer so: whoever changed it has brought the object here again.
    pub(super) fn is_conflict(&self) -> bool {
        match self {
            Self::Outdated => true,
            Self::Cluster(kube::Error::Api(status)) => status.code == 409,
            _ => false,
        }
    }
}

/// A refusal that stays one however often it is asked; absent when the service, or its store, is only away or busy.
pub(super) fn refusal(error: &ClientError) -> Option<&Problem> {
    match error {
        ClientError::Refused(problem) if problem.code.status() < 500 && problem.code != Code::Overloaded => Some(problem),
        _ => None,
    }
}

/// A refusal in words for a condition: what, and what to do.
pub(super) fn in_words(problem: &Problem) -> String {
    if problem.next.is_empty() { problem.to_string() } else { format!("{problem}; {}", problem.next) }
}

/// The store is another one, or another operator leads: nothing is for us to say, and this operator is about to stop.
pub(super) fn is_over(error: &ClientError) -> bool {
    matches!(error.code(), Some(Code::StoreChanged | Code::OldTerm))
}

/// See the module.
pub(super) struct Context {
    pub(super) cluster: Client,
    queue: crate::client::Client,
    pub(super) config: Config,
    /// The only namespace that is looked at; none: all.
    place: Option<Name>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) pools: pool::Memory,
    /// Which pool is being rolled to another image of ours.
    pub(super) turn: pool::Turn,
    /// What the pools that follow their work want.
    pub(super) auto: pool::Auto,
    /// Which pods of pools are to go.
    pub(super) scale_in: pool::ScaleIn,
    /// Which runs are followed.
    pub(super) following: run::Following,
    /// How many runs are open.
    pub(super) open: workflow::OpenRuns,
    /// Told when a Workflow, or a WorkflowRun, may be gone.
    pub(super) workflow_gone: Notify,
    pub(super) run_gone: Notify,
    events: Recorder,
}

impl Context {
    pub(super) fn new(cluster: Client, queue: crate::client::Client, config: Config, place: Option<Name>, metrics: Arc<Metrics>) -> Self {
        let events = recorder(&cluster, &config);
        let auto = pool::Auto::new(metrics.clone());
        Self {
            cluster,
            queue,
            config,
            place,
            metrics,
            pools: pool::Memory::default(),
            turn: pool::Turn::default(),
            auto,
            scale_in: pool::ScaleIn::default(),
            following: run::Following::default(),
            open: workflow::OpenRuns::default(),
            workflow_gone: Notify::new(),
            run_gone: Notify::new(),
            events,
        }
    }

    /// The queue service, for a namespace.
    pub(super) fn queue(&self, namespace: &Name) -> crate::client::Client {
        self.queue.in_namespace(namespace.clone())
    }

    /// Whether the objects of a namespace are looked at.
    pub(super) fn is_looked_at(&self, namespace: &Name) -> bool {
        self.place.as_ref().is_none_or(|place| place == namespace)
    }

    /// Whether only one namespace is looked at.
    pub(super) fn is_limited(&self) -> bool {
        self.place.is_some()
    }

    /// All objects of a kind that are looked at.
    pub(super) fn all<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &self.place {
            Some(namespace) => self.within(namespace.as_str()),
            None => Api::all(self.cluster.clone()),
        }
    }

    /// The objects of a kind in one namespace.
    pub(super) fn within<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.clone(), namespace)
    }

    /// Those of the namespace in which an object is.
    pub(super) fn beside<K>(&self, object: &impl ResourceExt) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.within(&object.namespace().unwrap_or_default())
    }

    /// Tells a change of state to people.
    pub(super) async fn event<K: Resource<DynamicType = ()>>(&self, object: &K, type_: EventType, reason: &str, note: &str) {
        let note = Some(note.chars().take(NOTE_CHARACTERS_MAX).collect());
        let event = Event { type_, reason: reason.to_owned(), note, action: "Reconcile".to_owned(), secondary: None };
        publish(&self.events, &event, object).await;
    }
}

/// Under whose name events are told.
pub(super) fn recorder(cluster: &Client, config: &Config) -> Recorder {
    let reporter = Reporter { controller: "everloop-operator".to_owned(), instance: Some(config.name.clone()) };
    Recorder::new(cluster.clone(), reporter)
}

/// Tells an event. One that is lost is no reason for anything.
pub(super) async fn publish<K: Resource<DynamicType = ()>>(events: &Recorder, event: &Event, object: &K) {
    if let Err(error) = events.publish(event, &object.object_ref(&())).await {
        tracing::debug!(%error, reason = event.reason, "an event was not published");
    }
}
