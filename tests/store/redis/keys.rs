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
    keys.retain(|key| ![":w", ":pools", ":queues", ":s", ":l:s1"].iter().any(|kept| key.ends_with(kept)));
    assert_eq!(keys, Vec::<String>::new());
}
