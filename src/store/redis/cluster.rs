//! Redis Cluster: which server has which slots, read again when a server says that it has changed, or does not answer.
//!
//! A call goes to the server that has the slot of its hash tag. `MOVED` says that nothing was run: the map is read again and the call
//! sent to where it then points, once. `ASK` is not followed: while a slot moves, a part of a partition's keys is here and a part
//! there, and a script would take those that it does not see for absent. Its partitions wait until the move is over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::{Client, RedisError, Value};

use super::connection::{CONNECT_TIMEOUT, connection_config};
use super::node::{Node, Target};
use super::refusal::{connect_error, named};
use super::servers::Access;
use crate::store::port::StoreError;

const OPERATION: &str = "read the slots of the cluster";
const SLOTS: u16 = 16_384;
/// A map that was read less than this ago is not read again because of an error: many calls meet the same one.
const FRESH: Duration = Duration::from_millis(100);

type Address = (String, u16);

/// First and last slot of each range, and the address of its primary.
type Ranges = Vec<(u16, u16, Address)>;

#[derive(Default)]
struct Map {
    ranges: Vec<(u16, u16, Arc<Node>)>,
    nodes: HashMap<Address, Arc<Node>>,
}

/// The servers of a cluster.
pub(super) struct Cluster {
    /// Those of the address as it was typed: asked for the others.
    seeds: Vec<Address>,
    access: Access,
    connections: usize,
    map: RwLock<Arc<Map>>,
    stale: AtomicBool,
    /// Held by the one that reads the map: when the last was read, and who is asked first, in turn.
    reading: tokio::sync::Mutex<(Option<Instant>, usize)>,
}

impl Cluster {
    pub fn new(seeds: Vec<Address>, access: Access, connections: usize) -> Self {
        let reading = tokio::sync::Mutex::default();
        Self { seeds, access, connections, map: RwLock::default(), stale: AtomicBool::new(true), reading }
    }

    /// The server that has the slot of a hash tag.
    pub async fn of(&self, tag: &str) -> Result<Arc<Node>, StoreError> {
        let (map, slot) = (self.map().await?, slot_of(tag));
        let found = map.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).map(|(_, _, node)| Arc::clone(node));
        found.ok_or_else(|| {
            self.stale.store(true, Ordering::Relaxed);
            StoreError::Unavailable { operation: OPERATION, detail: format!("no server of the cluster has slot {slot}") }
        })
    }

    /// All that have slots.
    pub async fn all(&self) -> Result<Vec<Arc<Node>>, StoreError> {
        Ok(self.map().await?.nodes.values().cloned().collect())
    }

    /// The map may have changed: it is read before the next call.
    pub fn may_have_changed(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// The map has changed, as a server says: it is read before the next call, however fresh it is.
    pub async fn has_changed(&self) {
        self.reading.lock().await.0 = None;
        self.may_have_changed();
    }

    async fn map(&self) -> Result<Arc<Map>, StoreError> {
        let current = || Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner));
        if !self.stale.load(Ordering::Relaxed) {
            return Ok(current());
        }
        let mut reading = self.reading.lock().await;
        let (read_at, first) = *reading;
        if !self.stale.load(Ordering::Relaxed) || read_at.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(current());
        }
        reading.1 = first.wrapping_add(1);
        let map = Arc::new(self.read(&current(), first).await?);
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&map);
        reading.0 = Some(Instant::now());
        self.stale.store(false, Ordering::Relaxed);
        Ok(map)
    }

    /// Asks one after the other, beginning with another one each time: what an isolated server says is not the last word.
    async fn read(&self, known: &Map, first: usize) -> Result<Map, StoreError> {
        let mut hosts: Vec<&Address> = self.seeds.iter().chain(known.nodes.keys().filter(|host| !self.seeds.contains(host))).collect();
        let number = hosts.len();
        hosts.rotate_left(first % number);
        let mut last = None;
        for (host, port) in hosts {
            let client = self.access.client(host, *port).map_err(|e| connect_error(OPERATION, host, &e))?;
            let server = named(&client);
            let failed = |error: &RedisError| not_a_cluster(&server, error).unwrap_or_else(|| connect_error(OPERATION, &server, error));
            match tokio::time::timeout(CONNECT_TIMEOUT, slots(&client)).await {
                Ok(Ok(answer)) => match ranges(&answer, host) {
                    Some(ranges) if !ranges.is_empty() => return self.nodes(known, ranges),
                    _ => {
                        let detail = format!("{server} knows no server with slots");
                        last = Some(StoreError::Unavailable { operation: OPERATION, detail });
                    }
                },
                Ok(Err(error)) => last = Some(failed(&error)),
                Err(_) => {
                    let detail = format!("{server} gives no answer in time");
                    last = last.or(Some(StoreError::Unavailable { operation: OPERATION, detail }));
                }
            }
        }
        Err(last.expect("an address has at least one host"))
    }

    /// Keeps the connections to servers that stay.
    fn nodes(&self, known: &Map, ranges: Ranges) -> Result<Map, StoreError> {
        let mut map = Map::default();
        for (first, last, address) in ranges {
            let node = if let Some(node) = map.nodes.get(&address).or_else(|| known.nodes.get(&address)) {
                Arc::clone(node)
            } else {
                let client = self.access.client(&address.0, address.1).map_err(|e| connect_error(OPERATION, &address.0, &e))?;
                Arc::new(Node::new(Target::Server(client), self.connections))
            };
            map.nodes.insert(address, Arc::clone(&node));
            map.ranges.push((first, last, node));
        }
        Ok(map)
    }
}

async fn slots(client: &Client) -> Result<Vec<Value>, RedisError> {
    let mut connection = client.get_multiplexed_async_connection_with_config(&connection_config()).await?;
    redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await
}

fn not_a_cluster(server: &str, error: &RedisError) -> Option<StoreError> {
    let disabled = error.detail().is_some_and(|detail| detail.contains("cluster support disabled"));
    disabled.then(|| StoreError::Unfit(vec![format!("{server} is no Redis Cluster: write redis:// in place of redis+cluster://")]))
}

/// `CLUSTER SLOTS`: first, last, then the primary as host, port, id. A host that is not said is the one that was asked.
fn ranges(answer: &[Value], asked: &str) -> Option<Ranges> {
    let range = |range: &Value| {
        let Value::Array(fields) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = fields.as_slice() else { return None };
        let host = match primary.first()? {
            Value::BulkString(host) if !host.is_empty() && host != b"?" => String::from_utf8(host.clone()).ok()?,
            Value::BulkString(_) | Value::Nil => asked.to_owned(),
            _ => return None,
        };
        let Value::Int(port) = primary.get(1)? else { return None };
        Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, (host, u16::try_from(*port).ok()?)))
    };
    answer.iter().map(range).collect()
}

/// The slot of a hash tag: CRC16 as XMODEM has it, modulo 16384 (the Redis Cluster specification, "Key distribution model").
fn slot_of(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first is of the specification, the others are what `CLUSTER KEYSLOT` answers.
    #[test]
    fn slots_are_those_of_the_server() {
        assert_eq!(slot_of("123456789"), 0x31C3);
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of(""), 0);
    }

    #[test]
    fn a_map_is_read_and_what_is_none_is_not() {
        let server = |host: Value| Value::Array(vec![host, Value::Int(7001), Value::BulkString(b"id".into())]);
        let range = |host: Value| Value::Array(vec![Value::Int(0), Value::Int(5), server(host.clone()), server(host)]);
        let of = |host: &str| Some(vec![(0, 5, (host.to_owned(), 7001))]);
        assert_eq!(ranges(&[range(Value::BulkString(b"10.0.0.1".into()))], "asked"), of("10.0.0.1"));
        assert_eq!(ranges(&[range(Value::BulkString(b"".into()))], "asked"), of("asked"));
        assert_eq!(ranges(&[range(Value::Nil)], "asked"), of("asked"));
        assert_eq!(ranges(&[range(Value::Int(1))], "asked"), None);
        assert_eq!(ranges(&[Value::Okay], "asked"), None);
    }
}
