//! Several turns of a run in one transaction.

use super::commit::commit;
use super::fault::Fault;
use super::finish::finish;
use super::rows::Tx;
use crate::store::chain::{Chain, Chained, First, FirstAnswer};

/// See the port.
pub(super) fn chain(tx: &mut Tx<'_>, chain: &Chain) -> Result<Chained, Fault> {
    let head = tx.load(chain.run())?.map(|row| row.record.head).unwrap_or_default();
    let mut chained = if let Some(taken) = chain.taken_before(&head) {
        chain.repeated(taken)
    } else {
        let first = match &chain.first {
            First::Commit(first) => FirstAnswer::Committed(commit(tx, first)?),
            First::Finish(first) => FirstAnswer::Finished(finish(tx, first)?),
        };
        Chained { first, taken: 0 }
    };
    if let Some(last) = chain.again(&chained) {
        chained.answered(finish(tx, &last)?, true);
    }
    while let Some(step) = chain.next(&chained) {
        if !chained.answered(finish(tx, &step)?, false) {
            break;
        }
    }
    Ok(chained)
}
