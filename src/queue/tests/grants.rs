use serde_json::json;

use super::harness::{Worker, server, turn_item};
use crate::api::worker::{ItemResult, TurnWork, Work};

#[tokio::test]
async fn a_waiting_poll_gets_what_a_start_and_a_signal_make_ready() {
    let server = server().await;
    server.apply().await;
    let worker = Worker::open(&server).await;
    let (work, _) = tokio::join!(worker.poll(), server.start("a"));
    // The turn asks for nothing, so the run waits.
    let turn = &work.turns[0];
    assert_eq!(worker.take(turn, json!([])).await.results, [ItemResult::Accepted]);
    let signal = server.post("/v1/namespaces/default/runs/a/signals/go", &json!({"x": [1]}));
    let (work, signalled) = tokio::join!(worker.poll(), signal);
    assert_eq!(signalled.status, 202, "{}", signalled.body);
    assert_eq!(work.turns[0].events[0].get(), r#"{"SignalReceived":{"name":"go","payload":{"x":[1]}}}"#);
}

#[tokio::test]
async fn what_comes_while_nobody_waits_is_found_by_the_next_poll() {
    let server = server().await;
    server.apply().await;
    let worker = Worker::open(&server).await;
    for i in 0..8 {
        server.start(&format!("run-{i}")).await;
    }
    let (mut runs, mut turns) = (Vec::new(), 0);
    while turns < 8 {
        let work = worker.poll().await;
        turns += work.turns.len();
        runs.extend(work.turns.iter().map(|turn| turn_item(turn, json!([]))));
    }
    let results = worker.commit(json!(runs)).await.results;
    assert!(results.iter().all(|result| *result == ItemResult::Accepted), "{results:?}");
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again_to_the_repeat() {
    let server = server().await;
    server.apply().await;
    let worker = Worker::open(&server).await;
    server.start("a").await;
    let seq = worker.seq();
    let first = worker.poll_as(seq, false, 20_000).await;
    let again = worker.poll_as(seq, true, 20_000).await;
    let read = |answer: &super::harness::Answer| serde_json::from_str::<Work>(&answer.text).unwrap();
    // The same lease, told at a later time.
    let (first, again) = (read(&first).turns, read(&again).turns);
    assert!(again[0].at >= first[0].at);
    assert_eq!(first, [TurnWork { at: first[0].at, ..again[0].clone() }]);
    let later = worker.poll_as(worker.seq(), false, 0).await;
    assert_eq!(read(&later).turns, [], "it is leased, so no other request gets it");
}

#[tokio::test]
async fn a_grant_whose_answer_the_store_lost_reaches_the_waiting_poll() {
    let server = server().await;
    server.apply().await;
    server.start("warm-up").await;
    let worker = Worker::open(&server).await;
    worker.turn().await;
    *server.store.deaf_to.lock().unwrap() = Some("start");
    let poll = worker.poll();
    let start = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        server.start("a").await
    };
    let (work, start) = tokio::join!(poll, start);
    assert_eq!(start.body["code"], "StoreUnavailable");
    assert_eq!(work.turns[0].run.id.as_str(), "a");
    assert_eq!(server.start("a").await.status, 200, "the repeat finds the run");
}
