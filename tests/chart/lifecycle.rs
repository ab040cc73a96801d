//! From the first installation to the last trace of it, by Helm on a real API server, with the commands of docs/install.md. There is no
//! node: what needs a pod, the hook of `helm uninstall` and `helm test`, is left out here, and processes do what pods would (`beside`).

use std::process::Command;

use serde_json::Value;

use crate::beside::{self, Beside};
use crate::control_plane::control_plane;
use crate::helm::{chart, helm, objects, render, said, try_helm};
use crate::page::Page;
use crate::process::free_port;
use crate::{people, policies, unchangeable, waiting, without_helm};

pub const NAMESPACE: &str = "everloop";

pub fn kubectl(arguments: &[&str]) -> String {
    control_plane().kubectl(arguments)
}

pub fn get(what: &[&str]) -> Value {
    serde_json::from_str(&kubectl(&[&["-n", NAMESPACE, "get", "-o", "json"], what].concat())).expect("JSON")
}

pub fn exists(what: &[&str]) -> bool {
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

pub fn workflow(name: &str, more: &str) -> String {
    let source = "export default async function f() { return 1; }";
    format!(
        "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}, namespace: default}}\nspec: {{source: {{inline: '{source}'}}{more}}}\n"
    )
}

pub fn apply(document: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), document).expect("a file");
    kubectl(&["apply", "--server-side", "-f", &file.path().display().to_string()]);
}

/// What the pods of the installation would do, and what a person does with it, as the page says.
fn the_first_run(page: &Page, port: u16) {
    let beside = Beside::start(NAMESPACE, port);
    page.run("--for=create workerpool/default");
    kubectl(&["wait", "--for=condition=Ready", "workflow/hello", "--timeout=60s"]);
    kubectl(&["wait", "--for=condition=Ready", "workflowrun/hello-ada", "--timeout=60s"]);
    assert_eq!(get(&["workerpool", "default"])["spec"]["replicas"], 2);
    control_plane().until("the default pool has its pods", || exists(&["deployment", "everloop-worker-default"]));
    let workers = get(&["deployment", "everloop-worker-default"]);
    assert_eq!(workers["spec"]["template"]["metadata"]["labels"], policies::worker(), "by these the policies know them");

    page.run("kubectl apply -f deploy/samples/hello.yaml");
    page.run("--for=condition=Closed workflowrun/hello-ada");
    assert!(page.run("kubectl get workflows,workflowruns").contains("hello-ada"));
    assert_eq!(page.run("everloop run hello").trim(), r#""Hello, Grace!""#);
    page.run("ln -s");
    assert!(page.run("kubectl everloop list").contains("hello"));
    page.run("edit workerpool default");
    waiting::helm_waits_for_what_is_ready_and_names_what_is_not();

    page.run("kubectl delete workerpools --all --all-namespaces");
    drop(beside);
}

#[test]
fn installed_upgraded_rolled_back_and_taken_away() {
    let _held = crate::definitions_of_the_cluster();
    let chart = chart();
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let page = Page::new(&format!("http://127.0.0.1:{port}"));
    unchangeable::a_volume_that_can_grow();

    // Installed: all objects, the definitions usable at once, and no object of them. Without a node nothing can be waited for.
    let notes = page.run_with("helm install everloop", |command| command.replace(" --wait --timeout 5m", ""));
    for told in [
        "kubectl -n everloop wait --for=condition=Ready workerpool/default --timeout=5m",
        "kubectl apply -f - <<END",
        "wait --for=condition=Closed workflowrun/hello-ada --timeout=5m",
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
    people::only_admin_writes_pools();
    // The document of the notes works as it stands there.
    let document = notes.split_once("<<END\n").and_then(|(_, rest)| rest.split_once("     END\n")).expect("a document").0;
    apply(&document.lines().map(|line| line.strip_prefix("     ").unwrap_or(line)).collect::<Vec<_>>().join("\n"));
    let operator = get(&["deployment", "everloop-operator"]);

    the_first_run(&page, port);
    for sample in ["hello.yaml", "order-status.yaml", "order.yaml", "pool.yaml"] {
        let file = crate::helm::repository("deploy/samples").join(sample).display().to_string();
        kubectl(&["create", "--dry-run=server", "--namespace", NAMESPACE, "-f", &file]);
    }

    // A second installation is refused.
    let second = try_helm(&["install", "another", &chart, "--namespace", "another", "--create-namespace"]);
    assert!(!second.status.success() && said(&second).contains("cannot be imported into the current release"), "{}", said(&second));

    // A changed value: what it concerns is changed, and nothing else restarts. A rollback takes it back.
    let redis = get(&["statefulset", "everloop-redis"]);
    page.run("--set queue.replicas=3");
    assert_eq!(get(&["deployment", "everloop-queue"])["spec"]["replicas"], 3);
    assert_eq!(get(&["statefulset", "everloop-redis"])["metadata"]["generation"], redis["metadata"]["generation"]);
    assert_eq!(get(&["deployment", "everloop-operator"])["metadata"]["generation"], operator["metadata"]["generation"]);
    page.run("helm rollback everloop");
    assert_eq!(get(&["deployment", "everloop-queue"])["spec"]["replicas"], 2);

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
    kubectl(&["label", "workflow", "with-the-new-field", "touched=yes"]);
    assert_eq!(kubectl(&["get", "workflow", "with-the-new-field", "-o", "jsonpath={.spec.later}"]), "yes-");
    unchangeable::a_larger_volume_and_another_password(&page);

    // When the hook of an uninstallation has stopped the operator and the uninstallation then failed, an upgrade makes it anew.
    let hook = objects(&render(&["--show-only", "templates/operator/release-runs.yaml"]));
    beside::run_job(NAMESPACE, &hook[0]);
    assert!(!exists(&["deployment", "everloop-operator"]));
    helm(&["upgrade", "everloop", &chart, "--namespace", NAMESPACE, "--reset-then-reuse-values"]);
    assert!(exists(&["deployment", "everloop-operator"]));
    beside::run_job(NAMESPACE, &hook[0]);

    // The workers have gone with their pool, once the controllers knew the definitions.
    control_plane().until("the workers are gone", || !exists(&["deployment", "everloop-worker-default"]));

    // Uninstalled: the objects of the chart go; the definitions, all objects of them, the volume and the password stay.
    page.run_with("helm uninstall everloop", |command| format!("{command} --no-hooks"));
    for what in ["deployments", "statefulsets", "services", "roles", "rolebindings", "poddisruptionbudgets"] {
        control_plane().until(&format!("all {what} are gone"), || {
            let left = kubectl(&["-n", NAMESPACE, "get", what, "-l", "app.kubernetes.io/part-of=everloop", "-o", "name"]);
            left.is_empty()
        });
    }
    assert_eq!(kubectl(&["get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=everloop", "-o", "name"]), "");
    for kept in ["pvc/data-everloop-redis-0", "secret/everloop-redis", "configmap/everloop-store"] {
        assert!(exists(&[kept]), "{kept} stays");
    }
    for kept in ["workflow/hello", "workflowrun/hello-ada", "workflow/with-the-new-field"] {
        assert!(control_plane().try_kubectl(&["get", kept]).status.success(), "{kept} stays");
    }
    page.run("kubectl patch workflowrun hello-ada");

    // Installed again, under another name and in another way: what was kept is no hindrance, and with the three of the page gone
    // the operator takes the empty store that it finds.
    page.run("kubectl -n everloop delete pvc/data-everloop-redis-0");
    helm(&["install", "again", &chart, "--namespace", NAMESPACE, "--set", "crds.install=false", "--set", "defaultPool.create=false"]);
    helm(&["upgrade", "again", &chart, "--namespace", NAMESPACE]);
    let beside = Beside::start(NAMESPACE, port);
    apply(&workflow("anew", ""));
    kubectl(&["wait", "--for=condition=Ready", "workflow/anew", "--timeout=60s"]);
    drop(beside);
    // From hooks to objects of the release and back: they are never gone.
    let uid = kubectl(&["get", "crd", "workflows.everloop.dev", "-o", "jsonpath={.metadata.uid}"]);
    helm(&["upgrade", "again", &chart, "--namespace", NAMESPACE, "--set", "crds.hook=false", "--take-ownership"]);
    helm(&["upgrade", "again", &chart, "--namespace", NAMESPACE, "--set", "crds.hook=true"]);
    helm(&["uninstall", "again", "--namespace", NAMESPACE, "--no-hooks"]);
    assert_eq!(kubectl(&["get", "crd", "workflows.everloop.dev", "-o", "jsonpath={.metadata.uid}"]), uid);
    page.run("kubectl delete crd workflows.everloop.dev");
    page.run("kubectl delete namespace everloop");
    without_helm::installed_and_taken_away(&page, port);
    page.was_run_but_for(&[
        // These need pods: tests/node does the same.
        "wait --for=condition=Ready workerpool/default",
        "helm test everloop",
        "logs deployment/everloop-queue",
        "wait --for=condition=Complete job/everloop-release-runs",
        // And a registry.
        "docker build",
    ]);
}
