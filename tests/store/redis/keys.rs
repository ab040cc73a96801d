//! Which keys are left of a run.

use everloop::api::TimeMs;
use everloop::machine::turn::NewAttempt;
use everloop::store::op::*;

use super::OnRedis;
use crate::world::*;

#[tokio::test]
async fn attempts_that_have_ended_leave_no_keys_beside_the_record() {
    let world = OnRedis::new().await;
    let commands: Vec<u32> = (0..20).collect();
    let attempts = world.running("a", "s1", &commands, 10).await;
    assert!(!world.keys("*:a:*").is_empty(), "many stand beside the record");
    for grant in &attempts {
        let finish = world.finish_of(grant, completed(grant.attempt.command));
        assert!(matches!(world.store.finish(finish).await.unwrap(), Finished::Accepted { .. }));
    }
    assert_eq!(world.keys("*:a:*"), Vec::<String>::new());
}

#[tokio::test]
async fn a_swept_run_leaves_no_keys() {
    let world = OnRedis::new().await;
    let grant = world.leased("a", "s1", 10).await;
    let schedule: Vec<_> = (0..12).map(|n| NewAttempt { start_by: TimeMs(9_000), close_by: TimeMs(9_500), ..activity(n) }).collect();
    let turn = Turn { schedule, timers: vec![timer(20, 100)], next_command: 21, continued: true, ..turn(&grant.record.head, 2) };
    let grants = accepted(world.commit("a", "s1", 1, turn, 20, offer("s1", 2, 0, 5)).await);
    let retry = Outcome::Retry { at: TimeMs(400), error: String::new() };
    world.store.finish(Finish { outcome: retry, ..world.finish_of(&grants.attempts[0], String::new()) }).await.unwrap();
    world.deliver("a", &signal(1), "k", 15).await;
    let head = world.record("a").await.head;
    accepted(world.commit("a", "s1", 1, Turn { next_command: 22, ..closing(&head, 3) }, 20, None).await);
    // What is left in queues goes when it is met.
    world.fire("a", 100).await;
    world.claim("a", "s1", 9, 8, 8, 100).await;
    assert_eq!(world.store.sweep(place("a"), TimeMs(1_000)).await.unwrap(), Swept { runs: 1, more: false });
    let mut keys = world.keys("{e?*}:*");
    keys.retain(|key| ![":w", ":pools", ":queues", ":s", ":l:s1", ":settled"].iter().any(|kept| key.ends_with(kept)));
    assert_eq!(keys, Vec::<String>::new());
}

/// A store of a program that did not count open runs yet: it is counted when it is opened.
#[tokio::test]
async fn open_runs_of_an_older_store_are_counted_when_it_is_opened() {
    let world = OnRedis::new().await;
    for n in 0..20 {
        world.start(&format!("r{n}"), 10).await;
    }
    let origin = Some("kubernetes/o".parse().unwrap());
    world.store.start(Start { origin, ..world.start_of("followed", 10) }).await.unwrap();
    let head = world.record("r0").await.head;
    world.leased("closed", "s1", 10).await;
    accepted(world.commit("closed", "s1", 1, closing("00000000000000aa", 3), 20, None).await);
    assert_eq!(head, "00000000000000aa");
    let before = world.open_runs().await;
    assert_eq!(before.iter().map(|open| open.runs).collect::<Vec<_>>(), [21]);
    let mut connection = world.server.connection();
    for key in world.keys("{e?*}:open").into_iter().chain(world.keys("{e?*}:fo")) {
        redis::cmd("DEL").arg(key).exec(&mut connection).unwrap();
    }
    redis::cmd("HDEL").arg("{e}:meta").arg("open").exec(&mut connection).unwrap();
    assert_eq!(world.open_runs().await, vec![]);
    let world = OnRedis::on(world.server, everloop::store::op::Durability::None).await;
    assert_eq!(world.open_runs().await, before);
    let followed = world.store.followed(place("followed"), None).await.unwrap();
    assert_eq!(followed.runs.iter().map(|(run, _)| run.id.as_str()).collect::<Vec<_>>(), ["followed"]);
}
