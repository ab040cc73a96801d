//! The end: stop polling, finish what runs, then hand back the rest.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::{Hub, MESSAGES_AT_ONCE, Msg};
use crate::api::SessionId;
use crate::api::worker::Item;
use crate::worker::commit::{Pending, Then};

/// How long handing back may take; then the end of the session does it, at the cost of a loss per attempt.
const HANDING_BACK: Duration = Duration::from_secs(5);

impl Hub {
    /// Answers the session that is still open.
    pub(super) async fn drain(mut self, mut messages: UnboundedReceiver<Msg>, within: Duration) -> Option<SessionId> {
        self.draining.cancel();
        self.slots.close();
        self.loops.ahead().close(true);
        tracing::info!(attempts = self.attempts.len(), turns = self.runs.leases().len(), "draining");
        let mut deadline = Instant::now() + within;
        let mut buffer = Vec::new();
        while self.session.is_some() && !self.is_done() {
            tokio::select! {
                _ = messages.recv_many(&mut buffer, MESSAGES_AT_ONCE) => {}
                () = tokio::task::yield_now(), if self.has_work() => {}
                () = tokio::time::sleep_until(deadline) => {
                    if self.handing_back {
                        break;
                    }
                    self.handing_back = true;
                    deadline = Instant::now() + HANDING_BACK;
                }
            }
            self.step(&mut buffer);
            if self.handing_back {
                self.hand_back();
                self.send_commits();
            }
        }
        self.session.take().map(|line| {
            line.over.cancel();
            line.session
        })
    }

    fn is_done(&self) -> bool {
        let turns = if self.handing_back { !self.runs.has_optimistic() } else { self.runs.are_idle() };
        !self.polling && self.attempts.is_empty() && self.pipeline.is_empty() && turns
    }

    /// Hands back every lease that has nothing in the pipeline; outcomes that waited for a turn go alone.
    fn hand_back(&mut self) {
        self.loops.drop_waiting(true);
        self.granted.clear();
        for ended in self.runs.unpark_all() {
            self.outcome_only(&ended);
        }
        let ids: Vec<_> = self.attempts.keys().cloned().collect();
        for id in ids {
            if let Some(held) = self.attempts.remove(&id) {
                if let Some(running) = held.running {
                    running.stop();
                }
                self.release_attempt(&held.work);
            }
        }
        for (run, seq) in self.runs.leases() {
            if !self.pipeline.has(&run) {
                self.runs.give_up(&run);
                self.pipeline.push(Pending { item: Item::ReleaseTurn { run, seq, keeps_context: false }, then: Then::Nothing });
            }
        }
    }
}
