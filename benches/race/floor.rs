//! What a Redis does of bare commits: a script of five calls, of a size and with an effect as the commit of one step.

use std::cell::Cell;
use std::time::Instant;

use crate::plan::Plan;
use crate::process;
use crate::redis_server::Redis;
use crate::scenarios::{STEPS_1K, STEPS_60};
use crate::system::Settings;
use crate::table::Table;

pub const SYSTEM: &str = "bare-redis";

const FIVE_CALLS: &str = "redis.call('HGET', KEYS[1], 'f') redis.call('RPUSH', KEYS[2], ARGV[1]) redis.call('HSET', KEYS[1], 'h', ARGV[1]) redis.call('ZREM', KEYS[3], 'm') return redis.call('LPUSH', KEYS[4], 'x')";

/// Connections, and commits under way on each.
const CONNECTIONS: usize = 4;
const AT_ONCE: usize = 64;

pub async fn measure(plan: &Plan, table: &mut Table) {
    let folder = process::folder();
    let redis = Redis::start(folder.path()).await;
    let commits = format!("a script of five calls, {CONNECTIONS} connections, {AT_ONCE} at once on each, from one thread of the race");
    table.settings(SYSTEM, Settings::from([("store", redis.settings()), ("commits", commits)]));
    for (metric, bytes) in [(STEPS_60, 60), (STEPS_1K, 1_024)] {
        let (script, payload) = (redis::Script::new(FIVE_CALLS), "x".repeat(bytes));
        let (begin, window, done) = (Instant::now(), plan.window(), Cell::new(0_u32));
        let mut clients = Vec::new();
        for connection in 0..CONNECTIONS {
            let shared = redis.connect().await;
            for client in 0..AT_ONCE {
                let (mut shared, script, payload, done) = (shared.clone(), &script, &payload, &done);
                clients.push(async move {
                    for n in 0_u64.. {
                        if begin.elapsed() >= window {
                            break;
                        }
                        let mut call = script.prepare_invoke();
                        let list = format!("{{race}}{bytes}-{connection}-{client}-{}", n / 10);
                        call.key(format!("{{race}}h{connection}-{client}")).key(list).key("{race}z").key("{race}q").arg(payload);
                        let _: i64 = call.invoke_async(&mut shared).await.expect("the script");
                        done.set(done.get() + 1);
                    }
                });
            }
        }
        futures_util::future::join_all(clients).await;
        table.add("P4", metric, "steps/s", SYSTEM, f64::from(done.get()) / begin.elapsed().as_secs_f64());
    }
}
