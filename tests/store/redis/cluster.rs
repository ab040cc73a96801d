//! Redis Cluster: calls go where the slots are, also when these move or their server dies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use everloop::api::Partition;
use everloop::store::StoreError;
use everloop::store::op::{Durability, Started};
use everloop::store::redis::{RedisConfig, RedisStore};

use crate::cluster::{Cluster, FIT, until};
use crate::server::{MEMORY, RedisServer};
use crate::stores::{Opened, PARTITIONS};
use crate::world::*;

fn config(url: String, durability: Durability) -> RedisConfig {
    RedisConfig { durability, partitions: PARTITIONS, ..RedisConfig::new(url) }
}

async fn unfit(url: String, durability: Durability) -> String {
    match RedisStore::open(config(url, durability)).await {
        Err(StoreError::Unfit(lines)) => lines.join("\n"),
        other => panic!("not refused: {other:?}"),
    }
}

/// An id of a run in a partition.
fn id_in(partition: u16) -> String {
    (0..100).map(|n| format!("run-{n}")).find(|id| run(id).partition(PARTITIONS) == Partition(partition)).expect("one of many")
}

async fn world(cluster: &Cluster, durability: Durability) -> World {
    let store = RedisStore::open(config(cluster.url(), durability)).await.unwrap();
    World::on(Opened { store: Arc::new(store), keep: Box::new(()) }).await
}

/// Starts it as soon as that is possible.
async fn start_at_last(world: &World, id: &str) -> Started {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        match world.store.start(world.start_of(id, 10)).await {
            Ok(started) => return started,
            Err(StoreError::Unavailable { .. }) => assert!(Instant::now() < deadline, "it does not go on"),
            Err(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_a_cluster_and_what_is_none_is_told_apart() {
    let cluster = Cluster::start(0, &FIT[..4]);
    let said = unfit(cluster.url_of(1), Durability::None).await;
    assert!(said.contains("write redis+cluster:// in place of redis://"), "{said}");
    let said = unfit(cluster.url(), Durability::Strict).await;
    assert!(said.contains("`strict` cannot be promised here") && said.contains("--durability failover"), "{said}");
    let said = unfit(cluster.url(), Durability::Failover).await;
    assert_eq!(said.matches("CONFIG SET min-replicas-to-write 1").count(), 3, "each of three servers: {said}");
    let port = crate::process::free_port().to_string();
    let single = RedisServer::start(&[&MEMORY[..], &["--bind", "127.0.0.1", "--port", &port]].concat());
    let said = unfit(format!("redis+cluster://127.0.0.1:{port}"), Durability::None).await;
    assert!(said.contains("no Redis Cluster: write redis://"), "{said}");
    drop(single);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_on_several_servers_and_all_are_heard() {
    let cluster = Cluster::start(0, &[]);
    let world = world(&cluster, Durability::None).await;
    let mut watch = world.store.watch();
    for partition in 0..PARTITIONS {
        world.store.start(world.start_of(&id_in(partition), 10)).await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), watch.recv()).await.expect("it is told of").unwrap();
    }
    assert!((0..3).all(|server| cluster.keys(server) > 0), "keys are on all three");
}

/// While a slot moves its partition waits, and no script sees a half of it; afterwards calls go to where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_waits_while_its_slot_moves() {
    let cluster = Cluster::start(0, &[]);
    let world = world(&cluster, Durability::None).await;
    let (moves, stays) = (id_in(0), id_in(1));
    world.store.start(world.start_of(&moves, 10)).await.unwrap();
    let before = world.record(&moves).await;
    let (from, to) = (cluster.primary_of("{e0}:"), cluster.primary_of("{e1}:"));
    assert_ne!(from, to);
    let slot = cluster.tell::<usize>(0, &["KEYSLOT", "{e0}:"]).to_string();
    let (from_id, to_id): (String, String) = (cluster.tell(from, &["MYID"]), cluster.tell(to, &["MYID"]));
    cluster.tell::<()>(to, &["SETSLOT", &slot, "IMPORTING", &from_id]);
    cluster.tell::<()>(from, &["SETSLOT", &slot, "MIGRATING", &to_id]);
    let waits = async || match world.store.start(world.start_of(&moves, 10)).await {
        Err(StoreError::Unavailable { .. }) => {}
        other => panic!("it does not wait: {other:?}"),
    };
    waits().await;
    let keys: Vec<String> = cluster.tell(from, &["GETKEYSINSLOT", &slot, "1000"]);
    assert!(keys.len() > 1, "{keys:?}");
    let port = cluster.url_of(to).rsplit_once(':').unwrap().1.to_owned();
    for (number, key) in keys.iter().enumerate() {
        redis::cmd("MIGRATE").arg(&["127.0.0.1", &port, key, "0", "5000"]).exec(&mut cluster.connection(from)).unwrap();
        if number == 0 {
            waits().await;
        }
    }
    waits().await;
    // The others go on meanwhile.
    world.store.start(world.start_of(&stays, 10)).await.unwrap();
    for server in [to, from] {
        cluster.tell::<()>(server, &["SETSLOT", &slot, "NODE", &to_id]);
    }
    assert!(matches!(start_at_last(&world, &moves).await, Started::Existing { .. }));
    assert_eq!(world.record(&moves).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_in_the_cluster_calls_go_to_the_new_primary() {
    let mut cluster = Cluster::start(1, &FIT);
    let world = world(&cluster, Durability::Failover).await;
    let id = id_in(0);
    world.store.start(world.start_of(&id, 10)).await.unwrap();
    let before = world.record(&id).await;
    let (dies, takes_over) = (cluster.primary_of("{e0}:"), cluster.replica_of(cluster.primary_of("{e0}:")));
    cluster.wait_for_replica(dies);
    cluster.kill_server(dies);
    until("another takes over", || cluster.is_primary(takes_over));
    // It takes nothing before it has a replica itself.
    cluster.start_server(dies);
    until("the old primary follows", || cluster.follows(dies));
    assert!(matches!(start_at_last(&world, &id).await, Started::Existing { .. }));
    assert_eq!(world.record(&id).await, before);
}
