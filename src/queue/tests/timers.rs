use serde_json::json;

use super::harness::{Worker, complete, schedule, server, sleep};
use crate::api::{DurationMs, Event};

#[tokio::test]
async fn a_timer_fires_and_wakes_the_run() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let worker = Worker::open(&server).await;
    let turn = worker.turn().await;
    worker.took(&turn, json!([sleep("120ms"), sleep("60ms")])).await;
    let mut fired = Vec::new();
    let mut last = turn.clone();
    while fired.len() < 2 {
        let work = worker.poll().await;
        last = work.turns[0].clone();
        fired.extend(last.events.iter().map(|event| (event.get().to_owned(), work.now)));
        if fired.len() < 2 {
            worker.took_quietly(&last, json!([])).await;
        }
    }
    let due = |ms| turn.started_at.plus(DurationMs(ms));
    assert_eq!(fired[0].0, r#"{"TimerFired":{"command":1}}"#);
    assert_eq!(fired[1].0, r#"{"TimerFired":{"command":0}}"#);
    assert!(fired[0].1 >= due(60) && fired[1].1 >= due(120), "never early: {fired:?}");
    worker.took(&last, json!([complete(&json!(null))])).await;
    assert_eq!(server.get("/v1/namespaces/default/runs/a").await.body["status"], "Completed");
}

#[tokio::test]
async fn an_attempt_past_its_time_fails_by_its_policy() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let worker = Worker::open(&server).await;
    let turn = worker.turn().await;
    let answer = worker.took(&turn, json!([schedule("late"), schedule("unbegun")])).await;
    assert_eq!(answer.activities[0].command, 0, "the worker has it, and lets it pass");
    let mut failures = Vec::new();
    while failures.len() < 2 {
        let next = worker.turn().await;
        for event in &next.events {
            match serde_json::from_str(event.get()).unwrap() {
                Event::ActivityFailed { command, error, .. } => failures.push((command, error.kind, error.message)),
                other => panic!("{other:?}"),
            }
        }
        worker.took_quietly(&next, json!([])).await;
    }
    failures.sort();
    assert_eq!(failures[0].1, "Timeout");
    assert!(failures[0].2.contains("late passed its start-to-close"), "{failures:?}");
    assert!(failures[1].2.contains("unbegun passed its schedule-to-start"), "{failures:?}");
}
