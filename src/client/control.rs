//! What people do to a run that exists.

use reqwest::Method;

use super::send::Call;
use super::{Client, ClientError, new_key};
use crate::api::http::{Pause, Reason, Resume};
use crate::api::{Json, Name, RunId};

impl Client {
    /// Puts a signal into a run's mailbox, once.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`, `RunClosed`, `MailboxFull`.
    pub async fn signal(&self, run: &RunId, name: &str, payload: &Json) -> Result<(), ClientError> {
        let path = self.path(&["runs", run.as_str(), "signals", name]);
        self.call_unit(Call::mutate(Method::POST, path, new_key(), "application/json", payload.get().to_owned())).await
    }

    /// Asks a run to end in order.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`, `RunClosed`.
    pub async fn cancel(&self, run: &RunId, reason: &str) -> Result<(), ClientError> {
        self.cancel_as(run, reason, &new_key()).await
    }

    /// As [`Self::cancel`]; `key` makes a repeat by another process the same request.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`, `RunClosed`.
    pub async fn cancel_as(&self, run: &RunId, reason: &str, key: &str) -> Result<(), ClientError> {
        self.control(run, "cancel", key, &Json::of(&Reason { reason: reason.into() })).await
    }

    /// Ends a run at once, without a last turn.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`, `RunClosed`.
    pub async fn terminate(&self, run: &RunId, reason: &str) -> Result<(), ClientError> {
        self.control(run, "terminate", &new_key(), &Json::of(&Reason { reason: reason.into() })).await
    }

    /// Holds a run: it takes no turn until it is resumed.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`, `RunClosed`.
    pub async fn pause(&self, run: &RunId, reason: &str) -> Result<(), ClientError> {
        self.control(run, "pause", &new_key(), &Json::of(&Reason { reason: reason.into() })).await
    }

    /// Holds a run under a name of the caller's; `key` makes a repeat by another process the same request.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`, `RunClosed`.
    pub async fn hold(&self, run: &RunId, holder: &Name, reason: &str, key: &str) -> Result<(), ClientError> {
        self.control(run, "pause", key, &Json::of(&Pause { reason: reason.into(), holder: Some(holder.clone()) })).await
    }

    /// Ends the hold of that name, and no other.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`, `RunClosed`, `NotApplicable` when there is no such hold.
    pub async fn let_go(&self, run: &RunId, holder: &Name, key: &str) -> Result<(), ClientError> {
        self.control(run, "resume", key, &Json::of(&Resume { version: None, holder: Some(holder.clone()) })).await
    }

    /// Lets a paused or blocked run go on.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`, `RunClosed`, `NotApplicable`, `VersionNotFound`.
    pub async fn resume(&self, run: &RunId, resume: &Resume) -> Result<(), ClientError> {
        self.control(run, "resume", &new_key(), &Json::of(resume)).await
    }

    async fn control(&self, run: &RunId, verb: &str, key: &str, body: &Json) -> Result<(), ClientError> {
        let path = self.path(&["runs", run.as_str(), verb]);
        self.call_unit(Call::mutate(Method::POST, path, key.to_owned(), "application/json", body.get().to_owned())).await
    }
}
