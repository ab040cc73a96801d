//! Who leads, as a table: no clocks are compared, and nobody is taken the lead from before its time.

use std::time::{Duration, Instant};

use super::record::{Next, Seen, Times, next, released};

const TIMES: Times = Times { lease: Duration::from_secs(15), renew_within: Duration::from_secs(10), retry: Duration::from_secs(2) };

fn wall(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A Lease of this holder, written at that second of its clock.
fn held(holder: &str, second: i64) -> k8s_openapi::api::coordination::v1::Lease {
    let Next::Create(lease) = next(holder, "l", None, TIMES, Instant::now(), wall(second)) else { panic!("there was none") };
    *lease
}

fn holder(next: &Next) -> (String, i32) {
    let (Next::Create(lease) | Next::Replace(lease)) = next else { panic!("{next:?}") };
    let spec = lease.spec.clone().unwrap();
    (spec.holder_identity.unwrap_or_default(), spec.lease_transitions.unwrap())
}

#[test]
fn the_proportions_are_those_of_client_go() {
    assert_eq!(Times::of(Duration::from_secs(15)), TIMES);
}

#[test]
fn a_lease_is_taken_when_nobody_has_it_and_kept_by_its_holder() {
    let now = Instant::now();
    assert_eq!(holder(&next("a", "l", None, TIMES, now, wall(0))), ("a".to_owned(), 0));
    let seen = Seen { lease: held("a", 0), at: now };
    let renewed = next("a", "l", Some(&seen), TIMES, now, wall(2));
    assert_eq!(holder(&renewed), ("a".to_owned(), 0), "no transition");
    let Next::Replace(renewed) = renewed else { panic!("replaced") };
    let (before, after) = (seen.lease.spec.clone().unwrap(), renewed.spec.unwrap());
    assert_eq!(before.acquire_time, after.acquire_time);
    assert_ne!(before.renew_time, after.renew_time);
    let free = Seen { lease: released(&seen.lease), at: now };
    assert_eq!(holder(&next("b", "l", Some(&free), TIMES, now, wall(2))), ("b".to_owned(), 1), "given up: at once");
}

#[test]
fn the_time_of_a_leader_runs_from_the_first_sight_of_its_last_sign_whatever_its_clock_says() {
    let now = Instant::now();
    // Written by a clock that is an hour behind.
    let seen = Seen { lease: held("a", -3_600), at: now };
    assert_eq!(next("b", "l", Some(&seen), TIMES, now + Duration::from_millis(14_999), wall(0)), Next::Wait);
    assert_eq!(holder(&next("b", "l", Some(&seen), TIMES, now + TIMES.lease, wall(15))), ("b".to_owned(), 1));
}

#[test]
fn only_another_record_counts_as_a_sign() {
    let now = Instant::now();
    let later = now + Duration::from_secs(5);
    let first = Seen::again(None, held("a", 0), now);
    let mut annotated = held("a", 0);
    annotated.metadata.resource_version = Some("7".to_owned());
    let same = Seen::again(Some(first.clone()), annotated, later);
    assert_eq!((same.at, same.lease.metadata.resource_version.as_deref()), (now, Some("7")));
    assert_eq!(Seen::again(Some(first), held("a", 2), later).at, later);
}
