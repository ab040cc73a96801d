//! The end, judged from outside the engine: what the client was promised, what the shop's ledger says, what the runs came to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fate::{Ending, Order};
use super::orders::Acknowledged;
use super::shop::{Ledger, Record};
use crate::api::journal::{Command, Entry, Event};
use crate::api::{CommandNo, RunStatus, RunView, TimeMs};
use crate::cli::table::table;

/// Everything that is known at the end.
pub struct Evidence {
    pub seed: u64,
    /// What the service has acknowledged, by the client's own notes.
    pub acknowledged: Vec<Acknowledged>,
    /// What it says now, by run id.
    pub runs: BTreeMap<String, RunView>,
    /// The journals, by run id.
    pub journals: BTreeMap<String, Vec<Entry>>,
    /// The shop's own books.
    pub ledger: Ledger,
    /// The worker that was killed, when it must have had orders to leave to the others.
    pub killed: Option<String>,
}

/// One claim and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub claim: &'static str,
    /// What it was held against: `500 orders`, `1,873 timers`.
    pub of: String,
    /// One line for each that does not hold.
    pub broken: Vec<String>,
}

/// Violations of one claim that are printed.
const SHOWN: usize = 5;

/// All claims.
pub fn judge(evidence: &Evidence) -> Vec<Check> {
    let mut checks = vec![
        present(evidence),
        results(evidence),
        payments(evidence),
        once("every kitchen order and delivery done once", evidence),
        timers(evidence),
        deliveries_in_time(evidence),
    ];
    checks.extend(evidence.killed.as_deref().map(|killed| taken_over(evidence, killed)));
    checks
}

/// The verdict for people: a table, and under it what is broken.
pub fn render(checks: &[Check]) -> String {
    let verdict = |check: &Check| if check.broken.is_empty() { "holds".to_owned() } else { format!("BROKEN ({})", check.broken.len()) };
    let mut text = table(&["claim", "held against", "verdict"], checks.iter().map(|c| vec![c.claim.to_owned(), c.of.clone(), verdict(c)]));
    for check in checks.iter().filter(|check| !check.broken.is_empty()) {
        text += &format!("\n{}:\n", check.claim);
        check.broken.iter().take(SHOWN).for_each(|line| text += &format!("  {line}\n"));
        if check.broken.len() > SHOWN {
            text += &format!("  and {} more\n", check.broken.len() - SHOWN);
        }
    }
    text
}

/// The run of an order that lived on two workers: best one in which the killed worker took a turn.
pub fn on_two_workers<'a>(evidence: &'a Evidence, killed: Option<&str>) -> Option<(&'a str, &'a [Entry])> {
    let moved = |journal: &[Entry]| journal.iter().map(|entry| entry.worker.as_str()).collect::<BTreeSet<_>>().len() > 1;
    let candidates =
        || evidence.journals.iter().filter(|(_, journal)| moved(journal)).map(|(id, journal)| (id.as_str(), journal.as_slice()));
    let of_killed = |journal: &[Entry]| killed.is_some_and(|name| journal.iter().any(|entry| entry.worker == name));
    // Of these the one with the most to tell.
    let longest = |all: &mut dyn Iterator<Item = (&'a str, &'a [Entry])>| all.max_by_key(|(_, journal)| journal.len());
    longest(&mut candidates().filter(|(_, journal)| of_killed(journal))).or_else(|| longest(&mut candidates()))
}

/// How many orders lived on more than one worker.
pub fn moved(evidence: &Evidence) -> usize {
    let workers = |journal: &Vec<Entry>| journal.iter().map(|entry| entry.worker.clone()).collect::<BTreeSet<_>>().len();
    evidence.journals.values().filter(|journal| workers(journal) > 1).count()
}

/// The killed worker has left orders behind that others ended: else its death has shown nothing.
fn taken_over(evidence: &Evidence, killed: &str) -> Check {
    let began = |journal: &[Entry]| journal.iter().any(|entry| entry.worker == killed);
    let ended_elsewhere = |journal: &[Entry]| journal.last().is_some_and(|last| last.worker != killed);
    let count = evidence.journals.values().filter(|journal| began(journal) && ended_elsewhere(journal)).count();
    let broken = if count == 0 { vec![format!("no order was begun by {killed} and ended by another worker")] } else { Vec::new() };
    Check { claim: "the killed worker's orders went on elsewhere", of: format!("{count} orders"), broken }
}

fn present(evidence: &Evidence) -> Check {
    let mut broken = Vec::new();
    for Acknowledged { order, uid } in &evidence.acknowledged {
        match evidence.runs.get(&order.id()) {
            None => broken.push(format!("{} was acknowledged and is gone", order.id())),
            Some(run) if run.uid != *uid => broken.push(format!("{} was acknowledged as {uid} and is {} now", order.id(), run.uid)),
            Some(_) => {}
        }
    }
    let of = format!("{} acknowledged starts", evidence.acknowledged.len());
    Check { claim: "every acknowledged order is there", of, broken }
}

fn results(evidence: &Evidence) -> Check {
    let mut broken = Vec::new();
    for (id, run) in &evidence.runs {
        let Some(order) = Order::of(evidence.seed, id) else { continue };
        let (status, result) = expected(order.ending());
        let actual = run.result.as_ref().map(crate::api::Json::to_value);
        if run.status != status || actual != result {
            let error = run.error.as_ref().map(|e| format!(", {}: {}", e.kind, e.message)).unwrap_or_default();
            let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
            broken.push(format!("{id} is {} with {}{error}; {status} with {} was to come", run.status, shown(&actual), shown(&result)));
        }
    }
    Check { claim: "every order closed with the right result", of: format!("{} orders", evidence.runs.len()), broken }
}

fn expected(ending: Ending) -> (RunStatus, Option<Value>) {
    match ending {
        Ending::Delivered => (RunStatus::Completed, Some(json!({"status": "Success!"}))),
        Ending::PaymentFailed => (RunStatus::Completed, Some(json!({"status": "payment failed"}))),
        Ending::Failed => (RunStatus::Failed, None),
    }
}

fn payments(evidence: &Evidence) -> Check {
    let mut broken = Vec::new();
    let keys = by_order(&evidence.ledger.payments);
    for (id, run) in &evidence.runs {
        let Some(order) = Order::of(evidence.seed, id) else { continue };
        let own = keys.get(id.as_str()).map_or(&[][..], Vec::as_slice);
        let [(key, record)] = own else {
            broken.push(format!("{id} came to the payments under {} idempotency keys", own.len()));
            continue;
        };
        // The payment is the workflow's first call.
        if *key != format!("{}/0", run.uid) {
            broken.push(format!("{id} paid under the key {key}, which is not that of call #0 of {}", run.uid));
        }
        if record.done != order.charges() {
            broken.push(format!("{id} was charged {} times; {} was right", record.done, order.charges()));
        }
    }
    let requests: u32 = evidence.ledger.payments.values().map(|record| record.requests).sum();
    Check {
        claim: "every payment charged exactly once",
        of: format!("{requests} requests for {} payments", evidence.ledger.payments.len()),
        broken,
    }
}

fn once(claim: &'static str, evidence: &Evidence) -> Check {
    let mut broken = Vec::new();
    let books = [("kitchen", &evidence.ledger.kitchen), ("deliveries", &evidence.ledger.deliveries)];
    for (service, book) in books {
        let keys = by_order(book);
        for id in evidence.runs.keys() {
            let Some(order) = Order::of(evidence.seed, id) else { continue };
            let records = keys.get(id.as_str()).map_or(&[][..], Vec::as_slice);
            let done: u32 = records.iter().map(|(_, record)| record.done).sum();
            if done != order.charges() || records.len() > 1 {
                broken.push(format!(
                    "{id} was done {done} times by the {service}, under {} keys; {} was right",
                    records.len(),
                    order.charges()
                ));
            }
        }
    }
    let requests: u32 = books.iter().flat_map(|(_, book)| book.values()).map(|record| record.requests).sum();
    Check { claim, of: format!("{requests} requests"), broken }
}

fn by_order(book: &BTreeMap<String, Record>) -> BTreeMap<&str, Vec<(&str, &Record)>> {
    let mut orders: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (key, record) in book {
        orders.entry(record.order.as_str()).or_default().push((key.as_str(), record));
    }
    orders
}

/// By the journals: the turn with the `TimerFired` is not before the turn with the `StartTimer` and the timer's duration.
fn timers(evidence: &Evidence) -> Check {
    let (mut broken, mut fired, mut latest) = (Vec::new(), 0_usize, 0_u64);
    for (id, journal) in &evidence.journals {
        let mut due: BTreeMap<CommandNo, TimeMs> = BTreeMap::new();
        for entry in journal {
            for event in &entry.events {
                let Event::TimerFired { command } = event else { continue };
                fired += 1;
                match due.get(command) {
                    Some(due) if entry.at >= *due => latest = latest.max(entry.at.since(*due).0),
                    Some(due) => broken.push(format!("timer #{command} of {id} fired {} ms early", due.since(entry.at).0)),
                    None => broken.push(format!("timer #{command} of {id} fired and was never started")),
                }
            }
            for command in &entry.commands {
                if let Command::StartTimer { n, duration, .. } = command {
                    due.insert(*n, entry.at.plus(*duration));
                }
            }
        }
    }
    let claim = "no timer fired early, by the journals";
    Check { claim, of: format!("{fired} timers, the latest {latest} ms late"), broken }
}

/// By the shop's clock, which knows nothing of the engine's: no delivery comes sooner after the food was ordered than it takes.
fn deliveries_in_time(evidence: &Evidence) -> Check {
    let mut broken = Vec::new();
    let cooked = by_order(&evidence.ledger.kitchen);
    for record in evidence.ledger.deliveries.values() {
        let Some(order) = Order::of(evidence.seed, &record.order) else { continue };
        let ordered = cooked.get(record.order.as_str()).and_then(|records| records.iter().map(|(_, r)| r.done_ms).min());
        let prepare_ms = u64::try_from(order.prepare_for().as_millis()).unwrap_or(u64::MAX);
        match ordered {
            Some(ordered) if record.first_ms >= ordered + prepare_ms => {}
            Some(ordered) => broken.push(format!("{} was delivered {} ms early", record.order, ordered + prepare_ms - record.first_ms)),
            None => broken.push(format!("{} was delivered and never cooked", record.order)),
        }
    }
    let claim = "no delivery too early, by the shop's clock";
    Check { claim, of: format!("{} deliveries", evidence.ledger.deliveries.len()), broken }
}
