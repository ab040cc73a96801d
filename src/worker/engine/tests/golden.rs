//! Journals that older programs have written: `tests/golden/`. Each is replayed from each of its prefixes, with exactly the
//! commands and the console output that it has. Files are added when the format gets a version; none is ever changed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    run: String,
    definition: Definition,
    entries: Vec<Entry>,
}

fn all() -> Vec<(String, Golden)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    // The folders beside them are of others.
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let read = |path: PathBuf| {
        let golden = serde_json::from_str(&std::fs::read_to_string(&path).unwrap());
        (path.display().to_string(), golden.unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    };
    files.map(read).collect()
}

#[test]
fn golden_journals_replay_as_they_were_written() {
    for (file, golden) in all() {
        let birth = golden.entries[0].birth.clone().unwrap();
        let definition = Arc::new(golden.definition.clone());
        assert_eq!(definition.version(), birth.version, "{file}: the definition's hash has changed");
        for (cut, entry) in golden.entries.iter().enumerate() {
            let input = TurnInput {
                run: RunKey { namespace: "default".parse().unwrap(), id: golden.run.parse().unwrap() },
                uid: birth.uid.clone(),
                workflow: birth.workflow.clone(),
                version: birth.version.clone(),
                definition: definition.clone(),
                base: cut.checked_sub(1).map_or(Head(0), |before| golden.entries[before].id),
                turn: entry.id,
                number: entry.turn,
                at: entry.at,
                journal: Some(Arc::new(golden.entries[..cut].to_vec())),
                events: entry.events.clone(),
            };
            let mut engine = engine();
            let mut outcome = TurnOutcome::Yielded;
            while matches!(outcome, TurnOutcome::Yielded) {
                outcome = engine.turn(input.clone());
            }
            let TurnOutcome::Done(output) = outcome else { panic!("{file}: turn {cut} does not end well") };
            assert_eq!((&output.commands, &output.logs), (&entry.commands, &entry.logs), "{file}, turn {cut}");
        }
    }
}

/// So that every kind of event and command is among what must be replayed for ever.
#[test]
fn golden_journals_have_every_event_and_command() {
    let mut kinds = BTreeSet::new();
    for (_, golden) in all() {
        for entry in &golden.entries {
            let name = |value: serde_json::Value| value.as_object().and_then(|tagged| tagged.keys().next().cloned()).unwrap();
            kinds.extend(entry.events.iter().map(|event| name(serde_json::to_value(event).unwrap())));
            kinds.extend(entry.commands.iter().map(|command| name(serde_json::to_value(command).unwrap())));
        }
    }
    let known = [
        "ActivityCompleted",
        "ActivityFailed",
        "Cancel",
        "CancelRequested",
        "CancelTimer",
        "Complete",
        "Fail",
        "ScheduleActivity",
        "SignalDelivered",
        "SignalReceived",
        "SignalRefused",
        "SignalRun",
        "StartTimer",
        "Started",
        "TimerFired",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), known);
}
