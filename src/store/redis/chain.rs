//! Several turns of a run: in one call where all of them can be worked out before, else one after the other.

use super::{RedisStore, attempts, read, step, turns};
use crate::store::chain::{Chain, Chained, First, FirstAnswer};
use crate::store::op::{Committed, Finished};
use crate::store::port::StoreError;

pub(super) async fn chain(store: &RedisStore, chain: Chain) -> Result<Chained, StoreError> {
    let taken = chain.steps.len();
    match &chain.first {
        First::Commit(commit) => {
            if let Some((grants, at)) = step::commit(store, commit, &chain.steps).await? {
                return Ok(Chained { first: FirstAnswer::Committed(Committed::Accepted { grants, at }), taken });
            }
        }
        First::Finish(finish) => {
            if let Some((grants, at)) = step::finish(store, finish, &chain.steps).await? {
                return Ok(Chained { first: FirstAnswer::Finished(Finished::Accepted { turn: Some(Ok(())), grants, at }), taken });
            }
        }
    }
    one_by_one(store, &chain).await
}

async fn one_by_one(store: &RedisStore, chain: &Chain) -> Result<Chained, StoreError> {
    let first = match &chain.first {
        First::Commit(commit) => FirstAnswer::Committed(turns::commit(store, commit.clone()).await?),
        First::Finish(finish) => FirstAnswer::Finished(attempts::finish(store, finish.clone()).await?),
    };
    let mut chained = Chained { first, taken: 0 };
    if chained.is_refused()
        && let Some(state) = read::run(store, chain.run()).await?
        && let Some(taken) = chain.taken_before(&state.record.head)
    {
        chained = chain.repeated(taken);
        if let Some(last) = chain.again(&chained) {
            chained.answered(attempts::finish(store, last).await?, true);
        }
    }
    while let Some(step) = chain.next(&chained) {
        if !chained.answered(attempts::finish(store, step).await?, false) {
            break;
        }
    }
    Ok(chained)
}
