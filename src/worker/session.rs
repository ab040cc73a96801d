//! The session: opened again and again while the process lives, renewed, and its stream kept open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::executing::Executing;
use super::hub::Msg;
use crate::api::worker::{OpenSession, Renew, SessionOpened};
use crate::api::{Name, SessionId};
use crate::client::worker::{Error, WorkerClient};
use crate::clock::StoreClock;
use crate::telemetry::link::Link;

/// The stream says something every few seconds; after so long a silence it is taken for broken.
const STREAM_SILENCE: Duration = Duration::from_secs(20);

/// See the module.
pub(super) struct Keeper {
    pub(super) client: WorkerClient,
    pub(super) clock: Arc<StoreClock>,
    pub(super) executing: Executing,
    pub(super) worker: String,
    pub(super) pool: Name,
    pub(super) messages: UnboundedSender<Msg>,
    /// It is to stop: no other session is opened.
    pub(super) draining: CancellationToken,
    /// The process is done.
    pub(super) stop: CancellationToken,
    pub(super) link: Link,
}

impl Keeper {
    /// Keeps a session until stopped. Each one is announced with a token; whoever learns that it is lost cancels the token.
    pub(super) async fn run(self) {
        while let Some(opened) = self.open().await {
            let over = CancellationToken::new();
            self.link.up();
            let session = opened.session.clone();
            tracing::info!(%session, "session opened");
            let ttl = Duration::from_millis(opened.ttl_ms.max(30));
            let silent = Arc::new(Notify::new());
            let _ = self.messages.send(Msg::Opened { session: session.clone(), ttl, over: over.clone(), silent: silent.clone() });
            tokio::select! {
                () = self.renew(&opened, &silent) => {}
                () = self.stream(&session) => {}
                () = over.cancelled() => {}
                () = self.stop.cancelled() => return,
            }
            over.cancel();
            self.link.down();
            let _ = self.messages.send(Msg::Lost { session: session.clone() });
            if self.draining.is_cancelled() {
                // The hub is done with it, or has nothing more to drain.
                return;
            }
            tracing::warn!(%session, "session lost: its leases are void; opening a new one");
        }
    }

    async fn open(&self) -> Option<SessionOpened> {
        let body = OpenSession { worker: self.worker.clone(), pool: self.pool.clone() };
        let mut backoff = Backoff::default();
        loop {
            let error = tokio::select! {
                opened = self.client.open_session(&body) => match opened {
                    Ok(opened) => {
                        self.clock.see(opened.now);
                        return Some(opened);
                    }
                    Err(error) => error,
                },
                () = self.stop.cancelled() => return None,
            };
            if backoff.failures() == 0 {
                tracing::warn!(%error, server = self.client.server(), "no session yet; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next()) => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }

    /// Renews at a third of the time to live; ends when the session is lost. A replica that does not answer in as long a time is told
    /// to `silent`: what else waits for it is asked anew, over other connections.
    async fn renew(&self, opened: &SessionOpened, silent: &Notify) {
        let third = Duration::from_millis((opened.ttl_ms / 3).max(10));
        let mut backoff = Backoff::default();
        let mut pause = third;
        loop {
            tokio::time::sleep(pause).await;
            match self.client.renew(&opened.session, &Renew { executing: self.executing.runs() }, third).await {
                Ok(renewed) => {
                    self.clock.see(renewed.now);
                    self.link.up();
                    if backoff.failures() > 0 {
                        tracing::info!(session = %opened.session, "session renewed again");
                    }
                    backoff.reset();
                    pause = third;
                }
                Err(error) if error.is_session_lost() => return,
                Err(error) => {
                    if backoff.failures() == 0 {
                        tracing::warn!(%error, "the session is not renewed; trying again");
                    }
                    self.link.down();
                    silent.notify_waiters();
                    pause = backoff.next().min(third);
                }
            }
        }
    }

    /// Keeps the stream open, at whichever replica answers; ends when the session is lost.
    async fn stream(&self, session: &SessionId) {
        let mut backoff = Backoff::default();
        // What the hub was told: it takes a new session for one that works.
        let mut draining = false;
        loop {
            match self.stream_once(session, &mut backoff, &mut draining).await {
                Ok(()) => {}
                Err(error) if error.is_session_lost() => return,
                Err(error) => {
                    if backoff.failures() == 0 {
                        tracing::warn!(%error, "the session's stream is broken; opening it again");
                    }
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    /// One stream; ends well when the replica says that it stops.
    async fn stream_once(&self, session: &SessionId, backoff: &mut Backoff, draining: &mut bool) -> Result<(), Error> {
        let operation = "read the session's stream";
        let mut stream = self.client.stream(session).await?;
        loop {
            let line = match tokio::time::timeout(STREAM_SILENCE, stream.next()).await {
                Ok(line) => line?,
                Err(_) => return Err(Error::Unknown { operation, detail: "silence".to_owned() }),
            };
            let Some(line) = line else { return Err(Error::Unknown { operation, detail: "it ended".to_owned() }) };
            self.clock.see(line.now);
            if line.draining != *draining {
                *draining = line.draining;
                let _ = self.messages.send(Msg::Drain { session: session.clone(), draining: line.draining });
            }
            if line.moved {
                // The replica that we reach next may be the same one for a moment: at most the back-off's pace.
                tokio::time::sleep(backoff.next()).await;
                return Ok(());
            }
            backoff.reset();
        }
    }
}
