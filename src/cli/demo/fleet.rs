//! The processes of the demo: its own program in its different roles, started, killed and cleaned up by process id.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::cli::error::{CliError, Exit, RoleCode};

/// Set for the children: they end when their parent does, however it ended.
const PARENT_VARIABLE: &str = "EVERLOOP_DEMO_PARENT";
/// A process that is not there after this long never comes.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Lines of a log that say why a process ended.
const TAIL_LINES: usize = 12;

/// A process of the demo.
struct Member {
    name: String,
    child: Child,
}

/// See the module. Dropping it kills every process and removes every file.
pub struct Fleet {
    program: PathBuf,
    folder: Folder,
    shop: SocketAddr,
    queue: SocketAddr,
    store: String,
    pool: String,
    members: Vec<Member>,
}

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The queue service among the members.
pub const QUEUE: &str = "queue";
/// The shop among the members.
const SHOP: &str = "shop";

impl Fleet {
    /// Chooses ports and makes a folder; starts nothing. `store` is `file` or the URL of a Redis.
    pub fn new(store: &str, pool: &str) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(|e| CliError::io("find this program's own file", &e))?;
        let folder = std::env::temp_dir().join(format!("everloop-demo-{}", std::process::id()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|e| CliError::io(&format!("make the folder {}", folder.display()), &e))?;
        let store = if store == "file" { format!("file:{}", folder.join("demo.redb").display()) } else { store.to_owned() };
        let folder = Folder(folder);
        Ok(Self { program, folder, shop: free_address()?, queue: free_address()?, store, pool: pool.into(), members: Vec::new() })
    }

    /// The queue service's address, the same after a restart.
    pub fn server(&self) -> String {
        format!("http://{}", self.queue)
    }

    /// The shop's address.
    pub fn shop(&self) -> String {
        format!("http://{}", self.shop)
    }

    /// Starts the shop.
    pub fn start_shop(&mut self, seed: u64) -> Result<(), CliError> {
        let (listen, seed) = (self.shop.to_string(), seed.to_string());
        self.start(SHOP, &["demo-shop", "--listen", &listen, "--seed", &seed])
    }

    /// Starts the queue service, on the same address and store as before.
    pub fn start_queue(&mut self) -> Result<(), CliError> {
        let (listen, store) = (self.queue.to_string(), self.store.clone());
        self.start(QUEUE, &["queue", "--listen", &listen, "--store", &store, "--durability", "strict"])
    }

    /// Starts a worker.
    pub fn start_worker(&mut self, name: &str) -> Result<(), CliError> {
        let (server, pool) = (self.server(), self.pool.clone());
        self.start(name, &["worker", "--server", &server, "--pool", &pool, "--name", name, "--allow-local", "--loops", "1"])
    }

    fn start(&mut self, name: &str, args: &[&str]) -> Result<(), CliError> {
        let failed = |e: &std::io::Error| CliError::io(&format!("start the process {name}"), e);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log(name)).map_err(|e| failed(&e))?;
        let err = log.try_clone().map_err(|e| failed(&e))?;
        let mut command = Command::new(&self.program);
        // What the caller's environment says about a store, a pool or a token is not meant for these.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("EVERLOOP_") {
                command.env_remove(&variable);
            }
        }
        command.args(args).env(PARENT_VARIABLE, std::process::id().to_string()).current_dir(&self.folder.0);
        command.stdin(Stdio::null()).stdout(log).stderr(err).kill_on_drop(true);
        // Ctrl-C is for the demo, which then ends its processes itself.
        command.process_group(0);
        let child = command.spawn().map_err(|e| failed(&e))?;
        self.members.push(Member { name: name.to_owned(), child });
        Ok(())
    }

    /// SIGKILL, by process id; back when it is gone. The id, when there was such a process.
    pub async fn kill(&mut self, name: &str) -> Option<u32> {
        let at = self.members.iter().position(|member| member.name == name)?;
        let mut member = self.members.remove(at);
        let pid = member.child.id();
        let _ = member.child.kill().await;
        pid
    }

    /// The workers that are there.
    pub fn workers(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).filter(|name| name != QUEUE && name != SHOP).collect()
    }

    /// Says so when a process has ended that nobody killed.
    pub fn check(&mut self) -> Result<(), CliError> {
        let mut dead = None;
        for member in &mut self.members {
            if let Ok(Some(status)) = member.child.try_wait() {
                dead = Some((member.name.clone(), status));
            }
        }
        dead.map_or(Ok(()), |(name, status)| Err(self.ended(&name, status)))
    }

    fn ended(&self, name: &str, status: ExitStatus) -> CliError {
        let what = format!("the process {name} ended by itself ({status}); the last of its log:\n{}", self.tail(name));
        CliError::Role { code: RoleCode::DemoBroke, what, next: String::new(), exit: Exit::Server }
    }

    /// The last lines that a process has written.
    fn tail(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| format!("  {line}\n")).collect()
    }

    /// Waits until something listens at an address.
    pub async fn listening(&mut self, address: &str) -> Result<(), CliError> {
        let began = Instant::now();
        let target = address.trim_start_matches("http://").to_owned();
        while tokio::net::TcpStream::connect(&target).await.is_err() {
            self.check()?;
            if began.elapsed() > START_PATIENCE {
                let what = format!("nothing listens at {address} after {}s", START_PATIENCE.as_secs());
                return Err(CliError::Role { code: RoleCode::DemoBroke, what, next: String::new(), exit: Exit::Server });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Kills what is left, waits until it is gone, and removes the files. Does all it can, then tells the first that failed.
    pub async fn end(&mut self) -> Result<(), CliError> {
        let mut outcome = Ok(());
        for mut member in self.members.drain(..) {
            let killed = member.child.kill().await.map_err(|e| CliError::io(&format!("end the process {}", member.name), &e));
            outcome = outcome.and(killed);
        }
        let folder = &self.folder.0;
        let removed = std::fs::remove_dir_all(folder).map_err(|e| CliError::io(&format!("remove the folder {}", folder.display()), &e));
        outcome.and(removed)
    }

    fn log(&self, name: &str) -> PathBuf {
        Path::new(&self.folder.0).join(format!("{name}.log"))
    }
}

/// A port that is free now; whoever takes it in the next moments makes the start fail, and says so.
fn free_address() -> Result<SocketAddr, CliError> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map_err(|e| CliError::io("find a free port", &e))
}

/// For a process that the demo started: it ends with the demo, even one that was killed and could clean up nothing.
pub fn end_with_parent() -> Result<(), CliError> {
    let Ok(parent) = std::env::var(PARENT_VARIABLE) else { return Ok(()) };
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| CliError::io("ask to end with the demo", &e.into()))?;
        // It may have died before the line above.
        if getppid().is_none_or(|pid| pid.as_raw_nonzero().get().to_string() != parent) {
            return Err(CliError::input("the demo that this process belongs to has ended", ""));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Ok(())
}
