//! Time, randomness, the console.

use super::*;
use crate::api::limits;

const RANDOM: &str = r"
export default async () => {
  const draw = () => [Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint16Array(3))]];
  const first = draw();
  await a();
  return [first, draw()];
};";

#[test]
fn randomness_is_the_same_in_every_replay_and_other_in_every_run() {
    let result = |number: u32, cold: bool| {
        let mut engine = engine();
        let mut run = Run::numbered(RANDOM, number);
        run.start(&mut engine, "null");
        if cold {
            engine.evict(&run.uid());
        }
        brief(&run.turn(&mut engine, vec![done(0, "1")]))
    };
    assert_eq!(result(1, false), result(1, true));
    assert_ne!(result(1, false), result(2, false));
    // A golden value: if it changes, journals of old runs no longer replay.
    assert!(result(1, false)[0].starts_with(GOLDEN_RANDOM), "{}", result(1, false)[0]);
}

const GOLDEN_RANDOM: &str = "1 = [[0.9483441786305317,\"6d394fa3-203c-47e7-8aa8-0dccfd44eaff\",[19596,35212,20557]]";

#[test]
fn time_is_that_of_the_turn_and_in_utc() {
    let source = r#"
export default async () => {
  const seen = [Date.now(), new Date().toISOString(), new Date().toString(), Date()];
  await a();
  return [...seen, Date.now(), new Date(2024, 1, 29, 12).toISOString(), new Date("2024-02-29T12:00:00").getTime(), new Date("Feb 29 2024 12:00").toJSON(),
    new Date(2024, 0).getTimezoneOffset(), new Date(0).getHours(), new Date("nonsense").getTime(), new Date(new Date(5)).getTime(),
    new Date(0).toLocaleString(), new (class extends Date {})(7) instanceof Date, typeof Date(), new Date().constructor === Date];
};"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    let output = run.turn(&mut engine, vec![done(0, "1")]);
    assert_eq!(
        brief(&output),
        [format!(
            "1 = [{START_MS},\"2023-11-14T22:13:20.000Z\",\"Tue Nov 14 2023 22:13:20 GMT+0000 (UTC)\",\"Tue Nov 14 2023 22:13:20 GMT+0000 (UTC)\",{},\
             \"2024-02-29T12:00:00.000Z\",1709208000000,\"2024-02-29T12:00:00.000Z\",0,0,null,5,\"01/01/1970, 12:00:00 AM\",true,\"string\",true]",
            START_MS + 1000
        )]
    );
}

#[test]
fn the_console_writes_to_the_turn_and_is_silent_in_replay() {
    let source = r#"
export default async () => {
  console.log("a", 1, { b: [2] }, null, undefined, 3n, new Map([["k", 1]]));
  console.debug("d"); console.info("i"); console.warn("w"); console.error(new TypeError("e"));
  await a();
  console.log("later");
  await b();
};"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    let first = run.start(&mut engine, "null");
    let lines: Vec<String> = first.logs.iter().map(|log| format!("{} {}", log.level, log.text)).collect();
    assert_eq!(lines[..4], [r#"info a 1 {"b":[2]} null undefined 3n Map [["k",1]]"#, "debug d", "info i", "warn w"]);
    assert!(
        lines[4].starts_with("error TypeError: e\n    at main (order-status.js:4:") || lines[4].contains("order-status.js:4:"),
        "{}",
        lines[4]
    );
    engine.evict(&run.uid());
    let second = run.turn(&mut engine, vec![done(0, "1")]);
    assert_eq!(second.logs.iter().map(|log| log.text.as_str()).collect::<Vec<_>>(), ["later"]);
}

#[test]
fn logs_are_bounded_and_say_so() {
    let source = "export default () => { for (let n = 0; n < 150; n++) console.log('x'.repeat(5000)); };";
    let output = Run::new(source).start(&mut engine(), "null");
    assert_eq!(output.logs.len(), limits::TURN_LOGS_MAX + 1);
    assert_eq!(output.logs[0].text.len(), limits::LOG_LINE_BYTES_MAX);
    assert!(output.logs[100].text.starts_with("50 further lines"));
}

#[test]
fn code_that_logs_with_side_effects_replays_exactly() {
    let source = "export default async () => { let n = 0; console.log({ toJSON() { n++; return n; } }); await a(n); return n; };";
    let mut engine = engine();
    let mut run = Run::new(source);
    assert_eq!(brief(&run.start(&mut engine, "null")), ["0 a(1)"]);
    engine.evict(&run.uid());
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "1")])), ["1 = 1"]);
}
