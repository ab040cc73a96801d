//! From the port's types to the arguments of scripts. Lua's numbers are doubles, so all of them stay below 2^53.

use crate::api::TimeMs;
use crate::machine::record::RunRecord;
use crate::machine::shorthand::raw;
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

/// `parts/grants.lua` has the layout; empty for none.
pub(super) fn offer(offer: Option<&Offer>) -> Vec<u8> {
    let Some(offer) = offer else { return Vec::new() };
    let mut out = Vec::with_capacity(64);
    text(&mut out, offer.session.as_str());
    out.extend_from_slice(&exact(offer.seq).to_le_bytes());
    text(&mut out, offer.pool.as_str());
    out.extend_from_slice(&offer.turns.to_le_bytes());
    out.extend_from_slice(&offer.activities.to_le_bytes());
    out.push(u8::from(offer.fair));
    out
}

/// `parts/turn.lua` has the layout.
pub(super) fn turn(turn: &Turn, partitions: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + 64 * turn.schedule.len() + 12 * turn.timers.len() + 4 * turn.cancel_timers.len());
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    out.extend_from_slice(turn.base.to_string().as_bytes());
    out.extend_from_slice(turn.id.to_string().as_bytes());
    out.extend_from_slice(&time(turn.at).to_le_bytes());
    for number in [turn.consumed, turn.next_command, turn.seen] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(turn.close.map_or(0, RunRecord::closed_number));
    out.push(u8::from(turn.continued));
    for number in [turn.schedule.len(), turn.timers.len(), turn.cancel_timers.len(), turn.signals.len()] {
        out.extend_from_slice(&count(number).to_le_bytes());
    }
    for new in &turn.schedule {
        out.extend_from_slice(&new.command.to_le_bytes());
        for number in [exact(new.timeout_ms), exact(new.heartbeat_ms), time(new.start_by), time(new.close_by)] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        text(&mut out, &new.queue);
    }
    for timer in &turn.timers {
        out.extend_from_slice(&timer.command.to_le_bytes());
        out.extend_from_slice(&time(timer.due).to_le_bytes());
    }
    for command in &turn.cancel_timers {
        out.extend_from_slice(&command.to_le_bytes());
    }
    for signal in &turn.signals {
        out.extend_from_slice(&signal.to.partition(partitions).0.to_le_bytes());
        out.extend_from_slice(&signal.command.to_le_bytes());
        let to = signal.to.to_string();
        out.extend_from_slice(&u16::try_from(to.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(to.as_bytes());
        out.extend_from_slice(&count(signal.event.len()).to_le_bytes());
        out.extend_from_slice(signal.event.as_bytes());
    }
    out
}

/// The digits of a uid or a version as the bytes that they stand for.
pub(super) fn digits(digits: &str) -> Vec<u8> {
    raw(digits).collect()
}

/// A text after its length in one byte: ids and names are shorter than 256.
fn text(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() < 256, "{text}");
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn packed<T: serde::Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("texts always pack")
}

pub(super) fn texts<T: std::fmt::Display>(items: &[T]) -> Vec<u8> {
    packed(&items.iter().map(ToString::to_string).collect::<Vec<_>>())
}
