//! The feed of changes.

use std::time::Duration;

use everloop::api::limits::{CHANGES_KEPT, CHANGES_PAGE_MAX, CHANGES_TRIMMED, TURN_DEATHS_MAX};
use everloop::api::{Head, RunStatus, TimeMs};
use everloop::machine::record::RunRecord;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    a_run_that_is_followed_is_told_when_it_is_held_goes_on_and_ends_and_no_other_run_is,
    a_run_is_told_once_in_a_page_and_as_it_is_now,
    blocked_runs_are_told_whoever_blocks_them,
    an_equal_start_makes_an_open_run_followed,
    a_run_that_was_removed_is_told_without_a_record,
    a_page_is_bounded_and_a_place_that_was_trimmed_is_too_old,
    a_change_wakes_who_waits,
);

const ORIGIN: &str = "kubernetes/0190f3a0";
const TERMINATE: &str = r#"{"events":[],"commands":["why"]}"#;

fn followed(world: &World, id: &str) -> Start {
    Start { origin: Some(ORIGIN.parse().unwrap()), ..world.start_of(id, 10) }
}

async fn end(world: &World, id: &str) -> u64 {
    match world.store.changes(place(id), None).await.unwrap() {
        Changes::Told { place, runs, more } => {
            assert!(runs.is_empty() && !more, "only the place is asked for");
            place
        }
        Changes::TooOld => panic!("the end is never too old"),
    }
}

/// What a run's partition tells after a place: the next place, and the runs.
async fn after(world: &World, id: &str, after: u64) -> (u64, Vec<Change>) {
    match world.store.changes(place(id), Some(after)).await.unwrap() {
        Changes::Told { place, runs, .. } => (place, runs),
        Changes::TooOld => panic!("{after} is too old"),
    }
}

/// The ids, with their status.
fn statuses(runs: &[Change]) -> Vec<(&str, Option<RunStatus>)> {
    runs.iter().map(|change| (change.run.id.as_str(), change.record.as_ref().map(RunRecord::status))).collect()
}

async fn pause(world: &World, id: &str, head: u64) {
    assert!(matches!(world.control(id, ControlKind::Pause { blocked: PAUSED.into() }, head, 20).await, Controlled::Done(_)));
}

async fn resume(world: &World, id: &str, head: u64) {
    assert!(matches!(world.control(id, ControlKind::Resume { version: None }, head, 20).await, Controlled::Done(_)));
}

async fn a_run_that_is_followed_is_told_when_it_is_held_goes_on_and_ends_and_no_other_run_is(world: World) {
    let begin = end(&world, "a").await;
    world.store.start(followed(&world, "a")).await.unwrap();
    let other = (0..1_000).map(|n| format!("b{n}")).find(|id| place(id) == place("a")).unwrap();
    world.start(&other, 10).await;
    world.deliver("a", &signal(1), "k", 15).await;
    assert_eq!(after(&world, "a", begin).await, (begin, vec![]), "a start and an event change no summary");
    pause(&world, "a", 50).await;
    pause(&world, &other, 60).await;
    let (next, runs) = after(&world, "a", begin).await;
    assert_eq!(statuses(&runs), [("a", Some(RunStatus::Paused))]);
    assert_eq!((runs[0].record.as_ref().unwrap().origin.as_str(), runs[0].last.as_str()), (ORIGIN, ""));
    pause(&world, "a", 51).await;
    assert_eq!(after(&world, "a", next).await, (next, vec![]), "what changes nothing is not told");
    resume(&world, "a", 52).await;
    let (next, runs) = after(&world, "a", next).await;
    assert_eq!(statuses(&runs), [("a", Some(RunStatus::Running))]);
    world.open("s1").await;
    let grant = world.claim("a", "s1", 1, 1, 0, 1_000).await.turns.into_iter().find(|grant| grant.run == run("a")).unwrap();
    let turn = Turn { consumed: 2, ..closing(&grant.record.head, 2) };
    accepted(world.commit("a", "s1", 1, turn, 1_000, None).await);
    let (next, runs) = after(&world, "a", next).await;
    assert_eq!(statuses(&runs), [("a", Some(RunStatus::Completed))]);
    assert_eq!(runs[0].last, *world.journal("a").await.last().unwrap());
    assert_eq!(end(&world, "a").await, next);
}

async fn a_run_is_told_once_in_a_page_and_as_it_is_now(world: World) {
    world.store.start(followed(&world, "a")).await.unwrap();
    pause(&world, "a", 50).await;
    resume(&world, "a", 51).await;
    let entry = TERMINATE.into();
    world.control("a", ControlKind::Terminate { entry }, 52, 30).await;
    let (next, runs) = after(&world, "a", 0).await;
    assert_eq!(statuses(&runs), [("a", Some(RunStatus::Terminated))]);
    assert_eq!((next, runs[0].last.as_str()), (3, TERMINATE));
    assert_eq!(after(&world, "a", next).await, (next, vec![]));
}

async fn blocked_runs_are_told_whoever_blocks_them(world: World) {
    world.open("s1").await;
    let start = Start { offer: offer("s1", 1, 1, 0), ..followed(&world, "a") };
    assert!(matches!(world.store.start(start).await.unwrap(), Started::New { grant: Some(_), .. }));
    assert!(world.release_turn("a", "s1", 1, r#"{"reason":"Nondeterminism","message":""}"#, false, 20).await);
    let (next, runs) = after(&world, "a", 0).await;
    assert_eq!(statuses(&runs), [("a", Some(RunStatus::Blocked))]);
    resume(&world, "a", 50).await;
    let (mut next, _) = after(&world, "a", next).await;
    for death in 0..TURN_DEATHS_MAX {
        let by = format!("dies{death}");
        world.open(&by).await;
        let now = 1_000 + 100 * u64::from(death);
        assert_eq!(world.claim("a", &by, 1, 1, 0, now).await.turns.len(), 1);
        assert_eq!(after(&world, "a", next).await, (next, vec![]), "a claim and a lost lease change no summary");
        world.end("a", &by, &["a"], now).await;
    }
    let runs;
    (next, runs) = after(&world, "a", next).await;
    assert_eq!(statuses(&runs), [("a", Some(RunStatus::Blocked))]);
    assert_eq!(end(&world, "a").await, next);
}

async fn an_equal_start_makes_an_open_run_followed(world: World) {
    world.start("a", 10).await;
    let Started::Existing(record) = world.store.start(followed(&world, "a")).await.unwrap() else { panic!("equal") };
    assert_eq!(record.origin, ORIGIN);
    assert_eq!(world.record("a").await, record);
    let Started::Existing(again) = world.store.start(world.start_of("a", 20)).await.unwrap() else { panic!("equal") };
    assert_eq!(again, record, "a start that follows nothing takes no origin away");
    let later = Start { origin: Some("other".parse().unwrap()), ..world.start_of("a", 20) };
    assert_eq!(world.store.start(later).await.unwrap(), Started::Existing(record), "the first one stays");
    let other = Start { input_hash: "ffff".into(), ..followed(&world, "a") };
    assert!(matches!(world.store.start(other).await.unwrap(), Started::Taken(_)));
    pause(&world, "a", 50).await;
    assert_eq!(statuses(&after(&world, "a", 0).await.1), [("a", Some(RunStatus::Paused))]);
    world.start("ended", 10).await;
    world.control("ended", ControlKind::Terminate { entry: TERMINATE.into() }, 51, 30).await;
    let Started::Existing(record) = world.store.start(followed(&world, "ended")).await.unwrap() else { panic!("equal") };
    assert_eq!(record.origin, "", "nothing more happens to it");
}

async fn a_run_that_was_removed_is_told_without_a_record(world: World) {
    world.store.start(followed(&world, "a")).await.unwrap();
    world.control("a", ControlKind::Terminate { entry: TERMINATE.into() }, 50, 30).await;
    assert_eq!(world.store.sweep(place("a"), TimeMs(30 + RETENTION_MS)).await.unwrap().runs, 1);
    assert_eq!(after(&world, "a", 0).await, (1, vec![Change { run: run("a"), record: None, last: String::new() }]));
}

async fn a_page_is_bounded_and_a_place_that_was_trimmed_is_too_old(world: World) {
    let ids: Vec<String> = (0..).map(|n| format!("r{n}")).filter(|id| place(id) == place("r0")).take(CHANGES_PAGE_MAX + 1).collect();
    for id in &ids {
        world.store.start(followed(&world, id)).await.unwrap();
    }
    let mut told = 0;
    let mut flip = async |pauses: bool| {
        let heads = (1_000_000 * (told + 1)..).map(Head);
        let now = TimeMs(20);
        let kind = if pauses { ControlKind::Pause { blocked: PAUSED.into() } } else { ControlKind::Resume { version: None } };
        let controls = ids
            .iter()
            .zip(heads)
            .map(|(id, head)| world.store.control(Control { run: run(id), kind: kind.clone(), over: None, head, key: String::new(), now }));
        futures_util::future::try_join_all(controls).await.unwrap();
        told += ids.len() as u64;
        told
    };
    assert_eq!(flip(true).await, 1 + CHANGES_PAGE_MAX as u64);
    let Changes::Told { place: next, runs, more: true } = world.store.changes(place("r0"), Some(0)).await.unwrap() else { panic!() };
    assert_eq!((next, runs.len()), (CHANGES_PAGE_MAX as u64, CHANGES_PAGE_MAX));
    let Changes::Told { place: next, runs, more: false } = world.store.changes(place("r0"), Some(next)).await.unwrap() else { panic!() };
    assert_eq!((next, runs.len()), (1 + CHANGES_PAGE_MAX as u64, 1));
    let mut pauses = false;
    while flip(pauses).await < CHANGES_KEPT + CHANGES_TRIMMED {
        pauses = !pauses;
    }
    let last = end(&world, "r0").await;
    assert_eq!(world.store.changes(place("r0"), Some(0)).await.unwrap(), Changes::TooOld);
    assert_eq!(world.store.changes(place("r0"), Some(CHANGES_TRIMMED - 1)).await.unwrap(), Changes::TooOld);
    assert_eq!(after(&world, "r0", CHANGES_TRIMMED).await.0, CHANGES_TRIMMED + CHANGES_PAGE_MAX as u64, "the first that is kept");
    assert_eq!(after(&world, "r0", last).await, (last, vec![]));
    assert_eq!(world.store.changes(place("r0"), Some(last + 1)).await.unwrap(), Changes::TooOld, "a place of another lineage");
}

async fn a_change_wakes_who_waits(world: World) {
    world.store.start(followed(&world, "a")).await.unwrap();
    let mut wakes = world.store.watch();
    pause(&world, "a", 50).await;
    let told = async { while wakes.recv().await.unwrap() != Wake::Changed(place("a")) {} };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told");
}
