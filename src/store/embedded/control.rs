//! What a person does to a run: terminate, pause, resume. Each replaces the head, so that a turn on its way is refused.

use super::changes;
use super::close;
use super::commit::append;
use super::fault::Fault;
use super::grant::{self, Slots};
use super::mailbox;
use super::open;
use super::rows::Tx;
use crate::api::RunStatus;
use crate::machine::run::{self, Input, Phase};
use crate::store::op::{Control, ControlKind, Controlled};

/// See the port.
pub(super) fn control(tx: &mut Tx<'_>, control: &Control) -> Result<Controlled, Fault> {
    let Some(mut row) = tx.load(&control.run)? else { return Ok(Controlled::NotFound) };
    let now = tx.now(control.now);
    let head = control.head.to_string();
    let status = row.record.status();
    if mailbox::knows(tx, &row, &control.key)? {
        return Ok(Controlled::Done(row.record));
    }
    if status.is_closed() {
        let asked = matches!(control.kind, ControlKind::Terminate { .. }) && status == RunStatus::Terminated;
        return Ok(if asked { Controlled::Done(row.record) } else { Controlled::Closed(status) });
    }
    if row.record.head == head {
        return Ok(Controlled::Done(row.record));
    }
    if control.over.is_some_and(|over| over.to_string() != row.record.head) {
        return Ok(Controlled::Moved(row.record));
    }
    match &control.kind {
        // Held already, by whomever: the reason stays.
        ControlKind::Pause { .. } if row.record.phase == Phase::Blocked && control.over.is_none() => {
            return Ok(Controlled::Done(row.record));
        }
        ControlKind::Resume { .. } if row.record.phase != Phase::Blocked => return Ok(Controlled::NotApplicable(row.record)),
        ControlKind::Terminate { entry } => {
            let kept = mailbox::keep_first(tx, &row)?;
            append(tx, &mut row, entry)?;
            row.record.at = row.record.at.max(now);
            close::close(tx, &mut row, Input::Terminate, RunStatus::Terminated, now)?;
            mailbox::put_back(tx, kept)?;
        }
        ControlKind::Pause { blocked } => {
            grant::unready(tx, &row)?;
            grant::drop_turn(tx, &mut row)?;
            row.record.phase = step(row.record.phase, Input::Block)?;
            row.record.blocked.clone_from(blocked);
            changes::tell(tx, &row)?;
        }
        ControlKind::Resume { version } => {
            row.record.phase = step(row.record.phase, Input::Resume)?;
            row.record.blocked.clear();
            row.record.deaths = 0;
            if let Some(version) = version {
                open::ended(tx, &row, &row.record.version)?;
                row.record.version = version.to_string();
                open::opened(tx, &row)?;
            }
            changes::tell(tx, &row)?;
        }
    }
    mailbox::remember(tx, &row, &control.key)?;
    row.record.head = head;
    // No context stands at the new head.
    row.record.holder.clear();
    grant::ready(tx, &mut row, &mut Slots::none(), now)?;
    tx.save(&row)?;
    Ok(Controlled::Done(row.record))
}

fn step(phase: Phase, input: Input) -> Result<Phase, Fault> {
    run::next(phase, input).ok_or_else(|| Fault::transition("a control operation on a closed run"))
}
