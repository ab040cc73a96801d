//! What is said of a pool.

use k8s_openapi::api::apps::v1::DeploymentStatus;

use super::pods::Trouble;
use super::wanted::selector;
use crate::crd::resources::{Reason, Standing, WorkerPool, WorkerPoolStatus};
use crate::operator::context::Error;

/// How a pool's Deployment is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fleet {
    pub(super) generation: i64,
    pub(super) state: DeploymentStatus,
    pub(super) trouble: Option<Trouble>,
}

impl Fleet {
    /// Whether all pods are there, of the newest template, and ready.
    pub(super) fn is_complete(&self, wanted: i32) -> bool {
        let state = &self.state;
        let seen = state.observed_generation.unwrap_or(0) >= self.generation;
        let numbers = [state.replicas, state.ready_replicas, state.updated_replicas];
        seen && numbers.iter().all(|number| number.unwrap_or(0) == wanted)
    }
}

fn said(pool: &WorkerPool, standing: Standing, reason: &Reason, message: &str, now: &str) -> WorkerPoolStatus {
    let generation = pool.metadata.generation.unwrap_or(0);
    let mut next = WorkerPoolStatus { observed_generation: generation, ..pool.status.clone().unwrap_or_default() };
    next.conditions.stand(standing, reason, message, generation, now);
    let labels = selector(pool);
    let pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    next.selector = pairs.join(",");
    next
}

/// The pool itself is wrong.
pub(super) fn invalid(pool: &WorkerPool, what: &str, now: &str) -> WorkerPoolStatus {
    said(pool, Standing::STALLED, &Reason::InvalidSpec, &format!("{what}; the pods stay as they are"), now)
}

/// Somebody else has an object of our name.
pub(super) fn name_taken(pool: &WorkerPool, kind: &str, name: &str, now: &str) -> WorkerPoolStatus {
    let message =
        format!("there is a {kind} {name} that does not belong to this pool: it is not touched; rename the pool or remove the {kind}");
    said(pool, Standing::STALLED, &Reason::NameTaken, &message, now)
}

/// Somebody changes a field back whenever we have put it back.
pub(super) fn contested(pool: &WorkerPool, kind: &str, field: &str, manager: Option<&str>, now: &str) -> WorkerPoolStatus {
    let manager = manager.unwrap_or("somebody");
    let message = format!(
        "`{field}` of the {kind} was put back three times in ten minutes, and {manager:?} changes it again: stop that, or change the WorkerPool; it is put back again later"
    );
    said(pool, Standing::STALLED, &Reason::FieldConflict, &message, now)
}

/// What is said when the API server does not take what the pool asks for, however often it is sent; absent when that may pass by itself.
pub(super) fn refused(pool: &WorkerPool, error: &Error, now: &str) -> Option<WorkerPoolStatus> {
    let Error::Cluster(kube::Error::Api(answer)) = error else { return None };
    match answer.code {
        403 => Some(forbidden(pool, &answer.message, now)),
        400 | 422 => Some(not_taken(pool, &answer.message, now)),
        // A field that the schema does not have is the API server's own fault to it.
        500 if NOT_TYPED.iter().any(|words| answer.message.starts_with(words)) => Some(not_taken(pool, &answer.message, now)),
        _ => None,
    }
}

/// How the API server begins to say that what was applied does not fit its schema, or its types.
const NOT_TYPED: [&str; 2] = ["failed to create typed patch object", "failed to convert new object"];

fn not_taken(pool: &WorkerPool, error: &str, now: &str) -> WorkerPoolStatus {
    let what = format!(
        "the API server does not take what this pool asks for: {error}; correct that field where it comes from, `spec.template`, `spec.resources` or `spec.nodeSelector`"
    );
    invalid(pool, &what, now)
}

/// The API server does not let us.
fn forbidden(pool: &WorkerPool, error: &str, now: &str) -> WorkerPoolStatus {
    let message = format!(
        "the API server does not let the operator make what this pool needs: {error}; give its ServiceAccount the rights, or use a namespace that it may work in"
    );
    said(pool, Standing::STALLED, &Reason::Forbidden, &message, now)
}

/// What the Deployment and its pods say of the pool.
pub(super) fn status(pool: &WorkerPool, fleet: &Fleet, now: &str) -> WorkerPoolStatus {
    let state = &fleet.state;
    let (wanted, ready, all) = (pool.spec.replicas, state.ready_replicas.unwrap_or(0), state.replicas.unwrap_or(0));
    let condition = |kind: &str| state.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let late = condition("Progressing").filter(|condition| condition.status == "False");
    let failing = condition("ReplicaFailure").filter(|condition| condition.status == "True");
    let so_many = format!("{ready} of {wanted} pods are ready");
    let mut next = if let Some(failing) = failing {
        let message = format!("no pod can be made: {}", failing.message.as_deref().unwrap_or("the Deployment does not say why"));
        said(pool, Standing::STALLED, &Reason::PodsRefused, &message, now)
    } else if fleet.is_complete(wanted) && wanted == 0 {
        said(pool, Standing::READY, &Reason::ScaledToZero, "no pods, as wanted: runs of this pool wait", now)
    } else if fleet.is_complete(wanted) {
        said(pool, Standing::READY, &Reason::PodsReady, &format!("all {wanted} pods are ready"), now)
    } else if let Some(trouble) = &fleet.trouble {
        let standing = if trouble.may_pass { Standing::RECONCILING } else { Standing::STALLED };
        said(pool, standing, &trouble.reason, &format!("{so_many}: {}", trouble.message), now)
    } else if let Some(late) = late {
        said(pool, Standing::STALLED, &Reason::PodsNotReady, &format!("{so_many}: {}", late.message.as_deref().unwrap_or_default()), now)
    } else {
        said(pool, Standing::RECONCILING, &Reason::PodsStarting, &so_many, now)
    };
    (next.replicas, next.ready_replicas) = (all, ready);
    next
}
