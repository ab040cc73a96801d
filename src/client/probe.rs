//! Whether a queue service is there at all.

use std::time::Duration;

use crate::api::http::Ready;

/// Whether a queue service answers at this address within a time, ready or not.
pub async fn answers(server: &str, within: Duration) -> bool {
    // The address is of this machine: no proxy leads there.
    let Ok(http) = reqwest::Client::builder().no_proxy().timeout(within).build() else { return false };
    match http.get(format!("{server}/readyz")).send().await {
        Ok(answer) => answer.json::<Ready>().await.is_ok(),
        Err(_) => false,
    }
}
