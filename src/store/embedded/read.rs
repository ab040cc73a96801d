//! What people and replays read of one run.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::Fault;
use super::mailbox;
use super::rows::Rows;
use super::tables::{Key, T};
use crate::api::{Partition, RunKey};
use crate::machine::shorthand::written_out;
use crate::store::op::{JournalPage, RunState};

/// See the port.
pub(super) fn run(rows: &mut impl Rows, partitions: u16, run: &RunKey) -> Result<Option<RunState>, Fault> {
    let partition = run.partition(partitions);
    let Some(record) = rows.record(partition, run)? else { return Ok(None) };
    let name = run.to_string();
    let (mut first, mut last) = (String::new(), String::new());
    if record.turns == 0 {
        first = first_mail(rows, partition, &name)?;
    } else {
        let entry = entry(rows, partition, &name, 0)?;
        first_event(&entry)?.clone_into(&mut first);
        if first.is_empty() {
            // Terminated before its first turn.
            first = first_mail(rows, partition, &name)?;
        }
        last = if record.turns == 1 { entry } else { self::entry(rows, partition, &name, record.turns - 1)? };
    }
    Ok(Some(RunState { record, first, last }))
}

fn first_mail(rows: &mut impl Rows, partition: Partition, run: &str) -> Result<String, Fault> {
    Ok(mailbox::peek(rows, &Key::of(partition).text(run), 0)?.into_iter().next().unwrap_or_default())
}

fn entry(rows: &mut impl Rows, partition: Partition, run: &str, turn: u32) -> Result<String, Fault> {
    rows.entry(partition, run, turn)?.ok_or_else(|| Fault::Damaged(format!("run {run} lacks journal entry {turn}")))
}

/// The first event of an entry; empty when it has none.
fn first_event(entry: &str) -> Result<&str, Fault> {
    #[derive(Deserialize)]
    struct Events<'a> {
        #[serde(borrow)]
        events: Vec<&'a RawValue>,
    }
    let read: Events<'_> = serde_json::from_str(entry).map_err(|e| Fault::Damaged(format!("a journal entry is not JSON: {e}")))?;
    Ok(read.events.first().map_or("", |event| event.get()))
}

/// See the port.
pub(super) fn journal(rows: &mut impl Rows, partitions: u16, run: &RunKey, from: u32, bytes: usize) -> Result<Option<JournalPage>, Fault> {
    let partition = run.partition(partitions);
    let Some(record) = rows.record(partition, run)? else { return Ok(None) };
    let (mut entries, mut length, mut damaged) = (Vec::<String>::new(), 0, false);
    let prefix = Key::of(partition).text(&run.to_string());
    let first = prefix.clone().short(from);
    rows.scan(T::Journal, first.bytes(), &prefix.end(), false, &mut |_, text| {
        length += text.len();
        if !entries.is_empty() && length > bytes {
            return ControlFlow::Break(());
        }
        match std::str::from_utf8(text) {
            Ok(text) => entries.push(written_out(text.into()).into_owned()),
            Err(_) => damaged = true,
        }
        if damaged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if damaged {
        return Err(Fault::damaged(T::Journal, "text"));
    }
    Ok(Some(JournalPage { entries, turns: record.turns, uid: record.uid, head: record.head }))
}
