//! A server of Redis dies for good and another takes over, under a living queue service.

use serde_json::json;

use crate::checker;
use crate::cluster::{self, Cluster};
use crate::crash::{LIMIT, acknowledged};
use crate::fleet::Fleet;
use crate::sentinel::{FIT, SENTINEL_PASSWORD, Watched, until};
use crate::shop::Shop;
use crate::workload::{Expected, Log, apply_all, drive, start};

/// Two workers at two replicas: runs that have ended, and others that sleep, from `ms` on. What was acknowledged, and the replicas.
async fn at_work(fleet: &mut Fleet, shop: &Shop, ms: u64) -> (Log, Vec<String>) {
    apply_all(fleet, shop).await;
    fleet.add_worker_with(0, &[], &[]);
    fleet.add_worker_with(1, &[], &[]);
    let (log, servers) = (Log::default(), vec![fleet.server(0), fleet.server(1)]);
    drive(servers.clone(), log.clone(), "before", 40).await;
    let client = reqwest::Client::new();
    for n in 0..20 {
        let (id, ms) = (format!("sleeps-{n}"), ms + n * 100);
        start(&client, &servers, &log, "sleeper", &id, json!({"ms": ms}), Expected::Slept { ms }).await;
    }
    checker::all_closed(&fleet.server(0), &acknowledged(&log)[..40], LIMIT).await;
    (log, servers)
}

/// What the replicas have is all there, and the service goes on by itself. What an acknowledgement is worth meanwhile is in the docs:
/// here the replicas have it all when the primary dies, and what is started after that is acknowledged by the new one.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_goes_on_after_a_failover_by_sentinel() {
    let mut redis = Watched::start(&FIT);
    let password = redis.folder.path().join("sentinel-password");
    std::fs::write(&password, format!("{SENTINEL_PASSWORD}\n")).expect("a file");
    let variables =
        vec![("EVERLOOP_REDIS_SENTINEL_PASSWORD_FILE", password.display().to_string()), ("EVERLOOP_DURABILITY", "failover".to_owned())];
    let shop = Shop::open().await;
    let mut fleet = Fleet::on(redis.url(), 2, variables).await;
    let ready: serde_json::Value =
        reqwest::get(format!("{}/readyz", fleet.server(0))).await.expect("an answer").json().await.expect("json");
    assert_eq!(ready["durability"], "failover", "{ready}");
    let (log, servers) = at_work(&mut fleet, &shop, 4_000).await;
    redis.wait_for_replicas(0);
    redis.kill_server(0);
    // While there is no primary, clients ask again and again.
    drive(servers, log.clone(), "after", 120).await;
    let primary = redis.primary().expect("another one");
    assert_ne!(primary, 0);
    checker::check(&fleet.server(1), &shop, &acknowledged(&log), LIMIT).await;
    // The old one comes back, and follows.
    redis.start_server(0, &FIT);
    until("it is a replica", || redis.info(0).is_some_and(|info| info.contains("master_link_status:up")));
    drive(vec![fleet.server(0), fleet.server(1)], log.clone(), "again", 40).await;
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
}

/// Likewise in a cluster, where the server with the store's own keys dies.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_goes_on_after_a_failover_in_a_cluster() {
    let mut redis = Cluster::start(1, &cluster::FIT);
    let dies = redis.primary_of("{e}:meta");
    let takes_over = redis.replica_of(dies);
    let shop = Shop::open().await;
    let mut fleet = Fleet::on(redis.url(), 2, vec![("EVERLOOP_DURABILITY", "failover".to_owned())]).await;
    let (log, servers) = at_work(&mut fleet, &shop, 3_000).await;
    redis.wait_for_replica(dies);
    redis.kill_server(dies);
    let driven = tokio::spawn(drive(servers, log.clone(), "after", 120));
    until("the replica takes over", || redis.is_primary(takes_over));
    // It takes nothing before it has a replica itself.
    redis.start_server(dies);
    until("the old primary follows", || redis.follows(dies));
    driven.await.expect("the client");
    checker::check(&fleet.server(1), &shop, &acknowledged(&log), LIMIT).await;
}
