//! Messages between runs: from a commit to the other run's mailbox and back, once.

use everloop::api::{Partition, TimeMs, limits};
use everloop::machine::message::{MESSAGE_FORMAT, Message};
use everloop::machine::run::Phase;
use everloop::machine::turn::NewSignal;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(
    rule_21_a_message_is_applied_once_and_in_order,
    rule_22_a_signal_that_cannot_be_taken_is_told_to_its_sender_and_stops_nothing,
    an_outcome_reaches_the_same_life_of_its_run_only,
    a_closing_turn_sends_too_and_a_newer_message_waits,
);

/// A run of another partition than `a`'s.
fn far() -> &'static str {
    ["b", "c", "d", "e", "f", "g"].into_iter().find(|id| place(id) != place("a")).unwrap()
}

fn to(id: &str, command: u32) -> NewSignal {
    NewSignal { command, to: run(id), event: signal(command as usize) }
}

async fn sends(world: &World, from: &str, signals: Vec<NewSignal>) {
    let grant = world.leased(from, "s1", 10).await;
    accepted(world.commit(from, "s1", 1, Turn { signals, ..turn(&grant.record.head, 1) }, 11, None).await);
}

async fn waits(world: &World, id: &str, by: &str) {
    let grant = world.leased(id, by, 10).await;
    accepted(world.commit(id, by, 1, turn(&grant.record.head, 0x10), 11, None).await);
}

/// The one parcel of a partition.
async fn parcel(world: &World, from: Partition) -> Parcel {
    let mut parcels = world.store.outbox(from).await.unwrap();
    assert_eq!(parcels.len(), 1, "{parcels:?}");
    parcels.remove(0)
}

async fn receive(world: &World, from: Partition, parcel: &Parcel, now: u64) -> Received {
    let Parcel { to, first, messages } = parcel.clone();
    world.store.receive(Receive { from, to, first, messages, now: TimeMs(now) }).await.unwrap()
}

async fn carry(world: &World, from: Partition, now: u64) {
    let parcel = parcel(world, from).await;
    let received = receive(world, from, &parcel, now).await;
    world.store.sent(from, parcel.to, received.last).await.unwrap();
}

async fn mail_of(world: &World, id: &str) -> Vec<String> {
    let grants = world.claim(id, "reader", 1, 9, 0, 1_000).await;
    grants.turns.into_iter().find(|grant| grant.run == run(id)).map(|grant| grant.events).unwrap_or_default()
}

async fn rule_21_a_message_is_applied_once_and_in_order(world: World) {
    waits(&world, far(), "s2").await;
    sends(&world, "a", (0..3).map(|n| to(far(), n)).collect()).await;
    let (from, sent) = (place("a"), parcel(&world, place("a")).await);
    assert_eq!((sent.to, sent.first, sent.messages.len()), (place(far()), 1, 3));
    assert_eq!(world.record(far()).await.mail, 0, "nothing is applied by the commit itself");

    let gap = Parcel { first: 2, messages: sent.messages[1..].to_vec(), ..sent.clone() };
    assert_eq!(receive(&world, from, &gap, 20).await, Received { last: 0, replied: false }, "after a gap nothing is");
    let first = Parcel { messages: sent.messages[..1].to_vec(), ..sent.clone() };
    assert_eq!(receive(&world, from, &first, 20).await, Received { last: 1, replied: true });
    assert_eq!(world.record(far()).await.phase, Phase::Ready);
    // The carrier died before it said so: all of it comes again.
    assert_eq!(receive(&world, from, &sent, 21).await, Received { last: 3, replied: true });
    assert_eq!(receive(&world, from, &sent, 22).await, Received { last: 3, replied: false }, "a repeat");
    world.store.sent(from, sent.to, 2).await.unwrap();
    assert_eq!(parcel(&world, from).await, Parcel { first: 3, messages: sent.messages[2..].to_vec(), ..sent.clone() });
    for _ in 0..2 {
        world.store.sent(from, sent.to, 3).await.unwrap();
        assert_eq!(world.store.outbox(from).await.unwrap(), []);
    }
    world.open("reader").await;
    assert_eq!(mail_of(&world, far()).await, [signal(0), signal(1), signal(2)]);

    carry(&world, place(far()), 30).await;
    let told: Vec<_> = (0..3).map(|n| format!(r#"{{"SignalDelivered":{{"command":{n}}}}}"#)).collect();
    assert_eq!(mail_of(&world, "a").await, told);
    assert_eq!(world.store.outbox(place(far())).await.unwrap(), [], "an outcome has no outcome");
}

async fn rule_22_a_signal_that_cannot_be_taken_is_told_to_its_sender_and_stops_nothing(world: World) {
    waits(&world, "closed", "s2").await;
    let head = world.record("closed").await.head;
    world.deliver("closed", &signal(9), "", 12).await;
    let grants = world.claim("closed", "s2", 7, 1, 0, 200).await;
    assert_eq!(grants.turns[0].record.head, head);
    accepted(world.commit("closed", "s2", 7, closing(&head, 0x11), 201, None).await);
    waits(&world, "full", "s3").await;
    for _ in 0..limits::UNREAD_EVENTS_MAX {
        world.deliver("full", &signal(9), "", 12).await;
    }
    waits(&world, "open", "s4").await;
    sends(&world, "a", vec![to("nobody", 0), to("closed", 1), to("full", 2), to("open", 3)]).await;
    for parcel in world.store.outbox(place("a")).await.unwrap() {
        let received = receive(&world, place("a"), &parcel, 300).await;
        world.store.sent(place("a"), parcel.to, received.last).await.unwrap();
    }
    for partition in partitions() {
        for parcel in world.store.outbox(partition).await.unwrap() {
            assert_eq!(parcel.to, place("a"));
            receive(&world, partition, &parcel, 301).await;
        }
    }
    world.open("reader").await;
    let refused = |n, why: &str, id: &str| {
        format!(r#"{{"SignalRefused":{{"command":{n},"error":{{"type":"{why}","message":"run {id} did not get the signal"}}}}}}"#)
    };
    let mut told = mail_of(&world, "a").await;
    told.sort();
    let delivered = r#"{"SignalDelivered":{"command":3}}"#.to_owned();
    let wanted = [delivered, refused(0, "RunNotFound", "nobody"), refused(1, "RunClosed", "closed"), refused(2, "MailboxFull", "full")];
    assert_eq!(told, wanted);
    assert_eq!(world.record("open").await.mail, 1);
    assert_eq!(world.record("full").await.mail, limits::UNREAD_EVENTS_MAX);
}

async fn an_outcome_reaches_the_same_life_of_its_run_only(world: World) {
    waits(&world, far(), "s2").await;
    sends(&world, "a", vec![to(far(), 0)]).await;
    let mut sent = parcel(&world, place("a")).await;
    let message = Message::decode(&sent.messages[0]).unwrap();
    assert_eq!((message.from.as_str(), message.from_uid.as_str()), (run("a").to_string().as_str(), world.record("a").await.uid.as_str()));
    // As if another run of this id had sent it.
    sent.messages = vec![Message { from_uid: "01900000-0000-7000-8000-00000000dead".into(), ..message }.encode()];
    receive(&world, place("a"), &sent, 20).await;
    carry(&world, place(far()), 21).await;
    assert_eq!((world.record(far()).await.mail, world.record("a").await.mail), (1, 0));
}

async fn a_closing_turn_sends_too_and_a_newer_message_waits(world: World) {
    waits(&world, far(), "s2").await;
    let grant = world.leased("a", "s1", 10).await;
    let close = Turn { signals: vec![to(far(), 0)], ..closing(&grant.record.head, 1) };
    accepted(world.commit("a", "s1", 1, close, 11, None).await);
    let sent = parcel(&world, place("a")).await;
    let message = Message::decode(&sent.messages[0]).unwrap();
    let newer = Message { format: MESSAGE_FORMAT + 1, ..message }.encode();
    let waiting = Parcel { messages: vec![newer], ..sent };
    assert_eq!(receive(&world, place("a"), &waiting, 20).await, Received { last: 0, replied: false });
    carry(&world, place("a"), 21).await;
    assert_eq!(world.record(far()).await.mail, 1);
    carry(&world, place(far()), 22).await;
    assert_eq!(world.record("a").await.mail, 0, "its sender has ended: nobody is told");
}
