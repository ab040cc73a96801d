//! External queues: programs in any language take tasks.

use axum::Json;
use axum::extract::State;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::api::http::{PollQueue, Task, Tasks};
use crate::api::{Code, Problem, TimeMs, limits};
use crate::queue::border::body::Body;
use crate::queue::border::extract::{IdempotencyKey, QueuePath, wait};
use crate::queue::border::problem::{Answer, Refused};
use crate::queue::poller::QueueAsk;
use crate::queue::service::{Service, Shared};
use crate::queue::token::Token;
use crate::queue::waiters::Granted;

/// `POST /v1/namespaces/{ns}/queues/{queue}/poll`. A repeat with the same key is given the same tasks, as long as they are leased.
pub async fn poll(
    State(service): State<Shared>,
    path: QueuePath,
    IdempotencyKey(key): IdempotencyKey,
    Body(poll): Body<PollQueue>,
) -> Answer<Json<Tasks>> {
    if !(1..=limits::QUEUE_TASKS_MAX).contains(&poll.max) {
        let detail = format!("max is {}; a poll takes 1 to {} tasks", poll.max, limits::QUEUE_TASKS_MAX);
        return Err(Problem::new(Code::InvalidRequest, detail).next("poll again for more").into());
    }
    let queue = format!("{}/{}", path.namespace, path.queue);
    let granted = taken(&service, queue, QueueAsk { max: poll.max, wait: wait(Some(poll.wait)), key }).await?;
    let mut tasks = Vec::with_capacity(granted.activities.len());
    for mut work in granted.activities {
        // A claim brings both; without them the task could not be done.
        let (Some(name), Some(argument)) = (work.name.take(), work.argument.take()) else { continue };
        let heartbeat_ms = service.heartbeat_ms(&work.version, &name).await?;
        let lease_ms = heartbeat_ms.map_or(work.timeout_ms, |heartbeat| heartbeat.min(work.timeout_ms));
        tasks.push(Task {
            token: Token::of(&work, &name).encode(),
            name,
            argument,
            attempt: work.attempt,
            idempotency_key: format!("{}/{}", work.uid, work.command),
            run: work.run.id,
            workflow: work.workflow,
            deadline: TimeMs(work.started_at.0.saturating_add(lease_ms)),
        });
    }
    Ok(Json(Tasks { tasks }))
}

/// Polls in a task of its own: when the program goes away in the middle, what was leased to it is handed back at once.
async fn taken(service: &Shared, queue: String, ask: QueueAsk) -> Result<Granted, Refused> {
    let gone = CancellationToken::new();
    let _waits = gone.clone().drop_guard();
    let (answer, taken) = oneshot::channel();
    let service = service.clone();
    tokio::spawn(async move {
        let polled = service.poll_queue(&queue, ask, &gone).await;
        if let Err(Ok(granted)) = answer.send(polled) {
            service.undelivered(granted).await;
        }
    });
    taken.await.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "the poll broke off").into()))
}

impl Service {
    /// The heartbeat time-out of an activity, when it has one.
    pub(super) async fn heartbeat_ms(&self, version: &crate::api::Version, name: &str) -> Result<Option<u64>, crate::store::StoreError> {
        let known = self.definitions.known(&*self.store, version).await?;
        let activity = known.as_ref().and_then(|known| known.declared.activities.get(name));
        Ok(activity.and_then(|activity| activity.timeouts.as_ref()).and_then(|timeouts| timeouts.heartbeat).map(|heartbeat| heartbeat.0))
    }
}
