//! `everloop worker`: event loops and activities.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::probes::Probed;
use super::{ended, start_logs};
use crate::api::limits::{RUN_HEAP_BYTES_MAX, SLOTS_MAX, TURN_CPU, WORKER_NAME_BYTES_MAX};
use crate::api::{DurationMs, Name};
use crate::cli::args::Options;
use crate::cli::error::{CliError, Exit};
use crate::telemetry::link::Link;
use crate::worker;

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// The pool to serve: workflows name theirs.
    #[arg(long, env = "EVERLOOP_POOL", default_value = "default", value_name = "NAME", hide_env_values = true)]
    pub pool: Name,
    /// A name for people: letters, digits and `-` [default: the machine's name and the process id].
    #[arg(long, env = "EVERLOOP_WORKER_NAME", value_parser = worker_name, hide_env_values = true)]
    pub name: Option<String>,
    #[command(flatten)]
    pub slots: SlotOptions,
    /// Let activities reach this machine (loopback) and link-local addresses, where clouds have their metadata.
    #[arg(long, env = "EVERLOOP_ALLOW_LOCAL")]
    pub allow_local: bool,
    /// How long to finish what is under way after SIGTERM; the rest is handed back.
    #[arg(long, env = "EVERLOOP_DRAIN", default_value = "30s", value_name = "DURATION", hide_env_values = true)]
    pub drain: DurationMs,
    /// Where to answer `/healthz`, `/readyz` and `/metrics` [default: nowhere].
    #[arg(long, env = "EVERLOOP_PROBES", value_name = "ADDR:PORT", hide_env_values = true)]
    pub probes: Option<SocketAddr>,
    /// Log lines as JSON.
    #[arg(long, env = "EVERLOOP_LOG_JSON")]
    pub log_json: bool,
}

/// How much a worker takes on; `dev` has these, too.
#[derive(Debug, Clone, Args)]
pub struct SlotOptions {
    /// Event loops; one shares the thread that speaks to the service, several have a thread each [default: one per core].
    #[arg(long, env = "EVERLOOP_LOOPS", value_name = "N", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub loops: Option<u16>,
    /// Turns at a time, for each event loop.
    #[arg(long, env = "EVERLOOP_TURN_SLOTS", default_value_t = 256, value_name = "N", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..=i64::from(SLOTS_MAX)))]
    pub turn_slots: u16,
    /// Activities at a time.
    #[arg(long, env = "EVERLOOP_ACTIVITY_SLOTS", default_value_t = 512, value_name = "N", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..=i64::from(SLOTS_MAX)))]
    pub activity_slots: u16,
    /// Memory for runs between their turns, in MiB; beyond it the least recently used are replayed when needed [default: 512
    /// for each event loop].
    #[arg(long, env = "EVERLOOP_CACHE_MB", value_name = "MIB", hide_env_values = true)]
    pub cache_mb: Option<u32>,
    /// CPU of one turn; the bound of the language is the most.
    #[arg(long, env = "EVERLOOP_TURN_CPU", default_value = "1s", value_name = "DURATION", hide_env_values = true, value_parser = at_most(TURN_CPU))]
    pub turn_cpu: DurationMs,
    /// Heap of one run, in MiB; likewise.
    #[arg(long, env = "EVERLOOP_RUN_HEAP_MB", default_value_t = (RUN_HEAP_BYTES_MAX >> 20) as u16, value_name = "MIB", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..=(RUN_HEAP_BYTES_MAX >> 20) as i64))]
    pub run_heap_mb: u16,
}

fn at_most(most: DurationMs) -> impl Fn(&str) -> Result<DurationMs, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<DurationMs>() {
        Ok(duration) if duration.0 > 0 && duration <= most => Ok(duration),
        Ok(_) => Err(format!("more than nothing, at most {most}")),
        Err(error) => Err(error.to_string()),
    }
}

fn worker_name(text: &str) -> Result<String, String> {
    let legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if legal && (1..=WORKER_NAME_BYTES_MAX).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("1 to {WORKER_NAME_BYTES_MAX} letters, digits and '-'"))
    }
}

pub async fn run(options: &Options, args: WorkerArgs) -> Result<Exit, CliError> {
    crate::cli::demo::end_with_parent()?;
    start_logs(args.log_json)?;
    let server = options.server_of_role()?;
    let shutdown = super::shutdown()?;
    let name = args.name.unwrap_or_else(default_name);
    let config = config(server, args.pool, name, &args.slots);
    let config = worker::Config { drain: args.drain.to_std(), allow_local: args.allow_local, ..config };
    super::answer_probes(args.probes, Arc::new(Probes { link: config.link.clone(), draining: shutdown.clone() }), axum::Router::new())?;
    worker::run(config, shutdown).await.map_err(|e| ended("worker", &e))?;
    Ok(Exit::Done)
}

struct Probes {
    link: Link,
    draining: CancellationToken,
}

impl Probed for Probes {
    fn ready(&self) -> Result<(), String> {
        if self.draining.is_cancelled() {
            return Err("draining: no new work is taken".to_owned());
        }
        self.link.ready(Instant::now())
    }

    fn metrics(&self) -> String {
        let ready = u8::from(self.ready().is_ok());
        format!(
            "# HELP everloop_worker_ready 1 while the worker takes on work.\n# TYPE everloop_worker_ready gauge\neverloop_worker_ready {ready}\n# EOF\n"
        )
    }
}

/// What a worker starts for a run in whose turns workers have died.
pub fn turn_alone() -> Result<Exit, CliError> {
    worker::alone::serve().map_err(|e| CliError::io("take a turn alone", &e))?;
    Ok(Exit::Done)
}

/// The settings of a worker, from the options.
pub fn config(server: String, pool: Name, name: String, slots: &SlotOptions) -> worker::Config {
    let mut config = worker::Config::new(server, pool, name);
    config.loops = slots.loops.map_or(config.loops, usize::from);
    config.turn_slots = slots.turn_slots;
    config.activity_slots = slots.activity_slots;
    config.limits.turn_cpu_ms = slots.turn_cpu.0;
    config.limits.run_heap_bytes = usize::from(slots.run_heap_mb) << 20;
    config.cache_bytes = slots.cache_mb.map_or(config.cache_bytes, |mib| mib as usize * (1 << 20));
    config
}

/// Unique on this machine, and in a cluster, where the machine's name is the pod's. Of a long one the end is kept: a pod's name differs
/// from its siblings' in that.
pub fn default_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let pid = format!("-{}", std::process::id());
    let room = WORKER_NAME_BYTES_MAX - pid.len();
    let host = if host.is_empty() { "worker" } else { &host[host.len().saturating_sub(room)..] };
    format!("{host}{pid}")
}
