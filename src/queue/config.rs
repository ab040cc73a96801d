//! What the one who runs the service may set.

use std::time::Duration;

use crate::api::DurationMs;

/// Settings of a queue service. Each has a default that suits production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A session ends when it is not renewed for so long. Workers renew at a third of it.
    pub session_ttl: Duration,
    /// How long a worker whose stream broke has to come back before its session ends. It comes at once, and tries again after 12 to
    /// 25 ms, 25 to 50 and so on: this is time for the first three. Work of a worker that died waits so long.
    pub session_grace: Duration,
    /// How long closed runs are kept when their workflow does not say.
    pub retention: DurationMs,
    /// Whether this replica fires timers, ends sessions and removes old runs. Off only in tests.
    pub loops: bool,
    /// How long requests under way may take after the shutdown began.
    pub drain: Duration,
    /// Requests under way at once, waiting ones included; more are answered `Overloaded`.
    pub in_flight_max: usize,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take to send the head of its first or next request: an idle connection is closed after it.
    pub head_timeout: Duration,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// Between two looks for runs whose retention is over.
    pub sweep_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            session_ttl: Duration::from_secs(10),
            session_grace: Duration::from_millis(75),
            retention: DurationMs::from_secs(7 * 24 * 3600),
            loops: true,
            drain: Duration::from_secs(20),
            in_flight_max: 8_192,
            connections_max: 16_384,
            head_timeout: Duration::from_mins(2),
            body_timeout: Duration::from_secs(30),
            sweep_every: Duration::from_mins(1),
        }
    }
}
