//! Which runs the objects follow, and what the queue service's feed of changes has told of them.
//!
//! Invariant: between two looks at a run an object misses nothing, because the feed is read from a place before the first of them. When
//! the feed does not reach back any more, every object looks again. Beside that each looks once in a long while, should all else fail.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::reflector::{ObjectRef, Store};
use rand::RngExt as _;
use tokio::sync::mpsc;

use crate::api::http::{Change, Changes};
use crate::api::{Code, Name, RunId, RunView};
use crate::crd::resources::WorkflowRun;
use crate::operator::context::Context;

/// An open run is looked at again after so long, less up to a half, whatever the feed says.
pub(super) const LOOK_AGAIN: Duration = Duration::from_mins(10);
/// Of a run that was started before there was a feed, and is not in it.
const LOOK_AGAIN_UNFOLLOWED: Duration = Duration::from_secs(10);
/// Between two requests for changes, so that many come together.
const PAUSE: Duration = Duration::from_millis(100);
/// After a failed one; it doubles up to the second.
const PAUSE_AFTER_FAILURE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

type Key = (String, String);

/// See the module.
#[derive(Debug, Default)]
pub(in crate::operator) struct Following(Mutex<Runs>);

#[derive(Debug, Default)]
struct Runs {
    /// By namespace and id.
    runs: HashMap<Key, Run>,
    /// Rises when every object is to look again: a look that began before does not count.
    round: u64,
}

#[derive(Debug, Default)]
struct Run {
    /// When each object that follows it is to look at it, by name.
    objects: BTreeMap<String, Instant>,
    /// What the feed told last.
    told: Option<Told>,
}

/// What the feed tells of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// How it is.
    View(Arc<RunView>),
    /// It was removed.
    Gone,
}

/// How an object learns of its run.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// From the feed.
    Told(Arc<RunView>),
    /// By a look, in this round.
    Look(u64),
    /// There are none; a look is due after this time.
    None(Duration),
}

impl Following {
    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an object learns now. It follows the run from now on.
    pub(super) fn news(&self, namespace: &Name, id: &RunId, object: &str) -> News {
        let (mut runs, now) = (self.lock(), Instant::now());
        let round = runs.round;
        let run = runs.runs.entry(key(namespace, id)).or_default();
        let look_at = *run.objects.entry(object.to_owned()).or_insert(now);
        if look_at <= now {
            return News::Look(round);
        }
        match &run.told {
            Some(Told::View(view)) => News::Told(view.clone()),
            Some(Told::Gone) => News::Look(round),
            None => News::None(look_at - now),
        }
    }

    /// The round in which a start is asked for. The object follows the run from now on.
    pub(super) fn begin(&self, namespace: &Name, id: &RunId, object: &str) -> u64 {
        let mut runs = self.lock();
        runs.runs.entry(key(namespace, id)).or_default().objects.entry(object.to_owned()).or_insert_with(Instant::now);
        runs.round
    }

    /// An object knows how its run was after the beginning of the round: when it is to look again. What was told stays: it is newer or
    /// says the same.
    pub(super) fn known(&self, namespace: &Name, id: &RunId, object: &str, round: u64, view: &RunView) -> Duration {
        let (mut runs, now) = (self.lock(), Instant::now());
        let after = if view.origin.is_none() {
            LOOK_AGAIN_UNFOLLOWED
        } else if runs.round == round {
            LOOK_AGAIN.mul_f64(rand::rng().random_range(0.5..=1.0))
        } else {
            Duration::ZERO
        };
        runs.runs.entry(key(namespace, id)).or_default().objects.insert(object.to_owned(), now + after);
        after
    }

    /// What an object knows of its run may be wrong: it is to look again, whatever was told.
    pub(super) fn doubt(&self, namespace: &Name, id: &RunId, object: &str) {
        self.lock().runs.entry(key(namespace, id)).or_default().objects.insert(object.to_owned(), Instant::now());
    }

    /// Nothing more is to be learned.
    pub(super) fn end(&self, namespace: &Name, id: &RunId, object: &str) {
        let (mut runs, key) = (self.lock(), key(namespace, id));
        if let Some(run) = runs.runs.get_mut(&key) {
            run.objects.remove(object);
            if run.objects.is_empty() {
                runs.runs.remove(&key);
            }
        }
    }

    /// The feed tells of a run: the objects that follow it.
    fn tell(&self, change: Change) -> Vec<ObjectRef<WorkflowRun>> {
        let mut runs = self.lock();
        let (key, namespace) = (key(&change.namespace, &change.id), change.namespace);
        let Some(run) = runs.runs.get_mut(&key) else { return Vec::new() };
        run.told = Some(change.run.map_or(Told::Gone, |view| Told::View(Arc::new(view))));
        run.objects.keys().map(|name| ObjectRef::new(name).within(namespace.as_str())).collect()
    }

    /// Every object is to look at its run: all of them. Those that are gone are forgotten.
    fn look_at_all(&self, is_there: impl Fn(&ObjectRef<WorkflowRun>) -> bool) -> Vec<ObjectRef<WorkflowRun>> {
        let (mut runs, now, mut all) = (self.lock(), Instant::now(), Vec::new());
        runs.round += 1;
        runs.runs.retain(|(namespace, _), run| {
            run.told = None;
            run.objects.retain(|name, look_at| {
                let object = ObjectRef::new(name).within(namespace);
                let there = is_there(&object);
                if there {
                    *look_at = now;
                    all.push(object);
                }
                there
            });
            !run.objects.is_empty()
        });
        all
    }
}

fn key(namespace: &Name, id: &RunId) -> Key {
    (namespace.to_string(), id.to_string())
}

/// Reads the feed for as long as it is polled, and sends the objects that are to be passed over.
pub(super) async fn read(context: &Context, objects: Store<WorkflowRun>, triggers: mpsc::Sender<ObjectRef<WorkflowRun>>) {
    let queue = context.queue(&context.config.namespace);
    let (mut cursor, mut pause) = (String::new(), PAUSE_AFTER_FAILURE.0);
    loop {
        let fresh = cursor.is_empty();
        let due = match queue.changes(&cursor).await {
            Ok(Changes { cursor: next, changes }) => {
                (cursor, pause) = (next, PAUSE_AFTER_FAILURE.0);
                context.metrics.changes.inc_by(changes.len() as u64);
                if fresh {
                    context.following.look_at_all(|object| objects.get(object).is_some())
                } else {
                    changes.into_iter().flat_map(|change| context.following.tell(change)).collect()
                }
            }
            Err(error) if error.code() == Some(Code::ChangesTooOld) => {
                tracing::info!(%error, "the feed of changes does not reach back: every open run is looked at");
                context.metrics.changes_too_old.inc();
                cursor.clear();
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "the feed of changes cannot be read; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_AFTER_FAILURE.1);
                continue;
            }
        };
        for object in due {
            if triggers.send(object).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(status: &str, origin: Option<&str>) -> RunView {
        serde_json::from_value(serde_json::json!({
            "id": "r", "namespace": "shop", "uid": "0190f3a0-0000-7000-8000-000000000000", "workflow": "w", "version": "0".repeat(64),
            "pool": "default", "status": status, "doing": "waiting", "turns": 1, "timers": 0, "unread": 0, "startedAt": 1, "origin": origin,
        }))
        .unwrap()
    }

    fn change(status: &str) -> Change {
        Change { namespace: "shop".parse().unwrap(), id: "r".parse().unwrap(), run: Some(view(status, Some("kubernetes"))) }
    }

    fn names(objects: &[ObjectRef<WorkflowRun>]) -> Vec<&str> {
        objects.iter().map(|object| object.name.as_str()).collect()
    }

    #[test]
    fn an_object_looks_once_and_then_waits_for_what_is_told() {
        let (following, shop, id) = (Following::default(), "shop".parse().unwrap(), "r".parse().unwrap());
        assert_eq!(following.news(&shop, &id, "a"), News::Look(0));
        assert_eq!(following.news(&shop, &id, "a"), News::Look(0), "until it has looked");
        let after = following.known(&shop, &id, "a", 0, &view("Running", Some("kubernetes")));
        assert!((LOOK_AGAIN / 2..=LOOK_AGAIN).contains(&after), "{after:?}");
        assert!(matches!(following.news(&shop, &id, "a"), News::None(_)));
        following.doubt(&shop, &id, "a");
        assert_eq!(following.news(&shop, &id, "a"), News::Look(0), "what it knows may be wrong");
        following.known(&shop, &id, "a", 0, &view("Running", Some("kubernetes")));
        assert_eq!(following.begin(&shop, &id, "b"), 0);
        assert_eq!(names(&following.tell(change("Paused"))), ["a", "b"]);
        assert!(matches!(following.news(&shop, &id, "a"), News::Told(told) if told.status.as_str() == "Paused"));
        assert_eq!(following.news(&shop, &id, "b"), News::Look(0), "it knows nothing of the past yet");
        following.end(&shop, &id, "a");
        assert_eq!(names(&following.tell(change("Completed"))), ["b"]);
        following.end(&shop, &id, "b");
        assert!(following.tell(change("Completed")).is_empty());
        assert!(following.lock().runs.is_empty(), "what nobody follows takes no room");
    }

    #[test]
    fn when_the_feed_begins_anew_a_look_that_is_under_way_does_not_count() {
        let (following, shop, id) = (Following::default(), "shop".parse().unwrap(), "r".parse().unwrap());
        let News::Look(round) = following.news(&shop, &id, "a") else { panic!() };
        following.begin(&shop, &id, "gone");
        assert_eq!(names(&following.look_at_all(|object| object.name == "a")), ["a"]);
        assert_eq!(following.known(&shop, &id, "a", round, &view("Running", Some("kubernetes"))), Duration::ZERO);
        assert_eq!(following.news(&shop, &id, "a"), News::Look(1));
        assert!(following.known(&shop, &id, "a", 1, &view("Running", Some("kubernetes"))) > Duration::ZERO);
        assert_eq!(names(&following.tell(change("Paused"))), ["a"], "what was gone is forgotten");
    }

    #[test]
    fn a_run_that_is_not_in_the_feed_is_looked_at_now_and_then() {
        let (following, shop, id) = (Following::default(), "shop".parse().unwrap(), "r".parse().unwrap());
        assert_eq!(following.known(&shop, &id, "a", 0, &view("Running", None)), LOOK_AGAIN_UNFOLLOWED);
    }
}
