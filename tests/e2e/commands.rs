//! What people type, through a whole life of runs: each command once, its words, its exit code, and what it has done.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::{Fleet, StoreKind};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;

const WAITING: &str = r#"
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: waiting}
spec:
  source:
    inline: |
      import { signal } from "everloop";
      export default async function waiting(input) {
        console.log("waiting for", input.what);
        const answer = await signal("answer");
        if (answer.bad) throw new RangeError(answer.bad);
        return { [input.what]: answer };
      }
"#;

/// A person at a terminal.
struct Person {
    server: String,
    folder: tempfile::TempDir,
}

/// What came of a command.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Person {
    fn types(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        command.args(arguments).env("EVERLOOP_SERVER", &self.server).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = command.output().expect("everloop runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said { code: output.status.code().expect("it ends by itself"), out: text(output.stdout), err: text(output.stderr) }
    }

    /// It ends with this code; what it printed.
    fn gets(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.types(arguments);
        assert_eq!(said.code, code, "`everloop {}`:\n{}{}", arguments.join(" "), said.out, said.err);
        said.out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        serde_json::from_str(&self.gets(DONE, &all)).expect("JSON")
    }

    /// Waits until a run is doing something.
    fn sees(&self, run: &str, field: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let view = self.json(&["get", run]);
            if view[field] == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{run} is never {wanted}: {view:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

async fn at_a_terminal(test: impl FnOnce(&Person) + Send + 'static) {
    let mut fleet = Fleet::start(StoreKind::File, 1).await;
    fleet.add_worker();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("waiting.yaml"), WAITING).expect("a file");
    std::fs::write(folder.path().join("input.json"), r#"{"what": "pizza"}"#).expect("a file");
    let person = Person { server: fleet.server(0), folder };
    tokio::task::spawn_blocking(move || {
        person.gets(DONE, &["check", "waiting.yaml"]);
        let applied = person.types(&["apply", "-f", "waiting.yaml"]);
        assert!(applied.code == DONE && format!("{}{}", applied.out, applied.err).contains("waiting"), "{}{}", applied.out, applied.err);
        test(&person);
    })
    .await
    .expect("what was promised");
    drop(fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_watched_signalled_and_ends() {
    at_a_terminal(|person| {
        assert_eq!(person.json(&["workflows"])["workflows"][0]["name"], "waiting");
        person.gets(DONE, &["run", "waiting", "--id", "lunch", "--input", "@input.json"]);
        person.sees("lunch", "doing", "waiting");
        assert_eq!(person.json(&["get", "lunch"])["input"], json!({"what": "pizza"}), "the input is that of the file");
        let listed = person.gets(DONE, &["list"]);
        assert!(listed.contains("lunch") && listed.contains("Running"), "{listed}");
        let yaml = person.gets(DONE, &["get", "lunch", "-o", "yaml"]);
        assert!(yaml.contains("workflow: waiting"), "{yaml}");

        let mut watch = Command::new(env!("CARGO_BIN_EXE_everloop"));
        watch.args(["watch", "lunch"]).env("EVERLOOP_SERVER", &person.server).stdin(Stdio::null()).stdout(Stdio::piped());
        let watch = watch.spawn().expect("everloop runs");
        person.gets(DONE, &["signal", "lunch", "answer", r#"{"with": "cheese"}"#]);
        let watched = watch.wait_with_output().expect("it ends with the run");
        let watched = String::from_utf8(watched.stdout).expect("text");
        assert!(watched.contains("waiting for pizza") && watched.contains("answer") && watched.contains("cheese"), "{watched}");

        let result: Value = serde_json::from_str(&person.gets(DONE, &["result", "lunch", "--wait"])).expect("JSON");
        assert_eq!(result, json!({"pizza": {"with": "cheese"}}));
        let journal = person.json(&["journal", "lunch"]);
        assert_eq!(journal.as_array().map(Vec::len), Some(2), "{journal:#}");
        let pools = person.types(&["pools"]);
        assert!(pools.code == DONE && pools.out.contains("default"), "{}{}", pools.out, pools.err);
        let pool = person.gets(DONE, &["pool", "default"]);
        assert!(pool.contains("Activities") && pool.contains("Workers       1"), "{pool}");
        let nobody = person.types(&["pool", "nobody"]);
        assert!(nobody.code == DONE && nobody.err.contains("nothing is known of the pool nobody"), "{}{}", nobody.out, nobody.err);
        let workers = person.gets(DONE, &["workers"]);
        assert!(workers.contains("w1"), "{workers}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_workflow_takes_no_new_runs_and_is_revived_by_applying_it() {
    at_a_terminal(|person| {
        person.gets(DONE, &["run", "waiting", "--id", "lunch", "--input", "@input.json"]);
        let retired = person.types(&["retire", "waiting"]);
        assert!(retired.code == DONE && retired.err.contains("waiting is retired"), "{}", retired.err);
        let listed = person.gets(DONE, &["workflows"]);
        assert!(listed.contains("retired"), "{listed}");
        let refused = person.types(&["run", "waiting"]);
        assert!(
            refused.code != DONE && refused.err.contains("WorkflowRetired") && refused.err.contains("apply it again"),
            "{}",
            refused.err
        );
        person.gets(DONE, &["signal", "lunch", "answer", "1"]);
        person.gets(DONE, &["result", "lunch", "--wait"]);
        person.gets(DONE, &["apply", "-f", "waiting.yaml"]);
        person.gets(DONE, &["run", "waiting", "--id", "dinner", "--input", "@input.json"]);
        assert!(person.types(&["retire", "nothing"]).err.contains("WorkflowNotFound"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_fail_are_cancelled_terminated_paused_and_resumed() {
    at_a_terminal(|person| {
        for id in ["fails", "cancelled", "terminated", "paused"] {
            person.gets(DONE, &["run", "waiting", "--id", id, "--input", "@input.json"]);
            person.sees(id, "doing", "waiting");
        }
        person.gets(DONE, &["signal", "fails", "answer", r#"{"bad": "burnt"}"#]);
        let failed = person.types(&["result", "fails", "--wait"]);
        assert_eq!(failed.code, FAILED, "a run that failed: {}{}", failed.out, failed.err);
        assert!(failed.err.contains("RangeError: burnt") && failed.err.contains("waiting.js:5:"), "{}", failed.err);
        assert_eq!(person.types(&["run", "waiting", "--id", "fails", "--input", "@input.json", "--wait"]).code, FAILED, "and `run --wait`");

        person.gets(DONE, &["cancel", "cancelled", "--reason", "not hungry"]);
        let cancelled = person.types(&["result", "cancelled", "--wait"]);
        assert_eq!(cancelled.code, FAILED);
        assert!(cancelled.err.contains("Cancelled"), "{}", cancelled.err);

        person.gets(DONE, &["terminate", "terminated", "--reason", "closing time"]);
        assert_eq!(person.json(&["get", "terminated"])["status"], "Terminated");

        person.gets(DONE, &["pause", "paused"]);
        assert_eq!(person.json(&["get", "paused"])["status"], "Paused");
        person.gets(DONE, &["signal", "paused", "answer", "1"]);
        assert_eq!(person.json(&["get", "paused"])["turns"], 1, "it takes no turn");
        person.gets(DONE, &["resume", "paused"]);
        assert_eq!(person.gets(DONE, &["result", "paused", "--wait"]).trim(), r#"{"pizza":1}"#);

        let only: Vec<_> = person.json(&["list", "--status", "Failed"])["runs"].as_array().expect("a list").clone();
        assert_eq!(only.len(), 1, "{only:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_wrong_is_refused_before_anything_is_sent() {
    at_a_terminal(|person| {
        for (arguments, words) in [
            (&["run", "waiting", "--input", "{what: 1}"][..], "InvalidJson"),
            (&["run", "waiting", "--input", "@missing.json"][..], "missing.json"),
            (&["apply", "-f", "missing.yaml"][..], "missing.yaml"),
            (&["lst"][..], "list"),
            (&["get"][..], "<RUN>"),
        ] {
            let said = person.types(arguments);
            assert_eq!(said.code, USAGE, "`everloop {}`: {}", arguments.join(" "), said.err);
            assert!(said.err.contains(words), "`everloop {}` does not say {words}: {}", arguments.join(" "), said.err);
        }
        assert_eq!(person.json(&["list"])["runs"], json!([]), "nothing was started");
    })
    .await;
}

#[test]
fn the_completion_scripts_are_read_by_their_shell() {
    let printed = |shell: &str| Command::new(env!("CARGO_BIN_EXE_everloop")).args(["completion", shell]).output().expect("everloop runs");
    for shell in ["bash", "zsh", "fish"] {
        assert!(String::from_utf8_lossy(&printed(shell).stdout).contains("workflows"), "{shell}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("everloop.bash");
    std::fs::write(&script, printed("bash").stdout).expect("a file");
    let asked = "source \"$0\"; COMP_WORDS=(everloop work); COMP_CWORD=1; _everloop everloop work everloop; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", asked]).arg(&script).output().expect("bash");
    let offered = String::from_utf8_lossy(&output.stdout);
    assert_eq!(offered.split_whitespace().collect::<Vec<_>>(), ["workflows", "workers", "worker"], "{offered}");
}
