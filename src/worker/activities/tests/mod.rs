//! Attempts against a real server, as a worker runs them.

mod http;
mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Alive, Came, Runner, Running, Task};
use crate::api::worker::{ActivityWork, AttemptOutcome};
use crate::api::{Definition, Json, TimeMs};

const UID: &str = "0190f3a0-0000-7000-8000-0123456789ab";

/// A runner, and how often its attempts said that they live.
struct Workshop {
    runner: Runner,
    heartbeats: Arc<AtomicUsize>,
}

impl Workshop {
    fn new(allow_local: bool) -> Self {
        Self { runner: Runner::start(1, allow_local).unwrap(), heartbeats: Arc::default() }
    }

    /// An attempt at an activity that is declared so.
    fn task(activity: Value, argument: Value, within: Duration) -> Task {
        let definition = json!({"source": "export default () => 1", "activities": {"do": activity}});
        let definition: Definition = serde_json::from_value(definition).unwrap();
        let work = ActivityWork {
            run: "shop/order-1".parse().unwrap(),
            uid: UID.parse().unwrap(),
            workflow: "order".parse().unwrap(),
            version: definition.version(),
            command: 7,
            attempt: 3,
            seq: 1,
            scheduled_at: TimeMs(1),
            started_at: TimeMs(1),
            timeout_ms: u64::try_from(within.as_millis()).unwrap(),
            name: Some("do".into()),
            argument: Some(Json::of(&argument)),
        };
        Task { work, definition: Arc::new(definition), until: Instant::now() + within, alive: Alive(Arc::new(|| {})) }
    }

    /// Starts an attempt.
    fn start(&self, activity: Value, argument: Value, within: Duration) -> (Running, oneshot::Receiver<Came>) {
        let (told, came) = oneshot::channel();
        let heartbeats = self.heartbeats.clone();
        let alive = Alive(Arc::new(move || {
            heartbeats.fetch_add(1, Ordering::SeqCst);
        }));
        let task = Task { alive, ..Self::task(activity, argument, within) };
        (self.runner.start_attempt(task, Box::new(move |came| drop(told.send(came)))), came)
    }

    async fn attempt_within(&self, activity: Value, argument: Value, within: Duration) -> Outcome {
        match self.start(activity, argument, within).1.await.unwrap() {
            Came::Outcome(outcome) => outcome.into(),
            Came::HandBack => panic!("handed back"),
        }
    }

    async fn attempt(&self, activity: Value, argument: Value) -> Outcome {
        self.attempt_within(activity, argument, Duration::from_secs(20)).await
    }
}

/// An outcome that is easy to compare.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Value(Value),
    /// Another attempt may mend it: type and message, and the delay that was asked for.
    Passing(String, String, Option<u64>),
    Final(String, String),
}

impl From<AttemptOutcome> for Outcome {
    fn from(outcome: AttemptOutcome) -> Self {
        match outcome {
            AttemptOutcome::Completed { result } => Self::Value(result.to_value()),
            AttemptOutcome::Failed { error, final_: false, retry_after_ms } => Self::Passing(error.kind, error.message, retry_after_ms),
            AttemptOutcome::Failed { error, final_: true, .. } => Self::Final(error.kind, error.message),
        }
    }
}

impl Outcome {
    /// Asserts a final failure of this type whose message has this part.
    #[track_caller]
    fn is_final(&self, kind: &str, part: &str) {
        assert!(matches!(self, Self::Final(is, message) if is == kind && message.contains(part)), "not {kind} with {part:?}: {self:?}");
    }

    /// Asserts a failure of this type that another attempt may mend, whose message has this part.
    #[track_caller]
    fn is_passing(&self, kind: &str, part: &str) {
        assert!(
            matches!(self, Self::Passing(is, message, _) if is == kind && message.contains(part)),
            "not {kind} with {part:?}: {self:?}"
        );
    }
}
