//! What the pools have to do: read from all partitions, with the rates and means of this replica's own looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;
use tokio::sync::Notify;

use super::service::Service;
use super::sessions;
use crate::api::limits::TIMERS_TOLD_MAX;
use crate::api::{DurationMs, Name, TimeMs};
use crate::machine::scaling::meter::{Mean, Rate};
use crate::machine::scaling::{Due, Load, Signals};
use crate::store::StoreError;
use crate::store::op::{self, Waiting};

/// Two looks that are closer than this teach nothing about rates.
const LEARN_EVERY: DurationMs = DurationMs(500);

/// See the module.
#[derive(Debug, Default)]
pub struct Loads {
    changed: Notify,
    meters: Mutex<BTreeMap<Name, Meter>>,
}

/// What was learned of a pool's activities by looking again and again.
#[derive(Debug)]
struct Meter {
    arrivals: Rate,
    slot: Mean,
    /// The last look: when, what waited or was leased, what was leased, what was settled.
    last: (TimeMs, u64, u64, u64),
}

impl Loads {
    /// Something waits for a pool for whose like nothing waited before.
    pub fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// Told by [`Loads::tell`].
    #[must_use]
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Completes what was read by what earlier looks have taught, and learns from it.
    fn learn(&self, pools: &mut BTreeMap<Name, (Signals, u64)>, now: TimeMs) {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        for (pool, (signals, settled)) in pools {
            let load = &mut signals.activities;
            let at_hand = load.backlog + load.busy;
            let meter = meters.entry(pool.clone()).or_insert_with(|| Meter {
                arrivals: Rate::from(now),
                slot: Mean::default(),
                last: (now, at_hand, load.busy, *settled),
            });
            let (at, before, busy, ended) = meter.last;
            let passed = now.since(at);
            if passed >= LEARN_EVERY {
                let ended = settled.saturating_sub(ended);
                meter.arrivals.add((at_hand + ended).saturating_sub(before), now);
                // Of what was busy in between the two ends are known.
                meter.slot.add_used(DurationMs(passed.0.saturating_mul(busy + load.busy) / 2), ended, now);
                meter.last = (now, at_hand, load.busy, *settled);
            }
            load.arrivals_per_s = Some(meter.arrivals.per_second(now));
            load.slot_mean = meter.slot.get();
        }
    }
}

impl Service {
    /// The signals of every pool that has something to do, or ever ran an activity.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read_loads(&self) -> Result<BTreeMap<Name, Signals>, StoreError> {
        let now = self.clock.for_store();
        let all = try_join_all(self.partitions().map(|partition| self.store.load(partition, now))).await?;
        let now = all.iter().map(|load| load.now).max().unwrap_or(now);
        let mut pools = merged(&all, now);
        self.loads.learn(&mut pools, now);
        Ok(pools.into_iter().map(|(pool, (signals, _))| (pool, signals)).collect())
    }
}

/// The partitions' numbers together, with how many attempts of each pool were settled.
fn merged(all: &[op::Load], now: TimeMs) -> BTreeMap<Name, (Signals, u64)> {
    let mut pools = BTreeMap::<Name, (Signals, u64)>::new();
    let mut of = |pool: &str, change: &mut dyn FnMut(&mut (Signals, u64))| {
        // One that cannot be read is nobody's.
        if let Ok(name) = pool.parse::<Name>() {
            change(pools.entry(name).or_default());
        }
    };
    for load in all {
        load.turns.iter().for_each(|(pool, waiting)| of(pool, &mut |(signals, _)| wait(&mut signals.turns, waiting, now)));
        load.attempts.iter().for_each(|(pool, waiting)| of(pool, &mut |(signals, _)| wait(&mut signals.activities, waiting, now)));
        load.settled.iter().for_each(|(pool, count)| of(pool, &mut |(_, settled)| *settled += count));
        for (session, leased) in &load.leases {
            if let Ok(pool) = sessions::pool_of(session) {
                of(pool.as_str(), &mut |(signals, _)| {
                    signals.turns.busy += leased.turns;
                    signals.activities.busy += leased.attempts;
                });
            }
        }
        for (at, pool) in &load.due {
            of(pool, &mut |(signals, _)| signals.timers.push(Due { within: at.since(now), count: 1 }));
        }
    }
    for (signals, _) in pools.values_mut() {
        signals.timers.sort_by_key(|due| due.within);
        signals.timers.dedup_by(|next, first| {
            let same = next.within == first.within;
            first.count += if same { next.count } else { 0 };
            same
        });
        signals.timers.truncate(TIMERS_TOLD_MAX);
    }
    pools
}

fn wait(load: &mut Load, waiting: &Waiting, now: TimeMs) {
    load.backlog += waiting.count;
    load.oldest = load.oldest.max(now.since(waiting.since));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64, backlog: u64, settled: u64) -> op::Load {
        let attempts = BTreeMap::from([("p".to_owned(), Waiting { count: backlog, since: TimeMs(now - 50) })]);
        op::Load { attempts, settled: BTreeMap::from([("p".to_owned(), settled)]), now: TimeMs(now), ..op::Load::default() }
    }

    #[test]
    fn what_comes_is_what_is_more_and_what_has_ended() {
        let loads = Loads::default();
        let mut told = Signals::default();
        for s in 1..=30_u64 {
            // Ten come in a second: nine end, and one more waits.
            let mut pools = merged(&[at(s * 1_000, s, s * 9)], TimeMs(s * 1_000));
            loads.learn(&mut pools, TimeMs(s * 1_000));
            told = pools.remove(&"p".parse().unwrap()).unwrap().0;
        }
        let rate = told.activities.arrivals_per_s.unwrap();
        assert!((9.0..=11.0).contains(&rate), "{rate}");
        assert_eq!((told.activities.backlog, told.activities.oldest), (30, DurationMs(50)));
    }

    #[test]
    fn timers_of_all_partitions_stand_in_one_order_and_equal_ones_are_one() {
        let due = |all: &[u64]| op::Load { due: all.iter().map(|at| (TimeMs(*at), "p".to_owned())).collect(), ..op::Load::default() };
        let pools = merged(&[due(&[100, 400]), due(&[50, 400])], TimeMs(90));
        let timers = &pools[&"p".parse::<Name>().unwrap()].0.timers;
        let told: Vec<_> = timers.iter().map(|due| (due.within.0, due.count)).collect();
        assert_eq!(told, [(0, 1), (10, 1), (310, 2)]);
    }
}
