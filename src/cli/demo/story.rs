//! The demo from its beginning to its verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::task::JoinHandle;

use super::DemoArgs;
use super::chaos::{Act, Chaos};
use super::fleet::{Fleet, QUEUE};
use super::orders::{self, Acknowledged};
use super::progress::{Counts, Moment, Screen, is_of};
use super::proof::{self, Evidence};
use super::shop::Ledger;
use crate::api::http::Workers;
use crate::api::limits::LIST_PAGE_MAX;
use crate::api::{Name, RunId, RunView};
use crate::cli::error::{CliError, Exit, RoleCode};
use crate::cli::output;
use crate::cli::table::width;
use crate::cli::timeline::Timeline;
use crate::client::{Client, ClientConfig, ClientError, ListRuns, Patience};

/// Between two looks at the service.
const TICK: Duration = Duration::from_millis(250);
/// Sits out every outage of the demo.
const STUBBORN: Patience = Patience { unreachable: Duration::from_secs(30), unanswered: Duration::from_mins(1) };
/// Tells an outage at once.
const CURIOUS: Patience = Patience { unreachable: Duration::ZERO, unanswered: Duration::ZERO };
/// With so many orders for each worker, the one that is killed has some of them.
const ORDERS_OF_A_WORKER: u32 = 10;
/// Questions at once when the evidence is gathered.
const QUESTIONS: usize = 16;

/// What is running and what has happened to it.
struct Stage<'a> {
    args: &'a DemoArgs,
    fleet: &'a mut Fleet,
    screen: Screen,
    stubborn: Client,
    curious: Client,
    /// All workers ever, and whether each was killed.
    workers: Vec<(String, bool)>,
    leases: Workers,
    runs: Vec<RunView>,
}

/// Runs the demo. `Exit::Failed` when something did not hold.
pub async fn tell(args: &DemoArgs, name: &Name, fleet: &mut Fleet) -> Result<Exit, CliError> {
    let began = Instant::now();
    let client = |patience| Client::new(ClientConfig { server: fleet.server(), namespace: name.clone(), token: None, patience });
    let (stubborn, curious) = (client(STUBBORN)?, client(CURIOUS)?);
    let mut stage =
        Stage { args, fleet, screen: Screen::new(), stubborn, curious, workers: Vec::new(), leases: Workers::default(), runs: Vec::new() };
    stage.set_up(name).await?;

    let accepted = Arc::new(AtomicUsize::new(0));
    let workflow = orders::workflow(&stage.fleet.shop(), name)?;
    let applied = stage.stubborn.apply(&workflow).await?;
    stage.screen.note(&format!("applied {} {}; {} orders come in", applied.name, applied.version.short(), args.orders));
    let starts = tokio::spawn(orders::start_all(stage.stubborn.clone(), workflow.name, args.seed, args.orders, accepted.clone()));
    let starts = AbortOnDrop(starts);
    let acknowledged = stage.until_done(starts, &accepted).await?;
    let took = began.elapsed();

    stage.screen.note("all orders are closed; now the proof, from outside");
    let evidence = stage.gather(acknowledged).await?;
    let checks = proof::judge(&evidence);
    output::print(&format!("\n{}", proof::render(&checks)))?;
    stage.show_timeline(&evidence)?;
    let holds = checks.iter().all(|check| check.broken.is_empty());
    let turns: usize = evidence.journals.values().map(Vec::len).sum();
    let (orders, moved) = (args.orders, proof::moved(&evidence));
    let verdict = if holds { "everything held" } else { "NOT everything held" };
    output::print(&format!(
        "\n{orders} orders, {turns} turns, {:.1} s; {moved} orders lived on more than one worker: {verdict}.\n",
        took.as_secs_f64()
    ))?;
    Ok(if holds { Exit::Done } else { Exit::Failed })
}

/// Starting orders ends with the story, whichever way that ends.
struct AbortOnDrop(JoinHandle<Result<Vec<Acknowledged>, CliError>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Stage<'_> {
    async fn set_up(&mut self, pool: &Name) -> Result<(), CliError> {
        let (shop, server) = (self.fleet.shop(), self.fleet.server());
        self.fleet.start_shop(self.args.seed)?;
        self.fleet.start_queue()?;
        self.fleet.listening(&shop).await?;
        self.fleet.listening(&server).await?;
        let ready = self.stubborn.ready().await?;
        for n in 1..=self.args.workers {
            self.start_worker(&format!("worker-{n}"))?;
        }
        self.screen.note(&format!("shop at {shop}: payments, kitchen, drivers, deliveries"));
        self.screen.note(&format!("queue service at {server}: store {}, durability {}", ready.store, ready.durability));
        self.screen.note(&format!("{} workers of pool {pool}, each a process", self.args.workers));
        Ok(())
    }

    fn start_worker(&mut self, name: &str) -> Result<(), CliError> {
        self.fleet.start_worker(name)?;
        self.workers.push((name.to_owned(), false));
        Ok(())
    }

    /// Watches, kills and restarts, until every order is accepted and closed.
    async fn until_done(&mut self, mut starts: AbortOnDrop, accepted: &AtomicUsize) -> Result<Vec<Acknowledged>, CliError> {
        let orders = self.args.orders as usize;
        // The usual half minute, and time for larger numbers.
        let deadline = Instant::now() + Duration::from_secs(90 + u64::from(self.args.orders) / 20);
        let mut chaos = Chaos::new(self.args.no_kill);
        let mut acknowledged = None;
        loop {
            self.fleet.check()?;
            if acknowledged.is_none() && starts.0.is_finished() {
                let ended = (&mut starts.0).await.map_err(|e| CliError::input(format!("starting the orders broke off: {e}"), ""))?;
                acknowledged = Some(ended?);
            }
            let answers = self.look().await;
            let (accepted, counts) = (accepted.load(Ordering::Relaxed), Counts::of(&self.runs));
            self.screen.show(&Moment { orders, accepted, counts, workers: &self.workers, leases: &self.leases, answers });
            if counts.done >= orders
                && chaos.is_over()
                && answers
                && let Some(acknowledged) = acknowledged.take()
            {
                self.screen.erase();
                return Ok(acknowledged);
            }
            if counts.blocked > 0 || Instant::now() > deadline {
                return Err(self.stuck(counts));
            }
            if let Some(act) = chaos.step(accepted, orders, Instant::now()) {
                self.act(act).await?;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Asks what is going on; keeps what was known when there is no answer.
    async fn look(&mut self) -> bool {
        let fresh = tokio::time::timeout(Duration::from_secs(2), async { tokio::try_join!(self.list(), self.curious.workers()) });
        let Ok(Ok((runs, leases))) = fresh.await else { return false };
        (self.runs, self.leases) = (runs, leases);
        true
    }

    async fn list(&self) -> Result<Vec<RunView>, ClientError> {
        let (mut runs, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.curious.list(&ListRuns { limit: LIST_PAGE_MAX, cursor, ..ListRuns::default() }).await?;
            runs.extend(page.runs);
            if page.cursor.is_empty() {
                return Ok(runs);
            }
            cursor = page.cursor;
        }
    }

    async fn act(&mut self, act: Act) -> Result<(), CliError> {
        let pid = |pid: Option<u32>| pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
        match act {
            Act::KillWorker => {
                let leases = |name: &str| self.leases.workers.iter().filter(|view| is_of(view, name)).map(|view| view.leases).sum::<u64>();
                let Some((busiest, leases)) = self.fleet.workers().into_iter().map(|n| (leases(&n), n)).max().map(|(l, n)| (n, l)) else {
                    return Ok(());
                };
                let killed = self.fleet.kill(&busiest).await;
                self.workers.iter_mut().filter(|(name, _)| *name == busiest).for_each(|(_, dead)| *dead = true);
                self.screen.note(&format!("SIGKILL {busiest}{}, which held {leases} leases", pid(killed)));
                if self.fleet.workers().is_empty() {
                    let next = format!("worker-{}", self.workers.len() + 1);
                    self.start_worker(&next)?;
                    self.screen.note(&format!("it was the only one: {next} takes over"));
                }
            }
            Act::KillQueue => {
                let killed = self.fleet.kill(QUEUE).await;
                self.screen.note(&format!("SIGKILL the queue service{}", pid(killed)));
            }
            Act::RestartQueue => {
                self.fleet.start_queue()?;
                let server = self.fleet.server();
                self.fleet.listening(&server).await?;
                self.screen.note("the queue service is back, on the same store and port");
            }
        }
        Ok(())
    }

    fn stuck(&mut self, counts: Counts) -> CliError {
        self.screen.erase();
        let open: Vec<_> =
            self.runs.iter().filter(|run| !run.status.is_closed()).take(5).map(|run| format!("{} ({:?})", run.id, run.doing)).collect();
        let what = format!("the orders do not end: {counts:?}; open are {}", open.join(", "));
        CliError::Role { code: RoleCode::DemoBroke, what, next: String::new(), exit: Exit::Failed }
    }

    async fn gather(&self, acknowledged: Vec<Acknowledged>) -> Result<Evidence, CliError> {
        let ids: Vec<RunId> = self.runs.iter().map(|run| run.id.clone()).collect();
        let client = &self.stubborn;
        let ask = |id: RunId| async move {
            let (run, journal) = tokio::try_join!(client.run(&id), client.journal(&id))?;
            Ok::<_, ClientError>((id.to_string(), run, journal))
        };
        let known: Vec<_> = stream::iter(ids).map(ask).buffer_unordered(QUESTIONS).try_collect().await?;
        let ledger = self.ledger().await.map_err(|e| CliError::input(format!("failed to read the shop's ledger: {e}"), ""))?;
        let runs = known.iter().map(|(id, run, _)| (id.clone(), run.clone())).collect();
        let journals = known.into_iter().map(|(id, _, journal)| (id, journal)).collect();
        let sure_of_orders = self.args.orders >= u32::from(self.args.workers) * ORDERS_OF_A_WORKER;
        let killed = self.killed().filter(|_| sure_of_orders).map(str::to_owned);
        Ok(Evidence { seed: self.args.seed, acknowledged, runs, journals, ledger, killed })
    }

    /// Straight from the shop, past the engine.
    async fn ledger(&self) -> reqwest::Result<Ledger> {
        reqwest::get(format!("{}/ledger", self.fleet.shop())).await?.error_for_status()?.json().await
    }

    fn killed(&self) -> Option<&str> {
        self.workers.iter().find(|(_, killed)| *killed).map(|(name, _)| name.as_str())
    }

    fn show_timeline(&self, evidence: &Evidence) -> Result<(), CliError> {
        let Some((id, journal)) = proof::on_two_workers(evidence, self.killed()) else { return Ok(()) };
        output::print(&format!("\n{id} lived on two workers:\n\n{}", Timeline::render(width(), journal)))
    }
}
