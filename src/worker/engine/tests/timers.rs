//! sleep, setTimeout, setInterval: which are commands, and which fire at once.

use super::*;

#[test]
fn zero_delays_fire_in_the_same_turn_after_the_jobs_and_in_order() {
    let result = evaluate(
        r#"
  const seen = [];
  setTimeout(() => seen.push("timer 1"), 0);
  setTimeout((x, y) => { seen.push(`timer 2 ${x}${y}`); queueMicrotask(() => seen.push("job of timer 2")); }, -5, "a", "b");
  const cleared = setTimeout(() => seen.push("never"));
  everloop.sleep(0).then(() => seen.push("sleep"));
  clearTimeout(cleared);
  Promise.resolve().then(() => seen.push("job"));
  seen.push("code");
  await everloop.sleep("0ms");
  return seen;"#,
    );
    assert_eq!(result, r#"["code","job","timer 1","timer 2 ab","job of timer 2","sleep"]"#);
}

#[test]
fn timers_that_start_timers_become_durable_five_deep() {
    let mut engine = engine();
    let mut run = Run::new(
        "export default async () => { let n = 0; for (; n < 8; n++) { await new Promise((r) => setTimeout(r, 0)); console.log(n); } return n; };",
    );
    let first = run.start(&mut engine, "null");
    assert_eq!(brief(&first), ["0 setTimeout 1ms"]);
    assert_eq!(first.logs.len(), 5, "five of them fired at once");
    assert_eq!(brief(&run.turn(&mut engine, vec![fired(0)])), ["1 setTimeout 1ms"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![fired(1)])), ["2 setTimeout 1ms"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![fired(2)])), ["3 = 8"]);
}

#[test]
fn an_activity_between_timers_ends_the_nesting() {
    let mut engine = engine();
    let mut run = Run::new(
        "import { sleep } from 'everloop'; export default async () => { for (let n = 0; n < 4; n++) await sleep(0); await a(); for (let n = 0; n < 4; n++) await sleep(0); return 1; };",
    );
    assert_eq!(brief(&run.start(&mut engine, "null")), ["0 a(null)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "1")])), ["1 = 1"]);
}

#[test]
fn an_interval_is_durable_and_starts_its_next_timer_after_its_callback() {
    let source = r"export default () => new Promise((resolve) => {
  let n = 0;
  const id = setInterval(() => { a(++n); if (n === 3) { clearInterval(id); resolve(n); } }, 0);
});";
    let mut engine = engine();
    let mut run = Run::new(source);
    let first = run.start(&mut engine, "null");
    assert_eq!(brief(&first), ["0 setInterval 1ms"]);
    assert_eq!(first.commands[0].position(), "3:14");
    let second = run.turn(&mut engine, vec![fired(0)]);
    assert_eq!(brief(&second), ["1 a(1)", "2 setInterval 1ms"]);
    assert_eq!(second.commands[1].position(), "3:14", "a repeated timer has the position of the first");
    assert_eq!(brief(&run.turn(&mut engine, vec![fired(2)])), ["3 a(2)", "4 setInterval 1ms"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![fired(4)])), ["5 a(3)", "6 = 3"]);
}

#[test]
fn clearing_a_durable_timer_is_a_command() {
    let source = "export default async () => { const id = setTimeout(() => a('never'), 5000.9); await b(); clearTimeout(id); clearTimeout(id); clearTimeout(99); await c(); };";
    let mut engine = engine();
    let mut run = Run::new(source);
    assert_eq!(brief(&run.start(&mut engine, "null")), ["0 setTimeout 5s", "1 b(null)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(1, "1")])), ["2 cancel 0", "3 c(null)"]);
    assert!(run.turn(&mut engine, vec![fired(0)]).commands.is_empty());
}

#[test]
fn durations_are_numbers_or_texts() {
    let source =
        "import { sleep } from 'everloop'; export default () => Promise.all(['30m', '1h30m', 500, '250ms', 1.4, '1.5s'].map(sleep));";
    let output = Run::new(source).start(&mut engine(), "null");
    assert_eq!(brief(&output), ["0 sleep 30m", "1 sleep 1h30m", "2 sleep 500ms", "3 sleep 250ms", "4 sleep 1ms", "5 sleep 1s500ms"]);
    for bad in ["'soon'", "-1", "NaN", "{}", "undefined", "Infinity"] {
        let error = throws(&format!("await everloop.sleep({bad})"));
        assert_eq!(error.kind, "TypeError", "{bad}");
        assert!(error.message.contains("10s"), "{bad}: {}", error.message);
    }
}
