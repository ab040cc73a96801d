//! What a durable step costs, measured from the outside: real Redis with `appendfsync always`, the service and one worker as
//! processes of their own, a client over HTTP. Every figure stands beside the disk's fdatasync time and the raw cost of a
//! five-call script on the same Redis in the same run. `make bench`; `make bench ARGS=quick` for a short one; `ARGS=cost` for
//! what the steps cost each process and nothing else, `ARGS=memory` for what waiting runs take. `EVERLOOP_BENCH_PROGRAM` is another build to measure.

#![expect(clippy::print_stdout, reason = "a benchmark's table is its output")]

mod cost;
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
    let [quick, only_cost, only_memory] = ["quick", "cost", "memory"].map(|word| std::env::args().any(|a| a == word));
    // One thread: a client of its own costs as little of the machine as it can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut report = Report::new(quick);
        let world = World::start().await;
        floor::measure(&world, &mut report).await;
        if only_memory {
            scenarios::memory(&world, &mut report).await;
        } else if only_cost {
            cost::measure(&world, &mut report, &scenarios::payload()).await;
        } else {
            scenarios::measure(&world, &mut report).await;
        }
        report.print();
        report.write_as(if only_memory {
            "memory"
        } else if only_cost {
            "cost"
        } else {
            "bench"
        });
    });
}
