//! Attempts at activities: from the lease to the commit's item, alone or with the optimistic turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{AttemptId, Held, Hub, Msg};
use crate::api::worker::{ActivityWork, AttemptOutcome, Item};
use crate::api::{Definition, RunError, RunKey};
use crate::client::worker::Error;
use crate::telemetry::crash::point;
use crate::worker::activities::{Alive, Came, Task};
use crate::worker::commit::{Pending, Then, outcome_item};
use crate::worker::turn::Ended;

/// So many signs of life within one heartbeat time-out are enough.
const HEARTBEATS_PER_TIMEOUT: u32 = 4;

impl Hub {
    /// An attempt was leased to this worker; name and argument are in it.
    pub(super) fn attempt_granted(&mut self, work: ActivityWork) {
        let id = AttemptId::of(&work);
        if self.attempts.contains_key(&id) {
            self.slots.release_activity();
            return;
        }
        if work.name.is_none() || work.argument.is_none() {
            tracing::error!(run = %work.run, command = work.command, "an attempt was granted without its name and argument");
            self.release_attempt(&work);
            return;
        }
        if let Some(run) = self.runs.get(&work.run, &work.uid) {
            run.held += 1;
        }
        let definition = self.parts.definitions.get(&work.version);
        self.attempts.insert(id.clone(), Held { work: work.clone(), running: None, heartbeat: None });
        if let Some(definition) = definition {
            self.start_attempt(id, work, definition);
            return;
        }
        let Some(over) = self.session.as_ref().map(|line| line.over.clone()) else { return };
        let (definitions, messages, generation) = (self.parts.definitions.clone(), self.parts.messages.clone(), self.generation);
        tokio::spawn(async move {
            if let Some(definition) = definitions.load(&work.version, &over).await {
                let _ = messages.send(Msg::AttemptDefined { generation, work: Box::new(work), definition });
            }
        });
    }

    pub(super) fn attempt_defined(&mut self, work: ActivityWork, definition: Result<Arc<Definition>, Error>) {
        let id = AttemptId::of(&work);
        if !self.attempts.contains_key(&id) {
            return;
        }
        match definition {
            Ok(definition) => self.start_attempt(id, work, definition),
            Err(error) => {
                let message = format!("version {} cannot be read: {error}", work.version.short());
                let error = RunError::new("VersionNotFound", message);
                self.attempt_ended(&id, Came::Outcome(AttemptOutcome::Failed { error, final_: false, retry_after_ms: None }));
            }
        }
    }

    fn start_attempt(&mut self, id: AttemptId, work: ActivityWork, definition: Arc<Definition>) {
        let timeouts = work.name.as_ref().and_then(|name| definition.activities.get(name)?.timeouts.as_ref());
        let heartbeat = timeouts.and_then(|timeouts| timeouts.heartbeat).map(|timeout| (timeout.to_std(), Instant::now()));
        let (messages, generation, live_id) = (self.parts.messages.clone(), self.generation, id.clone());
        let alive = Alive(Arc::new(move || {
            let _ = messages.send(Msg::AttemptLives { generation, id: live_id.clone() });
        }));
        let passed = self.parts.clock.now().since(work.started_at).0;
        let until = Instant::now() + Duration::from_millis(work.timeout_ms.saturating_sub(passed));
        let task = Task { work, definition, until, alive };
        if let Some(held) = self.attempts.get_mut(&id) {
            held.heartbeat = heartbeat;
        }
        if self.loops.may_at_once(&task) {
            self.granted.push_back((id, task));
        } else {
            self.begin_attempt(&id, task);
        }
    }

    /// Begins scripts that may settle at once, in their order, up to the first that does.
    pub(super) fn try_at_once(&mut self) {
        if self.handing_back {
            return;
        }
        while let Some((id, task)) = self.granted.pop_front() {
            if !self.attempts.contains_key(&id) {
                continue;
            }
            let Some(outcome) = self.loops.at_once(&task) else {
                self.begin_attempt(&id, task);
                continue;
            };
            point("worker.activity-begins");
            return self.attempt_ended(&id, Came::Outcome(outcome));
        }
    }

    fn begin_attempt(&mut self, id: &AttemptId, task: Task) {
        point("worker.activity-begins");
        let (messages, generation, done_id) = (self.parts.messages.clone(), self.generation, id.clone());
        let done = move |came| {
            let _ = messages.send(Msg::AttemptEnded { generation, id: done_id, came });
        };
        let running = self.parts.runner.start_attempt(task, Box::new(done));
        if let Some(held) = self.attempts.get_mut(id) {
            held.running = Some(running);
        }
    }

    /// Passes a sign of life on, if the last one is a part of its time-out ago.
    pub(super) fn attempt_lives(&mut self, id: &AttemptId) {
        let Some((timeout, told)) = self.attempts.get_mut(id).and_then(|held| held.heartbeat.as_mut()) else { return };
        if told.elapsed() < *timeout / HEARTBEATS_PER_TIMEOUT {
            return;
        }
        *told = Instant::now();
        let item = Item::Heartbeat { run: id.run.clone(), command: id.command, attempt: id.attempt, seq: id.seq };
        self.pipeline.push(Pending { item, then: Then::Nothing });
    }

    /// The store has given the attempt up: what it still does is in vain.
    pub(super) fn attempt_given_up(&mut self, id: &AttemptId) {
        let Some(held) = self.attempts.remove(id) else { return };
        if let Some(running) = held.running {
            running.stop();
        }
        if let Some(run) = self.runs.get(&held.work.run, &held.work.uid) {
            run.held = run.held.saturating_sub(1);
        }
        self.slots.release_activity();
    }

    pub(super) fn attempt_ended(&mut self, id: &AttemptId, came: Came) {
        let Some(Held { work, .. }) = self.attempts.remove(id) else { return };
        point("worker.activity-ended");
        let run = self.runs.get(&work.run, &work.uid);
        let outcome = match came {
            Came::Outcome(outcome) => outcome,
            Came::HandBack => {
                if let Some(run) = run {
                    run.held = run.held.saturating_sub(1);
                }
                self.release_attempt(&work);
                return;
            }
        };
        let name = work.name.clone().unwrap_or_default();
        self.ended.insert(id.clone());
        let ended = Ended { work, name, outcome };
        let Some(run) = run else {
            self.outcome_only(&ended);
            return;
        };
        run.held = run.held.saturating_sub(1);
        let completed = matches!(ended.outcome, AttemptOutcome::Completed { .. });
        if completed && run.busy > 0 && !self.handing_back {
            run.parked.push(ended);
        } else {
            self.optimistic_or_not(ended);
        }
    }

    /// What waited for a turn that is no longer on its way: one outcome brings its own turn, several go into the mailbox and
    /// are taken together.
    pub(super) fn unpark(&mut self, run: &RunKey) {
        let mut ended = self.runs.unpark(run);
        if ended.len() == 1 {
            ended.into_iter().for_each(|ended| self.optimistic_or_not(ended));
        } else {
            ended.drain(..).for_each(|ended| self.outcome_only(&ended));
        }
        self.runs.tidy(run);
    }

    fn optimistic_or_not(&mut self, ended: Ended) {
        let generation = self.generation;
        let job = match self.runs.get(&ended.work.run, &ended.work.uid) {
            Some(run) if !self.handing_back => run.optimistic(generation, ended),
            _ => Err(ended),
        };
        match job {
            Ok(job) => self.take_turn(Box::new(job), None),
            Err(ended) => self.outcome_only(&ended),
        }
    }

    /// The outcome goes alone.
    pub(super) fn outcome_only(&mut self, ended: &Ended) {
        let offer = self.slots.offer_for_activity(0);
        self.pipeline.push(Pending { item: outcome_item(ended, None, Vec::new(), offer), then: Then::Attempt });
    }

    /// Hands an attempt back: it uses up no attempt.
    pub(super) fn release_attempt(&mut self, work: &ActivityWork) {
        self.slots.release_activity();
        let item = Item::ReleaseActivity { run: work.run.clone(), command: work.command, attempt: work.attempt, seq: work.seq };
        self.pipeline.push(Pending { item, then: Then::Nothing });
    }
}
