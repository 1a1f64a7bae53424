//! A running program, all of its processes and all of its temporary files.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A place in which programs run: a folder for their files, another for their temporary ones.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    temporary: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Place {
            folder: tempfile::tempdir().unwrap(),
            temporary: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// An example, to be started here.
    pub(crate) fn command(&self, example: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(example_path(example));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.temporary.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The binary that looks after runs, to be started here.
    pub(crate) fn kappa_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kappa"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.temporary.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What the binary says.
    pub(crate) fn kappa(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.kappa_command(arguments).output().unwrap())
    }

    /// Runs an example to its end; nothing of it must be left.
    pub(crate) fn run(&self, example: &str, arguments: &[&str]) -> Ended {
        let output = self.command(example, arguments).output().unwrap();
        self.assert_nothing_is_left();
        Ended::of(output)
    }

    /// The processes that were started here and still are.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mark = self.temporary.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(id) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            // The environment of a dead process is empty, and that of others cannot be read.
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if String::from_utf8_lossy(&environment).contains(&mark) {
                found.push(id);
            }
        }
        found
    }

    fn temporary_files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.temporary.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    /// Whatever was started here is gone within moments, with its temporary files.
    pub(crate) fn assert_nothing_is_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let (processes, files) = (self.processes(), self.temporary_files());
            if processes.is_empty() && files.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left: processes {processes:?}, files {files:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The tests lie beside the examples.
fn example_path(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built; do `cargo build -p kappa --examples`",
        path.display()
    );
    path
}

/// What a program has left behind for its user.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The result of a run that went well.
    pub(crate) fn value(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// A program that is running.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    pub(crate) said: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// The id of its run, which it says at its beginning if it has a state directory.
    pub(crate) fn run_id(&mut self) -> String {
        while !self.said.contains(" resume ") && self.stderr.read_line(&mut self.said).unwrap() > 0 {}
        let after = self
            .said
            .split(" resume ")
            .nth(1)
            .unwrap_or_else(|| panic!("it said {:?}", self.said));
        after.split(' ').next().unwrap().to_string()
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    pub(crate) fn end(mut self) -> Ended {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut self.said).unwrap();
        Ended {
            code: self.child.wait().unwrap().code(),
            stdout,
            stderr: self.said,
        }
    }
}

/// Waits for something that comes soon.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All bytes of a folder's files, by name.
pub(crate) fn files_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}
