//! What can be typed: the global options and the list of commands. Each command's own arguments stand in its file.

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{commands, demo, roles};
use crate::api::Name;

/// An event loop that does not die: durable async JavaScript on a fleet of workers.
#[derive(Debug, Parser)]
#[command(name = "everloop", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 the run failed, 2 usage or bad input, 3 the server is not reachable or refused.\n\
    Start here: `everloop dev -f FILE` runs everything in one process; `everloop demo` shows what it is for.")]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command that talks to a server, and of roles of a cluster.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address of the queue service; of several replicas with commas between: the next is asked when one does not answer [default:
    /// http://127.0.0.1:7400 if one answers there, else the one of the cluster, found by the kubeconfig].
    #[arg(long, global = true, env = "EVERLOOP_SERVER", value_name = "URL", hide_env_values = true)]
    pub server: Option<String>,
    /// The queue service of the cluster of this context of the kubeconfig.
    #[arg(long, visible_alias = "kube-context", global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the installation in a cluster [default: everloop; for a queue service that is found, whichever has one].
    #[arg(long, global = true, env = "EVERLOOP_OPERATOR_NAMESPACE", value_name = "NAME", hide_env_values = true)]
    pub operator_namespace: Option<Name>,
    /// Namespace of workflows and runs [default: that of the kubeconfig's context when the cluster was found by it, else default].
    #[arg(long, short, global = true, env = "EVERLOOP_NAMESPACE", value_name = "NAME", hide_env_values = true)]
    pub namespace: Option<Name>,
    /// Bearer token for what stands in front of the service; the service itself looks at none yet.
    #[arg(long, global = true, env = "EVERLOOP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A table for people, JSON or YAML for programs.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
}

/// How data is written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs; stable.
    Json,
    /// Likewise.
    Yaml,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Parse and check definitions; touches no server.
    Check(commands::check::CheckArgs),
    #[command(flatten)]
    Ask(Ask),
    /// Run everything in one process, and apply definitions again when their files change.
    Dev(roles::dev::DevArgs),
    /// Run the queue service.
    Queue(roles::queue::QueueArgs),
    /// Run a worker.
    Worker(roles::worker::WorkerArgs),
    /// Run the operator of a Kubernetes cluster.
    Operator(roles::operator::OperatorArgs),
    /// Show that nothing is lost: 500 orders, three workers, and two of the processes killed in the middle.
    Demo(demo::DemoArgs),
    /// Play traces of work against ways to scale a pool; touches no server.
    Simulate(commands::simulate::SimulateArgs),
    /// Print a completion script for a shell.
    Completion(commands::completion::CompletionArgs),
    /// A step of an installation, for the Jobs of the chart.
    #[command(hide = true)]
    Setup(roles::setup::SetupArgs),
    /// Read one source, for an operator that started this process.
    #[command(hide = true)]
    CheckSource,
    /// Take one turn alone, for a worker that started this process.
    #[command(hide = true)]
    Turn,
    /// The stand-in for the shop's services, for `demo`.
    #[command(hide = true)]
    DemoShop(demo::shop::ShopArgs),
}

/// The commands that ask a server: only these look for one in a cluster.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Make definitions current: new runs get them.
    Apply(commands::apply::ApplyArgs),
    /// List the workflows of the namespace.
    Workflows(commands::workflows::WorkflowsArgs),
    /// Take no new runs of a workflow; those that are open go on. Applying it again revives it.
    Retire(commands::retire::RetireArgs),
    /// Start a run of a workflow.
    Run(commands::run::RunArgs),
    /// List runs, newest first.
    List(commands::list::ListArgs),
    /// Show a run as it is now.
    Get(commands::get::GetArgs),
    /// Show what a run did, turn by turn.
    Journal(commands::journal::JournalArgs),
    /// Follow a run, turn by turn, until it ends.
    Watch(commands::watch::WatchArgs),
    /// Print a run's result.
    Result(commands::result::ResultArgs),
    /// Send a signal to a run.
    Signal(commands::signal::SignalArgs),
    /// Ask a run to end in order.
    Cancel(commands::cancel::CancelArgs),
    /// End a run at once, without a last turn.
    Terminate(commands::terminate::TerminateArgs),
    /// Hold a run: it takes no turn until it is resumed.
    Pause(commands::pause::PauseArgs),
    /// Let a paused or blocked run go on.
    Resume(commands::resume::ResumeArgs),
    /// Show what one pool has to do, once or over time.
    Pool(commands::pool::PoolArgs),
    /// List the pools and what they have to do.
    Pools(commands::pools::PoolsArgs),
    /// List the workers and what is leased to them.
    Workers(commands::workers::WorkersArgs),
}
