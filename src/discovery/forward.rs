//! The way to a pod through the API server: a listener of 127.0.0.1 for this process, each of whose connections is forwarded to a ready
//! pod, chosen anew for each. When a pod goes, its connections end, and the next ones lead to another.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Portforwarder};
use tokio::io::{AsyncWriteExt as _, DuplexStream, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::choose::{self, Place};
use super::cluster::Cluster;
use super::error::{Error, Right};
use crate::api::Name;

/// Connections at a time: one command has a few. Further ones wait for one of them to end.
const CONNECTIONS_MAX: usize = 64;
/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Pods that are tried for one connection, before it ends and whoever wants it asks again.
const TRIES: usize = 3;

/// See the module. The way ends with the runtime.
pub struct Forward {
    address: SocketAddr,
    way: Arc<Way>,
}

struct Way {
    cluster: Cluster,
    place: Place,
    /// The pod whose connection ended last without our doing.
    left: Mutex<Option<String>>,
    turn: AtomicUsize,
}

/// A connection to a pod.
struct Connection {
    pod: String,
    stream: DuplexStream,
    forwarder: Portforwarder,
}

impl Forward {
    /// With a first connection: what is in the way is told now.
    pub(super) async fn open(cluster: Cluster, place: Place) -> Result<Self, Error> {
        let way = Arc::new(Way { cluster, place, left: Mutex::default(), turn: AtomicUsize::new(std::process::id() as usize) });
        let first = way.connect().await?;
        let no_listener = |e: std::io::Error| way.not_ready(&format!("no address of 127.0.0.1 can be had: {e}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(no_listener)?;
        let address = listener.local_addr().map_err(no_listener)?;
        tokio::spawn(serve(listener, way.clone(), first));
        Ok(Self { address, way })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The namespace that kubectl would take.
    #[must_use]
    pub fn namespace(&self) -> &Name {
        &self.way.cluster.namespace
    }

    /// How to tell that nothing came over this way.
    #[must_use]
    pub fn not_ready(&self, detail: &str) -> Error {
        self.way.not_ready(detail)
    }
}

impl Way {
    /// To a ready pod; another one is tried when it fails.
    async fn connect(&self) -> Result<Connection, Error> {
        let Place { namespace, selector, port, .. } = &self.place;
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let ours = ListParams::default().labels(selector);
        let all = self.cluster.ask(Right::list("pods", Some(namespace)), pods.list(&ours)).await?.items;
        let mut avoided: BTreeSet<String> = self.left.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        let mut failure = None;
        for _ in 0..TRIES {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let Some((pod, number)) = choose::pod(&all, port, &avoided, turn) else { break };
            match self.cluster.ask(Right::forward(namespace), pods.portforward(&pod, &[number])).await {
                Ok(mut forwarder) => {
                    let stream = forwarder.take_stream(number).expect("the port that was asked for");
                    return Ok(Connection { pod, stream, forwarder });
                }
                Err(refused @ (Error::Refused { .. } | Error::Unknown { .. })) => return Err(refused),
                Err(error) => failure = Some(format!("pod {pod}: {error}")),
            }
            avoided.insert(pod);
        }
        Err(self.not_ready(&failure.unwrap_or_else(|| format!("none of its {} pods is ready", all.len()))))
    }

    fn not_ready(&self, detail: &str) -> Error {
        let Place { namespace, name, .. } = &self.place;
        Error::NotReady {
            cluster: self.cluster.name.clone(),
            service: format!("{namespace}/{name}"),
            namespace: namespace.clone(),
            detail: detail.to_owned(),
        }
    }

    /// The next connection leads to another pod, if there is one.
    fn leave(&self, pod: String) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(pod);
    }
}

async fn serve(listener: TcpListener, way: Arc<Way>, first: Connection) {
    let (room, mut first) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Some(first));
    while let Ok(place) = room.clone().acquire_owned().await {
        let Ok((local, _)) = listener.accept().await else {
            // Too many open files: it passes, or what is asked for does not come.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (way, first) = (way.clone(), first.take());
        tokio::spawn(async move {
            let _place = place;
            let connection = match first {
                Some(first) => first,
                None => match way.connect().await {
                    Ok(connection) => connection,
                    // The connection ends, and is asked for again as long as somebody is patient.
                    Err(error) => return tracing::debug!(%error, "no way to the queue service"),
                },
            };
            carry(local, connection, &way).await;
        });
    }
}

/// Until either side ends: a half of a connection is of no use to HTTP.
async fn carry(local: TcpStream, connection: Connection, way: &Way) {
    let Connection { pod, stream, forwarder } = connection;
    let (mut from_local, mut to_local) = local.into_split();
    let (mut from_pod, mut to_pod) = split(stream);
    tokio::select! {
        _ = copy(&mut from_local, &mut to_pod) => {}
        _ = copy(&mut from_pod, &mut to_local) => way.leave(pod),
    }
    let _ = to_local.shutdown().await;
    forwarder.abort();
}
