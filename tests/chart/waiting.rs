//! `helm --wait` on our resources: Helm reads them by the rules of kstatus, which know no kind of ours, only conditions and generations.

use std::path::Path;

use crate::helm::{helm, said, try_helm};

const POOL: &str = "apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: resting}\nspec: {replicas: 0}\n";

/// A chart of somebody who has workflows.
fn chart(folder: &Path, name: &str, templates: &[&str]) -> String {
    let chart = folder.join(name);
    std::fs::create_dir_all(chart.join("templates")).expect("a folder");
    std::fs::write(chart.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n")).expect("a file");
    std::fs::write(chart.join("templates/all.yaml"), templates.join("---\n")).expect("a file");
    chart.display().to_string()
}

fn workflow(name: &str, source: &str) -> String {
    format!(
        "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec: {{pool: resting, source: {{inline: '{source}'}}}}\n"
    )
}

/// While an operator is there.
pub fn helm_waits_for_what_is_ready_and_names_what_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = workflow("waited", "export default async function f() { return 1; }");
    let install = |name: &str, chart: &str, timeout: &str| {
        try_helm(&["install", name, chart, "--namespace", "default", "--wait", "--timeout", timeout])
    };
    let output = install("ready", &chart(folder.path(), "ready", &[&good, POOL]), "60s");
    assert!(output.status.success(), "{}", said(&output));
    // It has waited: both are ready now.
    for object in ["workflow/waited", "workerpool/resting"] {
        crate::control_plane::control_plane().kubectl(&["wait", "--for=condition=Ready", object, "--timeout=0"]);
    }
    helm(&["uninstall", "ready", "--namespace", "default", "--wait"]);

    let bad = workflow("broken", "export default async function f( {").replace("pool: resting, ", "");
    // Helm does not wait for what has failed: it says at once what, and why.
    let output = install("broken", &chart(folder.path(), "broken", &[&bad]), "60s");
    let told = said(&output);
    assert!(!output.status.success(), "{told}");
    for part in ["Workflow/default/broken not ready", "status: Failed", "spec.source.inline:1:35: Expected `}`"] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    helm(&["uninstall", "broken", "--namespace", "default"]);
}
