//! What operations cost: calls per step, bytes per idle run.

use everloop::api::journal::{Birth, Command};
use everloop::api::{DurationMs, Head, TimeMs};
use everloop::machine::turn::{EntryHead, NewAttempt, entry_text};
use everloop::store::op::*;

use super::OnRedis;
use crate::world::*;

impl OnRedis {
    fn reset_calls(&self) {
        redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut self.server.connection()).unwrap();
    }

    /// Calls that scripts have made since, by name.
    fn calls(&self) -> Vec<(String, u64)> {
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut self.server.connection()).unwrap();
        let calls = stats.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        });
        let outside = ["fcall", "info", "config|resetstat", "client|setinfo", "ping", "hello"];
        calls.filter(|(name, _)| !outside.contains(&name.as_str())).collect()
    }

    fn used_memory(&self) -> u64 {
        let info: String = redis::cmd("INFO").arg("memory").query(&mut self.server.connection()).unwrap();
        info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok()).unwrap()
    }
}

#[tokio::test]
async fn rule_14_a_plain_step_makes_at_most_eight_calls() {
    let world = OnRedis::new().await;
    let grant = world.stepping("a", "s1").await;
    let turn = Turn { consumed: 0, ..scheduling(&world.record("a").await.head, 3, &[1]) };
    world.reset_calls();
    let finish = Finish { turn: Some(turn), offer: offer("s1", 3, 1, 1), ..world.finish_of(&grant, completed(0)) };
    let Finished::Accepted { turn: Some(Ok(())), grants, .. } = world.store.finish(finish).await.unwrap() else { panic!("accepted") };
    assert_eq!(grants.attempts.len(), 1);
    let calls = world.calls();
    println!("a plain step: {calls:?}");
    assert!(calls.iter().any(|(name, n)| name == "exists" && *n == 1), "it was worked out before, and the short script took it: {calls:?}");
    assert!(calls.iter().map(|(_, n)| n).sum::<u64>() <= 8, "{calls:?}");
}

#[tokio::test]
async fn a_one_step_run_is_three_scripts_of_bounded_calls() {
    let world = OnRedis::new().await;
    world.open("s1").await;
    // After it the workflow is known.
    world.start("first", 5).await;
    world.reset_calls();
    let sum = |calls: Vec<(String, u64)>, what: &str| {
        println!("{what}: {calls:?}");
        calls.iter().map(|(_, n)| n).sum::<u64>()
    };
    let start = Start { offer: offer("s1", 1, 1, 0), ..world.start_of("a", 10) };
    let Started::New { grant: Some(grant), .. } = world.store.start(start).await.unwrap() else { panic!("granted") };
    let calls = world.calls();
    assert!(calls.iter().any(|(name, n)| name == "exists" && *n == 1), "the short script took it: {calls:?}");
    assert!(sum(calls, "start") <= 9);
    world.reset_calls();
    accepted(world.commit("a", "s1", 1, scheduling(&grant.record.head, 2, &[0]), 20, offer("s1", 2, 0, 1)).await);
    assert!(sum(world.calls(), "first turn") <= 9);
}

/// What is written of each of them goes in commands that take many, so their number does not follow that of the activities.
#[tokio::test]
async fn a_fan_out_takes_few_calls_for_each_activity() {
    const ACTIVITIES: u32 = 960;
    let world = OnRedis::new().await;
    let grant = world.leased("a", "s1", 10).await;
    let to_queue = |command| NewAttempt { queue: "shop/drivers".into(), ..activity(command) };
    let schedule = (0..ACTIVITIES).map(to_queue).collect();
    let turn = Turn { schedule, next_command: ACTIVITIES, ..turn(&grant.record.head, 2) };
    world.reset_calls();
    accepted(world.commit("a", "s1", 1, turn, 20, None).await);
    let (mut seen, mut seq) = (0, 100);
    while seen < ACTIVITIES {
        seq += 1;
        let by = Claimer::External { queue: "shop/drivers".into() };
        let claim = Claim { partition: place("a"), by, seq, turns: 0, attempts: 96, again: false, now: TimeMs(30) };
        let Claimed::Granted { grants, .. } = world.store.claim(claim).await.unwrap() else { panic!("granted") };
        let of = |grant: &AttemptGrant| Settlement {
            attempt: claim_of(&grant.attempt),
            outcome: Outcome::Settled { event: completed(grant.attempt.command) },
            key: String::new(),
        };
        let commands: Vec<_> = grants.attempts.iter().map(|grant| grant.attempt.command).collect();
        assert_eq!(commands, (seen..seen + 96).collect::<Vec<_>>(), "in their order");
        let outcomes: Vec<_> = grants.attempts.iter().map(of).collect();
        let settle = Settle { run: run("a"), outcomes, now: TimeMs(40), offer: None };
        assert_eq!(world.store.settle(settle).await.unwrap().counts, [true; 96]);
        seen += 96;
    }
    let calls = world.calls();
    let each = calls.iter().map(|(_, n)| n).sum::<u64>() * 100 / u64::from(ACTIVITIES);
    println!("a fan-out of {ACTIVITIES}: {each} calls for a hundred of them: {calls:?}");
    assert!(each <= 40, "{each} calls for a hundred activities: {calls:?}");
    let record = world.record("a").await;
    assert_eq!((record.mail, record.attempts.len(), record.attempts_beside), (ACTIVITIES, 0, 0));
    let counts = world.store.counts(place("a")).await.unwrap();
    assert!(counts.queued_attempts.values().all(|waiting| *waiting == 0), "{counts:?}");
}

#[tokio::test]
async fn a_sleeping_run_takes_few_bytes() {
    let world = OnRedis::new().await;
    world.open("s1").await;
    const RUNS: u64 = 2_000;
    let birth = Birth {
        uid: "0190f3a0-0000-7000-8000-0123456789ab".parse().unwrap(),
        workflow: "order".into(),
        version: world.version.clone(),
        engine: "quickjs-ng 0.16.2".into(),
        flags: vec![],
    };
    let command = Command::StartTimer { n: 0, name: "sleep".into(), duration: DurationMs(1_800_000), at: "3:9".into() };
    let entry = |id: u64| {
        let at = TimeMs(1_700_000_000_000);
        let head = EntryHead { turn: 0, id: Head(id), at, worker: "worker-5d9f", birth: Some(birth.clone()), continued: false };
        entry_text(head, std::slice::from_ref(&command), &[])
    };
    let mut before = 0;
    for n in 0..RUNS + 500 {
        if n == 500 {
            before = world.used_memory();
        }
        let id = format!("p/order-{n:06}");
        let start = Start { offer: offer("s1", 1, 1, 0), ..world.start_of(&id, 10) };
        let Started::New { grant: Some(grant), .. } = world.store.start(start).await.unwrap() else { panic!("granted") };
        let sleep = Turn { entry: entry(n), timers: vec![timer(0, 1_700_000_000_000 + n)], ..turn(&grant.record.head, n + 9) };
        accepted(world.commit(&id, "s1", 1, sleep, 20, None).await);
    }
    let per_run = (world.used_memory() - before) / RUNS;
    let mut connection = world.server.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*order-001000").query(&mut connection).unwrap();
    for key in keys {
        let bytes: u64 = redis::cmd("MEMORY").arg("USAGE").arg(&key).query(&mut connection).unwrap();
        println!("{key}: {bytes} bytes");
    }
    assert!(keys_of_a_step(&world).await < 1_024, "bytes of a step");
    println!("a sleeping run: {per_run} bytes, its journal entry {} of them", entry(0).with_events(&[STARTED]).len());
    assert!(per_run < 1_024, "{per_run} bytes");
}

/// Bytes that each further step of a run takes in the server: its journal entry, and nothing else.
async fn keys_of_a_step(world: &OnRedis) -> u64 {
    const STEPS: u64 = 500;
    let mut attempt = world.stepping("p/many", "s1").await;
    let mut before = 0;
    for n in 0..STEPS + 100 {
        if n == 100 {
            before = world.used_memory();
        }
        let command = u32::try_from(n).unwrap();
        let head = world.record("p/many").await.head;
        let step = format!(r#"{{"v":1,"turn":{n},"id":"{:016x}","at":1700000000000,"worker":"worker-5d9f","events":["#, n + 1_000_000);
        let after =
            format!(r#"],"commands":[{{"ScheduleActivity":{{"n":{},"name":"charge","argument":{{"id":{n}}},"at":"3:9"}}}}]}}"#, n + 1);
        let entry = everloop::machine::turn::EntryText { before: step, after };
        let turn = Turn { entry, consumed: 0, ..scheduling(&head, n + 1_000_000, &[command + 1]) };
        let finish = Finish { turn: Some(turn), offer: offer("s1", n + 10, 1, 1), ..world.finish_of(&attempt, completed(command)) };
        let Finished::Accepted { turn: Some(Ok(())), mut grants, .. } = world.store.finish(finish).await.unwrap() else {
            panic!("accepted")
        };
        attempt = grants.attempts.remove(0);
    }
    let per_step = (world.used_memory() - before) / STEPS;
    println!("a step: {per_step} bytes");
    per_step
}
