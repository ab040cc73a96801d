//! Fire and sweep.

use everloop::api::limits::SLICE_MAX;
use everloop::api::{RunStatus, TimeMs};
use everloop::machine::commit::AttemptClaim;
use everloop::machine::turn::NewAttempt;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    rule_12_timers_fire_when_due_and_in_the_order_of_due_and_command,
    a_timer_of_a_closed_run_touches_no_later_run_of_the_same_id,
    slices_are_bounded_and_say_that_more_is_due,
    an_attempt_past_its_time_is_handed_out_until_somebody_finishes_it,
    an_attempt_that_nobody_begins_is_handed_out_to_be_given_up,
    only_the_first_start_is_awaited_and_the_end_of_all_attempts_bounds_each,
    closing_leaves_nothing_behind_but_what_is_kept_until_the_sweep,
);

fn fired(command: u32) -> String {
    format!(r#"{{"TimerFired":{{"command":{command}}}}}"#)
}

async fn rule_12_timers_fire_when_due_and_in_the_order_of_due_and_command(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let timers = vec![timer(10, 300), timer(9, 300), timer(100, 200), timer(3, 250), timer(4, 900)];
    let set = Turn { timers, ..turn(&grant.record.head, 2) };
    accepted(world.commit("a", "s1", 1, set, 20, None).await);
    assert_eq!(world.record("a").await.timers, 5);
    world.deliver("a", &signal(1), "k", 15).await;
    let grant = world.claim("a", "s1", 2, 8, 8, 20).await.turns.remove(0);
    let cancel = Turn { cancel_timers: vec![3, 77], ..turn(&grant.record.head, 3) };
    accepted(world.commit("a", "s1", 2, cancel, 20, None).await);

    let early = world.fire_to("a", 199, offer("s1", 3, 1, 0)).await;
    assert_eq!((early.timers, early.next_due, early.more), (0, TimeMs(200), false));
    assert!(early.now.0 > 1_700_000_000_000, "the answer carries the store's clock");
    let due = world.fire_to("a", 300, offer("s1", 3, 1, 0)).await;
    assert_eq!((due.timers, due.next_due), (3, TimeMs(900)));
    assert_eq!(due.grants.turns[0].events, [fired(100), fired(9), fired(10)]);
    assert_eq!((world.record("a").await.timers, world.store.counts(place("a")).await.unwrap().due), (1, 1));
}

async fn a_timer_of_a_closed_run_touches_no_later_run_of_the_same_id(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let part = Turn { timers: vec![timer(0, 5_000), timer(700, 5_000)], next_command: 701, continued: true, ..turn(&grant.record.head, 2) };
    let grants = accepted(world.commit("a", "s1", 1, part, 20, None).await);
    accepted(
        world.commit("a", "s1", 1, Turn { consumed: 0, next_command: 702, ..closing(&grants.turns[0].record.head, 3) }, 20, None).await,
    );
    assert_eq!(world.store.counts(place("a")).await.unwrap().due, 0, "they went with the run");
    assert_eq!(world.store.sweep(place("a"), TimeMs(519)).await.unwrap(), Swept::default());
    assert_eq!(world.store.sweep(place("a"), TimeMs(520)).await.unwrap(), Swept { runs: 1, more: false });
    assert_eq!(world.store.run(&run("a")).await.unwrap(), None);
    world.store.start(world.start_of("a", 10)).await.unwrap();
    assert_eq!(world.fire("a", 5_000).await.timers, 0);
    assert_eq!(world.record("a").await.mail, 1);
}

async fn slices_are_bounded_and_say_that_more_is_due(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let timers = (0..1_000).map(|n| timer(n, 100)).collect();
    accepted(world.commit("a", "s1", 1, Turn { timers, ..turn(&grant.record.head, 2) }, 20, None).await);
    let small = Fire { partition: place("a"), now: TimeMs(100), offer: None, slice: 10 };
    let mut total = world.store.fire(small).await.unwrap().timers;
    assert_eq!(total, 10);
    for left in (0..4).rev() {
        let fired = world.fire("a", 100).await;
        assert_eq!((fired.more, fired.timers as usize <= SLICE_MAX), (left > 0, true));
        total += fired.timers;
    }
    assert_eq!((total, world.record("a").await.mail, world.record("a").await.timers), (1_000, 1_000, 0));
    let events = world.claim("a", "s1", 2, 8, 8, 200).await.turns.remove(0).events;
    assert_eq!((events.len(), events[999].as_str()), (1_000, fired(999).as_str()));
}

async fn an_attempt_past_its_time_is_handed_out_until_somebody_finishes_it(world: World) {
    let grant = world.stepping("a", "s1").await;
    assert_eq!(world.fire("a", 1_019).await.next_due, TimeMs(1_020), "leased at 20, for 1,000 ms");
    let late = world.fire("a", 1_020).await;
    assert_eq!(late.timed_out, [TimedOut { run: run("a"), version: world.version.clone(), attempt: grant.attempt.clone() }]);
    assert_eq!(late.next_due, TimeMs(6_020));
    assert_eq!(world.fire("a", 6_020).await.timed_out.len(), 1, "again after five seconds");
    let finish = Finish { attempt: late.timed_out[0].claim(), ..world.finish_of(&grant, completed(0)) };
    assert!(matches!(world.store.finish(finish).await.unwrap(), Finished::Accepted { .. }));
    let after = world.fire("a", 100_000).await;
    assert_eq!((after.timed_out.len(), after.next_due), (0, TimeMs(0)));
}

async fn an_attempt_that_nobody_begins_is_handed_out_to_be_given_up(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let new = |command| NewAttempt { start_by: TimeMs(300), ..activity(command) };
    let both = Turn { schedule: vec![new(0), new(1)], ..turn(&grant.record.head, 2) };
    assert_eq!(accepted(world.commit("a", "s1", 1, both, 20, offer("s1", 2, 0, 1)).await).attempts.len(), 1);
    let late = world.fire("a", 300).await.timed_out;
    assert_eq!(late.iter().map(|late| late.attempt.command).collect::<Vec<_>>(), [1], "the other one has begun");
    assert_eq!(late[0].claim(), AttemptClaim { command: 1, attempt: 1, session: String::new(), seq: 0 });
    let outcome = Outcome::Settled { event: r#"{"ActivityFailed":{"command":1}}"#.into() };
    let finish = Finish { run: run("a"), attempt: late[0].claim(), outcome, turn: None, key: String::new(), now: TimeMs(300), offer: None };
    assert!(matches!(world.store.finish(finish).await.unwrap(), Finished::Accepted { .. }));
    assert!(world.claim("a", "s1", 3, 8, 8, 300).await.attempts.is_empty(), "its place in the queue is void");
}

async fn only_the_first_start_is_awaited_and_the_end_of_all_attempts_bounds_each(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let both = NewAttempt { start_by: TimeMs(300), close_by: TimeMs(900), timeout_ms: 700, ..activity(0) };
    let turn = Turn { schedule: vec![both], ..turn(&grant.record.head, 2) };
    let attempt = accepted(world.commit("a", "s1", 1, turn, 20, offer("s1", 2, 0, 1)).await).attempts.remove(0);
    let retry = Outcome::Retry { at: TimeMs(280), error: String::new() };
    world.store.finish(Finish { outcome: retry, now: TimeMs(200), ..world.finish_of(&attempt, String::new()) }).await.unwrap();
    assert_eq!(world.fire("a", 280).await.retries, 1);
    assert_eq!(world.fire("a", 400).await.timed_out.len(), 0, "the first attempt began in time; the second may wait longer");
    let again = world.claim("a", "s1", 3, 8, 8, 400).await.attempts.remove(0);
    assert_eq!((again.attempt.attempt, world.fire("a", 400).await.next_due), (2, TimeMs(900)), "its lease ends with all attempts");
    assert!(
        world.store.release(Release { run: run("a"), what: Released::Attempt(claim_of(&again.attempt)), now: TimeMs(500) }).await.unwrap()
    );
    let late = world.fire("a", 900).await.timed_out;
    assert_eq!(late.iter().map(|late| (late.attempt.command, late.attempt.attempt)).collect::<Vec<_>>(), [(0, 2)]);
}

async fn closing_leaves_nothing_behind_but_what_is_kept_until_the_sweep(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let schedule: Vec<_> = (0..12).map(|n| NewAttempt { start_by: TimeMs(9_000), close_by: TimeMs(9_500), ..activity(n) }).collect();
    let turn = Turn { schedule, timers: vec![timer(20, 100)], next_command: 21, continued: true, ..turn(&grant.record.head, 2) };
    let grants = accepted(world.commit("a", "s1", 1, turn, 20, offer("s1", 2, 0, 5)).await);
    let retry = Outcome::Retry { at: TimeMs(400), error: String::new() };
    world.store.finish(Finish { outcome: retry, ..world.finish_of(&grants.attempts[0], String::new()) }).await.unwrap();
    world.deliver("a", &signal(1), "k", 15).await;
    let head = world.record("a").await.head;
    accepted(world.commit("a", "s1", 1, Turn { consumed: 1, next_command: 22, ..closing(&head, 3) }, 20, None).await);
    assert_eq!(world.record("a").await.status(), RunStatus::Completed);
    let after = world.fire("a", 100).await;
    assert_eq!((after.timers, after.next_due), (0, TimeMs(0)));
    assert!(world.claim("a", "s1", 9, 8, 8, 100).await.attempts.is_empty());
    let swept = world.store.sweep(place("a"), TimeMs(1_000)).await.unwrap();
    assert_eq!(swept, Swept { runs: 1, more: false });
    let counts = world.store.counts(place("a")).await.unwrap();
    assert_eq!(counts, Counts::default());
}
