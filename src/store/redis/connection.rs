//! Calls: pipelined on about four connections to each server, which are replaced when they break. Nothing is sent twice, except
//! after an answer that says that nothing was run: the function is not there, or the slot is another server's.
//!
//! A new connection is used only when its server has the store that was opened: after a failover, or a change of what an address
//! leads to, it might be another one, or an empty one.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, ToRedisArgs, Value};
use tokio::time::{Instant, timeout_at};

use super::cluster::Cluster;
use super::keys;
use super::node::{Node, Target};
use super::refusal::{connect_error, named, store_error};
use super::scripts::{SCRIPTS, Script};
use super::servers::Servers;
use crate::api::Partition;
use crate::store::port::StoreError;

/// How long one attempt to connect may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
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

/// Whose keys a call has: they decide which server and which of its connections it takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// The store's own.
    Store,
    /// A partition's. Calls of one partition share a connection, in their order.
    Partition(Partition),
}

impl Of {
    fn tag(self) -> String {
        match self {
            Self::Store => keys::TAG.to_owned(),
            Self::Partition(partition) => keys::tag(partition),
        }
    }

    fn lane(self) -> u16 {
        match self {
            Self::Store => 0,
            Self::Partition(partition) => partition.0,
        }
    }
}

enum Nodes {
    One(Arc<Node>),
    Cluster(Cluster),
}

/// The connections of a store.
pub(super) struct Connections {
    nodes: Nodes,
    response_timeout: Duration,
    /// The id of the store, once it was opened.
    store: OnceLock<String>,
    /// Another store that was found and told of in the log.
    told: Mutex<Option<String>>,
}

/// What a server says: an answer, or that it refuses.
type Said = Result<Value, RedisError>;

impl Connections {
    /// None of them is opened before it is used.
    pub fn new(servers: Servers, number: usize, response_timeout: Duration) -> Self {
        let one = |target| Nodes::One(Arc::new(Node::new(target, number)));
        let nodes = match servers {
            Servers::One(client) => one(Target::Server(client)),
            Servers::Sentinel(sentinels) => one(Target::Primary(sentinels)),
            Servers::Cluster(seeds, access) => Nodes::Cluster(Cluster::new(seeds, access, number)),
        };
        Self { nodes, response_timeout, store: OnceLock::new(), told: Mutex::default() }
    }

    /// From now on only servers with this store are used.
    pub fn expect(&self, store: &str) {
        // A second call would name the same store: it is opened once.
        let _ = self.store.set(store.to_owned());
    }

    /// Runs a script.
    pub async fn run(&self, of: Of, call: Call) -> Result<Value, StoreError> {
        let operation = call.script.operation;
        self.exchange(operation, of, &call.command).await?.map_err(|e| store_error(operation, &e))
    }

    /// Sends a plain command.
    pub async fn send<T: FromRedisValue>(&self, operation: &'static str, of: Of, command: Cmd) -> Result<T, StoreError> {
        read(operation, self.exchange(operation, of, &command).await?)
    }

    /// Sends a plain command to a server, whatever it has.
    pub async fn send_to<T: FromRedisValue>(&self, operation: &'static str, node: &Node, command: Cmd) -> Result<T, StoreError> {
        read(operation, self.exchange_with(operation, node, Of::Store, &command, self.deadline()).await?)
    }

    /// Sends a plain command to a server; its refusal is an answer too.
    pub async fn ask<T: FromRedisValue>(
        &self,
        operation: &'static str,
        node: &Node,
        command: Cmd,
    ) -> Result<Result<T, RedisError>, StoreError> {
        match self.exchange_with(operation, node, Of::Store, &command, self.deadline()).await? {
            Ok(value) => read(operation, Ok(value)).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// All servers that have keys of the store.
    pub async fn servers(&self) -> Result<Vec<Arc<Node>>, StoreError> {
        match &self.nodes {
            Nodes::One(node) => Ok(vec![Arc::clone(node)]),
            Nodes::Cluster(cluster) => cluster.all().await,
        }
    }

    /// A client of a server that passes on what scripts publish: in a cluster each does.
    pub async fn publisher(&self) -> Result<Client, StoreError> {
        self.node(Of::Store).await?.client().await
    }

    /// A subscription was lost, or none was made.
    pub fn publisher_is_lost(&self) {
        if let Nodes::Cluster(cluster) = &self.nodes {
            cluster.may_have_changed();
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.response_timeout
    }

    async fn node(&self, of: Of) -> Result<Arc<Node>, StoreError> {
        match &self.nodes {
            Nodes::One(node) => Ok(Arc::clone(node)),
            Nodes::Cluster(cluster) => cluster.of(&of.tag()).await,
        }
    }

    async fn exchange(&self, operation: &'static str, of: Of, command: &Cmd) -> Result<Said, StoreError> {
        let deadline = self.deadline();
        match &self.nodes {
            Nodes::One(node) => self.exchange_with(operation, node, of, command, deadline).await,
            Nodes::Cluster(cluster) => Box::pin(self.exchange_in(cluster, operation, of, command, deadline)).await,
        }
    }

    async fn exchange_in(
        &self,
        cluster: &Cluster,
        operation: &'static str,
        of: Of,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Said, StoreError> {
        let mut has_moved = false;
        loop {
            let node = in_time(operation, deadline, self.response_timeout, cluster.of(&of.tag())).await?;
            match self.exchange_with(operation, &node, of, command, deadline).await {
                Ok(Err(refusal)) if refusal.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                    cluster.has_changed().await;
                    if has_moved {
                        return Ok(Err(refusal));
                    }
                    has_moved = true;
                }
                Ok(Err(refusal)) => {
                    if matches!(refusal.code(), Some("CLUSTERDOWN" | "READONLY" | "MASTERDOWN" | "ASK")) {
                        cluster.may_have_changed();
                    }
                    return Ok(Err(refusal));
                }
                Err(error) => {
                    cluster.may_have_changed();
                    return Err(error);
                }
                answer => return answer,
            }
        }
    }

    /// What is rare has a place of its own: the future of every operation holds this one, and is made anew each time.
    async fn exchange_with(
        &self,
        operation: &'static str,
        node: &Node,
        of: Of,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Said, StoreError> {
        let slot = node.slot(of.lane());
        let (number, mut connection) = if let Some(current) = slot.current() {
            current
        } else {
            let connection = self.connection(operation, node, of.lane());
            Box::pin(in_time(operation, deadline, self.response_timeout, connection)).await?
        };
        let work = async {
            match command.query_async::<Value>(&mut connection).await {
                Err(e) if is_unknown_function(&e) => {
                    Box::pin(load_scripts(&mut connection)).await?;
                    command.query_async(&mut connection).await
                }
                answer => answer,
            }
        };
        match timeout_at(deadline, work).await {
            Ok(Ok(answer)) => Ok(Ok(answer)),
            Ok(Err(error)) => {
                // A primary that has become a replica refuses; the next connection looks for the new one.
                if error.is_unrecoverable_error() || error.code() == Some("READONLY") {
                    slot.discard(number);
                }
                if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
                    return Ok(Err(error));
                }
                Err(store_error(operation, &error))
            }
            Err(_) => {
                // A connection may be dead without saying so: the next call gets a new one.
                slot.discard(number);
                Err(no_answer(operation, self.response_timeout))
            }
        }
    }

    async fn connection(&self, operation: &'static str, node: &Node, lane: u16) -> Result<(u64, MultiplexedConnection), StoreError> {
        let slot = node.slot(lane);
        if let Some(current) = slot.current() {
            return Ok(current);
        }
        let mut number = slot.connecting.lock().await;
        // Somebody else may have connected while this call waited.
        if let Some(current) = slot.current() {
            return Ok(current);
        }
        let connection = self.connect(operation, node).await.map_err(|error| match error {
            // It was fit when it was opened. Nothing was sent, and the callers try again.
            StoreError::Unfit(lines) if self.store.get().is_some() => StoreError::Unavailable { operation, detail: lines.join("; ") },
            error => error,
        })?;
        *number += 1;
        slot.set(*number, connection.clone());
        Ok((*number, connection))
    }

    async fn connect(&self, operation: &'static str, node: &Node) -> Result<MultiplexedConnection, StoreError> {
        let client = node.client().await?;
        let server = named(&client);
        let failed = |e: RedisError| connect_error(operation, &server, &e);
        let mut connection = client.get_multiplexed_async_connection_with_config(&connection_config()).await.map_err(failed)?;
        if node.is_looked_for() && !is_primary(&mut connection).await.map_err(failed)? {
            let detail = format!("{server}, which Sentinel names, is no primary yet");
            return Err(StoreError::Unavailable { operation, detail });
        }
        load_scripts(&mut connection).await.map_err(|error| match &self.nodes {
            Nodes::One(_) if error.code() == Some("READONLY") && !node.is_looked_for() => StoreError::Unfit(vec![format!(
                "{server} is a replica: give the address of its primary, or of Sentinel, as redis+sentinel://HOST:26379/NAME"
            )]),
            _ => failed(error),
        })?;
        if let Some(expected) = self.store.get() {
            let found = self.store_of(operation, &server, &mut connection).await?;
            self.compare(operation, &server, expected, found.as_deref())?;
        }
        Ok(connection)
    }

    /// The id of the store that a server has. In a cluster one of them has it for all.
    async fn store_of(
        &self,
        operation: &'static str,
        server: &str,
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<String>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(keys::META).arg("id");
        match command.query_async(connection).await {
            Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {}
            found => return found.map_err(|e| connect_error(operation, server, &e)),
        }
        let client = self.node(Of::Store).await?.client().await?;
        let server = named(&client);
        let failed = |e: RedisError| connect_error(operation, &server, &e);
        let mut connection = client.get_multiplexed_async_connection_with_config(&connection_config()).await.map_err(failed)?;
        command.query_async(&mut connection).await.map_err(failed)
    }

    fn compare(&self, operation: &'static str, server: &str, expected: &str, found: Option<&str>) -> Result<(), StoreError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if found == Some(expected) {
            *told = None;
            return Ok(());
        }
        let found = found.map_or_else(|| "no store".to_owned(), |id| format!("the store {id}"));
        let detail = format!(
            "{server} has {found}, and this process has opened {expected}: bring that one back, or restart this process to take what is there"
        );
        if told.as_ref() != Some(&found) {
            tracing::error!("{detail}");
            *told = Some(found);
        }
        Err(StoreError::Unavailable { operation, detail })
    }
}

fn read<T: FromRedisValue>(operation: &'static str, said: Said) -> Result<T, StoreError> {
    let value = said.map_err(|e| store_error(operation, &e))?;
    redis::from_redis_value(value).map_err(|e| store_error(operation, &e.into()))
}

async fn in_time<T>(
    operation: &'static str,
    deadline: Instant,
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout_at(deadline, work).await.unwrap_or_else(|_| Err(no_answer(operation, limit)))
}

fn no_answer(operation: &'static str, limit: Duration) -> StoreError {
    StoreError::Unavailable { operation, detail: format!("no answer within {} ms", limit.as_millis()) }
}

/// How a connection is made; how long an answer may take is the caller's.
pub(super) fn connection_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE_CALLS_MAX)
}

/// `INFO` says it too, and a user who may do nothing dangerous may not ask for `ROLE`.
async fn is_primary(connection: &mut MultiplexedConnection) -> Result<bool, RedisError> {
    let info: String = redis::cmd("INFO").arg("replication").query_async(connection).await?;
    Ok(info.lines().any(|line| line.trim() == "role:master"))
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
