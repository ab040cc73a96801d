//! Commands that are given no server, only a kubeconfig: what they say when there is no way to a queue service. Where there is one is
//! tested on a node (tests/node).

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::control_plane::{Namespace, control_plane};

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: everloop-queue, labels: {app.kubernetes.io/name: everloop, app.kubernetes.io/component: queue}}
spec: {selector: {app: queue}, ports: [{name: http, port: 7400, targetPort: http}]}
";
const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: queue-0, labels: {app: queue}}
spec: {containers: [{name: queue, image: none, ports: [{name: http, containerPort: 7400}]}]}
";
const READY: &str = r#"{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}"#;

/// Whoever looks in all namespaces sees the Services of the others: one test at a time.
static SERVICES: Mutex<()> = Mutex::new(());

/// What is said to somebody with this kubeconfig, by kubectl's plugin, which looks nowhere else; the exit code is 3.
#[track_caller]
fn said(kubeconfig: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.arg0("kubectl-everloop").arg("list").args(arguments).env("KUBECONFIG", kubeconfig);
    for variable in ["EVERLOOP_SERVER", "EVERLOOP_OPERATOR_NAMESPACE"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("everloop runs");
    let words = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3), "{words}");
    words
}

#[track_caller]
fn says(words: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(words.contains(part), "{part:?} is missing in: {words}");
    }
}

#[test]
fn without_an_installation_the_three_ways_to_a_server_are_told_and_of_several_the_names() {
    let _alone = SERVICES.lock().unwrap_or_else(PoisonError::into_inner);
    let admin = control_plane().kubeconfig();
    let none = said(&admin, &[]);
    says(&none, &["the cluster of context \"test\" has no Everloop", "in any namespace (ServerNotFound)"]);
    says(&none, &["`kubectl everloop dev -f FILE`", "EVERLOOP_SERVER=URL", "helm install"]);

    let first = Namespace::new("found-first");
    first.apply(SERVICE).unwrap();
    let not_ready = said(&admin, &[]);
    says(&not_ready, &["the queue service found-first/everloop-queue of", "none of its 0 pods is ready (ServerUnreachable)"]);
    says(&not_ready, &["`kubectl -n found-first get pods -l app.kubernetes.io/name=everloop"]);
    says(&said(&admin, &["--operator-namespace", "default"]), &["in namespace default (ServerNotFound)"]);

    let second = Namespace::new("found-second");
    second.apply(SERVICE).unwrap();
    says(&said(&admin, &[]), &["more than one Everloop, in the namespaces found-first, found-second", "--operator-namespace NAME"]);
    says(&said(&admin, &["--operator-namespace", "found-second"]), &["the queue service found-second/everloop-queue"]);
    for namespace in [first, second] {
        namespace.kubectl(&["delete", "service", "everloop-queue"]);
    }
}

#[test]
fn each_missing_right_is_told() {
    let _alone = SERVICES.lock().unwrap_or_else(PoisonError::into_inner);
    let namespace = Namespace::new("rights");
    namespace.apply(SERVICE).unwrap();
    namespace.kubectl(&["create", "serviceaccount", "person"]);
    namespace.apply(POD).unwrap();
    namespace.kubectl(&["patch", "pod", "queue-0", "--subresource=status", "--type=merge", "-p", READY]);
    let person = control_plane().kubeconfig_of("rights", "person");
    let said = || said(&person, &["--operator-namespace", "rights"]);
    let give = |name: &str, verbs: &str, resource: &str| {
        let (verbs, resource) = (format!("--verb={verbs}"), format!("--resource={resource}"));
        namespace.kubectl(&["create", "role", name, &verbs, &resource]);
        namespace.kubectl(&["create", "rolebinding", name, &format!("--role={name}"), "--serviceaccount=rights:person"]);
    };
    // A right counts a moment after it was given.
    let until = |wanted: &str| control_plane().until(wanted, || said().contains(wanted));

    says(&said(), &["refuses to list services in namespace rights", "(ClusterRefused)", "(list services)", "can-i --list -n rights"]);
    give("services", "list", "services");
    until("refuses to list pods in namespace rights");
    give("pods", "list", "pods");
    until("refuses to get and create pods/portforward in namespace rights");
    give("forward", "get,create", "pods/portforward");
    until("pod queue-0");
    says(&said(), &["the queue service rights/everloop-queue", "cannot be reached", "(ServerUnreachable)"]);
    namespace.kubectl(&["delete", "service", "everloop-queue"]);
}

#[test]
fn a_stranger_is_told_to_log_in() {
    let file = control_plane().path("stranger");
    let admin = std::fs::read_to_string(control_plane().kubeconfig()).unwrap();
    std::fs::write(&file, admin.replace("token: admin", "token: nobody")).unwrap();
    says(&said(&file, &[]), &["does not accept the credentials of the kubeconfig", "(ClusterRefused)", "log in"]);
}

#[test]
fn a_cluster_that_is_away_is_told_within_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = control_plane().path("silent");
    let admin = std::fs::read_to_string(control_plane().kubeconfig()).unwrap();
    let server = admin.split("server: '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    std::fs::write(&file, admin.replace(server, &format!("https://{}", silent.local_addr().unwrap()))).unwrap();
    let began = Instant::now();
    says(
        &said(&file, &[]),
        &["the cluster of context \"test\" does not answer: nothing came within 5 s (ClusterUnreachable)", "cluster-info"],
    );
    // It is the promise of the 5 s that is held here, and that nobody waits for them twice.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    // Nobody listens on a port that is for the system.
    std::fs::write(&file, admin.replace(server, "https://127.0.0.1:1")).unwrap();
    let began = Instant::now();
    says(&said(&file, &[]), &["does not answer: Connection refused (ClusterUnreachable)"]);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
