//! SIGTERM and SIGINT ask a process to stop in order; a second one ends it at once.

use tokio_util::sync::CancellationToken;

/// The exit code of a process that a second signal ended: 128 + SIGINT.
const HARD_EXIT: i32 = 130;

/// A token that is cancelled by the first signal. Call it inside a runtime.
///
/// # Errors
/// The system refuses to register the handlers.
pub fn signals() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut stop = Stop::register()?;
    let cancel = token.clone();
    tokio::spawn(async move {
        let name = stop.next().await;
        tracing::info!(signal = name, "stopping; a second signal ends the process at once");
        cancel.cancel();
        let name = stop.next().await;
        tracing::warn!(signal = name, "ended by a second signal");
        #[expect(clippy::disallowed_methods, reason = "a second signal asks for just that")]
        std::process::exit(HARD_EXIT);
    });
    Ok(token)
}

#[cfg(unix)]
struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stop {
    fn register() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Stop;

#[cfg(not(unix))]
impl Stop {
    fn register() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "ctrl-c"
    }
}
