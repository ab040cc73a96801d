//! Every metric of the queue service, by name. All begin with `everloop_`; durations are in seconds.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::api::limits::POOLS_MEASURED_MAX;
use crate::api::signals::{Load, Signals};
use crate::api::{DurationMs, Name};

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's pattern, or `unmatched`: never the path, or clients could make series without end.
    pub route: String,
    /// The HTTP status.
    pub status: u16,
}

/// Why something was refused: a code, or a `machine::commit::Refusal`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// The reason's name.
    pub reason: String,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// `completed`, `failed`, `retry` or `lost`.
    pub outcome: &'static str,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PoolLabels {
    /// Its name.
    pub pool: String,
}

/// A kind of slot of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SlotLabels {
    /// The pool's name.
    pub pool: String,
    /// `turn` or `activity`.
    pub kind: &'static str,
}

/// How a grant came about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GrantLabels {
    /// `turn` or `attempt`.
    pub kind: &'static str,
    /// `claim` (a poll looked), `offer` (an operation handed it to a waiting poll) or `commit` (in a commit's own answer).
    pub by: &'static str,
}

/// An operation of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StoreLabels {
    /// The operation's name in the port.
    pub operation: &'static str,
    /// `ok` or `error`.
    pub outcome: &'static str,
}

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;
/// A gauge of something that is no whole number.
type Real<L> = Family<L, Gauge<f64, AtomicU64>>;

/// The metrics of one queue service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `everloop_requests_total`.
    pub requests: Family<RequestLabels, Counter>,
    /// `everloop_requests_in_flight`, waiting ones included.
    pub in_flight: Gauge,
    /// `everloop_turns_committed_total`.
    pub turns: Counter,
    /// `everloop_commits_refused_total`.
    pub refusals: Family<ReasonLabels, Counter>,
    /// `everloop_attempts_total`.
    pub attempts: Family<OutcomeLabels, Counter>,
    /// `everloop_polls_waiting`.
    pub polls: Family<PoolLabels, Gauge>,
    /// `everloop_grants_total`.
    pub grants: Family<GrantLabels, Counter>,
    /// `everloop_runs_started_total`.
    pub starts: Counter,
    /// `everloop_messages_carried_total`.
    pub messages: Counter,
    /// `everloop_timers_fired_total`.
    pub timers: Counter,
    /// `everloop_timer_lateness_seconds`.
    pub lateness: Histogram,
    /// `everloop_sessions_streaming`: sessions whose stream is open at this replica.
    pub sessions: Gauge,
    /// `everloop_sessions_ended_total`.
    pub sessions_ended: Family<ReasonLabels, Counter>,
    /// `everloop_runs_removed_total`.
    pub swept: Counter,
    /// `everloop_changes_told_total`.
    pub changes: Counter,
    /// `everloop_changes_too_old_total`.
    pub changes_too_old: Counter,
    /// `everloop_requests_fenced_total`.
    pub fenced: Family<ReasonLabels, Counter>,
    /// `everloop_panics_total`.
    pub panics: Counter,
    /// `everloop_store_away`.
    pub store_away: Gauge,
    /// `everloop_store_operation_seconds`.
    pub store: Durations<StoreLabels>,
    /// What the pools have to do: of the whole store, and the same at every replica. What is not known is not there.
    pools: PoolMetrics,
    /// Held while `pools` are set and told.
    telling: Mutex<()>,
}

#[derive(Debug, Default)]
struct PoolMetrics {
    backlog: Family<SlotLabels, Gauge>,
    oldest: Real<SlotLabels>,
    busy: Family<SlotLabels, Gauge>,
    arrivals: Real<SlotLabels>,
    mean: Real<SlotLabels>,
    p95: Real<SlotLabels>,
    timer: Real<PoolLabels>,
    /// Pools beyond [`POOLS_MEASURED_MAX`].
    unmeasured: Gauge,
}

impl PoolMetrics {
    fn set(&self, pools: &BTreeMap<Name, Signals>) {
        self.clear();
        for (pool, signals) in pools.iter().take(POOLS_MEASURED_MAX) {
            self.of_kind(pool, "turn", &signals.turns);
            self.of_kind(pool, "activity", &signals.activities);
            if let Some(next) = signals.timers.first() {
                self.timer.get_or_create(&PoolLabels { pool: pool.to_string() }).set(seconds(next.within));
            }
        }
        self.unmeasured.set(whole(pools.len().saturating_sub(POOLS_MEASURED_MAX) as u64));
    }

    fn of_kind(&self, pool: &Name, kind: &'static str, load: &Load) {
        let labels = SlotLabels { pool: pool.to_string(), kind };
        self.backlog.get_or_create(&labels).set(whole(load.backlog));
        self.oldest.get_or_create(&labels).set(seconds(load.oldest));
        self.busy.get_or_create(&labels).set(whole(load.busy));
        let known =
            [(&self.arrivals, load.arrivals_per_s), (&self.mean, load.slot_mean.map(seconds)), (&self.p95, load.slot_p95.map(seconds))];
        for (family, value) in known {
            if let Some(value) = value {
                family.get_or_create(&labels).set(value);
            }
        }
    }

    fn clear(&self) {
        [&self.backlog, &self.busy].into_iter().for_each(Family::clear);
        [&self.oldest, &self.arrivals, &self.mean, &self.p95].into_iter().for_each(Family::clear);
        self.timer.clear();
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(duration: DurationMs) -> f64 {
    duration.to_std().as_secs_f64()
}

fn store_buckets() -> Histogram {
    // 50 us to 1.6 s: an operation in memory, one with fsync, one that waits for a slow disk.
    Histogram::new(exponential_buckets(0.000_05, 2.0, 16))
}

impl Metrics {
    /// All of them at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("everloop");
        let metrics = Self {
            requests: Family::default(),
            in_flight: Gauge::default(),
            turns: Counter::default(),
            refusals: Family::default(),
            attempts: Family::default(),
            polls: Family::default(),
            grants: Family::default(),
            starts: Counter::default(),
            timers: Counter::default(),
            messages: Counter::default(),
            // 1 ms to 16 s.
            lateness: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            sessions: Gauge::default(),
            sessions_ended: Family::default(),
            swept: Counter::default(),
            changes: Counter::default(),
            changes_too_old: Counter::default(),
            fenced: Family::default(),
            panics: Counter::default(),
            store_away: Gauge::default(),
            store: Family::new_with_constructor(store_buckets),
            pools: PoolMetrics::default(),
            telling: Mutex::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "HTTP requests answered", metrics.requests.clone());
        registry.register("requests_in_flight", "HTTP requests under way, waiting ones included", metrics.in_flight.clone());
        registry.register("turns_committed", "Turns accepted", metrics.turns.clone());
        registry.register("commits_refused", "Turns and outcomes of attempts refused, by reason", metrics.refusals.clone());
        registry.register("attempts", "Outcomes of attempts", metrics.attempts.clone());
        registry.register("polls_waiting", "Polls of workers that wait for work", metrics.polls.clone());
        registry.register("grants", "Leases granted", metrics.grants.clone());
        registry.register("runs_started", "Runs accepted", metrics.starts.clone());
        registry.register(
            "messages_carried",
            "Messages between runs that were applied, signals and their outcomes",
            metrics.messages.clone(),
        );
        registry.register("timers_fired", "Timers fired", metrics.timers.clone());
        registry.register_with_unit("timer_lateness", "From due to fired", Unit::Seconds, metrics.lateness.clone());
        registry.register("sessions_streaming", "Sessions with a stream at this replica", metrics.sessions.clone());
        registry.register("sessions_ended", "Sessions ended by this replica, by reason", metrics.sessions_ended.clone());
        registry.register("runs_removed", "Closed runs removed after their retention", metrics.swept.clone());
        registry.register("changes_told", "Changes of runs told to those who follow them", metrics.changes.clone());
        registry.register(
            "changes_too_old",
            "Followers whose cursor the feed of changes does not reach back to",
            metrics.changes_too_old.clone(),
        );
        registry.register("requests_fenced", "Requests for another store or of an earlier term that were refused", metrics.fenced.clone());
        registry.register("panics", "Requests that panicked", metrics.panics.clone());
        registry.register(
            "store_away",
            "1 while the store does not answer: the service stays ready and refuses",
            metrics.store_away.clone(),
        );
        registry.register_with_unit("store_operation", "Operations of the store", Unit::Seconds, metrics.store.clone());
        let pools = &metrics.pools;
        registry.register("pool_backlog", "Turns and activities of a pool that a free slot could take", pools.backlog.clone());
        registry.register_with_unit("pool_oldest", "How long the first of them has waited", Unit::Seconds, pools.oldest.clone());
        registry.register("pool_busy", "Turns and activities of a pool that are leased", pools.busy.clone());
        registry.register("pool_arrivals_per_second", "What comes to a pool, with a half-life of 20 s", pools.arrivals.clone());
        registry.register_with_unit(
            "pool_slot_mean",
            "Mean time from lease to end, with a half-life of 3 min",
            Unit::Seconds,
            pools.mean.clone(),
        );
        registry.register_with_unit(
            "pool_slot_p95",
            "The time that 95 of 100 stay below, with the same half-life and an error of at most an eighth",
            Unit::Seconds,
            pools.p95.clone(),
        );
        registry.register_with_unit("pool_next_timer", "Until the next timer of a pool is due", Unit::Seconds, pools.timer.clone());
        registry.register("pools_unmeasured", "Pools that are not told of because there are too many", pools.unmeasured.clone());
        Self { registry, ..metrics }
    }

    /// See [`encode`]; with what the pools have to do, when that is known.
    #[must_use]
    pub fn encode(&self, pools: Option<&BTreeMap<Name, Signals>>) -> String {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        match pools {
            Some(pools) => self.pools.set(pools),
            None => self.pools.clear(),
        }
        encode(&self.registry)
    }
}

/// The text of `/metrics`, in the OpenMetrics format.
#[must_use]
pub fn encode(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, registry);
    text
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page: name and meaning of every metric, as they are registered.
    fn page() -> String {
        let mut page =
            "# Metrics\n\nServed by the queue service at `/metrics`, in the OpenMetrics format. Names begin with `everloop_`; a counter's samples end \
             with `_total`, a histogram's with `_bucket`, `_sum` and `_count`.\n\n| name | what |\n|---|---|\n"
                .to_owned();
        table(&mut page, "everloop", include_str!("metrics.rs"));
        page.push_str("\nThose of pools are by the name that `everloop pools` shows. They are of the whole store, the same at every replica: take `max by (pool, kind)`, not `sum`. They are read when they are asked for, once in a second at most, of \
             at most 256 pools, and are absent while the store is away.\n");
        page.push_str("\nServed by the operator, where `--probes` is given; its durations are of passes, one look at one object each:\n\n| name | what |\n|---|---|\n");
        table(&mut page, "everloop_operator", include_str!("../operator/metrics.rs"));
        page.push_str("\nServed by a worker, where `--probes` is given: `everloop_worker_ready`, 1 while it takes on work.\n");
        page
    }

    fn table(page: &mut String, prefix: &str, code: &str) {
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for call in code.split("registry.register").skip(1) {
            let texts: Vec<&str> = call.split('"').skip(1).step_by(2).take(2).collect();
            let unit = if call.starts_with("_with_unit") { "_seconds" } else { "" };
            page.push_str(&format!("| `{prefix}_{}{unit}` | {} |\n", texts[0], texts[1]));
        }
    }

    #[test]
    fn the_generated_page_of_metrics_is_up_to_date() {
        assert!(page().lines().count() > 15, "{}", page());
        crate::generated::is_up_to_date("docs/metrics.md", &page());
    }

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::new();
        metrics.requests.get_or_create(&RequestLabels { route: "/healthz".into(), status: 200 }).inc();
        metrics.store.get_or_create(&StoreLabels { operation: "claim", outcome: "ok" }).observe(0.001);
        let text = metrics.encode(None);
        assert!(text.contains(r#"everloop_requests_total{route="/healthz",status="200"} 1"#), "{text}");
        assert!(text.contains(r#"everloop_store_operation_seconds_count{operation="claim",outcome="ok"} 1"#), "{text}");
    }

    #[test]
    fn pools_are_told_within_a_bound_and_what_is_not_known_is_not_there() {
        let load = Load { backlog: 240, oldest: DurationMs(1_500), busy: 20, slot_p95: Some(DurationMs(250)), ..Load::default() };
        let signals = Signals { activities: load, ..Signals::default() };
        let pools = |count: usize| (0..count).map(|n| (format!("p{n:03}").parse().expect("a name"), signals.clone())).collect();
        let metrics = Metrics::new();
        let text = metrics.encode(Some(&pools(1)));
        for line in [
            r#"everloop_pool_backlog{pool="p000",kind="activity"} 240"#,
            r#"everloop_pool_backlog{pool="p000",kind="turn"} 0"#,
            r#"everloop_pool_oldest_seconds{pool="p000",kind="activity"} 1.5"#,
            r#"everloop_pool_busy{pool="p000",kind="activity"} 20"#,
            r#"everloop_pool_slot_p95_seconds{pool="p000",kind="activity"} 0.25"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
        }
        assert!(["_arrivals_per_second{", "_slot_mean_seconds{", "_next_timer_seconds{"].iter().all(|name| !text.contains(name)), "{text}");
        let text = metrics.encode(Some(&pools(POOLS_MEASURED_MAX + 7)));
        assert_eq!(text.matches("everloop_pool_busy{").count(), 2 * POOLS_MEASURED_MAX);
        assert!(text.contains("everloop_pools_unmeasured 7"), "{text}");
        // The store is away: nothing is zero that is not known.
        assert!(!metrics.encode(None).contains("everloop_pool_busy{"));
    }
}
