//! How many runs of each workflow are open, by version: asked of the queue service for all workflows at once, and told by objects
//! whose numbers changed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc;

use crate::crd::resources::{OpenVersion, Workflow};
use crate::operator::context::Context;

/// Between two looks: an object is written at most so often for its numbers.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// By namespace and name; those with open runs only. Absent before the first look.
type Numbers = HashMap<(String, String), Vec<OpenVersion>>;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::operator) struct OpenRuns(Mutex<Option<Numbers>>);

impl OpenRuns {
    fn lock(&self) -> MutexGuard<'_, Option<Numbers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of one workflow, most first; absent when nothing is known yet.
    pub(super) fn of(&self, namespace: &str, name: &str) -> Option<Vec<OpenVersion>> {
        let numbers = self.lock();
        Some(numbers.as_ref()?.get(&(namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default())
    }

    /// What is so now; the objects among those whose numbers changed by it.
    fn put(&self, next: Numbers, objects: &[(String, String)]) -> Vec<(String, String)> {
        let mut numbers = self.lock();
        let changed = |of: &&(String, String)| numbers.as_ref().is_none_or(|before| before.get(*of) != next.get(*of));
        let changed = objects.iter().filter(changed).cloned().collect();
        *numbers = Some(next);
        changed
    }
}

/// Looks again and again, as long as it is polled, and sends the objects that are to be passed over.
pub(super) async fn read(context: &Context, objects: &Store<Workflow>, triggers: mpsc::Sender<ObjectRef<Workflow>>) {
    let queue = context.queue(&context.config.namespace);
    loop {
        match queue.open_runs().await {
            Ok(versions) => {
                let mut next = Numbers::new();
                for open in versions {
                    let version =
                        OpenVersion { version: open.version.to_string(), open_runs: i64::try_from(open.runs).unwrap_or(i64::MAX) };
                    next.entry((open.namespace.to_string(), open.workflow.to_string())).or_default().push(version);
                }
                next.values_mut().for_each(|versions| versions.sort_by(|a, b| (b.open_runs, &a.version).cmp(&(a.open_runs, &b.version))));
                let there: Vec<_> =
                    objects.state().iter().map(|object| (object.namespace().unwrap_or_default(), object.name_any())).collect();
                for (namespace, name) in context.open.put(next, &there) {
                    if triggers.send(ObjectRef::new(&name).within(&namespace)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "open runs cannot be counted; trying again"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_passed_over_when_their_numbers_change() {
        let of = |name: &str| ("shop".to_owned(), name.to_owned());
        let numbers = |runs: i64| Numbers::from([(of("a"), vec![OpenVersion { version: "v".into(), open_runs: runs }])]);
        let (open, objects) = (OpenRuns::default(), [of("a"), of("b")]);
        assert_eq!(open.of("shop", "a"), None, "nothing is known");
        assert_eq!(open.put(numbers(2), &objects), objects, "then everything");
        assert_eq!(open.put(numbers(2), &objects), []);
        assert_eq!(open.put(numbers(3), &objects), [of("a")]);
        assert_eq!((open.of("shop", "b"), open.of("shop", "a").map(|all| all[0].open_runs)), (Some(Vec::new()), Some(3)));
        assert_eq!(open.put(Numbers::new(), &objects), [of("a")], "the last one has ended");
    }
}
