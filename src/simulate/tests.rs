use super::trace::{BUILTIN, builtin};
use super::*;

#[test]
fn look() {
    for (name, _) in BUILTIN {
        let started = std::time::Instant::now();
        let report = Report::of(&builtin(name).expect("known"), 1);
        println!("{}{:?}", report::markdown(&report::HEADING, &report.rows()), started.elapsed());
    }
}
