//! Operations on turns: claim (attempts too), commit, release.

use super::decode::Made;
use super::scripts::SCRIPTS;
use super::{RedisStore, encode, step};
use crate::machine::commit::Refusal;
use crate::store::op::{Claim, Claimed, Claimer, Commit, Committed, Release, Released};
use crate::store::port::StoreError;

pub(super) async fn claim(store: &RedisStore, claim: Claim) -> Result<Claimed, StoreError> {
    let (script, call) = match &claim.by {
        Claimer::Session { session, pool } => {
            let script = &SCRIPTS.claim;
            let call = store.call(script, claim.partition, claim.now).arg(session.as_str()).arg(pool.as_str());
            (script, call.arg(claim.seq).arg(claim.turns))
        }
        Claimer::External { queue } => {
            let script = &SCRIPTS.claim_external;
            (script, store.call(script, claim.partition, claim.now).arg(queue).arg(claim.seq))
        }
    };
    let call = call.arg(claim.attempts).arg(u8::from(claim.again));
    let mut answer = store.fields(script, claim.partition, call).await?;
    match answer.text()?.as_str() {
        "granted" => {
            let grants = answer.grants()?;
            grants.turns.iter().for_each(|grant| store.seen.granted(grant));
            Ok(Claimed::Granted { grants, more: answer.flag()?, next_at: answer.time()? })
        }
        "lost" => Ok(Claimed::SessionLost),
        other => Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
}

pub(super) async fn commit(store: &RedisStore, commit: Commit) -> Result<Committed, StoreError> {
    if let Some((grants, at)) = step::commit(store, &commit, &[]).await? {
        return Ok(Committed::Accepted { grants, at });
    }
    let script = &SCRIPTS.commit;
    let partition = store.partition_of(&commit.run);
    let call = store
        .call(script, partition, commit.now)
        .arg(commit.run.to_string())
        .arg(commit.session.as_str())
        .arg(commit.seq)
        .arg(encode::turn(&commit.turn, store.info.partitions))
        .arg(&commit.turn.entry.before)
        .arg(&commit.turn.entry.after)
        .arg(encode::offer(commit.offer.as_ref()));
    let mut answer = store.fields(script, partition, call).await?;
    match answer.text()?.as_str() {
        "accepted" => {
            let (grants, at) = answer.grants_of(Made { schedule: &commit.turn.schedule, offer: commit.offer.as_ref() })?;
            store.seen.answered(&commit.run, &grants, &mut answer)?;
            Ok(Committed::Accepted { grants, at })
        }
        "more" => Ok(Committed::MoreEvents { events: answer.texts()?, mail: answer.small()? }),
        "refused" => {
            let name = answer.text()?;
            refusal(&name).map(Committed::Refused).ok_or_else(|| answer.damaged(format_args!("unknown refusal {name}")))
        }
        other => Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
}

/// The refusal that a script names.
pub(super) fn refusal(name: &str) -> Option<Refusal> {
    Some(match name {
        "NotFound" => Refusal::NotFound,
        "Closed" => Refusal::Closed,
        "Blocked" => Refusal::Blocked,
        "HeadMoved" => Refusal::HeadMoved,
        "LeaseLost" => Refusal::LeaseLost,
        "MailWaits" => Refusal::MailWaits,
        "TimeAhead" => Refusal::TimeAhead,
        "JournalFull" => Refusal::JournalFull,
        _ => return None,
    })
}

pub(super) async fn release(store: &RedisStore, release: Release) -> Result<bool, StoreError> {
    let script = &SCRIPTS.release;
    let partition = store.partition_of(&release.run);
    let call = store.call(script, partition, release.now).arg(release.run.to_string());
    let call = match release.what {
        Released::Turn { session, seq, blocked, head, keeps_context } => {
            call.arg("turn").arg(session.as_str()).arg(seq).arg(blocked).arg(head.to_string()).arg(u8::from(keeps_context))
        }
        Released::Attempt(claim) => call.arg("attempt").arg(claim.session).arg(claim.seq).arg(claim.command).arg(claim.attempt),
    };
    store.flag(script, partition, call).await
}
