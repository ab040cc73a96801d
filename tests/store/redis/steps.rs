//! Turns and starts that a replica works out from what it saw last: another one may have come between.

use everloop::api::{TimeMs, Version};
use everloop::machine::run::Phase;
use everloop::store::Store as _;
use everloop::store::op::*;
use everloop::store::redis::RedisStore;

use super::{OnRedis, config};
use crate::world::*;

async fn another(world: &OnRedis) -> RedisStore {
    RedisStore::open(config(&world.server, Durability::None)).await.unwrap()
}

#[tokio::test]
async fn mail_by_way_of_another_replica_is_seen() {
    let world = OnRedis::new().await;
    let grant = world.stepping("a", "s1").await;
    let delivered = another(&world).await.deliver(world.delivery("a", &signal(1), "")).await.unwrap();
    assert!(matches!(delivered, Delivered::Accepted { .. }));
    let turn = Turn { consumed: 0, ..scheduling("0000000000000002", 3, &[1]) };
    let finish = Finish { turn: Some(turn), offer: offer("s1", 3, 1, 1), ..world.finish_of(&grant, completed(0)) };
    let (turn, grants) = finished(world.store.finish(finish).await.unwrap());
    assert_eq!((turn, grants.attempts.len()), (Some(Ok(())), 1), "it passes the mail once");
    assert_eq!(grants.turns.iter().map(|turn| turn.events.clone()).collect::<Vec<_>>(), [[signal(1)]], "which comes with it");
    let record = world.record("a").await;
    assert_eq!((record.phase, record.mail, record.turns), (Phase::Leased, 1, 2));
}

#[tokio::test]
async fn an_end_by_way_of_another_replica_is_seen() {
    let world = OnRedis::new().await;
    let grant = world.stepping("a", "s1").await;
    let entry = r#"{"v":1,"turn":1,"id":"00000000000000bb","at":0,"worker":"","events":[],"commands":[]}"#;
    let terminate = ControlKind::Terminate { entry: entry.into() };
    let control = Control {
        run: run("a"),
        kind: terminate,
        over: None,
        head: "00000000000000bb".parse().unwrap(),
        key: String::new(),
        now: TimeMs(25),
    };
    assert!(matches!(another(&world).await.control(control).await.unwrap(), Controlled::Done(_)));
    let turn = Turn { consumed: 0, ..closing("0000000000000002", 3) };
    let finish = Finish { turn: Some(turn), ..world.finish_of(&grant, completed(0)) };
    assert_eq!(world.store.finish(finish).await.unwrap(), Finished::AttemptLost);
}

#[tokio::test]
async fn a_definition_and_a_start_by_way_of_another_replica_are_seen() {
    let world = OnRedis::new().await;
    world.start("a", 10).await;
    let other = another(&world).await;
    let newer = Define { version: Version::of("newer"), pool: name("fast"), ..world.definition() };
    let Defined::Done { record: newer, .. } = other.define(newer).await.unwrap() else { panic!("defined") };
    let start = world.start_of("b", 20);
    assert_eq!(world.store.start(start.clone()).await.unwrap(), Started::VersionChanged(newer.clone()));
    let Started::New { record, .. } = world.store.start(Start { version: newer.version.clone(), ..start.clone() }).await.unwrap() else {
        panic!("new")
    };
    assert_eq!((record.version.as_str(), record.pool.as_str()), (newer.version.as_str(), "fast"));
    let started = Start { version: newer.version.clone(), ..world.start_of("c", 30) };
    let Started::New { record, .. } = other.start(started.clone()).await.unwrap() else { panic!("new") };
    assert_eq!(world.store.start(started).await.unwrap(), Started::Existing(record));
    let retired = Retire { namespace: name("shop"), name: name("order"), holder: None, key: String::new(), now: TimeMs(40) };
    let Some(Defined::Done { record: retired, .. }) = other.retire(retired).await.unwrap() else { panic!("retired") };
    let start = Start { version: newer.version, ..world.start_of("d", 50) };
    assert_eq!(world.store.start(start).await.unwrap(), Started::Retired(retired));
    assert!(world.store.run(&run("d")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_start_is_not_granted_to_a_session_that_was_ended_by_way_of_another_replica() {
    let world = OnRedis::new().await;
    world.open("s1").await;
    world.start("a", 10).await;
    let other = another(&world).await;
    for partition in partitions() {
        other.end_session(partition, &session("s1"), &Ending::Goodbye, TimeMs(15)).await.unwrap();
    }
    let start = Start { offer: offer("s1", 1, 1, 0), ..world.start_of("b", 20) };
    let Started::New { record, grant: None } = world.store.start(start).await.unwrap() else { panic!("not granted") };
    assert_eq!((record.phase, record.session.as_str(), record.mail), (Phase::Ready, "", 1));
    world.open("s2").await;
    let turns = world.claim("b", "s2", 2, 8, 0, 30).await.turns;
    assert!(turns.iter().any(|turn| turn.run == run("b") && turn.events == [STARTED]), "{turns:?}");
}

#[tokio::test]
async fn a_repeat_of_a_step_is_answered_as_the_first() {
    let world = OnRedis::new().await;
    let grant = world.stepping("a", "s1").await;
    let turn = Turn { consumed: 0, ..scheduling("0000000000000002", 3, &[1]) };
    let finish = Finish { turn: Some(turn), offer: offer("s1", 3, 1, 1), ..world.finish_of(&grant, completed(0)) };
    let first = finished(world.store.finish(finish.clone()).await.unwrap());
    let by_the_same = finished(world.store.finish(finish.clone()).await.unwrap());
    let by_another = finished(another(&world).await.finish(finish).await.unwrap());
    assert_eq!((&first, &first), (&by_the_same, &by_another));
    assert_eq!(world.record("a").await.turns, 2, "it was applied once");
}

#[tokio::test]
async fn a_session_that_was_ended_by_way_of_another_replica_commits_nothing() {
    let world = OnRedis::new().await;
    let grant = world.stepping("a", "s1").await;
    let other = another(&world).await;
    for partition in partitions() {
        other.end_session(partition, &session("s1"), &Ending::Goodbye, TimeMs(25)).await.unwrap();
    }
    let turn = Turn { consumed: 0, ..closing("0000000000000002", 3) };
    let finish = Finish { turn: Some(turn), ..world.finish_of(&grant, completed(0)) };
    assert_eq!(world.store.finish(finish).await.unwrap(), Finished::AttemptLost);
    assert_eq!(world.record("a").await.turns, 1, "nothing was applied");
}

#[tokio::test]
async fn a_repeat_of_the_step_that_ends_a_run_is_answered_as_the_first() {
    let world = OnRedis::new().await;
    let grant = world.stepping("a", "s1").await;
    let turn = Turn { consumed: 0, ..closing("0000000000000002", 3) };
    let finish = Finish { turn: Some(turn), ..world.finish_of(&grant, completed(0)) };
    let first = finished(world.store.finish(finish.clone()).await.unwrap());
    let by_the_same = finished(world.store.finish(finish.clone()).await.unwrap());
    let by_another = finished(another(&world).await.finish(finish).await.unwrap());
    assert_eq!((&first, &first), (&by_the_same, &by_another));
    assert_eq!(world.record("a").await.turns, 2, "it was applied once");
}
