//! Events from outside, and how they reach turns.

use everloop::api::limits;
use everloop::api::{RunStatus, TimeMs};
use everloop::machine::run::Phase;
use everloop::store::op::*;
use futures_util::future::join_all;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    an_event_is_accepted_once_by_its_key_and_in_order,
    a_waiting_run_becomes_ready_or_is_granted_by_an_event,
    a_full_mailbox_refuses_events_from_outside_but_no_cancel,
    keys_of_consumed_events_are_remembered_up_to_a_bound,
    mail_cancel_lasts_until_the_cancel_is_consumed,
    results_and_timers_fit_into_a_full_mailbox,
    a_claim_carries_a_bounded_number_of_bytes,
);

async fn an_event_is_accepted_once_by_its_key_and_in_order(world: World) {
    assert_eq!(world.deliver("a", &signal(1), "k1", 5).await, Delivered::NotFound);
    let first = world.leased("a", "s1", 10).await;
    for (event, key) in [(signal(1), "k1"), (signal(2), "k2"), (signal(3), ""), (signal(3), "")] {
        assert_eq!(world.deliver("a", &event, key, 11).await, Delivered::Accepted { grant: None });
    }
    assert_eq!(world.deliver("a", &signal(9), "k1", 12).await, Delivered::Repeat);
    assert_eq!(world.record("a").await.mail, 5);
    let grants = accepted(world.commit("a", "s1", 1, turn(&first.record.head, 1), 13, offer("s1", 2, 1, 0)).await);
    assert_eq!(grants.turns[0].events, [signal(1), signal(2), signal(3), signal(3)]);
    let close = Turn { consumed: 4, ..closing(&grants.turns[0].record.head, 2) };
    accepted(world.commit("a", "s1", 2, close, 14, None).await);
    assert_eq!(world.deliver("a", &signal(4), "k4", 15).await, Delivered::Closed(RunStatus::Completed));
    assert_eq!(world.deliver("a", &signal(2), "k2", 15).await, Delivered::Repeat, "its first answer still holds");
    let journal = world.journal("a").await;
    assert!(journal[1].contains(&format!(r#""events":[{},{},{},{}]"#, signal(1), signal(2), signal(3), signal(3))), "{}", journal[1]);
}

async fn a_waiting_run_becomes_ready_or_is_granted_by_an_event(world: World) {
    for id in ["a", "b"] {
        let first = world.leased(id, "s1", 10).await;
        accepted(world.commit(id, "s1", 1, turn(&first.record.head, 1), 11, None).await);
        assert_eq!(world.record(id).await.phase, Phase::Waiting);
    }
    assert_eq!(world.deliver("a", &signal(1), "k", 100).await, Delivered::Accepted { grant: None });
    let record = world.record("a").await;
    assert_eq!((record.phase, record.mail, record.holder.as_str()), (Phase::Ready, 1, "s1"));
    let deliver = |by: &str, key: &str| Deliver {
        run: run("b"),
        event: signal(1),
        cancel: false,
        key: key.into(),
        now: TimeMs(100),
        offer: offer(by, 7, 1, 0),
    };
    world.open("s2").await;
    assert_eq!(world.store.deliver(deliver("s2", "k1")).await.unwrap(), Delivered::Accepted { grant: None }, "s1 is preferred");
    assert_eq!(world.record("b").await.phase, Phase::Ready);
    let taken = world.claim("b", "s1", 3, 9, 0, 100).await;
    let taken = taken.turns.iter().find(|grant| grant.run == run("b")).unwrap();
    accepted(world.commit("b", "s1", 3, turn(&taken.record.head, 2), 101, None).await);
    match world.store.deliver(deliver("s1", "k2")).await.unwrap() {
        Delivered::Accepted { grant: Some(grant) } => {
            assert_eq!((grant.record.session.as_str(), grant.record.seq, grant.record.epoch), ("s1", 7, 3));
            assert_eq!(grant.events, [signal(1)]);
        }
        other => panic!("{other:?}"),
    }
}

async fn a_full_mailbox_refuses_events_from_outside_but_no_cancel(world: World) {
    let first = world.leased("a", "s1", 10).await;
    let bound = usize::try_from(limits::UNREAD_EVENTS_MAX).unwrap();
    let all: Vec<usize> = (1..bound).collect();
    for chunk in all.chunks(500) {
        let delivered = join_all(chunk.iter().map(|n| async { world.deliver("a", &signal(*n), "", 11).await })).await;
        assert!(delivered.iter().all(|answer| matches!(answer, Delivered::Accepted { .. })));
    }
    assert_eq!(world.deliver("a", &signal(0), "k", 12).await, Delivered::MailboxFull);
    assert!(matches!(world.deliver("a", CANCEL, "c", 12).await, Delivered::Accepted { .. }));
    let record = world.record("a").await;
    assert_eq!((record.mail, record.mail_cancel), (limits::UNREAD_EVENTS_MAX + 1, 1));

    // The first turn took one event; what is left comes a thousand at a time, to the last one.
    let (mut head, mut seq) = (1, 2);
    let mut grants = accepted(world.commit("a", "s1", 1, turn(&first.record.head, 1), 13, offer("s1", seq, 1, 0)).await);
    let mut seen = 0;
    while let Some(grant) = grants.turns.pop() {
        let events = grant.events.len();
        assert!(events == limits::CLAIM_EVENTS_MAX || seen + events == bound, "{events}");
        seen += events;
        head += 1;
        let next = Turn { consumed: u32::try_from(events).unwrap(), ..turn(&grant.record.head, head) };
        grants = accepted(world.commit("a", "s1", seq, next, 14, offer("s1", seq + 1, 1, 0)).await);
        seq += 1;
    }
    assert_eq!(seen, bound);
    let record = world.record("a").await;
    assert_eq!((record.mail, record.mail_cancel, record.phase), (0, 0, Phase::Waiting));
}

async fn keys_of_consumed_events_are_remembered_up_to_a_bound(world: World) {
    let first = world.leased("a", "s1", 10).await;
    let mut base = first.record.head;
    let kept = usize::try_from(limits::IDEMPOTENCY_KEYS_KEPT).unwrap();
    let count = kept + 100;
    for n in 0..count {
        assert!(matches!(world.deliver("a", &signal(n), &format!("k{n}"), 11).await, Delivered::Accepted { .. }));
    }
    assert_eq!(world.deliver("a", &signal(0), "k0", 12).await, Delivered::Repeat, "all unread ones are known");
    let consumed = u32::try_from(count + 1).unwrap();
    accepted(world.commit("a", "s1", 1, Turn { consumed, ..turn(&base, 1) }, 13, None).await);
    base = world.record("a").await.head;
    assert_eq!(base, "0000000000000001");
    // A new one makes room; what is within the bound stays.
    assert!(matches!(world.deliver("a", &signal(count), "new", 14).await, Delivered::Accepted { .. }));
    assert_eq!(world.deliver("a", &signal(count - 1), &format!("k{}", count - 1), 15).await, Delivered::Repeat);
    assert_eq!(world.deliver("a", &signal(count - kept + 2), &format!("k{}", count - kept + 2), 15).await, Delivered::Repeat);
    assert!(matches!(world.deliver("a", &signal(0), "k0", 15).await, Delivered::Accepted { .. }), "long forgotten");
}

async fn mail_cancel_lasts_until_the_cancel_is_consumed(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    world.deliver("a", &signal(1), "k1", 15).await;
    world.deliver("a", CANCEL, "k2", 15).await;
    world.deliver("a", &signal(2), "k3", 15).await;
    let grants = accepted(world.commit("a", "s1", 1, turn(&grant.record.head, 2), 20, offer("s1", 2, 1, 0)).await);
    assert_eq!(grants.turns[0].record.mail_cancel, 1);
    let turn = Turn { consumed: 2, ..turn(&grants.turns[0].record.head, 3) };
    let grants = accepted(world.commit("a", "s1", 2, turn, 20, offer("s1", 3, 1, 0)).await);
    assert_eq!((grants.turns[0].record.mail_cancel, grants.turns[0].record.mail), (0, 1));
}

async fn results_and_timers_fit_into_a_full_mailbox(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let busy = Turn { timers: vec![timer(1, 20)], ..scheduling(&grant.record.head, 1, &[0]) };
    let attempt = accepted(world.commit("a", "s1", 1, busy, 11, offer("s1", 2, 0, 1)).await).attempts.remove(0);
    for _ in 0..limits::UNREAD_EVENTS_MAX {
        world.deliver("a", &signal(1), "", 12).await;
    }
    assert_eq!(world.deliver("a", &signal(1), "", 12).await, Delivered::MailboxFull);
    finished(world.store.finish(world.finish_of(&attempt, completed(0))).await.unwrap());
    assert_eq!(
        world.store.fire(Fire { partition: place("a"), now: TimeMs(30), offer: None, slice: limits::SLICE_MAX }).await.unwrap().timers,
        1
    );
    assert_eq!(world.record("a").await.mail, limits::UNREAD_EVENTS_MAX + 2);
}

async fn a_claim_carries_a_bounded_number_of_bytes(world: World) {
    let first = world.leased("a", "s1", 10).await;
    let large = format!(r#"{{"SignalReceived":{{"name":"s","payload":"{}"}}}}"#, "x".repeat(900_000));
    for _ in 0..6 {
        world.deliver("a", &large, "", 11).await;
    }
    let grants = accepted(world.commit("a", "s1", 1, turn(&first.record.head, 1), 12, offer("s1", 2, 1, 0)).await);
    assert_eq!(grants.turns[0].events.len(), limits::COMMIT_BYTES_MAX / large.len(), "as many as fit");
    let rest = Turn { consumed: 4, ..turn(&grants.turns[0].record.head, 2) };
    assert_eq!(accepted(world.commit("a", "s1", 2, rest, 13, offer("s1", 3, 1, 0)).await).turns[0].events.len(), 2);
}
