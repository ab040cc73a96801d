//! From the first installation to the last trace of it, by Helm on a real API server. There is no node: what needs a pod, the hook of
//! `helm uninstall` and `helm test`, is left out here.

use std::process::Command;

use serde_json::Value;

use crate::control_plane::{bound_to_us, control_plane};
use crate::fit::container;
use crate::helm::{chart, helm, objects, render, said, try_helm};
use crate::process::{Process, free_port};

const NAMESPACE: &str = "everloop";

fn kubectl(arguments: &[&str]) -> String {
    control_plane().kubectl(arguments)
}

fn get(what: &[&str]) -> Value {
    serde_json::from_str(&kubectl(&[&["-n", NAMESPACE, "get", "-o", "json"], what].concat())).expect("JSON")
}

fn exists(what: &[&str]) -> bool {
    control_plane().try_kubectl(&[&["-n", NAMESPACE, "get"], what].concat()).status.success()
}

/// A chart of the next release: the definition of workflows has one more field.
fn next_chart(folder: &std::path::Path) -> String {
    let next = folder.join("everloop");
    let copied = Command::new("cp").args(["-rL", &chart()]).arg(&next).status().expect("cp runs");
    assert!(copied.success());
    let file = next.join("files/crds/workflows.yaml");
    let text = std::fs::read_to_string(&file).expect("a definition");
    let changed = text.replacen(
        "            properties:\n",
        "            properties:\n              later:\n                maxLength: 8\n                type: string\n",
        1,
    );
    assert_ne!(text, changed, "the definition has a spec with properties");
    std::fs::write(&file, changed).expect("a definition");
    next.display().to_string()
}

fn workflow(name: &str, more: &str) -> String {
    let source = "export default async function f() { return 1; }";
    format!(
        "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}, namespace: default}}\nspec: {{source: {{inline: '{source}'}}{more}}}\n"
    )
}

fn apply(document: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), document).expect("a file");
    kubectl(&["apply", "--server-side", "-f", &file.path().display().to_string()]);
}

/// A kubeconfig with the token of the operator's service account, as its pods have it.
fn kubeconfig_of_the_operator() -> tempfile::NamedTempFile {
    let token = kubectl(&["-n", NAMESPACE, "create", "token", "everloop-operator"]);
    let admin = std::fs::read_to_string(control_plane().kubeconfig()).expect("a kubeconfig");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), admin.replace("token: admin", &format!("token: {}", token.trim()))).expect("a file");
    file
}

/// The program beside the cluster, as the pod of the operator would run it but for the addresses: it leads, makes the default pool,
/// and brings the workflow of the notes to a queue service.
fn the_operator_works_with_its_rights_here() {
    let (kubeconfig, port) = (kubeconfig_of_the_operator(), free_port());
    let server = format!("http://127.0.0.1:{port}");
    let program = || Command::new(env!("CARGO_BIN_EXE_everloop"));
    let mut command = program();
    command.args(["queue", "--store", "memory", "--listen", &format!("127.0.0.1:{port}")]).env("EVERLOOP_LOG", "warn");
    let _queue = Process::spawn("queue", bound_to_us(&mut command));
    let operator = container(&objects(&render(&[])), "Deployment", "everloop-operator");
    let mut command = program();
    command.args(&operator.arguments).envs(&operator.variables).env("KUBECONFIG", kubeconfig.path()).env("EVERLOOP_LOG", "warn");
    command.env("EVERLOOP_OPERATOR_NAMESPACE", NAMESPACE).env("EVERLOOP_OPERATOR_NAME", "everloop-operator-a");
    command.env("EVERLOOP_SERVER", server).env("EVERLOOP_PROBES", format!("127.0.0.1:{}", free_port()));
    let _operator = Process::spawn("operator", bound_to_us(&mut command));
    kubectl(&["wait", "--for=condition=Ready", "workflow/hello", "--timeout=60s"]);
    kubectl(&["wait", "--for=condition=Ready", "workflowrun/hello-ada", "--timeout=60s"]);
    assert_eq!(get(&["workerpool", "default"])["spec"]["replicas"], 2);
    control_plane().until("the default pool has its pods", || exists(&["deployment", "everloop-worker-default"]));
}

/// `deploy/install.yaml`, over what Helm has left and again over itself; then everything goes.
fn without_helm() {
    let manifest = crate::helm::repository("deploy/install.yaml").display().to_string();
    kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &manifest]);
    let generation = |what: &str| get(&["deployment", what])["metadata"]["generation"].clone();
    let before = (generation("everloop-queue"), generation("everloop-operator"));
    kubectl(&["apply", "--server-side", "-f", &manifest]);
    assert_eq!((generation("everloop-queue"), generation("everloop-operator")), before, "nothing is applied anew");
    // What the Job of release-runs.yaml does.
    kubectl(&["delete", "deployment", "everloop-operator", "--namespace", NAMESPACE]);
    kubectl(&["patch", "workflowrun", "hello-ada", "--type=merge", "--patch", r#"{"metadata":{"finalizers":null}}"#]);
    kubectl(&["delete", "--ignore-not-found", "--timeout=2m", "-f", &manifest]);
    for gone in [&["namespace", NAMESPACE][..], &["crd", "workflowruns.everloop.dev"], &["clusterrole", "everloop-operator"]] {
        assert!(!exists(gone), "{gone:?}");
    }
}

#[test]
fn installed_upgraded_rolled_back_and_taken_away() {
    let _held = crate::definitions_of_the_cluster();
    let chart = chart();
    let folder = tempfile::tempdir().expect("a folder");

    // Installed: all objects, the definitions usable at once, and no object of them.
    let notes = helm(&["install", "everloop", &chart, "--namespace", NAMESPACE, "--create-namespace"]);
    for told in [
        "kubectl -n everloop wait --for=condition=Available deployment --all",
        "kubectl apply -f - <<END",
        "wait --for=condition=Closed workflowrun/hello-ada",
        "is open inside of the cluster",
        "What cannot be changed by `helm upgrade`",
        "kubectl -n everloop delete statefulset everloop-redis --cascade=orphan",
    ] {
        assert!(notes.contains(told), "the notes do not say `{told}`: {notes}");
    }
    assert_eq!(kubectl(&["get", "workflows,workflowruns,workerpools", "-A", "-o", "name"]), "");
    for what in ["deployment/everloop-operator", "deployment/everloop-queue", "statefulset/everloop-redis", "service/everloop-queue"] {
        assert!(exists(&[what]), "{what}");
    }
    // The document of the notes works as it stands there.
    let document = notes.split_once("<<END\n").and_then(|(_, rest)| rest.split_once("     END\n")).expect("a document").0;
    apply(&document.lines().map(|line| line.strip_prefix("     ").unwrap_or(line)).collect::<Vec<_>>().join("\n"));
    let operator = get(&["deployment", "everloop-operator"]);

    the_operator_works_with_its_rights_here();
    for sample in ["hello.yaml", "order-status.yaml", "order.yaml", "pool.yaml"] {
        let file = crate::helm::repository("deploy/samples").join(sample).display().to_string();
        kubectl(&["create", "--dry-run=server", "--namespace", NAMESPACE, "-f", &file]);
    }

    // A second installation is refused.
    let second = try_helm(&["install", "another", &chart, "--namespace", "another", "--create-namespace"]);
    assert!(!second.status.success() && said(&second).contains("cannot be imported into the current release"), "{}", said(&second));

    // A changed value: what it concerns is changed, and nothing else restarts.
    let redis = get(&["statefulset", "everloop-redis"]);
    helm(&["upgrade", "everloop", &chart, "--namespace", NAMESPACE, "--set", "queue.replicas=3"]);
    assert_eq!(get(&["deployment", "everloop-queue"])["spec"]["replicas"], 3);
    assert_eq!(get(&["statefulset", "everloop-redis"])["metadata"]["generation"], redis["metadata"]["generation"]);
    assert_eq!(get(&["deployment", "everloop-operator"])["metadata"]["generation"], operator["metadata"]["generation"]);

    // A changed image: the Job that makes the password is another one, since a Job cannot be changed.
    helm(&["upgrade", "everloop", &chart, "--namespace", NAMESPACE, "--set", "image.tag=next"]);
    assert_eq!(get(&["jobs"])["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(get(&["statefulset", "everloop-redis"])["metadata"]["generation"], redis["metadata"]["generation"], "Redis restarts");

    // A changed definition comes with the upgrade, and what there was stays.
    helm(&["upgrade", "everloop", &next_chart(folder.path()), "--namespace", NAMESPACE]);
    apply(&workflow("with-the-new-field", ", later: yes-"));
    assert!(control_plane().try_kubectl(&["get", "workflow", "hello"]).status.success());

    // A rollback keeps the newer definitions: the new field is not lost when the object is written.
    helm(&["rollback", "everloop", "1", "--namespace", NAMESPACE]);
    assert_eq!(get(&["deployment", "everloop-queue"])["spec"]["replicas"], 2);
    kubectl(&["label", "workflow", "with-the-new-field", "touched=yes"]);
    assert_eq!(kubectl(&["get", "workflow", "with-the-new-field", "-o", "jsonpath={.spec.later}"]), "yes-");

    // When the hook of an uninstallation has stopped the operator and the uninstallation then failed, an upgrade makes it anew.
    kubectl(&["-n", NAMESPACE, "delete", "deployment", "everloop-operator"]);
    helm(&["upgrade", "everloop", &chart, "--namespace", NAMESPACE]);
    assert!(exists(&["deployment", "everloop-operator"]));
    kubectl(&["-n", NAMESPACE, "delete", "deployment", "everloop-operator"]);

    // Uninstalled: the objects of the chart go; the definitions, all objects of them and the volume stay.
    control_plane().until("the claim is made", || exists(&["pvc", "data-everloop-redis-0"]));
    helm(&["uninstall", "everloop", "--namespace", NAMESPACE, "--no-hooks"]);
    for what in ["deployments", "statefulsets", "services", "roles", "rolebindings", "poddisruptionbudgets"] {
        control_plane().until(&format!("all {what} are gone"), || {
            let left = kubectl(&["-n", NAMESPACE, "get", what, "-l", "app.kubernetes.io/part-of=everloop", "-o", "name"]);
            left.is_empty()
        });
    }
    assert_eq!(kubectl(&["get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=everloop", "-o", "name"]), "");
    assert!(exists(&["pvc", "data-everloop-redis-0"]), "the volume stays");
    for kept in ["workflow/hello", "workflowrun/hello-ada", "workflow/with-the-new-field"] {
        assert!(control_plane().try_kubectl(&["get", kept]).status.success(), "{kept} stays");
    }

    // Installed again, under another name and in another way: what was kept is no hindrance.
    helm(&["install", "again", &chart, "--namespace", NAMESPACE, "--set", "crds.install=false", "--set", "defaultPool.create=false"]);
    helm(&["upgrade", "again", &chart, "--namespace", NAMESPACE]);
    // From hooks to objects of the release and back: they are never gone.
    let uid = kubectl(&["get", "crd", "workflows.everloop.dev", "-o", "jsonpath={.metadata.uid}"]);
    helm(&["upgrade", "again", &chart, "--namespace", NAMESPACE, "--set", "crds.hook=false", "--take-ownership"]);
    helm(&["upgrade", "again", &chart, "--namespace", NAMESPACE, "--set", "crds.hook=true"]);
    helm(&["uninstall", "again", "--namespace", NAMESPACE, "--no-hooks"]);
    assert_eq!(kubectl(&["get", "crd", "workflows.everloop.dev", "-o", "jsonpath={.metadata.uid}"]), uid);
    without_helm();
}
