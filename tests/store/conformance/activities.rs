//! Finish, claim and extend: attempts.

use everloop::api::{RunStatus, TimeMs};
use everloop::machine::activity::AttemptPhase;
use everloop::machine::commit::{AttemptClaim, Refusal};
use everloop::machine::record::EXTERNAL;
use everloop::machine::run::Phase;
use everloop::machine::turn::NewAttempt;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    rule_2_a_result_counts_once_and_only_from_its_holder,
    a_result_known_by_its_key_counts_once_and_is_answered_as_done,
    rule_2_a_refused_optimistic_turn_leaves_the_result_in_the_mailbox,
    rule_3_a_turn_that_passes_mail_is_given_that_mail_next,
    an_activity_is_granted_at_once_unless_the_queue_has_an_older_head_or_fairness_forbids,
    a_retry_waits_for_its_time_and_then_is_the_next_attempt,
    many_open_activities_stand_beside_the_record_and_all_of_them_end,
    a_claim_repeated_hands_out_what_it_was_granted_and_a_new_one_does_not,
    an_external_queue_is_served_under_the_request_number_and_its_leases_can_be_extended,
    a_released_attempt_is_queued_with_its_number_and_no_loss,
    outcomes_that_come_together_count_once_each_and_the_turn_after_them_has_all,
);

/// The outcome counts, what became of the turn is this, and nothing was granted.
fn is_settled(answer: Finished, turn: Option<Result<(), Refusal>>) -> bool {
    finished(answer) == (turn, Grants::default())
}

async fn rule_2_a_result_counts_once_and_only_from_its_holder(world: World) {
    let grant = world.stepping("a", "s1").await;
    let finish = world.finish_of(&grant, completed(0));
    let claim = finish.attempt.clone();
    for wrong in [
        AttemptClaim { attempt: 2, ..claim.clone() },
        AttemptClaim { command: 1, ..claim.clone() },
        AttemptClaim { session: "s2".into(), ..claim.clone() },
        AttemptClaim { seq: 9, ..claim.clone() },
        AttemptClaim { session: String::new(), seq: 0, ..claim },
    ] {
        assert_eq!(
            world.store.finish(Finish { attempt: wrong.clone(), ..finish.clone() }).await.unwrap(),
            Finished::AttemptLost,
            "{wrong:?}"
        );
    }
    assert_eq!(world.store.finish(Finish { run: run("none"), ..finish.clone() }).await.unwrap(), Finished::NotFound);
    assert!(is_settled(world.store.finish(finish.clone()).await.unwrap(), None));
    assert_eq!(world.store.finish(finish).await.unwrap(), Finished::AttemptLost, "a repeat");
    let grants = world.claim("a", "s1", 3, 8, 8, 30).await;
    assert_eq!(grants.turns[0].events, [completed(0)]);
}

async fn a_result_known_by_its_key_counts_once_and_is_answered_as_done(world: World) {
    let grant = world.stepping("a", "s1").await;
    let keyed = Finish { key: "k".into(), ..world.finish_of(&grant, completed(0)) };
    for _ in 0..2 {
        assert!(is_settled(world.store.finish(keyed.clone()).await.unwrap(), None));
    }
    let other = Finish { key: "other".into(), ..keyed.clone() };
    assert_eq!(world.store.finish(other).await.unwrap(), Finished::AttemptLost);
    let work = world.claim("a", "s1", 3, 8, 8, 30).await.turns.remove(0);
    assert_eq!(work.events, [completed(0)]);
    accepted(world.commit("a", "s1", 3, closing(&work.record.head, 3), 40, None).await);
    assert!(is_settled(world.store.finish(keyed).await.unwrap(), None), "after the end too");
}

async fn rule_2_a_refused_optimistic_turn_leaves_the_result_in_the_mailbox(world: World) {
    let refusals =
        [("head", Refusal::HeadMoved), ("lease", Refusal::LeaseLost), ("cancel", Refusal::MailWaits), ("close", Refusal::MailWaits)];
    for (id, refusal) in refusals {
        let grant = world.stepping(id, "s1").await;
        let head = world.record(id).await.head;
        let mut turn = Turn { consumed: 0, ..scheduling(&head, 3, &[1]) };
        match id {
            "head" => turn.base = everloop::api::Head(77),
            "lease" => {
                world.deliver(id, &signal(1), "k", 15).await;
                assert!(world.claim(id, "s1", 3, 8, 8, 30).await.turns.iter().any(|grant| grant.run == run(id)));
            }
            "cancel" => drop(world.deliver(id, CANCEL, "k", 15).await),
            _ => {
                world.deliver(id, &signal(1), "k", 15).await;
                turn.close = Some(RunStatus::Completed);
            }
        }
        let finish = Finish { turn: Some(turn), ..world.finish_of(&grant, completed(0)) };
        assert!(is_settled(world.store.finish(finish.clone()).await.unwrap(), Some(Err(refusal))), "{id}");
        assert_eq!(world.store.finish(finish).await.unwrap(), Finished::AttemptLost, "{id}: the result is there once");
        let record = world.record(id).await;
        assert_eq!((record.head, record.attempts.len(), record.mail > 0), (head, 0, true), "{id}");
    }
}

async fn rule_3_a_turn_that_passes_mail_is_given_that_mail_next(world: World) {
    for (id, slots) in [("a", 1), ("b", 0)] {
        let grant = world.stepping(id, "s1").await;
        world.deliver(id, &signal(1), "k", 15).await;
        let turn = Turn { consumed: 0, ..scheduling(&world.record(id).await.head, 3, &[1]) };
        let finish = Finish { turn: Some(turn), offer: offer("s1", 3, slots, 1), ..world.finish_of(&grant, completed(0)) };
        let Finished::Accepted { turn: Some(Ok(())), grants, .. } = world.store.finish(finish.clone()).await.unwrap() else {
            panic!("{id}: accepted")
        };
        assert_eq!(grants.attempts.len(), 1);
        let record = world.record(id).await;
        if slots == 1 {
            assert_eq!(grants.turns, [TurnGrant { run: run(id), record, events: vec![signal(1)], now: grants.turns[0].now }]);
            assert_eq!(world.store.counts(place(id)).await.unwrap().ready_turns.len(), 0);
        } else {
            assert_eq!((grants.turns.len(), record.phase), (0, Phase::Ready));
        }
        let Finished::Accepted { turn: Some(Ok(())), grants: again, .. } = world.store.finish(finish).await.unwrap() else {
            panic!("{id}: a repeat")
        };
        let again = (without_clock(again.turns), again.attempts[0].attempt.clone());
        assert_eq!(again, (without_clock(grants.turns), grants.attempts[0].attempt.clone()));
    }
}

async fn an_activity_is_granted_at_once_unless_the_queue_has_an_older_head_or_fairness_forbids(world: World) {
    // Both in one partition: children of one parent.
    let first = world.leased("p/1", "s1", 10).await;
    assert_eq!(accepted(world.commit("p/1", "s1", 1, scheduling(&first.record.head, 2, &[0]), 20, None).await), Grants::default());
    let grant = world.leased("p/2", "s1", 10).await;
    let commit = |now, id, turn, offer| Commit { run: run(id), session: session("s1"), seq: 1, turn, now: TimeMs(now), offer };
    let close = commit(39, "p/2", scheduling(&grant.record.head, 3, &[0]), offer("s1", 2, 0, 1));
    let Committed::Accepted { grants, .. } = world.store.commit(close).await.unwrap() else { panic!("accepted") };
    assert_eq!(grants.attempts.len(), 1, "the head is younger than 20 ms");
    let grant = world.leased("p/3", "s1", 10).await;
    let late = commit(40, "p/3", scheduling(&grant.record.head, 3, &[0]), offer("s1", 2, 0, 1));
    assert_eq!(world.store.commit(late).await.unwrap(), Committed::Accepted { grants: Grants::default(), at: TimeMs(40) });
    let fair = || offer("s1", 2, 0, 1).map(|offer| Offer { fair: true, ..offer });
    let grant = world.leased("p/4", "s1", 10).await;
    assert_eq!(accepted(world.commit("p/4", "s1", 1, scheduling(&grant.record.head, 3, &[0]), 20, fair()).await), Grants::default());
    let other = (0..64).map(|n| format!("q{n}")).find(|id| place(id) != place("p/1")).expect("two partitions");
    let grant = world.leased(&other, "s1", 10).await;
    assert_eq!(
        accepted(world.commit(&other, "s1", 1, scheduling(&grant.record.head, 3, &[0]), 20, fair()).await).attempts.len(),
        1,
        "nobody waits"
    );
    let order: Vec<_> = world.claim("p/1", "s1", 5, 8, 8, 40).await.attempts.into_iter().map(|a| a.run).collect();
    assert_eq!(order, [run("p/1"), run("p/3"), run("p/4")], "first come, first served");
}

async fn a_retry_waits_for_its_time_and_then_is_the_next_attempt(world: World) {
    let grant = world.stepping("a", "s1").await;
    let retry = Outcome::Retry { at: TimeMs(500), error: "HttpError: 503".into() };
    let finish = Finish { outcome: retry, ..world.finish_of(&grant, String::new()) };
    assert!(is_settled(world.store.finish(finish.clone()).await.unwrap(), None));
    assert_eq!(world.store.finish(finish).await.unwrap(), Finished::AttemptLost, "a repeat");
    let attempt = world.record("a").await.attempts.remove(0);
    assert_eq!((attempt.phase, attempt.attempt, attempt.last_error.as_str()), (AttemptPhase::BackingOff, 1, "HttpError: 503"));
    let fired = world.fire("a", 499).await;
    assert_eq!((fired.retries, fired.next_due), (0, TimeMs(500)));
    assert_eq!(world.fire("a", 500).await.retries, 1);
    let grants = world.claim("a", "s1", 3, 8, 8, 500).await;
    assert_eq!((grants.attempts[0].attempt.attempt, grants.attempts[0].attempt.started_at), (2, TimeMs(500)));
    assert_eq!(*grants.attempts[0].entry, world.journal("a").await[0]);
}

async fn many_open_activities_stand_beside_the_record_and_all_of_them_end(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let schedule = (0..20).map(activity).collect();
    let turn = Turn { schedule, next_command: 20, ..turn(&grant.record.head, 2) };
    let granted = accepted(world.commit("a", "s1", 1, turn, 20, offer("s1", 2, 0, 10)).await).attempts;
    assert_eq!(granted.len(), 10);
    let record = world.record("a").await;
    assert_eq!(record.attempts.iter().map(|a| a.command).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    for grant in granted.iter().chain(&world.claim("a", "s1", 3, 0, 100, 20).await.attempts) {
        assert!(matches!(
            world.store.finish(world.finish_of(grant, completed(grant.attempt.command))).await.unwrap(),
            Finished::Accepted { .. }
        ));
    }
    let record = world.record("a").await;
    assert_eq!((record.attempts.len(), record.attempts_beside, record.mail), (0, 0, 20));
}

async fn a_claim_repeated_hands_out_what_it_was_granted_and_a_new_one_does_not(world: World) {
    world.open("s1").await;
    for n in 0..3 {
        world.store.start(world.start_of(&format!("p/{n}"), 10)).await.unwrap();
    }
    let Claimed::Granted { grants, more, .. } = world.try_claim("p/0", "s1", 1, 2, 0, 20).await else { panic!("s1 lives") };
    assert_eq!((grants.turns.len(), more), (2, true));
    let repeat = Claim { again: true, ..world.claim_by(place("p/0"), "s1", 1, 2, 0, 20) };
    let Claimed::Granted { grants: again, more, .. } = world.store.claim(repeat).await.unwrap() else { panic!("s1 lives") };
    // It is the same lease, told at a later time.
    assert!(again.turns.iter().zip(&grants.turns).all(|(again, first)| again.now >= first.now));
    assert_eq!((again.attempts.clone(), without_clock(again.turns), more), (grants.attempts.clone(), without_clock(grants.turns), true));
    assert_eq!(world.claim("p/0", "s1", 2, 8, 8, 20).await.turns.len(), 1);
    assert_eq!(world.try_claim("p/0", "unknown", 1, 1, 1, 20).await, Claimed::SessionLost);
}

async fn an_external_queue_is_served_under_the_request_number_and_its_leases_can_be_extended(world: World) {
    let mut watch = world.store.watch();
    let grant = world.leased("a", "s1", 10).await;
    let new = NewAttempt { queue: "shop/drivers".into(), heartbeat_ms: 400, ..activity(0) };
    let turn = Turn { schedule: vec![new], ..turn(&grant.record.head, 2) };
    assert_eq!(accepted(world.commit("a", "s1", 1, turn, 20, offer("s1", 2, 1, 1)).await), Grants::default());
    let partition = place("a");
    assert_eq!(watch.recv().await.unwrap(), Wake::Queue { partition, queue: "shop/drivers".into() });
    let seq = (1 << 53) - 7;
    let by = Claimer::External { queue: "shop/drivers".into() };
    let claim = Claim { partition, by, seq, turns: 0, attempts: 5, again: false, now: TimeMs(100) };
    let Claimed::Granted { grants, .. } = world.store.claim(claim.clone()).await.unwrap() else { panic!("granted") };
    assert_eq!((grants.attempts[0].attempt.session.as_str(), grants.attempts[0].attempt.seq), (EXTERNAL, seq));
    let again = world.store.claim(Claim { again: true, ..claim }).await.unwrap();
    assert_eq!(again, Claimed::Granted { grants: grants.clone(), more: false, next_at: TimeMs(0) });
    let held = claim_of(&grants.attempts[0].attempt);
    assert_eq!(world.fire("a", 100).await.next_due, TimeMs(500), "the first sign of life is due 400 ms after the lease");
    assert_eq!(world.store.extend(&run("a"), &held, TimeMs(450)).await.unwrap(), Some(TimeMs(850)));
    assert_eq!(world.store.extend(&run("a"), &held, TimeMs(800)).await.unwrap(), Some(TimeMs(1_100)), "its time is over then");
    assert_eq!(world.store.extend(&run("a"), &AttemptClaim { seq: 1, ..held }, TimeMs(800)).await.unwrap(), None);
    assert_eq!(world.fire("a", 1_099).await.timed_out.len(), 0);
    assert_eq!(world.fire("a", 1_100).await.timed_out.len(), 1);
    let late = claim_of(&grants.attempts[0].attempt);
    assert_eq!(world.store.extend(&run("a"), &late, TimeMs(1_150)).await.unwrap(), Some(TimeMs(1_150)), "its time was over before");
    let finish = world.finish_of(&grants.attempts[0], completed(0));
    assert!(is_settled(world.store.finish(finish).await.unwrap(), None));
    assert_eq!(world.fire("a", 100_000).await.timed_out.len(), 0);
}

async fn a_released_attempt_is_queued_with_its_number_and_no_loss(world: World) {
    let grant = world.stepping("a", "s1").await;
    let release = Release { run: run("a"), what: Released::Attempt(claim_of(&grant.attempt)), now: TimeMs(30) };
    assert!(world.store.release(release.clone()).await.unwrap());
    assert!(!world.store.release(release).await.unwrap(), "a repeat");
    let counts = world.store.counts(place("a")).await.unwrap();
    assert_eq!(counts.queued_attempts, [("pool:default".to_owned(), 1)].into());
    let attempt = world.claim("a", "s1", 3, 8, 8, 30).await.attempts.remove(0).attempt;
    assert_eq!((attempt.attempt, attempt.losses, attempt.seq), (1, 0, 3));
}

async fn outcomes_that_come_together_count_once_each_and_the_turn_after_them_has_all(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let turn = Turn { schedule: (0..12).map(activity).collect(), next_command: 12, ..turn(&grant.record.head, 2) };
    let granted = accepted(world.commit("a", "s1", 1, turn, 20, offer("s1", 2, 0, 12)).await).attempts;
    assert_eq!(granted.len(), 12);
    let settlement = |command: u32| Settlement {
        attempt: claim_of(&granted[command as usize].attempt),
        outcome: Outcome::Settled { event: completed(command) },
        key: format!("k{command}"),
    };
    let again = Settlement { outcome: Outcome::Retry { at: TimeMs(500), error: "HttpError: 503".into() }, ..settlement(11) };
    let foreign = Settlement { attempt: AttemptClaim { seq: 9, ..settlement(5).attempt }, ..settlement(5) };
    let mut outcomes: Vec<_> = (0..10).filter(|command| *command != 5).map(settlement).collect();
    outcomes.extend([again, foreign, settlement(3)]);
    let mut counts = vec![true; 12];
    counts[10] = false;
    let settle = Settle { run: run("a"), outcomes, now: TimeMs(40), offer: offer("s1", 7, 1, 0) };
    let settled = world.store.settle(settle.clone()).await.unwrap();
    assert_eq!(settled.counts, counts, "the attempt of another lease does not count; what comes twice is known");
    let events: Vec<_> = (0..10).filter(|command| *command != 5).map(completed).collect();
    assert_eq!((settled.grants.turns.len(), &settled.grants.turns[0].events), (1, &events));
    assert_eq!((settled.grants.turns[0].record.mail, settled.grants.turns[0].record.seq), (9, 7));
    let repeat = world.store.settle(settle.clone()).await.unwrap();
    assert_eq!(repeat, Settled { counts, grants: Grants::default() });
    let record = world.record("a").await;
    let left: Vec<_> = record.attempts.iter().map(|attempt| (attempt.command, attempt.phase)).collect();
    assert_eq!(left, [(5, AttemptPhase::Leased), (10, AttemptPhase::Leased), (11, AttemptPhase::BackingOff)]);
    assert_eq!(record.mail, 9);
    let nowhere = Settle { run: run("none"), ..settle };
    assert_eq!(world.store.settle(nowhere).await.unwrap(), Settled { counts: vec![false; 12], grants: Grants::default() });
    // What waits for its next try is ended by the service in the same operation: the last word counts.
    let retry = Settlement { outcome: Outcome::Retry { at: TimeMs(500), error: "HttpError: 503".into() }, ..settlement(10) };
    let by_service = |command| Settlement {
        attempt: AttemptClaim { session: String::new(), seq: 0, ..settlement(command).attempt },
        key: String::new(),
        ..settlement(command)
    };
    let given_up = Settle { run: run("a"), outcomes: vec![by_service(11), retry, by_service(10)], now: TimeMs(41), offer: None };
    assert_eq!(world.store.settle(given_up).await.unwrap().counts, [true, true, true]);
    let record = world.record("a").await;
    assert_eq!((record.mail, record.attempts.len(), record.attempts_beside), (11, 1, 0));
}
