//! From the arguments to an exit code.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::args::{Ask, Cli, Command};
use super::commands;
use super::context::Context;
use super::error::{CliError, Exit};
use super::program::Program;
use super::roles;
use super::server::Server;

/// Reads the arguments of the process, does what they say, and tells errors on stderr.
#[must_use]
pub fn main() -> ExitCode {
    let program = Program::of(std::env::args_os().next().as_deref());
    let cli = match parse(program) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, with code 0. That nobody reads the text is no reason to fail.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    match run(cli, program) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprint!("{}", program.spell(error.render()));
            ExitCode::from(error.exit() as u8)
        }
    }
}

/// Usage shows what was typed: kubectl runs a plugin by another name than it has in its command line.
fn parse(program: Program) -> Result<Cli, clap::Error> {
    let command = Cli::command();
    let mut command = if program == Program::Kubectl { command.bin_name(program.words()) } else { command };
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn run(cli: Cli, program: Program) -> Result<Exit, CliError> {
    let mut builder = match threads(&cli.command) {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder.enable_all().build().map_err(|e| CliError::io("start the asynchronous runtime", &e))?;
    let exit = runtime.block_on(dispatch(cli, program));
    // What still runs in the background (a file watcher, a broken connection) must not hold the process.
    runtime.shutdown_background();
    exit
}

/// Threads for what waits and sends, beside those of event loops. Few: a request that moves
/// from thread to thread waits for each of them to wake (measured on two cores: 0.5 of 2.8 ms from start to result).
fn threads(command: &Command) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let half = (cores / 2).max(1);
    match command {
        Command::Queue(args) => args.threads.map_or(half, usize::from),
        Command::Dev(_) => half,
        Command::Demo(_) | Command::DemoShop(_) => cores,
        _ => 1,
    }
}

async fn dispatch(cli: Cli, program: Program) -> Result<Exit, CliError> {
    let options = cli.options;
    match cli.command {
        Command::Check(args) => commands::check::run(&options, &args),
        Command::Completion(args) => commands::completion::run(&args),
        Command::Simulate(args) => commands::simulate::run(&options, &args),
        Command::Dev(args) => roles::dev::run(&options, args).await,
        Command::Queue(args) => roles::queue::run(args).await,
        Command::Operator(args) => roles::operator::run(&options, args).await,
        Command::Setup(args) => roles::setup::run(&options, args).await,
        Command::CheckSource => roles::operator::check_source(),
        Command::Turn => roles::worker::turn_alone(),
        Command::Worker(args) => roles::worker::run(&options, args).await,
        Command::Demo(args) => super::demo::run(args).await,
        Command::DemoShop(args) => super::demo::shop::run(&args).await,
        Command::Ask(command) => {
            let server = Server::find(&options, program).await?;
            let context = Context::new(options, program, &server)?;
            ask(&context, command).await.map_err(|error| server.explain(error))
        }
    }
}

async fn ask(context: &Context, command: Ask) -> Result<Exit, CliError> {
    match command {
        Ask::Apply(args) => commands::apply::run(context, &args).await,
        Ask::Workflows(_) => commands::workflows::run(context).await,
        Ask::Retire(args) => commands::retire::run(context, &args).await,
        Ask::Run(args) => commands::run::run(context, &args).await,
        Ask::List(args) => commands::list::run(context, &args).await,
        Ask::Get(args) => commands::get::run(context, &args).await,
        Ask::Journal(args) => commands::journal::run(context, &args).await,
        Ask::Watch(args) => commands::watch::run(context, &args).await,
        Ask::Result(args) => commands::result::run(context, &args).await,
        Ask::Signal(args) => commands::signal::run(context, &args).await,
        Ask::Cancel(args) => commands::cancel::run(context, &args).await,
        Ask::Terminate(args) => commands::terminate::run(context, &args).await,
        Ask::Pause(args) => commands::pause::run(context, &args).await,
        Ask::Resume(args) => commands::resume::run(context, &args).await,
        Ask::Pool(args) => commands::pool::run(context, &args).await,
        Ask::Pools(_) => commands::pools::run(context).await,
        Ask::Workers(_) => commands::workers::run(context).await,
    }
}
