//! Measures the store's clock, and sees with it whether the store answers.

use std::time::Duration;

use super::pause;
use crate::queue::service::Shared;

/// Drift over two seconds is far below a millisecond.
const EVERY: Duration = Duration::from_secs(2);
/// While the store is away: it is back sooner than people notice.
const EVERY_WHEN_AWAY: Duration = Duration::from_millis(250);

/// Runs until shutdown.
pub async fn run(service: Shared) {
    let mut away = false;
    loop {
        let answer = service.measure_clock().await;
        match &answer {
            Ok(()) if away => {
                tracing::info!("the store answers again");
                // What it published meanwhile was missed.
                service.stations.wake_all();
                service.watchers.tell_all();
            }
            Err(error) if !away => tracing::warn!(%error, "the store does not answer"),
            Ok(()) | Err(_) => {}
        }
        away = answer.is_err();
        if !pause(&service.shutdown, if away { EVERY_WHEN_AWAY } else { EVERY }).await {
            return;
        }
    }
}
