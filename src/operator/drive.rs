//! How a controller runs: so many passes at once, pauses after failures, and what is counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _, stream};
use kube::runtime::Controller;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use rand::RngExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::context::{Context, Error};
use super::metrics::ControllerLabels;

/// Objects of one kind that are worked on at once.
const CONCURRENCY: usize = 16;
/// Passes that are begun at once, of which most wait for a place: the others are names in a queue, which take little room.
const BEGUN_MAX: u16 = 128;
/// First pause after a failure; it doubles up to [`PAUSE_MAX`], and a random part of up to a half is left out.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// With so many failing objects it is looked which of them are gone.
const FAILING_BEFORE_A_LOOK: usize = 256;

/// Objects that are to be passed over for another reason than a change of theirs, and wait for it.
const TRIGGERS_MAX: usize = 1_024;

/// Where to name such objects, and where a controller takes them.
pub(super) fn triggers<K>() -> (mpsc::Sender<ObjectRef<K>>, impl Stream<Item = ObjectRef<K>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    let (triggers, triggered) = mpsc::channel(TRIGGERS_MAX);
    (triggers, stream::unfold(triggered, |mut triggered| async { triggered.recv().await.map(|object| (object, triggered)) }))
}

/// What a controller knows beside its objects.
struct Driver<K: Resource<DynamicType = ()> + 'static> {
    name: &'static str,
    context: Arc<Context>,
    objects: Store<K>,
    places: Semaphore,
    /// Failures in a row, by uid.
    failures: Mutex<HashMap<String, u32>>,
}

/// Runs a controller until `shutdown`.
pub(super) async fn drive<K, F>(
    name: &'static str,
    controller: Controller<K>,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
    context: Arc<Context>,
    shutdown: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let (objects, places) = (controller.store(), Semaphore::new(CONCURRENCY));
    let driver = Arc::new(Driver { name, context, objects, places, failures: Mutex::default() });
    controller
        .with_config(controller::Config::default().concurrency(BEGUN_MAX))
        .graceful_shutdown_on(shutdown.cancelled_owned())
        .run(
            move |object, driver: Arc<Driver<K>>| driver.pass(object, reconcile),
            |object, error, driver| driver.failed(&object, error),
            driver,
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

impl<K> Driver<K>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    /// One pass over an object, as it is when there is a place for it.
    async fn pass<F>(self: Arc<Self>, object: Arc<K>, reconcile: fn(Arc<K>, Arc<Context>) -> F) -> Result<Action, Error>
    where
        F: Future<Output = Result<Action, Error>> + Send + 'static,
    {
        let (metrics, labels) = (&self.context.metrics, ControllerLabels { controller: self.name });
        let waiting = metrics.waiting.get_or_create_owned(&labels);
        waiting.inc();
        let place = self.places.acquire().await;
        waiting.dec();
        let Some(object) = self.objects.get(&ObjectRef::from_obj(&*object)) else { return Ok(Action::await_change()) };
        let began = Instant::now();
        let done = reconcile(object.clone(), self.context.clone()).await;
        drop(place);
        let outcome = match &done {
            Ok(_) => "ok",
            Err(error) if error.is_conflict() => "conflict",
            Err(_) => "error",
        };
        metrics.passed(self.name, outcome, began.elapsed());
        if done.is_ok() {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let known = failures.remove(&object.uid().unwrap_or_default()).map_or(0, |_| 1);
            metrics.failing.get_or_create(&labels).dec_by(known);
        }
        done
    }

    /// A pass failed: when to try again.
    fn failed(&self, object: &K, error: &Error) -> Action {
        if error.is_conflict() {
            return Action::requeue(Duration::from_millis(rand::rng().random_range(20..200)));
        }
        let failing = self.context.metrics.failing.get_or_create_owned(&ControllerLabels { controller: self.name });
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= FAILING_BEFORE_A_LOOK {
            let alive: Vec<String> = self.objects.state().iter().filter_map(|object| object.uid()).collect();
            let before = failures.len();
            failures.retain(|uid, _| alive.contains(uid));
            failing.dec_by(i64::try_from(before - failures.len()).unwrap_or(0));
        }
        let count = failures.entry(object.uid().unwrap_or_default()).or_default();
        *count += 1;
        let (pause, failures_in_a_row) = (pause_after(*count), *count);
        if failures_in_a_row == 1 {
            failing.inc();
        }
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        tracing::warn!(kind = self.name, namespace, name, failures_in_a_row, %error, "a pass failed");
        Action::requeue(pause.mul_f64(rand::rng().random_range(0.5..=1.0)))
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Drop for Driver<K> {
    /// What is not worked on any more does not fail any more.
    fn drop(&mut self) {
        let failures = self.failures.get_mut().unwrap_or_else(PoisonError::into_inner).len();
        self.context
            .metrics
            .failing
            .get_or_create(&ControllerLabels { controller: self.name })
            .dec_by(i64::try_from(failures).unwrap_or(0));
    }
}

/// The whole pause after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound() {
        let millis: Vec<_> = (1..=8).map(|failures| pause_after(failures).as_millis()).collect();
        assert_eq!(millis, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
    }
}
