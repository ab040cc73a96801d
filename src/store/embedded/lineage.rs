//! Which store it is, and the terms of operators.

use super::fault::Fault;
use super::rows::{Rows, Tx};
use super::tables::T;
use crate::store::op::Lineage;

const TERM: &[u8] = b"term";

/// See the port.
pub(super) fn lineage(rows: &mut impl Rows) -> Result<Lineage, Fault> {
    let id = rows.get(T::Meta, b"id")?.unwrap_or_default();
    let id = String::from_utf8(id).map_err(|_| Fault::damaged(T::Meta, "text"))?;
    Ok(Lineage { id, term: rows.number(T::Meta, TERM)?.unwrap_or(0) })
}

/// See the port.
pub(super) fn next_term(tx: &mut Tx<'_>) -> Result<u64, Fault> {
    let term = tx.number(T::Meta, TERM)?.unwrap_or(0) + 1;
    tx.put(T::Meta, TERM, &term.to_be_bytes())?;
    Ok(term)
}
