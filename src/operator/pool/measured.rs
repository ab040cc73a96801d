//! The metrics of the pools that this operator looks at: they are there as long as their pool is, and as long as this operator leads.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt as _;

use crate::crd::resources::WorkerPool;
use crate::machine::scaling::{Condition, Decision};
use crate::operator::metrics::{ConditionLabels, DirectionLabels, Metrics, PoolLabels};

/// See the module.
#[derive(Debug)]
pub(super) struct Measured {
    metrics: Arc<Metrics>,
    pools: Mutex<HashSet<PoolLabels>>,
}

pub(super) fn labels(pool: &WorkerPool) -> PoolLabels {
    PoolLabels { namespace: pool.namespace().unwrap_or_default(), pool: pool.name_any() }
}

fn flag(of: &PoolLabels, condition: &'static str) -> ConditionLabels {
    ConditionLabels { namespace: of.namespace.clone(), pool: of.pool.clone(), condition }
}

fn direction(of: &PoolLabels, direction: &'static str) -> DirectionLabels {
    DirectionLabels { namespace: of.namespace.clone(), pool: of.pool.clone(), direction }
}

impl Measured {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, pools: Mutex::default() }
    }

    fn known(&self, of: &PoolLabels) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if !pools.contains(of) {
            pools.insert(of.clone());
        }
    }

    /// The pods that there are.
    pub(super) fn seen(&self, of: &PoolLabels, current: i32, ready: i32) {
        self.known(of);
        self.metrics.pool_current.get_or_create(of).set(i64::from(current));
        self.metrics.pool_ready.get_or_create(of).set(i64::from(ready));
    }

    /// What was decided. A number that is only held is not told: it is not known to be wanted.
    pub(super) fn decided(&self, of: &PoolLabels, decision: &Decision) {
        self.known(of);
        let is_held = |condition: &Condition| matches!(condition, Condition::SignalUnknown | Condition::SignalOld(_));
        if decision.conditions.iter().any(is_held) {
            self.metrics.pool_wanted.remove(of);
        } else {
            self.metrics.pool_wanted.get_or_create(of).set(i64::from(decision.wanted));
        }
        for name in Condition::NAMES {
            let holds = decision.conditions.iter().any(|condition| condition.name() == name);
            self.metrics.pool_condition.get_or_create(&flag(of, name)).set(i64::from(holds));
        }
        // Both are there from the first decision on, so that a rate can be taken of the first change.
        for (name, holds) in [("up", decision.wanted > decision.from), ("down", decision.wanted < decision.from)] {
            self.metrics.decisions.get_or_create(&direction(of, name)).inc_by(u64::from(holds));
        }
    }

    /// Nothing is decided for the pool any more.
    pub(super) fn undecided(&self, of: &PoolLabels) {
        self.metrics.pool_wanted.remove(of);
        for name in Condition::NAMES {
            self.metrics.pool_condition.remove(&flag(of, name));
        }
        for name in ["up", "down"] {
            self.metrics.decisions.remove(&direction(of, name));
        }
    }

    /// Forgets the pools that are not among these.
    pub(super) fn keep(&self, pools: &HashSet<PoolLabels>) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).retain(|of| {
            let stays = pools.contains(of);
            if !stays {
                self.undecided(of);
                self.metrics.pool_current.remove(of);
                self.metrics.pool_ready.remove(of);
            }
            stays
        });
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.keep(&HashSet::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DurationMs;

    fn decision(from: u32, wanted: u32, conditions: Vec<Condition>) -> Decision {
        Decision { from, wanted, reason: String::new(), conditions }
    }

    #[test]
    fn a_held_number_is_not_told_and_what_is_gone_takes_its_series_along() {
        let metrics = Arc::new(Metrics::new());
        let measured = Measured::new(metrics.clone());
        let of = PoolLabels { namespace: "shop".into(), pool: "big".into() };
        let has = |line: &str| metrics.encode().lines().any(|told| told == line);
        measured.seen(&of, 3, 2);
        measured.decided(&of, &decision(0, 7, vec![Condition::AtMax { need: 9, oldest: DurationMs(9) }]));
        for line in [
            r#"everloop_operator_pool_wanted{namespace="shop",pool="big"} 7"#,
            r#"everloop_operator_pool_current{namespace="shop",pool="big"} 3"#,
            r#"everloop_operator_pool_ready{namespace="shop",pool="big"} 2"#,
            r#"everloop_operator_pool_condition{namespace="shop",pool="big",condition="AtMax"} 1"#,
            r#"everloop_operator_pool_condition{namespace="shop",pool="big",condition="PodsStuck"} 0"#,
            r#"everloop_operator_decisions_total{namespace="shop",pool="big",direction="up"} 1"#,
            r#"everloop_operator_decisions_total{namespace="shop",pool="big",direction="down"} 0"#,
        ] {
            assert!(has(line), "{line} is not in {}", metrics.encode());
        }
        measured.decided(&of, &decision(7, 7, vec![Condition::SignalOld(DurationMs::from_secs(20))]));
        assert!(!metrics.encode().contains("pool_wanted{"));
        assert!(has(r#"everloop_operator_pool_condition{namespace="shop",pool="big",condition="SignalOld"} 1"#));
        measured.decided(&of, &decision(7, 0, vec![]));
        assert!(has(r#"everloop_operator_pool_wanted{namespace="shop",pool="big"} 0"#), "a zero that was decided is one");
        // Another one leads.
        drop(measured);
        assert!(!metrics.encode().contains("shop"), "{}", metrics.encode());
    }
}
