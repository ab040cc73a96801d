//! What the operator costs: an applied change until the first run on it, and thousands of WorkflowRuns at once. A real API server and
//! controller manager, a queue service on the embedded store, one worker and one operator as processes of this machine; etcd does not
//! sync its file, as in the tests. `make bench-cluster`; `make bench-cluster ARGS=quick` for a short one.

#![expect(clippy::print_stdout, reason = "a benchmark's table is its output")]

#[path = "../../tests/cluster/control_plane.rs"]
#[allow(dead_code, reason = "the tests do more with their control plane")]
mod control_plane;
#[path = "../support/disk.rs"]
mod disk;
#[path = "../../tests/cluster/installation.rs"]
#[allow(dead_code, reason = "the tests do more with their installation")]
mod installation;
#[path = "../../tests/support/process.rs"]
mod process;
#[path = "../support/report.rs"]
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use everloop::api::Json;
use everloop::api::http::StartRun;
use everloop::crd::resources::WorkflowRun;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};

use installation::{Installation, Operator, a_workflow, ask};
use report::Report;

/// What the API server has before anything else.
pub const APPLIED: &[&str] = &["crds", "deploy/operator-rbac.yaml"];

/// Requests of the one that makes the objects, at once.
const CREATORS: usize = 32;

fn main() {
    let quick = std::env::args().any(|a| a == "quick");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut report = Report::new(quick);
        let mut installation = Installation::new("bench");
        installation.kill_operator();
        let operator = Operator::start(&installation, "operator", &[]);
        settings(&mut report);
        changed_workflows(&installation, &mut report).await;
        many_runs(&installation, &operator, &mut report).await;
        report.print();
        report.write_as("cluster");
    });
}

/// The most memory that the operator has had, in MiB.
fn memory_max_mib(operator: &Operator) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.process.id())).expect("the operator lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1_024.0
}

/// Sums of counters, by name.
fn counters(port: u16) -> BTreeMap<String, f64> {
    let text = ask(port, "/metrics").expect("it serves");
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("_total")) {
        if let Some((name, value)) = line.rsplit_once(' ') {
            let name = name.split('{').next().unwrap_or(name).to_owned();
            *sums.entry(name).or_insert(0.0) += value.parse::<f64>().unwrap_or(0.0);
        }
    }
    sums
}

fn settings(report: &mut Report) {
    disk::measure(tempfile::tempfile().expect("a file"), report);
    report.settings.insert("store", "embedded, durability strict; etcd without fsync".into());
    report
        .settings
        .insert("processes", "API server, etcd, controller manager, queue service, one worker, one operator, this machine".into());
}

/// From `kubectl apply` of a changed Workflow to the result of the first run on the new version.
async fn changed_workflows(installation: &Installation, report: &mut Report) {
    let (client, name) = (installation.client(), "changing".parse().expect("a name"));
    let (mut kubectl, mut all) = (Vec::new(), Vec::new());
    let mut before = None;
    for round in 0..=if report.quick { 3 } else { 20 } {
        let begin = Instant::now();
        installation.namespace.apply(&a_workflow("changing", &format!("return {round};"))).expect("a workflow");
        let applied = begin.elapsed();
        let version = loop {
            match client.workflow(&name).await {
                Ok(view) if before.as_ref() != Some(&view.version) => break view.version,
                _ => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
            }
        };
        let start = StartRun { workflow: name.clone(), id: None, input: Json::default(), origin: None };
        let run = client.start(&start, &format!("bench-{round}")).await.expect("a run");
        let view = client.wait(&run.id).await.expect("a result");
        assert_eq!((view.version.clone(), view.result.map(|result| result.get().to_owned())), (version.clone(), Some(round.to_string())));
        // The first one finds an operator that has just started.
        if round > 0 {
            kubectl.push(applied.as_secs_f64() * 1_000.0);
            all.push(begin.elapsed().as_secs_f64() * 1_000.0);
        }
        before = Some(version);
    }
    report.add("kubectl apply alone", "time", "ms", kubectl);
    report.add("apply of a change to its first run's result", "time", "ms", all);
}

/// Thousands of WorkflowRuns at once: made, and all of them reflected.
async fn many_runs(installation: &Installation, operator: &Operator, report: &mut Report) {
    let total: u32 = if report.quick { 1_000 } else { 10_000 };
    installation.namespace.apply(&a_workflow("many", "return input.number;")).expect("a workflow");
    installation.namespace.condition("elw/many", "Ready", "True", "Applied");
    let config = kube::config::Kubeconfig::read_from(control_plane::control_plane().kubeconfig()).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await.expect("a configuration");
    let api = Api::<WorkflowRun>::namespaced(kube::Client::try_from(config).expect("a client"), &installation.namespace.0);
    let (idle, requests, asked) = (memory_max_mib(operator), counters(operator.port), counters(installation.port));
    let begin = Instant::now();
    let reflected = tokio::spawn(all_reflected(api.clone(), total as usize));
    stream::iter(0..total)
        .map(|number| {
            let api = api.clone();
            async move {
                let run = serde_json::json!({"metadata": {"name": format!("run-{number}")}, "spec": {"workflow": "many", "input": {"number": number}}});
                let run: WorkflowRun = serde_json::from_value(run).expect("a run");
                api.create(&PostParams::default(), &run).await.expect("it is taken");
            }
        })
        .buffer_unordered(CREATORS)
        .collect::<Vec<()>>()
        .await;
    let created = begin.elapsed().as_secs_f64();
    reflected.await.expect("all are reflected");
    let all = begin.elapsed().as_secs_f64();
    let delta = |before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, name: &str| {
        after.get(name).copied().unwrap_or(0.0) - before.get(name).copied().unwrap_or(0.0)
    };
    let per_run = |count: f64| count / f64::from(total);
    report.settings.insert("WorkflowRuns", total.to_string());
    report.add("WorkflowRuns: all created", "time", "s", vec![created]);
    report.add("WorkflowRuns: all created and reflected", "time", "s", vec![all]);
    let name = "everloop_operator_requests_total";
    report.add(
        "the operator's requests to the API server",
        "per WorkflowRun",
        "",
        vec![per_run(delta(&requests, &counters(operator.port), name))],
    );
    let name = "everloop_requests_total";
    report.add(
        "requests to the queue service, worker's included",
        "per WorkflowRun",
        "",
        vec![per_run(delta(&asked, &counters(installation.port), name))],
    );
    report.add("the operator's memory, at most, before", "VmHWM", "MiB", vec![idle]);
    report.add("the operator's memory, at most, after", "VmHWM", "MiB", vec![memory_max_mib(operator)]);
}

/// Waits until so many runs are told to have succeeded.
async fn all_reflected(api: Api<WorkflowRun>, total: usize) {
    let mut done = BTreeSet::new();
    let mut objects = watcher(api, watcher::Config::default()).applied_objects().boxed();
    while done.len() < total {
        let run = objects.try_next().await.expect("the watch goes on").expect("it does not end");
        if run.status.as_ref().is_some_and(|status| status.conditions.is_true("Succeeded")) {
            done.insert(run.name_any());
        }
    }
}
