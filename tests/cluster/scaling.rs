//! A pool that follows its work. There is no node: what the operator wants is seen in the Deployment, and the worker that would be in
//! a pod is a process of the test.

use everloop::api::Json;
use everloop::api::http::StartRun;
use serde_json::Value;

use crate::control_plane::control_plane;
use crate::installation::{Installation, a_run, a_workflow};

/// With windows that a test can wait for.
const POOL: &str = "apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: follows}\nspec: {scaling: {mode: Auto, zeroWindow: 2s, fallWindow: 10s}}\n";

fn a_workflow_of_it(name: &str, body: &str) -> String {
    a_workflow(name, body).replace("spec:\n", "spec:\n  pool: follows\n") + "---\n"
}

impl Installation {
    fn pool(&self) -> Value {
        self.namespace.get("elp/follows").expect("a pool")["status"].clone()
    }

    /// What the Deployment of the pool is told.
    fn replicas(&self) -> i64 {
        self.namespace.get("deployment/everloop-worker-follows").map_or(-1, |found| found["spec"]["replicas"].as_i64().unwrap_or(-1))
    }
}

#[tokio::test]
async fn a_pool_wakes_for_work_and_for_timers_and_goes_back_to_zero() {
    let installation = Installation::new("follows");
    let namespace = &installation.namespace;
    namespace.apply(POOL).unwrap();
    namespace.condition("elp/follows", "Ready", "True", "ScaledToZero");
    namespace.apply(&(a_workflow_of_it("flow", "return 1;") + &a_workflow_of_it("sleeps", "await sleep('25s'); return 2;"))).unwrap();
    for flow in ["elw/flow", "elw/sleeps"] {
        namespace.condition(flow, "Ready", "True", "Applied");
    }
    namespace.apply(&(a_run("a", "flow", "") + &a_run("b", "sleeps", ""))).unwrap();
    control_plane().until("the pool wakes", || installation.replicas() == 1);
    let first = installation.pool()["decisions"][0].clone();
    assert_eq!((&first["from"], &first["to"]), (&0.into(), &1.into()), "{first}");
    assert!(first["reason"].as_str().unwrap().starts_with("backlog "), "{first}");

    // What its pod would be.
    let worker = installation.worker("follows");
    namespace.condition("elr/a", "Succeeded", "True", "Completed");
    control_plane().until("it has nothing to do", || installation.replicas() == 0);
    drop(worker);
    control_plane().until("it wakes ahead of the timer", || installation.replicas() == 1);
    let woken = installation.pool()["decisions"][0].clone();
    assert!(woken["reason"].as_str().unwrap().contains("1 timers within"), "{woken}");
    let run = installation.client().run(&installation.run_id_of("elr/b")).await.unwrap();
    assert_eq!(run.unread, 0, "the timer has not fired yet");
    let _worker = installation.worker("follows");
    namespace.condition("elr/b", "Succeeded", "True", "Completed");
    control_plane().until("and sleeps again", || installation.replicas() == 0);
    assert_eq!(installation.pool()["decisions"].as_array().unwrap().len(), 4);
    namespace.condition("elp/follows", "Scaling", "True", "FollowsTheWork");
    control_plane().until("its turns are told", || {
        let mut events = namespace.events("WorkerPool", "follows");
        events.sort();
        events.dedup();
        events == ["ScaledDown", "ScaledUp"]
    });
}

/// A signal that does not come is no zero.
#[tokio::test]
async fn a_pool_whose_queue_service_is_away_keeps_its_number_and_says_so() {
    let mut installation = Installation::new("holds");
    installation.namespace.apply(POOL).unwrap();
    installation.namespace.apply(&a_workflow_of_it("flow", "return 1;")).unwrap();
    installation.namespace.condition("elw/flow", "Ready", "True", "Applied");
    installation.namespace.apply(&a_run("a", "flow", "")).unwrap();
    control_plane().until("the pool wakes", || installation.replicas() == 1);
    installation.kill_queue();
    let told = installation.namespace.condition("elp/follows", "Scaling", "False", "SignalOld");
    assert!(told["message"].as_str().unwrap().contains("held"), "{told}");
    assert_eq!(installation.replicas(), 1, "longer than its windows");
    // An operator that begins anew knows the number from the status.
    installation.kill_operator();
    installation.start_operator();
    installation.namespace.condition("elp/follows", "Scaling", "False", "SignalUnknown");
    assert_eq!(installation.replicas(), 1);
    installation.start_queue();
    installation.namespace.condition("elp/follows", "Scaling", "True", "FollowsTheWork");
    let _worker = installation.worker("follows");
    installation.namespace.condition("elr/a", "Succeeded", "True", "Completed");
    control_plane().until("it has nothing to do", || installation.replicas() == 0);
}

#[tokio::test]
async fn what_a_pool_cannot_obey_is_told_and_the_number_goes_no_higher_than_its_max() {
    let installation = Installation::new("bounds");
    let namespace = &installation.namespace;
    namespace.apply(&POOL.replace("mode: Auto,", "mode: Auto, target: 0s,")).unwrap();
    let told = namespace.condition("elp/follows", "Stalled", "True", "InvalidSpec");
    assert!(told["message"].as_str().unwrap().contains("the target age is 0"), "{told}");
    let slots = "slots: {turns: 1}, scaling: {mode: Auto, max: 3, target: 100ms, ";
    namespace.apply(&POOL.replace("scaling: {mode: Auto, ", slots)).unwrap();
    namespace.condition("elp/follows", "Ready", "True", "ScaledToZero");
    namespace.apply(&a_workflow_of_it("flow", "return 1;")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    let client = installation.client();
    for n in 0..20 {
        let start = StartRun { workflow: "flow".parse().unwrap(), id: None, input: Json::default(), origin: None };
        client.start(&start, &format!("key-{n}")).await.unwrap();
    }
    control_plane().until("the most that may be", || installation.replicas() == 3);
    let told = namespace.condition("elp/follows", "Scaling", "False", "AtMax");
    assert!(told["message"].as_str().unwrap().contains("raise max"), "{told}");
    let table = namespace.kubectl(&["get", "elp", "follows"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "DESIRED", "CURRENT", "BUSY", "BACKLOG", "OLDEST", "AGE"]);
    assert_eq!([&lines[1][..4], &[lines[1][4], lines[1][5]]].concat(), ["follows", "False", "3", "0", "0", "20"], "{table}");
}

/// Pods that the namespace may not have are not asked for again and again.
#[tokio::test]
async fn pods_that_a_quota_forbids_are_told_and_not_piled_up() {
    let installation = Installation::new("no-room");
    let namespace = &installation.namespace;
    namespace.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
    namespace.apply(&POOL.replace("scaling: {", "slots: {turns: 1}, scaling: {")).unwrap();
    namespace.apply(&a_workflow_of_it("flow", "return 1;")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    let client = installation.client();
    for n in 0..10 {
        let start = StartRun { workflow: "flow".parse().unwrap(), id: None, input: Json::default(), origin: None };
        client.start(&start, &format!("key-{n}")).await.unwrap();
    }
    let told = namespace.condition("elp/follows", "Scaling", "False", "PodsStuck");
    assert!(told["message"].as_str().unwrap().contains("exceeded quota"), "{told}");
    control_plane().until("one goes on trying", || installation.replicas() == 1);
    let reason = installation.pool()["scalingReason"].clone();
    assert!(reason.as_str().unwrap().contains("cannot start: no more than 1"), "{reason}");
    // The work is as much as before: with room there are as many pods as it wants.
    namespace.kubectl(&["delete", "quota", "none"]);
    control_plane().until("it grows", || installation.replicas() > 1);
    namespace.condition("elp/follows", "Scaling", "True", "FollowsTheWork");
}

/// A signal that has never come is no zero either.
#[tokio::test]
async fn a_pool_whose_signal_never_comes_has_its_fewest_pods_and_says_so() {
    let mut installation = Installation::new("no-signal");
    let namespace = installation.namespace.clone();
    // The store is recorded, so that the operator begins.
    control_plane().until("the store is known", || namespace.get("configmap/everloop-store").is_some());
    installation.kill_queue();
    namespace.apply(&POOL.replace("mode: Auto,", "mode: Auto, min: 2,")).unwrap();
    let told = namespace.condition("elp/follows", "Scaling", "False", "SignalUnknown");
    assert!(told["message"].as_str().unwrap().contains("held"), "{told}");
    control_plane().until("the fewest", || installation.replicas() == 2);
}
