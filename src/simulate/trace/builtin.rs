//! The traces that are part of the program.

use super::Trace;

/// Name and text of each, in the order of the tables.
pub const BUILTIN: &[(&str, &str)] = &[
    ("steady", include_str!("../traces/steady.trace")),
    ("burst-from-zero", include_str!("../traces/burst-from-zero.trace")),
    ("diurnal", include_str!("../traces/diurnal.trace")),
    ("sawtooth", include_str!("../traces/sawtooth.trace")),
    ("heavy-tail", include_str!("../traces/heavy-tail.trace")),
    ("timers", include_str!("../traces/timers.trace")),
    ("slow-nodes", include_str!("../traces/slow-nodes.trace")),
    ("failing-pods", include_str!("../traces/failing-pods.trace")),
    ("no-room", include_str!("../traces/no-room.trace")),
    ("trickle", include_str!("../traces/trickle.trace")),
];

/// The trace of that name.
#[must_use]
pub fn builtin(name: &str) -> Option<Trace> {
    let (name, text) = BUILTIN.iter().find(|(known, _)| *known == name)?;
    Some(Trace::read(name, text).expect("a test reads every one"))
}
