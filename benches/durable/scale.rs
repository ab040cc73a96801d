//! What a step costs at 1, 2 and 4 partitions over as many Redis processes. On a machine with few cores this shows no speed, only
//! what grows with their number: operations, commands, bytes, CPU.

use serde_json::{Value, json};

use crate::cost;
use crate::report::Report;
use crate::world::World;

pub async fn measure(report: &mut Report, payload: &Value) {
    report
        .settings
        .insert("store", "a Redis Cluster of 1, 2 and 4 primaries, appendonly yes, appendfsync always; as many partitions; service --durability none, which changes no operation".into());
    report.settings.insert("processes", "the primaries, one service, one worker with one event loop, one client, on this machine".into());
    let part = if report.quick { 4 } else { 1 };
    for primaries in [1, 2, 4] {
        let world = World::start_on_cluster(primaries).await;
        for _ in 0..50 {
            world.start_and_wait("one", payload).await;
        }
        let of = |what: &str| format!("{what}, {primaries} Redis");
        let ten = json!({"n": 10, "payload": payload});
        cost::of(&world, report, &of("one-step runs, 256 at once"), "one", payload, 256, 20_000 / part, 1.0).await;
        cost::of(&world, report, &of("runs of 10 steps, 256 at once"), "steps", &ten, 256, 6_000 / part, 10.0).await;
        rest(&world, report, &of("nothing to do")).await;
    }
}

/// What goes on when nobody wants anything: loops of the service and renewals of the worker, by the partition.
async fn rest(world: &World, report: &mut Report, scenario: &str) {
    let seconds = if report.quick { 5.0 } else { 20.0 };
    let before = cost::Used::by(world).await;
    tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
    let after = cost::Used::by(world).await;
    report.add(scenario, "scripts", "1/s", vec![(after.scripts - before.scripts) / seconds]);
}
