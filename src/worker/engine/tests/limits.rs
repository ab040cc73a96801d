//! What goes over a limit is thrown out, whatever it catches, and its neighbours do not notice.

use super::*;

/// Runs a bomb beside a neighbour that waits, and gives the error.
fn detonate(limits: EngineLimits, bomb: &str) -> RunError {
    let mut engine = QuickJsEngine::new(limits);
    let mut neighbour = Run::numbered("export default async () => { let n = 0; n += await a(); n += await b(); return n; };", 2);
    neighbour.start(&mut engine, "null");
    neighbour.turn(&mut engine, vec![done(0, "1")]);
    let source = format!("export default async () => {{ {bomb} }};");
    let mut run = Run::new(&source);
    let error = run.breach(&mut engine, vec![started("null")]);
    assert_eq!(engine.cached(), (0, 0), "the runtime is gone with all its runs");
    let fresh = Run::numbered("export default () => 'fresh';", 3).start(&mut engine, "null");
    assert_eq!(brief(&fresh), ["0 = \"fresh\""]);
    // A second try: alone, and with the same end.
    assert_eq!(run.breach(&mut engine, vec![started("null")]), error);
    assert_eq!(brief(&neighbour.turn(&mut engine, vec![done(1, "2")])), ["2 = 3"]);
    assert_eq!(error.kind, "TurnLimitExceeded");
    error
}

fn small() -> EngineLimits {
    EngineLimits { turn_cpu_ms: 100, run_heap_bytes: 8 << 20, turn_commands: 100, ..EngineLimits::default() }
}

#[test]
fn an_endless_loop() {
    for bomb in [
        "for (;;) {}",
        "for (;;) { try { for (;;) {} } catch {} finally { continue; } }",
        "for (;;) await null;",
        "await null; /^(a+)+$/.test('a'.repeat(40) + 'b'); for (;;) {}",
        "const p = new Proxy({}, { get() { for (;;) {} } }); p.x;",
    ] {
        assert!(detonate(small(), bomb).message.contains("100ms of CPU"), "{bomb}");
    }
}

#[test]
fn a_memory_bomb() {
    for bomb in [
        "const l = []; for (;;) l.push(new Array(100).fill(l.length));",
        "const l = []; for (;;) { try { l.push('x'.repeat(1000) + l.length); } catch {} }",
        "let s = 'x'; for (;;) { s += s; s.charCodeAt(s.length - 1); }",
        "const chain = () => Promise.resolve().then(chain); await chain();",
        "try { new Uint8Array(1 << 30); } catch { return 'caught'; }",
        "try { 'x'.repeat(2 ** 29); } catch { return 'caught'; }",
        "let o = null; for (;;) o = { o };",
        "const m = new Map(); for (let i = 0; ; i++) { try { m.set(i, {}); await null; } catch {} }",
    ] {
        let limits = EngineLimits { turn_cpu_ms: 20_000, ..small() };
        assert!(detonate(limits, bomb).message.contains("8 MiB of heap"), "{bomb}");
    }
}

#[test]
fn an_unbounded_recursion() {
    for bomb in [
        "const f = () => f() + 1; f();",
        "const f = () => { try { return f() + 1; } catch { return 0; } }; return f();",
        "const o = { toString() { return `${o}`; } }; try { `${o}`; } catch { return 'caught'; }",
        "const f = async () => { await f(); }; try { await f(); } catch { return 'caught'; }",
        "try { JSON.parse('['.repeat(100000)); } catch { return 'caught'; }",
        "const l = [3, 2, 1]; const f = () => l.slice().sort(f); try { f(); } catch { return 'caught'; }",
    ] {
        assert!(detonate(EngineLimits::default(), bomb).message.contains("512 KiB of stack"), "{bomb}");
    }
}

#[test]
fn too_many_commands() {
    let error = detonate(small(), "for (let i = 0; i < 200; i++) { try { a(i).catch(() => {}); } catch {} }");
    assert!(error.message.contains("more than 100 activities"), "{}", error.message);
    let mut engine = QuickJsEngine::new(small());
    let output = Run::new("export default () => Promise.all(Array.from({ length: 100 }, (_, i) => a(i)));").start(&mut engine, "null");
    assert_eq!(output.commands.len(), 100);
}

#[test]
fn garbage_does_not_count() {
    let source = "export default async () => { for (let i = 0; i < 20000; i++) { const o = { text: 'x'.repeat(1000) + i }; o.self = o; } return 'fine'; };";
    let mut engine = QuickJsEngine::new(EngineLimits { turn_cpu_ms: 20_000, ..small() });
    assert_eq!(brief(&Run::new(source).start(&mut engine, "null")), ["0 = \"fine\""]);
}

#[test]
fn the_heap_of_a_run_counts_over_its_turns() {
    let source = "export default async () => { const kept = []; for (;;) { kept.push('x'.repeat(1 << 20) + kept.length); await a(); } };";
    let mut engine = QuickJsEngine::new(small());
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    for command in 0..20 {
        if let TurnOutcome::LimitExceeded(error) = run.take(&mut engine, vec![done(command, "1")]) {
            assert!(error.message.contains("heap") && command >= 4, "{command}: {}", error.message);
            return;
        }
    }
    panic!("20 MiB went into 8");
}

#[test]
fn replay_has_the_limit_of_each_turn_and_not_of_all() {
    let source = "export default async () => { for (let n = 0; n < 6; n++) { const until = 3e5; for (let i = 0; i < until; i++); await a(n); } return 'done'; };";
    let mut engine = QuickJsEngine::new(EngineLimits { turn_cpu_ms: 60_000, ..small() });
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    for command in 0..5 {
        engine.evict(&run.uid());
        run.turn(&mut engine, vec![done(command, "1")]);
    }
    assert_eq!(brief(&run.turn(&mut engine, vec![done(5, "1")])), ["6 = \"done\""]);
}

#[test]
fn the_least_recently_used_runs_go_first() {
    let mut engine = QuickJsEngine::new(EngineLimits { cache_bytes: 3 << 20, ..EngineLimits::default() });
    let source = "export default async () => { const kept = 'x'.repeat(700000) + 1; await a(); return kept.length; };";
    let mut runs: Vec<Run> = (1..=10).map(|n| Run::numbered(source, n)).collect();
    for run in &mut runs {
        run.start(&mut engine, "null");
    }
    let (count, bytes) = engine.cached();
    assert!((1..10).contains(&count) && bytes <= 3 << 20, "{count} runs, {bytes} bytes");
    assert!(matches!(engine.turn(runs[0].input(false, vec![done(0, "1")])), TurnOutcome::NotCached));
    assert!(matches!(engine.turn(runs[9].input(false, vec![done(0, "1")])), TurnOutcome::Done(_)));
    assert_eq!(brief(&runs[0].turn(&mut engine, vec![done(0, "1")])), ["1 = 700001"]);
}
