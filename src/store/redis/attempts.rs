//! Operations on attempts: finish, settle, extend.

use super::connection::Call;
use super::decode::{Fields, Made};
use super::scripts::SCRIPTS;
use super::turns::refusal;
use super::{RedisStore, encode, step};
use crate::api::limits::IDEMPOTENCY_KEYS_KEPT;
use crate::api::{RunKey, TimeMs};
use crate::machine::commit::AttemptClaim;
use crate::store::op::{Finish, Finished, Outcome, Settle, Settled};
use crate::store::port::StoreError;

pub(super) async fn finish(store: &RedisStore, finish: Finish) -> Result<Finished, StoreError> {
    if let Some((grants, at)) = step::finish(store, &finish, &[]).await? {
        return Ok(Finished::Accepted { turn: Some(Ok(())), grants, at });
    }
    let script = &SCRIPTS.finish;
    let partition = store.partition_of(&finish.run);
    let call = store.call(script, partition, finish.now).arg(finish.run.to_string());
    let call = with_claim(call, &finish.attempt).arg(encode::offer(finish.offer.as_ref()));
    let call = with_outcome(call, &finish.outcome);
    let call = match &finish.turn {
        Some(turn) => call.arg(encode::turn(turn, store.info.partitions)).arg(&turn.entry.before).arg(&turn.entry.after),
        None => call.arg("").arg("").arg(""),
    };
    let call = call.arg(&finish.key).arg(IDEMPOTENCY_KEYS_KEPT);
    let mut answer = store.fields(script, partition, call).await?;
    match answer.text()?.as_str() {
        "accepted" => {
            let verdict = answer.text()?;
            let turn = match verdict.as_str() {
                "" => None,
                "Accepted" => Some(Ok(())),
                name => Some(Err(refusal(name).ok_or_else(|| answer.damaged(format_args!("unknown refusal {name}")))?)),
            };
            let schedule = finish.turn.as_ref().map_or(&[][..], |turn| &turn.schedule);
            let (grants, at) = answer.grants_of(Made { schedule, offer: finish.offer.as_ref() })?;
            store.seen.answered(&finish.run, &grants, &mut answer)?;
            Ok(Finished::Accepted { turn, grants, at })
        }
        "lost" => Ok(Finished::AttemptLost),
        "missing" => Ok(Finished::NotFound),
        other => Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
}

pub(super) async fn settle(store: &RedisStore, settle: Settle) -> Result<Settled, StoreError> {
    let script = &SCRIPTS.settle;
    let partition = store.partition_of(&settle.run);
    store.seen.forget(&settle.run);
    let call = store
        .call(script, partition, settle.now)
        .arg(settle.run.to_string())
        .arg(encode::offer(settle.offer.as_ref()))
        .arg(IDEMPOTENCY_KEYS_KEPT);
    let call = settle.outcomes.iter().fold(call, |call, one| with_outcome(with_claim(call, &one.attempt), &one.outcome).arg(&one.key));
    let mut answer = store.fields(script, partition, call).await?;
    let counts = answer.list()?.all(Fields::flag)?;
    if counts.len() != settle.outcomes.len() {
        return Err(answer.damaged(format_args!("{} answers to {} outcomes", counts.len(), settle.outcomes.len())));
    }
    let grants = answer.grants()?;
    grants.turns.iter().for_each(|grant| store.seen.granted(grant));
    Ok(Settled { counts, grants })
}

fn with_claim(call: Call, claim: &AttemptClaim) -> Call {
    call.arg(claim.command).arg(claim.attempt).arg(&claim.session).arg(claim.seq)
}

fn with_outcome(call: Call, outcome: &Outcome) -> Call {
    match outcome {
        Outcome::Settled { event } => call.arg("settled").arg(event).arg(""),
        Outcome::Retry { at, error } => call.arg("retry").arg(error).arg(encode::time(*at)),
    }
}

pub(super) async fn extend(store: &RedisStore, run: &RunKey, attempt: &AttemptClaim, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
    let script = &SCRIPTS.extend;
    let partition = store.partition_of(run);
    let call = store.call(script, partition, now).arg(run.to_string());
    let mut answer = store.fields(script, partition, with_claim(call, attempt)).await?;
    if answer.is_empty() { Ok(None) } else { answer.time().map(Some) }
}
