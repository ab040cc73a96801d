//! What a run that waits takes in memory.

use super::*;

const SLEEPER: &str = r#"// shareable: sleeper
import { sleep } from "everloop"; export default async function sleeper() { await sleep("1h"); }"#;
const LISTENER: &str = r#"// shareable: listener
import { signal } from "everloop"; export default async function listener() { return await signal("go"); }"#;

/// Bytes of JavaScript's heap for each run of a source that waits after its first turn.
fn bytes_of_a_waiting_run(source: &str) -> usize {
    const RUNS: u32 = 2_000;
    let mut engine = sharing_engine(true);
    let mut before = 0;
    for number in 0..RUNS + 100 {
        if number == 100 {
            before = engine.heap_bytes();
        }
        Run::numbered(source, number).start(&mut engine, "null");
    }
    (engine.heap_bytes() - before) / RUNS as usize
}

#[test]
fn a_run_that_waits_takes_few_bytes_of_the_heap() {
    for (source, bound) in [(SLEEPER, 3_000), (LISTENER, 3_200)] {
        let bytes = bytes_of_a_waiting_run(source);
        assert!(bytes <= bound, "{bytes} bytes: {source}");
    }
}
