//! What a person does to a run: terminate, pause, resume. Each replaces the head, so that a turn on its way is refused.

use super::close;
use super::commit::append;
use super::fault::Fault;
use super::grant::{self, Slots};
use super::rows::{RunRow, Tx};
use crate::api::{RunStatus, TimeMs};
use crate::machine::run::{self, Input, Phase};
use crate::store::op::{Control, ControlKind, Controlled};

/// See the port.
pub(super) fn control(tx: &mut Tx<'_>, control: &Control) -> Result<Controlled, Fault> {
    let Some(mut row) = tx.load(&control.run)? else { return Ok(Controlled::NotFound) };
    let now = tx.now(control.now);
    let head = control.head.to_string();
    let status = row.record.status();
    if status.is_closed() {
        let asked = matches!(control.kind, ControlKind::Terminate { .. }) && status == RunStatus::Terminated;
        return Ok(if asked { Controlled::Done(row.record) } else { Controlled::Closed(status) });
    }
    if row.record.head == head {
        return Ok(Controlled::Done(row.record));
    }
    match &control.kind {
        ControlKind::Terminate { entry } => {
            append(tx, &mut row, entry)?;
            close::close(tx, &mut row, Input::Terminate, RunStatus::Terminated, now)?;
        }
        ControlKind::Pause { .. } if status == RunStatus::Paused => return Ok(Controlled::Done(row.record)),
        ControlKind::Pause { blocked } => {
            grant::unready(tx, &row)?;
            grant::drop_turn(tx, &mut row)?;
            row.record.phase = step(row.record.phase, Input::Block)?;
            row.record.blocked.clone_from(blocked);
        }
        ControlKind::Resume { .. } if row.record.phase != Phase::Blocked => return Ok(Controlled::NotApplicable(row.record)),
        ControlKind::Resume { version } => {
            row.record.phase = step(row.record.phase, Input::Resume { mail: row.record.mail > 0 })?;
            row.record.blocked.clear();
            if let Some(version) = version {
                row.record.version = version.to_string();
                row.record.holder.clear();
            }
        }
    }
    row.record.head = head;
    queue(tx, &mut row, now)?;
    tx.save(&row)?;
    Ok(Controlled::Done(row.record))
}

fn step(phase: Phase, input: Input) -> Result<Phase, Fault> {
    run::next(phase, input).ok_or_else(|| Fault::transition("a control operation on a closed run"))
}

fn queue(tx: &mut Tx<'_>, row: &mut RunRow, now: TimeMs) -> Result<(), Fault> {
    grant::ready(tx, row, &mut Slots::none(), now).map(|_| ())
}
