//! The phases of a run, and what moves it from one to another.
//!
//! | from \ input | mail | claim | commit | lose | block | resume | terminate |
//! |---|---|---|---|---|---|---|---|
//! | waiting | ready | - | by what is left (optimistic) | - | blocked (pause) | - | closed |
//! | ready | ready | leased | by what is left (optimistic) | - | blocked (pause) | - | closed |
//! | leased | leased | - | by what is left | ready | blocked | - | closed |
//! | blocked | blocked | - | - | - | blocked | ready | closed |
//! | closed | - | - | - | - | - | - | - |
//!
//! A dash is refused and changes nothing. A resumed run is ready even without mail: the rest of a turn in parts may be untaken, and
//! a turn without events changes nothing.

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// For an event.
    Waiting,
    /// Mail has come; it stands in its pool's ready queue.
    Ready,
    /// A session takes its turn.
    Leased,
    /// For a person.
    Blocked,
    /// It has ended.
    Closed,
}

impl Phase {
    /// All, in the order of their numbers in a record.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Ready, Self::Leased, Self::Blocked, Self::Closed];

    /// Its number in a record.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Ready => 1,
            Self::Leased => 2,
            Self::Blocked => 3,
            Self::Closed => 4,
        }
    }
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// An event comes into the mailbox.
    Mail,
    /// A session takes the lease of the next turn.
    Claim,
    /// A turn is committed, under the lease or as an optimistic one.
    Commit {
        /// It closes the run.
        closes: bool,
        /// Mail is left in the box.
        mail_left: bool,
        /// The committing session goes on at once with what is left, or with the rest of a turn in parts.
        keeps_lease: bool,
    },
    /// The lease ends without a commit.
    Lose,
    /// Nondeterminism, a broken source, a pause.
    Block,
    /// A person lets it go on.
    Resume,
    /// A person ends it.
    Terminate,
}

/// The next phase, or `None` when the input is refused.
#[must_use]
pub fn next(phase: Phase, input: Input) -> Option<Phase> {
    use Phase::{Blocked, Closed, Leased, Ready, Waiting};
    match (phase, input) {
        (Waiting | Ready, Input::Mail) | (Leased, Input::Lose) | (Blocked, Input::Resume) => Some(Ready),
        (Leased, Input::Mail) | (Ready, Input::Claim) => Some(Leased),
        (Waiting | Ready | Leased, Input::Commit { closes, mail_left, keeps_lease }) => Some(match (closes, keeps_lease, mail_left) {
            (true, _, _) => Closed,
            (false, true, _) => Leased,
            (false, false, true) => Ready,
            (false, false, false) => Waiting,
        }),
        (Blocked, Input::Mail) | (Waiting | Ready | Leased | Blocked, Input::Block) => Some(Blocked),
        (Waiting | Ready | Leased | Blocked, Input::Terminate) => Some(Closed),
        (Waiting | Leased | Blocked, Input::Claim)
        | (Waiting | Ready | Blocked, Input::Lose)
        | (Blocked, Input::Commit { .. })
        | (Waiting | Ready | Leased, Input::Resume)
        | (Closed, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::{Blocked, Closed, Leased, Ready, Waiting};
    use super::*;

    /// The table of the module's head, cell by cell.
    #[test]
    fn every_cell_of_the_table() {
        let commit = |closes, mail_left, keeps_lease| Input::Commit { closes, mail_left, keeps_lease };
        let rows: [(Input, [Option<Phase>; 5]); 10] = [
            (Input::Mail, [Some(Ready), Some(Ready), Some(Leased), Some(Blocked), None]),
            (Input::Claim, [None, Some(Leased), None, None, None]),
            (commit(false, false, false), [Some(Waiting), Some(Waiting), Some(Waiting), None, None]),
            (commit(false, true, false), [Some(Ready), Some(Ready), Some(Ready), None, None]),
            (commit(false, true, true), [Some(Leased), Some(Leased), Some(Leased), None, None]),
            (commit(true, true, false), [Some(Closed), Some(Closed), Some(Closed), None, None]),
            (Input::Lose, [None, None, Some(Ready), None, None]),
            (Input::Block, [Some(Blocked), Some(Blocked), Some(Blocked), Some(Blocked), None]),
            (Input::Resume, [None, None, None, Some(Ready), None]),
            (Input::Terminate, [Some(Closed), Some(Closed), Some(Closed), Some(Closed), None]),
        ];
        for (input, expected) in rows {
            for (phase, expected) in Phase::ALL.into_iter().zip(expected) {
                assert_eq!(next(phase, input), expected, "{phase:?} and {input:?}");
            }
        }
    }

    #[test]
    fn numbers_in_records_never_change() {
        assert_eq!(Phase::ALL.map(Phase::number), [0, 1, 2, 3, 4]);
    }
}
