use serde_json::json;

use super::harness::{Worker, schedule, server};

const RUNS: &str = "/v1/namespaces/default/runs";

#[tokio::test]
async fn a_pool_is_told_with_what_waits_and_what_is_leased() {
    let server = server().await;
    server.apply().await;
    let none = server.get("/v1/pools").await.body;
    assert_eq!(none["pools"], json!([]));
    for id in ["a", "b", "c"] {
        server.start(id).await;
    }
    let pools = server.get("/v1/pools").await.body;
    assert_eq!((&pools["pools"][0]["pool"], &pools["pools"][0]["turns"]["backlog"]), (&json!("default"), &json!(3)), "{pools}");
    let worker = Worker::open(&server).await;
    let turn = worker.turn().await;
    let pool = server.get("/v1/pools/default").await.body;
    assert_eq!((&pool["turns"]["backlog"], &pool["turns"]["busy"]), (&json!(0), &json!(3)), "it has slots for all: {pool}");
    worker.took(&turn, json!([schedule("work")])).await;
    let pool = server.get("/v1/pools/default").await.body;
    assert_eq!(pool["activities"]["backlog"].as_u64().unwrap() + pool["activities"]["busy"].as_u64().unwrap(), 1, "{pool}");
    assert_eq!(server.get("/v1/pools/unknown").await.body["turns"]["backlog"], 0);
    assert_eq!(server.get("/v1/pools/Bad Name").await.status, 400);
}

/// Who waits is told at once when work comes to a pool for which nothing waited.
#[tokio::test]
async fn who_waits_for_the_pools_is_told_when_work_comes() {
    let server = server().await;
    server.apply().await;
    let seen = server.get("/v1/pools").await.body["seen"].as_str().unwrap().to_owned();
    let path = format!("/v1/pools?seen={seen}&wait=50s");
    let (pools, _) = tokio::join!(server.get(&path), async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        server.post(RUNS, &json!({"workflow": "w", "input": 1})).await
    });
    assert_eq!(pools.body["pools"][0]["turns"]["backlog"], 1, "{}", pools.body);
    let same = server.get(&format!("/v1/pools?seen={seen}")).await.body;
    assert_ne!(same["seen"], json!(seen), "without `wait` it is told what is now");
}
