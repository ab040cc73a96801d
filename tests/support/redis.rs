//! A Redis (or Valkey) server of a test's own: on a unix socket in a temporary folder, killed when it is dropped.

#![allow(dead_code, reason = "not every test group does everything to its server")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a store asks of a server.
pub const FIT: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
/// A server that keeps nothing: for tests that are about something else.
pub const MEMORY: [&str; 2] = ["--save", ""];

/// A running server.
pub struct RedisServer {
    child: Child,
    folder: tempfile::TempDir,
    program: String,
    arguments: Vec<String>,
}

/// Where `make tools` has put Valkey.
pub fn valkey() -> String {
    std::env::var("EVERLOOP_TEST_VALKEY")
        .expect("EVERLOOP_TEST_VALKEY is not set: run the tests by `make test`, which installs valkey-server")
}

impl RedisServer {
    /// Starts Redis and waits until it answers.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_program("redis-server", arguments)
    }

    /// Starts another program that speaks Redis.
    pub fn start_program(program: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let child = spawn(program, &folder.path().join("redis.sock"), &arguments);
        let server = Self { child, folder, program: program.to_owned(), arguments };
        server.wait();
        server
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// `kill -9`, and the same server again on the same files.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.child = spawn(&self.program, &self.socket(), &self.arguments);
        self.wait();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// A plain connection to it.
    pub fn connection(&self) -> redis::Connection {
        self.try_connection().expect("the server answers")
    }

    fn try_connection(&self) -> redis::RedisResult<redis::Connection> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        // While it loads its files it answers with an error.
        redis::cmd("PING").query::<String>(&mut connection)?;
        Ok(connection)
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.try_connection() {
            assert!(Instant::now() < deadline, "the server does not answer: {error}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &str, socket: &std::path::Path, arguments: &[String]) -> Child {
    Command::new(program)
        .args(["--port", "0", "--unixsocket"])
        .arg(socket)
        .arg("--dir")
        .arg(socket.parent().expect("a socket in a folder"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} does not start ({error}): `make tools` installs it"))
}
