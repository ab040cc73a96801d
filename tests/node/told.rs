//! What was done when, on the one clock of this machine: what processes wrote in their logs, and what is seen of objects. In
//! microseconds since 1970.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, Resource};
use serde_json::Value;

use crate::cluster::cluster;
use crate::namespace::Namespace;

pub type Micros = i64;

pub fn now() -> Micros {
    jiff::Timestamp::now().as_microsecond()
}

/// Least, middle and most, in milliseconds.
pub fn spread(mut times: Vec<Micros>) -> String {
    times.sort_unstable();
    let ms = |index: usize| times[index] / 1_000;
    format!("{} ms ({} to {})", ms(times.len() / 2), ms(0), ms(times.len() - 1))
}

/// A line of a log.
#[derive(Debug, Clone)]
pub struct Line {
    pub at: Micros,
    pub fields: Value,
}

impl Line {
    pub fn says(&self, message: &str) -> bool {
        self.fields["message"] == message
    }

    pub fn field(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap_or_default()
    }
}

/// What the containers of a pod have written, also one that died; nothing when there is no such pod any more.
pub fn log(namespace: &Namespace, pod: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for more in [&["--previous"][..], &[]] {
        let output = cluster().try_kubectl(&[&["--namespace", &namespace.0, "logs", pod], more].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.extend(text.lines().filter_map(|line| {
            let fields: Value = serde_json::from_str(line).ok()?;
            let at = fields["timestamp"].as_str()?.parse::<jiff::Timestamp>().ok()?.as_microsecond();
            Some(Line { at, fields })
        }));
    }
    lines
}

/// Of all pods with a label, in the order of time.
pub fn logs(namespace: &Namespace, label: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = namespace.pods(label).iter().flat_map(|pod| log(namespace, pod)).collect();
    lines.sort_by_key(|line| line.at);
    lines
}

/// Objects of a kind in a namespace, each time that they change, as long as the test's runtime lives.
#[derive(Clone)]
pub struct Watched(Arc<Mutex<Vec<(Micros, Value)>>>);

impl Watched {
    pub async fn all<K: Resource<DynamicType = ()>>(namespace: &Namespace) -> Self {
        let kubeconfig = Kubeconfig::read_from(cluster().kubeconfig()).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a cluster");
        let client = Client::try_from(config).expect("a client");
        let api = Api::<DynamicObject>::namespaced_with(client, &namespace.0, &ApiResource::erase::<K>(&()));
        let seen = Self(Arc::default());
        let (watched, (began, begins)) = (seen.clone(), tokio::sync::oneshot::channel());
        tokio::spawn(async move {
            let mut began = Some(began);
            let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
            while let Ok(event) = events.try_next().await {
                match event {
                    Some(Event::Apply(object) | Event::InitApply(object)) => {
                        let object = serde_json::to_value(&object).expect("JSON");
                        watched.0.lock().expect("no panic while it is held").push((now(), object));
                    }
                    Some(Event::InitDone) => drop(began.take().map(|began| began.send(()))),
                    Some(Event::Init | Event::Delete(_)) => {}
                    None => return,
                }
            }
        });
        begins.await.expect("the watch begins");
        seen
    }

    /// The first sight of what holds, from then on.
    pub fn first(&self, since: Micros, holds: impl Fn(&Value) -> bool) -> Option<(Micros, Value)> {
        let seen = self.0.lock().expect("no panic while it is held");
        seen.iter().find(|(at, object)| *at >= since && holds(object)).cloned()
    }
}

/// When containers were started, as our containerd tells it.
pub struct Started {
    folder: tempfile::TempDir,
    _process: crate::process::Process,
}

impl Started {
    /// From now on; none in somebody else's cluster.
    pub fn watch() -> Option<Self> {
        let socket = cluster().containerd()?;
        let folder = tempfile::tempdir().expect("a folder");
        let file = std::fs::File::create(folder.path().join("events")).expect("a file");
        let mut command = Command::new("ctr");
        command.arg("--address").arg(socket).args(["--namespace", "k8s.io", "events"]).stdout(file).stderr(Stdio::null());
        Some(Self { folder, _process: crate::process::Process::spawn("ctr", &mut command) })
    }

    /// When a container's process was started.
    pub fn at(&self, container: &str) -> Option<Micros> {
        let text = std::fs::read_to_string(self.folder.path().join("events")).expect("a file");
        let line = text.lines().find(|line| line.contains("/tasks/start") && line.contains(container))?;
        let mut words = line.split_whitespace();
        let at = format!("{}T{}Z", words.next()?, words.next()?);
        Some(at.parse::<jiff::Timestamp>().expect("a time").as_microsecond())
    }
}
