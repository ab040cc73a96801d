//! Results and the optimistic turns that come with them.

use everloop::api::{RunStatus, TimeMs};
use everloop::machine::commit::{AttemptClaim, Refusal};
use everloop::machine::run::Phase;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    an_optimistic_turn_is_one_operation_per_step,
    a_refused_optimistic_turn_leaves_its_result_in_the_mailbox_once,
    an_optimistic_turn_passes_mail_once_and_takes_the_lease_with_it,
    passed_mail_without_a_slot_stays_in_its_place,
    passed_mail_prefers_whoever_took_the_last_turn,
    no_optimistic_turn_passes_a_cancel_or_closes_over_mail,
    a_run_goes_from_start_to_end_in_three_operations,
);

async fn an_optimistic_turn_is_one_operation_per_step(world: World) {
    let first = world.running("a", "s1", &[1], 10).await.remove(0);
    let next = Turn { consumed: 0, ..scheduling("0000000000000001", 2, &[2]) };
    let claim = claim_of(&first.attempt);
    let (turn, grants) = finished(world.finish("a", claim.clone(), Some(next.clone()), 20, offer("s1", 3, 1, 1)).await);
    assert_eq!(turn, Some(Ok(())));
    assert_eq!(grants.turns, []);
    let second = &grants.attempts[0];
    assert_eq!((second.attempt.command, second.attempt.seq, &*second.entry), (2, 3, ""));
    let state = world.state("a").await;
    assert_eq!((state.record.phase, state.record.turns, state.record.mail), (Phase::Waiting, 2, 0));
    assert_eq!(state.last, next.entry.with_events(&[completed(1)]));

    // The answer was lost.
    let (turn, again) = finished(world.finish("a", claim.clone(), Some(next), 21, offer("s1", 3, 1, 1)).await);
    assert_eq!(turn, Some(Ok(())));
    assert_eq!(again.attempts[0].attempt, second.attempt);
    assert_eq!(world.state("a").await, state);
    assert_eq!(world.finish("a", claim, None, 22, None).await, Finished::AttemptLost, "it is settled");

    // The last step closes the run, and its repeat is known too.
    let close = Turn { consumed: 0, ..closing("0000000000000002", 3) };
    for now in [30, 31] {
        let answer = world.finish("a", claim_of(&second.attempt), Some(close.clone()), now, offer("s1", 4, 1, 1)).await;
        assert_eq!(finished(answer), (Some(Ok(())), Grants::default()));
    }
    assert_eq!(world.record("a").await.phase, Phase::Closed);
}

async fn a_refused_optimistic_turn_leaves_its_result_in_the_mailbox_once(world: World) {
    let attempts = world.running("a", "s1", &[1, 2, 3], 10).await;
    let wrong = Turn { consumed: 0, ..turn("00000000000000ff", 2) };
    let claim = claim_of(&attempts[0].attempt);
    let (turn_of, grants) = finished(world.finish("a", claim.clone(), Some(wrong.clone()), 20, offer("s1", 3, 1, 0)).await);
    assert_eq!(turn_of, Some(Err(Refusal::HeadMoved)));
    assert_eq!(grants.turns[0].events, [completed(1)], "the run became ready, and its turn goes to who waits");
    assert_eq!(world.finish("a", claim, Some(wrong), 21, None).await, Finished::AttemptLost);
    // Now that the lease is out, not even its own session passes it.
    let next = Turn { consumed: 0, ..turn("0000000000000001", 2) };
    let answer = world.finish("a", claim_of(&attempts[1].attempt), Some(next.clone()), 22, offer("s1", 4, 1, 1)).await;
    assert_eq!(finished(answer), (Some(Err(Refusal::LeaseLost)), Grants::default()));
    assert_eq!(world.record("a").await.mail, 2);
    let paused = ControlKind::Pause { blocked: PAUSED.into() };
    assert!(matches!(world.control("a", paused, 0x77, 23).await, Controlled::Done(_)));
    let answer = world.finish("a", claim_of(&attempts[2].attempt), Some(next), 24, None).await;
    assert_eq!(finished(answer).0, Some(Err(Refusal::Blocked)));
    let record = world.record("a").await;
    assert_eq!((record.phase, record.mail, record.attempts.len()), (Phase::Blocked, 3, 0));
    assert_eq!(
        world.finish("none", AttemptClaim { command: 1, attempt: 1, session: "s1".into(), seq: 1 }, None, 25, None).await,
        Finished::NotFound
    );
}

async fn an_optimistic_turn_passes_mail_once_and_takes_the_lease_with_it(world: World) {
    let attempts = world.running("a", "s1", &[1, 2], 10).await;
    world.deliver("a", &signal(1), "", 15).await;
    assert_eq!(world.record("a").await.phase, Phase::Ready);
    let over = Turn { consumed: 0, ..turn("0000000000000001", 2) };
    let answer = world.finish("a", claim_of(&attempts[0].attempt), Some(over), 20, offer("s1", 3, 1, 0)).await;
    let (turn_of, grants) = finished(answer);
    assert_eq!(turn_of, Some(Ok(())));
    assert_eq!((grants.turns[0].events.as_slice(), grants.turns[0].record.turns), ([signal(1)].as_slice(), 2));
    let again = Turn { consumed: 0, ..turn("0000000000000002", 3) };
    let answer = world.finish("a", claim_of(&attempts[1].attempt), Some(again), 21, offer("s1", 4, 1, 0)).await;
    assert_eq!(finished(answer).0, Some(Err(Refusal::LeaseLost)));
    let both = Turn { consumed: 2, ..turn("0000000000000002", 3) };
    accepted(world.commit("a", "s1", 3, both, 22, None).await);
    let journal = world.journal("a").await;
    assert!(journal[2].contains(&format!("{},{}", signal(1), completed(2))), "{}", journal[2]);
}

async fn passed_mail_without_a_slot_stays_in_its_place(world: World) {
    let attempts = world.running("a", "s1", &[1], 10).await;
    world.open("s2").await;
    world.deliver("a", &signal(1), "", 100).await;
    let over = Turn { consumed: 0, ..turn("0000000000000001", 2) };
    let answer = world.finish("a", claim_of(&attempts[0].attempt), Some(over), 140, offer("s1", 3, 0, 0)).await;
    assert_eq!(finished(answer), (Some(Ok(())), Grants::default()));
    assert_eq!(world.record("a").await.phase, Phase::Ready);
    let grants = world.claim("a", "s2", 1, 1, 0, 150).await;
    assert_eq!(grants.turns[0].events, [signal(1)], "the 50 ms count from the first mail on");
}

async fn passed_mail_prefers_whoever_took_the_last_turn(world: World) {
    let grant = world.leased("a", "s2", 10).await;
    world.open("s1").await;
    let passing = Turn { consumed: 0, ..scheduling(&grant.record.head, 2, &[0]) };
    let attempt = accepted(world.commit("a", "s2", 1, passing, 20, offer("s1", 2, 0, 1)).await).attempts.remove(0).attempt;
    let over = Turn { consumed: 0, ..turn("0000000000000002", 3) };
    assert_eq!(finished(world.finish("a", claim_of(&attempt), Some(over), 30, None).await).0, Some(Ok(())));
    let Claimed::Granted { grants, more, next_at } = world.try_claim("a", "s2", 3, 1, 0, 40).await else { panic!("s2 lives") };
    assert_eq!((grants.turns.len(), more, next_at), (0, false, TimeMs(20 + everloop::api::limits::AFFINITY.0)));
    assert_eq!(world.claim("a", "s1", 4, 1, 0, 40).await.turns.len(), 1);
}

async fn no_optimistic_turn_passes_a_cancel_or_closes_over_mail(world: World) {
    let attempts = world.running("a", "s1", &[1, 2], 10).await;
    world.deliver("a", &signal(1), "", 20).await;
    let close = Turn { consumed: 0, ..closing("0000000000000001", 2) };
    let answer = world.finish("a", claim_of(&attempts[0].attempt), Some(close), 21, None).await;
    assert_eq!(finished(answer).0, Some(Err(Refusal::MailWaits)));
    world.deliver("a", CANCEL, "c", 22).await;
    assert_eq!(world.deliver("a", CANCEL, "c", 22).await, Delivered::Repeat);
    let over = Turn { consumed: 0, ..turn("0000000000000001", 2) };
    let answer = world.finish("a", claim_of(&attempts[1].attempt), Some(over.clone()), 23, None).await;
    assert_eq!(finished(answer).0, Some(Err(Refusal::MailWaits)));
    let record = world.record("a").await;
    assert_eq!((record.mail, record.mail_cancel, record.turns), (4, 1, 1));
    // Once the cancel is consumed, optimistic turns are taken again.
    let grant = world.claim("a", "s1", 5, 1, 0, 24).await.turns.remove(0);
    let all = Turn { consumed: 4, ..scheduling(&grant.record.head, 2, &[3]) };
    let attempts = accepted(world.commit("a", "s1", 5, all, 25, offer("s1", 6, 0, 1)).await).attempts;
    assert_eq!(world.record("a").await.mail_cancel, 0);
    let step = Turn { consumed: 0, at: TimeMs(26), ..turn("0000000000000002", 3) };
    assert_eq!(finished(world.finish("a", claim_of(&attempts[0].attempt), Some(step), 26, None).await).0, Some(Ok(())));
}

async fn a_run_goes_from_start_to_end_in_three_operations(world: World) {
    let mut watch = world.store.watch();
    let grant = world.stepping("a", "s1").await;
    assert_eq!((grant.attempt.command, &*grant.entry, grant.attempt.session.as_str()), (0, "", "s1"));
    let last = Turn { consumed: 0, ..closing(&world.record("a").await.head, 3) };
    let finish = Finish { turn: Some(last), offer: offer("s1", 3, 1, 1), ..world.finish_of(&grant, completed(0)) };
    let ended = Finished::Accepted { turn: Some(Ok(())), grants: Grants::default(), at: finish.now };
    assert_eq!(world.store.finish(finish.clone()).await.unwrap(), ended);
    assert_eq!(world.store.finish(Finish { now: TimeMs(finish.now.0 + 9), ..finish.clone() }).await.unwrap(), ended, "a repeat");
    let state = world.store.run(&run("a")).await.unwrap().unwrap();
    assert_eq!(state.record.closed_at, finish.now);
    assert_eq!(state.record.status(), RunStatus::Completed);
    assert_eq!((state.record.turns, state.record.mail, state.record.attempts.len()), (2, 0, 0));
    assert_eq!(state.first, STARTED);
    assert!(state.last.contains(&completed(0)));
    let entries = world.journal("a").await;
    assert_eq!(entries[0], turn("0000000000000000", 2).entry.with_events(&[STARTED]));
    assert_eq!(entries.iter().map(|e| e.len() as u64).sum::<u64>(), state.record.journal_bytes);
    assert_eq!(watch.recv().await.unwrap(), Wake::Closed(run("a")), "nothing else was published: all was granted");
}
