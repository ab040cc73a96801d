//! Machines whose clocks differ by many minutes: an operator in the past and a worker in the future of the queue service. Their clocks for
//! durations are right, as on every machine.

use std::path::PathBuf;

use everloop::api::TimeMs;

use crate::control_plane::control_plane;
use crate::installation::{Installation, a_run, a_workflow};

const POOL: &str = "apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: follows}\nspec: {scaling: {mode: Auto, zeroWindow: 2s, fallWindow: 10s}}\n";
const MINUTE: i64 = 60;

/// What shifts the clock of a process: the Debian package `faketime`.
fn shifted(by: &str) -> [(&'static str, String); 3] {
    let places = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|arch| PathBuf::from(format!("/usr/lib/{arch}/faketime/libfaketime.so.1")));
    let library = places.iter().find(|place| place.exists()).expect("libfaketime is missing: apt-get install faketime");
    [("LD_PRELOAD", library.display().to_string()), ("FAKETIME", by.to_owned()), ("DONT_FAKE_MONOTONIC", "1".to_owned())]
}

#[tokio::test]
async fn clocks_that_differ_by_many_minutes_change_nothing() {
    let mut installation = Installation::new("clocks");
    let namespace = installation.namespace.clone();
    installation.kill_operator();
    let past = shifted("-17m");
    let past: Vec<_> = past.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _operator = installation.another_operator_with("operator", &[], &past);
    namespace.apply(POOL).unwrap();
    namespace.condition("elp/follows", "Scaling", "True", "FollowsTheWork");
    let of_it = |name: &str, body: &str| a_workflow(name, body).replace("spec:\n", "spec:\n  pool: follows\n") + "---\n";
    namespace.apply(&(of_it("flow", "return 1;") + &of_it("sleeps", "await sleep('45s'); return 2;"))).unwrap();
    for flow in ["elw/flow", "elw/sleeps"] {
        namespace.condition(flow, "Ready", "True", "Applied");
    }
    namespace.apply(&(a_run("a", "flow", "") + &a_run("b", "sleeps", ""))).unwrap();
    let replicas =
        || namespace.get("deployment/everloop-worker-follows").map_or(-1, |found| found["spec"]["replicas"].as_i64().unwrap_or(-1));
    control_plane().until("the pool wakes", || replicas() == 1);
    let pool = namespace.get("elp/follows").unwrap()["status"].clone();
    let decided: jiff::Timestamp = pool["decisions"][0]["at"].as_str().unwrap().parse().expect("a time");
    let behind = jiff::Timestamp::now().as_second() - decided.as_second();
    assert!((16 * MINUTE..19 * MINUTE).contains(&behind), "the operator's clock is {behind} s behind");
    let oldest = pool["oldest"].as_str().unwrap();
    assert!(!oldest.contains('m') && !oldest.contains('h'), "what waits is some seconds old: {oldest}");

    let worker = installation.worker_with("follows", &shifted("+23m"));
    namespace.condition("elr/a", "Succeeded", "True", "Completed");
    control_plane().until("it has nothing to do", || replicas() == 0);
    drop(worker);
    control_plane().until("it wakes ahead of the timer", || replicas() == 1);
    let woken = namespace.get("elp/follows").unwrap()["status"]["decisions"][0].clone();
    assert!(woken["reason"].as_str().unwrap().contains("1 timers within"), "{woken}");
    let _worker = installation.worker_with("follows", &shifted("+23m"));
    namespace.condition("elr/b", "Succeeded", "True", "Completed");
    let run = installation.client().run(&installation.run_id_of("elr/b")).await.unwrap();
    let took = run.closed_at.map_or(TimeMs(0), |closed| TimeMs(closed.0 - run.started_at.0));
    assert!((45_000..10 * 60_000).contains(&took.0), "{} ms by the store's clock", took.0);
    namespace.condition("elp/follows", "Scaling", "True", "FollowsTheWork");
}
