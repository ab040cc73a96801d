//! What a run costs the store, with a real worker: counted, not timed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::{Fleet, StoreKind};
use crate::shop::Shop;
use crate::workload::apply_all;

/// Operations of the store so far, by name.
pub async fn operations(server: &str) -> BTreeMap<String, u64> {
    let metrics = reqwest::get(format!("{server}/metrics")).await.expect("an answer").text().await.expect("text");
    let counts = metrics.lines().filter_map(|line| {
        let (name, count) = line.strip_prefix("everloop_store_operation_seconds_count{operation=\"")?.split_once("\",outcome=\"ok\"} ")?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    });
    counts.collect()
}

/// Runs so many steps one after the other; the operations that it took.
async fn steps(server: &str, id: &str, steps: u64) -> BTreeMap<String, u64> {
    let before = operations(server).await;
    let body = json!({"workflow": "steps", "id": id, "input": {"steps": steps}});
    let client = reqwest::Client::new();
    let started = client.post(format!("{server}/v1/namespaces/default/runs")).json(&body).send().await.expect("an answer");
    assert_eq!(started.status(), 201);
    let url = format!("{server}/v1/namespaces/default/runs/{id}?wait=30s");
    let view: Value = client.get(url).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(view["result"].as_array().map(Vec::len), usize::try_from(steps).ok(), "{view:#}");
    let after = operations(server).await;
    let spent = after.into_iter().map(|(name, count)| (name.clone(), count - before.get(&name).copied().unwrap_or(0)));
    spent
        .filter(|(name, count)| *count > 0 && ["start", "deliver", "claim", "commit", "finish", "release"].contains(&name.as_str()))
        .collect()
}

/// Start, first turn, and one operation for each step's outcome with the turn that follows from it. What polls look up by
/// themselves is not of the run.
async fn a_step_is_one_operation(kind: StoreKind) {
    let shop = Shop::open().await;
    let mut fleet = Fleet::start(kind, 1).await;
    apply_all(&fleet, &shop).await;
    fleet.add_worker();
    let server = fleet.server(0);
    let exactly = |steps| BTreeMap::from([("start".to_owned(), 1), ("commit".to_owned(), 1), ("finish".to_owned(), steps)]);
    let mut spent = Vec::new();
    for n in 0..25 {
        // A worker that waits is granted by the start itself; between two runs it asks anew.
        tokio::time::sleep(Duration::from_millis(50)).await;
        spent.push(steps(&server, &format!("one-{n}"), 1).await);
    }
    // At the first the worker comes, and now and then a replica looks by itself.
    let exact = spent.iter().filter(|spent| **spent == exactly(1)).count();
    assert!(exact >= 20, "runs of one step take {spent:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let many = steps(&server, "many", 50).await;
    let finished = many.get("finish").copied();
    assert!(many == exactly(50) || (finished == Some(50) && many.values().sum::<u64>() <= 54), "50 steps take {many:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_a_step_is_one_operation_on_the_embedded_store() {
    a_step_is_one_operation(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_a_step_is_one_operation_on_redis() {
    a_step_is_one_operation(StoreKind::Redis).await;
}
