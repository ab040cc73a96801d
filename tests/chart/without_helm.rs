//! The manifest, for those who do not use Helm.

use crate::beside::{self, Beside};
use crate::lifecycle::{NAMESPACE, apply, exists, get, kubectl, workflow};
use crate::page::Page;

/// `deploy/install.yaml` goes into a cluster that has nothing of it, and once again over itself; then everything goes, with a run open.
pub fn installed_and_taken_away(page: &Page, port: u16) {
    let install = "kubectl apply --server-side -f deploy/install.yaml";
    page.run(install);
    let generation = |what: &str| get(&["deployment", what])["metadata"]["generation"].clone();
    let before = (generation("everloop-queue"), generation("everloop-operator"));
    page.run(install);
    assert_eq!((generation("everloop-queue"), generation("everloop-operator")), before, "nothing is applied anew");
    kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd/workflows.everloop.dev", "crd/workflowruns.everloop.dev"]);

    let beside = Beside::start(NAMESPACE, port);
    apply(&workflow("open", "").replace("return 1;", "await new Promise(() => {});"));
    apply("apiVersion: everloop.dev/v1alpha1\nkind: WorkflowRun\nmetadata: {name: open, namespace: default}\nspec: {workflow: open}\n");
    kubectl(&["wait", "--for=condition=Ready", "workflowrun/open", "--timeout=60s"]);
    let finalizers = || kubectl(&["get", "workflowrun", "open", "-o", "jsonpath={.metadata.finalizers}"]);
    assert_ne!(finalizers(), "");
    drop(beside);
    page.run("-f deploy/release-runs.yaml");
    beside::run_job(NAMESPACE, &get(&["job", "everloop-release-runs"]));
    assert_eq!(finalizers(), "", "nothing would let it go");
    assert!(!exists(&["deployment", "everloop-operator"]));
    page.run("kubectl delete --ignore-not-found -f deploy/install.yaml");
    for gone in [&["namespace", NAMESPACE][..], &["crd", "workflowruns.everloop.dev"], &["clusterrole", "everloop-operator"]] {
        assert!(!exists(gone), "{gone:?}");
    }
}
