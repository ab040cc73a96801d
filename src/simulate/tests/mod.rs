//! The simulator, and what it says of the decision.

mod docs;
mod goals;
mod traces;
mod worlds;

use std::sync::LazyLock;

use super::trace::{BUILTIN, builtin};
use super::{Report, Trace};

/// Of every trace that is part of the program, as the documentation has them.
static REPORTS: LazyLock<Vec<Report>> = LazyLock::new(|| {
    std::thread::scope(|scope| {
        let plays: Vec<_> =
            BUILTIN.iter().map(|(name, _)| scope.spawn(|| Report::of(&builtin(name).expect("part of the program"), 1))).collect();
        plays.into_iter().map(|play| play.join().expect("played")).collect()
    })
});

fn trace(text: &str) -> Trace {
    Trace::read("test", text).expect("a trace")
}
