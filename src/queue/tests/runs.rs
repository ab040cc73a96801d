use std::time::Duration;

use serde_json::json;

use super::harness::{Probe, Worker, complete, config, schedule, serve, server, turn_json};
use crate::api::worker::ItemResult;
use crate::queue::Config;

#[tokio::test]
async fn a_run_goes_from_start_to_result() {
    let server = server().await;
    let applied = server.apply().await;
    let started = server.start("order/1").await;
    assert_eq!((started.status, &started.body["status"]), (201, &json!("Running")), "{}", started.body);
    assert_eq!(started.body["version"], applied["version"]);
    assert_eq!(started.body["input"], json!({"n": 1}));

    let worker = Worker::open(&server).await;
    let turn = worker.turn().await;
    assert_eq!((turn.run.to_string().as_str(), turn.number), ("default/order/1", 0));
    assert_eq!(turn.events[0].get(), r#"{"Started":{"input":{"n":1}}}"#);
    let path = "/v1/namespaces/default/runs/order%2F1";
    let waits = server.get(&format!("{path}?wait=20s"));
    let takes = worker.took(&turn, json!([complete(&json!({"ok": true}))]));
    let (run, _) = tokio::join!(waits, takes);
    assert_eq!((&run.body["status"], &run.body["result"]), (&json!("Completed"), &json!({"ok": true})), "{}", run.body);

    let journal = server.get(&format!("{path}/journal")).await.body;
    assert_eq!((&journal["turns"], &journal["entries"][0]["birth"]["workflow"]), (&json!(1), &json!("w")), "{journal}");
    let listed = server.get("/v1/namespaces/default/runs?workflow=w&status=completed&limit=10").await.body;
    assert_eq!(listed["runs"][0]["id"], "order/1");
    assert_eq!(server.get("/v1/namespaces/default/runs?status=failed").await.body["runs"], json!([]));
}

#[tokio::test]
async fn a_one_step_run_costs_three_operations_of_the_store() {
    let server = server().await;
    server.apply().await;
    let worker = Worker::open(&server).await;
    // The poll waits, and everything of the past is cached, when the counting begins.
    let first = worker.poll();
    let starts = async {
        let path = "/metrics";
        loop {
            let metrics = server.get(path).await.body.to_string();
            if metrics.contains("everloop_polls_waiting{pool=\\\"default\\\"} 1") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let before = server.store.counts();
        server.start("one").await;
        before
    };
    let (work, before) = tokio::join!(first, starts);
    let turn = &work.turns[0];
    let mut answer = worker.took(turn, json!([schedule("work")])).await;
    let activity = answer.activities.remove(0);
    assert_eq!((activity.name, activity.command), (None, 0), "the worker knows what it has just scheduled");
    // The optimistic turn: computed from the head of the turn before it and the activity's result.
    let base: serde_json::Value = server.get("/v1/namespaces/default/runs/one/journal").await.body["entries"][0]["id"].clone();
    let mut next = turn.clone();
    (next.number, next.next_command, next.events) = (1, 1, vec![]);
    let mut last = turn_json(&next, json!([complete(&json!(7))]), 0);
    last["base"] = base;
    let item = json!({"Activity": {
        "run": activity.run, "version": activity.version, "name": "work", "command": 0, "attempt": 1, "seq": activity.seq,
        "scheduled_at": activity.scheduled_at, "outcome": {"Completed": {"result": 7}}, "turn": last,
        "offer": {"turns": 1, "activities": 1},
    }});
    assert_eq!(worker.commit(json!([item])).await.results, [ItemResult::Accepted]);

    let mut spent = server.store.counts();
    spent.remove("journal");
    spent.retain(|name, n| {
        *n -= before.get(name).copied().unwrap_or_default();
        *n > 0
    });
    // The definition is read once for each version, not for each run.
    spent.remove("definition");
    spent.remove("workflow");
    // A waiting poll looks into the store now and then; the run owes it nothing, for every lease came with an answer.
    spent.remove("claim");
    let metrics = server.get("/metrics").await.body.to_string();
    assert!(metrics.contains("everloop_grants_total") && !metrics.contains("by=\\\"claim\\\""), "a turn was claimed");
    assert_eq!(spent, [("commit", 1), ("finish", 1), ("start", 1)].into());
    assert_eq!(server.get("/v1/namespaces/default/runs/one").await.body["result"], json!(7));
}

#[tokio::test]
async fn a_new_version_is_followed_by_the_next_start() {
    let server = server().await;
    let first = server.apply().await;
    assert_eq!(server.apply().await["unchanged"], json!(true));
    assert_eq!(server.start("a").await.body["version"], first["version"]);
    let definition = json!({"source": "export default async () => 2;\n"});
    let body = json!({"name": "w", "pool": "default", "definition": definition, "retention": "1h"});
    let second = server.put("/v1/namespaces/default/workflows/w", &body).await.body;
    assert_ne!(first["version"], second["version"]);
    assert_eq!(server.start("b").await.body["version"], second["version"]);
    assert_eq!(server.start("a").await.body["version"], first["version"], "a run stays on its version");
    let version = second["version"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/versions/{version}")).await.body["source"], definition["source"]);
    let view = server.get("/v1/namespaces/default/workflows/w").await.body;
    assert_eq!((&view["retention"], &view["definition"]["source"]), (&json!("1h"), &definition["source"]));
    assert_eq!(server.get("/v1/namespaces/default/workflows").await.body["workflows"][0]["name"], "w");
}

#[tokio::test]
async fn a_person_pauses_resumes_and_terminates() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let path = |what: &str| format!("/v1/namespaces/default/runs/a/{what}");
    let paused = server.post(&path("pause"), &json!({"reason": "lunch"})).await.body;
    assert_eq!((&paused["status"], &paused["blocked"]["message"]), (&json!("Paused"), &json!("lunch")));
    let resumed = server.post(&path("resume"), &json!({})).await;
    assert_eq!(resumed.body["status"], "Running", "{}", resumed.body);
    assert_eq!(server.post(&path("resume"), &json!({})).await.body["code"], "NotApplicable");
    let ended = server.post(&path("terminate"), &json!({"reason": "enough"})).await.body;
    assert_eq!(ended["status"], "Terminated", "{ended}");
    let run = server.get("/v1/namespaces/default/runs/a").await.body;
    assert_eq!((&run["error"]["type"], &run["error"]["message"]), (&json!("Terminated"), &json!("enough")), "{run}");
    assert_eq!(server.post(&path("terminate"), &json!({})).await.status, 200, "a repeat changes nothing");
    assert_eq!(server.post(&path("pause"), &json!({})).await.body["code"], "RunClosed");
}

#[tokio::test]
async fn items_of_one_run_are_a_chain_and_others_are_not_touched() {
    let server = server().await;
    server.apply().await;
    let worker = Worker::open(&server).await;
    server.start("a").await;
    let a = worker.turn().await;
    server.start("b").await;
    let b = worker.turn().await;
    let mut wrong = super::harness::turn_item(&a, json!([schedule("nonsense")]));
    wrong["Turn"]["offer"] = json!({});
    let right = super::harness::turn_item(&a, json!([complete(&json!(1))]));
    let mut next = right.clone();
    next["Turn"]["turn"]["base"] = wrong["Turn"]["turn"]["id"].clone();
    let other = super::harness::turn_item(&b, json!([complete(&json!(2))]));
    let lost = json!({"Activity": {
        "run": a.run, "version": a.version, "name": "work", "command": 9, "attempt": 1, "seq": 77, "scheduled_at": 1,
        "outcome": {"Completed": {"result": 7}},
    }});
    let results = worker.commit(json!([wrong, other, next, lost, right])).await.results;
    assert!(matches!(&results[0], ItemResult::Refused { reason } if reason.starts_with("Invalid: UnknownActivity")), "{results:?}");
    assert_eq!(results[1], ItemResult::Accepted);
    assert_eq!(results[2], ItemResult::Refused { reason: "HeadMoved".into() }, "computed from what was refused");
    assert_eq!(results[3], ItemResult::Refused { reason: "AttemptLost".into() });
    assert_eq!(results[4], ItemResult::Accepted, "the lease is still there, and the turn stands on its own");
}

#[tokio::test]
async fn closed_runs_go_when_their_retention_is_over() {
    let server = serve(Probe::new(2), Config { sweep_every: Duration::from_millis(20), ..config() }).await;
    let body = json!({"name": "w", "pool": "default", "definition": {"source": "export default async () => 1;\n"}, "retention": "1ms"});
    assert_eq!(server.put("/v1/namespaces/default/workflows/w", &body).await.status, 200);
    server.start("closed").await;
    server.start("open").await;
    server.post("/v1/namespaces/default/runs/closed/terminate", &json!({})).await;
    while server.get("/v1/namespaces/default/runs/closed").await.status != 404 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let metrics = server.get("/metrics").await.body.to_string();
    assert!(metrics.contains("everloop_runs_removed_total 1"), "{metrics}");
    assert_eq!(server.get("/v1/namespaces/default/runs/open").await.status, 200);
    assert_eq!(server.start("closed").await.status, 201, "its id is free again");
}
