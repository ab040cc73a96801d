//! Journals: replay gives what the run was, and a difference is told so that a person can mend it.

use super::*;

const SOURCE: &str = r#"import { sleep } from "everloop";
export default async () => {
  await a(1);
  await sleep("1s");
  const both = await Promise.all([b(2), c(3)]);
  return both;
};"#;

fn recorded(source: &str) -> Run {
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    run.turn(&mut engine, vec![done(0, "1")]);
    run.turn(&mut engine, vec![fired(1)]);
    run
}

#[test]
fn every_prefix_of_a_journal_is_a_state_to_go_on_from() {
    let whole = {
        let mut engine = engine();
        let mut run = recorded(SOURCE);
        run.turn(&mut engine, vec![done(3, "\"c\"")]);
        run.turn(&mut engine, vec![done(2, "\"b\"")]);
        run.journal
    };
    for cut in 0..whole.len() {
        let mut engine = engine();
        let mut run = Run::new(SOURCE);
        for (turn, entry) in whole.iter().enumerate() {
            if turn >= cut {
                engine.evict(&run.uid());
            }
            run.turn(&mut engine, entry.events.clone());
        }
        assert_eq!(run.journal, whole, "cold from turn {cut}");
    }
}

#[test]
fn another_command_is_told_with_both_positions() {
    let changed = SOURCE.replace("await sleep(\"1s\")", "await pay()");
    let blocked = recorded(SOURCE).under(&changed).blocked(&mut engine(), vec![done(2, "1")]);
    assert_eq!(blocked.reason, "Nondeterminism");
    assert_eq!(
        blocked.message,
        "the code of order-status does not ask for what its journal has, in turn 1 (the journal has 3):\n\n    \
         expected  #1 StartTimer sleep at 4:9\n    \
         actual    #1 ScheduleActivity pay at 4:9\n\n\
         expected: what was recorded; actual: what the code asks for when it runs over the journal again. Positions are \
         line:column of order-status.js.\n\nFix the source so that it asks for the recorded commands in the recorded order, apply it, then \
         `everloop resume order-1`."
    );
}

#[test]
fn fewer_more_and_renamed_commands_are_told() {
    for (from, to, expected, actual) in [
        ("[b(2), c(3)]", "[b(2)]", "#3 ScheduleActivity c at 5:41", "the end of the turn"),
        ("[b(2), c(3)]", "[b(2), c(3), d(4)]", "the end of the turn", "#4 ScheduleActivity d at 5:47"),
        ("[b(2), c(3)]", "[c(3), b(2)]", "#2 ScheduleActivity b at 5:35", "#2 ScheduleActivity c at 5:35"),
        ("await a(1);", "await a(1); return 'early';", "#1 StartTimer sleep at 4:9", "#1 Complete"),
        ("await a(1);", "await a(1); throw new RangeError('early');", "#1 StartTimer sleep at 4:9", "#1 Fail with RangeError: early"),
    ] {
        let blocked = recorded(SOURCE).under(&SOURCE.replace(from, to)).blocked(&mut engine(), vec![done(2, "1")]);
        assert!(blocked.message.contains(&format!("expected  {expected}\n    actual    {actual}\n")), "{to}: {}", blocked.message);
    }
}

#[test]
fn a_changed_argument_or_line_is_no_difference() {
    let changed = SOURCE.replace("a(1)", "\n\n  a('other')").replace("\"1s\"", "\"9s\"");
    let mut run = recorded(SOURCE).under(&changed);
    assert!(run.turn(&mut engine(), vec![done(2, "1")]).commands.is_empty());
}

#[test]
fn a_context_is_used_only_at_its_own_head() {
    let mut engine = engine();
    let mut run = Run::new(SOURCE);
    run.start(&mut engine, "null");
    // An optimistic turn, whose commit was then refused: another worker took the turn with other events.
    assert!(matches!(engine.turn(run.input(false, vec![done(0, "1")])), TurnOutcome::Done(_)));
    assert!(matches!(engine.turn(run.input(false, vec![done(0, "1")])), TurnOutcome::NotCached), "it stands at the refused turn's head");
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "1")])), ["1 sleep 1s"]);
}

#[test]
fn a_turn_in_parts_goes_on_where_its_prefix_ends() {
    let source = "export default async () => { await Promise.all([a(0), a(1), a(2), a(3)]); console.log('x'); return 'end'; };";
    let mut engine_1 = engine();
    let mut run = Run::new(source);
    let output = run.start(&mut engine_1, "null");
    let whole = run.journal[0].clone();
    // Only the first part was committed when the worker died.
    run.journal[0].commands.truncate(2);
    run.journal[0].continued = true;
    let mut engine_2 = engine();
    let rest = match engine_2.turn(run.input(true, vec![])) {
        TurnOutcome::Done(rest) => rest,
        other => panic!("{other:?}"),
    };
    assert_eq!(rest.commands, output.commands[2..]);
    run.commit(vec![], &rest);
    // A later replay reads both parts as one turn.
    let mut engine_3 = engine();
    let events = vec![done(0, "0"), done(1, "1"), done(2, "2"), done(3, "3")];
    assert_eq!(brief(&run.turn(&mut engine_3, events)), ["4 = \"end\""]);
    assert_eq!(whole.commands.len(), 4);
}

#[test]
fn journals_of_newer_programs_are_refused() {
    let mut newer = recorded(SOURCE);
    newer.journal[1].v = FORMAT + 1;
    let blocked = newer.blocked(&mut engine(), vec![]);
    assert_eq!(blocked.reason, "JournalTooNew");
    assert!(blocked.message.contains("Upgrade the workers"), "{}", blocked.message);
}

#[test]
fn the_engines_name_is_that_of_the_engine() {
    // SAFETY: a static text of the library.
    let version = unsafe { std::ffi::CStr::from_ptr(rquickjs::qjs::JS_GetVersion()) };
    assert_eq!(super::super::ENGINE_NAME, format!("quickjs-ng {}", version.to_str().unwrap()));
}

/// A replay that lets others go first after each turn, and other runs' turns between its slices.
#[test]
fn rule_26_a_replay_yields_and_goes_on_where_it_was() {
    let mut run = recorded(SOURCE);
    let slices = EngineLimits { replay_slice_ms: 0, ..EngineLimits::default() };
    let mut engine = QuickJsEngine::new(slices);
    let mut other = Run::numbered("export default async () => { await a(); return await b(); };", 2);
    other.start(&mut engine, "null");
    let events = vec![done(2, "\"b\"")];
    for slice in 1..3 {
        assert!(matches!(engine.turn(run.input(true, events.clone())), TurnOutcome::Yielded), "after {slice} of three turns");
        assert_eq!(other.turn(&mut engine, vec![done(slice - 1, "1")]).commands.len(), 1, "another run's turn");
    }
    let TurnOutcome::Done(output) = engine.turn(run.input(true, events.clone())) else { panic!("the rest is replayed") };
    assert!(output.commands.is_empty());
    run.commit(events, &output);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(3, "\"c\"")])), [r#"4 = ["b","c"]"#]);
}

#[test]
fn a_difference_found_in_a_later_slice_is_told_as_ever() {
    let changed = SOURCE.replace("[b(2), c(3)]", "[c(3), b(2)]");
    let slices = EngineLimits { replay_slice_ms: 0, ..EngineLimits::default() };
    let blocked = recorded(SOURCE).under(&changed).blocked(&mut QuickJsEngine::new(slices), vec![done(2, "1")]);
    let whole = recorded(SOURCE).under(&changed).blocked(&mut engine(), vec![done(2, "1")]);
    assert_eq!(blocked, whole);
}
