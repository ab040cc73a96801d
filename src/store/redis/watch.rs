//! What the scripts publish, for those who wait: one subscription per store, renewed for as long as the store is open.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::connection::Connections;
use super::refusal::{connect_error, named};
use crate::api::Partition;
use crate::store::op::Wake;
use crate::store::port::StoreError;

/// A reader that falls behind by this many misses some, and looks by itself every few seconds anyway.
const WAKES_BUFFERED: usize = 4_096;
/// Between two attempts to subscribe again.
const AGAIN: Duration = Duration::from_millis(250);
/// One attempt to subscribe.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);
const OPERATION: &str = "subscribe to wakes";

/// The subscription. Ends when it is dropped.
pub(super) struct Watch {
    sender: broadcast::Sender<Wake>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Subscribed when it returns.
    pub async fn start(connections: Arc<Connections>, channel: String) -> Result<Self, StoreError> {
        let (sender, _) = broadcast::channel(WAKES_BUFFERED);
        let first = subscribe(&connections, &channel).await?;
        let task = tokio::spawn(forward(connections, channel, sender.clone(), first));
        Ok(Self { sender, task })
    }

    pub fn receiver(&self) -> broadcast::Receiver<Wake> {
        self.sender.subscribe()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn subscribe(connections: &Connections, channel: &str) -> Result<redis::aio::PubSub, StoreError> {
    let work = async {
        let client = connections.publisher().await?;
        let subscribed = async {
            let mut subscription = client.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok(subscription)
        };
        subscribed.await.map_err(|e: redis::RedisError| connect_error(OPERATION, &named(&client), &e))
    };
    match tokio::time::timeout(SUBSCRIBE_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Unavailable { operation: OPERATION, detail: "no answer in time".to_owned() }),
    }
}

async fn forward(connections: Arc<Connections>, channel: String, sender: broadcast::Sender<Wake>, first: redis::aio::PubSub) {
    let mut subscription = first;
    loop {
        let mut messages = subscription.into_on_message();
        while let Some(message) = messages.next().await {
            // Without a receiver nobody waits.
            if let Some(wake) = parse(&String::from_utf8_lossy(message.get_payload_bytes())) {
                let _ = sender.send(wake);
            }
        }
        tracing::warn!("the subscription to the store was lost; subscribing again");
        subscription = loop {
            match subscribe(&connections, &channel).await {
                Ok(subscription) => break subscription,
                Err(error) => tracing::debug!(%error, "not subscribed yet"),
            }
            connections.publisher_is_lost();
            tokio::time::sleep(AGAIN).await;
        };
        let _ = sender.send(Wake::All);
    }
}

/// `p|<partition>|<pool>`, `q|<partition>|<namespace>/<name>`, `c|<run>`, `f|<partition>`; a message of a newer program is passed over.
fn parse(message: &str) -> Option<Wake> {
    let (kind, rest) = message.split_once('|')?;
    let place = || {
        let (partition, name) = rest.split_once('|')?;
        Some((Partition(partition.parse().ok()?), name.to_owned()))
    };
    match kind {
        "p" => place().map(|(partition, pool)| Wake::Pool { partition, pool }),
        "q" => place().map(|(partition, queue)| Wake::Queue { partition, queue }),
        "f" => rest.parse().ok().map(|partition| Wake::Changed(Partition(partition))),
        "c" => rest.parse().ok().map(Wake::Closed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_scripts_are_understood_and_others_passed_over() {
        assert_eq!(parse("p|3|default"), Some(Wake::Pool { partition: Partition(3), pool: "default".into() }));
        assert_eq!(parse("q|0|shop/drivers"), Some(Wake::Queue { partition: Partition(0), queue: "shop/drivers".into() }));
        assert_eq!(parse("c|shop/a/b"), Some(Wake::Closed("shop/a/b".parse().unwrap())));
        assert_eq!(parse("f|3"), Some(Wake::Changed(Partition(3))));
        for other in ["", "p", "f|x", "p|x|default", "z|1|a", "c|nothing"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
