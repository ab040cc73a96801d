//! Who may commit: rules 1 to 4. Heads, leases, attempts and the bound on overtaking.

use super::activity::AttemptPhase;
use super::record::{AttemptRecord, RunRecord};
use super::run::Phase;
use crate::api::TimeMs;
use crate::api::ids::{Attempt, CommandNo, Seq};

/// Why a turn is refused. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No such run.
    NotFound,
    /// The run has ended.
    Closed,
    /// The run is blocked or paused.
    Blocked,
    /// Another commit or a control operation came first.
    HeadMoved,
    /// The turn lease is not this session's (any more), or, for an optimistic turn, somebody holds one.
    LeaseLost,
    /// An optimistic turn would pass a cancel, or would close the run while mail waits.
    MailWaits,
    /// The turn's time is ahead of the store's clock; the answer carries the clock.
    TimeAhead,
    /// The journal would grow beyond its bound.
    JournalFull,
}

/// What a turn names about where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct TurnClaim<'a> {
    /// The head that it was computed from.
    pub base: &'a str,
    /// The head that it makes.
    pub id: &'a str,
    /// The time inside of it.
    pub at: TimeMs,
    /// It closes the run.
    pub closes: bool,
    /// Bytes that its entry has beside its events: those are in the store already, so the bound on the journal is soft by one claim.
    pub entry_bytes: u64,
}

/// The judgement on a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Apply it.
    Accept,
    /// It was applied before; answer as then.
    Repeat,
    /// Change nothing.
    Refuse(Refusal),
}

fn judge_head(record: &RunRecord, turn: &TurnClaim<'_>, now: TimeMs) -> Verdict {
    if record.head == turn.id {
        return Verdict::Repeat;
    }
    if record.phase == Phase::Closed {
        return Verdict::Refuse(Refusal::Closed);
    }
    if record.phase == Phase::Blocked {
        return Verdict::Refuse(Refusal::Blocked);
    }
    if record.head != turn.base {
        return Verdict::Refuse(Refusal::HeadMoved);
    }
    if turn.at > now.max(record.at) {
        return Verdict::Refuse(Refusal::TimeAhead);
    }
    if !turn.closes && record.journal_bytes.saturating_add(turn.entry_bytes) > crate::api::limits::JOURNAL_BYTES_MAX {
        return Verdict::Refuse(Refusal::JournalFull);
    }
    Verdict::Accept
}

/// A turn under a lease: the head is equal, and the lease is this session's.
#[must_use]
pub fn judge_leased(record: &RunRecord, turn: &TurnClaim<'_>, session: &str, seq: Seq, now: TimeMs) -> Verdict {
    match judge_head(record, turn, now) {
        Verdict::Accept if record.phase != Phase::Leased || record.session != session || record.seq != seq => {
            Verdict::Refuse(Refusal::LeaseLost)
        }
        verdict => verdict,
    }
}

/// An optimistic turn: the head is equal, nobody holds a turn lease (the own session included), and it passes mail at most
/// once: its acceptance grants the lease with that mail, so that the next one finds a lease. It passes no cancel, and it
/// does not close the run while mail waits.
#[must_use]
pub fn judge_optimistic(record: &RunRecord, turn: &TurnClaim<'_>, now: TimeMs) -> Verdict {
    match judge_head(record, turn, now) {
        Verdict::Accept if record.phase == Phase::Leased => Verdict::Refuse(Refusal::LeaseLost),
        Verdict::Accept if record.mail_cancel > 0 || (turn.closes && record.mail > 0) => Verdict::Refuse(Refusal::MailWaits),
        verdict => verdict,
    }
}

/// The lease that somebody says to have on an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptClaim {
    /// The number of the `ScheduleActivity`.
    pub command: CommandNo,
    /// The attempt.
    pub attempt: Attempt,
    /// Who has it; empty for the service itself, which times out what nobody has.
    pub session: String,
    /// The request that it was granted to; 0 with an empty session.
    pub seq: Seq,
}

impl AttemptClaim {
    /// The one under which whoever has an attempt now may finish it.
    #[must_use]
    pub fn of(attempt: &AttemptRecord) -> Self {
        Self { command: attempt.command, attempt: attempt.attempt, session: attempt.session.clone(), seq: attempt.seq }
    }
}

/// Whether a claim on an attempt is the current one: (command, attempt, session, nonce). A queued or waiting attempt is
/// claimed by nobody.
#[must_use]
pub fn holds(attempt: &AttemptRecord, claim: &AttemptClaim) -> bool {
    let same = attempt.command == claim.command && attempt.attempt == claim.attempt;
    match attempt.phase {
        AttemptPhase::Leased => same && attempt.session == claim.session && attempt.seq == claim.seq,
        AttemptPhase::Queued | AttemptPhase::BackingOff => same && claim.session.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::record::samples;

    fn record(phase: Phase) -> RunRecord {
        let (session, seq) = if phase == Phase::Leased { ("s1".to_owned(), 7) } else { (String::new(), 0) };
        RunRecord { phase, head: "base".into(), session, seq, at: TimeMs(100), ..samples::run() }
    }

    const TURN: TurnClaim<'static> = TurnClaim { base: "base", id: "next", at: TimeMs(100), closes: false, entry_bytes: 10 };
    const NOW: TimeMs = TimeMs(100);

    #[test]
    fn rule_1_a_leased_turn_needs_the_head_and_the_lease() {
        let leased = record(Phase::Leased);
        assert_eq!(judge_leased(&leased, &TURN, "s1", 7, NOW), Verdict::Accept);
        assert_eq!(judge_leased(&leased, &TURN, "s2", 7, NOW), Verdict::Refuse(Refusal::LeaseLost));
        assert_eq!(judge_leased(&leased, &TURN, "s1", 8, NOW), Verdict::Refuse(Refusal::LeaseLost));
        let other = TurnClaim { base: "other", ..TURN };
        assert_eq!(judge_leased(&leased, &other, "s1", 7, NOW), Verdict::Refuse(Refusal::HeadMoved));
        for (phase, refusal) in [
            (Phase::Waiting, Refusal::LeaseLost),
            (Phase::Ready, Refusal::LeaseLost),
            (Phase::Blocked, Refusal::Blocked),
            (Phase::Closed, Refusal::Closed),
        ] {
            assert_eq!(judge_leased(&record(phase), &TURN, "s1", 7, NOW), Verdict::Refuse(refusal), "{phase:?}");
        }
    }

    #[test]
    fn rule_1_a_repeat_is_known_by_its_turn_id_even_after_the_close() {
        for phase in Phase::ALL {
            let done = RunRecord { head: "next".into(), ..record(phase) };
            assert_eq!(judge_leased(&done, &TURN, "s1", 7, NOW), Verdict::Repeat);
            assert_eq!(judge_optimistic(&done, &TURN, NOW), Verdict::Repeat);
        }
    }

    #[test]
    fn rule_2_no_optimistic_turn_while_anybody_holds_the_lease() {
        assert_eq!(judge_optimistic(&record(Phase::Waiting), &TURN, NOW), Verdict::Accept);
        assert_eq!(judge_optimistic(&record(Phase::Ready), &TURN, NOW), Verdict::Accept);
        assert_eq!(judge_optimistic(&record(Phase::Leased), &TURN, NOW), Verdict::Refuse(Refusal::LeaseLost));
    }

    #[test]
    fn rule_3_no_optimistic_turn_passes_a_cancel_or_closes_over_mail() {
        let mail = RunRecord { mail: 1, ..record(Phase::Ready) };
        assert_eq!(judge_optimistic(&mail, &TURN, NOW), Verdict::Accept);
        let closing = TurnClaim { closes: true, ..TURN };
        assert_eq!(judge_optimistic(&mail, &closing, NOW), Verdict::Refuse(Refusal::MailWaits));
        let cancel = RunRecord { mail_cancel: 1, ..mail };
        assert_eq!(judge_optimistic(&cancel, &TURN, NOW), Verdict::Refuse(Refusal::MailWaits));
    }

    #[test]
    fn rule_11_a_turn_ahead_of_the_clock_is_refused_unless_the_turn_before_it_was() {
        let ahead = TurnClaim { at: TimeMs(101), ..TURN };
        assert_eq!(judge_leased(&record(Phase::Leased), &ahead, "s1", 7, NOW), Verdict::Refuse(Refusal::TimeAhead));
        let later = RunRecord { at: TimeMs(101), ..record(Phase::Leased) };
        assert_eq!(judge_leased(&later, &ahead, "s1", 7, NOW), Verdict::Accept);
    }

    #[test]
    fn rule_2_an_attempt_is_held_by_command_number_session_and_nonce() {
        let attempt = samples::attempt(4);
        let claim = AttemptClaim { command: 4, attempt: 2, session: "s1".into(), seq: 9 };
        assert!(holds(&attempt, &claim));
        for wrong in [
            AttemptClaim { command: 5, ..claim.clone() },
            AttemptClaim { attempt: 1, ..claim.clone() },
            AttemptClaim { session: "s2".into(), ..claim.clone() },
            AttemptClaim { seq: 8, ..claim.clone() },
            AttemptClaim { session: String::new(), seq: 0, ..claim.clone() },
        ] {
            assert!(!holds(&attempt, &wrong), "{wrong:?}");
        }
        let queued = AttemptRecord { phase: AttemptPhase::Queued, session: String::new(), seq: 0, ..attempt };
        assert!(!holds(&queued, &claim));
        assert!(holds(&queued, &AttemptClaim { session: String::new(), seq: 0, ..claim }));
    }
}
