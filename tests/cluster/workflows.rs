//! Workflows: from `kubectl apply` to the queue service and back.

use std::path::Path;

use crate::control_plane::{Namespace, control_plane};
use crate::installation::{Installation, POOL, a_run, a_workflow};

#[tokio::test]
async fn every_example_is_applied_and_said_to_be_ready() {
    let installation = Installation::new("examples");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    installation.namespace.kubectl(&["apply", "-f", &folder.display().to_string()]);
    installation.namespace.kubectl(&["wait", "--for=condition=Ready", "workflows", "--all", "--timeout=60s"]);
    installation.namespace.kubectl(&["wait", "--for=jsonpath={.status.openRuns}=0", "workflows", "--all", "--timeout=60s"]);
    let table = installation.namespace.kubectl(&["get", "workflows"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "VERSION", "POOL", "OPEN", "REASON", "AGE"]);
    let known = installation.client().workflows().await.unwrap().workflows;
    assert_eq!(known.len(), lines.len() - 1);
    for (line, known) in lines[1..].iter().zip(known) {
        assert_eq!(line[..6], [known.name.as_str(), "True", known.version.short(), "default", "0", "Applied"], "{table}");
    }
}

/// A mistake is told with its line, and runs go on starting on the version before.
#[tokio::test]
async fn a_mistake_is_told_with_its_place_and_the_last_good_version_stays() {
    let installation = Installation::new("mistakes");
    let namespace = &installation.namespace;
    namespace.apply(&a_workflow("flow", "return 1;")).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    let good = namespace.get("elw/flow").unwrap()["status"]["version"].clone();
    namespace.apply(&a_workflow("flow", "return 1 +;")).unwrap();
    let stalled = namespace.condition("elw/flow", "Stalled", "True", "InvalidSource");
    assert!(stalled["message"].as_str().unwrap().contains("spec.source.inline:3:"), "{stalled}");
    namespace.condition("elw/flow", "Ready", "False", "InvalidSource");
    namespace.apply(&a_workflow("flow", "return fetch('http://x/');")).unwrap();
    let stalled = namespace.condition("elw/flow", "Stalled", "True", "InvalidSource");
    assert!(stalled["message"].as_str().unwrap().contains("fetch"), "{stalled}");
    assert_eq!(namespace.get("elw/flow").unwrap()["status"]["version"], good);
    control_plane().until("it is told", || !namespace.events("Workflow", "flow").is_empty());
    assert_eq!(namespace.events("Workflow", "flow"), ["InvalidSource"], "once, and not for every pass");
    let name = "flow".parse().unwrap();
    assert_eq!(installation.client().workflow(&name).await.unwrap().version.to_string(), good.as_str().unwrap());
    namespace.apply(&a_workflow("flow", "return 2;")).unwrap();
    namespace.condition("elw/flow", "Stalled", "False", "Applied");
    assert_ne!(namespace.get("elw/flow").unwrap()["status"]["version"], good);
}

#[tokio::test]
async fn a_change_of_a_config_map_is_a_new_version() {
    let installation = Installation::new("config-maps");
    let namespace = &installation.namespace;
    let flow = "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {name: flow}\nspec: {source: {configMapKeyRef: {name: code, key: flow.js}}}\n";
    namespace.apply(flow).unwrap();
    let missing = namespace.condition("elw/flow", "Ready", "False", "ConfigMapNotFound");
    assert!(missing["message"].as_str().unwrap().contains("\"code\" does not exist"), "{missing}");
    let map = |text: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: code}}\ndata: {{flow.js: '{text}'}}\n");
    let mut versions = Vec::new();
    for number in 1..=2 {
        namespace.apply(&map(&format!("export default async () => {number};"))).unwrap();
        control_plane().until("a new version", || {
            let version = namespace.get("elw/flow").unwrap()["status"]["version"].clone();
            let new = !version.is_null() && !versions.contains(&version);
            if new {
                versions.push(version);
            }
            new
        });
        namespace.condition("elw/flow", "Ready", "True", "Applied");
    }
    namespace.kubectl(&["delete", "configmap", "code"]);
    namespace.condition("elw/flow", "Ready", "False", "ConfigMapNotFound");
    assert_eq!(namespace.get("elw/flow").unwrap()["status"]["version"], versions[1], "the version before stays");
}

#[tokio::test]
async fn a_pool_that_is_not_there_is_told_and_heals_when_it_comes() {
    let installation = Installation::new("missing-pool");
    let namespace = &installation.namespace;
    namespace.apply(&a_workflow("flow", "return 1;").replace("spec:\n", "spec:\n  pool: gpu\n")).unwrap();
    let told = namespace.condition("elw/flow", "Ready", "False", "PoolNotFound");
    assert!(told["message"].as_str().unwrap().contains("\"gpu\" (there are: default)"), "{told}");
    namespace.condition("elw/flow", "Stalled", "True", "PoolNotFound");
    let pool = "apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: gpu}\nspec: {replicas: 0}\n";
    namespace.apply(pool).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
    // It goes under a workflow that is ready, and comes back.
    namespace.kubectl(&["delete", "elp/gpu"]);
    let told = namespace.condition("elw/flow", "Ready", "False", "PoolNotFound");
    assert!(told["message"].as_str().unwrap().contains("(there are: default)"), "{told}");
    namespace.apply(pool).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
}

/// A pool of the installation takes the workflows of other namespaces only where it says so.
#[tokio::test]
async fn a_shared_pool_takes_the_namespaces_that_it_allows() {
    let mut installation = Installation::new("sharing");
    let theirs = Namespace::new("sharing-theirs");
    control_plane().bind(&theirs.0, "everloop-operator", &installation.namespace.0);
    installation.kill_operator();
    let operator = installation.another_operator("operator", &["--watch-namespace", &theirs.0]);
    theirs.apply(&a_workflow("flow", "return 1;")).unwrap();
    let told = theirs.condition("elw/flow", "Stalled", "True", "PoolNotAllowed");
    assert!(told["message"].as_str().unwrap().contains("`spec.allowedNamespaces`"), "{told}");
    let pool = |allowed: &str| POOL.replace("{replicas: 0}", &format!("{{replicas: 0, allowedNamespaces: {allowed}}}"));
    installation.namespace.apply(&pool("{from: Selector, matchLabels: {tier: shop}}")).unwrap();
    theirs.condition("elw/flow", "Stalled", "True", "PoolNotAllowed");
    theirs.kubectl(&["label", "namespace", &theirs.0, "tier=shop"]);
    theirs.condition("elw/flow", "Ready", "True", "Applied");
    installation.namespace.apply(&pool("{from: All}")).unwrap();
    theirs.kubectl(&["label", "namespace", &theirs.0, "tier-"]);
    theirs.apply(&a_run("run", "flow", "")).unwrap();
    theirs.condition("elr/run", "Succeeded", "True", "Completed");
    drop(operator);
}

/// Whatever the text does to its reader, only its own object notices.
#[tokio::test]
async fn a_source_that_kills_its_reader_is_told_and_the_others_go_on() {
    let mut installation = Installation::new("hostile");
    installation.kill_operator();
    let _operator = installation.another_operator_with("operator", &[], &[("EVERLOOP_CRASH_READING", "hostile text")]);
    let namespace = &installation.namespace;
    namespace.apply(&a_workflow("hostile", "return 'hostile text';")).unwrap();
    namespace.apply(&a_workflow("friendly", "return 1;")).unwrap();
    namespace.apply(&a_workflow("spins", "return 'hostile text spins';")).unwrap();
    namespace.apply(&a_workflow("allocates", "return 'hostile text allocates';")).unwrap();
    // SIGKILL by itself; SIGABRT, since there is no more memory; SIGXCPU, since its time is over.
    for (flow, signal) in [("hostile", "signal: 9"), ("allocates", "signal: 6"), ("spins", "signal: 24")] {
        let stalled = namespace.condition(&format!("elw/{flow}"), "Stalled", "True", "SourceTooComplex");
        assert!(stalled["message"].as_str().unwrap().contains(&format!("ended by {signal}")), "{stalled}");
    }
    namespace.condition("elw/friendly", "Ready", "True", "Applied");
    namespace.apply(&a_workflow("hostile", "return 'friendly text';")).unwrap();
    namespace.condition("elw/hostile", "Ready", "True", "Applied");
}

/// A ConfigMap holds at most 1 MiB: the bounds of the process that reads it leave room for usual code of that length.
#[tokio::test]
async fn the_longest_source_is_read_within_the_bounds() {
    let installation = Installation::new("longest");
    let namespace = &installation.namespace;
    let (head, line, tail) =
        ("export default async function main(input) {\n", "  input.total += input.items.map((item) => item.price * 2).length;\n", "}\n");
    let room = (1 << 20) - 4_096 - head.len() - tail.len();
    let source = [head, &line.repeat(room / line.len()), tail].concat();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.js");
    std::fs::write(&file, &source).unwrap();
    namespace.kubectl(&["create", "configmap", "code", &format!("--from-file={}", file.display())]);
    let flow = "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {name: flow}\nspec: {source: {configMapKeyRef: {name: code, key: flow.js}}}\n";
    namespace.apply(flow).unwrap();
    namespace.condition("elw/flow", "Ready", "True", "Applied");
}
