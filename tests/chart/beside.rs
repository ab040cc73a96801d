//! What the pods of an installation would do, done by processes of this machine: there is no node.

use std::process::Command;

use serde_json::Value;

use crate::control_plane::{bound_to_us, control_plane};
use crate::fit::container;
use crate::helm::{objects, render};
use crate::process::Process;

/// A kubeconfig with the token of a service account, as its pods have it.
fn kubeconfig_of(namespace: &str, account: &str) -> tempfile::NamedTempFile {
    let token = control_plane().kubectl(&["-n", namespace, "create", "token", account]);
    let admin = std::fs::read_to_string(control_plane().kubeconfig()).expect("a kubeconfig");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), admin.replace("token: admin", &format!("token: {}", token.trim()))).expect("a file");
    file
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.env("EVERLOOP_LOG", "warn");
    command
}

/// The only container of a Job, to its end, which must be a good one.
#[track_caller]
pub fn run_job(namespace: &str, job: &Value) {
    let pod = &job["spec"]["template"]["spec"];
    let kubeconfig = kubeconfig_of(namespace, pod["serviceAccountName"].as_str().expect("an account"));
    let arguments = pod["containers"][0]["args"].as_array().expect("arguments");
    let mut command = program();
    command.args(arguments.iter().map(|argument| argument.as_str().expect("text")));
    let output = command.env("KUBECONFIG", kubeconfig.path()).env("EVERLOOP_OPERATOR_NAMESPACE", namespace).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A queue service on an empty store, a worker of the default pool, and the operator with the rights that its pod would have.
pub struct Beside {
    // In the order in which they end.
    _operator: Process,
    _worker: Process,
    _queue: Process,
    _kubeconfig: tempfile::NamedTempFile,
}

impl Beside {
    pub fn start(namespace: &str, port: u16) -> Self {
        let server = format!("http://127.0.0.1:{port}");
        let mut command = program();
        command.args(["queue", "--store", "memory", "--listen", &format!("127.0.0.1:{port}")]);
        let queue = Process::spawn("queue", bound_to_us(&mut command));
        let mut command = program();
        command.args(["worker", "--pool", "default", "--loops", "1"]).env("EVERLOOP_SERVER", &server);
        let worker = Process::spawn("worker", bound_to_us(&mut command));
        let (kubeconfig, pod) =
            (kubeconfig_of(namespace, "everloop-operator"), container(&objects(&render(&[])), "Deployment", "everloop-operator"));
        let mut command = program();
        command.args(&pod.arguments).envs(&pod.variables).env("KUBECONFIG", kubeconfig.path()).env("EVERLOOP_LOG", "warn");
        command.env("EVERLOOP_OPERATOR_NAMESPACE", namespace).env("EVERLOOP_OPERATOR_NAME", "everloop-operator-a");
        command.env("EVERLOOP_SERVER", server).env("EVERLOOP_PROBES", "127.0.0.1:0");
        let operator = Process::spawn("operator", bound_to_us(&mut command));
        Self { _kubeconfig: kubeconfig, _queue: queue, _worker: worker, _operator: operator }
    }
}
