//! Sessions in one partition: open, renew, end, expired.

use super::connection::Call;
use super::scripts::SCRIPTS;
use super::{RedisStore, encode, keys};
use crate::api::limits::{ATTEMPT_LOSSES_MAX, SLICE_MAX, TURN_DEATHS_MAX, TURN_SUSPECT_DEATHS};
use crate::api::{DurationMs, Name, Partition, SessionId, TimeMs};
use crate::machine::commit::AttemptClaim;
use crate::store::op::{Ended, Ending, Leases};
use crate::store::port::StoreError;

/// How long a session that has ended is remembered, so that it cannot be opened again: longer than anybody keeps asking.
const REMEMBER_ENDED: DurationMs = DurationMs::from_secs(24 * 3600);

/// Why a run is blocked whose turn took too many workers with it.
const TURN_KILLED_WORKER: &str = r#"{"reason":"TurnKilledWorker","message":"4 workers in a row died while they took this run's turn; resume it when the cause is gone"}"#;
const _: () = assert!(TURN_DEATHS_MAX == 4, "the text above says the number");

/// The pool is not kept: a claim names it.
pub(super) async fn open(
    store: &RedisStore,
    partition: Partition,
    session: &SessionId,
    _pool: &Name,
    deadline: TimeMs,
) -> Result<bool, StoreError> {
    let script = &SCRIPTS.open_session;
    let call = Call::new(script, &keys::prefix(partition)).arg(session.as_str()).arg(encode::time(deadline));
    store.flag(script, partition, call).await
}

pub(super) async fn renew(store: &RedisStore, partition: Partition, session: &SessionId, deadline: TimeMs) -> Result<bool, StoreError> {
    let script = &SCRIPTS.renew_session;
    let call = Call::new(script, &keys::prefix(partition)).arg(session.as_str()).arg(encode::time(deadline));
    store.flag(script, partition, call).await
}

pub(super) async fn leases(store: &RedisStore, partition: Partition, session: &SessionId) -> Result<Leases, StoreError> {
    let script = &SCRIPTS.leases;
    let call = store.call(script, partition, TimeMs(0)).arg(session.as_str());
    let mut answer = store.fields(script, partition, call).await?;
    let turns = answer.list()?.all(|list| {
        let mut lease = list.list()?;
        Ok((lease.parsed()?, lease.number()?))
    })?;
    let attempts = answer.list()?.all(|list| {
        let mut lease = list.list()?;
        let (run, seq, command, attempt) = (lease.parsed()?, lease.number()?, lease.small()?, lease.small()?);
        Ok((run, AttemptClaim { command, attempt, session: session.to_string(), seq }))
    })?;
    Ok(Leases { turns, attempts })
}

pub(super) async fn end(
    store: &RedisStore,
    partition: Partition,
    session: &SessionId,
    ending: &Ending,
    now: TimeMs,
) -> Result<Ended, StoreError> {
    let script = &SCRIPTS.end_session;
    // A goodbye makes nobody a suspect.
    let (executing, suspect_deaths) = match ending {
        Ending::Goodbye => (&[][..], 0),
        Ending::Death { executing } => (executing.as_slice(), TURN_SUSPECT_DEATHS),
    };
    let call = store
        .call(script, partition, now)
        .arg(session.as_str())
        .arg(encode::texts(executing))
        .arg(SLICE_MAX)
        .arg(ATTEMPT_LOSSES_MAX)
        .arg(REMEMBER_ENDED.0)
        .arg(TURN_DEATHS_MAX)
        .arg(TURN_KILLED_WORKER)
        .arg(suspect_deaths);
    let mut answer = store.fields(script, partition, call).await?;
    Ok(Ended { turns: answer.small()?, attempts: answer.small()?, more: answer.flag()? })
}

pub(super) async fn expired(store: &RedisStore, partition: Partition, now: TimeMs) -> Result<Vec<SessionId>, StoreError> {
    let script = &SCRIPTS.expired_sessions;
    let call = store.call(script, partition, now).arg(SLICE_MAX);
    store.fields(script, partition, call).await?.all(super::decode::Fields::parsed)
}
