//! Helm, and what it renders.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::control_plane::control_plane;

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn chart() -> String {
    repository("charts/everloop").display().to_string()
}

/// Helm, with a home of its own.
fn command() -> Command {
    let helm =
        std::env::var_os("EVERLOOP_TEST_HELM").expect("EVERLOOP_TEST_HELM is not set: run the tests by `make test`, which builds Helm");
    let mut command = Command::new(helm);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, &home);
    }
    command
}

/// What a Helm that needs no cluster does.
pub fn offline(arguments: &[&str]) -> Output {
    command().args(arguments).env("KUBECONFIG", "/dev/null").output().expect("helm runs")
}

/// What Helm prints when it has done something in the cluster of the tests; it must succeed.
#[track_caller]
pub fn helm(arguments: &[&str]) -> String {
    let output = try_helm(arguments);
    assert!(output.status.success(), "helm {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

pub fn try_helm(arguments: &[&str]) -> Output {
    command().args(arguments).env("KUBECONFIG", control_plane().kubeconfig()).output().expect("helm runs")
}

/// What it said beside its output. That the chart has symbolic links is no news here.
pub fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().filter(|line| !line.contains("found symbolic link in path")).collect::<Vec<_>>().join("\n")
}

/// The chart's objects in the namespace `everloop`, as text.
#[track_caller]
pub fn render(arguments: &[&str]) -> String {
    let chart = chart();
    let output = offline(&[&["template", "everloop", &chart, "--namespace", "everloop"], arguments].concat());
    assert!(output.status.success(), "helm template {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// The objects of a rendering.
pub fn objects(rendering: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    let documents = serde_yaml_ng::Deserializer::from_str(rendering);
    documents.map(|document| Value::deserialize(document).expect("YAML")).filter(|object| !object.is_null()).collect()
}

/// The one of this kind and name.
#[track_caller]
pub fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}
