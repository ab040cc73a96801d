//! Starting runs.

use everloop::api::limits;
use everloop::api::{DurationMs, RunStatus, TimeMs};
use everloop::machine::run::Phase;
use everloop::store::op::{Define, Ending, Offer, Start, Started};

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    a_start_goes_to_the_pool_of_the_present_definition_whatever_the_caller_has_in_mind,
    a_start_is_new_once_and_then_a_repeat_or_a_conflict,
    a_repeat_is_known_even_after_a_new_version,
    a_start_is_granted_to_the_session_that_waits,
    an_offer_that_does_not_fit_is_none,
);

async fn a_start_is_new_once_and_then_a_repeat_or_a_conflict(world: World) {
    let record = world.start("a", 10).await;
    assert_eq!((record.phase, record.mail, record.turns, record.epoch), (Phase::Ready, 1, 0, 0));
    assert_eq!((record.started_at, record.status()), (TimeMs(10), RunStatus::Running));
    assert_eq!(world.state("a").await.first, STARTED);
    let again = world.store.start(world.start_of("a", 20)).await.unwrap();
    assert_eq!(again, Started::Existing(record.clone()));
    let other = Start { input_hash: "ffeeddccbbaa9988".into(), ..world.start_of("a", 20) };
    assert_eq!(world.store.start(other).await.unwrap(), Started::Taken(record.clone()));
    let unknown = Start { workflow: name("unknown"), ..world.start_of("b", 20) };
    assert_eq!(world.store.start(unknown).await.unwrap(), Started::WorkflowNotFound);
    assert_eq!(world.store.run(&run("b")).await.unwrap(), None);
    assert_eq!(world.record("a").await, record);
}

async fn a_repeat_is_known_even_after_a_new_version(world: World) {
    let record = world.start("a", 10).await;
    let new = everloop::api::Version::of("new");
    let define = everloop::store::op::Define { version: new, definition: "new".into(), ..world.definition() };
    world.store.define(define).await.unwrap();
    assert_eq!(world.store.start(world.start_of("a", 20)).await.unwrap(), Started::Existing(record));
}

async fn a_start_is_granted_to_the_session_that_waits(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    assert_eq!(grant.events, [STARTED]);
    let record = world.record("a").await;
    assert_eq!((record.phase, record.epoch, record.session.as_str(), record.seq), (Phase::Leased, 1, "s1", 1));
    assert_eq!(grant.record, record);
    world.open("s2").await;
    assert_eq!(world.claim("a", "s2", 1, 1, 0, 10 + limits::AFFINITY.0).await.turns, []);
}

async fn an_offer_that_does_not_fit_is_none(world: World) {
    world.open("s1").await;
    world.open("gone").await;
    for partition in partitions() {
        world.store.end_session(partition, &session("gone"), &Ending::Goodbye, TimeMs(5)).await.unwrap();
    }
    let good = offer("s1", 1, 1, 0).unwrap();
    let bad = [
        Offer { pool: name("other"), ..good.clone() },
        Offer { turns: 0, activities: 9, ..good.clone() },
        Offer { session: session("gone"), ..good.clone() },
        Offer { session: session("never"), ..good },
    ];
    for (n, offer) in bad.into_iter().enumerate() {
        let id = format!("r{n}");
        match world.store.start(Start { offer: Some(offer), ..world.start_of(&id, 10) }).await.unwrap() {
            Started::New { record, grant: None } => assert_eq!(record.phase, Phase::Ready),
            other => panic!("{n}: {other:?}"),
        }
        assert_eq!(world.claim(&id, "s1", 2, 1, 0, 10).await.turns.len(), 1, "anybody may take it at once");
    }
}

async fn a_start_goes_to_the_pool_of_the_present_definition_whatever_the_caller_has_in_mind(world: World) {
    world.open("s1").await;
    // The same version, so that a caller's idea of it is not refused.
    world.store.define(Define { pool: name("big"), retention: DurationMs(9), ..world.definition() }).await.unwrap();
    let start = Start { offer: offer("s1", 1, 1, 0), ..world.start_of("a", 10) };
    let Started::New { record, grant: None } = world.store.start(start).await.unwrap() else { panic!("not granted: another pool") };
    assert_eq!((record.pool.as_str(), record.retention_ms), ("big", 9));
}
