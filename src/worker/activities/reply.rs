//! The body of an answer, read up to a bound.

use crate::api::limits::ACTIVITY_RESPONSE_BYTES_MAX;

/// Why a body was not read to its end.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is longer than [`ACTIVITY_RESPONSE_BYTES_MAX`].
    TooLarge,
    /// The connection broke.
    Broken(reqwest::Error),
}

/// Reads a body while counting, so that a lie about its length does not help.
pub(super) async fn read(response: &mut reqwest::Response) -> Result<Vec<u8>, Unread> {
    let max = ACTIVITY_RESPONSE_BYTES_MAX;
    if response.content_length().is_some_and(|length| length > max as u64) {
        return Err(Unread::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > max {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What went wrong, with all causes.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
