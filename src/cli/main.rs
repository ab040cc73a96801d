//! From the arguments to an exit code.

use std::process::ExitCode;

use clap::Parser as _;

use super::args::{Cli, Command};
use super::commands;
use super::context::Context;
use super::error::{CliError, Exit};
use super::roles;

/// Reads the arguments of the process, does what they say, and tells errors on stderr.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, with code 0. That nobody reads the text is no reason to fail.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    match run(cli) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprint!("{}", error.render());
            ExitCode::from(error.exit() as u8)
        }
    }
}

fn run(cli: Cli) -> Result<Exit, CliError> {
    let mut builder = match threads(&cli.command) {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder.enable_all().build().map_err(|e| CliError::io("start the asynchronous runtime", &e))?;
    let exit = runtime.block_on(dispatch(cli));
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

async fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    let options = cli.options;
    match cli.command {
        Command::Check(args) => commands::check::run(&options, &args),
        Command::Completion(args) => commands::completion::run(&args),
        Command::Dev(args) => roles::dev::run(&options, args).await,
        Command::Queue(args) => roles::queue::run(args).await,
        Command::Operator(args) => roles::operator::run(&options, args).await,
        Command::Setup(args) => roles::setup::run(args).await,
        Command::CheckSource => roles::operator::check_source(),
        Command::Turn => roles::worker::turn_alone(),
        Command::Worker(args) => roles::worker::run(&options, args).await,
        Command::Demo(args) => super::demo::run(args).await,
        Command::DemoShop(args) => super::demo::shop::run(&args).await,
        Command::Apply(args) => commands::apply::run(&Context::new(options)?, &args).await,
        Command::Workflows(_) => commands::workflows::run(&Context::new(options)?).await,
        Command::Run(args) => commands::run::run(&Context::new(options)?, &args).await,
        Command::List(args) => commands::list::run(&Context::new(options)?, &args).await,
        Command::Get(args) => commands::get::run(&Context::new(options)?, &args).await,
        Command::Journal(args) => commands::journal::run(&Context::new(options)?, &args).await,
        Command::Watch(args) => commands::watch::run(&Context::new(options)?, &args).await,
        Command::Result(args) => commands::result::run(&Context::new(options)?, &args).await,
        Command::Signal(args) => commands::signal::run(&Context::new(options)?, &args).await,
        Command::Cancel(args) => commands::cancel::run(&Context::new(options)?, &args).await,
        Command::Terminate(args) => commands::terminate::run(&Context::new(options)?, &args).await,
        Command::Pause(args) => commands::pause::run(&Context::new(options)?, &args).await,
        Command::Resume(args) => commands::resume::run(&Context::new(options)?, &args).await,
        Command::Workers(_) => commands::workers::run(&Context::new(options)?).await,
    }
}
