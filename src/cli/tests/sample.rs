//! A run with everything in it.

use crate::api::journal::{Command, Entry, Event, Log};
use crate::api::run::{Doing, PendingActivity, RunError};
use crate::api::{DurationMs, Head, Json, RunStatus, RunView, TimeMs, Version};

/// 2026-11-23T10:00:00Z.
pub const BEGAN: TimeMs = TimeMs(1_795_428_000_000);

pub fn json(text: &str) -> Json {
    Json::checked(text).unwrap()
}

pub fn run() -> RunView {
    RunView {
        id: "order-7".parse().unwrap(),
        namespace: "default".parse().unwrap(),
        uid: "01900000-0000-7000-8000-000000000007".parse().unwrap(),
        workflow: "order-status".parse().unwrap(),
        version: Version::of("x"),
        pool: "default".parse().unwrap(),
        status: RunStatus::Running,
        doing: Doing::Waiting,
        turns: 2,
        timers: 0,
        unread: 0,
        activities: vec![PendingActivity {
            command: 1,
            phase: "backing-off".into(),
            attempt: 3,
            scheduled_at: BEGAN,
            session: String::new(),
            last_error: "HttpError: 503".into(),
        }],
        session: "w1-default-ab".into(),
        input: Some(json(r#"{"zip":"10115","amount":1.50}"#)),
        result: None,
        error: None,
        blocked: None,
        origin: None,
        started_at: BEGAN,
        closed_at: None,
    }
}

pub fn failed() -> RunView {
    let mut error = RunError::new("HttpError", "the answer was 402");
    error.stack = "    at orderStatus (order-status.js:4:25)".into();
    RunView {
        status: RunStatus::Failed,
        doing: Doing::Closed,
        error: Some(error),
        activities: vec![],
        closed_at: Some(BEGAN.plus(DurationMs(1_234))),
        ..run()
    }
}

pub fn journal() -> Vec<Entry> {
    let entry = |turn: u32, after_ms: u64, worker: &str, events, commands| Entry {
        v: 1,
        turn,
        id: Head(u64::from(turn)),
        at: BEGAN.plus(DurationMs(after_ms)),
        worker: worker.into(),
        birth: None,
        events,
        commands,
        logs: vec![],
        continued: false,
    };
    let activity =
        |n, name: &str, argument| Command::ScheduleActivity { n, name: name.into(), argument: json(argument), at: "4:25".into() };
    let error = RunError::new("HttpError", "the answer was 503");
    let mut all = vec![
        entry(0, 0, "w1", vec![Event::Started { input: json(r#"{"zip":"10115"}"#) }], vec![activity(0, "pay", r#"{"zip":"10115"}"#)]),
        entry(
            1,
            183,
            "w1",
            vec![Event::ActivityCompleted { command: 0, attempt: 2, result: json("true") }],
            vec![activity(1, "cook", "7")],
        ),
        entry(
            2,
            12_345,
            "w2",
            vec![
                Event::ActivityFailed { command: 1, attempt: 5, error },
                Event::SignalReceived { name: "hurry".into(), payload: json("[1]") },
            ],
            vec![Command::StartTimer { n: 2, name: "sleep".into(), duration: DurationMs(1_800_000), at: String::new() }],
        ),
        entry(3, 1_812_345, "w2", vec![Event::TimerFired { command: 2 }], vec![Command::Complete { n: 3, result: json(r#""done""#) }]),
    ];
    all[2].logs.push(Log { level: "warn".into(), text: "no cook".into() });
    all
}
