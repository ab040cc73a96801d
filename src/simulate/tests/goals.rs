//! What the decision is to be worth. A trace that is added must reach it too, or be named here with what it misses.

use super::REPORTS;

#[test]
fn it_neither_waits_longer_nor_costs_more_than_keda_on_any_trace() {
    for report in REPORTS.iter() {
        let beside = report.beside("keda").expect("played");
        assert!(beside.is_no_worse(), "{}: {beside:?}", report.trace);
    }
}

#[test]
fn bursts_from_zero_and_timers_wait_a_fifth_as_long_at_no_higher_cost() {
    for report in REPORTS.iter().filter(|report| ["burst-from-zero", "timers"].contains(&report.trace.as_str())) {
        let beside = report.beside("keda").expect("played");
        assert!(beside.is_five_times_shorter(), "{}: {beside:?}", report.trace);
    }
}

#[test]
fn a_tuned_keda_costs_more_and_its_shorter_waits_are_shorter_by_less_than_half_a_second() {
    for report in REPORTS.iter() {
        let beside = report.beside("keda-tuned").expect("played");
        assert!(beside.pod_seconds.1 <= beside.pod_seconds.0, "{}: {beside:?}", report.trace);
        assert!(beside.wait_p99.1.0 <= beside.wait_p99.0.0 + 500, "{}: {beside:?}", report.trace);
    }
}

#[test]
fn no_busy_pod_is_told_to_end() {
    for report in REPORTS.iter() {
        let ours = &report.figures[0];
        assert_eq!((ours.policy.as_str(), ours.busy_killed, ours.interrupted), ("everloop", 0, 0), "{}", report.trace);
    }
}
