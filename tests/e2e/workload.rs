//! What a client does while things die: it starts runs, sends signals and cancels, repeats what was not answered with the same
//! idempotency key, and keeps its own log of what was acknowledged.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::shop::Shop;

/// A start that was acknowledged, and what must come of it.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub id: String,
    pub expected: Expected,
}

#[derive(Debug, Clone)]
pub enum Expected {
    /// `steps` tokens, one of each step, each from an execution in the ledger.
    Tokens { steps: usize },
    /// It slept at least so long, by its own clock.
    Slept { ms: u64 },
    /// These payloads, in this order.
    Signals { count: u64 },
    /// It has told a listener these numbers, in this order, and each was delivered.
    Told { count: u64 },
    /// Its scripts have counted so far, each step once.
    Counted { count: u64 },
    /// It ends as cancelled.
    Cancelled,
    /// The sum of parallel steps' count, through combinators.
    Fan { width: usize },
}

#[derive(Clone, Default)]
pub struct Log(pub Arc<Mutex<Vec<Acknowledged>>>);

const STEPS: &str = r"
export default async function steps(input) {
  const tokens = [];
  for (let i = 0; i < input.steps; i++) tokens.push((await step({ i, takes: input.takes ?? 0 })).token);
  return tokens;
}
";

const SLEEPER: &str = r#"
import { sleep } from "everloop";
export default async function sleeper(input) {
  const before = Date.now();
  await sleep(input.ms);
  const after = Date.now();
  await step({});
  return { before, after };
}
"#;

const SIGNALS: &str = r#"
import { signal } from "everloop";
export default async function signals(input) {
  const seen = [];
  while (seen.length < input.count) {
    seen.push(await signal("next"));
    if (seen.length % 3 === 0) await step({});
  }
  return seen;
}
"#;

const PATIENT: &str = r#"
import { sleep } from "everloop";
export default async function patient() {
  await step({});
  await sleep("1h");
}
"#;

const FAN: &str = r#"
import { sleep } from "everloop";
export default async function fan(input) {
  const all = await Promise.all(Array.from({ length: input.width }, (_, i) => step({ i })));
  const first = await Promise.race([sleep("1h").then(() => "late"), step({}).then(() => "step")]);
  const settled = await Promise.allSettled([step({}), Promise.reject(new Error("no"))]);
  return { tokens: all.map((t) => t.token), first, settled: settled.map((s) => s.status) };
}
"#;

const TELLER: &str = r#"
import { signalRun } from "everloop";
export default async function teller(input) {
  const told = [];
  for (let i = 0; i < input.count; i++) {
    await signalRun(input.listener, "next", i);
    told.push(i);
    if (i % 2 === 1) await step({});
  }
  return told;
}
"#;

/// Scripts that settle at once, two after each other, and then one that waits.
const COUNTER: &str = r"
export default async function counter(input) {
  const counted = [];
  for (let i = 0; i < input.count; i++) counted.push(await (i % 3 === 2 ? slowly(i) : quickly(i)));
  return counted;
}
";

pub async fn apply_all(fleet: &Fleet, shop: &Shop) {
    let activities = json!({"step": {
        "http": {"url": format!("{}/step", shop.url)}, "timeout": "5s",
        "retry": {"initial": "20ms", "factor": 1.5, "max": "200ms"},
    }});
    for (name, source) in
        [("steps", STEPS), ("sleeper", SLEEPER), ("signals", SIGNALS), ("patient", PATIENT), ("fan", FAN), ("teller", TELLER)]
    {
        fleet.apply(name, source, activities.clone()).await;
    }
    let scripts = json!({
        "quickly": {"script": "export default async (i) => i;"},
        "slowly": {"script": "export default (i) => new Promise((done) => setTimeout(done, 5, i));"},
    });
    fleet.apply("counter", COUNTER, scripts).await;
}

/// Sends until it is answered with something else than *unknown*, for a minute at most.
pub async fn post(client: &reqwest::Client, servers: &[String], path: &str, key: &str, body: &Value) -> (u16, Value) {
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut turn = 0_usize;
    let mut last;
    loop {
        let server = &servers[turn % servers.len()];
        turn += 1;
        let sent = client.post(format!("{server}{path}")).header("idempotency-key", key).json(body).send().await;
        match sent {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let text = answer.text().await;
                let value = match &text {
                    Ok(none) if none.is_empty() => Ok(Value::Null),
                    Ok(text) => serde_json::from_str(text).map_err(|_| ()),
                    Err(_) => Err(()),
                };
                match value {
                    Ok(value) if status != 503 && status != 429 => return (status, value),
                    _ => last = format!("{status} {text:?}"),
                }
            }
            Err(error) => last = error.to_string(),
        }
        assert!(Instant::now() < deadline, "POST {path} is not answered, the last time: {last}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

pub async fn start(client: &reqwest::Client, servers: &[String], log: &Log, workflow: &str, id: &str, input: Value, expected: Expected) {
    let body = json!({"workflow": workflow, "id": id, "input": input});
    let (status, answer) = post(client, servers, "/v1/namespaces/default/runs", &format!("start-{id}"), &body).await;
    assert!(status == 200 || status == 201, "start of {id}: {status} {answer}");
    log.0.lock().expect("no panic while it is held").push(Acknowledged { id: id.to_owned(), expected });
}

/// Starts a run whose steps take so many milliseconds each.
pub async fn slow_run(server: String, log: Log, id: String, steps: usize, takes: u64) {
    let input = json!({"steps": steps, "takes": takes});
    start(&reqwest::Client::new(), &[server], &log, "steps", &id, input, Expected::Tokens { steps }).await;
}

/// Starts run number `n` of the mix and does what belongs to it.
pub async fn one(client: reqwest::Client, servers: Vec<String>, log: Log, prefix: String, n: usize) {
    let id = format!("{prefix}-{n}");
    match n % 8 {
        0 | 1 => {
            let steps = 2 + n % 7;
            start(&client, &servers, &log, "steps", &id, json!({"steps": steps, "takes": n % 5}), Expected::Tokens { steps }).await;
        }
        2 => {
            let ms = 50 + (n as u64 * 37) % 900;
            start(&client, &servers, &log, "sleeper", &id, json!({"ms": ms}), Expected::Slept { ms }).await;
        }
        3 => {
            let count = 1 + (n as u64) % 8;
            start(&client, &servers, &log, "signals", &id, json!({"count": count}), Expected::Signals { count }).await;
            for i in 0..count {
                let path = format!("/v1/namespaces/default/runs/{id}/signals/next");
                let (status, answer) = post(&client, &servers, &path, &format!("{id}-signal-{i}"), &json!(i)).await;
                assert!((200..300).contains(&status), "signal {i} of {id}: {status} {answer}");
            }
        }
        4 => {
            start(&client, &servers, &log, "patient", &id, json!(null), Expected::Cancelled).await;
            let path = format!("/v1/namespaces/default/runs/{id}/cancel");
            let (status, answer) = post(&client, &servers, &path, &format!("{id}-cancel"), &json!({"reason": "enough"})).await;
            assert!((200..300).contains(&status), "cancel of {id}: {status} {answer}");
        }
        5 => {
            let (count, listener) = (1 + (n as u64) % 6, format!("{id}-listens"));
            start(&client, &servers, &log, "signals", &listener, json!({"count": count}), Expected::Signals { count }).await;
            let input = json!({"count": count, "listener": listener});
            start(&client, &servers, &log, "teller", &id, input, Expected::Told { count }).await;
        }
        6 => {
            let count = 1 + (n as u64) % 6;
            start(&client, &servers, &log, "counter", &id, json!({"count": count}), Expected::Counted { count }).await;
        }
        _ => {
            let width = 2 + n % 9;
            start(&client, &servers, &log, "fan", &id, json!({"width": width}), Expected::Fan { width }).await;
        }
    }
}

/// Starts `count` runs of the mix, at most 40 at once; returns when all were acknowledged.
pub async fn drive(servers: Vec<String>, log: Log, prefix: impl Into<String>, count: usize) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
    let prefix = prefix.into();
    let gate = Arc::new(tokio::sync::Semaphore::new(40));
    let mut tasks = Vec::new();
    for n in 0..count {
        let permit = gate.clone().acquire_owned().await.expect("open");
        let (client, servers, log, prefix) = (client.clone(), servers.clone(), log.clone(), prefix.clone());
        tasks.push(tokio::spawn(async move {
            one(client, servers, log, prefix, n).await;
            drop(permit);
        }));
    }
    for task in tasks {
        task.await.expect("the client's work");
    }
}
