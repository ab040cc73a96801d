//! What a policy is shown of the world.

use super::World;
use super::pods::State;
use crate::api::DurationMs;
use crate::machine::scaling::{Cause, Due, Fleet, Load, Signals, Stuck};

/// Groups of timers that a signal names.
const TIMERS_MAX: usize = 16;
/// A turn takes about so long; every timer is one.
const TURN: DurationMs = DurationMs(5);

impl World<'_> {
    /// What the queue service would say.
    pub(super) fn signals(&self) -> Signals {
        let busy = self.live.iter().map(|pod| self.pods[*pod].leases.len() as u64).sum();
        let oldest = self.queue.front().map(|item| self.now.since(self.items[*item].at)).unwrap_or_default();
        let activities = Load {
            backlog: self.queue.len() as u64,
            oldest,
            busy,
            arrivals_per_s: Some(self.arrivals.per_second(self.now)),
            slot_mean: self.slot_mean.get(),
            slot_p95: None,
        };
        let turns = Load { arrivals_per_s: Some(0.0), slot_mean: Some(TURN), ..Load::default() };
        let timers = self.timers.iter().take(TIMERS_MAX).map(|(at, count)| Due { within: at.since(self.now), count: *count }).collect();
        Signals { turns, activities, timers }
    }

    /// The pods, as an operator would see them.
    pub(super) fn fleet(&self) -> Fleet {
        let count = |state| u32::try_from(self.live.iter().filter(|pod| self.pods[**pod].state == state).count()).unwrap_or(u32::MAX);
        let mut stuck = Vec::new();
        for (state, cause) in [(State::Pending, Cause::Unschedulable), (State::Trouble, Cause::Crash)] {
            let count = count(state);
            if count > 0 {
                stuck.push(Stuck { count, cause, detail: String::new() });
            }
        }
        let mut starts: Vec<_> = self.starts.iter().copied().collect();
        starts.sort_unstable();
        let start = starts.get((starts.len() * 95).div_ceil(100).saturating_sub(1)).copied();
        Fleet { ready: count(State::Ready), starting: count(State::Starting), stuck, draining: count(State::Draining), start }
    }
}
