//! `everloop dev`: everything in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::listen::{LISTEN_DEFAULT, bind};
use super::store::{self, StoreOptions, StorePlace};
use super::worker::{self, SlotOptions};
use crate::cli::args::Options;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::say;
use crate::client::{Client, ClientConfig, Patience};
use crate::dev::{self, News, Report};
use crate::queue;
use crate::store::op::StoreInfo;

/// What is not done by then is handed back, and done at the next start.
const DRAIN: Duration = Duration::from_secs(3);
/// Who serves what no definition names.
const POOL_DEFAULT: &str = "default";

#[derive(Debug, Args)]
pub struct DevArgs {
    /// Definitions to apply, files or folders, again whenever they change. May be given several times.
    #[arg(long = "file", short = 'f', value_name = "FILE|FOLDER")]
    pub files: Vec<PathBuf>,
    /// Where the truth is: `file:PATH`, `memory` (forgets everything at the end) or `redis://HOST:PORT`.
    #[arg(long, env = "EVERLOOP_STORE", default_value = "file:.everloop/dev.redb", value_name = "STORE", hide_env_values = true)]
    pub store: StorePlace,
    #[command(flatten)]
    pub options: StoreOptions,
    /// Where to serve.
    #[arg(long, env = "EVERLOOP_LISTEN", default_value = LISTEN_DEFAULT, value_name = "ADDR:PORT", hide_env_values = true)]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub slots: SlotOptions,
}

pub async fn run(global: &Options, args: DevArgs) -> Result<Exit, CliError> {
    super::start_quiet_logs()?;
    let shutdown = super::shutdown()?;
    for file in &args.files {
        std::fs::metadata(file)
            .map_err(|e| CliError::input(format!("failed to read {}: {e}", file.display()), "name files or folders that are there"))?;
    }
    let listener = bind(args.listen, "--listen")?;
    let address = listener.local_addr().map_err(|e| CliError::io("learn the listener's address", &e))?;
    let store = store::open(&args.store, &args.options).await?;
    let info = store.info();
    let server = format!("http://{address}");
    let client = Client::new(ClientConfig {
        server: server.clone(),
        namespace: global.namespace(),
        token: global.token.clone(),
        patience: Patience { unreachable: Patience::default().unanswered, ..Patience::default() },
    })?;
    let pool = POOL_DEFAULT.parse().expect("a legal name");
    let config = dev::Config {
        listener,
        store,
        queue: queue::Config::default(),
        // One's own machine is where one's own services run, and nobody waits long for Ctrl-C.
        worker: crate::worker::Config { allow_local: true, drain: DRAIN, ..worker::config(server, pool, "dev".into(), &args.slots) },
        client,
        files: args.files.clone(),
    };
    dev::run(config, shutdown, |report| tell(report, &args, &info)).await.map_err(|e| super::ended("dev server", &e))?;
    say("stopped; open runs go on at the next start");
    Ok(Exit::Done)
}

fn tell(report: Report, args: &DevArgs, info: &StoreInfo) {
    match report {
        Report::Ready(address, news) => {
            say(&banner(address, &args.store, info));
            tell_news(&news);
            say(&next(address, &news, !args.files.is_empty()));
        }
        Report::Changed(news) => tell_news(&news),
    }
}

fn banner(address: SocketAddr, place: &StorePlace, info: &StoreInfo) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("everloop dev {version}\n  address    http://{address}\n  store      {place}, durability {}", info.durability.as_str())
}

fn tell_news(news: &News) {
    for (applied, file) in &news.applied {
        let unchanged = if applied.unchanged { ", unchanged" } else { "" };
        say(&format!("  workflow   {} {} from {file}{unchanged}", applied.name, applied.version.short()));
    }
    for broken in &news.broken {
        say(&format!("\n{}{} is not applied; what was current stays current", broken.render(), broken.place));
    }
    for (name, error) in &news.refused {
        say(&format!("  workflow   {name} was refused: {error}"));
    }
    if news.mended {
        say("  files      all in order again");
    }
    if let Some(error) = &news.unreadable {
        say(&format!("  files      {error}; what was current stays current"));
    }
}

fn next(address: SocketAddr, news: &News, files: bool) -> String {
    let server = if address.to_string() == LISTEN_DEFAULT { String::new() } else { format!(" --server http://{address}") };
    match news.applied.first() {
        Some((applied, _)) => {
            format!("\nnext:  everloop run{server} {} --input '{{}}' --wait\n       files are watched; Ctrl-C stops", applied.name)
        }
        None if files => "\nfiles are watched; Ctrl-C stops".into(),
        None => format!("\nnext:  everloop apply{server} -f FILE; Ctrl-C stops"),
    }
}
