//! Which runs are open.

use everloop::api::limits::FOLLOWED_PAGE_MAX;
use everloop::api::{Origin, RunKey, Version};
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    open_runs_are_counted_by_version_until_they_end,
    a_run_that_goes_on_on_another_version_counts_there,
    open_runs_with_an_origin_are_listed_until_they_end,
    followed_runs_come_in_pages,
);

const TERMINATE: &str = r#"{"events":[],"commands":["why"]}"#;

/// How many runs of each version are open, over all partitions.
async fn open(world: &World) -> Vec<(Version, u64)> {
    world.open_runs().await.into_iter().map(|open| (open.version, open.runs)).collect()
}

async fn followed(world: &World) -> Vec<(RunKey, Origin)> {
    let mut all = Vec::new();
    for partition in partitions() {
        all.extend(world.store.followed(partition, None).await.unwrap().runs);
    }
    all.sort();
    all
}

fn origin(uid: &str) -> Origin {
    format!("kubernetes/{uid}").parse().unwrap()
}

async fn terminate(world: &World, id: &str, head: u64) {
    let done = world.control(id, ControlKind::Terminate { entry: TERMINATE.into() }, head, 20).await;
    assert!(matches!(done, Controlled::Done(_)));
}

async fn open_runs_are_counted_by_version_until_they_end(world: World) {
    assert_eq!(open(&world).await, vec![]);
    for id in ["a", "b", "c"] {
        world.start(id, 10).await;
    }
    world.store.start(world.start_of("a", 11)).await.unwrap();
    assert_eq!(open(&world).await, [(world.version.clone(), 3)], "a repeat counts once");
    terminate(&world, "a", 1).await;
    terminate(&world, "a", 2).await;
    assert_eq!(open(&world).await, [(world.version.clone(), 2)]);
    let grant = world.leased("d", "s1", 20).await;
    accepted(world.commit("d", "s1", 1, closing(&grant.record.head, 9), 21, None).await);
    assert_eq!(open(&world).await, [(world.version.clone(), 2)], "a run that came and went");
    terminate(&world, "b", 3).await;
    terminate(&world, "c", 4).await;
    assert_eq!(open(&world).await, vec![], "nothing is left of a version without open runs");
}

async fn a_run_that_goes_on_on_another_version_counts_there(world: World) {
    world.start("a", 10).await;
    world.start("b", 10).await;
    assert!(matches!(world.control("a", ControlKind::Pause { blocked: PAUSED.into() }, 1, 20).await, Controlled::Done(_)));
    let new = Version::of("new");
    assert!(matches!(world.control("a", ControlKind::Resume { version: Some(new.clone()) }, 2, 20).await, Controlled::Done(_)));
    let mut both = vec![(world.version.clone(), 1), (new, 1)];
    both.sort();
    assert_eq!(open(&world).await, both);
}

async fn open_runs_with_an_origin_are_listed_until_they_end(world: World) {
    world.start("plain", 10).await;
    for id in ["a", "b"] {
        world.store.start(Start { origin: Some(origin(id)), ..world.start_of(id, 10) }).await.unwrap();
    }
    let listed = |ids: &[&str]| ids.iter().map(|id| (run(id), origin(id))).collect::<Vec<_>>();
    assert_eq!(followed(&world).await, listed(&["a", "b"]));
    world.store.start(Start { origin: Some(origin("plain")), ..world.start_of("plain", 11) }).await.unwrap();
    world.store.start(Start { origin: Some(origin("other")), ..world.start_of("a", 11) }).await.unwrap();
    assert_eq!(followed(&world).await, listed(&["a", "b", "plain"]), "the first one that follows stays");
    terminate(&world, "a", 1).await;
    assert_eq!(followed(&world).await, listed(&["b", "plain"]));
}

async fn followed_runs_come_in_pages(world: World) {
    // One root: all in one partition.
    for n in 0..=FOLLOWED_PAGE_MAX {
        let id = format!("p/{n}");
        world.store.start(Start { origin: Some(origin("o")), ..world.start_of(&id, 10) }).await.unwrap();
    }
    let first = world.store.followed(place("p/0"), None).await.unwrap();
    assert_eq!((first.runs.len(), first.more), (FOLLOWED_PAGE_MAX, true));
    let (last, _) = first.runs.last().unwrap();
    let second = world.store.followed(place("p/0"), Some(last)).await.unwrap();
    assert_eq!((second.runs.len(), second.more), (1, false));
    assert!(!first.runs.contains(&second.runs[0]));
}
