//! What takes part.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::load::{Batch, Load, Program};

/// Versions and settings, for the reader of the figures.
pub type Settings = BTreeMap<&'static str, String>;

/// A system that runs, with its workers. What it started ends when it is dropped.
#[async_trait(?Send)]
pub trait System {
    fn settings(&self) -> Settings;

    /// Why it does not take part in a scenario, when it does not.
    fn declines(&self, scenario: &str) -> Option<&'static str>;

    /// Starts runs, and waits for their results.
    async fn runs(&self, program: Program, payload: &Value, load: Load) -> Batch;

    /// From a signal to the result of the run that waited for it, its worker having it in memory; milliseconds each.
    async fn signals(&self, window: Duration) -> Vec<f64>;

    /// The same after so many steps, the worker having nothing of it in memory. `None`: there is no such thing.
    async fn cold_signal(&self, steps: u32) -> Option<f64>;

    /// A further worker.
    async fn start_second_worker(&self);

    /// Ends the first one as `kill -9` does. The second one is the first now.
    fn kill_first_worker(&self);
}
