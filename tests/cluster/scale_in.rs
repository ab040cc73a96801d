//! Pools that become smaller. There is no node: pods are bound to one that has no kubelet, their workers are processes of the test, and
//! a thread tells of each pod what the kubelet would: whether its worker answers that it is ready.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everloop::api::http::{StartRun, WorkerView};
use everloop::api::{DurationMs, Json, RunId, RunStatus};
use serde_json::{Value, json};

use crate::control_plane::{Namespace, control_plane};
use crate::installation::{Installation, Operator, ask};
use crate::process::{Process, free_port};

const POOL: &str = "apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: shrinks}\nspec: {replicas: 3, terminationGracePeriodSeconds: 60}\n";
/// Activities that take as long as they are told. One that fails is the end of its run.
const HOLDS: &str = r"apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: holds}
spec:
  pool: shrinks
  source:
    inline: |
      export default async function holds(input) {
        const all = await Promise.all(Array.from({length: input.activities}, () => hold(input.ms)));
        return all.length;
      }
  activities:
    hold:
      script: |
        export default async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; };
      timeout: 10m
      retry: {maxAttempts: 1}
";
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const DEPLOYMENT: &str = "deployment/everloop-worker-shrinks";

/// What kubelets do for the pods that are played.
struct Kubelet {
    namespace: Namespace,
    /// Pods, with the port of their worker's probes.
    pods: Arc<Mutex<Vec<(String, u16)>>>,
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

impl Kubelet {
    fn new(namespace: &Namespace) -> Self {
        let node = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: node-of-{}}}\n", namespace.0);
        namespace.apply(&node).expect("a node");
        let (pods, ends) = (Arc::new(Mutex::new(Vec::<(String, u16)>::new())), Arc::new(AtomicBool::new(false)));
        let (theirs, end, of) = (pods.clone(), ends.clone(), namespace.clone());
        let thread = std::thread::spawn(move || {
            let mut told: Vec<(String, bool)> = Vec::new();
            while !end.load(Ordering::Relaxed) {
                let played = theirs.lock().expect("no panic while it is held").clone();
                for (pod, port) in played {
                    let ready = ask(port, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"));
                    if told.iter().any(|known| *known == (pod.clone(), ready)) {
                        continue;
                    }
                    let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
                    let status = json!({"status": {"phase": "Running", "conditions": [condition]}}).to_string();
                    if of.try_kubectl(&["patch", "pod", &pod, "--subresource=status", "--type=merge", "-p", &status]).status.success() {
                        told.retain(|(known, _)| *known != pod);
                        told.push((pod, ready));
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { namespace: namespace.clone(), pods, ends, thread: Some(thread) }
    }

    /// A pod gets its node, and the worker that would be in it.
    fn play(&self, pod: &str, port: u16) -> (Process, u16) {
        let target = json!({"apiVersion": "v1", "kind": "Node", "name": format!("node-of-{}", self.namespace.0)});
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target});
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), binding.to_string()).expect("a file");
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/binding", self.namespace.0);
        self.namespace.kubectl(&["create", "--raw", &path, "-f", &file.path().display().to_string()]);
        let probes = free_port();
        // Its name as in a container, where the process is the first one.
        let name = format!("{}-1", &pod[pod.len().saturating_sub(38)..]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        command.args(["worker", "--pool", "shrinks", "--loops", "1", "--name", &name, "--probes", &format!("127.0.0.1:{probes}")]);
        command.env("EVERLOOP_SERVER", format!("http://127.0.0.1:{port}")).env("EVERLOOP_LOG", "warn");
        let worker = Process::spawn("worker", crate::control_plane::bound_to_us(&mut command));
        self.pods.lock().expect("no panic while it is held").push((pod.to_owned(), probes));
        (worker, probes)
    }
}

impl Installation {
    /// Names of the pool's pods that are not on their way out.
    fn staying(&self) -> Vec<String> {
        let pods = self.namespace.get("pods").unwrap_or_default();
        let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let name = |pod: &Value| pod["metadata"]["name"].as_str().expect("a name").to_owned();
        pods["items"].as_array().into_iter().flatten().filter(stays).map(name).filter(|name| name.contains("shrinks")).collect()
    }

    fn number(&self) -> i64 {
        self.namespace.get(DEPLOYMENT).map_or(-1, |found| found["spec"]["replicas"].as_i64().unwrap_or(-1))
    }

    async fn view(&self, pod: &str) -> Option<WorkerView> {
        let workers = self.client().workers_of(&"shrinks".parse().expect("a name")).await.expect("an answer").workers;
        let end = &pod[pod.len() - 12..];
        workers.into_iter().find(|view| view.session.contains(end))
    }

    async fn until_view(&self, what: &str, pod: &str, holds: impl Fn(&WorkerView) -> bool) -> WorkerView {
        for _ in 0..600 {
            if let Some(view) = self.view(pod).await.filter(|view| holds(view)) {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not within a minute: {what}; {:?}", self.view(pod).await)
    }

    /// A run that holds so many activities for so long.
    async fn hold(&self, id: &str, activities: u32, ms: u64) -> RunId {
        let input = Json::of(&json!({"activities": activities, "ms": ms}));
        let start = StartRun { workflow: "holds".parse().expect("a name"), id: Some(id.parse().expect("an id")), input, origin: None };
        self.client().start(&start, id).await.expect("a run").id
    }
}

/// How often pods became something, as the operator counts them.
fn counted(operator: &Operator, outcome: &str) -> u64 {
    let text = ask(operator.port, "/metrics").expect("an answer of the operator");
    let line = format!("everloop_operator_victims_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.trim().parse().expect("a number"))
}

#[tokio::test]
async fn a_pool_that_shrinks_gives_up_the_pods_with_the_least_to_lose_when_they_have_finished() {
    let mut installation = Installation::new("shrinks");
    installation.kill_operator();
    let operator = Operator::start(&installation, "operator", &[]);
    let namespace = installation.namespace.clone();
    let scale = |replicas: u32| namespace.kubectl(&["scale", "elp/shrinks", &format!("--replicas={replicas}")]);
    namespace.apply(POOL).unwrap();
    namespace.apply(HOLDS).unwrap();
    namespace.condition("elw/holds", "Ready", "True", "Applied");
    control_plane().until("three pods", || installation.staying().len() == 3);
    let kubelet = Kubelet::new(&namespace);
    let pods = installation.staying();
    let (most, less, idle) = (&pods[0], &pods[1], &pods[2]);

    // The first has three activities, the second one, the third none.
    let _most = kubelet.play(most, installation.port);
    let session = installation.until_view("the first is there", most, |_| true).await.session;
    let three = installation.hold("three", 3, 240_000).await;
    installation.until_view("it has three", most, |view| view.activities == 3).await;
    let client = installation.client();
    client.drain_worker(&session, DurationMs::from_secs(60)).await.unwrap();
    let _less = kubelet.play(less, installation.port);
    installation.until_view("the second is there", less, |_| true).await;
    let one = installation.hold("one", 1, 25_000).await;
    installation.until_view("it has one", less, |view| view.activities == 1).await;
    let _idle = kubelet.play(idle, installation.port);
    installation.until_view("the third is there", idle, |view| view.leases == 0).await;
    client.work_on(&session).await.unwrap();
    namespace.condition("elp/shrinks", "Ready", "True", "PodsReady");

    scale(2);
    control_plane().until("the one with nothing goes", || installation.staying().len() == 2);
    assert_eq!(installation.staying().iter().filter(|pod| [most, less].contains(pod)).count(), 2);
    control_plane().until("it is counted", || counted(&operator, "gone") == 1);

    scale(1);
    let told = namespace.condition("elp/shrinks", "Reconciling", "True", "Draining");
    assert!(told["message"].as_str().unwrap().starts_with("1 pods more than wanted"), "{told}");
    installation.until_view("the second is to be drained", less, |view| view.draining).await;
    let unready = || {
        let pod = namespace.get(&format!("pod/{less}")).unwrap_or_default();
        pod["status"]["conditions"].as_array().into_iter().flatten().any(|of| of["type"] == "Ready" && of["status"] == "False")
    };
    control_plane().until("its worker says so", unready);
    assert_eq!(installation.view(less).await.unwrap().activities, 1, "it has not finished");
    assert_eq!((installation.number(), namespace.get("elp/shrinks").unwrap()["status"]["draining"].clone()), (2, json!(1)));
    // The other one takes on work meanwhile.
    assert!(!installation.view(most).await.unwrap().draining);

    // More are wanted again.
    scale(2);
    installation.until_view("it works on", less, |view| !view.draining).await;
    namespace.condition("elp/shrinks", "Ready", "True", "PodsReady");
    control_plane().until("it is told", || namespace.get("elp/shrinks").unwrap()["status"]["draining"].is_null());
    assert_eq!((installation.number(), counted(&operator, "taken_back")), (2, 1));

    scale(1);
    control_plane().until("it goes", || installation.staying().len() == 1);
    assert_eq!(installation.staying(), std::slice::from_ref(most));
    let view = client.run(&one).await.unwrap();
    assert_eq!(view.status, RunStatus::Completed, "it went when its activity had ended: {:?}", view.error);
    assert_eq!(client.run(&three).await.unwrap().status, RunStatus::Running);
    control_plane().until("it is counted", || counted(&operator, "gone") == 2);
    assert_eq!((counted(&operator, "unplanned"), counted(&operator, "past_limit")), (0, 0));

    // It takes longer than the grace.
    namespace.kubectl(&["patch", "elp/shrinks", "--type=merge", "-p", r#"{"spec": {"replicas": 0, "terminationGracePeriodSeconds": 5}}"#]);
    control_plane().until("it goes with what it has", || installation.number() == 0 && installation.staying().is_empty());
    assert_eq!(counted(&operator, "past_limit"), 1);
    let past = || namespace.events("WorkerPool", "shrinks").contains(&"PastDrainLimit".to_owned());
    control_plane().until("it is told", past);
    namespace.condition("elp/shrinks", "Ready", "True", "ScaledToZero");
}

/// The pods of an operator that was killed in the middle, and of one that led before.
#[tokio::test]
async fn what_an_operator_has_left_behind_is_gone_on_with_or_taken_back() {
    let mut installation = Installation::new("left-behind");
    let namespace = installation.namespace.clone();
    namespace.apply(&POOL.replace("replicas: 3", "replicas: 2")).unwrap();
    namespace.apply(HOLDS).unwrap();
    namespace.condition("elw/holds", "Ready", "True", "Applied");
    control_plane().until("two pods", || installation.staying().len() == 2);
    let kubelet = Kubelet::new(&namespace);
    let pods = installation.staying();
    let _workers: Vec<_> = pods.iter().map(|pod| kubelet.play(pod, installation.port)).collect();
    namespace.condition("elp/shrinks", "Ready", "True", "PodsReady");

    installation.kill_operator();
    let client = installation.client();
    let run = installation.hold("one", 1, 12_000).await;
    let mut busy = None;
    for _ in 0..600 {
        for pod in &pods {
            if installation.view(pod).await.is_some_and(|view| view.activities == 1) {
                busy = Some(pod.clone());
            }
        }
        if busy.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let busy = busy.expect("one of them works");
    // Whoever led before has chosen it, though the other one has nothing.
    let session = installation.view(&busy).await.unwrap().session;
    client.drain_worker(&session, DurationMs::from_secs(60)).await.unwrap();
    namespace.kubectl(&["scale", "elp/shrinks", "--replicas=1"]);
    installation.start_operator();
    control_plane().until("one goes", || installation.staying().len() == 1);
    assert_ne!(installation.staying(), std::slice::from_ref(&busy), "the one that was chosen went, and not the other one");
    assert_eq!(client.run(&run).await.unwrap().status, RunStatus::Completed);

    installation.kill_operator();
    let left = installation.staying().remove(0);
    namespace.kubectl(&["annotate", "pod", &left, &format!("{COST}={}", i32::MIN)]);
    installation.start_operator();
    let cost = || namespace.get(&format!("pod/{left}")).unwrap()["metadata"]["annotations"][COST].clone();
    control_plane().until("a cost that nobody needs is taken away", || cost().is_null());
    assert_eq!(installation.staying(), [left]);
}

#[tokio::test]
async fn within_a_rollout_no_pod_is_given_up_unless_all_are() {
    let installation = Installation::new("rolls");
    let namespace = &installation.namespace;
    namespace.apply(&POOL.replace("replicas: 3", "replicas: 2")).unwrap();
    control_plane().until("two pods", || installation.staying().len() == 2);
    let kubelet = Kubelet::new(namespace);
    let _workers: Vec<_> = installation.staying().iter().map(|pod| kubelet.play(pod, installation.port)).collect();
    namespace.condition("elp/shrinks", "Ready", "True", "PodsReady");
    namespace.kubectl(&["patch", "elp/shrinks", "--type=merge", "-p", r#"{"spec": {"image": "next:1"}}"#]);
    control_plane().until("a pod of the next one waits for a node", || installation.staying().len() == 3);
    namespace.kubectl(&["scale", "elp/shrinks", "--replicas=1"]);
    let told = |wanted: u32| {
        let pool = namespace.get("elp/shrinks").unwrap();
        pool["status"]["desiredReplicas"] == wanted && pool["status"]["observedGeneration"] == pool["metadata"]["generation"]
    };
    control_plane().until("it is looked at", || told(1));
    assert_eq!((installation.number(), installation.staying().len()), (2, 3), "the rollout comes first");
    namespace.kubectl(&["scale", "elp/shrinks", "--replicas=0"]);
    control_plane().until("all of them go", || installation.number() == 0 && installation.staying().is_empty());
}
