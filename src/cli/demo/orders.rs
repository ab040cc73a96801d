//! The definition, and starting the orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;

use super::fate::Order;
use crate::api::definition::Workflow;
use crate::api::http::StartRun;
use crate::api::{DurationMs, Json, Name, Uid};
use crate::cli::error::CliError;
use crate::client::Client;
use crate::definitions::{self, Definitions};

/// The food order of the README, as it stands in the examples.
const EXAMPLE: &str = include_str!("../../../examples/order-status.yaml");
/// The shop's address in it.
const EXAMPLE_SHOP: &str = "http://127.0.0.1:7411";
/// The orders come over this time, so that there is a middle in which to kill something.
const SPAN: Duration = Duration::from_secs(10);
/// Fewer orders than this come in no slower.
const USUAL_ORDERS: u32 = 500;
/// A Redis that others use is rid of the orders after this long.
const RETENTION: DurationMs = DurationMs::from_secs(3600);
/// Starts under way at once: an outage holds this many, not all.
const STARTS_AT_ONCE: usize = 64;

/// What the service acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub order: Order,
    pub uid: Uid,
}

/// The example with another shop and pool.
pub fn workflow(shop: &str, pool: &Name) -> Result<Workflow, CliError> {
    let mut definitions = Definitions::default();
    definitions::read("order-status.yaml", &EXAMPLE.replace(EXAMPLE_SHOP, shop), &mut definitions);
    let document = definitions.checked().map_err(CliError::Findings)?.into_iter().next();
    let document = document.ok_or_else(|| CliError::input("the example holds no workflow", ""))?;
    Ok(Workflow { pool: pool.clone(), retention: Some(RETENTION), ..document.workflow })
}

/// Starts all orders, evenly over [`SPAN`] at most, each with a key of its own; a start that is not answered is repeated with it.
/// `accepted` counts along.
pub async fn start_all(
    client: Client,
    workflow: Name,
    seed: u64,
    count: u32,
    accepted: Arc<AtomicUsize>,
) -> Result<Vec<Acknowledged>, CliError> {
    let pace = SPAN / count.max(USUAL_ORDERS);
    let began = tokio::time::Instant::now();
    let starts = stream::iter(1..=count).map(|number| {
        let (client, workflow, accepted) = (client.clone(), workflow.clone(), accepted.clone());
        async move {
            tokio::time::sleep_until(began + pace * number).await;
            let order = Order { seed, number };
            let started = client.start(&start(order, workflow), &format!("demo-{seed}-{number}")).await?;
            accepted.fetch_add(1, Ordering::Relaxed);
            Ok(Acknowledged { order, uid: started.uid })
        }
    });
    let acknowledged: Vec<Result<Acknowledged, CliError>> = starts.buffer_unordered(STARTS_AT_ONCE).collect().await;
    acknowledged.into_iter().collect()
}

fn start(order: Order, workflow: Name) -> StartRun {
    let prepare = format!("{}ms", order.prepare_for().as_millis());
    let input = json!({"id": order.id(), "zip": order.zip(), "amount": order.amount(), "prepareFor": prepare});
    StartRun { workflow, id: order.id().parse().ok(), input: Json::of(&input), origin: None }
}
