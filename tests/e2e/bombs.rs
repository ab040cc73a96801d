//! Code that would take its worker down, and code that no longer is what was recorded: it is stopped, said so, and left alone by
//! everybody else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::checker;
use crate::crash::{LIMIT, acknowledged};
use crate::fleet::{Fleet, StoreKind};
use crate::shop::Shop;
use crate::workload::{Expected, Log, apply_all, drive};

const ENDLESS: &str = "export default async function endless() { for (;;) {} }";
const HUNGRY: &str = "export default async function hungry() { const kept = []; for (;;) kept.push(new Array(10000).fill(kept.length)); }";
const DEEP: &str =
    "export default async function deep() { const down = (n) => down(n + 1) + 1; try { return down(0); } catch { return down(0); } }";

async fn start(server: &str, workflow: &str, id: &str) {
    let body = json!({"workflow": workflow, "id": id});
    let answer = reqwest::Client::new().post(format!("{server}/v1/namespaces/default/runs")).json(&body).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
}

async fn view(server: &str, id: &str, query: &str) -> Value {
    let url = format!("{server}/v1/namespaces/default/runs/{id}{query}");
    reqwest::get(url).await.expect("an answer").json().await.expect("json")
}

/// Reads the run until it is as wanted.
async fn until(server: &str, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let view = view(server, id, "").await;
        if wanted(&view) {
            return view;
        }
        assert!(Instant::now() < deadline, "{id} is never {what}: {view:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn post(server: &str, path: &str, body: Value) -> Value {
    let answer = reqwest::Client::new().post(format!("{server}{path}")).json(&body).send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    assert!(status.is_success(), "POST {path}: {status} {text}");
    serde_json::from_str(&text).expect("json")
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_25_bombs_end_with_a_typed_error_and_leave_their_neighbours_alone() {
    let (shop, log) = (Shop::open().await, Log::default());
    let mut fleet = Fleet::start(StoreKind::File, 1).await;
    apply_all(&fleet, &shop).await;
    fleet.add_worker();
    let server = fleet.server(0);
    let bombs = [("endless", ENDLESS), ("hungry", HUNGRY), ("deep", DEEP)];
    for (name, source) in bombs {
        fleet.apply(name, source, json!({})).await;
        start(&server, name, name).await;
    }
    drive(vec![server.clone()], log.clone(), "neighbour", 36).await;
    for (name, _) in bombs {
        let view = view(&server, name, "?wait=60s").await;
        assert_eq!(view["status"], "Failed", "{view:#?}");
        assert_eq!(view["error"]["type"], "TurnLimitExceeded", "{view:#?}");
    }
    checker::check(&server, &shop, &acknowledged(&log), LIMIT).await;
    assert!(fleet.workers.values_mut().all(crate::fleet::Process::is_alive), "the worker outlives them");
}

/// Whoever runs the workers may lower the bounds.
#[tokio::test(flavor = "multi_thread")]
async fn bounds_of_a_turn_can_be_lowered() {
    let mut fleet = Fleet::start(StoreKind::File, 1).await;
    let server = fleet.server(0);
    let busy = "export default async function busy() { const end = new Array(3000000).fill(1); return end.length; }";
    fleet.apply("busy", busy, json!({})).await;
    fleet.add_worker_with(0, &["--run-heap-mb", "8", "--turn-cpu", "500ms"], &[]);
    start(&server, "busy", "small").await;
    let small = view(&server, "small", "?wait=60s").await;
    assert_eq!(small["error"]["type"], "TurnLimitExceeded", "{small:#}");
    fleet.workers.clear();
    fleet.add_worker();
    start(&server, "busy", "large").await;
    assert_eq!(view(&server, "large", "?wait=60s").await["result"], 3_000_000);
}

/// A run whose journal is at its bound ends with a typed error, and its neighbour with its result.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fills_its_journal_ends_with_a_typed_error() {
    let mut fleet = Fleet::start(StoreKind::File, 1).await;
    let server = fleet.server(0);
    let hoarder = "export default async function hoarder() { const text = \"x\".repeat(1000000); for (;;) await keep(text); }";
    let neighbour = "export default async function neighbour() { return (await keep(\"y\")).length; }";
    let keep = json!({"keep": {"script": "export default async (text) => text;"}});
    fleet.apply("hoarder", hoarder, keep.clone()).await;
    fleet.apply("neighbour", neighbour, keep).await;
    fleet.add_worker();
    start(&server, "hoarder", "hoarder").await;
    start(&server, "neighbour", "neighbour").await;
    let full = view(&server, "hoarder", "?wait=60s").await;
    assert_eq!((&full["status"], &full["error"]["type"]), (&json!("Failed"), &json!("JournalFull")), "{full:#?}");
    assert!(full["turns"].as_u64().is_some_and(|turns| turns > 20), "{full:#?}");
    assert_eq!(view(&server, "neighbour", "?wait=60s").await["result"], 1);
}

/// Gives a run a worker, and another one for each that it kills, until it is blocked: the run, the last worker, and the deaths.
async fn blocked_by(
    fleet: &mut Fleet,
    id: &str,
    args: &[&str],
    env: &[(&str, &str)],
    on_death: impl Fn(&Fleet, &str),
) -> (Value, String, u32) {
    let (server, deadline) = (fleet.server(0), Instant::now() + LIMIT);
    let mut worker = fleet.add_worker_with(0, args, env);
    let mut deaths = 0;
    loop {
        let view = view(&server, id, "").await;
        if view["status"] == "Blocked" {
            return (view, worker, deaths);
        }
        if !fleet.workers.get_mut(&worker).expect("it is there").is_alive() {
            deaths += 1;
            on_death(fleet, &worker);
            assert!(deaths <= 2, "a run that kills goes through the fleet: {view:#?}");
            fleet.workers.remove(&worker);
            worker = fleet.add_worker_with(0, args, env);
        }
        assert!(Instant::now() < deadline, "after {deaths} deaths: {view:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Each turn of one run kills its process. Two workers die of it; then it is taken alone, and blocked. Its neighbours, suspects
/// too since they were leased to the dead workers, end as if nothing had been.
async fn a_turn_that_kills_its_worker_is_taken_alone(kind: StoreKind) {
    let shop = Shop::open().await;
    let mut fleet = Fleet::start(kind, 1).await;
    apply_all(&fleet, &shop).await;
    let log = Log::default();
    let server = fleet.server(0);
    let poisoned = [("EVERLOOP_CRASH_TURN_OF", "poison")];
    let (input, expected) = (json!({"steps": 2}), Expected::Tokens { steps: 2 });
    crate::workload::start(&reqwest::Client::new(), std::slice::from_ref(&server), &log, "steps", "poison", input, expected).await;
    let client = tokio::spawn(drive(vec![server.clone()], log.clone(), "near", 60));
    let (blocked, worker, deaths) = blocked_by(&mut fleet, "poison", &[], &poisoned, |_, _| {}).await;
    assert_eq!(deaths, 2);
    assert_eq!(blocked["blocked"]["reason"], "TurnKilledWorker", "{blocked:#?}");
    let message = blocked["blocked"]["message"].as_str().expect("a message");
    assert!(message.contains("2 workers died") && message.contains("signal: 9"), "{message}");
    client.await.expect("the client");

    // The cause is gone: these workers are not killed by it.
    fleet.kill_worker(&worker);
    fleet.add_worker();
    post(&server, "/v1/namespaces/default/runs/poison/resume", json!({})).await;
    checker::check(&server, &shop, &acknowledged(&log), LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_4_a_turn_that_kills_its_worker_is_taken_alone_on_the_embedded_store() {
    a_turn_that_kills_its_worker_is_taken_alone(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_4_a_turn_that_kills_its_worker_is_taken_alone_on_redis() {
    a_turn_that_kills_its_worker_is_taken_alone(StoreKind::Redis).await;
}

/// One step of JavaScript that no interrupt reaches: a search of hours in a text of twenty million characters.
const NATIVE: &str = "export default async function native() { return 'a'.repeat(2e7).indexOf('a'.repeat(1e7) + 'b'); }";

/// The worker ends, whether the loop has a thread of its own or not; the others go on, and the run is taken alone and blocked.
#[tokio::test(flavor = "multi_thread")]
async fn rule_4_a_native_step_without_end_is_found_and_its_run_blocked() {
    let shop = Shop::open().await;
    let mut fleet = Fleet::start(StoreKind::Redis, 1).await;
    apply_all(&fleet, &shop).await;
    let (server, log) = (fleet.server(0), Log::default());
    fleet.apply("native", NATIVE, json!({})).await;
    start(&server, "native", "n").await;
    let client = tokio::spawn(drive(vec![server.clone()], log.clone(), "near", 40));
    let told = |fleet: &Fleet, worker: &str| {
        let log = fleet.log_text(worker);
        assert!(log.contains("computes without end"), "{log}");
    };
    let (blocked, _, deaths) = blocked_by(&mut fleet, "n", &["--turn-cpu", "100ms"], &[], told).await;
    assert_eq!(deaths, 2);
    assert_eq!(blocked["blocked"]["reason"], "TurnKilledWorker", "{blocked:#?}");
    client.await.expect("the client");
    checker::check(&server, &shop, &acknowledged(&log), LIMIT).await;
}

const RECORDED: &str = "import { signal } from \"everloop\";
export default async function changing() { const first = await step({ n: 1 }); await signal(\"go\"); return [first.token > 0, await step({ n: 2 })].length; }";
const DIFFERENT: &str = "import { signal, sleep } from \"everloop\";
export default async function changing() { await sleep(\"1ms\"); await signal(\"go\"); return \"different\"; }";
const MENDED: &str = "import { signal } from \"everloop\";
export default async function changing() { await step({ n: 1 }); await signal(\"go\"); return \"mended\"; }";

/// A run that is moved to code which asks for something else is blocked with both sides told, and goes on with code that fits.
#[tokio::test(flavor = "multi_thread")]
async fn g4_a_run_blocked_by_other_code_goes_on_with_fitting_code() {
    let shop = Shop::open().await;
    let mut fleet = Fleet::start(StoreKind::Redis, 1).await;
    fleet.add_worker();
    let server = fleet.server(0);
    let activities = json!({"step": {"http": {"url": format!("{}/step", shop.url)}}});
    fleet.apply("changing", RECORDED, activities.clone()).await;
    start(&server, "changing", "c").await;
    until(&server, "c", "waiting for the signal", |view| view["turns"] == 2).await;
    let run = "/v1/namespaces/default/runs/c";

    fleet.apply("changing", DIFFERENT, activities.clone()).await;
    post(&server, &format!("{run}/pause"), json!({})).await;
    post(&server, &format!("{run}/resume"), json!({"version": "current"})).await;
    post(&server, &format!("{run}/signals/go"), json!(null)).await;
    let blocked = until(&server, "c", "blocked", |view| view["status"] == "Blocked").await;
    assert_eq!(blocked["blocked"]["reason"], "Nondeterminism", "{blocked:#?}");
    let message = blocked["blocked"]["message"].as_str().expect("a message");
    assert!(message.contains("step") && message.contains("sleep"), "both sides are told: {message}");

    // What the message says to do next is typed in as it stands there.
    fleet.apply("changing", MENDED, activities).await;
    let command = message.split('`').find(|quoted| quoted.starts_with("everloop ")).expect("a command to type");
    let mut typed = std::process::Command::new(env!("CARGO_BIN_EXE_everloop"));
    typed.args(command.split_whitespace().skip(1)).args(["--server", &server]);
    let output = tokio::task::spawn_blocking(move || typed.output()).await.expect("no panic").expect("everloop runs");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    let closed = view(&server, "c", "?wait=30s").await;
    assert_eq!(closed["result"], "mended", "{closed:#?}");
    let executions = shop.ledger.executions.lock().expect("no panic while it is held");
    assert!(executions.values().all(|tokens| tokens.len() == 1), "no replay runs an activity: {executions:?}");
}
