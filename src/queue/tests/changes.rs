use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::harness::{Probe, Server, Worker, complete, config, serve, server};

const RUNS: &str = "/v1/namespaces/default/runs";

async fn start_followed(server: &Server, id: &str) {
    let start = json!({"workflow": "w", "id": id, "input": {"n": 1}, "origin": "kubernetes/01234567"});
    assert_eq!(server.post(RUNS, &start).await.status, 201);
}

fn cursor(body: &Value) -> String {
    body["cursor"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_change_is_told_with_the_runs_result_and_by_any_replica() {
    let one = server().await;
    let two = serve(one.store.clone(), config()).await;
    one.apply().await;
    let begin = one.get("/v1/changes").await;
    assert_eq!((begin.status, &begin.body["changes"]), (200, &json!([])), "{}", begin.body);
    let begin = cursor(&begin.body);
    start_followed(&one, "followed").await;
    one.start("other").await;
    let worker = Worker::open(&one).await;
    let follow = two.get(&format!("/v1/changes?cursor={begin}&wait=30s"));
    let work = async {
        let mut done = 0;
        while done < 2 {
            for turn in worker.poll().await.turns {
                worker.took(&turn, json!([complete(&json!({"n": 2}))])).await;
                done += 1;
            }
        }
    };
    let (told, ()) = tokio::join!(follow, work);
    assert_eq!((told.status, told.body["changes"].as_array().unwrap().len()), (200, 1), "{}", told.body);
    let change = &told.body["changes"][0];
    assert_eq!((&change["namespace"], &change["id"]), (&json!("default"), &json!("followed")));
    assert_eq!((&change["run"]["status"], &change["run"]["result"]), (&json!("Completed"), &json!({"n": 2})), "{change}");
    let later = one.get(&format!("/v1/changes?cursor={}", cursor(&told.body))).await;
    assert_eq!((later.status, &later.body["changes"]), (200, &json!([])));
    let again = one.get(&format!("/v1/changes?cursor={begin}")).await;
    assert_eq!(again.body["changes"][0]["id"], "followed", "a cursor can be used again");
}

/// While nobody changes anything, a request that waits asks the store once, and again only after seconds.
#[tokio::test]
async fn waiting_costs_nothing() {
    let server = server().await;
    let begin = cursor(&server.get("/v1/changes").await.body);
    let before = server.store.counts()["changes"];
    server.get(&format!("/v1/changes?cursor={begin}&wait=1s")).await;
    assert_eq!(server.store.counts()["changes"] - before, 2 * 4, "at the begin and at the end, of four partitions");
}

#[tokio::test]
async fn a_cursor_of_another_store_or_of_nothing_is_refused() {
    let (one, other) = (server().await, server().await);
    let foreign = cursor(&other.get("/v1/changes").await.body);
    let told = one.get(&format!("/v1/changes?cursor={foreign}")).await;
    assert_eq!((told.status, &told.body["code"]), (410, &json!("ChangesTooOld")), "{}", told.body);
    let own = cursor(&one.get("/v1/changes").await.body);
    let ahead = one.get(&format!("/v1/changes?cursor={own}7")).await;
    assert_eq!((ahead.status, &ahead.body["code"]), (410, &json!("ChangesTooOld")), "the store has lost what the cursor has seen");
    let nonsense = one.get("/v1/changes?cursor=x.y").await;
    assert_eq!((nonsense.status, &nonsense.body["code"]), (400, &json!("InvalidRequest")), "{}", nonsense.body);
}

#[tokio::test]
async fn a_store_that_is_away_is_told_to_who_follows_and_the_cursor_stays_good() {
    let server = serve(Probe::new(2), config()).await;
    server.apply().await;
    let begin = cursor(&server.get("/v1/changes").await.body);
    start_followed(&server, "a").await;
    server.store.away.store(true, Ordering::SeqCst);
    assert_eq!(server.get(&format!("/v1/changes?cursor={begin}&wait=30s")).await.status, 503);
    server.store.away.store(false, Ordering::SeqCst);
    assert_eq!(server.post(&format!("{RUNS}/a/pause"), &json!({})).await.status, 200);
    let told = server.get(&format!("/v1/changes?cursor={begin}&wait=30s")).await;
    assert_eq!(told.body["changes"][0]["run"]["status"], "Paused", "{}", told.body);
}
