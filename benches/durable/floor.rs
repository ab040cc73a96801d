//! What the machine can do: the disk's fdatasync, and a bare script of five calls on the same Redis.

use std::time::Instant;

use crate::disk;
use crate::report::{Report, percentile, sorted};
use crate::world::World;

const FIVE_CALLS: &str = "redis.call('HGET', KEYS[1], 'f') redis.call('RPUSH', KEYS[2], ARGV[1]) redis.call('HSET', KEYS[1], 'h', ARGV[1]) redis.call('ZREM', KEYS[3], 'm') return redis.call('LPUSH', KEYS[4], 'x')";

pub async fn measure(world: &World, report: &mut Report) {
    disk::measure(std::fs::File::create(world.folder.path().join("fsync")).expect("a file"), report);

    let mut connection = world.redis().await;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.expect("INFO");
    let version = info.lines().find_map(|l| l.strip_prefix("redis_version:")).unwrap_or("?").to_owned();
    report.settings.insert("store", format!("Redis {version}, appendonly yes, appendfsync always; service --durability strict"));
    report.settings.insert("processes", "one Redis, one service, one worker with one event loop, one client, on this machine".into());

    let script = redis::Script::new(FIVE_CALLS);
    let payload = "x".repeat(150);
    let mut samples = Vec::new();
    for i in 0..1_000 {
        let begin = Instant::now();
        let mut call = script.prepare_invoke();
        call.key("{bench}h").key(format!("{{bench}}l{}", i % 100)).key("{bench}z").key("{bench}q").arg(&payload);
        let _: i64 = call.invoke_async(&mut connection).await.expect("the script");
        samples.push(begin.elapsed().as_secs_f64() * 1_000.0);
    }
    report.add("floor: script of five calls, one at a time", "p50 of 1000", "ms", vec![percentile(&sorted(samples), 0.5)]);

    let begin = Instant::now();
    let total = 20_000;
    let tasks: Vec<_> = (0..64)
        .map(|t| {
            let (mut connection, payload, script) = (connection.clone(), payload.clone(), script.clone());
            tokio::spawn(async move {
                for i in 0..total / 64 {
                    let mut call = script.prepare_invoke();
                    call.key("{bench}h").key(format!("{{bench}}m{t}-{}", i % 10)).key("{bench}z").key("{bench}q").arg(&payload);
                    let _: i64 = call.invoke_async(&mut connection).await.expect("the script");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a client");
    }
    report.add("floor: script of five calls, 64 at once", "rate", "1/s", vec![f64::from(total) / begin.elapsed().as_secs_f64()]);
}
