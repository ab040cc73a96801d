//! What a fleet of workers is scaled by.

use std::collections::BTreeMap;

use everloop::api::limits::TIMERS_TOLD_MAX;
use everloop::api::{DurationMs, TimeMs};
use everloop::machine::commit::AttemptClaim;
use everloop::machine::scaling::slot_time::Bucket;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    what_waits_is_told_by_pool_with_since_when,
    what_is_leased_is_told_by_session_until_it_has_ended,
    what_ends_is_counted_once_with_how_long_it_used_a_slot,
    a_turn_with_one_activity_and_the_end_that_follows_from_it_are_counted_alike,
    a_turn_that_goes_on_has_not_ended_and_a_lost_lease_neither,
    attempts_of_external_queues_are_not_counted_and_what_was_given_up_has_no_time,
    the_next_timers_of_open_runs_are_told_with_their_pool,
);

async fn load(world: &World, id: &str) -> Load {
    world.store.load(place(id), TimeMs(u64::MAX >> 12)).await.unwrap()
}

fn of_pool(count: u64, since: u64) -> BTreeMap<String, Waiting> {
    BTreeMap::from([(POOL.to_owned(), Waiting { count, since: TimeMs(since) })])
}

async fn what_waits_is_told_by_pool_with_since_when(world: World) {
    assert_eq!(load(&world, "p/0").await.turns, BTreeMap::new());
    for (n, at) in [30, 10, 20].into_iter().enumerate() {
        world.start(&format!("p/{n}"), at).await;
    }
    assert_eq!(load(&world, "p/0").await.turns, of_pool(3, 10));
    let first = world.leased("p/3", "s1", 40).await;
    let queued = NewAttemptsOf { pool: 2, others: 1 };
    accepted(world.commit("p/3", "s1", 1, queued.turn(&first.record.head), 50, None).await);
    let load = load(&world, "p/0").await;
    assert_eq!(load.attempts, of_pool(2, 50), "those of external queues are no pool's work");
}

/// A turn that queues attempts of the pool and of an external queue.
struct NewAttemptsOf {
    pool: u32,
    others: u32,
}

impl NewAttemptsOf {
    fn turn(&self, base: &str) -> Turn {
        let commands: Vec<u32> = (0..self.pool + self.others).collect();
        let mut turn = scheduling(base, 9, &commands);
        for new in turn.schedule.iter_mut().skip(self.pool as usize) {
            "shop/drivers".clone_into(&mut new.queue);
        }
        turn
    }
}

async fn what_is_leased_is_told_by_session_until_it_has_ended(world: World) {
    world.running("p/0", "s1", &[0, 1], 10).await;
    world.leased("p/1", "s1", 20).await;
    world.leased("p/2", "s2", 20).await;
    let leased = |turns, attempts| Leased { turns, attempts };
    let both = BTreeMap::from([(session("s1"), leased(1, 2)), (session("s2"), leased(1, 0))]);
    assert_eq!(load(&world, "p/0").await.leases, both);
    for partition in partitions() {
        world.store.end_session(partition, &session("s1"), &Ending::Goodbye, TimeMs(30)).await.unwrap();
    }
    let after = load(&world, "p/0").await;
    assert_eq!(after.leases, BTreeMap::from([(session("s2"), leased(1, 0))]));
    assert_eq!((after.turns[POOL].count, after.attempts[POOL].count), (1, 2), "they wait again");
}

fn tally(times: &[u64]) -> Tally {
    let mut all = Tally::new();
    times.iter().for_each(|ms| *all.entry(Some(Bucket::of(DurationMs(*ms)))).or_default() += 1);
    all
}

async fn ended(world: &World, id: &str) -> Completions {
    load(world, id).await.ended.remove(POOL).unwrap_or_default()
}

async fn what_ends_is_counted_once_with_how_long_it_used_a_slot(world: World) {
    // Leased at 10, its only turn at 20 and committed at 30.
    let first = world.leased("p/0", "s1", 10).await;
    let turn = Turn { at: TimeMs(20), ..scheduling(&first.record.head, 9, &[0, 1]) };
    let commit = || world.commit("p/0", "s1", 1, turn.clone(), 30, None);
    accepted(commit().await);
    accepted(commit().await);
    assert_eq!(ended(&world, "p/0").await, Completions { turns: tally(&[10]), attempts: Tally::new() });
    let grants = world.claim("p/0", "s1", 2, 0, 2, 40).await;
    let of = |at: usize| &grants.attempts[at];
    let finish = Finish { now: TimeMs(140), ..world.finish_of(of(0), completed(0)) };
    world.store.finish(finish.clone()).await.unwrap();
    world.store.finish(finish).await.unwrap();
    // One that is tried again has used a slot, too.
    let again = Outcome::Retry { at: TimeMs(9_000), error: "Error: again".into() };
    world.store.finish(Finish { outcome: again, now: TimeMs(3_040), ..world.finish_of(of(1), String::new()) }).await.unwrap();
    assert_eq!(ended(&world, "p/0").await, Completions { turns: tally(&[10]), attempts: tally(&[100, 3_000]) });
}

/// Of these a store may know a shorter way.
async fn a_turn_with_one_activity_and_the_end_that_follows_from_it_are_counted_alike(world: World) {
    let first = world.leased("p/0", "s1", 10).await;
    let turn = Turn { at: TimeMs(20), ..scheduling(&first.record.head, 2, &[0]) };
    let begun = accepted(world.commit("p/0", "s1", 1, turn, 30, offer("s1", 2, 0, 1)).await).attempts.remove(0);
    assert_eq!(ended(&world, "p/0").await, Completions { turns: tally(&[10]), attempts: Tally::new() });
    let end = Turn { consumed: 0, ..closing("0000000000000002", 3) };
    let finish = Finish { turn: Some(end), now: TimeMs(140), ..world.finish_of(&begun, completed(0)) };
    assert_eq!(finished(world.store.finish(finish).await.unwrap()).0, Some(Ok(())));
    assert_eq!(ended(&world, "p/0").await, Completions { turns: tally(&[10]), attempts: tally(&[110]) });
}

async fn a_turn_that_goes_on_has_not_ended_and_a_lost_lease_neither(world: World) {
    let first = world.leased("p/0", "s1", 10).await;
    let goes_on = Turn { continued: true, ..turn(&first.record.head, 9) };
    accepted(world.commit("p/0", "s1", 1, goes_on, 20, None).await);
    assert_eq!(ended(&world, "p/0").await, Completions::default());
    for partition in partitions() {
        world.store.end_session(partition, &session("s1"), &Ending::Goodbye, TimeMs(30)).await.unwrap();
    }
    assert_eq!(ended(&world, "p/0").await, Completions::default());
    // A turn that closes its run ends, whatever else it says.
    world.open("s2").await;
    let again = world.claim("p/0", "s2", 1, 1, 0, 40).await.turns.remove(0);
    accepted(world.commit("p/0", "s2", again.record.seq, closing(&again.record.head, 10), 50, None).await);
    assert_eq!(ended(&world, "p/0").await.turns.values().sum::<u64>(), 1);
}

async fn attempts_of_external_queues_are_not_counted_and_what_was_given_up_has_no_time(world: World) {
    let first = world.leased("p/0", "s1", 10).await;
    let mut turn = NewAttemptsOf { pool: 1, others: 1 }.turn(&first.record.head);
    turn.schedule.iter_mut().for_each(|new| new.start_by = TimeMs(100));
    accepted(world.commit("p/0", "s1", 1, turn, 20, None).await);
    // Nobody takes them: the service gives them up.
    for command in [0, 1] {
        let attempt = AttemptClaim { command, attempt: 1, session: String::new(), seq: 0 };
        let (_, _) = finished(world.finish("p/0", attempt, None, 200, None).await);
    }
    assert_eq!(ended(&world, "p/0").await.attempts, Tally::from([(None, 1)]));
}

async fn the_next_timers_of_open_runs_are_told_with_their_pool(world: World) {
    for n in 0..3 {
        let id = format!("p/{n}");
        let first = world.leased(&id, "s1", 10).await;
        let timers = vec![timer(0, 500 - n * 100), timer(1, 2_000)];
        let turn = Turn { timers, next_command: 2, ..turn(&first.record.head, 9) };
        accepted(world.commit(&id, "s1", 1, turn, 20, None).await);
    }
    let terminate = ControlKind::Terminate { entry: r#"{"events":[],"commands":["why"]}"#.into() };
    assert!(matches!(world.control("p/1", terminate, 10, 30).await, Controlled::Done(_)));
    let due = load(&world, "p/0").await.due;
    let told: Vec<u64> = due.iter().map(|(at, _)| at.0).collect();
    assert_eq!(told, [300, 500, 2_000, 2_000]);
    assert!(due.iter().all(|(_, pool)| pool == POOL));
    let first = world.leased("p/9", "s1", 40).await;
    let timers = (0..200).map(|n| timer(n, 5_000)).collect();
    accepted(world.commit("p/9", "s1", 1, Turn { timers, next_command: 200, ..turn(&first.record.head, 11) }, 50, None).await);
    assert_eq!(load(&world, "p/0").await.due.len(), TIMERS_TOLD_MAX, "a bounded number");
    let overdue = async |now| world.store.load(place("p/0"), TimeMs(now)).await.unwrap().overdue;
    assert_eq!((overdue(299).await, overdue(500).await, overdue(5_000).await), (0, 2, 204));
}
