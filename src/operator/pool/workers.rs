//! Pods, as the API server and the queue service know them together.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::pods::is_ready;
use crate::api::http::WorkerView;
use crate::api::limits::WORKER_NAME_BYTES_MAX;
use crate::machine::scaling::victims::{self, Session, Stage, Worker};

/// By which a ReplicaSet chooses among pods that are alike to it.
pub(super) const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Of which template a pod is.
const TEMPLATE: &str = "pod-template-hash";
/// Behind the pool in a session's id: `-` and fourteen digits.
const SESSION_TAIL: usize = 15;

/// The pods that are not on their way out.
pub(super) fn staying(pods: &[Pod]) -> Vec<&Pod> {
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    let stays = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && !["Succeeded", "Failed"].contains(&phase(pod).as_str());
    pods.iter().filter(stays).collect()
}

/// Whether pods are of more than one template.
pub(super) fn are_mixed(pods: &[&Pod]) -> bool {
    let template = |pod: &&Pod| pod.metadata.labels.as_ref().and_then(|labels| labels.get(TEMPLATE).cloned());
    pods.iter().map(template).collect::<BTreeSet<_>>().len() > 1
}

/// The pods with their workers. Without an answer of the queue service nobody knows what a pod has that runs.
pub(super) fn with_workers(pods: &[&Pod], workers: Option<&[WorkerView]>) -> Vec<victims::Pod> {
    let names: Vec<&str> = pods.iter().map(|pod| pod.metadata.name.as_deref().unwrap_or_default()).collect();
    let with_worker = |pod: &&Pod| {
        let (name, stage) = (pod.metadata.name.clone().unwrap_or_default(), stage(pod));
        let worker = match workers {
            _ if stage <= Stage::Pending => Worker::Absent,
            None => Worker::Unknown,
            Some(workers) => match session(&name, &names, workers) {
                Some(session) => Worker::Known(session),
                // Its worker may have another name.
                None if stage == Stage::Ready => Worker::Unknown,
                None => Worker::Absent,
            },
        };
        let made = pod.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
        let cost = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(COST)?.parse().ok());
        victims::Pod { name, stage, made, cost, worker }
    };
    pods.iter().map(with_worker).collect()
}

fn stage(pod: &Pod) -> Stage {
    if pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()).is_none() {
        return Stage::Unplaced;
    }
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Running") if is_ready(pod) => Stage::Ready,
        Some("Running") => Stage::NotReady,
        Some("Unknown") => Stage::Unknown,
        _ => Stage::Pending,
    }
}

/// What the workers of a pod have, of all of its sessions.
fn session(pod: &str, pods: &[&str], workers: &[WorkerView]) -> Option<Session> {
    let mut found: Option<Session> = None;
    let of_pod = workers.iter().filter(|view| worker_of(view).is_some_and(|worker| is_of(worker, pod) && is_of_one(worker, pods)));
    for view in of_pod {
        let known = found.get_or_insert_with(|| Session { ids: Vec::new(), turns: 0, activities: 0, draining: true });
        known.ids.push(view.session.clone());
        known.turns += view.turns;
        known.activities += view.activities;
        known.draining &= view.draining;
    }
    found
}

/// The name of a worker, from its session.
fn worker_of(view: &WorkerView) -> Option<&str> {
    let head = view.session.get(..view.session.len().checked_sub(SESSION_TAIL)?)?;
    head.strip_suffix(view.pool.as_ref()?.as_str())?.strip_suffix('-')
}

/// Whether a worker is the one of a pod: its name is the machine's and the number of a process, and of a longer one the end of it, or the
/// begin, as workers had it before.
fn is_of(worker: &str, pod: &str) -> bool {
    let Some((machine, process)) = worker.rsplit_once('-') else { return false };
    let is_cut = worker.len() == WORKER_NAME_BYTES_MAX && (pod.ends_with(machine) || pod.starts_with(machine));
    process.bytes().all(|byte| byte.is_ascii_digit()) && (machine == pod || is_cut)
}

/// Whether no other pod could be meant.
fn is_of_one(worker: &str, pods: &[&str]) -> bool {
    pods.iter().filter(|pod| is_of(worker, pod)).count() == 1
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, rest: &Value) -> Pod {
        let mut object =
            json!({"metadata": {"name": name, "creationTimestamp": "2026-11-23T10:00:00Z"}, "spec": {"containers": [], "nodeName": "n"}});
        for (field, value) in rest.as_object().into_iter().flatten() {
            for (name, value) in value.as_object().into_iter().flatten() {
                object[field][name] = value.clone();
            }
        }
        serde_json::from_value(object).unwrap()
    }

    fn running(name: &str, ready: &str) -> Pod {
        pod(name, &json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}))
    }

    fn view(session: &str, turns: u64, draining: bool) -> WorkerView {
        WorkerView { session: session.to_owned(), pool: Some("big".parse().unwrap()), leases: turns + 1, turns, activities: 1, draining }
    }

    #[test]
    fn pods_that_are_on_their_way_out_are_left_out() {
        let all = [
            running("a", "True"),
            pod("b", &json!({"metadata": {"deletionTimestamp": "2026-11-23T10:00:00Z"}})),
            pod("c", &json!({"status": {"phase": "Failed"}})),
        ];
        let staying: Vec<_> = staying(&all).into_iter().filter_map(|pod| pod.metadata.name.clone()).collect();
        assert_eq!(staying, ["a"]);
    }

    #[test]
    fn stages_are_those_of_a_replica_set() {
        let table = [
            (pod("a", &json!({"spec": {"nodeName": null}, "status": {"phase": "Pending"}})), Stage::Unplaced),
            (pod("a", &json!({"status": {"phase": "Pending"}})), Stage::Pending),
            (pod("a", &json!({})), Stage::Pending),
            (pod("a", &json!({"status": {"phase": "Unknown"}})), Stage::Unknown),
            (running("a", "False"), Stage::NotReady),
            (running("a", "True"), Stage::Ready),
        ];
        for (pod, expected) in table {
            assert_eq!(stage(&pod), expected, "{pod:?}");
        }
    }

    #[test]
    fn a_pod_has_the_worker_of_its_name() {
        let long = |end: &str| format!("everloop-worker-a-pool-of-a-long-name-6f7c8d9b54-{end}");
        let (one, other) = (long("abcde"), long("fghij"));
        let pods = [running(&one, "True"), running(&other, "True"), running("short-1", "True"), running("short-2", "False")];
        let pods: Vec<&Pod> = pods.iter().collect();
        let cut = &one[one.len() - 38..];
        let tail = "-big-0123456789ab03";
        let workers = [
            view(&format!("{cut}-1{tail}"), 3, true),
            view(&format!("short-1-17{tail}"), 1, true),
            view(&format!("short-1-18{tail}"), 2, false),
            // Which of the two pods it is of nobody can tell.
            view(&format!("{}-1{tail}", &other[..38]), 5, false),
        ];
        let found = with_workers(&pods, Some(&workers));
        let known = |at: usize| match &found[at].worker {
            Worker::Known(session) => (session.ids.len(), session.turns, session.activities, session.draining),
            other => panic!("{other:?}"),
        };
        assert_eq!((known(0), known(2)), ((1, 3, 1, true), (2, 3, 2, false)));
        assert_eq!((&found[1].worker, &found[3].worker), (&Worker::Unknown, &Worker::Absent));
        let unsaid = with_workers(&pods, None);
        assert!(unsaid.iter().all(|pod| pod.worker == Worker::Unknown), "a service that does not answer says nothing of any");
    }
}
