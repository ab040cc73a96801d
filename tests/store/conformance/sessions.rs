//! Sessions: open, renew, end, expire.

use everloop::api::TimeMs;
use everloop::api::limits::{ATTEMPT_LOSSES_MAX, SLICE_MAX, TURN_DEATHS_MAX, TURN_SUSPECT_DEATHS};
use everloop::machine::commit::Refusal;
use everloop::machine::run::Phase;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    all_leases_of_a_session_are_listed_by_name,
    a_session_that_has_ended_is_refused_for_ever_and_its_leases_go_back,
    between_tombstone_and_release_nothing_of_a_session_is_accepted,
    a_session_is_marked_to_be_drained_until_then_or_until_it_is_taken_back,
    sessions_expire_at_their_deadline_and_not_when_they_are_renewed,
    rule_4_an_attempt_lost_too_often_fails_with_worker_lost,
    rule_4_deaths_make_a_leased_turn_a_suspect_and_one_in_execution_is_blocked_at_the_fourth,
    an_offer_is_used_unless_another_living_session_has_the_run_in_memory,
);

async fn a_session_that_has_ended_is_refused_for_ever_and_its_leases_go_back(world: World) {
    let (s1, partition) = (session("s1"), place("p/1"));
    let attempt = world.stepping("p/1", "s1").await;
    let turn_grant = world.leased("p/2", "s1", 10).await;
    assert_eq!(world.store.counts(partition).await.unwrap().leases, [("s1".to_owned(), 2)].into());
    let ended = world.store.end_session(partition, &s1, &Ending::Death { executing: vec![run("p/2")] }, TimeMs(40)).await.unwrap();
    assert_eq!(ended, Ended { turns: 1, attempts: 1, more: false });
    assert_eq!(world.store.end_session(partition, &s1, &Ending::Goodbye, TimeMs(40)).await.unwrap(), Ended::default(), "a repeat");

    assert!(!world.store.open_session(partition, &s1, &name(POOL), LATE).await.unwrap());
    assert!(!world.store.renew_session(partition, &s1, LATE).await.unwrap());
    assert_eq!(world.try_claim("p/1", "s1", 9, 1, 1, 40).await, Claimed::SessionLost);
    assert_eq!(world.store.finish(world.finish_of(&attempt, completed(0))).await.unwrap(), Finished::AttemptLost);
    let commit = world.commit("p/2", "s1", 1, turn(&turn_grant.record.head, 2), 20, None).await;
    assert_eq!(commit, Committed::Refused(Refusal::LeaseLost));

    world.open("s2").await;
    let grants = world.claim("p/1", "s2", 1, 8, 8, 40).await;
    assert_eq!((grants.attempts[0].attempt.attempt, grants.attempts[0].attempt.losses), (1, 1));
    assert_eq!((grants.turns[0].record.deaths, grants.turns[0].record.epoch), (1, 2));
    let start = Start { offer: offer("s1", 9, 1, 1), ..world.start_of("p/3", 10) };
    assert!(matches!(world.store.start(start).await.unwrap(), Started::New { grant: None, .. }), "its offers are none");
}

async fn rule_4_deaths_make_a_leased_turn_a_suspect_and_one_in_execution_is_blocked_at_the_fourth(world: World) {
    let ends = async |n: u64, ending: Ending| {
        let by = format!("s{n}");
        if n == 0 {
            world.leased("a", &by, 10).await;
        } else {
            world.open(&by).await;
            assert_eq!(world.claim("a", &by, 1, 1, 0, 10 + n).await.turns.len(), 1, "it is ready again");
        }
        world.store.end_session(place("a"), &session(&by), &ending, TimeMs(10 + n)).await.unwrap();
        let record = world.state("a").await.record;
        (record.deaths, record.phase)
    };
    let leased = || Ending::Death { executing: Vec::new() };
    let executing = || Ending::Death { executing: vec![run("a")] };
    assert_eq!(ends(0, Ending::Goodbye).await, (0, Phase::Ready));
    assert_eq!(ends(1, leased()).await, (1, Phase::Ready));
    assert_eq!(ends(2, leased()).await, (TURN_SUSPECT_DEATHS, Phase::Ready));
    assert_eq!(ends(3, leased()).await, (TURN_SUSPECT_DEATHS, Phase::Ready), "who was only leased is never more than a suspect");
    assert_eq!(ends(4, executing()).await, (3, Phase::Ready));
    assert_eq!(ends(5, Ending::Goodbye).await, (3, Phase::Ready));
    assert_eq!(ends(6, executing()).await, (TURN_DEATHS_MAX, Phase::Blocked));
    let blocked = world.state("a").await.record.blocked;
    assert!(blocked.contains("TurnKilledWorker"), "{blocked}");
}

async fn between_tombstone_and_release_nothing_of_a_session_is_accepted(world: World) {
    let partition = place("p/1");
    let grant = world.leased("p/1", "s1", 10).await;
    let schedule = (0..SLICE_MAX as u32 + 50).map(activity).collect();
    let turn = Turn { schedule, next_command: 1_000, ..turn(&grant.record.head, 2) };
    let granted = accepted(world.commit("p/1", "s1", 1, turn, 20, offer("s1", 2, 0, 1_000)).await).attempts;
    assert_eq!(granted.len(), SLICE_MAX + 50);
    let first = world.store.end_session(partition, &session("s1"), &Ending::Goodbye, TimeMs(40)).await.unwrap();
    assert_eq!(first, Ended { turns: 0, attempts: SLICE_MAX as u32, more: true });
    for grant in &granted {
        assert_eq!(world.store.finish(world.finish_of(grant, completed(grant.attempt.command))).await.unwrap(), Finished::AttemptLost);
    }
    assert_eq!(world.store.expired_sessions(partition, TimeMs(40)).await.unwrap(), [session("s1")], "its end is not finished");
    let second = world.store.end_session(partition, &session("s1"), &Ending::Goodbye, TimeMs(40)).await.unwrap();
    assert_eq!(second, Ended { turns: 0, attempts: 50, more: false });
    assert!(world.store.expired_sessions(partition, TimeMs(40)).await.unwrap().is_empty());
}

async fn a_session_is_marked_to_be_drained_until_then_or_until_it_is_taken_back(world: World) {
    let partition = place("a");
    let drain = async |by: &str, until, now| world.store.drain_session(partition, &session(by), TimeMs(until), TimeMs(now)).await.unwrap();
    let marks = async || {
        let mut marks = world.store.draining(partition).await.unwrap();
        marks.sort();
        marks
    };
    assert!(!drain("s1", 100, 10).await, "never opened");
    world.open("s1").await;
    world.open("s2").await;
    let mut all = world.store.sessions(partition).await.unwrap();
    all.sort();
    assert_eq!(all, [session("s1"), session("s2")]);
    assert_eq!(marks().await, []);
    assert!(drain("s1", 100, 10).await && drain("s2", 200, 10).await && drain("s1", 150, 20).await);
    assert!(world.store.renew_session(partition, &session("s1"), LATE).await.unwrap());
    assert_eq!(marks().await, [(session("s1"), TimeMs(150)), (session("s2"), TimeMs(200))], "renewing the session leaves the mark");
    world.start("a", 10).await;
    assert_eq!(world.claim("a", "s1", 1, 1, 0, 20).await.turns.len(), 1, "that nothing is granted is not the store's affair");
    assert!(drain("s1", 0, 30).await);
    assert_eq!(marks().await, [(session("s2"), TimeMs(200))]);
    world.store.end_session(partition, &session("s2"), &Ending::Goodbye, TimeMs(40)).await.unwrap();
    assert!(!drain("s2", 500, 300).await, "it has ended");
    assert_eq!(marks().await, [], "and so has its mark");
    assert_eq!(world.store.sessions(partition).await.unwrap(), [session("s1")]);
}

async fn sessions_expire_at_their_deadline_and_not_when_they_are_renewed(world: World) {
    let partition = place("a");
    let open = |by: &'static str, deadline| async move { (by, deadline) };
    for (by, deadline) in [open("s1", 100).await, open("s2", 200).await] {
        assert!(world.store.open_session(partition, &session(by), &name(POOL), TimeMs(deadline)).await.unwrap());
    }
    assert_eq!(world.store.expired_sessions(partition, TimeMs(99)).await.unwrap(), []);
    assert_eq!(world.store.expired_sessions(partition, TimeMs(100)).await.unwrap(), [session("s1")]);
    assert!(world.store.renew_session(partition, &session("s1"), TimeMs(300)).await.unwrap());
    assert_eq!(world.store.expired_sessions(partition, TimeMs(200)).await.unwrap(), [session("s2")]);
    assert!(!world.store.renew_session(partition, &session("s3"), TimeMs(300)).await.unwrap(), "never opened");
}

async fn rule_4_an_attempt_lost_too_often_fails_with_worker_lost(world: World) {
    let partition = place("a");
    world.stepping("a", "s0").await;
    for n in 0..ATTEMPT_LOSSES_MAX {
        world.store.end_session(partition, &session(&format!("s{n}")), &Ending::Goodbye, TimeMs(40)).await.unwrap();
        let next = format!("s{}", n + 1);
        world.open(&next).await;
        let grants = world.claim("a", &next, 1, 8, 8, 100).await;
        if n + 1 < ATTEMPT_LOSSES_MAX {
            assert_eq!((grants.attempts[0].attempt.attempt, grants.attempts[0].attempt.losses), (1, n + 1));
        } else {
            assert!(grants.attempts.is_empty());
            assert!(grants.turns[0].events[0].contains("WorkerLost"), "{grants:?}");
            let event: everloop::api::Event = serde_json::from_str(&grants.turns[0].events[0]).unwrap();
            assert_eq!(event.command(), Some(0));
        }
    }
}

async fn an_offer_is_used_unless_another_living_session_has_the_run_in_memory(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    accepted(world.commit("a", "s1", 1, turn(&grant.record.head, 2), 20, None).await);
    world.open("s2").await;
    let by = |offer| Deliver { offer, ..world.delivery("a", &signal(1), "") };
    assert_eq!(world.store.deliver(by(offer("s2", 1, 1, 0))).await.unwrap(), Delivered::Accepted { grant: None });
    assert_eq!(world.record("a").await.phase, Phase::Ready);
    let grant = world.claim("a", "s1", 2, 8, 8, 15).await.turns.remove(0);
    accepted(world.commit("a", "s1", 2, turn(&grant.record.head, 3), 20, None).await);
    world.store.end_session(place("a"), &session("s1"), &Ending::Goodbye, TimeMs(20)).await.unwrap();
    let Delivered::Accepted { grant: Some(grant) } = world.store.deliver(by(offer("s2", 1, 1, 0))).await.unwrap() else {
        panic!("the holder is gone")
    };
    assert_eq!((grant.record.session.as_str(), grant.record.seq), ("s2", 1));
    let other = Some(Offer { pool: name("gpu"), ..offer("s2", 1, 1, 0).unwrap() });
    let start = Start { offer: other, ..world.start_of("b", 10) };
    assert!(matches!(world.store.start(start).await.unwrap(), Started::New { grant: None, .. }), "another pool's offer is none");
}

async fn all_leases_of_a_session_are_listed_by_name(world: World) {
    let attempts = world.running("a", "s1", &[0, 1], 10).await;
    world.leased("p/1", "s1", 20).await;
    let mut listed = Leases::default();
    for partition in partitions() {
        let leases = world.store.leases(partition, &session("s1")).await.unwrap();
        listed.turns.extend(leases.turns);
        listed.attempts.extend(leases.attempts);
    }
    assert_eq!(listed.turns, [(run("p/1"), world.record("p/1").await.seq)]);
    let held: Vec<_> = attempts.iter().map(|grant| (run("a"), claim_of(&grant.attempt))).collect();
    assert_eq!(listed.attempts, held);
    world.end("a", "s1", &[], 30).await;
    assert_eq!(world.store.leases(place("a"), &session("s1")).await.unwrap(), Leases::default());
}
