//! From no pod to the first result, as its parts: which of them are ours, and which Kubernetes'.

use everloop::api::http::StartRun;
use everloop::api::{Json, RunId, RunStatus};
use everloop::client::Client;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::installation::{Installation, OPERATOR, disturbance, everloop};
use crate::told::{self, Micros, Started, Watched, now};

const WORKFLOW: &str = "apiVersion: everloop.dev/v1alpha1
kind: WorkerPool
metadata: {name: first}
spec:
  scaling: {mode: Auto, max: 4, zeroWindow: 1s, fallWindow: 10s}
---
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: one-step}
spec:
  pool: first
  source: {inline: 'export default async (input) => (await work(input)) + 1;'}
  activities:
    work: {script: 'export default async (n) => n * 2;', retry: {maxAttempts: 1}}
";
const ROUNDS: usize = 5;

/// What happens, in this order: each part ends with one of them.
const MOMENTS: [&str; 11] = [
    "the client asks",
    "the run is in the store",
    "the operator decides",
    "the Deployment wants a pod",
    "the pod is made",
    "it has a node",
    "its container is started",
    "its program runs",
    "its worker has a session",
    "the first turn begins",
    "the client has the result",
];
const SLACK: Micros = 50_000;
/// From the wish for a pod until its container is started: what any pod takes.
const KUBERNETES: (usize, usize) = (3, 6);

async fn round(
    installation: &Installation,
    client: &Client,
    watched: &(Watched, Watched),
    started: Option<&Started>,
    n: usize,
) -> Vec<Micros> {
    let (deployments, pods) = watched;
    let id: RunId = format!("round-{n}").parse().expect("an id");
    let input = Json::of(&20);
    let start = StartRun { workflow: "one-step".parse().expect("a name"), id: Some(id.clone()), input, origin: None };
    let asked = now();
    client.start(&start, id.as_str()).await.expect("a run");
    let view = client.wait(&id).await.expect("an end");
    let answered = now();
    assert_eq!(view.status, RunStatus::Completed, "{:?}", view.error);
    assert_eq!(view.result.map(|result| result.get().to_owned()).as_deref(), Some("41"));

    let namespace = &installation.namespace;
    // The kubelet tells of the container a moment later.
    namespace.until("the pod is ready", "elp/first", |pool| pool["status"]["readyReplicas"] == 1);
    let pod = |object: &Value| object["metadata"]["labels"]["everloop.dev/pool"] == "first";
    let (made, of) = pods.first(asked, |object| pod(object) && object["metadata"]["deletionTimestamp"].is_null()).expect("a pod was made");
    let name = of["metadata"]["name"].as_str().expect("a name").to_owned();
    let same = |object: &Value| object["metadata"]["name"] == name.as_str();
    let (placed, _) = pods.first(made, |object| same(object) && object["spec"]["nodeName"].is_string()).expect("it has a node");
    let container = |object: &Value| object["status"]["containerStatuses"][0].clone();
    let (running, of) = pods.first(made, |object| same(object) && !container(object)["state"]["running"].is_null()).expect("it runs");
    let id_of_container = container(&of)["containerID"].as_str().and_then(|id| id.split("://").nth(1)).unwrap_or_default().to_owned();
    let ran = started.map_or(running, |started| started.at(&id_of_container).expect("containerd started it"));
    let wanted = |object: &Value| object["metadata"]["name"] == "everloop-worker-first" && object["spec"]["replicas"] == 1;
    let (patched, _) = deployments.first(asked, wanted).expect("the Deployment was patched");
    let said = told::logs(everloop(), OPERATOR);
    let decided = said.iter().find(|line| line.at >= asked && line.says("scaling decided") && line.field("namespace") == namespace.0);
    let decided = decided.unwrap_or_else(|| panic!("no decision was told after {asked}: {said:#?}"));
    assert!(decided.field("reason").starts_with("backlog "), "{decided:?}");
    let worker = told::log(namespace, &name);
    let of_worker = |message: &str| worker.iter().find(|line| line.says(message)).unwrap_or_else(|| panic!("{message}: {worker:#?}")).at;
    let micros = |at: everloop::api::TimeMs| Micros::try_from(at.0).expect("a time") * 1_000;
    let journal = client.journal(&id).await.expect("a journal");
    let moments = vec![
        asked,
        micros(view.started_at),
        decided.at,
        patched,
        made,
        placed,
        ran,
        of_worker("worker started"),
        of_worker("session opened"),
        micros(journal[0].at),
        answered,
    ];
    // What caused what, where no watch is between. The store's clock is estimated.
    let told = [moments[1], moments[2], moments[7], moments[8], moments[9], moments[10]];
    assert!(told.windows(2).all(|two| two[0] <= two[1] + SLACK), "{told:?}");
    moments
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_from_no_pod_to_the_first_result_is_told_in_its_parts() {
    let _only_we = disturbance();
    let installation = Installation::new("first-result");
    let namespace = &installation.namespace;
    namespace.apply(WORKFLOW);
    namespace.until_condition("elw/one-step", "Ready", "True");
    let client = installation.client().await;
    let watched = (Watched::all::<Deployment>(namespace).await, Watched::all::<Pod>(namespace).await);
    let started = Started::watch();
    let mut rounds = Vec::new();
    for n in 0..ROUNDS {
        namespace.until("the pool is at zero", "elp/first", |pool| pool["status"]["desiredReplicas"] == 0);
        namespace.until("its pods are gone", "pods", |pods| {
            let of_pool = |pod: &&Value| pod["metadata"]["labels"]["everloop.dev/pool"] == "first";
            pods["items"].as_array().is_some_and(|pods| pods.iter().find(of_pool).is_none())
        });
        rounds.push(round(&installation, &client, &watched, started.as_ref(), n).await);
    }
    println!("from no pod to the first result, {ROUNDS} rounds; median (least to most):");
    let part = |from: usize, to: usize| told::spread(rounds.iter().map(|moments| moments[to] - moments[from]).collect());
    for (index, moment) in MOMENTS.iter().enumerate().skip(1) {
        println!("| until {moment} | {} |", part(index - 1, index));
    }
    let (wish, runs) = KUBERNETES;
    println!("| all | {} |", part(0, MOMENTS.len() - 1));
    println!("| of it Kubernetes' | {} |", part(wish, runs));
    let ours = rounds.iter().map(|moments| moments[MOMENTS.len() - 1] - moments[0] - (moments[runs] - moments[wish])).collect();
    println!("| of it ours | {} |", told::spread(ours));
}
