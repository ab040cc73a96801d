//! Sentinel: asks which server is the primary, again for each connection. Nothing of an answer is kept: after a failover the next
//! connection goes to the new primary, and Sentinel itself ends the connections to the old one when that is back.

use std::fmt;

use redis::{Client, RedisError};

use super::connection::{CONNECT_TIMEOUT, connection_config};
use super::refusal::{connect_error, named};
use super::servers::Access;
use crate::store::port::StoreError;

const OPERATION: &str = "ask Sentinel for the primary";

/// The Sentinels of a primary.
pub(super) struct Sentinels {
    clients: Vec<Client>,
    name: String,
    /// To the servers that they name.
    servers: Access,
}

impl Sentinels {
    pub fn new(clients: Vec<Client>, name: String, servers: Access) -> Self {
        Self { clients, name, servers }
    }

    /// A client of the primary, by the first Sentinel that knows it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none answers; [`StoreError::Unfit`] when they refuse us or know no such primary.
    pub async fn primary(&self) -> Result<Client, StoreError> {
        let mut last = None;
        for sentinel in &self.clients {
            match tokio::time::timeout(CONNECT_TIMEOUT, self.ask(sentinel)).await {
                Ok(Ok(Some((host, port)))) => {
                    return self.servers.client(&host, port).map_err(|e| connect_error(OPERATION, &format!("{host}:{port}"), &e));
                }
                Ok(Ok(None)) => {
                    last = Some(StoreError::Unfit(vec![format!(
                        "Sentinel at {} knows no primary {:?}: `redis-cli -h HOST -p PORT SENTINEL MASTERS` lists those that it knows",
                        named(sentinel),
                        self.name
                    )]));
                }
                Ok(Err(error)) => last = Some(connect_error(OPERATION, &format!("Sentinel at {}", named(sentinel)), &error)),
                Err(_) => {
                    let detail = format!("Sentinel at {} gives no answer in time", named(sentinel));
                    last = last.or(Some(StoreError::Unavailable { operation: OPERATION, detail }));
                }
            }
        }
        Err(last.expect("an address has at least one Sentinel"))
    }

    async fn ask(&self, sentinel: &Client) -> Result<Option<(String, u16)>, RedisError> {
        let mut connection = sentinel.get_multiplexed_async_connection_with_config(&connection_config()).await?;
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name).query_async(&mut connection).await
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.clients.iter().map(named).collect();
        write!(f, "{} at {}", self.name, hosts.join(", "))
    }
}
