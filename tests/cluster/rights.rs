//! The operator's rights are those that it needs: each rule of deploy/operator-rbac.yaml is used, as the API server's audit log tells.
//! That none is missing is what all other tests show, which run it with these rights.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::control_plane::{Namespace, control_plane};
use crate::installation::{Installation, POOL, a_run, a_workflow};

/// A verb, and what of: `create workerpools.everloop.dev`.
type Right = String;

/// An apply that makes an object is asked as a patch, and authorised as a creation too.
const ASKED_AS_PATCH: [&str; 3] = ["create serviceaccounts.", "create poddisruptionbudgets.policy", "create deployments.apps"];

fn rules() -> BTreeSet<Right> {
    use serde::Deserialize as _;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/operator-rbac.yaml");
    let text = std::fs::read_to_string(file).expect("the rules");
    let mut rights = BTreeSet::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let role = Value::deserialize(document).expect("YAML");
        for rule in role["rules"].as_array().expect("rules") {
            let all = |field: &str| -> Vec<String> {
                rule[field].as_array().expect("a list").iter().map(|text| text.as_str().expect("text").to_owned()).collect()
            };
            for (group, resource) in all("apiGroups").iter().flat_map(|group| all("resources").into_iter().map(move |of| (group, of))) {
                rights.extend(all("verbs").iter().map(|verb| format!("{verb} {resource}.{group}")));
            }
        }
    }
    rights
}

/// What an account was allowed to do so far.
fn used(account: &str) -> BTreeSet<Right> {
    let log = std::fs::read_to_string(control_plane().audit_log()).expect("the audit log");
    // The last line may be on its way.
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_account = events.filter(|event| event["user"]["username"] == account && event["responseStatus"]["code"] != 403);
    let right = |event: Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (object, verb) = (&event["objectRef"], text(&event["verb"]));
        let part = object["subresource"].as_str().map(|part| format!("/{part}")).unwrap_or_default();
        format!("{verb} {}{part}.{}", text(&object["resource"]), text(&object["apiGroup"]))
    };
    of_account.map(right).collect()
}

#[tokio::test]
async fn every_right_of_the_operator_is_used() {
    let mut installation = Installation::new("used-rights");
    let (ours, theirs) = (installation.namespace.clone(), Namespace::new("used-rights-theirs"));
    control_plane().bind(&theirs.0, "everloop-operator", &ours.0);
    theirs.kubectl(&["label", "namespace", &theirs.0, "tier=shop"]);
    installation.kill_operator();
    // The next one makes its own.
    ours.kubectl(&["delete", "elp/default"]);
    let default_pool =
        [("EVERLOOP_DEFAULT_POOL", r#"{"replicas": 0, "allowedNamespaces": {"from": "Selector", "matchLabels": {"tier": "shop"}}}"#)];
    let _operator = installation.another_operator_with("operator", &["--watch-namespace", &theirs.0], &default_pool);

    // A pool with pods, whose image is put back twice: the second event is the first one once more.
    ours.apply(&POOL.replace("default", "busy").replace("{replicas: 0}", "{replicas: 1}")).unwrap();
    ours.condition("elp/busy", "Reconciling", "True", "PodsStarting");
    let image = || ours.get("deployment/everloop-worker-busy").unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let right = image();
    for _ in 0..2 {
        ours.kubectl(&["set", "image", "deployment/everloop-worker-busy", "worker=other:1"]);
        control_plane().until("the image is put back", || image() == right);
    }

    // It becomes smaller: which of its pods goes is said.
    ours.kubectl(&["scale", "elp/busy", "--replicas=0"]);
    ours.condition("elp/busy", "Ready", "True", "ScaledToZero");

    // A workflow from a ConfigMap; one of another namespace, on a pool that chooses by labels.
    let source = "export default async function main() { await new Promise(() => {}); }";
    ours.kubectl(&["create", "configmap", "source", &format!("--from-literal=main.js={source}")]);
    ours.apply(
        "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {name: open}\nspec: {source: {configMapKeyRef: {name: source, key: main.js}}}\n",
    )
    .unwrap();
    ours.condition("elw/open", "Ready", "True", "Applied");
    theirs.apply(&a_workflow("flow", "return 1;")).unwrap();
    theirs.condition("elw/flow", "Ready", "True", "Applied");

    // Runs that end, and go by their time to live; that go with their object; that are left behind by it, as is a workflow.
    theirs.apply(&a_run("short", "flow", ", ttlSecondsAfterFinished: 0")).unwrap();
    ours.apply(&(a_run("deleted", "open", "") + &a_run("lost", "open", ""))).unwrap();
    for run in ["elr/deleted", "elr/lost"] {
        ours.condition(run, "Closed", "False", "Running");
    }
    ours.kubectl(&["patch", "elr/lost", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    ours.kubectl(&["delete", "elr/deleted", "elr/lost", "elw/open"]);

    let account = format!("system:serviceaccount:{}:operator", ours.0);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let used = used(&account);
        let unused: Vec<_> = rules().into_iter().filter(|right| !used.contains(right)).collect();
        if unused.iter().all(|right| ASKED_AS_PATCH.contains(&right.as_str())) {
            assert_eq!(unused.len(), ASKED_AS_PATCH.len(), "{ASKED_AS_PATCH:?} are asked in no other way");
            return;
        }
        assert!(Instant::now() < deadline, "deploy/operator-rbac.yaml gives what nobody uses: {unused:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
