//! `everloop pool`, without a terminal, and the metrics of pools.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::{Fleet, StoreKind};
use crate::process::Process;

/// A watch, and the lines that it prints.
fn watch(server: &str, more: &[&str]) -> (Process, std::io::Lines<BufReader<std::process::ChildStdout>>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.args(["pool", "default", "--watch", "--every", "100ms"]).args(more).env("EVERLOOP_SERVER", server);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("everloop runs");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    (Process::of("a watch", child), lines)
}

#[tokio::test]
async fn a_pool_is_watched_line_by_line_until_ctrl_c_and_measured() {
    let mut fleet = Fleet::start(StoreKind::File, 1).await;
    let server = fleet.server(0);
    let slow = "export default async function main() { return await nap(); }";
    fleet
        .apply(
            "slow",
            slow,
            json!({"nap": {"script": "export default async () => { await new Promise((done) => setTimeout(done, 300)); return 1; }"}}),
        )
        .await;
    let client = reqwest::Client::new();
    for n in 0..20 {
        let body = json!({"workflow": "slow", "id": format!("r{n}"), "input": 1}).to_string();
        let started = client.post(format!("{server}/v1/namespaces/default/runs")).header("content-type", "application/json").body(body);
        assert!(started.send().await.expect("an answer").status().is_success());
    }
    // Nobody works yet: all of it waits.
    let (mut lines, mut read) = watch(&server, &[]);
    let heading = read.next().expect("a heading").expect("text");
    assert!(heading.starts_with("TIME"), "{heading}");
    for _ in 0..3 {
        let line = read.next().expect("a line for each look").expect("text");
        assert_eq!(line.split_whitespace().nth(1), Some("20"), "{heading}\n{line}");
    }
    lines.signal(rustix::process::Signal::INT);
    assert_eq!(lines.wait(Duration::from_secs(20)), Some(0), "Ctrl-C is how one ends it");

    let worker = fleet.add_worker();
    let (_watch, read) = watch(&server, &["-o", "json"]);
    let done = read.map(|line| serde_json::from_str::<Value>(&line.expect("text")).expect("a document on each line")).find(|look| {
        assert_eq!(look["pool"], "default", "{look}");
        let left = |kind: &str| look[kind]["backlog"].as_u64().unwrap() + look[kind]["busy"].as_u64().unwrap();
        left("turns") + left("activities") == 0 && look["activities"]["slotP95"].is_string() && look["turns"]["slotP95"].is_string()
    });
    let done = done.expect("it ends with the work");
    assert_eq!(done["workers"], 1, "{worker}: {done}");
    let p95: everloop::api::DurationMs = done["activities"]["slotP95"].as_str().unwrap().parse().expect("a duration");
    assert!(p95.0 >= 260, "each takes 300 ms, told to an eighth: {p95}");
    assert!(done["activities"]["arrivalsPerS"].as_f64().is_some_and(|rate| rate > 0.0), "{done}");
    // All turns that were ready at all were there before the first look.
    assert_eq!(done["turns"]["arrivalsPerS"], 0.0, "{done}");

    let metrics = reqwest::get(format!("{server}/metrics")).await.expect("an answer").text().await.expect("text");
    for name in
        ["pool_backlog", "pool_oldest_seconds", "pool_busy", "pool_arrivals_per_second", "pool_slot_mean_seconds", "pool_slot_p95_seconds"]
    {
        for kind in ["turn", "activity"] {
            let series = format!("everloop_{name}{{pool=\"default\",kind=\"{kind}\"}}");
            assert!(metrics.contains(&series), "{series} is not in {metrics}");
        }
    }
}
