//! What a durable step costs, measured from the outside: real Redis with `appendfsync always`, the service and one worker as
//! processes of their own, a client over HTTP. Every figure stands beside the disk's fdatasync time and the raw cost of a
//! five-call script on the same Redis in the same run. `make bench`; `make bench ARGS=quick` for a short one.

#![expect(clippy::print_stdout, reason = "a benchmark's table is its output")]

#[path = "../support/disk.rs"]
mod disk;
mod floor;
mod http;
#[path = "../support/report.rs"]
mod report;
mod scenarios;
mod world;

use report::Report;
use world::World;

fn main() {
    // Cargo passes `--bench`; ours are plain words.
    let quick = std::env::args().any(|a| a == "quick");
    // One thread: a client of its own costs as little of the machine as it can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut report = Report::new(quick);
        let world = World::start().await;
        floor::measure(&world, &mut report).await;
        scenarios::measure(&world, &mut report).await;
        report.print();
        report.write_as("bench");
    });
}
