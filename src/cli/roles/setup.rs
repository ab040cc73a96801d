//! `everloop setup`: steps of an installation, for the Jobs of the chart.

use clap::{Args, Subcommand};

use super::{ended, start_logs};
use crate::api::Name;
use crate::cli::args::Options;
use crate::cli::error::{CliError, Exit};
use crate::operator::setup;

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Log lines as JSON.
    #[arg(long, env = "EVERLOOP_LOG_JSON", global = true)]
    pub log_json: bool,
    #[command(subcommand)]
    pub step: Step,
}

#[derive(Debug, Subcommand)]
pub enum Step {
    /// Make a Secret with a random password, unless it is there.
    Password {
        /// The Secret's name.
        #[arg(long, value_name = "NAME")]
        secret: String,
        /// The key in it.
        #[arg(long, value_name = "KEY")]
        key: String,
    },
    /// End the operator, and take its finalizer from all WorkflowRuns; the runs stay.
    ReleaseRuns {
        /// Namespaces beside the installation's; commas between [default: all].
        #[arg(long, env = "EVERLOOP_WATCH_NAMESPACE", value_name = "NAME", value_delimiter = ',', hide_env_values = true)]
        watch_namespace: Vec<Name>,
    },
}

pub async fn run(options: &Options, args: SetupArgs) -> Result<Exit, CliError> {
    start_logs(args.log_json)?;
    let namespace = options.installation();
    match args.step {
        Step::Password { secret, key } => {
            let done = setup::make_password(&namespace, &secret, &key).await.map_err(|e| ended("setup", &e))?;
            tracing::info!(secret, key, "{done}");
        }
        Step::ReleaseRuns { watch_namespace } => {
            let released = setup::release_runs(&namespace, &watch_namespace).await.map_err(|e| ended("setup", &e))?;
            tracing::info!(released, "WorkflowRuns are released, and the operator has ended; the runs stay in the store");
        }
    }
    Ok(Exit::Done)
}
