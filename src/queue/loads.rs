//! What the pools have to do: read from all partitions, with the rates, means and quantiles of this replica's own looks.
//!
//! All that is learned comes from counters of the store: whichever replica did the work, every one that looks learns the same of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::sync::Notify;

use super::service::Service;
use super::sessions;
use crate::api::limits::TIMERS_TOLD_MAX;
use crate::api::{DurationMs, Name, TimeMs};
use crate::machine::scaling::meter::{Mean, Quantiles, Rate};
use crate::machine::scaling::{Due, Load, Signals};
use crate::store::StoreError;
use crate::store::op::{self, Completions, Tally, Waiting};

/// Timers that fall due within so long of each other are told as one time, the earliest that it may be.
const TIMERS_TOGETHER: DurationMs = DurationMs(100);
/// Two looks that are closer than this teach nothing about rates.
const LEARN_EVERY: DurationMs = DurationMs(500);
/// The part of the slot times that is told.
const P95: f64 = 0.95;
/// Who measures is content with what was read so long ago.
const FRESH: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub struct Loads {
    changed: Notify,
    meters: Mutex<BTreeMap<Name, Meters>>,
    /// What was read last, for those who only measure.
    last: tokio::sync::Mutex<Option<(Instant, BTreeMap<Name, Signals>)>>,
}

/// What was learned of a pool.
#[derive(Debug)]
struct Meters {
    turns: Meter,
    activities: Meter,
}

/// What was learned of one kind of slot by looking again and again.
#[derive(Debug)]
struct Meter {
    arrivals: Rate,
    slot: Mean,
    times: Quantiles,
    last: Look,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
struct Look {
    at: TimeMs,
    /// What waited or was leased.
    at_hand: u64,
    busy: u64,
    ended: Tally,
}

impl Meter {
    fn from(first: Look) -> Self {
        Self { arrivals: Rate::from(first.at), slot: Mean::default(), times: Quantiles::default(), last: first }
    }

    fn learn(&mut self, now: Look) {
        let (last, at) = (&self.last, now.at);
        let passed = at.since(last.at);
        if passed < LEARN_EVERY {
            return;
        }
        let mut ended = 0;
        for (bucket, count) in &now.ended {
            let since = count.saturating_sub(last.ended.get(bucket).copied().unwrap_or(0));
            ended += since;
            if let Some(bucket) = bucket.filter(|_| since > 0) {
                self.times.add(bucket, since, at);
            }
        }
        self.arrivals.add((now.at_hand + ended).saturating_sub(last.at_hand), at);
        // Of what was busy in between the two ends are known.
        self.slot.add_used(DurationMs(passed.0.saturating_mul(last.busy + now.busy) / 2), ended, at);
        self.last = now;
    }

    fn tell(&self, load: &mut Load, now: TimeMs) {
        load.arrivals_per_s = Some(self.arrivals.per_second(now));
        load.slot_mean = self.slot.get();
        load.slot_p95 = self.times.get(P95);
    }
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
    fn learn(&self, pools: &mut BTreeMap<Name, (Signals, Completions)>, now: TimeMs) {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        for (pool, (signals, ended)) in pools {
            let look = |load: &Load, ended: &mut Tally| Look {
                at: now,
                at_hand: load.backlog + load.busy,
                busy: load.busy,
                ended: std::mem::take(ended),
            };
            let turns = look(&signals.turns, &mut ended.turns);
            let activities = look(&signals.activities, &mut ended.attempts);
            let known = match meters.entry(pool.clone()) {
                Entry::Occupied(known) => {
                    let known = known.into_mut();
                    known.turns.learn(turns);
                    known.activities.learn(activities);
                    known
                }
                Entry::Vacant(place) => place.insert(Meters { turns: Meter::from(turns), activities: Meter::from(activities) }),
            };
            known.turns.tell(&mut signals.turns, now);
            known.activities.tell(&mut signals.activities, now);
        }
    }
}

impl Service {
    /// The signals of every pool that has something to do, or ever ran a turn or an activity.
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

    /// The same for who only measures: read once in [`FRESH`], however many ask.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn measured_loads(&self) -> Result<BTreeMap<Name, Signals>, StoreError> {
        let mut last = self.loads.last.lock().await;
        if let Some((_, known)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(known.clone());
        }
        let read = self.read_loads().await?;
        *last = Some((Instant::now(), read.clone()));
        Ok(read)
    }
}

/// The partitions' numbers together, with what of each pool has ended.
fn merged(all: &[op::Load], now: TimeMs) -> BTreeMap<Name, (Signals, Completions)> {
    let mut pools = BTreeMap::<Name, (Signals, Completions)>::new();
    let mut of = |pool: &str, change: &mut dyn FnMut(&mut (Signals, Completions))| {
        // One that cannot be read is nobody's.
        if let Ok(name) = pool.parse::<Name>() {
            change(pools.entry(name).or_default());
        }
    };
    for load in all {
        load.turns.iter().for_each(|(pool, waiting)| of(pool, &mut |(signals, _)| wait(&mut signals.turns, waiting, now)));
        load.attempts.iter().for_each(|(pool, waiting)| of(pool, &mut |(signals, _)| wait(&mut signals.activities, waiting, now)));
        for (pool, more) in &load.ended {
            of(pool, &mut |(_, ended)| {
                for (of_pool, more) in [(&mut ended.turns, &more.turns), (&mut ended.attempts, &more.attempts)] {
                    more.iter().for_each(|(bucket, count)| *of_pool.entry(*bucket).or_default() += count);
                }
            });
        }
        for (session, leased) in &load.leases {
            if let Ok(pool) = sessions::pool_of(session) {
                of(pool.as_str(), &mut |(signals, _)| {
                    signals.turns.busy += leased.turns;
                    signals.activities.busy += leased.attempts;
                });
            }
        }
        for (at, pool) in &load.due {
            let within = at.since(now).0;
            let within = DurationMs(within - within % TIMERS_TOGETHER.0);
            of(pool, &mut |(signals, _)| signals.timers.push(Due { within, count: 1 }));
        }
        for (pool, count) in untold(load) {
            of(pool, &mut |(signals, _)| signals.timers.push(Due { within: DurationMs(0), count }));
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

/// Timers that are due and stand behind those that were told, shared among the pools of these.
fn untold(load: &op::Load) -> BTreeMap<&str, u64> {
    let mut told = BTreeMap::<&str, u64>::new();
    for (_, pool) in load.due.iter().filter(|(at, _)| *at <= load.now) {
        *told.entry(pool).or_default() += 1;
    }
    let all: u64 = told.values().sum();
    let more = load.overdue.saturating_sub(all);
    told.values_mut().for_each(|of_pool| *of_pool = more * *of_pool / all.max(1));
    told.retain(|_, of_pool| *of_pool > 0);
    told
}

fn wait(load: &mut Load, waiting: &Waiting, now: TimeMs) {
    load.backlog += waiting.count;
    load.oldest = load.oldest.max(now.since(waiting.since));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::scaling::slot_time::Bucket;

    fn of(counts: &[(u64, u64)]) -> Tally {
        counts.iter().map(|(ms, count)| (Some(Bucket::of(DurationMs(*ms))), *count)).collect()
    }

    fn at(now: u64, backlog: u64, turns: Tally, attempts: Tally) -> op::Load {
        let waiting = BTreeMap::from([("p".to_owned(), Waiting { count: backlog, since: TimeMs(now - 50) })]);
        let ended = BTreeMap::from([("p".to_owned(), Completions { turns, attempts })]);
        op::Load { turns: waiting.clone(), attempts: waiting, ended, now: TimeMs(now), ..op::Load::default() }
    }

    fn look(loads: &Loads, of: &[op::Load]) -> Signals {
        let mut pools = merged(of, of[0].now);
        loads.learn(&mut pools, of[0].now);
        pools.remove(&"p".parse().unwrap()).unwrap().0
    }

    #[test]
    fn what_comes_is_what_is_more_and_what_has_ended() {
        let loads = Loads::default();
        let mut told = Signals::default();
        for s in 1..=30_u64 {
            // Ten activities come in a second: nine end, one of them only after a while, and one more waits. Of turns there are twice as many.
            let (turns, attempts) = (of(&[(5, s * 19)]), of(&[(100, s * 8), (4_000, s)]));
            told = look(&loads, &[at(s * 1_000, s, turns, attempts)]);
        }
        for (load, expected) in [(&told.activities, 10.0), (&told.turns, 20.0)] {
            let rate = load.arrivals_per_s.unwrap();
            assert!((expected * 0.9..=expected * 1.1).contains(&rate), "{rate}");
            assert_eq!((load.backlog, load.oldest), (30, DurationMs(50)));
        }
        assert_eq!((told.turns.slot_p95, told.activities.slot_p95), (Some(DurationMs(5)), Some(Bucket::of(DurationMs(4_000)).middle())));
    }

    /// Commits go to any replica; each learns from what the store has counted of all of them.
    #[test]
    fn two_replicas_learn_the_same_whenever_each_has_begun() {
        let (first, second) = (Loads::default(), Loads::default());
        let (mut one, mut two) = (Signals::default(), Signals::default());
        for s in 1..=120_u64 {
            let half = |part: u64| at(s * 1_000, 0, of(&[(8, s * 10)]), of(&[(200, s * part)]));
            let load = [half(4), half(6)];
            one = look(&first, &load);
            // It looks half as often, and later.
            if s >= 60 && s % 2 == 0 {
                two = look(&second, &load);
            }
        }
        for (one, two) in [(&one.turns, &two.turns), (&one.activities, &two.activities)] {
            let (first, second) = (one.arrivals_per_s.unwrap(), two.arrivals_per_s.unwrap());
            assert!((first / second - 1.0).abs() < 0.1, "{first} and {second}");
            assert_eq!(one.slot_p95, two.slot_p95);
        }
        assert_eq!(one.activities.slot_p95, Some(Bucket::of(DurationMs(200)).middle()));
    }

    /// What an earlier version counted has no time: it is a beginning for the numbers, and no quantile.
    #[test]
    fn what_ended_in_an_unknown_time_counts_as_ended() {
        let loads = Loads::default();
        let mut told = Signals::default();
        for s in 1..=30_u64 {
            told = look(&loads, &[at(s * 1_000, 1, Tally::new(), Tally::from([(None, 1_000 + s * 10)]))]);
        }
        let rate = told.activities.arrivals_per_s.unwrap();
        assert!((9.0..=11.0).contains(&rate), "{rate}");
        assert_eq!(told.activities.slot_p95, None);
    }

    #[test]
    fn timers_of_all_partitions_stand_in_one_order_and_equal_ones_are_one() {
        let due = |all: &[u64]| op::Load { due: all.iter().map(|at| (TimeMs(*at), "p".to_owned())).collect(), ..op::Load::default() };
        let pools = merged(&[due(&[100, 440]), due(&[50, 400, 1_250])], TimeMs(90));
        let timers = &pools[&"p".parse::<Name>().unwrap()].0.timers;
        let told: Vec<_> = timers.iter().map(|due| (due.within.0, due.count)).collect();
        assert_eq!(told, [(0, 2), (300, 2), (1_100, 1)]);
    }

    /// They are fired as workers have room, so they are work that waits.
    #[test]
    fn timers_that_are_due_and_not_told_one_by_one_count_for_the_pools_of_those_that_are() {
        let due = [(90, "p"), (90, "p"), (90, "p"), (95, "q"), (900, "q")].map(|(at, pool)| (TimeMs(at), pool.to_owned()));
        let load = op::Load { due: due.to_vec(), overdue: 4_004, now: TimeMs(100), ..op::Load::default() };
        let pools = merged(&[load], TimeMs(100));
        let at_once = |pool: &str| pools[&pool.parse::<Name>().unwrap()].0.timers[0];
        assert_eq!(
            (at_once("p"), at_once("q")),
            (Due { within: DurationMs(0), count: 3_003 }, Due { within: DurationMs(0), count: 1_001 })
        );
    }
}
