//! Orders of food, over HTTP or as resources, and what must hold of them in the end: each ended right, and was paid, cooked and
//! delivered once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use everloop::api::http::StartRun;
use everloop::api::{Json, RunId};
use everloop::client::Client;
use serde_json::{Value, json};

use crate::cluster::{PATIENCE, answer, cluster};
use crate::installation::Installation;

/// How an order ended: the run's status, and the workflow's own in its result.
pub type Ends = BTreeMap<u32, (String, String)>;

/// So long from one order to the next.
const PACE: Duration = Duration::from_millis(100);
/// A test that does not come to its end does not order for ever.
const ORDERS_MAX: u32 = 5_000;

/// Orders that are started over HTTP, one after the other, until it is enough.
pub struct Orders {
    client: Client,
    enough: Arc<AtomicBool>,
    starting: tokio::task::JoinHandle<u32>,
}

/// The shop knows orders by number; every second one has no trouble with its payment.
pub fn id(number: u32) -> String {
    format!("order-{number:04}")
}

pub fn input(number: u32) -> Value {
    json!({"id": id(number), "zip": (10_115 + number).to_string(), "amount": 2_400, "prepareFor": "3s"})
}

impl Orders {
    /// From number 1 on, while the test does something else.
    pub async fn go_on(installation: &Installation) -> Self {
        let client = installation.client().await;
        let (starter, enough) = (client.clone(), Arc::new(AtomicBool::new(false)));
        let until = enough.clone();
        let starting = tokio::spawn(async move {
            let mut number = 0;
            while !until.load(Ordering::Relaxed) && number < ORDERS_MAX {
                number += 1;
                start(&starter, number).await;
                tokio::time::sleep(PACE).await;
            }
            number
        });
        Self { client, enough, starting }
    }

    /// Starts no more, and waits for the end of all.
    pub async fn ends(self, installation: &Installation) -> Ends {
        self.enough.store(true, Ordering::Relaxed);
        let count = self.starting.await.expect("all starts are acknowledged");
        ends(&self.client, count, installation).await
    }
}

/// Starts one; that it is acknowledged is what this waits for.
pub async fn start(client: &Client, number: u32) {
    let start = StartRun {
        workflow: "order-status".parse().expect("a name"),
        id: Some(id(number).parse().expect("an id")),
        input: Json::of(&input(number)),
        origin: None,
    };
    client.start(&start, &id(number)).await.unwrap_or_else(|e| panic!("the start of order {number} is not acknowledged: {e}"));
}

/// Waits for the end of the first so many.
pub async fn ends(client: &Client, count: u32, installation: &Installation) -> Ends {
    let mut ends = Ends::new();
    for number in 1..=count {
        let run: RunId = id(number).parse().expect("an id");
        let waited = tokio::time::timeout(PATIENCE, client.wait(&run)).await;
        let late = |_| panic!("{run} does not end within {PATIENCE:?}\n{}", installation.namespace.report());
        let view = waited.unwrap_or_else(late).expect("the service answers");
        let result = view.result.as_ref().map(Json::to_value).unwrap_or_default();
        let status = format!("{:?}", view.status);
        ends.insert(number, (status, result["status"].as_str().unwrap_or_default().to_owned()));
    }
    ends
}

/// Holds how they ended against the shop's ledger. Orders without trouble are delivered; of the others those that were paid.
pub async fn all_ended_right(ends: &Ends, installation: &Installation) {
    let shop = cluster().reach(&installation.namespace.0, "shop", 7411).await;
    let ledger: Value = serde_json::from_str(&answer(&format!("{shop}/ledger")).await).expect("JSON");
    let records = |book: &str| ledger[book].as_object().cloned().unwrap_or_default();
    let done = |book: &str, number: u32| -> u64 {
        let records = records(book).into_iter().filter(|(_, record)| record["order"] == id(number));
        records.map(|(_, record)| record["done"].as_u64().expect("a number")).sum()
    };
    for (number, (status, result)) in ends {
        let what = (done("payments", *number), done("kitchen", *number), done("deliveries", *number));
        match (status.as_str(), result.as_str()) {
            ("Completed", "Success!") => assert_eq!(what, (1, 1, 1), "order {number} is paid, cooked and delivered once"),
            ("Completed", "payment failed") | ("Failed", _) => {
                assert_eq!(what, (0, 0, 0), "order {number} was not paid, so nothing was done");
                assert!(!number.is_multiple_of(2), "order {number} had to be delivered, and ended as {status} {result}");
            }
            other => panic!("order {number} ended as {other:?}"),
        }
    }
    assert_eq!(records("payments").len(), ends.len(), "each order asks for one payment, under one key");
}
