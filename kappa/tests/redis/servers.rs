//! Real Redis servers on free ports of this machine, to be killed, paused, started again and emptied.
//!
//! Guarantees that none outlives its test: each ends with its owner, also by a panic, and by the kernel if the test's process is killed. (The kernel does so
//! at the end of the *thread* that started it: start servers from a thread that stays.)

#![allow(dead_code, unreachable_pub)] // Each user needs some of it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// One server. Keeps what it was told on disk, so that it is there again after a kill.
pub struct Server {
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// A server that answers.
    pub fn start(arguments: &[&str]) -> Self {
        let mut server = Server {
            port: 0,
            folder: tempfile::tempdir().expect("a folder"),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            child: None,
        };
        // Somebody else may take the port between the look and the start.
        for _ in 0..10 {
            server.port = free_port();
            if server.try_start() {
                return server;
            }
        }
        panic!("redis-server does not start; is it installed?");
    }

    fn try_start(&mut self) -> bool {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server", "--bind", "127.0.0.1", "--port"])
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(self.folder.path())
            .args(["--appendonly", "yes", "--save", "", "--loglevel", "warning"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv and redis-server");
        let mut child = child;
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if child.try_wait().expect("its state").is_some() {
                return false;
            }
            if self.answers() {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut answer = [0; 5];
        let asked = stream
            .write_all(b"PING\r\n")
            .and_then(|()| stream.read_exact(&mut answer));
        asked.is_ok() && (&answer == b"+PONG" || &answer == b"-NOAU")
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("it is running");
        Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("its end");
        }
    }

    /// Starts it again, with what is in its folder.
    pub fn restart(&mut self) {
        self.kill();
        assert!(
            self.try_start(),
            "redis-server does not start again on port {}",
            self.port
        );
    }

    /// Kills it and takes all that it has.
    pub fn empty(&mut self) {
        self.kill();
        for entry in std::fs::read_dir(self.folder.path()).expect("its folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => std::fs::remove_dir_all(path),
                false => std::fs::remove_file(path),
            }
            .expect("removed");
        }
    }

    /// Starts it again with further settings.
    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self.restart();
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("stop");
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        kill(self.pid(), Signal::SIGCONT).expect("continue");
    }

    /// What the server answers to a command.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://{}", self.address())).expect("an address");
        let mut connection = client.get_connection().expect("a connection");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut connection).expect("an answer")
    }

    /// A number that the server tells of itself.
    pub fn info(&self, name: &str) -> u64 {
        let info: String = self.ask(&["INFO"]);
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.and_then(|number| number.trim().parse().ok()).expect("a number")
    }

    /// The keys of all values that Kappa keeps there.
    pub fn values(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(&["KEYS", "kappa:[ojr]:*"]);
        keys.sort_unstable();
        keys
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that is free at this moment.
pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("its number").port()
}

/// So many servers, as one URL names them.
pub struct Servers(pub Vec<Server>);

impl Servers {
    pub fn start(count: usize) -> Self {
        Servers((0..count).map(|_| Server::start(&[])).collect())
    }

    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.0.iter().map(Server::address).collect();
        format!("redis://{}", addresses.join(","))
    }
}

/// Waits for something that has to come true.
#[track_caller]
pub fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < Duration::from_secs(40), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
