//! A start like nearly all others, worked out before the server is asked: a new id, a workflow that is what it was at the last start, and
//! nobody who follows the run.
//!
//! The script of `start` reads the workflow's record, makes the run's field by field and puts it together: of 34 us that it takes in
//! the server 5 are its commands. The script `begin` compares and writes; where it finds anything else it does nothing, and the
//! whole script is called. So what is remembered here is a hint, and may be wrong.

use std::sync::Arc;

use super::connection::Of;
use super::decode::Fields;
use super::scripts::SCRIPTS;
use super::{RedisStore, encode, keys};
use crate::api::TimeMs;
use crate::machine::record::{RunRecord, Times};
use crate::machine::run::Phase;
use crate::store::born::born;
use crate::store::op::{Start, Started, TurnGrant, WorkflowRecord};
use crate::store::port::StoreError;
use crate::store::recent::Recent;

/// Workflows whose record is remembered: at least so many, at most twice.
const WORKFLOWS_KEPT: usize = 1_024;

/// The workflows of the last starts, by namespace and name.
pub(super) struct Workflows(Recent<String, Arc<Known>>);

struct Known {
    bytes: Vec<u8>,
    record: WorkflowRecord,
}

impl Workflows {
    pub fn new() -> Self {
        Self(Recent::new(WORKFLOWS_KEPT))
    }

    /// Nothing of a record that this program cannot read: the whole script says what there is to say.
    fn learn(&self, workflow: &str, bytes: Vec<u8>) -> Option<Arc<Known>> {
        let record = rmp_serde::from_slice(&bytes).ok()?;
        let known = Arc::new(Known { bytes, record });
        self.0.put(workflow.to_owned(), known.clone());
        Some(known)
    }
}

/// Starts the run when it is of this kind.
///
/// # Errors
/// The server does not answer: the outcome is unknown.
pub(super) async fn begin(store: &RedisStore, start: &Start) -> Result<Option<Started>, StoreError> {
    if start.origin.is_some() {
        return Ok(None);
    }
    let workflow = format!("{}/{}", start.run.namespace, start.workflow);
    let known = match store.workflows.0.get(&workflow) {
        Some(known) => Some(known),
        None => read(store, start, &workflow).await?.and_then(|bytes| store.workflows.learn(&workflow, bytes)),
    };
    let Some(known) = known else { return Ok(None) };
    if known.record.retired || known.record.version != start.version {
        // It may be what is remembered that is old.
        store.workflows.0.remove(&workflow);
        return Ok(None);
    }
    take(store, start, &workflow, &known).await
}

async fn read(store: &RedisStore, start: &Start, workflow: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let partition = store.partition_of(&start.run);
    let mut command = redis::cmd("HGET");
    command.arg(format!("{}w", keys::prefix(partition))).arg(workflow);
    store.connections.send(SCRIPTS.begin.operation, Of::Partition(partition), command).await
}

/// The record as it will stand but for its times, which are the script's.
fn record(start: &Start, known: &WorkflowRecord) -> RunRecord {
    let born = RunRecord { mail: 1, phase: Phase::Ready, ..born(start, known, TimeMs(0)) };
    match start.offer.as_ref().filter(|offer| offer.pool == known.pool && offer.turns > 0) {
        Some(offer) => {
            RunRecord { phase: Phase::Leased, session: offer.session.to_string(), seq: encode::exact(offer.seq), epoch: 1, ..born }
        }
        None => born,
    }
}

/// Applies it; `None` when something is otherwise: nothing was done.
async fn take(store: &RedisStore, start: &Start, workflow: &str, known: &Known) -> Result<Option<Started>, StoreError> {
    let (script, partition) = (&SCRIPTS.begin, store.partition_of(&start.run));
    let mut record = record(start, &known.record);
    let bytes = record.encode();
    let (until, from) = Times::OfStart.around(&record, &bytes);
    let call = store
        .call(script, partition, start.now)
        .arg(start.run.to_string())
        .arg(workflow)
        .arg(&known.bytes)
        .arg(&start.event)
        .arg(until)
        .arg(from)
        .arg(format!("{workflow}/{}", record.version))
        .arg(&record.pool)
        .arg(&record.session);
    let mut answer: Fields = store.fields(script, partition, call).await?;
    match answer.text()?.as_str() {
        "other" => return Ok(None),
        "workflow" => {
            store.workflows.learn(workflow, answer.bytes()?);
            return Ok(None);
        }
        "done" => {}
        other => return Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
    let (at, now) = (answer.time()?, answer.time()?);
    (record.at, record.started_at) = (at, at);
    let grant = (record.phase == Phase::Leased).then(|| TurnGrant {
        run: start.run.clone(),
        record: record.clone(),
        events: vec![start.event.clone()],
        now,
    });
    grant.iter().for_each(|grant| store.seen.granted(grant));
    Ok(Some(Started::New { record, grant }))
}
