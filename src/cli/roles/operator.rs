//! `everloop operator`: the controllers of a cluster.

use clap::Args;

use super::{ended, start_logs};
use crate::api::Name;
use crate::cli::args::Options;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::operator;

#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// The namespace of the installation: its pools serve all namespaces.
    #[arg(long, env = "EVERLOOP_OPERATOR_NAMESPACE", default_value = "everloop", value_name = "NAME", hide_env_values = true)]
    pub operator_namespace: Name,
    /// The only namespace whose resources are looked at [default: all].
    #[arg(long, env = "EVERLOOP_WATCH_NAMESPACE", value_name = "NAME", hide_env_values = true)]
    pub watch_namespace: Option<Name>,
    /// The image of worker pods whose pool names none.
    #[arg(long, env = "EVERLOOP_IMAGE", default_value = concat!("everloop:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE", hide_env_values = true)]
    pub image: String,
    /// Log lines as JSON.
    #[arg(long, env = "EVERLOOP_LOG_JSON")]
    pub log_json: bool,
}

pub async fn run(options: &Options, args: OperatorArgs) -> Result<Exit, CliError> {
    crate::cli::demo::end_with_parent()?;
    start_logs(args.log_json)?;
    Context::new(options.clone())?;
    let shutdown = super::shutdown()?;
    let config = operator::Config {
        server: options.server.clone(),
        namespace: args.operator_namespace,
        watch: args.watch_namespace,
        image: args.image,
    };
    operator::run(config, shutdown).await.map_err(|e| ended("operator", &e))?;
    Ok(Exit::Done)
}
