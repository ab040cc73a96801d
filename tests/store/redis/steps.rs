//! Turns that a replica works out from what it saw last: another one may have come between.

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
        now: everloop::api::TimeMs(25),
    };
    assert!(matches!(another(&world).await.control(control).await.unwrap(), Controlled::Done(_)));
    let turn = Turn { consumed: 0, ..closing("0000000000000002", 3) };
    let finish = Finish { turn: Some(turn), ..world.finish_of(&grant, completed(0)) };
    assert_eq!(world.store.finish(finish).await.unwrap(), Finished::AttemptLost);
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
        other.end_session(partition, &session("s1"), &Ending::Goodbye, everloop::api::TimeMs(25)).await.unwrap();
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
