//! What a run costs, by process: CPU, waits, and what goes through Redis. Unlike times, these figures hardly depend on who else
//! uses the machine.

use std::time::Instant;

use serde_json::{Value, json};

use crate::report::Report;
use crate::scenarios::saturate;
use crate::servers::field;
use crate::world::World;

/// The processes, in the order in which a request meets them.
const PROCESSES: [&str; 4] = ["client", "service", "Redis", "worker"];

/// What has been used so far.
pub struct Used {
    /// Of each process: microseconds of CPU, and how often one of its threads began to wait.
    processes: [(f64, f64); 4],
    pub scripts: f64,
    /// What the scripts call.
    commands: f64,
    script_us: f64,
    /// Bytes to Redis and back.
    wire: f64,
    /// Bytes of the append-only files.
    files: f64,
    /// Published messages that one server passes on to another.
    passed_on: f64,
    began: Instant,
}

pub async fn measure(world: &World, report: &mut Report, payload: &Value) {
    for _ in 0..50 {
        world.start_and_wait("one", payload).await;
    }
    let part = if report.quick { 4 } else { 1 };
    let step = |n: u32| json!({"n": n, "payload": payload});
    of(world, report, "one-step runs, one at a time", "one", payload, 1, 2_000 / part, 1.0).await;
    of(world, report, "runs of 101 steps, one at a time", "steps", &step(101), 1, 40 / part, 101.0).await;
    of(world, report, "one-step runs, 256 at once", "one", payload, 256, 20_000 / part, 1.0).await;
    of(world, report, "runs of 10 steps, 256 at once", "steps", &step(10), 256, 6_000 / part, 10.0).await;
}

#[expect(clippy::too_many_arguments, reason = "one line a burst")]
pub async fn of(
    world: &World,
    report: &mut Report,
    scenario: &str,
    workflow: &'static str,
    input: &Value,
    at_once: usize,
    runs: u32,
    steps: f64,
) {
    let before = Used::by(world).await;
    saturate(world, workflow, input, at_once, runs).await;
    let after = Used::by(world).await;
    let per = f64::from(runs) * steps;
    let mut all = 0.0;
    for (i, process) in PROCESSES.into_iter().enumerate() {
        let (cpu, waits) = (after.processes[i].0 - before.processes[i].0, after.processes[i].1 - before.processes[i].1);
        all += cpu;
        report.add(scenario, format!("CPU of the {process}"), "us/step", vec![cpu / per]);
        report.add(scenario, format!("waits of the {process}"), "/step", vec![waits / per]);
    }
    report.add(scenario, "CPU of all", "us/step", vec![all / per]);
    report.add(scenario, "time", "us/step", vec![after.began.duration_since(before.began).as_secs_f64() * 1e6 / per]);
    report.add(scenario, "scripts", "/step", vec![(after.scripts - before.scripts) / per]);
    report.add(scenario, "commands of the scripts", "/step", vec![(after.commands - before.commands) / per]);
    report.add(scenario, "a script", "us", vec![(after.script_us - before.script_us) / (after.scripts - before.scripts)]);
    report.add(scenario, "to Redis and back", "bytes/step", vec![(after.wire - before.wire) / per]);
    // Redis may have written it anew meanwhile.
    if after.files > before.files {
        report.add(scenario, "append-only file", "bytes/step", vec![(after.files - before.files) / per]);
    }
    if world.redis.len() > 1 {
        report.add(scenario, "published, passed on", "/step", vec![(after.passed_on - before.passed_on) / per]);
    }
}

impl Used {
    pub async fn by(world: &World) -> Self {
        let [client, service, worker] = [std::process::id(), world.service.id(), world.worker.id()].map(used);
        let mut all = Self {
            processes: [client, service, (0.0, 0.0), worker],
            scripts: 0.0,
            commands: 0.0,
            script_us: 0.0,
            wire: 0.0,
            files: 0.0,
            passed_on: 0.0,
            began: Instant::now(),
        };
        for redis in &world.redis {
            let (cpu, waits) = used(redis.child.id());
            all.processes[2].0 += cpu;
            all.processes[2].1 += waits;
            all.passed_on += redis.passed_on().await;
            let info = redis.info("everything").await;
            for line in info.lines().filter_map(|line| line.strip_prefix("cmdstat_")) {
                let number = |name: &str| {
                    let text = line.split(name).nth(1).and_then(|text| text.split(',').next());
                    text.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
                };
                if line.starts_with("fcall:") {
                    all.scripts += number("calls=");
                    all.script_us += number("usec=");
                } else {
                    all.commands += number("calls=");
                }
            }
            all.files += field(&info, "aof_current_size:");
            all.wire += field(&info, "total_net_input_bytes:") + field(&info, "total_net_output_bytes:");
        }
        all
    }
}

/// Microseconds of CPU of a process, and how often its threads began to wait (proc(5): `schedstat`, `status`).
fn used(pid: u32) -> (f64, f64) {
    let (mut cpu, mut waits) = (0.0, 0.0);
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process of ours").flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        cpu += read("schedstat").split_whitespace().next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1_000.0;
        let status = read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap_or("0");
        waits += line.trim().parse::<f64>().unwrap_or(0.0);
    }
    (cpu, waits)
}
