//! The cluster of this program: one for all of its tests, which have a namespace each. It runs in namespaces of its own (processes,
//! network, mounts) and ends with us, whatever way we end; `kubectl` and the services are reached from here.
//!
//! With `EVERLOOP_TEST_KUBECONFIG` it is a cluster of somebody else's: its nodes must have the images, of the same names.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, UnixStream};

use crate::process::{Process, free_port};

/// The image of all of Everloop's roles, from the Dockerfile.
pub const EVERLOOP: &str = "localhost/everloop:test";
/// For what takes as long as a busy machine makes it.
pub const PATIENCE: Duration = Duration::from_mins(3);

pub struct Cluster {
    kube: PathBuf,
    kubeconfig: PathBuf,
    /// Of our own cluster.
    folder: Option<PathBuf>,
}

/// The one of this program.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let kube = variable("EVERLOOP_TEST_KUBE").into();
        match std::env::var_os("EVERLOOP_TEST_KUBECONFIG") {
            Some(kubeconfig) => Cluster { kube, kubeconfig: kubeconfig.into(), folder: None },
            None => own(kube),
        }
    })
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `make test`, which builds what they need"))
}

/// Where the archive of an image is (scripts/build-image).
pub fn archive(name: &str) -> String {
    let archives = variable("EVERLOOP_TEST_IMAGES");
    let is = |archive: &&str| Path::new(archive).file_name().is_some_and(|file| file.to_string_lossy().starts_with(name));
    archives.split_whitespace().find(is).unwrap_or_else(|| panic!("no archive of {name} in EVERLOOP_TEST_IMAGES={archives}")).to_owned()
}

/// A cluster of our own, in target/tmp: what the last one left there is removed.
fn own(kube: PathBuf) -> Cluster {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let log = std::fs::File::create(folder.join("cluster.log")).expect("a log file");
    let mut command = Command::new(&kube);
    command.arg("cluster").arg(&folder).arg(variable("EVERLOOP_TEST_COREDNS")).args(variable("EVERLOOP_TEST_IMAGES").split_whitespace());
    command.stdout(log.try_clone().expect("the same file")).stderr(log);
    ends_with_us(&mut command);
    let (started, starts) = std::sync::mpsc::channel();
    // The signal comes when the thread ends that started the process: this one does not end.
    std::thread::spawn(move || {
        started.send(Process::spawn("cluster", &mut command)).expect("the test waits");
        loop {
            std::thread::park();
        }
    });
    let mut process = starts.recv().expect("the cluster's process starts");
    let deadline = Instant::now() + PATIENCE;
    while !folder.join("ready").exists() {
        let said = std::fs::read_to_string(folder.join("cluster.log")).unwrap_or_default();
        assert!(process.is_alive(), "the cluster ended while it started: {said}; logs are in {}", folder.display());
        assert!(Instant::now() < deadline, "the cluster is not ready within {PATIENCE:?}: {said}; logs are in {}", folder.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    // It ends by the signal.
    std::mem::forget(process);
    Cluster { kube, kubeconfig: folder.join("kubeconfig"), folder: Some(folder) }
}

/// SIGTERM when we end, so that it can take away what it made.
fn ends_with_us(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        command.pre_exec(|| rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM)).map_err(Into::into));
    }
}

impl Cluster {
    /// Or somebody else's.
    pub fn is_ours(&self) -> bool {
        self.folder.is_some()
    }

    /// For a program that looks for the cluster by itself.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kube);
        command.arg("kubectl").env("KUBECONFIG", &self.kubeconfig).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_command(arguments).output().expect("kubectl runs")
    }

    /// What it prints; it must succeed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What Helm prints, with a home of its own; it must succeed.
    #[track_caller]
    pub fn helm(&self, arguments: &[&str]) -> String {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
        let mut command = Command::new(variable("EVERLOOP_TEST_HELM"));
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, &home);
        }
        let output = command.env("KUBECONFIG", &self.kubeconfig).args(arguments).stdin(Stdio::null()).output().expect("helm runs");
        assert!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// An address of this machine that leads to a service, to whichever pod of it: for as long as the test's runtime lives.
    pub async fn reach(&self, namespace: &str, service: &str, port: u16) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        match &self.folder {
            Some(folder) => {
                // The first line says where to (tests/cluster/kube/relay.go).
                let target = format!("{service}.{namespace}.svc.cluster.local:{port}\n");
                tokio::spawn(relay(listener, folder.join("dial.sock"), target));
            }
            None => drop(tokio::spawn(forward(
                self.kubeconfig.clone(),
                self.kube.clone(),
                listener,
                namespace.to_owned(),
                service.to_owned(),
                port,
            ))),
        }
        format!("http://{address}")
    }

    /// SIGKILL to the only container of a pod; in somebody else's cluster to the whole pod.
    pub fn kill_container(&self, namespace: &str, pod: &str) {
        if self.is_ours() {
            self.signal_container(namespace, pod, "SIGKILL");
        } else {
            self.kubectl(&["--namespace", namespace, "delete", "pod", pod, "--grace-period=0", "--force"]);
        }
    }

    /// A signal, from outside of it, to the first process of the only container of a pod of our own cluster.
    pub fn signal_container(&self, namespace: &str, pod: &str, signal: &str) {
        let folder = self.folder.as_ref().expect("our own cluster");
        let id = self.kubectl(&["--namespace", namespace, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].containerID}"]);
        let id = id.strip_prefix("containerd://").expect("a container of containerd");
        ctr(folder, &["tasks", "kill", "--signal", signal, id]);
    }

    /// The socket of our own containerd.
    pub fn containerd(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join("containerd.sock"))
    }

    /// Our image under another name, as a new release has it; in somebody else's cluster the image as it is.
    pub fn another_image(&self) -> String {
        let Some(folder) = &self.folder else { return EVERLOOP.to_owned() };
        let next = format!("{EVERLOOP}-next");
        ctr(folder, &["images", "tag", "--force", EVERLOOP, &next]);
        next
    }
}

/// Tells our containerd.
#[track_caller]
fn ctr(folder: &Path, arguments: &[&str]) {
    let done = Command::new("ctr")
        .args(["--address".as_ref(), folder.join("containerd.sock").as_os_str()])
        .args(["--namespace", "k8s.io"])
        .args(arguments)
        .output()
        .expect("ctr runs: `make tools` installs containerd");
    assert!(done.status.success(), "ctr {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// What a GET answers, once it answers with 200: an address of a service leads somewhere a moment after its pods are ready.
pub async fn answer(url: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let failure = match reqwest::get(url).await {
            Ok(answer) if answer.status() == 200 => return answer.text().await.expect("a body"),
            Ok(answer) => answer.status().to_string(),
            Err(failure) => failure.to_string(),
        };
        assert!(Instant::now() < deadline, "{url} does not answer within {PATIENCE:?}: {failure}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn relay(listener: TcpListener, dial: PathBuf, target: String) {
    while let Ok((mut outer, _)) = listener.accept().await {
        let (dial, target) = (dial.clone(), target.clone());
        tokio::spawn(async move {
            let mut inner = UnixStream::connect(dial).await?;
            inner.write_all(target.as_bytes()).await?;
            copy_bidirectional(&mut outer, &mut inner).await
        });
    }
}

/// By `kubectl port-forward`, which ends with the pod that it leads to: then anew.
async fn forward(kubeconfig: PathBuf, kube: PathBuf, listener: TcpListener, namespace: String, service: String, port: u16) {
    let local = free_port();
    let keep = async {
        loop {
            let mut command = tokio::process::Command::new(&kube);
            command.args(["kubectl", "--namespace", &namespace, "port-forward", &format!("service/{service}"), &format!("{local}:{port}")]);
            command.env("KUBECONFIG", &kubeconfig).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            let _ = command.status().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let serve = async {
        while let Ok((mut outer, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut inner = tokio::net::TcpStream::connect(("127.0.0.1", local)).await?;
                copy_bidirectional(&mut outer, &mut inner).await
            });
        }
    };
    tokio::join!(keep, serve);
}
