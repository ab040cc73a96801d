//! A Postgres of Debian, with fsync.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::port::free_port;
use crate::process::{Process, unprivileged};

pub struct Postgres {
    pub port: u16,
    pub version: String,
    process: Process,
}

/// The newest that is installed.
pub fn binaries() -> Option<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(|v| Some(v.ok()?.path().join("bin"))).collect();
    all.retain(|folder| folder.join("postgres").exists());
    all.sort();
    all.pop()
}

/// Runs a command to its end.
pub fn done(mut command: Command) -> String {
    let name = format!("{command:?}");
    let output = command.output().unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(output.status.success(), "{name}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Postgres {
    /// Starts it on a data folder under `folder`, which is made anew when it is not there.
    pub async fn start(folder: &Path) -> Self {
        let (binaries, data) = (binaries().expect("Postgres is missing: apt-get install postgresql"), folder.join("postgres"));
        if !data.exists() {
            let mut command = unprivileged(binaries.join("initdb"), folder);
            command.args(["--no-sync", "--username=race", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"]).arg(&data);
            done(command);
        }
        let version = done({
            let mut command = unprivileged(binaries.join("postgres"), folder);
            command.arg("--version");
            command
        });
        let port = free_port();
        let mut command = unprivileged(binaries.join("postgres"), folder);
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=512MB",
            "max_connections=300",
            "max_wal_size=4GB",
            "fsync=on",
            "synchronous_commit=on",
        ] {
            command.args(["-c", setting]);
        }
        let mut process = Process::start("postgres", command, folder);
        process.listens(port).await;
        let postgres = Self { port, version, process };
        // It listens before it lets anyone in.
        let mut tries = 0;
        while !postgres.psql("select 1").output().is_ok_and(|o| o.status.success()) {
            tries += 1;
            assert!(tries < 300, "Postgres does not let us in");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        postgres
    }

    fn psql(&self, sql: &str) -> Command {
        let mut command = Command::new(binaries().expect("found before").join("psql"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "race", "-d", "postgres", "-Atqc", sql]);
        command
    }

    pub fn create(&self, database: &str) {
        done(self.psql(&format!("create database {database}")));
    }

    /// Ends it with everything in its files.
    pub fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.process.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("a process of ours");
        let _ = self.process.child.wait();
    }

    pub fn settings(&self) -> String {
        format!("{}, fsync on, synchronous_commit on, shared_buffers 512 MB, max_wal_size 4 GB", self.version)
    }
}
