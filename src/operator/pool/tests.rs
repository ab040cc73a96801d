//! The Deployment of a pool, and what its state says.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::plan::{deployment, has_all_of, queue_pool, status};
use crate::api::Name;
use crate::crd::resources::WorkerPool;
use crate::operator::{Config, Times};

fn pool(spec: Value) -> WorkerPool {
    let metadata = json!({"name": "big", "namespace": "shop", "uid": "u", "generation": 1});
    serde_json::from_value(json!({"apiVersion": "everloop.dev/v1alpha1", "kind": "WorkerPool", "metadata": metadata, "spec": spec}))
        .unwrap()
}

fn config() -> Config {
    Config {
        name: "operator-1".into(),
        server: "http://queue".into(),
        namespace: "everloop".parse().unwrap(),
        watch: None,
        image: "everloop:1".into(),
        default_pool: None,
        times: Times::of(Duration::from_secs(15)),
    }
}

fn found(wanted: &Value) -> Deployment {
    serde_json::from_value(wanted.clone()).unwrap()
}

#[test]
fn pods_are_as_the_restricted_standard_asks() {
    let made = deployment(&pool(json!({"replicas": 3})), &config());
    let pod = &made["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["containers"][0]["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(made["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(made["metadata"]["ownerReferences"][0]["controller"], true);
}

#[test]
fn what_is_as_it_was_applied_is_not_applied_again() {
    let wanted = deployment(&pool(json!({})), &config());
    assert!(has_all_of(&found(&wanted), &wanted));
    let mut filled = wanted.clone();
    filled["spec"]["progressDeadlineSeconds"] = json!(600);
    filled["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    assert!(has_all_of(&found(&filled), &wanted), "what the API server fills in does not matter");
    for (path, value) in [("/spec/replicas", json!(9)), ("/spec/template/spec/containers/0/image", json!("other"))] {
        let mut changed = wanted.clone();
        *changed.pointer_mut(path).unwrap() = value;
        assert!(!has_all_of(&found(&changed), &wanted), "{path} was changed by hand");
    }
    let other = deployment(&pool(json!({"slots": {"turns": 1}})), &config());
    assert!(!has_all_of(&found(&wanted), &other));
}

#[test]
fn a_pools_state_is_its_deployments() {
    let stuck = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"});
    let refused = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"});
    let all = |n: i32| json!({"replicas": n, "readyReplicas": n, "updatedReplicas": n});
    let table = [
        (2, json!({}), "PodsStarting", "Reconciling"),
        (2, all(1), "PodsStarting", "Reconciling"),
        (2, all(2), "PodsReady", "Ready"),
        (2, json!({"replicas": 3, "readyReplicas": 2, "updatedReplicas": 2}), "PodsStarting", "Reconciling"),
        (0, all(1), "PodsStarting", "Reconciling"),
        (0, json!({}), "ScaledToZero", "Ready"),
        (2, json!({"replicas": 2, "conditions": [stuck]}), "PodsNotReady", "Stalled"),
        (2, json!({"conditions": [refused]}), "PodsRefused", "Stalled"),
    ];
    for (replicas, state, reason, holds) in table {
        let pool = pool(json!({"replicas": replicas}));
        let mut deployment = found(&deployment(&pool, &config()));
        deployment.status = Some(serde_json::from_value(state.clone()).unwrap());
        let next = status(&pool, &deployment, "2026-01-01T00:00:00Z");
        for kind in ["Ready", "Reconciling", "Stalled"] {
            let condition = next.conditions.get(kind).unwrap();
            assert_eq!((condition.reason.as_str(), condition.status == "True"), (reason, kind == holds), "{replicas} {state} {kind}");
        }
        assert!(next.selector.contains("everloop.dev/pool=big"));
    }
}

#[test]
fn pools_of_one_name_in_two_namespaces_are_two_pools() {
    let installation: Name = "everloop".parse().unwrap();
    let name = |text: &str| text.parse::<Name>().unwrap();
    let of = |namespace: &str, pool: &str| queue_pool(namespace, &name(pool), &installation).to_string();
    assert_eq!(of("everloop", "default"), "default");
    assert_ne!(of("a", "default"), of("b", "default"));
    assert_eq!(of("a", "default"), of("a", "default"));
    let longest = of("a", &"p".repeat(63));
    assert!(longest.len() <= 63 && longest.starts_with("ppp"), "{longest}");
}
