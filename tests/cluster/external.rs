//! Pools with `mode: External`: how many pods their work wants is told, to people, to KEDA and to an HPA; how many there are is another's to say.

use std::path::Path;
use std::process::{Command, Output};

use everloop::api::Json;
use everloop::api::http::StartRun;
use serde_json::Value;

use crate::control_plane::{Namespace, control_plane};
use crate::installation::{Installation, Operator, a_workflow, ask};

/// One turn a pod, so that few runs want many pods.
const POOL: &str = "apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: heavy}\nspec: {replicas: 2, slots: {turns: 1}, scaling: {mode: External, max: 5}}\n";
const DEPLOYMENT: &str = "deployment/everloop-worker-heavy";

fn sample(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples").join(name)).expect("a sample")
}

/// What an operator answers: the status and the document.
fn published(port: u16, namespace: &Namespace, pool: &str) -> (u16, Value) {
    let answer = ask(port, &format!("/v1/scaling/{}/{pool}", namespace.0)).unwrap_or_default();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or_else(|_| body.into()))
}

/// Waits for a number. On the way there is no other one than those.
fn wanted_becomes(port: u16, namespace: &Namespace, expected: i64, before: &[i64]) -> Value {
    let mut last = Value::Null;
    control_plane().until(&format!("{expected} pods are wanted"), || {
        let (status, answer) = published(port, namespace, "heavy");
        last = answer;
        let wanted = last["wanted"].as_i64();
        assert!(status != 200 || wanted.is_some_and(|wanted| wanted == expected || before.contains(&wanted)), "{status} {last}");
        wanted == Some(expected)
    });
    last
}

async fn start_runs(installation: &Installation, number: usize) {
    let client = installation.client();
    for n in 0..number {
        let start = StartRun { workflow: "flow".parse().expect("a name"), id: None, input: Json::default(), origin: None };
        client.start(&start, &format!("key-{n}")).await.expect("it starts");
    }
}

/// An installation whose leading operator answers probes, and another one that stands by.
fn with_a_standby(name: &str) -> (Installation, Operator, Operator) {
    let mut installation = Installation::new(name);
    installation.kill_operator();
    let leader = Operator::start(&installation, "operator", &[]);
    control_plane().until("it leads", || metrics(&leader).contains("everloop_operator_leading 1"));
    let standby = Operator::start(&installation, "standby", &[]);
    (installation, leader, standby)
}

fn metrics(operator: &Operator) -> String {
    ask(operator.port, "/metrics").unwrap_or_default()
}

#[tokio::test]
async fn what_the_work_of_an_external_pool_wants_is_told_and_what_is_not_known_is_no_number() {
    let (mut installation, leader, standby) = with_a_standby("external");
    let namespace = installation.namespace.clone();
    control_plane().until("it is told that there is none", || published(leader.port, &namespace, "heavy").0 == 404);
    namespace.apply(POOL).unwrap();
    namespace.apply(&a_workflow("flow", "return 1;").replace("spec:\n", "spec:\n  pool: heavy\n")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    namespace.condition("elp/heavy", "Scaling", "True", "NumberPublished");
    start_runs(&installation, 20).await;
    // Whichever operator is asked.
    for operator in [&leader, &standby] {
        wanted_becomes(operator.port, &namespace, 5, &[0, 1, 2, 3, 4]);
        // With five of the twenty the number is the same, and nothing caps it yet.
        control_plane().until("its cap is told", || {
            published(operator.port, &namespace, "heavy").1["reason"].as_str().is_some_and(|reason| reason.contains("capped by max 5"))
        });
    }
    let pool = namespace.get("elp/heavy").unwrap();
    let status = &pool["status"];
    assert_eq!((&status["wantedReplicas"], &status["desiredReplicas"]), (&5.into(), &2.into()), "{status}");
    assert_eq!(status["decisions"][0]["to"], 5, "{status}");
    control_plane().until("all of the backlog is told", || namespace.get("elp/heavy").is_some_and(|pool| pool["status"]["backlog"] == 20));
    assert_eq!(namespace.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 2, "its number is not ours to change");
    let labels = format!("{{namespace=\"{}\",pool=\"heavy\"", namespace.0);
    let text = metrics(&leader);
    for line in ["pool_wanted{}} 5", "pool_condition{},condition=\"AtMax\"} 1"] {
        let line = format!("everloop_operator_{}", line.replace("{}", &labels));
        control_plane().until(&line, || metrics(&leader).lines().any(|told| told == line));
    }
    let ups = format!("everloop_operator_decisions_total{labels},direction=\"up\"}} ");
    assert!(text.lines().any(|line| line.strip_prefix(&ups).is_some_and(|count| count != "0")), "{text}");
    assert!(text.contains(&format!("everloop_operator_pool_current{labels}}} ")), "{text}");
    assert!(!metrics(&standby).contains("pool_wanted{"), "only the leader decides");
    // Whoever decides does so through /scale.
    namespace.kubectl(&["scale", "elp/heavy", "--replicas=5"]);
    control_plane().until("it is obeyed", || namespace.get(DEPLOYMENT).is_some_and(|found| found["spec"]["replicas"] == 5));

    // The signal does not come any more: no number, and above all no zero.
    installation.kill_queue();
    for operator in [&leader, &standby] {
        control_plane().until("it is not known", || {
            let (status, answer) = published(operator.port, &namespace, "heavy");
            assert!(status == 503 || answer["wanted"] == 5, "{status} {answer}");
            status == 503
        });
    }
    let (_, told) = published(leader.port, &namespace, "heavy");
    assert!(told.as_str().unwrap().contains("leave the number of pods as it is"), "{told}");
    assert!(!metrics(&leader).contains("pool_wanted{"), "a number that is held is not told");
    assert_eq!(namespace.get("elp/heavy").unwrap()["status"]["wantedReplicas"], 5, "people see what is held");
    installation.start_queue();
    wanted_becomes(leader.port, &namespace, 5, &[]);

    // Nobody leads: nobody keeps the number.
    drop((leader, standby));
    let alone = Operator::start(&installation, "too-late", &["--lease=1h"]);
    control_plane().until("it answers", || ask(alone.port, "/healthz").is_some());
    for _ in 0..20 {
        let (status, answer) = published(alone.port, &namespace, "heavy");
        assert_eq!(status, 503, "{answer}");
    }
    let (_, told) = published(alone.port, &namespace, "heavy");
    assert!(told.as_str().unwrap().contains("no operator is seen to lead"), "{told}");
    drop(alone);

    // A pool of another mode.
    installation.start_operator();
    namespace.apply(&POOL.replace("scaling: {mode: External, max: 5}", "scaling: {mode: Fixed}")).unwrap();
    namespace.condition("elp/heavy", "Scaling", "False", "NotAuto");
    assert!(namespace.get("elp/heavy").unwrap()["status"]["wantedReplicas"].is_null());
}

fn keda(arguments: &[&str]) -> Output {
    let keda = std::env::var_os("EVERLOOP_TEST_KEDA")
        .expect("EVERLOOP_TEST_KEDA is not set: run the tests by `make test`, which builds KEDA's scaler");
    Command::new(keda).args(arguments).output().expect("it runs")
}

/// The trigger of the sample, as KEDA gets it, asks another address.
fn trigger(scaled: &Value, port: u16, namespace: &Namespace) -> String {
    let trigger = &scaled["spec"]["triggers"][0];
    assert_eq!(trigger["type"], "metrics-api");
    let mut metadata = trigger["metadata"].clone();
    let url = metadata["url"].as_str().expect("a url").to_owned();
    let there = url.strip_prefix("http://everloop-operator.everloop.svc:7401").expect("the Service of the chart");
    metadata["url"] = format!("http://127.0.0.1:{port}{}", there.replace("/default/", &format!("/{}/", namespace.0))).into();
    metadata.to_string()
}

/// KEDA's own code, and the API server with KEDA's own definition.
#[tokio::test]
async fn kedas_scaler_reads_what_is_published_as_the_sample_says() {
    let (mut installation, leader, _standby) = with_a_standby("keda");
    let namespace = installation.namespace.clone();
    let definition = String::from_utf8(keda(&["definitions"]).stdout).expect("text");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), definition).expect("a file");
    control_plane().kubectl(&["apply", "--server-side", "-f", &file.path().display().to_string()]);
    control_plane().kubectl(&["wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=30s"]);
    namespace.apply(&sample("scaledobject.yaml")).unwrap();
    let scaled = namespace.get("scaledobject/heavy").expect("a ScaledObject");
    let target = &scaled["spec"]["scaleTargetRef"];
    let kind = format!("{}/{}", target["kind"].as_str().unwrap().to_lowercase(), target["name"].as_str().unwrap());
    assert_eq!(namespace.get(&kind).expect("what it scales")["spec"]["scaling"]["mode"], "External");
    let metadata = trigger(&scaled, leader.port, &namespace);

    namespace.condition("elp/heavy", "Scaling", "True", "NumberPublished");
    namespace.kubectl(&["patch", "elp/heavy", "--type=merge", "-p", r#"{"spec": {"slots": {"turns": 1}}}"#]);
    namespace.apply(&a_workflow("flow", "return 1;").replace("spec:\n", "spec:\n  pool: heavy\n")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    start_runs(&installation, 20).await;
    let mut read = Value::Null;
    control_plane().until("KEDA reads the number", || {
        read = serde_json::from_slice(&keda(&["read", &metadata]).stdout).unwrap_or_default();
        read["value"].as_f64().is_some_and(|value| value >= 20.0)
    });
    let told = published(leader.port, &namespace, "heavy").1;
    assert_eq!(read["value"].as_f64(), told["wanted"].as_f64(), "{read} {told}");
    assert_eq!((&read["active"], &read["target"]["averageValue"]), (&true.into(), &"1".into()), "one pod for each: {read}");

    // A failure is an error to KEDA, which changes nothing then.
    installation.kill_queue();
    let mut failed = String::new();
    control_plane().until("KEDA gets no number", || {
        let output = keda(&["read", &metadata]);
        failed = String::from_utf8_lossy(&output.stderr).into_owned();
        let read = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
        assert!(!output.status.success() || read["value"].as_f64().is_some_and(|value| value >= 20.0), "{read}");
        !output.status.success()
    });
    assert!(failed.contains("api returned 503"), "{failed}");
}

/// No adapter is there: the API server takes the sample, the HPA finds the pool's /scale, and without its metric it changes nothing.
#[test]
fn an_hpa_finds_the_scale_of_a_pool_and_leaves_it_without_a_metric() {
    let installation = Installation::new("hpa");
    let namespace = &installation.namespace;
    namespace.apply(&sample("hpa.yaml").replace("replicas: 1\n", "replicas: 3\n")).unwrap();
    let condition = |kind: &str| {
        let hpa = namespace.get("hpa/heavy").unwrap_or_default();
        let found = hpa["status"]["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind).cloned();
        found.unwrap_or_default()
    };
    control_plane().until("it has looked", || !condition("ScalingActive").is_null());
    assert_eq!((&condition("AbleToScale")["status"], &condition("AbleToScale")["reason"]), (&"True".into(), &"SucceededGetScale".into()));
    let failed = condition("ScalingActive");
    assert_eq!((&failed["status"], &failed["reason"]), (&"False".into(), &"FailedGetExternalMetric".into()), "{failed}");
    assert_eq!(namespace.get("elp/heavy").unwrap()["spec"]["replicas"], 3);
}
