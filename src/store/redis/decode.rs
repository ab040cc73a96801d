//! From the server's answers to the port's types.

use std::sync::Arc;

use redis::Value;

use super::encode;
use crate::api::ids::hex;
use crate::api::{CommandNo, Name, RunKey, TimeMs, Uid, Version};
use crate::machine::activity::AttemptPhase;
use crate::machine::record::{AttemptRecord, RunRecord};
use crate::machine::shorthand::written_out;
use crate::machine::turn::NewAttempt;
use crate::store::op::{AttemptGrant, Grants, Offer, TurnGrant};
use crate::store::port::StoreError;

/// A uid and a version, as bytes.
const UID_BYTES: usize = 16;
const VERSION_BYTES: usize = 32;

/// The fields of an array, read in their order.
pub(super) struct Fields {
    operation: &'static str,
    items: std::vec::IntoIter<Value>,
}

impl Fields {
    pub fn of(operation: &'static str, value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(items) | Value::Set(items) => Ok(Self { operation, items: items.into_iter() }),
            other => Err(damaged(operation, format!("an answer is no list: {other:?}"))),
        }
    }

    fn next(&mut self) -> Result<Value, StoreError> {
        self.items.next().ok_or_else(|| damaged(self.operation, "an answer is too short"))
    }

    /// A mistake in what was read.
    pub fn damaged(&self, detail: impl std::fmt::Display) -> StoreError {
        damaged(self.operation, detail)
    }

    pub fn is_empty(&self) -> bool {
        self.items.as_slice().is_empty()
    }

    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.next()? {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            other => Err(self.damaged(format_args!("a text was expected, not {other:?}"))),
        }
    }

    pub fn text(&mut self) -> Result<String, StoreError> {
        String::from_utf8(self.bytes()?).map_err(|e| self.damaged(e))
    }

    pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self) -> Result<T, StoreError> {
        self.text()?.parse().map_err(|e: T::Err| self.damaged(e))
    }

    pub fn number(&mut self) -> Result<u64, StoreError> {
        match self.next()? {
            Value::Int(number) => u64::try_from(number).map_err(|e| self.damaged(e)),
            other => Err(self.damaged(format_args!("a number was expected, not {other:?}"))),
        }
    }

    pub fn small(&mut self) -> Result<u32, StoreError> {
        u32::try_from(self.number()?).map_err(|e| self.damaged(e))
    }

    pub fn time(&mut self) -> Result<TimeMs, StoreError> {
        self.number().map(TimeMs)
    }

    pub fn flag(&mut self) -> Result<bool, StoreError> {
        Ok(self.number()? == 1)
    }

    /// A number that stands as text in a hash.
    pub fn number_text(&mut self) -> Result<u64, StoreError> {
        self.parsed()
    }

    pub fn list(&mut self) -> Result<Self, StoreError> {
        let value = self.next()?;
        Self::of(self.operation, value)
    }

    pub fn all<T>(mut self, mut read: impl FnMut(&mut Self) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::with_capacity(self.items.len());
        while !self.is_empty() {
            all.push(read(&mut self)?);
        }
        Ok(all)
    }

    pub fn texts(&mut self) -> Result<Vec<String>, StoreError> {
        self.list()?.all(Self::text)
    }

    /// A journal entry.
    pub fn entry(&mut self) -> Result<String, StoreError> {
        self.text().map(|text| written_out(text.into()).into_owned())
    }

    /// A uid: as it stands in the run's record, bytes or digits.
    pub fn uid<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self) -> Result<T, StoreError> {
        let uid = self.bytes()?;
        let digits =
            if uid.len() == UID_BYTES { uuid::Uuid::from_slice(&uid).ok().map(|uid| uid.to_string()) } else { String::from_utf8(uid).ok() };
        self.digits(digits)
    }

    /// A version: likewise.
    pub fn version<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self) -> Result<T, StoreError> {
        let version = self.bytes()?;
        let digits = if version.len() == VERSION_BYTES { Some(hex(&version)) } else { String::from_utf8(version).ok() };
        self.digits(digits)
    }

    fn digits<T: std::str::FromStr<Err: std::fmt::Display>>(&self, digits: Option<String>) -> Result<T, StoreError> {
        let digits = digits.ok_or_else(|| self.damaged("a uid or a version was expected"))?;
        digits.parse().map_err(|e: T::Err| self.damaged(e))
    }

    pub fn record(&mut self) -> Result<RunRecord, StoreError> {
        let bytes = self.bytes()?;
        RunRecord::decode(&bytes).map_err(|e| self.damaged(e))
    }

    pub fn attempt(&mut self) -> Result<AttemptRecord, StoreError> {
        let bytes = self.bytes()?;
        AttemptRecord::decode(&bytes).map_err(|e| self.damaged(e))
    }

    pub fn unpacked<T: serde::de::DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        rmp_serde::from_slice(bytes).map_err(|e| self.damaged(e))
    }

    pub fn grants(&mut self) -> Result<Grants, StoreError> {
        self.grants_of(Made::default()).map(|(grants, _)| grants)
    }

    /// Grants, and when the operation was applied.
    pub fn grants_of(&mut self, made: Made<'_>) -> Result<(Grants, TimeMs), StoreError> {
        let mut fields = self.list()?;
        let turns = fields.list()?.all(|list| {
            let mut grant = list.list()?;
            Ok(TurnGrant { run: grant.parsed::<RunKey>()?, record: grant.record()?, events: grant.texts()?, now: grant.time()? })
        })?;
        let granted = fields.list()?;
        let entries: Vec<Arc<str>> = fields.list()?.all(|entry| entry.entry().map(Arc::from))?;
        let mut attempts = granted.all(|list| {
            let mut grant = list.list()?;
            let (run, uid, workflow, version) = (grant.parsed()?, grant.uid()?, grant.parsed()?, grant.version()?);
            let (attempt, place) = (grant.attempt()?, grant.small()?);
            let entry = match place.checked_sub(1) {
                None => Arc::from(""),
                Some(index) => entries.get(index as usize).cloned().ok_or_else(|| grant.damaged(format_args!("no entry {place}")))?,
            };
            Ok(AttemptGrant { run, uid, workflow, version, attempt, entry })
        })?;
        let (mut fresh, now) = (fields.list()?, fields.time()?);
        if !fresh.is_empty() {
            let (run, uid, workflow): (RunKey, Uid, Name) = (fresh.parsed()?, fresh.uid()?, fresh.parsed()?);
            let (version, turn): (Version, u32) = (fresh.version()?, fresh.small()?);
            while !fresh.is_empty() {
                let command = fresh.small()?;
                let attempt =
                    made.attempt(command, turn, now).ok_or_else(|| self.damaged(format_args!("no attempt {command} was made")))?;
                attempts.push(AttemptGrant {
                    run: run.clone(),
                    uid: uid.clone(),
                    workflow: workflow.clone(),
                    version: version.clone(),
                    attempt,
                    entry: Arc::from(""),
                });
            }
        }
        Ok((Grants { turns, attempts }, now))
    }
}

/// What a call brings that makes attempts: an answer names those that it granted, and this has the rest.
#[derive(Clone, Copy, Default)]
pub(super) struct Made<'a> {
    pub schedule: &'a [NewAttempt],
    pub offer: Option<&'a Offer>,
}

impl Made<'_> {
    fn attempt(&self, command: CommandNo, turn: u32, now: TimeMs) -> Option<AttemptRecord> {
        let new = self.schedule.iter().find(|new| new.command == command)?;
        Some(leased_at_once(new, turn, self.offer?, now))
    }
}

/// An attempt that is leased by the turn that schedules it.
pub(super) fn leased_at_once(new: &NewAttempt, turn: u32, offer: &Offer, now: TimeMs) -> AttemptRecord {
    AttemptRecord {
        command: new.command,
        phase: AttemptPhase::Leased,
        attempt: 1,
        turn,
        losses: 0,
        session: offer.session.to_string(),
        seq: offer.seq,
        scheduled_at: now,
        started_at: now,
        queue: new.queue.clone(),
        timeout_ms: encode::exact(new.timeout_ms),
        heartbeat_ms: encode::exact(new.heartbeat_ms),
        start_by: TimeMs(0),
        close_by: new.close_by,
        last_error: String::new(),
    }
}

pub(super) fn damaged(operation: &'static str, detail: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { operation, detail: detail.to_string() }
}
