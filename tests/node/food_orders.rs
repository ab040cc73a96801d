//! The food order of the README, with everything as it should be.

use crate::installation::Installation;
use crate::orders::{Ends, all_ended_right, ends, id, input, start};

/// Of orders over HTTP; their numbers begin with 1.
const OVER_HTTP: u32 = 200;
/// Of orders that are resources; their numbers follow.
const RESOURCES: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn orders_over_http_and_as_resources_end_right() {
    let installation = Installation::new("food-orders");
    let namespace = &installation.namespace;
    let resources = OVER_HTTP + 1..=OVER_HTTP + RESOURCES;
    let objects = resources.clone().map(|number| {
        format!(
            "apiVersion: everloop.dev/v1alpha1\nkind: WorkflowRun\nmetadata: {{name: {}}}\nspec: {{workflow: order-status, input: {}}}\n---\n",
            id(number),
            input(number)
        )
    });
    namespace.apply(&objects.collect::<String>());
    let client = installation.client().await;
    futures_util::future::join_all((1..=OVER_HTTP).map(|number| start(&client, number))).await;

    let mut all = ends(&client, OVER_HTTP, &installation).await;
    let mirrored: Ends = resources
        .map(|number| {
            let object = namespace.until_condition(&format!("elr/{}", id(number)), "Closed", "True");
            let closed = object["status"]["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Closed");
            let reason = closed.and_then(|condition| condition["reason"].as_str()).unwrap_or_default().to_owned();
            let result = serde_json::from_str(object["status"]["result"].as_str().unwrap_or("null")).unwrap_or(serde_json::Value::Null);
            (number, (reason, result["status"].as_str().unwrap_or_default().to_owned()))
        })
        .collect();
    all.extend(mirrored);
    all_ended_right(&all, &installation).await;
}
