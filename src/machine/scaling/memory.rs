//! What a decision remembers of those before it.

use std::collections::VecDeque;

use super::limits::Limits;
use crate::api::{DurationMs, TimeMs};

/// Belongs to one pool; made anew when the operator starts, from the number that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// The last wanted number.
    pub(super) wanted: u32,
    /// When it last rose.
    pub(super) rose: TimeMs,
    /// Since when there is nothing to do; absent while there is something.
    pub(super) idle: Option<TimeMs>,
    /// What was worth keeping, over the fall window: later and smaller, so at most as many as there may be pods.
    peaks: VecDeque<(TimeMs, u32)>,
    /// The step that is under way: when it began, and the number then.
    step: (TimeMs, u32),
}

impl Memory {
    /// As if `wanted` had just been needed: whoever forgets waits a window before the number falls.
    #[must_use]
    pub fn of(wanted: u32, now: TimeMs) -> Self {
        Self { wanted, rose: now, idle: None, peaks: VecDeque::from([(now, wanted)]), step: (now, wanted) }
    }

    /// The last wanted number.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// A clock that was set back makes no time of the future, which would hold the number until it comes.
    pub(super) fn clamp(&mut self, now: TimeMs) {
        self.rose = self.rose.min(now);
        self.idle = self.idle.map(|since| since.min(now));
        self.peaks.iter_mut().for_each(|(at, _)| *at = (*at).min(now));
        self.step.0 = self.step.0.min(now);
    }

    /// Remembers that `pods` are worth keeping now.
    pub(super) fn keep(&mut self, pods: u32, now: TimeMs) {
        while self.peaks.back().is_some_and(|(_, peak)| *peak <= pods) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((now, pods));
    }

    /// The most that was worth keeping within the window.
    pub(super) fn kept(&mut self, window: DurationMs, now: TimeMs) -> u32 {
        while self.peaks.front().is_some_and(|(at, _)| now.since(*at) >= window) {
            self.peaks.pop_front();
        }
        self.peaks.front().map_or(0, |(_, pods)| *pods)
    }

    /// Cuts a change down to what one step allows. A step begins where the one before it ended, so no period has more than two.
    pub(super) fn within_step(&mut self, wanted: u32, limits: &Limits, now: TimeMs) -> u32 {
        if now.since(self.step.0) >= Limits::STEP {
            self.step = (now, self.wanted);
        }
        let (_, from) = self.step;
        let most = limits.rise_max.map_or(u32::MAX, |step| from.saturating_add(step));
        let least = limits.fall_max.map_or(0, |step| from.saturating_sub(step));
        wanted.clamp(least, most.max(least))
    }
}
