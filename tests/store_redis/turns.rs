//! Start, deliver, control, commit, release: turns.

use everloop::api::{Head, RunStatus, TimeMs, Version};
use everloop::machine::commit::Refusal;
use everloop::machine::record::{PAUSED_PREFIX, RunRecord};
use everloop::machine::run::Phase;
use everloop::store::Store;
use everloop::store::op::*;

use crate::world::*;

#[tokio::test]
async fn a_run_goes_from_start_to_end_in_three_operations() {
    let world = World::new().await;
    let mut watch = world.store.watch();
    let grant = world.stepping("a", "s1").await;
    assert_eq!((grant.attempt.command, grant.entry.as_str(), grant.attempt.session.as_str()), (0, "", "s1"));
    let turn = Turn { consumed: 0, ..closing(&world.record("a").await.head, 3) };
    let finish = Finish { turn: Some(turn), offer: offer("s1", 3, 1, 1), ..world.finish_of(&grant, completed(0)) };
    assert_eq!(world.finish(finish.clone()).await, Finished::Accepted { turn: Some(Ok(())), grants: Grants::default() });
    assert_eq!(world.finish(finish).await, Finished::Accepted { turn: Some(Ok(())), grants: Grants::default() }, "a repeat");
    let state = world.store.run(&run("a")).await.unwrap().unwrap();
    assert_eq!(state.record.status(), RunStatus::Completed);
    assert_eq!((state.record.turns, state.record.mail, state.record.attempts.len()), (2, 0, 0));
    assert_eq!(state.first, STARTED);
    assert!(state.last.contains(&completed(0)));
    let entries = world.entries("a").await;
    assert_eq!(entries[0], format!(r#"{{"v":1,"id":"2","events":[{STARTED}],"commands":[]}}"#));
    assert_eq!(entries.iter().map(|e| e.len() as u64).sum::<u64>(), state.record.journal_bytes);
    assert_eq!(watch.recv().await.unwrap(), Wake::Closed(run("a")), "nothing else was published: all was granted");
}

#[tokio::test]
async fn a_start_is_known_again_and_refused_when_it_is_another_or_the_version_is_not_current() {
    let world = World::new().await;
    let start = world.start_of("a");
    assert!(matches!(world.store.start(start.clone()).await.unwrap(), Started::New { grant: None, .. }));
    let Started::Existing(record) = world.store.start(start.clone()).await.unwrap() else { panic!("a repeat") };
    assert_eq!(RunRecord::decode(&record.encode()), Ok(record.clone()));
    assert_eq!((record.phase, record.mail, record.started_at), (Phase::Ready, 1, TimeMs(10)));
    let other = Start { input_hash: "f".repeat(16), ..start.clone() };
    assert!(matches!(world.store.start(other).await.unwrap(), Started::Taken(_)));
    let missing = Start { run: run("b"), workflow: name("nothing"), ..start.clone() };
    assert_eq!(world.store.start(missing).await.unwrap(), Started::WorkflowNotFound);
    let old = Start { run: run("b"), version: Version::of("older"), ..start };
    let Started::VersionChanged(current) = world.store.start(old).await.unwrap() else { panic!("another version is current") };
    assert_eq!(current.version, world.version);
}

#[tokio::test]
async fn rule_1_a_leased_commit_is_refused_for_each_reason_and_repeated_for_its_turn_id() {
    let world = World::new().await;
    let grant = world.started("a", "s1").await;
    let head = grant.record.head.clone();
    let refused = |refusal| Committed::Refused(refusal);
    assert_eq!(world.commit("none", "s1", 1, turn(&head, 2), None).await, refused(Refusal::NotFound));
    assert_eq!(world.commit("a", "s1", 1, turn(&Head(99).to_string(), 2), None).await, refused(Refusal::HeadMoved));
    assert_eq!(world.commit("a", "s2", 1, turn(&head, 2), None).await, refused(Refusal::LeaseLost));
    assert_eq!(world.commit("a", "s1", 7, turn(&head, 2), None).await, refused(Refusal::LeaseLost));
    let ahead = Turn { at: TimeMs(21), ..turn(&head, 2) };
    assert_eq!(world.commit("a", "s1", 1, ahead, None).await, refused(Refusal::TimeAhead));
    assert_eq!(world.record("a").await, grant.record, "nothing was changed");

    let first = world.accepted("a", "s1", 1, scheduling(&head, 2, 0), offer("s1", 2, 1, 1)).await;
    let after = world.record("a").await;
    let again = world.accepted("a", "s1", 1, scheduling(&head, 2, 0), offer("s1", 2, 1, 1)).await;
    assert_eq!(again.attempts.len(), 1);
    assert_eq!(again.attempts[0].attempt, first.attempts[0].attempt);
    assert_eq!(again.attempts[0].entry, "", "the caller repeats the entry");
    assert_eq!(world.record("a").await, after, "a repeat changes nothing");
}

#[tokio::test]
async fn mail_that_comes_during_a_turn_is_granted_with_the_answer_or_queued() {
    let world = World::new().await;
    for (id, turns) in [("a", 1), ("b", 0)] {
        let grant = world.started(id, "s1").await;
        assert!(matches!(world.deliver(id, &signal(1), "k1").await, Delivered::Accepted { grant: None }));
        let grants = world.accepted(id, "s1", 1, turn(&grant.record.head, 2), offer("s1", 2, turns, 0)).await;
        let record = world.record(id).await;
        assert_eq!(record.mail, 1);
        if turns == 1 {
            assert_eq!(
                grants.turns,
                [TurnGrant { run: run(id), record: record.clone(), events: vec![signal(1)], now: grants.turns[0].now }]
            );
            assert_eq!((record.phase, record.seq, record.epoch), (Phase::Leased, 2, 2));
        } else {
            assert_eq!((grants, record.phase), (Grants::default(), Phase::Ready));
        }
    }
}

#[tokio::test]
async fn a_closing_turn_is_shown_newer_mail_once_and_closes_when_it_insists() {
    let world = World::new().await;
    let grant = world.started("a", "s1").await;
    world.deliver("a", &signal(1), "k1").await;
    let close = closing(&grant.record.head, 2);
    assert_eq!(world.commit("a", "s1", 1, close.clone(), None).await, Committed::MoreEvents(vec![signal(1)]));
    world.deliver("a", &signal(2), "k2").await;
    world.accepted("a", "s1", 1, Turn { consumed: 2, insist: true, ..close }, None).await;
    assert_eq!(world.record("a").await.status(), RunStatus::Completed);
    assert!(world.entries("a").await[0].contains(&format!("[{STARTED},{}]", signal(1))));
    assert_eq!(world.deliver("a", &signal(3), "k3").await, Delivered::Closed(RunStatus::Completed));
    assert_eq!(world.deliver("a", &signal(1), "k1").await, Delivered::Repeat, "an accepted key stays accepted");
}

#[tokio::test]
async fn a_turn_in_parts_keeps_its_lease_and_its_request() {
    let world = World::new().await;
    let grant = world.started("a", "s1").await;
    let part = Turn { continued: true, ..turn(&grant.record.head, 2) };
    let grants = world.accepted("a", "s1", 1, part.clone(), None).await;
    assert_eq!((grants.turns.len(), grants.turns[0].events.len()), (1, 0));
    assert_eq!(world.accepted("a", "s1", 1, part, None).await, grants, "a repeat");
    let rest = Turn { consumed: 0, ..turn(&grants.turns[0].record.head, 3) };
    assert_eq!(world.accepted("a", "s1", 1, rest, None).await, Grants::default());
    assert_eq!(world.record("a").await.phase, Phase::Waiting);
}

#[tokio::test]
async fn a_delivery_is_accepted_once_by_its_key_and_bounded_but_a_cancel_always_fits() {
    let world = World::new().await;
    assert_eq!(world.deliver("a", &signal(1), "k").await, Delivered::NotFound);
    world.store.start(world.start_of("a")).await.unwrap();
    assert!(matches!(world.deliver("a", &signal(1), "k").await, Delivered::Accepted { .. }));
    assert_eq!(world.deliver("a", &signal(1), "k").await, Delivered::Repeat);
    for n in 2..10_000 {
        assert!(matches!(world.deliver("a", &signal(n), &n.to_string()).await, Delivered::Accepted { .. }));
    }
    assert_eq!(world.deliver("a", &signal(0), "one more").await, Delivered::MailboxFull);
    assert!(matches!(world.deliver("a", CANCEL, "cancel").await, Delivered::Accepted { .. }));
    let record = world.record("a").await;
    assert_eq!((record.mail, record.mail_cancel), (10_001, 1));
}

#[tokio::test]
async fn mail_cancel_lasts_until_the_cancel_is_consumed() {
    let world = World::new().await;
    let grant = world.started("a", "s1").await;
    world.deliver("a", &signal(1), "k1").await;
    world.deliver("a", CANCEL, "k2").await;
    world.deliver("a", &signal(2), "k3").await;
    let grants = world.accepted("a", "s1", 1, turn(&grant.record.head, 2), offer("s1", 2, 1, 0)).await;
    assert_eq!(grants.turns[0].record.mail_cancel, 1);
    let turn = Turn { consumed: 2, ..turn(&grants.turns[0].record.head, 3) };
    let grants = world.accepted("a", "s1", 2, turn, offer("s1", 3, 1, 0)).await;
    assert_eq!((grants.turns[0].record.mail_cancel, grants.turns[0].record.mail), (0, 1));
}

#[tokio::test]
async fn pausing_takes_the_lease_away_and_resuming_makes_ready_on_the_given_version() {
    let world = World::new().await;
    let grant = world.started("a", "s1").await;
    let control = |kind, head| Control { run: run("a"), kind, head: Head(head), key: String::new(), now: TimeMs(20) };
    let paused = ControlKind::Pause { blocked: format!("{PAUSED_PREFIX},\"message\":\"\"}}") };
    let resume = ControlKind::Resume { version: Some(Version::of("newer")) };
    let Controlled::NotApplicable(_) = world.store.control(control(resume.clone(), 50)).await.unwrap() else { panic!("not paused") };
    let Controlled::Done(record) = world.store.control(control(paused.clone(), 51)).await.unwrap() else { panic!("paused") };
    assert_eq!((record.status(), record.session.as_str()), (RunStatus::Paused, ""));
    assert_eq!(world.store.control(control(paused.clone(), 51)).await.unwrap(), Controlled::Done(record.clone()), "a repeat");
    assert_eq!(world.store.control(control(paused, 52)).await.unwrap(), Controlled::Done(record), "paused already");
    let refused = world.commit("a", "s1", 1, turn(&grant.record.head, 2), None).await;
    assert_eq!(refused, Committed::Refused(Refusal::Blocked));
    assert!(matches!(world.deliver("a", &signal(1), "k").await, Delivered::Accepted { grant: None }));
    assert_eq!(world.record("a").await.phase, Phase::Blocked);
    assert!(world.claimed("a", "s1", 2, 30).await.turns.is_empty());
    let Controlled::Done(record) = world.store.control(control(resume, 53)).await.unwrap() else { panic!("resumed") };
    assert_eq!((record.phase, record.version.as_str(), record.mail), (Phase::Ready, Version::of("newer").as_str(), 2));
    assert_eq!(world.claimed("a", "s1", 2, 30).await.turns[0].events, [STARTED.to_owned(), signal(1)]);
}

#[tokio::test]
async fn terminating_ends_a_run_without_a_turn_and_takes_it_out_of_the_queue() {
    let world = World::new().await;
    world.store.start(world.start_of("a")).await.unwrap();
    let control = |kind, head| Control { run: run("a"), kind, head: Head(head), key: String::new(), now: TimeMs(20) };
    let terminate = ControlKind::Terminate { entry: r#"{"events":[],"commands":["why"]}"#.into() };
    let Controlled::Done(record) = world.store.control(control(terminate.clone(), 50)).await.unwrap() else { panic!("done") };
    assert_eq!((record.status(), record.turns, record.closed_at), (RunStatus::Terminated, 1, TimeMs(20)));
    assert_eq!(world.store.control(control(terminate, 51)).await.unwrap(), Controlled::Done(record), "a repeat");
    let pause = ControlKind::Pause { blocked: String::new() };
    assert_eq!(world.store.control(control(pause, 52)).await.unwrap(), Controlled::Closed(RunStatus::Terminated));
    let state = world.store.run(&run("a")).await.unwrap().unwrap();
    assert_eq!((state.first.as_str(), state.last.as_str()), ("", r#"{"events":[],"commands":["why"]}"#));
    let counts = world.store.counts(world.partition("a")).await.unwrap();
    assert!(counts.ready_turns.is_empty(), "{counts:?}");
}

#[tokio::test]
async fn a_released_turn_goes_to_its_holder_first_and_to_anyone_after_the_affinity() {
    let world = World::new().await;
    world.started("a", "s1").await;
    world.open("a", "s2").await;
    let what = Released::Turn { session: session("s1"), seq: 1, blocked: String::new(), head: Head(9), keeps_context: true };
    let release = Release { run: run("a"), what, now: TimeMs(100) };
    assert!(world.store.release(release.clone()).await.unwrap());
    assert!(!world.store.release(release).await.unwrap(), "a repeat");
    let Claimed::Granted { grants, more, next_at } = world.claim("a", "s2", 1, 8, 8, 149).await else { panic!("s2 lives") };
    assert_eq!((grants, more, next_at), (Grants::default(), false, TimeMs(150)));
    assert_eq!(world.claimed("a", "s1", 2, 149).await.turns.len(), 1);
    let what = Released::Turn { session: session("s1"), seq: 2, blocked: String::new(), head: Head(9), keeps_context: false };
    assert!(world.store.release(Release { run: run("a"), what, now: TimeMs(149) }).await.unwrap());
    let grant = world.claimed("a", "s2", 2, 149).await.turns.remove(0);
    assert_eq!((grant.record.epoch, grant.record.session.as_str(), grant.events), (3, "s2", vec![STARTED.to_owned()]));
    let what = Released::Turn { session: session("s2"), seq: 2, blocked: r#"{"reason":"x"}"#.into(), head: Head(9), keeps_context: true };
    assert!(world.store.release(Release { run: run("a"), what, now: TimeMs(149) }).await.unwrap());
    let record = world.record("a").await;
    assert_eq!((record.status(), record.head, record.mail), (RunStatus::Blocked, Head(9).to_string(), 1));
}
