//! Pausing, resuming, terminating.

use everloop::api::{Head, RunStatus, TimeMs, Version};
use everloop::machine::commit::Refusal;
use everloop::machine::record::PAUSED_PREFIX;
use everloop::machine::run::Phase;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    pausing_takes_the_lease_away_and_resuming_makes_ready_on_the_given_version,
    terminating_ends_a_run_without_a_turn_and_takes_it_out_of_the_queue,
    a_decision_on_a_record_counts_only_on_that_record,
    a_turn_in_parts_goes_on_after_a_pause_though_no_mail_waits,
);

async fn pausing_takes_the_lease_away_and_resuming_makes_ready_on_the_given_version(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let control = |kind, head| Control { run: run("a"), kind, over: None, head: Head(head), key: String::new(), now: TimeMs(20) };
    let paused = ControlKind::Pause { blocked: format!("{PAUSED_PREFIX},\"message\":\"\"}}") };
    let resume = ControlKind::Resume { version: Some(Version::of("newer")) };
    let Controlled::NotApplicable(_) = world.store.control(control(resume.clone(), 50)).await.unwrap() else { panic!("not paused") };
    let Controlled::Done(record) = world.store.control(control(paused.clone(), 51)).await.unwrap() else { panic!("paused") };
    assert_eq!((record.status(), record.session.as_str()), (RunStatus::Paused, ""));
    assert_eq!(world.store.control(control(paused.clone(), 51)).await.unwrap(), Controlled::Done(record.clone()), "a repeat");
    assert_eq!(world.store.control(control(paused, 52)).await.unwrap(), Controlled::Done(record), "paused already");
    let refused = world.commit("a", "s1", 1, turn(&grant.record.head, 2), 20, None).await;
    assert_eq!(refused, Committed::Refused(Refusal::Blocked));
    assert!(matches!(world.deliver("a", &signal(1), "k", 15).await, Delivered::Accepted { grant: None }));
    assert_eq!(world.record("a").await.phase, Phase::Blocked);
    assert!(world.claim("a", "s1", 2, 8, 8, 30).await.turns.is_empty());
    let Controlled::Done(record) = world.store.control(control(resume, 53)).await.unwrap() else { panic!("resumed") };
    assert_eq!((record.phase, record.version.as_str(), record.mail), (Phase::Ready, Version::of("newer").as_str(), 2));
    assert_eq!(world.claim("a", "s1", 2, 8, 8, 30).await.turns[0].events, [STARTED.to_owned(), signal(1)]);
}

async fn a_decision_on_a_record_counts_only_on_that_record(world: World) {
    world.store.start(Start { origin: Some("o".parse().unwrap()), ..world.start_of("a", 10) }).await.unwrap();
    let pause = |message: &str| ControlKind::Pause { blocked: format!("{PAUSED_PREFIX},\"message\":\"{message}\"}}") };
    let control = |kind, over, head| Control { run: run("a"), kind, over, head: Head(head), key: String::new(), now: TimeMs(20) };
    assert!(matches!(world.store.control(control(pause("one"), None, 50)).await.unwrap(), Controlled::Done(_)));
    let before = world.record("a").await;
    for kind in [pause("two"), ControlKind::Resume { version: None }] {
        assert_eq!(world.store.control(control(kind, Some(Head(49)), 51)).await.unwrap(), Controlled::Moved(before.clone()));
    }
    let Controlled::Done(record) = world.store.control(control(pause("two"), Some(Head(50)), 52)).await.unwrap() else { panic!() };
    assert!(record.blocked.contains("two") && record.status() == RunStatus::Paused, "{record:?}");
    let Changes::Told { place: 2, .. } = world.store.changes(place("a"), None).await.unwrap() else { panic!("both are told") };
    let resume = control(ControlKind::Resume { version: None }, Some(Head(52)), 53);
    let Controlled::Done(record) = world.store.control(resume.clone()).await.unwrap() else { panic!() };
    assert_eq!((record.phase, record.mail), (Phase::Ready, 1));
    assert_eq!(world.store.control(resume).await.unwrap(), Controlled::Done(record), "a repeat");
    world.open("s1").await;
    assert_eq!(world.claim("a", "s1", 2, 8, 8, 30).await.turns.len(), 1, "it stands in its queue once");
}

async fn a_turn_in_parts_goes_on_after_a_pause_though_no_mail_waits(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    accepted(world.commit("a", "s1", 1, Turn { continued: true, ..turn(&grant.record.head, 2) }, 20, None).await);
    let control = |kind, head| Control { run: run("a"), kind, over: None, head: Head(head), key: String::new(), now: TimeMs(20) };
    let pause = ControlKind::Pause { blocked: format!("{PAUSED_PREFIX},\"message\":\"\"}}") };
    assert!(matches!(world.store.control(control(pause, 50)).await.unwrap(), Controlled::Done(_)));
    let Controlled::Done(record) = world.store.control(control(ControlKind::Resume { version: None }, 51)).await.unwrap() else { panic!() };
    assert_eq!((record.phase, record.mail), (Phase::Ready, 0));
    let turns = world.claim("a", "s1", 2, 8, 8, 30).await.turns;
    assert_eq!((turns.len(), turns[0].events.len(), turns[0].record.turns), (1, 0, 1));
}

async fn terminating_ends_a_run_without_a_turn_and_takes_it_out_of_the_queue(world: World) {
    world.store.start(world.start_of("a", 10)).await.unwrap();
    let control = |kind, head| Control { run: run("a"), kind, over: None, head: Head(head), key: String::new(), now: TimeMs(20) };
    let terminate = ControlKind::Terminate { entry: r#"{"events":[],"commands":["why"]}"#.into() };
    let Controlled::Done(record) = world.store.control(control(terminate.clone(), 50)).await.unwrap() else { panic!("done") };
    assert_eq!((record.status(), record.turns, record.closed_at), (RunStatus::Terminated, 1, TimeMs(20)));
    assert_eq!(world.store.control(control(terminate, 51)).await.unwrap(), Controlled::Done(record), "a repeat");
    let pause = ControlKind::Pause { blocked: String::new() };
    assert_eq!(world.store.control(control(pause, 52)).await.unwrap(), Controlled::Closed(RunStatus::Terminated));
    let state = world.store.run(&run("a")).await.unwrap().unwrap();
    assert_eq!((state.first.as_str(), state.last.as_str()), (STARTED, r#"{"events":[],"commands":["why"]}"#));
    let counts = world.store.counts(place("a")).await.unwrap();
    assert!(counts.ready_turns.is_empty(), "{counts:?}");
}
