//! The Deployment of a WorkerPool, and what its state says of the pool.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::Name;
use crate::api::ids::hex;
use crate::crd::resources::{Standing, WorkerPool, WorkerPoolStatus};
use crate::operator::Config;

/// The label of everything that the operator makes.
pub(super) const MANAGED: &str = "app.kubernetes.io/managed-by=everloop";
/// Tells of what an applied object was made, so that an equal one is not applied again.
const SPEC_HASH: &str = "everloop.dev/spec-hash";

/// The queue service's name of a pool. Pools of the installation's namespace serve all namespaces under their own name; another one is
/// known by its name and a hash of both names.
pub(in crate::operator) fn queue_pool(namespace: &str, pool: &Name, installation: &Name) -> Name {
    if namespace == installation.as_str() {
        return pool.clone();
    }
    let digest = Sha256::digest(format!("{namespace}/{pool}").as_bytes());
    let hash = hex(&digest[..4]);
    let head: String = pool.as_str().chars().take(54).collect();
    format!("{head}-{hash}").parse().unwrap_or_else(|_| pool.clone())
}

/// The name of a pool's Deployment.
pub(super) fn deployment_name(pool: &WorkerPool) -> String {
    format!("everloop-worker-{}", pool.name_any())
}

/// Whether a Deployment belongs to the pool.
pub(super) fn is_ours(found: &Deployment, pool: &WorkerPool) -> bool {
    found.owner_references().iter().any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pool.metadata.uid.as_ref())
}

fn selector(pool: &WorkerPool) -> Value {
    json!({"app.kubernetes.io/name": "everloop", "app.kubernetes.io/component": "worker", "everloop.dev/pool": pool.name_any()})
}

/// The Deployment as a whole, for a server-side apply.
pub(super) fn deployment(pool: &WorkerPool, config: &Config) -> Value {
    let (spec, name, labels) = (&pool.spec, deployment_name(pool), selector(pool));
    let namespace = pool.namespace().unwrap_or_default();
    let queue = pool.name_any().parse::<Name>().map(|name| queue_pool(&namespace, &name, &config.namespace));
    let grace = spec.termination_grace_period_seconds;
    let env = |name: &str, value: String| json!({"name": name, "value": value});
    let container = json!({
        "name": "worker",
        "image": spec.image.as_deref().unwrap_or(&config.image),
        "imagePullPolicy": "IfNotPresent",
        "args": ["worker", "--log-json"],
        "env": [
            env("EVERLOOP_SERVER", config.server.clone()),
            env("EVERLOOP_POOL", queue.map(|name| name.to_string()).unwrap_or_default()),
            env("EVERLOOP_LOOPS", spec.slots.loops.to_string()),
            env("EVERLOOP_TURN_SLOTS", spec.slots.turns.to_string()),
            env("EVERLOOP_ACTIVITY_SLOTS", spec.slots.activities.to_string()),
            // A part of the grace is for handing back what has not ended.
            env("EVERLOOP_DRAIN", format!("{}s", (grace - 3).max(1))),
        ],
        "resources": spec.resources.clone().unwrap_or_else(|| json!({"requests": {"cpu": "100m", "memory": "128Mi"}})),
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    });
    let pod = json!({
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "nodeSelector": spec.node_selector,
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": labels},
        }],
        "containers": [container],
    });
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [pool.controller_owner_ref(&())],
        },
        "spec": {
            "replicas": spec.replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    });
    let hash = hex(&Sha256::digest(object.to_string().as_bytes())[..8]);
    object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("everloop");
    object["metadata"]["annotations"] = json!({SPEC_HASH: hash});
    object
}

/// Whether a Deployment was applied from this, and nobody has changed what everybody changes.
pub(super) fn has_all_of(found: &Deployment, wanted: &Value) -> bool {
    let spec = serde_json::to_value(&found.spec).unwrap_or_default();
    was_applied_from(found, wanted) && covers(&spec, &wanted["spec"])
}

/// Whether a Deployment was applied from this, whatever was done to it since.
pub(super) fn was_applied_from(found: &Deployment, wanted: &Value) -> bool {
    found.annotations().get(SPEC_HASH).map(String::as_str) == wanted["metadata"]["annotations"][SPEC_HASH].as_str()
}

/// Whether `found` has every value of `wanted`; what the API server has filled in beside it does not matter.
fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| found.get(key).map_or_else(|| is_empty(value), |found| covers(found, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| covers(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

/// Empty maps are not kept.
fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn said(pool: &WorkerPool, standing: Standing, reason: &str, message: &str, now: &str) -> WorkerPoolStatus {
    let generation = pool.metadata.generation.unwrap_or(0);
    let mut next = WorkerPoolStatus { observed_generation: generation, ..pool.status.clone().unwrap_or_default() };
    next.conditions.stand(standing, reason, message, generation, now);
    let labels = selector(pool);
    let pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    next.selector = pairs.join(",");
    next
}

/// Somebody else has a Deployment of our name.
pub(super) fn name_taken(pool: &WorkerPool, name: &str, now: &str) -> WorkerPoolStatus {
    let message = format!(
        "there is a Deployment {name} that does not belong to this pool: it is not touched; rename the pool or remove the Deployment"
    );
    said(pool, Standing::STALLED, "NameTaken", &message, now)
}

/// What the Deployment's state says of the pool.
pub(super) fn status(pool: &WorkerPool, deployment: &Deployment, now: &str) -> WorkerPoolStatus {
    let state = deployment.status.clone().unwrap_or_default();
    let (wanted, ready, updated) = (pool.spec.replicas, state.ready_replicas.unwrap_or(0), state.updated_replicas.unwrap_or(0));
    let seen = state.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0);
    let all = state.replicas.unwrap_or(0);
    let condition = |kind: &str| state.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let late = condition("Progressing").filter(|condition| condition.status == "False");
    let failing = condition("ReplicaFailure").filter(|condition| condition.status == "True");
    let mut next = if let Some(failing) = failing {
        let message = format!("no pod can be made: {}", failing.message.as_deref().unwrap_or("the Deployment does not say why"));
        said(pool, Standing::STALLED, "PodsRefused", &message, now)
    } else if seen && wanted == 0 && all == 0 {
        said(pool, Standing::READY, "ScaledToZero", "no pods, as wanted: runs of this pool wait", now)
    } else if seen && ready == wanted && updated == wanted && all == wanted {
        said(pool, Standing::READY, "PodsReady", &format!("all {wanted} pods are ready"), now)
    } else if let Some(late) = late {
        let message = format!("{ready} of {wanted} pods are ready: {}", late.message.as_deref().unwrap_or_default());
        said(pool, Standing::STALLED, "PodsNotReady", &message, now)
    } else {
        said(pool, Standing::RECONCILING, "PodsStarting", &format!("{ready} of {wanted} pods are ready"), now)
    };
    (next.replicas, next.ready_replicas) = (all, ready);
    next
}
