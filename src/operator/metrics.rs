//! Every metric of the operator, by name. All begin with `everloop_operator_`; durations are in seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::telemetry::metrics::encode;

/// A controller, by the kind of its objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ControllerLabels {
    /// `Workflow`, `WorkflowRun` or `WorkerPool`.
    pub controller: &'static str,
}

/// What a pass over an object came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PassLabels {
    /// As in [`ControllerLabels`].
    pub controller: &'static str,
    /// `ok`, `conflict` (looked at again at once) or `error`.
    pub outcome: &'static str,
}

/// What became of a pod that was to go, or went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VictimLabels {
    /// `gone`: chosen, and it went; `unplanned`: it went in the place of one that was; `taken_back`: chosen, and needed again;
    /// `past_limit`: chosen, and told to end before it had finished.
    pub outcome: &'static str,
}

/// A WorkerPool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PoolLabels {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pool: String,
}

/// A condition of a pool that follows its work.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConditionLabels {
    /// As in [`PoolLabels`].
    pub namespace: String,
    /// Likewise.
    pub pool: String,
    /// One of `machine::scaling::Condition::NAMES`.
    pub condition: &'static str,
}

/// Which way a number went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DirectionLabels {
    /// As in [`PoolLabels`].
    pub namespace: String,
    /// Likewise.
    pub pool: String,
    /// `up` or `down`.
    pub direction: &'static str,
}

/// A request to the API server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `GET`, `PATCH`, ...; a watch is one `GET`.
    pub method: String,
}

impl RequestLabels {
    pub(super) fn new(method: &Method) -> Self {
        Self { method: method.as_str().to_owned() }
    }
}

type Durations = Family<ControllerLabels, Histogram, fn() -> Histogram>;

/// The metrics of one operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `everloop_operator_leading`.
    pub leading: Gauge,
    /// `everloop_operator_writes_held_back_total`.
    pub writes_held_back: Counter,
    /// `everloop_operator_requests_total`.
    pub requests: Family<RequestLabels, Counter>,
    /// `everloop_operator_changes_total`.
    pub changes: Counter,
    /// `everloop_operator_changes_too_old_total`.
    pub changes_too_old: Counter,
    /// `everloop_operator_looks_total`.
    pub looks: Counter,
    /// `everloop_operator_orphans_total`.
    pub orphans: Family<ControllerLabels, Counter>,
    /// `everloop_operator_store_changed`.
    pub store_changed: Gauge,
    /// `everloop_operator_victims_total`.
    pub victims: Family<VictimLabels, Counter>,
    /// `everloop_operator_passes_total`.
    pub passes: Family<PassLabels, Counter>,
    /// `everloop_operator_pass_seconds`.
    pub pass: Durations,
    /// `everloop_operator_objects_waiting`.
    pub waiting: Family<ControllerLabels, Gauge>,
    /// `everloop_operator_objects_failing`.
    pub failing: Family<ControllerLabels, Gauge>,
    /// `everloop_operator_last_success_timestamp_seconds`.
    pub last_success: Family<ControllerLabels, Gauge>,
    /// `everloop_operator_pool_wanted`.
    pub pool_wanted: Family<PoolLabels, Gauge>,
    /// `everloop_operator_pool_current`.
    pub pool_current: Family<PoolLabels, Gauge>,
    /// `everloop_operator_pool_ready`.
    pub pool_ready: Family<PoolLabels, Gauge>,
    /// `everloop_operator_pool_condition`.
    pub pool_condition: Family<ConditionLabels, Gauge>,
    /// `everloop_operator_decisions_total`.
    pub decisions: Family<DirectionLabels, Counter>,
}

fn pass_buckets() -> Histogram {
    // 1 ms to 16 s.
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("everloop_operator");
        let metrics = Self {
            registry: Registry::default(),
            leading: Gauge::default(),
            writes_held_back: Counter::default(),
            requests: Family::default(),
            store_changed: Gauge::default(),
            changes: Counter::default(),
            changes_too_old: Counter::default(),
            looks: Counter::default(),
            orphans: Family::default(),
            victims: Family::default(),
            passes: Family::default(),
            pass: Family::new_with_constructor(pass_buckets),
            waiting: Family::default(),
            failing: Family::default(),
            last_success: Family::default(),
            pool_wanted: Family::default(),
            pool_current: Family::default(),
            pool_ready: Family::default(),
            pool_condition: Family::default(),
            decisions: Family::default(),
        };
        registry.register("leading", "1 in the operator that holds the Lease", metrics.leading.clone());
        registry.register(
            "writes_held_back",
            "Writes that were not sent because this operator did not know any more that it led",
            metrics.writes_held_back.clone(),
        );
        registry.register("requests", "Requests of the controllers to the API server; a watch is one", metrics.requests.clone());
        registry.register(
            "store_changed",
            "1 while nothing is done because the queue service has another store",
            metrics.store_changed.clone(),
        );
        registry.register("changes", "Changes of runs that the queue service told", metrics.changes.clone());
        registry.register(
            "changes_too_old",
            "Times at which its feed did not reach back, so that every open run was looked at",
            metrics.changes_too_old.clone(),
        );
        registry.register("looks", "Runs that were asked for one by one", metrics.looks.clone());
        registry.register("orphans", "Workflows retired and runs asked to end because their object was gone", metrics.orphans.clone());
        registry.register("victims", "Pods of pools that became smaller, by what became of them", metrics.victims.clone());
        registry.register("passes", "Passes over objects, by outcome", metrics.passes.clone());
        registry.register_with_unit("pass", "One pass over an object", Unit::Seconds, metrics.pass.clone());
        registry.register("objects_waiting", "Passes that have begun and wait for one of the places", metrics.waiting.clone());
        registry.register("objects_failing", "Objects whose last pass failed", metrics.failing.clone());
        registry.register_with_unit(
            "last_success_timestamp",
            "When a pass went well, in seconds since 1970",
            Unit::Seconds,
            metrics.last_success.clone(),
        );
        registry.register(
            "pool_wanted",
            "Pods that the work of a pool with `mode: Auto` or `External` wants; absent while that is not known",
            metrics.pool_wanted.clone(),
        );
        registry.register("pool_current", "Pods of a pool", metrics.pool_current.clone());
        registry.register("pool_ready", "Pods of a pool that are ready", metrics.pool_ready.clone());
        registry.register(
            "pool_condition",
            "1 while a condition of docs/scaling.md holds for a pool, by condition",
            metrics.pool_condition.clone(),
        );
        registry.register("decisions", "Changes of the wanted number of a pool, by direction", metrics.decisions.clone());
        Self { registry, ..metrics }
    }

    /// Tells of something whose object was gone.
    pub(super) fn orphaned(&self, controller: &'static str) {
        self.orphans.get_or_create(&ControllerLabels { controller }).inc();
    }

    /// Tells of pods of a pool that becomes smaller.
    pub(super) fn victims(&self, outcome: &'static str, pods: u32) {
        if pods > 0 {
            self.victims.get_or_create(&VictimLabels { outcome }).inc_by(pods.into());
        }
    }

    /// Tells of a pass.
    pub(super) fn passed(&self, controller: &'static str, outcome: &'static str, took: Duration) {
        self.passes.get_or_create(&PassLabels { controller, outcome }).inc();
        self.pass.get_or_create(&ControllerLabels { controller }).observe(took.as_secs_f64());
        if outcome == "ok" {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            self.last_success.get_or_create(&ControllerLabels { controller }).set(i64::try_from(now).unwrap_or(i64::MAX));
        }
    }

    /// The text of `/metrics`, in the OpenMetrics format.
    #[must_use]
    pub fn encode(&self) -> String {
        encode(&self.registry)
    }
}
