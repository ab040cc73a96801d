//! Whether what is there is what was applied, and who has made it something else.

use kube::ResourceExt as _;
use kube::core::DynamicObject;
use serde_json::Value;

use super::wanted::{POOL_GENERATION, SPEC_HASH};
use crate::crd::resources::WorkerPool;
use crate::operator::status::MANAGER;

/// Whether an object belongs to the pool.
pub(super) fn is_ours(found: &DynamicObject, pool: &WorkerPool) -> bool {
    found.owner_references().iter().any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pool.metadata.uid.as_ref())
}

/// Whether an object was applied from a pool of a later generation than the one that is known here: who knows that one has led since.
pub(super) fn is_of_a_later(found: &DynamicObject, pool: &WorkerPool) -> bool {
    let applied = found.annotations().get(POOL_GENERATION).and_then(|generation| generation.parse::<i64>().ok());
    applied.is_some_and(|applied| applied > pool.metadata.generation.unwrap_or(0))
}

/// Whether an object was applied from this, whatever was done to it since.
pub(super) fn was_applied_from(found: &DynamicObject, wanted: &Value) -> bool {
    found.annotations().get(SPEC_HASH).map(String::as_str) == wanted["metadata"]["annotations"][SPEC_HASH].as_str()
}

/// The first field that is wanted and is not what it was when the object was applied. Only the API server knows how it writes what was
/// applied (`1000m` is `1` there, and empty texts are left out), so what is there now is compared with its answer of then.
pub(super) fn first_difference(found: &DynamicObject, applied: &DynamicObject, wanted: &Value) -> Option<String> {
    let fields = wanted.as_object().into_iter().flatten().filter(|(name, _)| !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
    fields.into_iter().find_map(|(name, wanted)| difference(name, &found.data[name], &applied.data[name], wanted))
}

fn difference(path: &str, found: &Value, applied: &Value, wanted: &Value) -> Option<String> {
    match (found, applied, wanted) {
        (Value::Object(_), Value::Object(_), Value::Object(wanted)) => {
            wanted.iter().find_map(|(name, wanted)| difference(&format!("{path}.{name}"), &found[name], &applied[name], wanted))
        }
        (Value::Array(found), Value::Array(applied), Value::Array(wanted))
            if found.len() == applied.len() && applied.len() == wanted.len() =>
        {
            let items = found.iter().zip(applied).zip(wanted).enumerate();
            items.into_iter().find_map(|(at, ((found, applied), wanted))| difference(&format!("{path}[{at}]"), found, applied, wanted))
        }
        (found, applied, _) => (found != applied).then(|| path.to_owned()),
    }
}

/// Who wrote last beside us.
pub(super) fn last_other_manager(found: &DynamicObject) -> Option<String> {
    let others = found.managed_fields().iter().filter(|entry| entry.subresource.is_none() && entry.manager.as_deref() != Some(MANAGER));
    others.max_by_key(|entry| entry.time.clone())?.manager.clone()
}
