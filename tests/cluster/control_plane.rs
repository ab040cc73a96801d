//! A control plane of Kubernetes of the tests' own: etcd, API server and controller manager on ports of 127.0.0.1, one for all
//! tests of this program, which have a namespace each. There is no node: pods are made and stay pending.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Process, free_port};

/// Who asked for what; a watch when it begins.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, userGroups: [system:serviceaccounts]}
  - {level: None}
";

/// What this starts ends with us, in whatever way we end.
pub fn bound_to_us(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        command.pre_exec(|| rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(Into::into))
    }
}

pub struct ControlPlane {
    kube: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

/// The one of this program. Its processes end with it.
pub fn control_plane() -> &'static ControlPlane {
    static PLANE: OnceLock<ControlPlane> = OnceLock::new();
    PLANE.get_or_init(|| {
        // The death signal comes when the thread ends that started a process: this one does not end.
        let (started, plane) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (plane, _processes) = ControlPlane::start();
            started.send(plane).expect("the test waits");
            loop {
                std::thread::park();
            }
        });
        plane.recv().expect("the control plane starts")
    })
}

impl ControlPlane {
    fn start() -> (Self, [Process; 3]) {
        let kube = std::env::var_os("EVERLOOP_TEST_KUBE")
            .expect("EVERLOOP_TEST_KUBE is not set: run the tests by `make test`, which builds a control plane");
        let (etcd, peers, api) = (free_port(), free_port(), free_port());
        let plane = Self { kube: kube.into(), folder: tempfile::tempdir().expect("a folder"), port: api };
        let key = plane.path("service-accounts.key");
        assert!(plane.command("key").arg(&key).status().expect("kube runs").success());
        std::fs::write(plane.path("tokens.csv"), "admin,admin,admin,\"system:masters\"\n").expect("a file");
        std::fs::write(plane.kubeconfig(), kubeconfig(api, "admin")).expect("a file");
        std::fs::write(plane.path("audit.yaml"), AUDIT).expect("a file");
        let etcd_url = format!("http://127.0.0.1:{etcd}");
        let mut command = plane.command("etcd");
        command.arg(plane.path("etcd")).arg(&etcd_url).arg(format!("http://127.0.0.1:{peers}"));
        let etcd = plane.spawn(&mut command, "etcd");
        let mut command = plane.command("kube-apiserver");
        command
            .args(["--bind-address=127.0.0.1", "--authorization-mode=RBAC", "--endpoint-reconciler-type=none"])
            .args(["--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16"])
            // Whoever makes an object that holds up the deletion of its owner needs a right over the owner, as on OpenShift.
            .arg("--enable-admission-plugins=OwnerReferencesPermissionEnforcement")
            .arg(format!("--audit-policy-file={}", plane.path("audit.yaml").display()))
            .arg(format!("--audit-log-path={}", plane.audit_log().display()))
            .args([format!("--etcd-servers={etcd_url}"), format!("--secure-port={api}")])
            .arg(format!("--cert-dir={}", plane.path("certificates").display()))
            .arg(format!("--token-auth-file={}", plane.path("tokens.csv").display()))
            .arg(format!("--service-account-key-file={}", key.display()))
            .arg(format!("--service-account-signing-key-file={}", key.display()));
        let api = plane.spawn(&mut command, "kube-apiserver");
        plane.until("the API server is ready", || plane.try_kubectl(&["get", "--raw", "/readyz"]).status.success());
        let mut command = plane.command("kube-controller-manager");
        command
            .args(["--leader-elect=false", "--secure-port=0"])
            .arg(format!("--kubeconfig={}", plane.kubeconfig().display()))
            .arg(format!("--service-account-private-key-file={}", key.display()));
        let controllers = plane.spawn(&mut command, "kube-controller-manager");
        for file in crate::APPLIED {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            plane.kubectl(&["apply", "--server-side", "-f", &path.display().to_string()]);
        }
        if !crate::APPLIED.is_empty() {
            plane.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]);
        }
        (plane, [etcd, api, controllers])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What service accounts have asked the API server, a line of JSON each.
    pub fn audit_log(&self) -> PathBuf {
        self.path("audit.log")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// A kubeconfig of a service account that has the operator's rights in one namespace, and no others.
    pub fn operators_kubeconfig(&self, namespace: &str) -> PathBuf {
        self.kubectl(&["-n", namespace, "create", "serviceaccount", "operator"]);
        for role in ["everloop-operator", "everloop-operator-installation"] {
            self.bind(namespace, role, namespace);
        }
        self.kubeconfig_of(namespace, "operator")
    }

    /// The port of the API server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A kubeconfig of a service account.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.kubectl(&["-n", namespace, "create", "token", account]);
        let file = self.path(&format!("{account}-of-{namespace}"));
        std::fs::write(&file, kubeconfig(self.port, token.trim())).expect("a file");
        file
    }

    /// Gives the operator of an installation a role in a namespace.
    pub fn bind(&self, namespace: &str, role: &str, installation: &str) {
        let (role, account) = (format!("--clusterrole={role}"), format!("--serviceaccount={installation}:operator"));
        self.kubectl(&["-n", namespace, "create", "rolebinding", role.trim_start_matches("--clusterrole="), &role, &account]);
    }

    fn command(&self, which: &str) -> Command {
        let mut command = Command::new(&self.kube);
        command.arg(which);
        command
    }

    /// Its log stands in our folder.
    fn spawn(&self, command: &mut Command, name: &str) -> Process {
        let log = std::fs::File::create(self.path(&format!("{name}.log"))).expect("a log file");
        Process::spawn(name, bound_to_us(command).stdout(log.try_clone().expect("the same file")).stderr(log))
    }

    /// Waits, a minute at most.
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !holds() {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(10).collect();
                panic!("not within a minute: {what}; the API server's last lines:\n{}", tail.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        self.command("kubectl").env("KUBECONFIG", self.kubeconfig()).args(arguments).stdin(Stdio::null()).output().expect("kubectl runs")
    }

    /// What it prints; it must succeed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

/// A namespace of a test, by its name.
#[derive(Clone)]
pub struct Namespace(pub String);

impl Namespace {
    pub fn new(name: &str) -> Self {
        control_plane().kubectl(&["create", "namespace", name]);
        Self(name.to_owned())
    }

    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        control_plane().kubectl(&[&["--namespace", &self.0], arguments].concat())
    }

    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        control_plane().try_kubectl(&[&["--namespace", &self.0], arguments].concat())
    }

    /// Applies a document, as a user would; what kubectl says when it is refused.
    pub fn apply(&self, document: &str) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), document).expect("a file");
        let output = self.try_kubectl(&["apply", "-f", &file.path().display().to_string()]);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    pub fn get(&self, what: &str) -> Option<Value> {
        let output = self.try_kubectl(&["get", what, "-o", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Waits until an object has a condition with this status and reason; the condition.
    #[track_caller]
    pub fn condition(&self, what: &str, kind: &str, status: &str, reason: &str) -> Value {
        let mut last = Value::Null;
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let object = self.get(what).unwrap_or_default();
            let found = object["status"]["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
            let seen = |found: &&Value| found["observedGeneration"] == object["metadata"]["generation"];
            if let Some(found) = found.filter(|found| found["status"] == status && found["reason"] == reason).filter(seen) {
                return found.clone();
            }
            last = if object["status"].is_null() { last } else { object["status"].clone() };
            assert!(Instant::now() < deadline, "{what} has no {kind}={status}/{reason} within a minute; its status: {last:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Namespace {
    /// Reasons of the events of an object, each as often as it was told.
    pub fn events(&self, kind: &str, name: &str) -> Vec<String> {
        let list = self.get("events.events.k8s.io").expect("events");
        let ours = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| event["regarding"]["kind"] == kind && event["regarding"]["name"] == name);
        ours.map(|event| event["reason"].as_str().expect("a reason").to_owned()).collect()
    }
}

fn kubeconfig(port: u16, token: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{port}', insecure-skip-tls-verify: true}}}}]
users: [{{name: user, user: {{token: {token}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: user}}}}]
current-context: test
"
    )
}
