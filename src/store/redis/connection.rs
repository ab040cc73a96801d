//! Connections: pipelined, about four, replaced when they break. Nothing is sent twice, except after the answer that a
//! function is not there, which says that nothing was run.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo as _, RedisError, ServerErrorKind, ToRedisArgs, Value,
};

use super::scripts::{SCRIPTS, Script};
use crate::store::port::StoreError;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls that may stand before a connection's writer: more than that wait for room.
const PIPELINE_CALLS_MAX: usize = 4_096;

/// One script call.
pub(super) struct Call {
    script: &'static Script,
    command: Cmd,
}

impl Call {
    /// A call with one key, or with the prefix that all of its keys begin with.
    pub fn new(script: &'static Script, key: &str) -> Self {
        Self::with_keys(script, &[key])
    }

    pub fn with_keys(script: &'static Script, keys: &[&str]) -> Self {
        let mut command = redis::cmd("FCALL");
        command.arg(&script.function).arg(keys.len()).arg(keys);
        Self { script, command }
    }

    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }
}

/// A place for a connection. The number tells one connection from the next, so that each is replaced once.
#[derive(Default)]
struct Slot {
    current: RwLock<Option<(u64, MultiplexedConnection)>>,
    connecting: tokio::sync::Mutex<u64>,
}

impl Slot {
    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn discard(&self, number: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|(n, _)| *n == number) {
            *current = None;
        }
    }
}

/// The connections of a store.
pub(super) struct Connections {
    client: Client,
    slots: Vec<Slot>,
    response_timeout: Duration,
}

impl Connections {
    /// None of them is opened before it is used.
    pub fn new(client: Client, number: usize, response_timeout: Duration) -> Self {
        Self { client, slots: (0..number.max(1)).map(|_| Slot::default()).collect(), response_timeout }
    }

    /// Runs a script. `by` chooses the connection: calls of one partition share one, in their order.
    pub async fn run(&self, by: u16, call: Call) -> Result<Value, StoreError> {
        let operation = call.script.operation;
        self.in_time(operation, by, |mut connection| async move {
            match call.command.query_async(&mut connection).await {
                Err(e) if is_unknown_function(&e) => {
                    load_scripts(&mut connection).await?;
                    call.command.query_async(&mut connection).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// Sends a plain command.
    pub async fn send<T: FromRedisValue>(&self, operation: &'static str, by: u16, command: Cmd) -> Result<T, StoreError> {
        self.in_time(operation, by, |mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// Sends a plain command whose refusal is an answer too.
    pub async fn ask<T: FromRedisValue>(&self, operation: &'static str, command: Cmd) -> Result<Result<T, RedisError>, StoreError> {
        self.in_time(operation, 0, |mut connection| async move {
            match command.query_async(&mut connection).await {
                Err(e) if matches!(e.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => Ok(Err(e)),
                answer => answer.map(Ok),
            }
        })
        .await
    }

    async fn in_time<T, F>(&self, operation: &'static str, by: u16, send: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let slot = &self.slots[usize::from(by) % self.slots.len()];
        let used = std::sync::atomic::AtomicU64::new(0);
        let work = async {
            let (number, connection) = self.connection(slot).await?;
            used.store(number, std::sync::atomic::Ordering::Relaxed);
            send(connection).await
        };
        let number = || used.load(std::sync::atomic::Ordering::Relaxed);
        match tokio::time::timeout(self.response_timeout, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() {
                    slot.discard(number());
                }
                Err(store_error(operation, &error))
            }
            Err(_) => {
                // A connection may be dead without saying so: the next call gets a new one.
                slot.discard(number());
                let detail = format!("no answer within {} ms", self.response_timeout.as_millis());
                Err(StoreError::Unavailable { operation, detail })
            }
        }
    }

    async fn connection(&self, slot: &Slot) -> Result<(u64, MultiplexedConnection), RedisError> {
        if let Some(current) = slot.current() {
            return Ok(current);
        }
        let mut number = slot.connecting.lock().await;
        // Somebody else may have connected while this call waited.
        if let Some(current) = slot.current() {
            return Ok(current);
        }
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&connection_config()).await?;
        load_scripts(&mut connection).await?;
        *number += 1;
        *slot.current.write().unwrap_or_else(PoisonError::into_inner) = Some((*number, connection.clone()));
        Ok((*number, connection))
    }
}

/// A client of the server at `url`. Calls are small and somebody waits for each: none is held back to fill a packet.
pub(super) fn client(url: &str) -> Result<Client, RedisError> {
    let info = url.into_connection_info()?;
    Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// How a connection is made; how long an answer may take is the caller's.
pub(super) fn connection_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE_CALLS_MAX)
}

async fn load_scripts(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let loaded = redis::cmd("FUNCTION").arg("LOAD").arg(&SCRIPTS.code).query_async::<String>(connection).await;
    match loaded {
        // The name has the hash of the text: what is there is the same.
        Err(error) if error.detail().is_some_and(|detail| detail.contains("already exists")) => Ok(()),
        loaded => loaded.map(|_| ()),
    }
}

/// The server has lost the library: nothing was run.
fn is_unknown_function(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(|detail| detail.contains("Function not found"))
}

/// What an error of the server or of the connection means for the caller.
pub(super) fn store_error(operation: &'static str, error: &RedisError) -> StoreError {
    let detail = error.to_string();
    match error.code() {
        Some("WRONGTYPE") => StoreError::Damaged { operation, detail },
        Some("ERR") if !detail.contains("No space") => StoreError::Damaged { operation, detail },
        Some("OOM" | "MISCONF" | "ERR") => StoreError::Full { operation, detail },
        Some("NOPERM" | "NOAUTH" | "WRONGPASS") => StoreError::Unfit(vec![format!(
            "the server forbids to {operation} ({detail}): give the user `~{{e*`, `&everloop:*` and `+@all -@dangerous +info +config|get`"
        )]),
        _ => StoreError::Unavailable { operation, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_without_room_says_is_full_and_changed_nothing() {
        let says = |line: &str| {
            let error = redis::parse_redis_value(line.as_bytes()).unwrap().extract_error().unwrap_err();
            store_error("start a run", &error)
        };
        for line in [
            "-MISCONF Errors writing to the AOF file: No space left on device\r\n",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "-ERR Error writing to the AOF: No space left on device\r\n",
        ] {
            assert!(matches!(says(line), StoreError::Full { .. }), "{line}: {:?}", says(line));
        }
        assert!(matches!(says("-LOADING Redis is loading the dataset in memory\r\n"), StoreError::Unavailable { .. }));
        assert!(matches!(says("-WRONGTYPE Operation against a key\r\n"), StoreError::Damaged { .. }));
        assert!(matches!(says("-NOPERM this user has no permissions\r\n"), StoreError::Unfit(_)));
    }
}
