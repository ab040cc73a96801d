//! Chains: several turns of a run in one operation.

use everloop::api::{RunStatus, TimeMs};
use everloop::machine::commit::Refusal;
use everloop::machine::run::Phase;
use everloop::store::chain::{Chain, Chained, First, FirstAnswer, Step};
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    a_chain_comes_to_the_same_as_its_links_one_after_the_other,
    a_repeat_of_a_chain_is_answered_as_the_first_time_and_goes_on_behind_what_was_taken,
    a_chain_ends_where_a_turn_is_refused_and_the_outcome_waits_in_the_mailbox,
    a_chain_ends_where_an_attempt_is_not_granted,
    a_chain_ends_where_a_turn_is_ahead_of_the_clock,
    a_chain_of_unusual_turns_is_taken_whole,
    a_chain_whose_first_is_refused_changes_nothing,
    a_chain_that_ends_a_run_is_known_after_its_end,
);

/// Steps behind the turn with this id: the attempts of commands 0, 1, ..., and turns 0x10, 0x11, ...; the last one ends the run, if asked.
fn steps(after: u64, count: u32, ends: bool) -> Vec<Step> {
    let mut base = format!("{after:016x}");
    let step = |n: u32| {
        let id = 0x10 + u64::from(n);
        let turn = if ends && n + 1 == count { closing(&base, id) } else { scheduling(&base, id, &[n + 1]) };
        base = format!("{id:016x}");
        Step { command: n, event: completed(n), turn: Turn { consumed: 0, at: TimeMs(20), ..turn } }
    };
    (0..count).map(step).collect()
}

/// A chain that begins with the leased first turn of a run, id 2, which schedules command 0.
fn from_turn(id: &str, grant: &TurnGrant, offer: Option<Offer>, steps: Vec<Step>) -> Chain {
    let turn = scheduling(&grant.record.head, 2, &[0]);
    let commit = Commit { run: run(id), session: session("s1"), seq: 1, turn, now: TimeMs(20), offer };
    Chain { first: First::Commit(commit), steps }
}

fn grants(chained: &Chained) -> Grants {
    match &chained.first {
        FirstAnswer::Committed(Committed::Accepted { grants, .. }) | FirstAnswer::Finished(Finished::Accepted { grants, .. }) => {
            grants.clone()
        }
        other => panic!("not accepted: {other:?}"),
    }
}

async fn a_chain_comes_to_the_same_as_its_links_one_after_the_other(world: World) {
    for ends in [false, true] {
        let (whole, single) = if ends { ("a", "b") } else { ("c", "d") };
        let grant = world.leased(whole, "s1", 10).await;
        let all = steps(2, 3, ends);
        let chained = world.store.chain(from_turn(whole, &grant, offer("s1", 2, 1, 1), all.clone())).await.unwrap();
        assert_eq!(chained.taken, 3);

        let grant = world.leased(single, "s1", 10).await;
        let first = from_turn(single, &grant, offer("s1", 2, 1, 1), vec![]);
        let mut granted = grants(&world.store.chain(first).await.unwrap());
        for step in all {
            let attempt = claim_of(&granted.attempts[0].attempt);
            granted = finished(world.finish(single, attempt, Some(step.turn), 20, offer("s1", 2, 1, 1)).await).1;
        }
        let same = |grants: Grants| grants.attempts.into_iter().map(|grant| grant.attempt).collect::<Vec<_>>();
        assert_eq!(same(grants(&chained)), same(granted));
        assert_eq!(world.record(whole).await, world.record(single).await);
        assert_eq!(world.journal(whole).await, world.journal(single).await);
        assert_eq!(world.journal(whole).await.len(), 4);
        assert_eq!(world.record(whole).await.phase, if ends { Phase::Closed } else { Phase::Waiting });
        let ended = |id| {
            let world = &world;
            async move { world.store.load(place(id), TimeMs(20)).await.unwrap().ended[POOL].clone() }
        };
        if place(whole) != place(single) {
            assert_eq!(ended(whole).await, ended(single).await, "what has ended is counted alike");
        }
    }
}

async fn a_repeat_of_a_chain_is_answered_as_the_first_time_and_goes_on_behind_what_was_taken(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let part = from_turn("a", &grant, offer("s1", 2, 1, 1), steps(2, 2, false));
    let first = world.store.chain(part.clone()).await.unwrap();
    let state = world.state("a").await;
    let again = world.store.chain(part).await.unwrap();
    assert_eq!((again.taken, grants(&again)), (2, grants(&first)));
    assert_eq!(world.state("a").await, state, "it was applied once");

    // As if the store had died in the middle of it.
    let chain = from_turn("a", &grant, offer("s1", 2, 1, 1), steps(2, 4, true));
    let whole = world.store.chain(chain.clone()).await.unwrap();
    assert_eq!((whole.taken, grants(&whole)), (4, Grants::default()));
    let record = world.record("a").await;
    assert_eq!((record.status(), record.turns), (RunStatus::Completed, 5));
    assert_eq!(world.store.chain(chain).await.unwrap().taken, 4);
    assert_eq!(world.record("a").await, record);
}

async fn a_chain_ends_where_a_turn_is_refused_and_the_outcome_waits_in_the_mailbox(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let mut wrong = steps(2, 3, true);
    wrong[1].turn.base = "00000000000000ff".parse().unwrap();
    let chained = world.store.chain(from_turn("a", &grant, offer("s1", 2, 1, 1), wrong)).await.unwrap();
    assert_eq!(chained.taken, 1);
    let turns = grants(&chained).turns;
    assert_eq!(turns[0].events, [completed(1)], "the run became ready, and its turn goes to who offered");
    let record = world.record("a").await;
    assert_eq!((record.turns, record.mail, record.attempts.len()), (2, 1, 0));

    // A cancel that was there before: the leased turn is taken, what was done after it is not.
    let grant = world.leased("b", "s1", 10).await;
    world.deliver("b", CANCEL, "", 15).await;
    let chained = world.store.chain(from_turn("b", &grant, offer("s1", 2, 1, 1), steps(2, 2, true))).await.unwrap();
    assert_eq!(chained.taken, 0);
    let record = world.record("b").await;
    assert_eq!((record.turns, record.mail, record.phase), (1, 1, Phase::Leased));
    let granted = grants(&chained);
    assert_eq!(granted.turns[0].events, [CANCEL], "who offered hears of the turn with it");
    assert_eq!(granted.attempts.len(), 1, "and of the attempt, which is done again");

    // The first is an outcome, and its turn is refused.
    let attempt = world.stepping("c", "s1").await;
    world.deliver("c", CANCEL, "", 25).await;
    let turn = Turn { consumed: 0, ..scheduling("0000000000000002", 3, &[1]) };
    let finish = Finish { turn: Some(turn), offer: offer("s1", 3, 1, 1), ..world.finish_of(&attempt, completed(0)) };
    let after = Step { command: 1, event: completed(1), turn: Turn { consumed: 0, ..closing("0000000000000003", 4) } };
    let chained = world.store.chain(Chain { first: First::Finish(finish), steps: vec![after] }).await.unwrap();
    assert_eq!(chained.taken, 0);
    assert!(matches!(chained.first, FirstAnswer::Finished(Finished::Accepted { turn: Some(Err(Refusal::MailWaits)), .. })));
    assert_eq!((world.record("c").await.turns, world.record("c").await.mail), (1, 2));
}

async fn a_chain_ends_where_an_attempt_is_not_granted(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let chained = world.store.chain(from_turn("a", &grant, None, steps(2, 2, true))).await.unwrap();
    assert_eq!((chained.taken, grants(&chained)), (0, Grants::default()), "nobody has offered a slot");
    assert_eq!(world.claim("a", "s1", 9, 0, 1, 21).await.attempts.len(), 1, "the attempt waits in its queue");

    // An older head of the queue comes first.
    let id = (0..1_000).map(|n| format!("b{n}")).find(|id| place(id) == place("a")).unwrap();
    let grant = world.leased(&id, "s1", 22).await;
    world.commit(&id, "s1", 1, scheduling(&grant.record.head, 2, &[0]), 22, None).await;
    let id = (0..1_000).map(|n| format!("c{n}")).find(|id| place(id) == place("a")).unwrap();
    let grant = world.leased(&id, "s1", 22).await;
    let mut chain = from_turn(&id, &grant, offer("s1", 3, 1, 1), steps(2, 2, true));
    if let First::Commit(commit) = &mut chain.first {
        commit.now = TimeMs(100);
    }
    let chained = world.store.chain(chain).await.unwrap();
    assert_eq!((chained.taken, grants(&chained).attempts.len()), (0, 0));
    assert_eq!(world.record(&id).await.turns, 1);
}

async fn a_chain_whose_first_is_refused_changes_nothing(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let state = world.state("a").await;
    let mut chain = from_turn("a", &grant, offer("s1", 2, 1, 1), steps(2, 2, true));
    if let First::Commit(commit) = &mut chain.first {
        commit.seq = 7;
    }
    let chained = world.store.chain(chain).await.unwrap();
    assert_eq!(chained, Chained { first: FirstAnswer::Committed(Committed::Refused(Refusal::LeaseLost)), taken: 0 });
    assert_eq!(world.state("a").await, state);
}

async fn a_chain_that_ends_a_run_is_known_after_its_end(world: World) {
    let attempt = world.stepping("a", "s1").await;
    let turn = Turn { consumed: 0, ..scheduling("0000000000000002", 3, &[1]) };
    let finish = Finish { turn: Some(turn), offer: offer("s1", 3, 1, 1), ..world.finish_of(&attempt, completed(0)) };
    let last = Step { command: 1, event: completed(1), turn: Turn { consumed: 0, ..closing("0000000000000003", 4) } };
    let chain = Chain { first: First::Finish(finish), steps: vec![last] };
    let mut watch = world.store.watch();
    let first = world.store.chain(chain.clone()).await.unwrap();
    assert_eq!(first.taken, 1);
    assert_eq!(watch.recv().await.unwrap(), Wake::Closed(run("a")), "nothing else was published");
    assert_eq!(world.store.chain(chain).await.unwrap(), first);
    let record = world.record("a").await;
    assert_eq!((record.status(), record.turns, record.closed_at), (RunStatus::Completed, 3, TimeMs(30)));
}

async fn a_chain_ends_where_a_turn_is_ahead_of_the_clock(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let mut ahead = steps(2, 3, true);
    ahead[1].turn.at = TimeMs(21);
    let chained = world.store.chain(from_turn("a", &grant, offer("s1", 2, 1, 1), ahead)).await.unwrap();
    assert_eq!(chained.taken, 1);
    let record = world.record("a").await;
    assert_eq!((record.turns, record.at, record.mail), (2, TimeMs(20), 1));
}

/// What no replica works out before: it is followed, an attempt has an end that is given, a timer is set.
async fn a_chain_of_unusual_turns_is_taken_whole(world: World) {
    world.open("s1").await;
    let origin = Some("kubernetes".parse().unwrap());
    let start = Start { origin, offer: offer("s1", 1, 1, 0), ..world.start_of("a", 10) };
    let Started::New { grant: Some(grant), .. } = world.store.start(start).await.unwrap() else { panic!("granted") };
    let mut unusual = steps(2, 3, true);
    unusual[0].turn.schedule[0].close_by = TimeMs(500);
    unusual[1].turn.timers = vec![timer(9, 400)];
    let chain = from_turn("a", &grant, offer("s1", 2, 1, 1), unusual);
    let chained = world.store.chain(chain.clone()).await.unwrap();
    assert_eq!((chained.taken, grants(&chained)), (3, Grants::default()));
    let record = world.record("a").await;
    assert_eq!((record.status(), record.turns, record.timers), (RunStatus::Completed, 4, 0));
    let Changes::Told { runs, .. } = world.store.changes(place("a"), Some(0)).await.unwrap() else { panic!("told") };
    assert_eq!(runs.len(), 1, "its end is in the feed");
    assert_eq!(world.store.chain(chain).await.unwrap().taken, 3);
}
