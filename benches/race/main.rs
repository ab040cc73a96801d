//! The race: Everloop beside other engines of durable execution, on one machine, each at its best documented settings, with fsync
//! before acknowledgement everywhere. `make bench-race`; README.md here says what is measured, and how. Words choose: `quick`,
//! scenarios (`P1` to `P10`), systems (`everloop-redis`, ...).

#![expect(clippy::print_stdout, reason = "a benchmark's table is its output")]

mod bullmq;
mod chart;
mod dbos;
#[path = "../support/disk.rs"]
mod disk;
mod everloop;
mod floor;
#[path = "../durable/http.rs"]
#[allow(dead_code, reason = "the scenarios of one engine use more of it")]
mod http;
mod load;
mod peer;
mod plan;
#[path = "../../tests/support/port.rs"]
mod port;
mod postgres;
mod process;
mod redis_server;
#[path = "../support/report.rs"]
#[allow(dead_code, reason = "its table is of one engine")]
mod report;
mod restate;
mod scenarios;
mod system;
mod table;
mod temporal;

use std::process::ExitCode;

use plan::Plan;
use table::Table;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    // One thread: the client costs as little of the machine as it can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let [role, port] = &words[..]
        && role == everloop::QUEUE_ROLE
    {
        runtime.block_on(everloop::serve_queue(port.parse().expect("a port")));
        return ExitCode::SUCCESS;
    }
    let plan = match Plan::of(&words) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    // What panics is noted as a problem of its system, and said at the end.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let whole = runtime.block_on(async {
        let mut table = Table::new(&plan);
        // What was started ends when its owner is dropped, so also after a signal.
        tokio::select! {
            () = scenarios::race(&plan, &mut table) => {}
            () = process::interrupted() => table.problem("the race", "it was interrupted"),
        }
        table.print();
        table.write();
        chart::write(&table);
        table.is_whole()
    });
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
