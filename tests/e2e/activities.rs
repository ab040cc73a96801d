//! Signs of life of a script's attempt, from the code to the store and back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::{Fleet, StoreKind};
use crate::shop::Shop;

const CALLING: &str = "export default async function calling(input) { return await work(input); }";
const LIVELY: &str = "export default async (input, context) => {
  for (let i = 0; i < 30; i++) {
    await new Promise((go) => setTimeout(go, 100));
    context.heartbeat();
  }
  return context.attempt;
};";
const SILENT: &str = "export default async (input, context) => {
  await new Promise((go) => setTimeout(go, 1000));
  context.heartbeat();
  await new Promise((go) => setTimeout(go, 300));
  await fetch(input, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
};";

async fn run(fleet: &Fleet, workflow: &str, script: &str, heartbeat: &str, input: &str) -> Value {
    let timeouts = json!({"startToClose": "30s", "heartbeat": heartbeat});
    let activities = json!({"work": {"script": script, "timeouts": timeouts, "retry": {"maxAttempts": 1}}});
    fleet.apply(workflow, &CALLING.replace("calling", workflow), activities).await;
    let body = json!({"workflow": workflow, "input": input});
    let url = format!("{}/v1/namespaces/default/runs?wait=30s", fleet.server(0));
    reqwest::Client::new().post(url).json(&body).send().await.expect("an answer").json().await.expect("json")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_lives_as_long_as_it_says_so() {
    let shop = Shop::open().await;
    let mut fleet = Fleet::start(StoreKind::File, 1).await;
    fleet.add_worker();
    let lively = run(&fleet, "lively", LIVELY, "2s", "").await;
    assert_eq!((&lively["status"], &lively["result"]), (&json!("Completed"), &json!(1)), "{lively:#?}");

    let silent = run(&fleet, "silent", SILENT, "200ms", &format!("{}/step", shop.url)).await;
    assert_eq!((&silent["status"], &silent["error"]["type"]), (&json!("Failed"), &json!("Timeout")), "{silent:#?}");
    assert!(silent["error"]["message"].as_str().is_some_and(|message| message.contains("heartbeat")), "{silent:#?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let executions = shop.ledger.executions.lock().expect("no panic while it is held");
    assert!(executions.is_empty(), "an attempt that was given up is stopped by its next sign of life: {executions:?}");
}
