//! The password of the Redis of an installation: made once, and never seen by a template.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use rand::RngExt as _;
use rand::distr::Alphanumeric;

use super::{Error, cluster, failed};
use crate::api::Name;

/// 190 bits.
const CHARACTERS: usize = 32;

/// Makes the Secret with a random password, unless it is there.
///
/// # Errors
/// The API server is away or refuses, or there is a Secret of that name without that key.
pub async fn make(namespace: &Name, secret: &str, key: &str) -> Result<&'static str, Error> {
    let secrets = Api::<Secret>::namespaced(cluster().await?, namespace.as_str());
    if let Some(found) = secrets.get_opt(secret).await.map_err(failed(format!("read the Secret {secret}")))? {
        let has_it = found.data.is_some_and(|data| data.contains_key(key));
        return if has_it { Ok("the Secret is there") } else { Err(Error::NoKey { secret: secret.to_owned(), key: key.to_owned() }) };
    }
    let password: String = rand::rng().sample_iter(Alphanumeric).take(CHARACTERS).map(char::from).collect();
    let labels = [("name", "everloop"), ("component", "redis"), ("part-of", "everloop")];
    let labels = labels.map(|(name, value)| (format!("app.kubernetes.io/{name}"), value.to_owned()));
    let made = Secret {
        metadata: ObjectMeta { name: Some(secret.to_owned()), labels: Some(BTreeMap::from(labels)), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([(key.to_owned(), password)])),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &made).await {
        Ok(_) => Ok("the Secret is made"),
        // Another one of us was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok("the Secret is there"),
        Err(error) => Err(failed(format!("make the Secret {secret}"))(error)),
    }
}
