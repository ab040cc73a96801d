//! What a durable step costs, measured from the outside: real Redis with `appendfsync always`, the service and one worker as
//! processes of their own, a client over HTTP. Every figure stands beside the disk's fdatasync time and the raw cost of a
//! five-call script on the same Redis in the same run. `make bench`; `make bench ARGS=quick` for a short one; `ARGS=cost` for
//! what the steps cost each process and nothing else, `memory` for what waiting runs take, `scale` for costs at 1, 2 and 4 partitions,
//! and `"soak MINUTES RUNS"` for a long time with many open runs. `EVERLOOP_BENCH_PROGRAM` is another build to measure.

#![expect(clippy::print_stdout, reason = "a benchmark's table is its output")]

mod cost;
#[path = "../support/disk.rs"]
mod disk;
mod floor;
mod full_disk;
mod http;
#[path = "../../tests/support/port.rs"]
mod port;
#[path = "../support/report.rs"]
mod report;
mod scale;
mod scenarios;
mod servers;
mod soak;
mod world;

use report::Report;
use world::World;

fn main() {
    // Cargo passes `--bench`; ours are plain words.
    let [quick, only_cost, only_memory, only_scale, only_soak] =
        ["quick", "cost", "memory", "scale", "soak"].map(|word| std::env::args().any(|a| a == word));
    let mut numbers = std::env::args().filter_map(|a| a.parse::<u32>().ok());
    // One thread: a client of its own costs as little of the machine as it can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut report = Report::new(quick);
        let name = if only_soak {
            let minutes = numbers.next().unwrap_or(soak::MINUTES);
            soak::measure(&mut report, minutes, numbers.next().unwrap_or(soak::RUNS)).await;
            "soak"
        } else if only_scale {
            scale::measure(&mut report, &scenarios::payload()).await;
            "scale"
        } else {
            let world = World::start().await;
            floor::measure(&world, &mut report).await;
            if only_cost {
                cost::measure(&world, &mut report, &scenarios::payload()).await;
                "cost"
            } else if only_memory {
                scenarios::memory(&world, &mut report).await;
                "memory"
            } else {
                scenarios::measure(&world, &mut report).await;
                "bench"
            }
        };
        report.print();
        report.write_as(name);
    });
}
