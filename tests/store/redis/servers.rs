//! Servers: unfit ones are refused with what to change; what was acknowledged survives `kill -9`; full ones change nothing.

use everloop::api::TimeMs;
use everloop::store::op::*;
use everloop::store::redis::{RedisConfig, RedisStore};
use everloop::store::{Store, StoreError};

use super::{OnRedis, config};
use crate::server::{FIT, MEMORY, RedisServer};
use crate::world::*;

async fn unfit(server: &RedisServer, durability: Durability) -> Vec<String> {
    match RedisStore::open(config(server, durability)).await {
        Err(StoreError::Unfit(lines)) => lines,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn unfit_servers_are_refused_with_what_to_change() {
    let server = RedisServer::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--save", "3600 1"]);
    let lines = unfit(&server, Durability::Strict).await;
    for command in ["maxmemory-policy noeviction", "appendonly yes", "appendfsync always", "save \"\""] {
        assert!(lines.iter().any(|line| line.contains(&format!("CONFIG SET {command}"))), "{command}: {lines:#?}");
    }
    assert_eq!(unfit(&server, Durability::None).await.len(), 1);
    let mut connection = server.connection();
    for (name, value) in
        [("maxmemory-policy", "noeviction"), ("appendonly", "yes"), ("appendfsync", "always"), ("stop-writes-on-bgsave-error", "no")]
    {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut connection).unwrap();
    }
    let store = RedisStore::open(config(&server, Durability::Strict)).await.unwrap();
    let other = RedisConfig { partitions: 8, ..config(&server, Durability::Strict) };
    let Err(StoreError::Unfit(lines)) = RedisStore::open(other).await else { panic!("other partitions") };
    assert!(lines[0].contains("2 partitions"), "{lines:?}");
    let again = RedisStore::open(config(&server, Durability::Strict)).await.unwrap();
    assert_eq!(store.info(), again.info());
    redis::cmd("HSET").arg("{e}:meta").arg("format").arg(99).exec(&mut connection).unwrap();
    let lines = unfit(&server, Durability::Strict).await;
    assert!(lines[0].contains("newer everloop"), "{lines:?}");
}

#[tokio::test]
async fn a_server_that_hides_its_settings_is_used() {
    let server = RedisServer::start(&FIT);
    let rules = ["SETUSER", "default", "-config"];
    redis::cmd("ACL").arg(&rules).exec(&mut server.connection()).unwrap();
    RedisStore::open(config(&server, Durability::Strict)).await.unwrap();
}

/// A server that lost everything, or that another has taken since, gets nothing of this store.
#[tokio::test]
async fn a_server_with_another_store_is_not_taken_for_it() {
    let mut world = OnRedis::new().await;
    world.store.start(world.start_of("a", 10)).await.unwrap();
    let id = world.store.info().id;
    world.server.kill_and_restart();
    let refused = async |found: &str| {
        let call = async || match world.store.start(world.start_of("a", 10)).await {
            Err(StoreError::Unavailable { detail, .. }) => detail,
            other => panic!("{other:?}"),
        };
        // The first call meets the connection that has broken.
        let (first, second) = (call().await, call().await);
        let detail = if first.contains(found) { first } else { second };
        assert!(detail.contains(found) && detail.contains(&id) && detail.contains("restart this process"), "{detail}");
    };
    refused("has no store").await;
    let other = RedisStore::open(config(&world.server, Durability::None)).await.unwrap();
    refused(&other.info().id).await;
    assert_eq!(other.run(&run("a")).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let mut world = OnRedis::on(RedisServer::start(&FIT), Durability::Strict).await;
    let mut watch = world.store.watch();
    let attempt = world.stepping("p/1", "s1").await;
    let sleeping = world.leased("p/2", "s1", 10).await;
    accepted(world.commit("p/2", "s1", 1, Turn { timers: vec![timer(0, 200)], ..turn(&sleeping.record.head, 2) }, 20, None).await);
    world.deliver("p/1", &signal(1), "k", 15).await;
    let before = (world.record("p/1").await, world.record("p/2").await, world.journal("p/1").await);
    world.server.kill();
    let error = world.store.run(&run("p/1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    world.server.kill_and_restart();
    // The subscription comes back by itself and says so.
    while watch.recv().await.unwrap() != Wake::All {}
    assert_eq!((world.record("p/1").await, world.record("p/2").await, world.journal("p/1").await), before);
    assert_eq!(world.deliver("p/1", &signal(1), "k", 15).await, Delivered::Repeat);
    assert_eq!(world.fire("p/2", 200).await.timers, 1);
    assert!(matches!(world.store.finish(world.finish_of(&attempt, completed(0))).await.unwrap(), Finished::Accepted { .. }));
    assert_eq!(world.claim("p/1", "s1", 3, 8, 8, 300).await.turns.len(), 2);
}

#[tokio::test]
async fn a_full_server_refuses_before_it_changes_anything() {
    let world = OnRedis::new().await;
    world.store.start(world.start_of("a", 10)).await.unwrap();
    let mut connection = world.server.connection();
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(&mut connection).unwrap();
    let error = world.store.start(world.start_of("b", 10)).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let error = world.store.deliver(world.delivery("a", &signal(1), "k")).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0").exec(&mut connection).unwrap();
    assert_eq!(world.store.run(&run("b")).await.unwrap(), None);
    assert!(matches!(world.deliver("a", &signal(1), "k", 15).await, Delivered::Accepted { .. }));
}

#[tokio::test]
async fn a_store_that_was_emptied_under_a_process_is_seen_and_gives_no_term() {
    let world = OnRedis::new().await;
    assert_eq!(world.store.next_term().await.unwrap(), 1);
    redis::cmd("FLUSHALL").exec(&mut world.server.connection()).unwrap();
    assert_eq!(world.store.lineage().await.unwrap(), Lineage { id: String::new(), term: 0 });
    assert!(world.store.next_term().await.unwrap_err().to_string().contains("was emptied"));
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again_and_a_newer_record_is_refused() {
    let world = OnRedis::new().await;
    let mut connection = world.server.connection();
    redis::cmd("FUNCTION").arg("FLUSH").exec(&mut connection).unwrap();
    world.leased("a", "s1", 10).await;
    let key = format!("{{e{}}}:r:shop/a", place("a").0);
    let mut record = world.record("a").await;
    record.format = 9;
    redis::cmd("SET").arg(&key).arg(record.encode()).exec(&mut connection).unwrap();
    let error = world.store.deliver(world.delivery("a", &signal(1), "k")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { detail, .. } if detail.contains("newer everloop")), "{error:?}");
    assert!(matches!(world.store.run(&run("a")).await, Err(StoreError::Damaged { .. })));
    assert_eq!(world.fire("a", 100).await.timers, 0);
}

#[tokio::test]
async fn two_versions_of_the_scripts_stand_side_by_side_and_a_start_removes_what_others_left() {
    let world = OnRedis::new().await;
    let mut connection = world.server.connection();
    let libraries = |connection: &mut redis::Connection| -> Vec<String> {
        let list: Vec<std::collections::HashMap<String, redis::Value>> = redis::cmd("FUNCTION").arg("LIST").query(connection).unwrap();
        list.iter().map(|library| redis::from_redis_value_ref(&library["library_name"]).unwrap()).collect()
    };
    let own = libraries(&mut connection);
    let other = "#!lua name=everloop_other\nredis.register_function('commit_other', function() return 1 end)";
    let foreign = "#!lua name=shop\nredis.register_function('price', function() return 1 end)";
    for library in [other, foreign] {
        redis::cmd("FUNCTION").arg("LOAD").arg(library).exec(&mut connection).unwrap();
    }
    world.leased("a", "s1", 10).await;
    let again = RedisStore::open(config(&world.server, Durability::None)).await.unwrap();
    let mut left = libraries(&mut connection);
    left.retain(|name| !own.contains(name));
    assert_eq!(left, ["shop"]);
    // The other version is still in use: it sends its own again.
    redis::cmd("FUNCTION").arg("DELETE").arg(&own[0]).exec(&mut connection).unwrap();
    assert!(again.run(&run("a")).await.unwrap().is_some());
    assert!(libraries(&mut connection).contains(&own[0]));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_unavailable_and_a_bad_address_unfit() {
    let nobody = RedisConfig::new("unix:///nowhere/redis.sock");
    assert!(matches!(RedisStore::open(nobody).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(RedisStore::open(RedisConfig::new("http://x")).await, Err(StoreError::Unfit(_))));
    let server = RedisServer::start(&MEMORY);
    let store = RedisStore::open(config(&server, Durability::None)).await.unwrap();
    assert!(store.now().await.unwrap() > TimeMs(1_700_000_000_000));
}
