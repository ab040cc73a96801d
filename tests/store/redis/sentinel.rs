//! Sentinel: the store is where the primary is, and says what that is worth.

use std::time::{Duration, Instant};

use everloop::store::op::{Durability, Wake};
use everloop::store::redis::{RedisAccess, RedisConfig, RedisStore};
use everloop::store::{Store as _, StoreError};

use crate::sentinel::{FIT, NAME, SENTINEL_PASSWORD, Watched, until};
use crate::stores::{Opened, PARTITIONS};
use crate::world::*;

fn config(servers: &Watched, durability: Durability) -> RedisConfig {
    let ca = servers.authority.as_ref().map(|authority| std::fs::read(authority.file()).unwrap());
    let access = RedisAccess { sentinel_password: Some(SENTINEL_PASSWORD.to_owned()), ca, ..RedisAccess::default() };
    RedisConfig { durability, partitions: PARTITIONS, access, ..RedisConfig::new(servers.url()) }
}

async fn unfit(config: RedisConfig) -> String {
    match RedisStore::open(config).await {
        Err(StoreError::Unfit(lines)) => lines.join("\n"),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_may_lose_is_said_before_anything_is_promised() {
    let servers = Watched::start(&FIT);
    let said = unfit(config(&servers, Durability::Strict)).await;
    assert!(said.contains("`strict` cannot be promised here") && said.contains("--durability failover"), "{said}");
    let mut connection = servers.connection(0);
    redis::cmd("CONFIG").arg(&["SET", "min-replicas-to-write", "0"]).exec(&mut connection).unwrap();
    for durability in [Durability::Failover, Durability::Everysec] {
        let said = unfit(config(&servers, durability)).await;
        assert!(said.contains("CONFIG SET min-replicas-to-write 1"), "{said}");
    }
    redis::cmd("CONFIG").arg(&["SET", "min-replicas-to-write", "1"]).exec(&mut connection).unwrap();
    let store = RedisStore::open(config(&servers, Durability::Failover)).await.unwrap();
    assert_eq!(store.info().durability, Durability::Failover);
    // Who leads to nothing is told why.
    let name = RedisConfig { url: servers.url().replace(&format!("/{NAME}"), "/other"), ..config(&servers, Durability::Failover) };
    let said = unfit(name).await;
    assert!(said.contains("knows no primary \"other\"") && said.contains("SENTINEL MASTERS"), "{said}");
    let password = RedisConfig { access: RedisAccess::default(), ..config(&servers, Durability::Failover) };
    let said = unfit(password).await;
    assert!(said.contains("Sentinel at 127.0.0.1") && said.contains("--redis-sentinel-password-file"), "{said}");
    let replica = servers.replica_url();
    let said = unfit(RedisConfig { url: replica, ..config(&servers, Durability::Failover) }).await;
    assert!(said.contains("is a replica") && said.contains("redis+sentinel://"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_calls_go_to_the_new_primary() {
    goes_on_at_the_new_primary(Watched::start(&FIT)).await;
}

/// The Sentinels, the servers and the replication between them speak TLS alone.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_calls_go_to_the_new_primary_over_tls() {
    let servers = Watched::start_over_tls(&FIT);
    let without = RedisConfig {
        access: RedisAccess { ca: None, ..config(&servers, Durability::Failover).access },
        ..config(&servers, Durability::Failover)
    };
    let said = unfit(without).await;
    assert!(said.contains("Sentinel at 127.0.0.1") && said.contains("--redis-ca-file"), "{said}");
    goes_on_at_the_new_primary(servers).await;
}

async fn goes_on_at_the_new_primary(mut servers: Watched) {
    let store = RedisStore::open(config(&servers, Durability::Failover)).await.unwrap();
    let world = World::on(Opened { store: std::sync::Arc::new(store), keep: Box::new(()) }).await;
    let mut watch = world.store.watch();
    world.leased("a", "s1", 10).await;
    servers.wait_for_replicas(0);
    let before = world.record("a").await;
    servers.kill_server(0);
    let deadline = Instant::now() + Duration::from_secs(40);
    let started = loop {
        match world.store.start(world.start_of("b", 10)).await {
            Ok(started) => break started,
            Err(StoreError::Unavailable { .. }) => assert!(Instant::now() < deadline, "it does not go on"),
            Err(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("{started:?}");
    assert_ne!(servers.primary(), Some(0));
    assert_eq!(world.record("a").await, before);
    tokio::time::timeout(Duration::from_secs(20), async { while watch.recv().await.unwrap() != Wake::All {} }).await.expect("it is said");
    // The old primary is back, and nothing goes to it.
    servers.start_server(0, &FIT);
    until("it follows", || servers.info(0).is_some_and(|info| info.contains("master_link_status:up")));
    world.store.start(world.start_of("c", 10)).await.unwrap();
    assert!(world.store.run(&run("c")).await.unwrap().is_some());
}
