//! What all controllers share, and how long an object that failed is left alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::core::NamespaceResourceScope;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt as _};
use rand::RngExt as _;

use super::Config;
use crate::api::Name;
use crate::client::ClientError;

/// First pause after a failure; it doubles up to [`PAUSE_MAX`], and a random part of up to a half is left out.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// An event's note has at most 1 kB.
const NOTE_CHARACTERS_MAX: usize = 250;

/// What a pass over an object can fail with. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server.
    #[error("the API server: {0}")]
    Cluster(#[from] kube::Error),
    /// The queue service, which is away or refused what it should not.
    #[error(transparent)]
    Queue(#[from] ClientError),
}

impl Error {
    /// What was observed is no longer so: whoever changed it has brought the object here again.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Cluster(kube::Error::Api(status)) if status.code == 409)
    }
}

/// See the module.
pub(super) struct Context {
    pub(super) cluster: Client,
    queue: crate::client::Client,
    pub(super) config: Config,
    events: Recorder,
    failures: Mutex<HashMap<String, u32>>,
}

impl Context {
    pub(super) fn new(cluster: Client, queue: crate::client::Client, config: Config) -> Self {
        let events = Recorder::new(cluster.clone(), Reporter { controller: "everloop-operator".to_owned(), instance: None });
        Self { cluster, queue, config, events, failures: Mutex::default() }
    }

    /// The queue service, for a namespace.
    pub(super) fn queue(&self, namespace: &Name) -> crate::client::Client {
        self.queue.in_namespace(namespace.clone())
    }

    /// All objects of a kind that are looked at.
    pub(super) fn all<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &self.config.watch {
            Some(namespace) => Api::namespaced(self.cluster.clone(), namespace.as_str()),
            None => Api::all(self.cluster.clone()),
        }
    }

    /// Tells a change of state to people. An event that is lost is no reason for anything.
    pub(super) async fn event<K: Resource<DynamicType = ()>>(&self, object: &K, type_: EventType, reason: &str, note: &str) {
        let note = Some(note.chars().take(NOTE_CHARACTERS_MAX).collect());
        let event = Event { type_, reason: reason.to_owned(), note, action: "Reconcile".to_owned(), secondary: None };
        if let Err(error) = self.events.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, reason, "an event was not published");
        }
    }

    /// A pass went well.
    pub(super) fn well<K: Resource>(&self, object: &K) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(object));
    }

    /// A pass failed: when to try again.
    pub(super) fn failed<K: Resource<DynamicType = ()>>(&self, object: &K, error: &Error) -> Action {
        if error.is_conflict() {
            return Action::requeue(Duration::from_millis(rand::rng().random_range(20..200)));
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key(object)).or_default();
        *count += 1;
        let pause = PAUSE_FIRST.saturating_mul(1 << (*count - 1).min(16)).min(PAUSE_MAX);
        tracing::warn!(kind = %K::kind(&()), object = key(object), failures = *count, %error, "a pass failed");
        Action::requeue(pause.mul_f64(rand::rng().random_range(0.5..=1.0)))
    }
}

fn key<K: Resource>(object: &K) -> String {
    format!("{}/{} {}", object.namespace().unwrap_or_default(), object.name_any(), object.uid().unwrap_or_default())
}
