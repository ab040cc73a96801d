//! What a call can come to beside an answer.

use crate::api::{Code, Problem};

/// Why a call has no answer of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No answer, repeats included. A mutating call may or may not have been applied.
    #[error("the server at {server} does not answer: {detail}")]
    Unreachable {
        /// Its address, as configured.
        server: String,
        /// What was seen.
        detail: String,
    },
    /// The service said no, and why.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// An answer that is not of this protocol: another program, or another version of this one.
    #[error("the server at {server} gave an answer that is not understood: {detail}")]
    Protocol {
        /// Its address, as configured.
        server: String,
        /// What was seen, cut to a few hundred characters.
        detail: String,
    },
    /// The address or the token cannot be used at all.
    #[error("{0}")]
    Config(String),
}

impl ClientError {
    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            Self::Unreachable { .. } | Self::Protocol { .. } | Self::Config(_) => None,
        }
    }
}
