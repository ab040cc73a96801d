//! Several operators: one works, another takes over, and none does harm.

use std::collections::BTreeMap;
use std::time::Duration;

use everloop::api::{Json, RunStatus};
use rustix::process::Signal;
use serde_json::Value;

use crate::control_plane::{Namespace, control_plane};
use crate::installation::{Installation, Operator, a_run, a_workflow, ask};
use crate::relay::Relay;

/// Long enough for a machine that is busy with other tests, short enough to wait for.
const LEASE: &str = "--lease=3s";
const LEASE_TIME: Duration = Duration::from_secs(3);
/// Of this lease.
const RETRY: Duration = Duration::from_millis(400);
/// What requests may take on a machine that is busy.
const SLACK: Duration = Duration::from_secs(4);

fn until_metric(operator: &Operator, line: &str) {
    control_plane().until(line, || ask(operator.port, "/metrics").is_some_and(|text| text.lines().any(|found| found == line)));
}

fn holder(namespace: &Namespace) -> String {
    namespace
        .get("lease/everloop-operator")
        .map_or_else(String::new, |lease| lease["spec"]["holderIdentity"].as_str().unwrap_or("").to_owned())
}

/// A time that stands in the Lease: the operators' own clocks, which are one here.
fn time_of(namespace: &Namespace, field: &str) -> jiff::Timestamp {
    let lease = namespace.get("lease/everloop-operator").expect("a Lease");
    lease["spec"][field].as_str().expect(field).parse().expect("a time")
}

/// With the first one's Lease held by `first`.
fn two_operators(name: &str, lease: &str) -> (Installation, Operator, Operator) {
    let mut installation = Installation::new(name);
    installation.kill_operator();
    installation.namespace.kubectl(&["delete", "lease", "everloop-operator", "--ignore-not-found"]);
    let first = Operator::start(&installation, "first", &[lease]);
    until_metric(&first, "everloop_operator_leading 1");
    let second = Operator::start(&installation, "second", &[lease]);
    until_metric(&second, "everloop_operator_leading 0");
    (installation, first, second)
}

#[tokio::test]
async fn a_standby_takes_over_when_the_leader_dies_and_at_once_when_it_stops_in_order() {
    let (installation, mut first, second) = two_operators("taking-over", LEASE);
    let namespace = &installation.namespace;
    assert!(ask(second.port, "/readyz").unwrap().starts_with("HTTP/1.1 200"), "one that stands by is ready");
    let last_sign = time_of(namespace, "renewTime");
    first.process.kill();
    namespace.apply(&a_workflow("flow", "return 1;")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    assert_eq!(holder(namespace), "second");
    // The last sign may be one later than the one that was read; each look comes at most a retry period after the one before.
    let stood_still = time_of(namespace, "acquireTime").duration_since(last_sign);
    let within = LEASE_TIME + RETRY * 2 + SLACK;
    assert!(stood_still < jiff::SignedDuration::try_from(within).unwrap(), "{stood_still:#}");
    until_metric(&second, "everloop_operator_leading 1");

    // In order: nobody could wait for this Lease to end.
    let third = Operator::start(&installation, "third", &["--lease=1h"]);
    until_metric(&third, "everloop_operator_leading 0");
    second.process.signal(Signal::TERM);
    until_metric(&third, "everloop_operator_leading 1");
    namespace.apply(&a_run("run", "flow", "")).unwrap();
    namespace.condition("elr/run", "Succeeded", "True", "Completed");
    let metrics = ask(third.port, "/metrics").unwrap();
    for line in
        ["everloop_operator_passes_total{controller=\"WorkflowRun\",outcome=\"ok\"}", "everloop_operator_requests_total{method=\"PATCH\"}"]
    {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

/// The versions of all that the operators write.
fn versions(namespace: &Namespace) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = namespace.get("workflows,workflowruns,workerpools,deployments").expect("a list");
    let all = all["items"].as_array().expect("a list").iter().map(|object| {
        let (kind, metadata) = (text(&object["kind"]), &object["metadata"]);
        (format!("{kind}/{}", text(&metadata["name"])), text(&metadata["resourceVersion"]))
    });
    all.collect()
}

/// It stops in the middle of its work, past its Lease, and comes back: it believes to lead, and writes nothing.
#[tokio::test]
async fn a_leader_that_was_stopped_for_long_changes_nothing_when_it_goes_on() {
    stopped_and_continued("stopped", LEASE, |_| {}).await;
}

/// Somebody takes its Lease away while it stops: by its own clock it still leads, and may write. What it observed is no longer so, and
/// its term is over.
#[tokio::test]
async fn a_leader_that_does_not_know_that_it_was_deposed_changes_nothing_either() {
    let take_away = |namespace: &Namespace| drop(namespace.kubectl(&["delete", "lease", "everloop-operator"]));
    stopped_and_continued("deposed", "--lease=1h", take_away).await;
}

async fn stopped_and_continued(name: &str, lease: &str, take_lease_away: impl Fn(&Namespace)) {
    let (installation, first, second) = two_operators(name, lease);
    let namespace = &installation.namespace;
    namespace.apply(&a_workflow("flow", "return input.number;")).expect("applied");
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    let runs: String = (0..80).map(|number| a_run(&format!("run-{number}"), "flow", &format!(", input: {{number: {number}}}"))).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| namespace.apply(&runs).expect("applied"));
        let some =
            || namespace.get("elr").expect("runs")["items"].as_array().expect("a list").iter().any(|run| !run["status"]["runId"].is_null());
        control_plane().until("the first one is at work", some);
        first.process.signal(Signal::STOP);
    });
    take_lease_away(namespace);
    until_metric(&second, "everloop_operator_leading 1");
    namespace.kubectl(&["wait", "--for=condition=Succeeded", "elr", "--all", "--timeout=60s"]);
    namespace.kubectl(&["scale", "elp/default", "--replicas=1"]);
    namespace.condition("elp/default", "Reconciling", "True", "PodsStarting");
    namespace.apply(&a_workflow("flow", "return input.number + 1;")).expect("applied");
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    let no_finalizers = || {
        namespace.get("elr").expect("runs")["items"].as_array().expect("a list").iter().all(|run| run["metadata"]["finalizers"].is_null())
    };
    control_plane().until("all is written", no_finalizers);
    control_plane().until("open runs are counted", || namespace.get("elw/flow").expect("a workflow")["status"]["openRuns"] == 0);
    let before = versions(namespace);
    first.process.signal(Signal::CONT);
    until_metric(&first, "everloop_operator_leading 0");
    assert_eq!(holder(namespace), "second");
    assert_eq!(versions(namespace), before);
    let in_force = installation.client().workflow(&"flow".parse().expect("a name")).await.expect("a workflow").version.to_string();
    assert_eq!(namespace.get("elw/flow").expect("a workflow")["status"]["version"], in_force);
    assert_eq!(installation.runs().await.len(), 80, "no run was started twice");
}

#[tokio::test]
async fn the_default_pool_is_made_once() {
    let mut installation = Installation::new("default-pool");
    let namespace = installation.namespace.clone();
    installation.kill_operator();
    namespace.kubectl(&["delete", "elp/default"]);
    let pool = ["--default-pool", r#"{"replicas": 2, "slots": {"turns": 8}}"#];
    let mut operator = Operator::start(&installation, "operator", &pool);
    namespace.condition("elp/default", "Reconciling", "True", "PodsStarting");
    let made = namespace.get("elp/default").unwrap();
    assert_eq!((&made["spec"]["replicas"], &made["spec"]["slots"]["turns"]), (&2.into(), &8.into()));
    namespace.kubectl(&["delete", "elp/default"]);
    operator.process.kill();
    let operator = Operator::start(&installation, "operator", &pool);
    until_metric(&operator, "everloop_operator_leading 1");
    // Whatever it does at first is done when it has looked at a workflow.
    namespace.apply(&a_workflow("flow", "return 1;")).unwrap();
    namespace.condition("elw/flow", "Reconciling", "True", "PoolNotFound");
    assert!(namespace.get("elp/default").is_none(), "a pool that was deleted stays deleted");
}

/// For far longer than the Lease: runs go on, the operator stays, and when the API server is back it leads and tells all.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_for_long_stops_no_run_and_all_is_told_when_it_is_back() {
    let (mut installation, mut first, second) = two_operators("api-server-away", LEASE);
    drop(second);
    first.process.kill();
    let mut relay = Relay::to(control_plane().port()).await;
    installation.find_api_server_at(relay.port);
    let mut operator = Operator::start(&installation, "first", &[LEASE]);
    until_metric(&operator, "everloop_operator_leading 1");
    let waits = a_workflow("waits", "return await signal('go');").replace("{ sleep }", "{ signal }");
    installation.namespace.apply(&waits).unwrap();
    installation.namespace.apply(&(a_run("ends", "waits", "") + &a_run("deleted", "waits", ""))).unwrap();
    for run in ["elr/ends", "elr/deleted"] {
        installation.namespace.condition(run, "Closed", "False", "Running");
    }
    let id = |object: &str| installation.namespace.get(object).unwrap()["status"]["runId"].as_str().unwrap().parse().unwrap();
    let (ends, deleted) = (id("elr/ends"), id("elr/deleted"));

    relay.cut().await;
    until_metric(&operator, "everloop_operator_leading 0");
    let client = installation.client();
    client.signal(&ends, "go", &Json::of(&7)).await.unwrap();
    assert_eq!(client.wait(&ends).await.unwrap().status, RunStatus::Completed, "runs need no API server");
    installation.namespace.kubectl(&["delete", "elr/deleted", "--wait=false"]);
    installation.namespace.apply(&a_run("late", "waits", "")).unwrap();
    // Several Leases.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(operator.process.is_alive() && ask(operator.port, "/healthz").unwrap().starts_with("HTTP/1.1 200"));
    assert!(!client.run(&deleted).await.unwrap().status.is_closed(), "nobody could tell it");

    relay.mend().await;
    until_metric(&operator, "everloop_operator_leading 1");
    installation.namespace.condition("elr/ends", "Succeeded", "True", "Completed");
    assert_eq!(installation.namespace.get("elr/ends").unwrap()["status"]["result"], "7");
    assert_eq!(client.wait(&deleted).await.unwrap().status, RunStatus::Cancelled);
    installation.namespace.condition("elr/late", "Closed", "False", "Running");
    assert_eq!(installation.runs().await.len(), 3, "one run for each object");
}
