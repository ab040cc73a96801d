//! A run's record when it begins, the same in both stores.

use crate::api::TimeMs;
use crate::machine::record::{RECORD_FORMAT, RunRecord};
use crate::machine::run::Phase;
use crate::store::op::{Start, WorkflowRecord};

/// The record of a run that nothing has come to yet.
pub(super) fn born(start: &Start, current: &WorkflowRecord, now: TimeMs) -> RunRecord {
    RunRecord {
        format: RECORD_FORMAT,
        uid: start.uid.to_string(),
        workflow: start.workflow.to_string(),
        version: start.version.to_string(),
        pool: current.pool.to_string(),
        phase: Phase::Waiting,
        head: start.head.to_string(),
        epoch: 0,
        session: String::new(),
        seq: 0,
        holder: String::new(),
        turns: 0,
        journal_bytes: 0,
        at: now,
        started_at: now,
        mail: 0,
        mail_cancel: 0,
        next_command: 0,
        timers: 0,
        deaths: 0,
        input_hash: start.input_hash.clone(),
        blocked: String::new(),
        closed: 0,
        closed_at: TimeMs(0),
        retention_ms: current.retention_ms,
        origin: start.origin.as_ref().map_or_else(String::new, ToString::to_string),
        attempts: Vec::new(),
        attempts_beside: 0,
    }
}
