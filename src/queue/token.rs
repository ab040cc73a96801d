//! The token of a task that a program took from an external queue: everything that is needed to settle it, so that nothing
//! has to be remembered. Opaque to its holder; it proves nothing by itself, the store compares the lease in it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::border::problem::Refused;
use super::outcome::Tried;
use crate::api::{Attempt, Code, CommandNo, Problem, RunKey, Seq, TimeMs, Version};
use crate::machine::commit::AttemptClaim;
use crate::machine::record::EXTERNAL;

/// What is inside. Written as an array, so that it stays short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The version of the token.
    form: u8,
    /// The run.
    pub run: RunKey,
    /// The number of the command.
    pub command: CommandNo,
    /// The attempt.
    pub attempt: Attempt,
    /// The number of the request that leased it.
    pub seq: Seq,
    /// The version that declares the activity.
    pub version: Version,
    /// The activity's name.
    pub name: String,
    /// When it was scheduled.
    pub scheduled_at: TimeMs,
    /// When it was leased.
    pub started_at: TimeMs,
}

const FORM: u8 = 1;

impl Token {
    /// The token of a leased task.
    #[must_use]
    pub fn of(work: &crate::api::worker::ActivityWork, name: &str) -> Self {
        Self {
            form: FORM,
            run: work.run.clone(),
            command: work.command,
            attempt: work.attempt,
            seq: work.seq,
            version: work.version.clone(),
            name: name.to_owned(),
            scheduled_at: work.scheduled_at,
            started_at: work.started_at,
        }
    }

    /// As it travels.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(rmp_serde::to_vec(self).expect("a token has only numbers and texts"))
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`]: not a token of ours.
    pub fn decode(text: &str) -> Result<Self, Refused> {
        let bad = || {
            Problem::new(Code::InvalidRequest, "this is not a task's token").next("send the `token` of a task as the queue's poll gave it")
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let token: Self = rmp_serde::from_slice(&bytes).map_err(|_| bad())?;
        if token.form == FORM { Ok(token) } else { Err(bad().into()) }
    }

    /// The lease that it stands for.
    #[must_use]
    pub fn claim(&self) -> AttemptClaim {
        AttemptClaim { command: self.command, attempt: self.attempt, session: EXTERNAL.to_owned(), seq: self.seq }
    }

    /// For the retry decision.
    #[must_use]
    pub fn tried(&self) -> Tried<'_> {
        Tried { version: &self.version, name: &self.name, command: self.command, attempt: self.attempt, scheduled_at: self.scheduled_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_as_they_were_written_and_nothing_else_does() {
        let token = Token {
            form: FORM,
            run: "default/order-1/child".parse().unwrap(),
            command: 3,
            attempt: 1,
            seq: 1 << 52,
            version: Version::of(""),
            name: "deliver".into(),
            scheduled_at: TimeMs(1),
            started_at: TimeMs(2),
        };
        let text = token.encode();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(Token::decode(&text), Ok(token.clone()));
        for bad in ["", "x", &text[1..], &Token { form: 9, ..token }.encode()] {
            assert_eq!(Token::decode(bad).unwrap_err().0.code, Code::InvalidRequest, "{bad}");
        }
    }
}
