//! The objects of a kind as a controller sees them: a cache without what nobody reads, and a word when one is gone.

use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{Controller, WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::context::Context;

/// What `kubectl apply` writes: the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A controller of a kind, and its cache. `slim` takes out of an object what no pass reads. `gone` is told when the cache is complete for
/// the first time, when an object is deleted, and when one may have been while nothing was heard.
pub(super) fn watched<K>(context: &Arc<Context>, slim: fn(&mut K), gone: fn(&Context) -> &Notify) -> (Controller<K>, Store<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let api: Api<K> = context.all();
    let (cache, writer) = reflector::store();
    let context = context.clone();
    let objects = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(move |object: &mut K| {
            object.managed_fields_mut().clear();
            object.annotations_mut().remove(LAST_APPLIED);
            slim(object);
        })
        .reflect(writer)
        .inspect(move |event| {
            if let Ok(watcher::Event::Delete(_) | watcher::Event::InitDone) = event {
                gone(&context).notify_one();
            }
        })
        .applied_objects();
    (Controller::for_stream(objects, cache.clone()), cache)
}
