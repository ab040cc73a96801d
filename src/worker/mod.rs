//! The worker: it polls the queue service, takes turns on event loops, runs activities, and commits.
//!
//! `session` keeps a session open; `hub` owns all state and decides; `loops` run JavaScript; `activities` run attempts;
//! `send` talks to the service until it is answered. Deliberately absent: the store. A worker holds nothing it cannot lose.

pub mod activities;
pub mod alone;
mod backoff;
mod commit;
mod definitions;
pub mod engine;
mod executing;
mod hub;
mod loops;
mod runs;
mod send;
mod session;
mod slots;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::api::{Name, TimeMs};
use crate::client::Servers;
use crate::client::worker::WorkerClient;
use crate::clock::StoreClock;
use crate::telemetry::link::Link;
use engine::{Engine, EngineLimits};

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The queue service, `http://host:port`; several replicas of it with commas between.
    pub server: String,
    /// The pool that it serves.
    pub pool: Name,
    /// Its name, for people: letters, digits and `-`, up to 40.
    pub name: String,
    /// Event loops, each with an engine.
    pub loops: usize,
    /// Turns that may be leased at once, for each loop.
    pub turn_slots: u16,
    /// Attempts that may be leased at once, in all.
    pub activity_slots: u16,
    /// Bytes of contexts in memory, over all loops; beyond it the least recently used ones are replayed when needed.
    pub cache_bytes: usize,
    /// Bounds of a run. `cache_bytes` in it is not used.
    pub limits: EngineLimits,
    /// How long attempts and turns may go on after the shutdown, before they are handed back.
    pub drain: Duration,
    /// Activities may reach loopback and link-local addresses.
    pub allow_local: bool,
    /// Is told whether the queue service answers.
    pub link: Link,
}

impl Config {
    /// The defaults: a loop per core, 256 turns each, 512 attempts, 512 MiB of contexts per loop, 30 s to drain.
    #[must_use]
    pub fn new(server: impl Into<String>, pool: Name, name: impl Into<String>) -> Self {
        let loops = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let limits = EngineLimits::default();
        Self {
            server: server.into(),
            pool,
            name: name.into(),
            loops,
            turn_slots: 256,
            activity_slots: 512,
            cache_bytes: limits.cache_bytes.saturating_mul(loops),
            limits,
            drain: Duration::from_secs(30),
            allow_local: false,
            link: Link::default(),
        }
    }
}

/// Why a worker cannot run. Nothing that happens later ends it: it waits for a service that is away.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no address.
    #[error("the server address cannot be used: {0}")]
    Server(String),
    /// The HTTP client cannot be set up.
    #[error("failed to set up the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The system gives no thread.
    #[error("failed to start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A bug; its message was printed where it happened.
    #[error("the hub broke")]
    Hub,
}

/// Runs a worker until `shutdown`, then drains: it stops polling, finishes what runs within [`Config::drain`], hands back the
/// rest, and ends its session.
///
/// # Errors
/// Only at the start; see [`Error`].
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let limits = EngineLimits { cache_bytes: config.cache_bytes / config.loops.max(1), ..config.limits.clone() };
    run_with(config, move || engine::QuickJsEngine::new(limits.clone()), shutdown).await
}

/// As [`run`], with engines made by `make` on the threads of the loops.
///
/// The hub has a thread of its own, where it may be busy with a turn; the session is kept, and activities are waited for, on the
/// caller's.
async fn run_with<E: Engine + 'static>(
    config: Config,
    make: impl Fn() -> E + Clone + Send + 'static,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let servers = Servers::parse(&config.server).map_err(Error::Server)?;
    let client = WorkerClient::new(servers.clone())?;
    let clock = Arc::new(StoreClock::new(TimeMs(0)));
    let executing = executing::Executing::in_places(config.loops.max(1));
    executing.clone().watch(Duration::from_millis(config.limits.turn_cpu_ms))?;
    #[expect(clippy::disallowed_methods, reason = "every message belongs to a slot or to a request: these are the bound")]
    let (messages, receiver) = unbounded_channel();
    let shared = loops::Shared { clock: clock.clone(), executing: executing.clone(), ahead: Arc::default() };
    let (loops, results) = (config.loops, messages.clone());
    let turn_slots = usize::from(config.turn_slots).saturating_mul(config.loops.max(1));
    // Its own: a connection belongs to the thread that opened it.
    let hubs = WorkerClient::new(servers)?;
    let parts = hub::Parts {
        client: hubs.clone(),
        definitions: Arc::new(definitions::Definitions::new(hubs)),
        clock: clock.clone(),
        alone: alone::Alone::new(config.limits.clone())?,
        runner: activities::Runner::start(config.loops, config.allow_local)?,
        worker: config.name.as_str().into(),
        turn_slots: u16::try_from(turn_slots).unwrap_or(u16::MAX).min(crate::api::limits::SLOTS_MAX),
        activity_slots: config.activity_slots.min(crate::api::limits::SLOTS_MAX),
        link: config.link.clone(),
        messages: messages.clone(),
    };
    let stop = CancellationToken::new();
    let keeper = session::Keeper {
        client: client.clone(),
        clock,
        executing,
        worker: config.name.clone(),
        pool: config.pool.clone(),
        messages,
        draining: shutdown.clone(),
        stop: stop.clone(),
        link: config.link.clone(),
    };
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new().name("hub".to_owned()).stack_size(loops::STACK_BYTES);
    let drain = config.drain;
    let draining = shutdown.child_token();
    // Nobody waits for the hub any more when this function is dropped.
    let _ends_with_us = draining.clone().drop_guard();
    thread.spawn(move || {
        let session = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let session = runtime.block_on(async move {
                let loops = loops::Loops::start(loops, make, &shared, &results)?;
                Ok(hub::Hub::new(parts, loops).run(receiver, draining, drain).await)
            });
            runtime.shutdown_background();
            session
        };
        let _ = ended.send(session());
    })?;
    let keeping = tokio::spawn(keeper.run());
    tracing::info!(server = config.server, pool = %config.pool, name = config.name, loops = config.loops, "worker started");
    let session = end.await;
    stop.cancel();
    if let Err(panic) = keeping.await {
        tracing::error!(%panic, "the session's task broke");
    }
    let session: Result<_, std::io::Error> = session.map_err(|_| Error::Hub)?;
    if let Some(session) = session?
        && let Err(error) = client.close_session(&session).await
    {
        tracing::warn!(%error, "no goodbye: the session ends by its time-out");
    }
    tracing::info!("worker stopped");
    Ok(())
}
