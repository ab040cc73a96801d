//! Commands that are given no server, only a kubeconfig: the queue service is found, and reached through the API server.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::cluster::{PATIENCE, cluster};
use crate::installation::{Installation, QUEUE, disturbance, everloop};
use crate::orders::{id, input};

/// Longer than two pods of the queue service take to be replaced.
const COOKING: &str = "25s";

/// A kubeconfig with this namespace, as `kubectl config set-context --current --namespace` writes it.
fn kubeconfig(folder: &Path, namespace: &str) -> PathBuf {
    let file = folder.join("kubeconfig");
    let text = std::fs::read_to_string(cluster().kubeconfig()).expect("a kubeconfig");
    std::fs::write(&file, text).expect("a file");
    cluster().kubectl(&["--kubeconfig", &file.display().to_string(), "config", "set-context", "--current", "--namespace", namespace]);
    file
}

/// A person who has only that.
fn person(kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.env("KUBECONFIG", kubeconfig).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["EVERLOOP_SERVER", "EVERLOOP_NAMESPACE", "EVERLOOP_OPERATOR_NAMESPACE"] {
        command.env_remove(variable);
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_finds_the_queue_service_and_outlives_each_of_its_pods() {
    let _only_we = disturbance();
    let _installation = Installation::new("found");
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = kubeconfig(folder.path(), "found");
    let everloop = everloop();
    let pods = everloop.pods(QUEUE);
    let mut order = input(2);
    order["prepareFor"] = COOKING.into();
    let id = id(2);
    let (order, run) = (order.to_string(), ["run", "order-status", "--id", id.as_str(), "--wait", "--output", "json", "--input"]);
    let began = Instant::now();
    let waiting = person(&kubeconfig).args(run).arg(order).spawn().expect("everloop runs");

    // By kubectl's name it is the same; and the namespace is that of the context.
    let runs = || {
        let output = person(&kubeconfig).arg0("kubectl-everloop").args(["list", "--output", "json"]).output();
        let output = output.expect("everloop runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["runs"].clone()
    };
    while runs()[0]["id"] != id.as_str() {
        assert!(began.elapsed() < PATIENCE, "the run begins: {}", runs());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // The one that the poll hangs on is among them.
    for pod in &pods {
        everloop.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"]);
        everloop.until_ready("deployment/everloop-queue");
    }
    assert_eq!(runs()[0]["status"], "Running", "it was killed in the middle, {:?} after the start", began.elapsed());

    let output = waiting.wait_with_output().expect("everloop ends");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}\n{}", everloop.report());
    let ended: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&ended["status"], &ended["result"]["status"]), (&"Completed".into(), &"Success!".into()), "{ended:#}");
}
