//! From the port's types to the arguments of scripts. Lua's numbers are doubles, so all of them stay below 2^53.

use crate::api::TimeMs;
use crate::machine::record::RunRecord;
use crate::store::op::{Offer, Turn};

/// The largest whole number that a double holds exactly.
pub(super) const EXACT_MAX: u64 = (1 << 53) - 1;

/// A time or a number of milliseconds; what is later than the year 287,000 is then.
pub(super) fn exact(number: u64) -> u64 {
    number.min(EXACT_MAX)
}

pub(super) fn time(time: TimeMs) -> u64 {
    exact(time.0)
}

fn packed<T: serde::Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("numbers, texts and lists always pack")
}

/// `parts/grants.lua` names the fields; empty for none.
pub(super) fn offer(offer: Option<&Offer>) -> Vec<u8> {
    offer.map_or_else(Vec::new, |o| packed(&(o.session.as_str(), o.seq, o.pool.as_str(), o.turns, o.activities, u8::from(o.fair))))
}

/// `parts/turn.lua` names the fields.
pub(super) fn turn(turn: &Turn) -> Vec<u8> {
    let schedule: Vec<_> = turn
        .schedule
        .iter()
        .map(|new| (new.command, new.queue.as_str(), exact(new.timeout_ms), exact(new.heartbeat_ms), time(new.give_up_at)))
        .collect();
    let timers: Vec<_> = turn.timers.iter().map(|timer| (timer.command, time(timer.due))).collect();
    packed(&(
        turn.base.to_string(),
        turn.id.to_string(),
        time(turn.at),
        turn.consumed,
        turn.next_command,
        schedule,
        timers,
        &turn.cancel_timers,
        turn.close.map_or(0, RunRecord::closed_number),
        u8::from(turn.continued),
        u8::from(turn.insist),
    ))
}

pub(super) fn texts<T: std::fmt::Display>(items: &[T]) -> Vec<u8> {
    packed(&items.iter().map(ToString::to_string).collect::<Vec<_>>())
}
