//! The operator's own image, which pools without one have, is a new one after an upgrade: pools are rolled to it one at a time, and not
//! before the queue service is of the same version. A pool that names its image is rolled when that changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use kube::core::DynamicObject;

use super::overlay::WORKER;
use super::wanted::child_name;
use crate::crd::resources::WorkerPool;
use crate::operator::context::Context;

/// A pool that is not rolled after so long holds up no other any more.
const TURN_MAX: Duration = Duration::from_mins(10);

/// Whose turn it is, by uid, and since when. It may be lost at any time: then two pools are rolled at once.
#[derive(Debug, Default)]
pub(in crate::operator) struct Turn(Mutex<Option<(String, Instant)>>);

impl Turn {
    fn lock(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the pool's turn: it is when nobody else's is.
    fn take(&self, uid: &str, now: Instant) -> bool {
        let mut turn = self.lock();
        match &*turn {
            Some((holder, _)) if holder == uid => true,
            Some((_, since)) if now.duration_since(*since) < TURN_MAX => false,
            _ => {
                *turn = Some((uid.to_owned(), now));
                true
            }
        }
    }

    /// The pool needs it no more.
    pub(super) fn end(&self, uid: &str) {
        let mut turn = self.lock();
        if turn.as_ref().is_some_and(|(holder, _)| holder == uid) {
            *turn = None;
        }
    }
}

/// The image of the pool's workers, and what it waits for before it gets the operator's own.
pub(super) async fn image(pool: &WorkerPool, context: &Context) -> kube::Result<(String, Option<String>)> {
    let ours = &context.config.image;
    if pool.spec.image.is_some() {
        return Ok((ours.clone(), None));
    }
    let uid = pool.uid().unwrap_or_default();
    let known = context.pools.last(&uid, "Deployment").and_then(|known| image_of(&known));
    if known.as_ref() == Some(ours) {
        return Ok((ours.clone(), None));
    }
    let found = context.beside::<Deployment>(pool).get_opt(&child_name(pool)).await?;
    let found = found.and_then(|found| serde_json::to_value(found).ok()).and_then(|found| serde_json::from_value(found).ok());
    let Some(now) = found.and_then(|found: DynamicObject| image_of(&found)).filter(|now| now != ours) else {
        return Ok((ours.clone(), None));
    };
    let own = env!("CARGO_PKG_VERSION");
    let waits = match context.queue(&context.config.namespace).ready().await {
        Ok(ready) if ready.version == own => None,
        Ok(ready) => Some(format!("the queue service is of version {}, and this operator of {own}", ready.version)),
        Err(error) => Some(format!("the queue service is not ready: {error}")),
    };
    let waits = waits.or_else(|| (!context.turn.take(&uid, Instant::now())).then(|| "another pool is being rolled".to_owned()));
    Ok(if waits.is_some() { (now, waits) } else { (ours.clone(), None) })
}

/// The image of a Deployment's worker.
fn image_of(deployment: &DynamicObject) -> Option<String> {
    let containers = deployment.data.pointer("/spec/template/spec/containers")?.as_array()?;
    let worker = containers.iter().find(|container| container["name"] == WORKER)?;
    worker["image"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_with_its_pool_or_after_ten_minutes() {
        let (turn, start) = (Turn::default(), Instant::now());
        let minute = |minute: u64| start + Duration::from_mins(minute);
        assert!(turn.take("a", minute(0)) && turn.take("a", minute(1)), "whose turn it is keeps it");
        assert!(!turn.take("b", minute(9)));
        assert!(turn.take("b", minute(10)));
        turn.end("a");
        assert!(!turn.take("a", minute(11)), "it is b's now");
        turn.end("b");
        assert!(turn.take("a", minute(11)));
    }
}
