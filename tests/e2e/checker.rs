//! The judge: it reads the client's log of what was acknowledged, the runs, their journals and the outside world's ledger, and
//! asserts G1 to G7. G4 shows in the ends: runs went from worker to worker, each time by a replay, and a replay that differs
//! blocks its run, which then never ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::shop::Shop;
use crate::workload::{Acknowledged, Expected};

async fn get(client: &reqwest::Client, url: &str) -> Option<Value> {
    client.get(url).send().await.ok()?.error_for_status().ok()?.json().await.ok()
}

/// G3: every acknowledged run reaches its end once faults have stopped. Returns the runs as they ended.
pub async fn all_closed(server: &str, acknowledged: &[Acknowledged], limit: Duration) -> BTreeMap<String, Value> {
    let client = reqwest::Client::new();
    let deadline = Instant::now() + limit;
    let mut closed = BTreeMap::new();
    for run in acknowledged {
        loop {
            let url = format!("{server}/v1/namespaces/default/runs/{}?wait=10s", run.id);
            let view = get(&client, &url).await;
            if let Some(view) = view.as_ref().filter(|v| !v["closedAt"].is_null()) {
                closed.insert(run.id.clone(), view.clone());
                break;
            }
            let journal = get(&client, &format!("{server}/v1/namespaces/default/runs/{}/journal", run.id)).await;
            assert!(Instant::now() < deadline, "G3: {} is acknowledged and does not end: {view:#?}\n{journal:#?}", run.id);
        }
    }
    closed
}

/// A whole journal.
pub async fn journal(server: &str, id: &str) -> Vec<Value> {
    let client = reqwest::Client::new();
    let mut entries: Vec<Value> = Vec::new();
    loop {
        let url = format!("{server}/v1/namespaces/default/runs/{id}/journal?from={}", entries.len());
        let page = get(&client, &url).await.unwrap_or_else(|| panic!("no journal of {id}"));
        let new = page["entries"].as_array().cloned().unwrap_or_default();
        let all = page["turns"].as_u64().expect("turns");
        entries.extend(new);
        if entries.len() as u64 >= all {
            return entries;
        }
    }
}

fn tag(value: &Value) -> (&str, &Value) {
    value.as_object().and_then(|o| o.iter().next()).map(|(k, v)| (k.as_str(), v)).expect("an externally tagged object")
}

/// What must hold in any journal: each turn made by one commit alone (G2), turns without gaps and in time order, `Started` once and first, commands numbered without
/// gaps, no command settled twice, no timer before its time, a cancellation told once, nothing after the end.
pub fn journal_is_sound(id: &str, entries: &[Value]) {
    let mut next_command = 0;
    let mut settled = BTreeSet::new();
    let mut timers = BTreeMap::new();
    let mut last_at = 0;
    let mut heads = BTreeSet::new();
    let mut ended = false;
    let mut cancels = 0;
    for (number, entry) in entries.iter().enumerate() {
        let at = entry["at"].as_u64().expect("a time");
        assert_eq!(entry["turn"], number, "G1: {id} has a gap in its turns");
        assert!(heads.insert(entry["id"].as_str().expect("an id")), "G2: two turns of {id} have one head");
        assert!(at >= last_at, "{id}: time goes back in turn {number}");
        assert!(!ended, "G1: {id} goes on after its end");
        last_at = at;
        for (i, event) in entry["events"].as_array().expect("events").iter().enumerate() {
            let (kind, body) = tag(event);
            cancels += usize::from(kind == "CancelRequested");
            assert_eq!(kind == "Started", number == 0 && i == 0, "{id}: Started is the first event and no other");
            let Some(command) = body["command"].as_u64() else { continue };
            assert!(command < next_command, "{id}: an event for command {command}, which was never issued");
            assert!(settled.insert(command), "G1: {id} has two results of command {command}");
            if kind == "TimerFired" {
                let due = timers[&command];
                assert!(at >= due, "G5: {id} fired timer {command} {} ms early", due - at);
            }
        }
        for command in entry["commands"].as_array().expect("commands") {
            let (kind, body) = tag(command);
            assert_eq!(body["n"], next_command, "{id}: commands are numbered without gaps");
            if kind == "StartTimer" {
                let duration: everloop::api::DurationMs = serde_json::from_value(body["duration"].clone()).expect("a duration");
                timers.insert(next_command, at + duration.0);
            }
            ended |= matches!(kind, "Complete" | "Fail" | "Cancel");
            next_command += 1;
        }
    }
    assert!(cancels <= 1, "G1: {id} was told {cancels} times of its cancellation");
}

fn tokens(value: &Value) -> Vec<u64> {
    value.as_array().map(|a| a.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
}

/// Everything, about every acknowledged run.
pub async fn check(server: &str, shop: &Shop, acknowledged: &[Acknowledged], limit: Duration) {
    let closed = all_closed(server, acknowledged, limit).await;
    let mut accepted: BTreeSet<u64> = BTreeSet::new();
    for run in acknowledged {
        let view = &closed[&run.id];
        let entries = journal(server, &run.id).await;
        journal_is_sound(&run.id, &entries);
        let uid = view["uid"].as_str().expect("a uid");
        let result = &view["result"];
        let status = view["status"].as_str().expect("a status");
        let wanted = if matches!(run.expected, Expected::Cancelled) { "Cancelled" } else { "Completed" };
        assert_eq!(status, wanted, "{}: {view:#?}", run.id);
        match &run.expected {
            Expected::Tokens { steps } => {
                assert_eq!(tokens(result).len(), *steps, "G1: {view:#?}");
                check_tokens(shop, uid, &entries, &tokens(result), &mut accepted);
            }
            Expected::Fan { width } => {
                assert_eq!(tokens(&result["tokens"]).len(), *width, "{view:#?}");
                check_tokens(shop, uid, &entries, &tokens(&result["tokens"]), &mut accepted);
                assert_eq!(result["first"], "step");
                assert_eq!(result["settled"], serde_json::json!(["fulfilled", "rejected"]));
            }
            Expected::Slept { ms } => {
                let slept = result["after"].as_u64().expect("after") - result["before"].as_u64().expect("before");
                assert!(slept >= *ms, "G5: {} slept {slept} ms of {ms}", run.id);
            }
            Expected::Signals { count } => {
                let wanted: Vec<u64> = (0..*count).collect();
                assert_eq!(tokens(result), wanted, "G6: {} has lost, repeated or reordered a signal", run.id);
            }
            Expected::Told { count } => {
                let wanted: Vec<u64> = (0..*count).collect();
                assert_eq!(tokens(result), wanted, "G6: {} was not told of each of its signals", run.id);
            }
            Expected::Counted { count } => {
                let wanted: Vec<u64> = (0..*count).collect();
                assert_eq!(tokens(result), wanted, "G1: {} has lost, repeated or reordered a script's result", run.id);
            }
            Expected::Cancelled => {}
        }
    }
}

/// G7 and G1: each result comes from an execution under the key of exactly the call that the journal says, and no execution
/// counts twice.
fn check_tokens(shop: &Shop, uid: &str, entries: &[Value], tokens: &[u64], accepted: &mut BTreeSet<u64>) {
    let executions = shop.ledger.executions.lock().expect("no panic while it is held");
    let calls = completed(entries);
    for token in tokens {
        assert!(accepted.insert(*token), "G1: the execution {token} was accepted twice");
        let call = calls.get(token).unwrap_or_else(|| panic!("G1: {uid} ends with {token}, which its journal does not have"));
        let key = format!("{uid}/{call}");
        let known = executions.get(&key).is_some_and(|tokens| tokens.contains(token));
        assert!(known, "G7: {token} is the result of call {key}, under whose key the shop never answered it");
    }
    let calls = scheduled(entries);
    for key in executions.keys().filter(|key| key.starts_with(uid)) {
        let call = key.strip_prefix(uid).and_then(|rest| rest.strip_prefix('/')).and_then(|n| n.parse().ok());
        assert!(call.is_some_and(|call: u64| calls.contains(&call)), "G7: the shop saw the key {key} of no recorded call");
    }
}

/// Token of each completed step, with the number of its call.
fn completed(entries: &[Value]) -> BTreeMap<u64, u64> {
    let events = entries.iter().flat_map(|entry| entry["events"].as_array().into_iter().flatten());
    let completed = events.filter_map(|event| event.get("ActivityCompleted"));
    completed.filter_map(|event| Some((event["result"]["token"].as_u64()?, event["command"].as_u64()?))).collect()
}

fn scheduled(entries: &[Value]) -> BTreeSet<u64> {
    let commands = entries.iter().flat_map(|entry| entry["commands"].as_array().into_iter().flatten());
    commands.filter_map(|command| command.get("ScheduleActivity")?["n"].as_u64()).collect()
}
