//! What objects left behind when they went without this operator: it is looked for when an operator begins to lead, every ten minutes,
//! and when an object of the kind was deleted.
//!
//! Nothing is done on the word of a cache: whether an object is there is asked of the API server.

use std::time::Duration;

use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::context::{Context, Error};
use crate::api::{Name, Origin};

/// Where runs and workflows of objects come from, before the uid of the object.
pub(super) const ORIGIN: &str = "kubernetes";
/// See the module.
const LOOK_AGAIN: Duration = Duration::from_mins(10);
const LOOK_AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Objects are deleted together.
const SETTLE: Duration = Duration::from_millis(200);

/// Where what an object asks for comes from.
pub(super) fn origin_of(uid: &str) -> Option<Origin> {
    format!("{ORIGIN}/{uid}").parse().ok()
}

/// The uid of the object that owns it.
pub(super) fn owner(origin: &Origin) -> Option<&str> {
    origin.as_str().strip_prefix(ORIGIN)?.strip_prefix('/')
}

/// Looks when it is told that something may be gone, and again after a while, as long as it is polled.
pub(super) async fn watch(what: &'static str, gone: &Notify, look: impl AsyncFn() -> Result<(), Error>) {
    let mut pause = LOOK_AGAIN;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = gone.notified() => tokio::time::sleep(SETTLE).await,
        }
        pause = match look().await {
            Ok(()) => LOOK_AGAIN,
            Err(error) => {
                tracing::warn!(%error, "failed to look for {what}; trying again");
                LOOK_AGAIN_AFTER_FAILURE
            }
        };
    }
}

/// Whether the object of that name and uid is there.
pub(super) async fn exists<K>(context: &Context, objects: &Store<K>, namespace: &Name, name: &str, uid: &str) -> Result<bool, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let cached = objects.get(&ObjectRef::new(name).within(namespace.as_str()));
    if cached.is_some_and(|object| object.uid().as_deref() == Some(uid)) {
        return Ok(true);
    }
    let found = context.within::<K>(namespace.as_str()).get_metadata_opt(name).await?;
    Ok(found.is_some_and(|object| object.uid().as_deref() == Some(uid)))
}
