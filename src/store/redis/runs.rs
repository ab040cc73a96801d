//! Operations on runs from outside: start, deliver, control.

use super::connection::{Call, Of};
use super::decode::{Fields, damaged};
use super::scripts::SCRIPTS;
use super::{RedisStore, begin, encode, keys};
use crate::api::limits::{IDEMPOTENCY_KEYS_KEPT, UNREAD_EVENTS_MAX};
use crate::api::{RunStatus, TimeMs};
use crate::machine::record::RunRecord;
use crate::store::op::{Control, ControlKind, Controlled, Deliver, Delivered, Start, Started};
use crate::store::port::StoreError;

impl RedisStore {
    /// A call on a partition with the arguments that all operations on runs begin with.
    pub(super) fn call(&self, script: &'static super::scripts::Script, partition: crate::api::Partition, now: TimeMs) -> Call {
        Call::new(script, &keys::prefix(partition)).arg(encode::time(now)).arg(&self.channel)
    }

    /// Runs it; the answer is an array.
    pub(super) async fn fields(
        &self,
        script: &'static super::scripts::Script,
        partition: crate::api::Partition,
        call: Call,
    ) -> Result<Fields, StoreError> {
        Fields::of(script.operation, self.connections.run(Of::Partition(partition), call).await?)
    }

    /// Runs it; the answer is 1 or 0.
    pub(super) async fn flag(
        &self,
        script: &'static super::scripts::Script,
        partition: crate::api::Partition,
        call: Call,
    ) -> Result<bool, StoreError> {
        match self.connections.run(Of::Partition(partition), call).await? {
            redis::Value::Int(answer) => Ok(answer == 1),
            other => Err(damaged(script.operation, format!("an answer is no number: {other:?}"))),
        }
    }
}

pub(super) async fn start(store: &RedisStore, start: Start) -> Result<Started, StoreError> {
    if let Some(started) = begin::begin(store, &start).await? {
        return Ok(started);
    }
    let script = &SCRIPTS.start;
    let partition = store.partition_of(&start.run);
    let call = store
        .call(script, partition, start.now)
        .arg(start.run.to_string())
        .arg(encode::digits(start.uid.as_str()))
        .arg(start.head.to_string())
        .arg(format!("{}/{}", start.run.namespace, start.workflow))
        .arg(start.version.as_str())
        .arg(start.event)
        .arg(&start.input_hash)
        .arg(encode::offer(start.offer.as_ref()))
        .arg(start.origin.as_ref().map_or("", |origin| origin.as_str()))
        .arg(encode::digits(start.version.as_str()))
        .arg(encode::digits(&start.input_hash));
    let mut answer = store.fields(script, partition, call).await?;
    match answer.text()?.as_str() {
        "new" => {
            let (record, grant) = (answer.record()?, answer.grants()?.turns.pop());
            grant.iter().for_each(|grant| store.seen.granted(grant));
            Ok(Started::New { record, grant })
        }
        "existing" => answer.record().map(Started::Existing),
        "taken" => answer.record().map(Started::Taken),
        "retired" => {
            let bytes = answer.bytes()?;
            answer.unpacked(&bytes).map(Started::Retired)
        }
        "version" => {
            let bytes = answer.bytes()?;
            answer.unpacked(&bytes).map(Started::VersionChanged)
        }
        "missing" => Ok(Started::WorkflowNotFound),
        other => Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
}

pub(super) async fn deliver(store: &RedisStore, deliver: Deliver) -> Result<Delivered, StoreError> {
    let script = &SCRIPTS.deliver;
    let partition = store.partition_of(&deliver.run);
    let call = store
        .call(script, partition, deliver.now)
        .arg(deliver.run.to_string())
        .arg(deliver.event)
        .arg(u8::from(deliver.cancel))
        .arg(deliver.key)
        .arg(UNREAD_EVENTS_MAX)
        .arg(IDEMPOTENCY_KEYS_KEPT)
        .arg(encode::offer(deliver.offer.as_ref()));
    let mut answer = store.fields(script, partition, call).await?;
    match answer.text()?.as_str() {
        "accepted" => {
            store.seen.forget(&deliver.run);
            let grant = answer.grants()?.turns.pop();
            grant.iter().for_each(|grant| store.seen.granted(grant));
            Ok(Delivered::Accepted { grant })
        }
        "repeat" => Ok(Delivered::Repeat),
        "missing" => Ok(Delivered::NotFound),
        "closed" => Ok(Delivered::Closed(answer.record()?.status())),
        "full" => Ok(Delivered::MailboxFull),
        other => Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
}

pub(super) async fn control(store: &RedisStore, control: Control) -> Result<Controlled, StoreError> {
    let script = &SCRIPTS.control;
    let partition = store.partition_of(&control.run);
    let (kind, detail) = match &control.kind {
        ControlKind::Terminate { entry } => ("terminate", entry.as_str()),
        ControlKind::Pause { blocked } => ("pause", blocked.as_str()),
        ControlKind::Resume { version } => ("resume", version.as_ref().map_or("", |version| version.as_str())),
    };
    let call = store
        .call(script, partition, control.now)
        .arg(control.run.to_string())
        .arg(kind)
        .arg(control.head.to_string())
        .arg(detail)
        .arg(RunRecord::closed_number(RunStatus::Terminated))
        .arg(control.key)
        .arg(IDEMPOTENCY_KEYS_KEPT)
        .arg(control.over.map_or_else(String::new, |over| over.to_string()));
    let mut answer = store.fields(script, partition, call).await?;
    match answer.text()?.as_str() {
        "done" => answer.record().map(Controlled::Done),
        "missing" => Ok(Controlled::NotFound),
        "closed" => Ok(Controlled::Closed(answer.record()?.status())),
        "refused" => answer.record().map(Controlled::NotApplicable),
        "moved" => answer.record().map(Controlled::Moved),
        other => Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
}
