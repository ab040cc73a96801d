//! Timers wake a pool that is at zero before they are due.

use std::collections::BTreeMap;
use std::time::Duration;

use everloop::api::http::StartRun;
use everloop::api::{Command, Entry, Event, Json, RunId, RunStatus, TimeMs};
use futures_util::future::join_all;

use crate::installation::{Installation, OPERATOR, WORKERS, disturbance, everloop};
use crate::told::{self, Micros, now};

const WORKFLOW: &str = r#"apiVersion: everloop.dev/v1alpha1
kind: WorkerPool
metadata: {name: wakes}
spec:
  scaling: {mode: Auto, max: 4, zeroWindow: 3s, fallWindow: 10s}
---
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: sleeps}
spec:
  pool: wakes
  source:
    inline: |
      import { sleep } from "everloop";
      export default async (ms) => { await sleep(ms); return ms; };
"#;
/// Long enough for the pool to go to zero before each.
const SLEEPS_MS: [u64; 2] = [30_000, 62_000];
const RUNS: usize = 10;

/// When its timer was due, when it fired, and who was there then.
fn firing(journal: &[Entry]) -> (TimeMs, TimeMs, &str) {
    let due = journal.iter().find_map(|entry| {
        entry.commands.iter().find_map(|command| match command {
            Command::StartTimer { duration, .. } => Some(entry.at.plus(*duration)),
            _ => None,
        })
    });
    let fired = journal.iter().find(|entry| entry.events.iter().any(|event| matches!(event, Event::TimerFired { .. })));
    let fired = fired.expect("it fired");
    (due.expect("a timer"), fired.at, &fired.worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_at_zero_has_a_worker_with_a_session_before_its_timers_are_due() {
    let _only_we = disturbance();
    let installation = Installation::new("timers");
    let namespace = &installation.namespace;
    namespace.apply(WORKFLOW);
    namespace.until_condition("elw/sleeps", "Ready", "True");
    let client = installation.client().await;
    let began = now();
    let start = async |ms: u64, n: usize| {
        let id: RunId = format!("sleeps-{ms}-{n}").parse().expect("an id");
        let start = StartRun { workflow: "sleeps".parse().expect("a name"), id: Some(id.clone()), input: Json::of(&ms), origin: None };
        client.start(&start, id.as_str()).await.expect("a run").id
    };
    let mut runs = BTreeMap::new();
    for ms in SLEEPS_MS {
        runs.insert(ms, join_all((0..RUNS).map(|n| start(ms, n))).await);
    }
    // The pool is at zero before anything is there, too.
    for run in runs.values().flatten() {
        while client.journal(run).await.expect("a journal").is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let mut workers = Vec::new();
    for (ms, runs) in runs {
        namespace.until("the pool is at zero", "elp/wakes", |pool| pool["status"]["desiredReplicas"] == 0);
        let (mut late, mut firings) = (Vec::new(), Vec::new());
        for run in &runs {
            let view = client.wait(run).await.expect("an end");
            assert_eq!(view.status, RunStatus::Completed, "{run}: {:?}", view.error);
        }
        // The pods stay for a moment.
        let said = told::logs(namespace, WORKERS);
        for run in &runs {
            let journal = client.journal(run).await.expect("a journal");
            let (due, fired, worker) = firing(&journal);
            assert!(fired >= due, "{run} fired before it was due");
            assert_ne!(journal[0].worker, worker, "the pool was at zero in between");
            late.push(Micros::try_from(fired.since(due).0).expect("milliseconds") * 1_000);
            firings.push((Micros::try_from(due.0).expect("a time") * 1_000, worker.to_owned()));
        }
        let (due, worker) = firings.iter().min().expect("some runs");
        let opened = said.iter().find(|line| line.says("session opened") && line.field("session").starts_with(&format!("{worker}-")));
        let opened = opened.unwrap_or_else(|| panic!("{worker} does not tell of its session: {said:#?}"));
        assert!(opened.at < *due, "the session was opened {} ms after the first timer was due", (opened.at - due) / 1_000);
        println!(
            "{RUNS} timers after {ms} ms: a worker had its session {} ms before the first was due; they fired {} late",
            (due - opened.at) / 1_000,
            told::spread(late)
        );
        workers.push(worker.clone());
    }
    workers.dedup();
    assert_eq!(workers.len(), SLEEPS_MS.len(), "each time another pod: {workers:?}");
    let decided = told::logs(everloop(), OPERATOR);
    let decided = decided.iter().filter(|line| line.at >= began && line.says("scaling decided") && line.field("namespace") == namespace.0);
    let woken = decided.filter(|line| line.field("reason").contains(" timers within ")).count();
    assert!(woken >= SLEEPS_MS.len(), "timers were the reason each time");
}
