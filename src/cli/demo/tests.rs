//! The proof must be able to fail: each claim is broken once.

use std::collections::BTreeMap;

use serde_json::json;

use super::fate::{Ending, Order};
use super::orders::Acknowledged;
use super::proof::{Check, Evidence, judge, on_two_workers, render};
use super::shop::{Ledger, Record};
use crate::api::journal::{Command, Entry, Event};
use crate::api::run::{Doing, RunError};
use crate::api::{DurationMs, Head, Json, RunStatus, RunView, TimeMs, Uid, Version};

const SEED: u64 = 1;

fn uid(order: Order) -> Uid {
    format!("01900000-0000-7000-8000-{:012}", order.number).parse().unwrap()
}

fn run(order: Order) -> RunView {
    let ending = order.ending();
    RunView {
        id: order.id().parse().unwrap(),
        namespace: "default".parse().unwrap(),
        uid: uid(order),
        workflow: "order-status".parse().unwrap(),
        version: Version::of("x"),
        pool: "default".parse().unwrap(),
        status: if ending == Ending::Failed { RunStatus::Failed } else { RunStatus::Completed },
        doing: Doing::Closed,
        turns: 2,
        timers: 0,
        unread: 0,
        activities: Vec::new(),
        session: String::new(),
        input: None,
        result: match ending {
            Ending::Delivered => Some(Json::of(&json!({"status": "Success!"}))),
            Ending::PaymentFailed => Some(Json::of(&json!({"status": "payment failed"}))),
            Ending::Failed => None,
        },
        error: (ending == Ending::Failed).then(|| RunError::new("HttpError", "402")),
        blocked: None,
        origin: None,
        started_at: TimeMs(1_000),
        closed_at: Some(TimeMs(9_000)),
    }
}

fn entry(turn: u32, at: u64, worker: &str, events: Vec<Event>, commands: Vec<Command>) -> Entry {
    let (worker, id) = (worker.to_owned(), Head(u64::from(turn)));
    Entry { v: 1, turn, id, at: TimeMs(at), worker, birth: None, events, commands, logs: Vec::new(), continued: false }
}

fn journal(worker: &str) -> Vec<Entry> {
    let timer = Command::StartTimer { n: 3, name: "sleep".into(), duration: DurationMs(2_000), at: String::new() };
    vec![entry(0, 1_000, "worker-1", vec![], vec![timer]), entry(1, 3_005, worker, vec![Event::TimerFired { command: 3 }], vec![])]
}

/// Ten orders in which everything is as it should be.
fn evidence() -> Evidence {
    let orders: Vec<_> = (1..=10).map(|number| Order { seed: SEED, number }).collect();
    let mut ledger = Ledger::default();
    for order in &orders {
        let record = |done_ms: u64| Record { order: order.id(), requests: 1, done: order.charges(), first_ms: done_ms, done_ms };
        ledger.payments.insert(format!("{}/0", uid(*order)), record(10));
        if order.charges() == 1 {
            ledger.kitchen.insert(format!("{}/1", uid(*order)), record(100));
            let ready = 100 + u64::try_from(order.prepare_for().as_millis()).unwrap();
            ledger.deliveries.insert(format!("{}/4", uid(*order)), record(ready));
        }
    }
    Evidence {
        seed: SEED,
        acknowledged: orders.iter().map(|order| Acknowledged { order: *order, uid: uid(*order) }).collect(),
        runs: orders.iter().map(|order| (order.id(), run(*order))).collect(),
        journals: BTreeMap::from([("order-0002".into(), journal("worker-2")), ("order-0004".into(), journal("worker-1"))]),
        ledger,
        killed: None,
    }
}

fn broken(evidence: &Evidence) -> Vec<Check> {
    judge(evidence).into_iter().filter(|check| !check.broken.is_empty()).collect()
}

#[test]
fn an_honest_end_is_proven() {
    let evidence = evidence();
    assert_eq!(broken(&evidence), []);
    let text = render(&judge(&evidence));
    assert!(text.contains("10 acknowledged starts") && !text.contains("BROKEN"), "{text}");
    assert_eq!(on_two_workers(&evidence, Some("worker-1")).unwrap().0, "order-0002");
}

#[test]
fn a_lost_start_a_wrong_result_and_a_second_charge_are_found() {
    let mut lost = evidence();
    lost.runs.remove("order-0002");
    assert_eq!(broken(&lost)[0].broken, ["order-0002 was acknowledged and is gone"]);

    let mut wrong = evidence();
    wrong.runs.get_mut("order-0002").unwrap().result = None;
    assert!(broken(&wrong)[0].broken[0].starts_with("order-0002 is Completed with nothing; "));

    let mut twice = evidence();
    let second = Record { order: "order-0002".into(), requests: 1, done: 1, first_ms: 11, done_ms: 11 };
    twice.ledger.payments.insert("another-key".into(), second);
    assert_eq!(broken(&twice)[0].broken, ["order-0002 came to the payments under 2 idempotency keys"]);
}

#[test]
fn a_payment_under_another_calls_key_is_found() {
    let mut evidence = evidence();
    let uid = uid(Order { seed: SEED, number: 2 });
    let record = evidence.ledger.payments.remove(&format!("{uid}/0")).unwrap();
    evidence.ledger.payments.insert(format!("{uid}/1"), record);
    assert!(broken(&evidence)[0].broken[0].starts_with("order-0002 paid under the key "));
}

#[test]
fn a_death_that_shows_nothing_is_found() {
    let killed = |name: &str| Evidence { killed: Some(name.into()), ..evidence() };
    assert_eq!(broken(&killed("worker-9"))[0].broken, ["no order was begun by worker-9 and ended by another worker"]);
    assert_eq!(broken(&killed("worker-1")), []);
}

#[test]
fn an_early_timer_is_found_by_the_journals_and_by_the_shops_clock() {
    let mut early = evidence();
    early.journals.get_mut("order-0002").unwrap()[1].at = TimeMs(2_999);
    assert_eq!(broken(&early)[0].broken, ["timer #3 of order-0002 fired 1 ms early"]);

    let mut early = evidence();
    early.ledger.deliveries.values_mut().for_each(|record| record.first_ms -= 1);
    let found = broken(&early);
    assert_eq!(found.len(), 1);
    assert!(found[0].broken[0].ends_with("was delivered 1 ms early"));
}
