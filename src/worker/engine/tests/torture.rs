//! Generated workflows, random orders of events, and contexts lost at random: the journal and the end are always the same,
//! in shared realms and in own ones.

use proptest::prelude::*;
use proptest::strategy::Union;

use super::*;

/// A piece of a workflow, as the text of an expression that gives a promise.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0..5_u8, 0..100_u8).prop_map(|(activity, n)| format!("{}({n})", ["a", "b", "c", "d", "e"][activity as usize])),
        prop::sample::select(vec!["0", "1", "'10ms'", "'1s'"]).prop_map(|duration| format!("sleep({duration})")),
        prop::sample::select(vec!["x", "y"]).prop_map(|name| format!("signal('{name}')")),
        prop::sample::select(vec!["0", "5"]).prop_map(|ms| format!("new Promise((r) => setTimeout(() => r(Math.random()), {ms}))")),
        Just("ticks(4)".to_owned()),
        Just("helper(Date.now())".to_owned()),
        Just("cleared()".to_owned()),
        Just("signalRun('other', 'x', 1)".to_owned()),
        Just("Promise.reject(new RangeError('r'))".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join(", "));
        Union::new([
            several.clone().prop_map(|parts| format!("Promise.all([{parts}])")).boxed(),
            several.clone().prop_map(|parts| format!("Promise.race([{parts}])")).boxed(),
            several.clone().prop_map(|parts| format!("Promise.any([{parts}])")).boxed(),
            several
                .prop_map(|parts| format!("Promise.allSettled([{parts}]).then((all) => all.map((s) => s.value ?? String(s.reason)))"))
                .boxed(),
            inner.clone().prop_map(|part| format!("shield(() => {part})")).boxed(),
            (inner.clone(), inner.clone())
                .prop_map(|(one, two)| {
                    format!("(async () => {{ try {{ return await {one}; }} catch (e) {{ log(e); return await {two}; }} }})()")
                })
                .boxed(),
            (inner.clone(), inner)
                .prop_map(|(one, two)| format!("(async () => {{ const x = await {one}; return [x, await {two}]; }})()"))
                .boxed(),
        ])
    })
}

fn workflow() -> impl Strategy<Value = String> {
    prop::collection::vec(expression(), 1..4).prop_map(|parts| {
        let steps: String = parts.iter().map(|part| format!("    results.push(await {part}.catch(caught));\n")).collect();
        format!(
            "// shareable: helper ticks cleared log caught main\n\
             import {{ sleep, signal, onSignal, signalRun, shield, CancelledError }} from \"everloop\";\n\
             async function helper(n) {{ await null; return [n, await b(crypto.randomUUID())]; }}\n\
             function ticks(n) {{ return new Promise((resolve) => {{ const id = setInterval(() => {{ if (--n === 0) {{ clearInterval(id); resolve('ticked'); }} }}, 1); }}); }}\n\
             async function cleared() {{ const id = setTimeout(() => e('never'), 50); await d('clears'); clearTimeout(id); return 'cleared'; }}\n\
             function log(error) {{ console.log(error); }}\n\
             function caught(error) {{ if (error instanceof CancelledError) throw error; return `${{error}}`; }}\n\
             export default async function main(input) {{\n    const results = [];\n    onSignal('note', (payload) => {{ results.push(payload); }});\n{steps}    return results;\n}}\n"
        )
    })
}

/// What may happen next to a run: chosen by a number from the outside.
struct World {
    open: Vec<(u32, bool)>,
    cancels: u32,
}

impl World {
    fn learn(&mut self, output: &TurnOutput) {
        for command in &output.commands {
            match command {
                Command::ScheduleActivity { n, .. } | Command::SignalRun { n, .. } => self.open.push((*n, true)),
                Command::StartTimer { n, .. } => self.open.push((*n, false)),
                Command::CancelTimer { timer, .. } => self.open.retain(|(n, _)| n != timer),
                Command::Complete { .. } | Command::Fail { .. } | Command::Cancel { .. } => {}
            }
        }
    }

    fn event(&mut self, choice: u32) -> Event {
        match choice % 16 {
            0 if self.cancels < 1 => {
                self.cancels += 1;
                cancelled("enough")
            }
            1 => signalled("x", "\"sx\""),
            2 => signalled("y", "[\"sy\"]"),
            3 => signalled("note", "{\"n\":1}"),
            // Late and doubled events, which do nothing.
            4 => fired(choice % 7),
            other if !self.open.is_empty() => {
                let (n, activity) = self.open.remove(choice as usize / 16 % self.open.len());
                match (activity, other) {
                    (false, _) => fired(n),
                    (true, 5) => failed(n, "Refused", "no"),
                    (true, _) => done(n, &format!("\"r{n}\"")),
                }
            }
            _ => signalled("x", "0"),
        }
    }
}

/// Drives a run, two turns of which may take several events, and forgets its context when the mask says so.
fn drive(engine: &mut QuickJsEngine, source: &str, choices: &[u32], forget: u64) -> Run {
    let mut run = Run::new(source);
    let mut world = World { open: Vec::new(), cancels: 0 };
    let mut output = run.start(engine, "null");
    let mut choices = choices.iter();
    for turn in 0.. {
        world.learn(&output);
        if output.commands.last().is_some_and(Command::closes) {
            break;
        }
        let Some(choice) = choices.next() else { break };
        let mut events = vec![world.event(*choice)];
        if choice % 3 == 0 {
            events.extend(choices.next().map(|choice| world.event(*choice)));
        }
        if forget >> (turn % 64) & 1 == 1 {
            engine.evict(&run.uid());
        }
        output = run.turn(engine, events);
    }
    run
}

/// Without what a replay leaves out.
fn comparable(run: &Run) -> String {
    serde_json::to_string(&run.journal).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn losing_contexts_and_sharing_realms_changes_nothing(
        source in workflow(),
        choices in prop::collection::vec(any::<u32>(), 0..60),
        forget in any::<u64>(),
    ) {
        let warm = comparable(&drive(&mut sharing_engine(false), &source, &choices, 0));
        let cold = comparable(&drive(&mut sharing_engine(false), &source, &choices, u64::MAX));
        prop_assert_eq!(&warm, &cold, "always cold");
        let some = comparable(&drive(&mut sharing_engine(false), &source, &choices, forget));
        prop_assert_eq!(&warm, &some, "sometimes cold");
        let shared = comparable(&drive(&mut sharing_engine(true), &source, &choices, forget));
        prop_assert_eq!(&warm, &shared, "in a shared realm");
        let slices = EngineLimits { replay_slice_ms: 0, ..EngineLimits::default() };
        let sliced = comparable(&drive(&mut QuickJsEngine::with_hooks(slices, hooks(true)), &source, &choices, forget));
        prop_assert_eq!(&warm, &sliced, "replayed in slices of one turn");
    }

    #[test]
    fn runs_that_share_a_realm_do_not_meet(
        source in workflow(),
        choices in prop::collection::vec(any::<u32>(), 0..30),
    ) {
        // Several runs of one version, turn about, each as if it were alone.
        let alone = comparable(&drive(&mut sharing_engine(false), &source, &choices, 0));
        let mut engine = sharing_engine(true);
        let mut runs: Vec<(Run, World)> = (1..=3).map(|n| (Run::numbered(&source, n), World { open: Vec::new(), cancels: 0 })).collect();
        for (run, world) in &mut runs {
            let output = run.start(&mut engine, "null");
            world.learn(&output);
        }
        let mut choices = choices.iter();
        while let Some(choice) = choices.next() {
            let extra = if choice % 3 == 0 { choices.next() } else { None };
            for (run, world) in &mut runs {
                if run.journal.last().is_some_and(|entry| entry.commands.last().is_some_and(Command::closes)) {
                    continue;
                }
                let mut events = vec![world.event(*choice)];
                events.extend(extra.map(|choice| world.event(*choice)));
                let output = run.turn(&mut engine, events);
                world.learn(&output);
            }
        }
        prop_assert_eq!(&alone, &comparable(&runs[0].0));
    }
}

#[test]
fn a_shared_realm_keeps_nothing_of_a_run() {
    for tampering in
        ["main.leak = 1", "LIST.push(2)", "OBJECT.deep.x = 1", "Shape.prototype.x = 1", "helper.count = 1", "globalThis.leak = 1"]
    {
        let source = format!(
            "// shareable: main LIST OBJECT Shape helper\n\
             const LIST = [1];\nconst OBJECT = {{ deep: {{}} }};\nclass Shape {{ area() {{ return 1; }} }}\nfunction helper() {{}}\n\
             export default async function main() {{ try {{ {tampering}; return 'changed'; }} catch (e) {{ return e.name; }} }}"
        );
        for share in [true, false] {
            let output = Run::new(&source).start(&mut sharing_engine(share), "null");
            assert_eq!(brief(&output), ["0 = \"TypeError\""], "{tampering} with shared realms: {share}");
        }
    }
}

#[test]
fn runs_of_a_shared_realm_have_their_own_time_and_randomness() {
    let source = "// shareable: main\nimport { run } from 'everloop';\nexport default async function main() { const x = [run.id, Math.random()]; await a(); return [...x, run.id, Math.random(), Date.now()]; }";
    let ends = |share: bool| {
        let mut engine = sharing_engine(share);
        let mut runs = [Run::numbered(source, 1), Run::numbered(source, 2)];
        for run in &mut runs {
            run.start(&mut engine, "null");
        }
        runs.each_mut().map(|run| brief(&run.turn(&mut engine, vec![done(0, "1")])))
    };
    assert_eq!(ends(true), ends(false));
    assert_ne!(ends(true)[0], ends(true)[1]);
}

#[test]
fn the_top_level_of_an_ordinary_module_belongs_to_the_run() {
    let source = "let n = 0; const cache = new Map(); const at = Date.now(); export default async () => { cache.set(++n, at); await a(); return [...cache]; };";
    let mut engine = engine();
    let mut runs: Vec<Run> = (1..=200).map(|n| Run::numbered(source, n)).collect();
    for run in &mut runs {
        run.start(&mut engine, "null");
    }
    for run in &mut runs {
        assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "1")])), [format!("1 = [[1,{START_MS}]]")]);
    }
    assert_eq!(engine.cached(), (0, 0));
}
