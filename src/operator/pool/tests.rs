//! What a pool wants to be there, and what the state of it says.

use std::time::Duration;

use k8s_openapi::api::apps::v1::DeploymentStatus;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::compare::{first_difference, is_of_a_later, last_other_manager, was_applied_from};
use super::pods::trouble;
use super::told::{Fleet, status, turned};
use super::wanted::{queue_pool, wanted};
use crate::api::Name;
use crate::crd::resources::{ScalingDecision, WorkerPool, WorkerPoolStatus};
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
        watch: Vec::new(),
        image: "everloop:1".into(),
        default_pool: None,
        times: Times::of(Duration::from_secs(15)),
    }
}

fn deployment(spec: Value) -> Value {
    let pool = pool(spec);
    wanted(&pool, pool.spec.replicas, "everloop:1", &config()).unwrap()[2].clone()
}

fn found(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).unwrap()
}

#[test]
fn pods_are_as_the_restricted_standard_asks_and_belong_to_the_pool() {
    let all = wanted(&pool(json!({"replicas": 3})), 3, "everloop:1", &config()).unwrap();
    for object in &all {
        assert_eq!(object["metadata"]["name"], "everloop-worker-big");
        assert_eq!(object["metadata"]["ownerReferences"][0]["controller"], true);
    }
    let [account, budget, deployment] = all;
    assert_eq!(account["automountServiceAccountToken"], false);
    assert_eq!((&budget["spec"]["maxUnavailable"], &budget["spec"]["minAvailable"]), (&json!("25%"), &Value::Null));
    assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(
        (&container["readinessProbe"]["httpGet"]["path"], &container["readinessProbe"]["periodSeconds"]),
        (&json!("/readyz"), &json!(1))
    );
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
}

#[test]
fn what_is_as_it_was_applied_is_not_applied_again() {
    let wanted = deployment(json!({"resources": {"requests": {"cpu": "1000m"}}}));
    assert!(was_applied_from(&found(&wanted), &wanted));
    // As the API server writes it.
    let mut applied = wanted.clone();
    applied["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("1");
    applied["spec"]["template"]["spec"].as_object_mut().unwrap().remove("nodeSelector");
    assert_eq!(first_difference(&found(&applied), &found(&applied), &wanted), None);
    let mut filled = applied.clone();
    filled["spec"]["progressDeadlineSeconds"] = json!(600);
    assert_eq!(first_difference(&found(&filled), &found(&applied), &wanted), None, "what we do not say does not matter");
    for path in ["spec.replicas", "spec.template.spec.containers[0].image", "spec.template.spec.topologySpreadConstraints"] {
        let mut changed = applied.clone();
        *changed.pointer_mut(&format!("/{}", path.replace(['.', '['], "/").replace(']', ""))).unwrap() = json!("other");
        assert_eq!(first_difference(&found(&changed), &found(&applied), &wanted).as_deref(), Some(path));
    }
    let other = deployment(json!({"slots": {"turns": 1}}));
    assert!(!was_applied_from(&found(&wanted), &other));
}

/// A leader that was stopped knows an old pool, and finds what the next one has made of a newer one.
#[test]
fn what_was_applied_from_a_later_pool_is_left_alone() {
    let generation = |generation: i64, replicas: i32| {
        let mut pool = pool(json!({"replicas": replicas}));
        pool.metadata.generation = Some(generation);
        pool
    };
    let applied = found(&wanted(&generation(9, 1), 1, "everloop:1", &config()).unwrap()[2]);
    let table = [(8, true), (9, false), (10, false)];
    for (known, later) in table {
        assert_eq!(is_of_a_later(&applied, &generation(known, 2)), later, "{known}");
    }
    let before = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "of an older release"}});
    assert!(!is_of_a_later(&found(&before), &generation(1, 1)));
    // What does not change the object is no reason to apply it again.
    assert!(was_applied_from(&applied, &wanted(&generation(10, 1), 1, "everloop:1", &config()).unwrap()[2]));
}

#[test]
fn who_changed_an_object_is_known_by_its_managers() {
    let mut object = deployment(json!({}));
    object["metadata"]["managedFields"] = json!([
        {"manager": "everloop", "operation": "Apply", "time": "2026-01-01T00:00:09Z"},
        {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:02Z"},
        {"manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:05Z"},
        {"manager": "kube-controller-manager", "operation": "Update", "time": "2026-01-01T00:00:08Z", "subresource": "status"},
    ]);
    assert_eq!(last_other_manager(&found(&object)).as_deref(), Some("helm"));
}

#[test]
fn a_pools_state_is_its_deployments_and_its_pods() {
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
        let state_of_it = serde_json::from_value(state.clone()).unwrap();
        let fleet = Fleet { state: state_of_it, wanted: pool.spec.replicas, replicas: pool.spec.replicas, ..Fleet::default() };
        let next = status(&pool, &fleet, "2026-01-01T00:00:00Z");
        for kind in ["Ready", "Reconciling", "Stalled"] {
            let condition = next.conditions.get(kind).unwrap();
            assert_eq!((condition.reason.as_str(), condition.status == "True"), (reason, kind == holds), "{replicas} {state} {kind}");
        }
        assert!(next.selector.contains("everloop.dev/pool=big"));
    }
}

/// As many as wanted are ready, and the others finish what they have.
#[test]
fn a_pool_whose_last_pods_drain_is_ready_and_on_its_way() {
    let told = |wanted: i32, ready: i32| {
        let state = json!({"replicas": 3, "readyReplicas": ready, "updatedReplicas": 3});
        let state = serde_json::from_value(state).unwrap();
        let fleet = Fleet { state, wanted, replicas: 3, victims: 3 - u32::try_from(wanted).unwrap(), ..Fleet::default() };
        let next = status(&pool(json!({"replicas": wanted})), &fleet, "2026-01-01T00:00:00Z");
        let condition = |kind: &str| {
            let condition = next.conditions.get(kind).unwrap();
            format!("{}/{}", condition.status, condition.reason)
        };
        (condition("Ready"), condition("Reconciling"), next.draining)
    };
    assert_eq!(told(2, 2), ("True/PodsReady".into(), "True/Draining".into(), Some(1)));
    assert_eq!(told(2, 3).0, "True/PodsReady", "before its worker was told");
    assert_eq!(told(2, 1), ("False/PodsStarting".into(), "True/Draining".into(), Some(1)));
    assert_eq!(told(0, 0), ("False/Draining".into(), "True/Draining".into(), Some(3)));
}

#[test]
fn pods_that_drain_are_neither_ready_nor_starting_for_a_decision() {
    let state = serde_json::from_value(json!({"replicas": 6, "readyReplicas": 3, "updatedReplicas": 6})).unwrap();
    let pods = Fleet { state, wanted: 3, replicas: 6, victims: 3, resting: 2, ..Fleet::default() }.of_pods();
    assert_eq!((pods.ready, pods.starting, pods.draining), (2, 1, 3));
}

#[test]
fn the_reason_of_a_pod_that_does_not_start_is_the_pools() {
    let pod = |status: Value| -> Pod { serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap() };
    let waiting = |reason: &str| {
        let container = json!({"name": "worker", "image": "nowhere:1", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason, "message": "m"}}});
        pod(json!({"containerStatuses": [container]}))
    };
    let none = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: too little cpu"}]);
    let unschedulable = pod(json!({"conditions": none}));
    let table = [
        (waiting("ErrImagePull"), "ImagePullBackOff", "image nowhere:1 cannot be pulled", "Stalled"),
        (waiting("ImagePullBackOff"), "ImagePullBackOff", "image nowhere:1 cannot be pulled", "Stalled"),
        (waiting("CrashLoopBackOff"), "CrashLoopBackOff", "kubectl logs", "Stalled"),
        (waiting("InvalidImageName"), "InvalidImageName", "m", "Stalled"),
        (unschedulable, "Unschedulable", "too little cpu", "Reconciling"),
    ];
    let pool = pool(json!({"replicas": 1}));
    for (pod, reason, words, kind) in table {
        let fleet = Fleet { trouble: trouble(&[waiting("ContainerCreating"), pod]), wanted: 1, ..Fleet::default() };
        let next = status(&pool, &fleet, "2026-01-01T00:00:00Z");
        let condition = next.conditions.get(kind).unwrap();
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", reason));
        assert!(condition.message.contains(words) && condition.message.contains("pod p"), "{}", condition.message);
    }
    assert_eq!(trouble(&[waiting("ContainerCreating")]), None);

    // Of ten that are not ready, only two are in trouble: the other eight are on their way.
    let mut ten = vec![waiting("ContainerCreating"); 8];
    ten.extend([waiting("ErrImagePull"), waiting("CrashLoopBackOff")]);
    let state = DeploymentStatus { replicas: Some(10), ..DeploymentStatus::default() };
    let of_pods = Fleet { trouble: trouble(&ten), wanted: 10, replicas: 10, state, ..Fleet::default() }.of_pods();
    assert_eq!((of_pods.ready, of_pods.starting, of_pods.stuck()), (0, 8, 2));
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

#[test]
fn only_a_turn_of_the_number_is_an_event() {
    let decided = |numbers: &[i64]| WorkerPoolStatus {
        decisions: numbers
            .windows(2)
            .rev()
            .map(|pair| ScalingDecision { at: pair[0].to_string(), from: pair[0], to: pair[1], reason: "why".into() })
            .collect(),
        ..WorkerPoolStatus::default()
    };
    let event = |numbers: &[i64]| turned(Some(&decided(&numbers[..numbers.len() - 1])), &decided(numbers));
    assert_eq!(event(&[0, 1]), Some(("ScaledUp", "from 0 to 1 pods: why".to_owned())));
    assert_eq!(event(&[0, 1, 3]), None, "the same way");
    assert_eq!(event(&[0, 3, 1]).map(|(reason, _)| reason), Some("ScaledDown"));
    assert_eq!(turned(Some(&decided(&[0, 1])), &decided(&[0, 1])), None, "it was told");
}
