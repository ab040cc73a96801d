//! Looks which workers are to be drained.

use std::time::Duration;

use super::pause;
use crate::queue::service::Shared;

/// A worker's readiness is looked at as often.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until shutdown.
pub async fn run(service: Shared) {
    loop {
        if let Err(error) = service.look_for_marks().await {
            tracing::debug!(%error, "it is not known which workers are to be drained");
        }
        if !pause(&service.shutdown, EVERY).await {
            return;
        }
    }
}
