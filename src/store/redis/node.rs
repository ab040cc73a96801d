//! One server of a store, or the one that Sentinel names, and a few pipelined connections to it.

use std::sync::{PoisonError, RwLock};

use redis::Client;
use redis::aio::MultiplexedConnection;

use super::sentinel::Sentinels;
use crate::store::port::StoreError;

/// How a server is found.
pub(super) enum Target {
    /// It stands at an address.
    Server(Client),
    /// It is the one that Sentinel names at the time.
    Primary(Sentinels),
}

/// A place for a connection. The number tells one connection from the next, so that each is replaced once.
#[derive(Default)]
pub(super) struct Slot {
    current: RwLock<Option<(u64, MultiplexedConnection)>>,
    /// Held by the one that connects; the number of the last connection.
    pub connecting: tokio::sync::Mutex<u64>,
}

impl Slot {
    pub fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, number: u64, connection: MultiplexedConnection) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some((number, connection));
    }

    pub fn discard(&self, number: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|(n, _)| *n == number) {
            *current = None;
        }
    }
}

/// A server and the places for its connections.
pub(super) struct Node {
    target: Target,
    slots: Vec<Slot>,
}

impl Node {
    /// No connection is opened before it is used.
    pub fn new(target: Target, connections: usize) -> Self {
        Self { target, slots: (0..connections.max(1)).map(|_| Slot::default()).collect() }
    }

    /// A client of the server, as it is found now.
    pub async fn client(&self) -> Result<Client, StoreError> {
        match &self.target {
            Target::Server(client) => Ok(client.clone()),
            Target::Primary(sentinels) => sentinels.primary().await,
        }
    }

    /// The place that calls of a partition share, in their order.
    pub fn slot(&self, lane: u16) -> &Slot {
        &self.slots[usize::from(lane) % self.slots.len()]
    }

    /// Whether the server is looked for, so that it may have become a replica when it is found.
    pub fn is_looked_for(&self) -> bool {
        matches!(self.target, Target::Primary(_))
    }
}
