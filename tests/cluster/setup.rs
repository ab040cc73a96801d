//! The steps of an installation that the chart's Jobs take.

use std::process::{Command, Output};

use crate::control_plane::{Namespace, control_plane};
use crate::installation::{Installation, a_run, a_workflow};

fn setup(namespace: &Namespace, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.args(["setup", "--operator-namespace", &namespace.0]).args(arguments).env("KUBECONFIG", control_plane().kubeconfig());
    command.output().expect("everloop runs")
}

#[test]
fn a_password_is_made_once_and_never_shown() {
    let namespace = Namespace::new("password");
    let make = |key: &str| setup(&namespace, &["password", "--secret", "redis", "--key", key]);
    let password = || namespace.get("secret/redis").unwrap()["data"]["password"].as_str().unwrap().to_owned();
    let first = make("password");
    assert!(first.status.success(), "{first:?}");
    let made = password();
    // 32 characters in base 64.
    assert_eq!(made.len(), 44);
    let second = make("password");
    assert!(second.status.success() && password() == made, "it is kept: {second:?}");
    let other = make("key");
    let words = String::from_utf8(other.stderr).unwrap();
    assert!(!other.status.success() && words.contains("the Secret redis has no key \"key\""), "{words}");
    assert_eq!(password(), made);
}

#[tokio::test]
async fn releasing_runs_takes_the_finalizers_and_leaves_the_runs() {
    let mut installation = Installation::new("releasing");
    let namespace = installation.namespace.clone();
    namespace.apply(&a_workflow("waits", "await sleep('1h');")).unwrap();
    namespace.apply(&(a_run("one", "waits", "") + &a_run("two", "waits", ""))).unwrap();
    for run in ["elr/one", "elr/two"] {
        namespace.condition(run, "Closed", "False", "Running");
    }
    namespace.kubectl(&[
        "patch",
        "elr/two",
        "--type=json",
        "-p",
        r#"[{"op": "add", "path": "/metadata/finalizers/-", "value": "a.team/own"}]"#,
    ]);
    installation.kill_operator();
    let released = setup(&namespace, &["release-runs", "--watch-namespace", &namespace.0]);
    assert!(released.status.success() && String::from_utf8_lossy(&released.stderr).contains("released=2"), "{released:?}");
    assert!(namespace.get("elr/one").unwrap()["metadata"]["finalizers"].is_null());
    assert_eq!(namespace.get("elr/two").unwrap()["metadata"]["finalizers"], serde_json::json!(["a.team/own"]), "only ours");
    assert!(namespace.get("lease/everloop-operator").is_none());
    for id in installation.runs().await {
        let run = installation.client().run(&id.parse().unwrap()).await.unwrap();
        assert_eq!(format!("{:?}", run.status), "Running");
    }
    let again = setup(&namespace, &["release-runs", "--watch-namespace", &namespace.0]);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("released=0"), "{again:?}");
}
