//! WorkflowRuns: one object, one run, whatever dies.

use std::collections::BTreeSet;
use std::time::Duration;

use everloop::api::Name;

use crate::control_plane::control_plane;
use crate::installation::{Installation, Operator, a_run, a_workflow, ask};
use crate::redis::{FIT, RedisServer};

#[tokio::test]
async fn a_run_is_started_and_its_end_is_told() {
    let installation = Installation::new("runs");
    let namespace = &installation.namespace;
    // The run first: things are applied together.
    namespace.apply(&a_run("good", "flow", ", input: {name: Ada}")).unwrap();
    namespace.apply(&a_run("bad", "flow", ", inputJSON: 'null'")).unwrap();
    namespace.condition("elr/good", "Reconciling", "True", "WorkflowNotFound");
    namespace.apply(&a_workflow("flow", "if (!input) throw new RangeError('no name'); return `Hello, ${input.name}`;")).unwrap();
    namespace.kubectl(&["wait", "--for=condition=Closed", "elr", "--all", "--timeout=60s"]);
    namespace.condition("elr/good", "Succeeded", "True", "Completed");
    namespace.condition("elr/bad", "Succeeded", "False", "Failed");
    let (good, bad) = (namespace.get("elr/good").unwrap(), namespace.get("elr/bad").unwrap());
    assert_eq!(good["status"]["result"], "\"Hello, Ada\"");
    assert_eq!(bad["status"]["error"], "RangeError: no name");
    assert!(good["metadata"]["finalizers"].is_null(), "a run that has ended holds nothing");
    let table = namespace.kubectl(&["get", "workflowruns"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "WORKFLOW", "STATUS", "CLOSED", "AGE"]);
    assert_eq!([&lines[1][..3], &lines[2][..3]], [["bad", "flow", "Failed"], ["good", "flow", "Completed"]], "{table}");
}

/// SIGKILL at any moment between the object and the end of its run: each object is one run.
#[tokio::test]
async fn an_operator_that_dies_again_and_again_starts_each_run_once() {
    let mut installation = Installation::new("dying-operator");
    installation.namespace.apply(&a_workflow("flow", "return input.number;")).unwrap();
    let documents: String =
        (0..60).map(|number| a_run(&format!("run-{number}"), "flow", &format!(", input: {{number: {number}}}"))).collect();
    installation.namespace.apply(&documents).unwrap();
    for life_ms in [50, 120, 200, 300, 400] {
        installation.kill_operator();
        installation.start_operator();
        tokio::time::sleep(Duration::from_millis(life_ms)).await;
    }
    installation.namespace.kubectl(&["wait", "--for=condition=Succeeded", "elr", "--all", "--timeout=60s"]);
    let objects = installation.namespace.get("elr").unwrap();
    let objects = objects["items"].as_array().unwrap();
    let ids: BTreeSet<String> = objects.iter().map(|object| object["status"]["runId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 60);
    assert_eq!(installation.runs().await.into_iter().collect::<BTreeSet<_>>(), ids, "no run without an object, and none twice");
    for object in objects {
        assert_eq!(object["status"]["result"], object["spec"]["input"]["number"].to_string(), "{object}");
    }
}

#[tokio::test]
async fn a_queue_service_that_is_away_is_told_and_nothing_is_lost() {
    let mut installation = Installation::new("away");
    installation.namespace.apply(&a_workflow("flow", "return 1;")).unwrap();
    installation.namespace.condition("elw/flow", "Ready", "True", "Applied");
    installation.kill_queue();
    installation.namespace.apply(&a_run("run", "flow", "")).unwrap();
    installation.namespace.apply(&a_workflow("later", "return 2;")).unwrap();
    installation.namespace.condition("elr/run", "Reconciling", "True", "QueueServiceAway");
    installation.namespace.condition("elw/later", "Reconciling", "True", "QueueServiceAway");
    installation.start_queue();
    installation.namespace.condition("elr/run", "Succeeded", "True", "Completed");
    installation.namespace.condition("elw/later", "Ready", "True", "Applied");
}

/// The service answers, and its store does not: that passes, and is no verdict on any object.
#[tokio::test]
async fn a_redis_that_is_away_is_told_and_all_converges_when_it_is_back() {
    let mut redis = RedisServer::start(&FIT);
    let installation = Installation::on("redis-away", Some(redis.url()));
    let namespace = &installation.namespace;
    namespace.apply(&a_workflow("flow", "return 1;")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    redis.kill();
    namespace.apply(&a_workflow("later", "return 2;")).unwrap();
    namespace.apply(&a_run("run", "flow", "")).unwrap();
    for object in ["elw/later", "elr/run"] {
        let told = namespace.condition(object, "Reconciling", "True", "QueueServiceAway");
        assert!(told["message"].as_str().unwrap().contains("StoreUnavailable"), "{told}");
    }
    redis.kill_and_restart();
    namespace.condition("elw/later", "Ready", "True", "Applied");
    namespace.condition("elr/run", "Succeeded", "True", "Completed");
}

/// The object goes when the queue service has acknowledged the cancellation, not before; `cancel` does the same without deleting.
#[tokio::test]
async fn deleting_an_object_cancels_its_run() {
    let mut installation = Installation::new("deleted");
    installation.namespace.apply(&a_workflow("waits", "await sleep('1h');")).unwrap();
    installation.namespace.apply(&["asked", "later", "deleted"].map(|name| a_run(name, "waits", "")).concat()).unwrap();
    for run in ["elr/asked", "elr/later", "elr/deleted"] {
        installation.namespace.condition(run, "Closed", "False", "Running");
    }
    let cancel = ["--type=merge", "-p", r#"{"spec": {"cancel": true}}"#];
    installation.namespace.kubectl(&[&["patch", "elr/asked"], &cancel[..]].concat());
    installation.namespace.condition("elr/asked", "Succeeded", "False", "Cancelled");
    let id = installation.namespace.get("elr/deleted").unwrap()["status"]["runId"].as_str().unwrap().to_owned();
    installation.kill_queue();
    installation.namespace.kubectl(&["delete", "elr/deleted", "--wait=false"]);
    let told = installation.namespace.condition("elr/deleted", "Reconciling", "True", "QueueServiceAway");
    assert!(told["message"].as_str().unwrap().contains("trying again to cancel the run"), "it waits, and says for what: {told}");
    installation.namespace.kubectl(&[&["patch", "elr/later"], &cancel[..]].concat());
    installation.namespace.condition("elr/later", "Reconciling", "True", "QueueServiceAway");
    installation.start_queue();
    installation.namespace.condition("elr/later", "Succeeded", "False", "Cancelled");
    control_plane().until("the object is gone", || installation.namespace.get("elr/deleted").is_none());
    let run = installation.client().wait(&id.parse().unwrap()).await.unwrap();
    assert_eq!(format!("{:?}", run.status), "Cancelled");
}

/// With `runId` an object attaches to an equal run, takes nothing with it when it goes, and does not take another run for its own.
#[tokio::test]
async fn an_object_with_a_run_id_attaches() {
    let installation = Installation::new("attach");
    let namespace = &installation.namespace;
    namespace.apply(&a_workflow("waits", "await sleep('1h');")).unwrap();
    namespace.apply(&a_run("first", "waits", ", runId: mine, input: {a: 1}")).unwrap();
    namespace.condition("elr/first", "Closed", "False", "Running");
    namespace.kubectl(&["delete", "elr/first"]);
    assert!(!installation.client().run(&"mine".parse().unwrap()).await.unwrap().status.is_closed());
    namespace.apply(&a_run("again", "waits", ", runId: mine, input: {a: 1}")).unwrap();
    namespace.condition("elr/again", "Closed", "False", "Running");
    namespace.apply(&a_run("other", "waits", ", runId: mine, input: {a: 2}")).unwrap();
    let stalled = namespace.condition("elr/other", "Stalled", "True", "RunIdTaken");
    assert!(stalled["message"].as_str().unwrap().contains("another input"), "{stalled}");
    assert_eq!(installation.runs().await, ["mine"]);
}

/// Only what has ended goes, and its run stays.
#[tokio::test]
async fn an_object_with_a_time_to_live_goes_after_the_end_of_its_run() {
    let installation = Installation::new("ttl");
    let namespace = &installation.namespace;
    namespace.apply(&(a_workflow("flow", "return 1;") + "---\n" + &a_workflow("waits", "await sleep('1h');"))).unwrap();
    let ttl = |seconds: u32| format!(", ttlSecondsAfterFinished: {seconds}");
    namespace.apply(&(a_run("short", "flow", &ttl(1)) + &a_run("long", "flow", &ttl(3_600)) + &a_run("open", "waits", &ttl(0)))).unwrap();
    namespace.condition("elr/long", "Succeeded", "True", "Completed");
    namespace.condition("elr/open", "Closed", "False", "Running");
    control_plane().until("it is gone", || namespace.get("elr/short").is_none());
    assert!(namespace.get("elr/long").is_some() && namespace.get("elr/open").is_some());
    assert_eq!(installation.runs().await.len(), 3);
}

/// `spec.suspend` holds the run for the object alone: what people hold stays held.
#[tokio::test]
async fn suspend_adds_and_removes_its_own_hold_only() {
    let installation = Installation::new("suspended");
    let (namespace, client) = (&installation.namespace, installation.client());
    namespace.apply(&a_workflow("waits", "await sleep('1h');")).unwrap();
    // From the begin, and later.
    namespace.apply(&(a_run("begin", "waits", ", suspend: true") + &a_run("later", "waits", ""))).unwrap();
    namespace.condition("elr/begin", "Suspended", "True", "SuspendRequested");
    namespace.condition("elr/begin", "Stalled", "True", "Paused");
    namespace.condition("elr/later", "Closed", "False", "Running");
    let id = namespace.get("elr/later").unwrap()["status"]["runId"].as_str().unwrap().parse().unwrap();
    client.pause(&id, "by hand").await.unwrap();
    let suspend = |run: &str, suspend: bool| {
        namespace.kubectl(&["patch", run, "--type=merge", "-p", &format!(r#"{{"spec": {{"suspend": {suspend}}}}}"#)]);
    };
    suspend("elr/later", true);
    namespace.condition("elr/later", "Suspended", "True", "SuspendRequested");
    let holders = client.run(&id).await.unwrap().blocked.unwrap().holders;
    assert_eq!(holders.iter().map(Name::as_str).collect::<Vec<_>>(), ["people", "kubernetes"]);
    suspend("elr/later", false);
    namespace.condition("elr/later", "Suspended", "False", "SuspendTakenBack");
    assert_eq!(client.run(&id).await.unwrap().status.as_str(), "Paused", "people hold it");
    client.resume(&id, &everloop::api::http::Resume::default()).await.unwrap();
    namespace.condition("elr/later", "Stalled", "False", "Accepted");
    suspend("elr/begin", false);
    namespace.condition("elr/begin", "Stalled", "False", "Accepted");
}

/// Nobody asks for a run again and again: the feed of changes tells what becomes of it, an operator that was gone looks once.
#[tokio::test]
async fn open_runs_are_followed_without_a_call_for_each() {
    const RUNS: usize = 300;
    const ROUTE: &str = "/v1/namespaces/{ns}/runs/{id}";
    let mut installation = Installation::new("followed");
    installation
        .namespace
        .apply(&a_workflow("waits", "await signal('go'); return input.number;").replace("{ sleep }", "{ signal }"))
        .unwrap();
    let documents: String =
        (0..RUNS).map(|number| a_run(&format!("run-{number}"), "waits", &format!(", input: {{number: {number}}}"))).collect();
    installation.namespace.apply(&documents).unwrap();
    let objects = |installation: &Installation| installation.namespace.get("elr").unwrap()["items"].as_array().unwrap().clone();
    control_plane().until("all are accepted", || {
        let accepted = objects(&installation).iter().filter(|object| !object["status"]["acceptedAt"].is_null()).count();
        accepted == RUNS
    });
    let asked = installation.requests(ROUTE);
    assert!(asked < 30, "a start that is new needs no look: {asked}");
    let client = installation.client();
    let id = |object: &serde_json::Value| object["status"]["runId"].as_str().unwrap().parse().unwrap();
    let all = objects(&installation);
    // A pause and its end are told at once, too.
    client.pause(&id(&all[0]), "for a look").await.unwrap();
    let name = format!("elr/{}", all[0]["metadata"]["name"].as_str().unwrap());
    installation.namespace.condition(&name, "Stalled", "True", "Paused");
    client.resume(&id(&all[0]), &everloop::api::http::Resume::default()).await.unwrap();
    installation.namespace.condition(&name, "Stalled", "False", "Accepted");
    let go = |objects: Vec<serde_json::Value>| async {
        for object in objects {
            client.signal(&id(&object), "go", &everloop::api::Json::null()).await.unwrap();
        }
    };
    let (first, rest) = all.split_at(RUNS / 2);
    go(first.to_vec()).await;
    let closed =
        |installation: &Installation| objects(installation).iter().filter(|object| !object["status"]["closedAt"].is_null()).count();
    control_plane().until("the first half is closed", || closed(&installation) == RUNS / 2);
    assert_eq!(installation.requests(ROUTE), asked, "of the half that ended and of the half that waits, none was asked for");
    // What ends while no operator is there is found by one look at each.
    installation.kill_operator();
    go(rest.to_vec()).await;
    installation.start_operator();
    control_plane().until("all are closed", || closed(&installation) == RUNS);
    let looks = installation.requests(ROUTE) - asked;
    assert!(looks <= RUNS as u64 / 2 + 30, "{looks} looks at {} runs", RUNS / 2);
    for object in objects(&installation) {
        assert_eq!(object["status"]["result"], object["spec"]["input"]["number"].to_string(), "{object}");
    }
}

/// From its object to its end: the finalizer, the id, the acceptance, the end, no finalizer.
#[tokio::test]
async fn a_run_takes_five_writes_of_its_object() {
    const RUNS: usize = 40;
    /// The workflow's numbers of open runs, and what met a write of somebody else.
    const OTHERS: u64 = 20;
    let mut installation = Installation::new("writes");
    installation.kill_operator();
    let operator = Operator::start(&installation, "operator", &[]);
    let namespace = &installation.namespace;
    namespace.apply(&a_workflow("flow", "return 1;")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    namespace.condition("elp/default", "Ready", "True", "ScaledToZero");
    let writes = || {
        let metrics = ask(operator.port, "/metrics").expect("an answer of the operator");
        let line = metrics.lines().find_map(|line| line.strip_prefix("everloop_operator_requests_total{method=\"PATCH\"} "));
        line.expect("it has written").parse::<u64>().expect("a number")
    };
    let before = writes();
    namespace.apply(&(0..RUNS).map(|number| a_run(&format!("run-{number}"), "flow", "")).collect::<String>()).unwrap();
    control_plane().until("all is written", || {
        let objects = namespace.get("elr").unwrap()["items"].as_array().unwrap().clone();
        objects.len() == RUNS && objects.iter().all(|run| !run["status"]["closedAt"].is_null() && run["metadata"]["finalizers"].is_null())
    });
    let (written, runs) = (writes() - before, RUNS as u64);
    assert!((4 * runs..=5 * runs + OTHERS).contains(&written), "{written} writes of {RUNS} objects");
}

/// What is settled is written no more: not by passes, and not by an operator that starts.
#[tokio::test]
async fn a_settled_object_is_not_written_again() {
    let mut installation = Installation::new("settled");
    installation.namespace.apply(&a_workflow("flow", "return 1;")).unwrap();
    installation.namespace.apply(&a_run("run", "flow", "")).unwrap();
    installation.namespace.condition("elr/run", "Succeeded", "True", "Completed");
    control_plane().until("the pool is told about", || {
        installation.namespace.get("elp/default").is_some_and(|pool| pool["status"]["conditions"][0]["reason"] == "ScaledToZero")
    });
    control_plane().until("the finalizer is gone", || installation.namespace.get("elr/run").unwrap()["metadata"]["finalizers"].is_null());
    let versions = |installation: &Installation| {
        ["elw/flow", "elr/run", "elp/default", "deployment/everloop-worker-default"]
            .map(|what| installation.namespace.get(what).unwrap()["metadata"]["resourceVersion"].clone())
    };
    let before = versions(&installation);
    installation.kill_operator();
    installation.start_operator();
    // It works: what comes now is seen. It has seen what there was before that.
    installation.namespace.apply(&a_run("later", "flow", "")).unwrap();
    installation.namespace.condition("elr/later", "Succeeded", "True", "Completed");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(versions(&installation), before);
}
