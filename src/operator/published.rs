//! How many pods a pool's work wants, for a program that scales the pool itself: `GET /v1/scaling/{namespace}/{pool}` of any operator of the
//! installation.
//!
//! It stands in the pool's status, where the leading operator writes it, so whichever operator is asked answers the same. Invariant: a number
//! that is not known is never told, least of all as a zero. Without a signal of the queue service, with an old one, and when no operator is
//! seen to lead, the answer is 503: KEDA and the HPA leave the number of pods as it is when a metric fails.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use kube::{Api, Client};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::Config;
use crate::crd::resources::{Mode, Reason, WorkerPool};

/// Questions that are asked of the API server at once; KEDA asks for each pool every few seconds.
const ASKED_MAX: usize = 16;
/// KEDA gives up after three seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Default)]
pub struct Published {
    cluster: OnceLock<(Client, Config)>,
    led_until: Mutex<Option<Instant>>,
    asked: Asked,
}

struct Asked(Semaphore);

impl Default for Asked {
    fn default() -> Self {
        Self(Semaphore::new(ASKED_MAX))
    }
}

/// The answer, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WantedPods {
    /// Pods that the work wants, within `min` and `max`.
    pub wanted: i32,
    /// Pods that there are.
    pub current: i32,
    /// Those of them that are ready.
    pub ready: i32,
    /// Why it is this number.
    pub reason: String,
}

/// Why there is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpublished {
    /// 404.
    #[error("there is no WorkerPool {0}, or this installation does not look at its namespace")]
    NoPool(String),
    /// 409.
    #[error("the pool has `mode: Fixed`: `spec.replicas` is its number; set `spec.scaling.mode: External` to have the wanted one told")]
    Fixed,
    /// 503.
    #[error("{0}; leave the number of pods as it is")]
    Unknown(String),
}

impl Unpublished {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NoPool(_) => 404,
            Self::Fixed => 409,
            Self::Unknown(_) => 503,
        }
    }
}

impl Published {
    /// What is asked from now on.
    pub(super) fn begin(&self, cluster: Client, config: Config) {
        let _ = self.cluster.set((cluster, config));
    }

    /// Some operator leads, and is to be believed until then.
    pub(super) fn led(&self, until: Instant) {
        let mut led_until = self.led_until.lock().unwrap_or_else(PoisonError::into_inner);
        *led_until = (*led_until).max(Some(until));
    }

    fn is_led(&self, now: Instant) -> bool {
        self.led_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    /// What a pool wants.
    ///
    /// # Errors
    /// See [`Unpublished`].
    pub async fn wanted(&self, namespace: &str, pool: &str) -> Result<WantedPods, Unpublished> {
        let unknown = |why: &str| Unpublished::Unknown(why.to_owned());
        let none = || Unpublished::NoPool(format!("{namespace}/{pool}"));
        let (cluster, config) = self.cluster.get().ok_or_else(|| unknown("this operator has just begun"))?;
        if !config.looks_at(namespace) {
            return Err(none());
        }
        if !self.is_led(Instant::now()) {
            return Err(unknown("no operator is seen to lead, so nobody keeps the number"));
        }
        let _place = self.asked.0.try_acquire().map_err(|_| unknown("too many ask at once"))?;
        let pools = Api::<WorkerPool>::namespaced(cluster.clone(), namespace);
        match tokio::time::timeout(ANSWER_WITHIN, pools.get_opt(pool)).await {
            Ok(Ok(Some(pool))) => of(&pool),
            Ok(Ok(None)) => Err(none()),
            Ok(Err(error)) => Err(unknown(&format!("the API server does not say: {error}"))),
            Err(_) => Err(unknown("the API server does not answer in time")),
        }
    }
}

/// What the status of a pool says.
fn of(pool: &WorkerPool) -> Result<WantedPods, Unpublished> {
    if pool.spec.scaling.mode == Mode::Fixed {
        return Err(Unpublished::Fixed);
    }
    let unknown = |why: String| Err(Unpublished::Unknown(why));
    let Some(status) = pool.status.as_ref() else { return unknown("no operator has looked at the pool yet".to_owned()) };
    let held = [Reason::SignalUnknown, Reason::SignalOld].map(|reason| reason.to_string());
    match status.conditions.get("Scaling") {
        Some(scaling) if held.contains(&scaling.reason) => return unknown(scaling.message.clone()),
        Some(scaling) if scaling.reason != Reason::NotAuto.as_str() => {}
        _ => return unknown("nothing has been decided for the pool yet".to_owned()),
    }
    let Some(wanted) = status.wanted_replicas else { return unknown("nothing has been decided for the pool yet".to_owned()) };
    let reason = status.scaling_reason.clone().unwrap_or_default();
    Ok(WantedPods { wanted, current: status.replicas, ready: status.ready_replicas, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pool(mode: &str, status: &serde_json::Value) -> WorkerPool {
        let object = json!({
            "apiVersion": "everloop.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": "p", "namespace": "n"},
            "spec": {"scaling": {"mode": mode}}, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn decided(reason: &str) -> serde_json::Value {
        let scaling =
            json!({"type": "Scaling", "status": "True", "reason": reason, "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        json!({"conditions": [scaling], "wantedReplicas": 7, "replicas": 5, "readyReplicas": 4, "scalingReason": "backlog 240 needs 7"})
    }

    #[test]
    fn what_is_decided_is_told() {
        let told = of(&pool("External", &decided("NumberPublished"))).unwrap();
        let text = r#"{"wanted":7,"current":5,"ready":4,"reason":"backlog 240 needs 7"}"#;
        assert_eq!(serde_json::to_string(&told).unwrap(), text, "the published form is stable");
        assert_eq!(of(&pool("Auto", &decided("AtMax"))).unwrap().wanted, 7);
    }

    #[test]
    fn what_is_not_known_is_no_number() {
        let never = json!({"replicas": 3});
        let unwanted = {
            let mut status = decided("NumberPublished");
            status.as_object_mut().unwrap().remove("wantedReplicas");
            status
        };
        let table = [
            ("External", decided("SignalUnknown"), 503),
            ("External", decided("SignalOld"), 503),
            // The mode was changed a moment ago.
            ("External", decided("NotAuto"), 503),
            ("External", unwanted, 503),
            ("External", never, 503),
            ("External", json!(null), 503),
            ("Fixed", decided("NotAuto"), 409),
        ];
        for (mode, status, expected) in table {
            assert_eq!(of(&pool(mode, &status)).map_err(|why| why.status()), Err(expected), "{mode} {status}");
        }
    }

    #[test]
    fn a_lead_is_believed_until_its_end_and_no_earlier_sign_shortens_that() {
        let (published, now) = (Published::default(), Instant::now());
        assert!(!published.is_led(now));
        published.led(now + Duration::from_secs(9));
        published.led(now + Duration::from_secs(1));
        assert!(published.is_led(now + Duration::from_secs(8)) && !published.is_led(now + Duration::from_secs(9)));
    }
}
