//! How a command can fail, what a person reads then, and the exit code.

use std::fmt::Write as _;

use crate::api::{Code, Problem};
use crate::client::ClientError;
use crate::definitions::LoadError;

/// The exit codes, for scripts. Never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// The command did its work, and the run, or the proof, failed.
    Failed = 1,
    /// Usage or bad input: nothing was sent or started.
    Usage = 2,
    /// The server is not reachable, or it refused.
    Server = 3,
}

/// Stable codes of what no service is there to answer. As [`Code`]: never another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleCode {
    /// Another program listens at the address.
    AddressInUse,
    /// The address is none of this machine, or not for this user.
    AddressUnusable,
    /// No service answers.
    ServerUnreachable,
    /// No server is given, and none is found on this machine or in the cluster.
    ServerNotFound,
    /// The API server of the cluster does not answer.
    ClusterUnreachable,
    /// The cluster does not let us look for the service or connect to it.
    ClusterRefused,
    /// The store does not answer.
    StoreUnavailable,
    /// The store must not be used as it is: another setting, format, number of partitions or user.
    StoreUnfit,
    /// The store's disk is full.
    StorageFull,
    /// A role ended by itself.
    RoleEnded,
    /// The demo did not come to its end.
    DemoBroke,
}

impl RoleCode {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 11] = [
        Self::AddressInUse,
        Self::AddressUnusable,
        Self::ServerUnreachable,
        Self::ServerNotFound,
        Self::ClusterUnreachable,
        Self::ClusterRefused,
        Self::StoreUnavailable,
        Self::StoreUnfit,
        Self::StorageFull,
        Self::RoleEnded,
        Self::DemoBroke,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::AddressInUse => "AddressInUse",
            Self::AddressUnusable => "AddressUnusable",
            Self::ServerUnreachable => "ServerUnreachable",
            Self::ServerNotFound => "ServerNotFound",
            Self::ClusterUnreachable => "ClusterUnreachable",
            Self::ClusterRefused => "ClusterRefused",
            Self::StoreUnavailable => "StoreUnavailable",
            Self::StoreUnfit => "StoreUnfit",
            Self::StorageFull => "StorageFull",
            Self::RoleEnded => "RoleEnded",
            Self::DemoBroke => "DemoBroke",
        }
    }
}

/// What happened, why, and what to type next.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Bad input, found here. Nothing was sent.
    #[error("{what}")]
    Input {
        /// What is wrong and why.
        what: String,
        /// What to type; empty when `what` says it.
        next: String,
    },
    /// Findings in definitions, rendered already.
    #[error("{0}")]
    Findings(String),
    /// The service said no or nothing.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Definition files that cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A store or an address that a role cannot use.
    #[error("{what}")]
    Role {
        /// Which of them.
        code: RoleCode,
        /// What happened and why.
        what: String,
        /// What to change.
        next: String,
        /// `Usage` when the arguments are at fault, `Server` when something else does not answer.
        exit: Exit,
    },
}

impl CliError {
    /// Bad input.
    pub fn input(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Input { what: what.into(), next: next.into() }
    }

    /// An error of the operating system. `doing` completes "failed to".
    pub fn io(doing: &str, error: &std::io::Error) -> Self {
        Self::Input { what: format!("failed to {doing}: {error}"), next: String::new() }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Input { .. } | Self::Findings(_) | Self::Load(_) | Self::Client(ClientError::Config(_)) => Exit::Usage,
            Self::Client(_) => Exit::Server,
            Self::Role { exit, .. } => *exit,
        }
    }

    /// The text for stderr, with its last line end.
    pub fn render(&self) -> String {
        match self {
            Self::Findings(text) => text.clone(),
            Self::Input { what, next } => lines(what, next),
            Self::Role { code, what, next, .. } => lines(&format!("{} ({})", what.trim_end(), code.as_str()), next),
            Self::Load(error) => lines(&error.to_string(), "name a YAML file, or a folder of them, that can be read"),
            Self::Client(error @ ClientError::Unreachable { .. }) => lines(
                &format!("{error} ({})", RoleCode::ServerUnreachable.as_str()),
                "`everloop dev` starts one here; or set EVERLOOP_SERVER (or --server) to the address of one that runs",
            ),
            Self::Client(error @ ClientError::Protocol { .. }) => lines(
                &error.to_string(),
                "see that EVERLOOP_SERVER (or --server) is the address of an Everloop queue service of this version",
            ),
            Self::Client(ClientError::Refused(problem)) => refused(problem),
            Self::Client(ClientError::Config(text)) => lines(text, ""),
        }
    }
}

fn lines(what: &str, next: &str) -> String {
    let mut text = format!("error: {}\n", what.trim_end());
    if !next.is_empty() {
        let _ = writeln!(text, "next:  {next}");
    }
    text
}

fn refused(problem: &Problem) -> String {
    let mut text = format!("error: {} ({})\n", problem.detail.trim_end(), problem.code);
    if !problem.findings.is_empty() {
        text += &crate::source::render(&problem.findings, "");
    }
    let next = if problem.next.is_empty() { next_of(problem.code) } else { &problem.next };
    if !next.is_empty() {
        let _ = writeln!(text, "next:  {next}");
    }
    // Only what an operator must look up is worth an id: for all else the text is the whole story.
    if problem.status >= 500 && !problem.request.is_empty() {
        let _ = writeln!(text, "       the service's log has more under request {}", problem.request);
    }
    text
}

/// What to type when the service does not say.
fn next_of(code: Code) -> &'static str {
    match code {
        Code::WorkflowNotFound => "`everloop workflows` lists those that are there; `everloop apply -f FILE` adds one",
        Code::RunNotFound => "`everloop list` lists the runs of the namespace; `-n NAME` names another namespace",
        Code::VersionNotFound => "`everloop workflows` shows the current versions",
        Code::RunIdTaken => "choose another --id, or leave it out to have one made",
        Code::RunClosed => "`everloop get RUN` shows how it ended",
        Code::RunOpen => "`everloop result RUN --wait` waits for the end",
        Code::StoreUnavailable => "see that the store runs; then type the same again: nothing that was acknowledged is lost",
        Code::Stopping | Code::Overloaded => "type the same again in a moment",
        Code::StorageFull => "make room on the store's disk; then type the same again",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented() {
        let page = include_str!("../../docs/errors.md");
        for code in RoleCode::ALL {
            assert!(page.contains(&format!("| `{}` |", code.as_str())), "docs/errors.md has no row for {}", code.as_str());
        }
    }
}
