//! What takes part.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::load::{Batch, Load, Program};

/// Versions and settings, for the reader of the figures.
pub type Settings = BTreeMap<&'static str, String>;

/// What came of many sleepers.
pub struct Slept {
    /// From the first start to the last one.
    pub starting_seconds: f64,
    /// From the moment to the end of the last of them.
    pub late_seconds: f64,
    /// What one of them takes of the store's memory, where the store is memory.
    pub store_bytes: Option<f64>,
}

/// A system that runs, with its workers. What it started ends when it is dropped.
#[async_trait(?Send)]
pub trait System {
    /// As on the command line.
    fn name(&self) -> &'static str;

    fn settings(&self) -> Settings;

    /// Why it does not take part in a scenario, or in a part of one, when it does not.
    fn declines(&self, scenario: &str) -> Option<&'static str>;

    /// Starts runs, and waits for their results.
    async fn runs(&self, program: Program, payload: &Value, load: Load) -> Batch;

    /// Runs of ten steps each of which waits before it ends, of a system that treats those otherwise. `None`: it does not.
    async fn waiting_steps(&self, _payload: &Value, _load: Load) -> Option<Batch> {
        None
    }

    /// From a signal to the result of the run that waited for it, its worker having it in memory; milliseconds each.
    async fn signals(&self, window: Duration) -> Vec<f64>;

    /// The same after `steps` steps, or the most it can, the worker having nothing of it in memory. `None`: there is no such thing.
    async fn cold_signal(&self, steps: u32) -> Option<(u32, f64)>;

    /// When steps 10, 10 + n/10, n - n/10 and n of one run of n steps were performed, in milliseconds; n is `steps` or the most it can.
    async fn aged(&self, steps: u32) -> (u32, Vec<f64>);

    /// Runs that sleep until the same moment, so many seconds from now.
    async fn sleepers(&self, runs: u32, seconds: f64) -> Slept;

    /// Runs that wait for a signal, until they do; then the memory of the worker's process, in bytes.
    async fn parked(&self, runs: u32) -> f64;

    /// What a run that waits takes of the worker's memory when it is no longer kept there, in bytes. `None`: it is not measured.
    async fn evicted(&self) -> Option<f64> {
        None
    }

    /// A further worker.
    async fn start_second_worker(&self);

    /// Ends the first one as `kill -9` does. The second one is the first now.
    fn kill_first_worker(&self);
}
