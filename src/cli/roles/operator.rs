//! `everloop operator`: the controllers of a cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use clap::Args;

use super::probes::Probed;
use super::{ended, start_logs};
use crate::api::{DurationMs, Name};
use crate::cli::args::Options;
use crate::cli::error::{CliError, Exit};
use crate::crd::resources::WorkerPoolSpec;
use crate::operator;

#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// Namespaces whose resources are looked at, beside the installation's; commas between, or given again [default: all].
    #[arg(long, env = "EVERLOOP_WATCH_NAMESPACE", value_name = "NAME", value_delimiter = ',', hide_env_values = true)]
    pub watch_namespace: Vec<Name>,
    /// The image of worker pods whose pool names none.
    #[arg(long, env = "EVERLOOP_IMAGE", default_value = concat!("everloop:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE", hide_env_values = true)]
    pub image: String,
    /// The WorkerPool `default` of the installation's namespace, as the JSON of its `spec`: made once, by the first operator.
    #[arg(long, env = "EVERLOOP_DEFAULT_POOL", value_name = "JSON", hide_env_values = true, value_parser = pool)]
    pub default_pool: Option<WorkerPoolSpec>,
    /// A name among the operators of the installation [default: the machine's name and the process id].
    #[arg(long, env = "EVERLOOP_OPERATOR_NAME", value_name = "NAME", hide_env_values = true)]
    pub name: Option<String>,
    /// How long after the last sign of the leading operator another one takes over.
    #[arg(long, env = "EVERLOOP_LEASE", default_value = "15s", value_name = "DURATION", hide_env_values = true, value_parser = lease)]
    pub lease: DurationMs,
    /// Where to answer `/healthz`, `/readyz`, `/metrics` and how many pods the work of a pool wants, `/v1/scaling/NAMESPACE/POOL` [default: nowhere].
    #[arg(long, env = "EVERLOOP_PROBES", value_name = "ADDR:PORT", hide_env_values = true)]
    pub probes: Option<SocketAddr>,
    /// Log lines as JSON.
    #[arg(long, env = "EVERLOOP_LOG_JSON")]
    pub log_json: bool,
}

fn pool(text: &str) -> Result<WorkerPoolSpec, String> {
    serde_json::from_str(text).map_err(|e| format!("the spec of a WorkerPool as JSON, such as {{\"replicas\": 2}}: {e}"))
}

fn lease(text: &str) -> Result<DurationMs, String> {
    match text.parse::<DurationMs>() {
        Ok(duration) if (1_500..=3_600_000).contains(&duration.0) => Ok(duration),
        Ok(_) => Err("at least 1.5s, at most 1h".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// An operator that stands by is ready, too.
struct Probes(Arc<operator::Metrics>);

impl Probed for Probes {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn metrics(&self) -> String {
        self.0.encode()
    }
}

/// What a program asks that scales pools itself.
fn scaling(published: Arc<operator::Published>) -> Router {
    Router::new().route("/v1/scaling/{namespace}/{pool}", get(wanted)).with_state(published)
}

async fn wanted(State(published): State<Arc<operator::Published>>, Path((namespace, pool)): Path<(String, String)>) -> Response {
    match published.wanted(&namespace, &pool).await {
        Ok(wanted) => Json(wanted).into_response(),
        Err(why) => (StatusCode::from_u16(why.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), format!("{why}\n")).into_response(),
    }
}

pub async fn run(options: &Options, args: OperatorArgs) -> Result<Exit, CliError> {
    crate::cli::demo::end_with_parent()?;
    start_logs(args.log_json)?;
    let server = options.server_of_role()?;
    let shutdown = super::shutdown()?;
    let config = operator::Config {
        server,
        namespace: options.installation(),
        watch: args.watch_namespace,
        image: args.image,
        name: args.name.unwrap_or_else(super::worker::default_name),
        default_pool: args.default_pool,
        times: operator::Times::of(args.lease.to_std()),
    };
    let metrics = Arc::new(operator::Metrics::new());
    let published = Arc::new(operator::Published::default());
    super::answer_probes(args.probes, Arc::new(Probes(metrics.clone())), scaling(published.clone()))?;
    operator::run(config, metrics, published, shutdown).await.map_err(|e| ended("operator", &e))?;
    Ok(Exit::Done)
}

/// What an operator starts for a source.
pub fn check_source() -> Result<Exit, CliError> {
    operator::check_source().map_err(|e| CliError::io("check a source", &e))?;
    Ok(Exit::Done)
}
