//! Writing statuses, and the times in them.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::context::{Context, Error};
use crate::api::TimeMs;
use crate::crd::resources::{Condition, HasConditions};

/// Things are applied together: what is missing may be on its way for so long.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// Under whose name fields are written.
pub(super) const MANAGER: &str = "everloop";

/// The time, as objects have it: whole seconds of UTC.
pub(super) fn now() -> String {
    seconds(jiff::Timestamp::now())
}

/// A time of the store.
pub(super) fn time(at: TimeMs) -> Option<String> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok().map(seconds)
}

fn seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long before `now` that was, in whole seconds; nothing when one of them is no time.
pub(super) fn since(at: Option<&Time>, now: &str) -> Duration {
    let now = now.parse::<jiff::Timestamp>().ok();
    let seconds = at.zip(now).map_or(0, |(at, now)| now.as_second() - at.0.as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Writes a status as a whole, unless it is what is there. The object must be as it was observed.
pub(super) async fn write<K, S>(context: &Context, object: &K, before: Option<&S>, status: &S) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    S: Serialize + PartialEq + HasConditions,
{
    if before == Some(status) {
        return Ok(());
    }
    let api = context.beside::<K>(object);
    // A merge would leave fields that are gone: they are told to be null.
    let mut fields = serde_json::to_value(status).unwrap_or_default();
    if let (Some(fields), Some(before)) = (fields.as_object_mut(), before.and_then(|before| serde_json::to_value(before).ok())) {
        for gone in before.as_object().into_iter().flat_map(|before| before.keys()) {
            fields.entry(gone.clone()).or_insert(serde_json::Value::Null);
        }
    }
    let patch = json!({"metadata": {"resourceVersion": object.resource_version()}, "status": fields});
    let by = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    api.patch_status(&object.name_any(), &by, &Patch::Merge(patch)).await?;
    if let Some(stalled) = newly_stalled(before, status) {
        context.event(object, EventType::Warning, &stalled.reason, &stalled.message).await;
    }
    Ok(())
}

/// What needs a person from now on, or for another reason than before.
fn newly_stalled<'s, S: HasConditions>(before: Option<&S>, status: &'s S) -> Option<&'s Condition> {
    let stalled = status.conditions().get("Stalled").filter(|stalled| stalled.status == "True")?;
    let known = before.and_then(|before| before.conditions().get("Stalled"));
    known.is_none_or(|known| known.status != "True" || known.reason != stalled.reason).then_some(stalled)
}
