//! The phases of an activity's attempt.
//!
//! | from \ input | claim | finish | retry | due | lose |
//! |---|---|---|---|---|---|
//! | queued | leased | settled (time-out) | - | - | - |
//! | leased | - | settled | backing off | - | queued, same attempt, one more loss |
//! | backing off | - | settled (time-out) | - | queued, next attempt | - |
//! | settled | - | - | - | - | - |

/// Where an attempt stands. A settled one is no longer in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptPhase {
    /// In its queue.
    Queued,
    /// A session or a program has it.
    Leased,
    /// It failed and waits for its next attempt.
    BackingOff,
}

impl AttemptPhase {
    /// All, in the order of their numbers in a record.
    pub const ALL: [Self; 3] = [Self::Queued, Self::Leased, Self::BackingOff];

    /// Its number in a record.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Leased => 1,
            Self::BackingOff => 2,
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::BackingOff => "backing-off",
        }
    }
}

/// What happens to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A worker takes it.
    Claim,
    /// It has its final outcome.
    Finish,
    /// It failed and may be tried again later.
    Retry,
    /// The delay before the next attempt is over.
    Due,
    /// Its lease ended without an outcome.
    Lose,
}

/// What becomes of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes on in this phase.
    Phase(AttemptPhase),
    /// It is settled and leaves the store.
    Settled,
}

/// The next phase, or `None` when the input is refused.
#[must_use]
pub fn next(phase: AttemptPhase, input: Input) -> Option<Next> {
    use AttemptPhase::{BackingOff, Leased, Queued};
    match (phase, input) {
        (Queued, Input::Claim) => Some(Next::Phase(Leased)),
        (Queued | Leased | BackingOff, Input::Finish) => Some(Next::Settled),
        (Leased, Input::Retry) => Some(Next::Phase(BackingOff)),
        (Leased, Input::Lose) | (BackingOff, Input::Due) => Some(Next::Phase(Queued)),
        (Leased | BackingOff, Input::Claim) | (Queued | BackingOff, Input::Retry | Input::Lose) | (Queued | Leased, Input::Due) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::AttemptPhase::{BackingOff, Leased, Queued};
    use super::*;

    #[test]
    fn every_cell_of_the_table() {
        let rows = [
            (Input::Claim, [Some(Next::Phase(Leased)), None, None]),
            (Input::Finish, [Some(Next::Settled), Some(Next::Settled), Some(Next::Settled)]),
            (Input::Retry, [None, Some(Next::Phase(BackingOff)), None]),
            (Input::Due, [None, None, Some(Next::Phase(Queued))]),
            (Input::Lose, [None, Some(Next::Phase(Queued)), None]),
        ];
        for (input, expected) in rows {
            for (phase, expected) in AttemptPhase::ALL.into_iter().zip(expected) {
                assert_eq!(next(phase, input), expected, "{phase:?} and {input:?}");
            }
        }
    }
}
