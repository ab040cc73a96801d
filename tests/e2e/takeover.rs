//! A worker dies without a goodbye: what it had goes to another one at once, because its connections are gone. No session lives for
//! less than ten minutes here, so nothing but that can have ended one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use everloop::api::worker::Leases;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::checker;
use crate::crash::{LIMIT, acknowledged, ended};
use crate::fleet::{Fleet, StoreKind};
use crate::shop::Shop;
use crate::workload::{Log, apply_all, post, slow_run};

const LONG: &str = "10m";
/// One turn after the other, each of them work for the processor, until it is told to stop.
const BUSY: &str = r#"
import { onSignal, sleep } from "everloop";
export default async function busy() {
  let stopped = false;
  onSignal("stop", () => { stopped = true; });
  let sum = 0;
  while (!stopped) {
    for (let i = 0; i < 500000; i++) sum += i % 7;
    await sleep("1ms");
  }
  return sum > 0;
}
"#;
const BUSY_RUNS: usize = 3;
/// Runs of steps, of which each takes so long at the shop.
const RUNS: usize = 8;
const STEPS: usize = 10;
const STEP_MS: u64 = 400;

async fn session_of(server: &str, worker: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer: Value = reqwest::get(format!("{server}/v1/workers")).await.expect("an answer").json().await.expect("JSON");
        let mut sessions = answer["workers"].as_array().into_iter().flatten().filter_map(|worker| worker["session"].as_str());
        if let Some(session) = sessions.find(|session| session.starts_with(&format!("{worker}-"))) {
            return session.to_owned();
        }
        assert!(Instant::now() < deadline, "{worker} has no session");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The keys under which the shop is called for attempts.
async fn keys(server: &str, leases: &Leases) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for lease in &leases.activities {
        let url = format!("{server}/v1/namespaces/default/runs/{}", lease.run.id);
        let view: Value = reqwest::get(url).await.expect("an answer").json().await.expect("JSON");
        keys.insert(format!("{}/{}", view["uid"].as_str().expect("a uid"), lease.command));
    }
    keys
}

/// Stops it where it has a turn, and an attempt that has begun; all that it has, and the keys of its attempts.
async fn stop_in_the_middle(fleet: &Fleet, shop: &Shop, worker: &str, session: &str) -> (Leases, BTreeSet<String>) {
    let server = fleet.server(0);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        fleet.workers[worker].signal(Signal::STOP);
        // What is on its way to it arrives.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let url = format!("{server}/v1/worker/session/{session}/leases");
        let leases: Leases = reqwest::get(url).await.expect("an answer").json().await.expect("leases");
        let keys = keys(&server, &leases).await;
        let has_begun = keys.iter().any(|key| shop.ledger.executions.lock().expect("no panic while it is held").contains_key(key));
        if !leases.turns.is_empty() && has_begun {
            return (leases, keys);
        }
        fleet.workers[worker].signal(Signal::CONT);
        assert!(Instant::now() < deadline, "{worker} never has both: {leases:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Least, middle and most.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |index: usize| times[index].as_millis();
    format!("{} to {} ms, median {} ms, of {}", at(0), at(times.len() - 1), at(times.len() / 2), times.len())
}

async fn a_killed_worker_is_taken_over(kind: StoreKind, services: usize) {
    let shop = Shop::open().await;
    let mut fleet = Fleet::start_with(kind, services, vec![("EVERLOOP_SESSION_TTL", LONG.to_owned())]).await;
    apply_all(&fleet, &shop).await;
    fleet.apply("busy", BUSY, json!({})).await;
    let (log, server) = (Log::default(), fleet.server(0));
    // With loops beside the hub, so that a busy turn keeps no worker from asking for activities.
    let dies = fleet.add_worker_with(0, &["--loops", "2"], &[]);
    fleet.add_worker_with(services - 1, &["--loops", "2"], &[]);
    let session = session_of(&server, &dies).await;
    session_of(&fleet.server(services - 1), "w2").await;

    let client = reqwest::Client::new();
    for n in 0..RUNS {
        slow_run(server.clone(), log.clone(), format!("slow-{n}"), STEPS, STEP_MS).await;
    }
    for n in 0..BUSY_RUNS {
        let start = json!({"workflow": "busy", "id": format!("busy-{n}")});
        let answer = client.post(format!("{server}/v1/namespaces/default/runs")).json(&start).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }
    let (had, keys) = stop_in_the_middle(&fleet, &shop, &dies, &session).await;
    let before = shop.ledger.executions.lock().expect("no panic while it is held").clone();
    let (killed, at) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis());
    fleet.kill_worker(&dies);

    checker::check(&server, &shop, &acknowledged(&log), LIMIT).await;
    for n in 0..BUSY_RUNS {
        let run = format!("/v1/namespaces/default/runs/busy-{n}");
        let (status, answer) = post(&client, std::slice::from_ref(&server), &format!("{run}/signals/stop"), &run, &Value::Null).await;
        assert!((200..300).contains(&status), "{status}: {answer}");
        let view: Value = client.get(format!("{server}{run}?wait=1m")).send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!((&view["status"], &view["result"]), (&json!("Completed"), &json!(true)), "{view:#}");
    }
    // Why: its stream broke. And with it went all that it had, no more.
    let mut reasons = BTreeSet::new();
    for service in 0..services {
        reasons.extend(ended(&fleet.server(service)).await.into_keys());
    }
    assert_eq!(reasons, BTreeSet::from(["stream broke".to_owned()]));
    // Two replicas may have ended it together.
    let logs: String = (0..services).map(|service| fleet.log_text(&format!("queue-{service}"))).collect();
    let ends: Vec<&str> = logs.lines().filter(|line| line.contains(&format!("session ended session={session} "))).collect();
    let went_back = |kind: &str| -> usize {
        let count = |line: &&str| line.split_whitespace().find_map(|word| word.strip_prefix(kind)?.parse::<usize>().ok());
        ends.iter().filter_map(count).sum()
    };
    let (turns, attempts) = (went_back("turns="), went_back("attempts="));
    assert_eq!((turns, attempts), (had.turns.len(), had.activities.len()), "{ends:#?}");

    // What the kill added: to attempts that were under way, until they began again, and to turns, until the run went on.
    let executions = shop.ledger.executions.lock().expect("no panic while it is held").clone();
    let begun = shop.ledger.begun.lock().expect("no panic while it is held").clone();
    let twice: Vec<&String> = executions.iter().filter(|(_, tokens)| tokens.len() > 1).map(|(key, _)| key).collect();
    let had_begun: Vec<&String> = keys.iter().filter(|key| before.contains_key(*key)).collect();
    assert_eq!(twice, had_begun, "what it was at was begun again, and nothing else");
    let again: Vec<Duration> = twice.iter().map(|key| begun[&executions[*key][1]].saturating_duration_since(killed)).collect();
    println!("a worker was killed on {kind:?}: its attempts began again after {}", spread(again));
    let mut moved = Vec::new();
    for turn in &had.turns {
        let journal = checker::journal(&server, turn.run.id.as_str()).await;
        let next = journal.iter().filter_map(|entry| entry["at"].as_u64()).map(u128::from).find(|entry| *entry >= at);
        let waited = next.unwrap_or_else(|| panic!("{} went on: {journal:#?}", turn.run)) - at;
        moved.push(Duration::from_millis(u64::try_from(waited).expect("milliseconds")));
    }
    println!("a worker was killed on {kind:?}: its runs went on after {}", spread(moved));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_is_taken_over_because_its_connection_broke_on_the_embedded_store() {
    a_killed_worker_is_taken_over(StoreKind::File, 1).await;
}

/// The other worker is at another replica than the one that sees the break.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_is_taken_over_because_its_connection_broke_on_redis() {
    a_killed_worker_is_taken_over(StoreKind::Redis, 2).await;
}
