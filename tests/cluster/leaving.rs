//! What becomes of workflows and runs when their objects go, and who may change what.

use everloop::api::http::StartRun;
use everloop::api::{Code, Json, Name, RunStatus, RunView};

use crate::control_plane::control_plane;
use crate::installation::{Installation, Operator, a_run, a_workflow, ask};

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn start(workflow: &str) -> StartRun {
    StartRun { workflow: name(workflow), id: None, input: Json::default(), origin: None }
}

/// The definition in a workflow's object, as people apply it by hand.
fn by_hand(workflow: &str, source: &str) -> everloop::api::definition::Workflow {
    let definition = serde_json::json!({"name": workflow, "pool": "default", "definition": {"source": source}});
    serde_json::from_value(definition).expect("a definition")
}

impl Installation {
    async fn is_retired(&self, workflow: &str) -> bool {
        self.client().workflow(&name(workflow)).await.expect("a workflow").retired
    }

    async fn until_retired(&self, workflow: &str) {
        for _ in 0..600 {
            if self.is_retired(workflow).await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{workflow} is not retired");
    }

    /// How the run of an object ended.
    async fn ended(&self, run: &str) -> RunView {
        self.client().wait(&run.parse().expect("an id")).await.expect("an end")
    }

    fn run_id(&self, object: &str) -> String {
        self.run_id_of(object).to_string()
    }
}

#[tokio::test]
async fn a_deleted_workflow_is_retired_and_revived_by_a_new_one() {
    let installation = Installation::new("retired");
    let namespace = &installation.namespace;
    let waits = a_workflow("flow", "await signal('go'); return 1;").replace("{ sleep }", "{ signal }");
    namespace.apply(&waits).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    namespace.apply(&a_run("open", "flow", "")).unwrap();
    namespace.condition("elr/open", "Closed", "False", "Running");
    let run = installation.run_id("elr/open");
    namespace.kubectl(&["delete", "elw/flow"]);
    installation.until_retired("flow").await;
    let refused = installation.client().start(&start("flow"), "a-key").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::WorkflowRetired), "{refused}");
    namespace.apply(&a_run("late", "flow", "")).unwrap();
    namespace.condition("elr/late", "Reconciling", "True", "WorkflowRetired");

    // What is open goes on, on its version, and what waited starts when the workflow is back.
    installation.client().signal(&run.parse().unwrap(), "go", &Json::default()).await.unwrap();
    assert_eq!(installation.ended(&run).await.status, RunStatus::Completed);
    namespace.apply(&a_workflow("flow", "return 2;")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    assert!(!installation.is_retired("flow").await);
    namespace.condition("elr/late", "Succeeded", "True", "Completed");
}

/// In both directions: who holds a workflow is named, and keeps it until it is given up.
#[tokio::test]
async fn a_workflow_that_people_hold_is_refused_until_it_is_given_up() {
    let installation = Installation::new("held");
    let (namespace, client) = (&installation.namespace, installation.client());
    client.apply(&by_hand("flow", "export default async () => 'by hand';")).await.unwrap();
    namespace.apply(&a_workflow("flow", "return 'by an object';")).unwrap();
    let stalled = namespace.condition("elw/flow", "Stalled", "True", "WorkflowHeld");
    let told = stalled["message"].as_str().unwrap();
    assert!(told.contains("people, who applied it by hand") && told.contains("everloop retire flow"), "{told}");
    client.retire(&name("flow"), None).await.unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    let again = client.apply(&by_hand("flow", "export default async () => 'by hand';")).await.unwrap_err();
    assert_eq!(again.code(), Some(Code::WorkflowHeld));
    let uid = namespace.get("elw/flow").unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    assert!(again.to_string().contains(&format!("held by kubernetes/{uid}")), "{again}");
    assert_eq!(client.retire(&name("flow"), None).await.unwrap_err().code(), Some(Code::WorkflowHeld));
}

/// The objects went while nobody looked, and one came again under the same name.
#[tokio::test]
async fn what_lost_its_object_while_no_operator_was_there_is_cleared_away() {
    let mut installation = Installation::new("orphans");
    let flows: String = ["gone", "again", "stays"].into_iter().map(|flow| a_workflow(flow, "await sleep('1h');") + "---\n").collect();
    installation.namespace.apply(&flows).unwrap();
    let runs = a_run("gone", "gone", "") + &a_run("stays", "stays", "") + &a_run("attached", "stays", ", runId: attached");
    installation.namespace.apply(&runs).unwrap();
    for run in ["elr/gone", "elr/stays", "elr/attached"] {
        installation.namespace.condition(run, "Closed", "False", "Running");
    }
    for flow in ["elw/gone", "elw/again", "elw/stays"] {
        installation.namespace.condition(flow, "Ready", "True", "Applied");
    }
    let ids = ["elr/gone", "elr/stays", "elr/attached"].map(|object| installation.run_id(object));
    installation.kill_operator();
    for object in ["elr/gone", "elr/attached"] {
        installation.namespace.kubectl(&["patch", object, "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#]);
        installation.namespace.kubectl(&["delete", object]);
    }
    installation.namespace.kubectl(&["delete", "elw/gone", "elw/again"]);
    installation.namespace.apply(&a_workflow("again", "return 2;")).unwrap();
    let operator = Operator::start(&installation, "operator", &[]);
    assert_eq!(installation.ended(&ids[0]).await.status, RunStatus::Cancelled, "its object owned it");
    installation.until_retired("gone").await;
    control_plane().until("the new object holds the workflow", || {
        installation.namespace.get("elw/again").unwrap()["status"]["conditions"].to_string().contains("\"Applied\"")
    });
    assert!(!installation.is_retired("again").await && !installation.is_retired("stays").await);
    for id in &ids[1..] {
        let run = installation.client().run(&id.parse().unwrap()).await.unwrap();
        assert!(!run.status.is_closed(), "{id} has its object, or nobody owns it");
    }
    let metrics = ask(operator.port, "/metrics").unwrap();
    assert!(metrics.contains("everloop_operator_orphans_total{controller=\"WorkflowRun\"} 1"), "{metrics}");
}

#[tokio::test]
async fn open_runs_are_told_by_version() {
    let installation = Installation::new("open-runs");
    let namespace = &installation.namespace;
    let status = || namespace.get("elw/flow").unwrap()["status"].clone();
    namespace.apply(&a_workflow("flow", "await sleep('1h');")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    let old = status()["version"].clone();
    namespace.apply(&(a_run("a", "flow", "") + &a_run("b", "flow", ""))).unwrap();
    control_plane().until("two are open", || status()["openRuns"] == 2);
    namespace.apply(&a_workflow("flow", "await sleep('2h');")).unwrap();
    control_plane().until("a new version", || status()["version"] != old);
    let new = status()["version"].clone();
    namespace.apply(&a_run("c", "flow", "")).unwrap();
    let both = serde_json::json!([{"version": old, "openRuns": 2}, {"version": new, "openRuns": 1}]);
    control_plane().until("three are open", || status()["openVersions"] == both);
    assert_eq!(status()["openRuns"], 3);
    namespace.kubectl(&["delete", "elr", "--all"]);
    control_plane().until("none is open", || status()["openRuns"] == 0 && status()["openVersions"].is_null());
}
