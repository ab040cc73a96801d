//! Turns under a lease.

use everloop::api::journal::{Birth, Command};
use everloop::api::limits;
use everloop::api::{Entry, Head, Json, RunStatus, TimeMs};
use everloop::machine::commit::Refusal;
use everloop::machine::run::Phase;
use everloop::machine::turn::{EntryHead, EntryText, entry_text};
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    a_turn_is_committed_once_and_its_repeat_is_answered_alike,
    a_first_entry_is_kept_in_shorthand_and_read_as_json,
    a_turn_is_refused_by_head_lease_phase_and_time,
    a_full_journal_takes_only_a_turn_that_ends_the_run,
    mail_that_is_left_is_granted_or_queued_for_who_has_the_context,
    a_turn_in_parts_keeps_its_lease,
    a_closing_turn_sees_newer_mail_once,
    a_closing_turn_is_shown_all_the_mail_that_there_was_page_by_page,
    the_end_of_a_run_drops_what_could_still_happen_to_it,
    a_turn_handed_back_is_ready_again_or_blocks_the_run,
    rule_1_a_leased_commit_is_refused_for_each_reason_and_repeated_for_its_turn_id,
    a_released_turn_goes_to_its_holder_first_and_to_anyone_after_the_affinity,
);

async fn a_turn_is_committed_once_and_its_repeat_is_answered_alike(world: World) {
    let first = world.leased("a", "s1", 10).await;
    let turn = Turn { at: TimeMs(11), timers: vec![timer(3, 500)], ..scheduling(&first.record.head, 1, &[1, 2]) };
    let slots = offer("s1", 2, 1, 1);
    let grants = accepted(world.commit("a", "s1", 1, turn.clone(), 12, slots.clone()).await);
    assert_eq!(grants.turns, []);
    assert_eq!(grants.attempts.iter().map(|g| (g.attempt.command, g.attempt.seq)).collect::<Vec<_>>(), [(1, 2)]);
    let state = world.state("a").await;
    let record = &state.record;
    assert_eq!((record.phase, record.turns, record.mail, record.timers), (Phase::Waiting, 1, 0, 1));
    assert_eq!((record.at, record.next_command, record.holder.as_str()), (TimeMs(11), 3, "s1"));
    assert_eq!((record.session.as_str(), record.seq, record.epoch), ("", 0, 1));
    let entry = turn.entry.with_events(&[STARTED]);
    assert_eq!((state.first.as_str(), state.last.as_str()), (STARTED, entry.as_str()));
    assert_eq!(record.journal_bytes, u64::try_from(entry.len()).unwrap());

    let repeat = accepted(world.commit("a", "s1", 1, turn, 13, slots).await);
    assert_eq!(repeat.attempts.iter().map(|g| &g.attempt).collect::<Vec<_>>(), [&grants.attempts[0].attempt]);
    assert_eq!(world.state("a").await, state, "nothing moved");
}

async fn a_first_entry_is_kept_in_shorthand_and_read_as_json(world: World) {
    let first = world.leased("a", "s1", 10).await;
    let birth = Birth {
        uid: first.record.uid.parse().unwrap(),
        workflow: "order".into(),
        version: world.version.clone(),
        engine: "quickjs-ng 0.16.2".into(),
        flags: vec![],
    };
    let commands = [Command::ScheduleActivity { n: 0, name: "pay".into(), argument: Json::of(&7), at: "3:9".into() }];
    let head = EntryHead { turn: 0, id: Head(1), at: TimeMs(11), worker: "w", birth: Some(birth.clone()), continued: false };
    let entry = entry_text(head, &commands, &[]);
    assert!(!entry.before.starts_with('{'), "{entry:?}");
    let turn = Turn { entry: entry.clone(), ..scheduling(&first.record.head, 1, &[0]) };
    accepted(world.commit("a", "s1", 1, turn, 12, None).await);
    let state = world.state("a").await;
    assert_eq!(state.record.journal_bytes, u64::try_from(entry.with_events(&[STARTED]).len()).unwrap(), "it counts as it is kept");
    assert_eq!(state.first, STARTED);
    let granted = world.claim("a", "s1", 2, 0, 1, 13).await.attempts.remove(0);
    for text in [&state.last, &world.journal("a").await[0], &granted.entry.to_string()] {
        let read: Entry = serde_json::from_str(text).unwrap();
        assert_eq!((read.birth, &read.commands[..], read.events.len()), (Some(birth.clone()), &commands[..], 1));
    }
}

async fn a_turn_is_refused_by_head_lease_phase_and_time(world: World) {
    let first = world.leased("a", "s1", 10).await;
    world.open("s2").await;
    let before = world.state("a").await;
    let good = turn(&first.record.head, 1);
    let refused = |refusal| Committed::Refused(refusal);
    assert_eq!(world.commit("none", "s1", 1, good.clone(), 11, None).await, refused(Refusal::NotFound));
    assert_eq!(world.commit("a", "s1", 1, turn("00000000000000ab", 1), 11, None).await, refused(Refusal::HeadMoved));
    assert_eq!(world.commit("a", "s2", 1, good.clone(), 11, None).await, refused(Refusal::LeaseLost));
    assert_eq!(world.commit("a", "s1", 2, good.clone(), 11, None).await, refused(Refusal::LeaseLost));
    let ahead = Turn { at: TimeMs(12), ..good.clone() };
    assert_eq!(world.commit("a", "s1", 1, ahead, 11, None).await, refused(Refusal::TimeAhead));
    let far_ahead = Turn { at: TimeMs(u64::MAX / 4), ..good.clone() };
    assert_eq!(
        world.commit("a", "s1", 1, far_ahead, u64::MAX / 4, None).await,
        refused(Refusal::TimeAhead),
        "only the store's clock counts"
    );
    assert_eq!(world.state("a").await, before);

    assert!(matches!(world.control("a", ControlKind::Pause { blocked: PAUSED.into() }, 0x9, 12).await, Controlled::Done(_)));
    assert_eq!(world.commit("a", "s1", 1, good.clone(), 13, None).await, refused(Refusal::Blocked));
    assert!(matches!(world.control("a", ControlKind::Terminate { entry: "{\"events\":[]}".into() }, 0xa, 14).await, Controlled::Done(_)));
    assert_eq!(world.commit("a", "s1", 1, good, 15, None).await, refused(Refusal::Closed));
}

async fn a_full_journal_takes_only_a_turn_that_ends_the_run(world: World) {
    let mut base = world.leased("a", "s1", 10).await.record.head;
    let big = "x".repeat(limits::COMMIT_BYTES_MAX);
    let large = |base: &str, id| Turn {
        consumed: u32::from(id == 1),
        continued: true,
        entry: EntryText { before: "{\"events\":[".into(), after: format!("],\"logs\":\"{big}\"}}") },
        ..turn(base, id)
    };
    let mut id = 1;
    loop {
        match world.commit("a", "s1", 1, large(&base, id), 11, None).await {
            Committed::Accepted { .. } => base = Head(id).to_string(),
            Committed::Refused(refusal) => {
                assert_eq!(refusal, Refusal::JournalFull);
                break;
            }
            other @ Committed::MoreEvents { .. } => panic!("{other:?}"),
        }
        id += 1;
    }
    assert_eq!(id, limits::JOURNAL_BYTES_MAX / u64::try_from(limits::COMMIT_BYTES_MAX).unwrap());
    let last = Turn { consumed: 0, close: Some(RunStatus::Failed), continued: false, ..large(&base, id) };
    accepted(world.commit("a", "s1", 1, last, 12, None).await);
    assert_eq!(world.record("a").await.status(), RunStatus::Failed);
}

async fn mail_that_is_left_is_granted_or_queued_for_who_has_the_context(world: World) {
    let first = world.leased("a", "s1", 10).await;
    world.open("s2").await;
    world.deliver("a", &signal(1), "", 11).await;
    world.deliver("a", &signal(2), "", 11).await;
    let one = turn(&first.record.head, 1);
    let grants = accepted(world.commit("a", "s1", 1, one.clone(), 12, offer("s1", 2, 1, 0)).await);
    let grant = &grants.turns[0];
    assert_eq!(grant.events, [signal(1), signal(2)]);
    assert_eq!((grant.record.phase, grant.record.epoch, grant.record.seq), (Phase::Leased, 2, 2));
    assert_eq!(world.record("a").await, grant.record);
    // The answer was lost: the repeat brings the lease again.
    let repeat = accepted(world.commit("a", "s1", 1, one, 13, offer("s1", 2, 1, 0)).await);
    assert_eq!(without_clock(repeat.turns), without_clock(grants.turns.clone()));

    // No slot: the run is ready, for its holder at once and for others after the affinity.
    accepted(world.commit("a", "s1", 2, turn(&grant.record.head, 2), 20, offer("s1", 3, 0, 0)).await);
    let (nothing, _, next_at) = world.claimed(world.claim_by(place("a"), "s2", 1, 9, 0, 20)).await;
    assert_eq!((nothing.turns.len(), next_at), (0, 20 + limits::AFFINITY.0));
    let grants = world.claim("a", "s1", 4, 9, 0, 20).await;
    assert_eq!(grants.turns[0].events, [signal(2)]);

    // Handed back with the context, it prefers the holder again; others get it when the time is over.
    assert!(world.release_turn("a", "s1", 4, "", true, 30).await);
    assert_eq!(world.claim("a", "s2", 2, 9, 0, 29 + limits::AFFINITY.0).await.turns, []);
    let grants = world.claim("a", "s2", 3, 9, 0, 30 + limits::AFFINITY.0).await;
    assert_eq!((grants.turns[0].record.session.as_str(), grants.turns[0].record.epoch), ("s2", 4));
}

async fn a_turn_in_parts_keeps_its_lease(world: World) {
    let first = world.leased("a", "s1", 10).await;
    world.deliver("a", &signal(1), "", 11).await;
    let part = Turn { continued: true, ..scheduling(&first.record.head, 1, &[1]) };
    let grants = accepted(world.commit("a", "s1", 1, part.clone(), 12, offer("s1", 2, 1, 1)).await);
    assert_eq!(grants.attempts.len(), 1);
    let record = world.record("a").await;
    assert_eq!((record.phase, record.session.as_str(), record.seq, record.epoch), (Phase::Leased, "s1", 1, 1));
    assert_eq!((record.mail, record.turns), (1, 1));
    accepted(world.commit("a", "s1", 1, part, 12, offer("s1", 2, 1, 1)).await);
    let rest = Turn { consumed: 0, ..scheduling("0000000000000001", 2, &[2]) };
    assert_eq!(world.commit("a", "s1", 2, rest.clone(), 13, None).await, Committed::Refused(Refusal::LeaseLost));
    let grants = accepted(world.commit("a", "s1", 1, rest, 13, offer("s1", 3, 1, 1)).await);
    assert_eq!((grants.turns[0].events.as_slice(), grants.turns[0].record.seq), ([signal(1)].as_slice(), 3));
    assert_eq!(grants.attempts.len(), 1);

    // Lost between two parts, it is ready again though no mail is there: the rest of the turn is to be taken.
    let part = Turn { continued: true, ..turn("0000000000000002", 3) };
    accepted(world.commit("a", "s1", 3, part, 14, None).await);
    assert_eq!(world.record("a").await.mail, 0);
    assert!(world.release_turn("a", "s1", 3, "", false, 15).await);
    world.open("s2").await;
    let grants = world.claim("a", "s2", 1, 1, 0, 20 + limits::AFFINITY.0).await;
    assert_eq!((grants.turns[0].events.len(), grants.turns[0].record.turns), (0, 3));
}

async fn a_closing_turn_sees_newer_mail_once(world: World) {
    let first = world.leased("a", "s1", 10).await;
    world.deliver("a", &signal(1), "", 11).await;
    let close = closing(&first.record.head, 1);
    let before = world.state("a").await;
    let more = Committed::MoreEvents { events: vec![signal(1)], mail: 2 };
    assert_eq!(world.commit("a", "s1", 1, close.clone(), 12, None).await, more);
    assert_eq!(world.state("a").await, before);
    world.deliver("a", &signal(2), "", 13).await;
    let seen = Turn { consumed: 2, seen: 2, ..close };
    accepted(world.commit("a", "s1", 1, seen, 14, None).await);
    let record = world.record("a").await;
    assert_eq!((record.status(), record.mail), (RunStatus::Completed, 0));
    assert!(world.journal("a").await[0].contains(&format!("{STARTED},{}", signal(1))));
}

async fn a_closing_turn_is_shown_all_the_mail_that_there_was_page_by_page(world: World) {
    let first = world.leased("a", "s1", 10).await;
    let signals = u32::try_from(limits::CLAIM_EVENTS_MAX).unwrap() + 500;
    for n in 0..signals {
        world.deliver("a", &signal(n as usize), "", 11).await;
    }
    let close = |consumed, seen| Turn { consumed, seen, ..closing(&first.record.head, 1) };
    let Committed::MoreEvents { events, mail } = world.commit("a", "s1", 1, close(1, 0), 12, None).await else { panic!("more") };
    assert_eq!((events.len(), mail), (limits::CLAIM_EVENTS_MAX, 1 + signals));
    world.deliver("a", &signal(0), "", 13).await;
    let consumed = 1 + u32::try_from(events.len()).unwrap();
    let Committed::MoreEvents { events, .. } = world.commit("a", "s1", 1, close(consumed, mail), 14, None).await else { panic!("more") };
    assert_eq!(events.len(), 501, "the one that came since is shown with the rest");
    let ended = world.commit("a", "s1", 1, close(mail, mail), 15, None).await;
    assert_eq!(accepted(ended), Grants::default(), "but it holds up no end");
    assert_eq!(world.record("a").await.status(), RunStatus::Completed);
}

async fn the_end_of_a_run_drops_what_could_still_happen_to_it(world: World) {
    let mut wakes = world.store.watch();
    let first = world.leased("a", "s1", 10).await;
    let mut busy = Turn { timers: vec![timer(4, 100)], ..scheduling(&first.record.head, 1, &[1, 2, 3]) };
    busy.schedule[2].start_by = TimeMs(50);
    busy.schedule[1].queue = "shop/drivers".into();
    let attempts = accepted(world.commit("a", "s1", 1, busy, 11, offer("s1", 2, 0, 1)).await).attempts;
    world.deliver("a", &signal(1), "", 12).await;
    let grant = world.claim("a", "s1", 3, 1, 0, 12).await.turns.remove(0);
    let close = closing(&grant.record.head, 2);
    accepted(world.commit("a", "s1", 3, close.clone(), 20, None).await);
    let record = world.record("a").await;
    assert_eq!((record.phase, record.closed_at, record.timers, record.session.as_str()), (Phase::Closed, TimeMs(20), 0, ""));
    assert_eq!((record.attempts.len(), record.attempts_beside), (0, 0));
    accepted(world.commit("a", "s1", 3, close, 21, None).await);
    assert_eq!(world.finish("a", claim_of(&attempts[0].attempt), None, 22, None).await, Finished::AttemptLost);
    assert_eq!(world.store.extend(&run("a"), &claim_of(&attempts[0].attempt), TimeMs(900)).await.unwrap(), None);
    let fired = world.fire("a", 5_000).await;
    assert_eq!((fired.timers, fired.retries, fired.timed_out.len()), (0, 0, 0));
    assert_eq!(world.claim("a", "s1", 4, 9, 9, 5_000).await, Grants::default());
    assert!(world.end("a", "s1", &[], 5_000).await == Ended::default(), "no lease is left");
    assert_eq!(world.record("a").await, record);
    let closed = async { while wakes.recv().await.unwrap() != Wake::Closed(run("a")) {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), closed).await.expect("those who wait hear of it");
}

async fn a_turn_handed_back_is_ready_again_or_blocks_the_run(world: World) {
    let first = world.leased("a", "s1", 10).await;
    assert!(!world.release_turn("a", "s1", 9, "", true, 11).await);
    assert!(!world.release_turn("a", "s9", 1, "", true, 11).await);
    assert!(!world.release_turn("none", "s1", 1, "", true, 11).await);
    assert!(world.release_turn("a", "s1", 1, "", false, 11).await);
    assert!(!world.release_turn("a", "s1", 1, "", false, 11).await, "a repeat");
    let record = world.record("a").await;
    assert_eq!((record.phase, record.session.as_str(), record.holder.as_str()), (Phase::Ready, "", ""));
    assert_eq!((record.head.as_str(), record.epoch, record.deaths), (first.record.head.as_str(), 1, 0));
    world.open("s2").await;
    let grant = world.claim("a", "s2", 1, 1, 0, 11).await.turns.remove(0);
    assert_eq!(grant.record.epoch, 2);
    let broken = r#"{"reason":"BrokenSource","message":"x"}"#;
    assert!(world.release_turn("a", "s2", 1, broken, true, 12).await);
    let record = world.record("a").await;
    assert_eq!((record.phase, record.status(), record.mail), (Phase::Blocked, RunStatus::Blocked, 1));
    assert_eq!((record.blocked.as_str(), record.head.as_str()), (broken, "000000000000b10c"));
    assert_eq!(world.claim("a", "s2", 2, 9, 0, 500).await.turns, []);
    assert!(matches!(world.deliver("a", &signal(1), "", 13).await, Delivered::Accepted { grant: None }));
    assert_eq!(world.record("a").await.mail, 2);
}

async fn rule_1_a_leased_commit_is_refused_for_each_reason_and_repeated_for_its_turn_id(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let head = grant.record.head.clone();
    let refused = |refusal| Committed::Refused(refusal);
    assert_eq!(world.commit("none", "s1", 1, turn(&head, 2), 20, None).await, refused(Refusal::NotFound));
    assert_eq!(world.commit("a", "s1", 1, turn(&Head(99).to_string(), 2), 20, None).await, refused(Refusal::HeadMoved));
    assert_eq!(world.commit("a", "s2", 1, turn(&head, 2), 20, None).await, refused(Refusal::LeaseLost));
    assert_eq!(world.commit("a", "s1", 7, turn(&head, 2), 20, None).await, refused(Refusal::LeaseLost));
    let ahead = Turn { at: TimeMs(21), ..turn(&head, 2) };
    assert_eq!(world.commit("a", "s1", 1, ahead, 20, None).await, refused(Refusal::TimeAhead));
    assert_eq!(world.record("a").await, grant.record, "nothing was changed");

    let first = accepted(world.commit("a", "s1", 1, scheduling(&head, 2, &[0]), 20, offer("s1", 2, 1, 1)).await);
    let after = world.record("a").await;
    let again = accepted(world.commit("a", "s1", 1, scheduling(&head, 2, &[0]), 20, offer("s1", 2, 1, 1)).await);
    assert_eq!(again.attempts.len(), 1);
    assert_eq!(again.attempts[0].attempt, first.attempts[0].attempt);
    assert_eq!(&*again.attempts[0].entry, "", "the caller repeats the entry");
    assert_eq!(world.record("a").await, after, "a repeat changes nothing");
}

async fn a_released_turn_goes_to_its_holder_first_and_to_anyone_after_the_affinity(world: World) {
    world.leased("a", "s1", 10).await;
    world.open("s2").await;
    let what = Released::Turn { session: session("s1"), seq: 1, blocked: String::new(), head: Head(9), keeps_context: true };
    let release = Release { run: run("a"), what, now: TimeMs(100) };
    assert!(world.store.release(release.clone()).await.unwrap());
    assert!(!world.store.release(release).await.unwrap(), "a repeat");
    let Claimed::Granted { grants, more, next_at } = world.try_claim("a", "s2", 1, 8, 8, 149).await else { panic!("s2 lives") };
    assert_eq!((grants, more, next_at), (Grants::default(), false, TimeMs(150)));
    assert_eq!(world.claim("a", "s1", 2, 8, 8, 149).await.turns.len(), 1);
    let what = Released::Turn { session: session("s1"), seq: 2, blocked: String::new(), head: Head(9), keeps_context: false };
    assert!(world.store.release(Release { run: run("a"), what, now: TimeMs(149) }).await.unwrap());
    let grant = world.claim("a", "s2", 2, 8, 8, 149).await.turns.remove(0);
    assert_eq!((grant.record.epoch, grant.record.session.as_str(), grant.events), (3, "s2", vec![STARTED.to_owned()]));
    let what = Released::Turn { session: session("s2"), seq: 2, blocked: r#"{"reason":"x"}"#.into(), head: Head(9), keeps_context: true };
    assert!(world.store.release(Release { run: run("a"), what, now: TimeMs(149) }).await.unwrap());
    let record = world.record("a").await;
    assert_eq!((record.status(), record.head, record.mail), (RunStatus::Blocked, Head(9).to_string(), 1));
}
