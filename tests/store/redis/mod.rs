//! What holds for Redis alone: which servers are fit, what operations cost there, which keys stay.

mod cluster;
mod costs;
mod formats;
mod keys;
mod sentinel;
mod servers;
mod steps;
mod tls;

use std::ops::Deref;
use std::sync::Arc;

use everloop::store::op::Durability;
use everloop::store::redis::{RedisConfig, RedisStore};

use crate::server::{MEMORY, RedisServer};
use crate::stores::{Opened, PARTITIONS};
use crate::world::World;

/// A world on a Redis that the test can look into.
pub struct OnRedis {
    pub server: RedisServer,
    world: World,
}

pub fn config(server: &RedisServer, durability: Durability) -> RedisConfig {
    RedisConfig { durability, partitions: PARTITIONS, ..RedisConfig::new(server.url()) }
}

impl OnRedis {
    /// On a fresh server that keeps nothing.
    pub async fn new() -> Self {
        Self::on(RedisServer::start(&MEMORY), Durability::None).await
    }

    pub async fn on(server: RedisServer, durability: Durability) -> Self {
        let store = RedisStore::open(config(&server, durability)).await.unwrap();
        let world = World::on(Opened { store: Arc::new(store), keep: Box::new(()) }).await;
        Self { server, world }
    }

    /// Names of the keys that fit the pattern.
    fn keys(&self, pattern: &str) -> Vec<String> {
        redis::cmd("KEYS").arg(pattern).query(&mut self.server.connection()).unwrap()
    }
}

impl Deref for OnRedis {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}
