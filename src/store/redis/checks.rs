//! What the store depends on, checked when it is opened: each line of a refusal says what is wrong and what to type.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::{ErrorKind, ServerErrorKind};

use super::connection::{Call, Connections, Of, connection_config};
use super::decode::Fields;
use super::node::Node;
use super::refusal::{connect_error, named};
use super::scripts::{LIBRARY_PREFIX, SCRIPTS};
use super::{STORE_FORMAT, keys};
use crate::store::op::Durability;
use crate::store::port::StoreError;

const OPERATION: &str = "check the server";
const REDIS_MAJOR_MIN: u32 = 7;
const VALKEY_MAJOR_MIN: u32 = 8;

/// The settings that matter.
const SETTINGS: [&str; 8] = [
    "maxmemory",
    "maxmemory-policy",
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "save",
    "stop-writes-on-bgsave-error",
    "min-replicas-to-write",
];

/// How often a server that loads its data is asked again, and how often that is said.
const LOADING_ASK: Duration = Duration::from_millis(100);
const LOADING_SAY: Duration = Duration::from_secs(5);

/// Waits until the servers have loaded their data, however long that takes: until then they refuse every call with `LOADING`.
///
/// # Errors
/// [`StoreError::Unavailable`] when one cannot be reached.
pub(super) async fn loaded(connections: &Connections) -> Result<(), StoreError> {
    for node in connections.servers().await? {
        loaded_by(&node).await?;
    }
    Ok(())
}

async fn loaded_by(node: &Node) -> Result<(), StoreError> {
    let mut said: Option<Instant> = None;
    loop {
        let client = node.client().await?;
        let answer = async {
            let mut connection = client.get_multiplexed_async_connection_with_config(&connection_config()).await?;
            redis::cmd("PING").query_async::<String>(&mut connection).await
        };
        match answer.await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                if said.is_none_or(|at| at.elapsed() >= LOADING_SAY) {
                    tracing::info!("the store's server is loading its data; waiting for it");
                    said = Some(Instant::now());
                }
                tokio::time::sleep(LOADING_ASK).await;
            }
            Err(error) => return Err(connect_error(OPERATION, &named(&client), &error)),
            Ok(_) => return Ok(()),
        }
    }
}

/// Removes the libraries of other versions of this program, once a start: else each release would leave one. A version that is
/// still in use sends its own again with its next call.
pub(super) async fn forget_other_libraries(connections: &Connections) -> Result<(), StoreError> {
    for node in connections.servers().await? {
        let mut list = redis::cmd("FUNCTION");
        list.arg("LIST").arg("LIBRARYNAME").arg(format!("{LIBRARY_PREFIX}*"));
        let libraries: Vec<HashMap<String, redis::Value>> = connections.send_to(OPERATION, &node, list).await?;
        for library in libraries {
            let Some(redis::Value::BulkString(name)) = library.get("library_name") else { continue };
            if name != SCRIPTS.library.as_bytes() {
                let mut delete = redis::cmd("FUNCTION");
                delete.arg("DELETE").arg(name);
                // Another replica may have done it first.
                let _ = connections.ask::<redis::Value>(OPERATION, &node, delete).await?;
            }
        }
    }
    Ok(())
}

/// Checks every server that has keys; answers kind and version of one, such as `redis 7.0.15`.
pub(super) async fn servers(connections: &Connections, durability: Durability, fail_over: bool) -> Result<String, StoreError> {
    let mut unfit = Vec::new();
    if fail_over && durability == Durability::Strict {
        unfit.push(
            "a server that takes over may lack the last that was acknowledged, so `strict` cannot be promised here: give `--durability \
             failover` (EVERLOOP_DURABILITY) to have that said, or the address of one server"
                .to_owned(),
        );
    }
    let mut kind = String::new();
    let nodes = connections.servers().await?;
    for node in &nodes {
        let (its_kind, its_unfit) = server(connections, node, durability, fail_over).await?;
        kind = its_kind;
        if nodes.len() == 1 || its_unfit.is_empty() {
            unfit.extend(its_unfit);
        } else {
            let address = named(&node.client().await?);
            unfit.extend(its_unfit.into_iter().map(|line| format!("{address}: {line}")));
        }
    }
    if unfit.is_empty() { Ok(kind) } else { Err(StoreError::Unfit(unfit)) }
}

/// Version, place and settings of one.
async fn server(
    connections: &Connections,
    node: &Node,
    durability: Durability,
    fail_over: bool,
) -> Result<(String, Vec<String>), StoreError> {
    let mut command = redis::cmd("INFO");
    command.arg("server");
    let info: String = connections.send_to(OPERATION, node, command).await?;
    let (kind, mut unfit) = kind(&info);
    if !fail_over {
        unfit.extend(place_unfit(connections, node, &info).await?);
    }
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(&SETTINGS);
    match connections.ask::<HashMap<String, String>>(OPERATION, node, command).await? {
        Ok(settings) => unfit.extend(settings_unfit(&settings, durability, fail_over)),
        Err(error) => tracing::warn!(
            %error,
            durability = durability.as_str(),
            "the server does not show its settings: see to it that it has maxmemory-policy noeviction, appendonly yes, \
             appendfsync always (or everysec, as promised), no-appendfsync-on-rewrite no, and save \"\" or stop-writes-on-bgsave-error no"
        ),
    }
    Ok((kind, unfit))
}

/// A server at an address of its own must be all there is.
async fn place_unfit(connections: &Connections, node: &Node, server: &str) -> Result<Vec<String>, StoreError> {
    let has = |info: &str, line: &str| info.lines().any(|found| found.trim() == line);
    let mut unfit = Vec::new();
    if has(server, "redis_mode:cluster") || has(server, "server_mode:cluster") {
        let mut command = redis::cmd("CLUSTER");
        command.arg("INFO");
        let state: String = connections.send_to(OPERATION, node, command).await?;
        if !has(&state, "cluster_size:1") {
            unfit.push("the server is one of a Redis Cluster: write redis+cluster:// in place of redis://".to_owned());
        }
    }
    Ok(unfit)
}

fn kind(info: &str) -> (String, Vec<String>) {
    let field = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let (kind, version, major_min) = match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => ("valkey", version, VALKEY_MAJOR_MIN),
        (None, version) => ("redis", version.unwrap_or("of unknown version"), REDIS_MAJOR_MIN),
    };
    let major: Option<u32> = version.split('.').next().and_then(|text| text.parse().ok());
    let mut unfit = Vec::new();
    if major.is_none_or(|major| major < major_min) {
        unfit.push(format!("the server is {kind} {version}: use Redis 7.0 or newer, or Valkey 8 or newer"));
    }
    (format!("{kind} {version}"), unfit)
}

fn settings_unfit(settings: &HashMap<String, String>, durability: Durability, fail_over: bool) -> Vec<String> {
    let is = |name: &str, value: &str| settings.get(name).is_none_or(|found| found == value);
    let found = |name: &str| settings.get(name).map_or("", String::as_str);
    let change = |name: &str, value: &str| format!("`redis-cli CONFIG SET {name} {value}`, and `{name} {value}` in redis.conf");
    let mut unfit = Vec::new();
    let mut refuse = |why: &str, name: &str, value: &str| {
        unfit.push(format!("{name} is {:?}: {why}; change it with {}", found(name), change(name, value)));
    };
    if !is("maxmemory", "0") && !is("maxmemory-policy", "noeviction") {
        refuse("the server may evict runs", "maxmemory-policy", "noeviction");
    }
    if durability == Durability::None {
        return unfit;
    }
    if !is("appendonly", "yes") {
        refuse("a restart of the server loses everything", "appendonly", "yes");
    }
    match durability {
        Durability::Strict | Durability::Failover if !is("appendfsync", "always") => {
            refuse("a crash of the machine loses what was acknowledged (or ask for durability everysec)", "appendfsync", "always");
        }
        Durability::Everysec if is("appendfsync", "no") => {
            refuse("nothing says when data reach the disk", "appendfsync", "everysec");
        }
        Durability::Strict | Durability::Failover | Durability::Everysec | Durability::None => {}
    }
    if (fail_over || durability == Durability::Failover) && found("min-replicas-to-write") == "0" {
        refuse(
            "a server that is cut off would go on for as long as it likes, and all of that is lost when another has taken over",
            "min-replicas-to-write",
            "1",
        );
    }
    if !is("no-appendfsync-on-rewrite", "no") {
        refuse("nothing is made durable while the AOF is rewritten", "no-appendfsync-on-rewrite", "no");
    }
    if !is("save", "") && !is("stop-writes-on-bgsave-error", "no") {
        refuse("a failed snapshot, which nobody needs beside the AOF, would stop all writes", "save", "\"\"");
    }
    unfit
}

/// What the store says of itself.
pub(super) struct Meta {
    pub id: String,
    /// Else it was made before they were.
    pub open_runs_counted: bool,
}

/// Reads it, or creates the store.
pub(super) async fn meta(connections: &Connections, partitions: u16) -> Result<Meta, StoreError> {
    let script = &SCRIPTS.meta;
    let id = uuid::Uuid::now_v7().to_string();
    let call = Call::new(script, keys::META).arg(STORE_FORMAT).arg(id).arg(partitions);
    let mut fields = Fields::of(script.operation, connections.run(Of::Store, call).await?)?;
    let (format, id, found) = (fields.number_text()?, fields.text()?, fields.number_text()?);
    let open_runs_counted = fields.flag()?;
    if format > u64::from(STORE_FORMAT) {
        let line = format!("the store has format {format}, this program knows up to {STORE_FORMAT}: use the newer everloop that wrote it");
        return Err(StoreError::Unfit(vec![line]));
    }
    if found != u64::from(partitions) {
        let line = format!("the store was created with {found} partitions, not {partitions}: start with {found}, or use another database");
        return Err(StoreError::Unfit(vec![line]));
    }
    Ok(Meta { id, open_runs_counted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(changes: &[(&str, &str)]) -> HashMap<String, String> {
        let mut all: HashMap<String, String> = [
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("no-appendfsync-on-rewrite", "no"),
            ("save", ""),
            ("stop-writes-on-bgsave-error", "yes"),
            ("min-replicas-to-write", "0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        all.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all
    }

    #[test]
    fn each_unfit_setting_is_named_with_the_command_that_changes_it() {
        assert_eq!(settings_unfit(&settings(&[]), Durability::Strict, false), Vec::<String>::new());
        for (changes, durability, command) in [
            (&[("maxmemory", "1000"), ("maxmemory-policy", "allkeys-lru")][..], Durability::None, "CONFIG SET maxmemory-policy noeviction"),
            (&[("appendonly", "no")], Durability::Everysec, "CONFIG SET appendonly yes"),
            (&[("appendfsync", "everysec")], Durability::Strict, "CONFIG SET appendfsync always"),
            (&[("appendfsync", "no")], Durability::Everysec, "CONFIG SET appendfsync everysec"),
            (&[("no-appendfsync-on-rewrite", "yes")], Durability::Strict, "CONFIG SET no-appendfsync-on-rewrite no"),
            (&[("save", "3600 1")], Durability::Strict, "CONFIG SET save \"\""),
            (&[], Durability::Failover, "CONFIG SET min-replicas-to-write 1"),
            (&[("min-replicas-to-write", "1"), ("appendfsync", "everysec")], Durability::Failover, "CONFIG SET appendfsync always"),
        ] {
            let unfit = settings_unfit(&settings(changes), durability, false);
            assert_eq!(unfit.len(), 1, "{unfit:?}");
            assert!(unfit[0].contains(command), "{unfit:?}");
        }
        let fit = |changes, durability, fail_over| {
            assert_eq!(settings_unfit(&settings(changes), durability, fail_over), Vec::<String>::new());
        };
        fit(&[("appendfsync", "everysec")], Durability::Everysec, false);
        fit(&[("maxmemory-policy", "allkeys-lru")], Durability::Strict, false);
        fit(&[("min-replicas-to-write", "1")], Durability::Failover, true);
        fit(&[("appendonly", "no")], Durability::None, true);
        assert!(settings_unfit(&settings(&[]), Durability::Everysec, true)[0].contains("min-replicas-to-write"));
    }

    #[test]
    fn versions_are_judged_by_kind() {
        assert_eq!(kind("redis_version:7.0.15\r\n"), ("redis 7.0.15".to_owned(), vec![]));
        assert_eq!(kind("redis_version:7.2.4\r\nvalkey_version:9.1.2\r\n").0, "valkey 9.1.2");
        assert!(kind("redis_version:6.2.1\r\n").1[0].contains("Redis 7.0 or newer"));
        assert_eq!(kind("redis_version:7.2.4\r\nvalkey_version:7.2.9\r\n").1.len(), 1);
    }
}
