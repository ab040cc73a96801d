//! What a pool wants to be there: a ServiceAccount without rights, a PodDisruptionBudget and a Deployment.

use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::overlay::{WORKER, hardened, laid_over};
use crate::api::Name;
use crate::api::ids::hex;
use crate::crd::resources::WorkerPool;
use crate::operator::Config;

/// The label of everything that the operator makes.
pub(super) const MANAGED: &str = "app.kubernetes.io/managed-by=everloop";
/// The label that says whose a pod is.
pub(super) const POOL: &str = "everloop.dev/pool";
/// Pods of all pools.
pub(super) const WORKERS: &str = "app.kubernetes.io/name=everloop,app.kubernetes.io/component=worker";
/// Tells of what an applied object was made, so that an equal one is not applied again.
pub(super) const SPEC_HASH: &str = "everloop.dev/spec-hash";
/// Of the pool when the object was applied.
pub(super) const POOL_GENERATION: &str = "everloop.dev/pool-generation";
/// Where a worker answers probes.
const PROBES_PORT: u16 = 7402;

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

/// The name of everything that belongs to a pool.
pub(super) fn child_name(pool: &WorkerPool) -> String {
    format!("everloop-worker-{}", pool.name_any())
}

/// The labels of a pool's pods, by which they are found.
pub(super) fn selector(pool: &WorkerPool) -> Value {
    json!({"app.kubernetes.io/name": "everloop", "app.kubernetes.io/component": "worker", POOL: pool.name_any()})
}

/// In the order in which they are applied; the Deployment is the last one.
/// `replicas`: how many pods; `image`: of a pool that names none.
///
/// # Errors
/// What is wrong with the pool.
pub(super) fn wanted(pool: &WorkerPool, replicas: i32, image: &str, config: &Config) -> Result<[Value; 3], String> {
    let name = child_name(pool);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false});
    let budget = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {
            "maxUnavailable": "25%",
            "selector": {"matchLabels": selector(pool)},
            // A pod that does no work may go at any time.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector(pool)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": template(pool, image, config)?,
        },
    });
    Ok([account, budget, deployment].map(|mut object| {
        object["metadata"] = json!({
            "name": name,
            "namespace": pool.namespace(),
            "labels": selector(pool),
            "ownerReferences": [pool.controller_owner_ref(&())],
        });
        let hash = hex(&Sha256::digest(object.to_string().as_bytes())[..8]);
        object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("everloop");
        object["metadata"]["annotations"] = json!({SPEC_HASH: hash, POOL_GENERATION: pool.metadata.generation.unwrap_or(0).to_string()});
        object
    }))
}

fn template(pool: &WorkerPool, image: &str, config: &Config) -> Result<Value, String> {
    let (spec, labels) = (&pool.spec, selector(pool));
    let namespace = pool.namespace().unwrap_or_default();
    let name = pool.name_any().parse::<Name>().map_err(|e| format!("the name: {e}"))?;
    let queue = queue_pool(&namespace, &name, &config.namespace);
    let grace = spec.termination_grace_period_seconds;
    let env = |name: &str, value: String| json!({"name": name, "value": value});
    let probe = |path: &str, period: u32, failures: u32| json!({"httpGet": {"path": path, "port": "probes"}, "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 2});
    let container = json!({
        "name": WORKER,
        "image": spec.image.as_deref().unwrap_or(image),
        "imagePullPolicy": "IfNotPresent",
        "args": ["worker", "--log-json"],
        "env": [
            env("EVERLOOP_SERVER", config.server.clone()),
            env("EVERLOOP_POOL", queue.to_string()),
            env("EVERLOOP_LOOPS", spec.slots.loops.to_string()),
            env("EVERLOOP_TURN_SLOTS", spec.slots.turns.to_string()),
            env("EVERLOOP_ACTIVITY_SLOTS", spec.slots.activities.to_string()),
            env("EVERLOOP_PROBES", format!("0.0.0.0:{PROBES_PORT}")),
            // A part of the grace is for handing back what has not ended.
            env("EVERLOOP_DRAIN", format!("{}s", (grace - 3).max(1))),
        ],
        "ports": [{"name": "probes", "containerPort": PROBES_PORT, "protocol": "TCP"}],
        // It starts in milliseconds; what is slow is the image, which is not the container's time.
        "startupProbe": probe("/healthz", 1, 30),
        "livenessProbe": probe("/healthz", 10, 3),
        "readinessProbe": probe("/readyz", 1, 1),
        "resources": spec.resources.clone().unwrap_or_else(|| json!({"requests": {"cpu": "100m", "memory": "128Mi"}})),
        "securityContext": hardened(),
    });
    let ours = json!({
        "metadata": {"labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": grace,
            "serviceAccountName": child_name(pool),
            "automountServiceAccountToken": false,
            // Or each Service of the namespace would be in the environment, some by names that the worker reads.
            "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "nodeSelector": spec.node_selector,
            "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }],
            "containers": [container],
        },
    });
    match &spec.template {
        Some(theirs) => laid_over(&ours, theirs),
        None => Ok(ours),
    }
}
