//! The API server: which one, as whom, and how long an answer is waited for.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::error::{Error, Right};
use crate::api::Name;

/// For one answer: somebody waits at a terminal, and a cluster that is away often drops what is sent to it.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Cluster {
    pub(super) client: Client,
    /// In words.
    pub(super) name: String,
    /// The namespace of the context, or of the pod; as for kubectl.
    pub(super) namespace: Name,
}

impl Cluster {
    /// That of the kubeconfig, as kubectl reads it; without one, that of the pod's service account.
    pub(super) async fn of(context: Option<String>) -> Result<Self, Error> {
        let unusable = |error: &dyn std::error::Error| Error::Kubeconfig(innermost(error));
        let kubeconfig = read().map_err(|e| unusable(&e))?;
        let current = |kubeconfig: &Kubeconfig| kubeconfig.current_context.clone().filter(|name| !name.is_empty());
        let (config, name) = match (kubeconfig, context) {
            (Some(kubeconfig), context) if context.is_some() || current(&kubeconfig).is_some() => {
                let context = context.or_else(|| current(&kubeconfig));
                let known: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
                if let Some(name) = context.as_ref().filter(|name| !known.contains(name)) {
                    return Err(Error::Kubeconfig(format!("it has no context {name:?}, but {}", listed(&known))));
                }
                let name = format!("the cluster of context {:?}", context.as_deref().unwrap_or_default());
                let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
                (Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| unusable(&e))?, name)
            }
            (None, Some(context)) => return Err(Error::Kubeconfig(format!("there is none, and so no context {context:?}"))),
            (kubeconfig, _) => {
                let why = if kubeconfig.is_some() { "the kubeconfig has no current context" } else { "there is no kubeconfig" };
                (Config::incluster().map_err(|_| Error::NoCluster(why.to_owned()))?, "the cluster of this pod".to_owned())
            }
        };
        let namespace = &config.default_namespace;
        let namespace = namespace.parse().map_err(|e| Error::Kubeconfig(format!("the namespace {namespace:?} of its context: {e}")))?;
        // It may run the kubeconfig's program for credentials, and waits for it.
        let client = tokio::task::spawn_blocking(|| Client::try_from(config)).await;
        let client = client.map_err(|e| Error::Kubeconfig(e.to_string()))?.map_err(|e| unusable(&e))?;
        Ok(Self { client, name, namespace })
    }

    /// One question, for which one needs this right.
    pub(super) async fn ask<T>(&self, right: Right, question: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
        let cluster = self.name.clone();
        match tokio::time::timeout(ANSWER_MAX, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => Err(Error::Unknown { cluster, detail: status.message.clone() }),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                Err(Error::Refused { cluster, right, detail: status.message.clone() })
            }
            Ok(Err(kube::Error::Api(status))) => Err(Error::Unreachable { cluster, detail: status.message.clone() }),
            Ok(Err(error @ kube::Error::Auth(_))) => Err(Error::Unknown { cluster, detail: innermost(&error) }),
            Ok(Err(error)) => Err(Error::Unreachable { cluster, detail: innermost(&error) }),
            Err(_) => Err(Error::Unreachable { cluster, detail: format!("nothing came within {} s", ANSWER_MAX.as_secs()) }),
        }
    }

    pub(super) fn not_installed(&self, namespace: Option<&str>) -> Error {
        let place = namespace.map_or_else(|| "any namespace".to_owned(), |namespace| format!("namespace {namespace}"));
        Error::NotInstalled { cluster: self.name.clone(), place }
    }
}

/// The files of `KUBECONFIG`, or the one of the home folder; none when none of them is there, as kubectl has it.
fn read() -> Result<Option<Kubeconfig>, KubeconfigError> {
    let files: Vec<PathBuf> = match std::env::var_os("KUBECONFIG").filter(|files| !files.is_empty()) {
        Some(files) => std::env::split_paths(&files).filter(|file| !file.as_os_str().is_empty()).collect(),
        None => std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
    };
    let mut all: Option<Kubeconfig> = None;
    for file in files.iter().filter(|file| file.exists()) {
        let next = Kubeconfig::read_from(file)?;
        all = Some(match all {
            Some(all) => all.merge(next)?,
            None => next,
        });
    }
    Ok(all)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}

/// What a person can act on, without the layers above it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
