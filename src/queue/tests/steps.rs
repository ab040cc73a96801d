//! Steps that a worker has done before they were granted.

use serde_json::{Value, json};

use super::harness::{Server, Worker, complete, head, schedule, server, turn_json};
use crate::api::worker::{ItemResult, TurnWork};

/// The first turn of a run, which asks for `work`, and `count` steps after it, the last of which ends the run with 7.
fn item(turn: &TurnWork, count: u32) -> Value {
    let first = turn_json(turn, json!([schedule("work")]), turn.events.len());
    let (mut base, mut next, mut steps) = (first["id"].clone(), turn.clone(), Vec::new());
    for command in 0..count {
        (next.number, next.next_command) = (command + 1, command + 1);
        let commands = if command + 1 == count { json!([complete(&json!(7))]) } else { json!([schedule("work")]) };
        let mut turn = turn_json(&next, commands, 0);
        turn["base"] = base;
        turn["id"] = json!(head());
        base = turn["id"].clone();
        steps.push(json!({"command": command, "result": 1, "turn": turn}));
    }
    json!({"Turn": {"run": turn.run, "seq": turn.seq, "turn": first, "steps": steps, "offer": {"turns": 1, "activities": 1}}})
}

async fn started(server: &Server) -> (Worker<'_>, TurnWork) {
    server.apply().await;
    server.start("a").await;
    let worker = Worker::open(server).await;
    let turn = worker.turn().await;
    (worker, turn)
}

#[tokio::test]
async fn a_run_is_done_with_its_steps_in_one_operation_and_who_waits_is_told() {
    let server = server().await;
    let (worker, turn) = started(&server).await;
    let waits = server.get("/v1/namespaces/default/runs/a?wait=20s");
    let before = server.store.counts();
    let (run, answer) = tokio::join!(waits, worker.commit(json!([item(&turn, 3)])));
    assert_eq!(answer.results, [ItemResult::Advanced { steps: 3 }]);
    assert_eq!((&run.body["status"], &run.body["result"], &run.body["turns"]), (&json!("Completed"), &json!(7), &json!(4)));
    let after = server.store.counts();
    let spent = |name| after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default();
    assert_eq!((spent("chain"), spent("commit"), spent("finish")), (1, 0, 0));
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("everloop_turns_committed_total 4\n"), "{metrics}");
    assert!(metrics.contains("everloop_attempts_total{outcome=\"completed\"} 3\n"), "{metrics}");
}

#[tokio::test]
async fn nobody_is_told_of_an_end_that_was_cut_off() {
    let server = server().await;
    let (worker, turn) = started(&server).await;
    assert_eq!(server.post("/v1/namespaces/default/runs/a/cancel", &json!({"reason": "enough"})).await.status, 202);
    let waits = server.get("/v1/namespaces/default/runs/a?wait=1s");
    let (run, answer) = tokio::join!(waits, worker.commit(json!([item(&turn, 2)])));
    assert_eq!(answer.results, [ItemResult::Accepted], "the turn counts, what was done after it does not");
    assert_eq!((answer.turns.len(), answer.activities.len()), (1, 1), "the cancel comes with its turn, and the step is to be done again");
    assert_eq!((&run.body["status"], &run.body["result"]), (&json!("Running"), &Value::Null), "{}", run.body);
}

#[tokio::test]
async fn no_more_steps_are_taken_than_may_go_in_an_item_and_none_that_is_no_step() {
    let server = server().await;
    let (worker, turn) = started(&server).await;
    let most = u32::try_from(crate::api::limits::ITEM_STEPS_MAX).unwrap();
    let answer = worker.commit(json!([item(&turn, most + 3)])).await;
    assert_eq!(answer.results, [ItemResult::Advanced { steps: most }]);
    assert_eq!(answer.activities[0].command, most);

    server.start("b").await;
    let turn = worker.turn().await;
    let mut consuming = item(&turn, 2);
    consuming["Turn"]["steps"][1]["turn"]["consumed"] = json!(1);
    assert_eq!(worker.commit(json!([consuming])).await.results, [ItemResult::Advanced { steps: 1 }]);
}
