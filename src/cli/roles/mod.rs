//! The commands that do not ask a service but are one: arguments to settings, and the errors of starting.

pub mod dev;
mod listen;
pub mod operator;
mod probes;
pub mod queue;
mod redis;
pub mod setup;
mod store;
pub mod worker;

pub use store::StorePlace;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use self::probes::Probed;
use super::error::{CliError, Exit, RoleCode};
use crate::telemetry::{logs, shutdown};

/// Logs of a role go to stderr.
fn start_logs(json: bool) -> Result<(), CliError> {
    let format = if json { logs::Format::Json } else { logs::Format::Text };
    logs::init(format).map_err(|e| CliError::input(e.to_string(), ""))
}

/// For someone in front of a terminal: only what is wrong, unless more is asked for.
fn start_quiet_logs() -> Result<(), CliError> {
    let filter = EnvFilter::builder().with_env_var(logs::FILTER_VARIABLE).with_default_directive(LevelFilter::WARN.into()).from_env();
    let filter =
        filter.map_err(|e| CliError::input(format!("failed to read {}: {e}", logs::FILTER_VARIABLE), "write a level, such as info"))?;
    // A second subscriber in one process is a bug of ours, and nothing that a user could change.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    Ok(())
}

/// Cancelled by the first SIGTERM or SIGINT; the second ends the process.
fn shutdown() -> Result<CancellationToken, CliError> {
    shutdown::signals().map_err(|e| CliError::io("register the signal handlers", &e))
}

/// Answers the probes of a cluster in the background, where that is asked for, and `more`. They are answered during the drain, too.
fn answer_probes(address: Option<SocketAddr>, probed: Arc<dyn Probed>, more: Router) -> Result<(), CliError> {
    let Some(address) = address else { return Ok(()) };
    let listener = listen::bind(address, "--probes")?;
    tokio::spawn(async move {
        if let Err(error) = probes::serve(listener, probed, more, CancellationToken::new()).await {
            tracing::error!(%error, "probes are not answered any more");
        }
    });
    Ok(())
}

/// A role that ended by itself.
fn ended(role: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::Role { code: RoleCode::RoleEnded, what: format!("the {role} ended: {error}"), next: String::new(), exit: Exit::Server }
}
