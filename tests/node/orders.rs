//! Orders that go on while a test does something else, and what must hold of them in the end: each ended right, each charge was
//! made once.

use std::collections::BTreeMap;
use std::time::Duration;

use everloop::api::http::StartRun;
use everloop::api::run::RunStatus;
use everloop::api::{Json, RunId};
use everloop::client::Client;
use serde_json::{Value, json};

use crate::cluster::{PATIENCE, cluster};
use crate::installation::Installation;

/// Orders under way.
pub struct Orders {
    client: Client,
    starting: tokio::task::JoinHandle<()>,
    count: u32,
}

/// The shop knows orders by number; every second one has no trouble with its payment.
fn id(number: u32) -> String {
    format!("order-{number:04}")
}

pub fn input(number: u32) -> Value {
    json!({"id": id(number), "zip": format!("{}", 10_115 + number), "amount": 2_400, "prepareFor": "3s"})
}

impl Orders {
    /// Starts them over HTTP, evenly over a time, so that there is a middle in which to do something.
    pub async fn start(installation: &Installation, count: u32, over: Duration) -> Self {
        let client = installation.client().await;
        let starter = client.clone();
        let starting = tokio::spawn(async move {
            let began = tokio::time::Instant::now();
            for number in 1..=count {
                tokio::time::sleep_until(began + over * number / count).await;
                let start = StartRun {
                    workflow: "order-status".parse().expect("a name"),
                    id: Some(id(number).parse().expect("an id")),
                    input: Json::of(&input(number)),
                };
                starter.start(&start, &id(number)).await.unwrap_or_else(|e| panic!("the start of order {number} is not acknowledged: {e}"));
            }
        });
        Self { client, starting, count }
    }

    /// Waits for the end of all, and holds the runs against the shop's ledger. `more` orders were started in another way.
    pub async fn end_right(self, installation: &Installation, more: u32) {
        self.starting.await.expect("all starts are acknowledged");
        let count = self.count + more;
        let mut ends = BTreeMap::new();
        for number in 1..=self.count {
            let run: RunId = id(number).parse().expect("an id");
            let waited = tokio::time::timeout(PATIENCE, self.client.wait(&run)).await;
            let view = waited
                .unwrap_or_else(|_| panic!("{run} does not end within {PATIENCE:?}\n{}", installation.namespace.report()))
                .expect("the service answers");
            let result: Value = view.result.as_ref().map(|result| serde_json::from_str(result.as_str()).expect("JSON")).unwrap_or_default();
            ends.insert(id(number), (view.status, result["status"].as_str().unwrap_or_default().to_owned()));
        }
        let ledger = ledger(installation).await;
        let done = |book: &str, order: &str| -> u64 {
            let records = ledger[book].as_object().into_iter().flatten().map(|(_, record)| record);
            records.filter(|record| record["order"] == order).map(|record| record["done"].as_u64().expect("a number")).sum()
        };
        let mut delivered = 0;
        for (order, (status, result)) in &ends {
            let what = (done("payments", order), done("kitchen", order), done("deliveries", order));
            match (status, result.as_str()) {
                (RunStatus::Completed, "Success!") => {
                    assert_eq!(what, (1, 1, 1), "{order}: paid, cooked and delivered once");
                    delivered += 1;
                }
                (RunStatus::Completed, "payment failed") | (RunStatus::Failed, _) => {
                    assert_eq!(what, (0, 0, 0), "{order}: nothing was done, since it was not paid");
                    let number: u32 = order.trim_start_matches("order-").parse().expect("a number");
                    assert!(!number.is_multiple_of(2), "{order} had to succeed, and is {status:?} {result}");
                }
                other => panic!("{order} ended as {other:?}"),
            }
        }
        assert!(delivered >= self.count / 2, "{delivered} of {} were delivered", self.count);
        let charges = ledger["payments"].as_object().map_or(0, serde_json::Map::len);
        assert_eq!(charges, usize::try_from(count).expect("small"), "as many payments were asked for as there are orders");
    }
}

async fn ledger(installation: &Installation) -> Value {
    let url = cluster().reach(&installation.namespace.0, "shop", 7411).await;
    let text = reqwest::get(format!("{url}/ledger")).await.expect("the shop answers").text().await.expect("a body");
    serde_json::from_str(&text).expect("JSON")
}
