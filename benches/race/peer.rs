//! A peer whose client is a program of its own SDK: one JSON object a line, a question in, an answer out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Mutex;

use crate::load::{Batch, Load, Program};
use crate::process::{Process, now_ms, resident_bytes};
use crate::system::Slept;

pub struct Peer {
    pub process: Process,
    talk: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Peer {
    /// Starts it, and waits until it says that it is ready.
    pub async fn start(name: &'static str, mut command: Command, folder: &Path) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).env("RACE_SPEAKS", "1");
        let mut process = Process::start(name, command, folder);
        let stdin = ChildStdin::from_std(process.child.stdin.take().expect("a pipe")).expect("a pipe");
        let stdout = ChildStdout::from_std(process.child.stdout.take().expect("a pipe")).expect("a pipe");
        let peer = Self { process, talk: Mutex::new((stdin, BufReader::new(stdout).lines())) };
        let hello = tokio::time::timeout(crate::process::READY_WITHIN, peer.answer()).await;
        let hello = hello.unwrap_or_else(|_| panic!("{name} does not get ready: {}", peer.process.last_words()));
        assert_eq!(hello["ready"], true, "{name}: {hello}");
        peer
    }

    async fn answer(&self) -> Value {
        let line = self.talk.lock().await.1.next_line().await.expect("a pipe");
        let line = line.unwrap_or_else(|| panic!("{} hung up: {}", self.process.name, self.process.last_words()));
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{}: {e}: {line}", self.process.name));
        assert!(answer.get("error").is_none(), "{}: {answer}", self.process.name);
        answer
    }

    pub async fn ask(&self, question: Value) -> Value {
        self.talk.lock().await.0.write_all(format!("{question}\n").as_bytes()).await.expect("it reads");
        self.answer().await
    }

    /// The program's own measure of a signal, over and over.
    pub async fn signals(&self, window: Duration) -> Vec<f64> {
        let answer = self.ask(json!({"ask": "signals", "windowMs": u64::try_from(window.as_millis()).expect("minutes")})).await;
        numbers(&answer["latenciesMs"])
    }

    /// The times of a long run, as its result.
    pub async fn aged(&self, steps: u32) -> (u32, Vec<f64>) {
        (steps, numbers(&self.ask(json!({"ask": "result", "workflow": "aged", "input": steps})).await["result"]))
    }

    pub async fn sleepers(&self, runs: u32, seconds: f64) -> Slept {
        let until = now_ms() + seconds * 1_000.0;
        let answer = self.ask(json!({"ask": "sleepers", "input": until, "runsMax": runs})).await;
        let seconds = |name: &str| answer[name].as_f64().expect("a time");
        let (starting_seconds, late_seconds) = (seconds("startingSeconds"), seconds("lateSeconds"));
        Slept { starting_seconds, late_seconds, store_bytes: None }
    }

    pub async fn parked(&self, runs: u32) -> f64 {
        self.ask(json!({"ask": "park", "runsMax": runs})).await;
        resident_bytes(self.process.child.id())
    }

    pub async fn runs(&self, program: Program, payload: &Value, load: Load) -> Batch {
        let question = json!({"ask": "runs", "workflow": program.name(), "input": program.input(payload), "atOnce": load.at_once,
            "windowMs": u64::try_from(load.window.as_millis()).expect("minutes"), "runsMin": load.runs_min, "runsMax": load.runs_max});
        let answer = self.ask(question).await;
        Batch { seconds: answer["seconds"].as_f64().expect("a time"), latencies_ms: numbers(&answer["latenciesMs"]) }
    }
}

pub fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|n| n.as_f64().expect("a number")).collect()
}

/// Where a peer is that `scripts/install-race-peers` has installed.
pub fn installed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/race").join(name)
}

/// The Node that runs them all.
pub fn node() -> PathBuf {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    installed("node").join(format!("node_modules/node-linux-{arch}/bin/node"))
}
