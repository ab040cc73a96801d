//! Reading an answer: what it is, and whether the call should be sent again.

use std::time::Duration;

use super::ClientError;
use crate::api::{Code, Problem};

/// A journal's page is a few hundred kilobytes and at most one large entry; anything beyond this is not ours.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A proxy that asks for more patience than this is taken at this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// What one sending came to.
pub(super) enum Reply {
    /// The body of a 2xx.
    Answer(String),
    /// A no that another sending does not change.
    Refused(ClientError),
    /// It was not sent.
    NotReached(ClientError),
    /// It may have been applied, or may be later: send it again, after this long at least.
    Unanswered(ClientError, Duration),
}

pub(super) async fn read(server: &str, mut response: reqwest::Response) -> Reply {
    let status = response.status();
    let after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or(Duration::ZERO, |secs: u64| Duration::from_secs(secs).min(RETRY_AFTER_MAX));
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return failed(server, &error),
        }
        if body.len() > ANSWER_BYTES_MAX {
            return Reply::Refused(protocol(server, &format!("more than {ANSWER_BYTES_MAX} bytes")));
        }
    }
    let Ok(text) = String::from_utf8(body) else {
        return Reply::Refused(protocol(server, "text that is not UTF-8"));
    };
    if status.is_success() {
        return Reply::Answer(text);
    }
    match serde_json::from_str::<Problem>(&text) {
        Ok(problem) if repeats(problem.code) => Reply::Unanswered(ClientError::Refused(Box::new(problem)), after),
        Ok(problem) => Reply::Refused(ClientError::Refused(Box::new(problem))),
        // A proxy in front of a service that restarts.
        Err(_) if matches!(status.as_u16(), 502..=504) => {
            let detail = format!("HTTP {status} from something in front of it");
            Reply::Unanswered(ClientError::Unreachable { server: server.to_owned(), detail }, after)
        }
        Err(_) => Reply::Refused(protocol(server, &format!("HTTP {status}: {}", cut(&text)))),
    }
}

/// Whether a refusal says "not now" instead of "no". A full mailbox is a no: only the run's turns make room.
fn repeats(code: Code) -> bool {
    matches!(code, Code::StoreUnavailable | Code::Stopping | Code::Overloaded)
}

pub(super) fn failed(server: &str, error: &reqwest::Error) -> Reply {
    let unreachable = ClientError::Unreachable { server: server.to_owned(), detail: chain(error) };
    if error.is_connect() {
        Reply::NotReached(unreachable)
    } else if error.is_builder() {
        Reply::Refused(ClientError::Config(format!("failed to make the request: {}", chain(error))))
    } else {
        Reply::Unanswered(unreachable, Duration::ZERO)
    }
}

fn protocol(server: &str, detail: &str) -> ClientError {
    ClientError::Protocol { server: server.to_owned(), detail: detail.to_owned() }
}

/// The innermost cause: what a person can act on (`connection refused`), without the layers above it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    // `Connection refused (os error 111)`: the number helps nobody.
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

pub(super) fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(300).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
